/* Owns the inferences and gradient helpers that many families share. */
#include "ops/op.h"

#include "engine/base/error.h"

static void take_shape(th_layout *out, const th_layout *from) {
  out->ndim = from->ndim;
  th__sizes_copy(out->shape, from->shape, from->ndim);
}

th_status th__infer_same(th_infer *io, const void *params) {
  take_shape(&io->out[0], &io->in[0]);
  io->out[0].dtype = io->in[0].dtype;
  return TH_OK;
}

/* Inputs of one dtype, unless the operator takes mixed ones. */
static th_status check_one_dtype(const th_infer *io) {
  for (int i = 1; i < io->n_in; i++)
    if (io->in[i].dtype != io->in[0].dtype)
      return th__fail(TH_EDTYPE, "%s: element types %s and %s differ", io->op->name,
                      th_dtype_name(io->in[0].dtype), th_dtype_name(io->in[i].dtype));
  return TH_OK;
}

th_status th__infer_broadcast(th_infer *io, const void *params) {
  TH_TRY(check_one_dtype(io));
  int same = 1;
  while (same < io->n_in && th__layout_same_shape(&io->in[same], &io->in[0])) same++;
  if (same == io->n_in) return th__infer_same(io, params);
  th_layout shape;
  take_shape(&shape, &io->in[0]);
  for (int i = 1; i < io->n_in; i++) {
    th_layout so_far = shape;
    TH_TRY(th__broadcast_shapes(&so_far, &io->in[i], &shape, io->op->name));
  }
  take_shape(&io->out[0], &shape);
  io->out[0].dtype = io->in[0].dtype;
  return TH_OK;
}

th_status th__infer_inplace(th_infer *io, const void *params) {
  TH_TRY(check_one_dtype(io));
  for (int i = 1; i < io->n_in; i++) {
    th_layout grown;
    TH_TRY(th__layout_broadcast(&io->in[i], io->in[0].shape, io->in[0].ndim, &grown, io->op->name));
  }
  return TH_OK;
}

th_array *th__sum_to(const th_array *g, const th_layout *shape) {
  if (!g) return NULL;
  int axes[TH_MAX_DIMS], n_axes = 0, grown = g->layout.ndim - shape->ndim;
  for (int d = 0; d < g->layout.ndim; d++)
    if (d < grown || shape->shape[d - grown] != g->layout.shape[d]) axes[n_axes++] = d;
  /* A reference taken while scopes are suspended goes to the open one on resuming, as a made array does. */
  th_scope scope = th__scope_suspend();
  if (th__layout_same_shape(&g->layout, shape)) {
    return th__scope_resume(scope, th_retain((th_array *)g));
  }
  th_array *sum = n_axes ? th_sum(g, axes, n_axes, false) : th_retain((th_array *)g);
  th_array *result = th_reshape(sum, shape->shape, shape->ndim);
  th_release(sum);
  return th__scope_resume(scope, result);
}

th_status th__vjp_check(const th_vjp *v) {
  for (int i = 0; i < v->n_in; i++)
    if (v->needed[i] && !v->result[i]) return th_last_status();
  return TH_OK;
}

th_status th__promote_pair(const th_array *a, const th_array *b, th_array **pa, th_array **pb) {
  *pa = *pb = NULL;
  if (!a || !b) return th__null_input("promote", a ? 1 : 0);
  th_dtype common = th__dtype_promote(a->layout.dtype, b->layout.dtype);
  th_array *x = a->layout.dtype == common ? th_retain((th_array *)a) : th_astype(a, common);
  th_array *y = b->layout.dtype == common ? th_retain((th_array *)b) : th_astype(b, common);
  if (x && y) {
    *pa = x;
    *pb = y;
    return TH_OK;
  }
  th_release(x);
  th_release(y);
  return th_last_status();
}
