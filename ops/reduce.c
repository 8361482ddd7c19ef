/* Owns the reductions sum, prod, mean, max, min, all and any over any set of axes of any strided array.
 *
 * The input is split into kept and reduced dimensions. Work is cut into items by shape and strides only: an item is a chunk of
 * the reduced elements for one output (rows) or for up to 256 neighbouring outputs (columns). Chunks of one output are joined
 * pairwise at the end, so the bits do not depend on who computed which item. */
#include <stdlib.h>
#include <string.h>

#include "engine/base/error.h"
#include "ops/fold.h"
#include "ops/op.h"
#include "ops/params.h"

enum {
  COLUMNS = 256,    /* outputs side by side in one item */
  COLUMN_LEAF = 64, /* rows added one after another */
  CHUNK = 65536,    /* most reduced elements per item and output */
  FEW = 32,         /* reductions shorter than this always go by columns */
  MANY_OUTPUTS = 16384
};

static uint32_t axes_of(const th__reduce_params *p, int ndim) {
  return p->axes != 0 ? p->axes : (1u << ndim) - 1;
}

/* --- inference --- */

static th_status infer_shape(th_infer *io, const void *params, th_dtype t) {
  const th__reduce_params *p = params;
  const th_layout *in = &io->in[0];
  uint32_t axes = axes_of(p, in->ndim);
  if (axes >> in->ndim != 0)
    return th__fail(TH_ESHAPE, "%s: axes beyond the %d dimensions", io->op->name, in->ndim);
  th_layout *out = &io->out[0];
  out->dtype = t;
  for (int d = 0; d < in->ndim; d++) {
    if (!(axes >> d & 1))
      out->shape[out->ndim++] = in->shape[d];
    else if (p->keep)
      out->shape[out->ndim++] = 1;
  }
  return TH_OK;
}

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

/* Chunks by columns, the finer of the two ways: what the workspace must hold at most. */
static int64_t column_chunk(const plan *p) {
  if (p->n_out >= MANY_OUTPUTS) return CHUNK;
  int64_t chunk = CHUNK / (p->n_out < 1 ? 1 : p->n_out > COLUMNS ? COLUMNS : p->n_out);
  return chunk < COLUMNS ? COLUMNS : chunk;
}

static int64_t blocks(int64_t n, int64_t size) { return n / size + (n % size != 0); }

static int64_t reduce_workspace(const th_layout *in, uint32_t axes) {
  plan p;
  split_dims(in, axes, &p);
  int64_t n_chunks = blocks(p.n_reduced, column_chunk(&p));
  return n_chunks > 1 ? n_chunks * p.n_out * 8 : 0;
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
  p->chunk = p->columns ? column_chunk(p) : CHUNK;
  p->n_chunks = blocks(p->n_reduced, p->chunk);
}

/* --- kernel --- */

typedef struct run {
  plan p;
  const th_kernel_args *k;
  const th__fold *fold;
  th__compute type; /* of accumulators */
  int64_t size;     /* bytes of one */
  bool logical;     /* all, any: elements count as != 0 */
  bool mean;
} run;

/* n elements, stride apart, as an array of the accumulators' type: in place or in buffer, which has room for n words. */
static const void *load(const run *r, const char *from, int64_t stride, int64_t n, void *buffer) {
  th_dtype t = r->p.kept.dtype;
  if (!r->logical) return th__gathered(t, from, stride, n, buffer);
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

/* Writes n finished accumulators to outputs from `first` on. */
static void store(const run *r, int64_t first, int64_t n, const void *acc) {
  th_dtype t = r->k->out[0].dtype;
  char *to = (char *)r->k->out_data[0] + first * (int64_t)th_dtype_size(t);
  if (!r->mean) {
    th__scatter(t, to, 1, n, acc);
    return;
  }
  double count = (double)r->p.n_reduced;
  for (int64_t i = 0; i < n; i++) {
    if (r->type == TH__F64) {
      ((double *)to)[i] = ((const double *)acc)[i] / count;
    } else if (r->type == TH__F32) {
      float mean = ((const float *)acc)[i] / (float)count;
      th__scatter(t, to + i * (int64_t)th_dtype_size(t), 1, 1, &mean);
    } else {
      double sum = r->type == TH__I64 ? (double)((const int64_t *)acc)[i]
                                      : (double)((const uint64_t *)acc)[i];
      ((float *)to)[i] = (float)(sum / count);
    }
  }
}

/* The n reduced elements from `first` on, in row-first order, as an array. */
static const void *load_reduced(const run *r, const char *base, int64_t first, int64_t n,
                                th__word *buffer) {
  const th_layout *reduced = &r->p.reduced;
  if (!r->logical) return th__gathered_range(reduced, base, first, n, buffer);
  int64_t item = (int64_t)th_dtype_size(reduced->dtype);
  th__runs walk;
  th__runs_begin(&walk, &reduced, 1, first, first + n);
  for (th__word *to = buffer; th__runs_next(&walk); to += walk.run)
    load(r, base + walk.offset[0] * item, walk.step[0], walk.run, to);
  return buffer;
}

/* One chunk of one output: leaves of TH__FOLD_LEAF elements, joined pairwise. */
static void fold_row(const run *r, const char *base, int64_t first, int64_t last, void *out) {
  th__word buffer[TH__FOLD_LEAF], rows[TH__PAIRWISE_LEVELS];
  th__pairwise p = {.fold = r->fold, .width = 1, .bytes = r->size, .rows = (char *)rows};
  for (int64_t leaf = first; leaf < last; leaf += TH__FOLD_LEAF) {
    int64_t n = last - leaf < TH__FOLD_LEAF ? last - leaf : TH__FOLD_LEAF;
    r->fold->fold(load_reduced(r, base, leaf, n, buffer), n, th__pairwise_slot(&p));
    th__pairwise_push(&p);
  }
  th__pairwise_finish(&p);
  memcpy(out, rows, (size_t)r->size);
}

/* One chunk of `width` neighbouring outputs: leaves of COLUMN_LEAF rows added one after another, joined pairwise. */
static void fold_columns(const run *r, const char *base, int64_t width, int64_t first, int64_t last,
                         void *out) {
  th__word buffer[COLUMNS], rows[TH__PAIRWISE_LEVELS * COLUMNS];
  th__pairwise p = {
      .fold = r->fold, .width = width, .bytes = width * r->size, .rows = (char *)rows};
  const th_layout *reduced = &r->p.reduced;
  int64_t item = (int64_t)th_dtype_size(reduced->dtype), in_leaf = 0;
  int64_t stride = r->p.kept.strides[r->p.kept.ndim - 1];
  th__runs walk;
  th__runs_begin(&walk, &reduced, 1, first, last);
  while (th__runs_next(&walk)) {
    const char *row = base + walk.offset[0] * item;
    for (int64_t i = 0; i < walk.run; i++, row += walk.step[0] * item) {
      void *acc = th__pairwise_slot(&p);
      const void *x = load(r, row, stride, width, buffer);
      if (in_leaf == 0)
        memcpy(acc, x, (size_t)p.bytes);
      else
        r->fold->join(acc, x, width);
      if (++in_leaf < COLUMN_LEAF) continue;
      th__pairwise_push(&p);
      in_leaf = 0;
    }
  }
  if (in_leaf > 0) th__pairwise_push(&p);
  th__pairwise_finish(&p);
  memcpy(out, rows, (size_t)p.bytes);
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
    const char *base = (const char *)r->k->in_data[0] +
                       th__offset_at(output, p->kept.ndim, p->kept.shape, p->kept.strides) * item;
    int64_t first = chunk * p->chunk;
    int64_t last = p->n_reduced - first < p->chunk ? p->n_reduced : first + p->chunk;
    th__word acc[COLUMNS];
    if (p->columns)
      fold_columns(r, base, width, first, last, acc);
    else
      fold_row(r, base, first, last, acc);
    if (p->n_chunks == 1) {
      store(r, output, width, acc);
    } else {
      char *partial = (char *)r->k->workspace + (chunk * p->n_out + output) * r->size;
      memcpy(partial, acc, (size_t)(width * r->size));
    }
  }
}

/* Joins the chunks of outputs [from, to) in a tree. */
static void join_chunks(int64_t from, int64_t to, void *arg) {
  const run *r = arg;
  char *base = (char *)r->k->workspace + from * r->size;
  int64_t row = r->p.n_out * r->size;
  for (int64_t step = 1; step < r->p.n_chunks; step *= 2)
    for (int64_t c = 0; c + step < r->p.n_chunks; c += 2 * step)
      r->fold->join(base + c * row, base + (c + step) * row, to - from);
  store(r, from, to - from, base);
}

static void fill_empty(const run *r, th__fold_kind kind) {
  th__word unit = {.i = kind == TH__FOLD_PROD || (r->logical && kind == TH__FOLD_MIN)};
  float single = kind == TH__FOLD_PROD;
  if (r->type == TH__F64) unit.f = (double)single;
  for (int64_t i = 0; i < r->p.n_out; i++)
    store(r, i, 1, r->type == TH__F32 ? (const void *)&single : (const void *)&unit);
}

static th_status reduce(const th_kernel_args *k, th__fold_kind kind, bool mean, bool logical) {
  run r = {.k = k, .mean = mean, .logical = logical};
  make_plan(&k->in[0], axes_of(k->params, k->in[0].ndim), &r.p);
  r.type = logical ? TH__I64 : th__compute_of(k->in[0].dtype);
  r.size = th__compute_size(r.type);
  r.fold = th__fold_of(kind, r.type);
  if (r.p.n_reduced == 0) {
    fill_empty(&r, kind);
  } else if (r.p.n_out > 0) {
    const plan *p = &r.p;
    int64_t cost = p->tile * (p->n_reduced < p->chunk ? p->n_reduced : p->chunk);
    th_parallel_for(k->context, p->n_tiles * p->n_chunks, th__grain(cost), fold_items, &r);
    if (p->n_chunks > 1)
      th_parallel_for(k->context, p->n_out, th__grain(p->n_chunks), join_chunks, &r);
  }
  return TH_OK;
}

/* --- gradients --- */

static int axes_list(const th_vjp *v, int axes[TH_MAX_DIMS]) {
  uint32_t mask = axes_of(v->params, v->in[0].ndim);
  int n = 0;
  for (int d = 0; d < v->in[0].ndim; d++)
    if (mask >> d & 1) axes[n++] = d;
  return n;
}

/* a, shaped like an output, with the reduced dimensions back as size 1. */
static th_array *with_kept_dims(const th_vjp *v, th_array *a) {
  uint32_t mask = axes_of(v->params, v->in[0].ndim);
  int64_t shape[TH_MAX_DIMS];
  for (int d = 0; d < v->in[0].ndim; d++) shape[d] = mask >> d & 1 ? 1 : v->in[0].shape[d];
  return th_reshape(a, shape, v->in[0].ndim);
}

static th_status give(const th_vjp *v, th_scope scope, th_array *result) {
  v->result[0] = th_keep(result);
  th_scope_end(scope);
  return th__vjp_check(v);
}

static th_status vjp_sum(const th_vjp *v) {
  th_scope scope = th_scope_begin();
  th_array *g = with_kept_dims(v, v->gradients[0]);
  return give(v, scope, th_broadcast_to(g, v->in[0].shape, v->in[0].ndim));
}

static th_status vjp_mean(const th_vjp *v) {
  th_scope scope = th_scope_begin();
  plan p;
  split_dims(&v->in[0], axes_of(v->params, v->in[0].ndim), &p);
  th_array *g = th_divide_scalar(v->gradients[0], (double)p.n_reduced);
  g = with_kept_dims(v, g);
  return give(v, scope, th_broadcast_to(g, v->in[0].shape, v->in[0].ndim));
}

/* The gradient is shared evenly among all elements equal to the extreme. */
static th_status vjp_extreme(const th_vjp *v) {
  th_scope scope = th_scope_begin();
  int axes[TH_MAX_DIMS], n = axes_list(v, axes);
  th_array *extreme = with_kept_dims(v, v->outputs[0]);
  th_array *mask = th_astype(th_equal(v->inputs[0], extreme), v->in[0].dtype);
  th_array *count = n > 0 ? th_sum(mask, axes, n, true) : mask;
  th_array *share = th_divide(with_kept_dims(v, v->gradients[0]), count);
  return give(v, scope, th_multiply(mask, share));
}

/* d/dx_i is the product of the others: exact with no zero or one zero among them, too. */
static th_status vjp_prod(const th_vjp *v) {
  th_scope scope = th_scope_begin();
  int axes[TH_MAX_DIMS], n = axes_list(v, axes);
  th_dtype t = v->in[0].dtype;
  th_array *zero = th_equal_scalar(v->inputs[0], 0);
  th_array *filled = th_add(v->inputs[0], th_astype(zero, t)); /* 1 in place of 0 */
  th_array *product = n > 0 ? th_prod(filled, axes, n, true) : filled;
  th_array *zeros = n > 0 ? th_sum(zero, axes, n, true) : th_astype(zero, TH_I64);
  th_array *alone = th_logical_and(zero, th_equal_scalar(zeros, 1));
  th_array *counts = th_astype(th_logical_or(th_equal_scalar(zeros, 0), alone), t);
  th_array *others = th_multiply(th_divide(product, filled), counts);
  return give(v, scope, th_multiply(others, with_kept_dims(v, v->gradients[0])));
}

/* --- records and public functions --- */

static th_status infer_sum(th_infer *io, const void *params) {
  th_dtype t = io->in[0].dtype;
  if (!th__dtype_in(t, TH_FLOATS)) t = th__dtype_in(t, TH_UINTS) ? TH_U64 : TH_I64;
  io->workspace = reduce_workspace(&io->in[0], axes_of(params, io->in[0].ndim));
  return infer_shape(io, params, t);
}

static th_status infer_mean(th_infer *io, const void *params) {
  th_dtype t = io->in[0].dtype;
  io->workspace = reduce_workspace(&io->in[0], axes_of(params, io->in[0].ndim));
  return infer_shape(io, params, th__dtype_in(t, TH_FLOATS) ? t : TH_F32);
}

static th_status infer_extreme(th_infer *io, const void *params) {
  TH_TRY(infer_shape(io, params, io->in[0].dtype));
  plan p;
  split_dims(&io->in[0], axes_of(params, io->in[0].ndim), &p);
  if (p.n_reduced == 0) {
    char text[TH__SHAPE_TEXT];
    return th__fail(TH_ESHAPE, "%s: nothing to choose from in shape %s", io->op->name,
                    th__shape_text(io->in[0].shape, io->in[0].ndim, text, sizeof text));
  }
  io->workspace = reduce_workspace(&io->in[0], axes_of(params, io->in[0].ndim));
  return TH_OK;
}

static th_status infer_logical(th_infer *io, const void *params) {
  io->workspace = reduce_workspace(&io->in[0], axes_of(params, io->in[0].ndim));
  return infer_shape(io, params, TH_BOOL);
}

static th_array *call(const th_op *op, const th_array *a, const int *axes, int n_axes, bool keep) {
  th__reduce_params p = {.keep = keep};
  if (a != NULL && th__axes_mask(axes, n_axes, a->layout.ndim, op->name, &p.axes) != TH_OK)
    return NULL;
  return TH_CALL(op, &p, a);
}

/* One row per operator: kernel, inference, gradient, what it saves. */
#define REDUCTION(id, fold, is_mean, is_logical, infer_, vjp_, saves_, flags_, dtypes_)            \
  static th_status id##_cpu(const th_kernel_args *k) {                                             \
    return reduce(k, fold, is_mean, is_logical);                                                   \
  }                                                                                                \
  static const th_op op_##id = {.name = #id,                                                       \
                                .in = {1, 0},                                                      \
                                .out = {1, 0},                                                     \
                                .saves = saves_,                                                   \
                                .flags = flags_,                                                   \
                                .dtypes = dtypes_,                                                 \
                                .params_size = sizeof(th__reduce_params),                          \
                                .infer = infer_,                                                   \
                                .vjp = vjp_,                                                       \
                                .cpu = id##_cpu,                                                   \
                                .test = {-2, 2, 1e-4}};                                            \
  th_array *th_##id(const th_array *a, const int *axes, int n_axes, bool keepdims) {               \
    return call(&op_##id, a, axes, n_axes, keepdims);                                              \
  }

#define BOTH (TH_SAVE_IN(0) | TH_SAVE_OUT(0))
REDUCTION(sum, TH__FOLD_SUM, false, false, infer_sum, vjp_sum, 0, 0, TH_ANY)
REDUCTION(prod, TH__FOLD_PROD, false, false, infer_sum, vjp_prod, TH_SAVE_IN(0), 0, TH_ANY)
REDUCTION(mean, TH__FOLD_SUM, true, false, infer_mean, vjp_mean, 0, 0, TH_ANY)
REDUCTION(max, TH__FOLD_MAX, false, false, infer_extreme, vjp_extreme, BOTH, 0, TH_ANY)
REDUCTION(min, TH__FOLD_MIN, false, false, infer_extreme, vjp_extreme, BOTH, 0, TH_ANY)
REDUCTION(all, TH__FOLD_MIN, false, true, infer_logical, NULL, 0, TH_OP_FLAT, TH_ANY)
REDUCTION(any, TH__FOLD_MAX, false, true, infer_logical, NULL, 0, TH_OP_FLAT, TH_ANY)

TH_FAMILY_TABLE(reduce);
const th_op *const th__family_reduce[] = {&op_sum, &op_prod, &op_mean, &op_max,
                                          &op_min, &op_all,  &op_any,  NULL};
