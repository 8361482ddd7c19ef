/* Owns take_along_axis and its gradient. Indices are of the result's shape, so each is looked at where it is used; the first
 * one out of range fails the task, whatever was computed. */
#include <string.h>

#include "engine/base/error.h"
#include "ops/arrays/index.h"
#include "ops/op.h"
#include "ops/params_arrays.h"
#include "ops/loops/runs.h"

enum {
  PIECE = 512,  /* indices gathered at a time */
  BLOCK = 16384 /* elements of one item */
};

static int64_t n_blocks(int64_t size) { return (size + BLOCK - 1) / BLOCK; }

static bool same_but(const th_layout *a, const th_layout *b, int axis) {
  bool same = a->ndim == b->ndim;
  for (int d = 0; d < a->ndim && same; d++) same = d == axis || a->shape[d] == b->shape[d];
  return same;
}

static th_status differ(const char *who, const th_layout *a, const th_layout *b, int axis) {
  char x[TH__SHAPE_TEXT], y[TH__SHAPE_TEXT];
  return th__fail(TH_ESHAPE, "%s: shapes %s and %s differ beside axis %d", who,
                  th__shape_text(a->shape, a->ndim, x, sizeof x),
                  th__shape_text(b->shape, b->ndim, y, sizeof y), axis);
}

/* --- take_along_axis --- */

static th_status infer_along(th_infer *io, const void *params) {
  const th_layout *a = &io->in[0], *indices = &io->in[1];
  int axis = ((const th__along_params *)params)->axis;
  TH_TRY(th__want_indices(io, 1));
  TH_TRY(th__axis(axis, a->ndim, io->op->name, &axis));
  if (!same_but(a, indices, axis)) return differ(io->op->name, a, indices, axis);
  th__layout_copy(&io->out[0], indices);
  io->out[0].offset = 0;
  io->out[0].dtype = a->dtype;
  io->workspace = n_blocks(th__layout_size(indices)) * 16;
  return TH_OK;
}

/* Per item: position and value of the first index out of range; position -1 when there is none. */
typedef struct misfit {
  int64_t position, index;
} misfit;

typedef struct along {
  const th_kernel_args *k;
  th_layout from; /* of the shape of the indices, standing still along the axis */
  int64_t size, limit, step;
} along;

TH__WIDE static bool all_fit(const int64_t *index, int64_t n, int64_t limit) {
  int64_t bad = 0;
  for (int64_t i = 0; i < n; i++)
    bad |= index[i] | (int64_t)((uint64_t)limit - 1 - (uint64_t)index[i]); /* may wrap */
  return bad >= 0;
}

/* to[i] = from[i * from_step + index[i] * step]; returns the first index out of range, or n. Without wide vectors: their
 * gathers, with products of 64 bits, take three times as long as one load after the other. */
static int64_t pick(size_t item, char *to, const char *from, int64_t from_step,
                    const int64_t *index, int64_t n, int64_t limit, int64_t step) {
  if (!all_fit(index, n, limit)) {
    int64_t i = 0;
    while (index[i] >= 0 && index[i] < limit) i++;
    return i;
  }
#define PICK(T)                                                                                    \
  if (from_step == 0 && step == 1)                                                                 \
    for (int64_t i = 0; i < n; i++) ((T *)to)[i] = ((const T *)from)[index[i]];                    \
  else                                                                                             \
    for (int64_t i = 0; i < n; i++)                                                                \
      ((T *)to)[i] = ((const T *)from)[i * from_step + index[i] * step];
  switch (item) {
  case 1: PICK(uint8_t) break;
  case 2: PICK(uint16_t) break;
  case 4: PICK(uint32_t) break;
  default: PICK(uint64_t) break;
  }
#undef PICK
  return n;
}

/* Elements [first, last) of the result. */
static misfit along_block(const along *a, int64_t first, int64_t last) {
  const th_layout *layouts[] = {&a->k->in[1], &a->from};
  const char *indices = a->k->in_data[1], *data = a->k->in_data[0];
  th_dtype it = a->k->in[1].dtype;
  int64_t item = (int64_t)th_dtype_size(a->from.dtype), index_item = (int64_t)th_dtype_size(it);
  th__runs walk;
  th__runs_begin(&walk, layouts, 2, first, last);
  while (th__runs_next(&walk))
    for (int64_t i = 0; i < walk.run; i += PIECE) {
      int64_t room[PIECE], n = walk.run - i < PIECE ? walk.run - i : PIECE;
      const int64_t *index =
          th__gathered(it, indices + (walk.offset[0] + i * walk.step[0]) * index_item, walk.step[0],
                       n, room); /* u64 and i64 share their bits */
      const char *from = data + (walk.offset[1] + i * walk.step[1]) * item;
      int64_t done = pick((size_t)item, (char *)a->k->out_data[0] + first * item, from,
                          walk.step[1], index, n, a->limit, a->step);
      if (done < n) return (misfit){first + done, index[done]};
      first += n;
    }
  return (misfit){-1, 0};
}

static void along_blocks(int64_t from, int64_t to, void *arg) {
  const along *a = arg;
  misfit *misfits = a->k->workspace;
  for (int64_t i = from; i < to; i++) {
    int64_t last = (i + 1) * BLOCK;
    misfits[i] = along_block(a, i * BLOCK, last < a->size ? last : a->size);
  }
}

static th_status along_cpu(const th_kernel_args *k) {
  const th_layout *in = &k->in[0];
  int axis = ((const th__along_params *)k->params)->axis;
  if (axis < 0) axis += in->ndim;
  along a = {.k = k,
             .from = *in,
             .size = th__layout_size(&k->in[1]),
             .limit = in->shape[axis],
             .step = in->strides[axis]};
  a.from.shape[axis] = k->in[1].shape[axis];
  a.from.strides[axis] = 0;
  const misfit *misfits = k->workspace;
  th_parallel_for(k->context, n_blocks(a.size), 1, along_blocks, &a);
  for (int64_t i = 0; i < n_blocks(a.size); i++)
    if (misfits[i].position >= 0)
      return th__index_out_of_range(k, misfits[i].index, misfits[i].position, a.limit);
  return TH_OK;
}

/* --- along_slope: zeros, and gradients added where they were taken from --- */

static th_status infer_along_slope(th_infer *io, const void *params) {
  const th__along_slope_params *p = params;
  const th_layout *indices = &io->in[0], *g = &io->in[1];
  TH_TRY(th__want_indices(io, 0));
  if (!th__layout_same_shape(indices, g) || p->axis < 0 || p->axis >= g->ndim || p->size < 0 ||
      !th__dtype_in(g->dtype, TH_NUMBERS))
    return th__fail(TH_ESHAPE, "along_slope: gradient and indices do not belong together");
  th__layout_copy(&io->out[0], g);
  io->out[0].offset = 0;
  io->out[0].shape[p->axis] = p->size;
  int64_t lines = 1;
  for (int d = 0; d < g->ndim; d++)
    if (d != p->axis) lines *= g->shape[d];
  io->workspace = lines * 16;
  if (th__dtype_in(g->dtype, TH_HALVES)) io->workspace += lines * p->size * 4;
  return TH_OK;
}

typedef struct adding {
  const th_kernel_args *k;
  th_layout out, indices, gradient; /* without the axis */
  int64_t n, limit, out_step, index_step, gradient_step;
  char *to;
} adding;

#define ADD_LINE(T)                                                                                \
  for (int64_t i = 0; i < n; i++) ((T *)to)[index[i] * step] += ((const T *)x)[i];

/* to[index[i]] += g[i] in order, in the type that is computed in; integers wrap. */
void th__add_at(th_dtype t, char *to, int64_t step, const int64_t *index, const void *x,
                int64_t n) {
  switch (t) {
  case TH_F32: ADD_LINE(float) break;
  case TH_F64: ADD_LINE(double) break;
  default:
    for (int64_t i = 0; i < n; i++) {
      char *here = to + index[i] * step * (int64_t)th_dtype_size(t);
      uint64_t sum, term;
      th__gather(t, here, 1, 1, &sum);
      memcpy(&term, (const char *)x + i * 8, 8);
      sum += term;
      th__scatter(t, here, 1, 1, &sum);
    }
  }
}

static misfit add_line(const adding *a, int64_t line) {
  const th_kernel_args *k = a->k;
  th_dtype it = k->in[0].dtype, gt = k->in[1].dtype;
  int64_t index_item = (int64_t)th_dtype_size(it), item = (int64_t)th_dtype_size(gt);
  const char *indices =
      (const char *)k->in_data[0] +
      th__offset_at(line, a->indices.ndim, a->indices.shape, a->indices.strides) * index_item;
  const char *g =
      (const char *)k->in_data[1] +
      th__offset_at(line, a->gradient.ndim, a->gradient.shape, a->gradient.strides) * item;
  char *to = a->to + th__offset_at(line, a->out.ndim, a->out.shape, a->out.strides) *
                         (int64_t)th_dtype_size(a->out.dtype);
  for (int64_t i = 0; i < a->n; i += PIECE) {
    int64_t index[PIECE], n = a->n - i < PIECE ? a->n - i : PIECE;
    th__word terms[PIECE];
    th__gather_index(it, indices + i * a->index_step * index_item, a->index_step, n, index);
    for (int64_t j = 0; j < n; j++)
      if (index[j] < 0 || index[j] >= a->limit) return (misfit){line * a->n + i + j, index[j]};
    const void *x = th__gathered(gt, g + i * a->gradient_step * item, a->gradient_step, n, terms);
    th__add_at(a->out.dtype, to, a->out_step, index, x, n);
  }
  return (misfit){-1, 0};
}

static void add_lines(int64_t from, int64_t to, void *arg) {
  const adding *a = arg;
  misfit *misfits = a->k->workspace;
  for (int64_t i = from; i < to; i++) misfits[i] = add_line(a, i);
}

static th_status along_slope_cpu(const th_kernel_args *k) {
  const th__along_slope_params *p = k->params;
  const th_layout *g = &k->in[1];
  th_layout sum = k->out[0];
  adding a = {.k = k, .n = g->shape[p->axis], .limit = p->size, .to = k->out_data[0]};
  a.indices = th__layout_part(&k->in[0], p->axis, 1, false);
  a.gradient = th__layout_part(g, p->axis, 1, false);
  int64_t lines = th__layout_size(&a.gradient), size = th__layout_size(&sum);
  bool half = th__dtype_in(g->dtype, TH_HALVES); /* sums up in f32 */
  if (half) {
    sum.dtype = TH_F32;
    a.to = (char *)k->workspace + lines * 16;
  }
  a.out = th__layout_part(&sum, p->axis, 1, false);
  a.out_step = sum.strides[p->axis];
  a.index_step = k->in[0].strides[p->axis];
  a.gradient_step = g->strides[p->axis];
  memset(a.to, 0, (size_t)(size * (int64_t)th_dtype_size(sum.dtype)));
  const misfit *misfits = k->workspace;
  if (a.n > 0) th_parallel_for(k->context, lines, th__grain(a.n), add_lines, &a);
  for (int64_t i = 0; i < lines && a.n > 0; i++)
    if (misfits[i].position >= 0)
      return th__index_out_of_range(k, misfits[i].index, misfits[i].position, a.limit);
  if (half) th__scatter(g->dtype, k->out_data[0], 1, size, a.to);
  return TH_OK;
}

static th_status vjp_along_slope(const th_vjp *v) {
  int axis = ((const th__along_slope_params *)v->params)->axis;
  v->result[1] = th_take_along_axis(v->gradients[0], v->inputs[0], axis);
  return th__vjp_check(v);
}

static const th_op op_along_slope = {
    .name = "along_slope",
    .in = {2, 0},
    .out = {1, 0},
    .saves = TH_SAVE_IN(0),
    .params_size = sizeof(th__along_slope_params),
    .infer = infer_along_slope,
    .vjp = vjp_along_slope,
    .cpu = along_slope_cpu,
    .test = {-1, 1, 1e-4},
};

th_array *th__add_along(const th_array *indices, const th_array *g, int axis, int64_t size) {
  return TH_CALL(&op_along_slope, (&(th__along_slope_params){axis, size}), indices, g);
}

static th_status vjp_along(const th_vjp *v) {
  int axis = ((const th__along_params *)v->params)->axis;
  if (axis < 0) axis += v->in[0].ndim;
  v->result[0] = th__add_along(v->inputs[1], v->gradients[0], axis, v->in[0].shape[axis]);
  return th__vjp_check(v);
}

static const th_op op_along = {
    .name = "take_along_axis",
    .in = {2, 0},
    .out = {1, 0},
    .saves = TH_SAVE_IN(1),
    .params_size = sizeof(th__along_params),
    .infer = infer_along,
    .vjp = vjp_along,
    .cpu = along_cpu,
    .test = {-1, 1, 1e-4},
};

/* Both with the dimensions beside the axis that they broadcast to. */
static th_array *broadcast_along(const th_array *a, const th_array *indices, int axis) {
  th_layout x = a->layout, y = indices->layout, both;
  int64_t size = x.shape[axis], count = y.shape[axis];
  x.shape[axis] = y.shape[axis] = 1;
  if (th__broadcast_shapes(&x, &y, &both, op_along.name) != TH_OK) return NULL;
  th_scope scope = th__scope_suspend();
  both.shape[axis] = size;
  th_array *wide = th_broadcast_to((th_array *)a, both.shape, both.ndim);
  both.shape[axis] = count;
  th_array *wide_indices = th_broadcast_to((th_array *)indices, both.shape, both.ndim);
  th_array *out = TH_CALL(&op_along, &(th__along_params){axis}, wide, wide_indices);
  th_release(wide);
  th_release(wide_indices);
  return th__scope_resume(scope, out);
}

th_array *th_take_along_axis(const th_array *a, const th_array *indices, int axis) {
  int checked;
  if (!a || !indices || a->layout.ndim != indices->layout.ndim)
    return TH_CALL(&op_along, &(th__along_params){axis}, a, indices);
  if (th__axis(axis, a->layout.ndim, op_along.name, &checked) != TH_OK) return NULL;
  if (!same_but(&a->layout, &indices->layout, checked)) return broadcast_along(a, indices, checked);
  return TH_CALL(&op_along, &(th__along_params){checked}, a, indices);
}

TH_FAMILY_TABLE(along);
const th_op *const th__family_along[] = {&op_along, &op_along_slope, NULL};
