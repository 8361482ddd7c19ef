/* Owns reading JSON text. The grammar is checked as far as it is read; strings are decoded only where somebody asks. */
#include "trace/scan.h"

#include <stdlib.h>
#include <string.h>

void scan_begin(scanner *s, const char *text, size_t size) {
  *s = (scanner){.begin = text, .at = text, .end = text + size, .value_due = true};
}

bool scan_refuse(scanner *s, const char *error) {
  if (s->error == NULL) s->error = error;
  return false;
}

static scan_token refuse(scanner *s, const char *error) {
  scan_refuse(s, error);
  return SCAN_ERROR;
}

static void skip_blanks(scanner *s) {
  while (s->at < s->end && (*s->at == ' ' || *s->at == '\n' || *s->at == '\r' || *s->at == '\t'))
    s->at++;
}

static bool in_object(const scanner *s) {
  return s->depth > 0 && (s->open >> (s->depth - 1) & 1) != 0;
}

static scan_token open_value(scanner *s, bool object) {
  if (s->depth == SCAN_DEPTH) return refuse(s, "nested too deeply");
  uint64_t bit = UINT64_C(1) << s->depth++;
  s->open = object ? s->open | bit : s->open & ~bit;
  s->at++;
  s->first = true;
  s->after_value = s->value_due = false;
  return object ? SCAN_OBJECT : SCAN_LIST;
}

static void value_ends(scanner *s) {
  s->first = s->value_due = false;
  s->after_value = true;
  s->complete = s->depth == 0;
}

static scan_token close_value(scanner *s, bool object) {
  if (s->depth == 0 || in_object(s) != object) return refuse(s, "a bracket that opens nothing");
  s->at++;
  s->depth--;
  value_ends(s);
  return object ? SCAN_OBJECT_END : SCAN_LIST_END;
}

static bool is_hex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* Passes a string; s->at is at its opening quote. */
static bool pass_string(scanner *s) {
  s->text = ++s->at;
  for (; s->at < s->end && *s->at != '"'; s->at++) {
    if ((unsigned char)*s->at < 0x20) return scan_refuse(s, "a control character in a string");
    if (*s->at != '\\') continue;
    if (++s->at == s->end) break;
    if (*s->at != 'u') {
      if (*s->at == 0 || strchr("\"\\/bfnrt", *s->at) == NULL)
        return scan_refuse(s, "an unknown escape in a string");
      continue;
    }
    for (int i = 1; i <= 4; i++)
      if (s->at + i >= s->end || !is_hex(s->at[i]))
        return scan_refuse(s, "\\u without four hexadecimal digits");
    s->at += 4;
  }
  if (s->at >= s->end) return scan_refuse(s, "a string without an end");
  s->length = (size_t)(s->at++ - s->text);
  return true;
}

static bool digits(scanner *s) {
  const char *before = s->at;
  while (s->at < s->end && *s->at >= '0' && *s->at <= '9') s->at++;
  return s->at > before;
}

static scan_token pass_number(scanner *s) {
  s->text = s->at;
  if (*s->at == '-') s->at++;
  bool zero = s->at < s->end && *s->at == '0';
  if (zero) s->at++;
  if (!zero && !digits(s)) return refuse(s, "a value was expected");
  if (s->at < s->end && *s->at == '.') {
    s->at++;
    if (!digits(s)) return refuse(s, "a number without digits behind the point");
  }
  if (s->at < s->end && (*s->at == 'e' || *s->at == 'E')) {
    s->at++;
    if (s->at < s->end && (*s->at == '+' || *s->at == '-')) s->at++;
    if (!digits(s)) return refuse(s, "a number without digits in its exponent");
  }
  s->length = (size_t)(s->at - s->text);
  value_ends(s);
  return SCAN_NUMBER;
}

static scan_token pass_word(scanner *s) {
  static const char *const words[] = {"true", "false", "null"};
  for (int i = 0; i < 3; i++) {
    size_t n = strlen(words[i]);
    if ((size_t)(s->end - s->at) < n || memcmp(s->at, words[i], n) != 0) continue;
    s->text = s->at;
    s->length = n;
    s->at += n;
    value_ends(s);
    return SCAN_WORD;
  }
  return refuse(s, "a value was expected");
}

static scan_token pass_value(scanner *s) {
  switch (*s->at) {
  case '{': return open_value(s, true);
  case '[': return open_value(s, false);
  case '"':
    if (!pass_string(s)) return SCAN_ERROR;
    value_ends(s);
    return SCAN_STRING;
  case 't':
  case 'f':
  case 'n': return pass_word(s);
  default: return pass_number(s);
  }
}

static scan_token pass_key(scanner *s) {
  if (*s->at != '"') return refuse(s, "a key was expected");
  if (!pass_string(s)) return SCAN_ERROR;
  skip_blanks(s);
  if (s->at == s->end || *s->at != ':') return refuse(s, "a key without ':'");
  s->at++;
  s->value_due = true;
  s->first = false;
  return SCAN_KEY;
}

scan_token scan_next(scanner *s) {
  if (s->error != NULL) return SCAN_ERROR;
  skip_blanks(s);
  if (s->complete)
    return s->at == s->end ? SCAN_END : refuse(s, "more text behind the end of the value");
  if (s->at == s->end) return refuse(s, "the text ends early");
  if (s->value_due) return pass_value(s);
  bool object = in_object(s), closes = *s->at == (object ? '}' : ']');
  if (closes && (s->first || s->after_value)) return close_value(s, object);
  if (s->after_value) {
    if (*s->at != ',') return refuse(s, "',' or an end was expected");
    s->at++;
    s->after_value = false;
    skip_blanks(s);
    if (s->at == s->end) return refuse(s, "the text ends early");
  }
  return object ? pass_key(s) : pass_value(s);
}

bool scan_skip(scanner *s, scan_token token) {
  int depth = s->depth - 1; /* outside of what was just opened */
  if (token == SCAN_OBJECT || token == SCAN_LIST) {
    while (s->depth > depth)
      if (scan_next(s) == SCAN_ERROR) return false;
  }
  return s->error == NULL;
}

bool scan_is(const scanner *s, const char *text) {
  return strlen(text) == s->length && memcmp(text, s->text, s->length) == 0;
}

bool scan_unsigned(const scanner *s, uint64_t *out) {
  uint64_t value = 0;
  for (size_t i = 0; i < s->length; i++) {
    unsigned digit = (unsigned)(s->text[i] - '0');
    if (digit > 9 || value > (UINT64_MAX - digit) / 10) return false;
    value = value * 10 + digit;
  }
  *out = value;
  return s->length > 0;
}

bool scan_signed(const scanner *s, int64_t *out) {
  scanner rest = *s;
  bool negative = s->length > 0 && s->text[0] == '-';
  uint64_t value;
  rest.text += negative;
  rest.length -= negative;
  if (!scan_unsigned(&rest, &value) || value > INT64_MAX) return false;
  *out = negative ? -(int64_t)value : (int64_t)value;
  return true;
}

double scan_number(const scanner *s) { return strtod(s->text, NULL); } /* stops by itself */

/* --- strings --- */

static uint32_t hex4(const char *s) {
  uint32_t value = 0;
  for (int i = 0; i < 4; i++) {
    char c = s[i];
    value = value << 4 | (uint32_t)(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
  }
  return value;
}

/* Decodes a valid \u escape at s ("\u...."), with its second half if there is one. Returns bytes read. */
static size_t unescape_unicode(const char *s, const char *end, uint32_t *code) {
  *code = hex4(s + 2);
  if (*code < 0xd800 || *code >= 0xe000) return 6;
  if (*code < 0xdc00 && end - s >= 12 && s[6] == '\\' && s[7] == 'u') {
    uint32_t low = hex4(s + 8);
    if (low >= 0xdc00 && low < 0xe000) {
      *code = 0x10000 + ((*code - 0xd800) << 10 | (low - 0xdc00));
      return 12;
    }
  }
  *code = 0xfffd;
  return 6;
}

/* Reads a character of UTF-8; what is none is one byte of U+FFFD. */
static size_t read_utf8(const char *text, const char *end, uint32_t *code) {
  static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  const unsigned char *s = (const unsigned char *)text;
  *code = s[0];
  if (s[0] < 0x80) return 1;
  size_t n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
  bool good = s[0] >= 0xc0 && s[0] < 0xf8 && (size_t)(end - text) >= n;
  uint32_t value = s[0] & (0x7fu >> n);
  for (size_t i = 1; i < n && good; i++) {
    good = (s[i] & 0xc0) == 0x80;
    value = value << 6 | (s[i] & 0x3fu);
  }
  good = good && value >= least[n] && value <= 0x10ffff && (value < 0xd800 || value >= 0xe000);
  *code = good ? value : 0xfffd;
  return good ? n : 1;
}

static size_t write_utf8(char *out, uint32_t code) {
  if (code < 0x80) {
    out[0] = (char)code;
    return 1;
  }
  size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  for (size_t i = n - 1; i > 0; i--, code >>= 6) out[i] = (char)(0x80 | (code & 0x3f));
  out[0] = (char)((0xf00u >> n & 0xff) | code);
  return n;
}

size_t scan_decode(const scanner *s, char *out, size_t bytes) {
  static const char letters[] = "bfnrt", meant[] = "\b\f\n\r\t";
  const char *at = s->text, *end = s->text + s->length;
  size_t n = 0;
  while (at < end && n + 5 <= bytes) {
    uint32_t code;
    if (at[0] != '\\') {
      at += read_utf8(at, end, &code);
    } else if (at[1] == 'u') {
      at += unescape_unicode(at, end, &code);
    } else {
      const char *letter = strchr(letters, at[1]);
      code = (unsigned char)(letter == NULL ? at[1] : meant[letter - letters]);
      at += 2;
    }
    if (code == 0) code = 0xfffd; /* texts end with a byte 0 */
    n += write_utf8(out + n, code);
  }
  out[n] = 0;
  return n;
}
