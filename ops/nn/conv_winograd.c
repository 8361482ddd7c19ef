/* Owns conv2d with windows of three by three, and its gradient by the input, by Winograd's F(2x2, 3x3): less than half of the
 * multiplications. A block, some rows of tiles of one image and group, goes through all stages in one scratch, which stays in
 * the caches: rows are padded and split into even and odd columns, transformed, multiplied tap by tap, transformed back.
 *
 * An element that is not finite would spoil all windows of its tile. So the results of a block are looked at, and where one is not
 * finite the block is computed again, window by window. */
#include "ops/nn/conv_winograd.h"

#include <string.h>

#include "ops/loops/runs.h"
#include "ops/loops/scratch.h"

enum {
  MOST_IN = 256,           /* channels whose tiles stay in the second-level cache */
  TILES = 64,              /* of a block, about */
  TILE_BYTES = 256 * 1024, /* of a transformed block, about */
  PARTS = 32,              /* parts of the work */
  LANES = TH__WINOGRAD_LANES,
  OUTPUTS = TH__WINOGRAD_OUTPUTS,
  TAPS = TH__WINOGRAD_TAPS
};

typedef struct plan {
  int64_t images, groups, in, out;   /* channels of a group */
  int64_t size[2], pad[2], count[2]; /* of the source; windows */
  int64_t tiles[2];                  /* of an image */
  th__winograd_cut cut;
  int64_t half, out_blocks;                /* of a split row; of OUTPUTS */
  int64_t blocks, parts;                   /* blocks of all, parts they are dealt to */
  int64_t rows_size, tiles_size, sum_size; /* elements of what a scratch holds */
  int64_t scratch, weights;                /* elements */
  th__winograd_product product;
  bool turned; /* gradient by the input */
} plan;

th__winograd_cut th__winograd_cut_of(const int64_t tiles[2], int64_t most) {
  int64_t wide = th__winograd_least(most, TH__WINOGRAD_MOST_WIDE);
  th__winograd_cut c = {.pieces = (tiles[1] + wide - 1) / wide};
  c.width = (tiles[1] + c.pieces - 1) / c.pieces;
  c.rows = th__winograd_least(most / c.width, tiles[0]);
  c.row_blocks = (tiles[0] + c.rows - 1) / c.rows;
  return c;
}

/* Blocks and what they need; bits do not depend on it. */
static void plan_blocks(plan *c) {
  int64_t tiles = th__winograd_least(TILES, TILE_BYTES / (TAPS * 4 * c->in));
  c->cut = th__winograd_cut_of(c->tiles, tiles);
  c->blocks = c->images * c->groups * c->cut.row_blocks * c->cut.pieces;
  c->parts = th__winograd_least(c->blocks, PARTS);
  c->half = c->cut.width + 1;
  c->out_blocks = (c->out + OUTPUTS - 1) / OUTPUTS;
  th__winograd_product *k = &c->product;
  k->channels = c->in;
  /* Taps are a cache line more apart, lest they share few places of the first-level cache. */
  k->v_step = k->m_step = th__conv_round_up(
      (c->cut.rows - 1) * c->cut.width + th__conv_round_up(c->cut.width, LANES), LANES);
  k->v_taps = c->in * k->v_step + LANES;
  k->m_taps = OUTPUTS * k->m_step + LANES;
  c->rows_size = th__conv_round_up(c->in * (2 * c->cut.rows + 2) * 2 * c->half + 2 * LANES, LANES);
  c->tiles_size = TAPS * k->v_taps;
  c->sum_size = TAPS * k->m_taps;
  c->scratch = c->rows_size + c->tiles_size + c->sum_size;
  c->weights = c->groups * c->out_blocks * TAPS * c->in * OUTPUTS;
}

static bool suits(const th__window_params *p, const th_layout *weight) {
  bool good = th__compute_of(weight->dtype) == TH__F32;
  for (int d = 0; d < 2; d++)
    good = good && weight->shape[2 + d] == 3 && p->stride[d] == 1 && p->dilation[d] == 1;
  return good;
}

static plan make_plan(const th__window_params *p, const th_layout *source, const th_layout *weight,
                      const int64_t count[2], bool turned) {
  plan c = {.images = source->shape[0], .groups = p->groups, .turned = turned};
  c.in = source->shape[1] / p->groups;
  c.out = turned ? weight->shape[1] : weight->shape[0] / p->groups;
  for (int d = 0; d < 2; d++) {
    c.pad[d] = turned ? 2 - p->padding[d] : p->padding[d];
    c.count[d] = count[d];
    c.tiles[d] = (count[d] + 1) / 2;
  }
  if (c.in <= MOST_IN && c.in * c.out >= TH__WINOGRAD_LEAST_PAIRS &&
      c.tiles[0] * c.tiles[1] >= TH__WINOGRAD_LEAST_TILES)
    plan_blocks(&c);
  return c;
}

int64_t th__winograd_bytes(const th__window_params *p, const th_layout *source,
                           const th_layout *weight, const int64_t count[2], bool turned) {
  if (!suits(p, weight)) return 0;
  plan c = make_plan(p, source, weight, count, turned);
  return (c.weights + th__scratches_for(c.parts) * c.scratch) * 4;
}

/* --- splitting rows --- */

/* Rows of n elements at element `from`, the first of which is column `at` of split rows. */
static void split_part(const th__winograd_source *s, int64_t from, int64_t rows, int64_t at,
                       int64_t n, float *to) {
  const th_layout *x = s->layout;
  int64_t step = 2 * s->half, item = th__dtype_size(x->dtype);
  float *even = to + at / 2, *odd = even + s->half;
  if (at % 2 != 0) even = odd, odd = to + at / 2 + 1;
  const char *data = s->data + from * item;
  if (x->dtype == TH_F32 && x->strides[3] == 1) {
    const float *values = (const float *)(const void *)data;
    s->loops->split(values, x->strides[2], rows, n, even, odd, step);
    return;
  }
  float room[2 * TH__WINOGRAD_MOST_WIDE + 2];
  for (; rows > 0; rows--, data += x->strides[2] * item, even += step, odd += step) {
    th__gather(x->dtype, data, x->strides[3], n, room);
    s->loops->split(room, 0, 1, n, even, odd, step);
  }
}

void th__winograd_split(const th__winograd_source *s, int64_t from, const int64_t first[2],
                        int64_t rows, int64_t columns, float *to) {
  const int64_t size[2] = {2 * rows + 2, 2 * columns + 2};
  int64_t place[2], n[2]; /* of what the source has */
  for (int d = 0; d < 2; d++) {
    int64_t begin = s->pad[d] - 2 * first[d], skip = begin < 0 ? -begin : 0;
    place[d] = begin < 0 ? 0 : th__winograd_least(begin, size[d]);
    n[d] = th__winograd_least(s->layout->shape[2 + d] - skip, size[d] - place[d]);
    from += skip * s->layout->strides[2 + d];
  }
  bool none = n[0] <= 0 || n[1] <= 0;
  if (none || n[0] < size[0] || n[1] < size[1])
    memset(to, 0, (size_t)(size[0] * 2 * s->half) * sizeof *to);
  if (!none) split_part(s, from, n[0], place[1], n[1], to + place[0] * 2 * s->half);
}

typedef struct run {
  const th_kernel_args *k;
  const plan *c;
  const th__winograd_loops *loops;
  float *weights, *scratch;
  th__scratches scratches;
} run;

/* --- weights --- */

static const char *element(const th_kernel_args *k, int input, int64_t at) {
  return (const char *)k->in_data[input] + at * (int64_t)th_dtype_size(k->in[input].dtype);
}

/* The nine weights from channel `in` to channel `out` of a group. */
static void read_taps(const run *r, int64_t group, int64_t out, int64_t in, float w[9]) {
  const plan *c = r->c;
  const th_layout *l = &r->k->in[1];
  int64_t outer = group * (c->turned ? c->in : c->out) + (c->turned ? in : out);
  int64_t at = outer * l->strides[0] + (c->turned ? out : in) * l->strides[1];
  for (int64_t i = 0; i < 3; i++) {
    int64_t row = at + (c->turned ? 2 - i : i) * l->strides[2];
    int64_t step = c->turned ? -l->strides[3] : l->strides[3];
    const char *from = element(r->k, 1, row + (c->turned ? 2 * l->strides[3] : 0));
    th__gather(l->dtype, from, step, 3, w + 3 * i);
  }
}

static void transform_three(const float *w, int64_t step, float out[4]) {
  float ends = (w[0] + w[2 * step]) * 0.5f, middle = w[step] * 0.5f;
  out[0] = w[0], out[1] = ends + middle, out[2] = ends - middle, out[3] = w[2 * step];
}

/* Weights as [group][block of outputs][tap][channel][output]. */
static void transform_weights(int64_t first, int64_t last, void *arg) {
  const run *r = arg;
  const plan *c = r->c;
  for (int64_t i = first; i < last; i++) {
    int64_t group = i / c->out, o = i % c->out, block = group * c->out_blocks + o / OUTPUTS;
    float *to = r->weights + block * TAPS * c->in * OUTPUTS + o % OUTPUTS;
    for (int64_t in = 0; in < c->in; in++, to += OUTPUTS) {
      float w[9], rows[3][4], taps[4];
      read_taps(r, group, o, in, w);
      for (int row = 0; row < 3; row++) transform_three(w + 3 * row, 1, rows[row]);
      for (int f = 0; f < 4; f++) {
        transform_three(&rows[0][f], 4, taps);
        for (int e = 0; e < 4; e++) to[(4 * e + f) * c->in * OUTPUTS] = taps[e];
      }
    }
  }
}

/* --- a block --- */

typedef struct block {
  int64_t image, group, row, rows, column, columns; /* of tiles */
  float *split, *tiles, *sums;
} block;

static block find_block(const run *r, int64_t i, int64_t slot) {
  const plan *c = r->c;
  block b = {.split = r->scratch + slot * c->scratch};
  b.tiles = b.split + c->rows_size;
  b.sums = b.tiles + c->tiles_size;
  b.column = i % c->cut.pieces * c->cut.width;
  b.columns = th__winograd_least(c->cut.width, c->tiles[1] - b.column);
  i /= c->cut.pieces;
  b.row = i % c->cut.row_blocks * c->cut.rows;
  b.rows = th__winograd_least(c->cut.rows, c->tiles[0] - b.row);
  i /= c->cut.row_blocks;
  b.group = i % c->groups;
  b.image = i / c->groups;
  return b;
}

static void split_rows(const run *r, const block *b) {
  const plan *c = r->c;
  const th_layout *x = &r->k->in[0];
  th__winograd_source s = {r->loops, x, r->k->in_data[0], {c->pad[0], c->pad[1]}, c->half};
  int64_t from = b->image * x->strides[0] + b->group * c->in * x->strides[1];
  float *to = b->split;
  for (int64_t in = 0; in < c->in;
       in++, from += x->strides[1], to += (2 * c->cut.rows + 2) * 2 * c->half)
    th__winograd_split(&s, from, (const int64_t[2]){b->row, b->column}, b->rows, b->columns, to);
}

static void transform_tiles(const run *r, const block *b) {
  const plan *c = r->c;
  for (int64_t in = 0; in < c->in; in++) {
    const float *first = b->split + in * (2 * c->cut.rows + 2) * 2 * c->half;
    th__winograd_rows rows = {first, 2 * c->half, c->half};
    float *to = b->tiles + in * c->product.v_step;
    r->loops->take(&rows, b->columns, b->rows, to, c->product.v_taps);
  }
}

static float bias_of(const run *r, int64_t channel) {
  float bias = 0;
  if (r->k->n_in > 2)
    th__gather(r->k->in[2].dtype, element(r->k, 2, channel * r->k->in[2].strides[0]), 1, 1, &bias);
  return bias;
}

/* Place of window (row, column) of the result of a block. */
static char *result_at(const run *r, const block *b, int64_t out, int64_t row, int64_t column) {
  const plan *c = r->c;
  int64_t plane = (b->image * c->groups + b->group) * c->out + out;
  int64_t at = (plane * c->count[0] + row) * c->count[1] + column;
  return (char *)r->k->out_data[0] + at * (int64_t)th_dtype_size(r->k->out[0].dtype);
}

/* Results of one output; NaN if any is not finite. */
static float give_output(const run *r, const block *b, int64_t out, float bias, const float *sums) {
  const plan *c = r->c;
  enum { ROW = 2 * (TILES + LANES) };
  float room[2 * ROW], wrong = 0;
  th_dtype t = r->k->out[0].dtype;
  int64_t n = b->columns, step = c->product.m_taps, i = 0;
  int64_t columns = th__winograd_least(2 * n, c->count[1] - 2 * b->column);
  if (t == TH_F32 && columns == 2 * n && n >= r->loops->lanes) {
    float *to = (float *)(void *)result_at(r, b, out, 2 * b->row, 2 * b->column);
    i = th__winograd_least(b->rows, c->count[0] / 2 - b->row);
    wrong = r->loops->give(sums, step, n, i, bias, to, c->count[1]);
  }
  for (; i < b->rows; i++) {
    int64_t row = 2 * (b->row + i);
    wrong += r->loops->give(sums + i * n, step, n, 1, bias, room, ROW);
    for (int64_t j = 0; j < 2 && row + j < c->count[0]; j++)
      th__scatter(t, result_at(r, b, out, row + j, 2 * b->column), 1, columns, room + j * ROW);
  }
  return wrong;
}

/* One output of a block, window by window, from the split rows. */
static void sum_output(const run *r, const block *b, int64_t out, float bias) {
  const plan *c = r->c;
  float sums[2 * TILES], w[9];
  int64_t columns = th__winograd_least(2 * b->columns, c->count[1] - 2 * b->column);
  int64_t last = th__winograd_least(2 * (b->row + b->rows), c->count[0]);
  for (int64_t row = 2 * b->row; row < last; row++) {
    for (int64_t j = 0; j < columns; j++) sums[j] = 0;
    for (int64_t in = 0; in < c->in; in++) {
      read_taps(r, b->group, out, in, w);
      int64_t first = in * (2 * c->cut.rows + 2) + row - 2 * b->row;
      for (int tap = 0; tap < 9; tap++) {
        const float *from = b->split + (first + tap / 3) * 2 * c->half;
        for (int64_t j = 0; j < columns; j++) {
          int64_t x = j + tap % 3;
          sums[j] += w[tap] * from[x % 2 * c->half + x / 2];
        }
      }
    }
    for (int64_t j = 0; j < columns; j++) sums[j] += bias;
    th__scatter(r->k->out[0].dtype, result_at(r, b, out, row, 2 * b->column), 1, columns, sums);
  }
}

static void run_block(const run *r, const block *b) {
  const plan *c = r->c;
  th__winograd_product product = c->product;
  product.tiles = b->rows * b->columns;
  split_rows(r, b);
  transform_tiles(r, b);
  const float *u = r->weights + b->group * c->out_blocks * TAPS * c->in * OUTPUTS;
  for (int64_t first = 0; first < c->out; first += OUTPUTS, u += TAPS * c->in * OUTPUTS) {
    r->loops->multiply(&product, u, b->tiles, b->sums);
    for (int64_t o = 0; o < OUTPUTS && first + o < c->out; o++) {
      float bias = bias_of(r, b->group * c->out + first + o);
      float wrong = give_output(r, b, first + o, bias, b->sums + o * product.m_step);
      if (wrong != 0) sum_output(r, b, first + o, bias);
    }
  }
}

/* --- all blocks --- */

static void run_parts(int64_t first, int64_t last, void *arg) {
  run *r = arg;
  const plan *c = r->c;
  int64_t slot = th__scratch_take(&r->scratches, th__scratches_for(c->parts));
  for (int64_t i = first * c->blocks / c->parts; i < last * c->blocks / c->parts; i++) {
    block b = find_block(r, i, slot);
    run_block(r, &b);
  }
  th__scratch_give(&r->scratches, slot);
}

th_status th__winograd_run(const th_kernel_args *k, bool turned) {
  plan c = make_plan(k->params, &k->in[0], &k->in[1], &k->out[0].shape[2], turned);
  run r = {.k = k, .c = &c, .loops = th__winograd_loops_get(), .weights = k->workspace};
  r.scratch = r.weights + c.weights;
  if (c.blocks == 0) return TH_OK;
  if (c.out % OUTPUTS != 0) memset(r.weights, 0, (size_t)c.weights * 4);
  th_parallel_for(k->context, c.groups * c.out, th__grain(32 * c.in), transform_weights, &r);
  int64_t cost = (c.cut.rows * c.cut.width * TAPS / 4 * c.in * c.out) / 8 * (c.blocks / c.parts);
  th_parallel_for(k->context, c.parts, th__grain(cost), run_parts, &r);
  return TH_OK;
}
