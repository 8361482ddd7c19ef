/* Owns layer_norm, rms_norm and batch_norm with their gradients by x. All three are one computation over lines: what is reduced
 * of x makes a line, weight and bias are broadcast to x. rms_norm leaves the mean out. A line of several pieces is read again
 * for each step; sums of pieces are joined in double. */
#include <math.h>
#include <string.h>

#include "engine/base/error.h"
#include "ops/nn/norm_kernel.h"
#include "ops/op.h"
#include "ops/params_nn.h"
#include "ops/loops/runs.h"

enum { PIECE = 2048 }; /* elements of a line worked on at a time */

/* --- inference --- */

/* Inputs from `first` on broadcast to x. */
static th_status check_companions(const th_infer *io, int first) {
  const th_layout *x = &io->in[0];
  for (int i = first; i < io->n_in; i++) {
    th_layout grown;
    if (io->in[i].dtype != x->dtype)
      return th__fail(TH_EDTYPE, "%s: element types %s and %s differ", io->op->name,
                      th_dtype_name(x->dtype), th_dtype_name(io->in[i].dtype));
    TH_TRY(th__layout_broadcast(&io->in[i], x->shape, x->ndim, &grown, io->op->name));
  }
  return TH_OK;
}

/* x, weight, bias -> y, and for the running figures of batch_norm mean and variance. */
static th_status infer_norm(th_infer *io, const void *params) {
  const th__norm_params *p = params;
  const th_layout *x = &io->in[0];
  TH_TRY(check_companions(io, 1));
  TH_TRY(th__infer_same(io, params));
  for (int j = 1; j < io->n_out; j++) {
    io->out[j].dtype = x->dtype;
    for (int d = 0; d < x->ndim; d++)
      if (!(p->axes >> d & 1)) io->out[j].shape[io->out[j].ndim++] = x->shape[d];
  }
  return TH_OK;
}

/* x, g, weight -> gradient by x. */
static th_status infer_norm_slope(th_infer *io, const void *params) {
  TH_TRY(check_companions(io, 1));
  if (!th__layout_same_shape(&io->in[0], &io->in[1]))
    return th__fail(TH_ESHAPE, "%s: input and gradient have different shapes", io->op->name);
  return th__infer_same(io, params);
}

static th_cost cost_norm(const th_infer *io, const void *params) {
  th_cost cost = {.flops = 8 * th__layout_size(&io->in[0])};
  for (int i = 0; i < io->n_in; i++) cost.bytes += th__layout_bytes(&io->in[i]);
  for (int j = 0; j < io->n_out; j++) cost.bytes += th__layout_bytes(&io->out[j]);
  return cost;
}

/* --- lines --- */

enum {
  X,
  FIRST,
  SECOND,
  RESULT,
  OPERANDS
}; /* FIRST and SECOND: weight and bias, or g and weight */

/* An operand split into what tells lines apart and the line. */
typedef struct operand {
  bool there;
  th_layout kept, line;
  char *data;
} operand;

typedef struct norm {
  const th_kernel_args *k;
  const th__norm_params *p;
  operand at[OPERANDS];
  int64_t lines, n;
  th_dtype dtype;
  th_layout figures[2]; /* outputs mean and variance */
} norm;

static operand make_operand(const th_layout *l, void *data, const th_layout *x, uint32_t axes) {
  operand o = {.there = true, .data = data};
  o.kept.dtype = o.line.dtype = l->dtype;
  for (int d = 0; d < x->ndim; d++) {
    int own = d - (x->ndim - l->ndim);
    bool spread = own < 0 || (l->shape[own] == 1 && x->shape[d] != 1);
    th_layout *part = axes >> d & 1 ? &o.line : &o.kept;
    part->shape[part->ndim] = x->shape[d];
    part->strides[part->ndim++] = spread ? 0 : l->strides[own];
  }
  o.line.ndim = th__layouts_collapse(&o.line, 1);
  o.kept.ndim = th__layouts_collapse(&o.kept, 1);
  return o;
}

static norm make_norm(const th_kernel_args *k) {
  norm m = {.k = k, .p = k->params, .dtype = k->in[0].dtype};
  const th_layout *x = &k->in[0];
  for (int i = 0; i < k->n_in; i++) m.at[i] = make_operand(&k->in[i], k->in_data[i], x, m.p->axes);
  m.at[RESULT] = make_operand(&k->out[0], k->out_data[0], x, m.p->axes);
  m.n = m.lines = 1;
  for (int d = 0; d < x->ndim; d++) *(m.p->axes >> d & 1 ? &m.n : &m.lines) *= x->shape[d];
  return m;
}

/* Where line i of an operand begins. */
static char *line_at(const operand *o, int64_t i) {
  return o->data + th__offset_at(i, o->kept.ndim, o->kept.shape, o->kept.strides) *
                       (int64_t)th_dtype_size(o->line.dtype);
}

static const void *piece_of(const norm *m, int which, int64_t i, int64_t first, int64_t n,
                            void *room) {
  const operand *o = &m->at[which];
  return o->there ? th__gathered_range(&o->line, line_at(o, i), first, n, room) : NULL;
}

/* Elements [first, first + n) of a line of the result. */
static void put_piece(const norm *m, int64_t i, int64_t first, int64_t n, const void *from) {
  const th_layout *line = &m->at[RESULT].line;
  char *to = line_at(&m->at[RESULT], i);
  int64_t item = (int64_t)th_dtype_size(m->dtype),
          size = th__compute_size(th__compute_of(m->dtype));
  th__runs walk;
  th__runs_begin(&walk, &line, 1, first, first + n);
  for (const char *x = from; th__runs_next(&walk); x += walk.run * size)
    th__scatter(m->dtype, to + walk.offset[0] * item, walk.step[0], walk.run, x);
}

/* Where a piece of the result may be made in place; NULL if it has to be put there. */
static void *place_of(const norm *m, int64_t i, int64_t first) {
  const th_layout *line = &m->at[RESULT].line;
  if (th__dtype_in(m->dtype, TH_HALVES) || line->ndim > 1) return NULL;
  if (line->ndim == 1 && line->strides[0] != 1) return NULL;
  return line_at(&m->at[RESULT], i) + first * (int64_t)th_dtype_size(m->dtype);
}

/* A piece of every operand of line i. */
#define FOR_PIECES(first, count)                                                                   \
  for (int64_t first = 0, count;                                                                   \
       first < m->n && (count = m->n - first < PIECE ? m->n - first : PIECE) > 0; first += PIECE)

#define LINES(id, T)                                                                                \
  /* The mean of a line (0 if it is left out), its variance around it, and what it is scaled by. */ \
  static void figures_##id(const norm *m, int64_t i, T *shift, T *factor, double *variance) {       \
    T room[PIECE];                                                                                  \
    double sum = 0;                                                                                 \
    FOR_PIECES(first, n) {                                                                          \
      if (!m->p->center) break;                                                                     \
      sum += (double)th__norm_sum_##id(piece_of(m, X, i, first, n, room), n);                       \
    }                                                                                               \
    *shift = (T)(sum / (double)m->n);                                                               \
    sum = 0;                                                                                        \
    FOR_PIECES(first, n)                                                                            \
    sum += (double)th__norm_squares_##id(piece_of(m, X, i, first, n, room), n, *shift);             \
    *variance = sum / (double)m->n;                                                                 \
    *factor = (T)(1 / sqrt(*variance + m->p->eps));                                                 \
  }                                                                                                 \
  static void norm_line_##id(const norm *m, int64_t i) {                                            \
    T room[4][PIECE], shift, factor;                                                                \
    double variance;                                                                                \
    figures_##id(m, i, &shift, &factor, &variance);                                                 \
    FOR_PIECES(first, n) {                                                                          \
      T *out = place_of(m, i, first);                                                               \
      th__norm_apply_##id(piece_of(m, X, i, first, n, room[0]), n, shift, factor,                   \
                          piece_of(m, FIRST, i, first, n, room[1]),                                 \
                          piece_of(m, SECOND, i, first, n, room[2]), out ? out : room[3]);          \
      if (!out) put_piece(m, i, first, n, room[3]);                                                 \
    }                                                                                               \
    double mean = (double)shift;                                                                    \
    int64_t item = (int64_t)th_dtype_size(m->dtype);                                                \
    for (int j = 1; j < m->k->n_out; j++)                                                           \
      th__scatter_f64(m->dtype, (char *)m->k->out_data[j] + i * item, 1, 1,                         \
                      j == 1 ? &mean : &variance);                                                  \
  }                                                                                                 \
  static void slope_line_##id(const norm *m, int64_t i) {                                           \
    T room[4][PIECE], shift, factor, part, dot;                                                     \
    double variance, sum = 0, product = 0;                                                          \
    figures_##id(m, i, &shift, &factor, &variance);                                                 \
    FOR_PIECES(first, n) {                                                                          \
      th__norm_dots_##id(                                                                           \
          piece_of(m, X, i, first, n, room[0]), piece_of(m, FIRST, i, first, n, room[1]),           \
          piece_of(m, SECOND, i, first, n, room[2]), n, shift, factor, &part, &dot);                \
      sum += (double)part;                                                                          \
      product += (double)dot;                                                                       \
    }                                                                                               \
    const T mean = (T)(m->p->center ? sum / (double)m->n : 0);                                      \
    dot = (T)(product / (double)m->n);                                                              \
    FOR_PIECES(first, n) {                                                                          \
      T *out = place_of(m, i, first);                                                               \
      th__norm_slope_##id(piece_of(m, X, i, first, n, room[0]),                                     \
                          piece_of(m, FIRST, i, first, n, room[1]),                                 \
                          piece_of(m, SECOND, i, first, n, room[2]), n, shift, factor, mean, dot,   \
                          out ? out : room[3]);                                                     \
      if (!out) put_piece(m, i, first, n, room[3]);                                                 \
    }                                                                                               \
  }
LINES(f32, float)
LINES(f64, double)

static void norm_lines(int64_t first, int64_t last, void *arg) {
  const norm *m = arg;
  for (int64_t i = first; i < last; i++) {
    if (m->dtype == TH_F64)
      norm_line_f64(m, i);
    else
      norm_line_f32(m, i);
  }
}

static void slope_lines(int64_t first, int64_t last, void *arg) {
  const norm *m = arg;
  for (int64_t i = first; i < last; i++) {
    if (m->dtype == TH_F64)
      slope_line_f64(m, i);
    else
      slope_line_f32(m, i);
  }
}

static th_status norm_cpu(const th_kernel_args *k) {
  norm m = make_norm(k);
  if (m.n > 0) th_parallel_for(k->context, m.lines, th__grain(4 * m.n), norm_lines, &m);
  return TH_OK;
}

static th_status slope_cpu(const th_kernel_args *k) {
  norm m = make_norm(k);
  if (m.n > 0) th_parallel_for(k->context, m.lines, th__grain(4 * m.n), slope_lines, &m);
  return TH_OK;
}

/* --- gradients by weight and bias, where these are lines: sums over all lines, made of those of blocks --- */

enum { MOST_BLOCKS = 32, LEAST_LINES = 16 };

static int64_t lines_of_block(int64_t lines) {
  int64_t even = (lines + MOST_BLOCKS - 1) / MOST_BLOCKS;
  return even > LEAST_LINES ? even : LEAST_LINES;
}
/* At least one: without lines it gives zeros. */
static int64_t blocks_of(int64_t lines) {
  return lines > 0 ? (lines - 1) / lines_of_block(lines) + 1 : 1;
}

/* x, g -> gradients by weight and bias. */
static th_status infer_norm_weights(th_infer *io, const void *params) {
  const th__norm_params *p = params;
  const th_layout *x = &io->in[0];
  int64_t lines = 1, n = 1;
  th_layout line = {.dtype = x->dtype};
  if (!th__layout_same_shape(x, &io->in[1]) || io->in[1].dtype != x->dtype)
    return th__fail(TH_ESHAPE, "%s: input and gradient differ", io->op->name);
  for (int d = 0; d < x->ndim; d++) {
    *(p->axes >> d & 1 ? &n : &lines) *= x->shape[d];
    if (p->axes >> d & 1) line.shape[line.ndim++] = x->shape[d];
  }
  for (int j = 0; j < io->n_out; j++) io->out[j] = line;
  io->workspace = 2 * blocks_of(lines) * n * th__compute_size(th__compute_of(x->dtype));
  return TH_OK;
}

#define BLOCKS(id, T)                                                                              \
  static void weights_block_##id(const norm *m, int64_t b) {                                       \
    T room[2][PIECE], shift, factor, *dots = (T *)m->k->workspace + 2 * b * m->n;                  \
    double variance;                                                                               \
    int64_t per = lines_of_block(m->lines), end = (b + 1) * per;                                   \
    memset(dots, 0, 2 * (size_t)m->n * sizeof(T));                                                 \
    for (int64_t i = b * per; i < end && i < m->lines; i++) {                                      \
      figures_##id(m, i, &shift, &factor, &variance);                                              \
      FOR_PIECES(first, n)                                                                         \
      th__norm_add_##id(piece_of(m, X, i, first, n, room[0]),                                      \
                        piece_of(m, FIRST, i, first, n, room[1]), n, shift, factor, dots + first,  \
                        dots + m->n + first);                                                      \
    }                                                                                              \
  }                                                                                                \
  static void join_blocks_##id(const norm *m, int64_t blocks) {                                    \
    T *sums = m->k->workspace;                                                                     \
    for (int64_t b = 1; b < blocks; b++)                                                           \
      for (int64_t i = 0; i < 2 * m->n; i++) sums[i] += sums[2 * b * m->n + i];                    \
    for (int j = 0; j < m->k->n_out; j++)                                                          \
      th__scatter(m->dtype, m->k->out_data[j], 1, m->n, sums + j * m->n);                          \
  }
BLOCKS(f32, float)
BLOCKS(f64, double)

static void weights_blocks(int64_t first, int64_t last, void *arg) {
  const norm *m = arg;
  for (int64_t b = first; b < last; b++)
    (m->dtype == TH_F64 ? weights_block_f64 : weights_block_f32)(m, b);
}

static th_status weights_cpu(const th_kernel_args *k) {
  norm m = make_norm(k);
  int64_t blocks = blocks_of(m.lines), cost = 4 * m.n * lines_of_block(m.lines);
  if (m.n == 0) return TH_OK;
  th_parallel_for(k->context, blocks, th__grain(cost), weights_blocks, &m);
  (m.dtype == TH_F64 ? join_blocks_f64 : join_blocks_f32)(&m, blocks);
  return TH_OK;
}

/* --- gradients --- */

static const th_op op_layer_norm, op_rms_norm, op_batch_norm, op_layer_norm_slope,
    op_rms_norm_slope, op_batch_norm_slope, op_norm_weights;

static const th_op *slope_of(const th_op *op) {
  if (op == &op_layer_norm || op == &op_layer_norm_slope) return &op_layer_norm_slope;
  return op == &op_rms_norm || op == &op_rms_norm_slope ? &op_rms_norm_slope : &op_batch_norm_slope;
}

static const th_op *norm_of(const th_op *op) {
  const th_op *slope = slope_of(op);
  if (slope == &op_layer_norm_slope) return &op_layer_norm;
  return slope == &op_rms_norm_slope ? &op_rms_norm : &op_batch_norm;
}

/* The gradient by x of the norm at x, applied to g (times weight, unless that is NULL): a symmetric linear map of g w. */
static th_array *slope_at(const th_op *op, const void *params, const th_array *x, const th_array *g,
                          const th_array *weight) {
  if (weight == NULL) return TH_CALL(slope_of(op), params, x, g);
  return TH_CALL(slope_of(op), params, x, g, weight);
}

/* Weight (and bias, if there is one) are lines, and the device sums up both in one task. */
static bool sums_lines(const th_vjp *v, const th_array *x) {
  const th_layout *w = &v->in[1];
  int rest = x->layout.ndim - w->ndim;
  uint32_t last = ((1u << w->ndim) - 1) << rest;
  if (v->op == &op_batch_norm || ((const th__norm_params *)v->params)->axes != last) return false;
  for (int d = 0; d < w->ndim; d++)
    if (w->shape[d] != x->layout.shape[rest + d]) return false;
  return (v->n_in < 3 || th__layout_same_shape(w, &v->in[2])) &&
         th__kernel_get(&op_norm_weights, x->device.kind) != NULL;
}

static th_status sum_lines_of(const th_vjp *v, const th_array *x, const th_array *g) {
  th_array *out[2] = {NULL};
  int n_out = v->n_in > 2 && v->needed[2] ? 2 : 1;
  TH_TRY(th__invoke(&op_norm_weights, v->params, (const th_array *const[]){x, g}, 2, out, n_out));
  if (v->needed[1]) v->result[1] = th_keep(out[0]); /* vjp_norm() has a scope open */
  if (n_out > 1) v->result[2] = th_keep(out[1]);
  return TH_OK;
}

static th_status vjp_norm(const th_vjp *v) {
  th_array *x = v->inputs[0], *w = v->n_in > 1 ? v->inputs[1] : NULL, *g = v->gradients[0];
  th_scope scope = th_scope_begin();
  if (g == NULL) g = th_zeros_like(x); /* only mean or variance were used, which are not recorded */
  bool both = v->n_in > 1 && (v->needed[1] || (v->n_in > 2 && v->needed[2])) && sums_lines(v, x);
  th_status status = both ? sum_lines_of(v, x, g) : TH_OK;
  if (v->needed[0] && status == TH_OK) v->result[0] = th_keep(slope_at(v->op, v->params, x, g, w));
  if (v->n_in > 1 && v->needed[1] && !both) {
    th_array *normed = TH_CALL(norm_of(v->op), v->params, x);
    v->result[1] = th_keep(th__sum_to(th_multiply(g, normed), &v->in[1]));
  }
  if (v->n_in > 2 && v->needed[2] && !both) v->result[2] = th_keep(th__sum_to(g, &v->in[2]));
  th_scope_end(scope);
  return status == TH_OK ? th__vjp_check(v) : status;
}

/* Sum over the lines of a, kept as dimensions of size 1. */
static th_array *sum_lines(const th__norm_params *p, const th_array *a) {
  int axes[TH_MAX_DIMS], n = 0;
  for (int d = 0; d < a->layout.ndim; d++)
    if (p->axes >> d & 1) axes[n++] = d;
  return th_sum(a, axes, n, true);
}

/* 1 / sqrt(variance + eps) of each line of x. */
static th_array *factor_of(const th__norm_params *p, const th_array *x, double n) {
  const th_array *from = x;
  if (p->center) from = th_subtract(x, th_divide_scalar(sum_lines(p, x), n));
  th_array *variance = th_divide_scalar(sum_lines(p, th_square(from)), n);
  return th_rsqrt(th_add_scalar(variance, p->eps));
}

/* With y the norm of x without weight, r = 1 / sqrt(variance + eps), A the map of slope_at(), h = g w, u the incoming gradient:
 * u A h = r (u h - n mean(u) mean(h) - (y u) (y h) / n) where products are sums over a line, and the mean part only when the
 * norm centers. dr = -r^2 y / n, dy = A, so d x = -r y (u A h) / n - r ((y h) A u + (y u) A h) / n. */
static th_array *slope_by_x(const th_vjp *v, th_array *x, th_array *h, th_array *u, th_array *au) {
  const th__norm_params *p = v->params;
  double n = 1;
  for (int d = 0; d < v->in[0].ndim; d++)
    if (p->axes >> d & 1) n *= (double)v->in[0].shape[d];
  th_array *y = TH_CALL(norm_of(v->op), p, x), *ah = slope_at(v->op, p, x, h, NULL);
  th_array *r = th_divide_scalar(factor_of(p, x, n), n);
  th_array *whole = sum_lines(p, th_multiply(u, ah));
  th_array *yh = sum_lines(p, th_multiply(y, h)), *yu = sum_lines(p, th_multiply(y, u));
  th_array *crossed = th_add(th_multiply(yh, au), th_multiply(yu, ah));
  return th_negative(th_multiply(r, th_add(th_multiply(y, whole), crossed)));
}

static th_status vjp_norm_slope(const th_vjp *v) {
  th_array *x = v->inputs[0], *g = v->inputs[1], *w = v->n_in > 2 ? v->inputs[2] : NULL;
  th_array *u = v->gradients[0];
  th_scope scope = th_scope_begin();
  th_array *au = slope_at(v->op, v->params, x, u, NULL), *h = w ? th_multiply(g, w) : g;
  if (v->needed[0]) v->result[0] = th_keep(slope_by_x(v, x, h, u, au));
  if (v->needed[1]) v->result[1] = th_keep(w ? th_multiply(au, w) : au);
  if (w != NULL && v->needed[2]) v->result[2] = th_keep(th__sum_to(th_multiply(au, g), &v->in[2]));
  th_scope_end(scope);
  return th__vjp_check(v);
}

/* Linear in g: with u and t the incoming gradients, by g the norm of x with weight u and bias t, by x the slope of g u. */
static th_status vjp_norm_weights(const th_vjp *v) {
  const th__norm_params *p = v->params;
  const th_op *own = p->center ? &op_layer_norm : &op_rms_norm;
  th_array *x = v->inputs[0], *g = v->inputs[1], *u = v->gradients[0];
  th_array *t = v->n_out > 1 ? v->gradients[1] : NULL;
  th_scope scope = th_scope_begin();
  if (v->needed[0])
    v->result[0] = th_keep(u != NULL ? slope_at(own, p, x, g, u) : th_zeros_like(x));
  if (v->needed[1] && u == NULL)
    v->result[1] = th_keep(t != NULL ? th_add(th_zeros_like(x), t) : th_zeros_like(x));
  else if (v->needed[1])
    v->result[1] = th_keep(t != NULL ? TH_CALL(own, p, x, u, t) : TH_CALL(own, p, x, u));
  th_scope_end(scope);
  return th__vjp_check(v);
}

static const th_op op_norm_weights = {.name = "norm_weights",
                                      .in = {2},
                                      .out = {1, 2},
                                      .saves = TH_SAVE_IN(0) | TH_SAVE_IN(1),
                                      .dtypes = TH_FLOATS,
                                      .params_size = sizeof(th__norm_params),
                                      .infer = infer_norm_weights,
                                      .vjp = vjp_norm_weights,
                                      .cost = cost_norm,
                                      .cpu = weights_cpu,
                                      .test = {-2, 2, 1e-4}};

#define NORM(id, outputs)                                                                          \
  static const th_op op_##id = {.name = #id,                                                       \
                                .in = {1, 3},                                                      \
                                .out = {1, outputs},                                               \
                                .saves = TH_SAVE_IN(0) | TH_SAVE_IN(1),                            \
                                .dtypes = TH_FLOATS,                                               \
                                .params_size = sizeof(th__norm_params),                            \
                                .infer = infer_norm,                                               \
                                .vjp = vjp_norm,                                                   \
                                .cost = cost_norm,                                                 \
                                .cpu = norm_cpu,                                                   \
                                .test = {-2, 2, 1e-4}};                                            \
  static const th_op op_##id##_slope = {.name = #id "_slope",                                      \
                                        .in = {2, 3},                                              \
                                        .out = {1, 0},                                             \
                                        .saves = TH_SAVE_IN(0) | TH_SAVE_IN(1) | TH_SAVE_IN(2),    \
                                        .dtypes = TH_FLOATS,                                       \
                                        .params_size = sizeof(th__norm_params),                    \
                                        .infer = infer_norm_slope,                                 \
                                        .vjp = vjp_norm_slope,                                     \
                                        .cost = cost_norm,                                         \
                                        .cpu = slope_cpu,                                          \
                                        .test = {-2, 2, 1e-4}}
NORM(layer_norm, 0);
NORM(rms_norm, 0);
NORM(batch_norm, 3);

/* --- public functions --- */

/* y, and the figures of the lines if out has room for three. */
static th_status call_norm(const th_op *op, const th__norm_params *p, const th_array *x,
                           const th_array *weight, const th_array *bias, th_array **out,
                           int n_out) {
  th_array *one = NULL;
  th_scope scope = th__scope_suspend();
  /* A bias goes with a weight. */
  if (weight == NULL && bias != NULL && x != NULL)
    weight = one = th_ones(NULL, 0, x->layout.dtype, x->device);
  const th_array *in[] = {x, weight, bias};
  th_status status = th__invoke(op, p, in, bias != NULL ? 3 : weight != NULL ? 2 : 1, out, n_out);
  th_release(one);
  (void)th__scope_resume(scope, NULL);
  for (int j = 0; j < n_out && status == TH_OK; j++) th__scope_adopt(out[j]);
  return status;
}

/* The last n_dims dimensions, which weight and bias must have the shape of. */
static th_array *last_dims(const th_op *op, const th_array *a, int n_dims, const th_array *weight,
                           const th_array *bias, th__norm_params p) {
  th_array *out = NULL;
  if (a == NULL) return TH_CALL(op, NULL, a);
  const th_layout *x = &a->layout;
  if (n_dims < 1 || n_dims > x->ndim)
    return th__fail_null(TH_ESHAPE, "%s: the last %d of %d dimensions", op->name, n_dims, x->ndim);
  const th_array *both[] = {weight, bias};
  for (int i = 0; i < 2; i++) {
    bool fits = both[i] == NULL || both[i]->layout.ndim == n_dims;
    for (int d = 0; d < n_dims && fits && both[i] != NULL; d++)
      fits = both[i]->layout.shape[d] == x->shape[x->ndim - n_dims + d];
    if (!fits)
      return th__fail_null(TH_ESHAPE,
                           "%s: the %s does not have the shape of the last %d dimensions", op->name,
                           i == 0 ? "weight" : "bias", n_dims);
  }
  p.axes = ((1u << n_dims) - 1) << (x->ndim - n_dims);
  return call_norm(op, &p, a, weight, bias, &out, 1) == TH_OK ? out : NULL;
}

th_array *th_layer_norm(const th_array *a, int n_dims, const th_array *weight, const th_array *bias,
                        double eps) {
  return last_dims(&op_layer_norm, a, n_dims, weight, bias,
                   (th__norm_params){.center = true, .eps = eps});
}

th_array *th_rms_norm(const th_array *a, int n_dims, const th_array *weight, double eps) {
  return last_dims(&op_rms_norm, a, n_dims, weight, NULL, (th__norm_params){.eps = eps});
}

/* running = (1 - momentum) running + momentum * scale * fresh, unseen by the tape. */
static th_status mix_in(th_array *running, const th_array *fresh, double momentum, double scale) {
  const th__interceptor *watching = th__interceptor_swap(NULL);
  th_array *part = th_multiply_scalar(fresh, momentum * scale);
  th_status status = part != NULL ? TH_OK : th_last_status();
  if (status == TH_OK) status = th_multiply_scalar_inplace(running, 1 - momentum);
  if (status == TH_OK) status = th_add_inplace(running, part);
  th_release(part);
  (void)th__interceptor_swap(watching);
  return status;
}

/* (c) as (c, 1, 1) for an x of four dimensions; NULL stays NULL. */
static th_array *per_channel(const th_array *a, int ndim) {
  int64_t shape[TH_MAX_DIMS] = {a != NULL ? a->layout.shape[0] : 0, 1, 1, 1, 1, 1, 1, 1};
  return a != NULL ? th_reshape((th_array *)a, shape, ndim - 1) : NULL;
}

static th_array *train_batch(const th_array *x, th_array *const running[2], const th_array *weight,
                             const th_array *bias, double momentum, double eps) {
  const th_layout *l = &x->layout;
  double n = 1;
  for (int d = 0; d < l->ndim; d++) n *= d == 1 ? 1 : (double)l->shape[d];
  if (n == 0) return th__fail_null(TH_ESHAPE, "batch_norm: no elements per channel to train on");
  th__norm_params p = {.axes = ((1u << l->ndim) - 1) & ~2u, .center = true, .eps = eps};
  th_array *out[3] = {NULL}, *w = per_channel(weight, l->ndim), *b = per_channel(bias, l->ndim);
  bool made = (weight == NULL || w != NULL) && (bias == NULL || b != NULL);
  bool track = running[0] != NULL || running[1] != NULL;
  th_status status = TH_ENOMEM;
  if (made) status = call_norm(&op_batch_norm, &p, x, w, b, out, track ? 3 : 1);
  if (status == TH_OK && running[0] != NULL) status = mix_in(running[0], out[1], momentum, 1);
  if (status == TH_OK && running[1] != NULL)
    status = mix_in(running[1], out[2], momentum, n > 1 ? n / (n - 1) : 1);
  th_release(w);
  th_release(b);
  th_release(out[1]);
  th_release(out[2]);
  if (status == TH_OK) return out[0];
  th_release(out[0]);
  return NULL;
}

/* x scale + shift, with scale = weight / sqrt(var + eps) and shift = bias - mean scale. */
static th_array *infer_batch(const th_array *x, th_array *const running[2], const th_array *weight,
                             const th_array *bias, double eps) {
  int ndim = x->layout.ndim;
  th_scope scope = th_scope_begin();
  th_array *scale = th_rsqrt(th_add_scalar(running[1], eps));
  if (weight != NULL) scale = th_multiply(scale, weight);
  th_array *shift = th_negative(th_multiply(running[0], scale));
  if (bias != NULL) shift = th_add(shift, bias);
  th_array *scaled = scale != NULL ? th_multiply(x, per_channel(scale, ndim)) : NULL;
  th_array *out = scaled != NULL && shift != NULL ? th_add(scaled, per_channel(shift, ndim)) : NULL;
  out = th_keep(out);
  th_scope_end(scope);
  return out;
}

th_array *th_batch_norm(const th_array *x, th_array *running_mean, th_array *running_var,
                        const th_array *weight, const th_array *bias, bool training,
                        double momentum, double eps) {
  if (x == NULL) return TH_CALL(&op_batch_norm, NULL, x);
  const th_layout *l = &x->layout;
  if (l->ndim < 2) return th__fail_null(TH_ESHAPE, "batch_norm: (n, c, ...) is wanted");
  const th_array *all[] = {running_mean, running_var, weight, bias};
  static const char *const names[] = {"running mean", "running variance", "weight", "bias"};
  for (int i = 0; i < 4; i++)
    if (all[i] != NULL && (all[i]->layout.ndim != 1 || all[i]->layout.shape[0] != l->shape[1]))
      return th__fail_null(TH_ESHAPE, "batch_norm: the %s does not have %lld elements", names[i],
                           (long long)l->shape[1]);
  if (!training && (running_mean == NULL || running_var == NULL))
    return th__fail_null(TH_EINVAL, "batch_norm: no running mean and variance");
  th_array *const running[2] = {running_mean, running_var};
  th_scope scope = th__scope_suspend();
  th_array *out = training ? train_batch(x, running, weight, bias, momentum, eps)
                           : infer_batch(x, running, weight, bias, eps);
  return th__scope_resume(scope, out);
}

TH_FAMILY_TABLE(norm);
const th_op *const th__family_norm[] = {
    &op_layer_norm,     &op_rms_norm,         &op_batch_norm,   &op_layer_norm_slope,
    &op_rms_norm_slope, &op_batch_norm_slope, &op_norm_weights, NULL};
