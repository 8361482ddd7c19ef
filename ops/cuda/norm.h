/* What the launchers of norms tell their kernels; C and CUDA C++. */
#ifndef THRUM_OPS_CUDA_NORM_H
#define THRUM_OPS_CUDA_NORM_H

#include "ops/cuda/reduce.h"

enum { TH__NORM_FIRST, TH__NORM_SECOND, TH__NORM_RESULT, TH__NORM_PARTS };

/* An operand beside x: where its lines begin and how they go on. */
typedef struct th__cuda_part {
  th__cuda_place kept, reduced;
} th__cuda_part;

typedef struct th__cuda_norm {
  th__cuda_part part[TH__NORM_PARTS]; /* weight and bias, or g and weight; the result */
  double eps;
  int32_t center, slope;
} th__cuda_norm;

#endif
