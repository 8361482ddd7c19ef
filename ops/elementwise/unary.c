/* Owns functions of one array: loops, derivatives and records made from the rows of unary.def. Each row with a derivative has
 * two more operators: id_slope (g, v) = g dy/dx, and id_bend (h, g, v) = h g d2y/dx dv, whose own derivative by v is composed (thirds.c). */
#include "ops/loops/lines.h"

#include <tgmath.h>

#include "engine/base/error.h"
#include "ops/compose.h"
#include "ops/elementwise/elementwise.h"
#include "ops/elementwise/thirds.h"
#include "ops/elementwise/turns.h"
#include "ops/elementwise/unary_math.h"

/* --- lines --- */

#define MAP(t, NAME, id, expression)  TH__LINE_MAP(id##_##t, t, t, expression)
#define TEST(t, NAME, id, expression) TH__LINE_MAP(id##_##t, b8, t, expression)
#define FLOATS                        TH__FOR_SINGLES
#define INTS(X, ...)                  TH__FOR_SIGNED(X, __VA_ARGS__) TH__FOR_UNSIGNED(X, __VA_ARGS__)

#define FLOAT_TABLE(id)                                                                            \
  static const th__line id##_lines[TH_DTYPE_COUNT] = {FLOATS(TH__LINE_ENTRY, id)};
#define NUMBER_TABLE(id)                                                                           \
  static const th__line id##_lines[TH_DTYPE_COUNT] = {FLOATS(TH__LINE_ENTRY, id)                   \
                                                          INTS(TH__LINE_ENTRY, id)};

/* --- derivatives as operators --- */

#define SAVE_x TH_SAVE_IN(0)
#define SAVE_y TH_SAVE_OUT(0)
#define SLOPE_LINE(t, NAME, id, v, slope)                                                          \
  TH__LINE_ZIP_IN(TH__HALF_WIDE, id##_##t, t, t, g, v, g *(slope))
#define BEND_LINE(t, NAME, id, v, bend) TH__LINE_ZIP3(id##_##t, t, h, g, v, h *g *(bend))

/* Of g f'(v): by g it is the slope again, by v the bend. */
static th_status vjp_slope(const th_vjp *v, const th_op *slope, const th_op *bend) {
  const th_array *h = v->gradients[0];
  if (v->needed[0])
    v->result[0] = th__sum_to_release(TH_CALL(slope, NULL, h, v->inputs[1]), &v->in[0]);
  if (v->needed[1])
    v->result[1] =
        th__sum_to_release(TH_CALL(bend, NULL, h, v->inputs[0], v->inputs[1]), &v->in[1]);
  return th__vjp_check(v);
}

/* Of h g b(v): by h and g the bend again, by v h g b'(v). */
static th_status vjp_bend(const th_vjp *v, th_array *(*third)(const th_array *)) {
  const th_array *k = v->gradients[0], *h = v->inputs[0], *g = v->inputs[1], *at = v->inputs[2];
  if (v->needed[0]) v->result[0] = th__sum_to_release(TH_CALL(v->op, NULL, k, g, at), &v->in[0]);
  if (v->needed[1]) v->result[1] = th__sum_to_release(TH_CALL(v->op, NULL, h, k, at), &v->in[1]);
  if (v->needed[2]) {
    th__composing c = th__compose();
    th_array *full = th_multiply(th_multiply(k, h), th_multiply(g, third(at)));
    v->result[2] = th__sum_to_release(th__composed(c, full), &v->in[2]);
  }
  return th__vjp_check(v);
}

/* The slope wants x or y, whichever the row saves. */
static th_status vjp_row(const th_vjp *v, const th_op *slope) {
  const th_array *saved = v->inputs[0] ? v->inputs[0] : v->outputs[0];
  v->result[0] = TH_CALL(slope, NULL, v->gradients[0], saved);
  return th__vjp_check(v);
}

#define SLOPE_OPS(id, v, lo_, hi_, slope, bend)                                                    \
  FLOATS(SLOPE_LINE, id##_slope, v, slope)                                                         \
  FLOATS(BEND_LINE, id##_bend, v, bend)                                                            \
  FLOAT_TABLE(id##_slope)                                                                          \
  FLOAT_TABLE(id##_bend)                                                                           \
  static th_status vjp_##id##_bend(const th_vjp *args) { return vjp_bend(args, th__third_##id); }  \
  static const th_op id##_bend_op = {.name = #id "_bend",                                          \
                                     .in = {3},                                                    \
                                     .out = {1},                                                   \
                                     .saves = TH_SAVE_IN(0) | TH_SAVE_IN(1) | TH_SAVE_IN(2),       \
                                     .flags = TH_OP_ELEMENTWISE | TH_OP_NONBLOCKING,               \
                                     .dtypes = TH_FLOATS,                                          \
                                     .infer = th__infer_broadcast,                                 \
                                     .vjp = vjp_##id##_bend,                                       \
                                     .lines = id##_bend_lines,                                     \
                                     .cpu = th__lines_kernel,                                      \
                                     .test = {lo_, hi_, 1e-5}};                                    \
  static const th_op id##_slope_op;                                                                \
  static th_status vjp_##id##_slope(const th_vjp *args) {                                          \
    return vjp_slope(args, &id##_slope_op, &id##_bend_op);                                         \
  }                                                                                                \
  static const th_op id##_slope_op = {.name = #id "_slope",                                        \
                                      .in = {2},                                                   \
                                      .out = {1},                                                  \
                                      .saves = TH_SAVE_IN(0) | TH_SAVE_IN(1),                      \
                                      .flags = TH_OP_ELEMENTWISE | TH_OP_NONBLOCKING,              \
                                      .dtypes = TH_FLOATS,                                         \
                                      .infer = th__infer_broadcast,                                \
                                      .vjp = vjp_##id##_slope,                                     \
                                      .lines = id##_slope_lines,                                   \
                                      .cpu = th__lines_kernel,                                     \
                                      .test = {lo_, hi_, 1e-5}};                                   \
  static th_status vjp_##id(const th_vjp *args) { return vjp_row(args, &id##_slope_op); }

/* --- records and public functions --- */

static th_status infer_bool(th_infer *io, const void *params) {
  TH_TRY(th__infer_same(io, params));
  io->out[0].dtype = TH_BOOL;
  return TH_OK;
}

#define RECORD(id, lo_, hi_, types, inference, gradient, saved, flag)                              \
  static const th_op id##_op = {.name = #id,                                                       \
                                .in = {1},                                                         \
                                .out = {1},                                                        \
                                .saves = saved,                                                    \
                                .flags = TH_OP_ELEMENTWISE | TH_OP_NONBLOCKING | (flag),           \
                                .dtypes = types,                                                   \
                                .infer = inference,                                                \
                                .vjp = gradient,                                                   \
                                .lines = id##_lines,                                               \
                                .cpu = th__lines_kernel,                                           \
                                .test = {lo_, hi_, 1e-5}};
#define PUBLIC(id)                                                                                 \
  th_array *th_##id(const th_array *a) { return TH_CALL(&id##_op, NULL, a); }

#define TH_UNARY(id, v, lo, hi, floats, slope, bend)                                               \
  SLOPE_OPS(id, v, lo, hi, slope, bend)                                                            \
  FLOATS(MAP, id, floats)                                                                          \
  FLOAT_TABLE(id)                                                                                  \
  RECORD(id, lo, hi, TH_FLOATS, th__infer_same, vjp_##id, SAVE_##v, 0)                             \
  PUBLIC(id)
#define TH_UNARY_TURN(id, v, lo, hi, floats, slope, bend)                                          \
  SLOPE_OPS(id, v, lo, hi, slope, bend)                                                            \
  MAP(f64, F64, id, floats)                                                                        \
  static const th__line id##_lines[TH_DTYPE_COUNT] = {                                             \
      [TH_F32] = th__line_##id, [TH_F64] = id##_f64};                                              \
  RECORD(id, lo, hi, TH_FLOATS, th__infer_same, vjp_##id, SAVE_##v, 0)                             \
  PUBLIC(id)
#define NUMBER_LINES(id, floats, signed_ints, unsigned_ints)                                       \
  FLOATS(MAP, id, floats)                                                                          \
  TH__FOR_SIGNED(MAP, id, signed_ints)                                                             \
  TH__FOR_UNSIGNED(MAP, id, unsigned_ints)                                                         \
  NUMBER_TABLE(id)
#define TH_UNARY_NUMBER(id, v, lo, hi, floats, slope, bend, signed_ints, unsigned_ints)            \
  SLOPE_OPS(id, v, lo, hi, slope, bend)                                                            \
  NUMBER_LINES(id, floats, signed_ints, unsigned_ints)                                             \
  RECORD(id, lo, hi, TH_NUMBERS, th__infer_same, vjp_##id, SAVE_##v, 0)
#define TH_UNARY_STEP(id, lo, hi, floats, signed_ints, unsigned_ints)                              \
  NUMBER_LINES(id, floats, signed_ints, unsigned_ints)                                             \
  RECORD(id, lo, hi, TH_NUMBERS, th__infer_same, NULL, 0, TH_OP_FLAT)                              \
  PUBLIC(id)
#define TH_UNARY_TEST(id, floats, others)                                                          \
  FLOATS(TEST, id, floats)                                                                         \
  INTS(TEST, id, others)                                                                           \
  TEST(b8, BOOL, id, others)                                                                       \
  static const th__line id##_lines[TH_DTYPE_COUNT] = {                                             \
      FLOATS(TH__LINE_ENTRY, id) INTS(TH__LINE_ENTRY, id) TH__LINE_ENTRY(b8, BOOL, id)};           \
  RECORD(id, -2, 2, TH_ANY, infer_bool, NULL, 0, TH_OP_FLAT | TH_OP_TESTS)                         \
  PUBLIC(id)
#include "ops/elementwise/unary.def"
#undef TH_UNARY
#undef TH_UNARY_TURN
#undef TH_UNARY_NUMBER
#undef TH_UNARY_STEP
#undef TH_UNARY_TEST

PUBLIC(negative)
PUBLIC(positive)
PUBLIC(relu)
PUBLIC(square)

th_array *th_abs(const th_array *a) {
  if (a && a->layout.dtype == TH_BOOL) return th_copy(a);
  return TH_CALL(&abs_op, NULL, a);
}

/* --- bitwise_invert: bool flips, integers turn every bit --- */

TEST(b8, BOOL, bitwise_invert, !x)
INTS(MAP, bitwise_invert, (T) ~(W)x)
static const th__line bitwise_invert_lines[TH_DTYPE_COUNT] = {
    INTS(TH__LINE_ENTRY, bitwise_invert) TH__LINE_ENTRY(b8, BOOL, bitwise_invert)};
RECORD(bitwise_invert, 0, 1, TH_BOOLS | TH_INTS, th__infer_same, NULL, 0, TH_OP_FLAT)
PUBLIC(bitwise_invert)

#define SLOPES(id)                                                    &id##_op, &id##_slope_op, &id##_bend_op,
#define TH_UNARY(id, v, lo, hi, floats, slope, bend)                  SLOPES(id)
#define TH_UNARY_TURN(id, v, lo, hi, floats, slope, bend)             SLOPES(id)
#define TH_UNARY_NUMBER(id, v, lo, hi, floats, slope, bend, si, ui)   SLOPES(id)
#define TH_UNARY_STEP(id, lo, hi, floats, signed_ints, unsigned_ints) &id##_op,
#define TH_UNARY_TEST(id, floats, others)                             &id##_op,
const th_op *const th__family_unary[] = {
#include "ops/elementwise/unary.def"
    &bitwise_invert_op, NULL};
