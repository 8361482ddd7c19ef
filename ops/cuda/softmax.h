/* What the launchers of softmax and its relatives tell their kernel; C and CUDA C++. */
#ifndef THRUM_OPS_CUDA_SOFTMAX_H
#define THRUM_OPS_CUDA_SOFTMAX_H

#include "ops/cuda/reduce.h"

enum {
  TH__SOFTMAX,
  TH__LOG_SOFTMAX,
  TH__LOSS,         /* one double per line: -log of the softmax at its label */
  TH__SOFTMAX_SLOPE /* softmax, less 1 at the label, times the gradient by the number of lines */
};

typedef struct th__cuda_softmax {
  th__cuda_place kept; /* of the result */
  int64_t step;        /* along a line of it */
  int64_t label_step;
  int32_t label_dtype, what;
} th__cuda_softmax;

#endif
