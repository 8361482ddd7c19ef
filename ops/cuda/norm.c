/* Owns the launchers of norms and their gradients. */
#include "ops/cuda/norm.h"

#include "engine/base/error.h"

#include "ops/cuda/cuda.h"
#include "ops/params_nn.h"

static th__cuda_kernel norm_single = {.name = "norm_single"}, norm_f64 = {.name = "norm_f64"};

/* The operand as if it had the shape of x. */
static th_status describe(th__cuda_part *part, const th_layout *l, const th_layout *x,
                          uint32_t axes) {
  th_layout grown;
  TH_TRY(th__layout_broadcast(l, x->shape, x->ndim, &grown, "norm"));
  th__cuda_reduction r = th__cuda_lines(&grown, axes);
  part->kept = r.kept;
  part->reduced = r.reduced;
  return TH_OK;
}

static th_status norm(const th_kernel_args *k, bool slope) {
  const th__norm_params *p = k->params;
  const th_layout *x = &k->in[0];
  th__cuda_norm m = {.eps = p->eps, .center = p->center, .slope = slope};
  th__cuda_reduction r = th__cuda_lines(x, p->axes);
  const void *data[3] = {NULL};
  void *out[3] = {NULL};
  if (r.n_out == 0 || r.n_reduced == 0) return TH_OK;
  for (int i = 0; i < k->n_in; i++) {
    data[i] = k->in_data[i];
    if (i > 0) TH_TRY(describe(&m.part[i - 1], &k->in[i], x, p->axes));
  }
  for (int j = 0; j < k->n_out; j++) out[j] = k->out_data[j];
  TH_TRY(describe(&m.part[TH__NORM_RESULT], &k->out[0], x, p->axes));
  void *args[] = {&out[0], &out[1], &out[2], &data[0], &data[1], &data[2], &m, &r};
  return th__cuda_blocks(k->context, &th__image_norm, x->dtype == TH_F64 ? &norm_f64 : &norm_single,
                         th__cuda_line_blocks(&r), args);
}

static th_status norm_cuda(const th_kernel_args *k) { return norm(k, false); }
static th_status slope_cuda(const th_kernel_args *k) { return norm(k, true); }

extern const th__cuda_entry th__cuda_norms[];
const th__cuda_entry th__cuda_norms[] = {{"layer_norm", norm_cuda},
                                         {"rms_norm", norm_cuda},
                                         {"batch_norm", norm_cuda},
                                         {"layer_norm_slope", slope_cuda},
                                         {"rms_norm_slope", slope_cuda},
                                         {"batch_norm_slope", slope_cuda},
                                         {NULL, NULL}};
