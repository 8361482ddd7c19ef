/* Owns the walk over strided operands and the conversion of elements for kernels; see runs.h. No state, no lock. */
#include "ops/loops/runs.h"

#include <string.h>

/* Element values in computing types; halves are structs, so each kind has its own pair. */
static inline float from_f16(th_f16 h) { return th_f16_to_float(h); }
static inline float from_bf16(th_bf16 h) { return th_bf16_to_float(h); }

#define GATHER(T, C, read)                                                                         \
  do {                                                                                             \
    const T *x = from;                                                                             \
    C *y = out;                                                                                    \
    for (int64_t i = 0; i < n; i++) y[i] = read(x[i * stride]);                                    \
  } while (0)

void th__gather(th_dtype t, const void *from, int64_t stride, int64_t n, void *out) {
  switch (t) {
  case TH_BOOL: GATHER(uint8_t, int64_t, 0 !=); break;
  case TH_U8: GATHER(uint8_t, uint64_t, +); break;
  case TH_U16: GATHER(uint16_t, uint64_t, +); break;
  case TH_U32: GATHER(uint32_t, uint64_t, +); break;
  case TH_U64: GATHER(uint64_t, uint64_t, +); break;
  case TH_I8: GATHER(int8_t, int64_t, +); break;
  case TH_I16: GATHER(int16_t, int64_t, +); break;
  case TH_I32: GATHER(int32_t, int64_t, +); break;
  case TH_I64: GATHER(int64_t, int64_t, +); break;
  case TH_F16: GATHER(th_f16, float, from_f16); break;
  case TH_BF16: GATHER(th_bf16, float, from_bf16); break;
  case TH_F32:
    if (stride == 1)
      memcpy(out, from, (size_t)n * sizeof(float));
    else
      GATHER(float, float, +);
    break;
  case TH_F64:
    if (stride == 1)
      memcpy(out, from, (size_t)n * sizeof(double));
    else
      GATHER(double, double, +);
    break;
  case TH_DTYPE_COUNT: break;
  }
}

/* Unsigned arithmetic: conversion to a narrower signed type wraps with every compiler we support. */
#define SCATTER(T, C, write)                                                                       \
  do {                                                                                             \
    const C *x = in;                                                                               \
    T *y = to;                                                                                     \
    for (int64_t i = 0; i < n; i++) y[i * stride] = write(x[i]);                                   \
  } while (0)

void th__scatter(th_dtype t, void *to, int64_t stride, int64_t n, const void *in) {
  switch (t) {
  case TH_BOOL: SCATTER(uint8_t, uint64_t, 0 !=); break;
  case TH_U8: SCATTER(uint8_t, uint64_t, (uint8_t)); break;
  case TH_U16: SCATTER(uint16_t, uint64_t, (uint16_t)); break;
  case TH_U32: SCATTER(uint32_t, uint64_t, (uint32_t)); break;
  case TH_U64: SCATTER(uint64_t, uint64_t, +); break;
  case TH_I8: SCATTER(int8_t, uint64_t, (int8_t)(uint8_t)); break;
  case TH_I16: SCATTER(int16_t, uint64_t, (int16_t)(uint16_t)); break;
  case TH_I32: SCATTER(int32_t, uint64_t, (int32_t)(uint32_t)); break;
  case TH_I64: SCATTER(int64_t, uint64_t, (int64_t)); break;
  case TH_F16: SCATTER(th_f16, float, th_f16_from_float); break;
  case TH_BF16: SCATTER(th_bf16, float, th_bf16_from_float); break;
  case TH_F32:
    if (stride == 1)
      memcpy(to, in, (size_t)n * sizeof(float));
    else
      SCATTER(float, float, +);
    break;
  case TH_F64:
    if (stride == 1)
      memcpy(to, in, (size_t)n * sizeof(double));
    else
      SCATTER(double, double, +);
    break;
  case TH_DTYPE_COUNT: break;
  }
}

const void *th__gathered(th_dtype t, const void *from, int64_t stride, int64_t n, void *buffer) {
  if (th__computes_as_stored(t) && (stride == 1 || n <= 1)) return from;
  th__gather(t, from, stride, n, buffer);
  return buffer;
}

void th__gather_f64(th_dtype t, const void *from, int64_t stride, int64_t n, double *out) {
  if (t == TH_F64) {
    th__gather(t, from, stride, n, out);
  } else if (t == TH_F32) {
    GATHER(float, double, (double));
  } else {
    int64_t step = stride * (int64_t)th_dtype_size(t);
    for (int64_t i = 0; i < n; i++) out[i] = th__dtype_get(t, (const char *)from + i * step);
  }
}

void th__scatter_f64(th_dtype t, void *to, int64_t stride, int64_t n, const double *in) {
  if (t == TH_F64) {
    th__scatter(t, to, stride, n, in);
  } else if (t == TH_F32) {
    SCATTER(float, double, (float));
  } else {
    int64_t step = stride * (int64_t)th_dtype_size(t);
    for (int64_t i = 0; i < n; i++) th__dtype_set(t, (char *)to + i * step, in[i]);
  }
}

void th__gather_index(th_dtype t, const void *from, int64_t stride, int64_t n, int64_t *out) {
  th__gather(t, from, stride, n, out); /* u64 and i64 share their bits */
}

/* One element is repeated by vectors, every second one is picked out of vectors; other steps go element by element. */
#define COPY(T)                                                                                    \
  do {                                                                                             \
    const T *restrict x = from;                                                                    \
    T *restrict y = to;                                                                            \
    if (to_step == 1 && from_step == 0)                                                            \
      for (int64_t i = 0; i < n; i++) y[i] = x[0];                                                 \
    else if (to_step == 1 && from_step == 2)                                                       \
      for (int64_t i = 0; i < n; i++) y[i] = x[i * 2];                                             \
    else                                                                                           \
      for (int64_t i = 0; i < n; i++) y[i * to_step] = x[i * from_step];                           \
  } while (0)

TH__WIDE static void copy_run(size_t size, void *to, int64_t to_step, const void *from,
                              int64_t from_step, int64_t n) {
  switch (size) {
  case 1: COPY(uint8_t); break;
  case 2: COPY(uint16_t); break;
  case 4: COPY(uint32_t); break;
  default: COPY(uint64_t); break;
  }
}

void th__copy_run(size_t size, void *to, int64_t to_step, const void *from, int64_t from_step,
                  int64_t n) {
  if (to_step == 1 && from_step == 1)
    memcpy(to, from, (size_t)n * size);
  else
    copy_run(size, to, to_step, from, from_step, n);
}

int64_t th__offset_at(int64_t index, int ndim, const int64_t *shape, const int64_t *strides) {
  int64_t offset = 0;
  for (int d = ndim - 1; d >= 0 && index > 0; d--) {
    offset += index % shape[d] * strides[d];
    index /= shape[d];
  }
  return offset;
}

void th__runs_begin(th__runs *r, const th_layout *const *layouts, int n, int64_t first,
                    int64_t last) {
  r->n = n;
  r->run = 0;
  r->left = last > first ? last - first : 0;
  for (int i = 0; i < n; i++) r->layouts[i] = *layouts[i];
  r->ndim = th__layouts_collapse(r->layouts, n);
  if (r->ndim == 0) {
    r->ndim = 1;
    for (int i = 0; i < n; i++) {
      r->layouts[i].shape[0] = 1;
      r->layouts[i].strides[0] = 0;
    }
  }
  if (r->left == 0) return;
  const int64_t *shape = r->layouts[0].shape;
  int64_t rest = first;
  for (int d = r->ndim - 1; d >= 0; d--) {
    r->index[d] = rest % shape[d];
    rest /= shape[d];
  }
  for (int i = 0; i < n; i++) {
    r->step[i] = r->layouts[i].strides[r->ndim - 1];
    r->next[i] = th__offset_at(first, r->ndim, shape, r->layouts[i].strides);
  }
}

bool th__runs_next(th__runs *r) {
  if (r->left == 0) return false;
  int d = r->ndim - 1;
  const int64_t *shape = r->layouts[0].shape;
  int64_t run = shape[d] - r->index[d];
  if (run > r->left) run = r->left;
  r->run = run;
  r->left -= run;
  for (int i = 0; i < r->n; i++) {
    r->offset[i] = r->next[i];
    r->next[i] += run * r->step[i];
  }
  r->index[d] += run;
  for (; d > 0 && r->index[d] == shape[d]; d--) {
    for (int i = 0; i < r->n; i++) {
      const int64_t *strides = r->layouts[i].strides;
      r->next[i] += strides[d - 1] - shape[d] * strides[d];
    }
    r->index[d] = 0;
    r->index[d - 1]++;
  }
  return true;
}

const void *th__gathered_range(const th_layout *l, const char *base, int64_t first, int64_t n,
                               void *buffer) {
  int64_t item = (int64_t)th_dtype_size(l->dtype),
          size = th__compute_size(th__compute_of(l->dtype));
  if (l->ndim <= 1) {
    int64_t step = l->ndim == 1 ? l->strides[0] : 0;
    return th__gathered(l->dtype, base + first * step * item, step, n, buffer);
  }
  th__runs walk;
  th__runs_begin(&walk, &l, 1, first, first + n);
  for (char *to = buffer; th__runs_next(&walk); to += walk.run * size)
    th__gather(l->dtype, base + walk.offset[0] * item, walk.step[0], walk.run, to);
  return buffer;
}

th_layout th__layout_part(const th_layout *l, int first, int n, bool keep) {
  th_layout part = {.dtype = l->dtype};
  for (int d = 0; d < l->ndim; d++) {
    if ((d >= first && d < first + n) != keep) continue;
    part.shape[part.ndim] = l->shape[d];
    part.strides[part.ndim++] = l->strides[d];
  }
  return part;
}
