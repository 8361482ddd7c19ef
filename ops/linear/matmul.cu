/* Kernels of matrix products of integers, which wrap; those of floating types are the vendor's library's. */
#include "ops/cuda/kernel.cuh"
#include "ops/cuda/matmul.h"

/* A thread has one element of the result. Both signs have the same wrapping product. */
#define PRODUCT(t, ...)                                                                            \
  TH_KERNEL(matmul_##t, "wrrv", void *out, const void *a, const void *b,                           \
            const __grid_constant__ th__cuda_product g) {                                          \
    const t::S *x = (const t::S *)a, *y = (const t::S *)b;                                         \
    for (int64_t i = th__thread(); i < g.batch * g.m * g.n; i += th__threads()) {                  \
      int64_t column = i % g.n, row = i / g.n % g.m, batch = i / (g.m * g.n);                      \
      const t::S *left = x + batch * g.a_batch + row * g.a_row;                                    \
      const t::S *right = y + batch * g.b_batch + column * g.b_column;                             \
      t::W sum = 0;                                                                                \
      for (int64_t p = 0; p < g.k; p++)                                                            \
        sum += (t::W)left[p * g.a_column] * (t::W)right[p * g.b_row];                              \
      ((t::S *)out)[i] = (t::S)sum;                                                                \
    }                                                                                              \
  }
TH_UNSIGNED(PRODUCT, )
