/* Owns the gradient of conv2d with windows of three by three by its weights, by the same transforms: tiles of x and of g are
 * transformed, their products added up tap by tap over all tiles, and the sums transformed back once. Blocks are dealt to a
 * number of sums that depends on shapes only; those are joined in order. */
#include <string.h>

#include "ops/loops/runs.h"
#include "ops/loops/scratch.h"
#include "ops/nn/conv_winograd.h"

enum {
  MOST_WIDE = 256,         /* inputs and outputs of a group together */
  TILES = 200,             /* of a block, about */
  TILE_BYTES = 512 * 1024, /* of a transformed block, about */
  SUMS = 16,
  SUMS_BYTES = 16 << 20, /* of all sums, at most */
  LANES = TH__WINOGRAD_LANES,
  OUTPUTS = TH__WINOGRAD_OUTPUTS,
  TAPS = TH__WINOGRAD_TAPS
};

typedef struct plan {
  int64_t images, groups, in, out, wide; /* channels of a group; outputs in whole blocks */
  int64_t pad[2], count[2], tiles[2];
  th__winograd_cut cut;
  int64_t half, blocks, sums, sum_size; /* elements of a sum */
  int64_t split_size, scratch;          /* elements */
  th__winograd_slope slope;
} plan;

static void plan_blocks(plan *c) {
  int64_t most = th__winograd_least(TILES, TILE_BYTES / (TAPS * 4 * (c->in + c->wide)));
  c->cut = th__winograd_cut_of(c->tiles, most);
  c->half = c->cut.width + 1;
  c->blocks = c->images * c->cut.row_blocks * c->cut.pieces;
  c->sum_size = c->groups * c->wide * c->in * TAPS;
  int64_t fit = SUMS_BYTES / (c->sum_size * 4);
  c->sums = th__winograd_least(c->blocks, fit > SUMS ? SUMS : fit < 1 ? 1 : fit);
  th__winograd_slope *k = &c->slope;
  k->channels = c->in, k->outputs = c->wide;
  k->step = th__conv_round_up(
      (c->cut.rows - 1) * c->cut.width + th__conv_round_up(c->cut.width, LANES), LANES);
  k->v_taps = c->in * k->step + LANES;
  k->g_taps = c->wide * k->step + LANES;
  c->split_size = th__conv_round_up((2 * c->cut.rows + 2) * 2 * c->half + 2 * LANES, LANES);
  c->scratch = c->split_size + TAPS * (k->v_taps + k->g_taps);
}

static plan make_plan(const th__window_params *p, const th_layout *x, const th_layout *g) {
  plan c = {.images = x->shape[0], .groups = p->groups, .in = x->shape[1] / p->groups};
  c.out = g->shape[1] / p->groups;
  c.wide = th__conv_round_up(c.out, OUTPUTS);
  bool good = th__compute_of(x->dtype) == TH__F32;
  for (int d = 0; d < 2; d++) {
    c.pad[d] = p->padding[d];
    c.count[d] = g->shape[2 + d];
    c.tiles[d] = (c.count[d] + 1) / 2;
    good = good && p->size[d] == 3 && p->stride[d] == 1 && p->dilation[d] == 1;
  }
  good = good && c.images > 0 && c.in + c.wide <= MOST_WIDE &&
         c.in * c.out >= TH__WINOGRAD_LEAST_PAIRS &&
         c.tiles[0] * c.tiles[1] >= TH__WINOGRAD_LEAST_TILES;
  if (good) plan_blocks(&c);
  return c;
}

int64_t th__winograd_slope_bytes(const th__window_params *p, const th_layout *source,
                                 const th_layout *g) {
  plan c = make_plan(p, source, g);
  return (c.sums * c.sum_size + th__scratches_for(c.sums) * c.scratch) * 4;
}

typedef struct run {
  const th_kernel_args *k;
  const plan *c;
  const th__winograd_loops *loops;
  float *sums, *scratch;
  th__scratches scratches;
  bool wrong; /* an element is not finite */
} run;

typedef struct block {
  int64_t image, row, rows, column, columns; /* of tiles */
} block;

static block find_block(const plan *c, int64_t i) {
  block b = {.column = i % c->cut.pieces * c->cut.width};
  b.columns = th__winograd_least(c->cut.width, c->tiles[1] - b.column);
  i /= c->cut.pieces;
  b.row = i % c->cut.row_blocks * c->cut.rows;
  b.rows = th__winograd_least(c->cut.rows, c->tiles[0] - b.row);
  b.image = i / c->cut.row_blocks;
  return b;
}

/* Whole vectors are added up: zeros behind the last tile, for all channels of all taps. */
static void clear_rest(const run *r, const block *b, int64_t channels, int64_t taps, float *to) {
  int64_t n = b->rows * b->columns, rest = th__conv_round_up(n, r->loops->lanes) - n;
  for (int f = 0; f < TAPS && rest > 0; f++)
    for (int64_t i = 0; i < channels; i++)
      memset(to + f * taps + i * r->c->slope.step + n, 0, (size_t)rest * sizeof *to);
}

static void take_source(const run *r, const block *b, int64_t group, float *split, float *to) {
  const plan *c = r->c;
  const th_layout *x = &r->k->in[0];
  th__winograd_source s = {r->loops, x, r->k->in_data[0], {c->pad[0], c->pad[1]}, c->half};
  th__winograd_rows rows = {split, 2 * c->half, c->half};
  int64_t from = b->image * x->strides[0] + group * c->in * x->strides[1];
  for (int64_t i = 0; i < c->in; i++, from += x->strides[1]) {
    th__winograd_split(&s, from, (const int64_t[2]){b->row, b->column}, b->rows, b->columns, split);
    r->loops->take(&rows, b->columns, b->rows, to + i * c->slope.step, c->slope.v_taps);
  }
  clear_rest(r, b, c->in, c->slope.v_taps, to);
}

/* Tiles of g, of a plane at element `from`: as it lies, where its rows are full of whole vectors, else row by row. */
static void take_plane(const run *r, const block *b, int64_t from, float *to) {
  const plan *c = r->c;
  const th_layout *g = &r->k->in[1];
  enum { ROW = 2 * (TH__WINOGRAD_MOST_WIDE + LANES) };
  float room[2 * ROW];
  int64_t item = th__dtype_size(g->dtype), n = b->columns, step = c->slope.g_taps, i = 0;
  int64_t columns = th__winograd_least(2 * n, c->count[1] - 2 * b->column);
  from += 2 * b->row * g->strides[2] + 2 * b->column * g->strides[3];
  const char *data = (const char *)r->k->in_data[1] + from * item;
  if (g->dtype == TH_F32 && g->strides[3] == 1 && columns == 2 * n && n >= r->loops->lanes) {
    i = th__winograd_least(b->rows, c->count[0] / 2 - b->row);
    r->loops->take_slope((const float *)(const void *)data, g->strides[2], n, i, to, step);
  }
  for (; i < b->rows; i++) {
    for (int64_t j = 0; j < 2; j++) {
      int64_t there = 2 * (b->row + i) + j < c->count[0] ? columns : 0;
      th__gather(g->dtype, data + (2 * i + j) * g->strides[2] * item, g->strides[3], there,
                 room + j * ROW);
      for (int64_t k = there; k < 2 * n; k++) room[j * ROW + k] = 0;
    }
    r->loops->take_slope(room, ROW, n, 1, to + i * n, step);
  }
}

static void add_block(const run *r, const block *b, float *scratch, float *sum) {
  const plan *c = r->c;
  const th_layout *g = &r->k->in[1];
  float *v = scratch + c->split_size, *u = v + TAPS * c->slope.v_taps;
  th__winograd_slope slope = c->slope;
  slope.tiles = b->rows * b->columns;
  for (int64_t group = 0; group < c->groups; group++, sum += TAPS * c->wide * c->in) {
    take_source(r, b, group, scratch, v);
    int64_t from = b->image * g->strides[0] + group * c->out * g->strides[1];
    for (int64_t o = 0; o < c->wide; o++, from += o < c->out ? g->strides[1] : 0)
      take_plane(r, b, from, u + o * c->slope.step); /* the last block may repeat an output */
    clear_rest(r, b, c->wide, c->slope.g_taps, u);
    r->loops->add_slope(&slope, u, v, sum);
  }
}

static void run_sums(int64_t first, int64_t last, void *arg) {
  run *r = arg;
  const plan *c = r->c;
  int64_t slot = th__scratch_take(&r->scratches, th__scratches_for(c->sums));
  for (int64_t s = first; s < last; s++) {
    float *sum = r->sums + s * c->sum_size;
    memset(sum, 0, (size_t)c->sum_size * sizeof *sum);
    for (int64_t i = s * c->blocks / c->sums; i < (s + 1) * c->blocks / c->sums; i++) {
      block b = find_block(c, i);
      add_block(r, &b, r->scratch + slot * c->scratch, sum);
    }
  }
  th__scratch_give(&r->scratches, slot);
}

/* Three weights of four taps, the last of which has the other sign. */
static void back_three(const float *m, int64_t step, float out[3]) {
  float sum = m[step] + m[2 * step], difference = m[step] - m[2 * step];
  out[0] = m[0] + sum * 0.5f, out[1] = difference * 0.5f, out[2] = sum * 0.5f - m[3 * step];
}

/* The weights of one output, from [tap][block of outputs][channel][output]. */
static void write_output(run *r, int64_t group, int64_t o) {
  const plan *c = r->c;
  const float *m =
      r->sums + group * TAPS * c->wide * c->in + o / OUTPUTS * c->in * OUTPUTS + o % OUTPUTS;
  int64_t size = th__dtype_size(r->k->out[0].dtype), taps = c->wide * c->in;
  char *to = (char *)r->k->out_data[0] + (group * c->out + o) * c->in * 9 * size;
  for (int64_t i = 0; i < c->in; i++, m += OUTPUTS, to += 9 * size) {
    float rows[4][3], column[3], w[9];
    for (int f = 0; f < 4; f++) back_three(m + 4 * f * taps, taps, rows[f]);
    for (int j = 0; j < 3; j++) {
      back_three(&rows[0][j], 3, column);
      for (int k = 0; k < 3; k++) {
        w[3 * k + j] = column[k];
        r->wrong |= column[k] - column[k] != 0;
      }
    }
    th__scatter(r->k->out[0].dtype, to, 1, 9, w);
  }
}

bool th__winograd_slope_run(const th_kernel_args *k) {
  plan c = make_plan(k->params, &k->in[0], &k->in[1]);
  run r = {.k = k, .c = &c, .loops = th__winograd_loops_get(), .sums = k->workspace};
  r.scratch = r.sums + c.sums * c.sum_size;
  int64_t cost = c.blocks / c.sums * c.cut.rows * c.cut.width * (c.sum_size / 16);
  th_parallel_for(k->context, c.sums, th__grain(cost), run_sums, &r);
  for (int64_t s = 1; s < c.sums; s++)
    for (int64_t i = 0; i < c.sum_size; i++) r.sums[i] += r.sums[s * c.sum_size + i];
  for (int64_t group = 0; group < c.groups; group++)
    for (int64_t o = 0; o < c.out; o++) write_output(&r, group, o);
  return !r.wrong;
}
