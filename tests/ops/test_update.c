#include "tests/ops/values.h"

TestSuite(ops_update, .timeout = 60, .fini = stop_engine);

/* One step in double. */
static void naive(double *p, const double *g, double *v, int64_t n, double lr, double momentum,
                  double decay, bool nesterov) {
  for (int64_t i = 0; i < n; i++) {
    double slope = g[i] + decay * p[i], step = slope;
    if (momentum != 0) {
      v[i] = momentum * v[i] + slope;
      step = nesterov ? slope + momentum * v[i] : v[i];
    }
    p[i] -= lr * step;
  }
}

Test(ops_update, every_form_type_and_layout_follows_the_formula) {
  const th_dtype types[] = {TH_F32, TH_F64, TH_F16, TH_BF16};
  const double allowed[] = {1e-6, 1e-14, 5e-3, 4e-2};
  for (int t = 0; t < 4; t++)
    for (int form = 0; form < 3; form++)
      for (int decayed = 0; decayed < 2; decayed++) {
        th_array *p[3], *g[3], *v[3];
        double *x[3], *y[3], *z[3], momentum = form > 0 ? 0.9 : 0, decay = decayed ? 0.1 : 0;
        for (int i = 0; i < 3;
             i++) { /* contiguous, transposed, stepped; a gradient may be a broadcast view */
          p[i] = view_of_kind(i, types[t], 1);
          g[i] = view_of_kind(3 - i, types[t], 0.5);
          v[i] = view_of_kind(i, types[t], 0.25);
          x[i] = values_of(p[i]), y[i] = values_of(g[i]), z[i] = values_of(v[i]);
        }
        for (int step = 0; step < 2; step++) {
          th_status status =
              th_sgd_step(p, g, form > 0 ? v : NULL, 3, 0.1, momentum, decay, form == 2);
          cr_assert(status == TH_OK, "%s", th_last_error());
          for (int i = 0; i < 3; i++) naive(x[i], y[i], z[i], 24, 0.1, momentum, decay, form == 2);
        }
        for (int i = 0; i < 3; i++) {
          double worst = worst_of(p[i], x[i], 24);
          cr_assert(worst <= allowed[t], "%s, form %d, array %d: %g", th_dtype_name(types[t]), form,
                    i, worst);
          if (form > 0) cr_assert(worst_of(v[i], z[i], 24) <= allowed[t]);
          free(x[i]);
          free(y[i]);
          free(z[i]);
          th_array *all[] = {p[i], g[i], v[i]};
          for (int j = 0; j < 3; j++) th_release(all[j]);
        }
      }
}

Test(ops_update, bits_do_not_depend_on_the_number_of_workers) {
  enum { N = 300007 };
  float *first = malloc(N * sizeof *first), *now = malloc(N * sizeof *now);
  for (int workers = 1; workers <= 3; workers++) {
    start_engine(workers);
    th_array *p = noisy(TH_SHAPE(N), TH_F32, 1), *g = noisy(TH_SHAPE(N), TH_F32, 0.1);
    th_array *v = th_zeros_like(p);
    for (int step = 0; step < 3; step++)
      cr_assert(eq(int, th_sgd_step(&p, &g, &v, 1, 0.05, 0.9, 1e-4, true), TH_OK));
    cr_assert(eq(int, th_read(p, workers == 1 ? first : now, N * 4), TH_OK));
    cr_assert(workers == 1 || memcmp(first, now, N * 4) == 0, "%d workers", workers);
    th_array *all[] = {p, g, v};
    for (int j = 0; j < 3; j++) th_release(all[j]);
    cr_assert(eq(int, th_shutdown(), TH_OK));
  }
  free(first);
  free(now);
}

Test(ops_update, steps_are_ordered_with_other_operations) {
  th_array *p = th_ones(TH_SHAPE(1000), TH_F64, th_cpu(0));
  for (int i = 0; i < 50; i++) {
    th_array *g = th_multiply_scalar(p, 0.5);
    cr_assert(eq(int, th_sgd_step(&p, &g, NULL, 1, 1, 0, 0, false), TH_OK));
    th_release(g);
  }
  cr_assert(eq(dbl, take_value(p, 999), pow(0.5, 50)));
}

Test(ops_update, refusals_name_the_pair) {
  th_array *p[] = {th_zeros(TH_SHAPE(2), TH_F32, th_cpu(0)),
                   th_zeros(TH_SHAPE(3), TH_F32, th_cpu(0))};
  th_array *g[] = {th_zeros(TH_SHAPE(2), TH_F32, th_cpu(0)),
                   th_zeros(TH_SHAPE(4), TH_F32, th_cpu(0))};
  th_array *wide = th_zeros(TH_SHAPE(2), TH_F64, th_cpu(0)),
           *whole = th_zeros(TH_SHAPE(2), TH_I32, th_cpu(0));
  cr_assert(eq(int, th_sgd_step(p, g, NULL, 2, 0.1, 0, 0, false), TH_ESHAPE));
  cr_assert(failed_with(TH_ESHAPE, "sgd_step: gradient 1 has shape (4,), its parameter (3,)"));
  cr_assert(eq(int, th_sgd_step(p, &wide, NULL, 1, 0.1, 0, 0, false), TH_EDTYPE));
  cr_assert(failed_with(TH_EDTYPE, "gradient 0 is f64"));
  cr_assert(eq(int, th_sgd_step(&whole, &whole, NULL, 1, 0.1, 0, 0, false), TH_EDTYPE));
  cr_assert(failed_with(TH_EDTYPE, "parameter 0 is i32"));
  cr_assert(eq(int, th_sgd_step(p, g, NULL, 1, 0.1, 0.9, 0, false), TH_EINVAL));
  cr_assert(failed_with(TH_EINVAL, "needs velocities"));
  cr_assert(eq(int, th_sgd_step(p, p, g, 2, 0.1, 0.9, 0, false), TH_ESHAPE));
  cr_assert(failed_with(TH_ESHAPE, "velocity 1"));
  cr_assert(eq(int, th_sgd_step(p, g, NULL, 0, 0.1, 0, 0, false), TH_EINVAL));
  cr_assert(failed_with(TH_EINVAL, "sgd_step: 0 parameters"));
  th_array *missing = NULL;
  cr_assert(eq(int, th_sgd_step(p, &missing, NULL, 1, 0.1, 0, 0, false), TH_EINVAL));
  cr_assert(failed_with(TH_EINVAL, "sgd_step"));
  th_array *all[] = {p[0], p[1], g[0], g[1], wide, whole};
  for (int j = 0; j < 6; j++) th_release(all[j]);
}

/* --- Adam and RMSprop, against the papers' formulas in double --- */

static void naive_adam(double *p, const double *g, double *m, double *v, int64_t n, int step,
                       double decay, bool decoupled) {
  for (int64_t i = 0; i < n; i++) {
    if (decoupled) p[i] -= 0.01 * decay * p[i];
    double slope = g[i] + (decoupled ? 0 : decay * p[i]);
    m[i] = 0.9 * m[i] + 0.1 * slope;
    v[i] = 0.999 * v[i] + 0.001 * slope * slope;
    double first = m[i] / (1 - pow(0.9, step)), second = v[i] / (1 - pow(0.999, step));
    p[i] -= 0.01 * first / (sqrt(second) + 1e-8);
  }
}

static void naive_rmsprop(double *p, const double *g, double *s, double *v, int64_t n,
                          double momentum) {
  for (int64_t i = 0; i < n; i++) {
    double slope = g[i] + 0.1 * p[i];
    s[i] = 0.99 * s[i] + 0.01 * slope * slope;
    v[i] = momentum * v[i] + slope / (sqrt(s[i]) + 1e-8);
    p[i] -= 0.01 * v[i];
  }
}

/* form: 0 Adam, 1 AdamW, 2 RMSprop, 3 with momentum. */
static void follow(int form, th_dtype t, double allowed) {
  th_array *p[3], *g[3], *m[3], *v[3];
  double *x[3], *y[3], *z[3], *w[3];
  for (int i = 0; i < 3; i++) {
    p[i] = view_of_kind(i, t, 1);
    g[i] = view_of_kind(3 - i, t, 0.5);
    m[i] = th_zeros_like(p[i]);
    v[i] = th_zeros_like(p[i]);
    x[i] = values_of(p[i]), y[i] = values_of(g[i]), z[i] = values_of(m[i]), w[i] = values_of(v[i]);
  }
  for (int step = 1; step <= 3; step++) {
    const th_adam_config config = {.lr = 0.01, .weight_decay = 0.1};
    th_status status = form == 0   ? th_adam_step(p, g, m, v, 3, step, &config)
                       : form == 1 ? th_adamw_step(p, g, m, v, 3, step, 0.01, 0.1)
                                   : th_rmsprop_step(p, g, m, form == 3 ? v : NULL, 3, 0.01, 0.99,
                                                     1e-8, 0.1, form == 3 ? 0.9 : 0);
    cr_assert(status == TH_OK, "%s", th_last_error());
    for (int i = 0; i < 3; i++) {
      if (form < 2)
        naive_adam(x[i], y[i], z[i], w[i], 24, step, 0.1, form == 1);
      else
        naive_rmsprop(x[i], y[i], z[i], w[i], 24, form == 3 ? 0.9 : 0);
    }
  }
  for (int i = 0; i < 3; i++) {
    double worst = worst_of(p[i], x[i], 24);
    cr_assert(worst <= allowed, "%s, form %d, array %d: %g", th_dtype_name(t), form, i, worst);
    free(x[i]), free(y[i]), free(z[i]), free(w[i]);
    th_release(p[i]), th_release(g[i]), th_release(m[i]), th_release(v[i]);
  }
}

Test(ops_update, adam_and_rmsprop_follow_their_formulas) {
  for (int form = 0; form < 4; form++) {
    follow(form, TH_F32, 1e-5);
    follow(form, TH_F64, 1e-12);
    follow(form, TH_F16, 2e-2);
    follow(form, TH_BF16, 1e-1);
  }
}

Test(ops_update, adam_and_rmsprop_refuse) {
  th_array *p = th_ones(TH_SHAPE(3), TH_F32, th_cpu(0)),
           *q = th_ones(TH_SHAPE(4), TH_F32, th_cpu(0));
  cr_assert(eq(int, th_adam_step(&p, &p, &p, &p, 1, 0, NULL), TH_EINVAL));
  cr_assert(failed_with(TH_EINVAL, "step 0, from 1"));
  cr_assert(eq(int, th_adam_step(&p, &p, &p, &p, 1, 1, &(th_adam_config){.beta1 = 1}), TH_EINVAL));
  cr_assert(eq(int, th_adam_step(&p, &p, &p, &q, 1, 1, NULL), TH_ESHAPE));
  cr_assert(failed_with(TH_ESHAPE, "second moment 0 has shape (4,)"));
  cr_assert(eq(int, th_adam_step(&p, &p, NULL, &p, 1, 1, NULL), TH_EINVAL));
  cr_assert(eq(int, th_rmsprop_step(&p, &p, &p, NULL, 1, 0.1, 0.9, 0, 0, 0.9), TH_EINVAL));
  cr_assert(failed_with(TH_EINVAL, "momentum 0.9 needs velocities"));
  cr_assert(eq(int, th_rmsprop_step(&p, &p, &p, NULL, 0, 0.1, 0.9, 0, 0, 0), TH_EINVAL));
  th_release(p), th_release(q);
}
