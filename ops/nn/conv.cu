/* Kernels of conv2d and its two gradients: a thread computes an element of the result, summing up in order. */
#include "ops/cuda/kernel.cuh"
#include "ops/cuda/window.h"

#define TH_WINDOW const __grid_constant__ th__cuda_window w

/* Indices of element i of the result. */
struct th__index4 {
  int64_t n, c, y, x;
  __device__ th__index4(const th__cuda_window &w, int64_t i) {
    x = i % w.out[3], i /= w.out[3];
    y = i % w.out[2], i /= w.out[2];
    c = i % w.out[1], n = i / w.out[1];
  }
};

TH_DEVICE int64_t th__results(const th__cuda_window &w) {
  return w.out[0] * w.out[1] * w.out[2] * w.out[3];
}

/* a = x, b = weight. */
template <class A>
TH_DEVICE void th__conv(void *out, const void *a, const void *b, const void *bias,
                        const th__cuda_window &w) {
  typedef typename A::C T;
  const th__operand<A> y(out, w.dtype), x(a, w.dtype), k(b, w.dtype), add(bias, w.dtype);
  for (int64_t i = th__thread(); i < th__results(w); i += th__threads()) {
    const th__index4 at(w, i);
    const int64_t group = at.c / w.outs;
    T sum = 0;
    for (int64_t c = 0; c < w.in; c++)
      for (int64_t p = 0; p < w.kernel[0]; p++) {
        const int64_t row = at.y * w.stride[0] - w.padding[0] + p * w.dilation[0];
        if (row < 0 || row >= w.size[0]) continue;
        for (int64_t q = 0; q < w.kernel[1]; q++) {
          const int64_t column = at.x * w.stride[1] - w.padding[1] + q * w.dilation[1];
          if (column < 0 || column >= w.size[1]) continue;
          sum +=
              x.get(at.n * w.a[0] + (group * w.in + c) * w.a[1] + row * w.a[2] + column * w.a[3]) *
              k.get(at.c * w.b[0] + c * w.b[1] + p * w.b[2] + q * w.b[3]);
        }
      }
    y.put(i, bias ? sum + add.get(at.c * w.bias) : sum);
  }
}

/* The window whose tap `tap` is at place `at`; -1 when there is none. */
TH_DEVICE int64_t th__window_of(const th__cuda_window &w, int d, int64_t at, int64_t tap) {
  const int64_t from = at + w.padding[d] - tap * w.dilation[d];
  if (from < 0 || from % w.stride[d] != 0 || from / w.stride[d] >= w.count[d]) return -1;
  return from / w.stride[d];
}

/* a = g, b = weight. */
template <class A>
TH_DEVICE void th__input_slope(void *out, const void *a, const void *b, const th__cuda_window &w) {
  typedef typename A::C T;
  const th__operand<A> y(out, w.dtype), g(a, w.dtype), k(b, w.dtype);
  for (int64_t i = th__thread(); i < th__results(w); i += th__threads()) {
    const th__index4 at(w, i);
    const int64_t group = at.c / w.in;
    T sum = 0;
    for (int64_t o = group * w.outs; o < (group + 1) * w.outs; o++)
      for (int64_t p = 0; p < w.kernel[0]; p++) {
        const int64_t row = th__window_of(w, 0, at.y, p);
        for (int64_t q = 0; q < w.kernel[1] && row >= 0; q++) {
          const int64_t column = th__window_of(w, 1, at.x, q);
          if (column >= 0)
            sum += g.get(at.n * w.a[0] + o * w.a[1] + row * w.a[2] + column * w.a[3]) *
                   k.get(o * w.b[0] + at.c % w.in * w.b[1] + p * w.b[2] + q * w.b[3]);
        }
      }
    y.put(i, sum);
  }
}

/* a = x, b = g; the result's last two dimensions are the kernel's. */
template <class A>
TH_DEVICE void th__weight_slope(void *out, const void *a, const void *b, const th__cuda_window &w) {
  typedef typename A::C T;
  const th__operand<A> y(out, w.dtype), x(a, w.dtype), g(b, w.dtype);
  for (int64_t i = th__thread(); i < th__results(w); i += th__threads()) {
    const th__index4 at(w, i);
    const int64_t channel = at.n / w.outs * w.in + at.c;
    T sum = 0;
    for (int64_t n = 0; n < w.images; n++)
      for (int64_t p = 0; p < w.count[0]; p++) {
        const int64_t row = p * w.stride[0] - w.padding[0] + at.y * w.dilation[0];
        if (row < 0 || row >= w.size[0]) continue;
        T part = 0;
        for (int64_t q = 0; q < w.count[1]; q++) {
          const int64_t column = q * w.stride[1] - w.padding[1] + at.x * w.dilation[1];
          if (column >= 0 && column < w.size[1])
            part += x.get(n * w.a[0] + channel * w.a[1] + row * w.a[2] + column * w.a[3]) *
                    g.get(n * w.b[0] + at.n * w.b[1] + p * w.b[2] + q * w.b[3]);
        }
        sum += part;
      }
    y.put(i, sum);
  }
}

#define CONV(t, ...)                                                                               \
  TH_KERNEL(conv2d_##t, "wrrrv", void *out, const void *a, const void *b, const void *bias,        \
            TH_WINDOW) {                                                                           \
    th__conv<t>(out, a, b, bias, w);                                                               \
  }                                                                                                \
  TH_KERNEL(conv2d_input_slope_##t, "wrrv", void *out, const void *a, const void *b, TH_WINDOW) {  \
    th__input_slope<t>(out, a, b, w);                                                              \
  }                                                                                                \
  TH_KERNEL(conv2d_weight_slope_##t, "wrrv", void *out, const void *a, const void *b, TH_WINDOW) { \
    th__weight_slope<t>(out, a, b, w);                                                             \
  }
TH_FLOATING(CONV, )
