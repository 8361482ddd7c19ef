/* Optimizers: the textbook runs, momentum against a plain loop, groups by device, refusals. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "support/arrays.h"

TestSuite(optim, .timeout = 60, .fini = stop_engine);

/* x after n steps on f(x) = (x - 3)^2 from 0; without zero the gradients add up. */
static double descend(double lr, int n, bool zero) {
  th_array *x = leaf(0);
  th_optimizer *o = th_sgd(TH_ARRAYS(x), lr, 0, 0, false);
  for (int i = 0; i < n; i++) {
    th_array *d = th_subtract_scalar(x, 3), *y = th_square(d);
    if (th_backward(y, 0) != TH_OK || th_optimizer_step(o) != TH_OK) n = 0;
    if (zero) th_optimizer_zero_grad(o);
    th_release(d);
    th_release(y);
  }
  double result = n > 0 ? th_item(x) : NAN;
  th_optimizer_release(o);
  th_release(x);
  return result;
}

Test(optim, descent_on_a_parabola) {
  cr_assert(lt(dbl, fabs(descend(0.01, 5, true) - 0.2882376), 1e-7));
  cr_assert(lt(dbl, fabs(descend(0.01, 5, false) - 0.8586677), 1e-7));
}

Test(optim, step_sizes) {
  cr_assert(lt(dbl, fabs(descend(1.1, 5, true) - 10.46496), 1e-5), "too large a step diverges");
  cr_assert(eq(dbl, descend(0.5, 1, true), 3), "half arrives at once");
}

Test(optim, momentum_nesterov_and_decay_follow_the_formula) {
  for (int nesterov = 0; nesterov < 2; nesterov++) {
    th_array *x = vector(1, -2);
    th_require_grad(x);
    th_optimizer *o = th_sgd(TH_ARRAYS(x), 0.1, 0.9, 0.01, nesterov);
    double p[2] = {1, -2}, v[2] = {0};
    for (int i = 0; i < 10; i++) {
      if (i == 5) th_optimizer_set_lr(o, 0.05);
      th_array *y = th_square(x), *sum = th_sum(y, NULL, 0, false);
      cr_assert(eq(int, th_backward(sum, 0), TH_OK));
      cr_assert(eq(int, th_optimizer_step(o), TH_OK), "%s", th_last_error());
      th_optimizer_zero_grad(o);
      for (int k = 0; k < 2; k++) {
        double g = 2 * p[k] + 0.01 * p[k];
        v[k] = 0.9 * v[k] + g;
        p[k] -= (i < 5 ? 0.1 : 0.05) * (nesterov ? g + 0.9 * v[k] : v[k]);
      }
      th_release(y);
      th_release(sum);
    }
    cr_assert(lt(dbl, distance(x, p, 2), 1e-12), "nesterov %d", nesterov);
    th_optimizer_release(o);
    th_release(x);
  }
}

Test(optim, leaves_without_gradient_stay_and_devices_are_separate) {
  cr_assert(eq(int, th_cpu_split(2, 1), TH_OK), "%s", th_last_error());
  th_array *a = leaf(1), *unused = leaf(7), *host = scalar(2), *b = th_copy_to(host, th_cpu(1));
  cr_assert(eq(int, th_require_grad(b), TH_OK));
  th_optimizer *o = th_sgd(TH_ARRAYS(a, unused, b), 1, 0, 0, false);
  th_array *ya = th_multiply_scalar(a, 3), *yb = th_multiply_scalar(b, 5);
  cr_assert(eq(int, th_backward(ya, 0), TH_OK));
  cr_assert(eq(int, th_backward(yb, 0), TH_OK));
  cr_assert(eq(int, th_wait_all(), TH_OK));
  th_engine_stats before = {.size = sizeof(before)}, after = {.size = sizeof(after)};
  th_engine_get_stats(&before);
  cr_assert(eq(int, th_optimizer_step(o), TH_OK), "%s", th_last_error());
  cr_assert(eq(int, th_wait_all(), TH_OK));
  th_engine_get_stats(&after);
  cr_assert(eq(u64, after.submitted - before.submitted, 2), "one task per device");
  cr_assert(eq(dbl, th_item(a), -2));
  cr_assert(eq(dbl, th_item(unused), 7));
  cr_assert(eq(dbl, th_item(b), -3));
  th_optimizer_release(o);
  th_array *all[] = {a, unused, host, b, ya, yb};
  for (int i = 0; i < 6; i++) th_release(all[i]);
}

/* n leaves of 1, whose gradients are 1, 2, 3, 1, ... */
static void many_leaves(th_array **leaves, int n) {
  for (int i = 0; i < n; i++) {
    leaves[i] = leaf(1);
    th_array *y = th_multiply_scalar(leaves[i], 1 + i % 3);
    cr_assert(eq(int, th_backward(y, 0), TH_OK), "%s", th_last_error());
    th_release(y);
  }
}

/* A plain step and one of a scaler. */
static void two_steps(th_array **leaves, int n) {
  th_optimizer *o = th_adam(leaves, n, NULL);
  th_scaler *s = th_scaler_new(&(th_scaler_config){.scale = 2}, th_cpu(0));
  cr_assert(eq(int, th_optimizer_step(o), TH_OK), "%s", th_last_error());
  cr_assert(eq(int, th_scaler_step(s, o), TH_OK), "%s", th_last_error());
  cr_assert(eq(i64, th_optimizer_steps(o), 2));
  th_scaler_release(s);
  th_optimizer_release(o);
}

Test(optim, more_leaves_than_one_task_can_take, .timeout = 600) {
  enum { MANY = 10000, FEW = 3 };
  static th_array *many[MANY];
  th_array *few[FEW];
  many_leaves(many, MANY);
  many_leaves(few, FEW);
  two_steps(many, MANY);
  two_steps(few, FEW);
  double wanted[FEW];
  for (int i = 0; i < FEW; i++) wanted[i] = th_item(few[i]);
  cr_assert(ne(dbl, wanted[0], 1));
  for (int i = 0; i < MANY; i++) cr_assert(eq(dbl, th_item(many[i]), wanted[i % FEW]), "%d", i);
  for (int i = 0; i < MANY; i++) th_release(many[i]);
  for (int i = 0; i < FEW; i++) th_release(few[i]);
}

Test(optim, bad_settings_are_refused) {
  th_array *x = leaf(1), *plain = scalar(1);
  cr_assert(zero(ptr, th_sgd(TH_ARRAYS(plain), 0.1, 0, 0, false)));
  cr_assert(strstr(th_last_error(), "not a leaf") != NULL, "%s", th_last_error());
  cr_assert(zero(ptr, th_sgd(NULL, 0, 0.1, 0, 0, false)));
  cr_assert(zero(ptr, th_sgd(TH_ARRAYS(x), NAN, 0, 0, false)));
  cr_assert(zero(ptr, th_sgd(TH_ARRAYS(x), -1, 0, 0, false)));
  cr_assert(zero(ptr, th_sgd(TH_ARRAYS(x), 0.1, 1, 0, false)));
  cr_assert(zero(ptr, th_sgd(TH_ARRAYS(x), 0.1, 0, -1, false)));
  cr_assert(zero(ptr, th_sgd(TH_ARRAYS(x), 0.1, 0, 0, true)));
  cr_assert(strstr(th_last_error(), "nesterov") != NULL, "%s", th_last_error());
  th_clear_error();
  cr_assert(eq(int, th_optimizer_step(NULL), TH_EINVAL));
  th_optimizer_zero_grad(NULL);
  th_optimizer_release(NULL);
  th_release(x);
  th_release(plain);
}
