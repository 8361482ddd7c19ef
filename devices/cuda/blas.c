/* Owns cuBLAS: found at run time, one handle and workspace per lane, made at the lane's first product. All under the engine's lock of
 * the device; the library itself is found once per process. */
#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

#include "devices/cuda/blas.h"
#include "devices/cuda/parts.h"
#include "engine/base/error.h"

#define LIBRARY_NAME    "libcublas.so.13"
#define WORKSPACE_BYTES (INT64_C(32) << 20) /* what NVIDIA advises for its newer cards */
#define WORKSPACE_PART  64                  /* of the limit of memory at most: each lane has one */

static th__cublas_library blas;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static char reason[400]; /* why there is none; "" = there is one */

static const struct {
  const char *name;
  size_t offset;
} functions[] = {
#define ROW(ours, theirs, parameters) {#theirs, offsetof(th__cublas_library, ours)},
    TH__CUBLAS_FUNCTIONS(ROW)
#undef ROW
};

static void load(void) {
  void *library = th__cuda_library(LIBRARY_NAME, reason, sizeof reason);
  for (size_t i = 0; library != NULL && i < sizeof functions / sizeof *functions; i++) {
    void *symbol = dlsym(library, functions[i].name);
    if (symbol == NULL) {
      snprintf(reason, sizeof reason, LIBRARY_NAME " has no %s", functions[i].name);
      return;
    }
    memcpy((char *)&blas + functions[i].offset, &symbol, sizeof symbol);
  }
}

static th_status check(th__cuda_device *d, th__cublas_status status, const char *what) {
  if (status == TH__CUBLAS_SUCCESS) return TH_OK;
  TH_TRY(th__cuda_alive(d));
  return th__fail(status == TH__CUBLAS_ALLOC_FAILED ? TH_ENOMEM : TH_EKERNEL,
                  "cuda:%d: cuBLAS, %s: status %d", d->index, what, (int)status);
}

/* Without memory for a workspace cuBLAS does with its own. */
static th_status open_handle(th__cuda_lane *lane) {
  th__cuda_device *d = lane->device;
  th__cublas_handle handle = NULL;
  TH_TRY(check(d, blas.create(&handle), "handle"));
  lane->blas = handle;
  TH_TRY(check(d, blas.set_stream(handle, lane->stream), "stream"));
  /* Halves are added up in f32, also where k is split among blocks. */
  TH_TRY(check(d, blas.set_math_mode(handle, TH__CUBLAS_SUMS_AS_COMPUTED), "math mode"));
  th__last_error kept = *th__error_slot();
  th_memory_info memory;
  th__cuda_pool_figures(&d->memory, &memory);
  int64_t bytes = memory.limit / WORKSPACE_PART;
  if (bytes > WORKSPACE_BYTES) bytes = WORKSPACE_BYTES;
  if (th__cuda_pool_take(&d->memory, bytes, &lane->blas_workspace) != TH_OK) {
    *th__error_slot() = kept;
    return TH_OK;
  }
  return check(d, blas.set_workspace(handle, lane->blas_workspace, (size_t)bytes), "workspace");
}

void th__cuda_blas_close(th__cuda_lane *lane) {
  if (lane->blas != NULL) (void)blas.destroy(lane->blas);
  th__cuda_pool_give(&lane->device->memory, lane->blas_workspace);
  lane->blas = lane->blas_workspace = NULL;
}

/* How elements are stored and sums are kept; false for types that cuBLAS does not take. */
static bool types_of(th_dtype t, bool tf32, th__cublas_type *stored, th__cublas_compute *compute) {
  *compute = TH__CUBLAS_COMPUTE_32F;
  switch (t) {
  case TH_F16: *stored = TH__CUBLAS_R_16F; return true;
  case TH_BF16: *stored = TH__CUBLAS_R_16BF; return true;
  case TH_F32:
    *stored = TH__CUBLAS_R_32F;
    if (tf32) *compute = TH__CUBLAS_COMPUTE_32F_FAST_TF32;
    return true;
  case TH_F64:
    *stored = TH__CUBLAS_R_64F;
    *compute = TH__CUBLAS_COMPUTE_64F;
    return true;
  default: return false;
  }
}

th_status th__cuda_gemm(th_task_context *context, const th__cuda_gemm_args *g) {
  th__cuda_lane *lane = th__cuda_running.lane;
  th__cuda_device *d = lane->device;
  TH_TRY(th__cuda_alive(d));
  pthread_once(&once, load);
  if (reason[0] != 0) return th__fail(TH_ENOSYS, "cuda:%d: %s", d->index, reason);
  th__cublas_type type;
  th__cublas_compute compute;
  if (!types_of(g->dtype, g->tf32, &type, &compute))
    return th__fail(TH_ENOSYS, "cuda:%d: cuBLAS does not multiply %s", d->index,
                    th_dtype_name(g->dtype));
  if (lane->blas == NULL) TH_TRY(open_handle(lane));
  static const float one_f = 1, zero_f = 0;
  static const double one_d = 1, zero_d = 0;
  bool wide = compute == TH__CUBLAS_COMPUTE_64F;
  th__cuda_adds(2 * (double)g->m * (double)g->n * (double)g->k * (double)g->batch, TH__CUDA_FLOPS);
  /* cuBLAS counts columns first, so it sees every operand transposed: C' = B' A'. */
  return check(d,
               blas.gemm(lane->blas, g->transpose_b ? TH__CUBLAS_TRANSPOSE : TH__CUBLAS_PLAIN,
                         g->transpose_a ? TH__CUBLAS_TRANSPOSE : TH__CUBLAS_PLAIN, g->n, g->m, g->k,
                         wide ? (const void *)&one_d : &one_f, g->b, type, g->ldb, g->stride_b,
                         g->a, type, g->lda, g->stride_a, wide ? (const void *)&zero_d : &zero_f,
                         g->c, type, g->ldc, g->stride_c, g->batch, compute,
                         TH__CUBLAS_GEMM_DEFAULT),
               "product");
}
