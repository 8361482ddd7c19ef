/* Owns the table of goals, one row each, and finding their figures in what was printed. */
#include "common/cuda_goals.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum bound { MOST, LEAST, TIMES_TORCH } bound; /* ORDER bound */

typedef struct goal {
  const char *what, *unit, *name, *field; /* case and field of the lines */
  bound bound;
  double limit;
} goal;

static const goal goals[] = {
    {"chain of additions of 1 Ki floats, per operation", "us", "chain", "value", MOST, 2.3},
    {"the submitting call of it", "ns", "chain", "submit_ns", MOST, 150},
    {"10,000 independent additions of 1 Ki floats", "ms", "independent", "value", MOST, 25},
    {"8 independent kernels of 16 blocks, 200 us", "ms", "medium8", "value", MOST, 0.25},
    {"MLP 784-256-256-10, batch 128, step", "us", "mlp_step", "value", MOST, 150},
    {"pinned GiB beside as much computing, over the longer", "x", "overlap_pinned", "value", MOST,
     1.05},
    {"16384^3 product of f32", "ms", "matmul_f32", "value", TIMES_TORCH, 1.02},
    {"the same by TF32", "ms", "matmul_tf32", "value", TIMES_TORCH, 1.02},
    {"the same of bf16", "ms", "matmul_bf16", "value", TIMES_TORCH, 1.02},
    {"adding arrays of 1 GiB, of a copy's bandwidth", "x", "large_add", "value", LEAST, 0.9},
    {"summing 1 GiB, of a copy's bandwidth", "x", "large_sum", "value", LEAST, 0.9},
    {"one float to the GPU and back, waited for", "us", "ping", "value", MOST, 9},
    {"memory from the pool, taken and given back", "ns", "pool hit", "value", MOST, 80},
};
enum { GOALS = sizeof goals / sizeof *goals };

typedef struct figures {
  double thrum, torch; /* NaN: none */
  bool fake;
} figures;

/* What stands behind "key": in a line of JSON; NULL when it is not there. */
static const char *behind(const char *line, const char *key) {
  char quoted[40];
  snprintf(quoted, sizeof quoted, "\"%s\":", key);
  const char *at = strstr(line, quoted);
  return at ? at + strlen(quoted) : NULL;
}

static bool is_text(const char *at, const char *text) {
  size_t length = strlen(text);
  return at && at[0] == '"' && strncmp(at + 1, text, length) == 0 && at[1 + length] == '"';
}

/* The figure of a goal in a line, if it holds one. */
static void take(const goal *g, const char *line, figures *f) {
  if (strcmp(g->name, "pool hit") == 0) { /* "pool hit (fake): 51.2 ns to take and give back" */
    const char *at = strncmp(line, "pool hit", 8) == 0 ? strchr(line, ':') : NULL;
    if (!at) return;
    f->thrum = strtod(at + 1, NULL);
    f->fake |= strstr(line, "(fake)") != NULL;
    return;
  }
  const char *impl = behind(line, "impl"), *value = behind(line, g->field);
  if (!is_text(behind(line, "bench"), "cuda") || !is_text(behind(line, "case"), g->name) || !impl ||
      !value)
    return;
  bool torch = strncmp(impl, "\"torch", 6) == 0;
  *(torch ? &f->torch : &f->thrum) = strtod(value, NULL);
  f->fake |= strncmp(impl, "\"thrum (fake)\"", 14) == 0;
}

static const char *verdict(const goal *g, const figures *f) {
  double limit = g->bound == TIMES_TORCH ? g->limit * f->torch : g->limit;
  if (f->fake) return "fake: says nothing";
  if (isnan(f->thrum)) return "not measured";
  if (isnan(limit)) return "no PyTorch beside it";
  return (g->bound == LEAST ? f->thrum >= limit : f->thrum <= limit) ? "met" : "missed";
}

static void print_goal(const goal *g, const figures *f) {
  char thrum[16] = "-", torch[16] = "-", wanted[24];
  if (!isnan(f->thrum)) snprintf(thrum, sizeof thrum, "%.4g", f->thrum);
  if (!isnan(f->torch)) snprintf(torch, sizeof torch, "%.4g", f->torch);
  static const char *const bounds[] = {"<=", ">=", "PyTorch x"}; /* ORDER bound */
  snprintf(wanted, sizeof wanted, "%s %g", bounds[g->bound], g->limit);
  printf("%-53s %-3s %-14s %10s %10s  %s\n", g->what, g->unit, wanted, thrum, torch, verdict(g, f));
}

bool cuda_goals_print(const char *path) {
  char line[1024];
  figures found[GOALS];
  for (int i = 0; i < GOALS; i++) found[i] = (figures){(double)NAN, (double)NAN, false};
  FILE *in = fopen(path, "r");
  if (!in) return false;
  while (fgets(line, sizeof line, in))
    for (int i = 0; i < GOALS; i++) take(&goals[i], line, &found[i]);
  fclose(in);
  printf("%-53s %-3s %-14s %10s %10s\n", "on an H200, medians", "", "goal", "Thrum", "PyTorch");
  for (int i = 0; i < GOALS; i++) print_goal(&goals[i], &found[i]);
  return true;
}
