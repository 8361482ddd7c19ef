/* Owns what is known about element types: sizes, names, promotion, single elements. */
#include "ndarray/dtype.h"

#include "ndarray/convert.h"

static const struct {
  uint8_t bytes;
  char kind;
  const char *name;
} dtypes[TH_DTYPE_COUNT] = {
#define TH__ROW(UPPER, lower, type, size, letter) [TH_##UPPER] = {size, letter, #lower},
    TH_FOR_DTYPE(TH__ROW)
#undef TH__ROW
};

#define TH__CHECK_SIZE(UPPER, lower, type, size, letter)                                           \
  _Static_assert(sizeof(type) == (size), "size of " #lower);
TH_FOR_DTYPE(TH__CHECK_SIZE)
#undef TH__CHECK_SIZE

bool th__dtype_valid(int t) { return t >= 0 && t < TH_DTYPE_COUNT; }

bool th__dtype_in(th_dtype t, uint32_t set) { return th__dtype_valid((int)t) && (set >> t & 1); }

size_t th_dtype_size(th_dtype t) { return th__dtype_valid((int)t) ? dtypes[t].bytes : 0; }

const char *th_dtype_name(th_dtype t) { return th__dtype_valid((int)t) ? dtypes[t].name : "?"; }

/* The signed type of at least that many bytes; beyond 8 there is none and f64 takes over. */
static th_dtype signed_of(int bytes) {
  return bytes == 1   ? TH_I8
         : bytes == 2 ? TH_I16
         : bytes == 4 ? TH_I32
         : bytes == 8 ? TH_I64
                      : TH_F64;
}

th_dtype th__dtype_promote(th_dtype a, th_dtype b) {
  char ka = dtypes[a].kind, kb = dtypes[b].kind;
  if (a == b || kb == 'b') return a;
  if (ka == 'b') return b;
  if (ka == kb) {
    if (dtypes[a].bytes == dtypes[b].bytes) return TH_F32; /* f16 with bf16 */
    return dtypes[a].bytes > dtypes[b].bytes ? a : b;
  }
  if (ka == 'f') return a;
  if (kb == 'f') return b;
  int bytes_signed = ka == 'i' ? dtypes[a].bytes : dtypes[b].bytes;
  int bytes_unsigned = ka == 'u' ? dtypes[a].bytes : dtypes[b].bytes;
  return signed_of(bytes_signed > bytes_unsigned ? bytes_signed : 2 * bytes_unsigned);
}

double th__dtype_get(th_dtype t, const void *element) {
  double value = 0;
  th__convert(t, element, TH_F64, &value);
  return value;
}

void th__dtype_set(th_dtype t, void *element, double value) {
  th__convert(TH_F64, &value, t, element);
}

int64_t th__dtype_get_int(th_dtype t, const void *element) {
  int64_t value = 0;
  th__convert(t, element, TH_I64, &value);
  return value;
}
