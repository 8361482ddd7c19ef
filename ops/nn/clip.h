/* Operators over many gradients at once, all on one device; for autograd/clip.c. */
#ifndef THRUM_OPS_NN_CLIP_H
#define THRUM_OPS_NN_CLIP_H

#include "ndarray/array.h"

typedef struct th__shrink_params {
  double order; /* of the norm: 2 or infinity */
  double most;  /* the norm to shrink to */
} th__shrink_params;

/* Norm of all elements of 1 to INT16_MAX floating arrays, 0-d: f64 if one is, else f32. Squares of halves are added in f32. */
th_array *th__gradients_norm_call(th_array *const *gradients, int n, double order);
/* The first n - 1 arrays times min(1, most / (norm + 1e-6)), norm being the last one, 0-d f32 or f64. */
th_status th__gradients_shrink_call(th_array *const *gradients_and_norm, int n, double most);
/* Devices of this kind have kernels for both. */
bool th__gradients_fused(th_device d);

#endif
