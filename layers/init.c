/* Owns the initialisers of weights. */
#include <math.h>

#include "engine/base/error.h"
#include "layers/layer.h"
#include "ndarray/array.h"

/* Inputs and outputs of one element. */
typedef struct fans {
  double in, out;
} fans;

static th_status count_fans(const char *who, const th_array *a, fans *f) {
  if (a == NULL) return th__array_null(who);
  int ndim = th_array_ndim(a);
  const int64_t *shape = th_array_shape(a);
  if (ndim < 2) return th__fail(TH_ESHAPE, "%s: fans need 2 dimensions, not %d", who, ndim);
  double field = 1;
  for (int i = 2; i < ndim; i++) field *= (double)shape[i];
  f->in = (double)shape[ndim == 2 ? 0 : 1] * field;
  f->out = (double)shape[ndim == 2 ? 1 : 0] * field;
  return TH_OK;
}

typedef th_array *(*draw_fn)(th_generator *g, const int64_t *shape, int ndim, double first,
                             double second, th_dtype t, th_device d);

/* a[...] = draw(first, second), unrecorded. */
static th_status fill(th_generator *g, th_array *a, draw_fn draw, double first, double second) {
  th_scope scope = th__scope_suspend();
  bool recording = th_grad_mode(false);
  th_array *drawn = draw(g, th_array_shape(a), th_array_ndim(a), first, second, th_array_dtype(a),
                         th_array_device(a));
  th_status status = drawn != NULL ? th_assign(a, drawn) : th_last_status();
  th_release(drawn);
  th_grad_mode(recording);
  th__scope_resume(scope, NULL);
  return status;
}

th_status th_init_xavier_uniform(th_generator *g, th_array *a, double gain) {
  fans f;
  TH_TRY(count_fans("init_xavier_uniform", a, &f));
  double bound = gain * sqrt(6 / (f.in + f.out));
  return fill(g, a, th_uniform, -bound, bound);
}

th_status th_init_xavier_normal(th_generator *g, th_array *a, double gain) {
  fans f;
  TH_TRY(count_fans("init_xavier_normal", a, &f));
  return fill(g, a, th_normal, 0, gain * sqrt(2 / (f.in + f.out)));
}

th_status th_init_he_uniform(th_generator *g, th_array *a, double slope) {
  fans f;
  TH_TRY(count_fans("init_he_uniform", a, &f));
  double bound = sqrt(6 / ((1 + slope * slope) * f.in));
  return fill(g, a, th_uniform, -bound, bound);
}

th_status th_init_he_normal(th_generator *g, th_array *a, double slope) {
  fans f;
  TH_TRY(count_fans("init_he_normal", a, &f));
  return fill(g, a, th_normal, 0, sqrt(2 / ((1 + slope * slope) * f.in)));
}
