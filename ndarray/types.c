/* Owns the public questions about element types. No state. */
#include "thrum/types.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "engine/base/error.h"
#include "ndarray/dtype.h"

static th_status check(th_dtype t, uint32_t set, const char *who) {
  if (!th__dtype_valid((int)t))
    return th__fail(TH_EDTYPE, "%s: %d is no element type", who, (int)t);
  if (th__dtype_in(t, set)) return TH_OK;
  return th__fail(TH_EDTYPE, "%s: element type %s is not accepted", who, th_dtype_name(t));
}

/* Floats and others are joined apart, because integers that are joined first may give f64. */
th_dtype th_result_type(const th_dtype *types, int n) {
  if (n < 1 || !types)
    return (void)th__fail(TH_EINVAL, "result_type: no element types"), TH_DTYPE_COUNT;
  th_dtype floating = TH_DTYPE_COUNT, other = TH_BOOL;
  for (int i = 0; i < n; i++) {
    if (check(types[i], TH_ANY, "result_type") != TH_OK) return TH_DTYPE_COUNT;
    if (!th__dtype_in(types[i], TH_FLOATS))
      other = th__dtype_promote(other, types[i]);
    else
      floating = floating == TH_DTYPE_COUNT ? types[i] : th__dtype_promote(floating, types[i]);
  }
  return floating == TH_DTYPE_COUNT ? other : floating;
}

bool th_can_cast(th_dtype from, th_dtype to) {
  return th__dtype_valid((int)from) && th__dtype_valid((int)to) &&
         th__dtype_promote(from, to) == to;
}

bool th_isdtype(th_dtype t, const char *kind) {
  static const struct {
    const char *name;
    uint32_t set;
  } kinds[] = {{"bool", TH_BOOLS},           {"signed integer", TH_SINTS},
               {"integral", TH_INTS},        {"unsigned integer", TH_UINTS},
               {"real floating", TH_FLOATS}, {"numeric", TH_NUMBERS}};
  if (check(t, TH_ANY, "isdtype") != TH_OK) return false;
  for (size_t i = 0; kind && i < sizeof kinds / sizeof *kinds; i++)
    if (strcmp(kind, kinds[i].name) == 0) return th__dtype_in(t, kinds[i].set);
  (void)th__fail(TH_EINVAL, "isdtype: '%s' is no kind of element types", kind ? kind : "(null)");
  return false;
}

th_status th_finfo(th_dtype t, th_float_info *out) {
  /* Digits of the significand, smallest and largest exponent as in <float.h>. */
  static const struct {
    int digits, lowest, highest;
  } formats[TH_DTYPE_COUNT] = {[TH_F16] = {11, -13, 16},
                               [TH_BF16] = {8, FLT_MIN_EXP, FLT_MAX_EXP},
                               [TH_F32] = {FLT_MANT_DIG, FLT_MIN_EXP, FLT_MAX_EXP},
                               [TH_F64] = {DBL_MANT_DIG, DBL_MIN_EXP, DBL_MAX_EXP}};
  TH_TRY(check(t, TH_FLOATS, "finfo"));
  if (!out) return th__fail(TH_EINVAL, "finfo: argument 1 is NULL");
  int digits = formats[t].digits;
  out->bits = (int)(8 * th__dtype_size(t));
  out->eps = ldexp(1, 1 - digits);
  out->max = ldexp(2 - ldexp(1, 1 - digits), formats[t].highest - 1);
  out->min = -out->max;
  out->smallest_normal = ldexp(1, formats[t].lowest - 1);
  return TH_OK;
}

th_status th_iinfo(th_dtype t, th_integer_info *out) {
  TH_TRY(check(t, TH_INTS, "iinfo"));
  if (!out) return th__fail(TH_EINVAL, "iinfo: argument 1 is NULL");
  out->bits = (int)(8 * th__dtype_size(t));
  bool has_sign = th__dtype_in(t, TH_SINTS);
  out->max = UINT64_MAX >> (64 - out->bits + has_sign);
  out->min = has_sign ? -(int64_t)out->max - 1 : 0;
  return TH_OK;
}
