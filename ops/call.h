/* One call of an operator, from its check to the end of its task: what invoke.c fills and run.c runs. */
#ifndef THRUM_OPS_CALL_H
#define THRUM_OPS_CALL_H

#include "ops/op.h"

/* One block of memory with everything behind it; the task adopts it. Storages are not retained, but count the task, which
 * says in its drop that it is through with them. */
typedef struct th__op_call {
  const th_op *op;
  size_t block_bytes;
  uint64_t ticket; /* of its submission */
  th_kernel kernel;
  th_device device; /* where results live and, transfers apart, where it runs */
  int n_in, n_out;
  int64_t workspace;
  th_layout *in, *out;
  th_storage **storage; /* of inputs, then of outputs */
  void **data;          /* in the same order; filled while it runs */
  th_var **vars;        /* reads from the front, writes from the middle */
  uint8_t *written;     /* per input */
  bool writes;          /* some input is written; after inference */
  void *params;
  void *staging; /* host copy that a transfer made; freed with the call */
} th__op_call;

/* The block, with op, counts, input layouts, preset written flags and params filled in; NULL when out of memory. */
th__op_call *th__call_new(const th_op *op, const void *params, const th_array *const *in, int n_in,
                          int n_out);
/* Frees the block of a call that was not submitted. */
void th__call_free(th__op_call *c);
/* The same, dropping its params. */
void th__call_drop(th__op_call *c);
/* Submits the call with operands in and out; the task or this function ends the call. */
th_status th__call_submit(th__op_call *c, const th_array *const *in, th_array *const *out);

/* Tells the trace what the call does (ops/traced.c). */
void th__call_traced(const th__op_call *c, th_task_context *context);
/* The number of the note with the shapes of a call whose n_in inputs and n_out results (0 or 1, of type result) all lie like this;
 * TH__TRACE_NO_NOTE while shapes are not recorded. */
uint32_t th__shapes_note(const th_layout *like, int n_in, int n_out, th_dtype result);

/* Elements up to which a cheap operator may run inside the submitting call. */
#define TH__INLINE_ELEMENTS 4096
/* Carries out a call of an operator with loops (ops/quick.c) and returns true, or does nothing and returns false. *out is NULL
 * before. */
bool th__quick(const th_op *op, const void *params, const th_array *const *in, int n_in,
               th_array **out, int n_out, th_status *status);

static inline bool th__device_same(th_device a, th_device b) {
  return a.kind == b.kind && a.index == b.index;
}

/* Runs the call on cpu:0 with copies because its device has no kernel. Consumes the call. */
th_status th__call_fallback(th__op_call *c, const th_array *const *in, th_array **out);

/* Where a transfer between two devices runs: on the one whose memory the host cannot reach, else on the destination. */
th_device th__transfer_device(th_device from, th_device to);
/* Whether a transfer between two devices of one kind needs no host. */
bool th__transfer_straight(th_device from, th_device to);
/* Kernel of TH_OP_TRANSFER operators: run.c passes the call. */
th_status th__transfer_run(th__op_call *c, th_task_context *context);
/* Writes host array from into to, on a device without kernels. */
th_status th__transfer_into(th_array *to, const th_array *from);

#endif
