/* Owns the tables by name: of ops, as text, JSON and CSV, and of host waits. */
#include <string.h>

#include "trace/report.h"
#include "trace/text.h"

enum { NAME = 32 };

static int width_of(const trace *t, const name_figures *lines, size_t n, const char *head) {
  int width = (int)strlen(head);
  for (size_t i = 0; i < n; i++) {
    char name[NAME + 1];
    int length = (int)strlen(text_plain(t->names[lines[i].name], NAME, name));
    if (length > width) width = length;
  }
  return width;
}

static int64_t total_of(const name_figures *lines, size_t n) {
  int64_t total = 0;
  for (size_t i = 0; i < n; i++) total = trace_add(total, lines[i].total);
  return total;
}

static double share(int64_t part, int64_t whole) {
  return whole <= 0 ? 0 : (double)part / (double)whole;
}

static void put_times(const int64_t *times, int n, FILE *out) {
  char text[TEXT_TIME];
  for (int i = 0; i < n; i++) fprintf(out, " %10s", text_time(times[i], text));
}

static void put_text(const trace *t, const figures *f, size_t most, FILE *out) {
  size_t n = f->n_names < most ? f->n_names : most;
  int width = width_of(t, f->names, n, "operation");
  int64_t all = total_of(f->names, f->n_names);
  fprintf(out, "%-*s %9s %10s %10s %10s %10s %10s %10s %7s %8s %8s\n", width, "operation", "count",
          "total", "mean", "p50", "p99", "max", "queued", "share", "GFLOP/s", "GB/s");
  for (size_t i = 0; i < n; i++) {
    const name_figures *l = &f->names[i];
    char name[NAME + 1];
    int64_t count = (int64_t)l->count;
    int64_t times[] = {l->total, l->total / count, l->p50, l->p99, l->most, l->queued / count};
    fprintf(out, "%-*s %9zu", width, text_plain(t->names[l->name], NAME, name), l->count);
    put_times(times, 6, out);
    char rates[2][TEXT_TIME];
    fprintf(out, " %5.1f %% %8s %8s\n", 100 * share(l->total, all),
            text_rate(figures_rate(l->flops, l->known), rates[0]),
            text_rate(figures_rate(l->moved, l->known), rates[1]));
  }
  if (f->n_names > n) fprintf(out, "and %zu more names\n", f->n_names - n);
}

/* The figures of a line, all in ns but the share, in one place for JSON and CSV. */
static const char *const columns[] = {"count",     "failed",     "total_ns", "mean_ns",
                                      "min_ns",    "p50_ns",     "p99_ns",   "max_ns",
                                      "queued_ns", "blocked_ns", "bytes"};
enum { COLUMNS = sizeof columns / sizeof *columns };

static void values_of(const name_figures *l, int64_t out[COLUMNS]) {
  int64_t count = (int64_t)l->count;
  const int64_t values[COLUMNS] = {
      count,   (int64_t)l->failed, l->total,           l->total / count, l->least, l->p50, l->p99,
      l->most, l->queued / count,  l->blocked / count, l->bytes};
  memcpy(out, values, sizeof values);
}

static void put_json(const trace *t, const figures *f, size_t most, FILE *out) {
  int64_t all = total_of(f->names, f->n_names), values[COLUMNS];
  fprintf(out, "{\"wall_ns\":%lld,\"operations\":[", (long long)(f->end - f->begin));
  for (size_t i = 0; i < f->n_names && i < most; i++) {
    fputs(i == 0 ? "\n{\"name\":" : ",\n{\"name\":", out);
    text_json(out, t->names[f->names[i].name]);
    values_of(&f->names[i], values);
    for (int c = 0; c < COLUMNS; c++)
      fprintf(out, ",\"%s\":%lld", columns[c], (long long)values[c]);
    fprintf(out, ",\"share\":%.6f,\"gflops\":%.6g,\"gbs\":%.6g}", share(f->names[i].total, all),
            figures_rate(f->names[i].flops, f->names[i].known),
            figures_rate(f->names[i].moved, f->names[i].known));
  }
  fputs("\n],\"memory\":[", out);
  for (size_t i = 0; i < t->n_memory; i++) {
    const trace_memory *m = &t->memory[i];
    fputs(i == 0 ? "\n{\"device\":" : ",\n{\"device\":", out);
    text_json(out, t->names[m->device]);
    fputs(",\"tag\":", out);
    text_json(out, t->names[m->tag]);
    fprintf(out, ",\"blocks\":%llu,\"taken\":%lld,\"at_peak\":%lld,\"peak\":%lld,\"peak_ns\":%lld}",
            (unsigned long long)m->count, (long long)m->taken, (long long)m->at_peak,
            (long long)m->peak, (long long)m->peak_at);
  }
  fputs("\n]}\n", out);
}

static void put_csv(const trace *t, const figures *f, size_t most, FILE *out) {
  int64_t all = total_of(f->names, f->n_names), values[COLUMNS];
  fputs("name", out);
  for (int c = 0; c < COLUMNS; c++) fprintf(out, ",%s", columns[c]);
  fputs(",share,gflops,gbs\n", out);
  for (size_t i = 0; i < f->n_names && i < most; i++) {
    text_csv(out, t->names[f->names[i].name]);
    values_of(&f->names[i], values);
    for (int c = 0; c < COLUMNS; c++) fprintf(out, ",%lld", (long long)values[c]);
    fprintf(out, ",%.6f,%.6g,%.6g\n", share(f->names[i].total, all),
            figures_rate(f->names[i].flops, f->names[i].known),
            figures_rate(f->names[i].moved, f->names[i].known));
  }
}

void report_table(const trace *t, const figures *f, report_format format, size_t most, FILE *out) {
  switch (format) {
  case REPORT_TEXT: put_text(t, f, most, out); return; /* memory: see report_memory() */
  case REPORT_JSON: put_json(t, f, most, out); return;
  case REPORT_CSV: put_csv(t, f, most, out); return;
  }
}

void report_memory(const trace *t, const figures *f, size_t most, FILE *out) {
  char name[NAME + 1], text[2][TEXT_TIME];
  for (size_t i = 0, shown = 0; i < t->n_memory; i++, shown++) {
    const trace_memory *m = &t->memory[i];
    if (i == 0 || m->device != m[-1].device) {
      shown = 0;
      fprintf(out, "%smemory of %s: at most %s, at %s\n", i == 0 ? "" : "\n",
              text_plain(t->names[m->device], NAME, name), text_bytes(m->peak, text[0]),
              text_time(m->peak_at - f->begin, text[1]));
      fprintf(out, "%-*s %9s %12s %12s\n", NAME, "taken by", "blocks", "in all", "then");
    }
    if (shown >= most) continue;
    fprintf(out, "%-*s %9llu %12s %12s\n", NAME, text_plain(t->names[m->tag], NAME, name),
            (unsigned long long)m->count, text_bytes(m->taken, text[0]),
            text_bytes(m->at_peak, text[1]));
  }
}

void report_waits(const trace *t, const figures *f, size_t most, FILE *out) {
  size_t n = f->n_waits < most ? f->n_waits : most;
  int width = width_of(t, f->waits, n, "the host waited in");
  fprintf(out, "%-*s %9s %10s %10s %10s %10s %10s\n", width, "the host waited in", "count", "total",
          "mean", "p50", "p99", "max");
  for (size_t i = 0; i < n; i++) {
    const name_figures *l = &f->waits[i];
    char name[NAME + 1];
    int64_t times[] = {l->total, l->total / (int64_t)l->count, l->p50, l->p99, l->most};
    fprintf(out, "%-*s %9zu", width, text_plain(t->names[l->name], NAME, name), l->count);
    put_times(times, 5, out);
    putc('\n', out);
  }
  if (f->n_waits > n) fprintf(out, "and %zu more places\n", f->n_waits - n);
}
