/**
 * @file elementwise.h
 * Operators that work element by element. ops.h has what holds for all operators: promotion, broadcasting, errors.
 *
 * Every operator takes any strides and any number of dimensions, 0-d and empty arrays included. docs/accuracy.md says how exact
 * the elementary functions are.
 */
#ifndef THRUM_ELEMENTWISE_H
#define THRUM_ELEMENTWISE_H

#include <thrum/array.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Unary: same shape. Float functions on integers give TH_EDTYPE. */
TH_API th_array *th_abs(const th_array *a);         /**< |a|; unsigned and bool unchanged. */
TH_API th_array *th_acos(const th_array *a);        /**< Arc cosine. */
TH_API th_array *th_acosh(const th_array *a);       /**< Inverse hyperbolic cosine. */
TH_API th_array *th_asin(const th_array *a);        /**< Arc sine. */
TH_API th_array *th_asinh(const th_array *a);       /**< Inverse hyperbolic sine. */
TH_API th_array *th_atan(const th_array *a);        /**< Arc tangent. */
TH_API th_array *th_atanh(const th_array *a);       /**< Inverse hyperbolic tangent. */
TH_API th_array *th_ceil(const th_array *a);        /**< Rounds up. */
TH_API th_array *th_cos(const th_array *a);         /**< Cosine. */
TH_API th_array *th_cosh(const th_array *a);        /**< Hyperbolic cosine. */
TH_API th_array *th_erf(const th_array *a);         /**< Error function. */
TH_API th_array *th_exp(const th_array *a);         /**< e^a. */
TH_API th_array *th_expm1(const th_array *a);       /**< e^a - 1, exact near 0. */
TH_API th_array *th_floor(const th_array *a);       /**< Rounds down. */
TH_API th_array *th_log(const th_array *a);         /**< Natural logarithm. */
TH_API th_array *th_log1p(const th_array *a);       /**< log(1 + a), exact near 0. */
TH_API th_array *th_log2(const th_array *a);        /**< Base-2 logarithm. */
TH_API th_array *th_log10(const th_array *a);       /**< Base-10 logarithm. */
TH_API th_array *th_negative(const th_array *a);    /**< -a; integers wrap. */
TH_API th_array *th_positive(const th_array *a);    /**< A copy of a. */
TH_API th_array *th_reciprocal(const th_array *a);  /**< 1 / a. */
TH_API th_array *th_relu(const th_array *a);        /**< max(a, 0). */
TH_API th_array *th_round(const th_array *a);       /**< To nearest, ties to even. */
TH_API th_array *th_rsqrt(const th_array *a);       /**< 1 / sqrt(a). */
TH_API th_array *th_sigmoid(const th_array *a);     /**< 1 / (1 + e^-a). */
TH_API th_array *th_sign(const th_array *a);        /**< -1, 0 or 1. */
TH_API th_array *th_silu(const th_array *a);        /**< a * sigmoid(a). */
TH_API th_array *th_gelu(const th_array *a);        /**< a * (1 + erf(a / sqrt 2)) / 2. */
TH_API th_array *th_softplus(const th_array *a);    /**< log(1 + e^a). */
TH_API th_array *th_sin(const th_array *a);         /**< Sine. */
TH_API th_array *th_sinh(const th_array *a);        /**< Hyperbolic sine. */
TH_API th_array *th_sqrt(const th_array *a);        /**< Square root. */
TH_API th_array *th_square(const th_array *a);      /**< a * a. */
TH_API th_array *th_tan(const th_array *a);         /**< Tangent. */
TH_API th_array *th_tanh(const th_array *a);        /**< Hyperbolic tangent. */
TH_API th_array *th_trunc(const th_array *a);       /**< Rounds toward 0. */
TH_API th_array *th_isfinite(const th_array *a);    /**< bool: neither infinite nor NaN. */
TH_API th_array *th_isinf(const th_array *a);       /**< bool: infinite. */
TH_API th_array *th_isnan(const th_array *a);       /**< bool: NaN. */
TH_API th_array *th_logical_not(const th_array *a); /**< bool: a == 0. */
TH_API th_array *th_signbit(const th_array *a); /**< bool: negative, or -0, or a NaN with a sign. */
TH_API th_array *th_bitwise_invert(const th_array *a); /**< ~a; bool and integers. */

/* Of two arrays. atan2, copysign, hypot, logaddexp: floats (TH_EDTYPE). */
TH_API th_array *th_add(const th_array *a, const th_array *b);      /**< a + b. */
TH_API th_array *th_subtract(const th_array *a, const th_array *b); /**< a - b. */
TH_API th_array *th_multiply(const th_array *a, const th_array *b); /**< a * b. */
TH_API th_array *th_divide(const th_array *a,
                           const th_array *b); /**< a / b; integers give f32 (64-bit ones f64). */
/** floor of the exact a / b. Floats as NumPy: a / 0 for b = 0, NaN for an infinite a. */
TH_API th_array *th_floor_divide(const th_array *a, const th_array *b);
TH_API th_array *th_remainder(const th_array *a,
                              const th_array *b); /**< a - b * floor(a / b); sign of b. */
TH_API th_array *th_pow(const th_array *a, const th_array *b);      /**< a to the power b. */
TH_API th_array *th_atan2(const th_array *a, const th_array *b);    /**< Angle of (b, a). */
TH_API th_array *th_copysign(const th_array *a, const th_array *b); /**< |a| with the sign of b. */
TH_API th_array *th_hypot(const th_array *a,
                          const th_array *b); /**< sqrt(a^2 + b^2), without overflow. */
TH_API th_array *th_logaddexp(const th_array *a,
                              const th_array *b); /**< log(e^a + e^b), without overflow. */
TH_API th_array *th_maximum(const th_array *a, const th_array *b); /**< Larger; NaN wins. */
TH_API th_array *th_minimum(const th_array *a, const th_array *b); /**< Smaller; NaN wins. */
TH_API th_array *th_bitwise_and(const th_array *a,
                                const th_array *b); /**< a & b; bool and integers. */
TH_API th_array *th_bitwise_or(const th_array *a,
                               const th_array *b); /**< a | b; bool and integers. */
TH_API th_array *th_bitwise_xor(const th_array *a,
                                const th_array *b); /**< a ^ b; bool and integers. */
TH_API th_array *th_bitwise_left_shift(
    const th_array *a,
    const th_array *b); /**< a * 2^b; integers. As NumPy, 0 where b is no place of the type. */
TH_API th_array *th_bitwise_right_shift(
    const th_array *a,
    const th_array
        *b); /**< floor(a / 2^b); integers. As NumPy, 0 or -1 where b is no place of the type. */

/* Comparison and logic: bool results. */
TH_API th_array *th_equal(const th_array *a, const th_array *b);         /**< a == b. */
TH_API th_array *th_not_equal(const th_array *a, const th_array *b);     /**< a != b. */
TH_API th_array *th_less(const th_array *a, const th_array *b);          /**< a < b. */
TH_API th_array *th_less_equal(const th_array *a, const th_array *b);    /**< a <= b. */
TH_API th_array *th_greater(const th_array *a, const th_array *b);       /**< a > b. */
TH_API th_array *th_greater_equal(const th_array *a, const th_array *b); /**< a >= b. */
TH_API th_array *th_logical_and(const th_array *a, const th_array *b);   /**< a and b. */
TH_API th_array *th_logical_or(const th_array *a, const th_array *b);    /**< a or b. */
TH_API th_array *th_logical_xor(const th_array *a, const th_array *b);   /**< a xor b. */

/* With a scalar on the right: the array's type stays, the scalar is converted to it as by th_astype() (th_divide_scalar() of
 * integers: to what th_divide() gives). Comparisons are exact whatever the type. */
TH_API th_array *th_add_scalar(const th_array *a, double s);      /**< th_add() of a and s. */
TH_API th_array *th_subtract_scalar(const th_array *a, double s); /**< th_subtract() of a and s. */
TH_API th_array *th_multiply_scalar(const th_array *a, double s); /**< th_multiply() of a and s. */
TH_API th_array *th_divide_scalar(const th_array *a, double s);   /**< th_divide() of a and s. */
TH_API th_array *th_floor_divide_scalar(const th_array *a,
                                        double s); /**< th_floor_divide() of a and s. */
TH_API th_array *th_remainder_scalar(const th_array *a,
                                     double s);                   /**< th_remainder() of a and s. */
TH_API th_array *th_pow_scalar(const th_array *a, double s);      /**< th_pow() of a and s. */
TH_API th_array *th_atan2_scalar(const th_array *a, double s);    /**< th_atan2() of a and s. */
TH_API th_array *th_copysign_scalar(const th_array *a, double s); /**< th_copysign() of a and s. */
TH_API th_array *th_hypot_scalar(const th_array *a, double s);    /**< th_hypot() of a and s. */
TH_API th_array *th_logaddexp_scalar(const th_array *a,
                                     double s);                  /**< th_logaddexp() of a and s. */
TH_API th_array *th_maximum_scalar(const th_array *a, double s); /**< th_maximum() of a and s. */
TH_API th_array *th_minimum_scalar(const th_array *a, double s); /**< th_minimum() of a and s. */
TH_API th_array *th_bitwise_and_scalar(const th_array *a,
                                       double s); /**< th_bitwise_and() of a and s. */
TH_API th_array *th_bitwise_or_scalar(const th_array *a,
                                      double s); /**< th_bitwise_or() of a and s. */
TH_API th_array *th_bitwise_xor_scalar(const th_array *a,
                                       double s); /**< th_bitwise_xor() of a and s. */
TH_API th_array *th_bitwise_left_shift_scalar(const th_array *a,
                                              double s); /**< th_bitwise_left_shift() of a and s. */
TH_API th_array *th_bitwise_right_shift_scalar(
    const th_array *a, double s); /**< th_bitwise_right_shift() of a and s. */
TH_API th_array *th_equal_scalar(const th_array *a, double s); /**< th_equal() of a and s. */
TH_API th_array *th_not_equal_scalar(const th_array *a,
                                     double s);               /**< th_not_equal() of a and s. */
TH_API th_array *th_less_scalar(const th_array *a, double s); /**< th_less() of a and s. */
TH_API th_array *th_less_equal_scalar(const th_array *a,
                                      double s);                 /**< th_less_equal() of a and s. */
TH_API th_array *th_greater_scalar(const th_array *a, double s); /**< th_greater() of a and s. */
TH_API th_array *th_greater_equal_scalar(const th_array *a,
                                         double s); /**< th_greater_equal() of a and s. */
TH_API th_array *th_logical_and_scalar(const th_array *a,
                                       double s); /**< th_logical_and() of a and s. */
TH_API th_array *th_logical_or_scalar(const th_array *a,
                                      double s); /**< th_logical_or() of a and s. */
TH_API th_array *th_logical_xor_scalar(const th_array *a,
                                       double s); /**< th_logical_xor() of a and s. */

/* In place: a op= b, b broadcast to a's shape and cast to its type. */
TH_API th_status th_add_inplace(th_array *a, const th_array *b); /**< th_add() into a. */
TH_API th_status th_add_scalar_inplace(th_array *a, double s);   /**< th_add_scalar() into a. */
TH_API th_status th_subtract_inplace(th_array *a, const th_array *b); /**< th_subtract() into a. */
TH_API th_status th_subtract_scalar_inplace(th_array *a,
                                            double s); /**< th_subtract_scalar() into a. */
TH_API th_status th_multiply_inplace(th_array *a, const th_array *b); /**< th_multiply() into a. */
TH_API th_status th_multiply_scalar_inplace(th_array *a,
                                            double s); /**< th_multiply_scalar() into a. */
TH_API th_status th_divide_inplace(th_array *a, const th_array *b); /**< th_divide() into a. */
TH_API th_status th_divide_scalar_inplace(th_array *a, double s); /**< th_divide_scalar() into a. */
TH_API th_status th_floor_divide_inplace(th_array *a,
                                         const th_array *b); /**< th_floor_divide() into a. */
TH_API th_status th_floor_divide_scalar_inplace(th_array *a,
                                                double s); /**< th_floor_divide_scalar() into a. */
TH_API th_status th_remainder_inplace(th_array *a,
                                      const th_array *b); /**< th_remainder() into a. */
TH_API th_status th_remainder_scalar_inplace(th_array *a,
                                             double s); /**< th_remainder_scalar() into a. */
TH_API th_status th_pow_inplace(th_array *a, const th_array *b);   /**< th_pow() into a. */
TH_API th_status th_pow_scalar_inplace(th_array *a, double s);     /**< th_pow_scalar() into a. */
TH_API th_status th_atan2_inplace(th_array *a, const th_array *b); /**< th_atan2() into a. */
TH_API th_status th_atan2_scalar_inplace(th_array *a, double s);   /**< th_atan2_scalar() into a. */
TH_API th_status th_copysign_inplace(th_array *a, const th_array *b); /**< th_copysign() into a. */
TH_API th_status th_copysign_scalar_inplace(th_array *a,
                                            double s); /**< th_copysign_scalar() into a. */
TH_API th_status th_hypot_inplace(th_array *a, const th_array *b); /**< th_hypot() into a. */
TH_API th_status th_hypot_scalar_inplace(th_array *a, double s);   /**< th_hypot_scalar() into a. */
TH_API th_status th_logaddexp_inplace(th_array *a,
                                      const th_array *b); /**< th_logaddexp() into a. */
TH_API th_status th_logaddexp_scalar_inplace(th_array *a,
                                             double s); /**< th_logaddexp_scalar() into a. */
TH_API th_status th_maximum_inplace(th_array *a, const th_array *b); /**< th_maximum() into a. */
TH_API th_status th_maximum_scalar_inplace(th_array *a,
                                           double s); /**< th_maximum_scalar() into a. */
TH_API th_status th_minimum_inplace(th_array *a, const th_array *b); /**< th_minimum() into a. */
TH_API th_status th_minimum_scalar_inplace(th_array *a,
                                           double s); /**< th_minimum_scalar() into a. */
TH_API th_status th_bitwise_and_inplace(th_array *a,
                                        const th_array *b); /**< th_bitwise_and() into a. */
TH_API th_status th_bitwise_and_scalar_inplace(th_array *a,
                                               double s); /**< th_bitwise_and_scalar() into a. */
TH_API th_status th_bitwise_or_inplace(th_array *a,
                                       const th_array *b); /**< th_bitwise_or() into a. */
TH_API th_status th_bitwise_or_scalar_inplace(th_array *a,
                                              double s); /**< th_bitwise_or_scalar() into a. */
TH_API th_status th_bitwise_xor_inplace(th_array *a,
                                        const th_array *b); /**< th_bitwise_xor() into a. */
TH_API th_status th_bitwise_xor_scalar_inplace(th_array *a,
                                               double s); /**< th_bitwise_xor_scalar() into a. */
TH_API th_status th_bitwise_left_shift_inplace(
    th_array *a, const th_array *b); /**< th_bitwise_left_shift() into a. */
TH_API th_status th_bitwise_left_shift_scalar_inplace(
    th_array *a, double s); /**< th_bitwise_left_shift_scalar() into a. */
TH_API th_status th_bitwise_right_shift_inplace(
    th_array *a, const th_array *b); /**< th_bitwise_right_shift() into a. */
TH_API th_status th_bitwise_right_shift_scalar_inplace(
    th_array *a, double s); /**< th_bitwise_right_shift_scalar() into a. */

/* Choice. */
/** condition ? a : b, all broadcast; condition bool. */
TH_API th_array *th_where(const th_array *condition, const th_array *a, const th_array *b);
TH_API th_array *th_clip(const th_array *a, double lo, double hi); /**< min(max(a, lo), hi). */

#ifdef __cplusplus
}
#endif
#endif
