/* What the benchmarks share: a clock, a calibrated spin, the share of the machine that other processes took, medians,
 * child processes. */
#ifndef THRUM_BENCH_COMMON_BENCH_H
#define THRUM_BENCH_COMMON_BENCH_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

double bench_seconds(void); /* a clock that only goes forward */

int bench_cores(void); /* cores this process may use */

/* Keeps the calling thread busy without memory: a chain of dependent multiplications, so its time does not depend on what
 * the core does besides. */
void bench_spin(long iterations);
double bench_spin_ns(void); /* ns per iteration, measured now: about 20 ms */

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
/* As bench_in_child() for another program: argv[0] is its path; it must write bytes of result to descriptor
 * BENCH_RESULT_FD and exit with 0. */
enum { BENCH_RESULT_FD = 3 };
bool bench_in_program(char *const argv[], void *result, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
