/* Owns the launcher of sgd_step: a table of all parameters is sent to the device, and one launch steps them. */
#include "ops/cuda_update.h"

#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "ops/cuda.h"
#include "ops/params.h"

/* Parameter i; without elements it takes no block. */
static th_status describe(const th_kernel_args *k, int i, th__cuda_update *u) {
  int n = ((const th__sgd_params *)k->params)->n, operands = k->n_in / n;
  th_layout layouts[3];
  void *data[3] = {NULL};
  for (int j = 0; j < operands; j++) {
    layouts[j] = k->in[i + j * n];
    data[j] = k->in_data[i + j * n];
  }
  *u = (th__cuda_update){.p = data[0], .g = data[1], .v = data[2]};
  u->walk.size = th__layout_size(&layouts[0]);
  u->walk.dtype = (int32_t)layouts[0].dtype;
  if (u->walk.size == 0) return TH_OK;
  int ndim = th__layouts_collapse(layouts, operands);
  bool dense = ndim <= 1;
  for (int j = 0; j < operands && ndim == 1; j++) dense = dense && layouts[j].strides[0] == 1;
  if (dense) return TH_OK;
  if (u->walk.size >> 31 != 0)
    return th_context_fail(k->context, TH_ENOSYS,
                           "sgd_step: parameter %d has gaps and 2^31 elements or more", i);
  th__cuda_shape_set(&u->walk.shape, layouts[0].shape, ndim);
  for (int d = 0; d < ndim; d++)
    for (int j = 0; j < operands; j++) u->walk.strides[d][j] = layouts[j].strides[d];
  return TH_OK;
}

static th_status launch(const th_kernel_args *k, const th__cuda_update *host, int64_t n,
                        int64_t blocks) {
  static th__cuda_kernel kernel = {.name = "sgd_step"};
  th__sgd_params p = *(const th__sgd_params *)k->params;
  int64_t bytes = n * (int64_t)sizeof *host;
  int32_t nesterov = p.nesterov;
  void *table;
  TH_TRY(th__cuda_scratch(k->context, bytes, &table));
  TH_TRY(th__cuda_upload(k->context, table, host, bytes));
  void *args[] = {&table, &n, &p.lr, &p.momentum, &p.weight_decay, &nesterov};
  return th__cuda_blocks(k->context, &th__image_update, &kernel, blocks, args);
}

static th_status sgd_cuda(const th_kernel_args *k) {
  int n = ((const th__sgd_params *)k->params)->n;
  int64_t blocks = 0, used = 0;
  th__cuda_update *table = th__alloc((size_t)n * sizeof *table);
  if (!table) return th_context_fail(k->context, TH_ENOMEM, "sgd_step: no host memory");
  th_status status = TH_OK;
  for (int i = 0; i < n && status == TH_OK; i++) {
    status = describe(k, i, &table[used]);
    if (status != TH_OK || table[used].walk.size == 0) continue;
    table[used].first_block = blocks;
    blocks += (table[used++].walk.size + TH__UPDATE_CHUNK - 1) / TH__UPDATE_CHUNK;
  }
  if (status == TH_OK && used > 0) status = launch(k, table, used, blocks);
  th__free(table);
  return status;
}

extern const th__cuda_entry th__cuda_updating[];
const th__cuda_entry th__cuda_updating[] = {{"sgd_step", sgd_cuda}, {NULL, NULL}};
