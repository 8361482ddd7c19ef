/* Owns the launchers of updates: a table of all parameters is sent to the device, and one launch steps them. */
#include "ops/cuda_update.h"

#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "ops/cuda.h"
#include "ops/params.h"
#include "ops/params_nn.h"

/* Parameter i; without elements it takes no block. */
static th_status describe(const th_kernel_args *k, int i, int n, int controls, th__cuda_update *u) {
  int operands = (k->n_in - controls) / n;
  th_layout layouts[TH__WALK_OPERANDS];
  *u = (th__cuda_update){.first_block = 0};
  for (int j = 0; j < operands; j++) {
    layouts[j] = k->in[i + j * n];
    u->data[j] = k->in_data[i + j * n];
  }
  u->walk.size = th__layout_size(&layouts[0]);
  u->walk.dtype = (int32_t)layouts[0].dtype;
  if (u->walk.size == 0) return TH_OK;
  int ndim = th__layouts_collapse(layouts, operands);
  bool dense = ndim <= 1;
  for (int j = 0; j < operands && ndim == 1; j++) dense = dense && layouts[j].strides[0] == 1;
  if (dense) return TH_OK;
  if (u->walk.size >> 31 != 0)
    return th_context_fail(k->context, TH_ENOSYS,
                           "%s: parameter %d has gaps and 2^31 elements or more", k->op->name, i);
  th__cuda_shape_set(&u->walk.shape, layouts[0].shape, ndim);
  for (int d = 0; d < ndim; d++)
    for (int j = 0; j < operands; j++) u->walk.strides[d][j] = layouts[j].strides[d];
  return TH_OK;
}

/* One launch over n parameters; args are the kernel's, with room for the table, its length and the controls in front. */
static th_status step_all(const th_kernel_args *k, int n, int controls, th__cuda_kernel *kernel,
                          void **args) {
  int64_t blocks = 0, used = 0, bytes;
  void *there, *control[2] = {NULL};
  for (int i = 0; i < controls; i++) control[i] = k->in_data[k->n_in - controls + i];
  th__cuda_update *table = th__alloc((size_t)n * sizeof *table);
  if (!table) return th_context_fail(k->context, TH_ENOMEM, "%s: no host memory", k->op->name);
  th_status status = TH_OK;
  for (int i = 0; i < n && status == TH_OK; i++) {
    status = describe(k, i, n, controls, &table[used]);
    if (status != TH_OK || table[used].walk.size == 0) continue;
    table[used].first_block = blocks;
    blocks += (table[used++].walk.size + TH__UPDATE_CHUNK - 1) / TH__UPDATE_CHUNK;
  }
  bytes = used * (int64_t)sizeof *table;
  if (status == TH_OK && used > 0) status = th__cuda_scratch(k->context, bytes, &there);
  if (status == TH_OK && used > 0) status = th__cuda_upload(k->context, there, table, bytes);
  args[0] = &there;
  args[1] = &used;
  args[2] = &control[0];
  args[3] = &control[1];
  if (status == TH_OK && used > 0)
    status = th__cuda_blocks(k->context, &th__image_update, kernel, blocks, args);
  th__free(table);
  return status;
}

static th_status sgd_cuda(const th_kernel_args *k) {
  static th__cuda_kernel kernel = {.name = "sgd_step"};
  th__sgd_params p = *(const th__sgd_params *)k->params;
  int32_t nesterov = p.nesterov;
  void *args[] = {NULL, NULL, NULL, NULL, &p.lr, &p.momentum, &p.weight_decay, &nesterov};
  return step_all(k, p.n, p.controls, &kernel, args);
}

static th_status adam_cuda(const th_kernel_args *k) {
  static th__cuda_kernel kernel = {.name = "adam_step"};
  th__adam_params p = *(const th__adam_params *)k->params;
  double shrink = p.decoupled ? 1 - p.lr * p.weight_decay : 1;
  double decay = p.decoupled ? 0 : p.weight_decay;
  void *args[] = {NULL,     NULL,    NULL,    NULL,   &p.lr,   &p.step, &p.beta1,
                  &p.beta2, &p.rate, &p.root, &p.eps, &shrink, &decay};
  return step_all(k, p.n, p.controls, &kernel, args);
}

static th_status rmsprop_cuda(const th_kernel_args *k) {
  static th__cuda_kernel kernel = {.name = "rmsprop_step"};
  th__rmsprop_params p = *(const th__rmsprop_params *)k->params;
  void *args[] = {NULL, NULL, NULL, NULL, &p.lr, &p.alpha, &p.eps, &p.weight_decay, &p.momentum};
  return step_all(k, p.n, p.controls, &kernel, args);
}

extern const th__cuda_entry th__cuda_updating[];
const th__cuda_entry th__cuda_updating[] = {
    {"sgd_step", sgd_cuda}, {"adam_step", adam_cuda}, {"rmsprop_step", rmsprop_cuda}, {NULL, NULL}};
