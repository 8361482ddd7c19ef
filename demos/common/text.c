/* Owns reading and making up text. */
#include "common/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/demo.h"

enum { LINES = 3000, LINE_BYTES = 48, LEAST = 1000 };

static unsigned draw(uint64_t *state, unsigned below) {
  *state = *state * UINT64_C(6364136223846793005) + 1442695040888963407u;
  return (unsigned)(*state >> 33) % below;
}

static char *make_sums(uint64_t seed, size_t *bytes) {
  static const char *const numbers[] = {"zero",    "one",     "two",       "three",    "four",
                                        "five",    "six",     "seven",     "eight",    "nine",
                                        "ten",     "eleven",  "twelve",    "thirteen", "fourteen",
                                        "fifteen", "sixteen", "seventeen", "eighteen"};
  char *data = malloc(LINES * LINE_BYTES);
  if (!data) demo_die("out of memory");
  *bytes = 0;
  for (int i = 0; i < LINES; i++) {
    unsigned a = draw(&seed, 10), b = draw(&seed, 10);
    *bytes += (size_t)snprintf(data + *bytes, LINE_BYTES, "%s plus %s is %s\n", numbers[a],
                               numbers[b], numbers[a + b]);
  }
  return data;
}

static char *read_file(const char *path, size_t *bytes) {
  FILE *file = fopen(path, "rb");
  if (!file) demo_die("--data: cannot read '%s'", path);
  size_t room = 1 << 20;
  char *data = malloc(room);
  *bytes = 0;
  for (size_t n = 1; data && n > 0;) {
    n = fread(data + *bytes, 1, room - *bytes, file);
    *bytes += n;
    if (*bytes == room) data = realloc(data, room *= 2);
  }
  if (!data || ferror(file)) demo_die("--data: cannot read '%s'", path);
  fclose(file);
  if (*bytes < LEAST) demo_die("--data: '%s' has less than %d characters", path, LEAST);
  return data;
}

text text_open(const char *path, uint64_t seed, th_device device) {
  text t = {.name = path ? path : "sums in words"};
  size_t bytes;
  char *data = path ? read_file(path, &bytes) : make_sums(seed, &bytes);
  int64_t id[256] = {0};
  for (size_t i = 0; i < bytes; i++) id[(unsigned char)data[i]] = 1;
  for (int c = 0; c < 256; c++) {
    if (!id[c]) continue;
    id[c] = t.ids;
    t.character[t.ids++] = (unsigned char)c;
  }
  int64_t *all = malloc(bytes * sizeof *all), n = (int64_t)bytes, train = n - n / 10;
  if (!all) demo_die("out of memory");
  for (size_t i = 0; i < bytes; i++) all[i] = id[(unsigned char)data[i]];
  t.train = DEMO_MAKE(th_from_host(all, TH_SHAPE(train), TH_I64, device));
  t.test = DEMO_MAKE(th_from_host(all + train, TH_SHAPE(n - train), TH_I64, device));
  free(all);
  free(data);
  return t;
}

void text_close(text *t) {
  th_release(t->train);
  th_release(t->test);
}
