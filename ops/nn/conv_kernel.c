/* Owns the inner loops of convolutions, once for each width of vectors, chosen by what the processor has. Products and sums are
 * fused where the processor can do that, so bits are those of the processor, as in matmul; they never depend on threads. */
#include "ops/nn/conv_kernel.h"
#include "ops/nn/fused.h"

/* Vectors that may lie anywhere. */
#define VECTOR(id, T, bytes)                                                                       \
  typedef T wide_##id##_##bytes __attribute__((vector_size(bytes), aligned(sizeof(T)), may_alias));

#define FOUR(X, ...) X(0, __VA_ARGS__) X(1, __VA_ARGS__) X(2, __VA_ARGS__) X(3, __VA_ARGS__)
#define EIGHT(X, ...)                                                                              \
  FOUR(X, __VA_ARGS__)                                                                             \
  X(4, __VA_ARGS__) X(5, __VA_ARGS__) X(6, __VA_ARGS__) X(7, __VA_ARGS__)

/* --- runs: vectors of some outputs stay in registers while taps go by --- */

#define CLEAR(o, W) W a##o = {0}, b##o = {0}, c##o = {0};
#define ADD2(o, W)  a##o += x0 * w[o], b##o += x1 * w[o];
#define ADD3(o, W)  a##o += x0 * w[o], b##o += x1 * w[o], c##o += x2 * w[o];
#define STORE2(o, W)                                                                               \
  *(W *)(out + (o)*step + i) = a##o;                                                               \
  *(W *)(out + (o)*step + i + V) = b##o;                                                           \
  (void)c##o;
#define STORE3(o, W) STORE2(o, W) * (W *)(out + (o)*step + i + 2 * V) = c##o;

#define RUN(name, T, W, attribute, OUTPUTS, columns, ADD, STORE)                                   \
  attribute FUSED static void name(const T *x, const int64_t *taps, int64_t n_taps,                \
                                   const T *weights, int64_t n, T *out, int64_t step) {            \
    enum { V = sizeof(W) / sizeof(T) };                                                            \
    for (int64_t i = 0; i < n; i += columns * V) {                                                 \
      OUTPUTS(CLEAR, W)                                                                            \
      const T *w = weights;                                                                        \
      for (int64_t t = 0; t < n_taps; t++, w += TH__CONV_OUTPUTS) {                                \
        const T *from = x + taps[t] + i;                                                           \
        W x0 = *(const W *)from, x1 = *(const W *)(from + V);                                      \
        W x2 = columns > 2 ? *(const W *)(from + 2 * V) : x1;                                      \
        (void)x2;                                                                                  \
        OUTPUTS(ADD, W)                                                                            \
      }                                                                                            \
      OUTPUTS(STORE, W)                                                                            \
    }                                                                                              \
  }

/* --- rows: the same, straight into rows of the result, of at least a vector; the last vectors may overlap --- */

#define ROW_STORE(o, W, columns)                                                                   \
  *(W *)(out + (o)*k->step + at[0]) = a##o + bias[o];                                              \
  if (columns > 1) *(W *)(out + (o)*k->step + at[1]) = b##o + bias[o];                             \
  if (columns > 2) *(W *)(out + (o)*k->step + at[2]) = c##o + bias[o];
#define PIECE(name, T, W, attribute, columns, ADD)                                                 \
  attribute FUSED static void name(const th__conv_rows *k, const T *x, const T *w, const T *bias,  \
                                   const int64_t *at, T *out) {                                    \
    FOUR(CLEAR, W)                                                                                 \
    for (int64_t t = 0; t < k->n_taps; t++, w += TH__CONV_OUTPUTS) {                               \
      const T *from = x + k->taps[t];                                                              \
      W x0 = *(const W *)(from + at[0]), x1 = columns > 1 ? *(const W *)(from + at[1]) : x0;       \
      W x2 = columns > 2 ? *(const W *)(from + at[2]) : x1;                                        \
      (void)x2;                                                                                    \
      FOUR(ADD, W)                                                                                 \
    }                                                                                              \
    FOUR(ROW_STORE, W, columns)                                                                    \
  }
#define ADD1(o, W) a##o += x0 * w[o];
#define ROWS(id, T, bytes, attribute)                                                              \
  PIECE(one_##id##_##bytes, T, wide_##id##_##bytes, attribute, 1, ADD1)                            \
  PIECE(two_##id##_##bytes, T, wide_##id##_##bytes, attribute, 2, ADD2)                            \
  PIECE(three_##id##_##bytes, T, wide_##id##_##bytes, attribute, 3, ADD3)                          \
  attribute FUSED static void rows_##id##_##bytes(const th__conv_rows *k, const T *x, const T *w,  \
                                                  const T *bias, T *out) {                         \
    enum { V = bytes / sizeof(T) };                                                                \
    int64_t n = k->columns, all = (n + V - 1) / V;                                                 \
    for (int64_t row = 0; row < k->rows; row++, x += k->x_row, out += n)                           \
      for (int64_t i = 0, part; i < all; i += part) {                                              \
        int64_t left = all - i, at[3];                                                             \
        part = left == 1 ? 1 : left == 2 || left == 4 ? 2 : 3;                                     \
        for (int j = 0; j < part; j++) at[j] = (i + j + 1) * V <= n ? (i + j) * V : n - V;         \
        if (part == 3)                                                                             \
          three_##id##_##bytes(k, x, w, bias, at, out);                                            \
        else if (part == 2)                                                                        \
          two_##id##_##bytes(k, x, w, bias, at, out);                                              \
        else                                                                                       \
          one_##id##_##bytes(k, x, w, bias, at, out);                                              \
      }                                                                                            \
  }

/* --- slopes: four outputs by three taps in registers --- */

#define SLOPE_CLEAR(o, W) W r##o = {0}, s##o = {0}, t##o = {0};
#define SLOPE_ADD(o, W)                                                                            \
  const W u##o = *(const W *)(g##o + i);                                                           \
  r##o += u##o * v0, s##o += u##o * v1, t##o += u##o * v2;
#define SLOPE_LAY(o, W)                                                                            \
  *(W *)lanes[(o)*3] = r##o, *(W *)lanes[(o)*3 + 1] = s##o, *(W *)lanes[(o)*3 + 2] = t##o;
#define SLOPE(name, T, W, attribute)                                                               \
  attribute FUSED static void name(const T *const *g, const T *const *x, int64_t n, T *out) {      \
    enum { V = sizeof(W) / sizeof(T) };                                                            \
    const T *g0 = g[0], *g1 = g[1], *g2 = g[2], *g3 = g[3], *x0 = x[0], *x1 = x[1], *x2 = x[2];    \
    FOUR(SLOPE_CLEAR, W)                                                                           \
    for (int64_t i = 0; i < n; i += V) {                                                           \
      const W v0 = *(const W *)(x0 + i), v1 = *(const W *)(x1 + i), v2 = *(const W *)(x2 + i);     \
      FOUR(SLOPE_ADD, W)                                                                           \
    }                                                                                              \
    T lanes[4 * TH__CONV_SLOPE_TAPS][V];                                                           \
    FOUR(SLOPE_LAY, W)                                                                             \
    for (int j = 0; j < 4 * TH__CONV_SLOPE_TAPS; j++) {                                            \
      for (int half = V / 2; half > 0; half /= 2)                                                  \
        for (int k = 0; k < half; k++) lanes[j][k] += lanes[j][k + half];                          \
      out[j] += lanes[j][0];                                                                       \
    }                                                                                              \
  }

/* --- widths --- */

#define TYPE(id, T)                                                                                \
  VECTOR(id, T, 16)                                                                                \
  RUN(run_##id##_16, T, wide_##id##_16, , FOUR, 3, ADD3, STORE3)                                   \
  ROWS(id, T, 16, )                                                                                \
  SLOPE(slope_##id##_16, T, wide_##id##_16, )
TYPE(f32, float)
TYPE(f64, double)

#if defined(__x86_64__)
#define AVX2   __attribute__((target("avx2,fma")))
#define AVX512 __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw")))
#define TYPE_X86(id, T)                                                                            \
  VECTOR(id, T, 32)                                                                                \
  VECTOR(id, T, 64)                                                                                \
  RUN(run_##id##_32, T, wide_##id##_32, AVX2, FOUR, 3, ADD3, STORE3)                               \
  ROWS(id, T, 32, AVX2)                                                                            \
  SLOPE(slope_##id##_32, T, wide_##id##_32, AVX2)                                                  \
  RUN(run_##id##_64, T, wide_##id##_64, AVX512, EIGHT, 2, ADD2, STORE2)                            \
  ROWS(id, T, 64, AVX512)                                                                          \
  SLOPE(slope_##id##_64, T, wide_##id##_64, AVX512)
TYPE_X86(f32, float)
TYPE_X86(f64, double)

static int width(void) {
  if (__builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw"))
    return 64;
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? 32 : 16;
}
#define IF_X86(...) __VA_ARGS__
#else
static int width(void) { return 16; }
#define IF_X86(...)
#endif

int th__conv_width(void) { return width(); }

/* Kernels of four outputs run twice where more are wanted. */
#define PUBLIC(id, T)                                                                              \
  void th__conv_run_##id(const T *x, const int64_t *taps, int64_t n_taps, const T *weights,        \
                         int64_t n, int outputs, T *out, int64_t step) {                           \
    int wide = width();                                                                            \
    IF_X86(if (wide == 64) {                                                                       \
      run_##id##_64(x, taps, n_taps, weights, n, out, step);                                       \
      return;                                                                                      \
    })                                                                                             \
    for (int half = 0; half < TH__CONV_OUTPUTS && half < outputs; half += 4) {                     \
      IF_X86(if (wide == 32) {                                                                     \
        run_##id##_32(x, taps, n_taps, weights + half, n, out + half * step, step);                \
        continue;                                                                                  \
      })                                                                                           \
      run_##id##_16(x, taps, n_taps, weights + half, n, out + half * step, step);                  \
    }                                                                                              \
    (void)wide;                                                                                    \
  }                                                                                                \
  void th__conv_rows_##id(const th__conv_rows *k, const T *x, const T *weights, const T *bias,     \
                          int outputs, T *out) {                                                   \
    int wide = width();                                                                            \
    (void)wide;                                                                                    \
    for (int o = 0; o < outputs; o += 4, weights += 4, bias += 4, out += 4 * k->step) {            \
      IF_X86(                                                                                      \
          if (wide == 64) {                                                                        \
            rows_##id##_64(k, x, weights, bias, out);                                              \
            continue;                                                                              \
          } if (wide == 32) {                                                                      \
            rows_##id##_32(k, x, weights, bias, out);                                              \
            continue;                                                                              \
          })                                                                                       \
      rows_##id##_16(k, x, weights, bias, out);                                                    \
    }                                                                                              \
  }                                                                                                \
  void th__conv_slope_##id(const T *const *g, const T *const *x, int64_t n, T *out) {              \
    int wide = width();                                                                            \
    (void)wide;                                                                                    \
    IF_X86(                                                                                        \
        if (wide == 64) {                                                                          \
          slope_##id##_64(g, x, n, out);                                                           \
          return;                                                                                  \
        } if (wide == 32) {                                                                        \
          slope_##id##_32(g, x, n, out);                                                           \
          return;                                                                                  \
        })                                                                                         \
    slope_##id##_16(g, x, n, out);                                                                 \
  }
PUBLIC(f32, float)
PUBLIC(f64, double)
