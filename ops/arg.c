/* Owns argmax and argmin: the position of the first largest or smallest element along one axis. A NaN beats every number. */
#include "engine/base/error.h"
#include "ops/op.h"
#include "ops/runs.h"

typedef struct arg_params {
  int axis;
  bool keep;
} arg_params;

enum { PIECE = 1024 }; /* elements gathered at a time */

static th_status infer_arg(th_infer *io, const void *params) {
  const arg_params *p = params;
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

/* The best element so far. */
typedef struct best {
  union {
    float f32;
    double f64;
    int64_t i64;
    uint64_t u64;
  } value;
  int64_t index; /* -1: none yet */
} best;

#define MORE(x, y) ((x) > (y))
#define LESS(x, y) ((x) < (y))

/* Scans x[0..n), whose first element has position `first`. A NaN that was found stays: nothing compares with it. */
#define SCAN(id, T, member, BETTER)                                                                \
  static void id(const void *from, int64_t n, int64_t first, best *b) {                            \
    const T *x = from;                                                                             \
    T value = b->index < 0 ? x[0] : b->value.member;                                               \
    int64_t index = b->index < 0 ? first : b->index;                                               \
    for (int64_t i = 0; i < n; i++)                                                                \
      if (BETTER(x[i], value) || (x[i] != x[i] && value == value)) {                               \
        value = x[i];                                                                              \
        index = first + i;                                                                         \
      }                                                                                            \
    b->value.member = value;                                                                       \
    b->index = index;                                                                              \
  }

SCAN(max_f32, float, f32, MORE)
SCAN(max_f64, double, f64, MORE)
SCAN(max_i64, int64_t, i64, MORE)
SCAN(max_u64, uint64_t, u64, MORE)
SCAN(min_f32, float, f32, LESS)
SCAN(min_f64, double, f64, LESS)
SCAN(min_i64, int64_t, i64, LESS)
SCAN(min_u64, uint64_t, u64, LESS)

typedef void (*scan_fn)(const void *from, int64_t n, int64_t first, best *b);
static const scan_fn scans[2][TH__COMPUTE_COUNT] = {{max_f32, max_f64, max_i64, max_u64},
                                                    {min_f32, min_f64, min_i64, min_u64}};

typedef struct run {
  const th_kernel_args *k;
  th_layout lines; /* the input without the axis */
  int64_t n, step; /* along the axis */
  scan_fn scan;
} run;

static void scan_lines(int64_t from, int64_t to, void *arg) {
  const run *r = arg;
  th_dtype t = r->lines.dtype;
  int64_t item = (int64_t)th_dtype_size(t);
  int64_t *out = r->k->out_data[0];
  for (int64_t line = from; line < to; line++) {
    const char *x = (const char *)r->k->in_data[0] +
                    th__offset_at(line, r->lines.ndim, r->lines.shape, r->lines.strides) * item;
    best b = {.index = -1};
    for (int64_t i = 0; i < r->n; i += PIECE) {
      th__word buffer[PIECE];
      int64_t n = r->n - i < PIECE ? r->n - i : PIECE;
      r->scan(th__gathered(t, x + i * r->step * item, r->step, n, buffer), n, i, &b);
    }
    out[line] = b.index;
  }
}

static th_status arg(const th_kernel_args *k, bool min) {
  const arg_params *p = k->params;
  const th_layout *in = &k->in[0];
  int axis = p->axis < 0 ? p->axis + in->ndim : p->axis;
  run r = {.k = k, .n = in->shape[axis], .step = in->strides[axis]};
  r.lines = th__layout_part(in, axis, 1, false);
  r.scan = scans[min][th__compute_of(in->dtype)];
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
    .params_size = sizeof(arg_params),
    .infer = infer_arg,
    .cpu = argmax_cpu,
    .test = {-2, 2, 0},
};
th_array *th_argmax(const th_array *a, int axis, bool keepdims) {
  return TH_CALL(&op_argmax, (&(arg_params){axis, keepdims}), a);
}

static const th_op op_argmin = {
    .name = "argmin",
    .in = {1, 0},
    .out = {1, 0},
    .flags = TH_OP_FLAT,
    .dtypes = TH_ANY,
    .params_size = sizeof(arg_params),
    .infer = infer_arg,
    .cpu = argmin_cpu,
    .test = {-2, 2, 0},
};
th_array *th_argmin(const th_array *a, int axis, bool keepdims) {
  return TH_CALL(&op_argmin, (&(arg_params){axis, keepdims}), a);
}

TH_FAMILY_TABLE(arg);
const th_op *const th__family_arg[] = {&op_argmax, &op_argmin, NULL};
