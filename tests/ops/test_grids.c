/* Makers that are composed of other operators. */
#include "ops/values.h"
#include "thrum/autograd.h"

TestSuite(grids, .timeout = 60, .fini = stop_engine);

static void expect(th_array *a, int ndim, const int64_t *shape, const double *values, int64_t n) {
  cr_assert(a != NULL, "%s", th_last_error());
  cr_assert(eq(int, th_array_ndim(a), ndim));
  for (int d = 0; d < ndim; d++) cr_assert(eq(i64, th_array_shape(a)[d], shape[d]));
  cr_assert(worst_of(a, values, n) == 0);
  th_release(a);
}

Test(grids, full_like_takes_type_and_shape) {
  th_array *a = th_zeros(TH_SHAPE(2, 3), TH_I16, th_cpu(0)), *b = th_full_like(a, -7);
  cr_assert(eq(int, (int)th_array_dtype(b), TH_I16));
  expect(b, 2, (int64_t[]){2, 3}, (double[]){-7, -7, -7, -7, -7, -7}, 6);
  th_release(a);
  cr_assert(eq(ptr, th_full_like(NULL, 1), NULL));
}

Test(grids, asarray_copies_only_if_it_must) {
  th_array *a = th_arange(0, 3, 1, TH_F32, th_cpu(0));
  th_array *same = th_asarray(a, TH_F32, th_cpu(0)), *other = th_asarray(a, TH_U8, th_cpu(0));
  th_array *shape = th_asarray(a, TH_F16, th_meta());
  cr_assert(eq(ptr, same, a));
  cr_assert(th_array_dtype(other) == TH_U8 && !th_array_shares(other, a));
  cr_assert(th_device_equal(th_array_device(shape), th_meta()) && th_array_dtype(shape) == TH_F16);
  expect(other, 1, (int64_t[]){3}, (double[]){0, 1, 2}, 3);
  th_release(same);
  th_release(shape);
  th_release(a);
  cr_assert(eq(ptr, th_asarray(NULL, TH_F32, th_cpu(0)), NULL));
}

Test(grids, triangles) {
  th_array *a = th_arange(1, 13, 1, TH_F32, th_cpu(0)), *m = th_reshape(a, TH_SHAPE(3, 4));
  const int64_t shape[] = {3, 4};
  expect(th_tril(m, 0), 2, shape, (double[]){1, 0, 0, 0, 5, 6, 0, 0, 9, 10, 11, 0}, 12);
  expect(th_tril(m, 1), 2, shape, (double[]){1, 2, 0, 0, 5, 6, 7, 0, 9, 10, 11, 12}, 12);
  expect(th_tril(m, -3), 2, shape, (double[12]){0}, 12);
  expect(th_triu(m, 0), 2, shape, (double[]){1, 2, 3, 4, 0, 6, 7, 8, 0, 0, 11, 12}, 12);
  expect(th_triu(m, -1), 2, shape, (double[]){1, 2, 3, 4, 5, 6, 7, 8, 0, 10, 11, 12}, 12);
  th_array *t = th_matrix_transpose(m);
  expect(th_triu(t, 2), 2, (int64_t[]){4, 3}, (double[]){0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 12);
  cr_assert(eq(ptr, th_tril(a, 0), NULL));
  cr_assert(failed_with(TH_ESHAPE, "tril"));
  th_array *nan = th_full(TH_SHAPE(2, 2), NAN, TH_F64, th_cpu(0)); /* nothing is multiplied by 0 */
  expect(th_tril(nan, -1), 2, (int64_t[]){2, 2}, (double[]){0, 0, NAN, 0}, 4);
  th_array *none = th_zeros(TH_SHAPE(2, 0, 3), TH_BOOL, th_cpu(0));
  expect(th_triu(none, 0), 3, (int64_t[]){2, 0, 3}, NULL, 0);
  th_array *const made[] = {a, m, t, nan, none};
  for (int i = 0; i < 5; i++) th_release(made[i]);
}

Test(grids, diagonals_far_outside_are_all_or_nothing) {
  const double nothing[6] = {0}, all[] = {1, 1, 1, 1, 1, 1};
  th_array *a = th_ones(TH_SHAPE(2, 3), TH_F32, th_cpu(0));
  static const int64_t far[] = {INT64_MAX, INT64_C(1) << 62, INT64_C(1) << 40, 3};
  for (int i = 0; i < 4; i++) {
    expect(th_tril(a, far[i]), 2, (int64_t[]){2, 3}, (double *)all, 6);
    expect(th_triu(a, far[i]), 2, (int64_t[]){2, 3}, (double *)nothing, 6);
    expect(th_tril(a, -far[i]), 2, (int64_t[]){2, 3}, (double *)nothing, 6);
    expect(th_triu(a, -far[i]), 2, (int64_t[]){2, 3}, (double *)all, 6);
  }
  expect(th_tril(a, INT64_MIN), 2, (int64_t[]){2, 3}, (double *)nothing, 6);
  expect(th_triu(a, INT64_MIN), 2, (int64_t[]){2, 3}, (double *)all, 6);
  th_release(a);
}

Test(grids, triangles_have_gradients) {
  th_array *a = th_ones(TH_SHAPE(2, 2), TH_F64, th_cpu(0));
  (void)th_require_grad(a);
  th_array *low = th_tril(a, 0), *sum = th_sum(low, NULL, 0, false);
  cr_assert(eq(int, th_backward(sum, 0), TH_OK), "%s", th_last_error());
  cr_assert(worst_of(th_grad(a), (double[]){1, 0, 1, 1}, 4) == 0);
  th_array *const made[] = {sum, low, a};
  for (int i = 0; i < 3; i++) th_release(made[i]);
}

Test(grids, broadcast_arrays) {
  th_array *a = th_arange(0, 3, 1, TH_I32, th_cpu(0)), *out[3];
  th_array *b = th_ones(TH_SHAPE(2, 1), TH_F32, th_cpu(0)),
           *c = th_ones(TH_SCALAR, TH_U8, th_cpu(0));
  th_array *const in[] = {a, b, c};
  cr_assert(eq(int, th_broadcast_arrays(in, 3, out), TH_OK));
  cr_assert(th_array_shares(out[0], a) && th_array_dtype(out[2]) == TH_U8);
  expect(out[0], 2, (int64_t[]){2, 3}, (double[]){0, 1, 2, 0, 1, 2}, 6);
  expect(out[1], 2, (int64_t[]){2, 3}, (double[]){1, 1, 1, 1, 1, 1}, 6);
  expect(out[2], 2, (int64_t[]){2, 3}, (double[]){1, 1, 1, 1, 1, 1}, 6);
  th_array *wrong = th_ones(TH_SHAPE(4), TH_F32, th_cpu(0));
  cr_assert(eq(int, th_broadcast_arrays((th_array *const[]){a, wrong}, 2, out), TH_ESHAPE));
  cr_assert(out[0] == NULL && out[1] == NULL);
  cr_assert(eq(int, th_broadcast_arrays((th_array *const[]){a, NULL}, 2, out), TH_EINVAL));
  th_clear_error();
  cr_assert(eq(int, th_broadcast_arrays(in, 0, out), TH_EINVAL));
  th_array *const made[] = {a, b, c, wrong};
  for (int i = 0; i < 4; i++) th_release(made[i]);
}

Test(grids, meshgrid) {
  th_array *x = th_arange(0, 3, 1, TH_F32, th_cpu(0)), *y = th_arange(10, 12, 1, TH_I8, th_cpu(0));
  th_array *const in[] = {x, y};
  th_array *out[2];
  cr_assert(eq(int, th_meshgrid(in, 2, true, out), TH_OK));
  expect(out[0], 2, (int64_t[]){2, 3}, (double[]){0, 1, 2, 0, 1, 2}, 6);
  expect(out[1], 2, (int64_t[]){2, 3}, (double[]){10, 10, 10, 11, 11, 11}, 6);
  cr_assert(eq(int, th_meshgrid(in, 2, false, out), TH_OK));
  expect(out[0], 2, (int64_t[]){3, 2}, (double[]){0, 0, 1, 1, 2, 2}, 6);
  expect(out[1], 2, (int64_t[]){3, 2}, (double[]){10, 11, 10, 11, 10, 11}, 6);
  cr_assert(eq(int, th_meshgrid(in, 1, true, out), TH_OK));
  expect(out[0], 1, (int64_t[]){3}, (double[]){0, 1, 2}, 3);
  th_array *square = th_ones(TH_SHAPE(2, 2), TH_F32, th_cpu(0));
  cr_assert(eq(int, th_meshgrid((th_array *const[]){x, square}, 2, true, out), TH_ESHAPE));
  cr_assert(failed_with(TH_ESHAPE, "meshgrid"));
  th_array *const nine[] = {x, x, x, x, x, x, x, x, x};
  th_array *results[9];
  cr_assert(eq(int, th_meshgrid(nine, 9, false, results), TH_ESHAPE));
  th_array *const made[] = {x, y, square};
  for (int i = 0; i < 3; i++) th_release(made[i]);
}
