/* Loss scaling: the bits of unscaled training, steps that are left out wholly, the scale's rules, f16 training, refusals. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "support/arrays.h"
#include "support/tasks.h"

TestSuite(scaler, .timeout = 60, .fini = stop_engine);

enum { N = 40 };

static double scale_of(const th_scaler *s) { return th_item(th_scaler_state(s, 0, NULL, 0)); }

static th_array *start_leaf(th_dtype t, th_device d) {
  th_array *host = th_linspace(-1, 2, N, t, th_cpu(0)), *a = th_copy_to(host, d);
  cr_assert(eq(int, th_require_grad(a), TH_OK));
  th_release(host);
  return a;
}

/* loss = sum of x^2, times weight, which may be infinite. */
static th_array *loss_of(const th_array *x, double weight) {
  th_array *square = th_square(x), *sum = th_sum(square, NULL, 0, false);
  th_array *loss = th_multiply_scalar(sum, weight);
  th_release(square);
  th_release(sum);
  return loss;
}

static void plain_step(th_array *x, th_optimizer *o) {
  th_array *loss = loss_of(x, 1);
  cr_assert(eq(int, th_backward(loss, 0), TH_OK), "%s", th_last_error());
  cr_assert(eq(int, th_optimizer_step(o), TH_OK), "%s", th_last_error());
  th_optimizer_zero_grad(o);
  th_release(loss);
}

static void scaled_step(th_array *x, th_optimizer *o, th_scaler *s, double weight, bool unscale) {
  th_array *loss = loss_of(x, weight), *scaled = th_scaler_scale(s, loss);
  cr_assert(scaled != NULL, "%s", th_last_error());
  cr_assert(eq(int, th_backward(scaled, 0), TH_OK), "%s", th_last_error());
  if (unscale) cr_assert(eq(int, th_scaler_unscale(s, o), TH_OK), "%s", th_last_error());
  cr_assert(eq(int, th_scaler_step(s, o), TH_OK), "%s", th_last_error());
  cr_assert(eq(int, th_scaler_update(s), TH_OK), "%s", th_last_error());
  th_optimizer_zero_grad(o);
  th_release(loss);
  th_release(scaled);
}

static void same_bits(const th_array *a, const th_array *b, const char *what) {
  float x[N], y[N];
  size_t bytes = (size_t)th_array_size(a) * 4;
  cr_assert(eq(int, th_read(a, x, bytes), TH_OK), "%s", th_last_error());
  cr_assert(eq(int, th_read(b, y, bytes), TH_OK), "%s", th_last_error());
  cr_assert(memcmp(x, y, bytes) == 0, "%s", what);
}

static th_optimizer *make(int kind, th_array *x) {
  switch (kind) {
  case 0: return th_sgd(TH_ARRAYS(x), 0.01, 0, 0.1, false);
  case 1: return th_sgd(TH_ARRAYS(x), 0.01, 0.9, 0.1, true);
  case 2: return th_adam(TH_ARRAYS(x), &(th_adam_config){.lr = 0.05, .weight_decay = 0.1});
  case 3: return th_adamw(TH_ARRAYS(x), &(th_adam_config){.lr = 0.05});
  default: return th_rmsprop(TH_ARRAYS(x), &(th_rmsprop_config){.momentum = 0.9});
  }
}
enum { KINDS = 5 };

/* Steps 3, 4 and 8 of ten overflow; the plain optimizer does not see them at all. */
Test(scaler, overflowing_steps_leave_no_trace_in_parameters_and_states) {
  for (int k = 0; k < 2 * KINDS; k++) {
    th_array *x = start_leaf(TH_F32, th_cpu(0)), *y = start_leaf(TH_F32, th_cpu(0));
    th_optimizer *plain = make(k / 2, x), *scaled = make(k / 2, y);
    th_scaler *s = th_scaler_new(&(th_scaler_config){.scale = 1024}, th_cpu(0));
    for (int t = 0; t < 10; t++) {
      bool overflows = t == 3 || t == 4 || t == 8;
      scaled_step(y, scaled, s, overflows ? INFINITY : 1, k % 2);
      if (!overflows) plain_step(x, plain);
      same_bits(x, y, "parameters");
    }
    for (int i = 0; i < th_optimizer_states(plain); i++) {
      char name[32];
      th_array *a = th_optimizer_state(plain, i, name, sizeof name);
      th_array *b = th_optimizer_state(scaled, i, NULL, 0);
      if (strcmp(name, "skipped_steps") == 0)
        cr_assert(th_item(a) == 0 && th_item(b) == 3, "%g", th_item(b));
      else
        same_bits(a, b, name);
    }
    cr_assert(eq(i64, th_optimizer_steps(scaled), 10));
    cr_assert(eq(dbl, scale_of(s), 128), "three times half");
    th_scaler_release(s);
    th_optimizer_release(plain);
    th_optimizer_release(scaled);
    th_release(x);
    th_release(y);
  }
}

Test(scaler, scale_grows_after_a_row_of_good_steps_and_backs_off_at_once) {
  th_array *x = start_leaf(TH_F32, th_cpu(0));
  th_optimizer *o = make(0, x);
  const th_scaler_config config = {.scale = 8, .growth = 4, .backoff = 0.25, .interval = 3};
  th_scaler *s = th_scaler_new(&config, th_cpu(0));
  const double weights[] = {1, 1, NAN, 1, 1, 1, 1, -INFINITY, 1, 1, 1};
  const double expected[] = {8, 8, 2, 2, 2, 8, 8, 2, 2, 2, 8};
  for (int t = 0; t < 11; t++) {
    scaled_step(x, o, s, weights[t], false);
    cr_assert(eq(dbl, scale_of(s), expected[t]), "step %d", t);
  }
  th_scaler_release(s);
  s = th_scaler_new(&(th_scaler_config){.scale = 0x1p127, .interval = 1}, th_cpu(0));
  th_optimizer_zero_grad(o);
  th_array *loss = loss_of(x, 0x1p-140), *scaled = th_scaler_scale(s, loss);
  cr_assert(eq(int, th_backward(scaled, 0), TH_OK));
  cr_assert(eq(int, th_scaler_step(s, o), TH_OK));
  cr_assert(eq(int, th_scaler_update(s), TH_OK));
  cr_assert(eq(dbl, scale_of(s), 0x1p127), "never infinite");
  th_array *all[] = {x, loss, scaled};
  for (int i = 0; i < 3; i++) th_release(all[i]);
  th_scaler_release(s);
  th_optimizer_release(o);
}

/* Weights in f32, products in f16, as one trains: y = x w, loss = mean (y - target)^2. */
static th_array *half_loss(th_array *w, th_array *x, th_array *target) {
  th_scope scope = th_scope_begin();
  th_array *y = th_matmul(x, th_astype(w, TH_F16));
  th_array *d = th_astype(th_subtract(y, target), TH_F32);
  th_array *loss = th_keep(th_mean(th_square(d), NULL, 0, false));
  th_scope_end(scope);
  return loss;
}

Test(scaler, row_80_f16_training_overflows_recovers_and_grows) {
  enum { ROWS = 8, STEPS = 60 };
  th_generator *g = th_generator_new(1);
  th_array *x = th_normal(g, TH_SHAPE(ROWS, 4), 0, 1, TH_F16, th_cpu(0));
  th_array *truth = th_normal(g, TH_SHAPE(4, 1), 0, 1, TH_F16, th_cpu(0));
  th_array *target = th_matmul(x, truth), *w = th_zeros(TH_SHAPE(4, 1), TH_F32, th_cpu(0));
  cr_assert(eq(int, th_require_grad(w), TH_OK));
  th_optimizer *o = th_adam(TH_ARRAYS(w), &(th_adam_config){.lr = 0.1});
  th_scaler *s = th_scaler_new(&(th_scaler_config){.scale = 0x1p24, .interval = 10}, th_cpu(0));
  double first = NAN, last = NAN, lowest = 0x1p24;
  int grew = 0;
  for (int t = 0; t < STEPS; t++) {
    double before = scale_of(s);
    th_array *loss = half_loss(w, x, target), *scaled = th_scaler_scale(s, loss);
    cr_assert(eq(int, th_backward(scaled, 0), TH_OK), "%s", th_last_error());
    cr_assert(eq(int, th_scaler_step(s, o), TH_OK), "%s", th_last_error());
    cr_assert(eq(int, th_scaler_update(s), TH_OK), "%s", th_last_error());
    th_optimizer_zero_grad(o);
    last = th_item(loss);
    if (t == 0) first = last;
    if (t == 1) cr_assert(eq(dbl, last, first), "the first step overflowed, so nothing changed");
    if (scale_of(s) < lowest) lowest = scale_of(s);
    grew += scale_of(s) > before;
    th_release(loss);
    th_release(scaled);
  }
  double skipped = th_item(th_optimizer_state(o, 2, NULL, 0));
  cr_assert(skipped >= 3 && skipped < STEPS / 2, "%g steps skipped", skipped);
  cr_assert(lt(dbl, lowest, 0x1p22));
  cr_assert(grew >= 1, "the scale grew %d times", grew);
  cr_assert(last < first / 10, "from %g to %g", first, last);
  th_array *all[] = {x, truth, target, w};
  for (int i = 0; i < 4; i++) th_release(all[i]);
  th_scaler_release(s);
  th_optimizer_release(o);
  th_generator_release(g);
}

Test(scaler, f16_gradients_are_divided_in_f32) {
  th_array *w = th_ones(TH_SHAPE(1), TH_F16, th_cpu(0));
  cr_assert(eq(int, th_require_grad(w), TH_OK));
  th_optimizer *o = th_sgd(TH_ARRAYS(w), 0x1p20, 0, 0, false);
  th_scaler *s = th_scaler_new(&(th_scaler_config){.scale = 0x1p14}, th_cpu(0));
  th_array *tiny = th_full(TH_SHAPE(1), 0x1p-24, TH_F32, th_cpu(0)), *y = th_multiply(w, tiny);
  th_array *scaled = th_scaler_scale(s, y);
  cr_assert(eq(int, th_backward(scaled, 0), TH_OK), "%s", th_last_error());
  cr_assert(eq(dbl, th_item(th_grad(w)), 0x1p-10), "scaled, f16 holds it well");
  cr_assert(eq(int, th_scaler_step(s, o), TH_OK), "%s", th_last_error());
  cr_assert(eq(dbl, th_item(w), 1 - 0x1p-4), "divided, f16 would have lost bits");
  th_array *all[] = {w, tiny, y, scaled};
  for (int i = 0; i < 4; i++) th_release(all[i]);
  th_scaler_release(s);
  th_optimizer_release(o);
}

Test(scaler, leaves_on_two_devices_are_left_out_together) {
  cr_assert(eq(int, th_cpu_split(2, 1), TH_OK), "%s", th_last_error());
  th_array *x = start_leaf(TH_F32, th_cpu(0)), *y = start_leaf(TH_F32, th_cpu(1));
  th_optimizer *o = th_adam(TH_ARRAYS(x, y), NULL);
  th_scaler *s = th_scaler_new(NULL, th_cpu(1));
  for (int t = 0; t < 2; t++) { /* first x overflows, then nobody */
    th_array *a = loss_of(x, t == 0 ? INFINITY : 1), *b = loss_of(y, 1);
    th_array *sa = th_scaler_scale(s, a), *sb = th_scaler_scale(s, b);
    cr_assert(eq(int, th_array_device(sa).index, 0));
    cr_assert(eq(int, th_backward(sa, 0), TH_OK), "%s", th_last_error());
    cr_assert(eq(int, th_backward(sb, 0), TH_OK), "%s", th_last_error());
    cr_assert(eq(int, th_scaler_step(s, o), TH_OK), "%s", th_last_error());
    cr_assert(eq(int, th_scaler_update(s), TH_OK), "%s", th_last_error());
    th_optimizer_zero_grad(o);
    th_array *here = th_copy_to(y, th_cpu(0)), *fresh = start_leaf(TH_F32, th_cpu(0));
    same_bits(x, here, "both went the same way");
    th_array *moved = th_subtract(here, fresh), *most = th_max(moved, NULL, 0, false);
    cr_assert(eq(int, th_item(most) != 0, t), "step %d", t);
    th_array *all[] = {a, b, sa, sb, here, fresh, moved, most};
    for (int i = 0; i < 8; i++) th_release(all[i]);
  }
  th_scaler_release(s);
  th_optimizer_release(o);
  th_release(x);
  th_release(y);
}

Test(scaler, unscaled_gradients_can_be_clipped) {
  th_array *x = leaf(1);
  th_optimizer *o = th_sgd(TH_ARRAYS(x), 1, 0, 0, false);
  th_scaler *s = th_scaler_new(NULL, th_cpu(0));
  th_array *y = th_multiply_scalar(x, 50), *scaled = th_scaler_scale(s, y);
  cr_assert(eq(int, th_backward(scaled, 0), TH_OK));
  cr_assert(eq(int, th_scaler_unscale(s, o), TH_OK), "%s", th_last_error());
  th_array *norm = th_clip_grad_norm(TH_ARRAYS(x), 0.5);
  cr_assert(eq(dbl, th_item(norm), 50));
  cr_assert(eq(int, th_scaler_step(s, o), TH_OK), "%s", th_last_error());
  cr_assert(lt(dbl, fabs(th_item(x) - 0.5), 1e-7));
  th_array *all[] = {x, y, scaled, norm};
  for (int i = 0; i < 4; i++) th_release(all[i]);
  th_scaler_release(s);
  th_optimizer_release(o);
}

Test(scaler, nothing_waits_for_gradients) {
  tasks_init("threads", 2, 0);
  th_array *x = start_leaf(TH_F32, th_cpu(0));
  th_optimizer *o = make(2, x);
  th_scaler *s = th_scaler_new(NULL, th_cpu(0));
  th_array *loss = loss_of(x, 1), *scaled = th_scaler_scale(s, loss);
  cr_assert(eq(int, th_backward(scaled, 0), TH_OK));
  th_token *gate = close_gate(th_array_var(th_grad(x)));
  cr_assert(gate != NULL, "%s", th_last_error());
  cr_assert(eq(int, th_scaler_step(s, o), TH_OK), "%s", th_last_error());
  cr_assert(eq(int, th_scaler_update(s), TH_OK), "%s", th_last_error());
  cr_assert(eq(int, th_is_ready(x), 0));
  cr_assert(eq(int, th_token_signal(gate, TH_OK, NULL), TH_OK));
  cr_assert(eq(dbl, th_item(th_scaler_state(s, 1, NULL, 0)), 1), "one good step");
  th_array *all[] = {x, loss, scaled};
  for (int i = 0; i < 3; i++) th_release(all[i]);
  th_scaler_release(s);
  th_optimizer_release(o);
}

/* A sum that was kept in f16 would stop at 2048, and 70,000 is beyond its largest number. */
Test(scaler, row_80_small_types_add_up_in_f32) {
  const th_dtype types[] = {TH_F16, TH_BF16};
  for (int t = 0; t < 2; t++) {
    th_scope scope = th_scope_begin();
    th_array *ones = th_ones(TH_SHAPE(4096), types[t], th_cpu(0));
    th_array *many = th_ones(TH_SHAPE(70000), types[t], th_cpu(0));
    cr_assert(eq(dbl, th_item(th_sum(ones, NULL, 0, false)), 4096));
    cr_assert(eq(dbl, th_item(th_mean(many, NULL, 0, false)), 1));
    th_scope_end(scope);
  }
}

static void refused(th_status status, const char *why) {
  cr_assert(eq(int, status, TH_EINVAL));
  cr_assert(strstr(th_last_error(), why) != NULL, "%s", th_last_error());
  th_clear_error();
}

Test(scaler, calls_out_of_order_are_refused) {
  th_array *x = leaf(1);
  th_optimizer *o = th_sgd(TH_ARRAYS(x), 1, 0, 0, false);
  th_scaler *s = th_scaler_new(NULL, th_cpu(0));
  refused(th_scaler_update(s), "no step since");
  refused(th_scaler_step(s, o), "scaler_step: no leaf has a gradient");
  refused(th_scaler_unscale(s, o), "scaler_unscale: no leaf has a gradient");
  th_array *y = th_multiply_scalar(x, 2);
  cr_assert(eq(int, th_backward(y, 0), TH_OK));
  cr_assert(eq(int, th_scaler_unscale(s, o), TH_OK));
  refused(th_scaler_unscale(s, o), "scaler_unscale: after the last");
  cr_assert(eq(int, th_scaler_step(s, o), TH_OK));
  refused(th_scaler_step(s, o), "scaler_step: after the last");
  cr_assert(eq(int, th_scaler_update(s), TH_OK));
  cr_assert(eq(int, th_scaler_step(s, o), TH_OK));
  refused(th_scaler_unscale(s, o), "scaler_unscale: after the last");
  refused(th_scaler_step(s, NULL), "scaler_step: NULL optimizer");
  refused(th_scaler_unscale(s, NULL), "scaler_unscale: NULL optimizer");
  refused(th_scaler_step(NULL, o), "scaler_step: NULL scaler");
  refused(th_scaler_unscale(NULL, o), "scaler_unscale: NULL scaler");
  refused(th_scaler_update(NULL), "scaler_update: NULL scaler");
  cr_assert(zero(ptr, th_scaler_scale(NULL, x)));
  cr_assert(zero(ptr, th_scaler_scale(s, NULL)));
  th_scaler_release(NULL);
  th_scaler_release(s);
  th_optimizer_release(o);
  th_release(x);
  th_release(y);
}

Test(scaler, settings_and_states) {
  const th_scaler_config bad[] = {{.scale = -1},    {.scale = INFINITY},    {.growth = 1},
                                  {.growth = NAN},  {.backoff = 1},         {.backoff = -1},
                                  {.interval = -1}, {.interval = INT64_MAX}};
  for (int i = 0; i < 8; i++) {
    cr_assert(zero(ptr, th_scaler_new(&bad[i], th_cpu(0))), "%d", i);
    cr_assert(strstr(th_last_error(), "scaler_new: ") != NULL, "%s", th_last_error());
  }
  th_scaler *s = th_scaler_new(NULL, th_cpu(0));
  char name[16];
  cr_assert(eq(int, th_scaler_states(s), 2));
  cr_assert(eq(int, th_scaler_states(NULL), 0));
  cr_assert(eq(dbl, th_item(th_scaler_state(s, 0, name, sizeof name)), 65536));
  cr_assert(eq(str, name, "scale"));
  cr_assert(eq(dbl, th_item(th_scaler_state(s, 1, name, sizeof name)), 0));
  cr_assert(eq(str, name, "good_steps"));
  cr_assert(zero(ptr, th_scaler_state(s, 2, NULL, 0)));
  cr_assert(zero(ptr, th_scaler_state(s, 1, name, 4)));
  th_clear_error();
  cr_assert(zero(ptr, th_scaler_state(NULL, 0, NULL, 0)));
  th_scaler_release(s);
}
