/* Owns the clipping of gradients. Norms are arrays like any others, so nothing waits: the norm of each gradient is computed where it
 * lies, they meet on one device, and the factor goes back to every gradient. */
#include <math.h>

#include "autograd/optim.h"
#include "autograd/tape.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "ops/compose.h"

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

th_array *th__gradients_norm(const th__gradients *g, double order, th_device home) {
  th_array **norms = th__alloc((size_t)g->n * sizeof(*norms));
  th_dtype t = TH_F32;
  if (norms == NULL) return NULL;
  for (int i = 0; i < g->n; i++)
    if (th_array_dtype(g->list[i]) == TH_F64) t = TH_F64;
  for (int i = 0; i < g->n; i++) {
    th_array *own = g->list[i];
    if (order == 2) own = th__placed(own, t, th_array_device(own));
    norms[i] = th__placed(th_vector_norm(own, NULL, 0, order, false), t, home);
  }
  th_array *total = th_vector_norm(th_stack(norms, g->n, 0), NULL, 0, order, false);
  th__free(norms);
  return total;
}

/* Times min(1, max_norm / (norm + 1e-6)), every gradient. */
static th_status scale_all(const th__gradients *g, const th_array *norm, double max_norm) {
  th_array *most = th_full_like(norm, max_norm);
  th_array *factor = th_minimum_scalar(th_divide(most, th_add_scalar(norm, 1e-6)), 1);
  th_array *there = factor;
  for (int i = 0; i < g->n; i++) {
    th_device d = th_array_device(g->list[i]);
    if (there == NULL || !th_device_equal(d, th_array_device(there)))
      there = th__placed(factor, th_array_dtype(factor), d);
    TH_TRY(th_multiply_inplace(g->list[i], there));
  }
  return TH_OK;
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
