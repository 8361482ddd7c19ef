/* What creation operators make, what they refuse. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "thrum/thrum.h"

/* A scope around each test releases what it makes. */
static th_scope around;
static void begin(void) { around = th_scope_begin(); }
static void end(void) {
  th_scope_end(around);
  (void)th_wait_all();
}

TestSuite(create, .timeout = 60, .init = begin, .fini = end);

static void expect(th_array *a, const double *wanted, int n, const char *what) {
  double got[32];
  cr_assert(ne(ptr, a, NULL), "%s: %s", what, th_last_error());
  th_array *wide = th_astype(a, TH_F64);
  cr_assert(eq(i64, th_array_size(a), n), "%s", what);
  cr_assert(eq(int, th_read(wide, got, (size_t)n * 8), TH_OK), "%s: %s", what, th_last_error());
  for (int i = 0; i < n; i++)
    cr_assert(got[i] == wanted[i], "%s: element %d is %.17g", what, i, got[i]);
  th_release(wide);
  th_release(a);
}

#define DOUBLES(...)                                                                               \
  (const double[]){__VA_ARGS__}, (int)(sizeof((const double[]){__VA_ARGS__}) / sizeof(double))

Test(create, every_type) {
  for (int t = 0; t < TH_DTYPE_COUNT; t++) {
    const char *name = th_dtype_name((th_dtype)t);
    double five = t == TH_BOOL ? 1 : 5;
    expect(th_zeros(TH_SHAPE(2, 2), (th_dtype)t, th_cpu(0)), DOUBLES(0, 0, 0, 0), name);
    expect(th_ones(TH_SHAPE(3), (th_dtype)t, th_cpu(0)), DOUBLES(1, 1, 1), name);
    expect(th_full(TH_SCALAR, 5, (th_dtype)t, th_cpu(0)), DOUBLES(five), name);
    th_array *like = th_full(TH_SHAPE(2, 1), 5, (th_dtype)t, th_cpu(0));
    expect(th_ones_like(like), DOUBLES(1, 1), name);
    expect(th_zeros_like(like), DOUBLES(0, 0), name);
    th_array *empty = th_empty_like(like);
    cr_assert(eq(int, (int)th_array_dtype(empty), t));
    cr_assert(eq(i64, th_array_shape(empty)[0], 2));
    cr_assert(eq(int, th_wait(empty), TH_OK));
    th_release(like);
    th_release(empty);
  }
}

Test(create, ranges) {
  expect(th_arange(0, 5, 2, TH_I32, th_cpu(0)), DOUBLES(0, 2, 4), "0, 5, 2");
  expect(th_arange(5, 0, -2, TH_F32, th_cpu(0)), DOUBLES(5, 3, 1), "5, 0, -2");
  expect(th_arange(0, 1, 0.25, TH_F64, th_cpu(0)), DOUBLES(0, 0.25, 0.5, 0.75), "quarters");
  expect(th_arange(-2, 2, 1, TH_U8, th_cpu(0)), DOUBLES(0, 0, 0, 1), "cast saturates");
  cr_assert(eq(i64, th_array_size(th_arange(3, 3, 1, TH_F32, th_cpu(0))), 0));
  cr_assert(eq(i64, th_array_size(th_arange(3, 0, 1, TH_F32, th_cpu(0))), 0));
  expect(th_linspace(0, 1, 5, TH_F64, th_cpu(0)), DOUBLES(0, 0.25, 0.5, 0.75, 1), "linspace");
  expect(th_linspace(2, 9, 1, TH_F64, th_cpu(0)), DOUBLES(2), "one point");
  cr_assert(eq(i64, th_array_size(th_linspace(0, 1, 0, TH_F64, th_cpu(0))), 0));
  th_array *third = th_linspace(0, 0.1, 4, TH_F64, th_cpu(0));
  cr_assert(th_item(th_slice(third, "-1")) == 0.1, "the end is exact");
  th_array *large = th_arange(0, 100003, 1, TH_I64, th_cpu(0));
  int64_t *got = malloc(100003 * sizeof *got);
  cr_assert(eq(int, th_read(large, got, 100003 * sizeof *got), TH_OK));
  for (int i = 0; i < 100003; i++) cr_assert(eq(i64, got[i], i));
  free(got);
}

Test(create, eye) {
  expect(th_eye(2, 3, 0, TH_F32, th_cpu(0)), DOUBLES(1, 0, 0, 0, 1, 0), "main");
  expect(th_eye(2, 3, 1, TH_I8, th_cpu(0)), DOUBLES(0, 1, 0, 0, 0, 1), "upper");
  expect(th_eye(3, 2, -2, TH_BOOL, th_cpu(0)), DOUBLES(0, 0, 0, 0, 1, 0), "lower");
  expect(th_eye(2, 2, 5, TH_F64, th_cpu(0)), DOUBLES(0, 0, 0, 0), "outside");
}

Test(create, large_fill) {
  th_array *a = th_full(TH_SHAPE(300, 333), -7.25, TH_F64, th_cpu(0));
  double *got = malloc(sizeof(double) * 300 * 333);
  cr_assert(eq(int, th_read(a, got, sizeof(double) * 300 * 333), TH_OK));
  for (int i = 0; i < 300 * 333; i++) cr_assert(got[i] == -7.25, "element %d", i);
  free(got);
}

static void expect_refused(th_array *a, th_status status, const char *word) {
  cr_assert(eq(ptr, a, NULL), "%s", word);
  cr_assert(eq(int, th_last_status(), status), "%s: %s", word, th_last_error());
  cr_assert(strstr(th_last_error(), word) != NULL, "%s: %s", word, th_last_error());
  th_clear_error();
}

Test(create, refusals) {
  th_device d = th_cpu(0);
  const int64_t nine[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
  expect_refused(th_zeros(TH_SHAPE(2, -1), TH_F32, d), TH_ESHAPE, "zeros");
  expect_refused(th_ones(nine, 9, TH_F32, d), TH_ESHAPE, "ones");
  expect_refused(th_full(TH_SHAPE(2), 1, (th_dtype)99, d), TH_EDTYPE, "full");
  expect_refused(th_empty(TH_SHAPE(INT64_C(1) << 40, INT64_C(1) << 40), TH_F32, d), TH_EOVERFLOW,
                 "empty");
  expect_refused(th_arange(0, 1, 0, TH_F32, d), TH_EINVAL, "arange");
  expect_refused(th_arange(0, NAN, 1, TH_F32, d), TH_EINVAL, "arange");
  expect_refused(th_arange(0, 1e300, 1, TH_F32, d), TH_EOVERFLOW, "arange");
  expect_refused(th_linspace(0, 1, -3, TH_F32, d), TH_ESHAPE, "linspace");
  expect_refused(th_eye(-1, 2, 0, TH_F32, d), TH_ESHAPE, "eye");
  expect_refused(th_zeros(TH_SHAPE(INT64_C(1) << 50), TH_U8, d), TH_ENOMEM, "");
  expect_refused(th_zeros_like(NULL), TH_EINVAL, "zeros_like");
}
