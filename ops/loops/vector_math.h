/* Owns elementary functions of floats, written so that compilers make vectors of them: no branches, no calls, no tables. Every
 * multiplication that is to be fused is written as fmaf(), so all processors and devices give the same bits. docs/accuracy.md
 * has the errors of each. The polynomials are those of Cephes (Moshier) unless said. */
#ifndef THRUM_OPS_LOOPS_VECTOR_MATH_H
#define THRUM_OPS_LOOPS_VECTOR_MATH_H

#include <math.h>

#include "ndarray/half.h"

#ifdef __CUDA_ARCH__
#define TH__FMA(a, b, c) fmaf(a, b, c)
#else
#define TH__FMA(a, b, c) __builtin_fmaf(a, b, c)
#endif
#define TH__INF th__bits_float(0x7f800000)
#define TH__NAN th__bits_float(0x7fc00000)

/* A float with the magnitude of x and the sign of y. */
static inline float th__with_sign(float x, float y) {
  return th__bits_float((th__float_bits(x) & 0x7fffffff) | (th__float_bits(y) & 0x80000000));
}

static inline float th__magnitude(float x) {
  return th__bits_float(th__float_bits(x) & 0x7fffffff);
}

/* Adding it rounds |x| < 2^22 to an integer, which then stands in the lowest bits. */
#define TH__ROUNDER 12582912.0f

/* x = n ln 2 + r, |r| <= ln(2) / 2; n also as an integer. */
typedef struct th__reduced {
  float r, n;
  uint32_t whole;
} th__reduced;

static inline th__reduced th__by_ln2(float x) {
  float shifted = TH__FMA(x, 1.44269504f, TH__ROUNDER), n = shifted - TH__ROUNDER;
  float r = TH__FMA(n, -0.693359375f, x);
  th__reduced out = {TH__FMA(n, 2.12194440e-4f, r), n,
                     th__float_bits(shifted) - th__float_bits(TH__ROUNDER)};
  return out;
}

/* e^r - 1. */
static inline float th__exp_less_1(float r) {
  float p = TH__FMA(1.9875691500e-4f, r, 1.3981999507e-3f);
  p = TH__FMA(p, r, 8.3334519073e-3f);
  p = TH__FMA(p, r, 4.1665795894e-2f);
  p = TH__FMA(p, r, 1.6666665459e-1f);
  p = TH__FMA(p, r, 5.0000001201e-1f);
  return TH__FMA(p, r * r, r);
}

/* 2^n, n from -126 to 127. */
static inline float th__power_of_2(uint32_t n) { return th__bits_float((n + 127) << 23); }

/* e^x. The scale is applied in two halves, because neither 2^128 nor 2^-150 is a float. */
static inline float th__exp_f32(float x) {
  x = x < -104.0f ? -104.0f : x;
  x = x > 89.0f ? 89.0f : x;
  th__reduced v = th__by_ln2(x);
  uint32_t both = v.whole + 2 * 127, half = both >> 1;
  float y = th__exp_less_1(v.r) + 1.0f;
  return y * th__bits_float(half << 23) * th__bits_float((both - half) << 23);
}

/* The same for x <= 0. */
static inline float th__exp_down_f32(float x) {
  x = x < -104.0f ? -104.0f : x;
  th__reduced v = th__by_ln2(x);
  return (th__exp_less_1(v.r) + 1.0f) * th__power_of_2(v.whole + 64) * 0x1p-64f;
}

/* e^x - 1. With half of the scale, because 2^128 is no float. */
static inline float th__expm1_f32(float x) {
  float a = x < -40.0f ? -40.0f : x;
  a = a > 89.0f ? 89.0f : a;
  th__reduced v = th__by_ln2(a);
  float half = th__power_of_2(v.whole - 1);
  float p = th__exp_less_1(v.r);
  float y = TH__FMA(half, p, half - 0.5f) * 2.0f;
  return x == 0 ? x : y;
}

/* x = 2^e (1 + f), 1 + f between sqrt(1/2) and sqrt 2; log(1 + f) = f + rest. For 0 < x < infinity. */
typedef struct th__log_parts {
  float e, f, rest;
} th__log_parts;

static inline th__log_parts th__log_split(float x) {
  bool small = x < 1.17549435e-38f;
  uint32_t bits = th__float_bits(small ? x * 8388608.0f : x);
  uint32_t above = bits - 0x3f3504f3;
  th__log_parts out;
  out.e = (float)((int32_t)above >> 23) - (small ? 23.0f : 0.0f);
  float f = out.f = th__bits_float(bits - (above & 0xff800000)) - 1.0f;
  float p = TH__FMA(7.0376836292e-2f, f, -1.1514610310e-1f);
  p = TH__FMA(p, f, 1.1676998740e-1f);
  p = TH__FMA(p, f, -1.2420140846e-1f);
  p = TH__FMA(p, f, 1.4249322787e-1f);
  p = TH__FMA(p, f, -1.6668057665e-1f);
  p = TH__FMA(p, f, 2.0000714765e-1f);
  p = TH__FMA(p, f, -2.4999993993e-1f);
  p = TH__FMA(p, f, 3.3333331174e-1f);
  float z = f * f;
  out.rest = TH__FMA(f * z, p, -0.5f * z);
  return out;
}

/* y, or what a logarithm is at the edges: -infinity at 0, infinity there, NaN below 0 and of NaN. */
static inline float th__log_edges(float x, float y) {
  y = x == 0 ? -TH__INF : y;
  y = x == TH__INF ? x : y;
  return x >= 0 ? y : TH__NAN;
}

static inline float th__log_f32(float x) {
  th__log_parts v = th__log_split(x);
  float y = v.f + TH__FMA(v.e, -2.12194440e-4f, v.rest);
  return th__log_edges(x, TH__FMA(v.e, 0.693359375f, y));
}

/* The logarithm to another base: c = 1 / log(base) in two parts, and log_base(2) in two, the first with few digits. */
static inline float th__log_to_base(float x, float c, float c_rest, float two, float two_rest) {
  th__log_parts v = th__log_split(x);
  float y = TH__FMA(v.f, c_rest, TH__FMA(v.rest, c, v.e * two_rest));
  return th__log_edges(x, TH__FMA(v.e, two, TH__FMA(v.f, c, y)));
}

static inline float th__log2_f32(float x) {
  return th__log_to_base(x, 1.44269502f, 1.92596299e-8f, 1.0f, 0.0f);
}

static inline float th__log10_f32(float x) {
  return th__log_to_base(x, 0.434294492f, -1.01032926e-8f, 0.30102998f, 1.63222e-8f);
}

/* log(1 + x): of u = 1 + x, plus what u lost of x. */
static inline float th__log1p_f32(float x) {
  float u = 1.0f + x, lost = x - (u - 1.0f);
  float y = th__log_f32(u) + lost / u;
  y = x == TH__INF || u == 0 ? th__log_f32(u) : y;
  return x == 0 ? x : y;
}

static inline float th__tanh_f32(float x) {
  float a = th__magnitude(x), z = a * a;
  float p = TH__FMA(-5.70498872745e-3f, z, 2.06390887954e-2f);
  p = TH__FMA(p, z, -5.37397155531e-2f);
  p = TH__FMA(p, z, 1.33314422036e-1f);
  p = TH__FMA(p, z, -3.33332819422e-1f);
  float near = TH__FMA(p, z * a, a);
  float e = th__exp_down_f32(-2.0f * a), far = 1.0f - (e + e) / (1.0f + e);
  return th__with_sign(a < 0.625f ? near : far, x);
}

/* e^t + 1 = sum / scale, scale <= 1 so that the sum is a float. The sum is rounded once, nearly: what 1 and the power of 2 lose as
 * they are added up comes to e^r - 1, which is smaller. */
typedef struct th__exp_and_1 {
  float sum, scale;
} th__exp_and_1;

static inline th__exp_and_1 th__exp_and_1_f32(float t) {
  th__reduced v = th__by_ln2(t);
  int32_t n = (int32_t)v.whole, most = n < 64 ? n : 64;
  float power = th__power_of_2((uint32_t)most), whole = power + 1.0f;
  float lost = 1.0f - (whole - power);
  th__exp_and_1 out = {TH__FMA(power, th__exp_less_1(v.r), lost) + whole,
                       th__power_of_2((uint32_t)(most - n))};
  return out;
}

/* 1 / (1 + e^-x) */
static inline float th__sigmoid_f32(float x) {
  float t = x > 40.0f ? -40.0f : -x;
  th__exp_and_1 e = th__exp_and_1_f32(t > 104.0f ? 104.0f : t);
  return e.scale / e.sum;
}

/* x / (1 + e^-x); 0 far below, and NaN of -infinity. */
static inline float th__silu_f32(float x) {
  float t = x > 40.0f ? -40.0f : -x;
  th__exp_and_1 e = th__exp_and_1_f32(t > 128.0f ? 128.0f : t);
  return x * (x < -128.0f ? 0.0f : e.scale) / e.sum;
}

/* Two polynomials of N. Juffa. */
static inline float th__erf_f32(float x) {
  float a = th__magnitude(x), z = x * x;
  float r = TH__FMA(-1.72853470e-5f, a, 3.83197126e-4f);
  r = TH__FMA(r, z, TH__FMA(-3.88396438e-3f, a, 2.42546219e-2f));
  r = TH__FMA(r, a, -1.06777877e-1f);
  r = TH__FMA(r, a, -6.34846687e-1f);
  r = TH__FMA(r, a, -1.28717512e-1f);
  float far = 1.0f - th__exp_down_f32(TH__FMA(r, a, -a));
  float q = TH__FMA(-5.96761703e-4f, z, 4.99119423e-3f);
  q = TH__FMA(q, z, -2.67681349e-2f);
  q = TH__FMA(q, z, 1.12819925e-1f);
  q = TH__FMA(q, z, -3.76125336e-1f);
  q = TH__FMA(q, z, 1.28379166e-1f);
  return a > 0.927734375f ? th__with_sign(far, x) : TH__FMA(q, x, x);
}

#endif
