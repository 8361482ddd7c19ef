/* Owns the text of the figures of tests/ops/accuracy.def. */
#include "operators/accuracy.h"

#include <stdio.h>
#include <string.h>

static const struct {
  const char *name;
  double f32, f64;
} rows[] = {
#define TH_ACCURACY(id, value, f32, f64) {#id, f32, f64},
#include "tests/ops/accuracy.def"
#undef TH_ACCURACY
};

const char *accuracy_of(const char *name) {
  static char text[64];
  *text = 0;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    if (strcmp(rows[i].name, name) == 0)
      snprintf(text, sizeof text, rows[i].f32 == rows[i].f64 ? "%g" : "%g, f64 %g", rows[i].f32,
               rows[i].f64);
  return text;
}
