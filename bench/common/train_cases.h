/* What the training benchmark measures: steps of forward, backward and SGD on random data, and what is to be reached. All
 * programs begin with the same numbers, so their losses tell whether they do the same work. */
#ifndef THRUM_BENCH_COMMON_TRAIN_CASES_H
#define THRUM_BENCH_COMMON_TRAIN_CASES_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum train_net {
  TRAIN_LOGREG, /* 784-10, cross entropy */
  TRAIN_MLP,    /* 784-256-128-10 with relu, cross entropy */
  TRAIN_CNN, /* images (1, 28, 28); twice a 3 x 3 convolution with padding 1, relu, 2 x 2 max pooling: 8, 16
                channels; then 784-10, cross entropy */
  TRAIN_BLOCK /* of a transformer: x + attention(norm(x)), then x + mlp(norm(x)), squared error. One product for q, k and v,
                 causal attention, exact gelu in 128-512-128 */
} train_net;

enum {
  TRAIN_RATE = 64, /* of SGD: 1 / this */
  TRAIN_HEADS = 4,
  TRAIN_LENGTH = 64, /* of a sequence */
  TRAIN_WIDTH = 128,
  TRAIN_PARAMS = 12, /* at most */
  TRAIN_CASES = 7,
  TRAIN_FIRST_STEPS = 5
};

typedef struct train_case {
  const char *name;
  train_net net;
  int64_t batch;
  double most_us; /* the goal: a step, by all cores; 0 = none */
  double ratio;   /* the goal: to libtorch by its best settings; 0 = none */
} train_case;
extern const train_case train_cases[TRAIN_CASES];
/* NULL when there is no such case. */
const train_case *train_find(const char *name);

/* Uniform in [center - bound, center + bound). */
typedef struct train_tensor {
  int ndim;
  int64_t shape[4];
  double bound, center;
} train_tensor;
/* The parameters of a net; weights of products are (inputs, outputs). Returns how many. */
int train_params(train_net net, const train_tensor **out);
train_tensor train_input(const train_case *c);
int64_t train_elements(const train_tensor *t);
/* The numbers of a stream: parameters have 0 and so on, the input TRAIN_PARAMS, a target TRAIN_PARAMS + 1. */
void train_fill(const train_tensor *t, uint64_t stream, float *out);
/* The class of row i, of ten. */
int64_t train_label(int64_t i);

/* Figures that a program tells beside its samples. */
enum {
  TRAIN_PEAK, /* bytes of arrays alive at most */
  TRAIN_LOSS  /* of step TRAIN_FIRST_STEPS */
};

#ifdef __cplusplus
}
#endif
#endif
