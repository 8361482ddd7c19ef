/* where and clip. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <math.h>

#include "thrum/thrum.h"

/* A scope around each test releases what it makes. */
static th_scope around;
static void begin(void) { around = th_scope_begin(); }
static void end(void) {
  th_scope_end(around);
  (void)th_wait_all();
}

TestSuite(where, .timeout = 60, .init = begin, .fini = end);

static void expect(const th_array *a, const double *wanted, const char *what) {
  double got[64];
  cr_assert(ne(ptr, (void *)a, NULL), "%s: %s", what, th_last_error());
  int64_t n = th_array_size(a);
  cr_assert(eq(int, th_read(th_astype(a, TH_F64), got, (size_t)n * 8), TH_OK));
  for (int64_t i = 0; i < n; i++) {
    bool same = got[i] == wanted[i] || (isnan(got[i]) && isnan(wanted[i]));
    cr_assert(same, "%s: element %d is %g, not %g", what, (int)i, got[i], wanted[i]);
  }
}

Test(where, every_type) {
  const uint8_t flags[] = {1, 0, 0, 1};
  th_array *c = th_from_host(flags, TH_SHAPE(4), TH_BOOL, th_cpu(0));
  for (int t = TH_U8; t < TH_DTYPE_COUNT; t++) {
    th_array *a = th_arange(1, 5, 1, (th_dtype)t, th_cpu(0));
    th_array *b = th_full(TH_SCALAR, 9, (th_dtype)t, th_cpu(0));
    expect(th_where(c, a, b), (const double[]){1, 9, 9, 4}, th_dtype_name((th_dtype)t));
    expect(th_where(c, b, a), (const double[]){9, 2, 3, 9}, th_dtype_name((th_dtype)t));
  }
  expect(th_where(c, c, th_logical_not(c)), (const double[]){1, 1, 1, 1}, "bool");
}

Test(where, promotes_and_broadcasts_all_three) {
  const uint8_t flags[] = {1, 0};
  th_array *c = th_from_host(flags, TH_SHAPE(2, 1), TH_BOOL, th_cpu(0));
  th_array *a = th_arange(0, 3, 1, TH_I32, th_cpu(0));
  th_array *b = th_full(TH_SHAPE(2, 1), 0.5, TH_F32, th_cpu(0));
  th_array *w = th_where(c, a, b);
  cr_assert(eq(int, (int)th_array_dtype(w), (int)TH_F32));
  cr_assert(eq(int, th_array_ndim(w), 2));
  expect(w, (const double[]){0, 1, 2, 0.5, 0.5, 0.5}, "rows");
  cr_assert(eq(ptr, th_where(c, a, th_zeros(TH_SHAPE(4), TH_F32, th_cpu(0))), NULL));
  cr_assert(eq(int, th_last_status(), TH_ESHAPE));
  cr_assert(eq(ptr, th_where(NULL, a, b), NULL));
}

Test(where, clip_bounds_in_the_type) {
  const double x[] = {-5, -1, 0.5, 2, NAN, INFINITY, -INFINITY};
  th_array *a = th_from_host(x, TH_SHAPE(7), TH_F64, th_cpu(0));
  expect(th_clip(a, -1, 1.5), (const double[]){-1, -1, 0.5, 1.5, NAN, 1.5, -1}, "f64");
  expect(th_clip(a, 3, 1), (const double[]){1, 1, 1, 1, NAN, 1, 1}, "hi wins");
  th_array *i = th_arange(-4, 5, 1, TH_I8, th_cpu(0));
  expect(th_clip(i, -1000, 2.9), (const double[]){-4, -3, -2, -1, 0, 1, 2, 2, 2}, "i8");
  expect(th_clip(i, 0, INFINITY), (const double[]){0, 0, 0, 0, 0, 1, 2, 3, 4}, "no upper bound");
  cr_assert(eq(ptr, th_clip(th_zeros(TH_SHAPE(1), TH_BOOL, th_cpu(0)), 0, 1), NULL));
  cr_assert(eq(int, th_last_status(), TH_EDTYPE));
}

/* The bound 0.1 is that of the type in forward, so an element equal to it is inside. */
Test(where, gradients_compare_with_bounds_in_the_type) {
  static const th_dtype types[] = {TH_F32, TH_F16, TH_BF16, TH_F64};
  for (int t = 0; t < 4; t++) {
    th_array *a = th_full(TH_SHAPE(1), 0.1, types[t], th_cpu(0));
    th_array *b = th_full(TH_SHAPE(1), 0.3, types[t], th_cpu(0)), *all[6];
    for (int k = 0; k < 6; k++) {
      all[k] = th_copy(k < 3 ? a : b);
      cr_assert(eq(int, th_require_grad(all[k]), TH_OK));
      double s = k < 3 ? 0.1 : 0.3;
      th_array *y = k % 3 == 0   ? th_clip(all[k], -s, s)
                    : k % 3 == 1 ? th_maximum_scalar(all[k], s)
                                 : th_minimum_scalar(all[k], s);
      cr_assert(eq(int, th_backward(th_sum(y, NULL, 0, false), 0), TH_OK));
      expect(th_grad(all[k]), (const double[]){1}, th_dtype_name(types[t]));
    }
  }
}

Test(where, clip_gradient_stops_outside) {
  const double x[] = {-2, -1, 0, 1, 2};
  th_array *a = th_from_host(x, TH_SHAPE(5), TH_F64, th_cpu(0));
  cr_assert(eq(int, th_require_grad(a), TH_OK));
  cr_assert(eq(int, th_backward(th_sum(th_clip(a, -1, 1), NULL, 0, false), 0), TH_OK));
  expect(th_grad(a), (const double[]){0, 1, 1, 1, 0}, "bounds included");
}
