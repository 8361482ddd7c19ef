/* Owns the launchers of randint, bernoulli, categorical and dropout. */
#include <string.h>

#include "engine/base/error.h"
#include "ops/cuda/cuda.h"
#include "ops/params_nn.h"

static th_status launch(const th_kernel_args *k, th__cuda_kernel *kernel, int64_t threads,
                        void **args) {
  if (threads == 0) return TH_OK;
  return th__cuda_blocks(k->context, &th__image_sample, kernel,
                         th__cuda_blocks_for(k->context, threads), args);
}

static th_status randint_cuda(const th_kernel_args *k) {
  static th__cuda_kernel kernel = {.name = "randint"};
  th__randint_params p = *(const th__randint_params *)k->params;
  int64_t n = th__layout_size(&k->out[0]);
  int32_t dtype = (int32_t)p.dtype;
  return launch(
      k, &kernel, (n + 1) / 2,
      (void *[]){(void *)&k->out_data[0], &n, &dtype, &p.seed, &p.counter, &p.low, &p.range});
}

static th_status bernoulli_cuda(const th_kernel_args *k) {
  static th__cuda_kernel kernel = {.name = "bernoulli"};
  th__bernoulli_params p = *(const th__bernoulli_params *)k->params;
  int64_t n = th__layout_size(&k->out[0]);
  int32_t dtype = (int32_t)p.dtype;
  return launch(k, &kernel, (n + 3) / 4,
                (void *[]){(void *)&k->out_data[0], &n, &dtype, &p.seed, &p.counter, &p.below});
}

static th_status categorical_cuda(const th_kernel_args *k) {
  static th__cuda_kernel single = {.name = "categorical_single"}, f64 = {.name = "categorical_f64"};
  th__categorical_params p = *(const th__categorical_params *)k->params;
  const th_layout *w = &k->in[0];
  int32_t dtype = (int32_t)w->dtype;
  int64_t rows = w->ndim == 2 ? w->shape[0] : 1, row_step = w->ndim == 2 ? w->strides[0] : 0;
  int64_t classes = w->shape[w->ndim - 1], step = w->strides[w->ndim - 1];
  return launch(k, dtype == TH_F64 ? &f64 : &single, rows * p.n,
                (void *[]){(void *)&k->out_data[0], (void *)&k->in_data[0], &dtype, &rows, &classes,
                           &row_step, &step, &p.n, &p.seed, &p.counter});
}

/* Drawn by the number of an element, so the loop must not be cut: many elements with gaps are packed first. */
static th_status dropout_cuda(const th_kernel_args *k) {
  static th__cuda_kernel single = {.name = "dropout_single"}, f64 = {.name = "dropout_f64"};
  const th__dropout_params *p = k->params;
  th_layout in = k->in[0];
  void *data = k->in_data[0];
  if (th__layout_size(&in) > th__cuda_loop_most && !th__layout_contiguous(&in)) {
    th__layout_set_contiguous(&in);
    TH_TRY(th__cuda_scratch(k->context, th__layout_bytes(&in), &data));
    TH_TRY(th__cuda_move(k->context, &in, data, &k->in[0], k->in_data[0]));
  }
  th__cuda_loop l = {.context = k->context,
                     .image = &th__image_sample,
                     .kernel = in.dtype == TH_F64 ? &f64 : &single,
                     .n_cells = 4,
                     .cell = {p->seed, p->counter, p->below},
                     .dtype = in.dtype};
  memcpy(&l.cell[3], &p->scale, sizeof p->scale);
  th__cuda_loop_add(&l, &k->out[0], k->out_data[0]);
  th__cuda_loop_add(&l, &in, data);
  return th__cuda_loop_run(&l);
}

extern const th__cuda_entry th__cuda_sampling[];
const th__cuda_entry th__cuda_sampling[] = {{"randint", randint_cuda},
                                            {"bernoulli", bernoulli_cuda},
                                            {"categorical", categorical_cuda},
                                            {"dropout", dropout_cuda},
                                            {NULL, NULL}};
