/* What launchers of pooling tell their kernels; C and CUDA C++. */
#ifndef THRUM_OPS_CUDA_WINDOW_H
#define THRUM_OPS_CUDA_WINDOW_H

#include <stdint.h>

/* Operands of four dimensions and the window between two of them. The result lies without gaps. */
typedef struct th__cuda_window {
  int64_t out[4];     /* shape of the result */
  int64_t size[2];    /* of a plane of the input */
  int64_t count[2];   /* windows of a plane */
  int64_t a[4], b[4]; /* strides of the inputs, in elements */
  int64_t kernel[2], stride[2], padding[2], dilation[2];
  int32_t dtype, count_padding;
} th__cuda_window;

#endif
