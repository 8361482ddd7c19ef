#include "tests/ops/values.h"

TestSuite(ops_reduce, .timeout = 240, .fini = stop_engine);

typedef th_array *(*reduction)(const th_array *a, const int *axes, int n_axes, bool keepdims);
enum { SUM, PROD, MEAN, MAX, MIN, ALL, ANY, KINDS };
static const reduction calls[KINDS] = {th_sum, th_prod, th_mean, th_max, th_min, th_all, th_any};
static const char *const names[KINDS] = {"sum", "prod", "mean", "max", "min", "all", "any"};

static double start_of(int kind) {
  switch (kind) {
  case PROD:
  case ALL: return 1;
  case MAX: return -INFINITY;
  case MIN: return INFINITY;
  default: return 0;
  }
}

static double combine(int kind, double a, double b) {
  switch (kind) {
  case PROD: return a * b;
  case MAX: return isnan(a) || isnan(b) ? NAN : fmax(a, b);
  case MIN: return isnan(a) || isnan(b) ? NAN : fmin(a, b);
  case ALL: return a != 0 && b != 0;
  case ANY: return a != 0 || b != 0;
  default: return a + b;
  }
}

/* Reduces rows-first values by walking every index; returns the number of results. */
static int64_t naive(int kind, const double *x, const int64_t *shape, int ndim, unsigned mask,
                     double *out) {
  int64_t n_out = 1, n = 1, count = 1, index[TH_MAX_DIMS] = {0};
  for (int d = 0; d < ndim; d++) {
    n *= shape[d];
    *(mask >> d & 1 ? &count : &n_out) *= shape[d];
  }
  for (int64_t i = 0; i < n_out; i++) out[i] = start_of(kind);
  for (int64_t i = 0; i < n; i++) {
    int64_t at = 0;
    for (int d = 0; d < ndim; d++)
      if (!(mask >> d & 1)) at = at * shape[d] + index[d];
    out[at] = combine(kind, out[at], x[i]);
    for (int d = ndim - 1; d >= 0 && ++index[d] == shape[d]; d--) index[d] = 0;
  }
  for (int64_t i = 0; i < n_out && kind == MEAN; i++) out[i] /= (double)count;
  return n_out;
}

static void check_view(int kind, th_array *a, unsigned mask, bool keep, const char *what) {
  double *x = values_of(a), expected[64];
  const int64_t *shape = th_array_shape(a);
  int ndim = th_array_ndim(a), axes[TH_MAX_DIMS], n_axes = 0;
  for (int d = 0; d < ndim; d++) /* every other one counted from the end */
    if (mask >> d & 1) {
      axes[n_axes] = n_axes % 2 ? d - ndim : d;
      n_axes++;
    }
  int64_t n_out = naive(kind, x, shape, ndim, mask, expected);
  bool nothing = false;
  for (int d = 0; d < ndim; d++) nothing = nothing || ((mask >> d & 1) && shape[d] == 0);
  th_array *result = calls[kind](a, axes, n_axes, keep);
  if (nothing && (kind == MAX || kind == MIN)) {
    cr_assert(result == NULL);
    cr_assert(failed_with(TH_ESHAPE, names[kind]));
    free(x);
    return;
  }
  double worst = worst_of(result, expected, n_out);
  double allowed = th_array_dtype(a) == TH_F16 ? 2e-3 : th_array_dtype(a) == TH_BF16 ? 2e-2 : 2e-6;
  cr_assert(worst <= allowed, "%s of %s, axes %#x, keep %d: off by %g", names[kind], what, mask,
            keep, worst);
  cr_assert(eq(int, th_array_ndim(result), keep ? ndim : ndim - n_axes));
  th_release(result);
  free(x);
}

Test(ops_reduce, every_kind_of_view_type_and_axes_agrees_with_a_walk_over_the_index) {
  const th_dtype types[] = {TH_F32, TH_F64, TH_F16, TH_BF16, TH_I8, TH_I64, TH_U16, TH_BOOL};
  for (int kind = 0; kind < KINDS; kind++)
    for (int view = 0; view < VIEWS; view++)
      for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        th_array *a = view_of_kind(view, types[t], 1);
        if (types[t] == TH_U16) {
          th_release(a);
          th_array *base = view_of_kind(view, TH_I8, 3), *square = th_multiply(base, base);
          a = th_astype(square, TH_U16);
          th_release(base);
          th_release(square);
        }
        char what[64];
        snprintf(what, sizeof what, "view %d, %s", view, th_dtype_name(types[t]));
        for (unsigned mask = 1; mask < 8; mask++)
          for (int keep = 0; keep < 2; keep++) check_view(kind, a, mask, keep, what);
        th_release(a);
      }
}

Test(ops_reduce, large_shapes_take_every_way_through_the_plan) {
  /* rows, columns, chunks of both, few elements along many outputs, two dimensions that do not join */
  const int64_t shapes[][3] = {{3, 5, 70001}, {70001, 3, 11}, {1, 1, 300000}, {20000, 9, 3},
                               {40, 300, 40}, {5, 4096, 17},  {2, 2, 2}};
  for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
    th_array *a = noisy(shapes[s], 3, TH_F64, 1);
    double *x = values_of(a);
    int64_t n = th_array_size(a);
    double *expected = malloc((size_t)n * sizeof *expected);
    for (unsigned mask = 1; mask < 8; mask++) {
      int axes[3], n_axes = 0;
      for (int d = 0; d < 3; d++)
        if (mask >> d & 1) axes[n_axes++] = d;
      for (int kind = 0; kind < KINDS; kind++) {
        if (kind == PROD) continue; /* products of so many leave the range */
        int64_t n_out = naive(kind, x, shapes[s], 3, mask, expected);
        th_array *result = calls[kind](a, axes, n_axes, false);
        double worst = worst_of(result, expected, n_out);
        cr_assert(worst <= 1e-9, "%s, shape %zu, axes %#x: off by %g", names[kind], s, mask, worst);
        th_release(result);
      }
    }
    free(expected);
    free(x);
    th_release(a);
  }
}

Test(ops_reduce, bits_do_not_depend_on_the_number_of_workers) {
  const int64_t shapes[][2] = {{1, 1000003}, {1000, 1000}, {100003, 10}, {7, 150001}};
  const int axes[][2] = {{0, 0}, {1, 0}, {0, 1}};
  uint32_t first[4][3], *bits = malloc(1100000 * sizeof *bits);
  for (int workers = 1; workers <= 4; workers++) {
    start_engine(workers);
    for (int s = 0; s < 4; s++)
      for (int x = 0; x < 3; x++) {
        th_array *a = noisy(shapes[s], 2, TH_F32, 1);
        th_array *sum = th_sum(a, axes[x], x == 2 ? 2 : 1, false);
        size_t n = (size_t)th_array_size(sum);
        cr_assert(eq(int, th_read(sum, bits, n * 4), TH_OK));
        uint32_t hash = 0;
        for (size_t i = 0; i < n; i++) hash = hash * 31 + bits[i];
        if (workers == 1) first[s][x] = hash;
        cr_assert(hash == first[s][x], "shape %d, case %d, %d workers", s, x, workers);
        th_release(sum);
        th_release(a);
      }
    cr_assert(eq(int, th_shutdown(), TH_OK));
  }
  free(bits);
}

Test(ops_reduce, sums_are_accurate_because_they_are_pairwise) {
  th_array *a = th_full(TH_SHAPE(10000000), 0.1, TH_F32, th_cpu(0));
  double sum = take_value(th_sum(a, NULL, 0, false), 0), exact = 1e7 * (double)0.1f;
  cr_assert(fabs(sum - exact) <= 1e-6 * exact, "%.9g, not %.9g", sum, exact);
  th_array *columns = th_reshape(a, TH_SHAPE(1000000, 10));
  th_array *result = th_sum(columns, (const int[]){0}, 1, false);
  double *sums = values_of(result);
  th_release(result);
  for (int i = 0; i < 10; i++)
    cr_assert(fabs(sums[i] - exact / 10) <= 1e-6 * exact / 10, "column %d: %.9g", i, sums[i]);
  free(sums);
  th_release(columns);
  th_release(a);
}

Test(ops_reduce, halves_accumulate_in_single_precision) {
  for (th_dtype t = TH_F16; t <= TH_BF16;
       t++) { /* adding ones in the type itself ends at 2048 and 256 */
    th_array *a = th_ones(TH_SHAPE(4096), t, th_cpu(0));
    cr_assert(eq(dbl, take_value(th_sum(a, NULL, 0, false), 0), 4096));
    cr_assert(eq(dbl, take_value(th_mean(a, NULL, 0, false), 0), 1));
    th_release(a);
  }
}

Test(ops_reduce, result_types_follow_the_table) {
  const struct {
    th_dtype in, sum, mean;
  } rows[] = {{TH_BOOL, TH_I64, TH_F32}, {TH_U8, TH_U64, TH_F32},  {TH_U64, TH_U64, TH_F32},
              {TH_I16, TH_I64, TH_F32},  {TH_F16, TH_F16, TH_F16}, {TH_BF16, TH_BF16, TH_BF16},
              {TH_F32, TH_F32, TH_F32},  {TH_F64, TH_F64, TH_F64}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    th_array *a = th_ones(TH_SHAPE(3), rows[i].in, th_cpu(0));
    th_array *sum = th_sum(a, NULL, 0, false), *mean = th_mean(a, NULL, 0, false);
    th_array *max = th_max(a, NULL, 0, false), *any = th_any(a, NULL, 0, false);
    cr_assert(eq(int, (int)th_array_dtype(sum), (int)rows[i].sum));
    cr_assert(eq(int, (int)th_array_dtype(mean), (int)rows[i].mean));
    cr_assert(eq(int, (int)th_array_dtype(max), (int)rows[i].in));
    cr_assert(eq(int, (int)th_array_dtype(any), TH_BOOL));
    th_array *all[] = {a, sum, mean, max, any};
    for (int j = 0; j < 5; j++) th_release(all[j]);
  }
}

Test(ops_reduce, integers_wrap_and_keep_all_their_bits) {
  const int64_t big[] = {INT64_MAX, 1, 5};
  th_array *a = th_from_host(big, TH_SHAPE(3), TH_I64, th_cpu(0));
  th_array *sum = th_sum(a, NULL, 0, false), *max = th_max(a, NULL, 0, false);
  int64_t value;
  cr_assert(eq(int, th_read(sum, &value, 8), TH_OK));
  cr_assert(eq(i64, value, INT64_MIN + 5));
  cr_assert(eq(int, th_read(max, &value, 8), TH_OK));
  cr_assert(eq(i64, value, INT64_MAX));
  const uint64_t huge[] = {UINT64_MAX, 1, UINT64_MAX - 1};
  th_array *b = th_from_host(huge, TH_SHAPE(3), TH_U64, th_cpu(0)),
           *min = th_min(b, NULL, 0, false);
  th_array *top = th_max(b, NULL, 0, false);
  uint64_t u;
  cr_assert(eq(int, th_read(top, &u, 8), TH_OK));
  cr_assert(eq(u64, u, UINT64_MAX));
  cr_assert(eq(int, th_read(min, &u, 8), TH_OK));
  cr_assert(eq(u64, u, 1));
  th_array *all[] = {a, b, sum, max, min, top};
  for (int j = 0; j < 6; j++) th_release(all[j]);
}

Test(ops_reduce, means_of_64_bit_integers_do_not_wrap) {
  static const th_dtype types[] = {TH_I64, TH_U64};
  for (int t = 0; t < 2; t++)
    for (int64_t n = 3; n < 200000; n *= 60) {
      th_array *a = th_full(TH_SHAPE(2, n), 0x1p62, types[t], th_cpu(0));
      th_array *rows = th_mean(a, (const int[]){1}, 1, true), *all = th_mean(a, NULL, 0, false);
      cr_assert(eq(int, (int)th_array_dtype(rows), (int)TH_F32));
      cr_assert(distance_to(rows, 0x1p62, 0x1p62) < 1e-7 && distance_to(all, 0x1p62) < 1e-7);
      th_release(rows), th_release(all);
      cr_assert(th_mean(a, (const int[]){2}, 1, true) == NULL && failed_with(TH_ESHAPE, "mean"));
      th_release(a);
    }
}

Test(ops_reduce, nan_wins_wherever_it_stands) {
  for (int64_t n = 1; n <= 200; n += 13)
    for (int64_t at = 0; at<n; at += n> 20 ? 17 : 1) {
      float x[200];
      for (int64_t i = 0; i < n; i++) x[i] = i == at ? NAN : (float)noise(i);
      th_array *a = th_from_host(x, TH_SHAPE(n), TH_F32, th_cpu(0));
      cr_assert(isnan(take_value(th_max(a, NULL, 0, false), 0)), "max, n %d", (int)n);
      cr_assert(isnan(take_value(th_min(a, NULL, 0, false), 0)), "min, n %d", (int)n);
      cr_assert(isnan(take_value(th_sum(a, NULL, 0, false), 0)), "sum, n %d", (int)n);
      cr_assert(eq(dbl, take_value(th_any(a, NULL, 0, false), 0), 1));
      th_release(a);
    }
}

enum { ROWS = 75 };

static void check_nan_at(int kind, int axis, int at, th_dtype t) {
  enum { COLUMNS = 21 };
  static float x[ROWS * COLUMNS];
  for (int i = 0; i < ROWS * COLUMNS; i++) x[i] = (float)(i % 17 - 8);
  for (int j = 0; j < COLUMNS; j++) x[axis ? j * ROWS + at : at * COLUMNS + j] = j % 2 ? NAN : 1;
  const int64_t shape[] = {axis ? COLUMNS : ROWS, axis ? ROWS : COLUMNS};
  th_array *f32 = th_from_host(x, shape, 2, TH_F32, th_cpu(0)), *a = th_astype(f32, t);
  th_array *r = calls[kind](a, &axis, 1, false);
  double *out = values_of(r);
  for (int j = 0; j < COLUMNS; j++)
    cr_assert(isnan(out[j]) ? j % 2 : out[j] == (kind == MAX ? 8 : -8) && j % 2 == 0,
              "%s of %s along %d, NaN at %d: %g", names[kind], th_dtype_name(t), axis, at, out[j]);
  free(out);
  th_release(r);
  th_release(a);
  th_release(f32);
}

/* In each row of eight that are joined at once, of those behind them, and in each of many lines. */
Test(ops_reduce, nan_wins_in_every_row_and_line) {
  for (int at = 0; at < ROWS; at++)
    for (int kind = MAX; kind <= MIN; kind++)
      for (int axis = 0; axis < 2; axis++) {
        check_nan_at(kind, axis, at, TH_F32);
        check_nan_at(kind, axis, at, TH_F64);
      }
}

Test(ops_reduce, nothing_reduces_to_the_unit) {
  th_array *a = th_zeros(TH_SHAPE(0), TH_F32, th_cpu(0));
  cr_assert(eq(dbl, take_value(th_sum(a, NULL, 0, false), 0), 0));
  cr_assert(eq(dbl, take_value(th_prod(a, NULL, 0, false), 0), 1));
  cr_assert(eq(dbl, take_value(th_all(a, NULL, 0, false), 0), 1));
  cr_assert(eq(dbl, take_value(th_any(a, NULL, 0, false), 0), 0));
  cr_assert(isnan(take_value(th_mean(a, NULL, 0, false), 0)));
  th_release(a);
}

Test(ops_reduce, bad_axes_are_refused_at_the_call) {
  th_array *a = th_zeros(TH_SHAPE(2, 3), TH_F32, th_cpu(0));
  cr_assert(th_sum(a, (const int[]){2}, 1, false) == NULL);
  cr_assert(failed_with(TH_ESHAPE, "sum"));
  cr_assert(th_max(a, (const int[]){0, -2}, 2, false) == NULL);
  cr_assert(failed_with(th_last_status(), "max"));
  cr_assert(th_mean(NULL, NULL, 0, false) == NULL);
  cr_assert(failed_with(TH_EINVAL, "mean"));
  th_release(a);
}

static th_array *reduce_for_gradient(th_array *const *inputs, int n, void *user) {
  const int *choice = user; /* kind, mask, keep */
  int axes[3], n_axes = 0;
  for (int d = 0; d < 3; d++)
    if (choice[1] >> d & 1) axes[n_axes++] = d;
  return calls[choice[0]](inputs[0], axes, n_axes, choice[2]);
}

Test(ops_reduce, gradients_agree_with_differences) {
  for (int kind = SUM; kind <= MIN; kind++)
    for (int mask = 1; mask < 8; mask++)
      for (int keep = 0; keep < 2; keep++) {
        th_array *a = noisy(TH_SHAPE(2, 3, 4), TH_F64, 1);
        int choice[] = {kind, mask, keep};
        double worst = 0;
        th_status status = th_grad_check(reduce_for_gradient, &a, 1, choice, 1e-6, 1e-6, &worst);
        cr_assert(status == TH_OK, "%s, axes %#x, keep %d: %g, %s", names[kind], (unsigned)mask,
                  keep, worst, th_last_error());
        th_release(a);
      }
}

/* 70,000 and more are no numbers of f16. */
Test(ops_reduce, gradients_of_halves_count_in_single_precision) {
  enum { MANY = 70000 };
  static double share[MANY];
  static const reduction divided[] = {th_mean, th_max, th_min};
  static const th_dtype types[] = {TH_F16, TH_BF16};
  for (int i = 0; i < MANY; i++) share[i] = 1.0 / MANY;
  for (int t = 0; t < 2; t++)
    for (int r = 0; r < 3; r++) {
      th_array *a = th_ones(TH_SHAPE(MANY), types[t], th_cpu(0));
      cr_assert(eq(int, th_require_grad(a), TH_OK));
      th_array *y = divided[r](a, NULL, 0, false);
      cr_assert(eq(int, th_backward(y, 0), TH_OK));
      cr_assert(th_array_dtype(th_grad(a)) == types[t]);
      double first = take_value(th_retain(th_grad(a)), 0);
      cr_assert(fabs(first * MANY - 1) < 0x1p-7, "%d: %g", r, first);
      cr_assert(worst_of(th_grad(a), share, MANY) < 1e-7);
      th_release(y), th_release(a);
    }
}

Test(ops_reduce, gradient_of_a_product_with_zeros) {
  const struct {
    double x[4], expected[4];
  } rows[] = {{{2, 3, 4, 5}, {60, 40, 30, 24}},
              {{2, 0, 4, 5}, {0, 40, 0, 0}},
              {{0, 0, 4, 5}, {0, 0, 0, 0}}};
  for (int i = 0; i < 3; i++) {
    th_array *a = th_from_host(rows[i].x, TH_SHAPE(4), TH_F64, th_cpu(0));
    cr_assert(eq(int, th_require_grad(a), TH_OK));
    th_array *product = th_prod(a, NULL, 0, false);
    cr_assert(eq(int, th_backward(product, 0), TH_OK));
    cr_assert(worst_of(th_grad(a), rows[i].expected, 4) < 1e-12, "row %d", i);
    th_release(product);
    th_release(a);
  }
}

Test(ops_reduce, gradient_of_an_extreme_is_shared_among_equals) {
  th_array *a = th_from_host((const double[]){3, 1, 3, 2}, TH_SHAPE(4), TH_F64, th_cpu(0));
  cr_assert(eq(int, th_require_grad(a), TH_OK));
  th_array *max = th_max(a, NULL, 0, false);
  cr_assert(eq(int, th_backward(max, 0), TH_OK));
  cr_assert(worst_of(th_grad(a), (const double[]){0.5, 0, 0.5, 0}, 4) == 0);
  th_release(max);
  th_release(a);
}
