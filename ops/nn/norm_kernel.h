/* The inner loops of norms: parts of lines in the computing type. Sums go in lanes, so their order is fixed by the
 * length. */
#ifndef THRUM_OPS_NN_NORM_KERNEL_H
#define THRUM_OPS_NN_NORM_KERNEL_H

#include <stdint.h>

#define TH__NORM_KERNELS(id, T)                                                                    \
  /* Sum of x - shift, and of its square. */                                                       \
  T th__norm_sum_##id(const T *x, int64_t n);                                                      \
  T th__norm_squares_##id(const T *x, int64_t n, T shift);                                         \
  /* (x - shift) * factor * w + b; w and b may be NULL. */                                         \
  void th__norm_apply_##id(const T *x, int64_t n, T shift, T factor, const T *w, const T *b,       \
                           T *out);                                                                \
  /* With h = g w: sums of h and of h (x - shift) factor. */                                       \
  void th__norm_dots_##id(const T *x, const T *g, const T *w, int64_t n, T shift, T factor,        \
                          T *sum, T *dot);                                                         \
  /* factor (h - mean - (x - shift) factor dot) */                                                 \
  void th__norm_slope_##id(const T *x, const T *g, const T *w, int64_t n, T shift, T factor,       \
                           T mean, T dot, T *out);                                                 \
  /* dots += g (x - shift) factor, sums += g, element by element */                                \
  void th__norm_add_##id(const T *x, const T *g, int64_t n, T shift, T factor, T *dots, T *sums);
TH__NORM_KERNELS(f32, float)
TH__NORM_KERNELS(f64, double)

#endif
