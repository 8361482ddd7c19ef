/* Formulas too long for a row of binary.def. */
#ifndef THRUM_OPS_ELEMENTWISE_BINARY_MATH_H
#define THRUM_OPS_ELEMENTWISE_BINARY_MATH_H

#include <math.h>
#include <stdint.h>

/* a - b floor(a / b) without the rounding of a / b; the sign of b, zeros included. */
static inline double th__remainder_f64(double a, double b) {
  double r = fmod(a, b);
  if (r == 0) return copysign(0.0, b);
  return (r < 0) != (b < 0) ? r + b : r;
}

static inline float th__remainder_f32(float a, float b) {
  float r = fmodf(a, b);
  if (r == 0) return copysignf(0.0f, b);
  return (r < 0) != (b < 0) ? r + b : r;
}

#define th__remainder(a, b)                                                                        \
  _Generic((a), float : th__remainder_f32, double : th__remainder_f64)(a, b)

/* Of floats. a / b may round up to the next whole number, so it is made of what is left over: of a - remainder, which is a
 * multiple of b but for rounding. An infinite a gives NaN, b = 0 what a / b gives. */
#define TH__FLOOR_DIVIDE(t, T, fmod, floor, copysign)                                              \
  static inline T th__floor_divide_##t(T a, T b) {                                                 \
    if (b == 0) return a / b;                                                                      \
    T r = fmod(a, b), q = (a - r) / b;                                                             \
    if (r != 0 && (r < 0) != (b < 0)) q -= 1;                                                      \
    if (q == 0) return copysign((T)0, a / b);                                                      \
    T whole = floor(q);                                                                            \
    return q - whole > (T)0.5 ? whole + 1 : whole;                                                 \
  }
TH__FLOOR_DIVIDE(f32, float, fmodf, floorf, copysignf)
TH__FLOOR_DIVIDE(f64, double, fmod, floor, copysign)

#define th__floor_divide(a, b)                                                                     \
  _Generic((a), float : th__floor_divide_f32, double : th__floor_divide_f64)(a, b)

/* x / 0 is 0; the one quotient that does not fit (lowest / -1) wraps. */
static inline int64_t th__floor_divide_int(int64_t a, int64_t b) {
  if (b == 0) return 0;
  if (b == -1) return (int64_t)(0 - (uint64_t)a);
  int64_t q = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? q - 1 : q;
}

static inline int64_t th__remainder_int(int64_t a, int64_t b) {
  if (b == 0 || b == -1) return 0;
  int64_t r = a % b;
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

/* Wraps. */
static inline uint64_t th__power_uint(uint64_t base, uint64_t exponent) {
  uint64_t result = 1;
  for (; exponent; exponent >>= 1, base *= base)
    if (exponent & 1) result *= base;
  return result;
}

/* Wraps; a negative exponent gives the truncated quotient: 1 or -1 for those bases, else 0. */
static inline int64_t th__power_int(int64_t base, int64_t exponent) {
  if (exponent >= 0) return (int64_t)th__power_uint((uint64_t)base, (uint64_t)exponent);
  if (base == 1) return 1;
  if (base == -1) return exponent % 2 ? -1 : 1;
  return 0;
}

#endif
