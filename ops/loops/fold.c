/* Owns the typed loops behind fold.h. No state, no lock. */
#include "ops/loops/fold.h"

/* 64 lanes: four AVX-512 registers of floats, written as plain arrays so that every compiler and vector width adds in the
 * same order. */
#define LANES 64

#define SUM(a, b)  ((a) + (b))
#define PROD(a, b) ((a) * (b))
/* NaN in b fails the comparison and is then taken; NaN in a stays, as no b compares with it. */
#define FMAX(a, b) ((((b) > (a)) | ((b) != (b))) ? (b) : (a))
#define FMIN(a, b) ((((b) < (a)) | ((b) != (b))) ? (b) : (a))
#define IMAX(a, b) ((b) > (a) ? (b) : (a))
#define IMIN(a, b) ((b) < (a) ? (b) : (a))

/* Constant widths, so that compilers need no loop. */
#define HALVE(width, OP)                                                                           \
  for (int j = 0; j < width; j++) lane[j] = OP(lane[j], lane[j + width]);

#define FOLDS(id, T, OP)                                                                           \
  TH__WIDE static void fold_##id(const void *from, int64_t n, void *out) {                         \
    const T *x = from;                                                                             \
    T lane[LANES];                                                                                 \
    if (n < LANES) {                                                                               \
      T sum = x[0];                                                                                \
      for (int64_t i = 1; i < n; i++) sum = OP(sum, x[i]);                                         \
      *(T *)out = sum;                                                                             \
      return;                                                                                      \
    }                                                                                              \
    for (int j = 0; j < LANES; j++) lane[j] = x[j];                                                \
    int64_t i = LANES;                                                                             \
    for (; i + LANES <= n; i += LANES)                                                             \
      for (int j = 0; j < LANES; j++) lane[j] = OP(lane[j], x[i + j]);                             \
    for (int j = 0; i + j < n; j++) lane[j] = OP(lane[j], x[i + j]);                               \
    HALVE(32, OP)                                                                                  \
    HALVE(16, OP) HALVE(8, OP) HALVE(4, OP) HALVE(2, OP) HALVE(1, OP) * (T *)out = lane[0];        \
  }                                                                                                \
  TH__WIDE static void join_##id(void *into, const void *from, int64_t n) {                        \
    T *restrict acc = into;                                                                        \
    const T *restrict x = from;                                                                    \
    for (int64_t i = 0; i < n; i++) acc[i] = OP(acc[i], x[i]);                                     \
  }

FOLDS(sum_f32, float, SUM)
FOLDS(sum_f64, double, SUM)
FOLDS(sum_int, uint64_t, SUM)
FOLDS(prod_f32, float, PROD)
FOLDS(prod_f64, double, PROD)
FOLDS(prod_int, uint64_t, PROD)
FOLDS(max_f32, float, FMAX)
FOLDS(max_f64, double, FMAX)
FOLDS(max_i64, int64_t, IMAX)
FOLDS(max_u64, uint64_t, IMAX)
FOLDS(min_f32, float, FMIN)
FOLDS(min_f64, double, FMIN)
FOLDS(min_i64, int64_t, IMIN)
FOLDS(min_u64, uint64_t, IMIN)

/* Wrapping sums and products of signed integers have the bits of unsigned ones. */
#define PAIR(id)                                                                                   \
  { fold_##id, join_##id }
static const th__fold table[4][TH__COMPUTE_COUNT] = {
    {PAIR(sum_f32), PAIR(sum_f64), PAIR(sum_int), PAIR(sum_int)},
    {PAIR(prod_f32), PAIR(prod_f64), PAIR(prod_int), PAIR(prod_int)},
    {PAIR(max_f32), PAIR(max_f64), PAIR(max_i64), PAIR(max_u64)},
    {PAIR(min_f32), PAIR(min_f64), PAIR(min_i64), PAIR(min_u64)},
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
