/* Owns the short way of small elementwise calls whose operands lie alike, or are single elements: no layouts are kept, only
 * addresses and a length.
 * What does not fit, and what is wrong, goes the long way of invoke.c, which has all checks and messages; what both do in the
 * same order is: the interceptor's first half, results, the task, its second half. */
#include "devices/blocks.h"
#include "engine/base/error.h"
#include "engine/trace.h"
#include "ops/call.h"
#include "ops/loops/lines.h"
#include "ops/ticket.h"

enum { INPUTS = 3, PARAMS = 16, CELL = 8 };

/* The argument of the task. Operand 0 is written: the result, or input 0 again. */
typedef struct quick {
  uint64_t ticket;
  const th_op *op;
  int64_t size;   /* elements */
  th__line line;  /* takes the operands as they are; NULL: the long form */
  uint8_t dtype;  /* of the inputs, a th_dtype */
  uint8_t n;      /* operands */
  uint8_t single; /* bit i: operand i is one element for all of the result's */
  bool fresh;     /* operand 0 is a result: nobody else knows it yet */
  uint32_t note;  /* its shapes in a trace, see th__shapes_note() */
  th_storage *storage[1 + INPUTS];
  int64_t offset[1 + INPUTS]; /* in bytes */
  _Alignas(16) char params[PARAMS];
} quick;

_Static_assert(sizeof(quick) <= TH__BLOCK_GRAIN, "one block of the smallest size");

/* --- which calls --- */

/* Elements of an array without gaps, as a fresh one; 0 otherwise. */
static int64_t packed_size(const th_layout *l) {
  int64_t size = 1;
  for (int d = l->ndim - 1; d >= 0; d--) {
    if (l->strides[d] != size) return 0;
    size *= l->shape[d];
  }
  return size;
}

static bool lies_like(const th_array *b, const th_array *a) {
  if (!b || !b->storage || b->layout.dtype != a->layout.dtype || b->layout.ndim != a->layout.ndim ||
      !th__device_same(b->device, a->device))
    return false;
  for (int d = 0; d < a->layout.ndim; d++)
    if (b->layout.shape[d] != a->layout.shape[d] || b->layout.strides[d] != a->layout.strides[d])
      return false;
  return true;
}

static bool is_single(const th_layout *l) { return th__layout_size(l) == 1; }

/* Operands that do not all lie like the first: which one has the shape of the result, so that those which lie otherwise are single
 * elements. -1: none. *single: bit i for input i. */
static __attribute__((noinline)) int broadcast_from(const th_op *op, const th_array *const *in,
                                                    int n_in, int n_out, uint32_t *single) {
  if (op->infer != (n_out ? th__infer_broadcast : th__infer_inplace)) return -1;
  int like = 0;
  for (int i = 0; i < n_in; i++) {
    if (!in[i]) return -1;
    const th_layout *l = &in[i]->layout, *most = &in[like]->layout;
    if (n_out && (l->ndim > most->ndim || (l->ndim == most->ndim && is_single(most)))) like = i;
  }
  const th_array *a = in[like];
  for (int i = 0; i < n_in; i++) {
    if (lies_like(in[i], a)) continue;
    const th_array *b = in[i];
    if (!is_single(&b->layout) || b->layout.ndim > a->layout.ndim || !b->storage ||
        b->layout.dtype != a->layout.dtype || !th__device_same(b->device, a->device))
      return -1;
    *single |= 1u << i;
  }
  return like;
}

static bool has_line(const th_op *op, th_dtype t) {
  th__line_call call;
  return th__dtype_in(t, op->dtypes) && (op->lines[t] || th__line_find(op, t, &call));
}

/* Elements of a call that fits; 0 otherwise. *like: the input with the shape of the result. A written operand must not share its
 * storage. */
static int64_t fitting_size(const th_op *op, const th_array *const *in, int n_in, int n_out,
                            int *like, uint32_t *single) {
  const th_array *a = n_in > 0 ? in[0] : NULL;
  if (n_in != op->in.min || n_out != op->out.min || n_in > INPUTS || !a || !a->storage) return 0;
  if (op->params_size > PARAMS || op->drop || !has_line(op, a->layout.dtype)) return 0;
  int alike = 1;
  while (alike < n_in && lies_like(in[alike], a)) alike++;
  if (alike < n_in && (*like = broadcast_from(op, in, n_in, n_out, single)) < 0) return 0;
  for (int i = 1; n_out == 0 && i < n_in; i++)
    if (in[i]->storage == a->storage) return 0;
  const th_storage *s = a->storage;
  if (!(s->ops->caps & TH__CAP_HOST_MEMORY) || s->var.epoch != th__engine_epoch()) return 0;
  int64_t size = packed_size(&in[*like]->layout);
  return size <= TH__INLINE_ELEMENTS && th__engine_ensure() == TH_OK ? size : 0;
}

/* --- the task --- */

static th_dtype result_type(const th_op *op, th_dtype inputs) {
  return op->flags & TH_OP_TESTS ? TH_BOOL : inputs;
}

/* The long form: halves, single elements, or scalars as further operands. */
static void run_converted(const quick *q, char **data) {
  _Alignas(CELL) char cells[TH__LOOP_OPERANDS][CELL];
  int64_t strides[TH__LOOP_OPERANDS];
  th__line_call call;
  (void)th__line_find(q->op, (th_dtype)q->dtype, &call);
  int scalars = th__line_scalars(q->op, q->params, q->dtype, cells[0]);
  call.user = q->params;
  call.n = q->n + scalars;
  for (int i = 0; i < call.n; i++) {
    call.dtype[i] = i == 0 ? result_type(q->op, q->dtype) : q->dtype;
    bool repeated = i >= q->n || (q->single >> i & 1);
    strides[i] = repeated ? 0 : th__dtype_size(call.dtype[i]);
    if (i >= q->n) data[i] = cells[i - q->n];
  }
  th__line_run(data, strides, q->size, &call);
}

/* A written operand is read as well. */
static void tell_trace(const quick *q, th_task_context *context) {
  int64_t read = (q->fresh ? q->n - 1 : q->n) * th__dtype_size(q->dtype);
  th__trace_noted(context, q->size, q->size * (read + th__dtype_size(result_type(q->op, q->dtype))),
                  q->note);
}

static th_status quick_run(void *arg, th_task_context *context) {
  quick *q = arg;
  char *data[TH__LOOP_OPERANDS];
  for (int i = 0; i < q->n; i++) {
    th_storage *s = q->storage[i];
    if (!th__load(&s->data, TH__ACQUIRE)) TH_TRY(th__storage_ensure(s, i == 0, context));
    data[i] = (char *)th__load(&s->data, TH__ACQUIRE) + q->offset[i];
  }
  if (th__trace_on(TH_PROFILE_OPS)) tell_trace(q, context);
  if (q->line)
    q->line(data, q->size, q->params);
  else
    run_converted(q, data);
  return TH_OK;
}

static void quick_drop(void *arg) {
  quick *q = arg;
  if (!th__ticket_return(q->ticket))
    for (int i = q->fresh ? 0 : 1; i < q->n; i++) th__storage_uncount(q->storage[i]);
  th__block_give(q, sizeof *q);
}

static void add_operand(quick *q, const th_array *a) {
  q->storage[q->n] = a->storage;
  q->offset[q->n++] = a->layout.offset * th__dtype_size(a->layout.dtype);
}

static quick *quick_new(const th_op *op, const void *params, const th_array *const *in, int n_in,
                        const th_array *result) {
  quick *q = th__block_take(sizeof *q);
  if (!q) return NULL;
  q->op = op;
  q->dtype = (uint8_t)in[0]->layout.dtype;
  q->n = 0;
  q->fresh = result != NULL;
  add_operand(q, result ? result : in[0]);
  for (int i = 0; i < n_in; i++) add_operand(q, in[i]);
  if (op->params_size) memcpy(q->params, params, op->params_size);
  return q;
}

/* Consumes q. */
static th_status submit(quick *q, const th_array *const *in, int n_in, const th_array *result) {
  th_var *vars[1 + INPUTS];
  th_storage *written = q->storage[0];
  for (int i = 0; i < q->n; i++) vars[i] = &q->storage[i]->var;
  th_task task = {.name = q->op->name,
                  .run = quick_run,
                  .arg = q,
                  .arg_size = sizeof *q,
                  .drop = quick_drop,
                  .reads = vars + 1,
                  .n_reads = (size_t)n_in,
                  .writes = vars,
                  .n_writes = 1,
                  .device = in[0]->device,
                  .flags = TH_TASK_ADOPT | TH_TASK_INLINE | TH__TASK_NAME_LASTS,
                  .bytes = result ? written->bytes : 0};
  if (!result) th__storage_written(written, q->op->name);
  bool ended;
  th_status status = th__ticket_push(&task, &q->ticket, &ended);
  if (status != TH_OK) th__block_give(q, sizeof *q);
  if (status != TH_OK || ended) return status;
  if (result) th__storage_count_first(written);
  for (int i = 0; i < n_in; i++) th__storage_count(in[i]->storage);
  return TH_OK;
}

/* --- the call --- */

static th_array *make_result(th_dtype t, const th_array *like, int64_t size) {
  const th_storage *s = like->storage;
  th_storage *storage = th__storage_on(like->device, s->ops, s->state, size * th__dtype_size(t));
  th_array *result = storage ? th__array_on(storage, like->device, &like->layout) : NULL;
  if (result) {
    result->layout.offset = 0;
    result->layout.dtype = t;
  }
  return result;
}

static th_status carry_out(const th_op *op, const void *params, const th_array *const *in, int n_in,
                           const th_array *like, int64_t size, uint32_t single, th_array **out) {
  th_dtype inputs = like->layout.dtype, t = result_type(op, inputs);
  if (out && !(*out = make_result(t, like, size))) return th_last_status();
  quick *q = quick_new(op, params, in, n_in, out ? *out : NULL);
  if (!q) return TH_ENOMEM;
  q->size = size;
  q->single = (uint8_t)(single << 1); /* behind the operand that is written */
  q->line = single == 0 && !(op->flags & TH_OP_SCALARS) ? op->lines[inputs] : NULL;
  q->note = th__trace_on(TH_PROFILE_SHAPES) ? th__shapes_note(&like->layout, n_in, q->fresh, t)
                                            : TH__TRACE_NO_NOTE;
  return submit(q, in, n_in, out ? *out : NULL);
}

bool th__quick(const th_op *op, const void *params, const th_array *const *in, int n_in,
               th_array **out, int n_out, th_status *status) {
  int like = 0;
  uint32_t single = 0;
  int64_t size = fitting_size(op, in, n_in, n_out, &like, &single);
  if (size == 0) return false;
  const uint8_t written[INPUTS] = {n_out == 0};
  const th__interceptor *watching = th__interceptor_get();
  *status = watching && watching->before ? watching->before(op, in, n_in, written) : TH_OK;
  if (*status == TH_OK)
    *status = carry_out(op, params, in, n_in, in[like], size, single, n_out ? out : NULL);
  if (*status == TH_OK && watching && watching->after)
    *status = watching->after(op, params, in, n_in, out, n_out, written);
  if (*status == TH_OK || n_out == 0) return true;
  if (*out) th_release(th_keep(*out));
  *out = NULL;
  return true;
}
