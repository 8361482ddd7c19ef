/* Owns comparisons, logic, bitwise operators and shifts of two arrays, their forms with a scalar, and those of the bitwise ones
 * in place. */
#include "ops/elementwise/forms.h"

#include "engine/base/error.h"
#include "ops/elementwise/compare_math.h"

/* --- lines --- */

#define FLOATS       TH__FOR_SINGLES
#define INTS(X, ...) TH__FOR_SIGNED(X, __VA_ARGS__) TH__FOR_UNSIGNED(X, __VA_ARGS__)
#define BITS(X, ...) INTS(X, __VA_ARGS__) X(b8, BOOL, __VA_ARGS__)
#define ALL(X, ...)  FLOATS(X, __VA_ARGS__) BITS(X, __VA_ARGS__)

#define TEST(t, NAME, id, expression)                                                              \
  TH__LINE_ZIP_IN(TH__HALF_WIDE, id##_##t, b8, t, x, y, expression)
#define SAME(t, NAME, id, expression) TH__LINE_ZIP(id##_##t, t, t, x, y, expression)
#define TABLE(id, set)                                                                             \
  static const th__line th__binary_##id[TH_DTYPE_COUNT] = {set(TH__LINE_ENTRY, id)};

/* --- lines of comparison with a scalar: exact for every type --- */

/* The row's x and y become the order and 0, or the element and the scalar as doubles. */
#define SCALAR_LINE(bodies, fn, t, left, right, expression)                                        \
  TH__LINE_BEGIN(bodies, fn, t)                                                                    \
  uint8_t *const out = (void *)p[0];                                                               \
  TH__LINE_OPERAND(t, first, 1);                                                                   \
  const double scalar = *(const double *)user;                                                     \
  TH__INDEPENDENT                                                                                  \
  for (int64_t i = 0; i < n; i++) {                                                                \
    const T e = first[i];                                                                          \
    const double x = left, y = right;                                                              \
    out[i] = expression;                                                                           \
  }                                                                                                \
  TH__LINE_END
#define SCALAR_SIGNED(t, NAME, id, expression)                                                     \
  SCALAR_LINE(, id##_##t, t, th__order_signed(e, scalar), 0, expression)
#define SCALAR_UNSIGNED(t, NAME, id, expression)                                                   \
  SCALAR_LINE(, id##_##t, t, th__order_unsigned(e, scalar), 0, expression)
#define SCALAR_FLOAT(t, NAME, id, expression)                                                      \
  SCALAR_LINE(TH__HALF_WIDE, id##_##t, t, (double)e, scalar, expression)

/* --- records and public functions --- */

#define TESTING TH_ANY, -3, 3, NULL, 0, TH_OP_FLAT | TH_OP_TESTS
#define PUBLIC(id)                                                                                 \
  th_array *th_##id(const th_array *a, const th_array *b) {                                        \
    return th__call_promoted(&id##_op, a, b);                                                      \
  }
#define FORM(...) TH__FORM(__VA_ARGS__)

#define TH_COMPARE(id, expression)                                                                 \
  ALL(TEST, id, expression)                                                                        \
  TABLE(id, ALL)                                                                                   \
  FORM(id, , TESTING, .in = {2}, .out = {1}, .infer = th__infer_bool)                              \
  PUBLIC(id)                                                                                       \
  FLOATS(SCALAR_FLOAT, id##_scalar, expression)                                                    \
  TH__FOR_SIGNED(SCALAR_SIGNED, id##_scalar, expression)                                           \
  TH__FOR_UNSIGNED(SCALAR_UNSIGNED, id##_scalar, expression)                                       \
  SCALAR_UNSIGNED(b8, BOOL, id##_scalar, expression)                                               \
  TABLE(id##_scalar, ALL)                                                                          \
  FORM(id##_scalar, , TESTING, .in = {1}, .out = {1}, .params_size = sizeof(double),               \
       .infer = th__infer_bool)                                                                    \
  TH__SCALAR_PUBLIC(id)
#define TH_LOGIC(id, expression)                                                                   \
  ALL(TEST, id, expression)                                                                        \
  TABLE(id, ALL)                                                                                   \
  FORM(id, , TESTING, .in = {2}, .out = {1}, .infer = th__infer_bool)                              \
  PUBLIC(id)                                                                                       \
  FORM(id, _scalar, TESTING | TH_OP_SCALARS, .in = {1}, .out = {1}, .params_size = sizeof(double), \
       .infer = th__infer_bool)                                                                    \
  TH__SCALAR_PUBLIC(id)
#define ALL_FORMS(id, types)                                                                       \
  FORM(id, , types, 1, 3, NULL, 0, TH_OP_FLAT, .in = {2}, .out = {1},                              \
       .infer = th__infer_broadcast)                                                               \
  PUBLIC(id)                                                                                       \
  TH__SCALAR_FORM(id, types, 1, 3, NULL, 0, TH_OP_FLAT)                                            \
  TH__SCALAR_PUBLIC(id)                                                                            \
  TH__INPLACE_FORM(id, types, 1, 3, NULL, 0, TH_OP_FLAT)                                           \
  TH__SCALAR_INPLACE_FORM(id, types, 1, 3, NULL, 0, TH_OP_FLAT)
#define TH_BITWISE(id, expression)                                                                 \
  BITS(SAME, id, expression)                                                                       \
  TABLE(id, BITS)                                                                                  \
  ALL_FORMS(id, TH_BOOLS | TH_INTS)
#define TH_SHIFT(id, signed_ints, unsigned_ints)                                                   \
  TH__FOR_SIGNED(SAME, id, signed_ints)                                                            \
  TH__FOR_UNSIGNED(SAME, id, unsigned_ints)                                                        \
  TABLE(id, INTS)                                                                                  \
  ALL_FORMS(id, TH_INTS)
#include "ops/elementwise/compare.def"
#undef TH_COMPARE
#undef TH_LOGIC
#undef TH_BITWISE
#undef TH_SHIFT

#define TH_COMPARE(id, expression) &id##_op, &id##_scalar_op,
#define TH_LOGIC(id, expression)   &id##_op, &id##_scalar_op,
#define TH_BITWISE(id, expression)                                                                 \
  &id##_op, &id##_scalar_op, &id##_inplace_op, &id##_scalar_inplace_op,
#define TH_SHIFT(id, signed_ints, unsigned_ints) TH_BITWISE(id, )
TH_FAMILY_TABLE(compare);
const th_op *const th__family_compare[] = {
#include "ops/elementwise/compare.def"
    NULL};
