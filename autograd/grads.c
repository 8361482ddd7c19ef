/* Owns the public calls that walk back: their checks, roots and head gradients. */
#include <string.h>

#include "autograd/walk.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"

/* One call. What is made for it lies in one block: nodes hold references. */
typedef struct request {
  const char *who;
  th_array *const *outputs, *const *given, *const *inputs; /* given heads, or NULL */
  int n_outputs, n_inputs;
  th__node **roots, **targets;
  th_array **heads; /* +1 */
} request;

static th_status check_array(const char *who, const char *what, int i, const th_array *a) {
  if (a != NULL) return TH_OK;
  return th_last_status() != TH_OK ? TH_EINVAL
                                   : th__fail(TH_EINVAL, "%s: %s %d is NULL", who, what, i);
}

static th_status check_head(const char *who, int i, const th_array *gradient, const th_array *a) {
  const th_layout *g = &gradient->layout, *w = &a->layout;
  if (g->dtype != w->dtype || !th__layout_same_shape(g, w)) {
    char want[TH__SHAPE_TEXT], got[TH__SHAPE_TEXT];
    return th__fail(TH_ESHAPE, "%s: head gradient %d is %s %s, the array %s %s", who, i,
                    th__shape_text(g->shape, g->ndim, got, sizeof(got)), th_dtype_name(g->dtype),
                    th__shape_text(w->shape, w->ndim, want, sizeof(want)), th_dtype_name(w->dtype));
  }
  if (!th_device_equal(gradient->device, a->device)) {
    char want[32], got[32];
    return th__fail(TH_EDEVICE, "%s: head gradient %d is on %s, the array on %s", who, i,
                    th_device_name(gradient->device, got, sizeof(got)),
                    th_device_name(a->device, want, sizeof(want)));
  }
  return TH_OK;
}

static th_status find_node(const char *who, const char *what, int i, const th_array *a,
                           th__node **node) {
  TH_TRY(check_array(who, what, i, a));
  *node = th__tape_node(a);
  if (*node != NULL) return TH_OK;
  return th__fail(TH_EINVAL,
                  "%s: nothing was recorded for %s %d: no input required a gradient, or "
                  "th_grad_mode(false) was set",
                  who, what, i);
}

static th_status begin(request *q) {
  size_t out = (size_t)q->n_outputs, in = (size_t)q->n_inputs;
  q->roots = th__zalloc((out + in) * sizeof(th__node *) + out * sizeof(th_array *));
  if (q->roots == NULL) return TH_ENOMEM;
  q->targets = q->roots + out;
  q->heads = (th_array **)(q->targets + in);
  for (int i = 0; i < q->n_outputs; i++) {
    const th_array *a = q->outputs[i];
    TH_TRY(find_node(q->who, "output", i, a, &q->roots[i]));
    if (q->given != NULL && q->given[i] != NULL) {
      TH_TRY(check_head(q->who, i, q->given[i], a));
      q->heads[i] = th_retain(q->given[i]);
    } else {
      q->heads[i] = th_ones_like(a);
      if (q->heads[i] == NULL) return th_last_status();
    }
  }
  for (int i = 0; i < q->n_inputs; i++) {
    TH_TRY(find_node(q->who, "input", i, q->inputs[i], &q->targets[i]));
  }
  return TH_OK;
}

static void end(request *q) {
  if (q->roots == NULL) return;
  for (int i = 0; i < q->n_outputs + q->n_inputs; i++) {
    if (q->roots[i] != NULL) th__record_release(q->roots[i]->record);
  }
  for (int i = 0; i < q->n_outputs; i++) th_release(q->heads[i]);
  th__free(q->roots);
}

static th_status check_reached(const th__walk *w) {
  for (int i = 0; i < w->n_targets; i++) {
    if (w->target_entries[i] >= 0) continue;
    return th__fail(TH_EINVAL, "%s: no output depends on input %d; see TH_ALLOW_UNUSED", w->who, i);
  }
  return TH_OK;
}

/* Gives result i its final form: an array that nobody else shares, or NULL for an input that was not reached. */
static th_status finish_result(const th__walk *w, const th_array *input, int i) {
  th_array *g = w->results[i];
  if (w->target_entries[i] < 0 || (g != NULL && th__is_exclusive(g))) return TH_OK;
  w->results[i] = g != NULL ? th_copy(g) : th_zeros_like(input); /* only zeros arrived */
  th_release(g);
  return w->results[i] != NULL ? TH_OK : th_last_status();
}

static th_status walk(request *q, uint32_t flags, th_array **results) {
  th__walk w = {.who = q->who,
                .create = (flags & TH_CREATE_GRAPH) != 0,
                .retain = (flags & (TH_CREATE_GRAPH | TH_RETAIN_GRAPH)) != 0,
                .partial = (flags & TH__PARTIAL) != 0,
                .n_targets = q->n_inputs,
                .results = results,
                .scope = th__scope_suspend()};
  bool recording = th__tape_recording(w.create);
  th_status status = begin(q);
  w.targets = results != NULL ? q->targets : NULL;
  if (status == TH_OK) status = th__walk_discover(&w, q->roots, q->n_outputs);
  if (status == TH_OK && !(flags & TH_ALLOW_UNUSED)) status = check_reached(&w);
  if (status == TH_OK) status = th__walk_run(&w, q->roots, q->heads, q->n_outputs);
  end(q);
  for (int i = 0; i < q->n_inputs && status == TH_OK; i++) {
    status = finish_result(&w, q->inputs[i], i);
  }
  th__walk_end(&w);
  th__tape_recording(recording);
  th__scope_resume(w.scope, NULL);
  return status;
}

/* --- the public calls --- */

static th_status check_call(const th_array *a, uint32_t flags) {
  TH_TRY(check_array("backward", "array", 0, a));
  if ((flags & ~(uint32_t)(TH_RETAIN_GRAPH | TH_CREATE_GRAPH)) != 0) {
    return th__fail(TH_EINVAL, "backward: unknown flags 0x%x", flags);
  }
  return TH_OK;
}

th_status th_backward(th_array *loss, uint32_t flags) {
  TH_TRY(check_call(loss, flags));
  if (th_array_size(loss) != 1) {
    char shape[TH__SHAPE_TEXT];
    return th__fail(TH_ESHAPE,
                    "backward: the array has shape %s, not one element; give the gradient to start "
                    "from with th_backward_from()",
                    th__shape_text(loss->layout.shape, loss->layout.ndim, shape, sizeof(shape)));
  }
  request q = {.who = "backward", .outputs = &loss, .n_outputs = 1};
  return walk(&q, flags, NULL);
}

th_status th_backward_from(th_array *a, const th_array *gradient, uint32_t flags) {
  TH_TRY(check_call(a, flags));
  TH_TRY(check_array("backward_from", "gradient", 0, gradient));
  th_array *head = (th_array *)gradient; /* only read */
  request q = {.who = "backward", .outputs = &a, .n_outputs = 1, .given = &head};
  return walk(&q, flags, NULL);
}

th_status th__grads(th_array *const *outputs, int n_outputs, th_array *const *heads,
                    th_array *const *inputs, int n_inputs, uint32_t flags, th_array **gradients) {
  request q = {.who = flags & TH__PARTIAL ? "recompute" : "grads",
               .outputs = outputs,
               .n_outputs = n_outputs,
               .given = heads,
               .inputs = inputs,
               .n_inputs = n_inputs};
  for (int i = 0; i < n_inputs; i++) gradients[i] = NULL;
  th_status status = walk(&q, flags, gradients);
  for (int i = 0; i < n_inputs && status != TH_OK; i++) {
    th_release(gradients[i]);
    gradients[i] = NULL;
  }
  return status;
}

th_status th_grads(th_array *const *outputs, int n_outputs, th_array *const *head_gradients,
                   th_array *const *inputs, int n_inputs, uint32_t flags, th_array **gradients) {
  if (outputs == NULL || n_outputs < 1 || inputs == NULL || n_inputs < 1 || gradients == NULL) {
    return th__fail(TH_EINVAL, "grads: needs outputs, inputs and room for gradients");
  }
  if ((flags & ~(uint32_t)(TH_RETAIN_GRAPH | TH_CREATE_GRAPH | TH_ALLOW_UNUSED)) != 0) {
    return th__fail(TH_EINVAL, "grads: unknown flags 0x%x", flags);
  }
  TH_TRY(th__grads(outputs, n_outputs, head_gradients, inputs, n_inputs, flags, gradients));
  for (int i = 0; i < n_inputs; i++) th__scope_adopt(gradients[i]);
  return TH_OK;
}
