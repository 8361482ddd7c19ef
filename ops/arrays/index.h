/* What families of operators with indices share. */
#ifndef THRUM_OPS_ARRAYS_INDEX_H
#define THRUM_OPS_ARRAYS_INDEX_H

#include "ops/op.h"

/* TH_EDTYPE when the input is not of integers. */
th_status th__want_indices(const th_infer *io, int input);
/* Fails the task naming the operator, the index and where it stands. */
th_status th__index_out_of_range(const th_kernel_args *k, int64_t index, int64_t position,
                                 int64_t limit);
/* to[index[i] * step] += g[i] for i in order; g has the type that t is computed in, t is no half type. Integers wrap. */
void th__add_at(th_dtype t, char *to, int64_t step, const int64_t *index, const void *g, int64_t n);
/* Zeros with `size` elements along axis, and the elements of g added at the indices, which have g's shape. */
th_array *th__add_along(const th_array *indices, const th_array *g, int axis, int64_t size);

#endif
