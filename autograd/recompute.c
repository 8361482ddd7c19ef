/* Owns th_recompute(): a function whose inner arrays are not kept but computed again when backward needs them. */
#include <string.h>

#include "autograd/function.h"
#include "autograd/walk.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "ops/random/generator.h"

/* What a record holds; changed only before it is one. */
typedef struct again {
  th_forward_fn fn;
  void *user;
  void (*drop)(void *user);
  th__draws draws;
} again;

static void drop_again(void *params) {
  again *a = *(again **)params;
  if (a->drop != NULL) a->drop(a->user);
  th__free(a->draws.taken);
  th__free(a);
}

static th_status note_draws(th_array *const *inputs, int n_inputs, th_array **outputs,
                            int n_outputs, void *user) {
  again *a = user;
  TH_TRY(th__draws_begin(&a->draws));
  th_status status = a->fn(inputs, n_inputs, outputs, n_outputs, a->user);
  th_status noted = th__draws_end(&a->draws);
  return status < 0 ? status : noted;
}

/* --- backward --- */

/* The second call. Its inputs are points of their own: gradients by them are what vjp wants, whatever the first call's inputs have
 * to do with each other. */
typedef struct rerun {
  const again *a;
  th_array **points;             /* n_in, +1 */
  th_array **outputs;            /* n_out, +1 */
  th_array **targets, **results; /* points with gradients, borrowed, and these; n_targets */
  int *inputs;                   /* number of each target */
  int n_targets, n_roots;
  th_array **roots, **heads; /* outputs with gradients, and these, borrowed; n_roots */
} rerun;

/* With history (TH_CREATE_GRAPH) a point is a view of the input, recorded; without, a leaf. */
static th_status make_point(const th_vjp *v, rerun *r, int i) {
  th_array *a = v->inputs[i];
  if (th_requires_grad(a)) {
    bool before = th__tape_recording(true);
    r->points[i] = th_reshape(a, a->layout.shape, a->layout.ndim);
    th__tape_recording(before);
  } else {
    r->points[i] = th_detach(a);
    if (r->points[i] != NULL && v->needed[i]) TH_TRY(th_require_grad(r->points[i]));
  }
  if (r->points[i] == NULL) return th_last_status();
  if (!th_requires_grad(r->points[i])) return TH_OK;
  r->targets[r->n_targets] = r->points[i];
  r->inputs[r->n_targets++] = i;
  return TH_OK;
}

static th_status run_again(const th_vjp *v, rerun *r) {
  for (int i = 0; i < v->n_in; i++) TH_TRY(make_point(v, r, i));
  th__draws draws = r->a->draws; /* several threads may do this at once */
  draws.again = true;
  TH_TRY(th__draws_begin(&draws));
  th_status status = th__function_run("recompute", r->a->fn, r->a->user, true, r->points, v->n_in,
                                      r->outputs, v->n_out);
  (void)th__draws_end(&draws);
  for (int j = 0; j < v->n_out && status == TH_OK; j++) {
    if (v->gradients[j] == NULL || !th_requires_grad(r->outputs[j])) continue;
    r->roots[r->n_roots] = r->outputs[j];
    r->heads[r->n_roots++] = v->gradients[j];
  }
  return status;
}

static th_status walk_again(const th_vjp *v, rerun *r) {
  if (r->n_roots == 0) return TH_OK;
  bool create = th__tape_recording(false);
  th__tape_recording(create);
  uint32_t flags = TH__PARTIAL | TH_ALLOW_UNUSED | (create ? TH_CREATE_GRAPH : 0);
  TH_TRY(th__grads(r->roots, r->n_roots, r->heads, r->targets, r->n_targets, flags, r->results));
  for (int t = 0; t < r->n_targets; t++) {
    if (v->needed[r->inputs[t]])
      v->result[r->inputs[t]] = r->results[t];
    else
      th_release(r->results[t]);
  }
  return TH_OK;
}

static th_status vjp_recompute(const th_vjp *v) {
  size_t in = (size_t)v->n_in, out = (size_t)v->n_out;
  char *block = th__zalloc((3 * in + 3 * out) * sizeof(th_array *) + in * sizeof(int));
  if (block == NULL) return TH_ENOMEM;
  rerun r = {.a = *(again *const *)v->params, .points = (th_array **)block};
  r.targets = r.points + in;
  r.results = r.targets + in;
  r.outputs = r.results + in;
  r.roots = r.outputs + out;
  r.heads = r.roots + out;
  r.inputs = (int *)(r.heads + out);
  th_status status = run_again(v, &r);
  if (status == TH_OK) status = walk_again(v, &r);
  for (int i = 0; i < v->n_in; i++) th_release(r.points[i]);
  for (int j = 0; j < v->n_out; j++) th_release(r.outputs[j]);
  th__free(block);
  return status;
}

/* --- forward --- */

static const th_op op_recompute = {
    .name = "recompute", .params_size = sizeof(again *), .vjp = vjp_recompute};

/* Nothing will be computed again: an ordinary call. */
static th_status just_call(th_forward_fn fn, th_array *const *inputs, int n_inputs,
                           th_array **outputs, int n_outputs, void *user,
                           void (*drop)(void *user)) {
  bool recording = th__tape_recording(true);
  th__tape_recording(recording);
  th_status status =
      th__function_run("recompute", fn, user, recording, inputs, n_inputs, outputs, n_outputs);
  if (drop != NULL) drop(user);
  for (int j = 0; j < n_outputs && status == TH_OK; j++) th__scope_adopt(outputs[j]);
  return status;
}

th_status th_recompute(th_forward_fn fn, th_array *const *inputs, int n_inputs, th_array **outputs,
                       int n_outputs, void *user, void (*drop)(void *user)) {
  th_status status = th__function_check("recompute", fn, inputs, n_inputs, outputs, n_outputs);
  again *a = NULL;
  if (status == TH_OK && !th__tape_records((const th_array *const *)inputs, n_inputs)) {
    return just_call(fn, inputs, n_inputs, outputs, n_outputs, user, drop);
  }
  if (status == TH_OK && (a = th__zalloc(sizeof(*a))) == NULL) status = TH_ENOMEM;
  if (a == NULL) {
    if (drop != NULL) drop(user);
    return status;
  }
  *a = (again){.fn = fn, .user = user, .drop = drop};
  th__function call = {.op = &op_recompute,
                       .params = &a,
                       .drop = drop_again,
                       .saves = UINT32_C(0xFFFF),
                       .forward = note_draws,
                       .user = a};
  return th__function_call(&call, inputs, n_inputs, outputs, n_outputs);
}
