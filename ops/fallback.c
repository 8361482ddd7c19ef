/* Owns the way over the CPU for an operator whose device has no kernel: copies there, the call, copies back. */
#include "ops/call.h"

#include "engine/base/error.h"
#include "engine/base/mem.h"

/* Everything here was made with no scope open and unseen by the interceptor. */
static th_status run_on_cpu(th__op_call *c, const th_array *const *in, th_array **host, bool *ran) {
  th_status status = TH_OK;
  for (int i = 0; i < c->n_in && status == TH_OK; i++) {
    const th_layout *l = &in[i]->layout;
    bool unread = c->written[i] && (c->op->flags & TH_OP_OVERWRITES);
    host[i] =
        unread ? th_empty(l->shape, l->ndim, l->dtype, th_cpu(0)) : th_copy_to(in[i], th_cpu(0));
    if (!host[i]) status = th_last_status();
  }
  if (status != TH_OK) return status;
  *ran = true;
  status = th__invoke_on(th_cpu(0), c->op, c->params, (const th_array *const *)host, c->n_in,
                         host + c->n_in, c->n_out);
  for (int i = 0; i < c->n_in && status == TH_OK; i++)
    if (c->written[i]) status = th__transfer_into((th_array *)in[i], host[i]);
  return status;
}

static th_status copy_back(const th__op_call *c, th_array *const *host, th_array **out) {
  for (int j = 0; j < c->n_out; j++) {
    out[j] = th_copy_to(host[c->n_in + j], c->device);
    if (!out[j]) return th_last_status();
  }
  return TH_OK;
}

th_status th__call_fallback(th__op_call *c, const th_array *const *in, th_array **out) {
  char device[32];
  const th__device_ops *ops;
  void *state;
  th_status status = th__device_open(c->device, &ops, &state); /* absent: nothing is computed */
  bool ran = false; /* then the inner call has dropped the params */
  int n = c->n_in + c->n_out;
  th_array **host = NULL;
  if (status == TH_OK && (th__strict_device() || !c->op->cpu))
    status = th__fail(TH_ENOSYS, "%s: %s has no kernel for it", c->op->name,
                      th_device_name(c->device, device, sizeof device));
  if (status == TH_OK) {
    host = th__zalloc((size_t)n * sizeof *host);
    if (!host) status = TH_ENOMEM;
  }
  if (status == TH_OK) {
    th__count_fallback();
    const th__interceptor *watching = th__interceptor_swap(NULL);
    th_scope scope = th__scope_suspend();
    status = run_on_cpu(c, in, host, &ran);
    if (status == TH_OK) status = copy_back(c, host, out);
    for (int i = 0; i < n; i++) th_release(host[i]);
    (void)th__scope_resume(scope, NULL);
    for (int j = 0; j < c->n_out; j++)
      if (out[j]) (void)th__scope_resume(th__scope_suspend(), out[j]);
    (void)th__interceptor_swap(watching);
  }
  th__free(host);
  if (ran)
    th__call_free(c);
  else
    th__call_drop(c);
  return status;
}
