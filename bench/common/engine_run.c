/* Owns how a graph is measured. */
#include "common/engine_run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { METG_REPETITIONS = 5, METG_STEPS = 4, METG_LEAST = 2000 };
static const double least_seconds = 0.2, smallest_grain = 8, long_grain = 2000,
                    largest_grain = 65536;

void run_samples(run_outcome *out, int repetitions, double (*once)(void *state), void *state) {
  *out = (run_outcome){0};
  once(state);
  bench_load before = bench_load_now();
  double start = bench_seconds();
  while (out->n < RUN_SAMPLES &&
         (out->n < repetitions || bench_seconds() - start < least_seconds)) {
    out->samples[out->n] = once(state);
    out->n++;
  }
  bench_load after = bench_load_now();
  out->foreign = bench_foreign(&before, &after);
}

typedef struct contest {
  const graph_impl *impl;
  const graph *g;
  int workers;
  double spin_ns; /* per iteration of a body */
} contest;

static double once(void *state) {
  const contest *c = state;
  double start = bench_seconds();
  c->impl->run(c->g);
  return (bench_seconds() - start) * 1e9 / (double)c->g->n;
}

static void set_grain(const contest *c, double grain) {
  graph_iterations = grain > 0 ? lround(grain / c->spin_ns) : 0;
  if (grain > 0 && graph_iterations < 1) graph_iterations = 1;
}

/* Time in bodies / time of all workers, in the quickest of some runs: what other processes take would hide the engine. */
static double efficiency(contest *c, double grain) {
  double samples[METG_REPETITIONS];
  set_grain(c, grain);
  for (int i = 0; i < METG_REPETITIONS; i++) samples[i] = once(c);
  double wall = bench_summarize(samples, METG_REPETITIONS).min;
  return (double)graph_iterations * c->spin_ns / (wall * c->workers);
}

/* Doubles the grain until half of the time is work, then halves the last interval on a logarithmic scale. Bodies above
 * long_grain run on a shorter graph. largest_grain stands for "never", which is what a second worker without a core gets. */
static double metg(contest *c, const graph *shorter) {
  double low = smallest_grain / 2, high = smallest_grain;
  while (high < largest_grain && efficiency(c, high) < 0.5) {
    low = high, high *= 2;
    if (high > long_grain) c->g = shorter;
  }
  if (high == smallest_grain || high == largest_grain) return high;
  for (int i = 0; i < METG_STEPS; i++) {
    double middle = sqrt(low * high);
    *(efficiency(c, middle) < 0.5 ? &low : &high) = middle;
  }
  return high;
}

/* The first run, in which every body must run once. */
static void count_bodies(const contest *c) {
  graph_iterations = GRAPH_COUNT;
  c->impl->run(c->g);
  graph_iterations = 0;
  if (graph_counted() == c->g->n) return;
  fprintf(stderr, "%s: %ld of %ld operations ran\n", graph_names[c->g->which], graph_counted(),
          c->g->n);
  exit(1);
}

void run_graph(const graph_impl *impl, const char *mode, const run_job *job, run_outcome *out) {
  graph *g = graph_new(job->which, job->n);
  contest c = {impl, g, job->workers, job->grain > 0 || job->metg ? bench_spin_ns() : 1};
  impl->start(job->workers, mode, g);
  count_bodies(&c);
  if (job->metg) {
    bench_load before = bench_load_now();
    *out = (run_outcome){.n = 1};
    graph *shorter = graph_new(job->which, job->n > METG_LEAST ? METG_LEAST : job->n);
    out->samples[0] = metg(&c, shorter);
    graph_free(shorter);
    bench_load after = bench_load_now();
    out->foreign = bench_foreign(&before, &after);
  } else {
    set_grain(&c, job->grain);
    run_samples(out, job->repetitions, once, &c);
  }
  impl->stop();
  graph_free(g);
}
