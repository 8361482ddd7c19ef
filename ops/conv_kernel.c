/* Owns the inner loops of convolutions. Products and sums are fused where the processor can do that, so bits are those of the
 * processor, as in matmul; they never depend on threads. */
#include "ops/conv_kernel.h"

#include "ops/runs.h"

#if defined(__clang__)
#define FUSED
#pragma clang fp contract(fast)
#else
#define FUSED __attribute__((optimize("fp-contract=fast")))
#endif

/* 64 bytes that may lie anywhere; compilers split them for narrower processors. */
typedef float wide_f32 __attribute__((vector_size(64), aligned(4), may_alias));
typedef double wide_f64 __attribute__((vector_size(64), aligned(8), may_alias));

#define EACH_OUTPUT(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)

/* Two vectors for each of eight outputs stay in registers. */
#define RUN(id, T)                                                                                 \
  TH__WIDE FUSED void th__conv_run_##id(const T *x, const int64_t *taps, int64_t n_taps,           \
                                        const T *weights, int64_t n, T *out, int64_t step) {       \
    enum { V = 64 / sizeof(T) };                                                                   \
    for (int64_t i = 0; i < n; i += 2 * V) {                                                       \
      EACH_OUTPUT(RUN_CLEAR_##id)                                                                  \
      const T *w = weights;                                                                        \
      for (int64_t t = 0; t < n_taps; t++, w += TH__CONV_OUTPUTS) {                                \
        const T *from = x + taps[t] + i;                                                           \
        wide_##id low = *(const wide_##id *)from, high = *(const wide_##id *)(from + V);           \
        EACH_OUTPUT(RUN_ADD)                                                                       \
      }                                                                                            \
      EACH_OUTPUT(RUN_STORE_##id)                                                                  \
    }                                                                                              \
  }
#define RUN_CLEAR_f32(o) wide_f32 low##o = {0}, high##o = {0};
#define RUN_CLEAR_f64(o) wide_f64 low##o = {0}, high##o = {0};
#define RUN_ADD(o)       low##o += low * w[o], high##o += high * w[o];
#define RUN_STORE(id, o)                                                                           \
  *(wide_##id *)(out + (o)*step + i) = low##o;                                                     \
  *(wide_##id *)(out + (o)*step + i + V) = high##o;
#define RUN_STORE_f32(o) RUN_STORE(f32, o)
#define RUN_STORE_f64(o) RUN_STORE(f64, o)
RUN(f32, float)
RUN(f64, double)

#define EACH_PAIR(X)                                                                               \
  X(0, 0)                                                                                          \
  X(0, 1) X(0, 2) X(0, 3) X(1, 0) X(1, 1) X(1, 2) X(1, 3) X(2, 0) X(2, 1) X(2, 2) X(2, 3) X(3, 0)  \
      X(3, 1) X(3, 2) X(3, 3)

/* One vector for each of 16 pairs stays in a register; its elements are summed up in the end. */
#define SLOPE(id, T)                                                                               \
  TH__WIDE FUSED void th__conv_slope_##id(const T *const *g, const T *const *x, int64_t n,         \
                                          T *out) {                                                \
    enum { V = 64 / sizeof(T) };                                                                   \
    EACH_PAIR(SLOPE_CLEAR_##id)                                                                    \
    const T *g0 = g[0], *g1 = g[1], *g2 = g[2], *g3 = g[3];                                        \
    const T *x0 = x[0], *x1 = x[1], *x2 = x[2], *x3 = x[3];                                        \
    for (int64_t i = 0; i < n; i += V) {                                                           \
      const wide_##id u0 = *(const wide_##id *)(g0 + i), u1 = *(const wide_##id *)(g1 + i),        \
                      u2 = *(const wide_##id *)(g2 + i), u3 = *(const wide_##id *)(g3 + i),        \
                      v0 = *(const wide_##id *)(x0 + i), v1 = *(const wide_##id *)(x1 + i),        \
                      v2 = *(const wide_##id *)(x2 + i), v3 = *(const wide_##id *)(x3 + i);        \
      EACH_PAIR(SLOPE_ADD)                                                                         \
    }                                                                                              \
    EACH_PAIR(SLOPE_STORE)                                                                         \
  }
#define SLOPE_CLEAR_f32(o, t) wide_f32 sum##o##t = {0};
#define SLOPE_CLEAR_f64(o, t) wide_f64 sum##o##t = {0};
#define SLOPE_ADD(o, t)       sum##o##t += u##o * v##t;
#define SLOPE_STORE(o, t)                                                                          \
  for (int j = 0; j < V; j++) out[(o)*TH__CONV_SLOPE_OUTPUTS + (t)] += sum##o##t[j];
SLOPE(f32, float)
SLOPE(f64, double)
