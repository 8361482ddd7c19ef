/* Owns the numeric gradient check: central differences of a weighted sum of a function's result. */
#include <math.h>
#include <string.h>

#include "autograd/tape.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"

typedef struct check {
  th_grad_fn fn;
  void *user;
  int n;
  double step, tolerance;
  th_array **points; /* +1 each: what fn is called with for differences */
  th_array **leaves; /* +1 each: the caller's data and layout, marked as leaves where f64 */
  double *weights;   /* one per element of the result */
  double *values;    /* of the result, or of one input */
  int64_t n_values;  /* elements of the result */
  double worst;      /* largest ratio so far */
  int worst_input;   /* and where */
  int64_t worst_element;
  double worst_got, worst_wanted;
} check;

/* Fixed numbers in [0.5, 1.5) with both signs, from their index (the finalizer of SplitMix64). */
static double weight(int64_t i) {
  uint64_t z = ((uint64_t)i + 1) * UINT64_C(0x9E3779B97F4A7C15);
  z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
  z ^= z >> 31;
  double magnitude = 0.5 + (double)(z >> 12) * 0x1p-52;
  return (z & 1) ? magnitude : -magnitude;
}

/* Sum of fn(points) times the weights, in double. */
static th_status evaluate(check *c, double *out) {
  th_array *result = c->fn(c->points, c->n, c->user);
  if (result == NULL) return th_last_status();
  th_status status = th_read(result, c->values, (size_t)c->n_values * sizeof(double));
  th_release(result);
  if (status != TH_OK) return status;
  double sum = 0;
  for (int64_t i = 0; i < c->n_values; i++) sum += c->values[i] * c->weights[i];
  *out = sum;
  return TH_OK;
}

/* The gradients by th_backward(), left on the leaves. */
static th_status run_backward(check *c) {
  bool recording = th__tape_recording(true);
  th_array *result = c->fn(c->leaves, c->n, c->user);
  th__tape_recording(recording);
  if (result == NULL) return th_last_status();
  th_status status = TH_OK;
  if (result->layout.dtype != TH_F64) {
    status = th__fail(TH_EDTYPE, "grad_check: the function returns %s, not f64",
                      th_dtype_name(result->layout.dtype));
  }
  c->n_values = th_array_size(result);
  size_t bytes = (size_t)c->n_values * sizeof(double);
  if (status == TH_OK) {
    c->weights = th__alloc(bytes + 1);
    c->values = th__alloc(bytes + 1);
    if (c->weights == NULL || c->values == NULL) status = TH_ENOMEM;
  }
  if (status == TH_OK) {
    for (int64_t i = 0; i < c->n_values; i++) c->weights[i] = weight(i);
    th_array *host =
        th_from_host(c->weights, result->layout.shape, result->layout.ndim, TH_F64, th_cpu(0));
    th_array *gradient = th_copy_to(host, result->device);
    status = gradient != NULL ? th_backward_from(result, gradient, 0) : th_last_status();
    th_release(gradient);
    th_release(host);
  }
  th_release(result);
  return status;
}

static void note(check *c, int input, int64_t element, double got, double wanted) {
  double scale = fabs(wanted) > 1 ? fabs(wanted) : 1;
  double ratio = fabs(got - wanted) / scale;
  if (!(ratio > c->worst) && !isnan(ratio)) return;
  if (isnan(c->worst)) return; /* the first NaN stays */
  c->worst = ratio;
  c->worst_input = input;
  c->worst_element = element;
  c->worst_got = got;
  c->worst_wanted = wanted;
}

/* Compares the gradient of one input, element by element. */
static th_status check_input(check *c, int input) {
  th_array *point = c->points[input], *gradient = th_grad(c->leaves[input]);
  int64_t n = th_array_size(point);
  size_t bytes = (size_t)n * sizeof(double);
  double *x = th__alloc(2 * bytes + 1), *g = x + n;
  if (x == NULL) return TH_ENOMEM;
  memset(g, 0, bytes);
  th_status status = th_read(point, x, bytes);
  if (status == TH_OK && gradient != NULL) status = th_read(gradient, g, bytes);
  for (int64_t i = 0; i < n && status == TH_OK; i++) {
    double at = x[i], above, below;
    x[i] = at + c->step;
    status = th_write(point, x, bytes);
    if (status == TH_OK) status = evaluate(c, &above);
    x[i] = at - c->step;
    if (status == TH_OK) status = th_write(point, x, bytes);
    if (status == TH_OK) status = evaluate(c, &below);
    if (status == TH_OK) {
      /* The step that was taken, not the one asked for: at +- step is rounded. */
      volatile double high = at + c->step, low = at - c->step;
      note(c, input, i, g[i], (above - below) / (high - low));
    }
    x[i] = at;
  }
  if (status == TH_OK) status = th_write(point, x, bytes);
  th__free(x);
  return status;
}

static th_status prepare(check *c, th_array *const *inputs) {
  c->points = th__zalloc(2 * (size_t)c->n * sizeof(*c->points) + 1);
  if (c->points == NULL) return TH_ENOMEM;
  c->leaves = c->points + c->n;
  for (int i = 0; i < c->n; i++) {
    if (inputs[i] == NULL) return th__fail(TH_EINVAL, "grad_check: input %d is NULL", i);
    c->leaves[i] = th_detach(inputs[i]);
    if (c->leaves[i] == NULL) return th_last_status();
    bool checked = inputs[i]->layout.dtype == TH_F64;
    c->points[i] = checked ? th_copy(c->leaves[i]) : th_retain(c->leaves[i]);
    if (c->points[i] == NULL) return th_last_status();
    if (checked) TH_TRY(th_require_grad(c->leaves[i]));
  }
  return TH_OK;
}

static th_status run_check(check *c, th_array *const *inputs) {
  TH_TRY(prepare(c, inputs));
  TH_TRY(run_backward(c));
  for (int i = 0; i < c->n; i++) {
    if (inputs[i]->layout.dtype == TH_F64) TH_TRY(check_input(c, i));
  }
  if (c->worst <= c->tolerance) return TH_OK;
  return th__fail(TH_EKERNEL,
                  "grad_check: input %d element %lld: th_backward() gives %.17g, differences give "
                  "%.17g: off by %.3g, allowed %.3g",
                  c->worst_input, (long long)c->worst_element, c->worst_got, c->worst_wanted,
                  c->worst, c->tolerance);
}

th_status th_grad_check(th_grad_fn fn, th_array *const *inputs, int n, void *user, double step,
                        double tolerance, double *worst) {
  if (fn == NULL || n < 1 || inputs == NULL || !(step > 0) || !(tolerance >= 0)) {
    return th__fail(TH_EINVAL, "grad_check: needs a function, inputs, step > 0, tolerance >= 0");
  }
  check c = {.fn = fn, .user = user, .n = n, .step = step, .tolerance = tolerance};
  th_scope scope = th__scope_suspend();
  bool recording = th__tape_recording(false);
  th_status status = run_check(&c, inputs);
  th__tape_recording(recording);
  if (worst != NULL) *worst = c.worst;
  for (int i = 0; c.points != NULL && i < 2 * n; i++) th_release(c.points[i]);
  th__free(c.points);
  th__free(c.weights);
  th__free(c.values);
  th__scope_resume(scope, NULL);
  return status;
}
