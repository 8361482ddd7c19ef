/* What the launchers of updates tell their kernels; C and CUDA C++. */
#ifndef THRUM_OPS_CUDA_UPDATE_H
#define THRUM_OPS_CUDA_UPDATE_H

#include "ops/cuda/walk.h"

#define TH__UPDATE_CHUNK 4096 /* elements per block */

/* One parameter; a table of them lies in device memory. */
typedef struct th__cuda_update {
  void *data[TH__WALK_OPERANDS]; /* parameter, gradient, states; NULL where there are none */
  int64_t first_block;           /* blocks of the parameters before it */
  th__cuda_walk walk;
} th__cuda_update;

#endif
