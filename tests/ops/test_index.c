#include "tests/ops/values.h"

TestSuite(ops_index, .timeout = 60, .fini = stop_engine);

static th_array *indices_of(const int64_t *values, const int64_t *shape, int ndim, th_dtype t) {
  th_array *wide = th_from_host(values, shape, ndim, TH_I64, th_cpu(0));
  th_array *a = th_astype(wide, t);
  th_release(wide);
  return a;
}

/* a[..., indices, ...] on rows-first values. */
static void naive_take(const double *x, const int64_t *shape, int ndim, int axis,
                       const int64_t *indices, int64_t n, double *out) {
  int64_t outer = 1, inner = 1;
  for (int d = 0; d < axis; d++) outer *= shape[d];
  for (int d = axis + 1; d < ndim; d++) inner *= shape[d];
  for (int64_t o = 0; o < outer; o++)
    for (int64_t i = 0; i < n; i++)
      for (int64_t c = 0; c < inner; c++) *out++ = x[(o * shape[axis] + indices[i]) * inner + c];
}

Test(ops_index, take_of_every_view_type_axis_and_index_type) {
  const int64_t picks[] = {1, 0, 1, 1, 0, 0};
  for (int t = 0; t < TH_DTYPE_COUNT; t++)
    for (int view = 0; view < VIEWS; view++)
      for (int axis = -3; axis < 3; axis++) {
        th_array *a = view_of_kind(view, (th_dtype)t, 1);
        if (th_array_shape(a)[axis < 0 ? axis + 3 : axis] == 0) {
          th_release(a);
          continue;
        }
        th_dtype index_type = t % 2 ? TH_U8 : t % 3 ? TH_I32 : TH_U64;
        th_array *flat = indices_of(picks, TH_SHAPE(6), index_type);
        th_array *square = indices_of(picks, TH_SHAPE(3, 2), index_type);
        th_array *turned = th_matrix_transpose(square);
        const int64_t turned_picks[] = {1, 1, 0, 0, 1, 0};
        double *x = values_of(a), expected[144];
        int real = axis < 0 ? axis + 3 : axis;
        naive_take(x, th_array_shape(a), 3, real, picks, 6, expected);
        int64_t n = th_array_size(a) / th_array_shape(a)[real] * 6;
        th_array *one = th_take(a, flat, axis), *two = th_take(a, square, axis);
        th_array *three = th_take(a, turned, axis);
        cr_assert(worst_of(one, expected, n) == 0, "%s, view %d, axis %d",
                  th_dtype_name((th_dtype)t), view, axis);
        cr_assert(worst_of(two, expected, n) == 0);
        cr_assert(eq(int, th_array_ndim(two), 4));
        cr_assert(eq(i64, th_array_shape(two)[real], 3));
        naive_take(x, th_array_shape(a), 3, real, turned_picks, 6, expected);
        cr_assert(worst_of(three, expected, n) == 0);
        free(x);
        th_array *all[] = {a, flat, square, turned, one, two, three};
        for (int j = 0; j < 7; j++) th_release(all[j]);
      }
}

Test(ops_index, take_of_many_rows_and_of_none) {
  th_array *a = noisy(TH_SHAPE(1000, 70), TH_F32, 1);
  int64_t *picks = malloc(5000 * sizeof *picks);
  for (int i = 0; i < 5000; i++) picks[i] = (i * 7919) % 1000;
  th_array *rows = indices_of(picks, TH_SHAPE(5000), TH_I64), *taken = th_take(a, rows, 0);
  double *x = values_of(a), *expected = malloc(5000 * 70 * sizeof *expected);
  naive_take(x, th_array_shape(a), 2, 0, picks, 5000, expected);
  cr_assert(worst_of(taken, expected, 5000 * 70) == 0);
  th_array *none = indices_of(picks, TH_SHAPE(0), TH_I64), *empty = th_take(a, none, 0);
  cr_assert(eq(i64, th_array_size(empty), 0));
  cr_assert(eq(i64, th_array_shape(empty)[1], 70));
  cr_assert(eq(int, th_wait(empty), TH_OK));
  free(picks);
  free(x);
  free(expected);
  th_array *all[] = {a, rows, taken, none, empty};
  for (int j = 0; j < 5; j++) th_release(all[j]);
}

Test(ops_index, an_index_out_of_range_fails_the_task_and_cures_by_overwriting) {
  th_array *a = noisy(TH_SHAPE(5, 2), TH_F32, 1);
  const int64_t high[] = {0, 4, 1, 7}, low[] = {-1};
  th_array *bad = indices_of(high, TH_SHAPE(4), TH_U8),
           *negative = indices_of(low, TH_SHAPE(1), TH_I8);
  th_array *x = th_take(a, bad, 0), *y = th_take(a, negative, 0), *z = th_one_hot(bad, 5, TH_F32);
  cr_assert(x != NULL && y != NULL && z != NULL);
  cr_assert(eq(int, th_wait(x), TH_EINVAL));
  cr_assert(failed_with(TH_EINVAL, "take: index 7 at position 3 is outside [0, 5)"));
  cr_assert(eq(int, th_wait(y), TH_EINVAL));
  cr_assert(failed_with(TH_EINVAL, "take: index -1 at position 0 is outside [0, 5)"));
  cr_assert(eq(int, th_wait(z), TH_EINVAL));
  cr_assert(failed_with(TH_EINVAL, "one_hot: index 7 at position 3"));
  cr_assert(eq(int, th_fill(x, 1), TH_OK));
  cr_assert(eq(int, th_wait(x), TH_OK));
  th_array *all[] = {a, bad, negative, x, y, z};
  for (int j = 0; j < 6; j++) th_release(all[j]);
}

Test(ops_index, scatter_add_counts_repeated_indices) {
  const int64_t picks[] = {2, 0, 2, 2, 1, 0};
  const th_dtype types[] = {TH_F32, TH_F64, TH_F16, TH_BF16, TH_I8, TH_I64, TH_U16};
  for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
    th_array *a = th_ones(TH_SHAPE(3, 2), types[t], th_cpu(0));
    th_array *rows = indices_of(picks, TH_SHAPE(2, 3), TH_I16);
    th_array *b = th_arange(0, 12, 1, TH_I32, th_cpu(0)), *cube = th_reshape(b, TH_SHAPE(2, 3, 2));
    cr_assert(eq(int, th_scatter_add_inplace(a, rows, cube), TH_OK));
    const double expected[] = {1 + 2 + 10, 1 + 3 + 11, 1 + 8, 1 + 9, 1 + 0 + 4 + 6, 1 + 1 + 5 + 7};
    cr_assert(worst_of(a, expected, 6) == 0, "%s", th_dtype_name(types[t]));
    th_array *all[] = {a, rows, b, cube};
    for (int j = 0; j < 4; j++) th_release(all[j]);
  }
}

Test(ops_index, scatter_add_into_a_view_writes_only_the_view) {
  th_array *base = th_zeros(TH_SHAPE(4, 6), TH_F32, th_cpu(0)), *view = th_slice(base, "::2, ::-2");
  const int64_t picks[] = {1, 1};
  th_array *rows = indices_of(picks, TH_SHAPE(2), TH_I64);
  th_array *b =
      th_from_host((const float[]){1, 2, 3, 10, 20, 30}, TH_SHAPE(2, 3), TH_F32, th_cpu(0));
  cr_assert(eq(int, th_scatter_add_inplace(view, rows, b), TH_OK));
  double expected[24] = {0};
  expected[2 * 6 + 5] = 11, expected[2 * 6 + 3] = 22, expected[2 * 6 + 1] = 33;
  cr_assert(worst_of(base, expected, 24) == 0);
  th_array *all[] = {base, view, rows, b};
  for (int j = 0; j < 4; j++) th_release(all[j]);
}

Test(ops_index, scatter_add_of_itself_reads_before_it_writes) {
  th_array *a = th_arange(1, 5, 1, TH_F64, th_cpu(0));
  const int64_t picks[] = {3, 2, 1, 0};
  th_array *rows = indices_of(picks, TH_SHAPE(4), TH_I64);
  cr_assert(eq(int, th_scatter_add_inplace(a, rows, a), TH_OK));
  cr_assert(worst_of(a, (const double[]){5, 5, 5, 5}, 4) == 0);
  th_release(a);
  th_release(rows);
}

Test(ops_index, scatter_add_has_the_same_bits_for_any_number_of_workers) {
  float *first = malloc(50 * 3000 * sizeof *first), *now = malloc(50 * 3000 * sizeof *now);
  int64_t picks[500];
  for (int i = 0; i < 500; i++) picks[i] = i * 31 % 50;
  for (int workers = 1; workers <= 3; workers++) {
    start_engine(workers);
    th_array *a = noisy(TH_SHAPE(50, 3000), TH_F32, 1), *b = noisy(TH_SHAPE(500, 3000), TH_F32, 1);
    th_array *rows = indices_of(picks, TH_SHAPE(500), TH_I32);
    cr_assert(eq(int, th_scatter_add_inplace(a, rows, b), TH_OK));
    cr_assert(eq(int, th_read(a, workers == 1 ? first : now, 50 * 3000 * 4), TH_OK));
    cr_assert(workers == 1 || memcmp(first, now, 50 * 3000 * 4) == 0, "%d workers", workers);
    th_array *all[] = {a, b, rows};
    for (int j = 0; j < 3; j++) th_release(all[j]);
    cr_assert(eq(int, th_shutdown(), TH_OK));
  }
  free(first);
  free(now);
}

Test(ops_index, one_hot_of_every_type) {
  const int64_t picks[] = {2, 0, 1, 2};
  for (int t = 0; t < TH_DTYPE_COUNT; t++) {
    th_array *rows = indices_of(picks, TH_SHAPE(2, 2), TH_U32),
             *hot = th_one_hot(rows, 3, (th_dtype)t);
    const double expected[] = {0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 1};
    cr_assert(worst_of(hot, expected, 12) == 0, "%s", th_dtype_name((th_dtype)t));
    cr_assert(eq(int, th_array_ndim(hot), 3));
    th_release(rows);
    th_release(hot);
  }
}

Test(ops_index, refusals) {
  th_array *a = th_zeros(TH_SHAPE(3, 2), TH_F32, th_cpu(0)),
           *f = th_zeros(TH_SHAPE(2), TH_F32, th_cpu(0));
  th_array *i = th_zeros(TH_SHAPE(2), TH_I64, th_cpu(0)),
           *deep = th_zeros(TH_SHAPE(1, 1, 1, 1, 1, 1, 1, 1), TH_I64, th_cpu(0));
  cr_assert(th_take(a, f, 0) == NULL);
  cr_assert(failed_with(TH_EDTYPE, "take: indices are f32"));
  cr_assert(th_take(a, i, 2) == NULL);
  cr_assert(failed_with(TH_ESHAPE, "take"));
  cr_assert(th_take(a, deep, 0) == NULL);
  cr_assert(failed_with(TH_ESHAPE, "more than 8 dimensions"));
  cr_assert(eq(int, th_scatter_add_inplace(a, i, f), TH_ESHAPE));
  cr_assert(failed_with(TH_ESHAPE, "scatter_add_inplace: rows (2,) do not fit (3, 2)"));
  cr_assert(eq(int, th_scatter_add_inplace(a, f, a), TH_EDTYPE));
  cr_assert(failed_with(TH_EDTYPE, "scatter_add_inplace"));
  cr_assert(th_one_hot(i, -1, TH_F32) == NULL);
  cr_assert(failed_with(TH_EINVAL, "one_hot: -1 classes"));
  cr_assert(th_one_hot(i, 3, (th_dtype)77) == NULL);
  cr_assert(failed_with(TH_EDTYPE, "one_hot"));
  cr_assert(th_one_hot(deep, 3, TH_F32) == NULL);
  cr_assert(failed_with(TH_ESHAPE, "one_hot"));
  th_array *all[] = {a, f, i, deep};
  for (int j = 0; j < 4; j++) th_release(all[j]);
}

static th_array *take_by_choice(th_array *const *inputs, int n, void *user) {
  const int64_t picks[] = {1, 0, 1, 1};
  th_array *rows = th_from_host(picks, TH_SHAPE(2, 2), TH_I64, th_cpu(0));
  th_array *out = th_take(inputs[0], rows, *(int *)user);
  th_release(rows);
  return out;
}

static th_array *scatter(th_array *const *inputs, int n, void *user) {
  const int64_t picks[] = {1, 0, 1};
  th_array *rows = th_from_host(picks, TH_SHAPE(3), TH_I64, th_cpu(0)), *copy = th_copy(inputs[0]);
  th_status status = th_scatter_add_inplace(copy, rows, inputs[1]);
  th_release(rows);
  if (status == TH_OK) return copy;
  th_release(copy);
  return NULL;
}

Test(ops_index, gradients_agree_with_differences) {
  for (int axis = -1; axis < 3; axis++) {
    th_array *a = noisy(TH_SHAPE(2, 3, 2), TH_F64, 1);
    double worst = 0;
    th_status status = th_grad_check(take_by_choice, &a, 1, &axis, 1e-5, 1e-8, &worst);
    cr_assert(status == TH_OK, "axis %d: %g, %s", axis, worst, th_last_error());
    th_release(a);
  }
  th_array *in[] = {noisy(TH_SHAPE(2, 2), TH_F64, 1), noisy(TH_SHAPE(3, 2), TH_F64, 1)};
  double worst = 0;
  th_status status = th_grad_check(scatter, in, 2, NULL, 1e-5, 1e-8, &worst);
  cr_assert(status == TH_OK, "scatter_add: %g, %s", worst, th_last_error());
  th_release(in[0]);
  th_release(in[1]);
}

Test(ops_index, the_gradient_of_take_accumulates_halves_in_single_precision) {
  th_array *a = th_zeros(TH_SHAPE(2, 1), TH_F16, th_cpu(0)),
           *rows = th_zeros(TH_SHAPE(4096), TH_I32, th_cpu(0));
  cr_assert(eq(int, th_require_grad(a), TH_OK));
  th_array *taken = th_take(a, rows, 0), *ones = th_ones_like(taken);
  cr_assert(eq(int, th_backward_from(taken, ones, 0), TH_OK));
  cr_assert(worst_of(th_grad(a), (const double[]){4096, 0}, 2) == 0);
  th_array *all[] = {a, rows, taken, ones};
  for (int j = 0; j < 4; j++) th_release(all[j]);
}
