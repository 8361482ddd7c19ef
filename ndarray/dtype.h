/* Owns everything that depends only on element types: size, kind, promotion, conversion of single values. */
#ifndef THRUM_NDARRAY_DTYPE_H
#define THRUM_NDARRAY_DTYPE_H

#include "thrum/base.h"

/* Expands X(NAME, name, C type, bytes, kind) for every dtype: the only way to switch over types. */
#define TH_FOR_DTYPE(X) TH_DTYPE_MAP(X)

/* Sets of dtypes as bit masks, for operator records. */
#define TH_BIT(dtype) (1u << (dtype))
#define TH_BOOLS      TH_BIT(TH_BOOL)
#define TH_UINTS      (TH_BIT(TH_U8) | TH_BIT(TH_U16) | TH_BIT(TH_U32) | TH_BIT(TH_U64))
#define TH_SINTS      (TH_BIT(TH_I8) | TH_BIT(TH_I16) | TH_BIT(TH_I32) | TH_BIT(TH_I64))
#define TH_INTS       (TH_UINTS | TH_SINTS)
#define TH_HALVES     (TH_BIT(TH_F16) | TH_BIT(TH_BF16))
#define TH_SINGLES    (TH_BIT(TH_F32) | TH_BIT(TH_F64))
#define TH_FLOATS     (TH_HALVES | TH_SINGLES)
#define TH_NUMBERS    (TH_INTS | TH_FLOATS)
#define TH_ANY        (TH_BOOLS | TH_NUMBERS)

extern const uint8_t th__dtype_bytes[TH_DTYPE_COUNT];
/* th_dtype_size() of a valid type. */
static inline int64_t th__dtype_size(th_dtype t) { return th__dtype_bytes[t]; }
static inline bool th__dtype_valid(int t) { return t >= 0 && t < TH_DTYPE_COUNT; }
static inline bool th__dtype_in(th_dtype t, uint32_t set) {
  return th__dtype_valid((int)t) && (set >> t & 1);
}
/* Common type of a and b by the Array API's table; an integer with a float gives the float; u64 with a signed integer
 * gives f64. Never fails. */
th_dtype th__dtype_promote(th_dtype a, th_dtype b);
/* Reads and writes one element as double or int64, with the cast rules of th_astype(). */
double th__dtype_get(th_dtype t, const void *element);
void th__dtype_set(th_dtype t, void *element, double value);
int64_t th__dtype_get_int(th_dtype t, const void *element);

#endif
