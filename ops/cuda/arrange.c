/* Owns the launchers of what puts results together from boxes: roll, pad, undiagonal. */
#include "engine/base/error.h"
#include "ops/cuda/cuda.h"
#include "ops/params_arrays.h"
#include "ops/arrays/shift.h"

static const th__box_ops boxes = {th__cuda_move, th__cuda_fill_cell};

static th_status roll_cuda(const th_kernel_args *k) { return th__roll(k, &boxes); }
static th_status pad_cuda(const th_kernel_args *k) { return th__pad(k, &boxes); }

/* Zeros, then the diagonal as an array of its own. */
static th_status undiagonal_cuda(const th_kernel_args *k) {
  int64_t offset = ((const th__undiagonal_params *)k->params)->offset;
  const th_layout *out = &k->out[0];
  int n = out->ndim;
  int64_t bytes = th__layout_bytes(out);
  if (bytes == 0) return TH_OK;
  TH_TRY(th__cuda_fill(k->context, k->out_data[0], 0, bytes));
  th_layout line = *out;
  line.ndim = n - 1;
  line.shape[n - 2] = k->in[0].shape[n - 2];
  line.strides[n - 2] = out->strides[n - 2] + out->strides[n - 1];
  if (line.shape[n - 2] == 0) return TH_OK;
  int64_t first = offset < 0 ? -offset * out->strides[n - 2] : offset * out->strides[n - 1];
  char *to = (char *)k->out_data[0] + first * th__dtype_size(out->dtype);
  return th__cuda_move(k->context, &line, to, &k->in[0], k->in_data[0]);
}

extern const th__cuda_entry th__cuda_arranging[];
const th__cuda_entry th__cuda_arranging[] = {
    {"roll", roll_cuda}, {"pad", pad_cuda}, {"undiagonal", undiagonal_cuda}, {NULL, NULL}};
