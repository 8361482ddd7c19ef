/* What the tool prints as text: the summary, the critical path, tables, a timeline in letters. */
#ifndef THRUM_TRACE_REPORT_H
#define THRUM_TRACE_REPORT_H

#include "trace/figures.h"
#include "trace/trace.h"

typedef enum report_format { REPORT_TEXT, REPORT_JSON, REPORT_CSV } report_format;

/* Wall time, what bounds it, lanes, top ops, host waits. */
void report_summary(const trace *t, const figures *f, FILE *out);
/* Every op of the longest chain, at most `most` of them. */
void report_path(const trace *t, const figures *f, size_t most, FILE *out);
/* Per name: count, total, mean, percentiles, share, queue time, GFLOP/s, GB/s. JSON has the memory, too. */
void report_table(const trace *t, const figures *f, report_format format, size_t most, FILE *out);
/* Per device: its peak, and who held how much then. most: lines per device. */
void report_memory(const trace *t, const figures *f, size_t most, FILE *out);
/* The same of host waits, by the place where they waited. */
void report_waits(const trace *t, const figures *f, size_t most, FILE *out);

/* A stretch of time in ns from figures.begin; from < 0: since figures.shown_begin, to < 0: up to figures.shown_end. */
typedef struct report_window {
  int64_t from, to;
} report_window;

/* One line per row; columns 40 to 4096. color: ANSI colors by name. False when out of memory. */
bool report_ascii(const trace *t, const figures *f, report_window w, int columns, bool color,
                  FILE *out);
/* The lanes of a window as SVG, with the arrows between its ops and the critical path. False when out of memory. */
bool report_svg(const trace *t, const figures *f, report_window w, int width, FILE *out);

/* Sets hues[0..t->n_names) to 0..359, the same for the same names of ops. Ops of one family (up to the first '_' or '.') are near
 * each other. False when out of memory. */
bool report_hues(const trace *t, const figures *f, int *hues);

#endif
