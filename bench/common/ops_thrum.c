/* Owns the list of what each kind is in Thrum, and its inputs. The caller of an operator waits for each result of some size, as
 * a caller of the peers does; small ones are waited for together. */
#include "common/ops_thrum.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thrum/thrum.h>

#include "common/bench.h"
#include "common/ops_later.h"
#include "common/ops_serve.h"

enum { SMALL = 1024 }; /* elements of all inputs up to which results are waited for together */

typedef struct operands {
  th_array *in[OPS_INPUTS];
  int n, axis;
  int64_t k;
} operands;

static void check(bool good) {
  if (good) return;
  fprintf(stderr, "thrum: %s\n", th_last_error());
  exit(1);
}

#define CALL(id, expression)                                                                       \
  static th_array *call_##id(const operands *o) { return expression; }
#define X o->in[0]
#define Y o->in[1]

CALL(add, th_add(X, Y))
CALL(multiply, th_multiply(X, Y))
CALL(relu, th_relu(X))
CALL(exp, th_exp(X))
CALL(log, th_log(X))
CALL(tanh, th_tanh(X))
CALL(sigmoid, th_sigmoid(X))
CALL(gelu, th_gelu(X))
CALL(erf, th_erf(X))
CALL(silu, th_silu(X))
CALL(pow, th_pow(X, Y))
CALL(softmax, th_softmax(X, -1))
CALL(log_softmax, th_log_softmax(X, -1))
CALL(cross_entropy, th_cross_entropy(X, Y))
CALL(layer_norm, th_layer_norm(X, 1, NULL, NULL, 1e-5))
CALL(sum, th_sum(X, NULL, 0, false))
CALL(sum_axis, th_sum(X, &o->axis, 1, false))
CALL(mean_axis, th_mean(X, &o->axis, 1, false))
CALL(max, th_max(X, NULL, 0, false))
CALL(max_axis, th_max(X, &o->axis, 1, false))
CALL(copy, th_copy(X))
CALL(matmul, th_matmul(X, Y))
CALL(take, th_take(X, Y, 0))
CALL(take_along, th_take_along_axis(X, Y, o->axis))
CALL(repeat, th_repeat(X, o->k, o->axis))
CALL(roll, th_roll(X, (const int64_t[]){o->k, o->k}, (const int[]){0, 1}, 2))
CALL(argmax, th_argmax(X, o->axis, false))
CALL(concat, th_concat(o->in, 2, o->axis))
CALL(sort, th_sort(X, -1, false))
CALL(argsort, th_argsort(X, -1, false))
CALL(cumsum, th_cumulative_sum(X, o->axis, false))
CALL(conv2d, th_conv2d(X, Y, NULL, NULL))

static th_array *call_topk(const operands *o) {
  th_array *values = NULL, *indices = NULL;
  check(th_topk(X, o->k, -1, true, &values, &indices) == TH_OK);
  th_release(indices);
  return values;
}

static th_array *call_nonzero(const operands *o) {
  th_array *out[1] = {NULL};
  check(th_nonzero(X, out) == TH_OK);
  return out[0];
}

/* The first input is added to, over and over. */
static th_array *call_scatter_add(const operands *o) {
  check(th_scatter_add_inplace(X, Y, o->in[2]) == TH_OK);
  return th_retain(X);
}

/* th_pool_config as the header has (or will have) it: kernel 2 x 2, everything else by default. */
static th_array *call_max_pool2d(const operands *o) {
  struct {
    int64_t kernel[2], stride[2], padding[2], dilation[2];
    bool exclude_padding;
  } config = {.kernel = {2, 2}};
  return th_max_pool2d(X, (const struct th_pool_config *)&config);
}

/* Forward, and the gradients of all inputs that are floats. */
static th_array *backward(const operands *o, th_array *(*call)(const operands *o)) {
  operands marked = *o;
  for (int i = 0; i < o->n; i++) {
    marked.in[i] = th_slice(o->in[i], "...");
    if (th_array_dtype(o->in[i]) != TH_I64) check(th_require_grad(marked.in[i]) == TH_OK);
  }
  th_array *y = call(&marked), *loss = th_sum(y, NULL, 0, false);
  check(loss && th_backward(loss, 0) == TH_OK);
  th_array *gradient = th_retain(th_grad(marked.in[o->n - 1]));
  th_array *first = th_grad(marked.in[0]);
  check(gradient && first && th_wait(first) == TH_OK);
  th_release(y);
  th_release(loss);
  for (int i = 0; i < o->n; i++) th_release(marked.in[i]);
  return gradient;
}
CALL(conv2d_train, backward(o, call_conv2d))
CALL(max_pool2d_train, backward(o, call_max_pool2d))

typedef void (*any_function)(void);
static const struct {
  const char *kind;
  th_array *(*call)(const operands *o);
  any_function needs; /* NULL: not there yet */
} kinds[] = {
#define KIND(id, function)                                                                         \
  { #id, call_##id, (any_function)function }
    KIND(add, th_add),
    KIND(multiply, th_multiply),
    KIND(relu, th_relu),
    KIND(exp, th_exp),
    KIND(log, th_log),
    KIND(tanh, th_tanh),
    KIND(sigmoid, th_sigmoid),
    KIND(gelu, th_gelu),
    KIND(erf, th_erf),
    KIND(silu, th_silu),
    KIND(pow, th_pow),
    KIND(softmax, th_softmax),
    KIND(log_softmax, th_log_softmax),
    KIND(cross_entropy, th_cross_entropy),
    KIND(layer_norm, th_layer_norm),
    KIND(sum, th_sum),
    KIND(sum_axis, th_sum),
    KIND(mean_axis, th_mean),
    KIND(max, th_max),
    KIND(max_axis, th_max),
    KIND(copy, th_copy),
    KIND(matmul, th_matmul),
    KIND(take, th_take),
    KIND(scatter_add, th_scatter_add_inplace),
    KIND(take_along, th_take_along_axis),
    KIND(repeat, th_repeat),
    KIND(roll, th_roll),
    KIND(nonzero, th_nonzero),
    KIND(argmax, th_argmax),
    KIND(concat, th_concat),
    KIND(sort, th_sort),
    KIND(argsort, th_argsort),
    KIND(topk, th_topk),
    KIND(cumsum, th_cumulative_sum),
    KIND(conv2d, th_conv2d),
    KIND(conv2d_train, th_conv2d),
    KIND(max_pool2d, th_max_pool2d),
    KIND(max_pool2d_train, th_max_pool2d),
};

static int find(const char *kind) {
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (strcmp(kinds[i].kind, kind) == 0 && kinds[i].needs) return (int)i;
  return -1;
}

bool ops_thrum_has(const char *kind) { return find(kind) >= 0; }

/* --- a reading --- */

typedef struct serving {
  operands o;
  int kind;
  bool small;
} serving;

static th_array *make_input(const ops_spec *spec, int i) {
  static const th_dtype types[] = {TH_F32, TH_F64, TH_I64};
  const ops_input *in = &spec->in[i];
  void *data = ops_input_data(spec, i);
  check(data != NULL);
  th_array *a = th_from_host(data, in->stored, in->ndim, types[in->type], th_cpu(0)), *view = a;
  free(data);
  if (in->transposed) view = th_matrix_transpose(a);
  if (in->strided) view = th_slice(a, "..., ::2");
  if (view != a) th_release(a);
  check(view != NULL);
  return view;
}

static bool begin(const char *kind, const ops_spec *spec, void *state) {
  serving *s = state;
  int64_t elements = 0;
  s->kind = find(kind);
  if (s->kind < 0) return false;
  s->o = (operands){.n = spec->n, .axis = (int)spec->axis, .k = spec->k};
  for (int i = 0; i < spec->n; i++) {
    s->o.in[i] = make_input(spec, i);
    elements += spec->in[i].elements;
  }
  s->small = elements <= SMALL;
  return true;
}

static void run(void *state, long times) {
  serving *s = state;
  th_array *(*call)(const operands *o) = kinds[s->kind].call;
  for (long i = 0; i < times; i++) {
    th_array *out = call(&s->o);
    if (!out || (!s->small && th_wait(out) != TH_OK)) check(false);
    th_release(out);
  }
  if (s->small) check(th_wait_all() == TH_OK);
}

static void end(void *state) {
  serving *s = state;
  for (int i = 0; i < s->o.n; i++) th_release(s->o.in[i]);
  check(th_wait_all() == TH_OK);
  (void)th_memory_trim(th_cpu(0)); /* the next program needs it */
}

int ops_thrum_serve(int workers, bool inline_small) {
  static serving s;
  th_config config = {.size = sizeof config, .workers = workers > 1 ? workers - 1 : TH_NO_WORKERS};
  config.inline_small = inline_small;
  check(th_init(&config) == TH_OK);
  ops_impl impl = {
      inline_small ? "thrum-inline" : "thrum", th_version_string(), begin, run, end, &s};
  return ops_serve(&impl);
}
