/* Functions of the normal distribution for unary.def: tails, gelu and its slope. */
#ifndef THRUM_OPS_ELEMENTWISE_NORMAL_MATH_H
#define THRUM_OPS_ELEMENTWISE_NORMAL_MATH_H

#include "ops/loops/vector_math.h"

#define SQRT_HALF 0.7071067811865476

/* 2^64 times the share of a normal distribution beyond a, 0 <= a <= 15: e^(-a a / 2), of the exact square, times t P(t) with
 * t = 1 / (1 + 5/16 a), P fitted to a relative error of 1e-8. bell: 2^64 times the exponential. */
static inline float th__normal_tail_bell_f32(float a, float *bell) {
  float z = a * a, t = 1.0f / TH__FMA(0.3125f, a, 1.0f);
  th__reduced v = th__by_ln2(-0.5f * z);
  float e = th__exp_less_1(v.r) + 1.0f;
  float p = TH__FMA(-0.0192169699f, t, 0.0924709523f);
  p = TH__FMA(p, t, -0.153513884f);
  p = TH__FMA(p, t, 0.0774988083f);
  p = TH__FMA(p, t, -0.0051805826f);
  p = TH__FMA(p, t, 0.0569402533f);
  p = TH__FMA(p, t, 0.0896130252f);
  p = TH__FMA(p, t, 0.111983947f);
  p = TH__FMA(p, t, 0.12473849f);
  p = TH__FMA(p, t, 0.124665955f);
  float tail = p * t * e * th__power_of_2(v.whole + 64), lost = -0.5f * TH__FMA(a, a, -z);
  *bell = e * th__power_of_2(v.whole + 64);
  *bell = TH__FMA(*bell, lost, *bell);
  return TH__FMA(tail, lost, tail);
}

static inline float th__normal_tail_f32(float a) {
  float bell;
  return th__normal_tail_bell_f32(a, &bell);
}

/* x times the share below it. */
static inline float th__gelu_f32(float x) {
  float a = th__magnitude(x);
  a = a > 15.0f ? 15.0f : a; /* nothing is left there; NaN stays */
  float w = a * th__normal_tail_f32(a) * 0x1p-64f;
  return x < 0 ? -w : x - w;
}

/* The share below x and x times the density there. */
static inline float th__gelu_slope_f32(float x) {
  float a = th__magnitude(x), bell;
  a = a > 15.0f ? 15.0f : a;
  float tail = th__normal_tail_bell_f32(a, &bell);
  float w = TH__FMA(-0.39894228f * a, bell, tail) * 0x1p-64f;
  return x < 0 ? w : 1.0f - w;
}

static inline double th__normal_cdf_f64(double x) { return 0.5 * erfc(-SQRT_HALF * x); }

static inline double th__gelu_f64(double x) {
  return x < -40 ? -0.0 : x * th__normal_cdf_f64(x); /* nothing is left there */
}

static inline double th__gelu_slope_f64(double x) {
  return th__normal_cdf_f64(x) + x * (0.3989422804014327 * exp(x * x * -0.5));
}

#endif
