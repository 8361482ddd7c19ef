/* sort, argsort, topk and searchsorted: order, stability, NaN and zeros, lines of every length class. */
#include "ops/values.h"

TestSuite(ops_order, .timeout = 120, .fini = stop_engine);

/* Whether x may come before y: NaN last in either direction. */
static bool ordered(double x, double y, bool descending) {
  if (isnan(y)) return true;
  return !isnan(x) && (descending ? x >= y : x <= y);
}

static bool equal(double x, double y) { return x == y || (isnan(x) && isnan(y)); }

/* A line of a with its sorted values and where they come from. */
static void check_line(const double *a, const double *sorted, const double *places, int64_t n,
                       int64_t step, int64_t k, int64_t out_step, bool descending) {
  char *seen = calloc((size_t)n + 1, 1);
  for (int64_t i = 0; i < k; i++) {
    int64_t at = (int64_t)places[i * out_step];
    double here = sorted[i * out_step];
    cr_assert(at >= 0 && at < n && !seen[at]);
    seen[at] = 1;
    cr_assert(equal(here, a[at * step]));
    if (i == 0) continue;
    double before = sorted[(i - 1) * out_step];
    cr_assert(ordered(before, here, descending));
    bool differ = !equal(before, here);
    cr_assert(differ || places[(i - 1) * out_step] < (double)at, "not stable");
  }
  for (int64_t i = 0; i < n && k > 0; i++) /* nothing better was left out */
    cr_assert(seen[i] || ordered(sorted[(k - 1) * out_step], a[i * step], descending));
  free(seen);
}

/* Lines along an axis of a (rows, columns) matrix. */
static void check(th_array *a, int axis, bool descending, int64_t k) {
  int64_t n = th_array_shape(a)[axis], lines = th_array_shape(a)[1 - axis];
  th_array *values, *places;
  if (k < 0) {
    values = th_sort(a, axis, descending);
    places = th_argsort(a, axis - 2, descending);
    k = n;
  } else {
    cr_assert(eq(int, th_topk(a, k, axis, descending, &values, &places), TH_OK));
  }
  cr_assert(values && places, "%s", th_last_error());
  cr_assert(th_array_dtype(values) == th_array_dtype(a) && th_array_dtype(places) == TH_I64);
  double *x = values_of(a), *v = values_of(values), *p = values_of(places);
  for (int64_t line = 0; line < lines; line++) {
    if (axis == 1)
      check_line(x + line * n, v + line * k, p + line * k, n, 1, k, 1, descending);
    else
      check_line(x + line, v + line, p + line, n, lines, k, lines, descending);
  }
  free(x);
  free(v);
  free(p);
  th_release(values);
  th_release(places);
}

static th_array *with_oddities(const int64_t *shape, int ndim, th_dtype t) {
  th_array *a = noisy(shape, ndim, t, 20);
  if (t != TH_F16 && t != TH_BF16 && t != TH_F32 && t != TH_F64) return a;
  static const double odd[] = {NAN, INFINITY, -INFINITY, -0.0, 0.0, NAN, 1e-7, -1e-7};
  th_array *some = th_slice(a, ":, ::3"), *line;
  for (int64_t i = 0; i < th_array_shape(some)[1]; i++) {
    char spec[32];
    snprintf(spec, sizeof spec, "::2, %d", (int)i);
    line = th_slice(some, spec);
    cr_assert(eq(int, th_fill(line, odd[i % 8]), TH_OK));
    th_release(line);
  }
  th_release(some);
  return a;
}

Test(ops_order, every_type) {
  for (int t = 0; t < TH_DTYPE_COUNT; t++)
    for (int descending = 0; descending < 2; descending++) {
      th_array *a = with_oddities(TH_SHAPE(7, 100), (th_dtype)t);
      th_array *b = th_slice(a, "::-1, 90::-2");
      for (int axis = 0; axis < 2; axis++) {
        check(a, axis, descending, -1);
        check(b, axis, descending, -1);
        check(a, axis, descending, 3);
        check(b, axis, descending, 7);
      }
      th_release(a);
      th_release(b);
    }
}

/* Insertion, radix on the stack, in the workspace, in parallel; one bucket only; the whole range of keys. */
Test(ops_order, every_length) {
  static const int64_t lengths[] = {1, 2, 47, 48, 49, 300, 2048, 2049, 5000, 140000};
  static const th_dtype types[] = {TH_F32, TH_F64, TH_U16, TH_I64};
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
    for (int t = 0; t < 4; t++) {
      int64_t n = lengths[i], rows = n < 5000 ? 11 : 2;
      th_array *a = noisy(TH_SHAPE(rows, n), types[t], 1e4);
      check(a, 1, i & 1, -1);
      check(a, 1, true, n < 6 ? n : 6);
      check(a, 1, false, n / 2);
      check(a, 1, true, 0);
      th_release(a);
    }
  th_array *same = th_ones(TH_SHAPE(3, 5000), TH_F32, th_cpu(0));
  check(same, 1, true, -1);
  check(same, 1, false, 100);
  th_release(same);
}

/* Elements come in the order in which each is better than all before. */
Test(ops_order, topk_of_the_worst_order) {
  for (int t = 0; t < 2; t++) {
    th_array *flat = th_arange(0, 300000, 1, t ? TH_F64 : TH_F32, th_cpu(0));
    th_array *a = th_reshape(flat, TH_SHAPE(2, 150000));
    check(a, 1, true, 100);
    check(a, 1, false, 400);
    th_release(flat);
    th_release(a);
  }
}

Test(ops_order, errors_and_results_not_wanted) {
  th_array *a = vector(3, 1, 2), *values, *places;
  cr_assert(eq(int, th_topk(a, 4, 0, true, &values, NULL), TH_EINVAL));
  cr_assert(eq(int, th_topk(a, -1, 0, true, &values, NULL), TH_EINVAL));
  cr_assert(eq(int, th_topk(a, 1, 1, true, &values, NULL), TH_ESHAPE));
  cr_assert(eq(int, th_topk(NULL, 1, 0, true, &values, NULL), TH_EINVAL));
  cr_assert(eq(int, th_topk(a, 2, 0, true, &values, NULL), TH_OK));
  cr_assert(eq(int, th_topk(a, 2, -1, false, NULL, &places), TH_OK));
  cr_assert(distance_to(values, 3, 2) == 0 && distance_to(places, 1, 2) == 0);
  cr_assert(th_sort(a, 1, false) == NULL && th_last_status() == TH_ESHAPE);
  th_release(a);
  th_release(values);
  th_release(places);
}

Test(ops_order, searchsorted) {
  th_array *sorted = vector(-INFINITY, -1, 0, 0, 2, INFINITY, NAN);
  th_array *values = vector(-2, -1, 0, -0.0, 1, 2, INFINITY, NAN, -INFINITY);
  th_array *left = th_searchsorted(sorted, values, false);
  th_array *right = th_searchsorted(sorted, values, true);
  cr_assert(distance_to(left, 1, 1, 2, 2, 4, 4, 5, 6, 0) == 0);
  cr_assert(distance_to(right, 1, 2, 4, 4, 4, 5, 6, 7, 1) == 0);
  th_array *few = th_arange(0, 100, 10, TH_I8, th_cpu(0)), *v = vector(-1, 0, 55.5, 1000);
  th_array *mixed = th_searchsorted(few, v, false); /* promoted */
  cr_assert(distance_to(mixed, 0, 0, 6, 10) == 0);
  th_array *m = th_zeros(TH_SHAPE(2, 2), TH_F64, th_cpu(0));
  cr_assert(th_searchsorted(m, v, false) == NULL && th_last_status() == TH_ESHAPE);
  th_array *all[] = {sorted, values, left, right, few, v, mixed, m};
  for (int i = 0; i < 8; i++) th_release(all[i]);
}

/* Against a count of what comes before. */
Test(ops_order, searchsorted_at_length) {
  th_array *noise_ = noisy(TH_SHAPE(1, 3001), TH_I16, 1000),
           *line = th_reshape(noise_, TH_SHAPE(-1));
  th_array *sorted = th_sort(line, 0, false), *values = noisy(TH_SHAPE(20, 50), TH_I16, 1003);
  th_array *turned = th_matrix_transpose(values);
  for (int right = 0; right < 2; right++) {
    th_array *got = th_searchsorted(sorted, turned, right);
    double *x = values_of(sorted), *y = values_of(turned), *p = values_of(got);
    for (int i = 0; i < 1000; i++) {
      int before = 0;
      for (int j = 0; j < 3001; j++) before += right ? x[j] <= y[i] : x[j] < y[i];
      cr_assert(p[i] == before);
    }
    free(x);
    free(y);
    free(p);
    th_release(got);
  }
  th_array *all[] = {noise_, line, sorted, values, turned};
  for (int i = 0; i < 5; i++) th_release(all[i]);
}
