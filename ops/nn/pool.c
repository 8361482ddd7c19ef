/* Owns max_pool2d and avg_pool2d with their gradients, which look for the largest element of a window again instead of keeping
 * its place. Planes are worked on one by one, windows of a plane in order, so sums in the gradients have one order. */
#include <math.h>
#include <string.h>

#include "engine/base/error.h"
#include "ops/loops/loop.h"
#include "ops/nn/pool_kernel.h"
#include "ops/loops/runs.h"
#include "ops/nn/window.h"

enum {
  PIECE = 256,        /* windows of a row worked on at a time */
  NOWHERE = INT32_MIN /* place of the largest element of a window that has none */
};

/* --- inference --- */

static th_status want_planes(const th_infer *io) {
  const th_layout *x = &io->in[0];
  if (x->ndim != 4) return th__window_refuse(io, "(n, c, h, w) is wanted");
  if (x->shape[2] > INT32_MAX || x->shape[3] > INT32_MAX || x->shape[2] * x->shape[3] > INT32_MAX)
    return th__window_refuse(io, "a plane has more than 2^31 - 1 elements");
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

/* Element [0, 0] of a plane of an input, and its strides. */
static const char *plane_of(const pool *o, int input, int64_t plane, int64_t *row, int64_t *step) {
  const th_layout *l = &o->k->in[input];
  *row = l->strides[2];
  *step = l->strides[3];
  int64_t at = plane / o->channels * l->strides[0] + plane % o->channels * l->strides[1];
  return (const char *)o->k->in_data[input] + at * (int64_t)th_dtype_size(l->dtype);
}

/* Windows j of [first, last) whose tap at column x0 + j stride is inside of the input. */
static inline void clip_columns(const pool *o, int64_t x0, int64_t *first, int64_t *last) {
  int64_t stride = o->p->stride[1], room = o->size[1] - 1 - x0;
  int64_t least = x0 < 0 ? (-x0 + stride - 1) / stride : 0, most = room / stride + 1;
  if (room < 0) most = 0;
  if (*first < least) *first = least;
  if (*last > most) *last = most;
}

/* Loops with the usual steps written out become vectors. */
#define BY_STEP(step, LOOP)                                                                        \
  do {                                                                                             \
    if ((step) == 1)                                                                               \
      LOOP(1)                                                                                      \
    else if ((step) == 2)                                                                          \
      LOOP(2)                                                                                      \
    else                                                                                           \
      LOOP(step)                                                                                   \
  } while (0)

/* For each element type: the largest of the windows of a row with their places, and what is made of them. A row is worked on in
 * pieces, tap by tap. A place is that of the window's first column plus j stride, so that j need not be looked at. */
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
  TH__WIDE static void larger_##id(const char *from, int64_t step, int64_t n, T *restrict most) {  \
    BY_STEP(step, LARGER_##id);                                                                    \
  }                                                                                                \
  TH__WIDE static void largest_##id(const char *from, int64_t step, int64_t n, int32_t here,       \
                                    T *restrict most, int32_t *restrict place) {                   \
    BY_STEP(step, LARGEST_##id);                                                                   \
  }                                                                                                \
  /* Windows [j0, j0 + n) of row i; place may be NULL. */                                          \
  static void windows_##id(const pool *o, const view_##id *x, int64_t i, int64_t j0, int64_t n,    \
                           T *most, int32_t *place) {                                              \
    int64_t y0, y1, y, size = sizeof(th__s_##id), step = o->p->stride[1] * x->step;                \
    clip_window(o, 0, i, &y0, &y1, &y);                                                            \
    for (int64_t j = 0; j < n; j++) most[j] = (T)-INFINITY;                                        \
    for (int64_t j = 0; j < n && place != NULL; j++) place[j] = NOWHERE;                           \
    for (; y0 < y1; y0++, y += o->p->dilation[0])                                                  \
      for (int64_t q = 0; q < o->p->kernel[1]; q++) {                                              \
        int64_t first = j0, last = j0 + n, x0 = q * o->p->dilation[1] - o->p->padding[1];          \
        clip_columns(o, x0, &first, &last);                                                        \
        if (first >= last) continue;                                                               \
        const char *from = x->data + (y * x->row + x0 * x->step + first * step) * size;            \
        if (place == NULL)                                                                         \
          larger_##id(from, step, last - first, most + first - j0);                                \
        else                                                                                       \
          largest_##id(from, step, last - first, (int32_t)(y * o->size[1] + x0),                   \
                       most + first - j0, place + first - j0);                                     \
      }                                                                                            \
  }                                                                                                \
  static void max_plane_##id(const pool *o, int64_t plane) {                                       \
    view_##id x = view_of_##id(o, 0, plane);                                                       \
    th__s_##id *out = (th__s_##id *)o->k->out_data[0] + plane * o->count[0] * o->count[1];         \
    T most[PIECE];                                                                                 \
    FOR_WINDOWS(i, j, n) {                                                                         \
      windows_##id(o, &x, i, j, n, most, NULL);                                                    \
      for (int64_t k = 0; k < n; k++) th__put_##id(out++, most[k]);                                \
    }                                                                                              \
  }                                                                                                \
  static void take_plane_##id(const pool *o, int64_t plane) {                                      \
    view_##id x = view_of_##id(o, 0, plane), u = view_of_##id(o, 1, plane);                        \
    th__s_##id *out = (th__s_##id *)o->k->out_data[0] + plane * o->count[0] * o->count[1];         \
    T most[PIECE];                                                                                 \
    int32_t place[PIECE];                                                                          \
    FOR_WINDOWS(i, j, n) {                                                                         \
      windows_##id(o, &x, i, j, n, most, place);                                                   \
      for (int64_t k = 0; k < n; k++) {                                                            \
        int64_t at = place[k] + (j + k) * o->p->stride[1];                                         \
        T value = place[k] == NOWHERE ? 0 : at_##id(&u, at / o->size[1], at % o->size[1]);         \
        th__put_##id(out++, value);                                                                \
      }                                                                                            \
    }                                                                                              \
  }                                                                                                \
  static void max_slope_plane_##id(const pool *o, int64_t plane, void *to) {                       \
    view_##id x = view_of_##id(o, 0, plane), g = view_of_##id(o, 1, plane);                        \
    T *sums = to, most[PIECE];                                                                     \
    int32_t place[PIECE];                                                                          \
    memset(sums, 0, (size_t)(o->size[0] * o->size[1]) * sizeof(T));                                \
    FOR_WINDOWS(i, j, n) {                                                                         \
      windows_##id(o, &x, i, j, n, most, place);                                                   \
      for (int64_t k = 0; k < n; k++)                                                              \
        if (place[k] != NOWHERE)                                                                   \
          sums[place[k] + (j + k) * o->p->stride[1]] += at_##id(&g, i, j + k);                     \
    }                                                                                              \
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

#define LARGER(id, step)                                                                           \
  for (int64_t j = 0; j < n; j++) {                                                                \
    th__c_##id v = th__get_##id(from + j * (step) * (int64_t)sizeof(th__s_##id)), m = most[j];     \
    most[j] = ((v > m) | (v != v)) ? v : m;                                                        \
  }
/* The first of equal ones, and the first NaN. */
#define LARGEST(id, step)                                                                          \
  for (int64_t j = 0; j < n; j++) {                                                                \
    th__c_##id v = th__get_##id(from + j * (step) * (int64_t)sizeof(th__s_##id)), m = most[j];     \
    int larger = (v > m) | ((v != v) & (m == m)) | (place[j] == NOWHERE);                          \
    most[j] = larger ? v : m;                                                                      \
    place[j] = larger ? here : place[j];                                                           \
  }
#define LARGER_f32(step)   LARGER(f32, step)
#define LARGER_f64(step)   LARGER(f64, step)
#define LARGER_f16(step)   LARGER(f16, step)
#define LARGER_bf16(step)  LARGER(bf16, step)
#define LARGEST_f32(step)  LARGEST(f32, step)
#define LARGEST_f64(step)  LARGEST(f64, step)
#define LARGEST_f16(step)  LARGEST(f16, step)
#define LARGEST_bf16(step) LARGEST(bf16, step)

/* Windows of a plane, in pieces of a row. */
#define FOR_WINDOWS(i, j, n)                                                                       \
  for (int64_t i = 0; i < o->count[0]; i++)                                                        \
    for (int64_t j = 0, n; j < o->count[1] && (n = piece_from(o, j)) > 0; j += n)
static inline int64_t piece_from(const pool *o, int64_t j) {
  return o->count[1] - j < PIECE ? o->count[1] - j : PIECE;
}

POOL(f32, float)
POOL(f64, double)
POOL(f16, float)
POOL(bf16, float)

/* --- windows of 2 x 2 that do not overlap --- */

static bool in_pairs(const pool *o) {
  const th__window_params *p = o->p;
  bool pairs = !th__dtype_in(o->dtype, TH_HALVES) && o->count[1] >= TH__POOL_PAIRS;
  for (int d = 0; d < 2; d++)
    pairs = pairs && p->kernel[d] == 2 && p->stride[d] == 2 && p->padding[d] == 0 &&
            p->dilation[d] == 1;
  for (int i = 0; i < o->k->n_in; i++) pairs = pairs && o->k->in[i].strides[3] == 1;
  return pairs;
}

static void pair_planes(int64_t first, int64_t last, void *arg) {
  const pool *o = arg;
  int64_t n = o->count[0] * o->count[1], row, step;
  for (int64_t plane = first; plane < last; plane++) {
    const void *x = plane_of(o, 0, plane, &row, &step);
    if (o->dtype == TH_F64)
      th__pool_max_f64(x, row, o->count[0], o->count[1], (double *)o->k->out_data[0] + plane * n);
    else
      th__pool_max_f32(x, row, o->count[0], o->count[1], (float *)o->k->out_data[0] + plane * n);
  }
}

static void pair_slope_planes(int64_t first, int64_t last, void *arg) {
  const pool *o = arg;
  int64_t h = o->size[0], w = o->size[1], row, g_row, step, item = (int64_t)th_dtype_size(o->dtype);
  for (int64_t plane = first; plane < last; plane++) {
    const void *x = plane_of(o, 0, plane, &row, &step), *g = plane_of(o, 1, plane, &g_row, &step);
    char *out = (char *)o->k->out_data[0] + plane * h * w * item;
    if (h % 2 != 0 || w % 2 != 0) memset(out, 0, (size_t)(h * w * item));
    if (o->dtype == TH_F64)
      th__pool_slope_f64(x, row, g, g_row, o->count[0], o->count[1], (double *)(void *)out, w);
    else
      th__pool_slope_f32(x, row, g, g_row, o->count[0], o->count[1], (float *)(void *)out, w);
  }
}

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
  return all_planes(k, &o, in_pairs(&o) ? pair_planes : max_planes);
}
static th_status max_slope_cpu(const th_kernel_args *k) {
  pool o = make_pool(k, &k->in[0].shape[2], &k->in[1].shape[2]);
  return all_planes(k, &o, in_pairs(&o) ? pair_slope_planes : max_slope_planes);
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
