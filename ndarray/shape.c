/* Owns shapes: checks, sizes, broadcasting, axes, text. */
#include "ndarray/shape.h"

#include <stdio.h>

#include "engine/base/error.h"
#include "ndarray/dtype.h"

const char *th__shape_text(const int64_t *shape, int ndim, char *buffer, size_t bytes) {
  if (bytes == 0) return buffer;
  size_t used = (size_t)snprintf(buffer, bytes, "(");
  for (int i = 0; i < ndim && used < bytes; i++)
    used +=
        (size_t)snprintf(buffer + used, bytes - used, i ? ", %lld" : "%lld", (long long)shape[i]);
  if (used < bytes) snprintf(buffer + used, bytes - used, ndim == 1 ? ",)" : ")");
  return buffer;
}

/* Strides of a contiguous layout; dimensions of size 0 count as 1, so that they cannot overflow once checked. */
static void contiguous_strides(th_layout *layout) {
  int64_t stride = 1;
  for (int i = layout->ndim - 1; i >= 0; i--) {
    layout->strides[i] = stride;
    stride *= layout->shape[i] ? layout->shape[i] : 1;
  }
}

static th_status check_kind(th_dtype t, int ndim, const char *who) {
  if (!th__dtype_valid((int)t))
    return th__fail(TH_EDTYPE, "%s: %d is not an element type", who, (int)t);
  if (ndim < 0 || ndim > TH_MAX_DIMS)
    return th__fail(TH_ESHAPE, "%s: %d dimensions, at most %d are possible", who, ndim,
                    TH_MAX_DIMS);
  return TH_OK;
}

th_status th__layout_finish(th_layout *layout, const char *who) {
  char text[TH__SHAPE_TEXT];
  TH_TRY(check_kind(layout->dtype, layout->ndim, who));
  int64_t *shape = layout->shape, stride = 1, bytes;
  bool overflow = false;
  for (int i = layout->ndim - 1; i >= 0; i--) {
    if (shape[i] < 0)
      return th__fail(TH_ESHAPE, "%s: negative size in shape %s", who,
                      th__shape_text(shape, layout->ndim, text, sizeof text));
    layout->strides[i] = stride;
    overflow |= __builtin_mul_overflow(stride, shape[i] ? shape[i] : 1, &stride);
  }
  if (overflow || __builtin_mul_overflow(stride, th__dtype_size(layout->dtype), &bytes) ||
      bytes > PTRDIFF_MAX)
    return th__fail(TH_EOVERFLOW, "%s: shape %s of %s has more bytes than can be addressed", who,
                    th__shape_text(shape, layout->ndim, text, sizeof text),
                    th_dtype_name(layout->dtype));
  layout->offset = 0;
  return TH_OK;
}

th_status th__layout_make(th_layout *out, const int64_t *shape, int ndim, th_dtype t,
                          const char *who) {
  TH_TRY(check_kind(t, ndim, who));
  if (ndim > 0 && !shape) return th__fail(TH_EINVAL, "%s: shape is NULL", who);
  th_layout layout;
  layout.dtype = t;
  layout.ndim = ndim;
  for (int i = 0; i < ndim; i++) layout.shape[i] = shape[i];
  TH_TRY(th__layout_finish(&layout, who));
  th__layout_copy(out, &layout);
  return TH_OK;
}

void th__layout_set_contiguous(th_layout *layout) {
  contiguous_strides(layout);
  layout->offset = 0;
}

int64_t th__layout_bytes(const th_layout *layout) {
  return th__layout_size(layout) * th__dtype_size(layout->dtype);
}

bool th__layout_contiguous(const th_layout *layout) {
  int64_t stride = 1;
  for (int i = layout->ndim - 1; i >= 0; i--) {
    if (layout->shape[i] == 0) return true;
    if (layout->shape[i] == 1) continue;
    if (layout->strides[i] != stride) {
      for (int j = i - 1; j >= 0; j--)
        if (layout->shape[j] == 0) return true;
      return false;
    }
    stride *= layout->shape[i];
  }
  return true;
}

bool th__layout_overlaps_itself(const th_layout *layout) {
  bool overlaps = false;
  for (int i = 0; i < layout->ndim; i++) {
    if (layout->shape[i] == 0) return false;
    overlaps |= layout->strides[i] == 0 && layout->shape[i] > 1;
  }
  return overlaps;
}

th_status th__layout_extent(const th_layout *layout, int64_t *first, int64_t *last) {
  *first = *last = layout->offset;
  for (int i = 0; i < layout->ndim; i++) {
    if (layout->shape[i] == 0) {
      *last = *first - 1;
      return TH_OK;
    }
  }
  for (int i = 0; i < layout->ndim; i++) {
    int64_t span, *end = layout->strides[i] < 0 ? first : last;
    if (__builtin_mul_overflow(layout->shape[i] - 1, layout->strides[i], &span) ||
        __builtin_add_overflow(*end, span, end))
      return TH_EOVERFLOW;
  }
  return TH_OK;
}

th_status th__broadcast_shapes(const th_layout *a, const th_layout *b, th_layout *out,
                               const char *who) {
  int ndim = a->ndim > b->ndim ? a->ndim : b->ndim;
  out->ndim = ndim;
  for (int i = 1; i <= ndim; i++) {
    int64_t m = i <= a->ndim ? a->shape[a->ndim - i] : 1;
    int64_t n = i <= b->ndim ? b->shape[b->ndim - i] : 1;
    if (m != n && m != 1 && n != 1) {
      char left[TH__SHAPE_TEXT], right[TH__SHAPE_TEXT];
      return th__fail(TH_ESHAPE, "%s: shapes %s and %s do not broadcast", who,
                      th__shape_text(a->shape, a->ndim, left, sizeof left),
                      th__shape_text(b->shape, b->ndim, right, sizeof right));
    }
    out->shape[ndim - i] = m == 1 ? n : m;
  }
  return TH_OK;
}

th_status th__layout_broadcast(const th_layout *a, const int64_t *shape, int ndim, th_layout *out,
                               const char *who) {
  th_layout view;
  TH_TRY(th__layout_make(&view, shape, ndim, a->dtype, who));
  bool fits = ndim >= a->ndim;
  for (int i = 1; fits && i <= ndim; i++) {
    int64_t n = i <= a->ndim ? a->shape[a->ndim - i] : 1;
    int64_t *stride = &view.strides[ndim - i];
    fits = n == shape[ndim - i] || n == 1;
    *stride = i <= a->ndim && n == shape[ndim - i] ? a->strides[a->ndim - i] : 0;
  }
  if (!fits) {
    char left[TH__SHAPE_TEXT], right[TH__SHAPE_TEXT];
    return th__fail(TH_ESHAPE, "%s: shape %s does not broadcast to %s", who,
                    th__shape_text(a->shape, a->ndim, left, sizeof left),
                    th__shape_text(shape, ndim, right, sizeof right));
  }
  view.offset = a->offset;
  *out = view;
  return TH_OK;
}

th_status th__axis(int axis, int ndim, const char *who, int *out) {
  if (axis < -ndim || axis >= ndim)
    return th__fail(TH_ESHAPE, "%s: axis %d of an array with %d dimensions", who, axis, ndim);
  *out = axis < 0 ? axis + ndim : axis;
  return TH_OK;
}

th_status th__axes_mask(const int *axes, int n, int ndim, const char *who, uint32_t *out) {
  uint32_t mask = 0;
  if (n < 0 || (n > 0 && !axes))
    return th__fail(TH_EINVAL, n < 0 ? "%s: negative number of axes" : "%s: axes is NULL", who);
  for (int i = 0; i < n; i++) {
    int axis = 0;
    TH_TRY(th__axis(axes[i], ndim, who, &axis));
    if (mask >> axis & 1) return th__fail(TH_ESHAPE, "%s: axis %d is given twice", who, axis);
    mask |= 1u << axis;
  }
  *out = n ? mask : (1u << ndim) - 1;
  return TH_OK;
}

/* Whether dimension d continues kept dimension m in all n layouts. Unsigned: a stride that nobody steps along may be wild. */
static bool continues(const th_layout *layouts, int n, int m, int d) {
  for (int k = 0; k < n; k++) {
    const th_layout *l = &layouts[k];
    if ((uint64_t)l->strides[m] != (uint64_t)l->strides[d] * (uint64_t)l->shape[d]) return false;
  }
  return true;
}

int th__layouts_collapse(th_layout *layouts, int n) {
  int ndim = n > 0 ? layouts[0].ndim : 0, kept = 0;
  for (int d = 0; d < ndim; d++) {
    if (layouts[0].shape[d] == 1) continue;
    bool join = kept > 0 && continues(layouts, n, kept - 1, d);
    int at = join ? kept - 1 : kept++;
    for (int k = 0; k < n; k++) {
      th_layout *l = &layouts[k];
      l->shape[at] = join ? l->shape[at] * l->shape[d] : l->shape[d];
      l->strides[at] = l->strides[d];
    }
  }
  for (int k = 0; k < n; k++) layouts[k].ndim = kept;
  return kept;
}
