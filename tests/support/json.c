/* Owns the JSON reader of the tests: recursive descent, nothing beyond RFC 8259 accepted. */
#include "support/json.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct reader {
  const char *at, *end;
  int depth;
} reader;

static json *read_value(reader *r);

bool json_utf8_valid(const char *text, size_t size) {
  const unsigned char *s = (const unsigned char *)text, *end = s + size;
  while (s < end) {
    int n = *s < 0x80                 ? 1
            : *s >= 0xc2 && *s < 0xe0 ? 2
            : *s >= 0xe0 && *s < 0xf0 ? 3
            : *s >= 0xf0 && *s < 0xf5 ? 4
                                      : 0;
    if (n == 0 || end - s < n) return false;
    for (int i = 1; i < n; i++)
      if ((s[i] & 0xc0) != 0x80) return false;
    if (*s == 0xe0 && s[1] < 0xa0) return false;  /* overlong */
    if (*s == 0xed && s[1] >= 0xa0) return false; /* surrogate */
    if (*s == 0xf0 && s[1] < 0x90) return false;
    if (*s == 0xf4 && s[1] >= 0x90) return false;
    s += n;
  }
  return true;
}

static void skip_space(reader *r) {
  while (r->at < r->end && (*r->at == ' ' || *r->at == '\n' || *r->at == '\r' || *r->at == '\t'))
    r->at++;
}

static bool take(reader *r, char c) {
  if (r->at == r->end || *r->at != c) return false;
  r->at++;
  return true;
}

static int hex4(reader *r) {
  int value = 0;
  for (int i = 0; i < 4; i++) {
    if (r->at == r->end) return -1;
    char c = *r->at++;
    int digit = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}

static char *put_utf8(char *out, int code) {
  if (code < 0x80) {
    *out++ = (char)code;
  } else if (code < 0x800) {
    *out++ = (char)(0xc0 | code >> 6);
    *out++ = (char)(0x80 | (code & 0x3f));
  } else {
    *out++ = (char)(0xe0 | code >> 12);
    *out++ = (char)(0x80 | (code >> 6 & 0x3f));
    *out++ = (char)(0x80 | (code & 0x3f));
  }
  return out;
}

/* After a backslash. Surrogate pairs are refused: the library never writes them. */
static char *read_escape(reader *r, char *out) {
  if (r->at == r->end) return NULL;
  static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
  char c = *r->at++;
  if (c == 'u') {
    int code = hex4(r);
    return code <= 0 || (code >= 0xd800 && code < 0xe000) ? NULL : put_utf8(out, code);
  }
  const char *found = strchr(from, c);
  if (found == NULL || c == 0) return NULL;
  *out++ = to[found - from];
  return out;
}

/* The decoded text, malloc'ed; NULL when malformed. */
static char *read_text(reader *r) {
  if (!take(r, '"')) return NULL;
  const char *quote = r->at;
  while (quote < r->end && *quote != '"') quote += *quote == '\\' && r->end - quote > 1 ? 2 : 1;
  char *text = malloc((size_t)(quote - r->at) + 1), *out = text; /* decoding never lengthens */
  while (out != NULL && r->at < r->end && *r->at != '"') {
    if ((unsigned char)*r->at < 0x20) break;
    if (*r->at != '\\') {
      *out++ = *r->at++;
    } else {
      r->at++;
      out = read_escape(r, out);
    }
  }
  if (out == NULL || !take(r, '"')) {
    free(text);
    return NULL;
  }
  *out = 0;
  return text;
}

static bool digits(reader *r) {
  const char *start = r->at;
  while (r->at < r->end && *r->at >= '0' && *r->at <= '9') r->at++;
  return r->at > start;
}

static bool read_number(reader *r, double *out) {
  const char *start = r->at;
  take(r, '-');
  if (take(r, '0')) {
    if (r->at < r->end && *r->at >= '0' && *r->at <= '9') return false;
  } else if (!digits(r)) {
    return false;
  }
  if (take(r, '.') && !digits(r)) return false;
  if (take(r, 'e') || take(r, 'E')) {
    if (!take(r, '+')) take(r, '-');
    if (!digits(r)) return false;
  }
  char copy[64];
  size_t n = (size_t)(r->at - start);
  if (n >= sizeof(copy)) return false;
  memcpy(copy, start, n);
  copy[n] = 0;
  *out = strtod(copy, NULL);
  return true;
}

static bool read_word(reader *r, const char *word) {
  size_t n = strlen(word);
  if ((size_t)(r->end - r->at) < n || memcmp(r->at, word, n) != 0) return false;
  r->at += n;
  return true;
}

/* Children up to close; in objects each has a key that occurs once. */
static bool read_children(reader *r, json *parent, char close) {
  json **tail = &parent->first;
  skip_space(r);
  if (take(r, close)) return true;
  do {
    char *key = NULL;
    skip_space(r);
    if (close == '}') {
      key = read_text(r);
      skip_space(r);
      if (key == NULL || json_get(parent, key) != NULL || !take(r, ':')) {
        free(key);
        return false;
      }
    }
    json *child = read_value(r);
    if (child == NULL) {
      free(key);
      return false;
    }
    child->key = key;
    *tail = child;
    tail = &child->next;
    skip_space(r);
  } while (take(r, ','));
  return take(r, close);
}

static bool read_into(reader *r, json *v) {
  if (r->at == r->end) return false;
  switch (*r->at) {
  case '"':
    v->kind = JSON_STRING;
    v->text = read_text(r);
    return v->text != NULL;
  case '{':
  case '[':
    v->kind = *r->at == '{' ? JSON_OBJECT : JSON_LIST;
    r->at++;
    return read_children(r, v, v->kind == JSON_OBJECT ? '}' : ']');
  case 't':
  case 'f':
    v->kind = JSON_BOOL;
    v->number = *r->at == 't';
    return read_word(r, *r->at == 't' ? "true" : "false");
  case 'n': return read_word(r, "null");
  default: v->kind = JSON_NUMBER; return read_number(r, &v->number);
  }
}

static json *read_value(reader *r) {
  json *v = calloc(1, sizeof(*v));
  skip_space(r);
  if (v != NULL && ++r->depth < 64 && read_into(r, v)) {
    r->depth--;
    return v;
  }
  json_free(v);
  return NULL;
}

json *json_parse(const char *text, size_t size) {
  if (!json_utf8_valid(text, size)) return NULL;
  reader r = {text, text + size, 0};
  json *v = read_value(&r);
  skip_space(&r);
  if (r.at == r.end) return v;
  json_free(v);
  return NULL;
}

void json_free(json *value) {
  while (value != NULL) {
    json *next = value->next;
    json_free(value->first);
    free(value->key);
    free(value->text);
    free(value);
    value = next;
  }
}

const json *json_get(const json *value, const char *key) {
  if (value == NULL || value->kind != JSON_OBJECT) return NULL;
  for (const json *v = value->first; v != NULL; v = v->next)
    if (strcmp(v->key, key) == 0) return v;
  return NULL;
}

const char *json_text(const json *value, const char *key) {
  const json *v = json_get(value, key);
  return v == NULL || v->kind != JSON_STRING ? "" : v->text;
}

double json_number(const json *value, const char *key, double otherwise) {
  const json *v = json_get(value, key);
  return v == NULL || v->kind != JSON_NUMBER ? otherwise : v->number;
}
