/* Powers of floats, written so that compilers make vectors of them: by the logarithm to base 2 in double, with 2^-39 of relative
 * error, and 2 to what comes out. Rounded once at the end, so nearly always as the exact power would be. */
#ifndef THRUM_OPS_ELEMENTWISE_POWER_MATH_H
#define THRUM_OPS_ELEMENTWISE_POWER_MATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define TH__FMA_DOUBLE(a, b, c) __builtin_fma(a, b, c)

static inline uint64_t th__double_bits(double x) {
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

static inline double th__bits_double(uint64_t bits) {
  double x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/* Of x = 2^e m, m between sqrt(1/2) and sqrt 2: e + 2 atanh(s) / ln 2 with s = (m - 1) / (m + 1), by its series. For
 * 0 < x < infinity. */
static inline double th__log2_in_double(double x) {
  uint64_t bits = th__double_bits(x), above = bits - UINT64_C(0x3fe6a09e667f3bcd);
  uint64_t biased = (above + UINT64_C(0x3ff0000000000000)) >> 52;
  double e = th__bits_double(biased | UINT64_C(0x4330000000000000)) - (0x1p52 + 1023);
  double m = th__bits_double(bits - (above & UINT64_C(0xfff0000000000000)));
  double s = (m - 1) / (m + 1), z = s * s;
  double p = TH__FMA_DOUBLE(0.22195308321368668, z, 0.26230818925253880);
  p = TH__FMA_DOUBLE(p, z, 0.32059889797532520);
  p = TH__FMA_DOUBLE(p, z, 0.41219858311113240);
  p = TH__FMA_DOUBLE(p, z, 0.57707801635558540);
  p = TH__FMA_DOUBLE(p, z, 0.96179669392597560);
  p = TH__FMA_DOUBLE(p, z, 2.88539008177792680);
  return TH__FMA_DOUBLE(s, p, e);
}

/* 2^t for |t| up to 1000, and NaN. */
static inline double th__exp2_in_double(double t) {
  double shifted = t + 0x1.8p52, r = t - (shifted - 0x1.8p52);
  double p = TH__FMA_DOUBLE(1.3215486790144307e-6, r, 1.5252733804059841e-5);
  p = TH__FMA_DOUBLE(p, r, 1.5403530393381610e-4);
  p = TH__FMA_DOUBLE(p, r, 1.3333558146428443e-3);
  p = TH__FMA_DOUBLE(p, r, 9.6181291076284772e-3);
  p = TH__FMA_DOUBLE(p, r, 5.5504108664821580e-2);
  p = TH__FMA_DOUBLE(p, r, 2.4022650695910072e-1);
  p = TH__FMA_DOUBLE(p, r, 6.9314718055994531e-1);
  p = TH__FMA_DOUBLE(p, r, 1);
  return p * th__bits_double((th__double_bits(shifted) - th__double_bits(0x1.8p52) + 1023) << 52);
}

/* As the C library's powf() at its edges: 1 for y = 0 and x = 1, whatever the other is; NaN of a negative x unless y is whole
 * or x infinite; negative for odd y. x x for y = 2. */
static inline float th__pow_f32(float x_, float y_) {
  double x = (double)x_, y = (double)y_, a = fabs(x), b = fabs(y);
  double l = th__log2_in_double(a);
  l = a == 0 ? -(double)INFINITY : l;
  l = a < (double)INFINITY ? l : a; /* NaN, too */
  double t = y * l;
  t = t < -200 ? -200 : t;
  t = t > 200 ? 200 : t;
  t = y == 0 || l == 0 ? 0 : t; /* whatever the other is */
  double power = th__exp2_in_double(t);
  double least = b > 0x1p52 ? 0x1p52 : b,
         moved = least + 0x1p52; /* whole ones end in its lowest bit */
  uint64_t whole = moved - 0x1p52 == least ? ~UINT64_C(0) : 0;
  uint64_t odd = whole & th__double_bits(moved) << 63;
  power = th__bits_double(th__double_bits(power) | (th__double_bits(x) & odd));
  power = x < 0 && a != (double)INFINITY && !whole ? (double)NAN : power;
  power = y == 2 ? x * x : power;
  return (float)power;
}

static inline double th__pow_f64(double x, double y) { return y == 2 ? x * x : pow(x, y); }

#endif
