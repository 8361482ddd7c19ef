/* Owns how roll and pad are put together from boxes, for every kind of device. */
#ifndef THRUM_OPS_ARRAYS_SHIFT_H
#define THRUM_OPS_ARRAYS_SHIFT_H

#include "ops/op.h"

/* What a kind of device brings: th__host_move() and th__host_fill(), or those of CUDA. */
typedef struct th__box_ops {
  th_status (*move)(th_task_context *context, const th_layout *to, void *to_data,
                    const th_layout *from, const void *from_data);
  th_status (*fill)(th_task_context *context, const th_layout *to, void *data, uint64_t cell);
} th__box_ops;

th_status th__roll(const th_kernel_args *k, const th__box_ops *ops);
th_status th__pad(const th_kernel_args *k, const th__box_ops *ops);

#endif
