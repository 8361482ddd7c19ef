/* Owns softmax, log_softmax, and cross_entropy with its gradient. Every line is shifted by its maximum first, so no
 * finite input overflows. f32 and halves compute in f32 with the exponential of vector_math.h, f64 with the C library's. */
#include <math.h>
#include <string.h>

#include "engine/base/error.h"
#include "ops/loops/fold.h"
#include "ops/nn/loss.h"
#include "ops/nn/short_lines.h"
#include "ops/op.h"
#include "ops/params.h"
#include "ops/reduce/reduce.h"
#include "ops/loops/vector_math.h"

enum {
  LANES = 32,
  PIECE = 1024,        /* elements of a line worked on at a time */
  TURNED = 16,         /* lines turned around together */
  TURNED_BYTES = 65536 /* at most so many of them */
};

TH__WIDE static void exp_shifted_f32(const float *x, float shift, int64_t n, float *y) {
  for (int64_t i = 0; i < n; i++) y[i] = th__exp_down_f32(x[i] - shift);
}

static void exp_shifted_f64(const double *x, double shift, int64_t n, double *y) {
  for (int64_t i = 0; i < n; i++) y[i] = exp(x[i] - shift);
}

/* The same, and their sum, in lanes that are added while the next exponentials are on their way. */
TH__WIDE static float long_exp_sum_f32(const float *x, float shift, int64_t n, float *restrict y) {
  float lane[LANES] = {0};
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES)
    for (int j = 0; j < LANES; j++) {
      y[i + j] = th__exp_down_f32(x[i + j] - shift);
      lane[j] += y[i + j];
    }
  for (int64_t j = i; j < n; j++) y[j] = th__exp_down_f32(x[j] - shift);
  for (int j = 0; i + j < n; j++) lane[j] += y[i + j];
  for (int width = LANES / 2; width > 0; width /= 2)
    for (int j = 0; j < width; j++) lane[j] += lane[j + width];
  return lane[0];
}

/* Of short lines the lanes would take longer than the exponentials. */
static float exp_sum_f32(const float *x, float shift, int64_t n, float *y) {
  float sum;
  if (n >= 2 * LANES) return long_exp_sum_f32(x, shift, n, y);
  exp_shifted_f32(x, shift, n, y);
  th__fold_of(TH__FOLD_SUM, TH__F32)->fold(y, n, &sum);
  return sum;
}

static double exp_sum_f64(const double *x, double shift, int64_t n, double *y) {
  double sum;
  exp_shifted_f64(x, shift, n, y);
  th__fold_of(TH__FOLD_SUM, TH__F64)->fold(y, n, &sum);
  return sum;
}

/* A line of one element type, seen in pieces of the computing type. */
typedef struct line {
  th_dtype dtype;
  const char *data;
  int64_t n, step; /* bytes between elements come from dtype */
} line;

static const void *piece_of(const line *l, int64_t first, int64_t *n, void *buffer) {
  *n = l->n - first < PIECE ? l->n - first : PIECE;
  const char *from = l->data + first * l->step * (int64_t)th_dtype_size(l->dtype);
  return th__gathered(l->dtype, from, l->step, *n, buffer);
}

/* Where a piece of a line may be made in place, else the buffer. */
static void *place_of(const line *l, char *out, int64_t out_step, int64_t first, void *buffer) {
  bool straight = out_step == 1 && !th__dtype_in(l->dtype, TH_HALVES);
  return straight ? out + first * (int64_t)th_dtype_size(l->dtype) : buffer;
}

/* For each computing type: the maximum and sum of exponentials of a line; its softmax (or logarithm, or cross-entropy slope)
 * written out. `last` keeps the exponentials of a line that is one piece long. */
#define LINES(id, T, type, log_fn)                                                                 \
  TH__WIDE static void scale_##id(const T *e, T factor, int64_t n, T *out) {                       \
    for (int64_t j = 0; j < n; j++) out[j] = e[j] * factor;                                        \
  }                                                                                                \
  TH__WIDE static void shift_##id(const T *x, T max, T log_sum, int64_t n, T *out) {               \
    for (int64_t j = 0; j < n; j++) out[j] = (x[j] - max) - log_sum;                               \
  }                                                                                                \
  static void sums_##id(const line *l, T *max, T *sum, T *last) {                                  \
    const th__fold *larger = th__fold_of(TH__FOLD_MAX, type);                                      \
    T buffer[PIECE], part;                                                                         \
    int64_t n;                                                                                     \
    for (int64_t i = 0; i < l->n; i += PIECE) {                                                    \
      const T *x = piece_of(l, i, &n, buffer);                                                     \
      larger->fold(x, n, &part);                                                                   \
      if (i == 0)                                                                                  \
        *max = part;                                                                               \
      else                                                                                         \
        larger->join(max, &part, 1);                                                               \
    }                                                                                              \
    *sum = 0;                                                                                      \
    for (int64_t i = 0; i < l->n; i += PIECE) {                                                    \
      const T *x = piece_of(l, i, &n, buffer);                                                     \
      *sum += exp_sum_##id(x, *max, n, last);                                                      \
    }                                                                                              \
  }                                                                                                \
  static void softmax_##id(const line *l, char *out, int64_t out_step, T factor, int64_t label) {  \
    T e[PIECE], buffer[PIECE], max, sum;                                                           \
    int64_t n, item = (int64_t)th_dtype_size(l->dtype);                                            \
    sums_##id(l, &max, &sum, e);                                                                   \
    for (int64_t i = 0; i < l->n; i += PIECE) {                                                    \
      const T *x = piece_of(l, i, &n, buffer);                                                     \
      if (l->n > PIECE) exp_shifted_##id(x, max, n, e);                                            \
      T *to = place_of(l, out, out_step, i, buffer);                                               \
      scale_##id(e, 1 / sum, n, to);                                                               \
      if (label >= i && label < i + n) to[label - i] -= 1;                                         \
      if (factor != 1) scale_##id(to, factor, n, to);                                              \
      if (to == buffer) th__scatter(l->dtype, out + i * out_step * item, out_step, n, buffer);     \
    }                                                                                              \
  }                                                                                                \
  static void log_softmax_##id(const line *l, char *out, int64_t out_step) {                       \
    T e[PIECE], buffer[PIECE], max, sum;                                                           \
    int64_t n, item = (int64_t)th_dtype_size(l->dtype);                                            \
    sums_##id(l, &max, &sum, e);                                                                   \
    T log_sum = log_fn(sum);                                                                       \
    for (int64_t i = 0; i < l->n; i += PIECE) {                                                    \
      const T *x = piece_of(l, i, &n, buffer);                                                     \
      T *to = place_of(l, out, out_step, i, buffer);                                               \
      shift_##id(x, max, log_sum, n, to);                                                          \
      if (to == buffer) th__scatter(l->dtype, out + i * out_step * item, out_step, n, buffer);     \
    }                                                                                              \
  }                                                                                                \
  static double loss_##id(const line *l, int64_t label) {                                          \
    T e[PIECE], max, sum, x;                                                                       \
    sums_##id(l, &max, &sum, e);                                                                   \
    int64_t at = label * l->step * (int64_t)th_dtype_size(l->dtype);                               \
    th__gather(l->dtype, l->data + at, 1, 1, &x);                                                  \
    return log((double)sum) - ((double)x - (double)max);                                           \
  }

LINES(f32, float, TH__F32, logf)
LINES(f64, double, TH__F64, log)

/* --- softmax, log_softmax --- */

static th_status infer_softmax(th_infer *io, const void *params) {
  int axis;
  TH_TRY(th__axis(((const th__softmax_params *)params)->axis, io->in[0].ndim, io->op->name, &axis));
  return th__infer_same(io, params);
}

typedef struct run {
  const th_kernel_args *k;
  th_layout lines[2]; /* of input and result: without the axis, as few dimensions as can be */
  int64_t n, in_step, out_step;
  bool log;
} run;

static void one_line(const run *r, const char *x, int64_t step, char *out, int64_t out_step) {
  th_dtype t = r->lines[0].dtype;
  line l = {.dtype = t, .data = x, .n = r->n, .step = step};
  if (r->log && t == TH_F64)
    log_softmax_f64(&l, out, out_step);
  else if (r->log)
    log_softmax_f32(&l, out, out_step);
  else if (t == TH_F64)
    softmax_f64(&l, out, out_step, 1, -1);
  else
    softmax_f32(&l, out, out_step, 1, -1);
}

/* Turns `width` neighbouring lines around, so that memory is walked as it lies. */
static void turned_lines(const run *r, const char *x, int64_t x_side, char *out, int64_t out_side,
                         int64_t width) {
  th__word room[TURNED_BYTES / sizeof(th__word)];
  size_t size = th_dtype_size(r->lines[0].dtype);
  int64_t item = (int64_t)size, n = r->n;
  char *turned = (char *)room;
  for (int64_t i = 0; i < n; i++)
    th__copy_run(size, turned + i * item, n, x + i * r->in_step * item, x_side, width);
  for (int64_t j = 0; j < width; j++) {
    char *own = turned + j * n * item; /* at most one piece long: read before it is written */
    one_line(r, own, 1, own, 1);
  }
  for (int64_t i = 0; i < n; i++)
    th__copy_run(size, out + i * r->out_step * item, out_side, turned + i * item, n, width);
}

/* Where line i lies, of the input or the result. */
static char *line_at(const run *r, int which, int64_t i) {
  const th_layout *l = &r->lines[which];
  const void *base = which == 0 ? r->k->in_data[0] : r->k->out_data[0];
  return (char *)(uintptr_t)base +
         th__offset_at(i, l->ndim, l->shape, l->strides) * (int64_t)th_dtype_size(l->dtype);
}

/* How many lines from i on, at most `most`, lie one side stride after the other. */
static int64_t beside(const run *r, int64_t i, int64_t most) {
  const th_layout *l = &r->lines[0];
  if (l->ndim == 0) return 1;
  int64_t left = l->shape[l->ndim - 1] - i % l->shape[l->ndim - 1];
  return left < most ? left : most;
}

/* Bytes from a line to the next beside it. */
static int64_t side(const run *r, int which) {
  const th_layout *l = &r->lines[which];
  return l->ndim == 0 ? 0 : l->strides[l->ndim - 1] * (int64_t)th_dtype_size(l->dtype);
}

static bool is_short(th_dtype t, int64_t n) { return t != TH_F64 && n <= TH__SHORT; }

static void short_lines(const run *r, int64_t first, int64_t last) {
  th_dtype t = r->lines[0].dtype;
  th__short_lines s;
  const char *x[TH__BESIDE];
  char *out[TH__BESIDE];
  for (int64_t i = first; i < last; i += s.lines) {
    int lines = (int)beside(r, i, last - i < TH__BESIDE ? last - i : TH__BESIDE);
    x[0] = line_at(r, 0, i);
    out[0] = line_at(r, 1, i);
    for (int w = 1; w < lines; w++) {
      x[w] = x[w - 1] + side(r, 0);
      out[w] = out[w - 1] + side(r, 1);
    }
    th__short_lines_take(&s, t, x, r->in_step, r->n, lines);
    if (r->log)
      th__short_log_softmax(&s);
    else
      th__short_softmax(&s, NULL, 1);
    th__short_lines_put(&s, r->log ? s.x : s.e, t, out, r->out_step);
  }
}

static void softmax_lines(int64_t first, int64_t last, void *arg) {
  const run *r = arg;
  int64_t item = (int64_t)th_dtype_size(r->lines[0].dtype), width;
  if (is_short(r->lines[0].dtype, r->n)) {
    short_lines(r, first, last);
    return;
  }
  bool turn = r->n <= PIECE && r->n * TURNED * item <= TURNED_BYTES &&
              (r->in_step != 1 || r->out_step != 1);
  for (int64_t i = first; i < last; i += width) {
    const char *x = line_at(r, 0, i);
    char *out = line_at(r, 1, i);
    width = turn ? beside(r, i, last - i < TURNED ? last - i : TURNED) : 1;
    if (width > 1)
      turned_lines(r, x, side(r, 0) / item, out, side(r, 1) / item, width);
    else
      one_line(r, x, r->in_step, out, r->out_step);
  }
}

static th_status softmax(const th_kernel_args *k, bool log) {
  int axis = ((const th__softmax_params *)k->params)->axis;
  if (axis < 0) axis += k->in[0].ndim;
  run r = {.k = k, .n = k->in[0].shape[axis], .log = log};
  r.lines[0] = th__layout_part(&k->in[0], axis, 1, false);
  r.lines[1] = th__layout_part(&k->out[0], axis, 1, false);
  r.lines[0].ndim = r.lines[1].ndim = th__layouts_collapse(r.lines, 2);
  r.in_step = k->in[0].strides[axis];
  r.out_step = k->out[0].strides[axis];
  if (r.n > 0)
    th_parallel_for(k->context, th__layout_size(&r.lines[0]), th__grain(4 * r.n), softmax_lines,
                    &r);
  return TH_OK;
}

static th_status softmax_cpu(const th_kernel_args *k) { return softmax(k, false); }
static th_status log_softmax_cpu(const th_kernel_args *k) { return softmax(k, true); }

static th_status give(const th_vjp *v, th_scope scope, th_array *result) {
  v->result[0] = th_keep(result);
  th_scope_end(scope);
  return th__vjp_check(v);
}

/* y g - y sum(y g) */
static th_status vjp_softmax(const th_vjp *v) {
  int axis = ((const th__softmax_params *)v->params)->axis;
  th_scope scope = th_scope_begin();
  th_array *y = v->outputs[0], *yg = th_multiply(y, v->gradients[0]);
  th_array *sum = th_sum(yg, &axis, 1, true);
  return give(v, scope, th_subtract(yg, th_multiply(y, sum)));
}

/* g - e^y sum(g) */
static th_status vjp_log_softmax(const th_vjp *v) {
  int axis = ((const th__softmax_params *)v->params)->axis;
  th_scope scope = th_scope_begin();
  th_array *sum = th_sum(v->gradients[0], &axis, 1, true);
  th_array *spread = th_multiply(th_exp(v->outputs[0]), sum);
  return give(v, scope, th_subtract(v->gradients[0], spread));
}

static const th_op op_softmax = {
    .name = "softmax",
    .in = {1, 0},
    .out = {1, 0},
    .saves = TH_SAVE_OUT(0),
    .dtypes = TH_FLOATS,
    .params_size = sizeof(th__softmax_params),
    .infer = infer_softmax,
    .vjp = vjp_softmax,
    .cpu = softmax_cpu,
    .test = {-3, 3, 1e-4},
};
th_array *th_softmax(const th_array *a, int axis) {
  return TH_CALL(&op_softmax, &(th__softmax_params){axis}, a);
}

static const th_op op_log_softmax = {
    .name = "log_softmax",
    .in = {1, 0},
    .out = {1, 0},
    .saves = TH_SAVE_OUT(0),
    .dtypes = TH_FLOATS,
    .params_size = sizeof(th__softmax_params),
    .infer = infer_softmax,
    .vjp = vjp_log_softmax,
    .cpu = log_softmax_cpu,
    .test = {-3, 3, 1e-4},
};
th_array *th_log_softmax(const th_array *a, int axis) {
  return TH_CALL(&op_log_softmax, &(th__softmax_params){axis}, a);
}

/* --- cross_entropy --- */

static th_status check_cross_entropy(th_infer *io) {
  const th_layout *x = &io->in[0], *labels = &io->in[1];
  char a[TH__SHAPE_TEXT], b[TH__SHAPE_TEXT];
  if (!th__dtype_in(x->dtype, TH_FLOATS) || !th__dtype_in(labels->dtype, TH_INTS))
    return th__fail(TH_EDTYPE, "%s: logits %s and labels %s; floats and integers are wanted",
                    io->op->name, th_dtype_name(x->dtype), th_dtype_name(labels->dtype));
  if (x->ndim != 2 || labels->ndim != 1 || labels->shape[0] != x->shape[0])
    return th__fail(TH_ESHAPE, "%s: logits %s and labels %s; (n, classes) and (n) are wanted",
                    io->op->name, th__shape_text(x->shape, x->ndim, a, sizeof a),
                    th__shape_text(labels->shape, labels->ndim, b, sizeof b));
  io->workspace = x->shape[0] * 16;
  return TH_OK;
}

static th_status infer_cross_entropy(th_infer *io, const void *params) {
  TH_TRY(check_cross_entropy(io));
  io->out[0].dtype = io->in[0].dtype;
  return TH_OK;
}

static th_status infer_cross_entropy_slope(th_infer *io, const void *params) {
  TH_TRY(check_cross_entropy(io));
  if (io->in[2].ndim != 0 || io->in[2].dtype != io->in[0].dtype)
    return th__fail(TH_ESHAPE, "%s: the gradient must be 0-d of the logits' type", io->op->name);
  return th__infer_same(io, params);
}

typedef struct entropy {
  const th_kernel_args *k;
  int64_t *labels; /* in the workspace, checked */
  double *losses;  /* behind them */
  double factor;
} entropy;

/* Takes the labels; the first one out of range fails the task. */
static th_status take_labels(entropy *e) {
  const th_kernel_args *k = e->k;
  int64_t n = k->in[0].shape[0], classes = k->in[0].shape[1];
  e->labels = k->workspace;
  e->losses = (double *)(e->labels + n);
  th__gather_index(k->in[1].dtype, k->in_data[1], k->in[1].strides[0], n, e->labels);
  for (int64_t i = 0; i < n; i++)
    if (e->labels[i] < 0 || e->labels[i] >= classes)
      return th_context_fail(k->context, TH_EINVAL,
                             "%s: label %lld at row %lld is outside [0, %lld)", k->op->name,
                             (long long)e->labels[i], (long long)i, (long long)classes);
  return TH_OK;
}

static line row_of(const th_kernel_args *k, int64_t row) {
  const th_layout *x = &k->in[0];
  int64_t item = (int64_t)th_dtype_size(x->dtype);
  return (line){.dtype = x->dtype,
                .data = (const char *)k->in_data[0] + row * x->strides[0] * item,
                .n = x->shape[1],
                .step = x->strides[1]};
}

/* Takes the short rows from i on, as many as fit before last. */
static void take_short_rows(const entropy *e, int64_t i, int64_t last, th__short_lines *s) {
  const char *x[TH__BESIDE];
  int rows = last - i < TH__BESIDE ? (int)(last - i) : TH__BESIDE;
  line l = row_of(e->k, i);
  for (int w = 0; w < rows; w++) x[w] = row_of(e->k, i + w).data;
  th__short_lines_take(s, l.dtype, x, l.step, l.n, rows);
}

static void short_losses(const entropy *e, int64_t first, int64_t last) {
  th__short_lines s;
  for (int64_t i = first; i < last; i += s.lines) {
    take_short_rows(e, i, last, &s);
    for (int w = 0; w < s.lines; w++) {
      float x = s.x[e->labels[i + w]][w];
      e->losses[i + w] = log((double)s.sum[w]) - ((double)x - (double)s.max[w]);
    }
  }
}

/* Where row i of the slope lies. */
static char *slope_row(const entropy *e, int64_t i) {
  const th_layout *x = &e->k->in[0];
  return (char *)e->k->out_data[0] + i * x->shape[1] * (int64_t)th_dtype_size(x->dtype);
}

static void short_slopes(const entropy *e, int64_t first, int64_t last) {
  th__short_lines s;
  char *out[TH__BESIDE];
  for (int64_t i = first; i < last; i += s.lines) {
    take_short_rows(e, i, last, &s);
    for (int w = 0; w < s.lines; w++) out[w] = slope_row(e, i + w);
    th__short_softmax(&s, e->labels + i, (float)e->factor);
    th__short_lines_put(&s, s.e, e->k->in[0].dtype, out, 1);
  }
}

static void loss_rows(int64_t first, int64_t last, void *arg) {
  const entropy *e = arg;
  if (is_short(e->k->in[0].dtype, e->k->in[0].shape[1])) {
    short_losses(e, first, last);
    return;
  }
  for (int64_t i = first; i < last; i++) {
    line l = row_of(e->k, i);
    e->losses[i] = l.dtype == TH_F64 ? loss_f64(&l, e->labels[i]) : loss_f32(&l, e->labels[i]);
  }
}

static th_status cross_entropy_cpu(const th_kernel_args *k) {
  entropy e = {.k = k};
  int64_t n = k->in[0].shape[0];
  TH_TRY(take_labels(&e));
  th_parallel_for(k->context, n, th__grain(4 * k->in[0].shape[1]), loss_rows, &e);
  const th__fold *plus = th__fold_of(TH__FOLD_SUM, TH__F64);
  double sum = 0, part;
  for (int64_t i = 0; i < n; i += TH__FOLD_LEAF) {
    plus->fold(e.losses + i, n - i < TH__FOLD_LEAF ? n - i : TH__FOLD_LEAF, &part);
    sum += part;
  }
  double mean = sum / (double)n;
  th__scatter_f64(k->out[0].dtype, k->out_data[0], 1, 1, &mean);
  return TH_OK;
}

static void slope_rows(int64_t first, int64_t last, void *arg) {
  const entropy *e = arg;
  if (is_short(e->k->in[0].dtype, e->k->in[0].shape[1])) {
    short_slopes(e, first, last);
    return;
  }
  for (int64_t i = first; i < last; i++) {
    line l = row_of(e->k, i);
    char *out = slope_row(e, i);
    if (l.dtype == TH_F64)
      softmax_f64(&l, out, 1, e->factor, e->labels[i]);
    else
      softmax_f32(&l, out, 1, (float)e->factor, e->labels[i]);
  }
}

static th_status cross_entropy_slope_cpu(const th_kernel_args *k) {
  entropy e = {.k = k};
  int64_t n = k->in[0].shape[0];
  TH_TRY(take_labels(&e));
  th__gather_f64(k->in[2].dtype, k->in_data[2], 1, 1, &e.factor);
  e.factor /= (double)n;
  th_parallel_for(k->context, n, th__grain(4 * k->in[0].shape[1]), slope_rows, &e);
  return TH_OK;
}

/* With p = softmax, u = the incoming gradient: d logits = g/n (p u - p sum(p u)), d g = sum(u (p - one hot)) / n. */
static th_status vjp_cross_entropy_slope(const th_vjp *v) {
  int row = 1;
  double n = (double)v->in[0].shape[0];
  th_scope scope = th_scope_begin();
  th_array *u = v->gradients[0], *p = th_softmax(v->inputs[0], 1);
  if (v->needed[0]) {
    th_array *pu = th_multiply(p, u);
    th_array *inner = th_subtract(pu, th_multiply(p, th_sum(pu, &row, 1, true)));
    th_array *share = th_divide_scalar(th__widened(v->inputs[2]), n);
    v->result[0] = th_keep(th__narrowed(th_multiply(inner, share), v->in[0].dtype));
  }
  if (v->needed[2]) {
    th_array *hot = th_one_hot(v->inputs[1], v->in[0].shape[1], v->in[0].dtype);
    th_array *terms = th__widened(th_multiply(u, th_subtract(p, hot)));
    th_array *sum = th_sum(terms, NULL, 0, false);
    v->result[2] = th_keep(th__narrowed(th_divide_scalar(sum, n), v->in[2].dtype));
  }
  th_scope_end(scope);
  return th__vjp_check(v);
}

static const th_op op_cross_entropy_slope = {
    .name = "cross_entropy_slope",
    .in = {3, 0},
    .out = {1, 0},
    .saves = TH_SAVE_IN(0) | TH_SAVE_IN(1) | TH_SAVE_IN(2),
    .infer = infer_cross_entropy_slope,
    .vjp = vjp_cross_entropy_slope,
    .cpu = cross_entropy_slope_cpu,
    .test = {-3, 3, 1e-4},
};

static th_status vjp_cross_entropy(const th_vjp *v) {
  v->result[0] =
      TH_CALL(&op_cross_entropy_slope, NULL, v->inputs[0], v->inputs[1], v->gradients[0]);
  return th__vjp_check(v);
}

static const th_op op_cross_entropy = {
    .name = "cross_entropy",
    .in = {2, 0},
    .out = {1, 0},
    .saves = TH_SAVE_IN(0) | TH_SAVE_IN(1),
    .infer = infer_cross_entropy,
    .vjp = vjp_cross_entropy,
    .cpu = cross_entropy_cpu,
    .test = {-3, 3, 1e-4},
};
th_array *th_cross_entropy(const th_array *logits, const th_array *labels) {
  if (logits != NULL && labels != NULL && th__dtype_in(labels->layout.dtype, TH_FLOATS))
    return th__cross_entropy_soft(logits, labels);
  return TH_CALL(&op_cross_entropy, NULL, logits, labels);
}

TH_FAMILY_TABLE(softmax);
const th_op *const th__family_softmax[] = {&op_softmax, &op_log_softmax, &op_cross_entropy,
                                           &op_cross_entropy_slope, NULL};
