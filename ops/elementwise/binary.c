/* Owns arithmetic on two arrays: lines, records and gradients made from the rows of binary.def. */
#include "ops/loops/lines.h"

#include <tgmath.h>

#include "engine/base/error.h"
#include "ops/compose.h"
#include "ops/elementwise/binary_math.h"
#include "ops/elementwise/elementwise.h"
#include "ops/elementwise/thirds.h"
#include "ops/elementwise/unary_math.h"

/* --- lines --- */

#define ZIP(t, NAME, id, expression) TH__LINE_ZIP(id##_##t, t, t, x, y, expression)
#define FLOAT_LINES(id, floats)                                                                    \
  TH__FOR_SINGLES(ZIP, id, floats)                                                                 \
  const th__line th__binary_##id[TH_DTYPE_COUNT] = {TH__FOR_SINGLES(TH__LINE_ENTRY, id)};

#define TH_BINARY(id, lo, hi, gradient, floats, signed_ints, unsigned_ints)                        \
  TH__FOR_SINGLES(ZIP, id, floats)                                                                 \
  TH__FOR_SIGNED(ZIP, id, signed_ints)                                                             \
  TH__FOR_UNSIGNED(ZIP, id, unsigned_ints)                                                         \
  const th__line th__binary_##id[TH_DTYPE_COUNT] = {TH__FOR_SINGLES(TH__LINE_ENTRY, id)            \
                                                        TH__FOR_SIGNED(TH__LINE_ENTRY, id)         \
                                                            TH__FOR_UNSIGNED(TH__LINE_ENTRY, id)};
#define TH_BINARY_FLOAT(id, lo, hi, gradient, floats)    FLOAT_LINES(id, floats)
#define TH_BINARY_QUOTIENT(id, lo, hi, gradient, floats) FLOAT_LINES(id, floats)
#define TH_SLOPES(id, dx, dy, dxx, dxy, dyy)
#define TH_STEPS(id, dx, dy)
#include "ops/elementwise/binary.def"
#undef TH_BINARY
#undef TH_BINARY_FLOAT
#undef TH_BINARY_QUOTIENT
#undef TH_SLOPES
#undef TH_STEPS

/* --- derivatives as operators of (g, x, y) --- */

#define SLOPE(t, NAME, id, expression) TH__LINE_ZIP3(id##_##t, t, g, x, y, g *(expression))
/* record: its name and storage class. */
#define SLOPE_OP(id, record, expression, saved, gradient)                                          \
  TH__FOR_SINGLES(SLOPE, id, expression)                                                           \
  static const th__line id##_lines[TH_DTYPE_COUNT] = {TH__FOR_SINGLES(TH__LINE_ENTRY, id)};        \
  record = {.name = #id,                                                                           \
            .in = {3},                                                                             \
            .out = {1},                                                                            \
            .saves = saved,                                                                        \
            .flags = TH_OP_ELEMENTWISE | TH_OP_NONBLOCKING,                                        \
            .dtypes = TH_FLOATS,                                                                   \
            .infer = th__infer_broadcast,                                                          \
            .vjp = gradient,                                                                       \
            .lines = id##_lines,                                                                   \
            .cpu = th__lines_kernel,                                                               \
            .test = {0.5, 2, 1e-5}};

static th_status vjp_slopes(const th_vjp *v, const th_op *by_x, const th_op *by_y) {
  const th_op *slopes[] = {by_x, by_y};
  for (int i = 0; i < 2; i++) {
    if (!v->needed[i]) continue;
    th_array *full = TH_CALL(slopes[i], NULL, v->gradients[0], v->inputs[0], v->inputs[1]);
    v->result[i] = th__sum_to_release(full, &v->in[i]);
  }
  return th__vjp_check(v);
}

/* Of g f(x, y), f being a first derivative: by g it is the slope again; by x and y the second ones, NULL where zero. */
static th_status vjp_of_slope(const th_vjp *v, const th_op *by_x, const th_op *by_y) {
  const th_op *bends[] = {by_x, by_y};
  const th_array *h = v->gradients[0], *x = v->inputs[1], *y = v->inputs[2];
  if (v->needed[0]) v->result[0] = th__sum_to_release(TH_CALL(v->op, NULL, h, x, y), &v->in[0]);
  for (int i = 0; i < 2; i++) {
    const th_layout *in = &v->in[1 + i];
    if (!v->needed[1 + i]) continue;
    if (bends[i] == NULL) {
      v->result[1 + i] = th_zeros(in->shape, in->ndim, in->dtype, h->device);
      continue;
    }
    th_array *hg = th_multiply(h, v->inputs[0]);
    v->result[1 + i] = th__sum_to_release(TH_CALL(bends[i], NULL, hg, x, y), in);
    th_release(hg);
  }
  return th__vjp_check(v);
}

/* Of g f(x, y), f being a second derivative, so often by y: by g it is the bend again; by x and y the third ones, composed. */
static th_status vjp_of_bend(const th_vjp *v, th_third *third, int by_y) {
  const th_array *h = v->gradients[0], *g = v->inputs[0], *x = v->inputs[1], *y = v->inputs[2];
  if (v->needed[0]) v->result[0] = th__sum_to_release(TH_CALL(v->op, NULL, h, x, y), &v->in[0]);
  for (int i = 0; i < 2; i++) {
    if (!v->needed[1 + i]) continue;
    th__composing c = th__compose();
    th_array *full = th_multiply(th_multiply(h, g), third(x, y, by_y + i));
    v->result[1 + i] = th__sum_to_release(th__composed(c, full), &v->in[1 + i]);
  }
  return th__vjp_check(v);
}

#define SAVE_GXY TH_SAVE_IN(0) | TH_SAVE_IN(1) | TH_SAVE_IN(2)
/* bends: the operators of the second derivatives, as a list in parentheses. */
#define SLOPE_OPS(id, dx, dy, bends_x, bends_y)                                                    \
  static th_status vjp_##id##_slope_x(const th_vjp *v) { return vjp_of_slope bends_x; }            \
  static th_status vjp_##id##_slope_y(const th_vjp *v) { return vjp_of_slope bends_y; }            \
  SLOPE_OP(id##_slope_x, const th_op th__##id##_slope_x, dx, SAVE_GXY, vjp_##id##_slope_x)         \
  SLOPE_OP(id##_slope_y, static const th_op id##_slope_y_op, dy, SAVE_GXY, vjp_##id##_slope_y)     \
  th_status th__vjp_##id(const th_vjp *v) {                                                        \
    return vjp_slopes(v, &th__##id##_slope_x, &id##_slope_y_op);                                   \
  }

#define BEND_OP(id, which, expression, by_y)                                                       \
  static th_status vjp_##id##_bend_##which(const th_vjp *v) {                                      \
    return vjp_of_bend(v, th__third_##id, by_y);                                                   \
  }                                                                                                \
  SLOPE_OP(id##_bend_##which, static const th_op id##_bend_##which##_op, expression, SAVE_GXY,     \
           vjp_##id##_bend_##which)

#define TH_BINARY(id, lo, hi, gradient, floats, signed_ints, unsigned_ints)
#define TH_BINARY_FLOAT(id, lo, hi, gradient, floats)
#define TH_BINARY_QUOTIENT(id, lo, hi, gradient, floats)
#define TH_SLOPES(id, dx, dy, dxx, dxy, dyy)                                                       \
  BEND_OP(id, xx, dxx, 0)                                                                          \
  BEND_OP(id, xy, dxy, 1)                                                                          \
  BEND_OP(id, yy, dyy, 2)                                                                          \
  SLOPE_OPS(id, dx, dy, (v, &id##_bend_xx_op, &id##_bend_xy_op),                                   \
            (v, &id##_bend_xy_op, &id##_bend_yy_op))
#define TH_STEPS(id, dx, dy) SLOPE_OPS(id, dx, dy, (v, NULL, NULL), (v, NULL, NULL))
#include "ops/elementwise/binary.def"
#undef TH_BINARY
#undef TH_BINARY_FLOAT
#undef TH_BINARY_QUOTIENT
#undef TH_SLOPES
#undef TH_STEPS

/* --- records and public functions --- */

#define GRADIENT_VJP(vjp, saved, flat)   vjp
#define GRADIENT_SAVES(vjp, saved, flat) saved
#define GRADIENT_FLAT(vjp, saved, flat)  flat

#define RECORD(id, types, low, high, gradient)                                                     \
  static const th_op id##_op = {.name = #id,                                                       \
                                .in = {2},                                                         \
                                .out = {1},                                                        \
                                .saves = GRADIENT_SAVES gradient,                                  \
                                .flags = TH_OP_ELEMENTWISE | TH_OP_NONBLOCKING |                   \
                                         GRADIENT_FLAT gradient,                                   \
                                .dtypes = types,                                                   \
                                .infer = th__infer_broadcast,                                      \
                                .vjp = GRADIENT_VJP gradient,                                      \
                                .lines = th__binary_##id,                                          \
                                .cpu = th__lines_kernel,                                           \
                                .test = {low, high, 1e-5}};

#define PUBLIC(id)                                                                                 \
  th_array *th_##id(const th_array *a, const th_array *b) {                                        \
    return th__call_promoted(&id##_op, a, b);                                                      \
  }

#define TH_BINARY(id, lo, hi, gradient, floats, signed_ints, unsigned_ints)                        \
  RECORD(id, TH_NUMBERS, lo, hi, gradient)                                                         \
  PUBLIC(id)
#define TH_BINARY_QUOTIENT(id, lo, hi, gradient, floats) RECORD(id, TH_FLOATS, lo, hi, gradient)
#define TH_BINARY_FLOAT(id, lo, hi, gradient, floats)                                              \
  RECORD(id, TH_FLOATS, lo, hi, gradient)                                                          \
  PUBLIC(id)
#define TH_SLOPES(id, dx, dy, dxx, dxy, dyy)
#define TH_STEPS(id, dx, dy)
#include "ops/elementwise/binary.def"
#undef TH_BINARY
#undef TH_BINARY_FLOAT
#undef TH_BINARY_QUOTIENT
#undef TH_SLOPES
#undef TH_STEPS

th_array *th_divide(const th_array *a, const th_array *b) {
  if (!a || !b) return TH_CALL(&divide_op, NULL, a, b);
  th_dtype common = th__dtype_promote(a->layout.dtype, b->layout.dtype);
  return th__call_as(&divide_op, a, b, th__divide_dtype(common));
}

#define TH_BINARY(id, lo, hi, gradient, floats, signed_ints, unsigned_ints) &id##_op,
#define TH_BINARY_FLOAT(id, lo, hi, gradient, floats)                       &id##_op,
#define TH_BINARY_QUOTIENT(id, lo, hi, gradient, floats)                    &id##_op,
#define TH_STEPS(id, dx, dy)                                                &th__##id##_slope_x, &id##_slope_y_op,
#define TH_SLOPES(id, dx, dy, dxx, dxy, dyy)                                                       \
  &th__##id##_slope_x, &id##_slope_y_op, &id##_bend_xx_op, &id##_bend_xy_op, &id##_bend_yy_op,
const th_op *const th__family_binary[] = {
#include "ops/elementwise/binary.def"
    NULL};
#undef TH_BINARY
#undef TH_BINARY_FLOAT
#undef TH_BINARY_QUOTIENT
#undef TH_SLOPES
#undef TH_STEPS
