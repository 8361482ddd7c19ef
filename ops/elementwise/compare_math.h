/* Comparison of an integer with a double, exact for every value. */
#ifndef THRUM_OPS_ELEMENTWISE_COMPARE_MATH_H
#define THRUM_OPS_ELEMENTWISE_COMPARE_MATH_H

#include <math.h>
#include <stdint.h>

/* -1, 0, 1 as x is less than, equal to, greater than y; NaN when y is. */
static inline double th__order_signed(int64_t x, double y) {
  if (isnan(y)) return (double)NAN;
  if (y >= 0x1p63) return -1;
  if (y < -0x1p63) return 1;
  int64_t whole = (int64_t)y;
  if (x != whole) return x < whole ? -1 : 1;
  double rest = y - (double)whole;
  return rest > 0 ? -1 : rest < 0;
}

static inline double th__order_unsigned(uint64_t x, double y) {
  if (isnan(y)) return (double)NAN;
  if (y >= 0x1p64) return -1;
  if (y < 0) return 1;
  uint64_t whole = (uint64_t)y;
  if (x != whole) return x < whole ? -1 : 1;
  return y > (double)whole ? -1 : 0;
}

#endif
