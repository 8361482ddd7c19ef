/* Owns var, std, logsumexp and vector_norm: reductions that map elements first. Those that are shifted, by the mean or the
 * largest element, fold twice. */
#include <math.h>
#include <string.h>

#include "engine/base/error.h"
#include "ops/compose.h"
#include "ops/loops/loop.h"
#include "ops/reduce/map_kind.h"
#include "ops/params_arrays.h"
#include "ops/reduce/reduce.h"
#include "ops/loops/vector_math.h"

/* --- what elements become --- */

/* y[i] = expression of x and, where it has one, the shift s; y may be x. */
#define MAP(id, T, expression)                                                                     \
  TH__WIDE static void id(const th__mapping *m, const void *from, const void *shift, int64_t step, \
                          int64_t n, void *to) {                                                   \
    const T *in = from, *shifts = shift;                                                           \
    T *y = to;                                                                                     \
    const T number = (T)m->number;                                                                 \
    (void)number;                                                                                  \
    if (shifts && step) {                                                                          \
      TH__INDEPENDENT                                                                              \
      for (int64_t i = 0; i < n; i++) {                                                            \
        const T x = in[i], s = shifts[i];                                                          \
        (void)s;                                                                                   \
        y[i] = expression;                                                                         \
      }                                                                                            \
    } else {                                                                                       \
      const T s = shifts ? shifts[0] : 0;                                                          \
      (void)s;                                                                                     \
      TH__INDEPENDENT                                                                              \
      for (int64_t i = 0; i < n; i++) {                                                            \
        const T x = in[i];                                                                         \
        y[i] = expression;                                                                         \
      }                                                                                            \
    }                                                                                              \
  }
MAP(deviation_f32, float, (x - s) * (x - s))
MAP(deviation_f64, double, (x - s) * (x - s))
MAP(exp_f32, float, th__exp_down_f32(x - s))
MAP(exp_f64, double, exp(x - s))
MAP(abs_f32, float, fabsf(x))
MAP(abs_f64, double, fabs(x))
MAP(square_f32, float, x *x)
MAP(square_f64, double, x *x)
MAP(power_f32, float, powf(fabsf(x), number))
MAP(power_f64, double, pow(fabs(x), number))
MAP(nonzero_f32, float, x != 0)
MAP(nonzero_f64, double, x != 0)

typedef void (*map_fn)(const th__mapping *, const void *, const void *, int64_t, int64_t, void *);
static const map_fn maps[][2] = {
    [TH__MAP_DEVIATION] = {deviation_f32, deviation_f64},
    [TH__MAP_EXP] = {exp_f32, exp_f64},
    [TH__MAP_ABS] = {abs_f32, abs_f64},
    [TH__MAP_SQUARE] = {square_f32, square_f64},
    [TH__MAP_POWER] = {power_f32, power_f64},
    [TH__MAP_NONZERO] = {nonzero_f32, nonzero_f64},
};

/* --- two folds and an end --- */

/* In the workspace: shifts and folded values of all outputs in the type computed in, then that of the folds. */
typedef struct job {
  th__reduction r;
  int64_t n_out;
  bool wide; /* f64 */
  void *shift, *folded;
  th_dtype type; /* of both */
} job;

static uint32_t axes_of(const th_kernel_args *k) {
  return th__axes_of(((const th__moment_params *)k->params)->axes, k->in[0].ndim);
}

static th_status infer_moment(th_infer *io, const void *params) {
  const th__moment_params *p = params;
  const th_layout *in = &io->in[0];
  TH_TRY(th__infer_reduced(io, p->axes, p->keep, in->dtype));
  io->workspace = th__reduce_workspace(in, th__axes_of(p->axes, in->ndim));
  io->workspace += 16 * th__layout_size(&io->out[0]);
  return TH_OK;
}

static job begin(const th_kernel_args *k) {
  job j = {.n_out = th__layout_size(&k->out[0]), .wide = k->in[0].dtype == TH_F64};
  j.type = j.wide ? TH_F64 : TH_F32;
  j.shift = k->workspace;
  j.folded = (char *)k->workspace + 8 * j.n_out;
  j.r = (th__reduction){.in = &k->in[0],
                        .data = k->in_data[0],
                        .axes = axes_of(k),
                        .out_dtype = j.type,
                        .workspace = (char *)k->workspace + 16 * j.n_out};
  return j;
}

static void fold_shifts(const th_kernel_args *k, job *j, th__fold_kind kind, bool mean) {
  j->r.kind = kind;
  j->r.mean = mean;
  j->r.out = j->shift;
  th__reduce(k->context, &j->r);
  j->r.mean = false;
}

static void fold_mapped(const th_kernel_args *k, job *j, th__fold_kind kind, th__map_kind map,
                        bool shifted, double number) {
  th__mapping m = {.apply = maps[map][j->wide], .number = number};
  if (shifted) m.shift = j->shift;
  j->r.kind = kind;
  j->r.map = &m;
  j->r.out = j->folded;
  th__reduce(k->context, &j->r);
  j->r.map = NULL;
}

static double end_of(th__end_kind end, double folded, double shift, double number) {
  switch (end) {
  case TH__END_ROOT: return sqrt(folded);
  case TH__END_POWER: return pow(folded, 1 / number);
  case TH__END_VAR: return folded / number;
  case TH__END_STD: return sqrt(folded / number);
  case TH__END_LOGARITHM: return isfinite(shift) ? log(folded) + shift : shift;
  default: return folded;
  }
}

/* All outputs, rounded once to the result's type. */
static void finish(const th_kernel_args *k, const job *j, th__end_kind end, double number) {
  th_dtype t = k->out[0].dtype;
  char *out = k->out_data[0];
  for (int64_t i = 0; i < j->n_out; i++) {
    double folded = j->wide ? ((double *)j->folded)[i] : (double)((float *)j->folded)[i];
    double shift = j->wide ? ((double *)j->shift)[i] : (double)((float *)j->shift)[i];
    th__dtype_set(t, out + i * (int64_t)th_dtype_size(t), end_of(end, folded, shift, number));
  }
}

/* --- var, std --- */

static double divisor_of(const th_layout *in, const th__moment_params *p) {
  double n = (double)th__reduced_size(in, th__axes_of(p->axes, in->ndim)) - p->number;
  return n > 0 ? n : 0;
}

static th_status spread_of(const th_kernel_args *k, bool root) {
  job j = begin(k);
  if (j.n_out == 0) return TH_OK;
  fold_shifts(k, &j, TH__FOLD_SUM, true);
  fold_mapped(k, &j, TH__FOLD_SUM, TH__MAP_DEVIATION, true, 0);
  finish(k, &j, root ? TH__END_STD : TH__END_VAR, divisor_of(&k->in[0], k->params));
  return TH_OK;
}

static th_status var_cpu(const th_kernel_args *k) { return spread_of(k, false); }
static th_status std_cpu(const th_kernel_args *k) { return spread_of(k, true); }

static th_status give(const th_vjp *v, th_scope scope, th_array *result) {
  v->result[0] = result ? th_keep(result) : NULL;
  th_scope_end(scope);
  return th__vjp_check(v);
}

static uint32_t vjp_axes(const th_vjp *v) { return ((const th__moment_params *)v->params)->axes; }

/* (x - mean) / divisor, of halves as f32. */
static th_array *centered(const th_vjp *v) {
  int axes[TH_MAX_DIMS], n = th__axes_list(vjp_axes(v), v->in[0].ndim, axes);
  th_array *x = th__widened(v->inputs[0]), *mean = n > 0 ? th_mean(x, axes, n, true) : x;
  return th_divide_scalar(th_subtract(x, mean), divisor_of(&v->in[0], v->params));
}

static th_status vjp_var(const th_vjp *v) {
  th_scope scope = th_scope_begin();
  th_array *g = th__with_kept_dims(v, vjp_axes(v), th__widened(v->gradients[0]));
  th_array *result = th_multiply(th_multiply_scalar(centered(v), 2), g);
  return give(v, scope, th__narrowed(result, v->in[0].dtype));
}

/* Where all elements are equal there is no slope: 0 is given. */
static th_status vjp_std(const th_vjp *v) {
  th_scope scope = th_scope_begin();
  th_array *std = th__widened(v->outputs[0]);
  th_array *g = th_divide(th__widened(v->gradients[0]), std);
  g = th_masked_fill(g, th_equal_scalar(std, 0), 0);
  th_array *result = th_multiply(centered(v), th__with_kept_dims(v, vjp_axes(v), g));
  return give(v, scope, th__narrowed(result, v->in[0].dtype));
}

/* --- logsumexp --- */

static th_status logsumexp_cpu(const th_kernel_args *k) {
  job j = begin(k);
  if (j.n_out == 0) return TH_OK;
  if (th__reduced_size(j.r.in, j.r.axes) > 0)
    fold_shifts(k, &j, TH__FOLD_MAX, false);
  else
    memset(j.shift, 0, (size_t)j.n_out * 8);
  fold_mapped(k, &j, TH__FOLD_SUM, TH__MAP_EXP, true, 0);
  finish(k, &j, TH__END_LOGARITHM, 0);
  return TH_OK;
}

static th_status vjp_logsumexp(const th_vjp *v) {
  th_scope scope = th_scope_begin();
  th_array *out = th__with_kept_dims(v, vjp_axes(v), v->outputs[0]);
  th_array *g = th__with_kept_dims(v, vjp_axes(v), v->gradients[0]);
  return give(v, scope, th_multiply(th_exp(th_subtract(v->inputs[0], out)), g));
}

/* --- vector_norm --- */

static th_status infer_norm(th_infer *io, const void *params) {
  const th__moment_params *p = params;
  const th_layout *in = &io->in[0];
  bool extreme = isinf(p->number);
  if (isnan(p->number)) return th__fail(TH_EINVAL, "vector_norm: the order is NaN");
  if (extreme && th__reduced_size(in, th__axes_of(p->axes, in->ndim)) == 0) {
    char text[TH__SHAPE_TEXT];
    return th__fail(TH_ESHAPE, "vector_norm: nothing to choose from in shape %s",
                    th__shape_text(in->shape, in->ndim, text, sizeof text));
  }
  return infer_moment(io, params);
}

static th_status vector_norm_cpu(const th_kernel_args *k) {
  double ord = ((const th__moment_params *)k->params)->number;
  job j = begin(k);
  if (j.n_out == 0) return TH_OK;
  th__map_kind map = isinf(ord) || ord == 1 ? TH__MAP_ABS
                     : ord == 2             ? TH__MAP_SQUARE
                     : ord == 0             ? TH__MAP_NONZERO
                                            : TH__MAP_POWER;
  th__fold_kind kind = !isinf(ord) ? TH__FOLD_SUM : ord > 0 ? TH__FOLD_MAX : TH__FOLD_MIN;
  memset(j.shift, 0, (size_t)j.n_out * 8);
  fold_mapped(k, &j, kind, map, false, ord);
  finish(k, &j,
         map == TH__MAP_SQUARE  ? TH__END_ROOT
         : map == TH__MAP_POWER ? TH__END_POWER
                                : TH__END_SAME,
         ord);
  return TH_OK;
}

/* An extreme shares the gradient evenly among the elements that have it. x and norm are widened. */
static th_array *extreme_share(const th_vjp *v, const th_array *x, th_array *norm) {
  int axes[TH_MAX_DIMS], n = th__axes_list(vjp_axes(v), v->in[0].ndim, axes);
  th_array *mask = th_astype(th_equal(th_abs(x), norm), x ? x->layout.dtype : TH_F32);
  return n > 0 ? th_divide(mask, th_sum(mask, axes, n, true)) : mask;
}

/* sign(x) (|x| / norm)^(ord - 1); 0 where the norm is 0. */
static th_status vjp_vector_norm(const th_vjp *v) {
  double ord = ((const th__moment_params *)v->params)->number;
  th_scope scope = th_scope_begin();
  th_array *x = th__widened(v->inputs[0]), *slope = NULL;
  th_array *norm = th__with_kept_dims(v, vjp_axes(v), th__widened(v->outputs[0]));
  th_array *g = th__with_kept_dims(v, vjp_axes(v), th__widened(v->gradients[0]));
  if (isinf(ord))
    slope = th_multiply(th_sign(x), extreme_share(v, x, norm));
  else if (ord == 0)
    slope = th_multiply_scalar(x, 0);
  else if (ord == 1)
    slope = th_sign(x);
  else if (ord == 2)
    slope = th_masked_fill(th_divide(x, norm), th_equal_scalar(norm, 0), 0);
  else
    slope =
        th_multiply(th_sign(x), th_masked_fill(th_pow_scalar(th_divide(th_abs(x), norm), ord - 1),
                                               th_equal_scalar(norm, 0), 0));
  return give(v, scope, th__narrowed(th_multiply(slope, g), v->in[0].dtype));
}

/* --- records and public functions --- */

static th_array *call(const th_op *op, const th_array *a, const int *axes, int n_axes,
                      double number, bool keep) {
  th__moment_params p = {.keep = keep, .number = number};
  if (a && th__axes_mask(axes, n_axes, a->layout.ndim, op->name, &p.axes) != TH_OK) return NULL;
  return TH_CALL(op, &p, a);
}

#define MOMENT(id, infer_)                                                                         \
  static const th_op op_##id = {.name = #id,                                                       \
                                .in = {1, 0},                                                      \
                                .out = {1, 0},                                                     \
                                .saves = TH_SAVE_IN(0) | TH_SAVE_OUT(0),                           \
                                .dtypes = TH_FLOATS,                                               \
                                .params_size = sizeof(th__moment_params),                          \
                                .infer = infer_,                                                   \
                                .vjp = vjp_##id,                                                   \
                                .cpu = id##_cpu,                                                   \
                                .test = {-2, 2, 1e-4}};
MOMENT(var, infer_moment)
MOMENT(std, infer_moment)
MOMENT(logsumexp, infer_moment)
MOMENT(vector_norm, infer_norm)

th_array *th_variance(const th_array *a, const int *axes, int n_axes, double correction,
                      bool keepdims) {
  return call(&op_var, a, axes, n_axes, correction, keepdims);
}

th_array *th_std(const th_array *a, const int *axes, int n_axes, double correction, bool keepdims) {
  return call(&op_std, a, axes, n_axes, correction, keepdims);
}

th_array *th_logsumexp(const th_array *a, const int *axes, int n_axes, bool keepdims) {
  return call(&op_logsumexp, a, axes, n_axes, 0, keepdims);
}

th_array *th_vector_norm(const th_array *a, const int *axes, int n_axes, double ord,
                         bool keepdims) {
  return call(&op_vector_norm, a, axes, n_axes, ord, keepdims);
}

TH_FAMILY_TABLE(moments);
const th_op *const th__family_moments[] = {&op_var, &op_std, &op_logsumexp, &op_vector_norm, NULL};
