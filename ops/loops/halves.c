/* Owns moving halves to and from floats in bulk. No state, no lock. */
#include "ops/loops/halves.h"

#include "ndarray/half.h"
#include "ops/loops/runs.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { PIECE = 1024 }; /* elements brought together at a time */

/* --- without gaps, by integer operations --- */

static void load_f16(const uint16_t *from, int64_t n, float *to) {
  for (int64_t i = 0; i < n; i++) to[i] = th__f16_to_float((th_f16){from[i]});
}

static void store_f16(uint16_t *to, int64_t n, const float *from) {
  for (int64_t i = 0; i < n; i++) to[i] = th__f16_from_float(from[i]).bits;
}

TH__WIDE static void load_bf16(const uint16_t *from, int64_t n, float *to) {
  for (int64_t i = 0; i < n; i++) to[i] = th__bf16_to_float((th_bf16){from[i]});
}

TH__WIDE static void store_bf16(uint16_t *to, int64_t n, const float *from) {
  for (int64_t i = 0; i < n; i++) to[i] = th__bf16_from_float(from[i]).bits;
}

/* --- without gaps, by the processor: its rounding is given by the instruction, but it makes every NaN a quiet one, so eight
 * with a NaN among them go the other way --- */

#if defined(__x86_64__)
/* Whoever has AVX2 has F16C, which compilers know no name for. */
static bool has_f16c(void) { return __builtin_cpu_supports("avx2"); }

__attribute__((target("avx,f16c"))) static bool any_nan(__m256 x) {
  return _mm256_movemask_ps(_mm256_cmp_ps(x, x, _CMP_UNORD_Q)) != 0;
}

__attribute__((target("avx,f16c"))) static void load_f16c(const uint16_t *from, int64_t n,
                                                          float *to) {
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    __m256 x = _mm256_cvtph_ps(_mm_loadu_si128((const void *)(from + i)));
    _mm256_storeu_ps(to + i, x);
    if (any_nan(x)) load_f16(from + i, 8, to + i);
  }
  load_f16(from + i, n - i, to + i);
}

__attribute__((target("avx,f16c"))) static void store_f16c(uint16_t *to, int64_t n,
                                                           const float *from) {
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    __m256 x = _mm256_loadu_ps(from + i);
    _mm_storeu_si128((void *)(to + i), _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
    if (any_nan(x)) store_f16(to + i, 8, from + i);
  }
  store_f16(to + i, n - i, from + i);
}
#else
static bool has_f16c(void) { return false; }
#define load_f16c  load_f16
#define store_f16c store_f16
#endif

static void load_packed(th_dtype t, const uint16_t *from, int64_t n, float *to) {
  if (t == TH_BF16)
    load_bf16(from, n, to);
  else if (has_f16c())
    load_f16c(from, n, to);
  else
    load_f16(from, n, to);
}

static void store_packed(th_dtype t, uint16_t *to, int64_t n, const float *from) {
  if (t == TH_BF16)
    store_bf16(to, n, from);
  else if (has_f16c())
    store_f16c(to, n, from);
  else
    store_f16(to, n, from);
}

/* --- with gaps --- */

void th__halves_load(th_dtype t, const void *from, int64_t stride, int64_t n, float *to) {
  const uint16_t *at = from;
  if (stride == 1) {
    load_packed(t, at, n, to);
    return;
  }
  uint16_t packed[PIECE];
  for (int64_t i = 0; i < n; i += PIECE) {
    int64_t m = n - i < PIECE ? n - i : PIECE;
    th__copy_run(sizeof *packed, packed, 1, at + i * stride, stride, m);
    load_packed(t, packed, m, to + i);
  }
}

void th__halves_store(th_dtype t, void *to, int64_t stride, int64_t n, const float *from) {
  uint16_t *at = to;
  if (stride == 1) {
    store_packed(t, at, n, from);
    return;
  }
  uint16_t packed[PIECE];
  for (int64_t i = 0; i < n; i += PIECE) {
    int64_t m = n - i < PIECE ? n - i : PIECE;
    store_packed(t, packed, m, from + i);
    th__copy_run(sizeof *packed, at + i * stride, stride, packed, 1, m);
  }
}
