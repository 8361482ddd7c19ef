/* Owns the arithmetic of the half types: conversions by integer operations alone, so that the host's rounding and
 * flush-to-zero modes cannot change a bit. */
#ifndef THRUM_NDARRAY_HALF_H
#define THRUM_NDARRAY_HALF_H

#include <string.h>

#include "thrum/base.h"

static inline uint32_t th__float_bits(float f) {
  uint32_t bits;
  memcpy(&bits, &f, sizeof bits);
  return bits;
}

static inline float th__bits_float(uint32_t bits) {
  float f;
  memcpy(&f, &bits, sizeof f);
  return f;
}

static inline float th__f16_to_float(th_f16 h) {
  uint32_t sign = (uint32_t)(h.bits & 0x8000) << 16, exponent = h.bits >> 10 & 31;
  uint32_t fraction = h.bits & 0x3ff;
  if (exponent == 31) return th__bits_float(sign | 0x7f800000 | fraction << 13);
  if (exponent == 0) {
    if (fraction == 0) return th__bits_float(sign);
    int shift = __builtin_clz(fraction) - 21; /* brings the leading 1 to bit 10 */
    return th__bits_float(sign | (uint32_t)(113 - shift) << 23 | (fraction << shift & 0x3ff) << 13);
  }
  return th__bits_float(sign | (exponent + 112) << 23 | fraction << 13);
}

/* NaN keeps its upper fraction bits; one that would turn into infinity gets the quiet bit. */
static inline th_f16 th__f16_from_float(float f) {
  uint32_t bits = th__float_bits(f), sign = bits >> 16 & 0x8000, rest = bits & 0x7fffffff;
  uint32_t out;
  if (rest > 0x7f800000) {
    uint32_t fraction = rest >> 13 & 0x3ff;
    out = 0x7c00 | (fraction ? fraction : 0x200);
  } else if (rest >= 0x477ff000) { /* 65520 and more round to infinity */
    out = 0x7c00;
  } else if (rest >= 0x38800000) { /* normal: the carry of rounding runs into the exponent */
    out = (rest - 0x38000000 + 0xfff + (rest >> 13 & 1)) >> 13;
  } else if (rest > 0x33000000) { /* denormal: above half of the smallest one */
    uint32_t fraction = (rest & 0x7fffff) | 0x800000, shift = 126 - (rest >> 23);
    uint32_t kept = fraction >> shift, lost = fraction & ((UINT32_C(1) << shift) - 1);
    uint32_t half = UINT32_C(1) << (shift - 1);
    out = kept + (lost > half || (lost == half && (kept & 1)));
  } else {
    out = 0;
  }
  return (th_f16){(uint16_t)(sign | out)};
}

static inline float th__bf16_to_float(th_bf16 h) { return th__bits_float((uint32_t)h.bits << 16); }

static inline th_bf16 th__bf16_from_float(float f) {
  uint32_t bits = th__float_bits(f);
  if ((bits & 0x7fffffff) > 0x7f800000) {
    uint32_t upper = bits >> 16;
    return (th_bf16){(uint16_t)(upper & 0x7f ? upper : upper | 0x40)};
  }
  return (th_bf16){(uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

/* double to float so that a second rounding to a half type gives the result of rounding once: truncated, the last bit set
 * when anything was lost ("round to odd"). */
static inline float th__float_round_odd(double d) {
  uint64_t wide;
  memcpy(&wide, &d, sizeof wide);
  uint32_t sign = (uint32_t)(wide >> 32) & 0x80000000, exponent = (uint32_t)(wide >> 52) & 0x7ff;
  uint64_t fraction = wide & ((UINT64_C(1) << 52) - 1);
  if (exponent == 0x7ff) {
    uint32_t upper = (uint32_t)(fraction >> 29);
    return th__bits_float(sign | 0x7f800000 | (fraction && !upper ? 0x400000 : upper));
  }
  if (exponent > 1150)
    return th__bits_float(sign | 0x7f7fffff); /* beyond every float: odd, largest */
  if (exponent < 874) return th__bits_float(sign | (fraction || exponent ? 1 : 0));
  int shift =
      exponent > 896 ? 29 : 926 - (int)exponent; /* more bits go below the smallest normal */
  uint64_t all =
      exponent > 896 ? (uint64_t)(exponent - 896) << 52 | fraction : UINT64_C(1) << 52 | fraction;
  uint32_t kept = (uint32_t)(all >> shift);
  return th__bits_float(sign | kept | ((all & ((UINT64_C(1) << shift) - 1)) != 0));
}

/* 64-bit integers may have more bits than a double: what does not fit goes into one sticky bit below the rounding place of
 * every half type, so that rounding happens once. */
static inline th_bf16 th__bf16_from_u64(uint64_t v) {
  if (v >> 53) v = (v | (uint64_t)((v & 0x7ff) != 0) << 11) & ~UINT64_C(0x7ff);
  return th__bf16_from_float(th__float_round_odd((double)v));
}

static inline th_bf16 th__bf16_from_i64(int64_t v) {
  th_bf16 out = th__bf16_from_u64(v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
  if (v < 0) out.bits |= 0x8000;
  return out;
}

static inline th_bf16 th__bf16_from_double(double v) {
  return th__bf16_from_float(th__float_round_odd(v));
}

static inline th_f16 th__f16_from_double(double v) {
  return th__f16_from_float(th__float_round_odd(v));
}

#endif
