/* Owns take and its gradient, scatter_add_inplace, put_inplace and one_hot. Indices are read and checked before anything is written; the
 * first one out of range fails the task. Additions go through the indices in order, in parallel over other dimensions only. */
#include "ops/arrays/index.h"

#include <string.h>

#include "engine/base/error.h"
#include "ops/loops/fold.h"
#include "ops/params.h"

enum { COLUMNS = 1024 }; /* neighbouring elements that one item adds */

th_status th__want_indices(const th_infer *io, int input) {
  if (th__dtype_in(io->in[input].dtype, TH_INTS)) return TH_OK;
  return th__fail(TH_EDTYPE, "%s: indices are %s, integers are wanted", io->op->name,
                  th_dtype_name(io->in[input].dtype));
}

th_status th__index_out_of_range(const th_kernel_args *k, int64_t index, int64_t position,
                                 int64_t limit) {
  return th_context_fail(k->context, TH_EINVAL,
                         "%s: index %lld at position %lld is outside [0, %lld)", k->op->name,
                         (long long)index, (long long)position, (long long)limit);
}

/* Copies the indices to the workspace and checks them against [0, limit). */
static th_status take_indices(const th_kernel_args *k, int input, int64_t limit, int64_t **out) {
  const th_layout *l = &k->in[input];
  int64_t n = th__layout_size(l), item = (int64_t)th_dtype_size(l->dtype), *to = k->workspace;
  *out = to;
  th__runs walk;
  th__runs_begin(&walk, &l, 1, 0, n);
  for (; th__runs_next(&walk); to += walk.run)
    th__gather_index(l->dtype, (const char *)k->in_data[input] + walk.offset[0] * item,
                     walk.step[0], walk.run, to);
  for (int64_t i = 0; i < n; i++)
    if ((*out)[i] < 0 || (*out)[i] >= limit) return th__index_out_of_range(k, (*out)[i], i, limit);
  return TH_OK;
}

static th_layout collapsed(th_layout l) {
  l.ndim = th__layouts_collapse(&l, 1);
  return l;
}

static int64_t offset_in(const th_layout *l, int64_t index) {
  return th__offset_at(index, l->ndim, l->shape, l->strides);
}

/* --- take --- */

static th_status too_many(const char *who) {
  return th__fail(TH_ESHAPE, "%s: the result would have more than %d dimensions", who, TH_MAX_DIMS);
}

static th_status infer_take(th_infer *io, const void *params) {
  const th_layout *a = &io->in[0], *indices = &io->in[1];
  th_layout *out = &io->out[0];
  int axis;
  TH_TRY(th__want_indices(io, 1));
  TH_TRY(th__axis(((const th__take_params *)params)->axis, a->ndim, "take", &axis));
  if (a->ndim - 1 + indices->ndim > TH_MAX_DIMS) return too_many("take");
  out->dtype = a->dtype;
  for (int d = 0; d < axis; d++) out->shape[out->ndim++] = a->shape[d];
  for (int d = 0; d < indices->ndim; d++) out->shape[out->ndim++] = indices->shape[d];
  for (int d = axis + 1; d < a->ndim; d++) out->shape[out->ndim++] = a->shape[d];
  io->workspace = th__layout_size(indices) * 8;
  return TH_OK;
}

typedef struct taking {
  const th_kernel_args *k;
  th_layout outer, inner;
  int64_t n_inner, step; /* along the axis */
  const int64_t *indices;
  int64_t n;
} taking;

/* to[i] = from[indices[i] * step] */
static void take_single(size_t size, void *to, const void *from, int64_t step,
                        const int64_t *indices, int64_t n) {
#define TAKE(T)                                                                                    \
  for (int64_t i = 0; i < n; i++) ((T *)to)[i] = ((const T *)from)[indices[i] * step]
  switch (size) {
  case 1: TAKE(uint8_t); break;
  case 2: TAKE(uint16_t); break;
  case 4: TAKE(uint32_t); break;
  default: TAKE(uint64_t); break;
  }
#undef TAKE
}

/* Rows of one element. */
static void take_elements(int64_t first, int64_t last, void *arg) {
  const taking *t = arg;
  size_t size = th_dtype_size(t->inner.dtype);
  for (int64_t row = first; row < last;) {
    int64_t start = row % t->n, n = t->n - start < last - row ? t->n - start : last - row;
    const char *from =
        (const char *)t->k->in_data[0] + offset_in(&t->outer, row / t->n) * (int64_t)size;
    take_single(size, (char *)t->k->out_data[0] + row * (int64_t)size, from, t->step,
                t->indices + start, n);
    row += n;
  }
}

static void take_rows(int64_t first, int64_t last, void *arg) {
  const taking *t = arg;
  size_t size = th_dtype_size(t->inner.dtype);
  int64_t item = (int64_t)size;
  const th_layout *inner = &t->inner;
  for (int64_t row = first; row < last; row++) {
    int64_t at = offset_in(&t->outer, row / t->n) + t->indices[row % t->n] * t->step;
    const char *from = (const char *)t->k->in_data[0] + at * item;
    char *to = (char *)t->k->out_data[0] + row * t->n_inner * item;
    if (inner->ndim <= 1) {
      int64_t step = inner->ndim == 1 ? inner->strides[0] : 1;
      th__copy_run(size, to, 1, from, step, t->n_inner);
      continue;
    }
    th__runs walk;
    th__runs_begin(&walk, &inner, 1, 0, t->n_inner);
    for (; th__runs_next(&walk); to += walk.run * item)
      th__copy_run(size, to, 1, from + walk.offset[0] * item, walk.step[0], walk.run);
  }
}

static th_status take_cpu(const th_kernel_args *k) {
  const th_layout *a = &k->in[0];
  int axis = ((const th__take_params *)k->params)->axis;
  if (axis < 0) axis += a->ndim;
  int64_t *indices;
  TH_TRY(take_indices(k, 1, a->shape[axis], &indices));
  taking t = {.k = k, .indices = indices, .n = th__layout_size(&k->in[1])};
  t.outer = th__layout_part(a, 0, axis, true);
  t.inner = collapsed(th__layout_part(a, 0, axis + 1, false));
  t.n_inner = th__layout_size(&t.inner);
  t.step = a->strides[axis];
  if (t.n_inner > 0)
    th_parallel_for(k->context, th__layout_size(&t.outer) * t.n, th__grain(t.n_inner),
                    t.n_inner == 1 ? take_elements : take_rows, &t);
  return TH_OK;
}

/* --- adding rows --- */

/* to[o, indices[i], c] += from[o, i, c], or = */
typedef struct adding {
  const int64_t *indices;
  int64_t n, n_inner;
  char *to;
  const char *from;
  th_layout to_outer, to_inner, from_outer, from_rows, from_inner;
  int64_t to_step; /* along the axis */
  bool replace;
} adding;

static void add_run(th_dtype to_type, char *to, int64_t to_step, th_dtype from_type,
                    const char *from, int64_t from_step, int64_t n) {
  const th__fold *plus = th__fold_of(TH__FOLD_SUM, th__compute_of(to_type));
  int64_t to_item = (int64_t)th_dtype_size(to_type), from_item = (int64_t)th_dtype_size(from_type);
  th__word sums[COLUMNS], terms[COLUMNS];
  for (int64_t i = 0; i < n; i += COLUMNS) {
    int64_t part = n - i < COLUMNS ? n - i : COLUMNS;
    char *here = to + i * to_step * to_item;
    const void *x =
        th__gathered(from_type, from + i * from_step * from_item, from_step, part, terms);
    if (th__gathered(to_type, here, to_step, part, sums) == here) {
      plus->join(here, x, part);
    } else {
      plus->join(sums, x, part);
      th__scatter(to_type, here, to_step, part, sums);
    }
  }
}

static void add_rows(int64_t first, int64_t last, void *arg) {
  const adding *a = arg;
  int64_t tiles = (a->n_inner + COLUMNS - 1) / COLUMNS;
  int64_t to_item = (int64_t)th_dtype_size(a->to_inner.dtype);
  int64_t from_item = (int64_t)th_dtype_size(a->from_inner.dtype);
  const th_layout *inner[2] = {&a->to_inner, &a->from_inner};
  for (int64_t item = first; item < last; item++) {
    int64_t column = item % tiles * COLUMNS;
    int64_t end = a->n_inner - column < COLUMNS ? a->n_inner : column + COLUMNS;
    int64_t to_base = offset_in(&a->to_outer, item / tiles);
    int64_t from_base = offset_in(&a->from_outer, item / tiles);
    th__runs start, walk;
    th__runs_begin(&start, inner, 2, column, end);
    for (int64_t i = 0; i < a->n; i++) {
      char *to = a->to + (to_base + a->indices[i] * a->to_step) * to_item;
      const char *from = a->from + (from_base + offset_in(&a->from_rows, i)) * from_item;
      for (walk = start; th__runs_next(&walk);) {
        if (a->replace) {
          th__copy_run((size_t)to_item, to + walk.offset[0] * to_item, walk.step[0],
                       from + walk.offset[1] * from_item, walk.step[1], walk.run);
          continue;
        }
        add_run(a->to_inner.dtype, to + walk.offset[0] * to_item, walk.step[0], a->from_inner.dtype,
                from + walk.offset[1] * from_item, walk.step[1], walk.run);
      }
    }
  }
}

/* Rows of one element, whose rows in `from` are one line: added piece by piece. */
static void add_elements(int64_t first, int64_t last, void *arg) {
  const adding *a = arg;
  th_dtype t = a->to_inner.dtype, from_type = a->from_inner.dtype;
  int64_t item = (int64_t)th_dtype_size(from_type);
  for (int64_t outer = first; outer < last; outer++) {
    char *to = a->to + offset_in(&a->to_outer, outer) * (int64_t)th_dtype_size(t);
    const char *from = a->from + offset_in(&a->from_outer, outer) * item;
    for (int64_t i = 0; i < a->n; i += COLUMNS) {
      th__word terms[COLUMNS];
      int64_t n = a->n - i < COLUMNS ? a->n - i : COLUMNS, step = a->from_rows.strides[0];
      const void *x = th__gathered(from_type, from + i * step * item, step, n, terms);
      th__add_at(t, to, a->to_step, a->indices + i, x, n);
    }
  }
}

static void add_all(const th_kernel_args *k, adding *a) {
  a->n_inner = th__layout_size(&a->to_inner);
  th_layout rows = collapsed(a->from_rows);
  if (a->n_inner == 1 && rows.ndim == 1 && !a->replace &&
      !th__dtype_in(a->to_inner.dtype, TH_HALVES)) {
    a->from_rows = rows;
    th_parallel_for(k->context, th__layout_size(&a->to_outer), th__grain(a->n), add_elements, a);
    return;
  }
  int64_t tiles = (a->n_inner + COLUMNS - 1) / COLUMNS;
  int64_t cost = a->n * (a->n_inner < COLUMNS ? a->n_inner : COLUMNS);
  th_parallel_for(k->context, th__layout_size(&a->to_outer) * tiles, th__grain(cost), add_rows, a);
}

/* --- take_slope: the gradient of take --- */

static th_status infer_take_slope(th_infer *io, const void *params) {
  const th__take_slope_params *p = params;
  const th_layout *g = &io->in[1];
  th_layout *out = &io->out[0];
  TH_TRY(th__want_indices(io, 0));
  bool fits = p->axis >= 0 && p->size >= 0 && p->n_index_dims == io->in[0].ndim &&
              p->axis + p->n_index_dims <= g->ndim;
  for (int d = 0; d < p->n_index_dims && fits; d++)
    fits = g->shape[p->axis + d] == io->in[0].shape[d];
  if (!fits || g->ndim - p->n_index_dims + 1 > TH_MAX_DIMS || !th__dtype_in(g->dtype, TH_NUMBERS))
    return th__fail(TH_ESHAPE, "take_slope: gradient and indices do not belong together");
  out->dtype = g->dtype;
  for (int d = 0; d < p->axis; d++) out->shape[out->ndim++] = g->shape[d];
  out->shape[out->ndim++] = p->size;
  for (int d = p->axis + p->n_index_dims; d < g->ndim; d++) out->shape[out->ndim++] = g->shape[d];
  io->workspace = th__layout_size(&io->in[0]) * 8;
  if (th__dtype_in(g->dtype, TH_HALVES)) io->workspace += th__layout_size(out) * 4;
  return TH_OK;
}

static th_status take_slope_cpu(const th_kernel_args *k) {
  const th__take_slope_params *p = k->params;
  const th_layout *g = &k->in[1];
  th_layout sum = k->out[0];
  adding a = {.n = th__layout_size(&k->in[0]), .to = k->out_data[0], .from = k->in_data[1]};
  int64_t *indices;
  TH_TRY(take_indices(k, 0, p->size, &indices));
  a.indices = indices;
  bool half = th__dtype_in(g->dtype, TH_HALVES); /* sums up in f32 */
  if (half) {
    sum.dtype = TH_F32;
    a.to = (char *)(indices + a.n);
  }
  int64_t n_out = th__layout_size(&sum);
  memset(a.to, 0, (size_t)(n_out * (int64_t)th_dtype_size(sum.dtype)));
  a.to_outer = th__layout_part(&sum, 0, p->axis, true);
  a.to_inner = th__layout_part(&sum, 0, p->axis + 1, false);
  a.to_step = sum.strides[p->axis];
  a.from_outer = th__layout_part(g, 0, p->axis, true);
  a.from_rows = th__layout_part(g, p->axis, p->n_index_dims, true);
  a.from_inner = th__layout_part(g, 0, p->axis + p->n_index_dims, false);
  add_all(k, &a);
  if (half) th__scatter(g->dtype, k->out_data[0], 1, n_out, a.to);
  return TH_OK;
}

static th_status vjp_take_slope(const th_vjp *v) {
  const th__take_slope_params *p = v->params;
  v->result[1] = th_take(v->gradients[0], v->inputs[0], p->axis);
  return th__vjp_check(v);
}

static const th_op op_take_slope = {
    .name = "take_slope",
    .in = {2, 0},
    .out = {1, 0},
    .saves = TH_SAVE_IN(0),
    .params_size = sizeof(th__take_slope_params),
    .infer = infer_take_slope,
    .vjp = vjp_take_slope,
    .cpu = take_slope_cpu,
    .test = {-1, 1, 1e-4},
};

static th_status vjp_take(const th_vjp *v) {
  int axis = ((const th__take_params *)v->params)->axis;
  if (axis < 0) axis += v->in[0].ndim;
  th__take_slope_params p = {axis, v->in[1].ndim, v->in[0].shape[axis]};
  v->result[0] = TH_CALL(&op_take_slope, &p, v->inputs[1], v->gradients[0]);
  return th__vjp_check(v);
}

static const th_op op_take = {
    .name = "take",
    .in = {2, 0},
    .out = {1, 0},
    .saves = TH_SAVE_IN(1),
    .params_size = sizeof(th__take_params),
    .infer = infer_take,
    .vjp = vjp_take,
    .cost = th__cost_gathered,
    .cpu = take_cpu,
    .test = {-1, 1, 1e-4},
};
th_array *th_take(const th_array *a, const th_array *indices, int axis) {
  return TH_CALL(&op_take, &(th__take_params){axis}, a, indices);
}

/* --- scatter_add_inplace --- */

/* Rows of b for a at indices: a (n, ...), indices (i...), b (i..., ...). */
static th_status infer_rows(th_infer *io, const void *params) {
  const th_layout *a = &io->in[0], *indices = &io->in[1], *b = &io->in[2];
  const char *who = io->op->name;
  TH_TRY(th__want_indices(io, 1));
  if (b->dtype != a->dtype)
    return th__fail(TH_EDTYPE, "%s: %s does not fit %s", who, th_dtype_name(b->dtype),
                    th_dtype_name(a->dtype));
  bool fits = a->ndim > 0 && b->ndim == indices->ndim + a->ndim - 1;
  for (int d = 0; d < b->ndim && fits; d++)
    fits = b->shape[d] == (d < indices->ndim ? indices->shape[d] : a->shape[d - indices->ndim + 1]);
  if (!fits) {
    char x[TH__SHAPE_TEXT], y[TH__SHAPE_TEXT], z[TH__SHAPE_TEXT];
    return th__fail(TH_ESHAPE, "%s: rows %s do not fit %s at indices %s", who,
                    th__shape_text(b->shape, b->ndim, x, sizeof x),
                    th__shape_text(a->shape, a->ndim, y, sizeof y),
                    th__shape_text(indices->shape, indices->ndim, z, sizeof z));
  }
  io->workspace = th__layout_size(indices) * 8;
  return TH_OK;
}

static th_status infer_scatter_add(th_infer *io, const void *params) {
  const th_layout *a = &io->in[0], *b = &io->in[2];
  if (!th__dtype_in(a->dtype, TH_NUMBERS) || b->dtype != a->dtype)
    return th__fail(TH_EDTYPE, "scatter_add_inplace: cannot add %s to %s", th_dtype_name(b->dtype),
                    th_dtype_name(a->dtype));
  return infer_rows(io, params);
}

static th_status write_rows(const th_kernel_args *k, bool replace) {
  const th_layout *to = &k->in[0], *from = &k->in[2];
  int n_index_dims = k->in[1].ndim;
  adding a = {.n = th__layout_size(&k->in[1]),
              .to = k->in_data[0],
              .from = k->in_data[2],
              .replace = replace};
  int64_t *indices;
  TH_TRY(take_indices(k, 1, to->shape[0], &indices));
  a.indices = indices;
  a.to_inner = th__layout_part(to, 0, 1, false);
  a.to_step = to->strides[0];
  a.from_rows = th__layout_part(from, 0, n_index_dims, true);
  a.from_inner = th__layout_part(from, 0, n_index_dims, false);
  add_all(k, &a);
  return TH_OK;
}

static th_status scatter_add_cpu(const th_kernel_args *k) { return write_rows(k, false); }

static th_status vjp_scatter_add(const th_vjp *v) {
  if (v->needed[0]) v->result[0] = th_retain(v->gradients[0]);
  if (v->needed[2]) v->result[2] = th_take(v->gradients[0], v->inputs[1], 0);
  return th__vjp_check(v);
}

/* The call with b cast to a's type. */
static th_status call_rows(const th_op *op, th_array *a, const th_array *indices,
                           const th_array *b) {
  const th_array *in[] = {a, indices, b};
  if (a == NULL || b == NULL || a->layout.dtype == b->layout.dtype)
    return th__invoke(op, NULL, in, 3, NULL, 0);
  TH_TRY(th__check_devices(op->name, in, 3));
  th_scope scope = th__scope_suspend();
  th_array *cast = th_astype(b, a->layout.dtype);
  in[2] = cast;
  th_status status = th__invoke(op, NULL, in, 3, NULL, 0);
  th_release(cast);
  (void)th__scope_resume(scope, NULL);
  return status;
}

static const th_op op_scatter_add = {
    .name = "scatter_add_inplace",
    .in = {3, 0},
    .out = {0, 0},
    .saves = TH_SAVE_IN(1),
    .writes = 1,
    .infer = infer_scatter_add,
    .vjp = vjp_scatter_add,
    .cpu = scatter_add_cpu,
    .test = {-1, 1, 1e-4},
};
th_status th_scatter_add_inplace(th_array *a, const th_array *indices, const th_array *b) {
  return call_rows(&op_scatter_add, a, indices, b);
}

/* --- put_inplace --- */

static th_status put_cpu(const th_kernel_args *k) { return write_rows(k, true); }

/* 1 where row i of b is the one that stayed, shaped like b: the last one written to its place. */
static th_array *stayed(const th_vjp *v) {
  const th_array *indices = v->inputs[1];
  const th_layout *b = &v->in[2];
  int64_t n = th__layout_size(&indices->layout), shape[TH_MAX_DIMS];
  th_device d = indices->device;
  th_array *numbers = th_arange(0, (double)n, 1, TH_I64, d);
  numbers = th_reshape(numbers, indices->layout.shape, indices->layout.ndim);
  th_array *last = th_zeros(v->in[0].shape, 1, TH_I64, d);
  if (!numbers || !last || th_put_inplace(last, indices, numbers) != TH_OK) return NULL;
  th_array *mask = th_astype(th_equal(th_take(last, indices, 0), numbers), b->dtype);
  for (int i = 0; i < b->ndim; i++) shape[i] = i < indices->layout.ndim ? b->shape[i] : 1;
  return th_reshape(mask, shape, b->ndim);
}

static th_status vjp_put(const th_vjp *v) {
  th_scope scope = th_scope_begin();
  th_array *g = v->gradients[0], *indices = v->inputs[1];
  if (v->needed[0]) {
    th_array *rest = th_copy(g);
    th_array *none = th_zeros(v->in[2].shape, v->in[2].ndim, v->in[2].dtype, indices->device);
    if (rest && none && th_put_inplace(rest, indices, none) == TH_OK) v->result[0] = th_keep(rest);
  }
  if (v->needed[2]) v->result[2] = th_keep(th_multiply(th_take(g, indices, 0), stayed(v)));
  th_scope_end(scope);
  return th__vjp_check(v);
}

static const th_op op_put = {
    .name = "put_inplace",
    .in = {3, 0},
    .out = {0, 0},
    .saves = TH_SAVE_IN(1),
    .writes = 1,
    .infer = infer_rows,
    .vjp = vjp_put,
    .cpu = put_cpu,
    .test = {-1, 1, 1e-4},
};
th_status th_put_inplace(th_array *a, const th_array *indices, const th_array *b) {
  return call_rows(&op_put, a, indices, b);
}

/* --- one_hot --- */

static th_status infer_one_hot(th_infer *io, const void *params) {
  const th__one_hot_params *p = params;
  TH_TRY(th__want_indices(io, 0));
  if (p->n < 0) return th__fail(TH_EINVAL, "one_hot: %lld classes", (long long)p->n);
  if (!th__dtype_valid(p->dtype))
    return th__fail(TH_EDTYPE, "one_hot: unknown element type %d", (int)p->dtype);
  if (io->in[0].ndim == TH_MAX_DIMS) return too_many("one_hot");
  TH_TRY(th__infer_same(io, params));
  io->out[0].dtype = p->dtype;
  io->out[0].shape[io->out[0].ndim++] = p->n;
  io->workspace = th__layout_size(&io->in[0]) * 8;
  return TH_OK;
}

static th_status one_hot_cpu(const th_kernel_args *k) {
  const th__one_hot_params *p = k->params;
  int64_t *indices, n = th__layout_size(&k->in[0]), item = (int64_t)th_dtype_size(p->dtype);
  TH_TRY(take_indices(k, 0, p->n, &indices));
  char *out = k->out_data[0];
  memset(out, 0, (size_t)(n * p->n * item)); /* the bits of 0 in every type */
  for (int64_t i = 0; i < n; i++) th__dtype_set(p->dtype, out + (i * p->n + indices[i]) * item, 1);
  return TH_OK;
}

static const th_op op_one_hot = {
    .name = "one_hot",
    .in = {1, 0},
    .out = {1, 0},
    .flags = TH_OP_FLAT,
    .params_size = sizeof(th__one_hot_params),
    .infer = infer_one_hot,
    .cpu = one_hot_cpu,
    .test = {0, 1, 0},
};
th_array *th_one_hot(const th_array *indices, int64_t n, th_dtype t) {
  return TH_CALL(&op_one_hot, (&(th__one_hot_params){n, t}), indices);
}

TH_FAMILY_TABLE(index);
const th_op *const th__family_index[] = {&op_take, &op_take_slope, &op_scatter_add,
                                         &op_put,  &op_one_hot,    NULL};
