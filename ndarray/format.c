/* Owns the text of single elements. The rules are those of NumPy's array2string with its default options: the shortest digits
 * that read back as the same value of the type, at most 8 after the point; scientific when the largest value or the ratio of
 * the largest and smallest demand it. */
#include "ndarray/format.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ndarray/dtype.h"

#define PRECISION 8

/* digits[0].digits[1]digits[2]... * 10^exponent, without trailing zeros. */
typedef struct decimal {
  bool negative;
  int n, exponent;
  char digits[40];
} decimal;

/* Reads printf's "-d.ddde+xx"; whatever the locale puts between digits is skipped. */
static void decimal_read(const char *text, decimal *out) {
  out->negative = *text == '-';
  out->n = 0;
  for (; *text && *text != 'e'; text++)
    if (*text >= '0' && *text <= '9') out->digits[out->n++] = *text;
  out->exponent = *text ? atoi(text + 1) : 0;
  while (out->n > 1 && out->digits[out->n - 1] == '0') out->n--;
}

/* The value as its type holds it. */
static double round_to(th_dtype t, double value) {
  uint64_t bits = 0;
  th__dtype_set(t, &bits, value);
  return th__dtype_get(t, &bits);
}

static bool reads_back(th_dtype t, const char *text, double value) {
  if (t == TH_F64) return strtod(text, NULL) == value;
  if (t == TH_F32) return (double)strtof(text, NULL) == value;
  return round_to(t, strtod(text, NULL)) == value;
}

/* Shortest digits of a finite value, cut after the PRECISION-th place behind the point. */
static void decimal_make(th_dtype t, double value, bool scientific, decimal *out) {
  char text[64];
  snprintf(text, sizeof text, "%.17e", value);
  decimal_read(text, out);
  int most = scientific ? PRECISION : PRECISION + out->exponent;
  if (most > 17) most = 17;
  if (most < 0) most = 0;
  for (int places = 0; places <= most; places++) {
    snprintf(text, sizeof text, "%.*e", places, value);
    if (reads_back(t, text, value)) break;
  }
  decimal_read(text, out);
}

static int text_positional(const decimal *d, char *out, int *point) {
  char *at = out;
  if (d->negative) *at++ = '-';
  if (d->exponent < 0) *at++ = '0';
  for (int i = 0; i <= d->exponent; i++) *at++ = i < d->n ? d->digits[i] : '0';
  *point = (int)(at - out);
  *at++ = '.';
  bool zero = d->n == 1 && d->digits[0] == '0';
  for (int i = -1; i > d->exponent && !zero; i--) *at++ = '0';
  for (int i = d->exponent < 0 ? 0 : d->exponent + 1; i < d->n && !zero; i++) *at++ = d->digits[i];
  *at = 0;
  return (int)(at - out);
}

/* All values shown together get the same number of digits: exact ones, not zeros, beyond the shortest. */
static int text_scientific(const th__format *f, double value, char *out, int *point) {
  char text[TH__ELEMENT_TEXT], *at = out;
  decimal d;
  snprintf(text, sizeof text, "%.*e", f->precision, value);
  decimal_read(text, &d);
  if (d.negative) *at++ = '-';
  *at++ = d.digits[0];
  *point = (int)(at - out);
  *at++ = '.';
  for (int i = 1; i <= f->precision; i++) *at++ = i < d.n ? d.digits[i] : '0';
  at += snprintf(at, 8, "e%c%0*d", d.exponent < 0 ? '-' : '+', f->exponent, abs(d.exponent));
  return (int)(at - out);
}

static void widen(int *width, int n) {
  if (n > *width) *width = n;
}

/* Whether the finite values that are not 0 are too large, too small or too far apart for plain digits; computed in their
 * type, as NumPy does. */
static bool needs_exponent(th_dtype t, double smallest, double largest) {
  static const double limits[TH_DTYPE_COUNT] = {
      [TH_F16] = 1e3, [TH_BF16] = 1e2, [TH_F32] = 1e6, [TH_F64] = 1e8};
  if (largest == 0) return false;
  return largest >= limits[t] || smallest < round_to(t, 0.0001) ||
         round_to(t, largest / smallest) > 1000;
}

static void init_float(th__format *f, const char *elements, int64_t n) {
  size_t size = th_dtype_size(f->dtype);
  double smallest = HUGE_VAL, largest = 0;
  bool special = false, negative_infinity = false;
  for (int64_t i = 0; i < n; i++) {
    double value = th__dtype_get(f->dtype, elements + (size_t)i * size), a = fabs(value);
    bool fine = isfinite(value);
    special |= !fine;
    negative_infinity |= isinf(value) && value < 0;
    if (!fine || value == 0) continue;
    if (a < smallest) smallest = a;
    if (a > largest) largest = a;
  }
  f->scientific = needs_exponent(f->dtype, smallest, largest);
  f->precision = f->scientific ? 0 : PRECISION;
  f->exponent = 2;
  for (int64_t i = 0; i < n; i++) {
    char text[TH__ELEMENT_TEXT];
    decimal d;
    int point;
    double value = th__dtype_get(f->dtype, elements + (size_t)i * size);
    if (!isfinite(value)) continue;
    decimal_make(f->dtype, value, f->scientific, &d);
    if (f->scientific) {
      widen(&f->precision, d.n - 1);
      widen(&f->left, d.negative ? 2 : 1);
      if (abs(d.exponent) > 99) f->exponent = 3;
    } else {
      int length = text_positional(&d, text, &point);
      widen(&f->left, point);
      widen(&f->right, length - point - 1);
    }
  }
  if (f->scientific) f->right = f->precision + 2 + f->exponent;
  if (special) widen(&f->left, (negative_infinity ? 4 : 3) - f->right - 1);
}

static char kind_of(th_dtype t) {
  return th__dtype_in(t, TH_BOOLS) ? 'b' : th__dtype_in(t, TH_FLOATS) ? 'f' : 'i';
}

static int text_integer(th_dtype t, const void *element, char out[TH__ELEMENT_TEXT]) {
  if (t == TH_U64) {
    uint64_t value;
    memcpy(&value, element, sizeof value);
    return snprintf(out, TH__ELEMENT_TEXT, "%" PRIu64, value);
  }
  return snprintf(out, TH__ELEMENT_TEXT, "%" PRId64, th__dtype_get_int(t, element));
}

void th__format_init(th__format *f, th_dtype t, const void *elements, int64_t n, bool scalar) {
  char text[TH__ELEMENT_TEXT];
  *f = (th__format){.dtype = t};
  switch (kind_of(t)) {
  case 'b': f->left = scalar ? 4 : 5; break;
  case 'f': init_float(f, elements, n); break;
  default:
    for (int64_t i = 0; i < n; i++)
      widen(&f->left, text_integer(t, (const char *)elements + (size_t)i * th_dtype_size(t), text));
  }
}

/* Text of a float and where its point is; for inf and nan, where the whole width ends. */
static int text_float(const th__format *f, double value, char *out, int *point) {
  decimal d;
  if (!isfinite(value)) {
    int n = snprintf(out, 8, "%s", isnan(value) ? "nan" : value < 0 ? "-inf" : "inf");
    *point = n - f->right - 1;
    return n;
  }
  if (f->scientific) return text_scientific(f, value, out, point);
  decimal_make(f->dtype, value, false, &d);
  return text_positional(&d, out, point);
}

int th__format_element(const th__format *f, const void *element, char out[TH__ELEMENT_TEXT]) {
  char text[TH__ELEMENT_TEXT];
  int length, point, width = f->left;
  switch (kind_of(f->dtype)) {
  case 'b':
    length = point =
        snprintf(text, sizeof text, th__dtype_get_int(f->dtype, element) ? "True" : "False");
    break;
  case 'f':
    length = text_float(f, th__dtype_get(f->dtype, element), text, &point);
    width += 1 + f->right;
    break;
  default: length = point = text_integer(f->dtype, element, text);
  }
  int before = f->left > point ? f->left - point : 0;
  int after = width > before + length ? width - before - length : 0;
  return snprintf(out, TH__ELEMENT_TEXT, "%*s%s%*s", before, "", text, after, "");
}
