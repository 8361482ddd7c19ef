/* Owns the kernel device's memory and what stands in for the functions of devices/cuda/cuda.h. */
#include "support/kerneldevice.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices/cuda/cuda.h"
#include "engine/base/atomic.h"
#include "engine/base/error.h"
#include "ops/cuda/cuda.h"

enum { SCRATCH = 64 };

static void *library;
static int *backwards;
static _Atomic int launches, of_tf32;

/* --- the device --- */

static int count_one(void) { return 1; }

static th_status open_one(int index, void **state) {
  static int one;
  *state = &one;
  return TH_OK;
}

static void close_one(void *state) {}

static th_status alloc_block(void *state, int64_t bytes, void **out) {
  *out = aligned_alloc(64, ((size_t)bytes + 64) & ~(size_t)63);
  if (*out) memset(*out, 0xA5, (size_t)bytes);
  return *out ? TH_OK : TH_ENOMEM;
}

static void free_block(void *state, void *block, int64_t bytes) { free(block); }
static void memory_of(void *state, th_memory_info *out) {
  *out = (th_memory_info){.limit = INT64_C(1) << 40};
}
static void set_limit(void *state, int64_t bytes) {}
static void nothing(void *state) {}
static int one_thread(void *state) { return 1; }

static th_status copy_in(void *state, void *lane, void *block, const void *host, int64_t bytes) {
  memcpy(block, host, (size_t)bytes);
  return TH_OK;
}

static th_status copy_out(void *state, void *lane, void *host, const void *block, int64_t bytes) {
  memcpy(host, block, (size_t)bytes);
  return TH_OK;
}

static const th__device_ops kernel_ops = {
    .name = "kernels",
    .count = count_one,
    .open = open_one,
    .close = close_one,
    .alloc = alloc_block,
    .free = free_block,
    .memory = memory_of,
    .set_limit = set_limit,
    .trim = nothing,
    .reset_peak = nothing,
    .threads = one_thread,
    .copy_in = copy_in,
    .copy_out = copy_out,
};

bool kernel_device_install(const char *path) {
  library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) return false;
  backwards = dlsym(library, "fake_backwards");
  (void)th__device_register(TH_KIND_EXTERNAL, &kernel_ops);
  th__cuda_kernels_set();
  for (int i = 0; i < th__op_count(); i++) {
    const th_op *op = th__op_at(i);
    th__kernel_set(op, TH_KIND_EXTERNAL, th__kernel_get(op, TH_CUDA));
  }
  return true;
}

th_device kernel_device(void) { return (th_device){TH_KIND_EXTERNAL, 0}; }
bool kernel_device_exact(void) { return true; }
int kernel_device_tf32(void) { return th__load(&of_tf32, TH__RELAXED); }
int kernel_device_launches(void) { return th__load(&launches, TH__RELAXED); }
/* Kernels whose results nobody waits for may still run and read the switch. */
void kernel_device_backwards(bool on) {
  (void)th_wait_all();
  *backwards = on;
}

/* --- devices/cuda/cuda.h --- */

th_status __wrap_th__cuda_launch(th_task_context *context, const th__cuda_image *image,
                                 th__cuda_kernel *kernel, const unsigned grid[3],
                                 const unsigned block[3], unsigned shared_bytes, void **args);
th_status __wrap_th__cuda_scratch(th_task_context *context, int64_t bytes, void **out);
th_status __wrap_th__cuda_fill(th_task_context *context, void *block, unsigned char value,
                               int64_t bytes);
th_status __wrap_th__cuda_copy(th_task_context *context, void *to, const void *from, int64_t bytes);
th_status __wrap_th__cuda_upload(th_task_context *context, void *to, const void *host,
                                 int64_t bytes);
th_status __wrap_th__cuda_gemm(th_task_context *context, const th__cuda_gemm_args *g);
int __wrap_th__cuda_multiprocessors(th_task_context *context);

th_status __wrap_th__cuda_launch(th_task_context *context, const th__cuda_image *image,
                                 th__cuda_kernel *kernel, const unsigned grid[3],
                                 const unsigned block[3], unsigned shared_bytes, void **args) {
  char name[128];
  snprintf(name, sizeof name, "fake_kernel_%s", kernel->name);
  void (*run)(void **, const unsigned *, const unsigned *, unsigned);
  *(void **)&run = dlsym(library, name);
  if (!run) return th_context_fail(context, TH_ENOSYS, "no kernel %s", kernel->name);
  if (grid[0] == 0 || block[0] == 0 || block[0] > 1024)
    return th_context_fail(context, TH_EINVAL, "%s: %u blocks of %u", kernel->name, grid[0],
                           block[0]);
  th__fetch_add(&launches, 1, TH__RELAXED);
  run(args, grid, block, shared_bytes);
  return TH_OK;
}

/* The oldest of many belongs to a task that has ended: the worker and a thread that waits run one each. */
th_status __wrap_th__cuda_scratch(th_task_context *context, int64_t bytes, void **out) {
  static void *blocks[SCRATCH]; /* under lock */
  static unsigned next;         /* under lock */
  static th__spin lock;
  TH_TRY(alloc_block(NULL, bytes, out));
  th__spin_lock(&lock);
  void *oldest = blocks[next % SCRATCH];
  blocks[next++ % SCRATCH] = *out;
  th__spin_unlock(&lock);
  free(oldest);
  return TH_OK;
}

th_status __wrap_th__cuda_fill(th_task_context *context, void *block, unsigned char value,
                               int64_t bytes) {
  memset(block, value, (size_t)bytes);
  return TH_OK;
}

th_status __wrap_th__cuda_copy(th_task_context *context, void *to, const void *from,
                               int64_t bytes) {
  memmove(to, from, (size_t)bytes);
  return TH_OK;
}

th_status __wrap_th__cuda_upload(th_task_context *context, void *to, const void *host,
                                 int64_t bytes) {
  memcpy(to, host, (size_t)bytes);
  return TH_OK;
}

static double element(th_dtype t, const void *base, int64_t at) {
  return th__dtype_get(t, (const char *)base + at * th__dtype_size(t));
}

th_status __wrap_th__cuda_gemm(th_task_context *context, const th__cuda_gemm_args *g) {
  if (g->tf32) th__fetch_add(&of_tf32, 1, TH__RELAXED);
  for (int64_t i = 0; i < g->batch * g->m * g->n; i++) {
    int64_t batch = i / (g->m * g->n), row = i / g->n % g->m, column = i % g->n;
    double sum = 0;
    for (int64_t p = 0; p < g->k; p++) {
      int64_t a = g->transpose_a ? p * g->lda + row : row * g->lda + p;
      int64_t b = g->transpose_b ? column * g->ldb + p : p * g->ldb + column;
      sum += element(g->dtype, g->a, batch * g->stride_a + a) *
             element(g->dtype, g->b, batch * g->stride_b + b);
    }
    int64_t at = batch * g->stride_c + row * g->ldc + column;
    th__dtype_set(g->dtype, (char *)g->c + at * th__dtype_size(g->dtype), sum);
  }
  return TH_OK;
}

int __wrap_th__cuda_multiprocessors(th_task_context *context) { return 2; }
