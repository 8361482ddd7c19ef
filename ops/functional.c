/* Owns map, zip and reduce with functions of the user. Elements are converted to double, pass the function one by one, and
 * are converted back by the rules of th_astype(). */
#include "engine/base/error.h"
#include "ops/op.h"
#include "ops/loops/runs.h"

enum {
  PIECE = 256, /* elements converted at a time */
  CALL_COST = 8
};

/* --- map --- */

typedef struct map_params {
  th_map_fn fn;
  void *user;
} map_params;

static th_status no_function(const th_infer *io) {
  return th__fail(TH_EINVAL, "%s: the function is NULL", io->op->name);
}

static th_status infer_map(th_infer *io, const void *params) {
  if (((const map_params *)params)->fn == NULL) return no_function(io);
  return th__infer_same(io, params);
}

/* Data of operand i of a walk from element `done` of its run on: outputs are operand 0. */
static char *at(const th_kernel_args *k, const th__runs *walk, int i, int64_t done) {
  const th_layout *l = i == 0 ? &k->out[0] : &k->in[i - 1];
  char *data = i == 0 ? k->out_data[0] : k->in_data[i - 1];
  return data + (walk->offset[i] + done * walk->step[i]) * (int64_t)th_dtype_size(l->dtype);
}

static void map_range(int64_t first, int64_t last, void *arg) {
  const th_kernel_args *k = arg;
  const map_params *p = k->params;
  const th_layout *layouts[] = {&k->out[0], &k->in[0]};
  th__runs walk;
  th__runs_begin(&walk, layouts, 2, first, last);
  while (th__runs_next(&walk))
    for (int64_t i = 0; i < walk.run; i += PIECE) {
      double x[PIECE];
      int64_t n = walk.run - i < PIECE ? walk.run - i : PIECE;
      th__gather_f64(k->in[0].dtype, at(k, &walk, 1, i), walk.step[1], n, x);
      for (int64_t j = 0; j < n; j++) x[j] = p->fn(x[j], p->user);
      th__scatter_f64(k->out[0].dtype, at(k, &walk, 0, i), walk.step[0], n, x);
    }
}

static th_status map_cpu(const th_kernel_args *k) {
  int64_t n = th__layout_size(&k->out[0]);
  th_parallel_for(k->context, n, th__grain(CALL_COST), map_range, (void *)k);
  return TH_OK;
}

static const th_op op_map = {
    .name = "map",
    .in = {1, 0},
    .out = {1, 0},
    .params_size = sizeof(map_params),
    .infer = infer_map,
    .cpu = map_cpu,
    .test = {-2, 2, 0},
};
th_array *th_map(const th_array *a, th_map_fn fn, void *user) {
  return TH_CALL(&op_map, (&(map_params){fn, user}), a);
}

/* --- zip --- */

typedef struct zip_params {
  th_zip_fn fn;
  void *user;
} zip_params;

static th_status infer_zip(th_infer *io, const void *params) {
  if (((const zip_params *)params)->fn == NULL) return no_function(io);
  return th__infer_broadcast(io, params);
}

static void zip_range(int64_t first, int64_t last, void *arg) {
  const th_kernel_args *k = arg;
  const zip_params *p = k->params;
  const th_layout *layouts[] = {&k->out[0], &k->in[0], &k->in[1]};
  th__runs walk;
  th__runs_begin(&walk, layouts, 3, first, last);
  while (th__runs_next(&walk))
    for (int64_t i = 0; i < walk.run; i += PIECE) {
      double x[PIECE], y[PIECE];
      int64_t n = walk.run - i < PIECE ? walk.run - i : PIECE;
      th__gather_f64(k->in[0].dtype, at(k, &walk, 1, i), walk.step[1], n, x);
      th__gather_f64(k->in[1].dtype, at(k, &walk, 2, i), walk.step[2], n, y);
      for (int64_t j = 0; j < n; j++) x[j] = p->fn(x[j], y[j], p->user);
      th__scatter_f64(k->out[0].dtype, at(k, &walk, 0, i), walk.step[0], n, x);
    }
}

static th_status zip_cpu(const th_kernel_args *k) {
  int64_t n = th__layout_size(&k->out[0]);
  th_parallel_for(k->context, n, th__grain(CALL_COST), zip_range, (void *)k);
  return TH_OK;
}

static const th_op op_zip = {
    .name = "zip",
    .in = {2, 0},
    .out = {1, 0},
    .flags = TH_OP_ELEMENTWISE,
    .params_size = sizeof(zip_params),
    .infer = infer_zip,
    .cpu = zip_cpu,
    .test = {-2, 2, 0},
};
th_array *th_zip(const th_array *a, const th_array *b, th_zip_fn fn, void *user) {
  zip_params p = {fn, user};
  if (a == NULL || b == NULL || a->layout.dtype == b->layout.dtype)
    return TH_CALL(&op_zip, &p, a, b);
  if (th__check_devices("zip", (const th_array *const[]){a, b}, 2) != TH_OK) return NULL;
  th_scope scope = th__scope_suspend();
  th_array *pa = NULL, *pb = NULL, *out = NULL;
  if (th__promote_pair(a, b, &pa, &pb) == TH_OK) out = TH_CALL(&op_zip, &p, pa, pb);
  th_release(pa);
  th_release(pb);
  return th__scope_resume(scope, out);
}

/* --- reduce --- */

typedef struct fold_params {
  th_zip_fn fn;
  void *user;
  double start;
  int axis;
  bool keep;
} fold_params;

static th_status infer_fold(th_infer *io, const void *params) {
  const fold_params *p = params;
  const th_layout *in = &io->in[0];
  th_layout *out = &io->out[0];
  int axis;
  if (p->fn == NULL) return no_function(io);
  TH_TRY(th__axis(p->axis, in->ndim, "reduce", &axis));
  out->dtype = in->dtype;
  for (int d = 0; d < in->ndim; d++) {
    if (d != axis)
      out->shape[out->ndim++] = in->shape[d];
    else if (p->keep)
      out->shape[out->ndim++] = 1;
  }
  return TH_OK;
}

typedef struct folding {
  const th_kernel_args *k;
  th_layout lines; /* the input without the axis */
  int64_t n, step;
} folding;

static void fold_lines(int64_t first, int64_t last, void *arg) {
  const folding *f = arg;
  const fold_params *p = f->k->params;
  th_dtype t = f->lines.dtype;
  int64_t item = (int64_t)th_dtype_size(t);
  for (int64_t line = first; line < last; line++) {
    int64_t at_line = th__offset_at(line, f->lines.ndim, f->lines.shape, f->lines.strides);
    const char *from = (const char *)f->k->in_data[0] + at_line * item;
    double result = p->start;
    for (int64_t i = 0; i < f->n; i += PIECE) {
      double x[PIECE];
      int64_t n = f->n - i < PIECE ? f->n - i : PIECE;
      th__gather_f64(t, from + i * f->step * item, f->step, n, x);
      for (int64_t j = 0; j < n; j++) result = p->fn(result, x[j], p->user);
    }
    th__scatter_f64(t, (char *)f->k->out_data[0] + line * item, 1, 1, &result);
  }
}

static th_status fold_cpu(const th_kernel_args *k) {
  const th_layout *in = &k->in[0];
  int axis = ((const fold_params *)k->params)->axis;
  if (axis < 0) axis += in->ndim;
  folding f = {.k = k, .n = in->shape[axis], .step = in->strides[axis]};
  f.lines = th__layout_part(in, axis, 1, false);
  th_parallel_for(k->context, th__layout_size(&f.lines), th__grain(CALL_COST * (f.n + 1)),
                  fold_lines, &f);
  return TH_OK;
}

static const th_op op_reduce = {
    .name = "reduce",
    .in = {1, 0},
    .out = {1, 0},
    .params_size = sizeof(fold_params),
    .infer = infer_fold,
    .cpu = fold_cpu,
    .test = {-2, 2, 0},
};
th_array *th_reduce(const th_array *a, int axis, th_zip_fn fn, double start, bool keepdims,
                    void *user) {
  fold_params p = {fn, user, start, axis, keepdims};
  return TH_CALL(&op_reduce, &p, a);
}

TH_FAMILY_TABLE(functional);
const th_op *const th__family_functional[] = {&op_map, &op_zip, &op_reduce, NULL};
