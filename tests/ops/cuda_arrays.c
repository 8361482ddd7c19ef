/* The kernels of thrum/ops_arrays.h where the cases of single operators do not reach: lines of many tiles and chunks, gradients.
 * Part of the programs of test_cuda_kernels.c and tests/gpu/test_kernels.c. */
#include "ops/kernel_suite.h"

TestSuite(cuda_arrays, .timeout = 240, .init = start, .fini = stop_engine);

/* Both are released. */
static void expect(th_array *got, th_array *wanted, double allowed, const char *what) {
  double *values = values_of(wanted);
  double worst = worst_of(got, values, th_array_size(wanted));
  cr_assert(worst <= allowed, "%s: off by %g", what, worst);
  free(values);
  th_release(got);
  th_release(wanted);
}

Test(cuda_arrays, sorting_of_long_lines) {
  static const int64_t shapes[][2] = {{3, 1024}, {2, 1025}, {2, 5000}, {700, 3}};
  static const th_dtype types[] = {TH_F32, TH_F64, TH_I16, TH_BF16};
  for (size_t s = 0; s < 4; s++)
    for (size_t t = 0; t < 4; t++)
      for (int axis = 0; axis < 2; axis++) {
        th_array *a = noisy(shapes[s], 2, types[t], 50), *far = th_copy_to(a, kernel_device());
        th_array *values, *places, *far_values, *far_places;
        kernel_device_backwards(axis);
        expect(th_argsort(far, axis, axis), th_argsort(a, axis, axis), 0, "argsort");
        expect(th_sort(far, axis, !axis), th_sort(a, axis, !axis), 0, "sort");
        cr_assert(eq(int, th_topk(a, 2, axis, true, &values, &places), TH_OK));
        cr_assert(eq(int, th_topk(far, 2, axis, true, &far_values, &far_places), TH_OK));
        expect(far_values, values, 0, "topk");
        expect(far_places, places, 0, "topk's indices");
        th_release(a);
        th_release(far);
      }
}

Test(cuda_arrays, scans_of_every_way) {
  static const int64_t shapes[][3] = {{2, 9000, 1}, {1, 600000, 1}, {3, 30, 40}, {2100, 5, 1},
                                      {1, 9, 2500}, {2, 3, 4},      {1, 2049, 2}};
  static const th_dtype types[] = {TH_F32, TH_F64, TH_U8, TH_F16};
  for (size_t s = 0; s < 7; s++)
    for (size_t t = 0; t < 4; t++)
      for (int initial = 0; initial < 2; initial++) {
        double allowed = types[t] == TH_F64 ? 1e-10 : types[t] == TH_F16 ? 2e-3 : 1e-6;
        th_array *a = noisy(shapes[s], 3, types[t], 0.5), *far = th_copy_to(a, kernel_device());
        expect(th_cumulative_sum(far, 1, initial), th_cumulative_sum(a, 1, initial), allowed,
               "sum");
        expect(th_cumulative_prod(far, 1, initial), th_cumulative_prod(a, 1, initial), allowed,
               "product");
        th_release(a);
        th_release(far);
      }
}

/* Partial results of several chunks are folded once more. */
Test(cuda_arrays, mapped_reductions_in_chunks) {
  th_array *a = noisy(TH_SHAPE(2, 200000), TH_F32, 1), *far = th_copy_to(a, kernel_device());
  static const double orders[] = {2, 1, 0, 3, INFINITY, -INFINITY};
  for (int axis = -1; axis < 2; axis++) {
    const int *axes = axis < 0 ? NULL : &axis;
    int n = axis >= 0;
    expect(th_count_nonzero(far, axes, n, false), th_count_nonzero(a, axes, n, false), 0, "count");
    expect(th_variance(far, axes, n, 1, false), th_variance(a, axes, n, 1, false), 1e-5, "var");
    expect(th_std(far, axes, n, 0, true), th_std(a, axes, n, 0, true), 1e-5, "std");
    expect(th_logsumexp(far, axes, n, false), th_logsumexp(a, axes, n, false), 1e-5, "logsumexp");
    for (int o = 0; o < 6; o++)
      expect(th_vector_norm(far, axes, n, orders[o], false),
             th_vector_norm(a, axes, n, orders[o], false), 1e-4, "vector_norm");
  }
  th_release(a);
  th_release(far);
}

/* By gradients: along_slope and undiagonal. */
static th_array *gradient_on(th_device d, const th_array *values, bool along) {
  th_array *x = th_copy_to(values, d), *there = NULL;
  cr_assert(eq(int, th_require_grad(x), TH_OK));
  th_array *part = along ? th_sort(x, 0, false) : th_diagonal(x, -2);
  if (along) cr_assert(eq(int, th_topk(part, 3, 1, true, &there, NULL), TH_OK));
  th_array *square = th_square(along ? there : part), *loss = th_sum(square, NULL, 0, false);
  cr_assert(th_backward(loss, 0) == TH_OK, "%s", th_last_error());
  th_array *g = th_copy(th_grad(x));
  th_array *all[] = {x, there, part, square, loss};
  for (int i = 0; i < 5; i++) th_release(all[i]);
  return g;
}

Test(cuda_arrays, gradients) {
  static const th_dtype types[] = {TH_F32, TH_F64, TH_F16};
  for (int t = 0; t < 3; t++)
    for (int along = 0; along < 2; along++) {
      th_array *x = noisy(TH_SHAPE(9, 7), types[t], 1);
      expect(gradient_on(kernel_device(), x, along), gradient_on(th_cpu(0), x, along), 0,
             along ? "along" : "diagonal");
      th_release(x);
    }
}

/* Results that are made of boxes: more of them than one. */
Test(cuda_arrays, boxes) {
  th_array *a = noisy(TH_SHAPE(5, 6, 7), TH_I16, 100), *far = th_copy_to(a, kernel_device());
  const int64_t shifts[] = {2, -1, 3}, before[] = {1, 0, 2}, after[] = {0, 3, 1};
  const int axes[] = {0, 1, 2};
  expect(th_roll(far, shifts, axes, 3), th_roll(a, shifts, axes, 3), 0, "roll");
  expect(th_pad(far, before, after, 7), th_pad(a, before, after, 7), 0, "pad");
  expect(th_tile(far, shifts, 1), th_tile(a, shifts, 1), 0, "tile");
  expect(th_repeat(far, 3, 1), th_repeat(a, 3, 1), 0, "repeat");
  th_release(a);
  th_release(far);
}
