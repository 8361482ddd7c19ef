/* Schedules at their corners, in between, composed, and driving an optimizer. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "support/arrays.h"

TestSuite(schedule, .timeout = 60, .fini = stop_engine);

Test(schedule, step_goes_down_every_period) {
  const double expected[] = {1, 1, 1, 0.1, 0.1, 0.1, 0.01};
  for (int t = 0; t < 7; t++)
    cr_assert(lt(dbl, fabs(th_schedule_step(t, 3, 0.1) - expected[t]), 1e-15), "step %d", t);
  cr_assert(eq(dbl, th_schedule_step(-5, 3, 0.1), 1));
  cr_assert(lt(dbl, fabs(th_schedule_step(10, 1, 0.9) - 0.3486784401), 1e-15), "exponential");
}

/* PyTorch's CosineAnnealingLR goes from rate to rate. */
Test(schedule, cosine_is_pytorchs_recursion) {
  enum { STEPS = 50 };
  const double lowest = 0.05, pi = acos(-1);
  double rate = 1;
  for (int t = 1; t < STEPS; t++) {
    rate = (1 + cos(pi * t / STEPS)) / (1 + cos(pi * (t - 1) / STEPS)) * (rate - lowest) + lowest;
    cr_assert(lt(dbl, fabs(th_schedule_cosine(t, STEPS, lowest) - rate), 1e-13), "step %d", t);
  }
  cr_assert(eq(dbl, th_schedule_cosine(0, STEPS, lowest), 1));
  cr_assert(eq(dbl, th_schedule_cosine(-3, STEPS, lowest), 1));
  cr_assert(lt(dbl, fabs(th_schedule_cosine(STEPS, STEPS, lowest) - lowest), 1e-16));
  cr_assert(eq(dbl, th_schedule_cosine(STEPS + 9, STEPS, lowest),
               th_schedule_cosine(STEPS, STEPS, lowest)));
  cr_assert(lt(dbl, fabs(th_schedule_cosine(25, STEPS, 0) - 0.5), 1e-15));
}

Test(schedule, warmup_is_a_straight_line_to_1) {
  cr_assert(eq(dbl, th_schedule_warmup(-1, 4, 0.25), 0.25));
  cr_assert(eq(dbl, th_schedule_warmup(0, 4, 0.25), 0.25));
  cr_assert(eq(dbl, th_schedule_warmup(2, 4, 0.25), 0.625));
  cr_assert(eq(dbl, th_schedule_warmup(4, 4, 0.25), 1));
  cr_assert(eq(dbl, th_schedule_warmup(INT64_MAX, 4, 0.25), 1));
}

Test(schedule, factors_compose_and_drive_an_optimizer) {
  th_array *x = leaf(0);
  th_optimizer *o = th_sgd(TH_ARRAYS(x), 0, 0, 0, false);
  double expected = 0;
  for (int t = 0; t < 12; t++) {
    double rate = 0.5 * th_schedule_warmup(t, 4, 0) * th_schedule_cosine(t - 4, 8, 0);
    expected -= rate * 2;
    th_optimizer_set_lr(o, rate);
    th_array *y = th_multiply_scalar(x, 2);
    cr_assert(eq(int, th_backward(y, 0), TH_OK));
    cr_assert(eq(int, th_optimizer_step(o), TH_OK));
    th_optimizer_zero_grad(o);
    th_release(y);
  }
  cr_assert(lt(dbl, fabs(th_item(x) - expected), 1e-14));
  cr_assert(lt(dbl, expected, -5));
  th_optimizer_release(o);
  th_release(x);
}

Test(schedule, lengths_below_1_are_refused) {
  cr_assert(isnan(th_schedule_step(1, 0, 0.1)));
  cr_assert(eq(int, th_last_status(), TH_EINVAL));
  cr_assert(strstr(th_last_error(), "schedule_step: length 0") != NULL, "%s", th_last_error());
  cr_assert(isnan(th_schedule_cosine(1, -1, 0)));
  cr_assert(isnan(th_schedule_warmup(1, 0, 0)));
}
