/* What operators may use of a CUDA device, inside the body of a task that runs on one. Everything is put on the lane of that task
 * and returns at once; addresses are device addresses. Failures set the thread's error, so that a body can return them. */
#ifndef THRUM_DEVICES_CUDA_CUDA_H
#define THRUM_DEVICES_CUDA_CUDA_H

#include <stddef.h>

#include "thrum/engine.h"

#define TH__CUDA_DEVICES 32

/* A kernel by its name in an image: a static variable of the operator, found on each device at its first launch there. A slot is
 * touched only by who issues on that device, under the lock of its lanes, and emptied when the device closes. */
typedef struct th__cuda_kernel {
  const char *name;
  void *function[TH__CUDA_DEVICES];
} th__cuda_kernel;

/* A fatbin that the build embedded; a constant. Each device loads it when a kernel of it is first launched there. */
typedef struct th__cuda_image {
  const char *name;
  const void *bytes;
  size_t size;
} th__cuda_image;

/* C = A B for each of `batch` row-major matrices: A is (m, k), B (k, n), C (m, n). A transposed operand is stored (k, m) or (n, k).
 * lda, ldb, ldc: elements from one stored row to the next. stride_*: elements from one matrix of the batch to the next, 0 = the same
 * one for all. Of f16, bf16, f32 and f64; sums are of f32 for halves. */
typedef struct th__cuda_gemm_args {
  th_dtype dtype;
  int64_t m, n, k, batch;
  bool transpose_a, transpose_b;
  bool tf32; /* allows products of 10 bits for f32 */
  int64_t lda, ldb, ldc;
  int64_t stride_a, stride_b, stride_c;
  const void *a, *b;
  void *c;
} th__cuda_gemm_args;

/* args: pointers to the parameters, which are copied. TH_EKERNEL when the kernel is missing or the launch is refused. */
th_status th__cuda_launch(th_task_context *context, const th__cuda_image *image,
                          th__cuda_kernel *kernel, const unsigned grid[3], const unsigned block[3],
                          unsigned shared_bytes, void **args);
/* Device memory that is good until the task's point has passed; nothing is to be freed. Without memory: TH__STARVED while the
 * body has put nothing on the lane (it is to return that, and is run again later), else TH_ENOMEM. */
th_status th__cuda_scratch(th_task_context *context, int64_t bytes, void **out);
th_status th__cuda_fill(th_task_context *context, void *block, unsigned char value, int64_t bytes);
th_status th__cuda_copy(th_task_context *context, void *to, const void *from, int64_t bytes);
/* The host's bytes have been copied when it returns. */
th_status th__cuda_upload(th_task_context *context, void *to, const void *host, int64_t bytes);
/* TH_ENOSYS when cuBLAS is not found or does not take the element type. */
th_status th__cuda_gemm(th_task_context *context, const th__cuda_gemm_args *g);
int th__cuda_multiprocessors(th_task_context *context);

#endif
