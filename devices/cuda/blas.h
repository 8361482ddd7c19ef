/* The part of cuBLAS that Thrum uses, as driver.h is for the driver. */
#ifndef THRUM_DEVICES_CUDA_BLAS_H
#define THRUM_DEVICES_CUDA_BLAS_H

#include <stddef.h>
#include <stdint.h>

#include "devices/cuda/driver.h"

#ifdef TH__CUDA_REAL_TYPES /* the comparison with cublas_v2.h */
typedef cublasStatus_t th__cublas_status;
typedef cublasHandle_t th__cublas_handle;
typedef cublasOperation_t th__cublas_operation;
typedef cudaDataType th__cublas_type;
typedef cublasComputeType_t th__cublas_compute;
typedef cublasGemmAlgo_t th__cublas_algorithm;
typedef cublasMath_t th__cublas_math;
#else
typedef int th__cublas_status;
typedef struct cublasContext *th__cublas_handle;
typedef int th__cublas_operation;
typedef int th__cublas_type;
typedef int th__cublas_compute;
typedef int th__cublas_algorithm;
typedef int th__cublas_math;
#endif

#define TH__CUBLAS_CONSTANTS(X)                                                                    \
  X(TH__CUBLAS_SUCCESS, CUBLAS_STATUS_SUCCESS, 0)                                                  \
  X(TH__CUBLAS_ALLOC_FAILED, CUBLAS_STATUS_ALLOC_FAILED, 3)                                        \
  X(TH__CUBLAS_PLAIN, CUBLAS_OP_N, 0)                                                              \
  X(TH__CUBLAS_TRANSPOSE, CUBLAS_OP_T, 1)                                                          \
  X(TH__CUBLAS_R_32F, CUDA_R_32F, 0)                                                               \
  X(TH__CUBLAS_R_64F, CUDA_R_64F, 1)                                                               \
  X(TH__CUBLAS_R_16F, CUDA_R_16F, 2)                                                               \
  X(TH__CUBLAS_R_16BF, CUDA_R_16BF, 14)                                                            \
  X(TH__CUBLAS_COMPUTE_32F, CUBLAS_COMPUTE_32F, 68)                                                \
  X(TH__CUBLAS_COMPUTE_32F_FAST_TF32, CUBLAS_COMPUTE_32F_FAST_TF32, 77)                            \
  X(TH__CUBLAS_COMPUTE_64F, CUBLAS_COMPUTE_64F, 70)                                                \
  X(TH__CUBLAS_GEMM_DEFAULT, CUBLAS_GEMM_DEFAULT, -1)                                              \
  X(TH__CUBLAS_SUMS_AS_COMPUTED, CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION, 16)

#define TH__CUBLAS_ENUM(ours, theirs, value) ours = (value),
enum { TH__CUBLAS_CONSTANTS(TH__CUBLAS_ENUM) };

#define TH__CUBLAS_FUNCTIONS(X)                                                                    \
  X(create, cublasCreate_v2, (th__cublas_handle * out))                                            \
  X(destroy, cublasDestroy_v2, (th__cublas_handle handle))                                         \
  X(set_stream, cublasSetStream_v2, (th__cublas_handle handle, th__cu_stream stream))              \
  X(set_workspace, cublasSetWorkspace_v2, (th__cublas_handle handle, void *block, size_t bytes))   \
  X(set_math_mode, cublasSetMathMode, (th__cublas_handle handle, th__cublas_math mode))            \
  X(gemm, cublasGemmStridedBatchedEx_64,                                                           \
    (th__cublas_handle handle, th__cublas_operation a_operation, th__cublas_operation b_operation, \
     int64_t m, int64_t n, int64_t k, const void *alpha, const void *a, th__cublas_type a_type,    \
     int64_t lda, long long a_stride, const void *b, th__cublas_type b_type, int64_t ldb,          \
     long long b_stride, const void *beta, void *c, th__cublas_type c_type, int64_t ldc,           \
     long long c_stride, int64_t batch, th__cublas_compute compute,                                \
     th__cublas_algorithm algorithm))

#define TH__CUBLAS_MEMBER(ours, theirs, parameters) th__cublas_status(*ours) parameters;
typedef struct th__cublas_library {
  TH__CUBLAS_FUNCTIONS(TH__CUBLAS_MEMBER)
} th__cublas_library;

#endif
