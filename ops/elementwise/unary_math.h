/* Constants and formulas of the rows of unary.def and binary.def, in the type T that a row computes with. Functions in capitals
 * are those of ops/loops/vector_math.h for floats and of the C library for doubles. */
#ifndef THRUM_OPS_ELEMENTWISE_UNARY_MATH_H
#define THRUM_OPS_ELEMENTWISE_UNARY_MATH_H

#include "ops/elementwise/normal_math.h"
#include "ops/loops/vector_sine.h"
#ifndef __cplusplus
#include "ops/elementwise/power_math.h"
#endif

#define TWO_BY_SQRT_PI ((T)1.1283791670955126)
#define BY_LN_2        ((T)1.4426950408889634)
#define BY_LN_10       ((T)0.4342944819032518)
#define LN_2           ((T)0.6931471805599453)

static inline double th__sigmoid_f64(double x) {
  double e = exp(-fabs(x));
  return (x > 0 ? 1 : e) / (1 + e);
}

static inline double th__silu_f64(double x) { return x * th__sigmoid_f64(x); }

/* Sine and cosine where the reduction of vector_math.h reaches, and the library's beyond. */
static inline bool th__many_turns(float x) { return !(th__magnitude(x) <= TH__TURNS_MOST); }
static inline float th__sin_any_f32(float x) {
  return th__many_turns(x) ? sinf(x) : th__sin_f32(x);
}
static inline float th__cos_any_f32(float x) {
  return th__many_turns(x) ? cosf(x) : th__cos_f32(x);
}

#ifdef __cplusplus
#define TH__FUNCTION(id, single, twofold)                                                          \
  static inline float id(float x) { return single(x); }                                            \
  static inline double id(double x) { return twofold(x); }
TH__FUNCTION(COS, th__cos_any_f32, cos)
TH__FUNCTION(ERF, th__erf_f32, erf)
TH__FUNCTION(EXP, th__exp_f32, exp)
TH__FUNCTION(EXP_DOWN, th__exp_down_f32, exp)
TH__FUNCTION(EXPM1, th__expm1_f32, expm1)
TH__FUNCTION(GELU, th__gelu_f32, th__gelu_f64)
TH__FUNCTION(GELU_SLOPE, th__gelu_slope_f32, th__gelu_slope_f64)
TH__FUNCTION(LOG, th__log_f32, log)
TH__FUNCTION(LOG10, th__log10_f32, log10)
TH__FUNCTION(LOG1P, th__log1p_f32, log1p)
TH__FUNCTION(LOG2, th__log2_f32, log2)
TH__FUNCTION(SIGMOID, th__sigmoid_f32, th__sigmoid_f64)
TH__FUNCTION(SILU, th__silu_f32, th__silu_f64)
TH__FUNCTION(SIN, th__sin_any_f32, sin)
TH__FUNCTION(TANH, th__tanh_f32, tanh)
#undef TH__FUNCTION
#define POW(x, y) pow(x, y) /* doubles are slow there */
#else
#define TH__FUNCTION(x, single, twofold) _Generic((x), float : single, double : twofold)(x)
#define COS(x)                           TH__FUNCTION(x, th__cos_any_f32, cos)
#define ERF(x)                           TH__FUNCTION(x, th__erf_f32, erf)
#define EXP(x)                           TH__FUNCTION(x, th__exp_f32, exp)
#define EXP_DOWN(x)                      TH__FUNCTION(x, th__exp_down_f32, exp) /* x <= 0 */
#define EXPM1(x)                         TH__FUNCTION(x, th__expm1_f32, expm1)
#define GELU(x)                          TH__FUNCTION(x, th__gelu_f32, th__gelu_f64)
#define GELU_SLOPE(x)                    TH__FUNCTION(x, th__gelu_slope_f32, th__gelu_slope_f64)
#define LOG(x)                           TH__FUNCTION(x, th__log_f32, log)
#define LOG10(x)                         TH__FUNCTION(x, th__log10_f32, log10)
#define LOG1P(x)                         TH__FUNCTION(x, th__log1p_f32, log1p)
#define LOG2(x)                          TH__FUNCTION(x, th__log2_f32, log2)
#define POW(x, y)                        _Generic((x), float : th__pow_f32, double : th__pow_f64)(x, y)
#define SIGMOID(x)                       TH__FUNCTION(x, th__sigmoid_f32, th__sigmoid_f64)
#define SILU(x)                          TH__FUNCTION(x, th__silu_f32, th__silu_f64)
#define SIN(x)                           TH__FUNCTION(x, th__sin_any_f32, sin)
#define TANH(x)                          TH__FUNCTION(x, th__tanh_f32, tanh)
#endif

#define NORMAL_PDF(x) ((T)0.3989422804014327 * EXP_DOWN((x) * (x) * (T)-0.5))
#define SOFTPLUS(x)   (((x) > 0 ? (x) : 0) + LOG1P(EXP_DOWN(-fabs(x))))
/* Of equal infinities the difference is NaN. */
#define LOGADDEXP(x, y)                                                                            \
  ((x) == (y) ? (x) + LN_2 : ((x) > (y) ? (x) : (y)) + LOG1P(EXP_DOWN(-fabs((x) - (y)))))

#endif
