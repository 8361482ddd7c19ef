/* Owns argmax and argmin: the position of the first largest or smallest element along one axis. A NaN beats every number. */
#include "engine/base/error.h"
#include "ops/loops/fold.h"
#include "ops/op.h"
#include "ops/params.h"

enum { PIECE = 1024 }; /* elements gathered at a time */

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

static const struct typed {
  int64_t (*first)(const void *from, const void *extreme);
  bool (*better)(const void *a, const void *best, bool min);
} typed[TH__COMPUTE_COUNT] = {{first_f32, better_f32},
                              {first_f64, better_f64},
                              {first_i64, better_i64},
                              {first_u64, better_u64}};

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
  th_parallel_for(k->context, th__layout_size(&r.lines), th__grain(r.n), scan_lines, &r);
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
