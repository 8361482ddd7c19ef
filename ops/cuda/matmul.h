/* What the launcher of integer products tells its kernel; C and CUDA C++. */
#ifndef THRUM_OPS_CUDA_MATMUL_H
#define THRUM_OPS_CUDA_MATMUL_H

#include <stdint.h>

/* C[i] = A[i] B[i]; strides in elements. C has no gaps. */
typedef struct th__cuda_product {
  int64_t m, n, k, batch;
  int64_t a_row, a_column, a_batch, b_row, b_column, b_batch;
} th__cuda_product;

#endif
