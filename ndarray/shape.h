/* Owns shapes and strides: pure functions, no storage, no engine. Strides and offsets count elements. */
#ifndef THRUM_NDARRAY_SHAPE_H
#define THRUM_NDARRAY_SHAPE_H

#include <string.h>

#include "thrum/array.h"

/* How an array lies in its storage. */
typedef struct th_layout {
  th_dtype dtype;
  int ndim;
  int64_t offset;               /* in elements, of element [0,...,0] */
  int64_t shape[TH_MAX_DIMS];   /* only the first ndim entries mean anything */
  int64_t strides[TH_MAX_DIMS]; /* in elements; may be negative or 0 */
} th_layout;

/* Copies n sizes or strides, and maybe some that mean nothing: fixed lengths need no call and no loop. */
static inline void th__sizes_copy(int64_t *to, const int64_t *from, int n) {
  if (n <= 2)
    memcpy(to, from, 2 * sizeof *to);
  else
    memcpy(to, from, TH_MAX_DIMS * sizeof *to);
}

/* *to = *from, as far as it is in use. */
static inline void th__layout_copy(th_layout *to, const th_layout *from) {
  to->dtype = from->dtype;
  to->ndim = from->ndim;
  to->offset = from->offset;
  th__sizes_copy(to->shape, from->shape, from->ndim);
  th__sizes_copy(to->strides, from->strides, from->ndim);
}

/* Checks sizes and overflow and fills a contiguous layout. who is named in messages. TH_ESHAPE, TH_EDTYPE, TH_EOVERFLOW. */
th_status th__layout_make(th_layout *out, const int64_t *shape, int ndim, th_dtype t,
                          const char *who);
/* The same in place, from dtype, ndim and shape. */
th_status th__layout_finish(th_layout *layout, const char *who);
void th__layout_set_contiguous(th_layout *layout); /* rows-first strides, offset 0 */
/* Elements; never overflows for a made layout. */
static inline int64_t th__layout_size(const th_layout *layout) {
  int64_t size = 1;
  for (int i = 0; i < layout->ndim; i++) size *= layout->shape[i];
  return size;
}
int64_t th__layout_bytes(const th_layout *layout); /* elements times size: of a compact copy */
bool th__layout_contiguous(const th_layout *layout);
static inline bool th__layout_same_shape(const th_layout *a, const th_layout *b) {
  if (a->ndim != b->ndim) return false;
  for (int i = 0; i < a->ndim; i++)
    if (a->shape[i] != b->shape[i]) return false;
  return true;
}
bool th__layout_overlaps_itself(
    const th_layout *layout); /* some stride 0 with size > 1: not writable elementwise */
/* First and last element in the storage that the layout reaches; last < first when it has none. TH_EOVERFLOW (no message). */
th_status th__layout_extent(const th_layout *layout, int64_t *first, int64_t *last);
/* Shape both broadcast to, into out->shape and ndim. TH_ESHAPE naming who and both shapes. */
th_status th__broadcast_shapes(const th_layout *a, const th_layout *b, th_layout *out,
                               const char *who);
/* a seen with the shape of `shape` (same or grown): strides 0 along grown dimensions. TH_ESHAPE. */
th_status th__layout_broadcast(const th_layout *a, const int64_t *shape, int ndim, th_layout *out,
                               const char *who);
/* axis in [-ndim, ndim) to [0, ndim). TH_ESHAPE naming who. */
th_status th__axis(int axis, int ndim, const char *who, int *out);
/* A list of axes (n 0 = all) as a bit mask; duplicates are refused. */
th_status th__axes_mask(const int *axes, int n, int ndim, const char *who, uint32_t *out);
/* "(3, 4)", for messages; returns buffer. */
const char *th__shape_text(const int64_t *shape, int ndim, char *buffer, size_t bytes);
#define TH__SHAPE_TEXT 192

/* View arithmetic: each fills out (sharing the storage) or fails naming who = the view's name. */
th_status th__view_slice(const th_layout *a, const char *spec, th_layout *out);
/* TH_OK with *copy = true when no strides express it: reshape of a contiguous copy then. */
th_status th__view_reshape(const th_layout *a, const int64_t *shape, int ndim, th_layout *out,
                           bool *copy);
th_status th__view_permute(const th_layout *a, const int *axes, int n, th_layout *out);
th_status th__view_expand(const th_layout *a, int axis, th_layout *out);
th_status th__view_squeeze(const th_layout *a, const int *axes, int n, th_layout *out);
th_status th__view_flip(const th_layout *a, const int *axes, int n, th_layout *out);

/* Drops size-1 dimensions and joins dimensions that are contiguous in all n layouts (same shape): fewer, longer loops for
 * kernels. Returns the new ndim (>= 0). Layouts are changed in place. */
int th__layouts_collapse(th_layout *layouts, int n);

#endif
