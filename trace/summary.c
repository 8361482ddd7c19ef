/* Owns the summary of a trace and the list of its critical path. */
#include <stdlib.h>

#include "trace/report.h"
#include "trace/text.h"

enum { LABEL = 24, TOP = 10 };

static double percent(int64_t part, int64_t whole) {
  return whole <= 0 ? 0 : 100 * (double)part / (double)whole;
}

static void put_head(const trace *t, const figures *f, FILE *out) {
  fprintf(out, "%zu ops on %zu lanes, %zu edges, %zu host waits", t->n_ops, t->n_lanes, f->n_edges,
          t->n_waits);
  if (f->failed > 0) fprintf(out, ", %zu failed", f->failed);
  if (f->skipped > 0) fprintf(out, ", %zu skipped", f->skipped);
  if (t->dropped > 0)
    fprintf(out, ", %llu records dropped while recording", (unsigned long long)t->dropped);
  fputs("\n\n", out);
}

static void put_bounds(const figures *f, FILE *out) {
  char text[TEXT_TIME];
  int64_t wall = f->end - f->begin;
  fprintf(out, "wall time      %10s\n", text_time(wall, text));
  fprintf(out,
          "critical path  %10s  %5.1f %%  the wall time with infinitely many workers: %zu ops in a "
          "row\n",
          text_time(f->critical, text), percent(f->critical, wall), f->n_path);
  fprintf(out, "all ops        %10s  %5.1f %%  with one worker\n", text_time(f->sum, text),
          percent(f->sum, wall));
  fprintf(out, "host waits     %10s  %5.1f %%\n", text_time(f->waited, text),
          percent(f->waited, wall));
  fprintf(out, "ops at a time  %10.2f  on average, %.2f at most\n\n",
          wall <= 0 ? 0 : (double)f->sum / (double)wall, f->most_parallel);
}

static void put_lanes(const trace *t, const figures *f, FILE *out) {
  int64_t wall = f->end - f->begin;
  fprintf(out, "%-*s %9s %10s %7s   idle:", LABEL, "lane", "ops", "busy", "");
  for (int c = IDLE_CAUSES - 1; c >= 0; c--) fprintf(out, " %9s", idle_names[c]);
  putc('\n', out);
  for (size_t i = 0; i < t->n_lanes; i++) {
    const lane_figures *l = &f->lanes[i];
    char name[LABEL + 1], text[TEXT_TIME];
    if (t->lanes[i].kind == ROW_HOST && l->ops == 0) continue;
    fprintf(out, "%-*s %9zu %10s %5.1f %%", LABEL, text_plain(t->lanes[i].label, LABEL, name),
            l->ops, text_time(l->busy, text), percent(l->busy, wall));
    if (t->lanes[i].kind != ROW_HOST) {
      fputs("        ", out);
      for (int c = IDLE_CAUSES - 1; c >= 0; c--)
        fprintf(out, " %7.1f %%", percent(l->idle[c], wall));
    }
    putc('\n', out);
  }
  fputs(
      "  idle, the first that is true: waking: an op was ready, a lane had to wake up or to find "
      "it; "
      "memory: an op was\n"
      "  ready and found none; copy: an op waited for a copy; blocked: all pending ops waited for "
      "others; no work:\n"
      "  nothing was submitted\n\n",
      out);
}

static void put_parallel(const figures *f, FILE *out) {
  static const char *const bars[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  enum { WIDTH = 60, EACH = FIGURES_SLICES / WIDTH };
  double most = f->most_parallel > 0 ? f->most_parallel : 1;
  fputs("ops at a time  |", out);
  for (int i = 0; i < WIDTH; i++) {
    double sum = 0;
    for (int j = 0; j < EACH; j++) sum += f->parallel[i * EACH + j];
    fputs(bars[(int)(sum / EACH / most * 8 + 0.5)], out);
  }
  fprintf(out, "|  full height = %.2f\n\n", most);
}

void report_summary(const trace *t, const figures *f, FILE *out) {
  put_head(t, f, out);
  if (t->n_ops > 0) {
    put_bounds(f, out);
    put_lanes(t, f, out);
    put_parallel(f, out);
    report_table(t, f, REPORT_TEXT, TOP, out);
  } else if (f->end > f->begin) {
    char text[TEXT_TIME];
    fprintf(out, "wall time      %10s\n", text_time(f->end - f->begin, text));
  }
  if (t->n_memory > 0) putc('\n', out);
  report_memory(t, f, TOP, out);
  if (f->n_waits == 0) return;
  putc('\n', out);
  report_waits(t, f, TOP, out);
}

/* The three names that take most of the path. */
static void put_path_names(const trace *t, const figures *f, FILE *out) {
  int64_t *sums = calloc(t->n_names, sizeof *sums);
  for (size_t i = 0; i < f->n_path && sums != NULL; i++) {
    const trace_op *o = &t->ops[f->path[i]];
    sums[o->name] = trace_add(sums[o->name], o->end - o->begin);
  }
  for (int rank = 0; rank < 3 && sums != NULL; rank++) {
    size_t best = 0;
    char name[33];
    for (size_t i = 1; i < t->n_names; i++)
      if (sums[i] > sums[best]) best = i;
    if (sums[best] == 0) break;
    fprintf(out, "%s%s %.1f %%", rank == 0 ? "mostly " : ", ", text_plain(t->names[best], 32, name),
            percent(sums[best], f->critical));
    sums[best] = 0;
  }
  putc('\n', out);
  free(sums);
}

void report_path(const trace *t, const figures *f, size_t most, FILE *out) {
  char text[4][TEXT_TIME], name[33], lane[LABEL + 1];
  fprintf(out, "critical path: %zu ops, %s of %s wall time (%.1f %%)\n", f->n_path,
          text_time(f->critical, text[0]), text_time(f->end - f->begin, text[1]),
          percent(f->critical, f->end - f->begin));
  if (f->n_path == 0) return;
  put_path_names(t, f, out);
  fprintf(out, "\n%10s %-32s %10s %10s %10s  %s\n", "id", "operation", "started", "took",
          "after gap", "lane");
  int64_t before = f->begin;
  for (size_t i = 0; i < f->n_path && i < most; i++) {
    const trace_op *o = &t->ops[f->path[i]];
    int64_t gap = o->begin > before ? o->begin - before : 0;
    fprintf(out, "%10llu %-32s %10s %10s %10s  %s\n", (unsigned long long)o->id,
            text_plain(t->names[o->name], 32, name), text_time(o->begin - f->begin, text[0]),
            text_time(o->end - o->begin, text[1]), text_time(gap, text[2]),
            text_plain(t->lanes[t->rows[o->row].lane].label, LABEL, lane));
    before = o->end;
  }
  if (f->n_path > most) fprintf(out, "and %zu more\n", f->n_path - most);
}
