/* Owns the rules by which an element becomes an element of another type: integers wrap; float to integer truncates and
 * saturates, NaN gives 0; to bool means != 0; to a half type rounds once, to nearest even. With both types constant
 * th__convert() folds to a few instructions. */
#ifndef THRUM_NDARRAY_CONVERT_H
#define THRUM_NDARRAY_CONVERT_H

#include "ndarray/dtype.h"
#include "ndarray/half.h"

#define TH__ALWAYS_INLINE static inline __attribute__((always_inline))

/* Loads an element as the narrowest of int32_t, int64_t, uint64_t, float, double that holds it. */
#define TH__LOAD_bool(p) ((int32_t)(*(const uint8_t *)(p) != 0))
#define TH__LOAD_u8(p)   ((int32_t) * (const uint8_t *)(p))
#define TH__LOAD_u16(p)  ((int32_t) * (const uint16_t *)(p))
#define TH__LOAD_u32(p)  ((int64_t) * (const uint32_t *)(p))
#define TH__LOAD_u64(p)  (*(const uint64_t *)(p))
#define TH__LOAD_i8(p)   ((int32_t) * (const int8_t *)(p))
#define TH__LOAD_i16(p)  ((int32_t) * (const int16_t *)(p))
#define TH__LOAD_i32(p)  (*(const int32_t *)(p))
#define TH__LOAD_i64(p)  (*(const int64_t *)(p))
#define TH__LOAD_f16(p)  th__f16_to_float(*(const th_f16 *)(p))
#define TH__LOAD_bf16(p) th__bf16_to_float(*(const th_bf16 *)(p))
#define TH__LOAD_f32(p)  (*(const float *)(p))
#define TH__LOAD_f64(p)  (*(const double *)(p))

#define TH__INT_TO_bool(v) ((uint8_t)((v) != 0))
#define TH__INT_TO_u8(v)   ((uint8_t)(v))
#define TH__INT_TO_u16(v)  ((uint16_t)(v))
#define TH__INT_TO_u32(v)  ((uint32_t)(v))
#define TH__INT_TO_u64(v)  ((uint64_t)(v))
#define TH__INT_TO_i8(v)   ((int8_t)(v))
#define TH__INT_TO_i16(v)  ((int16_t)(v))
#define TH__INT_TO_i32(v)  ((int32_t)(v))
#define TH__INT_TO_i64(v)  ((int64_t)(v))
#define TH__INT_TO_f16(v)  th__f16_from_float((float)(v)) /* exact where f16 is finite */
#define TH__INT_TO_bf16(v)                                                                         \
  _Generic((v), uint64_t : th__bf16_from_u64, default : th__bf16_from_i64)(v)
#define TH__INT_TO_f32(v) ((float)(v))
#define TH__INT_TO_f64(v) ((double)(v))

/* `high` may round up to 2^n in v's type; values below that are then in range. */
#define TH__SATURATE(v, type, low, high)                                                           \
  ((v) >= (__typeof__(v))(high)  ? (type)(high)                                                    \
   : (v) <= (__typeof__(v))(low) ? (type)(low)                                                     \
   : (v) == (v)                  ? (type)(v)                                                       \
                                 : (type)0)
#define TH__FLOAT_TO_bool(v) ((uint8_t)((v) != 0))
#define TH__FLOAT_TO_u8(v)   TH__SATURATE(v, uint8_t, 0, UINT8_MAX)
#define TH__FLOAT_TO_u16(v)  TH__SATURATE(v, uint16_t, 0, UINT16_MAX)
#define TH__FLOAT_TO_u32(v)  TH__SATURATE(v, uint32_t, 0, UINT32_MAX)
#define TH__FLOAT_TO_u64(v)  TH__SATURATE(v, uint64_t, 0, UINT64_MAX)
#define TH__FLOAT_TO_i8(v)   TH__SATURATE(v, int8_t, INT8_MIN, INT8_MAX)
#define TH__FLOAT_TO_i16(v)  TH__SATURATE(v, int16_t, INT16_MIN, INT16_MAX)
#define TH__FLOAT_TO_i32(v)  TH__SATURATE(v, int32_t, INT32_MIN, INT32_MAX)
#define TH__FLOAT_TO_i64(v)  TH__SATURATE(v, int64_t, INT64_MIN, INT64_MAX)
#define TH__FLOAT_TO_f16(v)                                                                        \
  _Generic((v), float : th__f16_from_float, double : th__f16_from_double)(v)
#define TH__FLOAT_TO_bf16(v)                                                                       \
  _Generic((v), float : th__bf16_from_float, double : th__bf16_from_double)(v)
#define TH__FLOAT_TO_f32(v) ((float)(v))
#define TH__FLOAT_TO_f64(v) ((double)(v))

#define TH__CASE_INT(UPPER, lower, type, bytes, kind)                                              \
  case TH_##UPPER:                                                                                 \
    *(type *)out = TH__INT_TO_##lower(v);                                                          \
    break;
#define TH__CASE_FLOAT(UPPER, lower, type, bytes, kind)                                            \
  case TH_##UPPER:                                                                                 \
    *(type *)out = TH__FLOAT_TO_##lower(v);                                                        \
    break;
#define TH__DEFINE_STORE(suffix, wide, CASE)                                                       \
  TH__ALWAYS_INLINE void th__store_##suffix(th_dtype to, void *out, wide v) {                      \
    switch (to) {                                                                                  \
      TH_FOR_DTYPE(CASE)                                                                           \
    default: break;                                                                                \
    }                                                                                              \
  }
TH__DEFINE_STORE(int, int32_t, TH__CASE_INT)
TH__DEFINE_STORE(long, int64_t, TH__CASE_INT)
TH__DEFINE_STORE(unsigned_long, uint64_t, TH__CASE_INT)
TH__DEFINE_STORE(float, float, TH__CASE_FLOAT)
TH__DEFINE_STORE(double, double, TH__CASE_FLOAT)

/* *out (of type to) = *in (of type from). */
TH__ALWAYS_INLINE void th__convert(th_dtype from, const void *in, th_dtype to, void *out) {
#define TH__CASE_FROM(UPPER, lower, type, bytes, kind)                                             \
  case TH_##UPPER:                                                                                 \
    _Generic(TH__LOAD_##lower(in), int32_t                                                         \
             : th__store_int, int64_t                                                              \
             : th__store_long, uint64_t                                                            \
             : th__store_unsigned_long, float                                                      \
             : th__store_float, double                                                             \
             : th__store_double)(to, out, TH__LOAD_##lower(in));                                   \
    break;
  switch (from) {
    TH_FOR_DTYPE(TH__CASE_FROM)
  default: break;
  }
#undef TH__CASE_FROM
}

#endif
