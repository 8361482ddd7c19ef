/* What families of reductions share: the shape of results, and the kernel that folds any set of axes. */
#ifndef THRUM_OPS_REDUCE_REDUCE_H
#define THRUM_OPS_REDUCE_REDUCE_H

#include "ops/loops/fold.h"
#include "ops/op.h"

/* A mask of axes where 0 stands for all. */
static inline uint32_t th__axes_of(uint32_t axes, int ndim) {
  return axes != 0 ? axes : (1u << ndim) - 1;
}

/* One output of type t, without the axes or (keep) with size 1 there. */
th_status th__infer_reduced(th_infer *io, uint32_t axes, bool keep, th_dtype t);

/* What elements become before they are folded: y[i] from x[i], both of the type computed in, and the shift of its output. */
typedef struct th__mapping th__mapping;
struct th__mapping {
  void (*apply)(const th__mapping *m, const void *x, const void *shift, int64_t shift_step,
                int64_t n, void *y);
  const void *shift; /* one per output, or NULL */
  double number;
};

typedef struct th__reduction {
  th__fold_kind kind;
  bool mean;    /* divide by the number of elements */
  bool logical; /* elements count as != 0 */
  const th_layout *in;
  const void *data;
  uint32_t axes; /* not 0 unless there are no dimensions */
  th_dtype out_dtype;
  void *out; /* dense */
  void *workspace;
  const th__mapping *map; /* or NULL */
} th__reduction;

int64_t th__reduced_size(const th_layout *in, uint32_t axes); /* elements per output */
int64_t th__reduce_workspace(const th_layout *in, uint32_t axes);
void th__reduce(th_task_context *context, const th__reduction *how);

/* Gradients: the list of axes; an array shaped like an output with the reduced dimensions back as size 1. */
int th__axes_list(uint32_t axes, int ndim, int list[TH_MAX_DIMS]);
th_array *th__with_kept_dims(const th_vjp *v, uint32_t axes, th_array *a);
/* Counts of elements may be too large for halves, so gradients divide in f32: a as f32 if it is of a half type, else a itself;
 * and a as t again, a itself if it is. */
th_array *th__widened(th_array *a);
th_array *th__narrowed(th_array *a, th_dtype t);

#endif
