/* Element types: names, sizes, promotion, single elements. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <math.h>
#include <string.h>

#include "ndarray/dtype.h"

TestSuite(dtype, .timeout = 60);

Test(dtype, names_and_sizes) {
  static const char *const names[] = {"bool", "u8",  "u16", "u32",  "u64", "i8", "i16",
                                      "i32",  "i64", "f16", "bf16", "f32", "f64"};
  static const size_t sizes[] = {1, 1, 2, 4, 8, 1, 2, 4, 8, 2, 2, 4, 8};
  cr_assert(eq(int, TH_DTYPE_COUNT, 13));
  for (int t = 0; t < TH_DTYPE_COUNT; t++) {
    cr_assert(eq(str, (char *)th_dtype_name((th_dtype)t), (char *)names[t]));
    cr_assert(eq(sz, th_dtype_size((th_dtype)t), sizes[t]));
    cr_assert(th__dtype_valid(t));
  }
}

Test(dtype, unknown_values) {
  for (int t = -1; t < 100; t += 14) {
    if (t >= 0 && t < TH_DTYPE_COUNT) continue;
    cr_assert(eq(sz, th_dtype_size((th_dtype)t), 0));
    cr_assert(eq(str, (char *)th_dtype_name((th_dtype)t), "?"));
    cr_assert(not(th__dtype_valid(t)));
    cr_assert(not(th__dtype_in((th_dtype)t, TH_ANY)));
  }
}

Test(dtype, sets) {
  cr_assert(th__dtype_in(TH_BF16, TH_FLOATS));
  cr_assert(not(th__dtype_in(TH_BF16, TH_SINGLES)));
  cr_assert(not(th__dtype_in(TH_BOOL, TH_NUMBERS)));
  cr_assert(th__dtype_in(TH_BOOL, TH_ANY));
  cr_assert(eq(u32, TH_ANY, (1u << TH_DTYPE_COUNT) - 1));
}

/* Row and column in the order of TH_DTYPE_MAP. */
static const char *const promotion[13] = {
    "bool u8 u16 u32 u64 i8 i16 i32 i64 f16 bf16 f32 f64",
    "u8 u8 u16 u32 u64 i16 i16 i32 i64 f16 bf16 f32 f64",
    "u16 u16 u16 u32 u64 i32 i32 i32 i64 f16 bf16 f32 f64",
    "u32 u32 u32 u32 u64 i64 i64 i64 i64 f16 bf16 f32 f64",
    "u64 u64 u64 u64 u64 f64 f64 f64 f64 f16 bf16 f32 f64",
    "i8 i16 i32 i64 f64 i8 i16 i32 i64 f16 bf16 f32 f64",
    "i16 i16 i32 i64 f64 i16 i16 i32 i64 f16 bf16 f32 f64",
    "i32 i32 i32 i64 f64 i32 i32 i32 i64 f16 bf16 f32 f64",
    "i64 i64 i64 i64 f64 i64 i64 i64 i64 f16 bf16 f32 f64",
    "f16 f16 f16 f16 f16 f16 f16 f16 f16 f16 f32 f32 f64",
    "bf16 bf16 bf16 bf16 bf16 bf16 bf16 bf16 bf16 f32 bf16 f32 f64",
    "f32 f32 f32 f32 f32 f32 f32 f32 f32 f32 f32 f32 f64",
    "f64 f64 f64 f64 f64 f64 f64 f64 f64 f64 f64 f64 f64",
};

Test(dtype, promotion_table) {
  for (int a = 0; a < TH_DTYPE_COUNT; a++) {
    char row[128], *rest = row;
    snprintf(row, sizeof row, "%s", promotion[a]);
    for (int b = 0; b < TH_DTYPE_COUNT; b++) {
      const char *expected = strtok_r(NULL == rest ? NULL : rest, " ", &rest);
      const char *got = th_dtype_name(th__dtype_promote((th_dtype)a, (th_dtype)b));
      cr_assert(strcmp(got, expected) == 0, "%s with %s gives %s, not %s",
                th_dtype_name((th_dtype)a), th_dtype_name((th_dtype)b), got, expected);
    }
  }
}

Test(dtype, values_are_set_by_the_cast_rules) {
  static const struct {
    th_dtype t;
    double in, out;
  } cases[] = {
      {TH_BOOL, 0, 0},
      {TH_BOOL, 0.25, 1},
      {TH_BOOL, NAN, 1},
      {TH_U8, 255.9, 255},
      {TH_U8, 256, 255},
      {TH_U8, -0.9, 0},
      {TH_U8, -5, 0},
      {TH_U8, NAN, 0},
      {TH_I8, -128.7, -128},
      {TH_I8, -1e9, -128},
      {TH_I8, 127.5, 127},
      {TH_I16, 40000, 32767},
      {TH_U16, INFINITY, 65535},
      {TH_I32, 2147483647.5, 2147483647},
      {TH_I32, -INFINITY, -2147483648.0},
      {TH_U32, 4294967296.0, 4294967295.0},
      {TH_I64, 1e30, 0x1p63},
      {TH_I64, -1e30, -0x1p63},
      {TH_U64, 1e30, 0x1p64},
      {TH_I64, NAN, 0},
      {TH_F16, 70000, INFINITY},
      {TH_F16, 1.00048828125, 1},
      {TH_BF16, 1.00390625, 1},
      {TH_F32, 0.1, 0.1f},
      {TH_F32, 1e300, INFINITY},
      {TH_F64, 0.1, 0.1},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    uint64_t element = 0;
    th__dtype_set(cases[i].t, &element, cases[i].in);
    double got = th__dtype_get(cases[i].t, &element);
    cr_assert(got == cases[i].out, "%s of %g is %g, not %g", th_dtype_name(cases[i].t), cases[i].in,
              got, cases[i].out);
  }
}

Test(dtype, integers_are_read_exactly) {
  int64_t big = INT64_C(9007199254740993); /* 2^53 + 1 */
  uint64_t most = UINT64_MAX;
  double negative = -7.9;
  uint8_t odd_bool = 17;
  cr_assert(eq(i64, th__dtype_get_int(TH_I64, &big), big));
  cr_assert(eq(i64, th__dtype_get_int(TH_U64, &most), -1), "integers wrap");
  cr_assert(eq(i64, th__dtype_get_int(TH_F64, &negative), -7));
  cr_assert(eq(i64, th__dtype_get_int(TH_BOOL, &odd_bool), 1));
}
