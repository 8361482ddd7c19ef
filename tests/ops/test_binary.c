/* Arithmetic of two arrays, of an array and a scalar, and in place, against plain C; promotion; broadcasting; long loops. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <math.h>
#include <stdlib.h>

#include "thrum/thrum.h"

/* A scope around each test releases what it makes. */
static th_scope around;
static void begin(void) { around = th_scope_begin(); }
static void end(void) {
  th_scope_end(around);
  (void)th_wait_all();
}

TestSuite(binary, .timeout = 60, .init = begin, .fini = end);

/* The quotient with digits to spare, so that it does not round up to the next whole number. */
static double floor_divide(double x, double y) { return (double)floorl((long double)x / y); }
static double remainder_(double x, double y) { return x - y * floor(x / y); }
static double add(double x, double y) { return x + y; }
static double subtract(double x, double y) { return x - y; }
static double multiply(double x, double y) { return x * y; }
static double divide(double x, double y) { return x / y; }
static double maximum(double x, double y) { return x > y ? x : y; }
static double minimum(double x, double y) { return x < y ? x : y; }

typedef struct row {
  const char *name;
  th_array *(*op)(const th_array *a, const th_array *b);
  th_array *(*scalar)(const th_array *a, double s);
  th_status (*inplace)(th_array *a, const th_array *b);
  th_status (*scalar_inplace)(th_array *a, double s);
  double (*wanted)(double x, double y);
} row;

static const row rows[] = {
    {"add", th_add, th_add_scalar, th_add_inplace, th_add_scalar_inplace, add},
    {"subtract", th_subtract, th_subtract_scalar, th_subtract_inplace, th_subtract_scalar_inplace,
     subtract},
    {"multiply", th_multiply, th_multiply_scalar, th_multiply_inplace, th_multiply_scalar_inplace,
     multiply},
    {"divide", th_divide, th_divide_scalar, th_divide_inplace, th_divide_scalar_inplace, divide},
    {"floor_divide", th_floor_divide, th_floor_divide_scalar, NULL, NULL, floor_divide},
    {"remainder", th_remainder, th_remainder_scalar, NULL, NULL, remainder_},
    {"pow", th_pow, th_pow_scalar, NULL, NULL, pow},
    {"atan2", th_atan2, NULL, NULL, NULL, atan2},
    {"maximum", th_maximum, th_maximum_scalar, NULL, NULL, maximum},
    {"minimum", th_minimum, th_minimum_scalar, NULL, NULL, minimum},
};

enum { N = 24 };

static void expect(th_array *a, const double *wanted, double tolerance, const char *what) {
  double got[N];
  th_array *wide = th_astype(a, TH_F64);
  int64_t n = th_array_size(a);
  cr_assert(eq(int, th_read(wide, got, (size_t)n * 8), TH_OK), "%s: %s", what, th_last_error());
  for (int64_t i = 0; i < n; i++) {
    bool near = fabs(got[i] - wanted[i]) <= tolerance * fmax(1, fabs(wanted[i])) ||
                got[i] == wanted[i] || (isnan(got[i]) && isnan(wanted[i]));
    cr_assert(near, "%s: element %d is %.17g, not %.17g", what, (int)i, got[i], wanted[i]);
  }
  th_release(wide);
  th_release(a);
}

static void values(double *x, double *y) {
  for (int i = 0; i < N; i++) {
    x[i] = (i * 7 % 11) * 0.25 + 0.25;
    y[i] = (i * 5 % 13) * 0.5 - 3.25; /* never 0, both signs */
  }
}

Test(binary, floats_against_c) {
  double x[N], y[N], wanted[N];
  values(x, y);
  th_array *a = th_from_host(x, TH_SHAPE(N), TH_F64, th_cpu(0));
  th_array *b = th_from_host(y, TH_SHAPE(N), TH_F64, th_cpu(0));
  static const struct {
    th_dtype t;
    double tolerance;
  } types[] = {{TH_F64, 1e-14}, {TH_F32, 1e-6}, {TH_F16, 0x1p-9}, {TH_BF16, 0x1p-7}};
  for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
    for (int t = 0; t < 4; t++) {
      th_array *p = th_astype(a, types[t].t), *q = th_astype(b, types[t].t);
      for (int i = 0; i < N; i++) wanted[i] = rows[k].wanted(x[i], y[i]);
      expect(rows[k].op(p, q), wanted, types[t].tolerance, rows[k].name);
      for (int i = 0; i < N; i++) wanted[i] = rows[k].wanted(x[i], -1.25);
      if (rows[k].scalar)
        expect(rows[k].scalar(p, -1.25), wanted, types[t].tolerance, rows[k].name);
      th_array *c = th_copy(p);
      if (rows[k].inplace) {
        cr_assert(eq(int, rows[k].inplace(c, q), TH_OK));
        cr_assert(eq(int, rows[k].scalar_inplace(c, 0.5), TH_OK));
        for (int i = 0; i < N; i++) wanted[i] = rows[k].wanted(rows[k].wanted(x[i], y[i]), 0.5);
        expect(th_retain(c), wanted, 2 * types[t].tolerance, rows[k].name);
      }
      th_release(c);
      th_release(p);
      th_release(q);
    }
  }
}

static void expect_op(int k, th_dtype t, const int64_t *x, const int64_t *y, const int64_t *wanted,
                      int n) {
  double exact[N];
  th_array *a = th_from_host(x, TH_SHAPE(n), TH_I64, th_cpu(0));
  th_array *b = th_from_host(y, TH_SHAPE(n), TH_I64, th_cpu(0));
  th_array *p = th_astype(a, t), *q = th_astype(b, t), *r = rows[k].op(p, q);
  cr_assert(eq(int, (int)th_array_dtype(r), (int)t), "%s", rows[k].name);
  for (int i = 0; i < n; i++) exact[i] = (double)wanted[i];
  expect(r, exact, 0, rows[k].name);
  th_array *all[] = {a, b, p, q};
  for (int i = 0; i < 4; i++) th_release(all[i]);
}

#define INTS(...) ((const int64_t[]){__VA_ARGS__})

Test(binary, integers) {
  const int64_t x[] = {7, -7, 7, -7, 6, -6, 0}, y[] = {2, 2, -2, -2, 3, 3, 5};
  expect_op(4, TH_I32, x, y, INTS(3, -4, -4, 3, 2, -2, 0), 7);
  expect_op(5, TH_I16, x, y, INTS(1, 1, -1, -1, 0, 0, 0), 7);
  expect_op(8, TH_I64, x, y, INTS(7, 2, 7, -2, 6, 3, 5), 7);
  expect_op(9, TH_I8, x, y, INTS(2, -7, -2, -7, 3, -6, 0), 7);
  expect_op(6, TH_I32, INTS(2, -3, 0, 5, 1, -1, 2), INTS(10, 3, 0, -1, -5, -3, 33),
            INTS(1024, -27, 1, 0, 1, -1, 0), 7);
}

Test(binary, integers_wrap_and_never_trap) {
  expect_op(0, TH_I8, INTS(127, -128), INTS(1, -1), INTS(-128, 127), 2);
  expect_op(1, TH_U8, INTS(0, 5), INTS(1, 6), INTS(255, 255), 2);
  expect_op(2, TH_I32, INTS(INT32_MAX, INT32_MIN), INTS(2, -1), INTS(-2, INT32_MIN), 2);
  expect_op(2, TH_U16, INTS(65535, 256), INTS(65535, 256), INTS(1, 0), 2);
  expect_op(4, TH_I32, INTS(INT32_MIN, 5, -5), INTS(-1, 0, 0), INTS(INT32_MIN, 0, 0), 3);
  expect_op(5, TH_I32, INTS(INT32_MIN, 5, -5), INTS(-1, 0, 0), INTS(0, 0, 0), 3);
  expect_op(4, TH_U8, INTS(200, 7), INTS(0, 2), INTS(0, 3), 2);
  expect_op(5, TH_U8, INTS(200, 7), INTS(0, 4), INTS(0, 3), 2);
  const int64_t lowest = INT64_MIN, minus = -1;
  th_array *a = th_from_host(&lowest, TH_SCALAR, TH_I64, th_cpu(0));
  th_array *b = th_from_host(&minus, TH_SCALAR, TH_I64, th_cpu(0));
  int64_t got;
  cr_assert(eq(int, th_read(th_floor_divide(a, b), &got, 8), TH_OK));
  cr_assert(eq(i64, got, INT64_MIN));
  cr_assert(eq(int, th_read(th_remainder(a, b), &got, 8), TH_OK));
  cr_assert(eq(i64, got, 0));
  cr_assert(eq(int, th_read(th_multiply(a, b), &got, 8), TH_OK));
  cr_assert(eq(i64, got, INT64_MIN));
}

Test(binary, special_values) {
  const double x[] = {NAN, 1, INFINITY, -0.0, 5, -5, 1, -1};
  const double y[] = {1, NAN, INFINITY, 0.0, 0, 0, INFINITY, INFINITY};
  th_array *a = th_from_host(x, TH_SHAPE(8), TH_F64, th_cpu(0));
  th_array *b = th_from_host(y, TH_SHAPE(8), TH_F64, th_cpu(0));
  expect(th_maximum(a, b), (const double[]){NAN, NAN, INFINITY, 0, 5, 0, INFINITY, INFINITY}, 0,
         "maximum");
  expect(th_minimum(a, b), (const double[]){NAN, NAN, INFINITY, 0, 0, -5, 1, -1}, 0, "minimum");
  expect(th_divide(a, b), (const double[]){NAN, NAN, NAN, NAN, INFINITY, -INFINITY, 0, -0.0}, 0,
         "divide");
  expect(th_remainder(a, b), (const double[]){NAN, NAN, NAN, NAN, NAN, NAN, 1, INFINITY}, 0,
         "remainder");
}

/* 1 / 0.1 rounds to 10, but 0.1 is a little more than a tenth. */
Test(binary, floor_divide_looks_at_the_exact_quotient) {
  const double x[] = {1, -1, 1, -1, 0.3, 5, 0.6, 1e300},
               y[] = {0.1, 0.1, -0.1, -0.1, 0.1, 0.1, 0.2, 1e-5};
  th_array *a = th_from_host(x, TH_SHAPE(8), TH_F64, th_cpu(0));
  th_array *b = th_from_host(y, TH_SHAPE(8), TH_F64, th_cpu(0));
  const double wanted[] = {9, -10, -10, 9, 2, 49, 2, 1e305};
  expect(th_floor_divide(a, b), wanted, 0x1p-50, "f64");
  const double tenths[] = {9, -10, 9, -10, 2, 49, 5, 1e301};
  expect(th_floor_divide_scalar(a, 0.1), tenths, 0x1p-50, "f64 // 0.1");
  th_array *c = th_copy(a), *d = th_copy(a);
  cr_assert(eq(int, th_floor_divide_inplace(c, b), TH_OK));
  cr_assert(eq(int, th_floor_divide_scalar_inplace(d, 0.1), TH_OK));
  expect(c, wanted, 0x1p-50, "f64 //= f64");
  expect(d, tenths, 0x1p-50, "f64 //= 0.1");
  const float ones[] = {1, -1, 1, -1}, parts[] = {0.1f, 0.1f, -0.1f, -0.1f};
  th_array *e = th_from_host(ones, TH_SHAPE(4), TH_F32, th_cpu(0));
  th_array *f = th_from_host(parts, TH_SHAPE(4), TH_F32, th_cpu(0));
  expect(th_floor_divide(e, f), wanted, 0, "f32");
  expect(th_floor_divide_scalar(e, 0.1), tenths, 0, "f32 // 0.1");
}

/* What NumPy gives, signs of zeros included. */
Test(binary, floor_divide_of_special_values) {
  const double x[] = {INFINITY, -INFINITY, 1, -1, 0.0, -0.0, 1, -1, 1, 0.0, NAN, 1, -0.0, 0.5};
  const double y[] = {1,        INFINITY,  0.0,       0.0, 0.0, 3,  INFINITY,
                      INFINITY, -INFINITY, -INFINITY, 1,   NAN, -2, 3};
  const double wanted[] = {NAN, NAN, INFINITY, -INFINITY, NAN, -0.0, 0.0,
                           -1,  -1,  -0.0,     NAN,       NAN, 0.0,  0.0};
  static const th_dtype types[] = {TH_F64, TH_F32, TH_F16, TH_BF16};
  for (int t = 0; t < 4; t++) {
    th_array *a = th_astype(th_from_host(x, TH_SHAPE(14), TH_F64, th_cpu(0)), types[t]);
    th_array *b = th_astype(th_from_host(y, TH_SHAPE(14), TH_F64, th_cpu(0)), types[t]);
    th_array *q = th_floor_divide(a, b);
    expect(th_retain(q), wanted, 0, th_dtype_name(types[t]));
    double got[14];
    cr_assert(eq(int, th_read(th_astype(q, TH_F64), got, sizeof got), TH_OK));
    for (int i = 0; i < 14; i++)
      cr_assert(isnan(wanted[i]) || signbit(got[i]) == signbit(wanted[i]), "%g // %g", x[i], y[i]);
    th_release(q);
  }
}

Test(binary, promotion) {
  static const struct {
    th_dtype a, b, sum, quotient;
  } cases[] = {
      {TH_U8, TH_I8, TH_I16, TH_F32},    {TH_I32, TH_F32, TH_F32, TH_F32},
      {TH_F16, TH_BF16, TH_F32, TH_F32}, {TH_I64, TH_I64, TH_I64, TH_F64},
      {TH_U64, TH_I8, TH_F64, TH_F64},   {TH_BOOL, TH_F16, TH_F16, TH_F16},
      {TH_F32, TH_F64, TH_F64, TH_F64},  {TH_I16, TH_I16, TH_I16, TH_F32},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    th_array *a = th_ones(TH_SHAPE(2, 1), cases[i].a, th_cpu(0));
    th_array *b = th_ones(TH_SHAPE(3), cases[i].b, th_cpu(0));
    th_array *sum = th_add(a, b), *quotient = th_divide(b, a);
    cr_assert(eq(int, (int)th_array_dtype(sum), (int)cases[i].sum), "case %d", (int)i);
    cr_assert(eq(int, (int)th_array_dtype(quotient), (int)cases[i].quotient), "case %d", (int)i);
    expect(sum, (const double[]){2, 2, 2, 2, 2, 2}, 0, "1 + 1");
    expect(quotient, (const double[]){1, 1, 1, 1, 1, 1}, 0, "1 / 1");
    th_release(a);
    th_release(b);
  }
}

Test(binary, scalars_keep_the_type) {
  th_array *i = th_full(TH_SHAPE(2), 7, TH_I16, th_cpu(0));
  cr_assert(eq(int, (int)th_array_dtype(th_add_scalar(i, 2.9)), (int)TH_I16));
  expect(th_add_scalar(i, 2.9), (const double[]){9, 9}, 0, "i16 + 2.9");
  expect(th_divide_scalar(i, 2), (const double[]){3.5, 3.5}, 0, "i16 / 2");
  cr_assert(eq(int, (int)th_array_dtype(th_divide_scalar(i, 2)), (int)TH_F32));
  expect(th_floor_divide_scalar(i, 0), (const double[]){0, 0}, 0, "i16 // 0");
  th_array *h = th_full(TH_SHAPE(2), 1, TH_F16, th_cpu(0));
  expect(th_add_scalar(h, 0x1p-11 + 0x1p-20), (const double[]){1 + 0x1p-10, 1 + 0x1p-10}, 0,
         "f16 + 2^-11 and a bit");
  th_array *mixed = th_full(TH_SHAPE(2), 7, TH_I16, th_cpu(0));
  cr_assert(eq(int, th_add_inplace(mixed, th_full(TH_SCALAR, 2.9, TH_F32, th_cpu(0))), TH_OK));
  expect(mixed, (const double[]){9, 9}, 0, "i16 += 2.9f");
}

/* Longer than a block, with every operand strided, reversed or repeated. */
Test(binary, long_and_strided) {
  enum { ROWS = 211, COLUMNS = 397 };
  th_array *a =
      th_reshape(th_arange(0, ROWS * COLUMNS, 1, TH_F32, th_cpu(0)), TH_SHAPE(ROWS, COLUMNS));
  th_array *row = th_arange(0, COLUMNS, 1, TH_F32, th_cpu(0));
  th_array *column = th_reshape(th_arange(0, ROWS, 1, TH_F32, th_cpu(0)), TH_SHAPE(ROWS, 1));
  th_array *sum = th_add(th_slice(a, "::-1, ::-1"), th_multiply(row, column));
  th_array *turned = th_add(th_matrix_transpose(a), th_matrix_transpose(sum));
  float *s = malloc(sizeof(float) * ROWS * COLUMNS), *t = malloc(sizeof(float) * ROWS * COLUMNS);
  cr_assert(eq(int, th_read(sum, s, sizeof(float) * ROWS * COLUMNS), TH_OK));
  cr_assert(eq(int, th_read(turned, t, sizeof(float) * ROWS * COLUMNS), TH_OK));
  for (int i = 0; i < ROWS; i++) {
    for (int j = 0; j < COLUMNS; j++) {
      float wanted = (float)(ROWS * COLUMNS - 1 - (i * COLUMNS + j)) + (float)(i * j);
      cr_assert(s[i * COLUMNS + j] == wanted, "sum at %d, %d", i, j);
      cr_assert(t[j * ROWS + i] == wanted + (float)(i * COLUMNS + j), "turned at %d, %d", i, j);
    }
  }
  cr_assert(eq(int, th_subtract_inplace(a, row), TH_OK));
  cr_assert(eq(int, th_read(a, s, sizeof(float) * ROWS * COLUMNS), TH_OK));
  for (int i = 0; i < ROWS * COLUMNS; i++)
    cr_assert(s[i] == (float)(i - i % COLUMNS), "in place at %d", i);
  free(s);
  free(t);
}

static bool same_float(float a, float b) {
  return (a != a && b != b) || (a == b && !signbit(a) == !signbit(b));
}

static void check_powers(const float *x, const float *y, int n, double most) {
  const int64_t shape[] = {n};
  float got[1024];
  th_array *a = th_from_host(x, shape, 1, TH_F32, th_cpu(0));
  th_array *b = th_from_host(y, shape, 1, TH_F32, th_cpu(0)), *c = th_pow(a, b);
  cr_assert(eq(int, th_read(c, got, (size_t)n * sizeof *got), TH_OK));
  for (int i = 0; i < n; i++) {
    double exact = pow((double)x[i], (double)y[i]), gap;
    float nearest = (float)exact;
    if (same_float(got[i], nearest)) continue;
    gap = fabs((double)nextafterf(nearest, INFINITY) - (double)nearest);
    cr_assert(isfinite(nearest) && fabs((double)got[i] - exact) <= most * gap,
              "%a to the %a: %a, not %a", (double)x[i], (double)y[i], (double)got[i], exact);
  }
}

Test(binary, powers_of_f32_at_their_edges) {
  static const float special[] = {0,        -0.0f,     1,          -1,          2,       -2,
                                  3,        -3,        0.5f,       -0.5f,       1.5f,    -1.5f,
                                  INFINITY, -INFINITY, NAN,        1e-45f,      -1e-45f, 3e38f,
                                  -3e38f,   16777215,  -16777215,  33554432,    127,     128,
                                  -126,     -149,      0.9999999f, 1.00000012f, -150,    1e-38f};
  enum { N = sizeof special / sizeof *special };
  float x[N * N], y[N * N];
  for (int i = 0; i < N * N; i++) {
    x[i] = special[i / N];
    y[i] = special[i % N];
  }
  check_powers(x, y, N * N, 0.51);
}

Test(binary, powers_of_f32_are_rounded_once) {
  float x[1024], y[1024];
  for (int round = 0; round < 40; round++) {
    for (int i = 0; i < 1024; i++) {
      x[i] = (float)rand() / (float)RAND_MAX * 4 * (round % 2 && i % 3 == 0 ? -1 : 1);
      y[i] = ((float)rand() / (float)RAND_MAX - 0.5f) * 60;
      if (round % 2) y[i] = rintf(y[i]);
    }
    check_powers(x, y, 1024, 0.51);
  }
}
