/* Owns how the process's OpenBLAS is set up: kernels that fit the processor, no threads of its own. */
#ifndef THRUM_OPS_LINEAR_BLAS_H
#define THRUM_OPS_LINEAR_BLAS_H

#include <cblas.h>

/* Before a product: makes BLAS single-threaded, once. Its threads would fight with the workers. */
void th__blas_prepare(void);

#endif
