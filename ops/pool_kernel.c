/* Owns pooling by 2 x 2 windows, in vectors of windows: compilers do not make them of loops with so many choices. The last
 * vector of a row may overlap the one before, as computing a window twice changes nothing. */
#include "ops/pool_kernel.h"

/* Vectors that may lie anywhere, and what comparing them gives. */
#define VECTOR(id, T, I, bytes)                                                                    \
  typedef T vec_##id##_##bytes __attribute__((vector_size(bytes), aligned(sizeof(T)), may_alias)); \
  typedef I mask_##id##_##bytes __attribute__((vector_size(bytes), aligned(sizeof(T)), may_alias));

#if defined(__clang__)
#define SHUFFLE(a, b, I, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, I, ...) __builtin_shuffle(a, b, (I){__VA_ARGS__})
#endif

/* Of two vectors: elements with even or odd numbers; elements in turn, the lower and the upper half. */
#define EVEN_2(a, b, I)  SHUFFLE(a, b, I, 0, 2)
#define ODD_2(a, b, I)   SHUFFLE(a, b, I, 1, 3)
#define LOWER_2(a, b, I) SHUFFLE(a, b, I, 0, 2)
#define UPPER_2(a, b, I) SHUFFLE(a, b, I, 1, 3)
#define EVEN_4(a, b, I)  SHUFFLE(a, b, I, 0, 2, 4, 6)
#define ODD_4(a, b, I)   SHUFFLE(a, b, I, 1, 3, 5, 7)
#define LOWER_4(a, b, I) SHUFFLE(a, b, I, 0, 4, 1, 5)
#define UPPER_4(a, b, I) SHUFFLE(a, b, I, 2, 6, 3, 7)
#define EVEN_8(a, b, I)  SHUFFLE(a, b, I, 0, 2, 4, 6, 8, 10, 12, 14)
#define ODD_8(a, b, I)   SHUFFLE(a, b, I, 1, 3, 5, 7, 9, 11, 13, 15)
#define LOWER_8(a, b, I) SHUFFLE(a, b, I, 0, 8, 1, 9, 2, 10, 3, 11)
#define UPPER_8(a, b, I) SHUFFLE(a, b, I, 4, 12, 5, 13, 6, 14, 7, 15)

/* m ? a : b */
#define SELECT(W, I, m, a, b) ((W)(((I)(a) & (m)) | ((I)(b) & ~(m))))
/* Where b comes before a: larger, or the first NaN. */
#define BEFORE(a, b) (((b) > (a)) | (((b) != (b)) & ((a) == (a))))

/* Four elements of each of V windows, in the order in which the first largest counts. */
#define LOAD_WINDOWS(W, I, V, a, b)                                                                \
  const W a0 = *(const W *)(a), a1 = *(const W *)((a) + V), b0 = *(const W *)(b),                  \
          b1 = *(const W *)((b) + V);                                                              \
  const W p = EVEN_##V(a0, a1, I), q = ODD_##V(a0, a1, I), r = EVEN_##V(b0, b1, I),                \
          s = ODD_##V(b0, b1, I);                                                                  \
  const I by_q = BEFORE(p, q);                                                                     \
  const W first = SELECT(W, I, by_q, q, p);                                                        \
  const I by_r = BEFORE(first, r);                                                                 \
  const W second = SELECT(W, I, by_r, r, first);                                                   \
  const I by_s = BEFORE(second, s);

/* Vectors of windows of a row. */
#define FOR_VECTORS(at, V)                                                                         \
  for (int64_t j = 0, at; j < columns && (at = j + V <= columns ? j : columns - V) >= 0; j += V)

#define KERNELS(suffix, T, W, I, V, attribute)                                                     \
  attribute static void max_##suffix(const T *x, int64_t row, int64_t rows, int64_t columns,       \
                                     T *out) {                                                     \
    for (int64_t i = 0; i < rows; i++, x += 2 * row, out += columns) FOR_VECTORS(at, V) {          \
        const T *a = x + 2 * at, *b = a + row;                                                     \
        LOAD_WINDOWS(W, I, V, a, b)                                                                \
        *(W *)(out + at) = SELECT(W, I, by_s, s, second);                                          \
      }                                                                                            \
  }                                                                                                \
  attribute static void slope_##suffix(const T *x, int64_t row, const T *g, int64_t g_row,         \
                                       int64_t rows, int64_t columns, T *out, int64_t out_row) {   \
    const W none = {0};                                                                            \
    for (int64_t i = 0; i < rows; i++, x += 2 * row, g += g_row, out += 2 * out_row)               \
      FOR_VECTORS(at, V) {                                                                         \
        const T *a = x + 2 * at, *b = a + row;                                                     \
        T *c = out + 2 * at, *d = c + out_row;                                                     \
        LOAD_WINDOWS(W, I, V, a, b)                                                                \
        const W u = *(const W *)(g + at), below = SELECT(W, I, by_s, none, u);                     \
        const W above = SELECT(W, I, by_r, none, below);                                           \
        const W gp = SELECT(W, I, by_q, none, above), gq = SELECT(W, I, by_q, above, none);        \
        const W gr = SELECT(W, I, by_r, below, none), gs = SELECT(W, I, by_s, u, none);            \
        *(W *)c = LOWER_##V(gp, gq, I), *(W *)(c + V) = UPPER_##V(gp, gq, I);                      \
        *(W *)d = LOWER_##V(gr, gs, I), *(W *)(d + V) = UPPER_##V(gr, gs, I);                      \
      }                                                                                            \
  }

VECTOR(f32, float, int32_t, 16)
VECTOR(f64, double, int64_t, 16)
KERNELS(f32_16, float, vec_f32_16, mask_f32_16, 4, )
KERNELS(f64_16, double, vec_f64_16, mask_f64_16, 2, )

#if defined(__x86_64__)
#define AVX2 __attribute__((target("avx2")))
VECTOR(f32, float, int32_t, 32)
VECTOR(f64, double, int64_t, 32)
KERNELS(f32_32, float, vec_f32_32, mask_f32_32, 8, AVX2)
KERNELS(f64_32, double, vec_f64_32, mask_f64_32, 4, AVX2)
#define IF_AVX2(T, ...)                                                                            \
  if (columns * (int64_t)sizeof(T) >= 32 && __builtin_cpu_supports("avx2")) __VA_ARGS__
#else
#define IF_AVX2(T, ...)
#endif

#define PUBLIC(id, T)                                                                              \
  void th__pool_max_##id(const T *x, int64_t row, int64_t rows, int64_t columns, T *out) {         \
    IF_AVX2(T, {                                                                                   \
      max_##id##_32(x, row, rows, columns, out);                                                   \
      return;                                                                                      \
    })                                                                                             \
    max_##id##_16(x, row, rows, columns, out);                                                     \
  }                                                                                                \
  void th__pool_slope_##id(const T *x, int64_t row, const T *g, int64_t g_row, int64_t rows,       \
                           int64_t columns, T *out, int64_t out_row) {                             \
    IF_AVX2(T, {                                                                                   \
      slope_##id##_32(x, row, g, g_row, rows, columns, out, out_row);                              \
      return;                                                                                      \
    })                                                                                             \
    slope_##id##_16(x, row, g, g_row, rows, columns, out, out_row);                                \
  }
PUBLIC(f32, float)
PUBLIC(f64, double)
