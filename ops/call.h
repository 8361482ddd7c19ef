/* One call of an operator, from its check to the end of its task: what invoke.c fills and run.c runs. */
#ifndef THRUM_OPS_CALL_H
#define THRUM_OPS_CALL_H

#include "ops/op.h"

/* One block of memory with everything behind it; the task adopts it. Storages are not retained: their end is ordered behind
 * the task by th__var_retire(). */
typedef struct th__op_call {
  const th_op *op;
  th_kernel kernel;
  th_device device; /* where results live and, transfers apart, where it runs */
  int n_in, n_out;
  int64_t workspace;
  th_layout *in, *out;
  th_storage **storage; /* of inputs, then of outputs */
  void **data;          /* in the same order; filled while it runs */
  th_var **vars;        /* reads from the front, writes from the middle */
  uint8_t *written;     /* per input */
  void *params;
  void *staging; /* host copy that a transfer made; freed with the call */
} th__op_call;

/* The block, with op, counts, input layouts, preset written flags and params filled in; NULL when out of memory. */
th__op_call *th__call_new(const th_op *op, const void *params, const th_array *const *in, int n_in,
                          int n_out);
/* Frees the block and drops its params. */
void th__call_drop(void *call);
/* Body of the task. */
th_status th__call_run(void *call, th_task_context *context);
/* Submits the call with operands in and out; the task or this function ends the call. */
th_status th__call_submit(th__op_call *c, const th_array *const *in, th_array *const *out);

/* Runs the call on cpu:0 with copies because its device has no kernel. Consumes the call. */
th_status th__call_fallback(th__op_call *c, const th_array *const *in, th_array **out);

/* Where a transfer between two devices runs: on the one whose memory the host cannot reach, else on the destination. */
th_device th__transfer_device(th_device from, th_device to);
/* Kernel of TH_OP_TRANSFER operators: run.c passes the call. */
th_status th__transfer_run(th__op_call *c, th_task_context *context);
/* Writes host array from into to, on a device without kernels. */
th_status th__transfer_into(th_array *to, const th_array *from);

#endif
