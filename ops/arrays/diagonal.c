/* Owns diagonal, a view, and its gradient undiagonal. */
#include <string.h>

#include "engine/base/error.h"
#include "ops/op.h"
#include "ops/params_arrays.h"

/* The view of the diagonal; may be empty. */
static th_status diagonal_of(const th_layout *a, int64_t offset, th_layout *out) {
  int n = a->ndim;
  if (n < 2) return th__fail(TH_ESHAPE, "diagonal: needs 2 dimensions or more, not %d", n);
  th__layout_copy(out, a);
  int64_t rows = a->shape[n - 2], columns = a->shape[n - 1];
  int64_t row = 0, column = 0;
  if (offset < 0)
    row = offset < -rows ? rows : -offset;
  else
    column = offset > columns ? columns : offset;
  int64_t down = rows - row, right = columns - column;
  out->ndim = n - 1;
  out->shape[n - 2] = down < right ? down : right;
  out->strides[n - 2] = a->strides[n - 2] + a->strides[n - 1];
  if (out->shape[n - 2] > 0)
    out->offset = a->offset + row * a->strides[n - 2] + column * a->strides[n - 1];
  return TH_OK;
}

static th_status infer_diagonal(th_infer *io, const void *params) {
  return diagonal_of(&io->in[0], ((const th__diagonal_params *)params)->offset, &io->out[0]);
}

/* --- undiagonal: zeros but for the diagonal --- */

static th_status infer_undiagonal(th_infer *io, const void *params) {
  const th__undiagonal_params *p = params;
  const th_layout *in = &io->in[0];
  th_layout *out = &io->out[0], line = {.ndim = 0};
  if (in->ndim < 1 || in->ndim == TH_MAX_DIMS)
    return th__fail(TH_ESHAPE, "undiagonal: %d dimensions", in->ndim);
  th__layout_copy(out, in);
  out->offset = 0;
  out->ndim = in->ndim + 1;
  out->shape[in->ndim - 1] = p->rows;
  out->shape[in->ndim] = p->columns;
  TH_TRY(th__layout_finish(out, "undiagonal"));
  TH_TRY(diagonal_of(out, p->offset, &line));
  return th__layout_same_shape(&line, in)
             ? TH_OK
             : th__fail(TH_ESHAPE, "undiagonal: the input has not the shape of the diagonal");
}

static th_status undiagonal_cpu(const th_kernel_args *k) {
  th_layout line = {.ndim = 0}, from = k->in[0];
  char *out = k->out_data[0];
  memset(out, 0, (size_t)th__layout_bytes(&k->out[0])); /* the bits of 0 in every type */
  TH_TRY(diagonal_of(&k->out[0], ((const th__undiagonal_params *)k->params)->offset, &line));
  char *first = out + line.offset * (int64_t)th_dtype_size(line.dtype);
  from.offset = line.offset = 0;
  th__copy_elements(&from, k->in_data[0], &line, first);
  return TH_OK;
}

static th_status vjp_undiagonal(const th_vjp *v) {
  v->result[0] = th_diagonal(v->gradients[0], ((const th__undiagonal_params *)v->params)->offset);
  return th__vjp_check(v);
}

static const th_op op_undiagonal = {
    .name = "undiagonal",
    .in = {1, 0},
    .out = {1, 0},
    .dtypes = TH_ANY,
    .params_size = sizeof(th__undiagonal_params),
    .infer = infer_undiagonal,
    .vjp = vjp_undiagonal,
    .cpu = undiagonal_cpu,
    .test = {-3, 3, 1e-5},
};

static th_status vjp_diagonal(const th_vjp *v) {
  const th_layout *in = &v->in[0];
  th__undiagonal_params p = {((const th__diagonal_params *)v->params)->offset,
                             in->shape[in->ndim - 2], in->shape[in->ndim - 1]};
  v->result[0] = TH_CALL(&op_undiagonal, &p, v->gradients[0]);
  return th__vjp_check(v);
}

static const th_op op_diagonal = {
    .name = "diagonal",
    .in = {1, 0},
    .out = {1, 0},
    .flags = TH_OP_VIEW,
    .dtypes = TH_ANY,
    .params_size = sizeof(th__diagonal_params),
    .infer = infer_diagonal,
    .vjp = vjp_diagonal,
    .test = {-3, 3, 1e-5},
};
th_array *th_diagonal(th_array *a, int64_t offset) {
  return TH_CALL(&op_diagonal, &(th__diagonal_params){offset}, a);
}

TH_FAMILY_TABLE(diagonal);
const th_op *const th__family_diagonal[] = {&op_diagonal, &op_undiagonal, NULL};
