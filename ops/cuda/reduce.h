/* What launchers tell kernels about lines of elements: reductions, argmax, softmax; C and CUDA C++. */
#ifndef THRUM_OPS_CUDA_REDUCE_H
#define THRUM_OPS_CUDA_REDUCE_H

#include "ops/cuda/walk.h"

/* Where element `index` of some dimensions lies. */
typedef struct th__cuda_place {
  th__cuda_shape shape;           /* for indices below 2^31 */
  int64_t sizes[TH__WALK_DIMS];   /* for others */
  int64_t strides[TH__WALK_DIMS]; /* in elements */
} th__cuda_place;

/* A block has `outs` outputs side by side and works on one chunk of what is reduced. */
typedef struct th__cuda_reduction {
  th__cuda_place kept, reduced;
  int64_t n_out, n_reduced;
  int64_t chunk, chunks; /* elements per chunk; with several, results are partial */
  int64_t count;         /* what a mean divides by */
  int32_t outs;          /* a power of two up to 256 */
  int32_t columns; /* neighbouring threads have neighbouring outputs, else neighbouring elements */
  int32_t divide, dtype, out_dtype;
} th__cuda_reduction;

#endif
