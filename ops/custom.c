/* Owns operators of users: their definitions, kept for the life of the process, and the adapters that make each an ordinary
 * record. `lock` guards additions; a definition never changes once its record is in the registry. */
#include <stdarg.h>
#include <string.h>

#include "engine/base/atomic.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "ops/op.h"

enum { MAX_CUSTOM = 256, MAX_OPERANDS = 8, MAX_PARAMS = 256, NAME_ROOM = 64 };

typedef struct custom {
  th_op op; /* first: adapters find the definition through it */
  th_op_definition definition;
  char name[NAME_ROOM];
} custom;

/* Not on the heap: records outlive th_shutdown(), after which arrays and their history may still be released. */
static custom table[MAX_CUSTOM];
static int n_table; /* under lock */
static th__spin lock;

static const th_op_definition *definition_of(const th_op *op) {
  return &((const custom *)op)->definition;
}

/* --- adapters --- */

static void shape_of(const th_layout *l, th_op_shape *out) {
  *out = (th_op_shape){.dtype = l->dtype, .ndim = l->ndim};
  for (int d = 0; d < l->ndim; d++) out->shape[d] = l->shape[d];
}

static th_status infer_custom(th_infer *io, const void *params) {
  const th_op_definition *def = definition_of(io->op);
  th_op_shape in[MAX_OPERANDS], out[MAX_OPERANDS] = {0};
  for (int i = 0; i < io->n_in; i++) shape_of(&io->in[i], &in[i]);
  th__last_error *error = th__error_slot();
  error->status = TH_OK;
  th_status status = def->infer(in, out, params);
  if (status < 0) {
    if (error->status == status) return status; /* th_op_refuse() said why */
    return th__fail(status, "%s: refused by its infer function", io->op->name);
  }
  for (int j = 0; j < io->n_out; j++) {
    th_layout made;
    TH_TRY(th__layout_make(&made, out[j].shape, out[j].ndim, out[j].dtype, io->op->name));
    io->out[j] = made;
  }
  return TH_OK;
}

static void operand_of(const th_layout *l, void *data, th_op_operand *out) {
  *out = (th_op_operand){
      .data = data, .dtype = l->dtype, .ndim = l->ndim, .shape = l->shape, .strides = l->strides};
}

static th_status custom_cpu(const th_kernel_args *k) {
  th_op_operand in[MAX_OPERANDS], out[MAX_OPERANDS];
  for (int i = 0; i < k->n_in; i++) operand_of(&k->in[i], k->in_data[i], &in[i]);
  for (int j = 0; j < k->n_out; j++) operand_of(&k->out[j], k->out_data[j], &out[j]);
  th_status status = definition_of(k->op)->cpu(in, out, k->params, k->context);
  return status < 0 ? status : TH_OK;
}

/* Fails when a gradient has another shape or type than its input. */
static th_status check_result(const th_vjp *v, int i) {
  const th_layout *got = &v->result[i]->layout, *want = &v->in[i];
  char a[TH__SHAPE_TEXT], b[TH__SHAPE_TEXT];
  if (got->dtype == want->dtype && th__layout_same_shape(got, want)) return TH_OK;
  return th__fail(TH_ESHAPE, "%s: its vjp gave gradient %d as %s %s instead of %s %s", v->op->name,
                  i, th_dtype_name(got->dtype), th__shape_text(got->shape, got->ndim, a, sizeof a),
                  th_dtype_name(want->dtype), th__shape_text(want->shape, want->ndim, b, sizeof b));
}

th_status th__vjp_by_user(const th_vjp *v, th__output_device device, th__user_vjp call) {
  th_array **gradients = th__zalloc((size_t)(v->n_out + v->n_in) * sizeof(th_array *));
  th_array **results = gradients + v->n_out;
  if (gradients == NULL) return TH_ENOMEM;
  th_status status = TH_OK;
  for (int j = 0; j < v->n_out && status == TH_OK; j++) {
    const th_layout *l = &v->out[j];
    gradients[j] = v->gradients[j] != NULL ? th_retain(v->gradients[j])
                                           : th_zeros(l->shape, l->ndim, l->dtype, device(v, j));
    if (gradients[j] == NULL) status = th_last_status();
  }
  if (status == TH_OK) status = call(v, gradients, results);
  for (int j = 0; j < v->n_out; j++) th_release(gradients[j]);
  for (int i = 0; i < v->n_in; i++) {
    if (status >= 0 && v->needed[i])
      v->result[i] = results[i];
    else
      th_release(results[i]);
    if (v->result[i] != NULL && status >= 0) status = check_result(v, i);
  }
  th__free(gradients);
  if (status >= 0) return TH_OK;
  if (th_last_status() != status) th__fail(status, "%s: its vjp failed", v->op->name);
  return status;
}

static th_status call_vjp(const th_vjp *v, th_array **gradients, th_array **results) {
  return definition_of(v->op)->vjp(v->inputs, v->outputs, gradients, v->params, results);
}

/* All outputs are saved. */
static th_device device_of(const th_vjp *v, int j) { return v->outputs[j]->device; }

static th_status vjp_custom(const th_vjp *v) { return th__vjp_by_user(v, device_of, call_vjp); }

/* --- public functions --- */

static bool name_fits(const char *name) {
  size_t n = name != NULL ? strlen(name) : 0;
  bool letters = n > 0 && n < NAME_ROOM;
  for (size_t i = 0; i < n && letters; i++) {
    char c = name[i];
    letters =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  }
  return letters;
}

static th_status check_definition(const th_op_definition *d) {
  if (d == NULL || d->size < sizeof *d)
    return th__fail(TH_EINVAL, "op_register: size is not that of a th_op_definition");
  if (!name_fits(d->name))
    return th__fail(TH_EINVAL,
                    "op_register: '%.64s' is no name; 1 to %d letters, digits or '_' are",
                    d->name != NULL ? d->name : "", NAME_ROOM - 1);
  if (d->n_inputs < 0 || d->n_inputs > MAX_OPERANDS || d->n_outputs < 1 ||
      d->n_outputs > MAX_OPERANDS)
    return th__fail(TH_EINVAL, "op_register: %s has %d inputs and %d outputs; 0..8 and 1..8 are",
                    d->name, d->n_inputs, d->n_outputs);
  if (d->params_size > MAX_PARAMS)
    return th__fail(TH_EINVAL, "op_register: %s has %zu bytes of parameters, more than %d", d->name,
                    d->params_size, MAX_PARAMS);
  if (d->infer == NULL || d->cpu == NULL)
    return th__fail(TH_EINVAL, "op_register: %s lacks infer or cpu", d->name);
  return TH_OK;
}

th_status th_op_register(const th_op_definition *definition) {
  TH_TRY(check_definition(definition));
  th__spin_watch_forks();
  th__spin_lock(&lock);
  if (n_table == MAX_CUSTOM) {
    th__spin_unlock(&lock);
    return th__fail(TH_ENOMEM, "op_register: no room for more than %d operators", MAX_CUSTOM);
  }
  custom *c = &table[n_table];
  c->definition = *definition;
  memcpy(c->name, definition->name, strlen(definition->name) + 1);
  c->definition.name = c->name;
  c->op = (th_op){
      .name = c->name,
      .in = {(int16_t)definition->n_inputs, 0},
      .out = {(int16_t)definition->n_outputs, 0},
      .params_size = (uint16_t)definition->params_size,
      .infer = infer_custom,
      .cpu = custom_cpu,
      .vjp = definition->vjp != NULL ? vjp_custom : NULL,
      .test = {-1, 1, 1e-4},
  };
  for (int i = 0; i < definition->n_inputs; i++) c->op.saves |= TH_SAVE_IN(i);
  for (int j = 0; j < definition->n_outputs; j++) c->op.saves |= TH_SAVE_OUT(j);
  n_table++; /* before it may be in use: a fork in between must not give it away again */
  th_status status = th__op_add(&c->op);
  if (status != TH_OK) n_table--;
  th__spin_unlock(&lock);
  return status;
}

th_status th_op_refuse(th_status status, const char *format, ...) {
  va_list args;
  va_start(args, format);
  th__fail_v(status, format, args);
  va_end(args);
  return status;
}

th_status th_op_call(const char *name, th_array *const *inputs, int n_inputs, const void *params,
                     th_array **outputs, int n_outputs) {
  const th_op *op = name != NULL ? th__op_find(name) : NULL;
  if (op == NULL || op->cpu != custom_cpu)
    return th__fail(TH_EINVAL, "op_call: no custom operator '%.64s'", name != NULL ? name : "");
  if (params == NULL && op->params_size > 0)
    return th__fail(TH_EINVAL, "op_call: %s wants parameters", op->name);
  if (n_outputs != op->out.min || outputs == NULL)
    return th__fail(TH_EINVAL, "op_call: %s has %d outputs, not %d", op->name, op->out.min,
                    n_outputs);
  if (n_inputs > 0 && inputs == NULL)
    return th__fail(TH_EINVAL, "op_call: %s is given %d inputs, but no list of them", op->name,
                    n_inputs);
  const th_array *const *in = (const th_array *const *)inputs;
  if (n_inputs == 0) return th__invoke_on(th_cpu(0), op, params, in, 0, outputs, n_outputs);
  return th__invoke(op, params, in, n_inputs, outputs, n_outputs);
}
