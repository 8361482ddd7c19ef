/* Owns the list of the families' launchers and the filling of kernel slots with them. */
#include "ops/cuda/cuda.h"

#include "engine/base/atomic.h"

#define TH__CUDA_TABLES(X)                                                                         \
  X(unary)                                                                                         \
  X(binary)                                                                                        \
  X(compare)                                                                                       \
  X(copying)                                                                                       \
  X(reducing)                                                                                      \
  X(softmaxes)                                                                                     \
  X(indexing)                                                                                      \
  X(drawing)                                                                                       \
  X(updating)                                                                                      \
  X(products)                                                                                      \
  X(arranging) X(moments) X(scanning) X(ordering) X(sampling) X(convolutions) X(pools) X(norms)
#define TABLE(family) extern const th__cuda_entry th__cuda_##family[]; /* ends with a NULL name */
TH__CUDA_TABLES(TABLE)
#undef TABLE

static const th__cuda_entry *const tables[] = {
#define TABLE(family) th__cuda_##family,
    TH__CUDA_TABLES(TABLE)
#undef TABLE
};

static _Atomic bool entered; /* a race does the same work twice */

void th__cuda_kernels_set(void) {
  for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
    for (const th__cuda_entry *e = tables[t]; e->op; e++) {
      const th_op *op = th__op_find(e->op);
      if (op) th__kernel_set(op, TH_CUDA, e->launch);
    }
}

bool th__cuda_kernels_built(void) { return th__image_unary.size > 0; }

void th__cuda_kernels_ensure(void) {
  if (th__load(&entered, TH__ACQUIRE)) return;
  if (th__cuda_kernels_built()) th__cuda_kernels_set();
  th__store(&entered, true, TH__RELEASE);
}
