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

static size_t put_operand(char *out, size_t at, size_t bytes, const char *before, th_dtype t,
                          const th_layout *l) {
  if (at < bytes) at += (size_t)snprintf(out + at, bytes - at, "%s%s(", before, th_dtype_name(t));
  for (int d = 0; d < l->ndim && at < bytes; d++)
    at += (size_t)snprintf(out + at, bytes - at, "%s%lld", d ? "," : "", (long long)l->shape[d]);
  if (at < bytes) at += (size_t)snprintf(out + at, bytes - at, ")");
  return at;
}

/* What stands before operand i. */
static const char *separator(int i, int n_in) {
  if (i == n_in) return i > 0 ? " -> " : "-> ";
  return i > 0 ? " " : "";
}

/* "f32(64,128) f32(128,10) -> f32(64,10)" */
static void shapes_text(const void *call, char *out, size_t bytes) {
  const th__op_call *c = call;
  size_t at = 0;
  for (int i = 0; i < c->n_in + c->n_out; i++) /* layouts of outputs follow those of inputs */
    at = put_operand(out, at, bytes, separator(i, c->n_in), c->in[i].dtype, &c->in[i]);
}

typedef struct alike {
  const th_layout *like;
  int n_in, n_out;
  th_dtype result;
} alike;

static void alike_text(const void *operands, char *out, size_t bytes) {
  const alike *a = operands;
  size_t at = 0;
  for (int i = 0; i < a->n_in + a->n_out; i++)
    at = put_operand(out, at, bytes, separator(i, a->n_in),
                     i < a->n_in ? a->like->dtype : a->result, a->like);
}

static void mix(uint64_t key[2], uint64_t word) {
  key[0] = (key[0] ^ word) * UINT64_C(0x9e3779b97f4a7c15);
  key[1] = (key[1] + word) * UINT64_C(0xd1342543de82ef95);
}

static void mix_shape(uint64_t key[2], const th_layout *l) {
  mix(key, (uint64_t)l->dtype << 8 | (uint64_t)l->ndim);
  for (int d = 0; d < l->ndim; d++) mix(key, (uint64_t)l->shape[d]);
}

static uint32_t call_note(const th__op_call *c) {
  th__trace_note note = {
      .key = {(uint64_t)c->n_in, (uint64_t)c->n_in}, .make = shapes_text, .what = c};
  for (int i = 0; i < c->n_in + c->n_out; i++) mix_shape(note.key, &c->in[i]);
  return th__trace_note_number(&note);
}

uint32_t th__shapes_note(const th_layout *like, int n_in, int n_out, th_dtype result) {
  if (!th__trace_on(TH_PROFILE_SHAPES)) return TH__TRACE_NO_NOTE;
  const alike operands = {like, n_in, n_out, result};
  uint64_t what =
      ~((uint64_t)result << 16 | (uint64_t)n_in << 8 | (uint64_t)n_out); /* like no count */
  th__trace_note note = {.key = {what, what}, .make = alike_text, .what = &operands};
  mix_shape(note.key, like);
  return th__trace_note_number(&note);
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
  uint32_t note = th__trace_on(TH_PROFILE_SHAPES) ? call_note(c) : TH__TRACE_NO_NOTE;
  th__trace_noted(context, cost.flops, cost.bytes, note);
}
