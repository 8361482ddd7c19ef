#include "tests/ops/values.h"

TestSuite(ops_arg, .timeout = 60, .fini = stop_engine);

static bool beats(double x, double best, bool min) {
  if (isnan(best)) return false;
  return isnan(x) || (min ? x < best : x > best);
}

static void check(th_array *a, int axis, bool min, const char *what) {
  double *x = values_of(a);
  const int64_t *shape = th_array_shape(a);
  int ndim = th_array_ndim(a), real = axis < 0 ? axis + ndim : axis;
  int64_t outer = 1, inner = 1, n = shape[real];
  for (int d = 0; d < ndim; d++)
    *(d < real ? &outer : d > real ? &inner : &(int64_t){1}) *= shape[d];
  double *expected = malloc((size_t)(outer * inner + 1) * sizeof *expected);
  for (int64_t o = 0; o < outer; o++)
    for (int64_t i = 0; i < inner; i++) {
      int64_t best = 0;
      for (int64_t j = 1; j < n; j++)
        if (beats(x[(o * n + j) * inner + i], x[(o * n + best) * inner + i], min)) best = j;
      expected[o * inner + i] = (double)best;
    }
  th_array *result = min ? th_argmin(a, axis, true) : th_argmax(a, axis, true);
  cr_assert(worst_of(result, expected, outer * inner) == 0, "%s, axis %d, min %d", what, axis, min);
  cr_assert(eq(int, (int)th_array_dtype(result), TH_I64));
  cr_assert(eq(int, th_array_ndim(result), ndim));
  th_release(result);
  free(expected);
  free(x);
}

Test(ops_arg, every_view_type_and_axis_agrees_with_a_search) {
  for (int t = 0; t < TH_DTYPE_COUNT; t++)
    for (int view = 0; view < VIEWS - 1; view++)
      for (int axis = -3; axis < 3; axis++) {
        th_array *base = view_of_kind(view, TH_F64, 1), *positive = th_add_scalar(base, 2);
        th_array *a =
            t == TH_U8 || t > TH_U8 ? th_astype(positive, (th_dtype)t) : th_astype(base, TH_BOOL);
        check(a, axis, false, th_dtype_name((th_dtype)t));
        check(a, axis, true, th_dtype_name((th_dtype)t));
        th_release(a);
        th_release(positive);
        th_release(base);
      }
}

Test(ops_arg, long_lines_and_strided_views) {
  th_array *a = noisy(TH_SHAPE(3, 5000), TH_F32, 1), *columns = th_matrix_transpose(a);
  check(a, 1, false, "rows");
  check(columns, 0, true, "columns");
  th_release(columns);
  th_release(a);
}

Test(ops_arg, the_first_of_equals_and_the_first_nan) {
  const float x[] = {1, 3, 3, 0, 0, 2}, y[] = {1, NAN, 5, NAN, -1, 2};
  th_array *a = th_from_host(x, TH_SHAPE(6), TH_F32, th_cpu(0));
  th_array *b = th_from_host(y, TH_SHAPE(6), TH_F32, th_cpu(0));
  cr_assert(eq(dbl, take_value(th_argmax(a, 0, false), 0), 1));
  cr_assert(eq(dbl, take_value(th_argmin(a, -1, false), 0), 3));
  cr_assert(eq(dbl, take_value(th_argmax(b, 0, false), 0), 1));
  cr_assert(eq(dbl, take_value(th_argmin(b, 0, false), 0), 1));
  th_release(a);
  th_release(b);
}

/* Side by side in whole tiles and the rest of one, with equals and NaN in every row and column. */
Test(ops_arg, neighbouring_columns_keep_apart) {
  enum { N = 9, WIDTH = 150 };
  for (int t = 0; t < TH_DTYPE_COUNT; t++) {
    bool floating = t == TH_F16 || t == TH_BF16 || t == TH_F32 || t == TH_F64;
    double x[2 * N * WIDTH];
    for (int i = 0; i < 2 * N * WIDTH; i++) {
      uint32_t mixed = (uint32_t)i * 2654435761u >> 20;
      x[i] = floating && mixed % 11 == 0 ? NAN : (double)(mixed % 7) - (floating ? 3 : 0);
    }
    th_array *all = th_from_host(x, TH_SHAPE(2, N, WIDTH), TH_F64, th_cpu(0));
    th_array *a = th_astype(all, (th_dtype)t), *gaps = th_slice(a, ":, ::-1, ::2");
    for (int min = 0; min < 2; min++) {
      check(a, 1, min, th_dtype_name((th_dtype)t));
      check(a, 0, min, th_dtype_name((th_dtype)t));
      check(gaps, 1, min, th_dtype_name((th_dtype)t));
    }
    th_release(gaps);
    th_release(a);
    th_release(all);
  }
}

Test(ops_arg, refusals_name_the_operator) {
  th_array *a = th_zeros(TH_SHAPE(2, 0), TH_F32, th_cpu(0));
  cr_assert(th_argmax(a, 1, false) == NULL);
  cr_assert(failed_with(TH_ESHAPE, "argmax"));
  cr_assert(th_argmin(a, 2, false) == NULL);
  cr_assert(failed_with(TH_ESHAPE, "argmin"));
  th_array *fine = th_argmax(a, 0, false);
  cr_assert(eq(i64, th_array_size(fine), 0));
  th_release(fine);
  th_release(a);
}
