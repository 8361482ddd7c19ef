/* Convolutions with windows of three by three by Winograd's F(2x2, 3x3), as ops/nn/conv.c uses them. */
#ifndef THRUM_OPS_NN_CONV_WINOGRAD_H
#define THRUM_OPS_NN_CONV_WINOGRAD_H

#include "ops/nn/conv.h"
#include "ops/nn/conv_winograd_loops.h"

/* Bytes of workspace of the convolution that ops/nn/conv.c describes (turned: the gradient by the input), or 0 where it is not
 * one of these: other windows, steps or types, or so few channels that tiles do not pay. count: windows of the result. */
int64_t th__winograd_bytes(const th__window_params *p, const th_layout *source,
                           const th_layout *weight, const int64_t count[2], bool turned);
/* Where there are bytes. */
th_status th__winograd_run(const th_kernel_args *k, bool turned);

/* The same for the gradient by the weights; source and g are its inputs. */
int64_t th__winograd_slope_bytes(const th__window_params *p, const th_layout *source,
                                 const th_layout *g);
/* False when an element came out that is not finite: then the result is not to be used. */
bool th__winograd_slope_run(const th_kernel_args *k);

/* --- shared by both --- */

enum {
  TH__WINOGRAD_LEAST_PAIRS = 64, /* inputs times outputs of a group for which transforms pay, */
  TH__WINOGRAD_LEAST_TILES = 9,  /* and tiles of an image */
  TH__WINOGRAD_MOST_WIDE = 128   /* tiles of a piece of a row */
};

static inline int64_t th__winograd_least(int64_t a, int64_t b) { return a < b ? a : b; }

/* How the tiles of an image are cut into blocks: rows of a width each, pieces side by side. */
typedef struct th__winograd_cut {
  int64_t width, pieces, rows, row_blocks;
} th__winograd_cut;

/* tiles[2] of an image, about `most` in a block. */
th__winograd_cut th__winograd_cut_of(const int64_t tiles[2], int64_t most);

/* An array of planes that tiles are read from. */
typedef struct th__winograd_source {
  const th__winograd_loops *loops;
  const th_layout *layout;
  const char *data;
  int64_t pad[2], half; /* half: of a split row */
} th__winograd_source;

/* The elements under tiles (rows x columns from tile first[0], first[1] on) of the plane at element `from`, as split rows,
 * padded with zeros: 2 rows + 2 of them, 2 half apart. */
void th__winograd_split(const th__winograd_source *s, int64_t from, const int64_t first[2],
                        int64_t rows, int64_t columns, float *to);

#endif
