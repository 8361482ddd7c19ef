/* randint, bernoulli, categorical and dropout: their distributions, the same bits for any number of workers, and what they
 * refuse. Bounds are five standard deviations and more; seeds are fixed, so a run cannot fail by chance. */
#include "tests/ops/values.h"

#include "thrum/autograd.h"

TestSuite(ops_sample, .timeout = 60, .fini = stop_engine);

enum { N = 100003 };

static double mean_of(const double *x, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; i++) sum += x[i];
  return sum / (double)n;
}

Test(ops_sample, randint_is_even_over_its_range) {
  th_generator *g = th_generator_new(3);
  th_array *a = th_randint(g, TH_SHAPE(N), -3, 4, TH_I8, th_cpu(0));
  double *x = values_of(a), chi = 0;
  int count[7] = {0};
  for (int i = 0; i < N; i++) {
    cr_assert(x[i] >= -3 && x[i] < 4);
    count[(int)x[i] + 3]++;
  }
  for (int i = 0; i < 7; i++) chi += (count[i] - N / 7.0) * (count[i] - N / 7.0) / (N / 7.0);
  cr_assert(chi < 35, "chi square of 6 degrees: %g", chi);
  free(x);
  th_array *wide = th_randint(g, TH_SHAPE(1000), INT64_MIN, INT64_MAX, TH_I64, th_cpu(0));
  double *y = values_of(wide);
  cr_assert(fabs(mean_of(y, 1000)) < 1e18, "%g", mean_of(y, 1000));
  free(y);
  th_release(a), th_release(wide);
  th_generator_release(g);
}

Test(ops_sample, bernoulli_has_its_probability) {
  static const double p[] = {0, 0.25, 0.9, 1};
  for (int i = 0; i < 4; i++) {
    th_generator *g = th_generator_new(4);
    th_array *a = th_bernoulli(g, TH_SHAPE(N), p[i], TH_BOOL, th_cpu(0));
    double *x = values_of(a), mean = mean_of(x, N);
    cr_assert(fabs(mean - p[i]) <= 5 * sqrt(p[i] * (1 - p[i]) / N), "%g: %g", p[i], mean);
    free(x);
    th_release(a);
    th_generator_release(g);
  }
}

Test(ops_sample, categorical_follows_the_weights) {
  const float weights[] = {0, 1, 3, 0, 6, 0, 2, 0, 0, 0, 0, 0};
  th_generator *g = th_generator_new(5);
  th_array *w = th_from_host(weights, TH_SHAPE(2, 6), TH_F32, th_cpu(0));
  th_array *a = th_categorical(g, w, N);
  double *x = values_of(a);
  for (int row = 0; row < 2; row++) {
    int count[6] = {0};
    double sum = row == 0 ? 10 : 2;
    for (int i = 0; i < N; i++) count[(int)x[row * N + i]]++;
    for (int j = 0; j < 6; j++) {
      double p = (double)weights[row * 6 + j] / sum, spread = 5 * sqrt(p * (1 - p) * N);
      cr_assert(fabs(count[j] - p * N) <= spread, "row %d, class %d: %d", row, j, count[j]);
    }
  }
  free(x);
  th_array *alone = th_slice(w, "0"), *draws = th_categorical(g, alone, 5);
  cr_assert(eq(int, th_array_ndim(draws), 1));
  th_release(w), th_release(a), th_release(alone), th_release(draws);
  th_generator_release(g);
}

Test(ops_sample, weights_that_are_none_fail_the_task) {
  static const double bad[] = {-1, NAN, INFINITY, 0};
  for (int i = 0; i < 4; i++) {
    th_array *w = th_full(TH_SHAPE(3), bad[i], TH_F32, th_cpu(0));
    th_array *a = th_categorical(NULL, w, 2);
    cr_assert(a != NULL);
    cr_assert(eq(int, th_wait(a), TH_EINVAL), "weight %g", bad[i]);
    th_release(w), th_release(a);
  }
  (void)th_wait_all();
}

Test(ops_sample, dropout_drops_scales_and_goes_the_same_way_back) {
  th_generator *g = th_generator_new(6);
  th_array *a = th_full(TH_SHAPE(N), 2, TH_F32, th_cpu(0));
  th_require_grad(a);
  th_array *y = th_dropout(g, a, 0.2, true), *ones = th_ones_like(y);
  double *x = values_of(y);
  int kept = 0;
  for (int i = 0; i < N; i++) {
    cr_assert(x[i] == 0 || fabs(x[i] - 2.5) < 1e-6);
    kept += x[i] != 0;
  }
  cr_assert(fabs(kept - 0.8 * N) < 5 * sqrt(0.16 * N), "%d kept", kept);
  cr_assert(eq(int, th_backward_from(y, ones, 0), TH_OK));
  double *slope = values_of(th_grad(a));
  for (int i = 0; i < N; i++) cr_assert(slope[i] == (x[i] != 0 ? 1.25 : 0), "element %d", i);
  th_array *off = th_dropout(g, a, 0.2, false), *all = th_dropout(g, a, 1, true);
  double *same = values_of(off), *none = values_of(all);
  for (int i = 0; i < N; i++) cr_assert(same[i] == 2 && none[i] == 0);
  free(x), free(slope), free(same), free(none);
  th_release(a), th_release(y), th_release(ones), th_release(off), th_release(all);
  th_generator_release(g);
}

Test(ops_sample, bits_do_not_depend_on_the_number_of_workers) {
  int32_t *first = malloc(N * 4), *now = malloc(N * 4);
  uint8_t *bits = malloc(N), *again = malloc(N);
  for (int workers = 1; workers <= 3; workers++) {
    start_engine(workers);
    th_generator *g = th_generator_new(11);
    th_array *a = th_randint(g, TH_SHAPE(N), 0, 1000000, TH_I32, th_cpu(0));
    th_array *b = th_bernoulli(g, TH_SHAPE(N), 0.5, TH_U8, th_cpu(0));
    cr_assert(eq(int, th_read(a, workers == 1 ? first : now, N * 4), TH_OK));
    cr_assert(eq(int, th_read(b, workers == 1 ? bits : again, N), TH_OK));
    cr_assert(workers == 1 || (memcmp(first, now, N * 4) == 0 && memcmp(bits, again, N) == 0));
    th_release(a), th_release(b);
    th_generator_release(g);
    cr_assert(eq(int, th_shutdown(), TH_OK));
  }
  free(first), free(now), free(bits), free(again);
}

/* Nothing is drawn for it: the next numbers are those of a new generator. */
Test(ops_sample, too_many_draws_leave_the_generator_alone) {
  th_generator *used = th_generator_new(5), *fresh = th_generator_new(5);
  th_array *weights = th_ones(TH_SHAPE(4, 2), TH_F32, th_cpu(0));
  static const int64_t many[] = {INT64_MAX, INT64_MAX / 4 + 1, INT64_MAX / 4};
  for (int i = 0; i < 3; i++) {
    cr_assert(th_categorical(used, weights, many[i]) == NULL);
    cr_assert(failed_with(TH_EOVERFLOW, "draws from each of 4 rows"));
  }
  th_array *a = th_randint(used, TH_SHAPE(8), 0, 1000, TH_I32, th_cpu(0));
  th_array *b = th_randint(fresh, TH_SHAPE(8), 0, 1000, TH_I32, th_cpu(0));
  double *x = values_of(a);
  cr_assert(worst_of(b, x, 8) == 0);
  free(x);
  th_release(a), th_release(b), th_release(weights);
  th_generator_release(used), th_generator_release(fresh);
}

Test(ops_sample, refusals) {
  th_device d = th_cpu(0);
  cr_assert(th_randint(NULL, TH_SHAPE(3), 4, 4, TH_I32, d) == NULL);
  cr_assert(failed_with(TH_EINVAL, "[4, 4) is empty"));
  cr_assert(th_randint(NULL, TH_SHAPE(3), 0, 257, TH_U8, d) == NULL);
  cr_assert(failed_with(TH_EINVAL, "does not hold 256"));
  cr_assert(th_randint(NULL, TH_SHAPE(3), -1, 5, TH_U64, d) == NULL);
  cr_assert(failed_with(TH_EINVAL, "does not hold -1"));
  cr_assert(th_randint(NULL, TH_SHAPE(3), 0, 5, TH_F32, d) == NULL);
  cr_assert(failed_with(TH_EDTYPE, "integer"));
  cr_assert(th_bernoulli(NULL, TH_SHAPE(3), 1.5, TH_F32, d) == NULL);
  cr_assert(failed_with(TH_EINVAL, "outside [0, 1]"));
  cr_assert(th_bernoulli(NULL, TH_SHAPE(-3), 0.5, TH_F32, d) == NULL);
  th_array *cube = th_ones(TH_SHAPE(2, 2, 2), TH_F32, d), *none = th_ones(TH_SHAPE(0), TH_F32, d);
  cr_assert(th_categorical(NULL, cube, 3) == NULL && failed_with(TH_ESHAPE, "(rows, classes)"));
  cr_assert(th_categorical(NULL, none, 3) == NULL && failed_with(TH_ESHAPE, "no classes"));
  cr_assert(th_categorical(NULL, cube, -1) == NULL && failed_with(TH_EINVAL, "-1 draws"));
  cr_assert(th_dropout(NULL, cube, -0.5, true) == NULL && failed_with(TH_EINVAL, "-0.5"));
  cr_assert(th_dropout(NULL, NULL, 0.5, true) == NULL && th_categorical(NULL, NULL, 1) == NULL);
  th_release(cube), th_release(none);
}
