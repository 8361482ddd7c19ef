/* Owns cumulative_sum and cumulative_prod.
 *
 * Floats of 32 bits and halves are added up in f64, integers in 64 bits. Along the last dimension lines are cut into chunks of
 * a fixed length: folds of chunks first, then what precedes each, then the running values, so bits depend on the shape only.
 * Along another dimension neighbouring lines go down side by side. */
#include <string.h>

#include "engine/base/error.h"
#include "ops/op.h"
#include "ops/params_arrays.h"
#include "ops/loops/runs.h"

enum {
  PIECE = 512, /* elements of a line worked on at a time; at most that many columns side by side */
  CHUNK = 32768, /* elements of a long line per item */
  LANES = 8      /* elements scanned as a tree */
};

/* Output without offset or initial element: one longer along the axis. */
static th_status infer_scan(th_infer *io, const void *params) {
  const th__scan_params *p = params;
  const th_layout *in = &io->in[0];
  th_layout *out = &io->out[0];
  th_dtype t = in->dtype;
  if (p->axis < 0 || p->axis >= in->ndim)
    return th__fail(TH_ESHAPE, "%s: axis %d of %d dimensions", io->op->name, p->axis, in->ndim);
  th__layout_copy(out, in);
  out->offset = 0;
  if (!th__dtype_in(t, TH_FLOATS)) t = th__dtype_in(t, TH_UINTS) ? TH_U64 : TH_I64;
  out->dtype = t;
  int64_t n = in->shape[p->axis];
  if (p->initial && __builtin_add_overflow(n, 1, &out->shape[p->axis]))
    return th__fail(TH_EOVERFLOW, "%s: the axis overflows", io->op->name);
  int64_t lines = 1;
  for (int d = 0; d < in->ndim; d++)
    if (d != p->axis) lines *= in->shape[d];
  io->workspace = lines * (n / CHUNK + 1) * 8;
  return TH_OK;
}

/* --- running values of an array of the type computed in --- */

/* x[i] = carry op x[0] op ... op x[i]; returns the last. Groups of eight as a tree, of which all but the last step does not
 * wait for the group before. fold: the last without changing x. */
#define SCAN(id, T, OP)                                                                            \
  TH__WIDE static void scan_##id(T *x, int64_t n, T *carry) {                                      \
    T before = *carry;                                                                             \
    int64_t i = 0;                                                                                 \
    for (; i + LANES <= n; i += LANES) {                                                           \
      T y[LANES], z[LANES];                                                                        \
      for (int j = 0; j < LANES; j++) y[j] = j >= 1 ? x[i + j] OP x[i + j - 1] : x[i + j];         \
      for (int j = 0; j < LANES; j++) z[j] = j >= 2 ? y[j] OP y[j - 2] : y[j];                     \
      for (int j = 0; j < LANES; j++) y[j] = j >= 4 ? z[j] OP z[j - 4] : z[j];                     \
      for (int j = 0; j < LANES; j++) x[i + j] = before OP y[j];                                   \
      before = before OP y[LANES - 1];                                                             \
    }                                                                                              \
    for (; i < n; i++) x[i] = before = before OP x[i];                                             \
    *carry = before;                                                                               \
  }                                                                                                \
  TH__WIDE static void join_##id(T *restrict acc, const T *restrict x, int64_t n) {                \
    for (int64_t i = 0; i < n; i++) acc[i] = acc[i] OP x[i];                                       \
  }
SCAN(sum_f, double, +)
SCAN(prod_f, double, *)
SCAN(sum_i, uint64_t, +)
SCAN(prod_i, uint64_t, *)

typedef struct run {
  const th_kernel_args *k;
  bool product, floating;
  th_layout in_lines, out_lines;         /* without the axis */
  int64_t n, in_step, out_step, initial; /* along the axis */
  int64_t lines, chunks;
  int64_t width; /* columns side by side; 0: along lines */
} run;

static void scan(const run *r, th__word *x, int64_t n, th__word *carry) {
  if (r->floating)
    (r->product ? scan_prod_f : scan_sum_f)(&x->f, n, &carry->f);
  else
    (r->product ? scan_prod_i : scan_sum_i)(&x->u, n, &carry->u);
}

static void join(const run *r, th__word *acc, const th__word *x, int64_t n) {
  if (r->floating)
    (r->product ? join_prod_f : join_sum_f)(&acc->f, &x->f, n);
  else
    (r->product ? join_prod_i : join_sum_i)(&acc->u, &x->u, n);
}

static th__word unit_of(const run *r) {
  th__word unit = {.u = 0};
  if (r->floating)
    unit.f = r->product ? 1 : 0;
  else
    unit.u = r->product;
  return unit;
}

TH__WIDE static void widen(const float *restrict from, int64_t n, double *restrict to) {
  for (int64_t i = 0; i < n; i++) to[i] = (double)from[i];
}

TH__WIDE static void narrow(const double *restrict from, int64_t n, float *restrict to) {
  for (int64_t i = 0; i < n; i++) to[i] = (float)from[i];
}

static void load(const run *r, const char *from, int64_t step, int64_t n, th__word *to) {
  th_dtype t = r->k->in[0].dtype;
  if (!r->floating || t == TH_F64) {
    th__gather(t, from, step, n, to);
  } else {
    float room[PIECE];
    widen(th__gathered(t, from, step, n, room), n, &to->f);
  }
}

static void store(const run *r, char *to, int64_t step, int64_t n, const th__word *from) {
  th_dtype t = r->k->out[0].dtype;
  if (!r->floating || t == TH_F64) {
    th__scatter(t, to, step, n, from);
  } else if (t == TH_F32 && step == 1) {
    narrow(&from->f, n, (float *)to);
  } else {
    float room[PIECE];
    narrow(&from->f, n, room);
    th__scatter(t, to, step, n, room);
  }
}

static const char *in_line(const run *r, int64_t line) {
  const th_layout *l = &r->in_lines;
  return (const char *)r->k->in_data[0] + th__offset_at(line, l->ndim, l->shape, l->strides) *
                                              (int64_t)th_dtype_size(r->k->in[0].dtype);
}

static char *out_line(const run *r, int64_t line) {
  const th_layout *l = &r->out_lines;
  return (char *)r->k->out_data[0] + th__offset_at(line, l->ndim, l->shape, l->strides) *
                                         (int64_t)th_dtype_size(r->k->out[0].dtype);
}

/* --- along lines --- */

static int64_t chunk_end(const run *r, int64_t chunk) {
  return chunk + 1 == r->chunks ? r->n : (chunk + 1) * CHUNK;
}

/* Folds chunks: into the workspace, by line and chunk. */
static void fold_chunks(int64_t from, int64_t to, void *arg) {
  const run *r = arg;
  int64_t item = (int64_t)th_dtype_size(r->k->in[0].dtype);
  for (int64_t at = from; at < to; at++) {
    int64_t chunk = at % r->chunks, end = chunk_end(r, chunk);
    const char *x = in_line(r, at / r->chunks);
    th__word carry = unit_of(r), room[PIECE];
    for (int64_t i = chunk * CHUNK; i < end; i += PIECE) {
      int64_t n = end - i < PIECE ? end - i : PIECE;
      load(r, x + i * r->in_step * item, r->in_step, n, room);
      scan(r, room, n, &carry);
    }
    ((th__word *)r->k->workspace)[at] = carry;
  }
}

static void scan_chunks(int64_t from, int64_t to, void *arg) {
  const run *r = arg;
  int64_t item = (int64_t)th_dtype_size(r->k->in[0].dtype);
  int64_t out_item = (int64_t)th_dtype_size(r->k->out[0].dtype);
  for (int64_t at = from; at < to; at++) {
    int64_t chunk = at % r->chunks, end = chunk_end(r, chunk);
    const char *x = in_line(r, at / r->chunks);
    char *y = out_line(r, at / r->chunks);
    th__word carry = unit_of(r), room[PIECE];
    const th__word *folds = (const th__word *)r->k->workspace + (at - chunk);
    if (r->initial && chunk == 0) store(r, y, 1, 1, &carry);
    y += r->initial * r->out_step * out_item;
    for (int64_t c = 0; c < chunk; c++) join(r, &carry, &folds[c], 1);
    for (int64_t i = chunk * CHUNK; i < end; i += PIECE) {
      int64_t n = end - i < PIECE ? end - i : PIECE;
      load(r, x + i * r->in_step * item, r->in_step, n, room);
      scan(r, room, n, &carry);
      store(r, y + i * r->out_step * out_item, r->out_step, n, room);
    }
  }
}

/* --- neighbouring lines side by side --- */

static void scan_columns(int64_t from, int64_t to, void *arg) {
  const run *r = arg;
  int64_t item = (int64_t)th_dtype_size(r->k->in[0].dtype);
  int64_t out_item = (int64_t)th_dtype_size(r->k->out[0].dtype);
  int last = r->in_lines.ndim - 1;
  int64_t inner = r->in_lines.shape[last], tiles = (inner + r->width - 1) / r->width;
  for (int64_t at = from; at < to; at++) {
    int64_t column = at % tiles * r->width, line = at / tiles * inner + column;
    int64_t width = inner - column < r->width ? inner - column : r->width;
    const char *x = in_line(r, line);
    char *y = out_line(r, line);
    th__word acc[PIECE], row[PIECE];
    for (int64_t j = 0; j < width; j++) acc[j] = unit_of(r);
    if (r->initial) store(r, y, r->out_lines.strides[last], width, acc);
    y += r->initial * r->out_step * out_item;
    for (int64_t i = 0; i < r->n; i++) {
      load(r, x + i * r->in_step * item, r->in_lines.strides[last], width, row);
      join(r, acc, row, width);
      store(r, y + i * r->out_step * out_item, r->out_lines.strides[last], width, acc);
    }
  }
}

static th_status scan_cpu(const th_kernel_args *k, bool product) {
  const th__scan_params *p = k->params;
  const th_layout *in = &k->in[0];
  run r = {.k = k,
           .product = product,
           .floating = th__dtype_in(in->dtype, TH_FLOATS),
           .in_lines = th__layout_part(in, p->axis, 1, false),
           .out_lines = th__layout_part(&k->out[0], p->axis, 1, false),
           .n = in->shape[p->axis],
           .in_step = in->strides[p->axis],
           .out_step = k->out[0].strides[p->axis],
           .initial = p->initial};
  r.lines = th__layout_size(&r.in_lines);
  r.chunks = r.n > CHUNK ? r.n / CHUNK : 1; /* the last takes what is left */
  if (r.lines == 0 || r.n + r.initial == 0) return TH_OK;
  int last = r.in_lines.ndim - 1;
  if (p->axis < in->ndim - 1 && r.in_lines.shape[last] >= 8) {
    int64_t inner = r.in_lines.shape[last];
    r.width = inner < PIECE ? inner : inner < 4 * PIECE ? PIECE / 4 : PIECE;
    int64_t tiles = r.lines / inner * ((inner + r.width - 1) / r.width);
    th_parallel_for(k->context, tiles, th__grain(r.width * r.n), scan_columns, &r);
    return TH_OK;
  }
  int64_t cost = r.n < CHUNK ? r.n : CHUNK;
  if (r.chunks > 1) th_parallel_for(k->context, r.lines * r.chunks, 1, fold_chunks, &r);
  th_parallel_for(k->context, r.lines * r.chunks, th__grain(cost), scan_chunks, &r);
  return TH_OK;
}

static th_status cumulative_sum_cpu(const th_kernel_args *k) { return scan_cpu(k, false); }
static th_status cumulative_prod_cpu(const th_kernel_args *k) { return scan_cpu(k, true); }

/* --- gradients --- */

/* a without its first element along the axis. */
static th_array *without_first(th_array *a, int axis) {
  char spec[4 * TH_MAX_DIMS + 8];
  int length = 0;
  for (int d = 0; d < axis; d++) length += snprintf(spec + length, 4, ":, ");
  snprintf(spec + length, sizeof spec - (size_t)length, "1:");
  return th_slice(a, spec);
}

/* Element i: the sum of a's elements from i on. */
static th_array *sum_from(th_array *a, int axis) {
  th_array *turned = th_flip(a, &axis, 1);
  th_array *sums = turned ? th_cumulative_sum(turned, axis, false) : NULL;
  return sums ? th_flip(sums, &axis, 1) : NULL;
}

static th_status give(const th_vjp *v, th_scope scope, th_array *result) {
  v->result[0] = result ? th_keep(result) : NULL;
  th_scope_end(scope);
  return th__vjp_check(v);
}

static th_status vjp_cumulative_sum(const th_vjp *v) {
  const th__scan_params *p = v->params;
  th_scope scope = th_scope_begin();
  th_array *g = v->gradients[0];
  if (p->initial) g = without_first(g, p->axis);
  return give(v, scope, sum_from(g, p->axis));
}

/* For x that is not 0: the sum of g y from there on, divided by x. For the first 0 of a line: the same with 1 in its place,
 * undivided; behind it all products are 0 whatever the others are. */
static th_status vjp_cumulative_prod(const th_vjp *v) {
  const th__scan_params *p = v->params;
  th_scope scope = th_scope_begin();
  th_array *g = v->gradients[0], *x = v->inputs[0];
  if (p->initial) g = without_first(g, p->axis);
  th_array *zero = th_equal_scalar(x, 0);
  th_array *zeros = th_cumulative_sum(zero, p->axis, false);
  th_array *first = th_logical_and(zero, th_equal_scalar(zeros, 1));
  th_array *filled = th_masked_fill(x, first, 1);
  th_array *plain = sum_from(th_multiply(g, th_cumulative_prod(x, p->axis, false)), p->axis);
  th_array *at_first =
      sum_from(th_multiply(g, th_cumulative_prod(filled, p->axis, false)), p->axis);
  plain = th_divide(plain, th_masked_fill(x, zero, 1));
  return give(v, scope, th_where(first, at_first, th_masked_fill(plain, zero, 0)));
}

/* --- records and public functions --- */

#define SCAN_OP(id, saves_)                                                                        \
  static const th_op op_##id = {.name = #id,                                                       \
                                .in = {1, 0},                                                      \
                                .out = {1, 0},                                                     \
                                .saves = saves_,                                                   \
                                .dtypes = TH_ANY,                                                  \
                                .params_size = sizeof(th__scan_params),                            \
                                .infer = infer_scan,                                               \
                                .vjp = vjp_##id,                                                   \
                                .cpu = id##_cpu,                                                   \
                                .test = {-2, 2, 1e-4}};                                            \
  th_array *th_##id(const th_array *a, int axis, bool include_initial) {                           \
    th__scan_params p = {axis, include_initial};                                                   \
    if (a && th__axis(axis, a->layout.ndim, #id, &p.axis) != TH_OK) return NULL;                   \
    return TH_CALL(&op_##id, &p, a);                                                               \
  }
SCAN_OP(cumulative_sum, 0)
SCAN_OP(cumulative_prod, TH_SAVE_IN(0))

TH_FAMILY_TABLE(scan);
const th_op *const th__family_scan[] = {&op_cumulative_sum, &op_cumulative_prod, NULL};
