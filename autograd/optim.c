/* Owns optimizers: fixed lists of leaves with their state. An optimizer does not change after it was made, but for its
 * learning rate, which is atomic, so steps need no lock. */
#include <math.h>
#include <string.h>

#include "autograd/tape.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"

struct th_optimizer {
  int n;
  _Atomic double lr; /* relaxed: the next step takes what it finds */
  double momentum, weight_decay;
  bool nesterov;
  th_array **leaves;     /* +1 each */
  th_array **velocities; /* +1 each; NULL without momentum */
};

static th_status check_settings(double lr, double momentum, double weight_decay, bool nesterov) {
  if (!(isfinite(lr) && lr >= 0)) {
    return th__fail(TH_EINVAL, "sgd: lr %g must be finite and not negative", lr);
  }
  if (!(momentum >= 0 && momentum < 1)) {
    return th__fail(TH_EINVAL, "sgd: momentum %g must be in [0, 1)", momentum);
  }
  if (!(isfinite(weight_decay) && weight_decay >= 0)) {
    return th__fail(TH_EINVAL, "sgd: weight_decay %g must be finite and not negative",
                    weight_decay);
  }
  if (nesterov && momentum <= 0) {
    return th__fail(TH_EINVAL, "sgd: nesterov needs momentum");
  }
  return TH_OK;
}

static th_status check_leaves(th_array *const *leaves, int n) {
  if (n < 1 || leaves == NULL) return th__fail(TH_EINVAL, "sgd: needs at least one leaf");
  for (int i = 0; i < n; i++) {
    if (leaves[i] == NULL) return th__fail(TH_EINVAL, "sgd: leaf %d is NULL", i);
    th__record *r = th__tape_leaf(leaves[i]);
    if (r == NULL) {
      return th__fail(TH_EINVAL, "sgd: array %d is not a leaf, see th_require_grad()", i);
    }
    th__record_release(r);
  }
  return TH_OK;
}

/* A velocity belongs to the optimizer, not to the scope that happens to be open. */
static th_status make_velocities(th_optimizer *o) {
  th_scope scope = th__scope_suspend();
  th_status status = TH_OK;
  for (int i = 0; i < o->n && status == TH_OK; i++) {
    o->velocities[i] = th_zeros_like(o->leaves[i]);
    if (o->velocities[i] == NULL) status = th_last_status();
  }
  th__scope_resume(scope, NULL);
  return status;
}

th_optimizer *th_sgd(th_array *const *leaves, int n, double lr, double momentum,
                     double weight_decay, bool nesterov) {
  if (check_settings(lr, momentum, weight_decay, nesterov) != TH_OK) return NULL;
  if (check_leaves(leaves, n) != TH_OK) return NULL;
  th_optimizer *o = th__zalloc(sizeof(*o));
  if (o == NULL) return NULL;
  th__store(&o->lr, lr, TH__RELAXED);
  o->momentum = momentum;
  o->weight_decay = weight_decay;
  o->nesterov = nesterov;
  o->leaves = th__zalloc((size_t)n * sizeof(*o->leaves));
  if (momentum > 0) o->velocities = th__zalloc((size_t)n * sizeof(*o->velocities));
  if (o->leaves == NULL || (momentum > 0 && o->velocities == NULL)) {
    th_optimizer_release(o);
    return NULL;
  }
  for (o->n = 0; o->n < n; o->n++) o->leaves[o->n] = th_retain(leaves[o->n]);
  if (momentum > 0 && make_velocities(o) != TH_OK) {
    th_optimizer_release(o);
    return NULL;
  }
  return o;
}

/* Gradient of a leaf with a reference, or NULL. */
static th_array *take_gradient(const th_array *leaf) {
  th__record *r = th__tape_leaf(leaf);
  if (r == NULL) return NULL;
  th__spin_lock(&r->lock);
  th_array *gradient = r->leaf->gradient;
  if (gradient != NULL) th_retain(gradient);
  th__spin_unlock(&r->lock);
  th__record_release(r);
  return gradient;
}

/* Lists of one step: those leaves that have a gradient, sorted into groups by device. */
typedef struct step_lists {
  th_array **leaves, **gradients, **velocities;
  bool *done;
} step_lists;

/* Updates all leaves on the device of leaf `first` as one task. */
static th_status step_device(th_optimizer *o, const step_lists *all, int first,
                             const step_lists *group) {
  int n = 0;
  for (int i = first; i < o->n; i++) {
    if (all->done[i] || !th_device_equal(o->leaves[i]->device, o->leaves[first]->device)) continue;
    all->done[i] = true;
    group->leaves[n] = o->leaves[i];
    group->gradients[n] = all->gradients[i];
    if (o->velocities != NULL) group->velocities[n] = o->velocities[i];
    n++;
  }
  return th_sgd_step(group->leaves, group->gradients, o->velocities ? group->velocities : NULL, n,
                     th__load(&o->lr, TH__RELAXED), o->momentum, o->weight_decay, o->nesterov);
}

th_status th_optimizer_step(th_optimizer *o) {
  if (o == NULL) {
    return th_last_status() != TH_OK ? TH_EINVAL
                                     : th__fail(TH_EINVAL, "optimizer_step: NULL optimizer");
  }
  size_t n = (size_t)o->n;
  th_array **lists = th__zalloc(4 * n * sizeof(*lists) + n);
  if (lists == NULL) return TH_ENOMEM;
  step_lists all = {.gradients = lists, .done = (bool *)(lists + 4 * n)};
  step_lists group = {lists + n, lists + 2 * n, lists + 3 * n, NULL};
  for (int i = 0; i < o->n; i++) {
    all.gradients[i] = take_gradient(o->leaves[i]);
    all.done[i] = all.gradients[i] == NULL;
  }
  bool recording = th__tape_recording(false);
  th_status status = TH_OK;
  for (int i = 0; i < o->n && status == TH_OK; i++) {
    if (!all.done[i]) status = step_device(o, &all, i, &group);
  }
  th__tape_recording(recording);
  for (int i = 0; i < o->n; i++) th_release(all.gradients[i]);
  th__free(lists);
  return status;
}

void th_optimizer_zero_grad(th_optimizer *o) {
  for (int i = 0; o != NULL && i < o->n; i++) th_zero_grad(o->leaves[i]);
}

void th_optimizer_set_lr(th_optimizer *o, double lr) {
  if (o != NULL) th__store(&o->lr, lr, TH__RELAXED);
}

void th_optimizer_release(th_optimizer *o) {
  if (o == NULL) return;
  for (int i = 0; i < o->n; i++) {
    th_release(o->leaves[i]);
    if (o->velocities != NULL) th_release(o->velocities[i]);
  }
  th__free(o->leaves);
  th__free(o->velocities);
  th__free(o);
}
