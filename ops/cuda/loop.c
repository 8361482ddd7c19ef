/* Owns launches: how many blocks, and loops over strided operands, which are joined to few dimensions and described to the
 * kernel by one th__cuda_walk. */
#include "ops/cuda/cuda.h"

#include "engine/base/error.h"

int64_t th__cuda_loop_most = INT64_C(1) << 30;

th_status th__cuda_blocks(th_task_context *context, const th__cuda_image *image,
                          th__cuda_kernel *kernel, int64_t blocks, void **args) {
  if (blocks > INT32_MAX)
    return th__fail(TH_ENOSYS, "%s: %lld blocks are more than a launch takes", kernel->name,
                    (long long)blocks);
  const unsigned grid[3] = {(unsigned)blocks, 1, 1}, block[3] = {TH__CUDA_BLOCK, 1, 1};
  return th__cuda_launch(context, image, kernel, grid, block, 0, args);
}

int64_t th__cuda_blocks_for(th_task_context *context, int64_t n) {
  int64_t wanted = (n + TH__CUDA_BLOCK - 1) / TH__CUDA_BLOCK;
  int64_t most = (int64_t)th__cuda_multiprocessors(context) * 32;
  return wanted < 1 ? 1 : wanted < most ? wanted : most;
}

/* With 2^shift >= size > 2^(shift - 1): magic = 2^32 (2^shift - size) / size + 1. Larger sizes are
 * given as 2^31, by which every such n is divided the same. */
void th__cuda_shape_set(th__cuda_shape *s, const int64_t *shape, int ndim) {
  s->ndim = ndim;
  for (int d = 0; d < ndim; d++) {
    uint64_t size = shape[d] >> 31 ? UINT64_C(1) << 31 : (uint64_t)shape[d];
    uint32_t shift = 0;
    while (UINT64_C(1) << shift < size) shift++;
    s->size[d] = (uint32_t)size;
    s->shift[d] = shift;
    s->magic[d] = (uint32_t)((((UINT64_C(1) << shift) - size) << 32) / size + 1);
  }
}

void th__cuda_loop_add(th__cuda_loop *l, const th_layout *layout, const void *data) {
  th__layout_copy(&l->layout[l->n], layout);
  l->data[l->n++] = data;
}

void th__cuda_loop_fill(th__cuda_loop *l, const th_kernel_args *k) {
  if (k->n_out)
    th__cuda_loop_add(l, &k->out[0], k->out_data[0]);
  else
    th__cuda_loop_add(l, &k->in[0], k->in_data[0]);
  for (int i = 0; i < k->n_in; i++) th__cuda_loop_add(l, &k->in[i], k->in_data[i]);
}

static th_status launch(const th__cuda_loop *l, const void *const *data, const th__cuda_walk *w) {
  void *args[TH__WALK_OPERANDS + sizeof l->cell / sizeof *l->cell + 1];
  const void *pointers[TH__WALK_OPERANDS] = {NULL};
  int64_t threads = l->threads > 0 ? l->threads : (w->size + 3) / 4;
  int n = 0;
  for (int i = 0; i < l->n; i++) pointers[i] = data[i];
  if (l->n < TH__WALK_OPERANDS) pointers[l->n] = l->extra;
  for (int i = 0; i < l->n_pointers; i++) args[n++] = &pointers[i];
  for (int i = 0; i < l->n_cells; i++) args[n++] = (void *)&l->cell[i];
  args[n] = (void *)w;
  return th__cuda_blocks(l->context, l->image, l->kernel, th__cuda_blocks_for(l->context, threads),
                         args);
}

/* Dimensions [d, ndim) with all before them fixed; cut along d until the rest is small enough. */
static th_status run_part(const th__cuda_loop *l, const void *const *data, int d, int ndim) {
  const int64_t *shape = l->layout[0].shape;
  int64_t rest = 1;
  for (int i = d + 1; i < ndim; i++) rest *= shape[i];
  int64_t rows = th__cuda_loop_most / rest, step = rows > 0 ? rows : 1;
  for (int64_t first = 0; first < shape[d]; first += step) {
    const void *here[TH__WALK_OPERANDS];
    for (int i = 0; i < l->n; i++)
      here[i] = (const char *)data[i] +
                first * l->layout[i].strides[d] * th__dtype_size(l->layout[i].dtype);
    if (rows == 0) {
      TH_TRY(run_part(l, here, d + 1, ndim));
      continue;
    }
    int64_t sizes[TH_MAX_DIMS];
    sizes[0] = shape[d] - first < step ? shape[d] - first : step;
    for (int i = d + 1; i < ndim; i++) sizes[i - d] = shape[i];
    th__cuda_walk w = {.size = sizes[0] * rest, .dtype = (int32_t)l->dtype};
    th__cuda_shape_set(&w.shape, sizes, ndim - d);
    for (int i = d; i < ndim; i++)
      for (int j = 0; j < l->n; j++) w.strides[i - d][j] = l->layout[j].strides[i];
    TH_TRY(launch(l, here, &w));
  }
  return TH_OK;
}

static bool dense(const th__cuda_loop *l, int ndim) {
  for (int i = 0; i < l->n; i++)
    if (ndim > 1 || (ndim == 1 && l->layout[i].strides[0] != 1)) return false;
  return true;
}

th_status th__cuda_loop_run(th__cuda_loop *l) {
  int64_t size = th__layout_size(&l->layout[0]);
  if (size == 0) return TH_OK;
  if (l->n_pointers < l->n) l->n_pointers = l->n;
  int ndim = th__layouts_collapse(l->layout, l->n);
  if (!dense(l, ndim)) return run_part(l, l->data, 0, ndim);
  th__cuda_walk w = {.size = size, .dtype = (int32_t)l->dtype};
  return launch(l, l->data, &w);
}
