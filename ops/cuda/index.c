/* Owns the launchers of take, take_along_axis and their gradients, one_hot, scatter_add_inplace and put_inplace. A kernel cannot fail a task, so an index out of
 * range shows in the result: take gives NaN there (0 in integers), the others leave it out. */
#include <math.h>

#include "engine/base/error.h"
#include "ops/cuda/cuda.h"
#include "ops/params.h"
#include "ops/params_arrays.h"
#include "ops/loops/runs.h"

enum { GROUPS = 32, THREADS = 65536 };

TH__CUDA_SIZED(take)
TH__CUDA_SIZED(put)
TH__CUDA_SIZED(put_rows)
static th__cuda_kernel add_along_single = {.name = "add_along_single"};
static th__cuda_kernel add_along[TH_DTYPE_COUNT] = {
#define NAME(NAME, t) [TH_##NAME] = {.name = "add_along_" #t},
    TH__CUDA_TYPES(NAME)
#undef NAME
};
static th__cuda_kernel add_rows_single = {.name = "add_rows_single"};
static th__cuda_kernel add_rows[TH_DTYPE_COUNT] = {
#define NAME(NAME, t) [TH_##NAME] = {.name = "add_rows_" #t},
    TH__CUDA_TYPES(NAME)
#undef NAME
};

static uint64_t cell_of(th_dtype t, double value) {
  uint64_t cell = 0;
  th__dtype_set(t, &cell, value);
  return cell;
}

/* The result's shape is that of a with the axis replaced by the dimensions of the indices; all three walk along it. */
static th_status take_walk(const th_kernel_args *k, int axis, const th_layout *from,
                           const th_layout *index) {
  const th_layout *a = &k->in[0];
  th__cuda_loop l = {.context = k->context,
                     .image = &th__image_index,
                     .kernel = take_of(a->dtype),
                     .n_cells = 4,
                     .cell = {(uint64_t)a->shape[axis], (uint64_t)a->strides[axis],
                              (uint64_t)index->dtype, cell_of(a->dtype, (double)NAN)},
                     .dtype = a->dtype};
  if (a->dtype == TH_BOOL) l.cell[3] = 0;
  th__cuda_loop_add(&l, &k->out[0], k->out_data[0]);
  th__cuda_loop_add(&l, from, k->in_data[0]);
  th__cuda_loop_add(&l, index, k->in_data[1]);
  return th__cuda_loop_run(&l);
}

static th_status take_cuda(const th_kernel_args *k) {
  const th_layout *a = &k->in[0], *indices = &k->in[1];
  th_layout from = k->out[0], index = k->out[0];
  int axis = ((const th__take_params *)k->params)->axis;
  if (axis < 0) axis += a->ndim;
  index.dtype = indices->dtype;
  for (int d = 0; d < from.ndim; d++) {
    bool of_index = d >= axis && d < axis + indices->ndim;
    index.strides[d] = of_index ? indices->strides[d - axis] : 0;
    from.strides[d] = of_index ? 0 : d < axis ? a->strides[d] : a->strides[d - indices->ndim + 1];
  }
  return take_walk(k, axis, &from, &index);
}

/* The result is shaped like the indices; a stands still along the axis. */
static th_status along_cuda(const th_kernel_args *k) {
  int axis = ((const th__along_params *)k->params)->axis;
  th_layout from = k->in[0];
  if (axis < 0) axis += from.ndim;
  from.shape[axis] = k->in[1].shape[axis];
  from.strides[axis] = 0;
  return take_walk(k, axis, &from, &k->in[1]);
}

static th_status one_hot_cuda(const th_kernel_args *k) {
  const th__one_hot_params *p = k->params;
  int64_t bytes = th__layout_bytes(&k->out[0]);
  th_layout rows = k->out[0];
  if (bytes == 0) return TH_OK;
  TH_TRY(th__cuda_fill(k->context, k->out_data[0], 0, bytes));
  rows.ndim--;
  th__cuda_loop l = {.context = k->context,
                     .image = &th__image_index,
                     .kernel = put_of(p->dtype),
                     .n_cells = 3,
                     .cell = {(uint64_t)p->n, (uint64_t)k->in[0].dtype, cell_of(p->dtype, 1)},
                     .dtype = p->dtype};
  th__cuda_loop_add(&l, &rows, k->out_data[0]);
  th__cuda_loop_add(&l, &k->in[0], k->in_data[0]);
  return th__cuda_loop_run(&l);
}

/* --- adding rows --- */

/* The array as one without gaps of type t: itself, or a copy. */
static th_status compact(th_task_context *context, th_layout *l, const void **data, th_dtype t) {
  void *room;
  if (l->dtype == t && th__layout_contiguous(l)) return TH_OK;
  th_layout to = *l;
  to.dtype = t;
  th__layout_set_contiguous(&to);
  TH_TRY(th__cuda_scratch(context, th__layout_bytes(&to) + 1, &room));
  TH_TRY(th__cuda_move(context, &to, room, l, *data));
  *l = to;
  *data = room;
  return TH_OK;
}

/* to[o, indices[i], c] += from[o, i, c]: the rows of from are dimensions [axis, axis + n_index_dims). */
typedef struct adding {
  th_layout to, from, indices;
  void *to_data;
  const void *from_data, *index_data;
  int axis, n_index_dims;
  bool replace;
} adding;

static th_status add_all(const th_kernel_args *k, adding *a) {
  int64_t n = th__layout_size(&a->indices), columns = 1;
  TH_TRY(compact(k->context, &a->indices, &a->index_data, TH_I64));
  th_layout rows = th__layout_part(&a->from, a->axis, a->n_index_dims, true);
  rows.ndim = th__layouts_collapse(&rows, 1);
  if (rows.ndim > 1) {
    TH_TRY(compact(k->context, &a->from, &a->from_data, a->from.dtype));
    rows = th__layout_part(&a->from, a->axis, a->n_index_dims, true);
    rows.ndim = th__layouts_collapse(&rows, 1);
  }
  th_layout to = th__layout_part(&a->to, a->axis, 1, false);
  th_layout from = th__layout_part(&a->from, a->axis, a->n_index_dims, false);
  columns = th__layout_size(&to);
  if (n == 0 || columns == 0) return TH_OK;
  int64_t groups = THREADS / columns < GROUPS ? THREADS / columns : GROUPS;
  if (groups < 1) groups = 1;
  th_dtype t = a->to.dtype;
  int64_t from_step = rows.ndim > 0 ? rows.strides[0] : 0;
  th__cuda_loop l = {.context = k->context,
                     .image = &th__image_index,
                     .kernel = a->replace              ? put_rows_of(t)
                               : th__cuda_is_single(t) ? &add_rows_single
                                                       : &add_rows[t],
                     .extra = a->index_data,
                     .n_pointers = 3,
                     .threads = columns * groups,
                     .n_cells = 6,
                     .cell = {(uint64_t)n, (uint64_t)a->to.strides[a->axis], (uint64_t)from_step,
                              (uint64_t)a->to.shape[a->axis], (uint64_t)groups,
                              (uint64_t)a->from.dtype},
                     .dtype = t};
  th__cuda_loop_add(&l, &to, a->to_data);
  th__cuda_loop_add(&l, &from, a->from_data);
  return th__cuda_loop_run(&l);
}

/* Halves are summed up in f32. */
static th_status take_slope_cuda(const th_kernel_args *k) {
  const th__take_slope_params *p = k->params;
  th_dtype t = k->out[0].dtype;
  bool half = th__dtype_in(t, TH_HALVES);
  adding a = {.to = k->out[0],
              .from = k->in[1],
              .indices = k->in[0],
              .to_data = k->out_data[0],
              .from_data = k->in_data[1],
              .index_data = k->in_data[0],
              .axis = p->axis,
              .n_index_dims = p->n_index_dims};
  if (half) a.to.dtype = TH_F32;
  int64_t bytes = th__layout_bytes(&a.to);
  if (bytes == 0) return TH_OK;
  if (half) TH_TRY(th__cuda_scratch(k->context, bytes, &a.to_data));
  TH_TRY(th__cuda_fill(k->context, a.to_data, 0, bytes));
  TH_TRY(add_all(k, &a));
  return half ? th__cuda_move(k->context, &k->out[0], k->out_data[0], &a.to, a.to_data) : TH_OK;
}

static th_status write_rows(const th_kernel_args *k, bool replace) {
  adding a = {.to = k->in[0],
              .from = k->in[2],
              .indices = k->in[1],
              .to_data = k->in_data[0],
              .from_data = k->in_data[2],
              .index_data = k->in_data[1],
              .n_index_dims = k->in[1].ndim,
              .replace = replace};
  return add_all(k, &a);
}

static th_status scatter_add_cuda(const th_kernel_args *k) { return write_rows(k, false); }
static th_status put_cuda(const th_kernel_args *k) { return write_rows(k, true); }

/* --- adding along an axis --- */

/* Halves are summed up in f32. */
static th_status along_slope_cuda(const th_kernel_args *k) {
  const th__along_slope_params *p = k->params;
  const th_layout *indices = &k->in[0], *g = &k->in[1];
  th_layout sum = k->out[0];
  void *to = k->out_data[0];
  bool half = th__dtype_in(sum.dtype, TH_HALVES);
  if (half) sum.dtype = TH_F32;
  int64_t bytes = th__layout_bytes(&sum);
  if (bytes == 0) return TH_OK;
  if (half) TH_TRY(th__cuda_scratch(k->context, bytes, &to));
  TH_TRY(th__cuda_fill(k->context, to, 0, bytes));
  th_layout to_lines = th__layout_part(&sum, p->axis, 1, false);
  th_layout g_lines = th__layout_part(g, p->axis, 1, false);
  th_layout index_lines = th__layout_part(indices, p->axis, 1, false);
  th_dtype t = sum.dtype;
  th__cuda_loop l = {.context = k->context,
                     .image = &th__image_index,
                     .kernel = th__cuda_is_single(t) ? &add_along_single : &add_along[t],
                     .threads = th__layout_size(&to_lines),
                     .n_cells = 6,
                     .cell = {(uint64_t)g->shape[p->axis], (uint64_t)p->size,
                              (uint64_t)sum.strides[p->axis], (uint64_t)g->strides[p->axis],
                              (uint64_t)indices->strides[p->axis],
                              (uint64_t)g->dtype | (uint64_t)indices->dtype << 8},
                     .dtype = t};
  th__cuda_loop_add(&l, &to_lines, to);
  th__cuda_loop_add(&l, &g_lines, k->in_data[1]);
  th__cuda_loop_add(&l, &index_lines, k->in_data[0]);
  TH_TRY(th__cuda_loop_run(&l));
  return half ? th__cuda_move(k->context, &k->out[0], k->out_data[0], &sum, to) : TH_OK;
}

extern const th__cuda_entry th__cuda_indexing[];
const th__cuda_entry th__cuda_indexing[] = {{"take", take_cuda},
                                            {"take_slope", take_slope_cuda},
                                            {"take_along_axis", along_cuda},
                                            {"along_slope", along_slope_cuda},
                                            {"scatter_add_inplace", scatter_add_cuda},
                                            {"put_inplace", put_cuda},
                                            {"one_hot", one_hot_cuda},
                                            {NULL, NULL}};
