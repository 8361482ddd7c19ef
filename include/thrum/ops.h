/**
 * @file ops.h
 * Operators on arrays, by the names of the Array API standard.
 *
 * All return +1 or NULL at once, before the result is computed (checks happen in the call: TH_ESHAPE, TH_EDTYPE, TH_EDEVICE,
 * TH_EINVAL, naming the operator and the shapes). Two-argument operators broadcast and promote by the Array API's table,
 * integer with float giving the float's type; scalars never change the type. _inplace forms write their first argument
 * (its shape and type stay). Integers wrap; integer x / 0 and x % 0 give 0. f16 and bf16 compute and accumulate in f32.
 * axes: n_axes dimensions, negative counts from the end; n_axes 0 = all. keepdims keeps reduced dimensions as size 1.
 */
#ifndef THRUM_OPS_H
#define THRUM_OPS_H

#include <thrum/array.h>
#include <thrum/custom.h>
#include <thrum/nn.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Unary: same shape. Float functions on integers give TH_EDTYPE. */
TH_API th_array *th_abs(const th_array *a);            /**< |a|; unsigned and bool unchanged. */
TH_API th_array *th_acos(const th_array *a);           /**< Arc cosine. */
TH_API th_array *th_asin(const th_array *a);           /**< Arc sine. */
TH_API th_array *th_atan(const th_array *a);           /**< Arc tangent. */
TH_API th_array *th_ceil(const th_array *a);           /**< Rounds up. */
TH_API th_array *th_cos(const th_array *a);            /**< Cosine. */
TH_API th_array *th_cosh(const th_array *a);           /**< Hyperbolic cosine. */
TH_API th_array *th_erf(const th_array *a);            /**< Error function. */
TH_API th_array *th_exp(const th_array *a);            /**< e^a. */
TH_API th_array *th_expm1(const th_array *a);          /**< e^a - 1, exact near 0. */
TH_API th_array *th_floor(const th_array *a);          /**< Rounds down. */
TH_API th_array *th_log(const th_array *a);            /**< Natural logarithm. */
TH_API th_array *th_log1p(const th_array *a);          /**< log(1 + a), exact near 0. */
TH_API th_array *th_log2(const th_array *a);           /**< Base-2 logarithm. */
TH_API th_array *th_log10(const th_array *a);          /**< Base-10 logarithm. */
TH_API th_array *th_negative(const th_array *a);       /**< -a; integers wrap. */
TH_API th_array *th_reciprocal(const th_array *a);     /**< 1 / a. */
TH_API th_array *th_relu(const th_array *a);           /**< max(a, 0). */
TH_API th_array *th_round(const th_array *a);          /**< To nearest, ties to even. */
TH_API th_array *th_rsqrt(const th_array *a);          /**< 1 / sqrt(a). */
TH_API th_array *th_sigmoid(const th_array *a);        /**< 1 / (1 + e^-a). */
TH_API th_array *th_sign(const th_array *a);           /**< -1, 0 or 1. */
TH_API th_array *th_silu(const th_array *a);           /**< a * sigmoid(a). */
TH_API th_array *th_gelu(const th_array *a);           /**< a * (1 + erf(a / sqrt 2)) / 2. */
TH_API th_array *th_softplus(const th_array *a);       /**< log(1 + e^a). */
TH_API th_array *th_sin(const th_array *a);            /**< Sine. */
TH_API th_array *th_sinh(const th_array *a);           /**< Hyperbolic sine. */
TH_API th_array *th_sqrt(const th_array *a);           /**< Square root. */
TH_API th_array *th_square(const th_array *a);         /**< a * a. */
TH_API th_array *th_tan(const th_array *a);            /**< Tangent. */
TH_API th_array *th_tanh(const th_array *a);           /**< Hyperbolic tangent. */
TH_API th_array *th_trunc(const th_array *a);          /**< Rounds toward 0. */
TH_API th_array *th_isfinite(const th_array *a);       /**< bool: neither infinite nor NaN. */
TH_API th_array *th_isinf(const th_array *a);          /**< bool: infinite. */
TH_API th_array *th_isnan(const th_array *a);          /**< bool: NaN. */
TH_API th_array *th_logical_not(const th_array *a);    /**< bool: a == 0. */
TH_API th_array *th_bitwise_invert(const th_array *a); /**< ~a; bool and integers. */

/* Binary arithmetic. */
TH_API th_array *th_add(const th_array *a, const th_array *b);      /**< a + b. */
TH_API th_array *th_subtract(const th_array *a, const th_array *b); /**< a - b. */
TH_API th_array *th_multiply(const th_array *a, const th_array *b); /**< a * b. */
TH_API th_array *th_divide(const th_array *a,
                           const th_array *b); /**< a / b; integers give f32 (64-bit ones f64). */
TH_API th_array *th_floor_divide(const th_array *a, const th_array *b); /**< floor(a / b). */
TH_API th_array *th_remainder(const th_array *a,
                              const th_array *b); /**< a - b * floor(a / b); sign of b. */
TH_API th_array *th_pow(const th_array *a, const th_array *b);     /**< a to the power b. */
TH_API th_array *th_atan2(const th_array *a, const th_array *b);   /**< Angle of (b, a). */
TH_API th_array *th_maximum(const th_array *a, const th_array *b); /**< Larger; NaN wins. */
TH_API th_array *th_minimum(const th_array *a, const th_array *b); /**< Smaller; NaN wins. */
TH_API th_array *th_bitwise_and(const th_array *a,
                                const th_array *b); /**< a & b; bool and integers. */
TH_API th_array *th_bitwise_or(const th_array *a,
                               const th_array *b); /**< a | b; bool and integers. */
TH_API th_array *th_bitwise_xor(const th_array *a,
                                const th_array *b); /**< a ^ b; bool and integers. */

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

/* With a scalar: the array's type stays (divide_scalar of integers: as th_divide). */
TH_API th_array *th_add_scalar(const th_array *a, double s); /**< th_add() with s on the right. */
TH_API th_array *th_subtract_scalar(const th_array *a,
                                    double s); /**< th_subtract() with s on the right. */
TH_API th_array *th_multiply_scalar(const th_array *a,
                                    double s); /**< th_multiply() with s on the right. */
TH_API th_array *th_divide_scalar(const th_array *a,
                                  double s); /**< th_divide() with s on the right. */
TH_API th_array *th_pow_scalar(const th_array *a, double s); /**< th_pow() with s on the right. */
TH_API th_array *th_maximum_scalar(const th_array *a,
                                   double s); /**< th_maximum() with s on the right. */
TH_API th_array *th_minimum_scalar(const th_array *a,
                                   double s); /**< th_minimum() with s on the right. */
TH_API th_array *th_remainder_scalar(const th_array *a,
                                     double s); /**< th_remainder() with s on the right. */
TH_API th_array *th_floor_divide_scalar(const th_array *a,
                                        double s); /**< th_floor_divide() with s on the right. */
TH_API th_array *th_equal_scalar(const th_array *a,
                                 double s); /**< th_equal() with s on the right. */
TH_API th_array *th_not_equal_scalar(const th_array *a,
                                     double s); /**< th_not_equal() with s on the right. */
TH_API th_array *th_less_scalar(const th_array *a, double s); /**< th_less() with s on the right. */
TH_API th_array *th_less_equal_scalar(const th_array *a,
                                      double s); /**< th_less_equal() with s on the right. */
TH_API th_array *th_greater_scalar(const th_array *a,
                                   double s); /**< th_greater() with s on the right. */
TH_API th_array *th_greater_equal_scalar(const th_array *a,
                                         double s); /**< th_greater_equal() with s on the right. */

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

/* Choice. */
/** condition ? a : b, all broadcast; condition bool. */
TH_API th_array *th_where(const th_array *condition, const th_array *a, const th_array *b);
TH_API th_array *th_clip(const th_array *a, double lo, double hi); /**< min(max(a, lo), hi). */

/* Reductions. Sums are pairwise in fixed blocks: bits do not depend on the number of threads. bool and small integers sum
 * and multiply in i64 (unsigned: u64). */
TH_API th_array *th_sum(const th_array *a, const int *axes, int n_axes,
                        bool keepdims); /**< Sum; 0 when empty. */
TH_API th_array *th_prod(const th_array *a, const int *axes, int n_axes,
                         bool keepdims); /**< Product; 1 when empty. */
TH_API th_array *th_mean(const th_array *a, const int *axes, int n_axes,
                         bool keepdims); /**< Mean; integers give f32. */
TH_API th_array *th_max(const th_array *a, const int *axes, int n_axes,
                        bool keepdims); /**< Largest; NaN wins; TH_ESHAPE when empty. */
TH_API th_array *th_min(const th_array *a, const int *axes, int n_axes,
                        bool keepdims); /**< Smallest; NaN wins; TH_ESHAPE when empty. */
TH_API th_array *th_all(const th_array *a, const int *axes, int n_axes,
                        bool keepdims); /**< bool: every element != 0. */
TH_API th_array *th_any(const th_array *a, const int *axes, int n_axes,
                        bool keepdims); /**< bool: some element != 0. */
TH_API th_array *th_argmax(const th_array *a, int axis,
                           bool keepdims); /**< i64 index of the first largest along axis. */
TH_API th_array *th_argmin(const th_array *a, int axis,
                           bool keepdims); /**< i64 index of the first smallest along axis. */

/* Linear algebra. */
/** (..., m, k) x (..., k, n) -> (..., m, n), leading dimensions broadcast; 1-d operands as in the Array API. */
TH_API th_array *th_matmul(const th_array *a, const th_array *b);
/** x w + b: x (..., k), w (k, n), b (n) or NULL. */
TH_API th_array *th_linear(const th_array *x, const th_array *w, const th_array *b);

/* Indexing and joining. */
/** Rows of a along axis at indices (any integer type, any shape, 0 <= i < size; else the task fails with TH_EINVAL). */
TH_API th_array *th_take(const th_array *a, const th_array *indices, int axis);
/** Adds b's rows to a's at indices along axis 0, repeated ones in order: a[indices[i]] += b[i]. */
TH_API th_status th_scatter_add_inplace(th_array *a, const th_array *indices, const th_array *b);
TH_API th_array *th_one_hot(const th_array *indices, int64_t n,
                            th_dtype t); /**< (..., n): 1 at the index, else 0. */
TH_API th_array *th_concat(th_array *const *arrays, int n,
                           int axis); /**< Joins along an axis; promotes. */
TH_API th_array *th_stack(th_array *const *arrays, int n,
                          int axis); /**< Joins along a new axis; promotes. */

#ifdef __cplusplus
}
#endif
#endif
