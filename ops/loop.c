/* Owns the walk over strided operands: dimensions are joined where all operands allow it, long loops are cut into blocks of a
 * fixed number of elements, and each block runs the inner loop along the last dimension. */
#include "ops/loop.h"

typedef struct walk {
  const th__loop *loop;
  int ndim; /* at least 1 */
  int64_t shape[TH_MAX_DIMS];
  int64_t strides[TH_MAX_DIMS][TH__LOOP_OPERANDS]; /* in bytes */
} walk;

/* Elements [first, last) in rows-first order. */
static void run_block(int64_t first, int64_t last, void *arg) {
  const walk *w = arg;
  int n = w->loop->n, inner = w->ndim - 1;
  int64_t at[TH_MAX_DIMS];
  char *p[TH__LOOP_OPERANDS];
  for (int k = 0; k < n; k++) p[k] = w->loop->data[k];
  int64_t rest = first;
  for (int d = inner; d >= 0; d--) {
    at[d] = rest % w->shape[d];
    rest /= w->shape[d];
    for (int k = 0; k < n; k++) p[k] += at[d] * w->strides[d][k];
  }
  for (;;) {
    int64_t run = w->shape[inner] - at[inner];
    if (run > last - first) run = last - first;
    w->loop->inner(p, w->strides[inner], run, w->loop->user);
    first += run;
    if (first >= last) return;
    for (int k = 0; k < n; k++) p[k] -= at[inner] * w->strides[inner][k];
    at[inner] = 0;
    for (int d = inner - 1; d >= 0; d--) {
      for (int k = 0; k < n; k++) p[k] += w->strides[d][k];
      if (++at[d] < w->shape[d]) break;
      for (int k = 0; k < n; k++) p[k] -= at[d] * w->strides[d][k];
      at[d] = 0;
    }
  }
}

void th__loop_run(th__loop *loop, th_task_context *context) {
  int64_t size = th__layout_size(&loop->layout[0]);
  if (size == 0) return;
  walk w = {.loop = loop, .ndim = th__layouts_collapse(loop->layout, loop->n)};
  for (int d = 0; d < w.ndim; d++) {
    w.shape[d] = loop->layout[0].shape[d];
    for (int k = 0; k < loop->n; k++)
      w.strides[d][k] = loop->layout[k].strides[d] * (int64_t)th_dtype_size(loop->layout[k].dtype);
  }
  if (w.ndim == 0) {
    w.shape[0] = w.ndim = 1;
    for (int k = 0; k < loop->n; k++) w.strides[0][k] = 0;
  }
  if (size <= TH__LOOP_GRAIN)
    run_block(0, size, &w);
  else
    th_parallel_for(context, size, TH__LOOP_GRAIN, run_block, &w);
}

/* The elements of a result without gaps, when all inputs lie like it: one run covers everything. 0 when they do not. */
static int64_t one_run(const th_kernel_args *k, const th_layout *result) {
  int64_t size = 1;
  for (int d = result->ndim - 1; d >= 0; d--) {
    if (result->strides[d] != size) return 0;
    for (int i = 0; i < k->n_in; i++)
      if (k->in[i].strides[d] != size) return 0;
    size *= result->shape[d];
  }
  return size;
}

/* The loop over so few elements that arranging a walk would cost more than walking. */
static void run_small(const th_kernel_args *k, const th_layout *result, char *data, int64_t size,
                      th__inner inner, const void *user) {
  char *p[TH__LOOP_OPERANDS];
  int64_t strides[TH__LOOP_OPERANDS];
  p[0] = data;
  strides[0] = th__dtype_size(result->dtype);
  for (int i = 0; i < k->n_in; i++) {
    p[1 + i] = k->in_data[i];
    strides[1 + i] = th__dtype_size(k->in[i].dtype);
  }
  inner(p, strides, size, user);
}

th_status th__loop_kernel(const th_kernel_args *k, th__inner inner, const void *user) {
  const th_layout *result = k->n_out ? &k->out[0] : &k->in[0];
  int64_t size = one_run(k, result);
  if (size > 0 && size <= TH__LOOP_GRAIN) {
    run_small(k, result, k->n_out ? k->out_data[0] : k->in_data[0], size, inner, user);
    return TH_OK;
  }
  th__loop loop = {.n = 1 + k->n_in, .inner = inner, .user = user};
  loop.layout[0] = k->n_out ? k->out[0] : k->in[0];
  loop.data[0] = k->n_out ? k->out_data[0] : k->in_data[0];
  for (int i = 0; i < k->n_in; i++) {
    loop.layout[1 + i] = k->in[i];
    loop.data[1 + i] = k->in_data[i];
  }
  th__loop_run(&loop, k->context);
  return TH_OK;
}
