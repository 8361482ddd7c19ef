/* Owns the block of one operator call and its task: memory of results, workspace, the kernel. */
#include "ops/call.h"

#include <stdalign.h>
#include <string.h>

#include "engine/base/error.h"
#include "engine/base/mem.h"

/* Elements up to which a cheap operator may run inside the submitting call. */
#define INLINE_ELEMENTS 4096

/* What kernels get for a storage of no bytes, so that pointer arithmetic stays defined. */
static alignas(64) char no_data[64];

static size_t align16(size_t bytes) { return (bytes + 15) & ~(size_t)15; }

th__op_call *th__call_new(const th_op *op, const void *params, const th_array *const *in, int n_in,
                          int n_out) {
  size_t n = (size_t)(n_in + n_out), head = align16(sizeof(th__op_call));
  size_t bytes = head + align16(op->params_size) +
                 n * (sizeof(th_layout) + sizeof(th_storage *) + sizeof(void *)) +
                 2 * n * sizeof(th_var *) + (size_t)n_in;
  th__op_call *c = th__alloc(bytes);
  if (!c) return NULL;
  *c = (th__op_call){.op = op, .n_in = n_in, .n_out = n_out};
  c->params = (char *)c + head;
  c->in = (th_layout *)((char *)c->params + align16(op->params_size));
  c->out = c->in + n_in;
  c->storage = (th_storage **)(c->in + n);
  c->data = (void **)(c->storage + n);
  c->vars = (th_var **)(c->data + n);
  c->written = (uint8_t *)(c->vars + 2 * n);
  if (op->params_size) memcpy(c->params, params, op->params_size);
  for (int i = 0; i < n_in; i++) {
    c->in[i] = in[i]->layout;
    c->written[i] = i < 32 && (op->writes >> i & 1);
  }
  memset(c->out, 0, (size_t)n_out * sizeof(th_layout));
  return c;
}

void th__call_drop(void *call) {
  th__op_call *c = call;
  if (c->op->drop) c->op->drop(c->params);
  th__free(c->staging);
  th__free(c);
}

/* Memory of everything the call writes (and of what nobody ever wrote), and the addresses of all operands. */
static th_status take_memory(th__op_call *c, th_task_context *context) {
  for (int i = 0; i < c->n_in + c->n_out; i++) {
    th_storage *s = c->storage[i];
    const th_layout *layout = i < c->n_in ? &c->in[i] : &c->out[i - c->n_in];
    TH_TRY(th__storage_ensure(s, context));
    char *data = th__load(&s->data, TH__ACQUIRE);
    c->data[i] = data ? data + layout->offset * (int64_t)th_dtype_size(layout->dtype) : no_data;
  }
  return TH_OK;
}

static th_status take_workspace(th__op_call *c, th_task_context *context, void **out) {
  *out = NULL;
  if (c->workspace == 0) return TH_OK;
  const th__device_ops *device = th__device_kind_ops(c->device.kind);
  th_status status = device->alloc(th__context_device_state(context), c->workspace, out);
  if (status == TH_OK) return TH_OK;
  if (status == TH_ENOMEM && !th__context_last_chance(context)) return TH__STARVED;
  return th_context_fail(context, status, "%s: no memory for %lld bytes of workspace", c->op->name,
                         (long long)c->workspace);
}

th_status th__call_run(void *call, th_task_context *context) {
  th__op_call *c = call;
  TH_TRY(take_memory(c, context));
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
  if (workspace) {
    th__device_kind_ops(c->device.kind)
        ->free(th__context_device_state(context), workspace, c->workspace);
    th__memory_freed();
  }
  return status;
}

/* True when writing every element of layout leaves nothing of the old storage behind. */
static bool covers(const th_layout *layout, const th_storage *s) {
  return th__layout_bytes(layout) == s->bytes && !th__layout_overlaps_itself(layout);
}

/* Reads in vars[0..n), writes in vars[n..2n). A written input is also read, so that poison travels through it, unless the
 * call replaces all of its storage. */
static void list_vars(th__op_call *c, size_t *n_reads, size_t *n_writes) {
  int n = c->n_in + c->n_out;
  th_var **reads = c->vars, **writes = c->vars + n;
  *n_reads = *n_writes = 0;
  for (int i = 0; i < n; i++) {
    th_storage *s = c->storage[i];
    bool written = i >= c->n_in || c->written[i];
    bool read =
        i < c->n_in && !(written && (c->op->flags & TH_OP_OVERWRITES) && covers(&c->in[i], s));
    if (read) reads[(*n_reads)++] = &s->var;
    if (written) writes[(*n_writes)++] = &s->var;
  }
}

th_status th__call_submit(th__op_call *c, const th_array *const *in, th_array *const *out) {
  th_task task = {.name = c->op->name,
                  .run = th__call_run,
                  .arg = c,
                  .arg_size = sizeof *c,
                  .drop = th__call_drop,
                  .device = c->device,
                  .flags = TH_TASK_ADOPT};
  int64_t elements = 0;
  for (int i = 0; i < c->n_in; i++) {
    c->storage[i] = in[i]->storage;
    if (c->written[i]) elements += th__layout_size(&c->in[i]);
  }
  for (int j = 0; j < c->n_out; j++) {
    c->storage[c->n_in + j] = out[j]->storage;
    task.bytes += out[j]->storage->bytes;
    elements += th__layout_size(&c->out[j]);
  }
  if ((c->op->flags & TH_OP_NONBLOCKING) && elements <= INLINE_ELEMENTS)
    task.flags |= TH_TASK_INLINE;
  if (c->op->flags & TH_OP_TRANSFER) {
    th_device from = in[c->n_in - 1]->device;
    task.device = th__transfer_device(from, c->device);
    if (!th_device_equal(from, c->device))
      task.flags |= th_device_equal(task.device, from) ? TH_TASK_COPY_OUT : TH_TASK_COPY_IN;
  }
  list_vars(c, &task.n_reads, &task.n_writes);
  task.reads = c->vars;
  task.writes = c->vars + c->n_in + c->n_out;
  th_status status = th_push(&task);
  if (status != TH_OK) th__call_drop(c);
  return status;
}
