/* Owns the public view functions: operators without kernel or task whose result shares the storage of its input. */
#include "ops/op.h"

#include <string.h>

#include "engine/base/error.h"
#include "ops/params.h"

#define VIEW_OP(id, bytes)                                                                         \
  static const th_op id##_op = {.name = #id,                                                       \
                                .in = {1},                                                         \
                                .out = {1},                                                        \
                                .flags = TH_OP_VIEW,                                               \
                                .dtypes = TH_ANY,                                                  \
                                .params_size = bytes,                                              \
                                .infer = infer_##id,                                               \
                                .vjp = vjp_##id,                                                   \
                                .test = {-3, 3, 1e-5}}

static th_status give(const th_vjp *v, th_array *gradient) {
  v->result[0] = gradient;
  return th__vjp_check(v);
}

/* The gradient in the input's shape, for views that keep the order of elements. */
static th_status vjp_reshaped(const th_vjp *v) {
  return give(v, th_reshape(v->gradients[0], v->in[0].shape, v->in[0].ndim));
}

/* --- slice --- */

static th_status infer_slice(th_infer *io, const void *params) {
  return th__view_slice(&io->in[0], ((const th__slice_params *)params)->spec, &io->out[0]);
}

/* Zeros of the full shape with the input in the place of the slice: the gradient of slice. */
static th_status unslice_layouts(const th__unslice_params *p, th_dtype t, th_layout *full,
                                 th_layout *window) {
  TH_TRY(th__layout_make(full, p->shape, p->ndim, t, "unslice"));
  return th__view_slice(full, p->slice.spec, window);
}

static th_status infer_unslice(th_infer *io, const void *params) {
  th_layout window;
  TH_TRY(unslice_layouts(params, io->in[0].dtype, &io->out[0], &window));
  return th__layout_same_shape(&window, &io->in[0])
             ? TH_OK
             : th__fail(TH_ESHAPE, "unslice: the input has not the shape of the slice");
}

static th_status unslice_cpu(const th_kernel_args *k) {
  th_layout full, window, from = k->in[0];
  size_t size = th_dtype_size(from.dtype);
  (void)unslice_layouts(k->params, from.dtype, &full, &window);
  memset(k->out_data[0], 0, (size_t)th__layout_bytes(&full));
  char *to = (char *)k->out_data[0] + window.offset * (int64_t)size;
  from.offset = window.offset = 0;
  if (th__layout_size(&window) > 0) th__copy_elements(&from, k->in_data[0], &window, to);
  return TH_OK;
}

static th_status vjp_unslice(const th_vjp *v) {
  return give(v, th_slice(v->gradients[0], ((const th__unslice_params *)v->params)->slice.spec));
}

static const th_op unslice_op = {.name = "unslice",
                                 .in = {1},
                                 .out = {1},
                                 .flags = TH_OP_NONBLOCKING,
                                 .dtypes = TH_ANY,
                                 .params_size = sizeof(th__unslice_params),
                                 .infer = infer_unslice,
                                 .vjp = vjp_unslice,
                                 .cpu = unslice_cpu,
                                 .test = {-3, 3, 1e-5}};

static th_status vjp_slice(const th_vjp *v) {
  th__unslice_params p = {*(const th__slice_params *)v->params, v->in[0].ndim, {0}};
  for (int d = 0; d < p.ndim; d++) p.shape[d] = v->in[0].shape[d];
  return give(v, TH_CALL(&unslice_op, &p, v->gradients[0]));
}

/* Reads and writes the slice alone: slices side by side, as of unstack(), would else each add a whole array of mostly zeros. */
static th_status vjp_add_slice(const th_vjp *v, th_array *sum) {
  th_scope scope = th_scope_begin();
  th_array *part = th_slice(sum, ((const th__slice_params *)v->params)->spec);
  th_status status = th_add_inplace(part, v->gradients[0]);
  th_scope_end(scope);
  return status;
}

static const th_op slice_op = {.name = "slice",
                               .in = {1},
                               .out = {1},
                               .flags = TH_OP_VIEW,
                               .dtypes = TH_ANY,
                               .params_size = sizeof(th__slice_params),
                               .infer = infer_slice,
                               .vjp = vjp_slice,
                               .vjp_add = vjp_add_slice,
                               .test = {-3, 3, 1e-5}};

th_array *th_slice(th_array *a, const char *spec) {
  th__slice_params p = {{0}};
  if (!spec) return th__fail_null(TH_EINVAL, "slice: no text");
  if (strlen(spec) >= sizeof p.spec)
    return th__fail_null(TH_EINVAL, "slice: text of more than %d characters", TH__SPEC_BYTES - 1);
  strcpy(p.spec, spec);
  return TH_CALL(&slice_op, &p, a);
}

/* --- reshape, broadcast_to --- */

typedef struct shape_params {
  int ndim;
  int64_t shape[TH_MAX_DIMS];
} shape_params;

static th_status set_shape(shape_params *p, const int64_t *shape, int ndim, const char *who) {
  if (ndim < 0 || ndim > TH_MAX_DIMS)
    return th__fail(TH_ESHAPE, "%s: %d dimensions, at most %d are possible", who, ndim,
                    TH_MAX_DIMS);
  if (ndim > 0 && !shape) return th__fail(TH_EINVAL, "%s: no shape", who);
  *p = (shape_params){.ndim = ndim};
  for (int d = 0; d < ndim; d++) p->shape[d] = shape[d];
  return TH_OK;
}

static th_status infer_reshape(th_infer *io, const void *params) {
  const shape_params *p = params;
  bool copy = false;
  TH_TRY(th__view_reshape(&io->in[0], p->shape, p->ndim, &io->out[0], &copy));
  return copy ? th__fail(TH_ESHAPE, "reshape: no view of this array has that shape") : TH_OK;
}

static th_status vjp_reshape(const th_vjp *v) { return vjp_reshaped(v); }

VIEW_OP(reshape, sizeof(shape_params));

th_array *th_reshape(th_array *a, const int64_t *shape, int ndim) {
  shape_params p;
  if (!a) return (void)th__null_input("reshape", 0), NULL;
  if (set_shape(&p, shape, ndim, "reshape") != TH_OK) return NULL;
  th_layout view;
  bool copy = false;
  if (th__view_reshape(&a->layout, p.shape, p.ndim, &view, &copy) != TH_OK) return NULL;
  if (!copy) return TH_CALL(&reshape_op, &p, a);
  th_scope scope = th__scope_suspend();
  th_array *compact = th_copy(a);
  th_array *result = TH_CALL(&reshape_op, &p, compact);
  th_release(compact);
  return th__scope_resume(scope, result);
}

static th_status infer_broadcast_to(th_infer *io, const void *params) {
  const shape_params *p = params;
  th_layout checked;
  TH_TRY(th__layout_make(&checked, p->shape, p->ndim, io->in[0].dtype, "broadcast_to"));
  return th__layout_broadcast(&io->in[0], p->shape, p->ndim, &io->out[0], "broadcast_to");
}

static th_status vjp_broadcast_to(const th_vjp *v) {
  return give(v, th__sum_to(v->gradients[0], &v->in[0]));
}

VIEW_OP(broadcast_to, sizeof(shape_params));

th_array *th_broadcast_to(th_array *a, const int64_t *shape, int ndim) {
  shape_params p;
  if (a && set_shape(&p, shape, ndim, "broadcast_to") != TH_OK) return NULL;
  return TH_CALL(&broadcast_to_op, &p, a);
}

/* --- permute_dims, matrix_transpose, flip, squeeze, expand_dims --- */

typedef struct axes_params {
  int n;
  int axes[TH_MAX_DIMS];
} axes_params;

static th_array *call_axes(const th_op *op, const th_array *a, const int *axes, int n) {
  axes_params p = {.n = n};
  if (n < 0 || n > TH_MAX_DIMS || (n > 0 && !axes))
    return th__fail_null(TH_EINVAL, "%s: %d axes, at most %d are possible", op->name, n,
                         TH_MAX_DIMS);
  for (int i = 0; i < n; i++) p.axes[i] = axes[i];
  return TH_CALL(op, &p, a);
}

static th_status infer_permute_dims(th_infer *io, const void *params) {
  const axes_params *p = params;
  return th__view_permute(&io->in[0], p->axes, p->n, &io->out[0]);
}

static th_status vjp_permute_dims(const th_vjp *v) {
  const axes_params *p = v->params;
  int inverse[TH_MAX_DIMS] = {0};
  for (int i = 0; i < p->n; i++) inverse[p->axes[i] < 0 ? p->axes[i] + p->n : p->axes[i]] = i;
  return give(v, th_permute_dims(v->gradients[0], inverse, p->n));
}

VIEW_OP(permute_dims, sizeof(axes_params));

th_array *th_permute_dims(th_array *a, const int *axes, int n_axes) {
  return call_axes(&permute_dims_op, a, axes, n_axes);
}

static th_status infer_matrix_transpose(th_infer *io, const void *params) {
  int n = io->in[0].ndim, axes[TH_MAX_DIMS];
  if (n < 2) return th__fail(TH_ESHAPE, "matrix_transpose: needs 2 dimensions or more, not %d", n);
  for (int i = 0; i < n; i++) axes[i] = i;
  axes[n - 1] = n - 2;
  axes[n - 2] = n - 1;
  return th__view_permute(&io->in[0], axes, n, &io->out[0]);
}

static th_status vjp_matrix_transpose(const th_vjp *v) {
  return give(v, th_matrix_transpose(v->gradients[0]));
}

VIEW_OP(matrix_transpose, 0);

th_array *th_matrix_transpose(th_array *a) { return TH_CALL(&matrix_transpose_op, NULL, a); }

static th_status infer_flip(th_infer *io, const void *params) {
  const axes_params *p = params;
  return th__view_flip(&io->in[0], p->axes, p->n, &io->out[0]);
}

static th_status vjp_flip(const th_vjp *v) {
  const axes_params *p = v->params;
  return give(v, th_flip(v->gradients[0], p->axes, p->n));
}

VIEW_OP(flip, sizeof(axes_params));

th_array *th_flip(th_array *a, const int *axes, int n_axes) {
  return call_axes(&flip_op, a, axes, n_axes);
}

static th_status infer_squeeze(th_infer *io, const void *params) {
  const axes_params *p = params;
  return th__view_squeeze(&io->in[0], p->axes, p->n, &io->out[0]);
}

static th_status vjp_squeeze(const th_vjp *v) { return vjp_reshaped(v); }

VIEW_OP(squeeze, sizeof(axes_params));

th_array *th_squeeze(th_array *a, const int *axes, int n_axes) {
  return call_axes(&squeeze_op, a, axes, n_axes);
}

static th_status infer_expand_dims(th_infer *io, const void *params) {
  return th__view_expand(&io->in[0], *(const int *)params, &io->out[0]);
}

static th_status vjp_expand_dims(const th_vjp *v) { return vjp_reshaped(v); }

VIEW_OP(expand_dims, sizeof(int));

th_array *th_expand_dims(th_array *a, int axis) { return TH_CALL(&expand_dims_op, &axis, a); }

const th_op *const th__family_view[] = {&slice_op,        &unslice_op,
                                        &reshape_op,      &broadcast_to_op,
                                        &permute_dims_op, &matrix_transpose_op,
                                        &flip_op,         &squeeze_op,
                                        &expand_dims_op,  NULL};
