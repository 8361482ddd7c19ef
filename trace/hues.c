/* Owns the colors of names: families go round the circle in the order of their names, so that a program keeps its colors from run
 * to run and neighbours in the alphabet are far apart. */
#include <stdlib.h>
#include <string.h>

#include "trace/report.h"

typedef struct entry {
  const char *name;
  uint32_t index;
} entry;

static int by_name(const void *a, const void *b) {
  return strcmp(((const entry *)a)->name, ((const entry *)b)->name);
}

static size_t family_of(const char *name) { return strcspn(name, "_.: "); }

bool report_hues(const trace *t, const figures *f, int *hues) {
  enum { GOLDEN = 137, NEAR = 16 }; /* degrees between families, and within one */
  entry *all = malloc((f->n_names + 1) * sizeof *all);
  if (all == NULL) return false;
  for (size_t i = 0; i < f->n_names; i++)
    all[i] = (entry){t->names[f->names[i].name], f->names[i].name};
  qsort(all, f->n_names, sizeof *all, by_name);
  int family = 0, within = 0;
  for (size_t i = 0; i < f->n_names; i++) {
    size_t n = family_of(all[i].name);
    bool same =
        i > 0 && family_of(all[i - 1].name) == n && memcmp(all[i].name, all[i - 1].name, n) == 0;
    within = same ? within + 1 : 0;
    family += i > 0 && !same;
    hues[all[i].index] = (210 + family % 360 * GOLDEN + within % 6 * NEAR) % 360;
  }
  free(all);
  return true;
}
