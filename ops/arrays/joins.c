/* Owns concat and stack. */
#include <stdint.h>
#include <string.h>

#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "ops/op.h"
#include "ops/loops/runs.h"
#include "ops/params.h"

static th_status shapes_differ(const char *who, const th_layout *first, const th_layout *other,
                               int index) {
  char a[TH__SHAPE_TEXT], b[TH__SHAPE_TEXT];
  return th__fail(TH_ESHAPE, "%s: argument %d has shape %s, argument 0 has %s", who, index,
                  th__shape_text(other->shape, other->ndim, b, sizeof b),
                  th__shape_text(first->shape, first->ndim, a, sizeof a));
}

static th_status infer_concat(th_infer *io, const void *params) {
  const th_layout *first = &io->in[0];
  th_layout *out = &io->out[0];
  int axis;
  TH_TRY(th__axis(((const th__concat_params *)params)->axis, first->ndim, "concat", &axis));
  TH_TRY(th__infer_same(io, params));
  for (int i = 1; i < io->n_in; i++) {
    const th_layout *in = &io->in[i];
    if (in->dtype != first->dtype)
      return th__fail(TH_EDTYPE, "concat: argument %d is %s, argument 0 is %s", i,
                      th_dtype_name(in->dtype), th_dtype_name(first->dtype));
    bool fits = in->ndim == first->ndim;
    for (int d = 0; d < first->ndim && fits; d++)
      fits = d == axis || in->shape[d] == first->shape[d];
    if (!fits) return shapes_differ("concat", first, in, i);
    if (__builtin_add_overflow(out->shape[axis], in->shape[axis], &out->shape[axis]))
      return th__fail(TH_EOVERFLOW, "concat: size along axis %d overflows", axis);
  }
  return TH_OK;
}

typedef struct part {
  th_layout to;
  const th_layout *from;
  char *to_data;
  const char *from_data;
} part;

static void copy_part(int64_t first, int64_t last, void *arg) {
  const part *p = arg;
  const th_layout *layouts[] = {&p->to, p->from};
  size_t size = th_dtype_size(p->to.dtype);
  th__runs walk;
  th__runs_begin(&walk, layouts, 2, first, last);
  while (th__runs_next(&walk))
    th__copy_run(size, p->to_data + walk.offset[0] * (int64_t)size, walk.step[0],
                 p->from_data + walk.offset[1] * (int64_t)size, walk.step[1], walk.run);
}

static th_status concat_cpu(const th_kernel_args *k) {
  int axis = ((const th__concat_params *)k->params)->axis;
  if (axis < 0) axis += k->out[0].ndim;
  int64_t at = 0, item = (int64_t)th_dtype_size(k->out[0].dtype);
  for (int i = 0; i < k->n_in; i++) {
    part p = {.to = k->out[0], .from = &k->in[i], .from_data = k->in_data[i]};
    p.to.shape[axis] = k->in[i].shape[axis];
    p.to_data = (char *)k->out_data[0] + at * p.to.strides[axis] * item;
    at += k->in[i].shape[axis];
    th_parallel_for(k->context, th__layout_size(&k->in[i]), th__grain(1), copy_part, &p);
  }
  return TH_OK;
}

/* The slices of the gradient, as views. */
static th_status vjp_concat(const th_vjp *v) {
  int axis = ((const th__concat_params *)v->params)->axis;
  if (axis < 0) axis += v->out[0].ndim;
  int64_t at = 0;
  for (int i = 0; i < v->n_in; i++) {
    char spec[4 * TH_MAX_DIMS + 64];
    int length = 0;
    for (int d = 0; d < axis; d++) length += snprintf(spec + length, 4, ":, ");
    snprintf(spec + length, sizeof spec - (size_t)length, "%lld:%lld", (long long)at,
             (long long)(at + v->in[i].shape[axis]));
    at += v->in[i].shape[axis];
    if (v->needed[i]) v->result[i] = th_slice(v->gradients[0], spec);
  }
  return th__vjp_check(v);
}

static const th_op op_concat = {
    .name = "concat",
    .in = {1, INT16_MAX},
    .out = {1, 0},
    .params_size = sizeof(th__concat_params),
    .infer = infer_concat,
    .vjp = vjp_concat,
    .cpu = concat_cpu,
    .test = {-1, 1, 1e-4},
};

/* Makes the inputs of one type, in[i] +1 each, then joins them. */
static th_array *promote_and_join(th_array *const *arrays, int n, th_dtype t, int axis) {
  if (th__check_devices("concat", (const th_array *const *)arrays, n) != TH_OK) return NULL;
  const th_array **in = th__zalloc((size_t)n * sizeof *in);
  if (in == NULL) return NULL;
  th_scope scope = th__scope_suspend();
  for (int i = 0; i < n; i++)
    in[i] = arrays[i]->layout.dtype == t ? th_retain(arrays[i]) : th_astype(arrays[i], t);
  th_array *out = th__call(&op_concat, &(th__concat_params){axis}, in, n);
  for (int i = 0; i < n; i++) th_release((th_array *)in[i]);
  th__free(in);
  return th__scope_resume(scope, out);
}

static bool count_fits(const char *who, th_array *const *arrays, int n) {
  if (n >= 1 && n <= INT16_MAX && arrays != NULL) return true;
  th__fail(TH_EINVAL, "%s: %d arrays given, 1 to %d expected", who, n, INT16_MAX);
  return false;
}

th_array *th_concat(th_array *const *arrays, int n, int axis) {
  if (!count_fits("concat", arrays, n)) return NULL;
  bool mixed = false, missing = false;
  th_dtype t = TH_BOOL;
  for (int i = 0; i < n && !missing; i++) {
    missing = arrays[i] == NULL;
    if (missing) break;
    th_dtype own = arrays[i]->layout.dtype;
    t = i == 0 ? own : th__dtype_promote(t, own);
    mixed = mixed || own != arrays[0]->layout.dtype;
  }
  if (mixed && !missing) return promote_and_join(arrays, n, t, axis);
  return th__call(&op_concat, &(th__concat_params){axis}, (const th_array *const *)arrays, n);
}

th_array *th_stack(th_array *const *arrays, int n, int axis) {
  if (!count_fits("stack", arrays, n)) return NULL;
  for (int i = 0; i < n; i++) {
    if (arrays[i] == NULL) return (void)th__null_input("stack", i), NULL;
    if (!th__layout_same_shape(&arrays[i]->layout, &arrays[0]->layout))
      return (void)shapes_differ("stack", &arrays[0]->layout, &arrays[i]->layout, i), NULL;
  }
  int new_axis;
  if (th__axis(axis, arrays[0]->layout.ndim + 1, "stack", &new_axis) != TH_OK) return NULL;
  th_array **views = th__zalloc((size_t)n * sizeof *views);
  if (views == NULL) return NULL;
  th_scope scope = th__scope_suspend();
  for (int i = 0; i < n; i++) views[i] = th_expand_dims(arrays[i], new_axis);
  th_array *out = th_concat(views, n, new_axis);
  for (int i = 0; i < n; i++) th_release(views[i]);
  th__free(views);
  return th__scope_resume(scope, out);
}

TH_FAMILY_TABLE(joins);
const th_op *const th__family_joins[] = {&op_concat, NULL};
