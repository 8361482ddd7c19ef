/* Owns argmax and argmin: the position of the first largest or smallest element along one axis. A NaN beats every number. */
#include <stdlib.h>

#include "engine/base/error.h"
#include "ops/loops/fold.h"
#include "ops/op.h"
#include "ops/params.h"

enum {
  PIECE = 1024, /* elements gathered at a time */
  COLUMNS = 64, /* neighbouring lines side by side */
  FEW = 16      /* fewer than that go line by line */
};

static th_status infer_arg(th_infer *io, const void *params) {
  const th__arg_params *p = params;
  const th_layout *in = &io->in[0];
  th_layout *out = &io->out[0];
  int axis;
  TH_TRY(th__axis(p->axis, in->ndim, io->op->name, &axis));
  if (in->shape[axis] == 0) {
    char text[TH__SHAPE_TEXT];
    return th__fail(TH_ESHAPE, "%s: nothing to choose from along axis %d of shape %s", io->op->name,
                    p->axis, th__shape_text(in->shape, in->ndim, text, sizeof text));
  }
  out->dtype = TH_I64;
  for (int d = 0; d < in->ndim; d++) {
    if (d != axis)
      out->shape[out->ndim++] = in->shape[d];
    else if (p->keep)
      out->shape[out->ndim++] = 1;
  }
  return TH_OK;
}

/* Position of the first element equal to the extreme of its array, or NaN when that is. */
#define FIRST(id, T)                                                                               \
  static int64_t first_##id(const void *from, const void *extreme) {                               \
    const T *x = from, wanted = *(const T *)extreme;                                               \
    int64_t i = 0;                                                                                 \
    if (wanted == wanted)                                                                          \
      while (x[i] != wanted) i++;                                                                  \
    else                                                                                           \
      while (x[i] == x[i]) i++;                                                                    \
    return i;                                                                                      \
  }                                                                                                \
  /* a against the best so far: 1 better */                                                        \
  static bool better_##id(const void *a, const void *best, bool min) {                             \
    T x = *(const T *)a, y = *(const T *)best;                                                     \
    return (y == y) && (x != x || (min ? x < y : x > y));                                          \
  }

FIRST(f32, float)
FIRST(f64, double)
FIRST(i64, int64_t)
FIRST(u64, uint64_t)

/* Element j of `rows` rows of n elements against the best so far; row 0 is the first of all. No branches, so that several
 * columns fit a vector; positions are as wide as elements. Of floats "not at most" is more or a NaN on either side. */
#define COLUMN(id, T, POSITION, BETTER)                                                            \
  TH__WIDE static void id(const void *from, int64_t step, int64_t row, int64_t rows, int64_t n,    \
                          void *bests, void *positions) {                                          \
    const T *restrict x = from;                                                                    \
    T *restrict best = bests;                                                                      \
    POSITION *restrict position = positions;                                                       \
    for (int64_t end = row + rows; row < end; row++, x += step) {                                  \
      const POSITION here = (POSITION)row;                                                         \
      if (row == 0)                                                                                \
        for (int64_t j = 0; j < n; j++) best[j] = x[j], position[j] = 0;                           \
      else                                                                                         \
        for (int64_t j = 0; j < n; j++) {                                                          \
          const T a = x[j], b = best[j];                                                           \
          best[j] = BETTER ? a : b;                                                                \
          position[j] = BETTER ? here : position[j];                                               \
        }                                                                                          \
    }                                                                                              \
  }
COLUMN(max_f32, float, int32_t, (!(a <= b) & (b == b)))
COLUMN(max_f64, double, int64_t, (!(a <= b) & (b == b)))
COLUMN(max_i64, int64_t, int64_t, (a > b))
COLUMN(max_u64, uint64_t, int64_t, (a > b))
COLUMN(min_f32, float, int32_t, (!(a >= b) & (b == b)))
COLUMN(min_f64, double, int64_t, (!(a >= b) & (b == b)))
COLUMN(min_i64, int64_t, int64_t, (a < b))
COLUMN(min_u64, uint64_t, int64_t, (a < b))

static const struct typed {
  int64_t (*first)(const void *from, const void *extreme);
  bool (*better)(const void *a, const void *best, bool min);
  void (*columns[2])(const void *from, int64_t step, int64_t row, int64_t rows, int64_t n,
                     void *bests, void *positions); /* largest, smallest */
} typed[TH__COMPUTE_COUNT] = {{first_f32, better_f32, {max_f32, min_f32}},
                              {first_f64, better_f64, {max_f64, min_f64}},
                              {first_i64, better_i64, {max_i64, min_i64}},
                              {first_u64, better_u64, {max_u64, min_u64}}};

typedef struct run {
  const th_kernel_args *k;
  th_layout lines; /* the input without the axis */
  int64_t n, step; /* along the axis */
  bool min;
  const th__fold *fold;
  const struct typed *typed;
} run;

/* The extreme of each piece is found first, with the loops of reductions, and looked for only where it is a better one. */
static int64_t extreme_of_line(const run *r, const char *line) {
  th_dtype t = r->lines.dtype;
  int64_t item = (int64_t)th_dtype_size(t), index = -1;
  th__word best = {.u = 0};
  for (int64_t i = 0; i < r->n; i += PIECE) {
    th__word buffer[PIECE], extreme;
    int64_t n = r->n - i < PIECE ? r->n - i : PIECE;
    const void *x = th__gathered(t, line + i * r->step * item, r->step, n, buffer);
    r->fold->fold(x, n, &extreme);
    if (index >= 0 && !r->typed->better(&extreme, &best, r->min)) continue;
    best = extreme;
    index = i + r->typed->first(x, &extreme);
  }
  return index;
}

static void scan_lines(int64_t from, int64_t to, void *arg) {
  const run *r = arg;
  th_dtype t = r->lines.dtype;
  int64_t item = (int64_t)th_dtype_size(t);
  int64_t *out = r->k->out_data[0];
  for (int64_t line = from; line < to; line++) {
    const char *x = (const char *)r->k->in_data[0] +
                    th__offset_at(line, r->lines.ndim, r->lines.shape, r->lines.strides) * item;
    out[line] = extreme_of_line(r, x);
  }
}

/* Neighbouring lines lie closer together than the elements of one. */
static bool by_columns(const run *r) {
  const th_layout *l = &r->lines;
  int last = l->ndim - 1;
  return last >= 0 && l->shape[last] >= FEW && llabs(l->strides[last]) < llabs(r->step) &&
         r->n <= INT32_MAX;
}

static int64_t tiles_of(int64_t inner) { return (inner + COLUMNS - 1) / COLUMNS; }

/* The positions of neighbouring lines from x on. */
static void scan_tile(const run *r, const char *x, int64_t width, int64_t *out) {
  th_dtype t = r->lines.dtype;
  int64_t item = (int64_t)th_dtype_size(t), stride = r->lines.strides[r->lines.ndim - 1];
  bool ready = stride == 1 && th__computes_as_stored(t);
  int64_t rows = ready ? r->n : 1;
  th__word room[COLUMNS], best[COLUMNS], position[COLUMNS];
  for (int64_t i = 0; i < r->n; i += rows) {
    const void *row = th__gathered(t, x + i * r->step * item, stride, width, room);
    r->typed->columns[r->min](row, r->step, i, rows, width, best, position);
  }
  bool narrow = th__compute_size(th__compute_of(t)) == 4;
  for (int64_t j = 0; j < width; j++)
    out[j] = narrow ? ((const int32_t *)position)[j] : position[j].i;
}

static void scan_tiles(int64_t from, int64_t to, void *arg) {
  const run *r = arg;
  const th_layout *l = &r->lines;
  int64_t item = (int64_t)th_dtype_size(l->dtype), inner = l->shape[l->ndim - 1];
  int64_t *out = r->k->out_data[0];
  for (int64_t tile = from; tile < to; tile++) {
    int64_t column = tile % tiles_of(inner) * COLUMNS;
    int64_t line = tile / tiles_of(inner) * inner + column;
    int64_t offset = th__offset_at(line, l->ndim, l->shape, l->strides);
    int64_t width = inner - column < COLUMNS ? inner - column : COLUMNS;
    scan_tile(r, (const char *)r->k->in_data[0] + offset * item, width, out + line);
  }
}

static th_status arg(const th_kernel_args *k, bool min) {
  const th__arg_params *p = k->params;
  const th_layout *in = &k->in[0];
  int axis = p->axis < 0 ? p->axis + in->ndim : p->axis;
  run r = {.k = k, .n = in->shape[axis], .step = in->strides[axis]};
  r.lines = th__layout_part(in, axis, 1, false);
  th__compute type = th__compute_of(in->dtype);
  r.min = min;
  r.fold = th__fold_of(min ? TH__FOLD_MIN : TH__FOLD_MAX, type);
  r.typed = &typed[type];
  int64_t lines = th__layout_size(&r.lines);
  if (lines > 0 && by_columns(&r)) {
    int64_t inner = r.lines.shape[r.lines.ndim - 1], width = inner < COLUMNS ? inner : COLUMNS;
    th_parallel_for(k->context, lines / inner * tiles_of(inner), th__grain(r.n * width), scan_tiles,
                    &r);
  } else {
    th_parallel_for(k->context, lines, th__grain(r.n), scan_lines, &r);
  }
  return TH_OK;
}

static th_status argmax_cpu(const th_kernel_args *k) { return arg(k, false); }
static th_status argmin_cpu(const th_kernel_args *k) { return arg(k, true); }

static const th_op op_argmax = {
    .name = "argmax",
    .in = {1, 0},
    .out = {1, 0},
    .flags = TH_OP_FLAT,
    .dtypes = TH_ANY,
    .params_size = sizeof(th__arg_params),
    .infer = infer_arg,
    .cpu = argmax_cpu,
    .test = {-2, 2, 0},
};
th_array *th_argmax(const th_array *a, int axis, bool keepdims) {
  return TH_CALL(&op_argmax, (&(th__arg_params){axis, keepdims}), a);
}

static const th_op op_argmin = {
    .name = "argmin",
    .in = {1, 0},
    .out = {1, 0},
    .flags = TH_OP_FLAT,
    .dtypes = TH_ANY,
    .params_size = sizeof(th__arg_params),
    .infer = infer_arg,
    .cpu = argmin_cpu,
    .test = {-2, 2, 0},
};
th_array *th_argmin(const th_array *a, int axis, bool keepdims) {
  return TH_CALL(&op_argmin, (&(th__arg_params){axis, keepdims}), a);
}

TH_FAMILY_TABLE(arg);
const th_op *const th__family_arg[] = {&op_argmax, &op_argmin, NULL};
