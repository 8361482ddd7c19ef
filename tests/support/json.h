/* A strict JSON reader for tests: parses the whole text or refuses it. */
#ifndef THRUM_TESTS_JSON_H
#define THRUM_TESTS_JSON_H

#include <stdbool.h>
#include <stddef.h>

typedef enum json_kind {
  JSON_NULL,
  JSON_BOOL,
  JSON_NUMBER,
  JSON_STRING,
  JSON_LIST,
  JSON_OBJECT
} json_kind;

typedef struct json {
  json_kind kind;
  double number;             /* a bool: 0 or 1 */
  char *text;                /* of a string, decoded to UTF-8 and terminated */
  char *key;                 /* within an object */
  struct json *first, *next; /* children of a list or object; sibling */
} json;

/* NULL when text[0..size) is not exactly one JSON value in valid UTF-8. Free with json_free(). */
json *json_parse(const char *text, size_t size);
void json_free(json *value);
/* Member of an object, NULL when absent or value is NULL or not an object. */
const json *json_get(const json *value, const char *key);
/* Text of a string member, "" when absent. */
const char *json_text(const json *value, const char *key);
/* Number of a member, otherwise when absent. */
double json_number(const json *value, const char *key, double otherwise);
bool json_utf8_valid(const char *text, size_t size);

#endif
