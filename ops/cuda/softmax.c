/* Owns the launchers of softmax, log_softmax and cross_entropy. */
#include "ops/cuda/softmax.h"

#include <math.h>

#include "engine/base/error.h"
#include "ops/cuda/cuda.h"
#include "ops/params.h"

static th__cuda_kernel softmax_single = {.name = "softmax_single"};
static th__cuda_kernel softmax_f64 = {.name = "softmax_f64"};

/* Lines along `axis` of input 0. labels and gradient may be NULL. */
static th_status launch(const th_kernel_args *k, int axis, th__cuda_softmax *o, void *out,
                        const void *labels, const void *gradient) {
  const th_layout *in = &k->in[0];
  th__cuda_reduction r = th__cuda_lines(in, 1u << axis);
  if (r.n_out == 0 || r.n_reduced == 0) return TH_OK;
  const void *a = k->in_data[0];
  void *args[] = {&out, &a, &labels, &gradient, o, &r};
  return th__cuda_blocks(k->context, &th__image_softmax,
                         in->dtype == TH_F64 ? &softmax_f64 : &softmax_single,
                         th__cuda_line_blocks(&r), args);
}

static th_status lines(const th_kernel_args *k, int32_t what) {
  int axis = ((const th__softmax_params *)k->params)->axis;
  if (axis < 0) axis += k->in[0].ndim;
  th__cuda_softmax o = {.kept = th__cuda_lines(&k->out[0], 1u << axis).kept,
                        .step = k->out[0].strides[axis],
                        .what = what};
  return launch(k, axis, &o, k->out_data[0], NULL, NULL);
}

static th_status softmax_cuda(const th_kernel_args *k) { return lines(k, TH__SOFTMAX); }
static th_status log_softmax_cuda(const th_kernel_args *k) { return lines(k, TH__LOG_SOFTMAX); }

/* A loss per line, then their mean. */
static th_status cross_entropy_cuda(const th_kernel_args *k) {
  th__cuda_softmax o = {
      .label_step = k->in[1].strides[0], .label_dtype = (int32_t)k->in[1].dtype, .what = TH__LOSS};
  th_layout losses = {.dtype = TH_F64, .ndim = 1, .shape = {k->in[0].shape[0]}, .strides = {1}};
  void *room;
  if (losses.shape[0] == 0 || k->in[0].shape[1] == 0) {
    uint64_t cell = 0;
    th__dtype_set(k->out[0].dtype, &cell, (double)NAN);
    return th__cuda_fill_cell(k->context, &k->out[0], k->out_data[0], cell);
  }
  TH_TRY(th__cuda_scratch(k->context, th__layout_bytes(&losses), &room));
  TH_TRY(launch(k, 1, &o, room, k->in_data[1], NULL));
  return th__cuda_mean(k, &losses, room);
}

static th_status cross_entropy_slope_cuda(const th_kernel_args *k) {
  th__cuda_softmax o = {.kept = th__cuda_lines(&k->out[0], 2).kept,
                        .step = 1,
                        .label_step = k->in[1].strides[0],
                        .label_dtype = (int32_t)k->in[1].dtype,
                        .what = TH__SOFTMAX_SLOPE};
  return launch(k, 1, &o, k->out_data[0], k->in_data[1], k->in_data[2]);
}

extern const th__cuda_entry th__cuda_softmaxes[];
const th__cuda_entry th__cuda_softmaxes[] = {{"softmax", softmax_cuda},
                                             {"log_softmax", log_softmax_cuda},
                                             {"cross_entropy", cross_entropy_cuda},
                                             {"cross_entropy_slope", cross_entropy_slope_cuda},
                                             {NULL, NULL}};
