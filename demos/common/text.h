/* Text for demos as arrays of ids: of a file, or sums in words. */
#ifndef THRUM_DEMOS_COMMON_TEXT_H
#define THRUM_DEMOS_COMMON_TEXT_H

#include <thrum/thrum.h>

typedef struct text {
  const char *name;
  int ids;                      /* different characters */
  unsigned char character[256]; /* of each id */
  th_array *train, *test;       /* i64 ids; test: the last tenth */
} text;

/* path NULL: 3,000 lines as "seven plus two is nine". Exits with a message when the file cannot be read or is shorter than
 * 1,000 characters. */
text text_open(const char *path, uint64_t seed, th_device device);
void text_close(text *t);

#endif
