/* Owns reading the header of a safetensors file: a parser of just this JSON, strict, without recursion. Nothing the text says is
 * believed before it is checked, and nothing is allocated that the text is not long enough for. */
#include <stdlib.h>

#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "ndarray/tensors.h"

typedef struct parser {
  char *at, *end;
  const char *wrong; /* the first thing that is */
} parser;

static bool refuse(parser *p, const char *reason) {
  if (!p->wrong) p->wrong = reason;
  return false;
}

static void skip_blanks(parser *p) {
  while (p->at < p->end && (*p->at == ' ' || *p->at == '\t' || *p->at == '\n' || *p->at == '\r'))
    p->at++;
}

/* The next character that is no blank, if it is c. */
static bool take(parser *p, char c) {
  skip_blanks(p);
  if (p->at == p->end || *p->at != c) return false;
  p->at++;
  return true;
}

/* After `first` members of an object or elements of a list: a comma, or the end (*more false). */
static bool next(parser *p, bool first, char end, bool *more) {
  *more = !take(p, end);
  if (*more && !first && !take(p, ',')) return refuse(p, "a comma is missing in the header");
  return true;
}

/* --- strings --- */

static bool parse_hex(parser *p, uint32_t *out) {
  if (p->end - p->at < 4) return refuse(p, "a string in the header does not end");
  *out = 0;
  for (int i = 0; i < 4; i++) {
    char c = *p->at++;
    uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                     : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                     : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                            : 16;
    if (digit == 16) return refuse(p, "a bad \\u in a string of the header");
    *out = *out << 4 | digit;
  }
  return true;
}

static char *put_utf8(char *to, uint32_t code) {
  int more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
  static const uint8_t lead[] = {0, 0xc0, 0xe0, 0xf0};
  *to++ = (char)(lead[more] | code >> 6 * more);
  for (int i = more - 1; i >= 0; i--) *to++ = (char)(0x80 | (code >> 6 * i & 0x3f));
  return to;
}

/* What follows \u: one character of the basic plane, or the two halves of another. */
static bool parse_unicode(parser *p, char **to) {
  uint32_t code, low;
  if (!parse_hex(p, &code)) return false;
  if (code == 0) return refuse(p, "a zero in a string of the header");
  if (code >= 0xd800 && code < 0xe000) {
    if (code >= 0xdc00 || p->end - p->at < 2 || p->at[0] != '\\' || p->at[1] != 'u')
      return refuse(p, "half a character in a string of the header");
    p->at += 2;
    if (!parse_hex(p, &low)) return false;
    if (low < 0xdc00 || low >= 0xe000)
      return refuse(p, "half a character in a string of the header");
    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
  }
  *to = put_utf8(*to, code);
  return true;
}

static bool parse_escape(parser *p, char **to) {
  static const char names[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
  if (p->at == p->end) return refuse(p, "a string in the header does not end");
  char c = *p->at++;
  if (c == 'u') return parse_unicode(p, to);
  const char *found = c ? strchr(names, c) : NULL;
  if (!found) return refuse(p, "an unknown escape in a string of the header");
  *(*to)++ = means[found - names];
  return true;
}

size_t th__utf8_length(const char *at, size_t left) {
  const unsigned char *b = (const unsigned char *)at;
  if (left == 0) return 0;
  if (b[0] < 0x80) return 1;
  size_t n = b[0] >= 0xf0 ? 4 : b[0] >= 0xe0 ? 3 : 2;
  if (b[0] < 0xc2 || b[0] > 0xf4 || left < n) return 0;
  for (size_t i = 1; i < n; i++)
    if ((b[i] & 0xc0) != 0x80) return 0;
  /* Spelled too long, half a surrogate pair, or beyond the last character. */
  if ((b[0] == 0xe0 && b[1] < 0xa0) || (b[0] == 0xed && b[1] > 0x9f)) return 0;
  if ((b[0] == 0xf0 && b[1] < 0x90) || (b[0] == 0xf4 && b[1] > 0x8f)) return 0;
  return n;
}

/* A string, written over itself: what an escape means is never longer than the escape. */
static bool parse_string(parser *p, char **out) {
  if (!take(p, '"')) return refuse(p, "a string is expected in the header");
  char *to = *out = p->at;
  while (p->at < p->end && *p->at != '"') {
    if (*p->at == '\\') {
      p->at++;
      if (!parse_escape(p, &to)) return false;
      continue;
    }
    size_t n = th__utf8_length(p->at, (size_t)(p->end - p->at));
    if (n == 0 || (unsigned char)*p->at < ' ')
      return refuse(p, "a string in the header is no UTF-8 or has control characters");
    while (n-- > 0) *to++ = *p->at++;
  }
  if (p->at == p->end) return refuse(p, "a string in the header does not end");
  p->at++;
  *to = 0;
  return true;
}

/* --- one array --- */

static bool parse_number(parser *p, int64_t *out) {
  skip_blanks(p);
  const char *begin = p->at;
  *out = 0;
  for (; p->at < p->end && *p->at >= '0' && *p->at <= '9'; p->at++)
    if (__builtin_mul_overflow(*out, 10, out) || __builtin_add_overflow(*out, *p->at - '0', out))
      return refuse(p, "a number in the header overflows");
  if (p->at == begin || (*begin == '0' && p->at - begin > 1))
    return refuse(p, "a whole number is expected in the header");
  return true;
}

/* At most `most` numbers in brackets. */
static bool parse_numbers(parser *p, int64_t *out, int most, int *n, const char *too_many) {
  bool more;
  *n = 0;
  if (!take(p, '[')) return refuse(p, "a list is expected in the header");
  for (;;) {
    if (!next(p, *n == 0, ']', &more)) return false;
    if (!more) return true;
    if (*n == most) return refuse(p, too_many);
    if (!parse_number(p, &out[(*n)++])) return false;
  }
}

static bool parse_dtype(parser *p, th_dtype *out) {
  char *name;
  if (!parse_string(p, &name)) return false;
#define TH__FIND(UPPER, lower, type, size, kind)                                                   \
  if (strcmp(name, #UPPER) == 0) {                                                                 \
    *out = TH_##UPPER;                                                                             \
    return true;                                                                                   \
  }
  TH_DTYPE_MAP(TH__FIND)
#undef TH__FIND
  return refuse(p, "an element type in the header is not supported");
}

/* One member of an array's object. seen collects keys as bits. */
static bool parse_member(parser *p, th__tensor *t, int64_t offsets[2], uint32_t *seen) {
  static const char *const keys[] = {"dtype", "shape", "data_offsets"};
  char *key;
  int n = 0;
  if (!parse_string(p, &key)) return false;
  uint32_t k = 0;
  while (k < 3 && strcmp(key, keys[k]) != 0) k++;
  if (k == 3) return refuse(p, "an unknown key in the header");
  if (*seen >> k & 1) return refuse(p, "a key is given twice in the header");
  *seen |= 1u << k;
  if (!take(p, ':')) return refuse(p, "a colon is missing in the header");
  if (k == 0) return parse_dtype(p, &t->layout.dtype);
  if (k == 1)
    return parse_numbers(p, t->layout.shape, TH_MAX_DIMS, &t->layout.ndim,
                         "an array in the header has more than 8 dimensions");
  if (!parse_numbers(p, offsets, 2, &n, "data_offsets in the header are more than two"))
    return false;
  return n == 2 || refuse(p, "data_offsets in the header are not two");
}

static bool parse_tensor(parser *p, th__tensor *t, int64_t data_bytes) {
  uint32_t seen = 0;
  int64_t offsets[2] = {0};
  bool more;
  if (!take(p, '{')) return refuse(p, "an array in the header is no object");
  for (bool first = true;; first = false) {
    if (!next(p, first, '}', &more)) return false;
    if (!more) break;
    if (!parse_member(p, t, offsets, &seen)) return false;
  }
  if (seen != 7) return refuse(p, "a key is missing in the header");
  if (th__layout_finish(&t->layout, "th_file_open") != TH_OK)
    return refuse(p, "a shape in the header is too large");
  if (offsets[0] > offsets[1] || offsets[1] > data_bytes)
    return refuse(p, "data_offsets in the header are not within the file");
  if (offsets[1] - offsets[0] != th__layout_bytes(&t->layout))
    return refuse(p, "data_offsets in the header do not fit the shape");
  t->begin = offsets[0];
  return true;
}

/* --- the whole --- */

/* Room for one more of `size` bytes. */
static bool grow(parser *p, void **list, int n, int *room, size_t size) {
  if (n < *room) return true;
  int wanted = *room ? 2 * *room : 16;
  void *grown = th__resize(*list, (size_t)wanted * size);
  if (!grown) return refuse(p, "");
  *list = grown;
  *room = wanted;
  return true;
}

static bool parse_metadata(parser *p, th__tensors *out) {
  bool more;
  char *text;
  if (out->metadata) return refuse(p, "__metadata__ is given twice in the header");
  if (!take(p, '{')) return refuse(p, "__metadata__ in the header is no object");
  do {
    if (!grow(p, (void **)&out->metadata, out->n_metadata + 1, &out->metadata_room,
              sizeof *out->metadata))
      return false;
    if (!next(p, out->n_metadata == 0, '}', &more)) return false;
    for (int i = 0; more && i < 2; i++) {
      if (i == 1 && !take(p, ':')) return refuse(p, "a colon is missing in the header");
      if (!parse_string(p, &text)) return false;
      out->metadata[out->n_metadata++] = text;
    }
  } while (more);
  return true;
}

static bool parse_entry(parser *p, int64_t data_bytes, th__tensors *out) {
  char *name;
  if (!parse_string(p, &name)) return false;
  if (!take(p, ':')) return refuse(p, "a colon is missing in the header");
  if (strcmp(name, "__metadata__") == 0) return parse_metadata(p, out);
  if (!grow(p, (void **)&out->items, out->n, &out->room, sizeof *out->items)) return false;
  th__tensor *t = &out->items[out->n++];
  *t = (th__tensor){.name = name};
  return parse_tensor(p, t, data_bytes);
}

static int by_name(const void *a, const void *b) {
  return strcmp((*(const th__tensor *const *)a)->name, (*(const th__tensor *const *)b)->name);
}

static int by_place(const void *a, const void *b) {
  const th__tensor *s = *(const th__tensor *const *)a, *t = *(const th__tensor *const *)b;
  if (s->begin != t->begin) return s->begin < t->begin ? -1 : 1;
  int64_t m = th__layout_bytes(&s->layout), n = th__layout_bytes(&t->layout);
  return (m > n) - (m < n); /* empty ones first */
}

/* Names differ, and the arrays lie one behind the other, from the first byte to the last. */
static const char *check_all(const th__tensors *t, int64_t data_bytes) {
  const th__tensor **list = th__alloc(((size_t)t->n + 1) * sizeof *list);
  if (!list) return "";
  const char *wrong = NULL;
  int64_t end = 0;
  for (int i = 0; i < t->n; i++) list[i] = &t->items[i];
  qsort(list, (size_t)t->n, sizeof *list, by_name);
  for (int i = 1; i < t->n; i++)
    if (strcmp(list[i - 1]->name, list[i]->name) == 0)
      wrong = "a name is given twice in the header";
  qsort(list, (size_t)t->n, sizeof *list, by_place);
  for (int i = 0; i < t->n && !wrong; i++) {
    if (list[i]->begin != end)
      wrong = list[i]->begin < end ? "two arrays overlap" : "a gap between two arrays";
    end = list[i]->begin + th__layout_bytes(&list[i]->layout);
  }
  if (!wrong && end != data_bytes) wrong = "bytes behind the last array";
  th__free(list);
  return wrong;
}

const char *th__tensors_parse(char *text, size_t bytes, int64_t data_bytes, th__tensors *out) {
  parser p = {.at = text, .end = text + bytes};
  bool more;
  *out = (th__tensors){0};
  if (bytes == 0 || *text != '{') return "the header is no JSON object";
  p.at++;
  for (bool first = true;; first = false) {
    if (!next(&p, first, '}', &more)) return p.wrong;
    if (!more) break;
    if (!parse_entry(&p, data_bytes, out)) return p.wrong;
  }
  skip_blanks(&p);
  if (p.at != p.end) return "something stands behind the header's object";
  return check_all(out, data_bytes);
}

void th__tensors_free(th__tensors *t) {
  th__free(t->items);
  th__free((void *)t->metadata);
  *t = (th__tensors){0};
}
