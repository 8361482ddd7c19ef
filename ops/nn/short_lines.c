#include "ops/nn/short_lines.h"

#include <math.h>

#include "ops/loops/vector_math.h"

TH__WIDE static void find_max(th__short_lines *s) {
  float max[TH__BESIDE];
  for (int i = 0; i < TH__BESIDE; i++) max[i] = s->x[0][i];
  for (int64_t j = 1; j < s->n; j++)
    for (int i = 0; i < TH__BESIDE; i++) {
      float x = s->x[j][i];
      max[i] = x > max[i] || x != x ? x : max[i]; /* NaN stays */
    }
  for (int i = 0; i < TH__BESIDE; i++) s->max[i] = max[i];
}

TH__WIDE static void find_sums(th__short_lines *s) {
  float sum[TH__BESIDE] = {0};
  for (int64_t j = 0; j < s->n; j++)
    for (int i = 0; i < TH__BESIDE; i++) {
      s->e[j][i] = th__exp_down_f32(s->x[j][i] - s->max[i]);
      sum[i] += s->e[j][i];
    }
  for (int i = 0; i < TH__BESIDE; i++) s->sum[i] = sum[i];
}

void th__short_lines_take(th__short_lines *s, th_dtype t, const char *const *data, int64_t step,
                          int64_t n, int lines) {
  float room[TH__SHORT];
  s->n = n;
  s->lines = lines;
  for (int i = 0; i < TH__BESIDE; i++) {
    const float *x = room; /* empty places repeat the last line */
    if (i < lines) x = th__gathered(t, data[i], step, n, room);
    for (int64_t j = 0; j < n; j++) s->x[j][i] = i < lines ? x[j] : s->x[j][lines - 1];
  }
  find_max(s);
  find_sums(s);
}

TH__WIDE static void scale(th__short_lines *s, const float *factors) {
  for (int64_t j = 0; j < s->n; j++)
    for (int i = 0; i < TH__BESIDE; i++) s->e[j][i] *= factors[i];
}

void th__short_softmax(th__short_lines *s, const int64_t *labels, float factor) {
  float factors[TH__BESIDE];
  for (int i = 0; i < TH__BESIDE; i++) factors[i] = 1 / s->sum[i];
  scale(s, factors);
  for (int i = 0; labels != NULL && i < s->lines; i++) s->e[labels[i]][i] -= 1;
  if (factor == 1) return;
  for (int i = 0; i < TH__BESIDE; i++) factors[i] = factor;
  scale(s, factors);
}

void th__short_log_softmax(th__short_lines *s) {
  for (int i = 0; i < s->lines; i++) s->sum[i] = logf(s->sum[i]);
  for (int64_t j = 0; j < s->n; j++)
    for (int i = 0; i < TH__BESIDE; i++) s->x[j][i] = (s->x[j][i] - s->max[i]) - s->sum[i];
}

void th__short_lines_put(const th__short_lines *s, const float (*from)[TH__BESIDE], th_dtype t,
                         char *const *data, int64_t step) {
  float room[TH__SHORT];
  bool straight = t == TH_F32 && step == 1;
  for (int i = 0; i < s->lines; i++) {
    float *to = straight ? (float *)(void *)data[i] : room;
    for (int64_t j = 0; j < s->n; j++) to[j] = from[j][i];
    if (!straight) th__scatter(t, data[i], step, s->n, room);
  }
}
