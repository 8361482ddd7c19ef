/* Owns the lines of sine and cosine for f32: many elements at a time where all are within reach of the quick reduction, one by
 * one where some are not. */
#include "ops/elementwise/turns.h"

#include "ops/loops/loop.h"
#include "ops/loops/runs.h"
#include "ops/elementwise/unary_math.h"

enum { PIECE = 256 };

TH__WIDE static bool all_near(const float *x, int64_t n) {
  int far = 0;
  for (int64_t i = 0; i < n; i++) far |= th__many_turns(x[i]);
  return !far;
}

#define TURNS(id)                                                                                  \
  TH__WIDE static void id##_near(const float *x, int64_t n, float *out) {                          \
    TH__INDEPENDENT                                                                                \
    for (int64_t i = 0; i < n; i++) out[i] = th__##id##_f32(x[i]);                                 \
  }                                                                                                \
  void th__line_##id(char *const *p, int64_t n, const void *user) {                                \
    const float *x = (const void *)p[1];                                                           \
    float *out = (void *)p[0];                                                                     \
    for (int64_t i = 0; i < n; i += PIECE) {                                                       \
      int64_t m = n - i < PIECE ? n - i : PIECE;                                                   \
      if (all_near(x + i, m))                                                                      \
        id##_near(x + i, m, out + i);                                                              \
      else                                                                                         \
        for (int64_t j = i; j < i + m; j++) out[j] = th__##id##_any_f32(x[j]);                     \
    }                                                                                              \
  }
TURNS(sin)
TURNS(cos)
