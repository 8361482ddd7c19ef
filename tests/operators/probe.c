/* Owns calls of operators that nobody looks at the results of: on the meta device, and on the CPU where that refuses. */
#include "operators/probe.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "support/op_cases.h"
#include "thrum/thrum.h"

/* Elementwise operators by their public functions, which convert types where the operator itself does not. */
static th_array *call_public(const th_op *op, th_array *const *in, int n) {
  char name[80];
  th_array *(*one)(const th_array *), *(*two)(const th_array *, const th_array *);
  snprintf(name, sizeof name, "th_%s", op->name);
  void *found = dlsym(RTLD_DEFAULT, name);
  if (!found) return NULL;
  memcpy(&one, &found, sizeof one);
  memcpy(&two, &found, sizeof two);
  return n == 1 ? one(in[0]) : two(in[0], in[1]);
}

static th_array *call_case(const op_case *c, const th_op *op, bool generic, th_dtype t,
                           th_device d) {
  th_array *in[OP_CASE_INPUTS] = {NULL};
  int n = 0;
  for (; n < OP_CASE_INPUTS && c->in[n].kind; n++) {
    th_dtype own = c->in[n].kind == 'x' ? t : c->in[n].kind == 'i' ? TH_I64 : TH_BOOL;
    in[n] = th_ones(c->in[n].shape, c->in[n].ndim, own, d);
  }
  op_call_context context = {op, t, d, false};
  th_array *out = generic && op->params_size == 0 && !op->writes ? call_public(op, in, n)
                                                                 : c->call(in, n, &context);
  th_clear_error();
  for (int i = 0; i < n; i++) th_release(in[i]);
  return out;
}

bool probe_operator(const th_op *op, probe_types *out) {
  op_case generic;
  const op_case *c = op_case_find(op, &generic);
  memset(out, 0, sizeof *out);
  if (!c || !c->call) return false;
  for (int t = 0; t < TH_DTYPE_COUNT; t++) {
    for (int on_cpu = 0; on_cpu < 2 && !(out->accepted & TH_BIT(t)); on_cpu++) {
      th_array *y = call_case(c, op, c == &generic, (th_dtype)t, on_cpu ? th_cpu(0) : th_meta());
      if (!y) continue;
      out->accepted |= TH_BIT(t);
      if (!on_cpu) out->meta |= TH_BIT(t);
      out->result[t] = th_array_dtype(y);
      th_release(y);
    }
  }
  return true;
}
