/* Owns moving elements between devices: straight when the host reaches both memories or they reach each other, else through a host
 * copy. A transfer runs on the device whose memory the host cannot reach, so that the copy is ordered on that device's lane; between
 * two such on the destination. */
#include "ops/call.h"

#include <string.h>

#include "engine/base/error.h"
#include "engine/base/mem.h"

static bool host_reaches(th_device d) {
  const th__device_ops *ops = th__device_kind_ops(d.kind);
  return ops && (ops->caps & TH__CAP_HOST_MEMORY);
}

th_device th__transfer_device(th_device from, th_device to) {
  return host_reaches(to) && !host_reaches(from) ? from : to;
}

/* One side of a transfer. */
typedef struct side {
  th_layout layout;
  char *element; /* element [0,...,0] */
} side;

/* The range of bytes a layout touches: where it begins relative to element [0,...,0], and its length. */
static void byte_range(const th_layout *a, int64_t *begin, int64_t *bytes) {
  int64_t first = 0, last = 0, size = (int64_t)th_dtype_size(a->dtype);
  for (int d = 0; d < a->ndim; d++) {
    int64_t reach = a->strides[d] * (a->shape[d] - 1);
    *(reach < 0 ? &first : &last) += reach;
  }
  *begin = first * size;
  *bytes = (last - first + 1) * size;
}

/* Host memory that lives as long as the call. */
static th_status take_staging(th__op_call *c, int64_t bytes, th_task_context *context) {
  th__free(c->staging);
  c->staging = th__alloc((size_t)bytes);
  return c->staging ? TH_OK
                    : th_context_fail(context, TH_ENOMEM, "%s: no host memory for %lld bytes",
                                      c->op->name, (long long)bytes);
}

/* A copy that the body looks at. */
static th_status copy_out_now(const th__device_ops *device, th_task_context *context, void *host,
                              const void *block, int64_t bytes) {
  void *state = th__context_device_state(context), *lane = th__context_lane(context);
  TH_TRY(device->copy_out(state, lane, host, block, bytes));
  return device->copy_wait != NULL ? device->copy_wait(state, lane) : TH_OK;
}

static th_status copy_out(th__op_call *c, const th__device_ops *device, const side *from,
                          const side *to, th_task_context *context) {
  int64_t begin, bytes;
  byte_range(&from->layout, &begin, &bytes);
  void *state = th__context_device_state(context), *lane = th__context_lane(context);
  if (th__layout_contiguous(&from->layout) && th__layout_contiguous(&to->layout))
    return device->copy_out(state, lane, to->element, from->element, bytes);
  TH_TRY(take_staging(c, bytes, context));
  TH_TRY(copy_out_now(device, context, c->staging, from->element + begin, bytes));
  th__copy_elements(&from->layout, (char *)c->staging - begin, &to->layout, to->element);
  return TH_OK;
}

/* A target with gaps is read, filled and written back whole: the storage's variable is held for writing. */
static th_status copy_in(th__op_call *c, const th__device_ops *device, const side *from,
                         const side *to, th_task_context *context) {
  int64_t begin, bytes;
  byte_range(&to->layout, &begin, &bytes);
  void *state = th__context_device_state(context), *lane = th__context_lane(context);
  if (th__layout_contiguous(&from->layout) && th__layout_contiguous(&to->layout))
    return device->copy_in(state, lane, to->element, from->element, bytes);
  TH_TRY(take_staging(c, bytes, context));
  if (bytes != th__layout_bytes(&to->layout))
    TH_TRY(copy_out_now(device, context, c->staging, to->element + begin, bytes));
  th__copy_elements(&from->layout, from->element, &to->layout, (char *)c->staging - begin);
  return device->copy_in(state, lane, to->element + begin, c->staging, bytes);
}

bool th__transfer_straight(th_device from, th_device to) {
  const th__device_ops *ops, *from_ops;
  void *state, *from_state;
  return from.kind == to.kind && th__device_open(to, &ops, &state) == TH_OK && ops->peer != NULL &&
         th__device_open(from, &from_ops, &from_state) == TH_OK && ops->peer(state, from_state);
}

/* Between two devices that reach each other; the source has no gaps, see th_copy_to(). */
static th_status copy_peer(th__op_call *c, const th__device_ops *device, const side *from,
                           const side *to, th_task_context *context) {
  return device->copy_peer(th__context_device_state(context), th__context_lane(context),
                           to->element, c->storage[c->n_in - 1]->state, from->element,
                           th__layout_bytes(&to->layout));
}

th_status th__transfer_run(th__op_call *c, th_task_context *context) {
  int source = c->n_in - 1, target = c->n_out ? c->n_in : 0;
  side from = {c->in[source], c->data[source]};
  side to = {c->n_out ? c->out[0] : c->in[0], c->data[target]};
  from.layout.offset = to.layout.offset = 0;
  if (th__layout_size(&to.layout) == 0) return TH_OK;
  bool reads = host_reaches(c->storage[source]->device);
  bool writes = host_reaches(c->storage[target]->device);
  if (reads && writes) {
    th__copy_elements(&from.layout, from.element, &to.layout, to.element);
    return TH_OK;
  }
  const th__device_ops *device = th__device_kind_ops(th_context_device(context).kind);
  if (!reads && !writes) return copy_peer(c, device, &from, &to, context);
  return writes ? copy_out(c, device, &from, &to, context)
                : copy_in(c, device, &from, &to, context);
}

/* --- the in-place form, for ops/fallback.c only --- */

static th_status infer_transfer(th_infer *io, const void *params) {
  return th__layout_same_shape(&io->in[0], &io->in[1])
             ? TH_OK
             : th__fail(TH_ESHAPE, "transfer: shapes of target and source differ");
}

static const th_op transfer_op = {.name = "transfer",
                                  .in = {2},
                                  .writes = 1,
                                  .flags = TH_OP_TRANSFER | TH_OP_OVERWRITES | TH_OP_FLAT,
                                  .infer = infer_transfer};

th_status th__transfer_into(th_array *to, const th_array *from) {
  return th__invoke(&transfer_op, NULL, (const th_array *const[]){to, from}, 2, NULL, 0);
}
