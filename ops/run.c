/* Owns the block of one operator call and its task: memory of results, workspace, the kernel. */
#include "ops/call.h"

#include <stdalign.h>
#include <string.h>

#include "devices/blocks.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/trace.h"
#include "ops/ticket.h"

/* What kernels get for a storage of no bytes, so that pointer arithmetic stays defined. */
static alignas(64) char no_data[64];

static size_t align16(size_t bytes) { return (bytes + 15) & ~(size_t)15; }

th__op_call *th__call_new(const th_op *op, const void *params, const th_array *const *in, int n_in,
                          int n_out) {
  size_t n = (size_t)(n_in + n_out), head = align16(sizeof(th__op_call));
  size_t bytes = head + align16(op->params_size) +
                 n * (sizeof(th_layout) + sizeof(th_storage *) + sizeof(void *)) +
                 2 * n * sizeof(th_var *) + (size_t)n_in;
  th__op_call *c = th__block_take(bytes);
  if (!c) return NULL;
  c->op = op;
  c->block_bytes = bytes;
  c->n_in = n_in;
  c->n_out = n_out;
  c->workspace = 0;
  c->writes = false;
  c->staging = NULL;
  c->params = (char *)c + head;
  c->in = (th_layout *)((char *)c->params + align16(op->params_size));
  c->out = c->in + n_in;
  c->storage = (th_storage **)(c->in + n);
  c->data = (void **)(c->storage + n);
  c->vars = (th_var **)(c->data + n);
  c->written = (uint8_t *)(c->vars + 2 * n);
  if (op->params_size) memcpy(c->params, params, op->params_size);
  for (int i = 0; i < n_in; i++) {
    th__layout_copy(&c->in[i], &in[i]->layout);
    c->written[i] = i < 32 && (op->writes >> i & 1);
  }
  for (int j = 0; j < n_out; j++) {
    c->out[j].dtype = 0;
    c->out[j].ndim = 0;
    c->out[j].offset = 0;
  }
  return c;
}

void th__call_free(th__op_call *c) {
  if (c->staging) th__free(c->staging);
  th__block_give(c, c->block_bytes);
}

void th__call_drop(th__op_call *c) {
  if (c->op->drop) c->op->drop(c->params);
  th__call_free(c);
}

/* Memory of everything the call writes (and of what nobody ever wrote), and the addresses of all operands. */
static th_status take_memory(th__op_call *c, th_task_context *context) {
  for (int i = 0; i < c->n_in + c->n_out; i++) {
    th_storage *s = c->storage[i];
    const th_layout *layout = &c->in[i]; /* those of outputs follow */
    char *data = th__load(&s->data, TH__ACQUIRE);
    if (!data) {
      TH_TRY(th__storage_ensure(s, i >= c->n_in, context));
      data = th__load(&s->data, TH__ACQUIRE);
    }
    c->data[i] = data ? data + layout->offset * th__dtype_size(layout->dtype) : no_data;
  }
  return TH_OK;
}

static th_status take_workspace(th__op_call *c, th_task_context *context, void **out) {
  *out = NULL;
  /* infer counted what the host's kernel wants; kernels of other devices look after themselves. */
  if (c->workspace == 0 || c->kernel != c->op->cpu) return TH_OK;
  const th__device_ops *device = th__device_kind_ops(c->device.kind);
  th_status status = device->alloc(th__context_device_state(context), c->workspace, out);
  if (status == TH_OK && th__trace_on(TH_PROFILE_MEMORY))
    th__trace_block(context, device, th__context_device_state(context), c->device, *out,
                    c->workspace);
  if (status == TH_OK) return TH_OK;
  if (status == TH_ENOMEM && !th__context_last_chance(context)) return TH__STARVED;
  return th_context_fail(context, status, "%s: no memory for %lld bytes of workspace", c->op->name,
                         (long long)c->workspace);
}

static void give_workspace(const th__op_call *c, th_task_context *context, void *workspace) {
  const th__device_ops *device = th__device_kind_ops(c->device.kind);
  void *state = th__context_device_state(context);
  if (th__trace_on(TH_PROFILE_MEMORY))
    th__trace_block(context, device, state, c->device, workspace, -c->workspace);
  device->free(state, workspace, c->workspace);
  th__memory_freed();
}

/* Body of the task. */
static th_status call_run(void *call, th_task_context *context) {
  th__op_call *c = call;
  TH_TRY(take_memory(c, context));
  if (th__trace_on(TH_PROFILE_OPS)) th__call_traced(c, context);
  if (c->op->flags & TH_OP_TRANSFER) return th__transfer_run(c, context);
  void *workspace;
  TH_TRY(take_workspace(c, context, &workspace));
  th_kernel_args k = {.op = c->op,
                      .n_in = c->n_in,
                      .n_out = c->n_out,
                      .in = c->in,
                      .out = c->out,
                      .in_data = c->data,
                      .out_data = c->data + c->n_in,
                      .params = c->params,
                      .workspace = workspace,
                      .context = context};
  th_status status = c->kernel(&k);
  if (workspace) give_workspace(c, context, workspace);
  return status;
}

/* True when writing every element of layout leaves nothing of the old storage behind. */
static bool covers(const th_layout *layout, const th_storage *s) {
  return th__layout_bytes(layout) == s->bytes && !th__layout_overlaps_itself(layout);
}

/* What the task accesses: reads in vars[0..n), writes in vars[n..2n). A written input is also read, so that poison travels
 * through it, unless the call replaces all of its storage. */
static void list_access(th__op_call *c, const th_array *const *in, th_array *const *out,
                        th_task *task) {
  th_var **reads = c->vars, **writes = c->vars + c->n_in + c->n_out;
  for (int i = 0; i < c->n_in; i++) {
    th_storage *s = c->storage[i] = in[i]->storage;
    bool replaced = false;
    if (c->written[i]) {
      replaced = (c->op->flags & TH_OP_OVERWRITES) && covers(&c->in[i], s);
      writes[task->n_writes++] = &s->var;
      th__storage_written(s, c->op->name);
    }
    if (!replaced) reads[task->n_reads++] = &s->var;
  }
  for (int j = 0; j < c->n_out; j++) {
    th_storage *s = c->storage[c->n_in + j] = out[j]->storage;
    task->bytes += s->bytes;
    writes[task->n_writes++] = &s->var;
  }
  task->reads = reads;
  task->writes = writes;
}

/* --- counting --- */

/* Drop of the task. */
static void call_done(void *call) {
  th__op_call *c = call;
  if (!th__ticket_return(c->ticket))
    for (int i = 0; i < c->n_in + c->n_out; i++) th__storage_uncount(c->storage[i]);
  th__call_drop(c);
}

/* Submits the task and has its storages count it, unless it has ended already. Consumes c. */
static th_status push_counted(const th_task *task, th__op_call *c, const th_array *const *in,
                              th_array *const *out) {
  int n_in = c->n_in, n_out = c->n_out;
  bool ended;
  th_status status = th__ticket_push(task, &c->ticket, &ended);
  if (status != TH_OK) th__call_drop(c);
  if (status != TH_OK || ended) return status;
  for (int i = 0; i < n_in; i++) th__storage_count(in[i]->storage);
  for (int j = 0; j < n_out; j++) th__storage_count_first(out[j]->storage);
  return TH_OK;
}

/* Whether the call is over so soon that its submitter may run it: by the elements it writes. */
static bool is_short(const th__op_call *c) {
  if (!(c->op->flags & TH_OP_NONBLOCKING)) return false;
  int64_t elements = 0;
  for (int i = 0; i < c->n_in; i++)
    if (c->written[i]) elements += th__layout_size(&c->in[i]);
  for (int j = 0; j < c->n_out; j++) elements += th__layout_size(&c->out[j]);
  return elements <= TH__INLINE_ELEMENTS;
}

th_status th__call_submit(th__op_call *c, const th_array *const *in, th_array *const *out) {
  th_task task = {.name = c->op->name,
                  .run = call_run,
                  .arg = c,
                  .arg_size = sizeof *c,
                  .drop = call_done,
                  .device = c->device,
                  .flags = TH_TASK_ADOPT | TH__TASK_NAME_LASTS};
  list_access(c, in, out, &task);
  if (is_short(c)) task.flags |= TH_TASK_INLINE;
  if (c->op->flags & TH_OP_TRANSFER) {
    th_device from = in[c->n_in - 1]->device;
    task.device = th__transfer_device(from, c->device);
    if (!th_device_equal(from, c->device))
      task.flags |= th_device_equal(task.device, from) ? TH_TASK_COPY_OUT : TH_TASK_COPY_IN;
  }
  return push_counted(&task, c, in, out);
}
