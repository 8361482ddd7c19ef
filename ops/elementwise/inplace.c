/* Owns arithmetic that writes its first argument: the lines and gradients of binary.c with that argument as the result. */
#include "ops/elementwise/forms.h"

#define GRADIENT_FIELDS(vjp, saved, flat) vjp, saved, flat
#define INPLACE(...)                      TH__INPLACE_FORM(__VA_ARGS__)

#define TH_BINARY(id, lo, hi, gradient, floats, signed_ints, unsigned_ints)                        \
  INPLACE(id, TH_NUMBERS, lo, hi, GRADIENT_FIELDS gradient)
#define TH_BINARY_FLOAT(id, lo, hi, gradient, floats)                                              \
  INPLACE(id, TH_FLOATS, lo, hi, GRADIENT_FIELDS gradient)
#define TH_BINARY_QUOTIENT(id, lo, hi, gradient, floats)                                           \
  TH_BINARY_FLOAT(id, lo, hi, gradient, floats)
#define TH_SLOPES(id, dx, dy, dxx, dxy, dyy)
#define TH_STEPS(id, dx, dy)
#include "ops/elementwise/binary.def"
#undef TH_BINARY
#undef TH_BINARY_FLOAT
#undef TH_BINARY_QUOTIENT

#define TH_BINARY(id, lo, hi, gradient, floats, signed_ints, unsigned_ints) &id##_inplace_op,
#define TH_BINARY_FLOAT(id, lo, hi, gradient, floats)                       &id##_inplace_op,
#define TH_BINARY_QUOTIENT(id, lo, hi, gradient, floats)                    &id##_inplace_op,
TH_FAMILY_TABLE(inplace);
const th_op *const th__family_inplace[] = {
#include "ops/elementwise/binary.def"
    NULL};
