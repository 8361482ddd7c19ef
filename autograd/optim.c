/* Owns optimizers: fixed lists of leaves with their states, and the sorting of a step's leaves into tasks. Learning rate and
 * number of steps are atomic, so steps need no lock. */
#include "autograd/optim.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "autograd/tape.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"

/* --- leaves --- */

th_status th__leaves_check(const char *who, th_array *const *leaves, int n) {
  if (n < 1 || leaves == NULL) return th__fail(TH_EINVAL, "%s: needs at least one leaf", who);
  for (int i = 0; i < n; i++) {
    if (leaves[i] == NULL) return th__fail(TH_EINVAL, "%s: leaf %d is NULL", who, i);
    th__record *r = th__tape_leaf(leaves[i]);
    if (r == NULL) {
      return th__fail(TH_EINVAL, "%s: array %d is not a leaf, see th_require_grad()", who, i);
    }
    th__record_release(r);
  }
  return TH_OK;
}

th_array *th__leaf_gradient(const th_array *leaf) {
  th__record *r = th__tape_leaf(leaf);
  if (r == NULL) return NULL;
  th__spin_lock(&r->lock);
  th_array *gradient = r->leaf->gradient;
  if (gradient != NULL) th_retain(gradient);
  th__spin_unlock(&r->lock);
  th__record_release(r);
  return gradient;
}

/* --- life --- */

/* A state belongs to the optimizer, not to the scope that happens to be open. */
static th_status make_states(th_optimizer *o) {
  th_scope scope = th__scope_suspend();
  th_status status = TH_OK;
  for (int i = 0; i < o->n_states * o->n && status == TH_OK; i++) {
    o->states[i] = th_zeros_like(o->leaves[i % o->n]);
    if (o->states[i] == NULL) status = th_last_status();
  }
  if (status == TH_OK && o->kind->counts_skipped) {
    o->skipped = th_zeros(TH_SCALAR, TH_F32, o->leaves[0]->device);
    if (o->skipped == NULL) status = th_last_status();
  }
  th__scope_resume(scope, NULL);
  return status;
}

static th_status take_leaves(th_optimizer *o, th_array *const *leaves, int n) {
  size_t states = (size_t)n * (size_t)o->n_states;
  o->leaves = th__zalloc((size_t)n * sizeof(*o->leaves));
  o->factors = th__zalloc((size_t)n * sizeof(*o->factors));
  if (states > 0) o->states = th__zalloc(states * sizeof(*o->states));
  if (o->leaves == NULL || o->factors == NULL || (states > 0 && o->states == NULL)) {
    return TH_ENOMEM;
  }
  for (o->n = 0; o->n < n; o->n++) {
    o->leaves[o->n] = th_retain(leaves[o->n]);
    o->factors[o->n] = (th__optim_factors){1, 1};
  }
  return make_states(o);
}

th_optimizer *th__optim_new(const th__optim_kind *kind, const th__optim_settings *settings,
                            double lr, int n_states, th_array *const *leaves, int n) {
  if (th__leaves_check(kind->name, leaves, n) != TH_OK) return NULL;
  th_optimizer *o = th__zalloc(sizeof(*o));
  if (o == NULL) return NULL;
  o->kind = kind;
  o->settings = *settings;
  o->n_states = n_states;
  th__store(&o->lr, lr, TH__RELAXED);
  if (take_leaves(o, leaves, n) == TH_OK) return o;
  th_optimizer_release(o);
  return NULL;
}

void th_optimizer_release(th_optimizer *o) {
  if (o == NULL) return;
  for (int i = 0; i < o->n; i++) th_release(o->leaves[i]);
  for (int i = 0; o->states != NULL && i < o->n_states * o->n; i++) th_release(o->states[i]);
  th_release(o->skipped);
  th__free(o->leaves);
  th__free(o->states);
  th__free(o->factors);
  th__free(o);
}

/* --- settings and state --- */

/* A NULL optimizer is an error of its own unless it comes from one that was reported. */
static th_status check_optimizer(const th_optimizer *o, const char *who) {
  if (o != NULL) return TH_OK;
  return th_last_status() != TH_OK ? TH_EINVAL : th__fail(TH_EINVAL, "%s: NULL optimizer", who);
}

double th_optimizer_lr(const th_optimizer *o) {
  return o != NULL ? th__load(&o->lr, TH__RELAXED) : (double)NAN;
}

void th_optimizer_set_lr(th_optimizer *o, double lr) {
  if (o != NULL) th__store(&o->lr, lr, TH__RELAXED);
}

th_status th_optimizer_set_factors(th_optimizer *o, const th_array *leaf, double lr_factor,
                                   double decay_factor) {
  TH_TRY(check_optimizer(o, "optimizer_set_factors"));
  if (!(isfinite(lr_factor) && lr_factor >= 0 && isfinite(decay_factor) && decay_factor >= 0)) {
    return th__fail(TH_EINVAL,
                    "optimizer_set_factors: factors %g and %g must be finite and not negative",
                    lr_factor, decay_factor);
  }
  for (int i = 0; i < o->n; i++) {
    if (o->leaves[i] != leaf) continue;
    o->factors[i] = (th__optim_factors){lr_factor, decay_factor};
    return TH_OK;
  }
  return th__fail(TH_EINVAL, "optimizer_set_factors: the array is not a leaf of this optimizer");
}

int th_optimizer_states(const th_optimizer *o) {
  return o != NULL ? o->n_states * o->n + (o->skipped != NULL ? 1 : 0) : 0;
}

th_array *th_optimizer_state(const th_optimizer *o, int i, char *name, size_t bytes) {
  if (check_optimizer(o, "optimizer_state") != TH_OK) return NULL;
  if (i < 0 || i >= th_optimizer_states(o)) {
    th__fail(TH_EINVAL, "optimizer_state: no state %d, there are %d", i, th_optimizer_states(o));
    return NULL;
  }
  bool of_leaf = i < o->n_states * o->n;
  if (name != NULL) {
    int length = of_leaf ? snprintf(name, bytes, "%s.%d", o->kind->states[i / o->n], i % o->n)
                         : snprintf(name, bytes, "skipped_steps");
    if (length < 0 || (size_t)length >= bytes) {
      th__fail(TH_EINVAL, "optimizer_state: name of state %d needs more than %zu bytes", i, bytes);
      return NULL;
    }
  }
  return of_leaf ? o->states[i] : o->skipped;
}

int64_t th_optimizer_steps(const th_optimizer *o) {
  return o != NULL ? th__load(&o->steps, TH__RELAXED) : 0;
}

th_status th_optimizer_set_steps(th_optimizer *o, int64_t steps) {
  TH_TRY(check_optimizer(o, "optimizer_set_steps"));
  if (steps < 0) {
    return th__fail(TH_EINVAL, "optimizer_set_steps: steps %" PRId64 " is negative", steps);
  }
  th__store(&o->steps, steps, TH__RELAXED);
  return TH_OK;
}

/* --- steps --- */

/* One step: the gradients it found, and room for the lists of one group. */
typedef struct stepping {
  th_optimizer *o;
  th_array **gradients; /* per leaf, +1; NULL: nothing to do */
  bool *done;
  th_array **lists[2 + TH__OPTIM_STATES];
  double lr;
  int64_t step;
  const th_array *factor; /* NULL: a plain step */
} stepping;

static bool same_group(const th_optimizer *o, int i, int j) {
  return th_device_equal(o->leaves[i]->device, o->leaves[j]->device) &&
         o->factors[i].lr == o->factors[j].lr && o->factors[i].decay == o->factors[j].decay;
}

/* Updates the leaves of the group of leaf `first` as one task, as many as that can take. */
static th_status step_group(const stepping *s, int first) {
  const th_optimizer *o = s->o;
  int n = 0, most = th__step_most(2 + o->n_states, s->factor != NULL);
  for (int i = first; i < o->n && n < most; i++) {
    if (s->done[i] || !same_group(o, i, first)) continue;
    s->done[i] = true;
    s->lists[0][n] = o->leaves[i];
    s->lists[1][n] = s->gradients[i];
    for (int j = 0; j < o->n_states; j++) s->lists[2 + j][n] = o->states[j * o->n + i];
    n++;
  }
  th__optim_group group = {.n = n,
                           .lr = s->lr * o->factors[first].lr,
                           .decay_factor = o->factors[first].decay,
                           .step = s->step,
                           .lists = (th_array *const *const *)s->lists};
  if (s->factor == NULL) return o->kind->step(&o->settings, &group);
  th_device d = o->leaves[first]->device;
  th__step_control control = {th__placed((th_array *)s->factor, TH_F32, d), NULL};
  if (o->skipped != NULL) control.skipped = th__placed(o->skipped, TH_F32, d);
  group.control = &control;
  return o->kind->step(&o->settings, &group);
}

static th_status step(th_optimizer *o, const th_array *factor) {
  enum { LISTS = 2 + TH__OPTIM_STATES };
  size_t n = (size_t)o->n;
  th_array **room = th__zalloc((LISTS + 1) * n * sizeof(*room) + n);
  if (room == NULL) return TH_ENOMEM;
  stepping s = {
      .o = o, .gradients = room, .done = (bool *)(room + (LISTS + 1) * n), .factor = factor};
  s.lr = th_optimizer_lr(o);
  s.step = th__fetch_add(&o->steps, 1, TH__RELAXED) + 1;
  for (int j = 0; j < LISTS; j++) s.lists[j] = room + (size_t)(j + 1) * n;
  for (int i = 0; i < o->n; i++) {
    s.gradients[i] = th__leaf_gradient(o->leaves[i]);
    s.done[i] = s.gradients[i] == NULL;
  }
  bool recording = th__tape_recording(false);
  th_status status = TH_OK;
  for (int i = 0; i < o->n && status == TH_OK; i++) {
    if (!s.done[i]) status = step_group(&s, i);
  }
  th__tape_recording(recording);
  for (int i = 0; i < o->n; i++) th_release(s.gradients[i]);
  th__free(room);
  return status;
}

th_status th_optimizer_step(th_optimizer *o) {
  TH_TRY(check_optimizer(o, "optimizer_step"));
  return step(o, NULL);
}

th_status th__optim_step_by(th_optimizer *o, const th_array *factor) {
  TH_TRY(step(o, factor));
  if (o->skipped == NULL) return TH_OK;
  th_array *left_out = th_astype(th_equal_scalar(factor, 0), TH_F32);
  return th_add_inplace(o->skipped, th__placed(left_out, TH_F32, o->skipped->device));
}

void th_optimizer_zero_grad(th_optimizer *o) {
  for (int i = 0; o != NULL && i < o->n; i++) th_zero_grad(o->leaves[i]);
}
