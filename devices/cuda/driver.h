/* The part of the CUDA driver that Thrum uses, found at run time: types and constants of its own, because NVIDIA's header may not
 * be there, and one table of functions. tests/cudaheader compares all of it with the real cuda.h where that is installed. */
#ifndef THRUM_DEVICES_CUDA_DRIVER_H
#define THRUM_DEVICES_CUDA_DRIVER_H

#include <stddef.h>
#include <stdint.h>

#include "thrum/base.h"

/* The version of the toolkit whose kernels are in this library, as cuDriverGetVersion() tells it: an older driver cannot load
 * them. */
#define TH__CUDA_DRIVER_NEEDED 13000

#ifdef TH__CUDA_REAL_TYPES /* the comparison with cuda.h */
typedef CUresult th__cu_result;
typedef CUdevice th__cu_device;
typedef CUdeviceptr th__cu_address;
typedef CUcontext th__cu_context;
typedef CUstream th__cu_stream;
typedef CUevent th__cu_event;
typedef CUmodule th__cu_module;
typedef CUfunction th__cu_function;
typedef CUdevice_attribute th__cu_attribute;
typedef CUpointer_attribute th__cu_pointer_attribute;
#else
typedef int th__cu_result;
typedef int th__cu_device;
typedef unsigned long long th__cu_address;
typedef struct CUctx_st *th__cu_context;
typedef struct CUstream_st *th__cu_stream;
typedef struct CUevent_st *th__cu_event;
typedef struct CUmod_st *th__cu_module;
typedef struct CUfunc_st *th__cu_function;
typedef int th__cu_attribute;
typedef int th__cu_pointer_attribute;
#endif

/* Constants: our name, NVIDIA's, value. */
#define TH__CU_CONSTANTS(X)                                                                        \
  X(TH__CU_SUCCESS, CUDA_SUCCESS, 0)                                                               \
  X(TH__CU_OUT_OF_MEMORY, CUDA_ERROR_OUT_OF_MEMORY, 2)                                             \
  X(TH__CU_DEINITIALIZED, CUDA_ERROR_DEINITIALIZED, 4)                                             \
  X(TH__CU_NO_DEVICE, CUDA_ERROR_NO_DEVICE, 100)                                                   \
  X(TH__CU_NOT_READY, CUDA_ERROR_NOT_READY, 600)                                                   \
  X(TH__CU_ILLEGAL_ADDRESS, CUDA_ERROR_ILLEGAL_ADDRESS, 700)                                       \
  X(TH__CU_LAUNCH_TIMEOUT, CUDA_ERROR_LAUNCH_TIMEOUT, 702)                                         \
  X(TH__CU_CONTEXT_IS_DESTROYED, CUDA_ERROR_CONTEXT_IS_DESTROYED, 709)                             \
  X(TH__CU_ASSERT, CUDA_ERROR_ASSERT, 710)                                                         \
  X(TH__CU_LAUNCH_FAILED, CUDA_ERROR_LAUNCH_FAILED, 719)                                           \
  X(TH__CU_UNCORRECTABLE_ECC, CUDA_ERROR_ECC_UNCORRECTABLE, 214)                                   \
  X(TH__CU_UNCORRECTABLE_NVLINK, CUDA_ERROR_NVLINK_UNCORRECTABLE, 220)                             \
  X(TH__CU_HARDWARE_STACK_ERROR, CUDA_ERROR_HARDWARE_STACK_ERROR, 714)                             \
  X(TH__CU_ILLEGAL_INSTRUCTION, CUDA_ERROR_ILLEGAL_INSTRUCTION, 715)                               \
  X(TH__CU_MISALIGNED_ADDRESS, CUDA_ERROR_MISALIGNED_ADDRESS, 716)                                 \
  X(TH__CU_INVALID_ADDRESS_SPACE, CUDA_ERROR_INVALID_ADDRESS_SPACE, 717)                           \
  X(TH__CU_INVALID_PC, CUDA_ERROR_INVALID_PC, 718)                                                 \
  X(TH__CU_CONTAINED, CUDA_ERROR_CONTAINED, 226)                                                   \
  X(TH__CU_TENSOR_MEMORY_LEAK, CUDA_ERROR_TENSOR_MEMORY_LEAK, 721)                                 \
  X(TH__CU_MULTIPROCESSORS, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 16)                          \
  X(TH__CU_64_BIT_MEMOPS, CU_DEVICE_ATTRIBUTE_CAN_USE_64_BIT_STREAM_MEM_OPS, 122)                  \
  X(TH__CU_STREAM_NON_BLOCKING, CU_STREAM_NON_BLOCKING, 1)                                         \
  X(TH__CU_EVENT_DEFAULT, CU_EVENT_DEFAULT, 0)                                                     \
  X(TH__CU_EVENT_DISABLE_TIMING, CU_EVENT_DISABLE_TIMING, 2)                                       \
  X(TH__CU_HOST_PORTABLE, CU_MEMHOSTALLOC_PORTABLE, 1)                                             \
  X(TH__CU_HOST_DEVICEMAP, CU_MEMHOSTALLOC_DEVICEMAP, 2)                                           \
  X(TH__CU_REGISTER_PORTABLE, CU_MEMHOSTREGISTER_PORTABLE, 1)                                      \
  X(TH__CU_POINTER_MEMORY_TYPE, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, 2)                               \
  X(TH__CU_MEMORY_HOST, CU_MEMORYTYPE_HOST, 1)

#define TH__CU_ENUM(ours, theirs, value) ours = (value),
enum { TH__CU_CONSTANTS(TH__CU_ENUM) };

/* Functions: our name, the exported one, parameters. All are required but those of the second list, which are NULL when the driver
 * lacks them. */
#define TH__CU_FUNCTIONS(X)                                                                        \
  X(init, cuInit, (unsigned flags))                                                                \
  X(version, cuDriverGetVersion, (int *version))                                                   \
  X(device_count, cuDeviceGetCount, (int *count))                                                  \
  X(device_get, cuDeviceGet, (th__cu_device * device, int ordinal))                                \
  X(device_memory, cuDeviceTotalMem_v2, (size_t * bytes, th__cu_device device))                    \
  X(device_attribute, cuDeviceGetAttribute,                                                        \
    (int *value, th__cu_attribute attribute, th__cu_device device))                                \
  X(context_retain, cuDevicePrimaryCtxRetain, (th__cu_context * context, th__cu_device device))    \
  X(context_release, cuDevicePrimaryCtxRelease_v2, (th__cu_device device))                         \
  X(context_push, cuCtxPushCurrent_v2, (th__cu_context context))                                   \
  X(context_pop, cuCtxPopCurrent_v2, (th__cu_context * context))                                   \
  X(alloc, cuMemAlloc_v2, (th__cu_address * out, size_t bytes))                                    \
  X(free, cuMemFree_v2, (th__cu_address block))                                                    \
  X(host_alloc, cuMemHostAlloc, (void **out, size_t bytes, unsigned flags))                        \
  X(host_free, cuMemFreeHost, (void *block))                                                       \
  X(host_address, cuMemHostGetDevicePointer_v2,                                                    \
    (th__cu_address * out, void *block, unsigned flags))                                           \
  X(host_register, cuMemHostRegister_v2, (void *memory, size_t bytes, unsigned flags))             \
  X(host_unregister, cuMemHostUnregister, (void *memory))                                          \
  X(pointer_attribute, cuPointerGetAttribute,                                                      \
    (void *out, th__cu_pointer_attribute attribute, th__cu_address pointer))                       \
  X(copy_in, cuMemcpyHtoDAsync_v2,                                                                 \
    (th__cu_address to, const void *from, size_t bytes, th__cu_stream stream))                     \
  X(copy_out, cuMemcpyDtoHAsync_v2,                                                                \
    (void *to, th__cu_address from, size_t bytes, th__cu_stream stream))                           \
  X(copy_within, cuMemcpyDtoDAsync_v2,                                                             \
    (th__cu_address to, th__cu_address from, size_t bytes, th__cu_stream stream))                  \
  X(copy_peer, cuMemcpyPeerAsync,                                                                  \
    (th__cu_address to, th__cu_context to_context, th__cu_address from,                            \
     th__cu_context from_context, size_t bytes, th__cu_stream stream))                             \
  X(peer_possible, cuDeviceCanAccessPeer,                                                          \
    (int *possible, th__cu_device device, th__cu_device peer))                                     \
  X(peer_enable, cuCtxEnablePeerAccess, (th__cu_context peer, unsigned flags))                     \
  X(fill, cuMemsetD8Async,                                                                         \
    (th__cu_address to, unsigned char value, size_t bytes, th__cu_stream stream))                  \
  X(stream_create, cuStreamCreate, (th__cu_stream * out, unsigned flags))                          \
  X(stream_destroy, cuStreamDestroy_v2, (th__cu_stream stream))                                    \
  X(stream_query, cuStreamQuery, (th__cu_stream stream))                                           \
  X(stream_synchronize, cuStreamSynchronize, (th__cu_stream stream))                               \
  X(stream_wait, cuStreamWaitEvent, (th__cu_stream stream, th__cu_event event, unsigned flags))    \
  X(event_create, cuEventCreate, (th__cu_event * out, unsigned flags))                             \
  X(event_destroy, cuEventDestroy_v2, (th__cu_event event))                                        \
  X(event_record, cuEventRecord, (th__cu_event event, th__cu_stream stream))                       \
  X(event_query, cuEventQuery, (th__cu_event event))                                               \
  X(event_elapsed, cuEventElapsedTime_v2, (float *ms, th__cu_event start, th__cu_event end))       \
  X(module_load, cuModuleLoadData, (th__cu_module * out, const void *image))                       \
  X(module_unload, cuModuleUnload, (th__cu_module module))                                         \
  X(module_function, cuModuleGetFunction,                                                          \
    (th__cu_function * out, th__cu_module module, const char *name))                               \
  X(launch, cuLaunchKernel,                                                                        \
    (th__cu_function function, unsigned grid_x, unsigned grid_y, unsigned grid_z,                  \
     unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,                  \
     th__cu_stream stream, void **args, void **extra))                                             \
  X(error_name, cuGetErrorName, (th__cu_result result, const char **out))                          \
  X(error_text, cuGetErrorString, (th__cu_result result, const char **out))
#define TH__CU_OPTIONAL_FUNCTIONS(X)                                                               \
  X(context_state, cuDevicePrimaryCtxGetState,                                                     \
    (th__cu_device device, unsigned *flags, int *active))                                          \
  X(write_value, cuStreamWriteValue64_v2,                                                          \
    (th__cu_stream stream, th__cu_address word, uint64_t value, unsigned flags))

#define TH__CU_MEMBER(ours, theirs, parameters) th__cu_result(*ours) parameters;
typedef struct th__cuda_driver {
  TH__CU_FUNCTIONS(TH__CU_MEMBER)
  TH__CU_OPTIONAL_FUNCTIONS(TH__CU_MEMBER)
} th__cuda_driver;

/* Constant once th__cuda_present() has said TH_OK. */
extern th__cuda_driver th__cu;

/* Loads and starts the driver the first time; later calls are cheap. TH_EDEVICE with a message that says what is missing. */
th_status th__cuda_present(void);
/* The same without setting the thread's error: why there is no GPU, or NULL. */
const char *th__cuda_absent(void);
/* "ILLEGAL_ADDRESS (an illegal memory access was encountered)" for a result. Returns out. */
const char *th__cuda_result_text(th__cu_result result, char *out, size_t room);
/* Opens another of NVIDIA's libraries: first beside the driver that TH_LIBCUDA names, then wherever the system looks. NULL, with
 * "NAME not found, searched ..." in why. */
void *th__cuda_library(const char *name, char *why, size_t room);

#endif
