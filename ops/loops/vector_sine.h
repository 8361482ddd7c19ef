/* Owns sine and cosine of floats, written like ops/loops/vector_math.h; the polynomials are those of Cephes (Moshier), too. */
#ifndef THRUM_OPS_LOOPS_VECTOR_SINE_H
#define THRUM_OPS_LOOPS_VECTOR_SINE_H

#include "ops/loops/vector_math.h"

/* Beyond it the reduction below loses digits: whoever calls looks for larger ones. */
#define TH__TURNS_MOST 32768.0f

/* x = n pi / 2 + r; n also as an integer. */
static inline th__reduced th__by_quarter_turn(float x) {
  float shifted = TH__FMA(x, 0.636619772f, TH__ROUNDER), n = shifted - TH__ROUNDER;
  float r = TH__FMA(n, -1.57079637e+0f, x);
  r = TH__FMA(n, 4.37113883e-8f, r);
  th__reduced out = {TH__FMA(n, 1.71512451e-15f, r), n, th__float_bits(shifted)};
  return out;
}

/* Sine for quadrant 0, cosine for 1, and so on round. */
static inline float th__sine_of(float r, uint32_t quadrant) {
  float z = r * r;
  float s = TH__FMA(-1.9515295891e-4f, z, 8.3321608736e-3f);
  s = TH__FMA(s, z, -1.6666654611e-1f);
  s = TH__FMA(s, z * r, r);
  float c = TH__FMA(2.443315711809948e-5f, z, -1.388731625493765e-3f);
  c = TH__FMA(c, z, 4.166664568298827e-2f);
  c = TH__FMA(c, z * z, TH__FMA(-0.5f, z, 1.0f));
  float y = quadrant & 1 ? c : s;
  return th__bits_float(th__float_bits(y) ^ (quadrant & 2) << 30);
}

/* For |x| up to TH__TURNS_MOST. */
static inline float th__sin_f32(float x) {
  th__reduced v = th__by_quarter_turn(x);
  float y = th__sine_of(v.r, v.whole);
  return x == 0 ? x : y;
}

static inline float th__cos_f32(float x) {
  th__reduced v = th__by_quarter_turn(x);
  return th__sine_of(v.r, v.whole + 1);
}

#endif
