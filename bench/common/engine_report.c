/* Owns how readings are printed and where they are kept. */
#include "common/engine_report.h"

#include <stdio.h>
#include <string.h>

enum { KEPT = 1024 };
static trial kept[KEPT];
static int n_kept;
static bool failed;

void report_header(const options *o) {
  if (o->json) return;
  printf("%-18s %-13s %7s %8s %11s %11s %11s %8s\n", "case", "impl", "workers", "n", "ns/op", "min",
         "max", "foreign");
}

static void print_json(const trial *t) {
  const char *key = t->key ? t->key : "ns_per_op";
  printf("{\"bench\":\"engine\",\"case\":\"%s\",\"impl\":\"%s\",\"workers\":%d,\"n\":%ld,"
         "\"%s\":%.2f,\"min\":%.2f,\"max\":%.2f,\"foreign\":%.2f",
         t->name, t->impl, t->workers, t->n, key, t->value.median, t->value.min, t->value.max,
         t->foreign);
  printf(",\"unit\":\"%s\"", !t->key ? "ns" : strncmp(t->key, "bytes", 5) == 0 ? "B" : "1");
  if (*t->detail) printf(",\"mode\":\"%s\"", t->detail);
  if (t->base_key) printf(",\"%s\":%.2f", t->base_key, t->base);
  if (t->base_key && strcmp(t->name, "submitters4") == 0)
    printf(",\"ratio\":%.3f", t->base / t->value.median);
  if (t->job.grain > 0)
    printf(",\"grain_ns\":%.0f,\"efficiency\":%.3f", t->job.grain,
           t->job.grain / (t->value.median * t->workers));
  if (t->foreign > contest_noise) printf(",\"noisy\":true");
  puts("}");
}

static void print_row(const trial *t) {
  printf("%-18s %-13s %7d %8ld %11.1f %11.1f %11.1f %8.2f%s", t->name, t->impl, t->workers, t->n,
         t->value.median, t->value.min, t->value.max, t->foreign,
         t->foreign > contest_noise ? " !" : "");
  if (*t->detail) printf(" %s", t->detail);
  if (t->key) printf(" %s", t->key);
  if (t->base_key) printf(" %s %.1f", t->base_key, t->base);
  if (t->job.grain > 0)
    printf(" body %g us, efficiency %.2f", t->job.grain / 1000,
           t->job.grain / (t->value.median * t->workers));
  putchar('\n');
}

void report_add(const options *o, const trial *t) {
  if (t->failed) {
    fprintf(stderr, "%s, %s, %d workers: failed\n", t->name, t->impl, t->workers);
    failed = true;
    return;
  }
  o->json ? print_json(t) : print_row(t);
  fflush(stdout);
  if (n_kept < KEPT) kept[n_kept++] = *t;
}

bool report_failed(void) { return failed; }

const trial *report_find(const char *name, const char *impl, const char *detail, int workers) {
  for (int i = 0; i < n_kept; i++) {
    const trial *t = &kept[i];
    if (strcmp(t->name, name) == 0 && strcmp(t->impl, impl) == 0 &&
        strcmp(t->detail, detail) == 0 && t->workers == workers)
      return t;
  }
  return NULL;
}
