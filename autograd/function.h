/* What th_custom() and th_recompute() share: a function of the program as one record of the tape. */
#ifndef THRUM_AUTOGRAD_FUNCTION_H
#define THRUM_AUTOGRAD_FUNCTION_H

#include "autograd/tape.h"

typedef struct th__function {
  const th_op *op; /* name, vjp, params_size */
  const void *params;
  void (*drop)(void *params); /* or NULL */
  /* Looks at the outputs just before the call is recorded; or NULL. */
  th_status (*note)(void *params, th_array *const *outputs, int n_outputs);
  uint32_t saves; /* as op->saves */
  th_forward_fn forward;
  void *user;
} th__function;

/* TH_EINVAL with a message naming who. */
th_status th__function_check(const char *who, th_forward_fn forward, th_array *const *inputs,
                             int n_inputs, th_array **outputs, int n_outputs);
/* Calls forward, with recording on or off and no scope open; results (+1) belong to no scope. On failure all are NULL. */
th_status th__function_run(const char *who, th_forward_fn forward, void *user, bool recording,
                           th_array *const *inputs, int n_inputs, th_array **outputs,
                           int n_outputs);
/* Calls forward unrecorded and records the whole; drops params unless the record has them. Results belong to the open scope. */
th_status th__function_call(const th__function *f, th_array *const *inputs, int n_inputs,
                            th_array **outputs, int n_outputs);

#endif
