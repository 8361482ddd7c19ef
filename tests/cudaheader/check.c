/* Compares what devices/cuda believes of NVIDIA's headers with the headers: types, constants, signatures. Compiled where the toolkit
 * is; there is nothing to run. */
#include <assert.h>
#include <cublas_v2.h>
#include <cuda.h>

#define TH__CUDA_REAL_TYPES
#include "devices/cuda/blas.h"
#include "devices/cuda/driver.h"

#define SAME_VALUE(ours, theirs, value)                                                            \
  static_assert((int)(theirs) == (value), "another value: " #theirs);
#define SAME_TYPE(ours, theirs, parameters)                                                        \
  static_assert(                                                                                   \
      __builtin_types_compatible_p(__typeof__(((th__cuda_driver *)0)->ours), __typeof__(&theirs)), \
      "another signature: " #theirs);
#define SAME_BLAS_TYPE(ours, theirs, parameters)                                                   \
  static_assert(__builtin_types_compatible_p(__typeof__(((th__cublas_library *)0)->ours),          \
                                             __typeof__(&theirs)),                                 \
                "another signature: " #theirs);

TH__CU_CONSTANTS(SAME_VALUE)
TH__CU_FUNCTIONS(SAME_TYPE)
TH__CU_OPTIONAL_FUNCTIONS(SAME_TYPE)
TH__CUBLAS_CONSTANTS(SAME_VALUE)
TH__CUBLAS_FUNCTIONS(SAME_BLAS_TYPE)

/* What driver.h and blas.h say where the headers are not. */
static_assert(sizeof(CUresult) == sizeof(int) && sizeof(CUdevice) == sizeof(int), "results");
static_assert(sizeof(CUdevice_attribute) == sizeof(int) &&
                  sizeof(CUpointer_attribute) == sizeof(int) && sizeof(CUmemorytype) == sizeof(int),
              "attributes");
static_assert(__builtin_types_compatible_p(CUdeviceptr, unsigned long long), "addresses");
static_assert(__builtin_types_compatible_p(CUcontext, struct CUctx_st *), "contexts");
static_assert(__builtin_types_compatible_p(CUstream, struct CUstream_st *), "streams");
static_assert(__builtin_types_compatible_p(CUevent, struct CUevent_st *), "events");
static_assert(__builtin_types_compatible_p(CUmodule, struct CUmod_st *), "modules");
static_assert(__builtin_types_compatible_p(CUfunction, struct CUfunc_st *), "functions");
static_assert(__builtin_types_compatible_p(cublasHandle_t, struct cublasContext *), "handles");
static_assert(sizeof(cublasStatus_t) == sizeof(int) && sizeof(cublasOperation_t) == sizeof(int) &&
                  sizeof(cudaDataType) == sizeof(int) &&
                  sizeof(cublasComputeType_t) == sizeof(int) &&
                  sizeof(cublasGemmAlgo_t) == sizeof(int),
              "cuBLAS enumerations");
