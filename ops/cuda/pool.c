/* Owns the launchers of pooling: direct kernels, a thread for each element of the result. */
#include "ops/cuda/cuda.h"
#include "ops/cuda/window.h"
#include "ops/params_nn.h"

static th__cuda_window window_of(const th_kernel_args *k) {
  const th__window_params *p = k->params;
  const th_layout *out = &k->out[0], *second = k->n_in > 1 ? &k->in[1] : &k->in[0];
  th__cuda_window w = {.dtype = (int32_t)out->dtype, .count_padding = p->count_padding};
  for (int d = 0; d < 4; d++) {
    w.out[d] = out->shape[d];
    w.a[d] = k->in[0].strides[d];
    w.b[d] = second->strides[d];
  }
  for (int d = 0; d < 2; d++) {
    w.kernel[d] = p->kernel[d];
    w.stride[d] = p->stride[d];
    w.padding[d] = p->padding[d];
    w.dilation[d] = p->dilation[d];
  }
  return w;
}

/* Planes of the input and of the windows. */
static void planes_of(th__cuda_window *w, const th_layout *input, const th_layout *windows) {
  for (int d = 0; d < 2; d++) {
    w->size[d] = input->shape[2 + d];
    w->count[d] = windows->shape[2 + d];
  }
}

static th_status launch(const th_kernel_args *k, th__cuda_kernel *kernel, void **args) {
  int64_t n = th__layout_size(&k->out[0]);
  if (n == 0) return TH_OK;
  return th__cuda_blocks(k->context, &th__image_pool, kernel, th__cuda_blocks_for(k->context, n),
                         args);
}

/* Kernels of f64, and of the types that compute in float. */
#define KERNELS(id)                                                                                \
  static th__cuda_kernel id##_f64 = {.name = #id "_f64"}, id##_single = {.name = #id "_single"};   \
  static th__cuda_kernel *id##_of(const th_kernel_args *k) {                                       \
    return k->out[0].dtype == TH_F64 ? &id##_f64 : &id##_single;                                   \
  }
KERNELS(max_pool2d)
KERNELS(max_pool2d_slope)
KERNELS(max_pool2d_take)
KERNELS(avg_pool2d)
KERNELS(avg_pool2d_slope)

static th_status two_inputs(const th_kernel_args *k, th__cuda_kernel *kernel, th__cuda_window *w) {
  return launch(
      k, kernel,
      (void *[]){(void *)&k->out_data[0], (void *)&k->in_data[0], (void *)&k->in_data[1], w});
}

static th_status one_input(const th_kernel_args *k, th__cuda_kernel *kernel, th__cuda_window *w) {
  return launch(k, kernel, (void *[]){(void *)&k->out_data[0], (void *)&k->in_data[0], w});
}

static th_status max_cuda(const th_kernel_args *k) {
  th__cuda_window w = window_of(k);
  planes_of(&w, &k->in[0], &k->out[0]);
  return one_input(k, max_pool2d_of(k), &w);
}

static th_status max_slope_cuda(const th_kernel_args *k) {
  th__cuda_window w = window_of(k);
  planes_of(&w, &k->in[0], &k->in[1]);
  return two_inputs(k, max_pool2d_slope_of(k), &w);
}

static th_status max_take_cuda(const th_kernel_args *k) {
  th__cuda_window w = window_of(k);
  planes_of(&w, &k->in[0], &k->out[0]);
  return two_inputs(k, max_pool2d_take_of(k), &w);
}

static th_status avg_cuda(const th_kernel_args *k) {
  th__cuda_window w = window_of(k);
  planes_of(&w, &k->in[0], &k->out[0]);
  return one_input(k, avg_pool2d_of(k), &w);
}

static th_status avg_slope_cuda(const th_kernel_args *k) {
  th__cuda_window w = window_of(k);
  planes_of(&w, &k->out[0], &k->in[0]);
  return one_input(k, avg_pool2d_slope_of(k), &w);
}

extern const th__cuda_entry th__cuda_pools[];
const th__cuda_entry th__cuda_pools[] = {{"max_pool2d", max_cuda},
                                         {"max_pool2d_slope", max_slope_cuda},
                                         {"max_pool2d_take", max_take_cuda},
                                         {"avg_pool2d", avg_cuda},
                                         {"avg_pool2d_slope", avg_slope_cuda},
                                         {NULL, NULL}};
