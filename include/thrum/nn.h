/**
 * @file nn.h
 * Operators for networks: convolution, pooling, norms, attention, losses, random numbers, steps of optimizers.
 *
 * What ops.h says holds here, too. Names that PyTorch has mean what they mean there. Structures of settings: {0} is the default.
 */
#ifndef THRUM_NN_H
#define THRUM_NN_H

#include <thrum/array.h>

#ifdef __cplusplus
extern "C" {
#endif

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
/** The same with th_dropout() of the weights behind the softmax: each is 0 with probability p in [0, 1], else divided by 1 - p. */
TH_API th_array *th_sdpa_dropout(th_generator *g, const th_array *q, const th_array *k,
                                 const th_array *v, const th_array *mask, bool causal, double p);

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
 *  by those two. weight and bias may be NULL. TH_ESHAPE: a channel without elements in training. */
TH_API th_array *th_batch_norm(const th_array *x, th_array *running_mean, th_array *running_var,
                               const th_array *weight, const th_array *bias, bool training,
                               double momentum, double eps);
/** In training zero with probability p, else a / (1 - p); otherwise a view of a. The gradient draws the same again. */
TH_API th_array *th_dropout(th_generator *g, const th_array *a, double p, bool training);

/* Random: Philox4x32-10 (Salmon et al., SC 2011), key = seed, counter taken at submission: bits never depend on threads,
 * schedule or device. generator NULL = the process's default one. */
TH_API th_generator *th_generator_new(uint64_t seed); /**< +1 or NULL. */
TH_API void th_generator_release(th_generator *g);    /**< NULL is fine. */
/** Where g stands: what is drawn from now on depends on these two alone. Either pointer may be NULL. */
TH_API void th_generator_state(th_generator *g, uint64_t *seed, uint64_t *counter);
TH_API void th_generator_set_state(th_generator *g, uint64_t seed,
                                   uint64_t counter); /**< Puts g where another one stood. */
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
  double lr;    /**< 0: 0.001. */
  double beta1; /**< 0: 0.9. */
  double beta2; /**< 0: 0.999. */
  double eps;   /**< 0: 1e-8. */
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
