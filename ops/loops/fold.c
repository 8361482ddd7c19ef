/* Owns the typed loops behind fold.h. No state, no lock. */
#include "ops/loops/fold.h"

#include <math.h>

/* 64 lanes: four AVX-512 registers of floats, written as plain arrays so that every compiler and vector width adds in the
 * same order. */
#define LANES 64
#define FEW   8 /* of lines shorter than that */

#define SUM(a, b)  ((a) + (b))
#define PROD(a, b) ((a) * (b))
#define IMAX(a, b) ((b) > (a) ? (b) : (a))
#define IMIN(a, b) ((b) < (a) ? (b) : (a))

/* NaN in b is taken; NaN in a stays, as no b compares with it. In two steps, of which compilers make masks. */
#define EXTREME(id, T, COMPARES)                                                                   \
  static inline __attribute__((always_inline)) T id(T a, T b) {                                    \
    T chosen = b COMPARES a ? b : a;                                                               \
    return b == b ? chosen : b;                                                                    \
  }
EXTREME(larger_f32, float, >)
EXTREME(larger_f64, double, >)
EXTREME(smaller_f32, float, <)
EXTREME(smaller_f64, double, <)

/* Constant widths, so that compilers need no loop. */
#define HALVE(width, OP)                                                                           \
  for (int j = 0; j < width; j++) lane[j] = OP(lane[j], lane[j + width]);

/* The operation is a function, because compilers make branches, not masks, of operands that are loaded only where a condition
 * holds. */
#define OPERATION(id, T, OP)                                                                       \
  static inline __attribute__((always_inline)) T op_##id(T a, T b) { return OP(a, b); }            \
  static inline __attribute__((always_inline)) T short_##id(const T *x, int64_t n) {               \
    T lane[FEW], one = x[0];                                                                       \
    if (n < FEW) {                                                                                 \
      for (int64_t i = 1; i < n; i++) one = op_##id(one, x[i]);                                    \
      return one;                                                                                  \
    }                                                                                              \
    for (int j = 0; j < FEW; j++) lane[j] = x[j];                                                  \
    int64_t i = FEW;                                                                               \
    for (; i + FEW <= n; i += FEW)                                                                 \
      for (int j = 0; j < FEW; j++) lane[j] = op_##id(lane[j], x[i + j]);                          \
    for (int j = 0; j < FEW && i + j < n; j++) lane[j] = op_##id(lane[j], x[i + j]);               \
    HALVE(4, op_##id) HALVE(2, op_##id) HALVE(1, op_##id) return lane[0];                          \
  }

/* long: of at least LANES elements. eight: of one column of eight rows, joined in a tree. */
#define TOGETHER(id, T)                                                                            \
  static inline __attribute__((always_inline)) T long_##id(const T *x, int64_t n) {                \
    T lane[LANES];                                                                                 \
    for (int j = 0; j < LANES; j++) lane[j] = x[j];                                                \
    int64_t i = LANES;                                                                             \
    for (; i + LANES <= n; i += LANES)                                                             \
      for (int j = 0; j < LANES; j++) lane[j] = op_##id(lane[j], x[i + j]);                        \
    for (int j = 0; i + j < n; j++) lane[j] = op_##id(lane[j], x[i + j]);                          \
    HALVE(32, op_##id)                                                                             \
    HALVE(16, op_##id)                                                                             \
    HALVE(8, op_##id) HALVE(4, op_##id) HALVE(2, op_##id) HALVE(1, op_##id) return lane[0];        \
  }                                                                                                \
  static inline __attribute__((always_inline)) T eight_##id(const T *x, int64_t step) {            \
    T a = op_##id(x[0], x[step]), b = op_##id(x[2 * step], x[3 * step]);                           \
    T c = op_##id(x[4 * step], x[5 * step]), d = op_##id(x[6 * step], x[7 * step]);                \
    return op_##id(op_##id(a, b), op_##id(c, d));                                                  \
  }

/* The same, in the same order, of extremes. Lanes come down to eight in one loop, because gcc 12 makes HALVE of choices scalar.
 * Of eight rows, numbers alone are compared, for which processors have an instruction; NaN is looked for in two elements at once
 * and put in at the end. */
#define APART(id, T, COMPARES)                                                                     \
  static inline __attribute__((always_inline)) T long_##id(const T *x, int64_t n) {                \
    T lane[LANES], few[8];                                                                         \
    for (int j = 0; j < LANES; j++) lane[j] = x[j];                                                \
    int64_t i = LANES;                                                                             \
    for (; i + LANES <= n; i += LANES)                                                             \
      for (int j = 0; j < LANES; j++) lane[j] = op_##id(lane[j], x[i + j]);                        \
    for (int j = 0; i + j < n; j++) lane[j] = op_##id(lane[j], x[i + j]);                          \
    for (int j = 0; j < 8; j++) {                                                                  \
      T a = op_##id(lane[j], lane[j + 32]), b = op_##id(lane[j + 16], lane[j + 48]);               \
      T c = op_##id(lane[j + 8], lane[j + 40]), d = op_##id(lane[j + 24], lane[j + 56]);           \
      few[j] = op_##id(op_##id(a, b), op_##id(c, d));                                              \
    }                                                                                              \
    for (int j = 0; j < 4; j++) few[j] = op_##id(few[j], few[j + 4]);                              \
    return op_##id(op_##id(few[0], few[2]), op_##id(few[1], few[3]));                              \
  }                                                                                                \
  static inline __attribute__((always_inline)) T number_##id(T a, T b) {                           \
    return b COMPARES a ? b : a;                                                                   \
  }                                                                                                \
  static inline __attribute__((always_inline)) T eight_##id(const T *x, int64_t step) {            \
    T a = x[0], b = x[step], c = x[2 * step], d = x[3 * step];                                     \
    T e = x[4 * step], f = x[5 * step], g = x[6 * step], h = x[7 * step];                          \
    T ad = number_##id(number_##id(a, b), number_##id(c, d));                                      \
    T eh = number_##id(number_##id(e, f), number_##id(g, h));                                      \
    T all = number_##id(ad, eh);                                                                   \
    int nan = __builtin_isunordered(a, b) | __builtin_isunordered(c, d) |                          \
              __builtin_isunordered(e, f) | __builtin_isunordered(g, h);                           \
    return nan ? (T)NAN : all;                                                                     \
  }

/* lines: two loops, so that compilers do not mix short with long. rows: eight at once, so that acc is read and written once
 * for all of them. */
#define BODIES(id, T)                                                                              \
  TH__WIDE static void fold_##id(const void *from, int64_t n, void *out) {                         \
    *(T *)out = n < LANES ? short_##id(from, n) : long_##id(from, n);                              \
  }                                                                                                \
  TH__WIDE static void lines_##id(const void *from, int64_t step, int64_t n, int64_t lines,        \
                                  void *out) {                                                     \
    const T *x = from;                                                                             \
    T *y = out;                                                                                    \
    if (n < LANES)                                                                                 \
      for (int64_t i = 0; i < lines; i++) y[i] = short_##id(x + i * step, n);                      \
    else                                                                                           \
      for (int64_t i = 0; i < lines; i++) y[i] = long_##id(x + i * step, n);                       \
  }                                                                                                \
  TH__WIDE static void join_##id(void *into, const void *from, int64_t n) {                        \
    T *restrict acc = into;                                                                        \
    const T *restrict x = from;                                                                    \
    for (int64_t i = 0; i < n; i++) acc[i] = op_##id(acc[i], x[i]);                                \
  }                                                                                                \
  TH__WIDE static void rows_##id(void *into, bool fresh, const void *from, int64_t step,           \
                                 int64_t rows, int64_t n) {                                        \
    T *restrict acc = into;                                                                        \
    const T *restrict x = from;                                                                    \
    int64_t i = 0;                                                                                 \
    if (fresh && rows < 8) {                                                                       \
      for (int64_t j = 0; j < n; j++) acc[j] = x[j];                                               \
      x += step, i++;                                                                              \
    } else if (fresh) {                                                                            \
      for (int64_t j = 0; j < n; j++) acc[j] = eight_##id(x + j, step);                            \
      x += 8 * step, i += 8;                                                                       \
    }                                                                                              \
    for (; i + 8 <= rows; i += 8, x += 8 * step)                                                   \
      for (int64_t j = 0; j < n; j++) acc[j] = op_##id(acc[j], eight_##id(x + j, step));           \
    for (; i < rows; i++, x += step)                                                               \
      for (int64_t j = 0; j < n; j++) acc[j] = op_##id(acc[j], x[j]);                              \
  }

#define FOLDS(id, T, OP)              OPERATION(id, T, OP) TOGETHER(id, T) BODIES(id, T)
#define EXTREMES(id, T, OP, COMPARES) OPERATION(id, T, OP) APART(id, T, COMPARES) BODIES(id, T)

FOLDS(sum_f32, float, SUM)
FOLDS(sum_f64, double, SUM)
FOLDS(sum_int, uint64_t, SUM)
FOLDS(prod_f32, float, PROD)
FOLDS(prod_f64, double, PROD)
FOLDS(prod_int, uint64_t, PROD)
EXTREMES(max_f32, float, larger_f32, >)
EXTREMES(max_f64, double, larger_f64, >)
FOLDS(max_i64, int64_t, IMAX)
FOLDS(max_u64, uint64_t, IMAX)
EXTREMES(min_f32, float, smaller_f32, <)
EXTREMES(min_f64, double, smaller_f64, <)
FOLDS(min_i64, int64_t, IMIN)
FOLDS(min_u64, uint64_t, IMIN)

/* Wrapping sums and products of signed integers have the bits of unsigned ones. */
#define LOOPS(id)                                                                                  \
  { fold_##id, lines_##id, join_##id, rows_##id }
static const th__fold table[4][TH__COMPUTE_COUNT] = {
    {LOOPS(sum_f32), LOOPS(sum_f64), LOOPS(sum_int), LOOPS(sum_int)},
    {LOOPS(prod_f32), LOOPS(prod_f64), LOOPS(prod_int), LOOPS(prod_int)},
    {LOOPS(max_f32), LOOPS(max_f64), LOOPS(max_i64), LOOPS(max_u64)},
    {LOOPS(min_f32), LOOPS(min_f64), LOOPS(min_i64), LOOPS(min_u64)},
};

const th__fold *th__fold_of(th__fold_kind kind, th__compute type) { return &table[kind][type]; }

void th__pairwise_push(th__pairwise *p) {
  p->top++;
  for (uint64_t count = p->count++; count & 1; count >>= 1) {
    p->top--;
    p->fold->join(p->rows + (p->top - 1) * p->bytes, p->rows + p->top * p->bytes, p->width);
  }
}

void th__pairwise_finish(th__pairwise *p) {
  for (; p->top > 1; p->top--)
    p->fold->join(p->rows + (p->top - 2) * p->bytes, p->rows + (p->top - 1) * p->bytes, p->width);
}
