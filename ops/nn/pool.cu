/* Kernels of pooling: a thread computes an element of the result. The gradients go over the windows that an element is in. */
#include "ops/cuda/kernel.cuh"
#include "ops/cuda/window.h"

#define TH_WINDOW const __grid_constant__ th__cuda_window w

/* Indices of element i of the result: n and c together are the plane's. */
struct th__spot {
  int64_t n, c, y, x;
  __device__ th__spot(const th__cuda_window &w, int64_t i) {
    x = i % w.out[3], i /= w.out[3];
    y = i % w.out[2], i /= w.out[2];
    c = i % w.out[1], n = i / w.out[1];
  }
  __device__ int64_t plane(const int64_t (&strides)[4]) const {
    return n * strides[0] + c * strides[1];
  }
};

TH_DEVICE int64_t th__results(const th__cuda_window &w) {
  return w.out[0] * w.out[1] * w.out[2] * w.out[3];
}

/* The largest of window (i, j) of a plane, and the first place that has it, or -1. */
template <class A>
TH_DEVICE typename A::C th__largest(const th__cuda_window &w, const th__operand<A> &x, int64_t base,
                                    int64_t i, int64_t j, int64_t *place) {
  typename A::C most = (typename A::C) - INFINITY;
  *place = -1;
  for (int64_t p = 0; p < w.kernel[0]; p++) {
    const int64_t row = i * w.stride[0] - w.padding[0] + p * w.dilation[0];
    if (row < 0 || row >= w.size[0]) continue;
    for (int64_t q = 0; q < w.kernel[1]; q++) {
      const int64_t column = j * w.stride[1] - w.padding[1] + q * w.dilation[1];
      if (column < 0 || column >= w.size[1]) continue;
      const typename A::C value = x.get(base + row * w.a[2] + column * w.a[3]);
      if (*place >= 0 && !(value > most || (value != value && most == most))) continue;
      most = value;
      *place = row * w.size[1] + column;
    }
  }
  return most;
}

/* Windows along dimension d that reach place `at`: [*from, *to). */
TH_DEVICE void th__windows_over(const th__cuda_window &w, int d, int64_t at, int64_t *from,
                                int64_t *to) {
  const int64_t reach = (w.kernel[d] - 1) * w.dilation[d], last = at + w.padding[d];
  *from = last > reach ? (last - reach + w.stride[d] - 1) / w.stride[d] : 0;
  *to = last / w.stride[d] + 1;
  if (*to > w.count[d]) *to = w.count[d];
}

template <class A> TH_DEVICE void th__max_pool(void *out, const void *a, const th__cuda_window &w) {
  const th__operand<A> y(out, w.dtype), x(a, w.dtype);
  for (int64_t i = th__thread(); i < th__results(w); i += th__threads()) {
    const th__spot at(w, i);
    int64_t place;
    y.put(i, th__largest<A>(w, x, at.plane(w.a), at.y, at.x, &place));
  }
}

template <class A>
TH_DEVICE void th__max_take(void *out, const void *a, const void *b, const th__cuda_window &w) {
  const th__operand<A> y(out, w.dtype), x(a, w.dtype), u(b, w.dtype);
  for (int64_t i = th__thread(); i < th__results(w); i += th__threads()) {
    const th__spot at(w, i);
    int64_t place;
    (void)th__largest<A>(w, x, at.plane(w.a), at.y, at.x, &place);
    y.put(i, place < 0
                 ? 0
                 : u.get(at.plane(w.b) + place / w.size[1] * w.b[2] + place % w.size[1] * w.b[3]));
  }
}

/* a = x, b = g. */
template <class A>
TH_DEVICE void th__max_slope(void *out, const void *a, const void *b, const th__cuda_window &w) {
  const th__operand<A> y(out, w.dtype), x(a, w.dtype), g(b, w.dtype);
  for (int64_t i = th__thread(); i < th__results(w); i += th__threads()) {
    const th__spot at(w, i);
    int64_t i0, i1, j0, j1, place;
    th__windows_over(w, 0, at.y, &i0, &i1);
    th__windows_over(w, 1, at.x, &j0, &j1);
    typename A::C sum = 0;
    for (int64_t p = i0; p < i1; p++)
      for (int64_t q = j0; q < j1; q++) {
        (void)th__largest<A>(w, x, at.plane(w.a), p, q, &place);
        if (place == at.y * w.size[1] + at.x) sum += g.get(at.plane(w.b) + p * w.b[2] + q * w.b[3]);
      }
    y.put(i, sum);
  }
}

/* Rows or columns of window i that are inside of the input. */
TH_DEVICE int64_t th__inside(const th__cuda_window &w, int d, int64_t i, int64_t *first) {
  const int64_t start = i * w.stride[d] - w.padding[d], end = start + w.kernel[d];
  *first = start < 0 ? 0 : start;
  return (end < w.size[d] ? end : w.size[d]) - *first;
}

template <class A> TH_DEVICE void th__avg_pool(void *out, const void *a, const th__cuda_window &w) {
  typedef typename A::C T;
  const th__operand<A> y(out, w.dtype), x(a, w.dtype);
  for (int64_t i = th__thread(); i < th__results(w); i += th__threads()) {
    const th__spot at(w, i);
    int64_t row, column;
    const int64_t rows = th__inside(w, 0, at.y, &row), columns = th__inside(w, 1, at.x, &column);
    T sum = 0;
    for (int64_t p = row; p < row + rows; p++)
      for (int64_t q = column; q < column + columns; q++)
        sum += x.get(at.plane(w.a) + p * w.a[2] + q * w.a[3]);
    y.put(i, sum / (T)(w.count_padding ? w.kernel[0] * w.kernel[1] : rows * columns));
  }
}

/* a = g. */
template <class A>
TH_DEVICE void th__avg_slope(void *out, const void *a, const th__cuda_window &w) {
  typedef typename A::C T;
  const th__operand<A> y(out, w.dtype), g(a, w.dtype);
  for (int64_t i = th__thread(); i < th__results(w); i += th__threads()) {
    const th__spot at(w, i);
    int64_t i0, i1, j0, j1, first;
    th__windows_over(w, 0, at.y, &i0, &i1);
    th__windows_over(w, 1, at.x, &j0, &j1);
    T sum = 0;
    for (int64_t p = i0; p < i1; p++)
      for (int64_t q = j0; q < j1; q++) {
        const int64_t inside = th__inside(w, 0, p, &first) * th__inside(w, 1, q, &first);
        sum += g.get(at.plane(w.a) + p * w.a[2] + q * w.a[3]) /
               (T)(w.count_padding ? w.kernel[0] * w.kernel[1] : inside);
      }
    y.put(i, sum);
  }
}

#define POOL(t, ...)                                                                               \
  TH_KERNEL(max_pool2d_##t, "wrv", void *out, const void *a, TH_WINDOW) {                          \
    th__max_pool<t>(out, a, w);                                                                    \
  }                                                                                                \
  TH_KERNEL(avg_pool2d_##t, "wrv", void *out, const void *a, TH_WINDOW) {                          \
    th__avg_pool<t>(out, a, w);                                                                    \
  }                                                                                                \
  TH_KERNEL(avg_pool2d_slope_##t, "wrv", void *out, const void *a, TH_WINDOW) {                    \
    th__avg_slope<t>(out, a, w);                                                                   \
  }                                                                                                \
  TH_KERNEL(max_pool2d_take_##t, "wrrv", void *out, const void *a, const void *b, TH_WINDOW) {     \
    th__max_take<t>(out, a, b, w);                                                                 \
  }                                                                                                \
  TH_KERNEL(max_pool2d_slope_##t, "wrrv", void *out, const void *a, const void *b, TH_WINDOW) {    \
    th__max_slope<t>(out, a, b, w);                                                                \
  }
TH_FLOATING(POOL, )
