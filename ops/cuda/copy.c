/* Owns the launchers of what copies, casts, fills and chooses: families copy, create, where, joins, and unslice. */
#include "ops/cuda/cuda.h"

#include "engine/base/error.h"
#include "ops/params.h"
#include "ops/params_arrays.h"

TH__CUDA_SIZED(move)
TH__CUDA_SIZED(fill)
TH__CUDA_SIZED(where)

static th__cuda_kernel cast[TH_DTYPE_COUNT] = {
#define CAST(NAME, t) [TH_##NAME] = {.name = "cast_" #t},
    TH__CUDA_TYPES(CAST)
#undef CAST
};

/* --- copies --- */

th_status th__cuda_move(th_task_context *context, const th_layout *to, void *to_data,
                        const th_layout *from, const void *from_data) {
  bool same = to->dtype == from->dtype;
  if (to_data == from_data) return TH_OK; /* a = a: others that overlap were copied first */
  th__cuda_loop l = {.context = context,
                     .image = &th__image_copy,
                     .kernel = same ? move_of(to->dtype) : &cast[to->dtype],
                     .dtype = from->dtype};
  if (same && th__layout_contiguous(to) && th__layout_contiguous(from)) {
    int64_t bytes = th__layout_bytes(to);
    return bytes ? th__cuda_copy(context, to_data, from_data, bytes) : TH_OK;
  }
  th__cuda_loop_add(&l, to, to_data);
  th__cuda_loop_add(&l, from, from_data);
  return th__cuda_loop_run(&l);
}

static th_status copy_cuda(const th_kernel_args *k) {
  return th__cuda_move(k->context, &k->out[0], k->out_data[0], &k->in[0], k->in_data[0]);
}

static th_status assign_cuda(const th_kernel_args *k) {
  return th__cuda_move(k->context, &k->in[0], k->in_data[0], &k->in[1], k->in_data[1]);
}

static th_status concat_cuda(const th_kernel_args *k) {
  int axis = ((const th__concat_params *)k->params)->axis;
  th_layout part = k->out[0];
  if (axis < 0) axis += part.ndim;
  char *to = k->out_data[0];
  for (int i = 0; i < k->n_in; i++) {
    part.shape[axis] = k->in[i].shape[axis];
    TH_TRY(th__cuda_move(k->context, &part, to, &k->in[i], k->in_data[i]));
    to += part.shape[axis] * part.strides[axis] * th__dtype_size(part.dtype);
  }
  return TH_OK;
}

static th_status unslice_cuda(const th_kernel_args *k) {
  const th__unslice_params *p = k->params;
  th_layout full, window;
  int64_t bytes = th__layout_bytes(&k->out[0]);
  TH_TRY(th__layout_make(&full, p->shape, p->ndim, k->in[0].dtype, "unslice"));
  TH_TRY(th__view_slice(&full, p->slice.spec, &window));
  if (bytes > 0) TH_TRY(th__cuda_fill(k->context, k->out_data[0], 0, bytes));
  char *to = (char *)k->out_data[0] + window.offset * th__dtype_size(full.dtype);
  return th__cuda_move(k->context, &window, to, &k->in[0], k->in_data[0]);
}

/* --- fills --- */

th_status th__cuda_fill_cell(th_task_context *context, const th_layout *to, void *data,
                             uint64_t cell) {
  th__cuda_loop l = {.context = context,
                     .image = &th__image_copy,
                     .kernel = fill_of(to->dtype),
                     .n_cells = 1,
                     .cell = {cell},
                     .dtype = to->dtype};
  th__cuda_loop_add(&l, to, data);
  return th__cuda_loop_run(&l);
}

static uint64_t cell_of(th_dtype t, double value) {
  uint64_t cell = 0;
  th__dtype_set(t, &cell, value);
  return cell;
}

static th_status fill_cuda(const th_kernel_args *k) {
  uint64_t cell = cell_of(k->in[0].dtype, *(const double *)k->params);
  return th__cuda_fill_cell(k->context, &k->in[0], k->in_data[0], cell);
}

static th_status empty_cuda(const th_kernel_args *k) { return TH_OK; }

static th_status full_cuda(const th_kernel_args *k) {
  const th__create_params *p = k->params;
  return th__cuda_fill_cell(k->context, &k->out[0], k->out_data[0], cell_of(p->dtype, p->value));
}

static th_status ramp(const th_kernel_args *k, int32_t ends) {
  static th__cuda_kernel kernel = {.name = "ramp"};
  const th__create_params *p = k->params;
  int64_t n = th__layout_size(&k->out[0]);
  int32_t dtype = (int32_t)p->dtype;
  double first = p->value, step = p->step, last = p->last;
  void *out = k->out_data[0], *args[] = {&out, &n, &dtype, &ends, &first, &step, &last};
  if (n == 0) return TH_OK;
  return th__cuda_blocks(k->context, &th__image_copy, &kernel, th__cuda_blocks_for(k->context, n),
                         args);
}

static th_status arange_cuda(const th_kernel_args *k) { return ramp(k, 0); }
static th_status linspace_cuda(const th_kernel_args *k) { return ramp(k, 1); }

/* Zeros, then ones along the diagonal seen as an array of its own. */
static th_status eye_cuda(const th_kernel_args *k) {
  const th__create_params *p = k->params;
  int64_t rows = p->shape[0], columns = p->shape[1], shift = (int64_t)p->value;
  int64_t row = shift < 0 ? -shift : 0, column = shift < 0 ? 0 : shift;
  th_layout line = {.dtype = p->dtype, .ndim = 1, .strides = {columns + 1}};
  int64_t down = rows - row, right = columns - column;
  line.shape[0] = down < right ? down : right;
  int64_t bytes = th__layout_bytes(&k->out[0]);
  if (bytes == 0) return TH_OK;
  TH_TRY(th__cuda_fill(k->context, k->out_data[0], 0, bytes));
  if (line.shape[0] <= 0) return TH_OK;
  char *first = (char *)k->out_data[0] + (row * columns + column) * th__dtype_size(p->dtype);
  return th__cuda_fill_cell(k->context, &line, first, cell_of(p->dtype, 1));
}

/* --- choice --- */

static th_status where_cuda(const th_kernel_args *k) {
  th__cuda_loop l = {.context = k->context,
                     .image = &th__image_copy,
                     .kernel = where_of(k->out[0].dtype),
                     .dtype = k->out[0].dtype};
  th__cuda_loop_fill(&l, k);
  return th__cuda_loop_run(&l);
}

/* a = mask ? the value, one element that stands still : a. */
static th_status masked_fill_cuda(const th_kernel_args *k) {
  th_layout cell = k->in[0], one = {.dtype = k->in[0].dtype};
  void *room;
  TH_TRY(th__cuda_scratch(k->context, 8, &room));
  double value = ((const th__masked_params *)k->params)->value;
  TH_TRY(th__cuda_fill_cell(k->context, &one, room, cell_of(one.dtype, value)));
  for (int d = 0; d < cell.ndim; d++) cell.strides[d] = 0;
  th__cuda_loop l = {.context = k->context,
                     .image = &th__image_copy,
                     .kernel = where_of(one.dtype),
                     .dtype = one.dtype};
  th__cuda_loop_add(&l, &k->in[0], k->in_data[0]);
  th__cuda_loop_add(&l, &k->in[1], k->in_data[1]);
  th__cuda_loop_add(&l, &cell, room);
  th__cuda_loop_add(&l, &k->in[0], k->in_data[0]);
  return th__cuda_loop_run(&l);
}

static th_status clip_cuda(const th_kernel_args *k) {
  static th__cuda_kernel single = {.name = "clip_single"};
  static th__cuda_kernel by_type[TH_DTYPE_COUNT] = {
#define CLIP(NAME, t) [TH_##NAME] = {.name = "clip_" #t},
      TH__CUDA_TYPES(CLIP)
#undef CLIP
  };
  const th__clip_params *p = k->params;
  th_dtype t = k->in[0].dtype;
  th__cuda_loop l = {.context = k->context,
                     .image = &th__image_copy,
                     .kernel = th__cuda_is_single(t) ? &single : &by_type[t],
                     .n_cells = 2,
                     .cell = {cell_of(t, p->lo), cell_of(t, p->hi)},
                     .dtype = t};
  th__cuda_loop_fill(&l, k);
  return th__cuda_loop_run(&l);
}

extern const th__cuda_entry th__cuda_copying[];
const th__cuda_entry th__cuda_copying[] = {{"copy", copy_cuda},
                                           {"astype", copy_cuda},
                                           {"assign", assign_cuda},
                                           {"concat", concat_cuda},
                                           {"unslice", unslice_cuda},
                                           {"fill", fill_cuda},
                                           {"empty", empty_cuda},
                                           {"full", full_cuda},
                                           {"arange", arange_cuda},
                                           {"eye", eye_cuda},
                                           {"linspace", linspace_cuda},
                                           {"where", where_cuda},
                                           {"clip", clip_cuda},
                                           {"masked_fill_inplace", masked_fill_cuda},
                                           {NULL, NULL}};
