/* Owns view arithmetic apart from slicing: reshape, permute, expand, squeeze, flip. Pure functions. */
#include <string.h>

#include "engine/base/error.h"
#include "ndarray/dtype.h"
#include "ndarray/shape.h"

/* Copies shape to out, with a size of -1 replaced by what is left of `size` elements. */
static th_status resolve_shape(const int64_t *shape, int ndim, int64_t size, int64_t *out) {
  char text[TH__SHAPE_TEXT];
  int unknown = -1;
  int64_t known = 1;
  bool overflow = false;
  for (int i = 0; i < ndim; i++) {
    out[i] = shape[i];
    if (shape[i] == -1 && unknown >= 0)
      return th__fail(TH_ESHAPE, "reshape: more than one size is -1 in shape %s",
                      th__shape_text(shape, ndim, text, sizeof text));
    if (shape[i] == -1) {
      unknown = i;
    } else if (shape[i] < 0) {
      return th__fail(TH_ESHAPE, "reshape: negative size in shape %s",
                      th__shape_text(shape, ndim, text, sizeof text));
    } else {
      overflow |= __builtin_mul_overflow(known, shape[i], &known);
    }
  }
  if (overflow || unknown < 0) return TH_OK; /* the caller compares sizes */
  if (known == 0 || size % known != 0)
    return th__fail(TH_ESHAPE, "reshape: %lld elements do not fit shape %s", (long long)size,
                    th__shape_text(shape, ndim, text, sizeof text));
  out[unknown] = size / known;
  return TH_OK;
}

/* Strides of view (whose shape is set) over a's elements, if there are any. Both are non-empty and of equal size. Old and new
 * dimensions are matched in groups of equal size; within a group the old ones must run on without a jump. */
static bool reshape_strides(const th_layout *a, th_layout *view) {
  int64_t size[TH_MAX_DIMS], stride[TH_MAX_DIMS];
  int n_old = 0, old = 0, new = 0;
  for (int i = 0; i < a->ndim; i++) {
    if (a->shape[i] == 1) continue;
    size[n_old] = a->shape[i];
    stride[n_old++] = a->strides[i];
  }
  while (old < n_old) {
    int old_end = old + 1, new_end = new + 1;
    int64_t old_size = size[old], new_size = view->shape[new];
    while (old_size != new_size) {
      if (new_size < old_size) {
        new_size *= view->shape[new_end++];
      } else {
        old_size *= size[old_end++];
      }
    }
    for (int i = old; i < old_end - 1; i++)
      if (stride[i] != stride[i + 1] * size[i + 1]) return false;
    int64_t step = stride[old_end - 1];
    for (int i = new_end - 1; i >= new; i--) {
      view->strides[i] = step;
      step *= view->shape[i];
    }
    old = old_end;
    new = new_end;
  }
  for (; new < view->ndim; new ++) view->strides[new] = new > 0 ? view->strides[new - 1] : 1;
  return true;
}

th_status th__view_reshape(const th_layout *a, const int64_t *shape, int ndim, th_layout *out,
                           bool *copy) {
  char from[TH__SHAPE_TEXT], to[TH__SHAPE_TEXT];
  int64_t sizes[TH_MAX_DIMS], size = th__layout_size(a);
  if (ndim < 0 || ndim > TH_MAX_DIMS)
    return th__fail(TH_ESHAPE, "reshape: %d dimensions, at most %d are possible", ndim,
                    TH_MAX_DIMS);
  if (ndim > 0 && !shape) return th__fail(TH_EINVAL, "reshape: shape is NULL");
  TH_TRY(resolve_shape(shape, ndim, size, sizes));
  th_layout view;
  TH_TRY(th__layout_make(&view, sizes, ndim, a->dtype, "reshape"));
  if (th__layout_size(&view) != size)
    return th__fail(TH_ESHAPE, "reshape: shape %s with %lld elements does not fit %s",
                    th__shape_text(a->shape, a->ndim, from, sizeof from), (long long)size,
                    th__shape_text(shape, ndim, to, sizeof to));
  *copy = size > 0 && !reshape_strides(a, &view);
  if (*copy) {
    th__layout_set_contiguous(&view);
  } else {
    view.offset = a->offset;
  }
  *out = view;
  return TH_OK;
}

th_status th__view_permute(const th_layout *a, const int *axes, int n, th_layout *out) {
  uint32_t mask;
  if (n != a->ndim)
    return th__fail(TH_ESHAPE, "permute_dims: %d axes for an array with %d dimensions", n, a->ndim);
  TH_TRY(th__axes_mask(axes, n, a->ndim, "permute_dims", &mask));
  th_layout view = *a;
  for (int i = 0; i < n; i++) {
    int axis = axes[i] < 0 ? axes[i] + n : axes[i];
    view.shape[i] = a->shape[axis];
    view.strides[i] = a->strides[axis];
  }
  *out = view;
  return TH_OK;
}

th_status th__view_expand(const th_layout *a, int axis, th_layout *out) {
  int at;
  if (a->ndim == TH_MAX_DIMS)
    return th__fail(TH_ESHAPE, "expand_dims: %d dimensions, at most %d are possible", a->ndim + 1,
                    TH_MAX_DIMS);
  TH_TRY(th__axis(axis, a->ndim + 1, "expand_dims", &at));
  th_layout view = *a;
  view.ndim = a->ndim + 1;
  for (int i = a->ndim; i > at; i--) {
    view.shape[i] = a->shape[i - 1];
    view.strides[i] = a->strides[i - 1];
  }
  view.shape[at] = 1;
  /* Nobody steps along it; the stride of a contiguous array suits libraries that check. */
  view.strides[at] =
      at < a->ndim ? (int64_t)((uint64_t)a->strides[at] * (uint64_t)a->shape[at]) : 1;
  *out = view;
  return TH_OK;
}

th_status th__view_squeeze(const th_layout *a, const int *axes, int n, th_layout *out) {
  char text[TH__SHAPE_TEXT];
  uint32_t mask;
  TH_TRY(th__axes_mask(axes, n, a->ndim, "squeeze", &mask));
  th_layout view = *a;
  view.ndim = 0;
  for (int i = 0; i < a->ndim; i++) {
    bool listed = mask >> i & 1;
    if (listed && a->shape[i] == 1) continue;
    if (listed && n > 0)
      return th__fail(TH_ESHAPE, "squeeze: dimension %d of shape %s is not 1", i,
                      th__shape_text(a->shape, a->ndim, text, sizeof text));
    view.shape[view.ndim] = a->shape[i];
    view.strides[view.ndim++] = a->strides[i];
  }
  *out = view;
  return TH_OK;
}

th_status th__view_flip(const th_layout *a, const int *axes, int n, th_layout *out) {
  uint32_t mask;
  TH_TRY(th__axes_mask(axes, n, a->ndim, "flip", &mask));
  th_layout view = *a;
  for (int i = 0; i < a->ndim; i++) {
    if (!(mask >> i & 1) || a->shape[i] < 2) continue;
    view.offset += (a->shape[i] - 1) * a->strides[i];
    view.strides[i] = -a->strides[i];
  }
  *out = view;
  return TH_OK;
}
