/* Owns the launchers that fill arrays with random numbers. */
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "ops/cuda/cuda.h"
#include "ops/params.h"

static th_status launch(const th_kernel_args *k, th__cuda_kernel *kernel, int64_t per_thread,
                        void **args) {
  int64_t n = th__layout_size(&k->out[0]);
  if (n == 0) return TH_OK;
  return th__cuda_blocks(k->context, &th__image_random, kernel,
                         th__cuda_blocks_for(k->context, (n + per_thread - 1) / per_thread), args);
}

static th_status random_bits_cuda(const th_kernel_args *k) {
  static th__cuda_kernel kernel = {.name = "random_bits"};
  th__random_params p = *(const th__random_params *)k->params;
  void *out = k->out_data[0];
  int64_t n = th__layout_size(&k->out[0]);
  return launch(k, &kernel, 4, (void *[]){&out, &n, &p.seed, &p.counter});
}

static th_status real(const th_kernel_args *k, th__cuda_kernel *kernel) {
  th__random_params p = *(const th__random_params *)k->params;
  void *out = k->out_data[0];
  int64_t n = th__layout_size(&k->out[0]);
  int32_t dtype = (int32_t)p.dtype;
  return launch(k, kernel, dtype == TH_F64 ? 2 : 4,
                (void *[]){&out, &n, &dtype, &p.seed, &p.counter, &p.a, &p.b});
}

static th_status uniform_cuda(const th_kernel_args *k) {
  static th__cuda_kernel kernel = {.name = "uniform"};
  return real(k, &kernel);
}

static th_status normal_cuda(const th_kernel_args *k) {
  static th__cuda_kernel kernel = {.name = "normal"};
  return real(k, &kernel);
}

/* One swap after another: the host makes it sooner than one thread of a device would. */
static th_status permutation_cuda(const th_kernel_args *k) {
  int64_t bytes = th__layout_bytes(&k->out[0]);
  if (bytes == 0) return TH_OK;
  void *host = th__alloc((size_t)bytes);
  if (!host) return th_context_fail(k->context, TH_ENOMEM, "permutation: no host memory");
  th_kernel_args here = *k;
  here.out_data = &host;
  th_status status = k->op->cpu(&here);
  if (status == TH_OK) status = th__cuda_upload(k->context, k->out_data[0], host, bytes);
  th__free(host);
  return status;
}

extern const th__cuda_entry th__cuda_drawing[];
const th__cuda_entry th__cuda_drawing[] = {{"random_bits", random_bits_cuda},
                                           {"uniform", uniform_cuda},
                                           {"normal", normal_cuda},
                                           {"permutation", permutation_cuda},
                                           {NULL, NULL}};
