/* The half types against exact arithmetic: all values, all ties, both directions. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fenv.h>
#include <math.h>

#include "ndarray/convert.h"

TestSuite(half, .timeout = 60);

/* |value| rounded to nearest even on the grid of a format with `bits` significant bits and smallest exponent `low`, whose
 * largest finite value is `most`. */
static double round_exactly(double value, int bits, int low, double most) {
  int exponent;
  double a = fabs(value);
  if (isnan(value) || isinf(value) || value == 0) return value;
  (void)frexp(a, &exponent); /* a = [0.5, 1) * 2^exponent */
  int unit = (exponent > low ? exponent : low) - bits;
  double rounded = ldexp(nearbyint(ldexp(a, -unit)), unit);
  return copysign(rounded > most ? (double)INFINITY : rounded, value);
}

static double f16_exactly(double value) { return round_exactly(value, 11, -13, 65504.0); }
static double bf16_exactly(double value) {
  return round_exactly(value, 8, -125, ldexp(255.0 / 128.0, 127));
}

static bool same(double a, double b) {
  return (isnan(a) && isnan(b)) || (a == b && signbit(a) == signbit(b));
}

Test(half, f16_every_value_survives) {
  for (uint32_t bits = 0; bits < 65536; bits++) {
    th_f16 h = {(uint16_t)bits};
    cr_assert(eq(u16, th_f16_from_float(th_f16_to_float(h)).bits, h.bits));
  }
}

Test(half, bf16_every_value_survives) {
  for (uint32_t bits = 0; bits < 65536; bits++) {
    th_bf16 h = {(uint16_t)bits};
    cr_assert(eq(u16, th_bf16_from_float(th_bf16_to_float(h)).bits, h.bits));
  }
}

Test(half, f16_to_float_is_exact) {
  for (uint32_t bits = 0; bits < 65536; bits++) {
    int exponent = bits >> 10 & 31, fraction = bits & 1023;
    double expected = exponent == 31 ? (fraction ? (double)NAN : (double)INFINITY)
                      : exponent     ? ldexp(1024 + fraction, exponent - 25)
                                     : ldexp(fraction, -24);
    if (bits & 0x8000) expected = -expected;
    double got = (double)th_f16_to_float((th_f16){(uint16_t)bits});
    cr_assert(isnan(expected) ? isnan(got) : same(got, expected), "bits 0x%04x: %g", bits, got);
  }
}

Test(half, f16_ties_go_to_even) {
  for (uint32_t bits = 0; bits < 0x7bff; bits++) {
    double low = (double)th_f16_to_float((th_f16){(uint16_t)bits});
    double high = (double)th_f16_to_float((th_f16){(uint16_t)(bits + 1)}),
           middle = (low + high) / 2;
    float tie = (float)middle;
    cr_assert(eq(dbl, (double)tie, middle), "ties are exact in float");
    cr_assert(eq(u16, th_f16_from_float(tie).bits, bits + (bits & 1)));
    cr_assert(eq(u16, th_f16_from_float(nextafterf(tie, 0)).bits, bits));
    cr_assert(eq(u16, th_f16_from_float(nextafterf(tie, INFINITY)).bits, bits + 1));
    cr_assert(eq(u16, th__f16_from_double(nextafter(middle, 0)).bits, bits));
    cr_assert(eq(u16, th__f16_from_double(nextafter(middle, HUGE_VAL)).bits, bits + 1));
    cr_assert(eq(u16, th__f16_from_double(-middle).bits, 0x8000 + bits + (bits & 1)));
  }
}

Test(half, bf16_ties_go_to_even) {
  for (uint32_t bits = 0; bits < 0x7f7f; bits++) {
    double low = (double)th_bf16_to_float((th_bf16){(uint16_t)bits});
    double high = (double)th_bf16_to_float((th_bf16){(uint16_t)(bits + 1)}),
           middle = (low + high) / 2;
    float tie = (float)middle;
    cr_assert(eq(u16, th_bf16_from_float(tie).bits, bits + (bits & 1)));
    cr_assert(eq(u16, th_bf16_from_float(nextafterf(tie, 0)).bits, bits));
    cr_assert(eq(u16, th_bf16_from_float(nextafterf(tie, INFINITY)).bits, bits + 1));
    cr_assert(eq(u16, th__bf16_from_double(nextafter(middle, 0)).bits, bits));
    cr_assert(eq(u16, th__bf16_from_double(nextafter(middle, HUGE_VAL)).bits, bits + 1));
  }
}

Test(half, floats_round_once) {
  for (uint64_t bits = 0; bits < UINT64_C(1) << 32; bits += 4099) {
    float f = th__bits_float((uint32_t)bits);
    cr_assert(same((double)th_f16_to_float(th_f16_from_float(f)), f16_exactly((double)f)),
              "f16 of %a", (double)f);
    cr_assert(same((double)th_bf16_to_float(th_bf16_from_float(f)), bf16_exactly((double)f)),
              "bf16 of %a", (double)f);
  }
}

Test(half, doubles_round_once) {
  uint64_t state = 1;
  for (int i = 0; i < 1000000; i++) {
    state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
    int scale = (int)(state >> 40) % 340 - 170;
    double d = ldexp((double)(int64_t)state, scale - 63);
    cr_assert(same((double)th_f16_to_float(th__f16_from_double(d)), f16_exactly(d)), "f16 of %a",
              d);
    cr_assert(same((double)th_bf16_to_float(th__bf16_from_double(d)), bf16_exactly(d)),
              "bf16 of %a", d);
  }
}

Test(half, integers_round_once) {
  /* 2^63 + 2^55 is a tie of bf16; the last bit decides, which a double cannot hold. */
  uint64_t tie = (UINT64_C(1) << 63) + (UINT64_C(1) << 55);
  cr_assert(eq(u16, th__bf16_from_u64(tie).bits, 0x5f00));
  cr_assert(eq(u16, th__bf16_from_u64(tie + 1).bits, 0x5f01));
  cr_assert(eq(u16, th__bf16_from_u64(tie - 1).bits, 0x5f00));
  cr_assert(eq(u16, th__bf16_from_i64(INT64_MIN).bits, 0xdf00));
  cr_assert(eq(u16, th__bf16_from_i64(-(INT64_C(1) << 62) - (INT64_C(1) << 54) - 1).bits, 0xde81));
  cr_assert(eq(u16, th__bf16_from_i64(-3).bits, 0xc040));
}

Test(half, extremes) {
  cr_assert(eq(u16, th_f16_from_float(65519.996f).bits, 0x7bff));
  cr_assert(eq(u16, th_f16_from_float(65520.0f).bits, 0x7c00));
  cr_assert(eq(u16, th_f16_from_float(-INFINITY).bits, 0xfc00));
  cr_assert(eq(u16, th_f16_from_float(0x1p-25f).bits, 0));
  cr_assert(eq(u16, th_f16_from_float(-0x1p-26f).bits, 0x8000));
  cr_assert(eq(u16, th__f16_from_double(1e300).bits, 0x7c00));
  cr_assert(eq(u16, th__f16_from_double(-1e-300).bits, 0x8000));
  cr_assert(eq(u16, th__bf16_from_double(1e300).bits, 0x7f80));
  cr_assert(eq(u16, th__bf16_from_double((double)INFINITY).bits, 0x7f80));
  cr_assert(isnan(th_f16_to_float(th__f16_from_double((double)NAN))));
  cr_assert(isnan(th_bf16_to_float(th__bf16_from_double((double)NAN))));
  /* NaNs whose upper bits are all 0 must not become infinity. */
  cr_assert(isnan(th_f16_to_float(th_f16_from_float(th__bits_float(0x7f800001)))));
  cr_assert(isnan(th_bf16_to_float(th_bf16_from_float(th__bits_float(0xff800001)))));
  uint64_t bits = UINT64_C(0x7ff0000000000001);
  double low_nan;
  memcpy(&low_nan, &bits, sizeof bits);
  cr_assert(isnan(th_f16_to_float(th__f16_from_double(low_nan))));
}

Test(half, the_rounding_mode_of_the_host_does_not_matter) {
  fesetround(FE_UPWARD);
  uint16_t up = th_f16_from_float(1.0f + 0x1p-12f).bits;
  uint16_t wide = th__f16_from_double(1.0 + 0x1p-40).bits;
  fesetround(FE_TONEAREST);
  cr_assert(eq(u16, up, 0x3c00));
  cr_assert(eq(u16, wide, 0x3c00));
}
