/* Owns the launchers of reductions, argmax and argmin: which outputs and lanes a block has, how what is reduced is cut into
 * chunks, and the second pass over the chunks. All of it follows from shapes and strides. */
#include <math.h>
#include <stdlib.h>

#include "engine/base/error.h"
#include "ops/cuda/cuda.h"
#include "ops/params.h"
#include "ops/reduce/reduce.h"
#include "ops/loops/runs.h"

enum { BLOCKS = 1024, LEAST_PER_LANE = 64 };

#define NAMES(id)                                                                                  \
  static th__cuda_kernel id##_single = {.name = #id "_single"};                                    \
  static th__cuda_kernel id##_plain[TH_DTYPE_COUNT] = {TH__CUDA_TYPES(NAME_##id)};                 \
  static th__cuda_kernel *id##_of(th_dtype t) {                                                    \
    return th__cuda_is_single(t) ? &id##_single : &id##_plain[t];                                  \
  }
#define NAME_reduce_sum(NAME, t)   [TH_##NAME] = {.name = "reduce_sum_" #t},
#define NAME_reduce_prod(NAME, t)  [TH_##NAME] = {.name = "reduce_prod_" #t},
#define NAME_reduce_max(NAME, t)   [TH_##NAME] = {.name = "reduce_max_" #t},
#define NAME_reduce_min(NAME, t)   [TH_##NAME] = {.name = "reduce_min_" #t},
#define NAME_reduce_all(NAME, t)   [TH_##NAME] = {.name = "reduce_all_" #t},
#define NAME_reduce_any(NAME, t)   [TH_##NAME] = {.name = "reduce_any_" #t},
#define NAME_reduce_count(NAME, t) [TH_##NAME] = {.name = "reduce_count_" #t},
#define NAME_arg(NAME, t)          [TH_##NAME] = {.name = "arg_" #t},
NAMES(reduce_sum)
NAMES(reduce_prod)
NAMES(reduce_max)
NAMES(reduce_min)
NAMES(reduce_all)
NAMES(reduce_any)
NAMES(reduce_count)
NAMES(arg)

/* --- planning --- */

static int64_t blocks(int64_t n, int64_t size) { return n / size + (n % size != 0); }

/* The largest power of two up to n, 256 and at least 1. */
static int32_t power_below(int64_t n) {
  int32_t power = 1;
  while (power < TH__CUDA_BLOCK && 2 * power <= n) power *= 2;
  return power;
}

static void place(th__cuda_place *p, th_layout *l) {
  int ndim = th__layouts_collapse(l, 1);
  th__cuda_shape_set(&p->shape, l->shape, ndim);
  for (int d = 0; d < ndim; d++) {
    p->sizes[d] = l->shape[d];
    p->strides[d] = l->strides[d];
  }
  l->ndim = ndim;
}

static int64_t innermost(const th_layout *l) {
  return l->ndim > 0 ? llabs(l->strides[l->ndim - 1]) : 0;
}

th__cuda_reduction th__cuda_lines(const th_layout *in, uint32_t axes) {
  th_layout kept = {.dtype = in->dtype}, reduced = {.dtype = in->dtype};
  for (int d = 0; d < in->ndim; d++) {
    th_layout *to = axes >> d & 1 ? &reduced : &kept;
    to->shape[to->ndim] = in->shape[d];
    to->strides[to->ndim++] = in->strides[d];
  }
  th__cuda_reduction r = {.dtype = (int32_t)in->dtype, .chunks = 1};
  r.n_out = th__layout_size(&kept);
  r.n_reduced = r.chunk = r.count = th__layout_size(&reduced);
  if (r.n_out == 0 || r.n_reduced == 0) return r;
  place(&r.kept, &kept);
  place(&r.reduced, &reduced);
  int64_t beside = kept.ndim > 0 ? kept.shape[kept.ndim - 1] : 1;
  r.columns = beside >= 8 && innermost(&kept) < innermost(&reduced);
  if (r.columns) {
    int32_t wide = power_below(beside < 32 ? beside : 32), lanes = TH__CUDA_BLOCK / wide;
    if (lanes > r.n_reduced) lanes = power_below(r.n_reduced);
    r.outs = TH__CUDA_BLOCK / lanes;
  } else {
    r.outs = TH__CUDA_BLOCK / power_below(blocks(r.n_reduced, 4));
  }
  return r;
}

/* Chunks for about BLOCKS blocks, if lanes then still have enough to do. */
static void cut(th__cuda_reduction *r) {
  int64_t lanes = TH__CUDA_BLOCK / r->outs, tiles = blocks(r->n_out, r->outs);
  int64_t wanted = BLOCKS / tiles > 1 ? BLOCKS / tiles : 1, least = lanes * LEAST_PER_LANE;
  int64_t chunk = blocks(blocks(r->n_reduced, wanted), lanes) * lanes;
  r->chunk = chunk > least ? chunk : least;
  r->chunks = blocks(r->n_reduced, r->chunk);
}

int64_t th__cuda_line_blocks(const th__cuda_reduction *r) {
  return blocks(r->n_out, r->outs) * r->chunks;
}

/* --- launching --- */

/* The type that partial results of t have in memory. */
static th_dtype partial_type(th_dtype t, bool logical) {
  if (logical) return TH_I32;
  th__compute c = th__compute_of(t);
  return c == TH__F32 ? TH_F32 : c == TH__F64 ? TH_F64 : c == TH__I64 ? TH_I64 : TH_U64;
}

static th_status launch(th_task_context *context, th__cuda_kernel *kernel,
                        const th__cuda_mapping *m, void *out, const void *a,
                        th__cuda_reduction *r) {
  void *plain[] = {&out, &a, r};
  void *mapped[] = {&out, &a, NULL, NULL, NULL, r};
  if (m) {
    mapped[2] = (void *)&m->shift;
    mapped[3] = (void *)&m->map;
    mapped[4] = (void *)&m->number;
  }
  return th__cuda_blocks(context, &th__image_reduce, kernel, th__cuda_line_blocks(r),
                         m ? mapped : plain);
}

th__cuda_kernel *th__cuda_fold_of(th__fold_kind kind, th_dtype t) {
  switch (kind) {
  case TH__FOLD_MAX: return reduce_max_of(t);
  case TH__FOLD_MIN: return reduce_min_of(t);
  case TH__FOLD_PROD: return reduce_prod_of(t);
  default: return reduce_sum_of(t);
  }
}

th_status th__cuda_reduce(th_task_context *context, const th__cuda_folding *f, const th_layout *in,
                          const void *a, void *out) {
  th__cuda_reduction r = th__cuda_lines(in, f->axes);
  int64_t count = r.count;
  for (bool partials = false;; partials = true) {
    cut(&r);
    r.count = count;
    r.out_dtype = (int32_t)f->out;
    r.divide = f->mean;
    const th__cuda_mapping *m = partials ? NULL : f->map;
    th__cuda_kernel *kernel =
        partials && f->then ? f->then((th_dtype)r.dtype) : f->kernel_of((th_dtype)r.dtype);
    if (r.chunks == 1) return launch(context, kernel, m, out, a, &r);
    th_layout partial = {.dtype = partial_type((th_dtype)r.dtype, f->logical), .ndim = 2};
    if (f->then == reduce_sum_of && !f->map) partial.dtype = TH_I64;
    void *room;
    partial.shape[0] = r.chunks;
    partial.shape[1] = r.n_out;
    th__layout_set_contiguous(&partial);
    TH_TRY(th__cuda_scratch(context, th__layout_bytes(&partial), &room));
    TH_TRY(launch(context, kernel, m, room, a, &r));
    r = th__cuda_lines(&partial, 1);
    a = room;
  }
}

static th_status reduce(const th_kernel_args *k, th__cuda_kernel *(*kernel_of)(th_dtype), bool mean,
                        bool logical, double unit) {
  const th__reduce_params *p = k->params;
  const th_layout *in = &k->in[0];
  th__cuda_folding f = {.kernel_of = kernel_of, .mean = mean, .logical = logical};
  f.axes = p->axes != 0 ? p->axes : (1u << in->ndim) - 1;
  f.out = k->out[0].dtype;
  if (th__layout_size(&k->out[0]) == 0) return TH_OK;
  if (th__layout_size(in) > 0)
    return th__cuda_reduce(k->context, &f, in, k->in_data[0], k->out_data[0]);
  uint64_t cell = 0;
  th__dtype_set(f.out, &cell, unit);
  return th__cuda_fill_cell(k->context, &k->out[0], k->out_data[0], cell);
}

static th_status count_nonzero_cuda(const th_kernel_args *k) {
  const th_layout *in = &k->in[0];
  th__cuda_folding f = {.kernel_of = reduce_count_of, .then = reduce_sum_of, .out = TH_I64};
  f.axes = th__axes_of(((const th__reduce_params *)k->params)->axes, in->ndim);
  if (th__layout_size(&k->out[0]) == 0) return TH_OK;
  if (th__layout_size(in) == 0)
    return th__cuda_fill(k->context, k->out_data[0], 0, th__layout_bytes(&k->out[0]));
  return th__cuda_reduce(k->context, &f, in, k->in_data[0], k->out_data[0]);
}

th_status th__cuda_mean(const th_kernel_args *k, const th_layout *in, const void *a) {
  th__cuda_folding f = {.kernel_of = reduce_sum_of, .mean = true, .axes = 1};
  f.out = k->out[0].dtype;
  return th__cuda_reduce(k->context, &f, in, a, k->out_data[0]);
}

#define REDUCTION(id, fold, mean, logical, unit)                                                   \
  static th_status id##_cuda(const th_kernel_args *k) {                                            \
    return reduce(k, fold, mean, logical, unit);                                                   \
  }
REDUCTION(sum, reduce_sum_of, false, false, 0)
REDUCTION(mean, reduce_sum_of, true, false, (double)NAN)
REDUCTION(prod, reduce_prod_of, false, false, 1)
REDUCTION(max, reduce_max_of, false, false, 0)
REDUCTION(min, reduce_min_of, false, false, 0)
REDUCTION(all, reduce_all_of, false, true, 1)
REDUCTION(any, reduce_any_of, false, true, 0)

static th_status arg_of_lines(const th_kernel_args *k, int32_t min) {
  const th__arg_params *p = k->params;
  const th_layout *in = &k->in[0];
  int axis = p->axis < 0 ? p->axis + in->ndim : p->axis;
  th__cuda_reduction r = th__cuda_lines(in, 1u << axis);
  if (r.n_out == 0) return TH_OK;
  void *out = k->out_data[0], *a = k->in_data[0], *args[] = {&out, &a, &min, &r};
  return th__cuda_blocks(k->context, &th__image_reduce, arg_of(in->dtype), th__cuda_line_blocks(&r),
                         args);
}

static th_status argmax_cuda(const th_kernel_args *k) { return arg_of_lines(k, 0); }
static th_status argmin_cuda(const th_kernel_args *k) { return arg_of_lines(k, 1); }

extern const th__cuda_entry th__cuda_reducing[];
const th__cuda_entry th__cuda_reducing[] = {{"sum", sum_cuda},
                                            {"prod", prod_cuda},
                                            {"mean", mean_cuda},
                                            {"max", max_cuda},
                                            {"min", min_cuda},
                                            {"all", all_cuda},
                                            {"any", any_cuda},
                                            {"argmax", argmax_cuda},
                                            {"argmin", argmin_cuda},
                                            {"count_nonzero", count_nonzero_cuda},
                                            {NULL, NULL}};
