/* Owns reading tables of numbers from text: a strict parser over a stream, with the place of every fault. Independent of
 * the locale; memory grows with the numbers read, never with what a file claims. */
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/data.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "ndarray/dtype.h"

enum { CHUNK = 65536, LONGEST_NUMBER = 255 };

typedef struct reader {
  const char *path;
  FILE *file;
  locale_t c_locale;
  unsigned char *chunk;
  size_t at, filled;
  int64_t line, column; /* of the next byte, from 1 */
  th_dtype type;
  char *elements;
  int64_t n, capacity; /* in elements */
  int64_t rows, columns;
} reader;

enum { END = -1, BROKEN = -2 };

/* The next byte without taking it; END, or BROKEN when reading failed. */
static int peek(reader *r) {
  if (r->at == r->filled) {
    r->at = 0;
    r->filled = fread(r->chunk, 1, CHUNK, r->file);
    if (r->filled == 0) return ferror(r->file) ? BROKEN : END;
  }
  return r->chunk[r->at];
}

static void take(reader *r) {
  r->column++;
  r->at++;
}

static th_status fail_at(const reader *r, int64_t column, const char *what) {
  return th__fail(TH_EIO, "load_csv: %s:%lld:%lld: %s", r->path, (long long)r->line,
                  (long long)column, what);
}

/* Not <ctype.h>: its answers depend on the locale. Bytes of UTF-8 sequences count as letters. */
static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_letter(char c) {
  unsigned char u = (unsigned char)c;
  return (u >= 'a' && u <= 'z') || (u >= 'A' && u <= 'Z') || u >= 0x80;
}

static bool is_blank(int c) { return c == ' ' || c == '\t'; }
static bool is_line_end(int c) { return c == '\n' || c == '\r' || c == END || c == BROKEN; }

/* Ends a line after its last field: "\n", "\r\n" or the end of the file. */
static th_status take_line_end(reader *r) {
  int c = peek(r);
  if (c == '\r') {
    take(r);
    c = peek(r);
    if (c != '\n' && c != END) return fail_at(r, r->column - 1, "carriage return inside a line");
  }
  if (c == BROKEN) return fail_at(r, r->column, strerror(errno));
  if (c == '\n') {
    take(r);
    r->line++;
    r->column = 1;
  }
  return TH_OK;
}

/* --- numbers --- */

/* [+-] digits [. digits] [e [+-] digits], or nan, inf, infinity. *integer: neither point nor exponent. */
static bool is_number(const char *s, bool *integer) {
  *integer = false;
  if (*s == '+' || *s == '-') s++;
  if (!is_digit(*s) && *s != '.') {
    return strcasecmp(s, "nan") == 0 || strcasecmp(s, "inf") == 0 || strcasecmp(s, "infinity") == 0;
  }
  int digits = 0;
  bool point = false, exponent = false;
  for (; is_digit(*s) || (*s == '.' && !point); s++) {
    if (*s == '.')
      point = true;
    else
      digits++;
  }
  if (digits == 0) return false;
  if (*s == 'e' || *s == 'E') {
    exponent = true;
    s++;
    if (*s == '+' || *s == '-') s++;
    if (!is_digit(*s)) return false;
    while (is_digit(*s)) s++;
  }
  *integer = !point && !exponent;
  return *s == '\0';
}

/* Largest value of an integer type, and whether it has a sign. */
static uint64_t integer_limit(th_dtype t, bool *is_signed) {
  *is_signed = th__dtype_in(t, TH_SINTS);
  if (t == TH_BOOL) return 1;
  int bits = (int)th_dtype_size(t) * 8 - (*is_signed ? 1 : 0);
  return bits == 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;
}

/* Text of an integer to type t, exactly; false when it does not fit. */
static bool store_integer(const char *s, th_dtype t, void *element) {
  bool negative = *s == '-', is_signed;
  uint64_t limit = integer_limit(t, &is_signed), value = 0;
  if (negative) limit = is_signed ? limit + 1 : 0;
  if (*s == '+' || *s == '-') s++;
  for (; *s != '\0'; s++) {
    uint64_t digit = (uint64_t)(*s - '0');
    if (value > (limit - digit) / 10 || digit > limit) return false;
    value = value * 10 + digit;
  }
  if (negative) value = 0 - value;
  size_t size = th_dtype_size(t);
  uint8_t u8 = (uint8_t)value;
  uint16_t u16 = (uint16_t)value;
  uint32_t u32 = (uint32_t)value;
  const void *from = size == 1   ? (const void *)&u8
                     : size == 2 ? (const void *)&u16
                     : size == 4 ? (const void *)&u32
                                 : (const void *)&value;
  memcpy(element, from, size);
  return true;
}

static th_status push(reader *r, const char *text, int64_t column) {
  size_t size = th_dtype_size(r->type);
  if (r->n == r->capacity) {
    int64_t wanted = r->capacity > 0 ? r->capacity * 2 : 1024;
    void *grown = th__resize(r->elements, (size_t)wanted * size);
    if (grown == NULL) return TH_ENOMEM;
    r->elements = grown;
    r->capacity = wanted;
  }
  void *element = r->elements + (size_t)r->n * size;
  bool integer;
  if (!is_number(text, &integer)) return fail_at(r, column, "not a number");
  if (th__dtype_in(r->type, TH_FLOATS)) {
    th__dtype_set(r->type, element, strtod_l(text, NULL, r->c_locale));
  } else if (integer) {
    if (!store_integer(text, r->type, element)) {
      return fail_at(r, column, "the number does not fit the element type");
    }
  } else {
    return fail_at(r, column, "not an integer, but the element type is one");
  }
  r->n++;
  return TH_OK;
}

/* --- lines --- */

/* Takes the bytes of one field into text, or its beginning when it is overlong. Fields end at a comma, a blank or the end
 * of the line. */
static th_status take_field(reader *r, char text[LONGEST_NUMBER + 1], bool *overlong) {
  int64_t column = r->column;
  int n = 0, c;
  *overlong = false;
  while (c = peek(r), !is_line_end(c) && c != ',' && !is_blank(c)) {
    if (c == 0) return fail_at(r, r->column, "NUL byte");
    if ((*overlong = n == LONGEST_NUMBER)) break;
    text[n++] = (char)c;
    take(r);
  }
  text[n] = '\0';
  return n > 0 ? TH_OK : fail_at(r, column, "empty field");
}

static void skip_blanks(reader *r) {
  while (is_blank(peek(r))) take(r);
}

/* Skips the rest of a line of names, however long. */
static th_status skip_line(reader *r) {
  int c;
  while (c = peek(r), c != '\n' && c != END && c != BROKEN) {
    if (c == 0) return fail_at(r, r->column, "NUL byte");
    take(r);
  }
  return take_line_end(r);
}

/* Fields of a line with something on it; names: it may be a line of names. */
static th_status read_row(reader *r, bool names) {
  char text[LONGEST_NUMBER + 1];
  for (int64_t k = 0;; k++) {
    int64_t column = r->column;
    if (names && k == 0) {
      int c = peek(r);
      if (c == '"' || c == '\'' || c == '#' || c == '_') return skip_line(r);
    }
    bool integer, overlong;
    TH_TRY(take_field(r, text, &overlong));
    if (names && k == 0 && is_letter(text[0]) && (overlong || !is_number(text, &integer))) {
      return skip_line(r);
    }
    if (overlong) return fail_at(r, column, "field of more than 255 characters");
    if (r->rows > 0 && k >= r->columns) return fail_at(r, column, "more fields than the first row");
    TH_TRY(push(r, text, column));
    skip_blanks(r);
    int c = peek(r);
    if (is_line_end(c)) {
      if (r->rows > 0 && k + 1 < r->columns) {
        return fail_at(r, r->column, "fewer fields than the first row");
      }
      r->columns = k + 1;
      r->rows++;
      return take_line_end(r);
    }
    if (c == ',') {
      take(r);
      skip_blanks(r);
    }
  }
}

static th_status read_all(reader *r) {
  r->chunk = th__alloc(CHUNK);
  r->c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
  if (r->chunk == NULL || r->c_locale == (locale_t)0) {
    return th__fail(TH_ENOMEM, "load_csv: out of memory");
  }
  if (peek(r) != END && r->filled >= 3 && memcmp(r->chunk, "\xEF\xBB\xBF", 3) == 0) r->at = 3;
  bool first = true; /* nothing but blank lines so far */
  for (;;) {
    skip_blanks(r);
    int c = peek(r);
    if (c == END) break;
    if (is_line_end(c)) {
      TH_TRY(take_line_end(r));
      continue;
    }
    TH_TRY(read_row(r, first));
    first = false;
  }
  if (r->rows == 0) return fail_at(r, r->column, "no rows of numbers");
  return TH_OK;
}

th_array *th_load_csv(const char *path, th_dtype t) {
  if (path == NULL) return th__fail_null(TH_EINVAL, "load_csv: path is NULL");
  if (!th__dtype_valid((int)t)) {
    return th__fail_null(TH_EDTYPE, "load_csv: unknown element type %d", (int)t);
  }
  reader r = {.path = path, .line = 1, .column = 1, .type = t};
  r.file = fopen(path, "rbe");
  if (r.file == NULL) {
    return th__fail_null(TH_EIO, "load_csv: cannot open %s: %s", path, strerror(errno));
  }
  th_array *a = NULL;
  if (read_all(&r) == TH_OK) {
    a = th_from_host(r.elements, TH_SHAPE(r.rows, r.columns), t, th_cpu(0));
  }
  th__free(r.elements);
  th__free(r.chunk);
  if (r.c_locale != (locale_t)0) freelocale(r.c_locale);
  fclose(r.file);
  return a;
}
