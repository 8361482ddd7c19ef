/* What the public headers say of functions on arrays: signature, the line of text beside it, the section it stands in. */
#ifndef THRUM_TESTS_OPERATORS_HEADERS_H
#define THRUM_TESTS_OPERATORS_HEADERS_H

enum { HEADER_FUNCTIONS = 1024 };

/* Texts are without line breaks and live as long as the program. */
typedef struct header_function {
  const char *name;      /* without th_ */
  const char *signature; /* as declared, without TH_API and the semicolon */
  const char *text;      /* "" without one */
  const char *section;   /* the comment above its group, "" without one */
  const char *header;    /* "ops.h" */
} header_function;

/* Adds the functions of a header that take or return arrays; returns how many there are now, or -1 when it cannot be read. */
int headers_read(const char *path, header_function *out, int n);

/* The whole file, ending in 0, or NULL. */
char *headers_load(const char *path);

#endif
