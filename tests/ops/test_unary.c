/* Functions of one array against libm, in every element type; what becomes of NaN and infinity; second derivatives. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <math.h>
#include <string.h>

#include "thrum/thrum.h"

/* A scope around each test releases what it makes. */
static th_scope around;
static void begin(void) { around = th_scope_begin(); }
static void end(void) {
  th_scope_end(around);
  (void)th_wait_all();
}

TestSuite(unary, .timeout = 60, .init = begin, .fini = end);

typedef struct row {
  const char *name;
  th_array *(*op)(const th_array *a);
  double (*wanted)(double x);
  double lo, hi;
} row;

static double reciprocal(double x) { return 1 / x; }
static double rsqrt_(double x) { return 1 / sqrt(x); }
static double sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double silu(double x) { return x / (1 + exp(-x)); }
static double gelu(double x) { return x * 0.5 * erfc(-x / sqrt(2)); }
static double softplus(double x) { return log(1 + exp(x)); }
static double square(double x) { return x * x; }
static double negative(double x) { return -x; }
static double relu(double x) { return x > 0 ? x : 0; }
static double sign(double x) { return x > 0 ? 1 : x < 0 ? -1 : 0; }

static const row rows[] = {
    {"abs", th_abs, fabs, -3, 3},
    {"acos", th_acos, acos, -1, 1},
    {"asin", th_asin, asin, -1, 1},
    {"atan", th_atan, atan, -9, 9},
    {"ceil", th_ceil, ceil, -4, 4},
    {"cos", th_cos, cos, -9, 9},
    {"cosh", th_cosh, cosh, -3, 3},
    {"erf", th_erf, erf, -3, 3},
    {"exp", th_exp, exp, -3, 3},
    {"expm1", th_expm1, expm1, -3, 3},
    {"floor", th_floor, floor, -4, 4},
    {"log", th_log, log, 0.1, 9},
    {"log1p", th_log1p, log1p, -0.9, 9},
    {"log2", th_log2, log2, 0.1, 9},
    {"log10", th_log10, log10, 0.1, 9},
    {"negative", th_negative, negative, -3, 3},
    {"reciprocal", th_reciprocal, reciprocal, 0.2, 5},
    {"relu", th_relu, relu, -3, 3},
    {"round", th_round, nearbyint, -4, 4},
    {"rsqrt", th_rsqrt, rsqrt_, 0.2, 9},
    {"sigmoid", th_sigmoid, sigmoid, -6, 6},
    {"sign", th_sign, sign, -3, 3},
    {"silu", th_silu, silu, -6, 6},
    {"gelu", th_gelu, gelu, -3, 3},
    {"softplus", th_softplus, softplus, -6, 6},
    {"sin", th_sin, sin, -9, 9},
    {"sinh", th_sinh, sinh, -3, 3},
    {"sqrt", th_sqrt, sqrt, 0, 9},
    {"square", th_square, square, -3, 3},
    {"tan", th_tan, tan, -1.2, 1.2},
    {"tanh", th_tanh, tanh, -3, 3},
    {"trunc", th_trunc, trunc, -4, 4},
};

/* Multiples of 1/2 in between, so that rounding meets ties. */
static double point(const row *r, int i, int n) {
  double x = r->lo + (r->hi - r->lo) * i / (n - 1);
  double half = rint(2 * x) / 2;
  return i % 3 == 0 && half >= r->lo && half <= r->hi ? half : x;
}

Test(unary, floats_against_libm) {
  enum { N = 97 };
  static const struct {
    th_dtype t;
    double tolerance;
  } types[] = {{TH_F64, 1e-14}, {TH_F32, 1e-6}, {TH_F16, 0x1p-10}, {TH_BF16, 0x1p-7}};
  for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
    for (size_t t = 0; t < 4; t++) {
      double x[N], rounded[N], got[N];
      for (int i = 0; i < N; i++) x[i] = point(&rows[k], i, N);
      th_array *a = th_from_host(x, TH_SHAPE(N), TH_F64, th_cpu(0));
      th_array *b = th_astype(a, types[t].t), *y = rows[k].op(b);
      th_array *bx = th_astype(b, TH_F64), *wide = th_astype(y, TH_F64);
      cr_assert(eq(int, (int)th_array_dtype(y), (int)types[t].t), "%s", rows[k].name);
      cr_assert(eq(int, th_read(bx, rounded, sizeof rounded), TH_OK));
      cr_assert(eq(int, th_read(wide, got, sizeof got), TH_OK));
      for (int i = 0; i < N; i++) {
        double wanted = rows[k].wanted(rounded[i]), scale = fabs(wanted) > 1 ? fabs(wanted) : 1;
        bool near = fabs(got[i] - wanted) <= types[t].tolerance * scale ||
                    (isnan(got[i]) && isnan(wanted)) || got[i] == wanted;
        cr_assert(near, "%s %s(%.17g) is %.17g, not %.17g", th_dtype_name(types[t].t), rows[k].name,
                  rounded[i], got[i], wanted);
      }
      th_array *all[] = {a, b, y, bx, wide};
      for (int i = 0; i < 5; i++) th_release(all[i]);
    }
  }
}

static void expect_ints(th_array *a, const int64_t *wanted, int n, const char *what) {
  th_array *wide = th_astype(a, TH_I64);
  int64_t got[16];
  cr_assert(eq(int, th_read(wide, got, (size_t)n * 8), TH_OK), "%s: %s", what, th_last_error());
  for (int i = 0; i < n; i++) cr_assert(eq(i64, got[i], wanted[i]), "%s: element %d", what, i);
  th_release(wide);
  th_release(a);
}

Test(unary, integers_wrap) {
  const int8_t small[] = {-128, -1, 0, 127};
  th_array *a = th_from_host(small, TH_SHAPE(4), TH_I8, th_cpu(0));
  expect_ints(th_negative(a), (const int64_t[]){-128, 1, 0, -127}, 4, "negative i8");
  expect_ints(th_abs(a), (const int64_t[]){-128, 1, 0, 127}, 4, "abs i8");
  expect_ints(th_square(a), (const int64_t[]){0, 1, 0, 1}, 4, "square i8");
  expect_ints(th_relu(a), (const int64_t[]){0, 0, 0, 127}, 4, "relu i8");
  expect_ints(th_sign(a), (const int64_t[]){-1, -1, 0, 1}, 4, "sign i8");
  expect_ints(th_floor(a), (const int64_t[]){-128, -1, 0, 127}, 4, "floor i8");
  expect_ints(th_bitwise_invert(a), (const int64_t[]){127, 0, -1, -128}, 4, "invert i8");
  const int32_t wide[] = {INT32_MIN, 46341, -65536, INT32_MAX};
  th_array *b = th_from_host(wide, TH_SHAPE(4), TH_I32, th_cpu(0));
  expect_ints(th_negative(b), (const int64_t[]){INT32_MIN, -46341, 65536, -INT32_MAX}, 4, "i32");
  expect_ints(th_square(b), (const int64_t[]){0, (int32_t)2147488281u, 0, 1}, 4, "square i32");
  const uint16_t u[] = {0, 1, 255, 65535};
  th_array *c = th_from_host(u, TH_SHAPE(4), TH_U16, th_cpu(0));
  expect_ints(th_negative(c), (const int64_t[]){0, 65535, 65281, 1}, 4, "negative u16");
  expect_ints(th_square(c), (const int64_t[]){0, 1, 65025, 1}, 4, "square u16");
  expect_ints(th_bitwise_invert(c), (const int64_t[]){65535, 65534, 65280, 0}, 4, "invert u16");
  const uint8_t flags[] = {0, 1, 1, 0};
  th_array *d = th_from_host(flags, TH_SHAPE(4), TH_BOOL, th_cpu(0));
  expect_ints(th_bitwise_invert(d), (const int64_t[]){1, 0, 0, 1}, 4, "invert bool");
  expect_ints(th_logical_not(d), (const int64_t[]){1, 0, 0, 1}, 4, "not bool");
  expect_ints(th_abs(d), (const int64_t[]){0, 1, 1, 0}, 4, "abs bool");
  expect_ints(th_isfinite(a), (const int64_t[]){1, 1, 1, 1}, 4, "isfinite i8");
}

Test(unary, special_values) {
  const float x[] = {NAN, INFINITY, -INFINITY, -0.0f, 0.0f, 1e-45f};
  th_array *a = th_from_host(x, TH_SHAPE(6), TH_F32, th_cpu(0));
  expect_ints(th_isnan(a), (const int64_t[]){1, 0, 0, 0, 0, 0}, 6, "isnan");
  expect_ints(th_isinf(a), (const int64_t[]){0, 1, 1, 0, 0, 0}, 6, "isinf");
  expect_ints(th_isfinite(a), (const int64_t[]){0, 0, 0, 1, 1, 1}, 6, "isfinite");
  expect_ints(th_logical_not(a), (const int64_t[]){0, 0, 0, 1, 1, 0}, 6, "logical_not");
  float got[6];
  cr_assert(eq(int, th_read(th_relu(a), got, sizeof got), TH_OK));
  cr_assert(isnan(got[0]) && isinf(got[1]) && got[2] == 0);
  cr_assert(eq(int, th_read(th_sigmoid(a), got, sizeof got), TH_OK));
  cr_assert(isnan(got[0]) && got[1] == 1 && got[2] == 0);
  cr_assert(eq(int, th_read(th_softplus(a), got, sizeof got), TH_OK));
  cr_assert(isnan(got[0]) && isinf(got[1]) && got[2] == 0);
  cr_assert(eq(int, th_read(th_sign(a), got, sizeof got), TH_OK));
  cr_assert(isnan(got[0]) && got[1] == 1 && got[2] == -1 && got[3] == 0);
  cr_assert(eq(int, th_read(th_sqrt(a), got, sizeof got), TH_OK));
  cr_assert(isnan(got[0]) && isinf(got[1]) && isnan(got[2]));
}

/* d2/dx2 of the sum, for the rows whose curvature is easy to write down. */
Test(unary, second_derivatives) {
  const double x[] = {0.3, -0.7, 1.1};
  static const struct {
    const char *name;
    th_array *(*op)(const th_array *a);
  } list[] = {{"tanh", th_tanh}, {"sigmoid", th_sigmoid}, {"sin", th_sin},  {"exp", th_exp},
              {"gelu", th_gelu}, {"silu", th_silu},       {"atan", th_atan}};
  const double h = 1e-4;
  for (size_t k = 0; k < sizeof list / sizeof *list; k++) {
    th_array *a = th_from_host(x, TH_SHAPE(3), TH_F64, th_cpu(0));
    cr_assert(eq(int, th_require_grad(a), TH_OK));
    th_array *first = th_sum(list[k].op(a), NULL, 0, false);
    cr_assert(eq(int, th_backward(first, TH_CREATE_GRAPH), TH_OK), "%s: %s", list[k].name,
              th_last_error());
    th_array *slope = th_retain(th_grad(a));
    th_zero_grad(a);
    cr_assert(eq(int, th_backward(th_sum(slope, NULL, 0, false), 0), TH_OK), "%s: %s", list[k].name,
              th_last_error());
    th_release(slope);
    double got[3], below[3], at[3], above[3], low[3], high[3];
    cr_assert(eq(int, th_read(th_grad(a), got, sizeof got), TH_OK));
    for (int i = 0; i < 3; i++) low[i] = x[i] - h, high[i] = x[i] + h;
    bool off = th_grad_mode(false);
    th_read(list[k].op(th_from_host(low, TH_SHAPE(3), TH_F64, th_cpu(0))), below, sizeof below);
    th_read(list[k].op(th_from_host(x, TH_SHAPE(3), TH_F64, th_cpu(0))), at, sizeof at);
    th_read(list[k].op(th_from_host(high, TH_SHAPE(3), TH_F64, th_cpu(0))), above, sizeof above);
    th_grad_mode(off);
    for (int i = 0; i < 3; i++) {
      double wanted = (below[i] - 2 * at[i] + above[i]) / (h * h);
      cr_assert(fabs(got[i] - wanted) < 1e-5, "%s''(%g) is %g, not %g", list[k].name, x[i], got[i],
                wanted);
    }
  }
}
