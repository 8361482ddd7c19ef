/* Gradients across devices: copies lead back to where the data came from, on divided CPUs and on a device that lags behind. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "support/arrays.h"
#include "support/lagdevice.h"

TestSuite(grads_devices, .timeout = 60, .fini = stop_engine);

static bool lies_on(const th_array *a, th_device d) {
  return a != NULL && th_device_equal(th_array_device(a), d);
}

/* tanh(x w) on `there`, back to where x is, times x; leaves on both sides. */
static void check(th_device here, th_device there) {
  th_scope scope = th_scope_begin();
  th_array *x = th_copy_to(vector(0.5, -1, 2), here), *w = th_copy_to(vector(1, 2, -0.25), there);
  cr_assert(th_require_grad(x) == TH_OK && th_require_grad(w) == TH_OK);
  th_array *h = th_tanh(th_multiply(th_copy_to(x, there), w));
  th_array *y = th_multiply(th_copy_to(h, here), x), *sum = th_sum(y, NULL, 0, false), *g[3];
  th_array *inputs[] = {x, w, h};
  cr_assert(eq(int, th_grads(&sum, 1, NULL, inputs, 3, TH_CREATE_GRAPH, g), TH_OK), "%s",
            th_last_error());
  cr_assert(lies_on(g[0], here) && lies_on(g[1], there) && lies_on(g[2], there));
  const double xs[] = {0.5, -1, 2}, ws[] = {1, 2, -0.25};
  double by_x[3], by_w[3], twice[3];
  for (int i = 0; i < 3; i++) {
    double t = tanh(xs[i] * ws[i]), slope = 1 - t * t;
    by_x[i] = t + xs[i] * slope * ws[i];
    by_w[i] = xs[i] * xs[i] * slope;
    twice[i] = 2 * xs[i] * slope + xs[i] * xs[i] * -2 * t * slope * ws[i]; /* d by_w / d x */
  }
  cr_assert(lt(dbl, distance(g[0], by_x, 3), 1e-14));
  cr_assert(lt(dbl, distance(g[1], by_w, 3), 1e-14));
  cr_assert(eq(dbl, distance(g[2], xs, 3), 0));
  th_array *second = th_sum(g[1], NULL, 0, false);
  cr_assert(eq(int, th_backward(second, 0), TH_OK), "%s", th_last_error());
  cr_assert(lies_on(th_grad(x), here) && lies_on(th_grad(w), there));
  cr_assert(lt(dbl, distance(th_grad(x), twice, 3), 1e-14));
  th_scope_end(scope);
}

Test(grads_devices, between_divided_cpus) {
  cr_assert(eq(int, th_cpu_split(2, 1), TH_OK), "%s", th_last_error());
  check(th_cpu(0), th_cpu(1));
  check(th_cpu(1), th_cpu(0));
}

/* For the suite on GPUs, where th_cpu() is one. */
Test(grads_devices, with_the_host) {
  th_device host = {.kind = TH_CPU};
  check(host, th_cpu(0));
  check(th_cpu(0), host);
}

Test(grads_devices, with_a_device_that_lags) {
  lag_install(3);
  check(th_cpu(0), lag_device(0));
  check(lag_device(0), th_cpu(0));
  check(lag_device(0), lag_device(1));
}

/* th_assign() from another device is recorded as well. */
Test(grads_devices, assigned_from_elsewhere) {
  cr_assert(eq(int, th_cpu_split(2, 1), TH_OK), "%s", th_last_error());
  th_scope scope = th_scope_begin();
  th_array *x = th_copy_to(vector(1, 2), th_cpu(1)), *y = th_zeros(TH_SHAPE(2), TH_F64, th_cpu(0));
  th_require_grad(x);
  cr_assert(eq(int, th_assign(y, x), TH_OK), "%s", th_last_error());
  cr_assert(eq(int, th_backward(th_sum(th_square(y), NULL, 0, false), 0), TH_OK), "%s",
            th_last_error());
  cr_assert(lies_on(th_grad(x), th_cpu(1)));
  cr_assert(eq(dbl, distance_to(th_grad(x), 2, 4), 0));
  th_scope_end(scope);
}

/* A gradient to start from must lie where its array does. */
Test(grads_devices, head_gradients_lie_with_their_outputs) {
  cr_assert(eq(int, th_cpu_split(2, 1), TH_OK), "%s", th_last_error());
  th_array *x = leaf(3), *y = th_square(x), *head = th_ones(TH_SCALAR, TH_F64, th_cpu(1)), *g;
  cr_assert(eq(int, th_grads(&y, 1, &head, &x, 1, 0, &g), TH_EDEVICE));
  cr_assert(eq(int, th_backward_from(y, head, 0), TH_EDEVICE));
  th_release(head);
  th_release(y);
  th_release(x);
}

static th_status on_both(th_array *const *in, int n_in, th_array **out, int n_out, void *user) {
  th_scope scope = th_scope_begin();
  th_array *there = th_exp(th_copy_to(in[0], th_cpu(1)));
  out[0] = th_keep(th_copy_to(there, th_array_device(in[0])));
  th_scope_end(scope);
  return TH_OK;
}

Test(grads_devices, recomputed_on_two) {
  cr_assert(eq(int, th_cpu_split(2, 1), TH_OK), "%s", th_last_error());
  th_array *x = leaf(2), *y;
  cr_assert(eq(int, th_recompute(on_both, &x, 1, &y, 1, NULL, NULL), TH_OK), "%s", th_last_error());
  cr_assert(eq(int, th_backward(y, 0), TH_OK), "%s", th_last_error());
  cr_assert(lt(dbl, fabs(th_item(th_grad(x)) - exp(2)), 1e-14));
  th_release(y);
  th_release(x);
}
