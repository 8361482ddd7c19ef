/* Kernels of the rows of binary.def: arithmetic of two arrays, or of an array and the scalar in `cell`, also written over the
 * first; derivatives of (g, x, y). */
#include "ops/cuda/kernel.cuh"

#define ZIP(t, id, expression)                                                                     \
  TH_KERNEL(binary_##id##_##t, "wrrvv", void *out, const void *a, const void *b, uint64_t cell,    \
            TH_WALK) {                                                                             \
    typedef t::C T;                                                                                \
    typedef t::W W;                                                                                \
    th__zip<t, t>(out, a, b, cell, w, [](T x, T y) -> T {                                          \
      (void)sizeof(W);                                                                             \
      return expression;                                                                           \
    });                                                                                            \
  }
#define SLOPE(t, id, expression)                                                                   \
  TH_KERNEL(binary_##id##_##t, "wrrrv", void *out, const void *a, const void *b, const void *c,    \
            TH_WALK) {                                                                             \
    typedef t::C T;                                                                                \
    th__zip3<t>(out, a, b, c, w, [](T g, T x, T y) -> T {                                          \
      (void)x, (void)y;                                                                            \
      return g * (expression);                                                                     \
    });                                                                                            \
  }

#define TH_BINARY(id, lo, hi, gradient, floats, signed_ints, unsigned_ints)                        \
  TH_FLOATING(ZIP, id, floats)                                                                     \
  TH_SIGNED(ZIP, id, signed_ints)                                                                  \
  TH_UNSIGNED(ZIP, id, unsigned_ints)
#define TH_BINARY_FLOAT(id, lo, hi, gradient, floats)    TH_FLOATING(ZIP, id, floats)
#define TH_BINARY_QUOTIENT(id, lo, hi, gradient, floats) TH_FLOATING(ZIP, id, floats)
#define TH_SLOPES(id, dx, dy, dxx, dxy, dyy)                                                       \
  TH_STEPS(id, dx, dy)                                                                             \
  TH_FLOATING(SLOPE, id##_bend_xx, dxx)                                                            \
  TH_FLOATING(SLOPE, id##_bend_xy, dxy)                                                            \
  TH_FLOATING(SLOPE, id##_bend_yy, dyy)
#define TH_STEPS(id, dx, dy)                                                                       \
  TH_FLOATING(SLOPE, id##_slope_x, dx)                                                             \
  TH_FLOATING(SLOPE, id##_slope_y, dy)
#include "ops/elementwise/binary.def"
