/* Copies, casts among all types, assignment, filling, and moving between devices. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/lagdevice.h"
#include "thrum/thrum.h"

/* A scope around each test releases what it makes. */
static th_scope around;
static void begin(void) { around = th_scope_begin(); }
static void end(void) {
  th_scope_end(around);
  (void)th_wait_all();
}

TestSuite(copy, .timeout = 60, .init = begin, .fini = end);

static void expect(const th_array *a, const double *wanted, const char *what) {
  double got[64];
  cr_assert(ne(ptr, (void *)a, NULL), "%s: %s", what, th_last_error());
  th_array *near = th_copy_to(a, th_cpu(0)), *wide = th_astype(near, TH_F64);
  int64_t n = th_array_size(a);
  cr_assert(eq(int, th_read(wide, got, (size_t)n * 8), TH_OK), "%s: %s", what, th_last_error());
  for (int64_t i = 0; i < n; i++) {
    bool same = got[i] == wanted[i] || (isnan(got[i]) && isnan(wanted[i]));
    cr_assert(same, "%s: element %d is %.17g, not %.17g", what, (int)i, got[i], wanted[i]);
  }
  th_release(near);
  th_release(wide);
}

/* The cast rule, written down once more: truncate and saturate from floats, wrap from integers, != 0 to bool. */
static double cast(double x, bool from_float, th_dtype t) {
  static const double low[] = {0, 0, 0, 0, 0, -128, -32768, -2147483648.0, -0x1p63};
  static const double high[] = {1,   255,   65535,      4294967295.0, 0x1p64,
                                127, 32767, 2147483647, 0x1p63};
  if (t == TH_BOOL) return x != 0;
  if (t >= TH_F16) return x;
  if (from_float) {
    if (isnan(x)) return 0;
    x = trunc(x);
    return x < low[t] ? low[t] : x > high[t] ? high[t] : x;
  }
  int bits = 8 << ((t - TH_U8) % 4);
  if (bits == 64) return x < 0 && t == TH_U64 ? x + 0x1p64 : x;
  double modulus = ldexp(1, bits);
  x = x - modulus * floor(x / modulus);
  return t >= TH_I8 && x >= modulus / 2 ? x - modulus : x;
}

/* Values that every float type and, where in range, every integer type holds exactly. */
Test(copy, astype_among_all_types) {
  const double values[] = {0, 1, -1, 2.5, -2.5, 100, -100, 240, -200, 448, 1024, -4096, 40960};
  enum { N = sizeof values / sizeof *values };
  th_array *exact = th_from_host(values, TH_SHAPE(N), TH_F64, th_cpu(0));
  for (int from = 0; from < TH_DTYPE_COUNT; from++) {
    th_array *a = th_astype(exact, (th_dtype)from);
    double held[N], wanted[N];
    cr_assert(eq(int, th_read(th_astype(a, TH_F64), held, sizeof held), TH_OK));
    for (int to = 0; to < TH_DTYPE_COUNT; to++) {
      char what[32];
      snprintf(what, sizeof what, "%s to %s", th_dtype_name((th_dtype)from),
               th_dtype_name((th_dtype)to));
      for (int i = 0; i < N; i++) {
        wanted[i] = cast(held[i], from >= TH_F16, (th_dtype)to);
        if (to == TH_U64 || to == TH_I64) wanted[i] = (double)wanted[i];
      }
      th_array *b = th_astype(a, (th_dtype)to);
      cr_assert(eq(int, (int)th_array_dtype(b), to));
      /* bf16 keeps 8 bits, f16 ends at 65504. */
      if (to == TH_BF16 || to == TH_F16) continue;
      expect(b, wanted, what);
      th_release(b);
    }
    th_release(a);
  }
}

Test(copy, astype_extremes) {
  const double x[] = {NAN, INFINITY, -INFINITY, 1e300, -1e300, -0.9};
  th_array *a = th_from_host(x, TH_SHAPE(6), TH_F64, th_cpu(0));
  expect(th_astype(a, TH_I8), (const double[]){0, 127, -128, 127, -128, 0}, "to i8");
  expect(th_astype(a, TH_U16), (const double[]){0, 65535, 0, 65535, 0, 0}, "to u16");
  expect(th_astype(a, TH_BOOL), (const double[]){1, 1, 1, 1, 1, 1}, "to bool");
  expect(th_astype(a, TH_F16),
         (const double[]){NAN, INFINITY, -INFINITY, INFINITY, -INFINITY, -0.89990234375}, "to f16");
  int64_t got[6];
  cr_assert(eq(int, th_read(th_astype(a, TH_I64), got, sizeof got), TH_OK));
  cr_assert(got[0] == 0 && got[1] == INT64_MAX && got[2] == INT64_MIN && got[3] == INT64_MAX);
  cr_assert(eq(ptr, th_astype(a, (th_dtype)13), NULL));
  cr_assert(eq(int, th_last_status(), TH_EDTYPE));
}

Test(copy, copies_are_contiguous_and_apart) {
  th_array *a = th_reshape(th_arange(0, 12, 1, TH_F32, th_cpu(0)), TH_SHAPE(3, 4));
  th_array *b = th_copy(th_slice(th_matrix_transpose(a), "::-1, 1:"));
  cr_assert(th_array_is_contiguous(b));
  cr_assert(not(th_array_shares(a, b)));
  cr_assert(eq(int, th_fill(a, 0), TH_OK));
  expect(b, (const double[]){7, 11, 6, 10, 5, 9, 4, 8}, "copied before the fill");
}

Test(copy, long_copies) {
  enum { ROWS = 257, COLUMNS = 511 };
  th_array *a =
      th_reshape(th_arange(0, ROWS * COLUMNS, 1, TH_I32, th_cpu(0)), TH_SHAPE(ROWS, COLUMNS));
  th_array *b = th_astype(th_matrix_transpose(a), TH_F64);
  double *got = malloc(sizeof(double) * ROWS * COLUMNS);
  cr_assert(eq(int, th_read(b, got, sizeof(double) * ROWS * COLUMNS), TH_OK));
  for (int i = 0; i < ROWS; i++)
    for (int j = 0; j < COLUMNS; j++) cr_assert(got[j * ROWS + i] == i * COLUMNS + j);
  free(got);
}

Test(copy, assign_broadcasts_and_casts) {
  th_array *a = th_zeros(TH_SHAPE(2, 3), TH_I16, th_cpu(0));
  const double x[] = {1.9, -2.9, 1e9};
  cr_assert(eq(int, th_assign(a, th_from_host(x, TH_SHAPE(3), TH_F64, th_cpu(0))), TH_OK));
  expect(a, (const double[]){1, -2, 32767, 1, -2, 32767}, "a row for each row");
  cr_assert(
      eq(int, th_assign(th_slice(a, ":, ::2"), th_full(TH_SCALAR, 5, TH_U8, th_cpu(0))), TH_OK));
  expect(a, (const double[]){5, -2, 5, 5, -2, 5}, "every other column");
  cr_assert(eq(int, th_fill(th_slice(a, "1, ::-1"), 8), TH_OK));
  expect(a, (const double[]){5, -2, 5, 8, 8, 8}, "a row backwards");
  cr_assert(
      eq(int, th_assign(th_slice(a, "1:1"), th_zeros(TH_SHAPE(1, 3), TH_F32, th_cpu(0))), TH_OK));
  th_clear_error();
  cr_assert(eq(int, th_assign(a, th_zeros(TH_SHAPE(3, 3), TH_I16, th_cpu(0))), TH_ESHAPE));
  cr_assert(eq(int, th_assign(th_broadcast_to(a, TH_SHAPE(4, 2, 3)), a), TH_EINVAL));
  cr_assert(strstr(th_last_error(), "broadcast view") != NULL, "%s", th_last_error());
}

Test(copy, between_cpus) {
  cr_assert(eq(int, th_cpu_split(2, 1), TH_OK));
  th_array *a = th_arange(0, 6, 1, TH_F32, th_cpu(0));
  th_array *b = th_copy_to(th_slice(a, "::-2"), th_cpu(1));
  cr_assert(th_device_equal(th_array_device(b), th_cpu(1)));
  expect(b, (const double[]){5, 3, 1}, "cpu:0 to cpu:1");
  cr_assert(eq(int, th_add_inplace(b, b), TH_OK));
  cr_assert(eq(int, th_assign(th_slice(a, "1::2"), b), TH_OK));
  expect(a, (const double[]){0, 10, 2, 6, 4, 2}, "back into a view");
  th_clear_error();
  cr_assert(eq(ptr, th_add(a, th_copy_to(a, th_cpu(1))), NULL));
  cr_assert(
      eq(str, (char *)th_last_error(), "add: argument 1 is on cpu:1 but argument 0 is on cpu:0"));
  cr_assert(eq(int, th_wait_all(), TH_OK));
}

Test(copy, to_lanes_and_back) {
  lag_install(11);
  for (int round = 0; round < 20; round++) {
    th_array *a = th_arange(0, 6, 1, TH_F32, th_cpu(0));
    th_array *b = th_copy_to(a, lag_device(0));
    cr_assert(eq(int, th_fill(a, -1), TH_OK)); /* ordered behind the copy */
    th_array *c = th_multiply(b, b), *d = th_copy_to(c, lag_device(1));
    cr_assert(eq(int, th_add_scalar_inplace(d, 0.5), TH_OK));
    th_array *e = th_copy_to(d, th_cpu(0));
    cr_assert(eq(int, th_assign(th_slice(b, "1:3"), e = th_slice(e, "4:")), TH_OK));
    expect(e, (const double[]){16.5, 25.5}, "squares and a half");
    expect(b, (const double[]){0, 16.5, 25.5, 3, 4, 5}, "assigned from the CPU");
    th_array *all[] = {a, b, c, d, e};
    for (int i = 0; i < 5; i++) th_release(all[i]);
  }
  cr_assert(eq(int, th_wait_all(), TH_OK));
}

Test(copy, meta) {
  th_array *a = th_ones(TH_SHAPE(2, 3), TH_I8, th_cpu(0));
  th_array *m = th_copy_to(th_matrix_transpose(a), th_meta());
  cr_assert(eq(i64, th_array_shape(m)[0], 3));
  cr_assert(eq(int, (int)th_array_dtype(m), (int)TH_I8));
  cr_assert(eq(int, th_assign(m, th_matrix_transpose(a)), TH_OK));
  cr_assert(eq(ptr, th_copy_to(m, th_cpu(0)), NULL));
  cr_assert(eq(int, th_last_status(), TH_ENODATA));
  cr_assert(eq(int, th_assign(a, th_zeros(TH_SHAPE(3), TH_I8, th_meta())), TH_ENODATA));
  cr_assert(eq(ptr, th_copy_to(a, th_cuda(0)), NULL));
  cr_assert(eq(int, th_last_status(), TH_EDEVICE), "%s", th_last_error());
}

/* Gradients pass through copies, casts, devices and assignments. */
Test(copy, gradients) {
  lag_install(5);
  th_array *a = th_full(TH_SHAPE(3), 2, TH_F32, th_cpu(0));
  cr_assert(eq(int, th_require_grad(a), TH_OK));
  th_array *there = th_copy_to(th_astype(a, TH_F64), lag_device(2));
  th_array *squares = th_multiply(there, there);
  th_array *target = th_zeros(TH_SHAPE(2, 3), TH_F32, th_cpu(0));
  cr_assert(eq(int, th_assign(target, th_copy_to(squares, th_cpu(0))), TH_OK), "%s",
            th_last_error());
  cr_assert(eq(int, th_backward(th_sum(target, NULL, 0, false), 0), TH_OK), "%s", th_last_error());
  cr_assert(eq(int, (int)th_array_dtype(th_grad(a)), (int)TH_F32));
  expect(th_grad(a), (const double[]){8, 8, 8}, "two rows of 2 x");
}
