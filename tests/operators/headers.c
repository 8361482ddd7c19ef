/* Owns the reading of declarations: lines that begin with TH_API, comments before and behind them. The headers are in one form,
 * by clang-format, so this needs no parser of C. */
#include "operators/headers.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *headers_load(const char *path) {
  FILE *file = fopen(path, "r");
  if (!file) return NULL;
  size_t n = 0, room = 1 << 16;
  char *text = malloc(room + 1);
  while (text) {
    n += fread(text + n, 1, room - n, file);
    if (n < room) break;
    text = realloc(text, (room *= 2) + 1);
  }
  fclose(file);
  if (text) text[n] = 0;
  return text;
}

/* from..to as one line: blanks, and the stars that begin lines of comments, become single blanks. */
static const char *one_line(const char *from, const char *to) {
  char *out = malloc((size_t)(to - from) + 1);
  size_t n = 0;
  bool begins = false;
  for (const char *p = from; out && p < to; p++) {
    bool blank = isspace((unsigned char)*p) || (begins && *p == '*');
    begins = *p == '\n' || (begins && *p == ' ');
    if (!blank) out[n++] = *p;
    if (blank && n > 0 && out[n - 1] != ' ') out[n++] = ' ';
  }
  while (n > 0 && out[n - 1] == ' ') n--;
  if (out) out[n] = 0;
  return out ? out : "";
}

/* clang-format breaks long declarations behind an opening bracket or a star. */
static const char *joined(const char *text) {
  char *out = strdup(text), *to = out;
  for (const char *p = out; p && *p; p++)
    if (*p != ' ' || (p[-1] != '(' && p[-1] != '*')) *to++ = *p;
  if (out) *to = 0;
  return out ? out : "";
}

/* The th_ word before the first bracket. */
static const char *function_name(const char *signature) {
  const char *end = strchr(signature, '('), *p = end;
  while (p && p > signature && (isalnum((unsigned char)p[-1]) || p[-1] == '_')) p--;
  if (!p || strncmp(p, "th_", 3) != 0) return NULL;
  return one_line(p + 3, end);
}

typedef struct reader {
  const char *at, *section, *text, *header;
  header_function *out;
  int n;
} reader;

/* A comment: documentation of what follows, or the head of a section. */
static void take_comment(reader *r) {
  const char *end = strstr(r->at, "*/");
  if (!end) end = r->at + strlen(r->at) - 2;
  if (strncmp(r->at, "/**", 3) == 0) {
    r->text = one_line(r->at + 3 + (r->at[3] == '<'), end);
  } else {
    r->section = one_line(r->at + 2, end);
  }
  r->at = end + 2;
}

static void take_function(reader *r) {
  const char *end = strchr(r->at, ';');
  if (!end) end = r->at + strlen(r->at) - 1;
  header_function f = {.text = r->text, .section = r->section, .header = r->header};
  f.signature = joined(one_line(r->at + strlen("TH_API"), end));
  f.name = function_name(f.signature);
  r->at = end + 1;
  const char *behind = r->at + strspn(r->at, " \n");
  if (strncmp(behind, "/**<", 4) == 0) {
    r->at = behind;
    take_comment(r);
    f.text = r->text;
  }
  r->text = "";
  if (f.name && strstr(f.signature, "th_array") && r->n < HEADER_FUNCTIONS) r->out[r->n++] = f;
}

int headers_read(const char *path, header_function *out, int n) {
  const char *text = headers_load(path), *name = strrchr(path, '/');
  if (!text) return -1;
  reader r = {text, "", "", name ? name + 1 : path, out, n};
  while (*r.at) {
    if (strncmp(r.at, "TH_API ", 7) == 0) {
      take_function(&r);
    } else if (strncmp(r.at, "/*", 2) == 0) {
      take_comment(&r);
    } else { /* any other line; what it declares ends the text above it */
      if (*r.at != '\n') r.text = "";
      r.at += strcspn(r.at, "\n");
      if (*r.at) r.at++;
    }
  }
  return r.n;
}
