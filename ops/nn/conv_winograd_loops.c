/* Owns the inner loops of Winograd's convolutions, once for each width of vectors, chosen by what the processor has; products
 * and sums are fused where it can do that, as in conv_kernel.c. */
#include "ops/nn/conv_winograd_loops.h"
#include "ops/nn/fused.h"

/* Vectors that may lie anywhere. */
#define VECTOR(bytes)                                                                              \
  typedef float wide_##bytes __attribute__((vector_size(bytes), aligned(4), may_alias));
VECTOR(16)

#define V         wide_16
#define LANES     4
#define NAME(id)  id##_16
#define ATTRIBUTE FUSED
#define EVEN      0, 2, 4, 6
#define ODD       1, 3, 5, 7
#define LOW       0, 4, 1, 5
#define HIGH      2, 6, 3, 7
#define PAIRS     0, 2, 4, 6
#define OTHERS    1, 3, 5, 7
#include "ops/nn/conv_winograd_loops.def"

#if defined(__x86_64__)
VECTOR(32)
VECTOR(64)

#define V         wide_32
#define LANES     8
#define NAME(id)  id##_32
#define ATTRIBUTE FUSED __attribute__((target("avx2,fma")))
#define EVEN      0, 2, 4, 6, 8, 10, 12, 14
#define ODD       1, 3, 5, 7, 9, 11, 13, 15
#define LOW       0, 8, 1, 9, 2, 10, 3, 11
#define HIGH      4, 12, 5, 13, 6, 14, 7, 15
#define PAIRS     0, 2, 8, 10, 4, 6, 12, 14
#define OTHERS    1, 3, 9, 11, 5, 7, 13, 15
#include "ops/nn/conv_winograd_loops.def"

#define V         wide_64
#define LANES     16
#define NAME(id)  id##_64
#define ATTRIBUTE FUSED __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw")))
#define EVEN      0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define ODD       1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
#define LOW       0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH      8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#define PAIRS     0, 2, 16, 18, 4, 6, 20, 22, 8, 10, 24, 26, 12, 14, 28, 30
#define OTHERS    1, 3, 17, 19, 5, 7, 21, 23, 9, 11, 25, 27, 13, 15, 29, 31
#include "ops/nn/conv_winograd_loops.def"
#endif

const th__winograd_loops *th__winograd_loops_get(void) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw"))
    return &loops_64;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return &loops_32;
#endif
  return &loops_16;
}
