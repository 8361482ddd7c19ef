/* Third derivatives of the rows of unary.def and binary.def, in public operators. Results and what is made on the way belong to the
 * scope that is open. */
#ifndef THRUM_OPS_ELEMENTWISE_THIRDS_H
#define THRUM_OPS_ELEMENTWISE_THIRDS_H

#include "ndarray/array.h"

/* Of a function of one array: the derivative of the row's bend by its v. */
#define TH_UNARY(id, v, lo, hi, floats, slope, bend) th_array *th__third_##id(const th_array *v);
#define TH_UNARY_TURN                                TH_UNARY
#define TH_UNARY_NUMBER(id, v, lo, hi, floats, slope, bend, signed_ints, unsigned_ints)            \
  TH_UNARY(id, v, lo, hi, floats, slope, bend)
#define TH_UNARY_STEP(id, lo, hi, floats, signed_ints, unsigned_ints)
#define TH_UNARY_TEST(id, floats, others)
#include "ops/elementwise/unary.def"
#undef TH_UNARY
#undef TH_UNARY_TURN
#undef TH_UNARY_NUMBER
#undef TH_UNARY_STEP
#undef TH_UNARY_TEST

/* Of one of two: by y so often (0 to 3), else by x. */
typedef th_array *th_third(const th_array *x, const th_array *y, int by_y);
th_array *th__third_pow(const th_array *x, const th_array *y, int by_y);
th_array *th__third_atan2(const th_array *x, const th_array *y, int by_y);
th_array *th__third_hypot(const th_array *x, const th_array *y, int by_y);
th_array *th__third_logaddexp(const th_array *x, const th_array *y, int by_y);

#endif
