/* Parameters of operators for networks, as ops/params.h has those of others. */
#ifndef THRUM_OPS_PARAMS_NN_H
#define THRUM_OPS_PARAMS_NN_H

#include "ndarray/dtype.h"

/* --- drawing --- */

typedef struct th__randint_params {
  uint64_t seed, counter;
  int64_t low;
  uint64_t range; /* high - low */
  int64_t shape[TH_MAX_DIMS];
  int ndim;
  th_dtype dtype;
} th__randint_params;

typedef struct th__bernoulli_params {
  uint64_t seed, counter;
  uint64_t below; /* a word below it gives 1; at most 2^32 */
  int64_t shape[TH_MAX_DIMS];
  int ndim;
  th_dtype dtype;
} th__bernoulli_params;

typedef struct th__categorical_params {
  uint64_t seed, counter;
  int64_t n; /* draws per row */
} th__categorical_params;

typedef struct th__dropout_params {
  uint64_t seed, counter;
  uint64_t below; /* a word below it keeps the element */
  double scale;
} th__dropout_params;

/* --- updates --- */

/* Inputs: n parameters, n gradients, n first moments, n second moments. */
typedef struct th__adam_params {
  double lr, beta1, beta2, eps, weight_decay;
  double step;       /* t, from 1 */
  double rate, root; /* lr / (1 - beta1^t), 1 / sqrt(1 - beta2^t) */
  int n;
  int controls; /* 2: a factor and the skipped steps come behind the groups, see ops/nn/update.h */
  bool decoupled; /* AdamW */
} th__adam_params;

/* Inputs: n parameters, n gradients, n means of squares, and with momentum n velocities. */
typedef struct th__rmsprop_params {
  double lr, alpha, eps, weight_decay, momentum;
  int n;
  int controls; /* 1: a factor comes behind the groups, see ops/nn/update.h */
} th__rmsprop_params;

/* --- windows: convolution and pooling over the last two dimensions --- */

typedef struct th__window_params {
  int64_t kernel[2]; /* pooling */
  int64_t stride[2], padding[2], dilation[2];
  int64_t groups;     /* convolution */
  int64_t size[2];    /* slopes: of the input, or of the kernel */
  bool count_padding; /* avg_pool2d */
} th__window_params;

/* --- norms --- */

typedef struct th__norm_params {
  uint32_t axes; /* bit per dimension of x */
  bool center;   /* the mean is subtracted */
  double eps;
} th__norm_params;

#endif
