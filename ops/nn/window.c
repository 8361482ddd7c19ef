/* Owns the sizes of windows and the packing of planes for convolutions. */
#include "ops/nn/window.h"

#include <string.h>

#include "engine/base/error.h"
#include "ops/loops/runs.h"

enum { SPREAD = 64 }; /* elements spread at a time */

th_status th__window_check(const char *who, th__window_params *p, const int64_t kernel[2]) {
  for (int d = 0; d < 2; d++) {
    if (p->stride[d] == 0) p->stride[d] = 1;
    if (p->dilation[d] == 0) p->dilation[d] = 1;
    int64_t most = INT64_C(1) << 20;
    bool good = p->stride[d] > 0 && p->stride[d] < most && p->dilation[d] > 0 &&
                p->dilation[d] < most && p->padding[d] >= 0 && p->padding[d] < most &&
                kernel[d] > 0 && kernel[d] < most;
    if (!good)
      return th__fail(TH_EINVAL,
                      "%s: kernel %lld, stride %lld, padding %lld, dilation %lld make no window",
                      who, (long long)kernel[d], (long long)p->stride[d], (long long)p->padding[d],
                      (long long)p->dilation[d]);
  }
  if (p->groups == 0) p->groups = 1;
  return TH_OK;
}

th_status th__window_refuse(const th_infer *io, const char *text) {
  char a[TH__SHAPE_TEXT], b[TH__SHAPE_TEXT];
  const th_layout *x = &io->in[0], *w = io->n_in > 1 ? &io->in[1] : NULL;
  return th__fail(TH_ESHAPE, "%s: %s%s%s: %s", io->op->name,
                  th__shape_text(x->shape, x->ndim, a, sizeof a), w ? ", " : "",
                  w ? th__shape_text(w->shape, w->ndim, b, sizeof b) : "", text);
}

th_status th__window_count(const th_infer *io, const th__window_params *p, const int64_t size[2],
                           const int64_t kernel[2], int64_t out[2]) {
  for (int d = 0; d < 2; d++) {
    int64_t room = size[d] + 2 * p->padding[d] - p->dilation[d] * (kernel[d] - 1) - 1;
    if (room < 0) return th__window_refuse(io, "the kernel is larger than the padded input");
    out[d] = room / p->stride[d] + 1;
  }
  return TH_OK;
}

static int64_t common_divisor(int64_t a, int64_t b) {
  while (b != 0) {
    int64_t rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

void th__packing_make(th__packing *k, const int64_t count[2], const int64_t kernel[2],
                      const int64_t stride[2], const int64_t dilation[2]) {
  int64_t extent[2];
  for (int d = 0; d < 2; d++) {
    int64_t period = stride[d] / common_divisor(stride[d], dilation[d]);
    k->stride[d] = stride[d];
    k->dilation[d] = dilation[d];
    k->phases[d] = period < kernel[d] ? period : kernel[d];
    extent[d] = ((count[d] - 1) * stride[d] + (kernel[d] - 1) * dilation[d]) / stride[d] + 1;
  }
  k->height = extent[0];
  k->row = extent[1];
  k->plane = k->phases[0] * k->phases[1] * k->height * k->row;
}

int64_t th__packing_tap(const th__packing *k, int64_t i, int64_t j) {
  int64_t y = i * k->dilation[0] / k->stride[0], x = j * k->dilation[1] / k->stride[1];
  int64_t phase = i % k->phases[0] * k->phases[1] + j % k->phases[1];
  return (phase * k->height + y) * k->row + x;
}

/* Where the n-th phase begins. */
static int64_t phase_of(const th__packing *k, int d, int64_t n) {
  return n * k->dilation[d] % k->stride[d];
}

/* Elements x with x * spread + pad = j * stride + phase, for the j of a row: the first, the step, how many, and the first j. */
typedef struct pick {
  int64_t first, step, n, at;
} pick;

static pick pick_elements(const th__packing *k, int64_t phase) {
  int64_t pad = k->pad[1], stride = k->stride[1], spread = k->spread[1];
  pick p = {.step = spread == 1 ? stride : 1};
  if (spread == 1) {
    int64_t first = phase - pad; /* of j = 0 */
    if (first < 0) p.at = (-first + stride - 1) / stride;
    p.first = first + p.at * stride;
    p.n = p.first < k->size[1] ? (k->size[1] - p.first + stride - 1) / stride : 0;
    if (p.n > k->row - p.at) p.n = k->row - p.at;
  } else {
    if (pad < 0) p.first = (-pad + spread - 1) / spread;
    p.at = p.first * spread + pad;
    p.n = p.first < k->size[1] ? k->size[1] - p.first : 0;
    int64_t most = p.at < k->row ? (k->row - p.at + spread - 1) / spread : 0;
    if (p.n > most) p.n = most;
  }
  if (p.n < 0) p.n = 0;
  return p;
}

/* Rows are short: most are copied here, without asking for more. */
void th__packing_row(th_dtype t, const char *from, int64_t stride, int64_t n, void *to) {
  if (t == TH_F32 && stride == 1)
    for (int64_t i = 0; i < n; i++) ((float *)to)[i] = ((const float *)(const void *)from)[i];
  else
    th__gather(t, from, stride, n, to);
}

/* n elements to every spread-th place. */
static void spread_run(const th__packing *k, th_dtype t, const char *from, int64_t stride,
                       int64_t n, char *to) {
  int64_t item = (int64_t)th_dtype_size(t), size = th__compute_size(th__compute_of(t));
  th__word room[SPREAD];
  for (int64_t i = 0; i < n; i += SPREAD) {
    int64_t part = n - i < SPREAD ? n - i : SPREAD;
    th__gather(t, from + i * stride * item, stride, part, room);
    th__copy_run((size_t)size, to + i * k->spread[1] * size, k->spread[1], room, 1, part);
  }
}

void th__packing_fill(const th__packing *k, th_dtype t, const char *from, const int64_t *strides,
                      void *to) {
  int64_t item = (int64_t)th_dtype_size(t), size = th__compute_size(th__compute_of(t));
  char *row = to;
  for (int64_t phase = 0; phase < k->phases[0] * k->phases[1]; phase++) {
    pick p = pick_elements(k, phase_of(k, 1, phase % k->phases[1]));
    int64_t top = phase_of(k, 0, phase / k->phases[1]) - k->pad[0];
    for (int64_t i = 0; i < k->height; i++, row += k->row * size) {
      int64_t y = i * k->stride[0] + top;
      bool there = y >= 0 && y % k->spread[0] == 0 && y / k->spread[0] < k->size[0] && p.n > 0;
      if (!there || p.n < k->row) memset(row, 0, (size_t)(k->row * size));
      if (!there) continue;
      const char *x = from + (y / k->spread[0] * strides[0] + p.first * strides[1]) * item;
      if (k->spread[1] == 1)
        th__packing_row(t, x, p.step * strides[1], p.n, row + p.at * size);
      else
        spread_run(k, t, x, strides[1], p.n, row + p.at * size);
    }
  }
}
