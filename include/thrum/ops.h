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

/* Networks. */
typedef struct th_generator th_generator; /**< A stream of random numbers; thread-safe. */
TH_API th_array *th_softmax(const th_array *a, int axis); /**< e^(a - max) / sum, along axis. */
TH_API th_array *th_log_softmax(const th_array *a,
                                int axis); /**< a - max - log sum e^(a - max), along axis. */
/** Mean over rows of -log softmax(logits)[label]: logits (n, classes) float, labels (n) integers. 0-d. A label out of range
 *  fails the task with TH_EINVAL. With floating labels (n, classes): mean over rows of -sum of labels * log softmax(logits). */
TH_API th_array *th_cross_entropy(const th_array *logits, const th_array *labels);
/** Mean over rows of -log_probs[label]: log_probs (n, classes), labels as above. 0-d. */
TH_API th_array *th_nll_loss(const th_array *log_probs, const th_array *labels);
TH_API th_array *th_mse_loss(const th_array *a, const th_array *b); /**< Mean of (a - b)^2. 0-d. */
TH_API th_array *th_l1_loss(const th_array *a, const th_array *b);  /**< Mean of |a - b|. 0-d. */
/** Mean of d^2 / 2 where d = |a - b| <= delta, else of delta (d - delta / 2). 0-d. */
TH_API th_array *th_huber_loss(const th_array *a, const th_array *b, double delta);
/** Mean of -(y log s + (1 - y) log(1 - s)) with s = sigmoid(logits), y = targets. 0-d. */
TH_API th_array *th_bce_with_logits(const th_array *logits, const th_array *targets);
/** Rows of weight (rows, ...) at indices: th_take() along axis 0. */
TH_API th_array *th_embedding(const th_array *weight, const th_array *indices);
/** Attention (Vaswani et al. 2017): softmax(q k^T / sqrt(d)) v for q (..., l, d), k (..., s, d), v (..., s, e). mask, broadcast to
 *  (..., l, s), or NULL: bool = takes part, floating = added to the scores. causal: query i sees keys 0 to i. */
TH_API th_array *th_sdpa(const th_array *q, const th_array *k, const th_array *v,
                         const th_array *mask, bool causal);

/** Windows of th_conv1d() and th_conv2d(), which uses both entries of a pair: rows, then columns. 0 gives the default. */
typedef struct th_conv_config {
  int64_t stride[2];   /**< 0: 1. */
  int64_t padding[2];  /**< Zeros on either side. */
  int64_t dilation[2]; /**< 0: 1. */
  int64_t groups;      /**< 0: 1. */
} th_conv_config;
/** x (n, c, h, w), weight (o, c / groups, kh, kw), bias (o) or NULL -> (n, o, h', w') as in PyTorch (cross-correlation),
 *  h' = (h + 2 padding - dilation (kh - 1) - 1) / stride + 1. config NULL = defaults. */
TH_API th_array *th_conv2d(const th_array *x, const th_array *weight, const th_array *bias,
                           const th_conv_config *config);
/** The same for x (n, c, l) and weight (o, c / groups, k). */
TH_API th_array *th_conv1d(const th_array *x, const th_array *weight, const th_array *bias,
                           const th_conv_config *config);
/** Windows of pooling: rows, then columns. 0 gives the default. */
typedef struct th_pool_config {
  int64_t kernel[2];    /**< Must be given. */
  int64_t stride[2];    /**< 0: the kernel. */
  int64_t padding[2];   /**< At most half the kernel. */
  int64_t dilation[2];  /**< 0: 1; only max_pool2d. */
  bool exclude_padding; /**< avg_pool2d divides by the elements inside of the input. */
} th_pool_config;
/** Largest of each window of x (n, c, h, w); NaN wins; the gradient goes to the first largest. */
TH_API th_array *th_max_pool2d(const th_array *x, const th_pool_config *config);
/** Mean of each window of x (n, c, h, w). */
TH_API th_array *th_avg_pool2d(const th_array *x, const th_pool_config *config);
/** (a - mean) / sqrt(var + eps) * weight + bias over the last n_dims dimensions (Ba et al. 2016; var divides by the number of
 *  elements). weight and bias: the shape of those dimensions, or NULL. */
TH_API th_array *th_layer_norm(const th_array *a, int n_dims, const th_array *weight,
                               const th_array *bias, double eps);
/** a / sqrt(mean of squares + eps) * weight over the last n_dims dimensions (Zhang and Sennrich 2019); weight as above. */
TH_API th_array *th_rms_norm(const th_array *a, int n_dims, const th_array *weight, double eps);
/** Norm of x (n, c, ...) over all dimensions but the second (Ioffe and Szegedy 2015); the others have shape (c). In training
 *  by x's own mean and variance, of which `momentum` goes into running_mean and running_var (unbiased; both may be NULL), else
 *  by those two. weight and bias may be NULL. */
TH_API th_array *th_batch_norm(const th_array *x, th_array *running_mean, th_array *running_var,
                               const th_array *weight, const th_array *bias, bool training,
                               double momentum, double eps);
/** In training zero with probability p, else a / (1 - p); otherwise a view of a. The gradient draws the same again. */
TH_API th_array *th_dropout(th_generator *g, const th_array *a, double p, bool training);

/* Random: Philox4x32-10 (Salmon et al., SC 2011), key = seed, counter taken at submission: bits never depend on threads,
 * schedule or device. generator NULL = the process's default one. */
TH_API th_generator *th_generator_new(uint64_t seed); /**< +1 or NULL. */
TH_API void th_generator_release(th_generator *g);    /**< NULL is fine. */
TH_API void th_seed(uint64_t seed); /**< Restarts the default generator (its seed at start is 0). */
TH_API th_array *th_random_bits(th_generator *g, const int64_t *shape, int ndim,
                                th_device d); /**< u32, all bits random. */
/** [low, high): floats with 24 (f64: 53) random bits. */
TH_API th_array *th_uniform(th_generator *g, const int64_t *shape, int ndim, double low,
                            double high, th_dtype t, th_device d);
/** Box-Muller. */
TH_API th_array *th_normal(th_generator *g, const int64_t *shape, int ndim, double mean, double sd,
                           th_dtype t, th_device d);
TH_API th_array *th_permutation(th_generator *g, int64_t n,
                                th_device d); /**< i64: 0..n-1 in random order. */

/** Integers of [low, high), each with the same chance to 2^-64; t any integer type that holds them. */
TH_API th_array *th_randint(th_generator *g, const int64_t *shape, int ndim, int64_t low,
                            int64_t high, th_dtype t, th_device d);
/** 1 with probability p, else 0; any type. */
TH_API th_array *th_bernoulli(th_generator *g, const int64_t *shape, int ndim, double p, th_dtype t,
                              th_device d);
/** n classes by weights (classes) or (rows, classes), which need not sum to 1: i64 (n) or (rows, n). Drawn with replacement.
 *  A weight that is negative or NaN, or a row without weight, fails the task with TH_EINVAL (on CUDA devices: gives -1). */
TH_API th_array *th_categorical(th_generator *g, const th_array *weights, int64_t n);

/* Updating. */
/** p -= lr * (g + weight_decay * p) for n pairs, as one task. momentum != 0 needs n velocities (else NULL): v = momentum v +
 *  g', p -= lr v (nesterov: g' + momentum v). All on one device, floating, equal shapes. */
TH_API th_status th_sgd_step(th_array *const *params, th_array *const *gradients,
                             th_array *const *velocities, int n, double lr, double momentum,
                             double weight_decay, bool nesterov);
/** Settings of th_adam_step(); what is 0 gets its default. */
typedef struct th_adam_config {
  double lr;           /**< 0: 0.001. */
  double beta1, beta2; /**< 0: 0.9 and 0.999. */
  double eps;          /**< 0: 1e-8. */
  double
      weight_decay; /**< Added to the gradient, or with decoupled (AdamW) p *= 1 - lr * weight_decay first. */
  bool decoupled; /**< AdamW (Loshchilov and Hutter 2019). */
} th_adam_config;
/** Step number `step` (from 1) of Adam (Kingma and Ba 2015) for n parameters with their moments, as one task:
 *  m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g^2, p -= lr / (1 - beta1^step) * m / (sqrt(v / (1 - beta2^step)) + eps).
 *  All on one device, floating, equal shapes. */
TH_API th_status th_adam_step(th_array *const *params, th_array *const *gradients,
                              th_array *const *first_moments, th_array *const *second_moments,
                              int n, int64_t step, const th_adam_config *config);
/** th_adam_step() with decoupled weight decay. */
TH_API th_status th_adamw_step(th_array *const *params, th_array *const *gradients,
                               th_array *const *first_moments, th_array *const *second_moments,
                               int n, int64_t step, double lr, double weight_decay);
/** RMSprop as PyTorch has it: s = alpha s + (1 - alpha) g^2, p -= lr g / (sqrt(s) + eps), or with momentum (which needs n
 *  velocities, else NULL) v = momentum v + g / (sqrt(s) + eps), p -= lr v. weight_decay * p is added to g. */
TH_API th_status th_rmsprop_step(th_array *const *params, th_array *const *gradients,
                                 th_array *const *squares, th_array *const *velocities, int n,
                                 double lr, double alpha, double eps, double weight_decay,
                                 double momentum);

#ifdef __cplusplus
}
#endif
#endif
