/* The inner loops of Winograd's convolutions F(2x2, 3x3): tiles of four by four elements give four windows of three by three by
 * 16 products per channel and output instead of 36. */
#ifndef THRUM_OPS_NN_CONV_WINOGRAD_LOOPS_H
#define THRUM_OPS_NN_CONV_WINOGRAD_LOOPS_H

#include <stdint.h>

enum {
  TH__WINOGRAD_TAPS = 16,   /* of a transformed tile */
  TH__WINOGRAD_OUTPUTS = 4, /* side by side */
  TH__WINOGRAD_LANES = 16   /* tiles side by side, at most */
};

/* Four rows of tiles, `step` elements apart, each split: even elements first, odd ones `odd` behind. */
typedef struct th__winograd_rows {
  const float *first;
  int64_t step, odd;
} th__winograd_rows;

/* m[tap][output][tile] = sum over channels of u[tap][channel][output] * v[tap][channel][tile], for four outputs. */
typedef struct th__winograd_product {
  int64_t channels, tiles;
  int64_t v_step, v_taps, m_step, m_taps; /* between channels, outputs and taps */
} th__winograd_product;

/* sums[tap][block of four outputs][channel][output] += sum over tiles of g[tap][output][tile] * v[tap][channel][tile]; tiles
 * beyond these, up to lanes, must be zero. */
typedef struct th__winograd_slope {
  int64_t channels, outputs, tiles; /* outputs: a multiple of four */
  int64_t step, v_taps, g_taps;     /* between channels or outputs, and taps */
} th__winograd_slope;

/* All of them read and write whole vectors: up to lanes - 1 beyond the tiles where those are fewer than lanes, and products
 * always. */
typedef struct th__winograd_loops {
  int lanes;
  /* Rows of n elements, stride apart, in turn to even and odd, whose rows are step apart; exact. */
  void (*split)(const float *from, int64_t stride, int64_t rows, int64_t n, float *even, float *odd,
                int64_t step);
  /* The transforms of rows of n tiles, one behind the other: tap f of tile i to to[f * step + i]. */
  void (*take)(const th__winograd_rows *first, int64_t n, int64_t rows, float *to, int64_t step);
  /* Results of rows of n tiles (one row, where n is less than lanes), and bias: windows of 2 n columns, whose rows are `row`
   * apart. Returns NaN if any of them is not finite (or so large that their sum is not), otherwise 0. */
  float (*give)(const float *m, int64_t step, int64_t n, int64_t rows, float bias, float *y,
                int64_t row);
  void (*multiply)(const th__winograd_product *k, const float *u, const float *v, float *m);
  /* For the gradient by the weights: transforms of rows of n tiles of two by two, rows `row` apart. */
  void (*take_slope)(const float *g, int64_t row, int64_t n, int64_t rows, float *to, int64_t step);
  void (*add_slope)(const th__winograd_slope *k, const float *g, const float *v, float *sums);
} th__winograd_loops;

/* Those of this processor. */
const th__winograd_loops *th__winograd_loops_get(void);

#endif
