/* A pull reader of JSON: hands out one token after the other and refuses what is not JSON. Takes no memory, so files of any
 * size can be read as fast as they come. */
#ifndef THRUM_TRACE_SCAN_H
#define THRUM_TRACE_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SCAN_DEPTH = 64 }; /* lists and objects within each other */

typedef enum scan_token {
  SCAN_ERROR, /* error says why; all later tokens are errors, too */
  SCAN_END,   /* the one value is complete */
  SCAN_OBJECT,
  SCAN_OBJECT_END,
  SCAN_LIST,
  SCAN_LIST_END,
  SCAN_KEY, /* text: of a member; its value comes next */
  SCAN_STRING,
  SCAN_NUMBER,
  SCAN_WORD /* true, false, null */
} scan_token;

typedef struct scanner {
  const char *begin, *at, *end;
  const char *text; /* of the last key, string (without quotes, escapes as they are) or number */
  size_t length;
  const char *error;       /* NULL while all is well */
  uint64_t open;           /* bit per depth: 1 = object */
  int depth;               /* of what is open */
  bool first, after_value; /* nothing yet in what is open; a comma or an end must come */
  bool value_due, complete;
} scanner;

/* Begins with text[0..size), which must stay and be followed by a byte 0. */
void scan_begin(scanner *s, const char *text, size_t size);
scan_token scan_next(scanner *s);
/* Skips the rest of the value that begins with token. False on an error. */
bool scan_skip(scanner *s, scan_token token);
/* True when the last key or string is exactly text. */
bool scan_is(const scanner *s, const char *text);
/* Refuses the text; the first reason stays. Returns false. */
bool scan_refuse(scanner *s, const char *error);

/* The last number: whole and in range, else false. */
bool scan_unsigned(const scanner *s, uint64_t *out);
bool scan_signed(const scanner *s, int64_t *out);
double scan_number(const scanner *s);
/* The last string decoded to UTF-8; what is not UTF-8 becomes U+FFFD, what does not fit is cut between characters. Returns its
 * length without the terminator; bytes >= 4. */
size_t scan_decode(const scanner *s, char *out, size_t bytes);

#endif
