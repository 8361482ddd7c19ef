/* Owns the inner loops of reductions: folding an array of a computing type to one value and joining arrays elementwise, in an
 * order fixed by the length alone. */
#ifndef THRUM_OPS_LOOPS_FOLD_H
#define THRUM_OPS_LOOPS_FOLD_H

#include "ops/loops/runs.h"

typedef enum th__fold_kind {
  TH__FOLD_SUM,
  TH__FOLD_PROD,
  TH__FOLD_MAX,
  TH__FOLD_MIN
} th__fold_kind;

#define TH__FOLD_LEAF 4096 /* most elements folded without pairwise joining */

typedef struct th__fold {
  /* *out = x[0] op ... op x[n-1] in fixed lanes; n >= 1 */
  void (*fold)(const void *x, int64_t n, void *out);
  /* the same of `lines` lines of n elements, step elements apart, with the same bits */
  void (*lines)(const void *x, int64_t step, int64_t n, int64_t lines, void *out);
  /* acc[i] = acc[i] op x[i] */
  void (*join)(void *acc, const void *x, int64_t n);
  /* acc[j] = acc[j] op what `rows` rows of n elements, step elements apart, have there: eight at a time joined in a tree
   * first. fresh: without acc[j], which is only written; rows >= 1. */
  void (*rows)(void *acc, bool fresh, const void *x, int64_t step, int64_t rows, int64_t n);
} th__fold;

/* Max and min give NaN when any element is NaN; integer sums and products wrap. */
const th__fold *th__fold_of(th__fold_kind kind, th__compute type);

/* Joins values or rows of values as they come in a balanced tree, like carrying in a binary counter: errors grow with the
 * logarithm of their number, and the tree depends on their number only. */
typedef struct th__pairwise {
  const th__fold *fold;
  int64_t width, bytes; /* elements and bytes per row */
  uint64_t count;       /* rows pushed */
  int top;              /* rows held */
  char *rows;           /* room for TH__PAIRWISE_LEVELS rows */
} th__pairwise;

#define TH__PAIRWISE_LEVELS 12 /* up to 2^11 rows */

/* The place where the next row is to be written before th__pairwise_push(). */
static inline void *th__pairwise_slot(th__pairwise *p) { return p->rows + p->top * p->bytes; }
void th__pairwise_push(th__pairwise *p);
/* Joins what is left into row 0. At least one row was pushed. */
void th__pairwise_finish(th__pairwise *p);

#endif
