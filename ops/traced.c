/* Owns what operators tell of themselves while a trace records: flops, bytes, shapes. */
#include <stdio.h>

#include "ops/call.h"
#include "thrum/profile.h"

enum { TEXT = 200 };

/* The default of th_op.cost: operands are read or written once, and an element of the largest one costs a flop. */
static th_cost plain_cost(const th__op_call *c) {
  th_cost cost = {0, 0};
  for (int i = 0; i < c->n_in + c->n_out; i++) {
    const th_layout *l = &c->in[i]; /* those of outputs follow */
    int64_t size = th__layout_size(l);
    if (size > cost.flops) cost.flops = size;
    cost.bytes += size * th__dtype_size(l->dtype) * (i < c->n_in && c->written[i] ? 2 : 1);
  }
  if (c->op->flags & (TH_OP_TRANSFER | TH_OP_OVERWRITES)) cost.flops = 0;
  return cost;
}

th_cost th__cost_gathered(const th_infer *io, const void *params) {
  (void)params;
  th_cost cost = {.bytes = 2 * th__layout_bytes(&io->out[0])};
  for (int i = 1; i < io->n_in; i++) cost.bytes += th__layout_bytes(&io->in[i]);
  return cost;
}

static size_t put_operands(char *out, size_t at, const th_layout *l, int n) {
  for (int i = 0; i < n && at < TEXT; i++) {
    at += (size_t)snprintf(out + at, TEXT - at, "%s%s(", i ? " " : "", th_dtype_name(l[i].dtype));
    for (int d = 0; d < l[i].ndim && at < TEXT; d++)
      at += (size_t)snprintf(out + at, TEXT - at, "%s%lld", d ? "," : "", (long long)l[i].shape[d]);
    if (at < TEXT) at += (size_t)snprintf(out + at, TEXT - at, ")");
  }
  return at;
}

/* "f32(64,128) f32(128,10) -> f32(64,10)" */
static void shapes_text(const th__op_call *c, char out[TEXT]) {
  size_t at = put_operands(out, 0, c->in, c->n_in);
  if (c->n_out > 0 && at < TEXT)
    at += (size_t)snprintf(out + at, TEXT - at, "%s-> ", c->n_in ? " " : "");
  (void)put_operands(out, at, c->out, c->n_out);
}

void th__call_traced(const th__op_call *c, th_task_context *context) {
  th_infer io = {.op = c->op,
                 .n_in = c->n_in,
                 .n_out = c->n_out,
                 .in = c->in,
                 .out = c->out,
                 .written = c->written,
                 .device = c->device};
  th_cost cost = c->op->cost ? c->op->cost(&io, c->params) : plain_cost(c);
  char text[TEXT] = "";
  bool shapes = th_profile_shapes();
  if (shapes) shapes_text(c, text);
  th_profile_work(context, cost.flops, cost.bytes, shapes ? text : NULL);
}
