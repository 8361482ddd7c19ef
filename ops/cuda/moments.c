/* Owns the launchers of var, std, logsumexp and vector_norm: folds of mapped elements, and a kernel that ends them. */
#include <math.h>

#include "engine/base/error.h"
#include "ops/cuda/cuda.h"
#include "ops/reduce/map_kind.h"
#include "ops/params_arrays.h"
#include "ops/reduce/reduce.h"

#define MAPPED(id, fold)                                                                           \
  static th__cuda_kernel *mapped_##id##_of(th_dtype t) {                                           \
    static th__cuda_kernel single = {.name = "mapped_" #id "_single"};                             \
    static th__cuda_kernel f64 = {.name = "mapped_" #id "_f64"};                                   \
    return t == TH_F64 ? &f64 : &single;                                                           \
  }                                                                                                \
  static th__cuda_kernel *id##_of(th_dtype t) { return th__cuda_fold_of(fold, t); }
MAPPED(sum, TH__FOLD_SUM)
MAPPED(max, TH__FOLD_MAX)
MAPPED(min, TH__FOLD_MIN)

typedef struct job {
  const th_kernel_args *k;
  uint32_t axes;
  int64_t n_out;
  th_dtype type; /* computed in */
  void *shift, *folded;
} job;

static th_status begin(const th_kernel_args *k, job *j) {
  const th_layout *in = &k->in[0];
  *j = (job){.k = k, .n_out = th__layout_size(&k->out[0])};
  j->axes = th__axes_of(((const th__moment_params *)k->params)->axes, in->ndim);
  j->type = in->dtype == TH_F64 ? TH_F64 : TH_F32;
  return th__cuda_scratch(k->context, 8 * j->n_out + 1, &j->folded);
}

/* The mean or largest of each output's elements. */
static th_status fold_shifts(job *j, bool mean) {
  th__cuda_folding f = {
      .kernel_of = mean ? sum_of : max_of, .axes = j->axes, .out = j->type, .mean = mean};
  TH_TRY(th__cuda_scratch(j->k->context, 8 * j->n_out + 1, &j->shift));
  return th__cuda_reduce(j->k->context, &f, &j->k->in[0], j->k->in_data[0], j->shift);
}

static th_status finish(const job *j, int32_t end, double number) {
  static th__cuda_kernel kernel = {.name = "finish_mapped"};
  int64_t n = j->n_out;
  int32_t wide = j->type == TH_F64, dtype = (int32_t)j->k->out[0].dtype;
  void *out = j->k->out_data[0];
  const void *folded = j->folded, *shift = j->shift;
  void *args[] = {&out, &folded, &shift, &n, &wide, &dtype, &end, &number};
  return th__cuda_blocks(j->k->context, &th__image_reduce, &kernel,
                         th__cuda_blocks_for(j->k->context, n), args);
}

static th_status fold_mapped(job *j, th__fold_kind kind, th__map_kind map, double number) {
  th__cuda_mapping m = {j->shift, (int32_t)map, number};
  th__cuda_folding f = {.axes = j->axes, .out = j->type, .map = &m};
  f.kernel_of = kind == TH__FOLD_MAX   ? mapped_max_of
                : kind == TH__FOLD_MIN ? mapped_min_of
                                       : mapped_sum_of;
  f.then = kind == TH__FOLD_MAX ? max_of : kind == TH__FOLD_MIN ? min_of : sum_of;
  if (th__layout_size(&j->k->in[0]) == 0)
    return th__cuda_fill(j->k->context, j->folded, 0, 8 * j->n_out);
  return th__cuda_reduce(j->k->context, &f, &j->k->in[0], j->k->in_data[0], j->folded);
}

static th_status spread_of(const th_kernel_args *k, int32_t end) {
  job j;
  if (th__layout_size(&k->out[0]) == 0) return TH_OK;
  TH_TRY(begin(k, &j));
  double n = (double)th__reduced_size(&k->in[0], j.axes);
  n -= ((const th__moment_params *)k->params)->number;
  if (th__layout_size(&k->in[0]) > 0) TH_TRY(fold_shifts(&j, true));
  TH_TRY(fold_mapped(&j, TH__FOLD_SUM, TH__MAP_DEVIATION, 0));
  return finish(&j, end, n > 0 ? n : 0);
}

static th_status var_cuda(const th_kernel_args *k) { return spread_of(k, TH__END_VAR); }
static th_status std_cuda(const th_kernel_args *k) { return spread_of(k, TH__END_STD); }

static th_status logsumexp_cuda(const th_kernel_args *k) {
  job j;
  if (th__layout_size(&k->out[0]) == 0) return TH_OK;
  TH_TRY(begin(k, &j));
  if (th__layout_size(&k->in[0]) > 0) TH_TRY(fold_shifts(&j, false));
  TH_TRY(fold_mapped(&j, TH__FOLD_SUM, TH__MAP_EXP, 0));
  return finish(&j, TH__END_LOGARITHM, 0);
}

static th_status vector_norm_cuda(const th_kernel_args *k) {
  double ord = ((const th__moment_params *)k->params)->number;
  th__map_kind map = isinf(ord) || ord == 1 ? TH__MAP_ABS
                     : ord == 2             ? TH__MAP_SQUARE
                     : ord == 0             ? TH__MAP_NONZERO
                                            : TH__MAP_POWER;
  th__fold_kind kind = !isinf(ord) ? TH__FOLD_SUM : ord > 0 ? TH__FOLD_MAX : TH__FOLD_MIN;
  job j;
  if (th__layout_size(&k->out[0]) == 0) return TH_OK;
  TH_TRY(begin(k, &j));
  TH_TRY(fold_mapped(&j, kind, map, ord));
  int32_t end = map == TH__MAP_SQUARE  ? TH__END_ROOT
                : map == TH__MAP_POWER ? TH__END_POWER
                                       : TH__END_SAME;
  return finish(&j, end, ord);
}

extern const th__cuda_entry th__cuda_moments[];
const th__cuda_entry th__cuda_moments[] = {{"var", var_cuda},
                                           {"std", std_cuda},
                                           {"logsumexp", logsumexp_cuda},
                                           {"vector_norm", vector_norm_cuda},
                                           {NULL, NULL}};
