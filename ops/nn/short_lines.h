/* Owns softmax of short lines: as many side by side as fill vectors, where one line alone would leave most lanes empty. A line's bits
 * do not depend on those beside it. */
#ifndef THRUM_OPS_NN_SHORT_LINES_H
#define THRUM_OPS_NN_SHORT_LINES_H

#include "ops/loops/runs.h"

enum { TH__SHORT = 32, TH__BESIDE = 16 }; /* elements of a line, lines; at most */

typedef struct th__short_lines {
  int64_t n;
  int lines;
  float x[TH__SHORT][TH__BESIDE], e[TH__SHORT][TH__BESIDE]; /* elements; exponentials below max */
  float max[TH__BESIDE], sum[TH__BESIDE];
} th__short_lines;

/* Of these lines of f32 or halves: elements, their maxima, exponentials and sums of those. */
void th__short_lines_take(th__short_lines *s, th_dtype t, const char *const *data, int64_t step,
                          int64_t n, int lines);
/* e becomes (softmax - 1 at labels[i], if there are labels) factor. */
void th__short_softmax(th__short_lines *s, const int64_t *labels, float factor);
/* x becomes the logarithm of softmax. */
void th__short_log_softmax(th__short_lines *s);
/* x or e to where lines lie. */
void th__short_lines_put(const th__short_lines *s, const float (*from)[TH__BESIDE], th_dtype t,
                         char *const *data, int64_t step);

#endif
