/* The forms of operators of two operands (with a scalar, in place, both) agree, and what the newer ones give at their edges. */
#include "ops/values.h"
#include "thrum/autograd.h"

TestSuite(forms, .timeout = 60, .fini = stop_engine);

typedef struct row {
  const char *name;
  th_array *(*plain)(const th_array *, const th_array *);
  th_array *(*scalar)(const th_array *, double);
  th_status (*inplace)(th_array *, const th_array *);
  th_status (*scalar_inplace)(th_array *, double);
  bool floats, integers;
} row;

#define ROW(id, floats, integers)                                                                  \
  { #id, th_##id, th_##id##_scalar, th_##id##_inplace, th_##id##_scalar_inplace, floats, integers }
static const row rows[] = {ROW(add, 1, 1),
                           ROW(subtract, 1, 1),
                           ROW(multiply, 1, 1),
                           ROW(divide, 1, 0),
                           ROW(floor_divide, 1, 1),
                           ROW(remainder, 1, 1),
                           ROW(pow, 1, 1),
                           ROW(maximum, 1, 1),
                           ROW(minimum, 1, 1),
                           ROW(atan2, 1, 0),
                           ROW(copysign, 1, 0),
                           ROW(hypot, 1, 0),
                           ROW(logaddexp, 1, 0),
                           ROW(bitwise_and, 0, 1),
                           ROW(bitwise_or, 0, 1),
                           ROW(bitwise_xor, 0, 1),
                           ROW(bitwise_left_shift, 0, 1),
                           ROW(bitwise_right_shift, 0, 1)};

static void expect_same(const th_array *got, const th_array *wanted, const row *r, th_dtype t) {
  double *values = values_of(wanted);
  cr_assert(th_array_dtype(got) == t, "%s of %s", r->name, th_dtype_name(t));
  cr_assert(worst_of(got, values, th_array_size(wanted)) == 0, "%s of %s", r->name,
            th_dtype_name(t));
  free(values);
}

static void check_row(const row *r, th_dtype t) {
  th_array *noise = noisy(TH_SHAPE(3, 5), t, 4), *a = th_abs(noise);
  th_array *three = th_full(NULL, 0, 3, t, th_cpu(0)), *wanted = r->plain(a, three);
  th_array *with_scalar = r->scalar(a, 3), *first = th_copy(a), *second = th_copy(a);
  cr_assert(eq(int, r->inplace(first, three), TH_OK), "%s: %s", r->name, th_last_error());
  cr_assert(eq(int, r->scalar_inplace(second, 3), TH_OK), "%s: %s", r->name, th_last_error());
  expect_same(with_scalar, wanted, r, t);
  expect_same(first, wanted, r, t);
  expect_same(second, wanted, r, t);
  th_array *const made[] = {noise, a, three, wanted, with_scalar, first, second};
  for (int i = 0; i < 7; i++) th_release(made[i]);
}

Test(forms, agree) {
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    for (int t = TH_U8; t < TH_DTYPE_COUNT; t++) {
      bool floating = th_isdtype((th_dtype)t, "real floating");
      if (floating ? rows[i].floats : rows[i].integers) check_row(&rows[i], (th_dtype)t);
    }
}

Test(forms, refuse_other_types) {
  th_array *f = th_ones(TH_SHAPE(2), TH_F32, th_cpu(0)),
           *i = th_ones(TH_SHAPE(2), TH_I32, th_cpu(0));
  cr_assert(eq(ptr, th_bitwise_left_shift(f, i), NULL));
  cr_assert(failed_with(TH_EDTYPE, "bitwise_left_shift"));
  cr_assert(eq(ptr, th_hypot(i, i), NULL));
  cr_assert(failed_with(TH_EDTYPE, "hypot"));
  cr_assert(eq(int, th_bitwise_and_scalar_inplace(f, 1), TH_EDTYPE));
  cr_assert(eq(ptr, th_bitwise_xor_scalar(f, 1), NULL));
  cr_assert(eq(int, th_pow_inplace(f, NULL), TH_EINVAL));
  th_release(f);
  th_release(i);
}

/* --- values --- */

static void expect(th_array *a, const double *values, int64_t n) {
  cr_assert(worst_of(a, values, n) == 0);
  th_release(a);
}

Test(forms, shifts_push_out_what_has_no_place) {
  static const int8_t x[] = {1, -1, -128, 100, 1, -3, -3, 5}, y[] = {7, 7, 1, 1, 8, 9, -1, -1};
  th_array *a = th_from_host(x, TH_SHAPE(8), TH_I8, th_cpu(0));
  th_array *b = th_from_host(y, TH_SHAPE(8), TH_I8, th_cpu(0));
  expect(th_bitwise_left_shift(a, b), (double[]){-128, -128, 0, -56, 0, 0, 0, 0}, 8);
  expect(th_bitwise_right_shift(a, b), (double[]){0, -1, -64, 50, 0, -1, -1, 0}, 8);
  th_release(a);
  th_release(b);
  th_array *u = th_full(TH_SHAPE(1), 0x1p63, TH_U64, th_cpu(0));
  expect(th_bitwise_right_shift_scalar(u, 63), (double[]){1}, 1);
  expect(th_bitwise_right_shift_scalar(u, 64), (double[]){0}, 1);
  expect(th_bitwise_left_shift_scalar(u, 1), (double[]){0}, 1);
  th_release(u);
}

Test(forms, edges_of_floats) {
  static const double x[] = {INFINITY, -INFINITY, INFINITY, NAN, 1e300, -0.0};
  static const double y[] = {INFINITY, -INFINITY, -INFINITY, 1, 1e300, -1};
  th_array *a = th_from_host(x, TH_SHAPE(6), TH_F64, th_cpu(0));
  th_array *b = th_from_host(y, TH_SHAPE(6), TH_F64, th_cpu(0));
  expect(th_logaddexp(a, b),
         (double[]){INFINITY, -INFINITY, INFINITY, NAN, 1e300, log(1 + exp(-1))}, 6);
  expect(th_hypot(a, b), (double[]){INFINITY, INFINITY, INFINITY, NAN, hypot(1e300, 1e300), 1}, 6);
  expect(th_signbit(a), (double[]){0, 1, 0, 0, 0, 1}, 6);
  th_array *signs = th_copysign(a, b), *negative = th_signbit(signs);
  expect(negative, (double[]){0, 1, 1, 0, 0, 1}, 6);
  th_array *kept = th_positive(a), *zero = th_signbit(kept);
  expect(zero, (double[]){0, 1, 0, 0, 0, 1}, 6);
  th_array *const made[] = {a, b, signs, kept};
  for (int i = 0; i < 4; i++) th_release(made[i]);
}

/* The gradient of an in-place form reaches what was there before. */
Test(forms, in_place_forms_have_gradients) {
  th_array *x = th_full(TH_SHAPE(2), 2, TH_F64, th_cpu(0));
  (void)th_require_grad(x);
  th_array *y = th_multiply_scalar(x, 1.5); /* 3 */
  cr_assert(eq(int, th_pow_scalar_inplace(y, 2), TH_OK), "%s", th_last_error());
  cr_assert(eq(int, th_hypot_scalar_inplace(y, 12), TH_OK), "%s", th_last_error()); /* 15 */
  th_array *sum = th_sum(y, NULL, 0, false);
  cr_assert(eq(int, th_backward(sum, 0), TH_OK), "%s", th_last_error());
  double wanted = 9.0 / 15 * 2 * 3 * 1.5;
  cr_assert(worst_of(th_grad(x), (double[]){wanted, wanted}, 2) < 1e-12);
  th_array *const made[] = {x, y, sum};
  for (int i = 0; i < 3; i++) th_release(made[i]);
}
