/* Owns the clipping of gradients. Norms are arrays like any others, so nothing waits: the norm of the gradients of each device is
 * computed there, they meet on one device, and the common norm goes back to all. */
#include <math.h>
#include <stdint.h>

#include "autograd/optim.h"
#include "autograd/tape.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "ops/compose.h"
#include "ops/nn/clip.h"

th_status th__gradients_take(const char *who, th_array *const *leaves, int n, th__gradients *g) {
  TH_TRY(th__leaves_check(who, leaves, n));
  g->list = th__zalloc((size_t)n * sizeof(*g->list));
  if (g->list == NULL) return TH_ENOMEM;
  for (int i = 0; i < n; i++) {
    th_array *gradient = th__leaf_gradient(leaves[i]);
    if (gradient != NULL && th_array_size(gradient) > 0)
      g->list[g->n++] = gradient;
    else
      th_release(gradient);
  }
  return TH_OK;
}

void th__gradients_release(th__gradients *g) {
  for (int i = 0; i < g->n; i++) th_release(g->list[i]);
  th__free(g->list);
}

th_array *th__placed(th_array *a, th_dtype t, th_device d) {
  if (a != NULL && th_array_dtype(a) != t) a = th_astype(a, t);
  return a == NULL || th_device_equal(th_array_device(a), d) ? a : th_copy_to(a, d);
}

enum { MOST_INPUTS = INT16_MAX }; /* of an operator */

/* Gradients on the device of the first that is not done, in list, which has room for one more, as many as one operator can take
 * together with that; returns how many. */
static int next_group(const th__gradients *g, bool *done, th_array **list) {
  int n = 0;
  for (int i = 0; i < g->n && n < MOST_INPUTS - 1; i++) {
    th_device d = th_array_device(g->list[i]);
    if (done[i] || (n > 0 && !th_device_equal(d, th_array_device(list[0])))) continue;
    done[i] = true;
    list[n++] = g->list[i];
  }
  return n;
}

/* Room for the lists of groups: as many arrays twice, and a mark for each. */
static th_array **group_room(const th__gradients *g, bool **done) {
  size_t n = (size_t)g->n + 1;
  th_array **room = th__zalloc(2 * n * sizeof(*room) + n);
  *done = room != NULL ? (bool *)(room + 2 * n) : NULL;
  return room;
}

/* Of a device without an operator for many gradients: one by one. */
static int norms_apart(th_array *const *list, int n, double order, th_dtype t, th_device home,
                       th_array **norms) {
  for (int i = 0; i < n; i++) {
    th_array *own = list[i];
    if (order == 2) own = th__placed(own, t, th_array_device(own));
    norms[i] = th__placed(th_vector_norm(own, NULL, 0, order, false), t, home);
  }
  return n;
}

/* The norm of n norms, which are replaced where they are more than one operator can take. */
static th_array *joined(th_array **norms, int n, double order) {
  while (n > 1) {
    int parts = 0;
    for (int first = 0; first < n; first += MOST_INPUTS) {
      int size = n - first < MOST_INPUTS ? n - first : MOST_INPUTS;
      norms[parts++] = th_vector_norm(th_stack(norms + first, size, 0), NULL, 0, order, false);
    }
    n = parts;
  }
  return norms[0];
}

th_array *th__gradients_norm(const th__gradients *g, double order, th_device home) {
  bool *done;
  th_array **list = group_room(g, &done), **norms = list + g->n + 1;
  th_dtype t = TH_F32;
  int n = 0, size;
  if (list == NULL) return NULL;
  for (int i = 0; i < g->n; i++)
    if (th_array_dtype(g->list[i]) == TH_F64) t = TH_F64;
  while ((size = next_group(g, done, list)) > 0) {
    if (th__gradients_fused(th_array_device(list[0])))
      norms[n++] = th__placed(th__gradients_norm_call(list, size, order), t, home);
    else
      n += norms_apart(list, size, order, t, home, norms + n);
  }
  th_array *total = joined(norms, n, order);
  th__free(list);
  return total;
}

static th_status scale_apart(th_array *const *list, int n, const th_array *norm, double max_norm) {
  th_array *most = th_full_like(norm, max_norm);
  th_array *factor = th_minimum_scalar(th_divide(most, th_add_scalar(norm, 1e-6)), 1);
  for (int i = 0; i < n; i++) TH_TRY(th_multiply_inplace(list[i], factor));
  return TH_OK;
}

/* Times min(1, max_norm / (norm + 1e-6)), every gradient: one task for each device. */
static th_status scale_all(const th__gradients *g, th_array *norm, double max_norm) {
  bool *done;
  th_array **list = group_room(g, &done);
  th_status status = list != NULL ? TH_OK : TH_ENOMEM;
  int n;
  while (status == TH_OK && (n = next_group(g, done, list)) > 0) {
    th_device d = th_array_device(list[0]);
    list[n] = th__placed(norm, th_array_dtype(norm), d);
    status = th__gradients_fused(d) ? th__gradients_shrink_call(list, n + 1, max_norm)
                                    : scale_apart(list, n, list[n], max_norm);
  }
  th__free(list);
  return status;
}

th_array *th_clip_grad_norm(th_array *const *leaves, int n, double max_norm) {
  if (!(max_norm >= 0)) {
    th__fail(TH_EINVAL, "clip_grad_norm: max_norm %g is negative or NaN", max_norm);
    return NULL;
  }
  th__gradients g = {NULL, 0};
  if (th__gradients_take("clip_grad_norm", leaves, n, &g) != TH_OK) return NULL;
  bool recording = th__tape_recording(false);
  th__composing c = th__compose();
  th_array *norm = g.n == 0 ? th_zeros(TH_SCALAR, TH_F32, th_array_device(leaves[0]))
                            : th__gradients_norm(&g, 2, th_array_device(g.list[0]));
  if (norm != NULL && g.n > 0 && scale_all(&g, norm, max_norm) != TH_OK) norm = NULL;
  norm = th__composed(c, norm);
  th__tape_recording(recording);
  th__gradients_release(&g);
  return norm;
}

th_status th_clip_grad_value(th_array *const *leaves, int n, double value) {
  if (!(value >= 0)) {
    return th__fail(TH_EINVAL, "clip_grad_value: value %g is negative or NaN", value);
  }
  th__gradients g = {NULL, 0};
  TH_TRY(th__gradients_take("clip_grad_value", leaves, n, &g));
  bool recording = th__tape_recording(false);
  th_status status = TH_OK;
  for (int i = 0; i < g.n && status == TH_OK; i++) {
    status = th_maximum_scalar_inplace(g.list[i], -value);
    if (status == TH_OK) status = th_minimum_scalar_inplace(g.list[i], value);
  }
  th__tape_recording(recording);
  th__gradients_release(&g);
  return status;
}
