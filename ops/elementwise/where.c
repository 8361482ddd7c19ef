/* Owns choice: where and clip. */
#include "ops/elementwise/elementwise.h"

#include "engine/base/error.h"
#include "ops/loops/lines.h"
#include "ops/params.h"

/* --- where --- */

#define CHOOSE(t)                                                                                  \
  TH__LINE_BEGIN(TH__HALF_WIDE, where_##t, t)                                                      \
  T *const out = (void *)p[0];                                                                     \
  TH__LINE_OPERAND(b8, condition, 1);                                                              \
  TH__LINE_OPERAND(t, first, 2);                                                                   \
  TH__LINE_OPERAND(t, second, 3);                                                                  \
  TH__INDEPENDENT                                                                                  \
  for (int64_t i = 0; i < n; i++) {                                                                \
    const T x = first[i], y = second[i];                                                           \
    out[i] = condition[i] ? x : y;                                                                 \
  }                                                                                                \
  TH__LINE_END
CHOOSE(u8)
CHOOSE(u16)
CHOOSE(u32)
CHOOSE(u64)

/* By size alone: bits are moved, halves too. */
static const th__line where_lines[TH_DTYPE_COUNT] = {
    [TH_BOOL] = where_u8, [TH_U8] = where_u8,   [TH_I8] = where_u8,    [TH_U16] = where_u16,
    [TH_I16] = where_u16, [TH_F16] = where_u16, [TH_BF16] = where_u16, [TH_U32] = where_u32,
    [TH_I32] = where_u32, [TH_F32] = where_u32, [TH_U64] = where_u64,  [TH_I64] = where_u64,
    [TH_F64] = where_u64};

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
                               .lines = where_lines,
                               .cpu = th__lines_kernel,
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

#define CLIP(t, NAME, id)                                                                          \
  TH__LINE_ZIP3(id##_##t, t, x, lo, hi, (x < lo ? lo : x) > hi ? hi : (x < lo ? lo : x))
#define NUMBERS(X) TH__FOR_SIGNED(X, clip) TH__FOR_UNSIGNED(X, clip) TH__FOR_SINGLES(X, clip)

NUMBERS(CLIP)
static const th__line clip_lines[TH_DTYPE_COUNT] = {NUMBERS(TH__LINE_ENTRY)};

/* g inside the bounds, bounds included. */
static th_status vjp_clip(const th_vjp *v) {
  const th__clip_params *p = v->params;
  th_dtype t = v->in[0].dtype;
  th_array *above = th_greater_equal_scalar(v->inputs[0], th__as_element(t, p->lo));
  th_array *below = th_less_equal_scalar(v->inputs[0], th__as_element(t, p->hi));
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
                              .flags = TH_OP_ELEMENTWISE | TH_OP_NONBLOCKING | TH_OP_SCALARS,
                              .dtypes = TH_NUMBERS,
                              .params_size = sizeof(th__clip_params),
                              .infer = th__infer_same,
                              .vjp = vjp_clip,
                              .lines = clip_lines,
                              .cpu = th__lines_kernel,
                              .test = {-3, 3, 1e-5}};

th_array *th_clip(const th_array *a, double lo, double hi) {
  th__clip_params p = {lo, hi};
  return TH_CALL(&clip_op, &p, a);
}

const th_op *const th__family_where[] = {&where_op, &clip_op, NULL};
