/* Pooling by windows of 2 x 2 that do not overlap, rows without gaps: what networks mostly do. */
#ifndef THRUM_OPS_POOL_KERNEL_H
#define THRUM_OPS_POOL_KERNEL_H

#include <stdint.h>

#define TH__POOL_PAIRS 4 /* fewest windows of a row */

#define TH__POOL_KERNELS(id, T)                                                                      \
  /* The largest of each window of a plane; rows of x are `row` apart. */                            \
  void th__pool_max_##id(const T *x, int64_t row, int64_t rows, int64_t columns, T *out);            \
  /* g where x is the first largest of its window, else 0; rows of out are as long as those of x   \
   * without gaps, and what no window covers is left alone. */ \
  void th__pool_slope_##id(const T *x, int64_t row, const T *g, int64_t g_row, int64_t rows,         \
                           int64_t columns, T *out, int64_t out_row);
TH__POOL_KERNELS(f32, float)
TH__POOL_KERNELS(f64, double)

#endif
