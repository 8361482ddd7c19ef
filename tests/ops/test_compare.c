/* Comparisons, logic and bits against plain C; comparisons with scalars are exact in every type. */
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

TestSuite(compare, .timeout = 60, .init = begin, .fini = end);

enum { MOST = 16 };

static void expect(th_array *a, const char *wanted, const char *what) {
  uint8_t got[MOST];
  cr_assert(eq(int, (int)th_array_dtype(a), (int)TH_BOOL), "%s", what);
  cr_assert(eq(int, th_read(a, got, (size_t)th_array_size(a)), TH_OK), "%s", th_last_error());
  for (int64_t i = 0; i < th_array_size(a); i++)
    cr_assert(eq(int, got[i], wanted[i] == '1'), "%s: element %d", what, (int)i);
  th_release(a);
}

Test(compare, arrays) {
  const double x[] = {1, 2, 3, -1, NAN, INFINITY, 0}, y[] = {2, 2, 2, 1, 1, INFINITY, -0.0};
  for (int t = 0; t < 4; t++) {
    static const th_dtype types[] = {TH_F64, TH_F32, TH_F16, TH_BF16};
    th_array *a = th_astype(th_from_host(x, TH_SHAPE(7), TH_F64, th_cpu(0)), types[t]);
    th_array *b = th_astype(th_from_host(y, TH_SHAPE(7), TH_F64, th_cpu(0)), types[t]);
    expect(th_equal(a, b), "0100011", "equal");
    expect(th_not_equal(a, b), "1011100", "not_equal");
    expect(th_less(a, b), "1001000", "less");
    expect(th_less_equal(a, b), "1101011", "less_equal");
    expect(th_greater(a, b), "0010000", "greater");
    expect(th_greater_equal(a, b), "0110011", "greater_equal");
  }
  const int64_t i[] = {-1, INT64_MAX, INT64_MIN, 5}, j[] = {1, INT64_MAX - 1, INT64_MAX, 5};
  th_array *p = th_from_host(i, TH_SHAPE(4), TH_I64, th_cpu(0));
  th_array *q = th_from_host(j, TH_SHAPE(4), TH_I64, th_cpu(0));
  expect(th_less(p, q), "1010", "less i64");
  expect(th_greater_equal(p, q), "0101", "greater_equal i64");
  th_array *u = th_astype(p, TH_U64), *v = th_astype(q, TH_U64);
  expect(th_less(u, v), "0000", "less u64");
  expect(th_equal(u, v), "0001", "equal u64");
}

Test(compare, logic_takes_any_type) {
  const double x[] = {0, 0, 2.5, -1, NAN}, y[] = {0, 3, 0, 4, 0};
  static const th_dtype types[] = {TH_F64, TH_F32, TH_F16, TH_BF16};
  for (int t = 0; t < 4; t++) {
    th_array *a = th_astype(th_from_host(x, TH_SHAPE(5), TH_F64, th_cpu(0)), types[t]);
    th_array *b = th_from_host(y, TH_SHAPE(5), TH_F64, th_cpu(0));
    expect(th_logical_and(a, b), "00010", "and");
    expect(th_logical_or(a, b), "01111", "or");
    expect(th_logical_xor(a, b), "01101", "xor");
  }
}

Test(compare, bits) {
  const int16_t x[] = {0x0ff0, -1, 5}, y[] = {0x00ff, 0x1234, 3};
  int16_t got[3];
  th_array *a = th_from_host(x, TH_SHAPE(3), TH_I16, th_cpu(0));
  th_array *b = th_from_host(y, TH_SHAPE(3), TH_I16, th_cpu(0));
  cr_assert(eq(int, th_read(th_bitwise_and(a, b), got, sizeof got), TH_OK));
  cr_assert(got[0] == 0x00f0 && got[1] == 0x1234 && got[2] == 1);
  cr_assert(eq(int, th_read(th_bitwise_or(a, b), got, sizeof got), TH_OK));
  cr_assert(got[0] == 0x0fff && got[1] == -1 && got[2] == 7);
  cr_assert(eq(int, th_read(th_bitwise_xor(a, b), got, sizeof got), TH_OK));
  cr_assert(got[0] == 0x0f0f && got[1] == (int16_t)~0x1234 && got[2] == 6);
  const uint8_t t[] = {0, 0, 1, 1}, f[] = {0, 1, 0, 1};
  th_array *p = th_from_host(t, TH_SHAPE(4), TH_BOOL, th_cpu(0));
  th_array *q = th_from_host(f, TH_SHAPE(4), TH_BOOL, th_cpu(0));
  expect(th_bitwise_and(p, q), "0001", "and");
  expect(th_bitwise_or(p, q), "0111", "or");
  expect(th_bitwise_xor(p, q), "0110", "xor");
}

Test(compare, scalars_are_exact) {
  const int64_t big = INT64_C(9007199254740993); /* 2^53 + 1, which no double holds */
  const int64_t x[] = {big, big - 1, INT64_MAX, INT64_MIN, -3};
  th_array *a = th_from_host(x, TH_SHAPE(5), TH_I64, th_cpu(0));
  expect(th_equal_scalar(a, 9007199254740992.0), "01000", "2^53");
  expect(th_greater_scalar(a, 9007199254740992.0), "10100", "> 2^53");
  expect(th_less_scalar(a, 0x1p63), "11111", "< 2^63");
  expect(th_greater_equal_scalar(a, -0x1p63), "11111", ">= -2^63");
  expect(th_less_equal_scalar(a, -0x1p63), "00010", "<= -2^63");
  expect(th_less_scalar(a, -2.5), "00011", "< -2.5");
  expect(th_greater_scalar(a, -3.5), "11101", "> -3.5");
  expect(th_equal_scalar(a, NAN), "00000", "== NaN");
  expect(th_not_equal_scalar(a, NAN), "11111", "!= NaN");
  expect(th_less_scalar(a, NAN), "00000", "< NaN");
  expect(th_greater_equal_scalar(a, NAN), "00000", ">= NaN");
  expect(th_less_scalar(a, INFINITY), "11111", "< infinity");
  const uint64_t u[] = {0, 7, UINT64_MAX};
  th_array *b = th_from_host(u, TH_SHAPE(3), TH_U64, th_cpu(0));
  expect(th_greater_scalar(b, -1), "111", "u64 > -1");
  expect(th_less_scalar(b, 0x1p64), "111", "u64 < 2^64");
  expect(th_less_equal_scalar(b, 7.5), "110", "u64 <= 7.5");
  expect(th_greater_equal_scalar(b, 7.5), "001", "u64 >= 7.5");
  const float f[] = {0.1f, 0.5f};
  th_array *c = th_from_host(f, TH_SHAPE(2), TH_F32, th_cpu(0));
  expect(th_equal_scalar(c, 0.1), "00", "0.1f is not 0.1");
  expect(th_greater_scalar(c, 0.1), "11", "0.1f > 0.1");
  expect(th_equal_scalar(c, 0.5), "01", "0.5");
}
