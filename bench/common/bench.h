/* What the benchmarks share: a clock, the share of the machine that other processes took, medians, child processes. */
#ifndef THRUM_BENCH_COMMON_BENCH_H
#define THRUM_BENCH_COMMON_BENCH_H

#include <stdbool.h>
#include <stddef.h>

double bench_seconds(void); /* a clock that only goes forward */

/* CPU time of the machine and of this process since boot, in seconds. */
typedef struct bench_load {
  double busy;  /* all processes, all cores */
  double total; /* busy and idle, all cores */
  double own;   /* this process */
} bench_load;
bench_load bench_load_now(void);
/* Share of all cores, 0..1, that other processes used between two readings. The kernel counts in steps of 10 ms. */
double bench_foreign(const bench_load *before, const bench_load *after);

/* Median, smallest and largest of n samples; sorts them. */
typedef struct bench_summary {
  double median, min, max;
} bench_summary;
bench_summary bench_summarize(double *samples, int n);

/* Runs fn(arg, result) in a child process, so that no thread of one measurement disturbs the next, and copies bytes of
 * result back. False when the child failed. Call it before this process starts any thread. */
bool bench_in_child(void (*fn)(const void *arg, void *result), const void *arg, void *result,
                    size_t bytes);

#endif
