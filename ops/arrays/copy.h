/* Owns moving and filling boxes of elements on the host, for families that put results together from pieces. */
#ifndef THRUM_OPS_ARRAYS_COPY_H
#define THRUM_OPS_ARRAYS_COPY_H

#include "ops/op.h"

/* `to` = the elements of `from`, of one shape, cast where types differ; offsets do not count, data points to the first
 * elements. In parallel if there are many. The signature is that of th__cuda_move(). */
th_status th__host_move(th_task_context *context, const th_layout *to, void *to_data,
                        const th_layout *from, const void *from_data);
/* The bits of one element, lowest bytes first, in all elements of `to`; as th__cuda_fill_cell(). */
th_status th__host_fill(th_task_context *context, const th_layout *to, void *data, uint64_t cell);

#endif
