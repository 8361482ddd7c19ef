/* Owns what is known about element types: sizes, names, promotion, single elements. */
#include "ndarray/dtype.h"

#include "ndarray/convert.h"

static const struct {
  char kind;
  const char *name;
} dtypes[TH_DTYPE_COUNT] = {
#define TH__ROW(UPPER, lower, type, size, letter) [TH_##UPPER] = {letter, #lower},
    TH_FOR_DTYPE(TH__ROW)
#undef TH__ROW
};

const uint8_t th__dtype_bytes[TH_DTYPE_COUNT] = {
#define TH__BYTES(UPPER, lower, type, size, letter) [TH_##UPPER] = size,
    TH_FOR_DTYPE(TH__BYTES)
#undef TH__BYTES
};

#define TH__CHECK_SIZE(UPPER, lower, type, size, letter)                                           \
  _Static_assert(sizeof(type) == (size), "size of " #lower);
TH_FOR_DTYPE(TH__CHECK_SIZE)
#undef TH__CHECK_SIZE

size_t th_dtype_size(th_dtype t) { return th__dtype_valid((int)t) ? th__dtype_bytes[t] : 0; }

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
    if (th__dtype_bytes[a] == th__dtype_bytes[b]) return TH_F32; /* f16 with bf16 */
    return th__dtype_bytes[a] > th__dtype_bytes[b] ? a : b;
  }
  if (ka == 'f') return a;
  if (kb == 'f') return b;
  int bytes_signed = ka == 'i' ? th__dtype_bytes[a] : th__dtype_bytes[b];
  int bytes_unsigned = ka == 'u' ? th__dtype_bytes[a] : th__dtype_bytes[b];
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
