/* Owns the launchers of cumulative_sum and cumulative_prod. Long lines are cut into chunks by their length alone: folds of
 * chunks, a scan of these, then the running values. */
#include "engine/base/error.h"
#include "ops/cuda/cuda.h"
#include "ops/params_arrays.h"
#include "ops/loops/runs.h"

enum { EACH = 8, LONGEST = 64 * EACH * TH__CUDA_BLOCK, LINES = 2048 };
enum { PRODUCT = 1, INITIAL = 2, ONLY_FOLD = 4 }; /* as ops/reduce/scan.cu has them */

static th__cuda_kernel scan_single = {.name = "scan_single"};
static th__cuda_kernel down_single = {.name = "scan_down_single"};
static th__cuda_kernel scan_plain[TH_DTYPE_COUNT] = {
#define NAME(NAME, t) [TH_##NAME] = {.name = "scan_" #t},
    TH__CUDA_TYPES(NAME)
#undef NAME
};
static th__cuda_kernel down_plain[TH_DTYPE_COUNT] = {
#define NAME(NAME, t) [TH_##NAME] = {.name = "scan_down_" #t},
    TH__CUDA_TYPES(NAME)
#undef NAME
};

typedef struct scanning {
  th_task_context *context;
  const void *a;
  void *out;
  th_layout in, result; /* with the axis */
  int axis;
  int32_t what;
} scanning;

static th_status launch(const scanning *s, void *out, const void *before, int64_t chunks,
                        int64_t each, int32_t what) {
  th_dtype t = s->in.dtype;
  th__cuda_place in_lines = th__cuda_lines(&s->in, 1u << s->axis).kept;
  th__cuda_place out_lines = th__cuda_lines(&s->result, 1u << s->axis).kept;
  int64_t n = s->in.shape[s->axis], in_step = s->in.strides[s->axis];
  int64_t out_step = s->result.strides[s->axis], lines = th__layout_size(&s->in) / n;
  int32_t dtype = (int32_t)t;
  const void *a = s->a;
  void *args[] = {&out,    &a,    &before, &n,     &in_step,  &out_step,
                  &chunks, &each, &what,   &dtype, &in_lines, &out_lines};
  return th__cuda_blocks(s->context, &th__image_scan,
                         th__cuda_is_single(t) ? &scan_single : &scan_plain[t], lines * chunks,
                         args);
}

/* Lines of `chunks` folds each: what precedes each chunk, of which there are at most a few thousand. */
static th_status scan_folds(const scanning *s, const void *folds, int64_t lines, int64_t chunks,
                            void **before) {
  bool floating = th__dtype_in(s->in.dtype, TH_FLOATS);
  th_layout all = {.dtype = floating ? TH_F64 : TH_U64, .ndim = 2, .shape = {lines, chunks}};
  th__layout_set_contiguous(&all);
  TH_TRY(th__cuda_scratch(s->context, th__layout_bytes(&all), before));
  scanning inner = {.context = s->context,
                    .a = folds,
                    .in = all,
                    .result = all,
                    .axis = 1,
                    .what = (s->what & PRODUCT) | INITIAL};
  inner.in.shape[1] = chunks - 1;
  int64_t each = (chunks - 1 + TH__CUDA_BLOCK - 1) / TH__CUDA_BLOCK;
  return launch(&inner, *before, NULL, 1, each, inner.what);
}

static th_status scan_lines(const scanning *s) {
  int64_t n = s->in.shape[s->axis], lines = th__layout_size(&s->in) / n;
  int64_t least = (n + TH__CUDA_BLOCK - 1) / TH__CUDA_BLOCK, size = EACH * TH__CUDA_BLOCK;
  if (n <= size || lines >= LINES)
    return launch(s, s->out, NULL, 1, least > 0 ? least : 1, s->what);
  if (n > 1024 * size) size = LONGEST;
  int64_t chunks = (n + size - 1) / size;
  void *folds, *before;
  TH_TRY(th__cuda_scratch(s->context, lines * chunks * 8, &folds));
  TH_TRY(launch(s, folds, NULL, chunks, size / TH__CUDA_BLOCK, s->what | ONLY_FOLD));
  TH_TRY(scan_folds(s, folds, lines, chunks, &before));
  return launch(s, s->out, before, chunks, size / TH__CUDA_BLOCK, s->what);
}

static th_status scan_down(const scanning *s) {
  th_dtype t = s->in.dtype;
  th_layout to = th__layout_part(&s->result, s->axis, 1, false);
  th_layout from = th__layout_part(&s->in, s->axis, 1, false);
  th__cuda_loop l = {.context = s->context,
                     .image = &th__image_scan,
                     .kernel = th__cuda_is_single(t) ? &down_single : &down_plain[t],
                     .threads = th__layout_size(&to),
                     .n_cells = 4,
                     .cell = {(uint64_t)s->in.shape[s->axis], (uint64_t)s->in.strides[s->axis],
                              (uint64_t)s->result.strides[s->axis], (uint64_t)s->what},
                     .dtype = t};
  th__cuda_loop_add(&l, &to, s->out);
  th__cuda_loop_add(&l, &from, s->a);
  return th__cuda_loop_run(&l);
}

static th_status scan(const th_kernel_args *k, bool product, double unit) {
  const th__scan_params *p = k->params;
  scanning s = {.context = k->context,
                .a = k->in_data[0],
                .out = k->out_data[0],
                .in = k->in[0],
                .result = k->out[0],
                .axis = p->axis,
                .what = (product ? PRODUCT : 0) | (p->initial ? INITIAL : 0)};
  int64_t n = s.in.shape[p->axis];
  if (th__layout_size(&k->out[0]) == 0) return TH_OK;
  if (n == 0) { /* only initial elements */
    uint64_t cell = 0;
    th__dtype_set(k->out[0].dtype, &cell, unit);
    return th__cuda_fill_cell(k->context, &k->out[0], k->out_data[0], cell);
  }
  int64_t lines = th__layout_size(&s.in) / n;
  bool beside = p->axis < s.in.ndim - 1 && s.in.shape[s.in.ndim - 1] >= 32;
  return beside && (lines >= LINES || n <= 64) ? scan_down(&s) : scan_lines(&s);
}

static th_status cumulative_sum_cuda(const th_kernel_args *k) { return scan(k, false, 0); }
static th_status cumulative_prod_cuda(const th_kernel_args *k) { return scan(k, true, 1); }

extern const th__cuda_entry th__cuda_scanning[];
const th__cuda_entry th__cuda_scanning[] = {{"cumulative_sum", cumulative_sum_cuda},
                                            {"cumulative_prod", cumulative_prod_cuda},
                                            {NULL, NULL}};
