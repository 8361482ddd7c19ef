/* Owns what operators tell of themselves while a trace records: flops, bytes, shapes. */
#include <stdio.h>

#include "engine/trace.h"
#include "ops/call.h"

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

static size_t put_operands(char *out, size_t at, size_t bytes, const th_layout *l, int n) {
  for (int i = 0; i < n && at < bytes; i++) {
    at += (size_t)snprintf(out + at, bytes - at, "%s%s(", i ? " " : "", th_dtype_name(l[i].dtype));
    for (int d = 0; d < l[i].ndim && at < bytes; d++)
      at +=
          (size_t)snprintf(out + at, bytes - at, "%s%lld", d ? "," : "", (long long)l[i].shape[d]);
    if (at < bytes) at += (size_t)snprintf(out + at, bytes - at, ")");
  }
  return at;
}

/* "f32(64,128) f32(128,10) -> f32(64,10)" */
static void shapes_text(const void *call, char *out, size_t bytes) {
  const th__op_call *c = call;
  size_t at = put_operands(out, 0, bytes, c->in, c->n_in);
  if (c->n_out > 0 && at < bytes)
    at += (size_t)snprintf(out + at, bytes - at, "%s-> ", c->n_in ? " " : "");
  if (at < bytes) (void)put_operands(out, at, bytes, c->out, c->n_out);
}

static void mix(uint64_t key[2], uint64_t word) {
  key[0] = (key[0] ^ word) * UINT64_C(0x9e3779b97f4a7c15);
  key[1] = (key[1] + word) * UINT64_C(0xd1342543de82ef95);
  key[0] ^= key[0] >> 32;
  key[1] ^= key[1] >> 29;
}

static void hash_shapes(const th__op_call *c, uint64_t key[2]) {
  key[0] = key[1] = (uint64_t)c->n_in;
  for (int i = 0; i < c->n_in + c->n_out; i++) {
    const th_layout *l = &c->in[i]; /* those of outputs follow */
    mix(key, (uint64_t)l->dtype << 8 | (uint64_t)l->ndim);
    for (int d = 0; d < l->ndim; d++) mix(key, (uint64_t)l->shape[d]);
  }
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
  if (th_profile_shapes()) {
    th__trace_note note = {.make = shapes_text, .what = c};
    hash_shapes(c, note.key);
    th__trace_noted(context, cost.flops, cost.bytes, &note);
  } else {
    th_profile_work(context, cost.flops, cost.bytes, NULL);
  }
}
