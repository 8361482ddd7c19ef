/* Owns the one path that every operator call takes: checks, inference, results, the task, and the interceptor that watches. */
#include "ops/call.h"

#include <stdlib.h>

#include "engine/base/atomic.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"

/* --- interceptor --- */

static _Atomic(const th__interceptor *) process_default; /* release pairs with acquire */

static const th__interceptor *default_get(void) { return th__load(&process_default, TH__ACQUIRE); }

static th_status forward_before(const th_op *op, const th_array *const *in, int n_in,
                                const uint8_t *written) {
  const th__interceptor *i = default_get();
  return i && i->before ? i->before(op, in, n_in, written) : TH_OK;
}

static th_status forward_after(const th_op *op, const void *params, const th_array *const *in,
                               int n_in, th_array *const *out, int n_out, const uint8_t *written) {
  const th__interceptor *i = default_get();
  return i && i->after ? i->after(op, params, in, n_in, out, n_out, written) : TH_OK;
}

/* What a thread starts with: whatever the process default is at the time of a call. */
static const th__interceptor inherit = {forward_before, forward_after};
static _Thread_local const th__interceptor *current TH__HOT = &inherit;

void th__interceptor_set_default(const th__interceptor *i) {
  th__store(&process_default, i, TH__RELEASE);
}

const th__interceptor *th__interceptor_swap(const th__interceptor *i) {
  const th__interceptor *old = current;
  current = i;
  return old;
}

const th__interceptor *th__interceptor_get(void) {
  return current == &inherit ? default_get() : current;
}

/* --- checks --- */

th_status th__null_input(const char *who, int index) {
  if (th_last_status() == TH_OK) (void)th__fail(TH_EINVAL, "%s: argument %d is NULL", who, index);
  return TH_EINVAL;
}

static bool count_fits(th_operands range, int n) {
  return range.max == 0 ? n == range.min : n >= range.min && n <= range.max;
}

static th_status wrong_device(const char *who, th_device expected, const th_array *a, int index,
                              bool given) {
  char one[32], two[32];
  th_device_name(a->device, one, sizeof one);
  th_device_name(expected, two, sizeof two);
  return given ? th__fail(TH_EDEVICE, "%s: argument %d is on %s, not on %s", who, index, one, two)
               : th__fail(TH_EDEVICE, "%s: argument %d is on %s but argument 0 is on %s", who,
                          index, one, two);
}

th_status th__check_devices(const char *who, const th_array *const *in, int n) {
  for (int i = 0; i < n; i++) {
    if (!in[i]) return th__null_input(who, i);
    if (!th__device_same(in[0]->device, in[i]->device))
      return wrong_device(who, in[0]->device, in[i], i, false);
  }
  return TH_OK;
}

static th_status check_counts(const th_op *op, int n_in, int n_out) {
  if (!count_fits(op->in, n_in))
    return th__fail(TH_EINVAL, "%s: %d arguments given, %d%s expected", op->name, n_in, op->in.min,
                    op->in.max > op->in.min ? " or more" : "");
  if (!count_fits(op->out, n_out))
    return th__fail(TH_EINVAL, "%s: %d results asked for, it has %d", op->name, n_out, op->out.min);
  return TH_OK;
}

static th_status check_inputs(const th_op *op, const th_device *given, const th_array *const *in,
                              int n_in, int n_out) {
  for (int i = 0; i < n_in; i++)
    if (!in[i]) return th__null_input(op->name, i);
  if (n_in != op->in.min || n_out != op->out.min) TH_TRY(check_counts(op, n_in, n_out));
  if (n_in == 0) return TH_OK;
  uint32_t accepted = op->dtypes ? op->dtypes : TH_ANY;
  bool anywhere = op->flags & TH_OP_TRANSFER;
  th_device expected = given ? *given : in[0]->device;
  for (int i = 0; i < n_in; i++) {
    if (!(accepted >> in[i]->layout.dtype & 1))
      return th__fail(TH_EDTYPE, "%s: element type %s of argument %d is not accepted", op->name,
                      th_dtype_name(in[i]->layout.dtype), i);
    if (!th__device_same(in[i]->device, expected) && !anywhere)
      return wrong_device(op->name, expected, in[i], i, given != NULL);
  }
  return TH_OK;
}

/* Whether check_inputs() has nothing to say, in one pass; false also for some that it accepts. */
static inline bool inputs_fit(const th_op *op, const th_device *given, const th_array *const *in,
                              int n_in, int n_out) {
  if (n_in != op->in.min || n_out != op->out.min) return false;
  uint32_t accepted = op->dtypes ? op->dtypes : TH_ANY;
  for (int i = 0; i < n_in; i++)
    if (!in[i] || !(accepted >> in[i]->layout.dtype & 1) ||
        !th__device_same(in[i]->device, given ? *given : in[0]->device))
      return false;
  return true;
}

/* --- inference --- */

/* Gives elementwise inputs the shape of the result. */
static th_status broadcast_inputs(th__op_call *c) {
  const th_layout *shape = c->n_out ? c->out : NULL;
  for (int i = 0; i < c->n_in && !shape; i++)
    if (c->written[i]) shape = &c->in[i];
  for (int i = 0; i < c->n_in && shape; i++) {
    if (th__layout_same_shape(&c->in[i], shape)) continue;
    th_layout from;
    th__layout_copy(&from, &c->in[i]);
    TH_TRY(th__layout_broadcast(&from, shape->shape, shape->ndim, &c->in[i], c->op->name));
  }
  return TH_OK;
}

/* Whether strides are those of a fresh array. */
static bool packed(const th_layout *l) {
  int64_t stride = 1;
  for (int d = l->ndim - 1; d >= 0; d--) {
    if (l->strides[d] != stride) return false;
    stride *= l->shape[d] ? l->shape[d] : 1;
  }
  return true;
}

/* The most frequent case: one result, and all inputs of its shape and type without gaps. Nothing is left to check, since they
 * were when they were made. */
static bool infer_alike(th__op_call *c) {
  const th_layout *first = c->in;
  if (c->op->infer != th__infer_broadcast && c->op->infer != th__infer_same) return false;
  if (c->n_out != 1 || !packed(first)) return false;
  for (int i = 1; i < c->n_in; i++)
    if (c->in[i].dtype != first->dtype || !th__layout_same_shape(&c->in[i], first)) return false;
  th__layout_copy(c->out, first);
  c->out->offset = 0;
  return true;
}

static th_status infer(th__op_call *c) {
  const th_op *op = c->op;
  if (infer_alike(c)) return TH_OK;
  th_infer io = {.op = op,
                 .n_in = c->n_in,
                 .n_out = c->n_out,
                 .in = c->in,
                 .out = c->out,
                 .written = c->written,
                 .device = c->device};
  TH_TRY(op->infer(&io, c->params));
  c->workspace = io.workspace;
  for (int i = 0; i < c->n_in; i++) {
    if (!c->written[i]) continue;
    c->writes = true;
    if (th__layout_overlaps_itself(&c->in[i]))
      return th__fail(TH_EINVAL,
                      "%s: argument %d is a broadcast view, several of its elements share memory",
                      op->name, i);
  }
  if (op->flags & TH_OP_VIEW) return TH_OK;
  for (int j = 0; j < c->n_out; j++) TH_TRY(th__layout_finish(&c->out[j], op->name));
  return op->flags & TH_OP_ELEMENTWISE ? broadcast_inputs(c) : TH_OK;
}

/* --- operands that share memory --- */

/* First and last element that a layout touches; an empty one touches none. */
static void extent(const th_layout *a, int64_t *first, int64_t *last) {
  *first = *last = a->offset;
  for (int d = 0; d < a->ndim; d++) {
    int64_t reach = a->strides[d] * (a->shape[d] - 1);
    *(reach < 0 ? first : last) += reach;
  }
}

static bool same_layout(const th_layout *a, const th_layout *b) {
  if (a->dtype != b->dtype || a->offset != b->offset || a->ndim != b->ndim) return false;
  for (int d = 0; d < a->ndim; d++)
    if (a->shape[d] != b->shape[d] || (a->strides[d] != b->strides[d] && a->shape[d] != 1))
      return false;
  return true;
}

/* Whether kernel order could show when input r is read while input w is written. */
static bool collide(const th__op_call *c, const th_array *const *in, int w, int r) {
  if (w == r || in[w]->storage != in[r]->storage) return false;
  if ((c->op->flags & TH_OP_ELEMENTWISE) && same_layout(&c->in[w], &c->in[r])) return false;
  if (th__layout_size(&c->in[w]) == 0 || th__layout_size(&c->in[r]) == 0) return false;
  int64_t w0, w1, r0, r1;
  extent(&c->in[w], &w0, &w1);
  extent(&c->in[r], &r0, &r1);
  return r0 <= w1 && w0 <= r1;
}

enum { MANY_INPUTS = 32 };

/* Storages of written inputs in the order of their addresses; list NULL: there are few, or no memory. */
typedef struct written_storages {
  const th_storage **list;
  size_t n;
} written_storages;

static int by_address(const void *a, const void *b) {
  uintptr_t x = (uintptr_t) * (const th_storage *const *)a;
  uintptr_t y = (uintptr_t) * (const th_storage *const *)b;
  return (x > y) - (x < y);
}

/* Comparing each of thousands of inputs, as optimizers have, with each would take a second. */
static written_storages list_written(const th__op_call *c, const th_array *const *in) {
  written_storages w = {NULL, 0};
  if (c->n_in <= MANY_INPUTS) return w;
  w.list = th__alloc((size_t)c->n_in * sizeof(*w.list));
  for (int i = 0; i < c->n_in && w.list != NULL; i++)
    if (c->written[i]) w.list[w.n++] = in[i]->storage;
  if (w.list != NULL) qsort(w.list, w.n, sizeof(*w.list), by_address);
  return w;
}

static bool collides(const th__op_call *c, const th_array *const *in, const written_storages *list,
                     int r) {
  const th_storage *s = in[r]->storage;
  if (c->written[r]) return false;
  if (list->list != NULL && !bsearch(&s, list->list, list->n, sizeof(*list->list), by_address))
    return false;
  for (int w = 0; w < c->n_in; w++)
    if (c->written[w] && collide(c, in, w, r)) return true;
  return false;
}

/* Replaces inputs that collide with a written one by copies in operands[] (+1 each, others borrowed), so that the result is
 * as if every input was read before the first write. */
static th_status copy_collisions(th__op_call *c, const th_array *const *in,
                                 const th_array **operands) {
  written_storages written = list_written(c, in);
  th_status status = TH_OK;
  for (int r = 0; r < c->n_in && status == TH_OK; r++) {
    if (!collides(c, in, &written, r)) continue;
    const th__interceptor *watching = th__interceptor_swap(NULL);
    th_scope scope = th__scope_suspend();
    th_array *copy = th_copy(in[r]);
    (void)th__scope_resume(scope, NULL);
    (void)th__interceptor_swap(watching);
    if (!copy) {
      status = th_last_status();
      continue;
    }
    operands[r] = copy;
    c->in[r] = copy->layout;
  }
  th__free((void *)written.list);
  return status == TH_OK && (c->op->flags & TH_OP_ELEMENTWISE) ? broadcast_inputs(c) : status;
}

/* --- the call --- */

/* Releases results that the caller will not see, wherever they belong. */
static void discard(th_array **out, int n_out) {
  for (int j = 0; j < n_out; j++) {
    if (out[j]) th_release(th_keep(out[j]));
    out[j] = NULL;
  }
}

/* Device of the results. An operand that lives on it has it at hand. */
static th_status open_device(const th__op_call *c, const th_array *const *in,
                             const th__device_ops **ops, void **state) {
  const th_storage *s = c->n_in ? in[0]->storage : NULL;
  if (!s || !th__device_same(s->device, c->device) || s->var.epoch != th__engine_epoch())
    return th__device_open(c->device, ops, state);
  *ops = s->ops;
  *state = s->state;
  return TH_OK;
}

static th_status make_outputs(th__op_call *c, const th_array *const *in, th_array **out) {
  const th__device_ops *ops = NULL;
  void *state = NULL;
  bool view = c->op->flags & TH_OP_VIEW;
  if (c->n_out && !view) TH_TRY(open_device(c, in, &ops, &state));
  for (int j = 0; j < c->n_out; j++) {
    out[j] = view ? th__array_view(in[0], &c->out[j])
                  : th__array_fresh(&c->out[j], c->device, ops, state);
    if (!out[j]) return th_last_status();
  }
  return TH_OK;
}

/* Submits the checked call; consumes it. */
static th_status submit(th__op_call *c, const th_array *const *in, th_array *const *out) {
  if (!c->writes) return th__call_submit(c, in, out);
  int n_in = c->n_in;
  const th_array **operands = th__alloc((size_t)n_in * sizeof *operands);
  th_status status = operands ? TH_OK : TH_ENOMEM;
  for (int i = 0; i < n_in && operands; i++) operands[i] = in[i];
  if (status == TH_OK) status = copy_collisions(c, in, operands);
  if (status == TH_OK)
    status = th__call_submit(c, operands, out);
  else
    th__call_drop(c);
  for (int i = 0; i < n_in && operands; i++)
    if (operands[i] != in[i]) th_release((th_array *)operands[i]);
  th__free(operands);
  return status;
}

/* What happens to a checked call: nothing (views, no data), the task, or the way over the CPU. Consumes it. */
static th_status carry_out(th__op_call *c, const th_array *const *in, th_array **out) {
  const th__device_ops *device = th__device_kind_ops(c->device.kind);
  bool nothing = (c->op->flags & TH_OP_VIEW) || !device || (device->caps & TH__CAP_NO_DATA);
  if (!nothing && !(c->op->flags & TH_OP_TRANSFER)) {
    bool host = device->caps & TH__CAP_HOST_MEMORY;
    c->kernel = host ? c->op->cpu : th__kernel_get(c->op, c->device.kind);
    if (!c->kernel) return th__call_fallback(c, in, out);
  }
  th_status status = make_outputs(c, in, out);
  if (status != TH_OK || nothing)
    th__call_drop(c);
  else
    status = submit(c, in, out);
  return status;
}

static th_status call(th__op_call *c, const void *params, const th_array *const *in,
                      th_array **out) {
  const th_op *op = c->op;
  int n_in = c->n_in, n_out = c->n_out;
  uint8_t few[16], *written = few;
  th_status status = infer(c);
  const th__interceptor *watching = th__interceptor_get();
  if (status == TH_OK && watching && n_in > (int)sizeof few) {
    written = th__alloc((size_t)n_in);
    if (!written) status = TH_ENOMEM;
  }
  if (status == TH_OK && watching) {
    for (int i = 0; i < n_in; i++) written[i] = c->written[i];
    if (watching->before) status = watching->before(op, in, n_in, written);
  }
  if (status == TH_OK)
    status = carry_out(c, in, out);
  else
    th__call_drop(c);
  if (status == TH_OK && watching && watching->after)
    status = watching->after(op, params, in, n_in, out, n_out, written);
  if (status != TH_OK) discard(out, n_out);
  if (written && written != few) th__free(written);
  return status;
}

static th_status invoke(const th_device *given, const th_op *op, const void *params,
                        const th_array *const *in, int n_in, th_array **out, int n_out) {
  for (int j = 0; j < n_out; j++) out[j] = NULL;
  th_status status;
  if (op->lines && !given && th__quick(op, params, in, n_in, out, n_out, &status)) return status;
  status =
      inputs_fit(op, given, in, n_in, n_out) ? TH_OK : check_inputs(op, given, in, n_in, n_out);
  if (status == TH_OK) status = th__engine_ensure();
  th__op_call *c = NULL;
  if (status == TH_OK) {
    c = th__call_new(op, params, in, n_in, n_out);
    if (!c) status = TH_ENOMEM;
  }
  if (!c) {
    if (op->drop) op->drop((void *)params);
    return status;
  }
  c->device = given ? *given : in[0]->device;
  return call(c, params, in, out);
}

th_status th__invoke(const th_op *op, const void *params, const th_array *const *in, int n_in,
                     th_array **out, int n_out) {
  return invoke(NULL, op, params, in, n_in, out, n_out);
}

th_status th__invoke_on(th_device d, const th_op *op, const void *params, const th_array *const *in,
                        int n_in, th_array **out, int n_out) {
  return invoke(&d, op, params, in, n_in, out, n_out);
}

th_array *th__call(const th_op *op, const void *params, const th_array *const *in, int n_in) {
  th_array *out;
  return invoke(NULL, op, params, in, n_in, &out, 1) == TH_OK ? out : NULL;
}
