/* Owns the table of calls that tests cannot make up from an operator's record. */
#include "support/op_cases.h"

#include <string.h>

#include "support/lagdevice.h"
#include "thrum/thrum.h"

#define CALL(id, expression)                                                                       \
  static th_array *call_##id(th_array *const *in, int n, void *user) {                             \
    const op_call_context *c = user;                                                               \
    (void)c, (void)n, (void)in;                                                                    \
    return expression;                                                                             \
  }

/* --- in-place operators --- */

th_array *op_case_target(const th_array *a, bool strided) {
  if (!strided) return th_copy(a);
  int64_t shape[TH_MAX_DIMS];
  int ndim = th_array_ndim(a);
  for (int d = 0; d < ndim; d++) shape[d] = 2 * th_array_shape(a)[d];
  th_array *large = th_zeros(shape, ndim, th_array_dtype(a), th_array_device(a));
  static const char *const specs[] = {"...", "::-2", "::-2, 1::2", "::-2, ::2, 1::2",
                                      "::2, ::-2, ::2, 1::2"};
  th_array *view = th_slice(large, specs[ndim]);
  th_release(large);
  if (th_assign(view, a) != TH_OK) {
    th_release(view);
    return NULL;
  }
  return view;
}

/* target, or NULL (released) when the call failed. */
th_array *op_case_checked(th_array *target, th_status status) {
  if (status == TH_OK) return target;
  th_release(target);
  return NULL;
}

static th_array *call_generic(th_array *const *in, int n, void *user) {
  const op_call_context *c = user;
  double scalar = 2;
  const th_array *operands[OP_CASE_INPUTS];
  for (int i = 0; i < n; i++) operands[i] = in[i];
  if (!c->op->writes) return th__call(c->op, &scalar, operands, n);
  th_array *target = op_case_target(in[0], c->strided_target);
  operands[0] = target;
  return op_case_checked(target, th__invoke(c->op, &scalar, operands, n, NULL, 0));
}

static th_array *call_scatter(th_array *const *in, int n, void *user) {
  th_array *target = op_case_target(in[0], ((const op_call_context *)user)->strided_target);
  return op_case_checked(target, th_scatter_add_inplace(target, in[1], in[2]));
}

static th_array *call_sgd(th_array *const *in, int n, void *user) {
  th_array *p = op_case_target(in[0], ((const op_call_context *)user)->strided_target);
  th_array *v = op_case_target(in[2], false), *g = in[1];
  th_status status = th_sgd_step(&p, &g, &v, 1, 0.1, 0.9, 0.01, true);
  th_release(v);
  return op_case_checked(p, status);
}

/* --- calls by public functions --- */

CALL(empty, th_empty(TH_SHAPE(0, 3), c->dtype, c->device))
CALL(full, th_full(TH_SHAPE(5, 3), 7, c->dtype, c->device))
CALL(arange, th_arange(1, 8, 2, c->dtype, c->device))
CALL(linspace, th_linspace(0, 8, 5, c->dtype, c->device))
CALL(eye, th_eye(3, 4, 1, c->dtype, c->device))
CALL(copy, th_copy(in[0]))
CALL(astype, th_astype(in[0], TH_F64))
CALL(slice, th_slice(in[0], "::-1, 1:"))
CALL(reshape, th_reshape(in[0], TH_SHAPE(-1, 2)))
CALL(broadcast_to, th_broadcast_to(in[0], TH_SHAPE(2, 3, 4)))
CALL(permute_dims, th_permute_dims(in[0], (const int[]){1, 2, 0}, 3))
CALL(matrix_transpose, th_matrix_transpose(in[0]))
CALL(flip, th_flip(in[0], (const int[]){-1}, 1))
CALL(squeeze, th_squeeze(in[0], NULL, 0))
CALL(expand_dims, th_expand_dims(in[0], 1))
CALL(where, th_where(in[0], in[1], in[2]))
CALL(clip, th_clip(in[0], 1, 2))
CALL(sum, th_sum(in[0], (const int[]){-1}, 1, false))
CALL(prod, th_prod(in[0], (const int[]){1}, 1, true))
CALL(mean, th_mean(in[0], NULL, 0, false))
CALL(max, th_max(in[0], (const int[]){0}, 1, false))
CALL(min, th_min(in[0], (const int[]){1}, 1, true))
CALL(all, th_all(in[0], (const int[]){1}, 1, false))
CALL(any, th_any(in[0], NULL, 0, true))
CALL(argmax, th_argmax(in[0], 1, false))
CALL(argmin, th_argmin(in[0], 0, true))
CALL(matmul, th_matmul(in[0], in[1]))
CALL(linear, th_linear(in[0], in[1], in[2]))
CALL(take, th_take(in[0], in[1], 1))
CALL(one_hot, th_one_hot(in[0], 4, c->dtype))
CALL(concat, th_concat(in, n, 1))
CALL(softmax, th_softmax(in[0], 1))
CALL(log_softmax, th_log_softmax(in[0], -1))
CALL(cross_entropy, th_cross_entropy(in[0], in[1]))
CALL(mse_loss, th_mse_loss(in[0], in[1]))

/* unslice is only called as the gradient of slice, copy_to only between devices. */
static th_array *call_copy_to(th_array *const *in, int n, void *user) {
  th_array *there = th_copy_to(in[0], lag_device(1));
  th_array *back = th_copy_to(there, th_array_device(in[0]));
  th_release(there);
  return back;
}

/* A generator of its own, so that a repeated call draws the same numbers. */
static th_array *call_random(th_array *const *in, int n, void *user) {
  const op_call_context *c = user;
  th_generator *g = th_generator_new(5);
  th_array *out = NULL;
  if (strcmp(c->op->name, "uniform") == 0)
    out = th_uniform(g, TH_SHAPE(3, 5), -1, 1, c->dtype, c->device);
  else if (strcmp(c->op->name, "normal") == 0)
    out = th_normal(g, TH_SHAPE(3, 5), 0, 1, c->dtype, c->device);
  else if (strcmp(c->op->name, "permutation") == 0)
    out = th_permutation(g, 17, c->device);
  else
    out = th_random_bits(g, TH_SHAPE(3, 5), c->device);
  th_generator_release(g);
  return out;
}

static double twice(double x, void *user) { return 2 * x; }
static double plus(double x, double y, void *user) { return x + y; }
CALL(map, th_map(in[0], twice, NULL))
CALL(zip, th_zip(in[0], in[1], plus, NULL))
CALL(reduce, th_reduce(in[0], 1, plus, 0, false, NULL))

/* --- the table --- */

#define M34                                                                                        \
  {                                                                                                \
    'x', 2, { 3, 4 }                                                                               \
  }
static const op_case cases[] = {
    {"empty", call_empty, {{0}}, TH_ANY, OP_CASE_OWN_BITS},
    {"full", call_full, {{0}}, TH_NUMBERS},
    {"arange", call_arange, {{0}}, TH_NUMBERS},
    {"linspace", call_linspace, {{0}}, TH_NUMBERS},
    {"eye", call_eye, {{0}}, TH_NUMBERS},
    {"copy", call_copy, {M34}, 0, OP_CASE_EMPTY},
    {"astype", call_astype, {M34}, 0, OP_CASE_EMPTY},
    {"copy_to", call_copy_to, {M34}, 0, OP_CASE_EMPTY | OP_CASE_NO_META},
    {"assign", call_generic, {M34, {'x', 1, {4}}}, 0, OP_CASE_EMPTY},
    {"fill", call_generic, {M34}, TH_NUMBERS, OP_CASE_EMPTY},
    {"slice", call_slice, {M34}, 0, OP_CASE_EMPTY},
    {"unslice", NULL, {{0}}, 0, OP_CASE_SEEN},
    {"reshape", call_reshape, {M34}, 0, 0},
    {"broadcast_to", call_broadcast_to, {{'x', 2, {3, 1}}}, 0, 0},
    {"permute_dims", call_permute_dims, {{'x', 3, {3, 1, 4}}}, 0, OP_CASE_EMPTY},
    {"matrix_transpose", call_matrix_transpose, {M34}, 0, OP_CASE_EMPTY},
    {"flip", call_flip, {M34}, 0, OP_CASE_EMPTY},
    {"squeeze", call_squeeze, {{'x', 3, {3, 1, 4}}}, 0, OP_CASE_EMPTY},
    {"expand_dims", call_expand_dims, {M34}, 0, OP_CASE_EMPTY},
    {"where", call_where, {{'b', 1, {4}}, M34, {'x', 2, {3, 1}}}, TH_ANY, OP_CASE_EMPTY},
    {"clip", call_clip, {M34}, 0, OP_CASE_EMPTY},
    {"sum", call_sum, {M34}, 0, OP_CASE_ROUNDS | OP_CASE_EMPTY},
    {"prod", call_prod, {M34}, 0, OP_CASE_ROUNDS | OP_CASE_EMPTY},
    {"mean", call_mean, {M34}, 0, OP_CASE_ROUNDS},
    {"max", call_max, {M34}},
    {"min", call_min, {M34}, 0, OP_CASE_EMPTY},
    {"all", call_all, {M34}, 0, OP_CASE_EMPTY},
    {"any", call_any, {M34}, 0, OP_CASE_EMPTY},
    {"argmax", call_argmax, {M34}, 0, OP_CASE_EMPTY},
    {"argmin", call_argmin, {M34}},
    {"matmul",
     call_matmul,
     {{'x', 3, {2, 3, 4}}, {'x', 2, {4, 5}}},
     0,
     OP_CASE_ROUNDS | OP_CASE_EMPTY},
    {"linear",
     call_linear,
     {M34, {'x', 2, {4, 5}}, {'x', 1, {5}}},
     0,
     OP_CASE_ROUNDS | OP_CASE_EMPTY},
    {"take", call_take, {M34, {'i', 2, {2, 3}, 4}}, TH_ANY, OP_CASE_EMPTY},
    {"take_slope", NULL, {{0}}, 0, OP_CASE_SEEN},
    {"scatter_add_inplace",
     call_scatter,
     {{'x', 2, {5, 2}}, {'i', 1, {4}, 5}, {'x', 2, {4, 2}}},
     TH_NUMBERS,
     OP_CASE_ROUNDS},
    {"one_hot", call_one_hot, {{'i', 2, {2, 3}, 4}}, TH_ANY, OP_CASE_EMPTY},
    {"concat", call_concat, {M34, {'x', 2, {3, 2}}, {'x', 2, {3, 1}}}, TH_ANY, OP_CASE_EMPTY},
    {"softmax", call_softmax, {M34}, 0, OP_CASE_ROUNDS | OP_CASE_EMPTY},
    {"log_softmax", call_log_softmax, {M34}, 0, OP_CASE_ROUNDS | OP_CASE_EMPTY},
    {"cross_entropy",
     call_cross_entropy,
     {{'x', 2, {5, 4}}, {'i', 1, {5}, 4}},
     TH_FLOATS,
     OP_CASE_ROUNDS},
    {"cross_entropy_slope", NULL, {{0}}, 0, OP_CASE_SEEN},
    {"mse_loss", call_mse_loss, {M34, M34}, TH_FLOATS, OP_CASE_ROUNDS},
    {"random_bits", call_random, {{0}}, TH_BIT(TH_U32), OP_CASE_OWN_BITS},
    {"uniform", call_random, {{0}}, TH_FLOATS, OP_CASE_OWN_BITS},
    {"normal", call_random, {{0}}, TH_FLOATS, OP_CASE_OWN_BITS},
    {"permutation", call_random, {{0}}, TH_BIT(TH_I64), OP_CASE_OWN_BITS},
    {"map", call_map, {M34}, TH_NUMBERS, OP_CASE_EMPTY},
    {"zip", call_zip, {M34, {'x', 1, {4}}}, TH_NUMBERS, OP_CASE_EMPTY},
    {"reduce", call_reduce, {M34}, TH_NUMBERS, OP_CASE_EMPTY},
    {"sgd_step", call_sgd, {M34, M34, M34}, TH_FLOATS, OP_CASE_EMPTY | OP_CASE_ROUNDS},
};

static bool ends_with(const char *text, const char *end) {
  size_t n = strlen(text), m = strlen(end);
  return n >= m && strcmp(text + n - m, end) == 0;
}

const op_case *op_case_find(const th_op *op, op_case *generic) {
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    if (strcmp(cases[i].name, op->name) == 0) return &cases[i];
  const op_case *const lists[] = {op_cases_arrays, op_cases_nn};
  for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
    for (const op_case *c = lists[i]; c->name; c++)
      if (strcmp(c->name, op->name) == 0) return c;
  bool scalar = ends_with(op->name, "_scalar") || ends_with(op->name, "_scalar_inplace");
  bool known = (op->flags & TH_OP_ELEMENTWISE) && op->dtypes && op->in.max == 0 &&
               op->in.min >= 1 && op->in.min <= 3 &&
               op->params_size == (scalar ? sizeof(double) : 0);
  if (!known) return NULL;
  *generic =
      (op_case){op->name, call_generic, {M34, {'x', 1, {4}}, {'x', 2, {3, 1}}}, 0, OP_CASE_EMPTY};
  for (int i = op->in.min; i < OP_CASE_INPUTS; i++) generic->in[i] = (op_case_input){0};
  return generic;
}
