/* count_nonzero, var, std, logsumexp, vector_norm against loops in double. */
#include "ops/values.h"

TestSuite(ops_moments, .timeout = 120, .fini = stop_engine);

typedef double (*reference)(const double *x, int64_t n, double number);

static double variance(const double *x, int64_t n, double correction) {
  double mean = 0, sum = 0;
  for (int64_t i = 0; i < n; i++) mean += x[i] / (double)n;
  for (int64_t i = 0; i < n; i++) sum += (x[i] - mean) * (x[i] - mean);
  return sum / ((double)n - correction);
}

static double deviation(const double *x, int64_t n, double correction) {
  return sqrt(variance(x, n, correction));
}

static double log_of_sum(const double *x, int64_t n, double unused) {
  double sum = 0;
  for (int64_t i = 0; i < n; i++) sum += exp(x[i]);
  return log(sum);
}

static double norm(const double *x, int64_t n, double ord) {
  double sum = 0, most = 0, least = INFINITY;
  for (int64_t i = 0; i < n; i++) {
    sum += ord == 0 ? x[i] != 0 : pow(fabs(x[i]), ord);
    most = fmax(most, fabs(x[i]));
    least = fmin(least, fabs(x[i]));
  }
  return isinf(ord) ? (ord > 0 ? most : least) : ord == 0 ? sum : pow(sum, 1 / ord);
}

static double count(const double *x, int64_t n, double unused) {
  double sum = 0;
  for (int64_t i = 0; i < n; i++) sum += x[i] != 0;
  return sum;
}

static th_array *call(reference f, const th_array *a, int axis, double number) {
  if (f == variance) return th_variance(a, &axis, 1, number, false);
  if (f == deviation) return th_std(a, &axis, 1, number, true);
  if (f == log_of_sum) return th_logsumexp(a, &axis, 1, false);
  if (f == norm) return th_vector_norm(a, &axis, 1, number, false);
  return th_count_nonzero(a, &axis, 1, false);
}

/* Both axes of a matrix, and of its transpose as a view. */
static void check(reference f, const int64_t *shape, th_dtype t, double number, double allowed) {
  th_array *base = noisy(shape, 2, t, 1);
  for (int turned = 0; turned < 2; turned++)
    for (int axis = 0; axis < 2; axis++) {
      th_array *a = turned ? th_matrix_transpose(base) : th_retain(base);
      const int64_t *s = th_array_shape(a);
      th_array *got = call(f, a, axis, number);
      double *x = values_of(a), *line = malloc((size_t)s[axis] * sizeof *line);
      double *wanted = malloc((size_t)s[1 - axis] * sizeof *wanted);
      for (int64_t j = 0; j < s[1 - axis]; j++) {
        for (int64_t i = 0; i < s[axis]; i++) line[i] = axis ? x[j * s[1] + i] : x[i * s[1] + j];
        wanted[j] = f(line, s[axis], number);
      }
      double worst = worst_of(got, wanted, s[1 - axis]);
      cr_assert(worst <= allowed, "(%d, %d) axis %d, %g: off by %g", (int)s[0], (int)s[1], axis,
                number, worst);
      free(x);
      free(line);
      free(wanted);
      th_release(got);
      th_release(a);
    }
  th_release(base);
}

Test(ops_moments, against_loops) {
  static const int64_t shapes[][2] = {{1, 7}, {3, 5000}, {300, 40}, {2, 150000}};
  static const struct {
    th_dtype t;
    double allowed;
  } types[] = {{TH_F64, 1e-12}, {TH_F32, 3e-6}, {TH_F16, 2e-3}};
  static const double orders[] = {2, 1, 0, 3, 0.5, INFINITY, -INFINITY};
  for (int s = 0; s < 4; s++)
    for (int t = 0; t < 3; t++) {
      double allowed = types[t].allowed;
      if (shapes[s][0] > 1) {
        check(variance, shapes[s], types[t].t, 1, allowed);
        check(deviation, shapes[s], types[t].t, 0, allowed);
      }
      check(log_of_sum, shapes[s], types[t].t, 0, allowed);
      check(count, shapes[s], types[t].t, 0, 0);
      for (int o = 0; o < 7 && s < 3; o++) {
        bool overflows = types[t].t == TH_F16 && orders[o] == 0.5;
        if (!overflows) check(norm, shapes[s], types[t].t, orders[o], allowed);
      }
    }
}

/* The mean is far from 0: squares of elements would lose everything. */
Test(ops_moments, variance_of_large_values) {
  th_array *a = noisy(TH_SHAPE(10000), TH_F64, 1);
  th_array *moved = th_add_scalar(a, 1e4), *f = th_astype(moved, TH_F32);
  double *x = values_of(f), wanted = variance(x, 10000, 0);
  th_array *got = th_variance(f, NULL, 0, 0, false);
  cr_assert(fabs(th_item(got) - wanted) < 1e-5 * wanted);
  free(x);
  th_array *all[] = {a, moved, f, got};
  for (int i = 0; i < 4; i++) th_release(all[i]);
}

Test(ops_moments, edges) {
  th_array *empty = th_zeros(TH_SHAPE(2, 0), TH_F32, th_cpu(0)), *one = vector(3);
  th_array *infinite = vector(-INFINITY, -INFINITY, 1, INFINITY, NAN, 2, 1e300, 1e300);
  th_array *pairs = th_reshape(infinite, TH_SHAPE(4, 2));
  const int last = -1;
  th_array *v = th_variance(empty, &last, 1, 0, false), *w = th_variance(one, NULL, 0, 1, false);
  th_array *e = th_logsumexp(empty, &last, 1, false), *l = th_logsumexp(pairs, &last, 1, false);
  const double nans[] = {NAN, NAN}, low[] = {-INFINITY, -INFINITY};
  const double logs[] = {-INFINITY, INFINITY, NAN, 1e300};
  cr_assert(worst_of(v, nans, 2) == 0 && worst_of(w, nans, 1) == 0);
  cr_assert(worst_of(e, low, 2) == 0 && worst_of(l, logs, 4) < 1e-15);
  cr_assert(th_vector_norm(empty, &last, 1, INFINITY, false) == NULL);
  cr_assert(th_last_status() == TH_ESHAPE);
  th_array *n = th_vector_norm(empty, &last, 1, 2, false);
  cr_assert(distance_to(n, 0, 0) == 0);
  th_array *ints = th_ones(TH_SHAPE(3), TH_I32, th_cpu(0));
  cr_assert(th_variance(ints, NULL, 0, 0, false) == NULL && th_last_status() == TH_EDTYPE);
  th_array *c = th_count_nonzero(ints, NULL, 0, false);
  cr_assert(th_array_dtype(c) == TH_I64 && th_item(c) == 3);
  th_array *all[] = {empty, one, infinite, pairs, v, w, e, l, n, ints, c};
  for (int i = 0; i < 11; i++) th_release(all[i]);
}

static th_array *norms(th_array *const *in, int n, void *user) {
  const int axis = 1;
  return th_vector_norm(in[0], &axis, 1, *(const double *)user, false);
}

Test(ops_moments, gradients_of_norms) {
  static const double orders[] = {2, 1, 3, INFINITY, -INFINITY};
  for (int o = 0; o < 5; o++) {
    th_array *in[] = {noisy(TH_SHAPE(3, 4), TH_F64, 1)};
    double worst = 0;
    th_status status = th_grad_check(norms, in, 1, (void *)&orders[o], 1e-6, 1e-7, &worst);
    cr_assert(status == TH_OK, "order %g: %g, %s", orders[o], worst, th_last_error());
    th_release(in[0]);
  }
}

/* Of f16, where 70,000 is no number: the gradients of var, std and the largest norm, whose ties share it. */
Test(ops_moments, gradients_of_halves_count_in_single_precision) {
  enum { MANY = 70000 };
  for (int kind = 0; kind < 3; kind++) {
    th_array *pair = vector(-1, 1);
    th_array *halves = th_astype(pair, TH_F16), *turned = th_reshape(halves, TH_SHAPE(2, 1));
    th_array *wide = th_broadcast_to(turned, TH_SHAPE(2, MANY / 2));
    th_array *a = th_copy(wide);
    cr_assert(eq(int, th_require_grad(a), TH_OK));
    th_array *y = kind == 0   ? th_variance(a, NULL, 0, 0, false)
                  : kind == 1 ? th_std(a, NULL, 0, 0, false)
                              : th_vector_norm(a, NULL, 0, INFINITY, false);
    cr_assert(eq(int, th_backward(y, 0), TH_OK), "%s", th_last_error());
    double *g = values_of(th_grad(a));
    double wanted = (kind == 0 ? 2.0 : 1.0) / MANY;
    cr_assert(th_array_dtype(th_grad(a)) == TH_F16);
    cr_assert(fabs(g[0] / wanted + 1) < 0x1p-7 && fabs(g[MANY - 1] / wanted - 1) < 0x1p-7,
              "%d: %g, %g", kind, g[0], g[MANY - 1]);
    free(g);
    th_array *all[] = {pair, halves, turned, wide, a, y};
    for (int i = 0; i < 6; i++) th_release(all[i]);
  }
}

/* d^2 var / dx^2 along u, whose mean is 0, is 2 u / n. */
Test(ops_moments, second_derivatives_of_halves_count_in_single_precision) {
  enum { MANY = 70000 };
  th_array *pair = vector(-1, 1), *halves = th_astype(pair, TH_F16), *g = NULL, *second = NULL;
  th_array *wide = th_broadcast_to(halves, TH_SHAPE(MANY / 2, 2)), *u = th_copy(wide);
  th_array *x = th_ones(TH_SHAPE(MANY / 2, 2), TH_F16, th_cpu(0));
  cr_assert(eq(int, th_require_grad(x), TH_OK));
  th_array *y = th_variance(x, NULL, 0, 0, false);
  cr_assert(eq(int, th_grads(&y, 1, NULL, &x, 1, TH_CREATE_GRAPH, &g), TH_OK));
  cr_assert(eq(int, th_grads(&g, 1, &u, &x, 1, 0, &second), TH_OK), "%s", th_last_error());
  double *got = values_of(second);
  for (int i = 0; i < MANY; i++)
    cr_assert(fabs(got[i] * MANY / 2 - (i % 2 ? 1 : -1)) < 0.02, "element %d is %g", i, got[i]);
  free(got);
  th_array *all[] = {pair, halves, g, second, wide, u, x, y};
  for (int i = 0; i < 8; i++) th_release(all[i]);
}
