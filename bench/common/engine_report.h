/* Readings as lines: for people, as JSON, and kept for the table of goals. */
#ifndef THRUM_BENCH_COMMON_ENGINE_REPORT_H
#define THRUM_BENCH_COMMON_ENGINE_REPORT_H

#include "common/engine_contest.h"

void report_header(const options *o);
void report_add(const options *o,
                const trial *t); /* prints and keeps; a failed one only to stderr */
bool report_failed(void);        /* whether a trial failed */
/* A kept reading, NULL without one. */
const trial *report_find(const char *name, const char *impl, const char *detail, int workers);

/* One line of goals per case: ours, whether met, each peer's, the best peer's time / ours; and beside them, not of this
 * run, the constants of peers that Debian lacks. */
void report_goals(void);

#endif
