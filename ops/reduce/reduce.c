/* Owns the operators sum, prod, mean, max, min, all, any and count_nonzero; reduce_run.c has their kernel. */
#include <string.h>

#include "engine/base/error.h"
#include "ops/compose.h"
#include "ops/params.h"
#include "ops/reduce/reduce.h"

/* --- inference --- */

th_status th__infer_reduced(th_infer *io, uint32_t axes, bool keep, th_dtype t) {
  const th_layout *in = &io->in[0];
  axes = th__axes_of(axes, in->ndim);
  if (axes >> in->ndim != 0)
    return th__fail(TH_ESHAPE, "%s: axes beyond the %d dimensions", io->op->name, in->ndim);
  th_layout *out = &io->out[0];
  out->dtype = t;
  for (int d = 0; d < in->ndim; d++) {
    if (!(axes >> d & 1))
      out->shape[out->ndim++] = in->shape[d];
    else if (keep)
      out->shape[out->ndim++] = 1;
  }
  return TH_OK;
}

static uint32_t axes_of(const th__reduce_params *p, int ndim) { return th__axes_of(p->axes, ndim); }

static th_status infer_shape(th_infer *io, const void *params, th_dtype t) {
  const th__reduce_params *p = params;
  io->workspace = th__reduce_workspace(&io->in[0], axes_of(p, io->in[0].ndim));
  return th__infer_reduced(io, p->axes, p->keep, t);
}

static th_status reduce(const th_kernel_args *k, th__fold_kind kind, bool mean, bool logical) {
  th__reduction r = {.kind = kind,
                     .mean = mean,
                     .logical = logical,
                     .in = &k->in[0],
                     .data = k->in_data[0],
                     .axes = axes_of(k->params, k->in[0].ndim),
                     .out_dtype = k->out[0].dtype,
                     .out = k->out_data[0],
                     .workspace = k->workspace};
  th__reduce(k->context, &r);
  return TH_OK;
}

/* --- gradients --- */

int th__axes_list(uint32_t axes, int ndim, int list[TH_MAX_DIMS]) {
  uint32_t mask = th__axes_of(axes, ndim);
  int n = 0;
  for (int d = 0; d < ndim; d++)
    if (mask >> d & 1) list[n++] = d;
  return n;
}

th_array *th__with_kept_dims(const th_vjp *v, uint32_t axes, th_array *a) {
  uint32_t mask = th__axes_of(axes, v->in[0].ndim);
  int64_t shape[TH_MAX_DIMS];
  for (int d = 0; d < v->in[0].ndim; d++) shape[d] = mask >> d & 1 ? 1 : v->in[0].shape[d];
  return th_reshape(a, shape, v->in[0].ndim);
}

th_array *th__widened(th_array *a) {
  return a != NULL && th__dtype_in(a->layout.dtype, TH_HALVES) ? th_astype(a, TH_F32) : a;
}

th_array *th__narrowed(th_array *a, th_dtype t) {
  return a != NULL && a->layout.dtype != t ? th_astype(a, t) : a;
}

static uint32_t vjp_axes(const th_vjp *v) { return axes_of(v->params, v->in[0].ndim); }
static int axes_list(const th_vjp *v, int axes[TH_MAX_DIMS]) {
  return th__axes_list(vjp_axes(v), v->in[0].ndim, axes);
}
static th_array *with_kept_dims(const th_vjp *v, th_array *a) {
  return th__with_kept_dims(v, vjp_axes(v), a);
}

static th_status give(const th_vjp *v, th_scope scope, th_array *result) {
  v->result[0] = th_keep(result);
  th_scope_end(scope);
  return th__vjp_check(v);
}

static th_status vjp_sum(const th_vjp *v) {
  th_scope scope = th_scope_begin();
  th_array *g = with_kept_dims(v, v->gradients[0]);
  return give(v, scope, th_broadcast_to(g, v->in[0].shape, v->in[0].ndim));
}

static th_status vjp_mean(const th_vjp *v) {
  th_scope scope = th_scope_begin();
  int64_t n = th__reduced_size(&v->in[0], vjp_axes(v));
  th_array *g = th_divide_scalar(th__widened(v->gradients[0]), (double)n);
  g = with_kept_dims(v, th__narrowed(g, v->in[0].dtype));
  return give(v, scope, th_broadcast_to(g, v->in[0].shape, v->in[0].ndim));
}

/* The gradient is shared evenly among all elements equal to the extreme. */
static th_status vjp_extreme(const th_vjp *v) {
  th_scope scope = th_scope_begin();
  int axes[TH_MAX_DIMS], n = axes_list(v, axes);
  th_array *extreme = with_kept_dims(v, v->outputs[0]), *g = th__widened(v->gradients[0]);
  th_array *mask = th_astype(th_equal(v->inputs[0], extreme), g != NULL ? g->layout.dtype : TH_F32);
  th_array *count = n > 0 ? th_sum(mask, axes, n, true) : mask;
  th_array *share = th_divide(with_kept_dims(v, g), count);
  return give(v, scope, th__narrowed(th_multiply(mask, share), v->in[0].dtype));
}

/* d/dx_i is the product of the others: exact with no zero or one zero among them, too. */
static th_status vjp_prod(const th_vjp *v) {
  th_scope scope = th_scope_begin();
  int axes[TH_MAX_DIMS], n = axes_list(v, axes);
  th_dtype t = v->in[0].dtype;
  th_array *zero = th_equal_scalar(v->inputs[0], 0);
  th_array *filled = th_add(v->inputs[0], th_astype(zero, t)); /* 1 in place of 0 */
  th_array *product = n > 0 ? th_prod(filled, axes, n, true) : filled;
  th_array *zeros = n > 0 ? th_sum(zero, axes, n, true) : th_astype(zero, TH_I64);
  th_array *alone = th_logical_and(zero, th_equal_scalar(zeros, 1));
  th_array *counts = th_astype(th_logical_or(th_equal_scalar(zeros, 0), alone), t);
  th_array *others = th_multiply(th_divide(product, filled), counts);
  return give(v, scope, th_multiply(others, with_kept_dims(v, v->gradients[0])));
}

/* --- records and public functions --- */

static th_status infer_sum(th_infer *io, const void *params) {
  th_dtype t = io->in[0].dtype;
  if (!th__dtype_in(t, TH_FLOATS)) t = th__dtype_in(t, TH_UINTS) ? TH_U64 : TH_I64;
  return infer_shape(io, params, t);
}

static th_status infer_mean(th_infer *io, const void *params) {
  th_dtype t = io->in[0].dtype;
  return infer_shape(io, params, th__dtype_in(t, TH_FLOATS) ? t : TH_F32);
}

static th_status infer_extreme(th_infer *io, const void *params) {
  TH_TRY(infer_shape(io, params, io->in[0].dtype));
  if (th__reduced_size(&io->in[0], axes_of(params, io->in[0].ndim)) == 0) {
    char text[TH__SHAPE_TEXT];
    return th__fail(TH_ESHAPE, "%s: nothing to choose from in shape %s", io->op->name,
                    th__shape_text(io->in[0].shape, io->in[0].ndim, text, sizeof text));
  }
  return TH_OK;
}

static th_status infer_logical(th_infer *io, const void *params) {
  return infer_shape(io, params, TH_BOOL);
}

static th_status infer_count(th_infer *io, const void *params) {
  return infer_shape(io, params, TH_I64);
}

static th_array *call(const th_op *op, const th_array *a, const int *axes, int n_axes, bool keep) {
  th__reduce_params p = {.keep = keep};
  if (a != NULL && th__axes_mask(axes, n_axes, a->layout.ndim, op->name, &p.axes) != TH_OK)
    return NULL;
  return TH_CALL(op, &p, a);
}

/* One row per operator: kernel, inference, gradient, what it saves. */
#define REDUCTION(id, fold, is_mean, is_logical, infer_, vjp_, saves_, flags_, dtypes_)            \
  static th_status id##_cpu(const th_kernel_args *k) {                                             \
    return reduce(k, fold, is_mean, is_logical);                                                   \
  }                                                                                                \
  static const th_op op_##id = {.name = #id,                                                       \
                                .in = {1, 0},                                                      \
                                .out = {1, 0},                                                     \
                                .saves = saves_,                                                   \
                                .flags = flags_,                                                   \
                                .dtypes = dtypes_,                                                 \
                                .params_size = sizeof(th__reduce_params),                          \
                                .infer = infer_,                                                   \
                                .vjp = vjp_,                                                       \
                                .cpu = id##_cpu,                                                   \
                                .test = {-2, 2, 1e-4}};
#define PUBLIC(id)                                                                                 \
  th_array *th_##id(const th_array *a, const int *axes, int n_axes, bool keepdims) {               \
    return call(&op_##id, a, axes, n_axes, keepdims);                                              \
  }

#define BOTH (TH_SAVE_IN(0) | TH_SAVE_OUT(0))
REDUCTION(sum, TH__FOLD_SUM, false, false, infer_sum, vjp_sum, 0, 0, TH_ANY)
REDUCTION(prod, TH__FOLD_PROD, false, false, infer_sum, vjp_prod, TH_SAVE_IN(0), 0, TH_ANY)
REDUCTION(mean, TH__FOLD_SUM, true, false, infer_mean, vjp_mean, 0, 0, TH_ANY)
REDUCTION(max, TH__FOLD_MAX, false, false, infer_extreme, vjp_extreme, BOTH, 0, TH_ANY)
REDUCTION(min, TH__FOLD_MIN, false, false, infer_extreme, vjp_extreme, BOTH, 0, TH_ANY)
REDUCTION(all, TH__FOLD_MIN, false, true, infer_logical, NULL, 0, TH_OP_FLAT, TH_ANY)
REDUCTION(any, TH__FOLD_MAX, false, true, infer_logical, NULL, 0, TH_OP_FLAT, TH_ANY)
REDUCTION(count_nonzero, TH__FOLD_SUM, false, true, infer_count, NULL, 0, TH_OP_FLAT, TH_ANY)
PUBLIC(sum)
PUBLIC(prod)
PUBLIC(max)
PUBLIC(min)
PUBLIC(all)
PUBLIC(any)
PUBLIC(count_nonzero)

/* Those of 64 bits are averaged as f64, where the sum does not wrap. */
th_array *th_mean(const th_array *a, const int *axes, int n_axes, bool keepdims) {
  if (a == NULL || !th__dtype_in(a->layout.dtype, TH_BIT(TH_I64) | TH_BIT(TH_U64)))
    return call(&op_mean, a, axes, n_axes, keepdims);
  th__reduce_params p = {.keep = keepdims};
  if (th__axes_mask(axes, n_axes, a->layout.ndim, op_mean.name, &p.axes) != TH_OK) return NULL;
  th__composing c = th__compose();
  return th__composed(c, th_astype(TH_CALL(&op_mean, &p, th_astype(a, TH_F64)), TH_F32));
}

TH_FAMILY_TABLE(reduce);
const th_op *const th__family_reduce[] = {&op_sum, &op_prod, &op_mean,          &op_max, &op_min,
                                          &op_all, &op_any,  &op_count_nonzero, NULL};
