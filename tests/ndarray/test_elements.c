/* Casting and moving elements: every pair of types, every kind of layout, against one element at a time. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ndarray/array.h"
#include "ndarray/dtype.h"

TestSuite(elements, .timeout = 60);

static uint64_t state = 7;
static uint64_t next_random(void) {
  state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
  return state >> 20;
}

/* A rule of its own for what *in becomes, by long double, which holds every value of every type. */
static long double load(th_dtype t, const void *p) {
  switch (t) {
  case TH_U64: return (long double)*(const uint64_t *)p;
  case TH_I64: return (long double)*(const int64_t *)p;
  default: return (long double)th__dtype_get(t, p);
  }
}

static bool is_float(th_dtype t) { return th__dtype_in(t, TH_FLOATS); }

/* What an integer type makes of a value of a float type. */
static long double clamp(th_dtype to, long double v) {
  int bits = (int)th_dtype_size(to) * 8;
  bool is_signed = th__dtype_in(to, TH_SINTS);
  long double low = is_signed ? -powl(2, bits - 1) : 0,
              high = powl(2, is_signed ? bits - 1 : bits) - 1;
  if (isnan(v)) return 0;
  v = truncl(v);
  return v < low ? low : v > high ? high : v;
}

/* What an integer type makes of an integer. */
static long double wrap(th_dtype to, long double v) {
  int bits = (int)th_dtype_size(to) * 8;
  long double range = powl(2, bits);
  v = fmodl(v, range);
  if (v < 0) v += range;
  if (th__dtype_in(to, TH_SINTS) && v >= range / 2) v -= range;
  return v;
}

/* v rounded to a float type: to nearest even, once. */
static long double round_float(th_dtype to, long double v) {
  static const int bits[] = {[TH_F16] = 11, [TH_BF16] = 8, [TH_F32] = 24, [TH_F64] = 53};
  static const int low[] = {[TH_F16] = -13, [TH_BF16] = -125, [TH_F32] = -125, [TH_F64] = -1021};
  static const int high[] = {[TH_F16] = 16, [TH_BF16] = 128, [TH_F32] = 128, [TH_F64] = 1024};
  int exponent;
  if (isnan(v) || isinf(v) || v == 0) return v;
  (void)frexpl(v, &exponent);
  int unit = (exponent > low[to] ? exponent : low[to]) - bits[to];
  long double rounded = ldexpl(nearbyintl(ldexpl(v, -unit)), unit);
  return fabsl(rounded) >= ldexpl(1, high[to]) ? copysignl((long double)INFINITY, v) : rounded;
}

static long double expected(th_dtype from, th_dtype to, const void *in) {
  long double v = load(from, in);
  if (to == TH_BOOL) return v != 0;
  if (is_float(to)) return round_float(to, v);
  return is_float(from) ? clamp(to, v) : wrap(to, v);
}

/* Random bits with all kinds of exponents, and special values. */
static void fill(th_dtype t, char *p, int n) {
  size_t size = th_dtype_size(t);
  for (int i = 0; i < n; i++) {
    uint64_t bits = next_random() << 40 ^ next_random() << 20 ^ next_random();
    if (is_float(t) && i % 3) {
      double v = ldexp((double)(int64_t)bits, (int)(next_random() % 90) - 80);
      th__dtype_set(t, p + (size_t)i * size, v);
    } else {
      if (i % 7 == 0) bits = i % 2 ? 0 : UINT64_MAX;
      memcpy(p + (size_t)i * size, &bits, size);
    }
  }
}

enum { N = 1000 };

Test(elements, every_pair_of_types) {
  static uint64_t in[N], out[N];
  for (int from = 0; from < TH_DTYPE_COUNT; from++) {
    fill((th_dtype)from, (char *)in, N);
    for (int to = 0; to < TH_DTYPE_COUNT; to++) {
      th_layout a = {.dtype = (th_dtype)from, .ndim = 1, .shape = {N}, .strides = {1}}, b = a;
      b.dtype = (th_dtype)to;
      memset(out, 0x5a, sizeof out);
      th__copy_elements(&a, in, &b, out);
      for (int i = 0; i < N; i++) {
        const char *x = (char *)in + (size_t)i * th_dtype_size(a.dtype);
        const char *y = (char *)out + (size_t)i * th_dtype_size(b.dtype);
        if (from == to) {
          cr_assert(memcmp(x, y, th_dtype_size(a.dtype)) == 0, "%s is moved as bits",
                    th_dtype_name(a.dtype));
          continue;
        }
        long double want = expected(a.dtype, b.dtype, x), got = load(b.dtype, y);
        cr_assert(got == want || (isnan(got) && isnan(want)), "%s to %s: %Lg gives %Lg, not %Lg",
                  th_dtype_name(a.dtype), th_dtype_name(b.dtype), load(a.dtype, x), got, want);
      }
    }
  }
}

Test(elements, bool_from_any_byte) {
  uint8_t in[4] = {0, 1, 2, 255};
  float out[4];
  th_layout a = {.dtype = TH_BOOL, .ndim = 1, .shape = {4}, .strides = {1}}, b = a;
  b.dtype = TH_F32;
  th__copy_elements(&a, in, &b, out);
  for (int i = 0; i < 4; i++) cr_assert(eq(flt, out[i], i > 0 ? 1.0f : 0.0f));
}

/* A random layout of the given shape inside `room` elements: permuted, spread, flipped, and repeated where allowed. */
static int64_t random_strides(th_layout *l, bool may_repeat) {
  int order[TH_MAX_DIMS];
  int64_t stride = 1, lowest = 0;
  for (int i = 0; i < l->ndim; i++) order[i] = i;
  for (int i = l->ndim - 1; i > 0; i--) {
    int j = (int)(next_random() % (uint64_t)(i + 1)), kept = order[i];
    order[i] = order[j];
    order[j] = kept;
  }
  for (int i = 0; i < l->ndim; i++) {
    int d = order[i];
    stride *= 1 + (int64_t)(next_random() % 4 == 0);
    l->strides[d] = stride;
    stride *= l->shape[d] ? l->shape[d] : 1;
    if (next_random() % 4 == 0) {
      lowest -= (l->shape[d] - 1) * l->strides[d];
      l->strides[d] = -l->strides[d];
    } else if (may_repeat && next_random() % 6 == 0) {
      l->strides[d] = 0;
    }
  }
  l->offset = 12345; /* must not matter */
  return -lowest;
}

static int64_t place(const th_layout *l, int64_t index) {
  int64_t at = 0;
  for (int d = l->ndim - 1; d >= 0; d--) {
    at += index % l->shape[d] * l->strides[d];
    index /= l->shape[d];
  }
  return at;
}

Test(elements, every_kind_of_layout) {
  enum { ROOM = 200000 };
  double *in = calloc(ROOM, sizeof *in);
  char *out = malloc(ROOM * sizeof(double));
  for (int i = 0; i < ROOM; i++) in[i] = i;
  for (int round = 0; round < 600; round++) {
    th_layout from = {.dtype = TH_F64, .ndim = (int)(next_random() % 6)}, to;
    for (int d = 0; d < from.ndim; d++) from.shape[d] = (int64_t)(next_random() % 7);
    if (round % 5 == 0 && from.ndim == 2) from.shape[0] = 150, from.shape[1] = 131;
    to = from;
    to.dtype = round % 3 ? (round % 3 == 1 ? TH_F32 : TH_I32) : TH_F64;
    int64_t n = th__layout_size(&from);
    if (n == 0) from.shape[0] = to.shape[0] = 0;
    int64_t first_in = n ? random_strides(&from, true) : 0;
    int64_t first_out = n ? random_strides(&to, false) : 0;
    size_t size = th_dtype_size(to.dtype);
    memset(out, 0xff, ROOM * sizeof(double));
    th__copy_elements(&from, in + first_in, &to, out + (size_t)first_out * size);
    int64_t written = 0;
    for (int64_t i = 0; i < n; i++) {
      char *y = out + (size_t)(first_out + place(&to, i)) * size;
      double want = in[first_in + place(&from, i)], got = th__dtype_get(to.dtype, y);
      cr_assert(got == want, "round %d, element %lld: %g, not %g", round, (long long)i, got, want);
      memset(y, 0xff, size);
      written++;
    }
    bool untouched =
        (unsigned char)out[0] == 0xff && memcmp(out, out + 1, ROOM * sizeof(double) - 1) == 0;
    cr_assert(untouched, "round %d wrote beyond its elements", round);
    cr_assert(eq(i64, written, n));
  }
  free(in);
  free(out);
}
