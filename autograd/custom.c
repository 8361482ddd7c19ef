/* Owns functions of the program that bring their own gradient: each call is one record, whose vjp is the program's. */
#include "autograd/function.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"

/* --- what th_recompute() shares --- */

th_status th__function_check(const char *who, th_forward_fn forward, th_array *const *inputs,
                             int n_inputs, th_array **outputs, int n_outputs) {
  if (forward == NULL) return th__fail(TH_EINVAL, "%s: the function is NULL", who);
  if (n_inputs < 1 || inputs == NULL || n_outputs < 1 || outputs == NULL) {
    return th__fail(TH_EINVAL, "%s: needs at least one input and one output", who);
  }
  for (int i = 0; i < n_inputs; i++) {
    if (inputs[i] == NULL) return th__null_input(who, i);
  }
  return TH_OK;
}

static void release_outputs(th_array **outputs, int n) {
  for (int j = 0; j < n; j++) {
    th_release(outputs[j]);
    outputs[j] = NULL;
  }
}

th_status th__function_run(const char *who, th_forward_fn forward, void *user, bool recording,
                           th_array *const *inputs, int n_inputs, th_array **outputs,
                           int n_outputs) {
  for (int j = 0; j < n_outputs; j++) outputs[j] = NULL;
  th_scope scope = th__scope_suspend();
  bool before = th__tape_recording(recording);
  th__error_slot()->status = TH_OK;
  th_status status = forward(inputs, n_inputs, outputs, n_outputs, user);
  th__tape_recording(before);
  th__scope_resume(scope, NULL);
  if (status < 0 && th_last_status() != status) {
    (void)th__fail(status, "%s: the function failed", who);
  }
  for (int j = 0; j < n_outputs && status >= 0; j++) {
    if (outputs[j] == NULL) {
      status = th_last_status() != TH_OK
                   ? th_last_status()
                   : th__fail(TH_EINVAL, "%s: the function made no output %d", who, j);
    }
  }
  if (status < 0) release_outputs(outputs, n_outputs);
  return status < 0 ? status : TH_OK;
}

/* The history of an output is this call, so that nobody else may show it, or be shown by it. */
static th_status own_outputs(th_array **outputs, int n) {
  for (int j = 0; j < n; j++) {
    if (th__is_exclusive(outputs[j])) continue;
    th_array *own = th_copy(outputs[j]);
    th_release(outputs[j]);
    outputs[j] = own;
    if (own == NULL) return th_last_status();
  }
  return TH_OK;
}

th_status th__function_call(const th__function *f, th_array *const *inputs, int n_inputs,
                            th_array **outputs, int n_outputs) {
  const th_array *const *in = (const th_array *const *)inputs;
  bool recorded = th__tape_records(in, n_inputs);
  th_status status = th__function_run(f->op->name, f->forward, f->user, false, inputs, n_inputs,
                                      outputs, n_outputs);
  th_scope scope = th__scope_suspend();
  if (status == TH_OK) {
    bool before = th__tape_recording(false);
    status = own_outputs(outputs, n_outputs);
    th__tape_recording(before);
  }
  if (status == TH_OK && recorded && f->note != NULL) {
    status = f->note((void *)f->params, outputs, n_outputs);
  }
  if (status == TH_OK && recorded) {
    status = th__tape_record(f->op, f->params, f->drop, f->saves, in, n_inputs,
                             (const th_array *const *)outputs, n_outputs);
  }
  if ((status != TH_OK || !recorded) && f->drop != NULL) f->drop((void *)f->params);
  if (status != TH_OK) release_outputs(outputs, n_outputs);
  th__scope_resume(scope, NULL);
  for (int j = 0; j < n_outputs; j++) th__scope_adopt(outputs[j]);
  return status;
}

/* --- th_custom() --- */

/* What a record holds. */
typedef struct custom_call {
  th_function f;
  th_device device;   /* of all outputs, where devices is NULL */
  th_device *devices; /* of unsaved outputs that do not lie together; freed with user */
} custom_call;

static th_status note_devices(void *params, th_array *const *outputs, int n_outputs) {
  custom_call *c = params;
  bool together = true;
  c->device = outputs[0]->device;
  for (int j = 1; j < n_outputs; j++) {
    together = together && th_device_equal(outputs[j]->device, c->device);
  }
  if (together || (c->f.unsaved & TH_UNSAVED_OUTPUTS) == 0) return TH_OK;
  c->devices = th__alloc((size_t)n_outputs * sizeof(*c->devices));
  if (c->devices == NULL) return TH_ENOMEM;
  for (int j = 0; j < n_outputs; j++) c->devices[j] = outputs[j]->device;
  return TH_OK;
}

static th_device device_of(const th_vjp *v, int j) {
  const custom_call *c = v->params;
  if (v->outputs[j] != NULL) return v->outputs[j]->device;
  return c->devices != NULL ? c->devices[j] : c->device;
}

static th_status call_backward(const th_vjp *v, th_array **gradients, th_array **results) {
  const th_function *f = &((const custom_call *)v->params)->f;
  return f->backward(v->inputs, v->outputs, gradients, results, f->user);
}

static th_status vjp_function(const th_vjp *v) {
  return th__vjp_by_user(v, device_of, call_backward);
}

static const th_op op_function = {
    .name = "custom", .params_size = sizeof(custom_call), .vjp = vjp_function};

static void drop_function(void *params) {
  const custom_call *c = params;
  if (c->f.drop != NULL) c->f.drop(c->f.user);
  th__free(c->devices);
}

static th_status check(const th_function *f, th_array *const *inputs, int n_inputs,
                       th_array **outputs, int n_outputs) {
  TH_TRY(th__function_check("custom", f->forward, inputs, n_inputs, outputs, n_outputs));
  if (f->backward == NULL) return th__fail(TH_EINVAL, "custom: backward is NULL");
  if ((f->unsaved & ~(uint32_t)(TH_UNSAVED_INPUTS | TH_UNSAVED_OUTPUTS)) != 0) {
    return th__fail(TH_EINVAL, "custom: unknown bits 0x%x in unsaved", f->unsaved);
  }
  return TH_OK;
}

th_status th_custom(const th_function *f, th_array *const *inputs, int n_inputs, th_array **outputs,
                    int n_outputs) {
  if (f == NULL || f->size < sizeof(*f)) {
    return th__fail(TH_EINVAL, "custom: size is not that of a th_function");
  }
  th_status status = check(f, inputs, n_inputs, outputs, n_outputs);
  if (status != TH_OK) {
    if (f->drop != NULL) f->drop(f->user);
    return status;
  }
  uint32_t saves = (f->unsaved & TH_UNSAVED_INPUTS ? 0 : UINT32_C(0xFFFF)) |
                   (f->unsaved & TH_UNSAVED_OUTPUTS ? 0 : UINT32_C(0xFFFF0000));
  custom_call own = {.f = *f};
  th__function call = {.op = &op_function,
                       .params = &own,
                       .drop = drop_function,
                       .note = note_devices,
                       .saves = saves,
                       .forward = f->forward,
                       .user = f->user};
  return th__function_call(&call, inputs, n_inputs, outputs, n_outputs);
}
