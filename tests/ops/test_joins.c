#include "tests/ops/values.h"

TestSuite(ops_joins, .timeout = 60, .fini = stop_engine);

static void naive_concat(double *const *x, const int64_t *sizes, int n, int64_t outer,
                         int64_t inner, double *out) {
  for (int64_t o = 0; o < outer; o++)
    for (int i = 0; i < n; i++)
      for (int64_t j = 0; j < sizes[i] * inner; j++) *out++ = x[i][o * sizes[i] * inner + j];
}

Test(ops_joins, views_of_every_kind_join_along_every_axis) {
  const th_dtype types[] = {TH_BOOL, TH_I16, TH_F16, TH_F32, TH_F64};
  for (int t = 0; t < 5; t++)
    for (int axis = -3; axis < 3; axis++) {
      int real = axis < 0 ? axis + 3 : axis;
      th_array *in[VIEWS];
      double *x[VIEWS], expected[128];
      int64_t sizes[VIEWS], outer = 1, inner = 1;
      const int64_t shape[] = {2, 3, 4};
      for (int d = 0; d < real; d++) outer *= shape[d];
      for (int d = real + 1; d < 3; d++) inner *= shape[d];
      int n = real == 1 ? VIEWS : VIEWS - 1; /* the empty view is empty along axis 1 */
      for (int v = 0; v < n; v++) {
        in[v] = view_of_kind(v, types[t], 1);
        x[v] = values_of(in[v]);
        sizes[v] = th_array_shape(in[v])[real];
      }
      naive_concat(x, sizes, n, outer, inner, expected);
      th_array *all = th_concat(in, n, axis);
      cr_assert(worst_of(all, expected, 96) == 0, "%s, axis %d", th_dtype_name(types[t]), axis);
      cr_assert(eq(i64, th_array_shape(all)[real], 4 * shape[real]));
      th_release(all);
      for (int v = 0; v < n; v++) {
        free(x[v]);
        th_release(in[v]);
      }
    }
}

Test(ops_joins, large_arrays_join_in_parallel) {
  th_array *a = noisy(TH_SHAPE(300, 500), TH_F32, 1), *b = noisy(TH_SHAPE(300, 200), TH_F32, 2);
  th_array *c = th_concat(TH_ARRAYS(a, b, a), 1);
  double *x[] = {values_of(a), values_of(b), NULL},
         *expected = malloc(300 * 1200 * sizeof *expected);
  x[2] = x[0];
  naive_concat(x, (const int64_t[]){500, 200, 500}, 3, 300, 1, expected);
  cr_assert(worst_of(c, expected, 300 * 1200) == 0);
  free(x[0]);
  free(x[1]);
  free(expected);
  th_array *all[] = {a, b, c};
  for (int j = 0; j < 3; j++) th_release(all[j]);
}

Test(ops_joins, concat_promotes) {
  th_array *a = th_ones(TH_SHAPE(2), TH_I32, th_cpu(0)),
           *b = th_full(TH_SHAPE(1), 0.5, TH_F16, th_cpu(0));
  th_array *flag = th_ones(TH_SHAPE(1), TH_BOOL, th_cpu(0)),
           *c = th_concat(TH_ARRAYS(a, b, flag), 0);
  cr_assert(eq(int, (int)th_array_dtype(c), TH_F16));
  cr_assert(worst_of(c, (const double[]){1, 1, 0.5, 1}, 4) == 0);
  th_array *all[] = {a, b, flag, c};
  for (int j = 0; j < 4; j++) th_release(all[j]);
}

Test(ops_joins, many_arrays) {
  enum { N = 2000 };
  th_array **in = malloc(N * sizeof *in);
  double *expected = malloc(N * sizeof *expected);
  for (int i = 0; i < N; i++) {
    in[i] = th_full(TH_SHAPE(1), i, TH_I32, th_cpu(0));
    expected[i] = i;
  }
  th_array *all = th_concat(in, N, 0);
  cr_assert(worst_of(all, expected, N) == 0);
  for (int i = 0; i < N; i++) th_release(in[i]);
  th_release(all);
  free(in);
  free(expected);
}

Test(ops_joins, stack_makes_an_axis) {
  th_array *a = noisy(TH_SHAPE(2, 3), TH_F64, 1), *b = noisy(TH_SHAPE(2, 3), TH_F64, 2);
  double *x[] = {values_of(a), values_of(b)}, expected[12];
  for (int axis = -3; axis < 3; axis++) {
    int real = axis < 0 ? axis + 3 : axis;
    int64_t outer = real == 0 ? 1 : real == 1 ? 2 : 6;
    naive_concat(x, (const int64_t[]){1, 1}, 2, outer, 6 / outer, expected);
    th_array *c = th_stack(TH_ARRAYS(a, b), axis);
    cr_assert(worst_of(c, expected, 12) == 0, "axis %d", axis);
    cr_assert(eq(int, th_array_ndim(c), 3));
    cr_assert(eq(i64, th_array_shape(c)[real], 2));
    th_release(c);
  }
  free(x[0]);
  free(x[1]);
  th_release(a);
  th_release(b);
}

Test(ops_joins, refusals_name_the_argument) {
  th_array *a = th_zeros(TH_SHAPE(2, 3), TH_F32, th_cpu(0)),
           *b = th_zeros(TH_SHAPE(3, 3), TH_F32, th_cpu(0));
  th_array *s = th_zeros(TH_SCALAR, TH_F32, th_cpu(0));
  cr_assert(th_concat(TH_ARRAYS(a, a, b), 1) == NULL);
  cr_assert(failed_with(TH_ESHAPE, "concat: argument 2 has shape (3, 3), argument 0 has (2, 3)"));
  cr_assert(th_concat(TH_ARRAYS(s, s), 0) == NULL);
  cr_assert(failed_with(TH_ESHAPE, "concat"));
  cr_assert(th_concat(TH_ARRAYS(a), 2) == NULL);
  cr_assert(failed_with(TH_ESHAPE, "concat"));
  cr_assert(th_concat(NULL, 0, 0) == NULL);
  cr_assert(failed_with(TH_EINVAL, "concat: 0 arrays"));
  cr_assert(th_concat(TH_ARRAYS(a, NULL), 0) == NULL);
  cr_assert(failed_with(TH_EINVAL, "concat: argument 1 is NULL"));
  cr_assert(th_stack(TH_ARRAYS(a, b), 0) == NULL);
  cr_assert(failed_with(TH_ESHAPE, "stack: argument 1 has shape (3, 3)"));
  cr_assert(th_stack(TH_ARRAYS(a, a), 3) == NULL);
  cr_assert(failed_with(TH_ESHAPE, "stack"));
  th_array *all[] = {a, b, s};
  for (int j = 0; j < 3; j++) th_release(all[j]);
}

static th_array *join(th_array *const *inputs, int n, void *user) {
  const int *choice = user; /* stack, axis */
  return choice[0] ? th_stack(inputs, n, choice[1]) : th_concat(inputs, n, choice[1]);
}

Test(ops_joins, gradients_agree_with_differences) {
  for (int stack = 0; stack < 2; stack++)
    for (int axis = -2; axis < 2 + stack; axis++) {
      th_array *in[] = {noisy(TH_SHAPE(2, 2), TH_F64, 1), noisy(TH_SHAPE(2, 2), TH_F64, 2)};
      int choice[] = {stack, axis};
      double worst = 0;
      th_status status = th_grad_check(join, in, 2, choice, 1e-5, 1e-8, &worst);
      cr_assert(status == TH_OK, "stack %d, axis %d: %g, %s", stack, axis, worst, th_last_error());
      th_release(in[0]);
      th_release(in[1]);
    }
}
