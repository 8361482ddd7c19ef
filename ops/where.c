/* Owns choice: where and clip. */
#include "ops/elementwise.h"

#include "engine/base/error.h"
#include "ops/params.h"

/* --- where --- */

#define CHOOSE(bits)                                                                               \
  static void where_##bits(char *const *p, const int64_t *s, int64_t n, const void *user) {        \
    for (int64_t i = 0; i < n; i++) {                                                              \
      const char *from = *(const uint8_t *)(p[1] + i * s[1]) ? p[2] + i * s[2] : p[3] + i * s[3];  \
      *(uint##bits##_t *)(p[0] + i * s[0]) = *(const uint##bits##_t *)from;                        \
    }                                                                                              \
  }
CHOOSE(8)
CHOOSE(16)
CHOOSE(32)
CHOOSE(64)

static th_status where_cpu(const th_kernel_args *k) {
  size_t size = th_dtype_size(k->out[0].dtype);
  return th__loop_kernel(k,
                         size == 1   ? where_8
                         : size == 2 ? where_16
                         : size == 4 ? where_32
                                     : where_64,
                         NULL);
}

/* Shape of all three, into out. */
static th_status where_shape(const th_layout *condition, const th_layout *a, const th_layout *b,
                             th_layout *out) {
  th_layout values;
  TH_TRY(th__broadcast_shapes(a, b, &values, "where"));
  return th__broadcast_shapes(condition, &values, out, "where");
}

static th_status check_condition(th_dtype t) {
  return t == TH_BOOL ? TH_OK
                      : th__fail(TH_EDTYPE, "where: element type %s of argument 0 is not bool",
                                 th_dtype_name(t));
}

static th_status infer_where(th_infer *io, const void *params) {
  TH_TRY(check_condition(io->in[0].dtype));
  if (io->in[1].dtype != io->in[2].dtype)
    return th__fail(TH_EDTYPE, "where: element types %s and %s differ",
                    th_dtype_name(io->in[1].dtype), th_dtype_name(io->in[2].dtype));
  th_layout shape;
  TH_TRY(where_shape(&io->in[0], &io->in[1], &io->in[2], &shape));
  io->out[0].dtype = io->in[1].dtype;
  io->out[0].ndim = shape.ndim;
  for (int d = 0; d < shape.ndim; d++) io->out[0].shape[d] = shape.shape[d];
  return TH_OK;
}

th_array *th__keep_where(const th_array *mask, const th_array *g) {
  if (!mask || !g) return NULL;
  th_scope scope = th__scope_suspend();
  th_array *zero = th_zeros(NULL, 0, g->layout.dtype, g->device);
  th_array *result = th_where(mask, g, zero);
  th_release(zero);
  return th__scope_resume(scope, result);
}

static th_status vjp_where(const th_vjp *v) {
  const th_array *g = v->gradients[0];
  if (v->needed[1]) v->result[1] = th__sum_to_release(th__keep_where(v->inputs[0], g), &v->in[1]);
  if (v->needed[2]) {
    th_array *other = th_logical_not(v->inputs[0]);
    v->result[2] = th__sum_to_release(th__keep_where(other, g), &v->in[2]);
    th_release(other);
  }
  return th__vjp_check(v);
}

static const th_op where_op = {.name = "where",
                               .in = {3},
                               .out = {1},
                               .saves = TH_SAVE_IN(0),
                               .flags = TH_OP_ELEMENTWISE | TH_OP_NONBLOCKING,
                               .infer = infer_where,
                               .vjp = vjp_where,
                               .cpu = where_cpu,
                               .test = {-3, 3, 1e-5}};

th_array *th_where(const th_array *condition, const th_array *a, const th_array *b) {
  const th_array *const in[] = {condition, a, b};
  if (!condition || !a || !b || a->layout.dtype == b->layout.dtype)
    return th__call(&where_op, NULL, in, 3);
  th_layout shape;
  if (th__check_devices("where", in, 3) != TH_OK ||
      check_condition(condition->layout.dtype) != TH_OK ||
      where_shape(&condition->layout, &a->layout, &b->layout, &shape) != TH_OK)
    return NULL;
  th_scope scope = th__scope_suspend();
  th_array *x, *y, *result = NULL;
  if (th__promote_pair(a, b, &x, &y) == TH_OK) result = TH_CALL(&where_op, NULL, condition, x, y);
  th_release(x);
  th_release(y);
  return th__scope_resume(scope, result);
}

/* --- clip --- */

#define BOUNDS(t, NAME)                                                                            \
  const th__clip_params *bounds = user;                                                            \
  th__s_##t cell;                                                                                  \
  th__dtype_set(TH_##NAME, &cell, bounds->lo);                                                     \
  const th__c_##t lo = th__get_##t(&cell);                                                         \
  th__dtype_set(TH_##NAME, &cell, bounds->hi);                                                     \
  const th__c_##t hi = th__get_##t(&cell)
#define CLIP(t, NAME, ...)                                                                         \
  TH__DEFINE_MAP(clip_##t, t, t, BOUNDS(t, NAME), (x < lo ? lo : x) > hi ? hi : (x < lo ? lo : x))
#define ENTRY(t, NAME, ...) [TH_##NAME] = clip_##t,
#define NUMBERS(X)                                                                                 \
  TH__FOR_SIGNED(X, ) TH__FOR_UNSIGNED(X, ) TH__FOR_HALVES(X, ) TH__FOR_SINGLES(X, )

NUMBERS(CLIP)
static const th__inner clip_loops[TH_DTYPE_COUNT] = {NUMBERS(ENTRY)};

static th_status clip_cpu(const th_kernel_args *k) {
  return th__loop_typed(k, clip_loops, 0, k->params);
}

/* g inside the bounds, bounds included. */
static th_status vjp_clip(const th_vjp *v) {
  const th__clip_params *p = v->params;
  th_array *above = th_greater_equal_scalar(v->inputs[0], p->lo);
  th_array *below = th_less_equal_scalar(v->inputs[0], p->hi);
  th_array *inside = th_logical_and(above, below);
  v->result[0] = th__keep_where(inside, v->gradients[0]);
  th_release(above);
  th_release(below);
  th_release(inside);
  return th__vjp_check(v);
}

static const th_op clip_op = {.name = "clip",
                              .in = {1},
                              .out = {1},
                              .saves = TH_SAVE_IN(0),
                              .flags = TH_OP_ELEMENTWISE | TH_OP_NONBLOCKING,
                              .dtypes = TH_NUMBERS,
                              .params_size = sizeof(th__clip_params),
                              .infer = th__infer_same,
                              .vjp = vjp_clip,
                              .loops = clip_loops,
                              .cpu = clip_cpu,
                              .test = {-3, 3, 1e-5}};

th_array *th_clip(const th_array *a, double lo, double hi) {
  th__clip_params p = {lo, hi};
  return TH_CALL(&clip_op, &p, a);
}

const th_op *const th__family_where[] = {&where_op, &clip_op, NULL};
