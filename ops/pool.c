/* Owns max_pool2d and avg_pool2d with their gradients, which look for the largest element of a window again instead of keeping
 * its place. Planes are worked on one by one, windows of a plane in order, so sums in the gradients have one order. */
#include <math.h>
#include <string.h>

#include "engine/base/error.h"
#include "ops/loop.h"
#include "ops/runs.h"
#include "ops/window.h"

/* --- inference --- */

static th_status want_planes(const th_infer *io) {
  if (io->in[0].ndim != 4) return th__window_refuse(io, "(n, c, h, w) is wanted");
  return TH_OK;
}

static void give_shape(th_infer *io, const int64_t size[2]) {
  io->out[0] = io->in[0];
  io->out[0].offset = 0;
  for (int d = 0; d < 2; d++) io->out[0].shape[2 + d] = size[d];
}

static th_status infer_pool(th_infer *io, const void *params) {
  const th__window_params *p = params;
  int64_t count[2];
  TH_TRY(want_planes(io));
  TH_TRY(th__window_count(io, p, &io->in[0].shape[2], p->kernel, count));
  give_shape(io, count);
  return TH_OK;
}

/* Input 0 is x, or size says its shape; input `at` has an element per window. */
static th_status want_windows(const th_infer *io, const th__window_params *p, const int64_t *size,
                              int at) {
  int64_t count[2];
  TH_TRY(want_planes(io));
  TH_TRY(th__window_count(io, p, size, p->kernel, count));
  const th_layout *x = &io->in[0], *g = &io->in[at];
  if (g->ndim != 4 || g->dtype != x->dtype || g->shape[0] != x->shape[0] ||
      g->shape[1] != x->shape[1] || g->shape[2] != count[0] || g->shape[3] != count[1])
    return th__window_refuse(io, "input and gradient do not belong together");
  return TH_OK;
}

/* Halves sum up in f32, a plane per block of planes; see slope_planes. */
static void want_sums(th_infer *io) {
  if (th__dtype_in(io->in[0].dtype, TH_HALVES)) io->workspace = 4 * th__layout_size(&io->out[0]);
}

static th_status infer_max_slope(th_infer *io, const void *params) {
  TH_TRY(want_windows(io, params, &io->in[0].shape[2], 1));
  give_shape(io, &io->in[0].shape[2]);
  want_sums(io);
  return TH_OK;
}

static th_status infer_max_take(th_infer *io, const void *params) {
  const th__window_params *p = params;
  const th_layout *x = &io->in[0], *u = &io->in[1];
  if (u->dtype != x->dtype || !th__layout_same_shape(x, u))
    return th__window_refuse(io, "two inputs of one shape and type are wanted");
  return infer_pool(io, p);
}

static th_status infer_avg_slope(th_infer *io, const void *params) {
  const th__window_params *p = params;
  TH_TRY(want_windows(io, p, p->size, 0));
  give_shape(io, p->size);
  want_sums(io);
  return TH_OK;
}

static th_cost cost_pool(const th_infer *io, const void *params) {
  const th__window_params *p = params;
  th_cost cost = {.bytes = th__layout_bytes(&io->out[0])};
  int64_t windows = th__layout_size(&io->out[0]);
  for (int i = 0; i < io->n_in; i++) {
    cost.bytes += th__layout_bytes(&io->in[i]);
    if (th__layout_size(&io->in[i]) < windows) windows = th__layout_size(&io->in[i]);
  }
  cost.flops = windows * p->kernel[0] * p->kernel[1];
  return cost;
}

/* --- planes --- */

typedef struct pool {
  const th_kernel_args *k;
  const th__window_params *p;
  int64_t size[2], count[2]; /* of an input plane, of windows */
  int64_t channels;
  th_dtype dtype;
} pool;

static pool make_pool(const th_kernel_args *k, const int64_t *size, const int64_t *count) {
  return (pool){.k = k,
                .p = k->params,
                .size = {size[0], size[1]},
                .count = {count[0], count[1]},
                .channels = k->in[0].shape[1],
                .dtype = k->in[0].dtype};
}

/* Rows or columns of the input under window i: taps [*from, *to), the first at place *at. */
static inline void clip_window(const pool *o, int d, int64_t i, int64_t *from, int64_t *to,
                               int64_t *at) {
  int64_t start = i * o->p->stride[d] - o->p->padding[d], step = o->p->dilation[d];
  *from = start < 0 ? (-start + step - 1) / step : 0;
  *to = o->p->kernel[d];
  if (start + (*to - 1) * step >= o->size[d]) *to = (o->size[d] - start + step - 1) / step;
  *at = start + *from * step;
}

/* A plane of an input in the computing type: in place if its rows are, else gathered into a buffer of the thread. */
static const char *plane_of(const pool *o, int input, int64_t plane, int64_t *row, int64_t *step) {
  const th_layout *l = &o->k->in[input];
  *row = l->strides[2];
  *step = l->strides[3];
  int64_t at = plane / o->channels * l->strides[0] + plane % o->channels * l->strides[1];
  return (const char *)o->k->in_data[input] + at * (int64_t)th_dtype_size(l->dtype);
}

/* For each element type: the largest of a window with its place, and the loops over the windows of a plane. S is stored, T
 * computed with. */
#define POOL(id, T)                                                                                \
  typedef struct view_##id {                                                                       \
    const char *data;                                                                              \
    int64_t row, step;                                                                             \
  } view_##id;                                                                                     \
  static inline T at_##id(const view_##id *x, int64_t i, int64_t j) {                              \
    return th__get_##id(x->data + (i * x->row + j * x->step) * (int64_t)sizeof(th__s_##id));       \
  }                                                                                                \
  static view_##id view_of_##id(const pool *o, int input, int64_t plane) {                         \
    view_##id x;                                                                                   \
    x.data = plane_of(o, input, plane, &x.row, &x.step);                                           \
    return x;                                                                                      \
  }                                                                                                \
  static inline T largest_##id(const pool *o, const view_##id *x, int64_t i, int64_t j,            \
                               int64_t *place) {                                                   \
    int64_t y0, y1, y, x0, x1, at, step = o->p->dilation[1];                                       \
    clip_window(o, 0, i, &y0, &y1, &y);                                                            \
    clip_window(o, 1, j, &x0, &x1, &at);                                                           \
    *place = -1;                                                                                   \
    if (y0 >= y1 || x0 >= x1) return (T)-INFINITY; /* all of it in the padding */                  \
    T most = at_##id(x, y, at);                                                                    \
    *place = y * o->size[1] + at;                                                                  \
    for (int64_t a = y0; a < y1; a++, y += o->p->dilation[0])                                      \
      for (int64_t b = x0, z = at; b < x1; b++, z += step) {                                       \
        T value = at_##id(x, y, z);                                                                \
        bool larger = value > most || (value != value && most == most);                            \
        most = larger ? value : most;                                                              \
        *place = larger ? y * o->size[1] + z : *place;                                             \
      }                                                                                            \
    return most;                                                                                   \
  }                                                                                                \
  static void max_plane_##id(const pool *o, int64_t plane) {                                       \
    view_##id x = view_of_##id(o, 0, plane);                                                       \
    th__s_##id *out = (th__s_##id *)o->k->out_data[0] + plane * o->count[0] * o->count[1];         \
    for (int64_t i = 0; i < o->count[0]; i++)                                                      \
      for (int64_t j = 0; j < o->count[1]; j++) {                                                  \
        int64_t place;                                                                             \
        th__put_##id(out++, largest_##id(o, &x, i, j, &place));                                    \
      }                                                                                            \
  }                                                                                                \
  static void take_plane_##id(const pool *o, int64_t plane) {                                      \
    view_##id x = view_of_##id(o, 0, plane), u = view_of_##id(o, 1, plane);                        \
    th__s_##id *out = (th__s_##id *)o->k->out_data[0] + plane * o->count[0] * o->count[1];         \
    for (int64_t i = 0; i < o->count[0]; i++)                                                      \
      for (int64_t j = 0; j < o->count[1]; j++) {                                                  \
        int64_t place;                                                                             \
        (void)largest_##id(o, &x, i, j, &place);                                                   \
        th__put_##id(out++, place < 0 ? 0 : at_##id(&u, place / o->size[1], place % o->size[1]));  \
      }                                                                                            \
  }                                                                                                \
  static void max_slope_plane_##id(const pool *o, int64_t plane, void *to) {                       \
    view_##id x = view_of_##id(o, 0, plane), g = view_of_##id(o, 1, plane);                        \
    T *sums = to;                                                                                  \
    memset(sums, 0, (size_t)(o->size[0] * o->size[1]) * sizeof(T));                                \
    for (int64_t i = 0; i < o->count[0]; i++)                                                      \
      for (int64_t j = 0; j < o->count[1]; j++) {                                                  \
        int64_t place;                                                                             \
        (void)largest_##id(o, &x, i, j, &place);                                                   \
        if (place >= 0) sums[place] += at_##id(&g, i, j);                                          \
      }                                                                                            \
  }                                                                                                \
  static void avg_plane_##id(const pool *o, int64_t plane) {                                       \
    view_##id x = view_of_##id(o, 0, plane);                                                       \
    th__s_##id *out = (th__s_##id *)o->k->out_data[0] + plane * o->count[0] * o->count[1];         \
    for (int64_t i = 0; i < o->count[0]; i++)                                                      \
      for (int64_t j = 0; j < o->count[1]; j++) {                                                  \
        int64_t y0, y1, y, x0, x1, at;                                                             \
        clip_window(o, 0, i, &y0, &y1, &y);                                                        \
        clip_window(o, 1, j, &x0, &x1, &at);                                                       \
        T sum = 0;                                                                                 \
        for (int64_t a = y0; a < y1; a++, y++)                                                     \
          for (int64_t b = x0; b < x1; b++) sum += at_##id(&x, y, at + b - x0);                    \
        th__put_##id(out++, sum / (T)divisor(o, y1 - y0, x1 - x0));                                \
      }                                                                                            \
  }                                                                                                \
  static void avg_slope_plane_##id(const pool *o, int64_t plane, void *to) {                       \
    view_##id g = view_of_##id(o, 0, plane);                                                       \
    T *sums = to;                                                                                  \
    memset(sums, 0, (size_t)(o->size[0] * o->size[1]) * sizeof(T));                                \
    for (int64_t i = 0; i < o->count[0]; i++)                                                      \
      for (int64_t j = 0; j < o->count[1]; j++) {                                                  \
        int64_t y0, y1, y, x0, x1, at;                                                             \
        clip_window(o, 0, i, &y0, &y1, &y);                                                        \
        clip_window(o, 1, j, &x0, &x1, &at);                                                       \
        T part = at_##id(&g, i, j) / (T)divisor(o, y1 - y0, x1 - x0);                              \
        for (int64_t a = y0; a < y1; a++, y++)                                                     \
          for (int64_t b = x0; b < x1; b++) sums[y * o->size[1] + at + b - x0] += part;            \
      }                                                                                            \
  }

/* What the mean of a window with that many rows and columns inside of the input divides by. */
static inline int64_t divisor(const pool *o, int64_t rows, int64_t columns) {
  return o->p->count_padding ? o->p->kernel[0] * o->p->kernel[1] : rows * columns;
}

POOL(f32, float)
POOL(f64, double)
POOL(f16, float)
POOL(bf16, float)

/* --- loops over planes --- */

/* fn(o, plane, ...) of the element type. */
#define BY_TYPE(fn, ...)                                                                           \
  do {                                                                                             \
    switch (o->dtype) {                                                                            \
    case TH_F32: fn##_f32(__VA_ARGS__); break;                                                     \
    case TH_F64: fn##_f64(__VA_ARGS__); break;                                                     \
    case TH_F16: fn##_f16(__VA_ARGS__); break;                                                     \
    default: fn##_bf16(__VA_ARGS__); break;                                                        \
    }                                                                                              \
  } while (0)

#define PLANES(id)                                                                                 \
  static void id##_planes(int64_t first, int64_t last, void *arg) {                                \
    const pool *o = arg;                                                                           \
    for (int64_t plane = first; plane < last; plane++) BY_TYPE(id##_plane, o, plane);              \
  }
/* Sums are made in place, or for halves in the workspace and rounded once. */
#define SLOPE_PLANES(id)                                                                           \
  static void id##_planes(int64_t first, int64_t last, void *arg) {                                \
    const pool *o = arg;                                                                           \
    int64_t size = o->size[0] * o->size[1], item = (int64_t)th_dtype_size(o->dtype);               \
    for (int64_t plane = first; plane < last; plane++) {                                           \
      char *out = (char *)o->k->out_data[0] + plane * size * item;                                 \
      void *sums = item == 2 ? (char *)o->k->workspace + plane * size * 4 : out;                   \
      BY_TYPE(id##_plane, o, plane, sums);                                                         \
      if (item == 2) th__scatter(o->dtype, out, 1, size, sums);                                    \
    }                                                                                              \
  }
PLANES(max)
PLANES(take)
PLANES(avg)
SLOPE_PLANES(max_slope)
SLOPE_PLANES(avg_slope)

static th_status all_planes(const th_kernel_args *k, pool *o,
                            void (*body)(int64_t first, int64_t last, void *arg)) {
  if (th__layout_size(&k->out[0]) == 0) return TH_OK;
  int64_t cost = o->count[0] * o->count[1] * o->p->kernel[0] * o->p->kernel[1];
  th_parallel_for(k->context, k->in[0].shape[0] * o->channels, th__grain(2 * cost), body, o);
  return TH_OK;
}

static th_status max_cpu(const th_kernel_args *k) {
  pool o = make_pool(k, &k->in[0].shape[2], &k->out[0].shape[2]);
  return all_planes(k, &o, max_planes);
}
static th_status max_slope_cpu(const th_kernel_args *k) {
  pool o = make_pool(k, &k->in[0].shape[2], &k->in[1].shape[2]);
  return all_planes(k, &o, max_slope_planes);
}
static th_status max_take_cpu(const th_kernel_args *k) {
  pool o = make_pool(k, &k->in[0].shape[2], &k->out[0].shape[2]);
  return all_planes(k, &o, take_planes);
}
static th_status avg_cpu(const th_kernel_args *k) {
  pool o = make_pool(k, &k->in[0].shape[2], &k->out[0].shape[2]);
  return all_planes(k, &o, avg_planes);
}
static th_status avg_slope_cpu(const th_kernel_args *k) {
  pool o = make_pool(k, &k->out[0].shape[2], &k->in[0].shape[2]);
  return all_planes(k, &o, avg_slope_planes);
}

/* --- gradients --- */

static const th_op op_max_pool2d, op_max_pool2d_slope, op_max_pool2d_take, op_avg_pool2d,
    op_avg_pool2d_slope;

static th_status vjp_max(const th_vjp *v) {
  v->result[0] = TH_CALL(&op_max_pool2d_slope, v->params, v->inputs[0], v->gradients[0]);
  return th__vjp_check(v);
}

/* Where the largest elements are does not change with x, as far as there is a derivative. */
static th_status vjp_max_slope(const th_vjp *v) {
  if (v->needed[0]) v->result[0] = th_zeros_like(v->inputs[0]);
  if (v->needed[1])
    v->result[1] = TH_CALL(&op_max_pool2d_take, v->params, v->inputs[0], v->gradients[0]);
  return th__vjp_check(v);
}
static th_status vjp_max_take(const th_vjp *v) {
  if (v->needed[0]) v->result[0] = th_zeros_like(v->inputs[0]);
  if (v->needed[1])
    v->result[1] = TH_CALL(&op_max_pool2d_slope, v->params, v->inputs[0], v->gradients[0]);
  return th__vjp_check(v);
}

static th_status vjp_avg(const th_vjp *v) {
  th__window_params p = *(const th__window_params *)v->params;
  for (int d = 0; d < 2; d++) p.size[d] = v->in[0].shape[2 + d];
  v->result[0] = TH_CALL(&op_avg_pool2d_slope, &p, v->gradients[0]);
  return th__vjp_check(v);
}
static th_status vjp_avg_slope(const th_vjp *v) {
  v->result[0] = TH_CALL(&op_avg_pool2d, v->params, v->gradients[0]);
  return th__vjp_check(v);
}

#define POOLING(id, inputs, saved)                                                                 \
  static const th_op op_##id = {.name = #id,                                                       \
                                .in = {inputs, 0},                                                 \
                                .out = {1, 0},                                                     \
                                .saves = saved,                                                    \
                                .dtypes = TH_FLOATS,                                               \
                                .params_size = sizeof(th__window_params),                          \
                                .cost = cost_pool,                                                 \
                                .test = {-2, 2, 1e-4}

POOLING(max_pool2d, 1, TH_SAVE_IN(0)), .infer = infer_pool, .vjp = vjp_max, .cpu = max_cpu
}
;
POOLING(max_pool2d_slope, 2, TH_SAVE_IN(0)), .infer = infer_max_slope, .vjp = vjp_max_slope,
                                             .cpu = max_slope_cpu
}
;
POOLING(max_pool2d_take, 2, TH_SAVE_IN(0)), .infer = infer_max_take, .vjp = vjp_max_take,
                                            .cpu = max_take_cpu
}
;
POOLING(avg_pool2d, 1, 0), .infer = infer_pool, .vjp = vjp_avg, .cpu = avg_cpu
}
;
POOLING(avg_pool2d_slope, 1, 0), .infer = infer_avg_slope, .vjp = vjp_avg_slope,
                                 .cpu = avg_slope_cpu
}
;

/* --- public functions --- */

static th_array *call_pool(const th_op *op, const th_array *x, const th_pool_config *c,
                           const int64_t *dilation) {
  if (c == NULL) return th__fail_null(TH_EINVAL, "%s: no configuration", op->name);
  th__window_params p = {.groups = 1, .count_padding = !c->exclude_padding};
  for (int d = 0; d < 2; d++) {
    p.kernel[d] = c->kernel[d];
    p.stride[d] = c->stride[d] != 0 ? c->stride[d] : c->kernel[d];
    p.padding[d] = c->padding[d];
    p.dilation[d] = dilation != NULL ? dilation[d] : 1;
  }
  if (th__window_check(op->name, &p, p.kernel) != TH_OK) return NULL;
  for (int d = 0; d < 2; d++)
    if (2 * p.padding[d] > p.kernel[d])
      return th__fail_null(TH_EINVAL, "%s: padding %lld is more than half of the kernel's %lld",
                           op->name, (long long)p.padding[d], (long long)p.kernel[d]);
  return TH_CALL(op, &p, x);
}

th_array *th_max_pool2d(const th_array *x, const th_pool_config *config) {
  return call_pool(&op_max_pool2d, x, config, config != NULL ? config->dilation : NULL);
}

th_array *th_avg_pool2d(const th_array *x, const th_pool_config *config) {
  return call_pool(&op_avg_pool2d, x, config, NULL);
}

TH_FAMILY_TABLE(pool);
const th_op *const th__family_pool[] = {&op_max_pool2d, &op_max_pool2d_slope, &op_max_pool2d_take,
                                        &op_avg_pool2d, &op_avg_pool2d_slope, NULL};
