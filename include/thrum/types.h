/**
 * @file types.h
 * What is known about element types: promotion, kinds, limits. Nothing here needs the engine, nothing blocks.
 */
#ifndef THRUM_TYPES_H
#define THRUM_TYPES_H

#include <thrum/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The type in which operators on arrays of these n types compute: the Array API's promotion table; integers with floats give
 *  the floats' type, u64 with signed integers f64, f16 with bf16 f32. The order does not matter. TH_DTYPE_COUNT on failure:
 *  TH_EINVAL when n is 0, TH_EDTYPE when one is no type. */
TH_API th_dtype th_result_type(const th_dtype *types, int n);
/** Whether promotion turns from into to: th_result_type() of both is to. False when one is no type. */
TH_API bool th_can_cast(th_dtype from, th_dtype to);
/** Whether t is of a kind of the Array API: "bool", "signed integer", "unsigned integer", "integral", "real floating",
 *  "numeric". False for other kinds (TH_EINVAL) and when t is no type (TH_EDTYPE). */
TH_API bool th_isdtype(th_dtype t, const char *kind);

/** Limits of a floating type. */
typedef struct th_float_info {
  int bits;               /**< Of one element. */
  double eps;             /**< From 1 to the next larger value. */
  double min;             /**< Lowest finite value. */
  double max;             /**< Largest finite value. */
  double smallest_normal; /**< Smallest positive value of full precision. */
} th_float_info;

/** Limits of an integer type. */
typedef struct th_integer_info {
  int bits;     /**< Of one element. */
  int64_t min;  /**< Lowest value. */
  uint64_t max; /**< Largest value. */
} th_integer_info;

TH_API th_status th_finfo(th_dtype t, th_float_info *out);   /**< TH_EDTYPE unless floating. */
TH_API th_status th_iinfo(th_dtype t, th_integer_info *out); /**< TH_EDTYPE unless an integer. */

#ifdef __cplusplus
}
#endif
#endif
