/* cumulative_sum and cumulative_prod against loops. */
#include "ops/values.h"

TestSuite(ops_scan, .timeout = 120, .fini = stop_engine);

/* Lines along an axis of (outer, n, inner) seen in one of two layouts. */
static void check(const int64_t *shape, th_dtype t, bool product, bool initial, bool turned,
                  double allowed) {
  th_array *base = noisy(shape, 3, t, product ? 0.7 : 1);
  th_array *a = turned ? th_permute_dims(base, (const int[]){2, 1, 0}, 3) : th_retain(base);
  th_array *got = product ? th_cumulative_prod(a, 1, initial) : th_cumulative_sum(a, 1, initial);
  cr_assert(got != NULL, "%s", th_last_error());
  const int64_t *s = th_array_shape(a);
  int64_t n = s[1], inner = s[2], wide = n + initial;
  double *x = values_of(a), *wanted = malloc((size_t)(s[0] * wide * inner + 1) * sizeof *wanted);
  for (int64_t o = 0; o < s[0]; o++)
    for (int64_t c = 0; c < inner; c++) {
      double sum = product;
      if (initial) wanted[o * wide * inner + c] = sum;
      for (int64_t i = 0; i < n; i++) {
        double v = x[(o * n + i) * inner + c];
        sum = product ? sum * v : sum + v;
        wanted[(o * wide + i + initial) * inner + c] = sum;
      }
    }
  double worst = worst_of(got, wanted, s[0] * wide * inner);
  cr_assert(worst <= allowed, "(%d, %d, %d) %s: off by %g", (int)s[0], (int)n, (int)inner,
            th_dtype_name(t), worst);
  free(x);
  free(wanted);
  th_release(base);
  th_release(a);
  th_release(got);
}

Test(ops_scan, against_loops) {
  static const int64_t shapes[][3] = {
      {3, 5, 1}, {2, 70000, 1}, {2, 40, 700}, {5, 9, 3}, {1, 131072, 1}};
  static const struct {
    th_dtype t;
    double allowed;
  } types[] = {{TH_F64, 1e-10}, {TH_F32, 1e-6}, {TH_BF16, 0x1p-8}, {TH_I32, 0}, {TH_U8, 0}};
  for (int s = 0; s < 5; s++)
    for (int t = 0; t < 5; t++)
      for (int kind = 0; kind < 8; kind++) {
        bool product = kind & 1;
        if (product && s == 1) continue; /* all 0 or beyond the range soon */
        check(shapes[s], types[t].t, product, kind & 2, kind & 4, types[t].allowed);
      }
}

Test(ops_scan, types_and_errors) {
  th_array *a = th_full(TH_SHAPE(3), 200, TH_U8, th_cpu(0)), *b = th_cumulative_sum(a, 0, false);
  cr_assert(th_array_dtype(b) == TH_U64 && distance_to(b, 200, 400, 600) == 0);
  th_array *t = th_ones(TH_SHAPE(2, 0), TH_BOOL, th_cpu(0)), *c = th_cumulative_prod(t, -1, true);
  cr_assert(th_array_dtype(c) == TH_I64 && distance_to(c, 1, 1) == 0);
  cr_assert(th_cumulative_sum(a, 1, false) == NULL && th_last_status() == TH_ESHAPE);
  th_array *all[] = {a, b, t, c};
  for (int i = 0; i < 4; i++) th_release(all[i]);
}

/* Bits do not depend on the workers. */
Test(ops_scan, same_bits_with_any_threads) {
  float *first = NULL;
  for (int threads = 1; threads <= 4; threads += 3) {
    start_engine(threads);
    th_array *a = noisy(TH_SHAPE(300001), TH_F32, 1), *b = th_cumulative_sum(a, 0, false);
    float *got = malloc(300001 * sizeof *got);
    cr_assert(eq(int, th_read(b, got, 300001 * sizeof *got), TH_OK));
    if (!first)
      first = got;
    else
      cr_assert(memcmp(first, got, 300001 * sizeof *got) == 0);
    if (got != first) free(got);
    th_release(a);
    th_release(b);
    stop_engine();
  }
  free(first);
}

static th_array *products(th_array *const *in, int n, void *user) {
  return th_cumulative_prod(in[0], 1, *(const bool *)user);
}

/* No zero in a line, one, two. */
Test(ops_scan, gradient_of_products_with_zeros) {
  for (int initial = 0; initial < 2; initial++) {
    bool with = initial;
    const double values[] = {1.5, -0.5, 2, 0.7, 1.2, 0, 3, -1, 0.5, 0, 2, 0};
    th_array *in[] = {th_from_host(values, TH_SHAPE(3, 4), TH_F64, th_cpu(0))};
    double worst = 0;
    th_status status = th_grad_check(products, in, 1, &with, 1e-5, 1e-8, &worst);
    cr_assert(status == TH_OK, "%g, %s", worst, th_last_error());
    th_release(in[0]);
  }
}
