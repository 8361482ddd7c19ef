/* Owns the kernel of reductions over any set of axes of any strided array.
 *
 * The input is split into kept and reduced dimensions. Work is cut into items by shape and strides only: an item is a chunk of
 * the reduced elements for one output (rows) or for up to 256 neighbouring outputs (columns). Chunks of one output are joined
 * pairwise at the end, so the bits do not depend on who computed which item. */
#include "ops/reduce/reduce.h"

#include <stdlib.h>
#include <string.h>

enum {
  COLUMNS = 256,    /* outputs side by side in one item */
  COLUMN_LEAF = 64, /* rows joined before the tree */
  CHUNK = 65536,    /* most reduced elements per item and output */
  FEW = 32,         /* reductions shorter than this always go by columns */
  MANY_OUTPUTS = 16384
};

typedef struct plan {
  th_layout kept, reduced; /* collapsed */
  int64_t n_out, n_reduced;
  bool columns;
  int64_t inner, tile,
      n_tiles; /* outputs along the last kept dimension, outputs per item, items per chunk */
  int64_t chunk, n_chunks; /* reduced elements per item, items per output */
} plan;

static void split_dims(const th_layout *in, uint32_t axes, plan *p) {
  *p = (plan){.kept.dtype = in->dtype, .reduced.dtype = in->dtype};
  for (int d = 0; d < in->ndim; d++) {
    th_layout *to = axes >> d & 1 ? &p->reduced : &p->kept;
    to->shape[to->ndim] = in->shape[d];
    to->strides[to->ndim++] = in->strides[d];
  }
  p->n_out = th__layout_size(&p->kept);
  p->n_reduced = th__layout_size(&p->reduced);
}

int64_t th__reduced_size(const th_layout *in, uint32_t axes) {
  int64_t size = 1;
  for (int d = 0; d < in->ndim; d++)
    if (axes >> d & 1) size *= in->shape[d];
  return size;
}

/* Chunks by columns, the finer of the two ways: what the workspace must hold at most. */
static int64_t column_chunk(int64_t n_out) {
  if (n_out >= MANY_OUTPUTS) return CHUNK;
  int64_t chunk = CHUNK / (n_out < 1 ? 1 : n_out > COLUMNS ? COLUMNS : n_out);
  return chunk < COLUMNS ? COLUMNS : chunk;
}

static int64_t blocks(int64_t n, int64_t size) { return n / size + (n % size != 0); }

int64_t th__reduce_workspace(const th_layout *in, uint32_t axes) {
  int64_t n_out = th__reduced_size(in, ~axes); /* along the other axes */
  int64_t n_chunks = blocks(th__reduced_size(in, axes), column_chunk(n_out));
  return n_chunks > 1 ? n_chunks * n_out * 8 : 0;
}

static void make_plan(const th_layout *in, uint32_t axes, plan *p) {
  split_dims(in, axes, p);
  if (p->n_out == 0 || p->n_reduced == 0) return;
  p->kept.ndim = th__layouts_collapse(&p->kept, 1);
  p->reduced.ndim = th__layouts_collapse(&p->reduced, 1);
  int64_t kept_step = p->kept.ndim > 0 ? llabs(p->kept.strides[p->kept.ndim - 1]) : 0;
  int64_t step = p->reduced.ndim > 0 ? llabs(p->reduced.strides[p->reduced.ndim - 1]) : 0;
  p->inner = p->kept.ndim > 0 ? p->kept.shape[p->kept.ndim - 1] : 1;
  p->columns = p->inner >= 8 && (p->n_reduced < FEW || kept_step < step);
  p->tile = p->columns ? (p->inner < COLUMNS ? p->inner : COLUMNS) : 1;
  p->n_tiles = p->columns ? p->n_out / p->inner * blocks(p->inner, p->tile) : p->n_out;
  p->chunk = p->columns ? column_chunk(p->n_out) : CHUNK;
  p->n_chunks = blocks(p->n_reduced, p->chunk);
}

/* --- kernel --- */

typedef struct run {
  plan p;
  const th__reduction *how;
  const th__fold *fold;
  th__compute type; /* of accumulators */
  int64_t size;     /* bytes of one */
} run;

/* n elements, stride apart, as an array of the accumulators' type: in place or in buffer, which has room for n words. */
static const void *load(const run *r, const char *from, int64_t stride, int64_t n, void *buffer) {
  th_dtype t = r->p.kept.dtype;
  if (!r->how->logical) return th__gathered(t, from, stride, n, buffer);
  th__word *words = buffer;
  if (th__dtype_in(t, TH_FLOATS)) {
    th__gather_f64(t, from, stride, n, buffer);
    for (int64_t i = 0; i < n; i++) words[i].i = words[i].f != 0;
  } else {
    th__gather(t, from, stride, n, buffer);
    for (int64_t i = 0; i < n; i++) words[i].i = words[i].i != 0;
  }
  return buffer;
}

/* The elements mapped, if they are to be: in buffer, which they may be in already. shift_step is 1 when each has its own. */
static const void *mapped(const run *r, const void *x, int64_t output, int64_t shift_step,
                          int64_t n, void *buffer) {
  const th__mapping *m = r->how->map;
  if (!m) return x;
  const char *shift = m->shift ? (const char *)m->shift + output * r->size : NULL;
  m->apply(m, x, shift, shift_step, n, buffer);
  return buffer;
}

/* sums[i] /= count; of integers as f32. */
static void divide(const run *r, int64_t n, void *sums) {
  double count = (double)r->p.n_reduced;
  th__word *words = sums;
  float *out = sums; /* of words already read */
  for (int64_t i = 0; i < n; i++) {
    if (r->type == TH__F64)
      words[i].f /= count;
    else if (r->type == TH__F32)
      out[i] /= (float)count;
    else
      out[i] = (float)((r->type == TH__I64 ? (double)words[i].i : (double)words[i].u) / count);
  }
}

/* Writes n finished accumulators, which may be changed, to outputs from `first` on. */
static void store(const run *r, int64_t first, int64_t n, void *acc) {
  th_dtype t = r->how->out_dtype;
  char *to = (char *)r->how->out + first * (int64_t)th_dtype_size(t);
  if (r->how->mean) divide(r, n, acc);
  th__scatter(t, to, 1, n, acc);
}

/* The n reduced elements from `first` on, in row-first order, as an array. */
static const void *load_reduced(const run *r, const char *base, int64_t first, int64_t n,
                                th__word *buffer) {
  const th_layout *reduced = &r->p.reduced;
  if (!r->how->logical) return th__gathered_range(reduced, base, first, n, buffer);
  int64_t item = (int64_t)th_dtype_size(reduced->dtype);
  th__runs walk;
  th__runs_begin(&walk, &reduced, 1, first, first + n);
  for (th__word *to = buffer; th__runs_next(&walk); to += walk.run)
    load(r, base + walk.offset[0] * item, walk.step[0], walk.run, to);
  return buffer;
}

/* One chunk of one output: leaves of TH__FOLD_LEAF elements, joined pairwise. */
static void fold_row(const run *r, const char *base, int64_t output, int64_t first, int64_t last,
                     void *out) {
  th__word buffer[TH__FOLD_LEAF], rows[TH__PAIRWISE_LEVELS];
  th__pairwise p = {.fold = r->fold, .width = 1, .bytes = r->size, .rows = (char *)rows};
  for (int64_t leaf = first; leaf < last; leaf += TH__FOLD_LEAF) {
    int64_t n = last - leaf < TH__FOLD_LEAF ? last - leaf : TH__FOLD_LEAF;
    const void *x = mapped(r, load_reduced(r, base, leaf, n, buffer), output, 0, n, buffer);
    r->fold->fold(x, n, th__pairwise_slot(&p));
    th__pairwise_push(&p);
  }
  th__pairwise_finish(&p);
  memcpy(out, rows, (size_t)r->size);
}

/* Elements lie as the accumulators' type, neighbours side by side, and are folded as they are. */
static bool lies_ready(const run *r, int64_t step) {
  return th__computes_as_stored(r->p.kept.dtype) && step == 1 && !r->how->map && !r->how->logical;
}

/* One chunk of `width` neighbouring outputs: leaves of COLUMN_LEAF rows, joined pairwise. */
static void fold_columns(const run *r, const char *base, int64_t output, int64_t width,
                         int64_t first, int64_t last, void *out) {
  th__word buffer[COLUMNS], rows[TH__PAIRWISE_LEVELS * COLUMNS];
  th__pairwise p = {
      .fold = r->fold, .width = width, .bytes = width * r->size, .rows = (char *)rows};
  const th_layout *reduced = &r->p.reduced;
  int64_t item = (int64_t)th_dtype_size(reduced->dtype), in_leaf = 0, n;
  int64_t stride = r->p.kept.strides[r->p.kept.ndim - 1];
  bool ready = lies_ready(r, stride);
  th__runs walk;
  th__runs_begin(&walk, &reduced, 1, first, last);
  while (th__runs_next(&walk)) {
    const char *row = base + walk.offset[0] * item;
    for (int64_t i = 0; i < walk.run; i += n, row += n * walk.step[0] * item) {
      const void *x = row;
      n = 1;
      if (!ready)
        x = mapped(r, load(r, row, stride, width, buffer), output, 1, width, buffer);
      else
        n = walk.run - i < COLUMN_LEAF - in_leaf ? walk.run - i : COLUMN_LEAF - in_leaf;
      r->fold->rows(th__pairwise_slot(&p), in_leaf == 0, x, walk.step[0], n, width);
      if ((in_leaf += n) < COLUMN_LEAF) continue;
      th__pairwise_push(&p);
      in_leaf = 0;
    }
  }
  if (in_leaf > 0) th__pairwise_push(&p);
  th__pairwise_finish(&p);
  memcpy(out, rows, (size_t)p.bytes);
}

/* Lines without gaps, each a single leaf, at even distances: without what longer ones need. */
static bool short_lines(const run *r) {
  const plan *p = &r->p;
  return !p->columns && p->kept.ndim == 1 && p->reduced.ndim == 1 &&
         p->n_reduced <= TH__FOLD_LEAF && lies_ready(r, p->reduced.strides[0]);
}

static void fold_short_lines(int64_t from, int64_t to, void *arg) {
  const run *r = arg;
  int64_t step = r->p.kept.strides[0], n;
  for (int64_t i = from; i < to; i += n) {
    th__word acc[COLUMNS];
    n = to - i < COLUMNS ? to - i : COLUMNS;
    const char *x = (const char *)r->how->data + i * step * r->size;
    r->fold->lines(x, step, r->p.n_reduced, n, acc);
    store(r, i, n, acc);
  }
}

static void fold_items(int64_t from, int64_t to, void *arg) {
  const run *r = arg;
  const plan *p = &r->p;
  int64_t item = (int64_t)th_dtype_size(p->kept.dtype);
  int64_t tiles = blocks(p->inner, p->tile); /* per line of outputs */
  for (int64_t i = from; i < to; i++) {
    int64_t tile = i / p->n_chunks, chunk = i % p->n_chunks;
    int64_t output = tile, width = 1;
    if (p->columns) {
      int64_t column = tile % tiles * p->tile;
      output = tile / tiles * p->inner + column;
      width = p->inner - column < p->tile ? p->inner - column : p->tile;
    }
    const char *base = (const char *)r->how->data +
                       th__offset_at(output, p->kept.ndim, p->kept.shape, p->kept.strides) * item;
    int64_t first = chunk * p->chunk;
    int64_t last = p->n_reduced - first < p->chunk ? p->n_reduced : first + p->chunk;
    th__word acc[COLUMNS];
    if (p->columns)
      fold_columns(r, base, output, width, first, last, acc);
    else
      fold_row(r, base, output, first, last, acc);
    if (p->n_chunks == 1) {
      store(r, output, width, acc);
    } else {
      char *partial = (char *)r->how->workspace + (chunk * p->n_out + output) * r->size;
      memcpy(partial, acc, (size_t)(width * r->size));
    }
  }
}

/* Joins the chunks of outputs [from, to) in a tree. */
static void join_chunks(int64_t from, int64_t to, void *arg) {
  const run *r = arg;
  char *base = (char *)r->how->workspace + from * r->size;
  int64_t row = r->p.n_out * r->size;
  for (int64_t step = 1; step < r->p.n_chunks; step *= 2)
    for (int64_t c = 0; c + step < r->p.n_chunks; c += 2 * step)
      r->fold->join(base + c * row, base + (c + step) * row, to - from);
  store(r, from, to - from, base);
}

static void fill_empty(const run *r) {
  th__fold_kind kind = r->how->kind;
  th__word unit = {.i = kind == TH__FOLD_PROD || (r->how->logical && kind == TH__FOLD_MIN)};
  float single = kind == TH__FOLD_PROD;
  if (r->type == TH__F64) unit.f = (double)single;
  for (int64_t i = 0; i < r->p.n_out; i++) {
    th__word cell = unit;
    if (r->type == TH__F32) cell.s = single;
    store(r, i, 1, &cell);
  }
}

void th__reduce(th_task_context *context, const th__reduction *how) {
  run r = {.how = how};
  make_plan(how->in, how->axes, &r.p);
  r.type = how->logical ? TH__I64 : th__compute_of(how->in->dtype);
  r.size = th__compute_size(r.type);
  r.fold = th__fold_of(how->kind, r.type);
  if (r.p.n_reduced == 0) {
    fill_empty(&r);
  } else if (r.p.n_out > 0) {
    const plan *p = &r.p;
    int64_t cost = p->tile * (p->n_reduced < p->chunk ? p->n_reduced : p->chunk);
    th_parallel_for(context, p->n_tiles * p->n_chunks, th__grain(cost),
                    short_lines(&r) ? fold_short_lines : fold_items, &r);
    if (p->n_chunks > 1)
      th_parallel_for(context, p->n_out, th__grain(p->n_chunks), join_chunks, &r);
  }
}
