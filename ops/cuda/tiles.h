/* What launchers of convolutions tell their kernel; C and CUDA C++. */
#ifndef THRUM_OPS_CUDA_TILES_H
#define THRUM_OPS_CUDA_TILES_H

#include <stdint.h>

/* A block computes rows x columns results and goes through the products in steps. */
#define TH__TILE_COLUMNS 128
#define TH__TILE_STEPS   16

/* result[group, row, column] = sum over steps of left[row, step] * right[step, column]. A row is a channel of the group; a column
 * and a step are three indices each, which together tell a place of `right`: a plane, and along each of its two dimensions
 * d the sum of both's places over `divisor` where that is whole; outside of the plane there are zeros. */
typedef struct th__cuda_tiles {
  int64_t groups, rows, columns, steps;
  int64_t column[3], step[3]; /* sizes of their indices */
  int64_t row_tiles, column_tiles;
  int64_t chunk,
      chunks; /* steps of a block; partial sums are joined when there are several chunks */
  int64_t left_group, left_row, left_step[3]; /* strides, in elements */
  int64_t right_group, right_column, right_step, right[2];
  int64_t origin[2], by_column[2],
      by_step[2];              /* a place along d: origin + by_column i + by_step j */
  int64_t size[2], divisor[2]; /* of the plane */
  int64_t out_group, out_row, out_column[3], results;
  int64_t bias; /* stride */
  int32_t dtype;
} th__cuda_tiles;

#endif
