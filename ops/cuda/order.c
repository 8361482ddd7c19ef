/* Owns the launchers of sort, argsort, topk (which sorts) and searchsorted. */
#include "engine/base/error.h"
#include "ops/cuda/cuda.h"
#include "ops/params_arrays.h"

enum { TILE = 1024 }; /* as ops/arrays/order.cu has it */

TH__CUDA_SIZED(order_write)

typedef struct ordering {
  const th_kernel_args *k;
  int axis;
  int32_t descending;
  void *values;
  int64_t *places;
  int64_t n, total;
  uint64_t *keys[2]; /* of all lines, one behind the other; to and fro */
  uint32_t *index[2];
} ordering;

static th_status take_room(ordering *o) {
  for (int i = 0; i < 2; i++) {
    void *room;
    TH_TRY(th__cuda_scratch(o->k->context, o->total * 8, &room));
    o->keys[i] = room;
    TH_TRY(th__cuda_scratch(o->k->context, o->total * 4, &room));
    o->index[i] = room;
  }
  return TH_OK;
}

static th_status make(ordering *o) {
  static th__cuda_kernel kernel = {.name = "order_make"};
  const th_layout *in = &o->k->in[0];
  th__cuda_place lines = th__cuda_lines(in, 1u << o->axis).kept;
  int64_t step = in->strides[o->axis];
  int32_t dtype = (int32_t)in->dtype;
  uint64_t last = ~UINT64_C(0) >> (64 - 8 * th__dtype_size(in->dtype));
  const void *a = o->k->in_data[0];
  void *args[] = {&o->keys[0], &o->index[0],   &a,    &o->total, &o->n, &step,
                  &dtype,      &o->descending, &last, &lines};
  return th__cuda_blocks(o->k->context, &th__image_order, &kernel,
                         th__cuda_blocks_for(o->k->context, o->total), args);
}

/* Which of the two arrays has the keys in order, or -1 when a launch failed (then *status). */
static int sort(ordering *o, th_status *status) {
  static th__cuda_kernel tiling = {.name = "order_tiles"}, merging = {.name = "order_merge"};
  th_task_context *context = o->k->context;
  int64_t tiles = (o->n + TILE - 1) / TILE;
  void *tile_args[] = {&o->keys[0], &o->index[0], &o->n, &tiles};
  int now = 0;
  *status = th__cuda_blocks(context, &th__image_order, &tiling, o->total / o->n * tiles, tile_args);
  for (int64_t width = TILE; width < o->n && *status == TH_OK; width *= 2, now = 1 - now) {
    void *args[] = {&o->keys[1 - now],
                    &o->index[1 - now],
                    &o->keys[now],
                    &o->index[now],
                    &o->total,
                    &o->n,
                    &width};
    *status = th__cuda_blocks(context, &th__image_order, &merging,
                              th__cuda_blocks_for(context, o->total), args);
  }
  return now;
}

static th_status write(const ordering *o, int now) {
  const th_layout *in = &o->k->in[0], *out = &o->k->out[0];
  th__cuda_place lines = th__cuda_lines(in, 1u << o->axis).kept;
  th__cuda_place out_lines = th__cuda_lines(out, 1u << o->axis).kept;
  int64_t k = out->shape[o->axis], step = in->strides[o->axis], out_step = out->strides[o->axis];
  int64_t total = th__layout_size(out), n = o->n;
  void *values = o->values, *places = o->places;
  const void *a = o->k->in_data[0], *index = o->index[now];
  void *args[] = {&values, &places, &a,        &index, &total,    &n,
                  &k,      &step,   &out_step, &lines, &out_lines};
  return th__cuda_blocks(o->k->context, &th__image_order, order_write_of(in->dtype),
                         th__cuda_blocks_for(o->k->context, total), args);
}

static th_status order(const th_kernel_args *k, int axis, bool descending, void *values,
                       void *places) {
  ordering o = {.k = k,
                .axis = axis,
                .descending = descending,
                .values = values,
                .places = places,
                .n = k->in[0].shape[axis],
                .total = th__layout_size(&k->in[0])};
  th_status status;
  if (th__layout_size(&k->out[0]) == 0) return TH_OK;
  TH_TRY(take_room(&o));
  TH_TRY(make(&o));
  int now = sort(&o, &status);
  return status == TH_OK ? write(&o, now) : status;
}

static th_status sort_cuda(const th_kernel_args *k) {
  const th__sort_params *p = k->params;
  return order(k, p->axis, p->descending, k->out_data[0], NULL);
}

static th_status argsort_cuda(const th_kernel_args *k) {
  const th__sort_params *p = k->params;
  return order(k, p->axis, p->descending, NULL, k->out_data[0]);
}

static th_status topk_cuda(const th_kernel_args *k) {
  const th__topk_params *p = k->params;
  return order(k, p->axis, p->largest, k->out_data[0], k->out_data[1]);
}

static th_status search_cuda(const th_kernel_args *k) {
  static th__cuda_kernel kernel = {.name = "search"};
  const th_layout *sorted = &k->in[0];
  th__cuda_loop l = {.context = k->context,
                     .image = &th__image_order,
                     .kernel = &kernel,
                     .extra = k->in_data[0],
                     .n_pointers = 3,
                     .n_cells = 3,
                     .cell = {(uint64_t)sorted->shape[0], (uint64_t)sorted->strides[0],
                              ((const th__search_params *)k->params)->right},
                     .dtype = sorted->dtype};
  th__cuda_loop_add(&l, &k->out[0], k->out_data[0]);
  th__cuda_loop_add(&l, &k->in[1], k->in_data[1]);
  return th__cuda_loop_run(&l);
}

extern const th__cuda_entry th__cuda_ordering[];
const th__cuda_entry th__cuda_ordering[] = {{"sort", sort_cuda},
                                            {"argsort", argsort_cuda},
                                            {"topk", topk_cuda},
                                            {"searchsorted", search_cuda},
                                            {NULL, NULL}};
