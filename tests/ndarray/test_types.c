/* Questions about element types against tables written down by hand. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "thrum/thrum.h"

TestSuite(types, .timeout = 60);

static bool failed_with(th_status status, const char *part) {
  bool right = th_last_status() == status && strstr(th_last_error(), part) != NULL;
  th_clear_error();
  return right;
}

Test(types, result_type) {
  static const struct {
    int n;
    th_dtype types[4], wanted;
  } rows[] = {
      {1, {TH_U8}, TH_U8},
      {2, {TH_BOOL, TH_BOOL}, TH_BOOL},
      {2, {TH_BOOL, TH_I16}, TH_I16},
      {2, {TH_U8, TH_I8}, TH_I16},
      {2, {TH_U16, TH_I8}, TH_I32},
      {2, {TH_U32, TH_I32}, TH_I64},
      {2, {TH_U64, TH_I8}, TH_F64},
      {2, {TH_I64, TH_F16}, TH_F16},
      {2, {TH_F16, TH_BF16}, TH_F32},
      {3, {TH_F16, TH_F32, TH_F64}, TH_F64},
      {3, {TH_U64, TH_I8, TH_F32}, TH_F32}, /* in any order: not by way of f64 */
      {3, {TH_F32, TH_I8, TH_U64}, TH_F32},
      {3, {TH_I8, TH_F32, TH_U64}, TH_F32},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    cr_assert(eq(int, (int)th_result_type(rows[i].types, rows[i].n), (int)rows[i].wanted), "row %d",
              (int)i);
  cr_assert(eq(int, (int)th_result_type(NULL, 0), TH_DTYPE_COUNT));
  cr_assert(failed_with(TH_EINVAL, "result_type"));
  th_dtype bad[] = {TH_F32, (th_dtype)77};
  cr_assert(eq(int, (int)th_result_type(bad, 2), TH_DTYPE_COUNT));
  cr_assert(failed_with(TH_EDTYPE, "77"));
}

Test(types, can_cast) {
  cr_assert(th_can_cast(TH_U8, TH_I16) && th_can_cast(TH_I16, TH_F32) &&
            th_can_cast(TH_F32, TH_F32));
  cr_assert(eq(int, th_can_cast(TH_I16, TH_U8) || th_can_cast(TH_F64, TH_F32), false));
  cr_assert(eq(int, th_can_cast(TH_U8, TH_I8) || th_can_cast(TH_U8, TH_BOOL), false));
  cr_assert(th_can_cast(TH_BOOL, TH_U8));
  cr_assert(eq(int, th_can_cast((th_dtype)99, TH_F32) || th_can_cast(TH_F32, (th_dtype)-1), false));
}

Test(types, kinds) {
  static const char *const names[] = {"bool",     "signed integer", "unsigned integer",
                                      "integral", "real floating",  "numeric"};
  static const struct {
    th_dtype t;
    bool wanted[6];
  } rows[] = {{TH_BOOL, {1, 0, 0, 0, 0, 0}},
              {TH_I32, {0, 1, 0, 1, 0, 1}},
              {TH_U64, {0, 0, 1, 1, 0, 1}},
              {TH_BF16, {0, 0, 0, 0, 1, 1}},
              {TH_F64, {0, 0, 0, 0, 1, 1}}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    for (int k = 0; k < 6; k++)
      cr_assert(eq(int, th_isdtype(rows[i].t, names[k]), rows[i].wanted[k]), "%s %s",
                th_dtype_name(rows[i].t), names[k]);
  cr_assert(eq(int, th_isdtype(TH_F32, "complex floating"), false));
  cr_assert(failed_with(TH_EINVAL, "complex floating"));
  cr_assert(eq(int, th_isdtype(TH_F32, NULL), false));
  cr_assert(failed_with(TH_EINVAL, "isdtype"));
  cr_assert(eq(int, th_isdtype(TH_DTYPE_COUNT, "bool"), false));
  cr_assert(failed_with(TH_EDTYPE, "isdtype"));
}

Test(types, float_limits) {
  static const struct {
    th_dtype t;
    th_float_info wanted;
  } rows[] = {{TH_F16, {16, 0x1p-10, -65504, 65504, 0x1p-14}},
              {TH_BF16, {16, 0x1p-7, -0x1.fep127, 0x1.fep127, 0x1p-126}},
              {TH_F32, {32, FLT_EPSILON, -FLT_MAX, FLT_MAX, FLT_MIN}},
              {TH_F64, {64, DBL_EPSILON, -DBL_MAX, DBL_MAX, DBL_MIN}}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    th_float_info got;
    const th_float_info *w = &rows[i].wanted;
    cr_assert(eq(int, th_finfo(rows[i].t, &got), TH_OK));
    cr_assert(got.bits == w->bits && got.eps == w->eps && got.min == w->min && got.max == w->max &&
                  got.smallest_normal == w->smallest_normal,
              "%s", th_dtype_name(rows[i].t));
  }
  th_float_info unused;
  cr_assert(eq(int, th_finfo(TH_I32, &unused), TH_EDTYPE));
  cr_assert(eq(int, th_finfo(TH_F32, NULL), TH_EINVAL));
}

Test(types, integer_limits) {
  static const struct {
    th_dtype t;
    th_integer_info wanted;
  } rows[] = {{TH_I8, {8, INT8_MIN, INT8_MAX}},     {TH_I16, {16, INT16_MIN, INT16_MAX}},
              {TH_I32, {32, INT32_MIN, INT32_MAX}}, {TH_I64, {64, INT64_MIN, INT64_MAX}},
              {TH_U8, {8, 0, UINT8_MAX}},           {TH_U16, {16, 0, UINT16_MAX}},
              {TH_U32, {32, 0, UINT32_MAX}},        {TH_U64, {64, 0, UINT64_MAX}}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    th_integer_info got;
    cr_assert(eq(int, th_iinfo(rows[i].t, &got), TH_OK));
    cr_assert(got.bits == rows[i].wanted.bits && got.min == rows[i].wanted.min &&
                  got.max == rows[i].wanted.max,
              "%s", th_dtype_name(rows[i].t));
  }
  th_integer_info unused;
  cr_assert(eq(int, th_iinfo(TH_BOOL, &unused), TH_EDTYPE));
  cr_assert(eq(int, th_iinfo(TH_I8, NULL), TH_EINVAL));
}
