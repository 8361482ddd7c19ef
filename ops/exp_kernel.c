/* Owns the exponential of softmax: Cody-Waite reduction and a polynomial of degree 7 with what rounding loses carried along, in
 * vectors of the width that the processor has. Products and sums are fused where it can do that, so bits are the processor's. */
#include "ops/exp_kernel.h"

#include <string.h>

#if defined(__clang__)
#define FUSED
#pragma clang fp contract(fast)
#else
#define FUSED __attribute__((optimize("fp-contract=fast")))
#endif

/* Vectors that may lie anywhere, and their bits. */
#define VECTOR(bytes)                                                                              \
  typedef float vec_##bytes __attribute__((vector_size(bytes), aligned(4), may_alias));            \
  typedef int32_t bits_##bytes __attribute__((vector_size(bytes), aligned(4), may_alias));

/* A vector at x to one at y. What is below -105 counts as that, whose power rounds to 0; NaN stays. Adding 1.5 * 2^23 rounds t
 * to an integer n in the low bits. The result is scaled by 2^(n + 64), which is normal for all n, then by 2^-64. */
#define ONE_VECTOR(W, I, from, to)                                                                 \
  do {                                                                                             \
    const W magic = (W){0} + 12582912.0f, least = (W){0} - 105.0f;                                 \
    W d = *(const W *)(from)-shift;                                                                \
    const I low = d < least;                                                                       \
    d = (W)(((I)least & low) | ((I)d & ~low));                                                     \
    const W t = d * 1.44269504f + magic, whole = t - magic;                                        \
    const W far = d - whole * 0.693359375f, near = whole * -2.12194440e-4f;                        \
    const W r = far - near, lost = (far - r) - near;                                               \
    W p = r * 1.9875691500e-4f + 1.3981999507e-3f;                                                 \
    p = p * r + 8.3334519073e-3f;                                                                  \
    p = p * r + 4.1665795894e-2f;                                                                  \
    p = p * r + 1.6666665459e-1f;                                                                  \
    p = p * r + 5.0000001201e-1f;                                                                  \
    const W high = r + 1.0f, rest = r - (high - 1.0f);                                             \
    const W power = high + (rest + ((r * r) * p + lost));                                          \
    const I raised = ((I)t - (I)magic + (64 + 127)) << 23;                                         \
    *(W *)(to) = power * (W)raised * 0x1p-64f;                                                     \
  } while (0)

/* The elements after the last whole vector go through one of their own. */
#define EXP(bytes, attribute)                                                                      \
  VECTOR(bytes)                                                                                    \
  attribute FUSED static void exp_##bytes(const float *x, float shift, int64_t n, float *y) {      \
    enum { V = bytes / 4 };                                                                        \
    int64_t i = 0;                                                                                 \
    for (; i + V <= n; i += V) ONE_VECTOR(vec_##bytes, bits_##bytes, x + i, y + i);                \
    if (i == n) return;                                                                            \
    float last[V] = {0};                                                                           \
    memcpy(last, x + i, (size_t)(n - i) * sizeof *x);                                              \
    ONE_VECTOR(vec_##bytes, bits_##bytes, last, last);                                             \
    memcpy(y + i, last, (size_t)(n - i) * sizeof *y);                                              \
  }

EXP(16, )
#if defined(__x86_64__)
EXP(32, __attribute__((target("avx2,fma"))))
EXP(64, __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw"))))
#endif

void th__exp_shifted_f32(const float *x, float shift, int64_t n, float *y) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw")) {
    exp_64(x, shift, n, y);
    return;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    exp_32(x, shift, n, y);
    return;
  }
#endif
  exp_16(x, shift, n, y);
}
