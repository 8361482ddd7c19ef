/* Owns the inner loops of norms. */
#include "ops/nn/norm_kernel.h"

#include <stddef.h>

#include "ops/loops/runs.h"

/* Two sums at once need so many lanes that compilers keep a loop over them, and make vectors of it. */
enum { LANES = 16, MANY = 64 };

/* The lanes of an array of sums, joined in pairs. */
#define JOIN(T, lanes, number)                                                                     \
  for (int width = number / 2; width > 0; width /= 2)                                              \
    for (int j = 0; j < width; j++) lanes[j] += lanes[j + width];

#define KERNELS(id, T)                                                                             \
  TH__WIDE static T sum_##id(const T *x, int64_t n) {                                              \
    T lanes[LANES] = {0};                                                                          \
    int64_t i = 0;                                                                                 \
    for (; i + LANES <= n; i += LANES)                                                             \
      for (int j = 0; j < LANES; j++) lanes[j] += x[i + j];                                        \
    for (int j = 0; i + j < n; j++) lanes[j] += x[i + j];                                          \
    JOIN(T, lanes, LANES)                                                                          \
    return lanes[0];                                                                               \
  }                                                                                                \
  TH__WIDE static T squares_##id(const T *x, int64_t n, T shift) {                                 \
    T lanes[LANES] = {0};                                                                          \
    int64_t i = 0;                                                                                 \
    for (; i + LANES <= n; i += LANES)                                                             \
      for (int j = 0; j < LANES; j++) {                                                            \
        T d = x[i + j] - shift;                                                                    \
        lanes[j] += d * d;                                                                         \
      }                                                                                            \
    for (int j = 0; i + j < n; j++) lanes[j] += (x[i + j] - shift) * (x[i + j] - shift);           \
    JOIN(T, lanes, LANES)                                                                          \
    return lanes[0];                                                                               \
  }                                                                                                \
  TH__WIDE static void apply_##id(const T *x, int64_t n, T shift, T factor, const T *w,            \
                                  const T *b, T *restrict out) {                                   \
    if (w != NULL && b != NULL)                                                                    \
      for (int64_t i = 0; i < n; i++) out[i] = (x[i] - shift) * factor * w[i] + b[i];              \
    else if (w != NULL)                                                                            \
      for (int64_t i = 0; i < n; i++) out[i] = (x[i] - shift) * factor * w[i];                     \
    else if (b != NULL)                                                                            \
      for (int64_t i = 0; i < n; i++) out[i] = (x[i] - shift) * factor + b[i];                     \
    else                                                                                           \
      for (int64_t i = 0; i < n; i++) out[i] = (x[i] - shift) * factor;                            \
  }                                                                                                \
  TH__WIDE static void dots_##id(const T *x, const T *g, const T *w, int64_t n, T shift, T factor, \
                                 T *sum, T *dot) {                                                 \
    T sums[MANY] = {0}, dots[MANY] = {0};                                                          \
    int64_t i = 0;                                                                                 \
    if (w != NULL)                                                                                 \
      for (; i + MANY <= n; i += MANY)                                                             \
        for (int j = 0; j < MANY; j++) {                                                           \
          T h = g[i + j] * w[i + j];                                                               \
          sums[j] += h;                                                                            \
          dots[j] += h * ((x[i + j] - shift) * factor);                                            \
        }                                                                                          \
    else                                                                                           \
      for (; i + MANY <= n; i += MANY)                                                             \
        for (int j = 0; j < MANY; j++) {                                                           \
          sums[j] += g[i + j];                                                                     \
          dots[j] += g[i + j] * ((x[i + j] - shift) * factor);                                     \
        }                                                                                          \
    for (int j = 0; i + j < n; j++) {                                                              \
      T h = w != NULL ? g[i + j] * w[i + j] : g[i + j];                                            \
      sums[j] += h;                                                                                \
      dots[j] += h * ((x[i + j] - shift) * factor);                                                \
    }                                                                                              \
    JOIN(T, sums, MANY)                                                                            \
    JOIN(T, dots, MANY)                                                                            \
    *sum = sums[0];                                                                                \
    *dot = dots[0];                                                                                \
  }                                                                                                \
  TH__WIDE static void slope_##id(const T *x, const T *g, const T *w, int64_t n, T shift,          \
                                  T factor, T mean, T dot, T *restrict out) {                      \
    if (w != NULL)                                                                                 \
      for (int64_t i = 0; i < n; i++)                                                              \
        out[i] = factor * ((g[i] * w[i] - mean) - (x[i] - shift) * factor * dot);                  \
    else                                                                                           \
      for (int64_t i = 0; i < n; i++)                                                              \
        out[i] = factor * ((g[i] - mean) - (x[i] - shift) * factor * dot);                         \
  }                                                                                                \
  TH__WIDE static void add_##id(const T *x, const T *g, int64_t n, T shift, T factor,              \
                                T *restrict dots, T *restrict sums) {                              \
    for (int64_t i = 0; i < n; i++) {                                                              \
      dots[i] += g[i] * ((x[i] - shift) * factor);                                                 \
      sums[i] += g[i];                                                                             \
    }                                                                                              \
  }

/* The bodies that are chosen from are static, because what chooses among global ones would be exported. */
#define PUBLIC(id, T)                                                                              \
  T th__norm_sum_##id(const T *x, int64_t n) { return sum_##id(x, n); }                            \
  T th__norm_squares_##id(const T *x, int64_t n, T shift) { return squares_##id(x, n, shift); }    \
  void th__norm_apply_##id(const T *x, int64_t n, T shift, T factor, const T *w, const T *b,       \
                           T *out) {                                                               \
    apply_##id(x, n, shift, factor, w, b, out);                                                    \
  }                                                                                                \
  void th__norm_dots_##id(const T *x, const T *g, const T *w, int64_t n, T shift, T factor,        \
                          T *sum, T *dot) {                                                        \
    dots_##id(x, g, w, n, shift, factor, sum, dot);                                                \
  }                                                                                                \
  void th__norm_slope_##id(const T *x, const T *g, const T *w, int64_t n, T shift, T factor,       \
                           T mean, T dot, T *out) {                                                \
    slope_##id(x, g, w, n, shift, factor, mean, dot, out);                                         \
  }                                                                                                \
  void th__norm_add_##id(const T *x, const T *g, int64_t n, T shift, T factor, T *dots, T *sums) { \
    add_##id(x, g, n, shift, factor, dots, sums);                                                  \
  }

KERNELS(f32, float)
KERNELS(f64, double)
PUBLIC(f32, float)
PUBLIC(f64, double)
