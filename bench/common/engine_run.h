/* One measurement inside its own process: samples, a graph's time per operation, the smallest task of 50 % efficiency. */
#ifndef THRUM_BENCH_COMMON_ENGINE_RUN_H
#define THRUM_BENCH_COMMON_ENGINE_RUN_H

#include "common/engine_graph.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { RUN_SAMPLES = 101 };

typedef struct run_outcome {
  int n;                       /* samples taken */
  double samples[RUN_SAMPLES]; /* mostly ns per operation */
  double base[RUN_SAMPLES]; /* what it is compared with, of cases that are differences or ratios */
  double foreign;           /* share of the cores that other processes took meanwhile */
} run_outcome;

/* Calls once() to warm up, then for samples: at least `repetitions` and, up to RUN_SAMPLES, for a fifth of a second, so that
 * the kernel's steps of 10 ms give a usable foreign share. once() returns the sample and may set out->base[out->n]. */
void run_samples(run_outcome *out, int repetitions, double (*once)(void *state), void *state);

typedef struct run_job {
  graph_case which;
  long n;
  int workers; /* threads able to run operations, a helping submitter counted */
  int repetitions;
  double grain; /* length of a body in ns */
  bool metg;    /* look for the grain of 50 % efficiency instead */
} run_job;

/* Samples: ns per operation from the first submission to the end of the last operation; with metg one sample, the
 * smallest body in ns with which bodies take half of the time of all workers (65536: none did). */
void run_graph(const graph_impl *impl, const char *mode, const run_job *job, run_outcome *out);

#ifdef __cplusplus
}
#endif
#endif
