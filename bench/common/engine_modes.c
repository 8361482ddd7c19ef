/* Owns which trials are compared with which: all contestants on a graph, bodies of different lengths, patterns. */
#include "common/engine_modes.h"

#include <stdio.h>
#include <string.h>

#include "common/engine_report.h"

/* Whether the contestant is asked for, was built, and can use so many workers. */
static bool takes_part(const options *o, const contestant *c, int workers) {
  return strncmp(c->name, o->impl, strlen(o->impl)) == 0 && contest_has(c) &&
         (c->most_workers == 0 || workers <= c->most_workers);
}

/* Long bodies need fewer operations: about 50 ms of work per repetition. */
static long operations(const options *o, double grain) {
  long enough = grain > 0 ? (long)(5e7 / grain) : o->n;
  if (enough < 1000) enough = 1000;
  return enough < o->n ? enough : o->n;
}

int modes_graph(const options *o, graph_case which, double grain, trial *trials) {
  int n = 0;
  options shorter = *o;
  shorter.n = operations(o, grain);
  for (int i = 0; i < CONTESTANTS; i++)
    for (int k = 0; k < o->n_workers; k++)
      if (takes_part(o, &contestants[i], o->workers[k]))
        trials[n++] = contest_graph(&shorter, &contestants[i], which, o->workers[k], grain);
  return n;
}

enum { METG_OPERATIONS = 20000, METG_SLOW = 4000 }; /* the second for slow peers */

int modes_metg(const options *o, trial *trials) {
  options shorter = *o;
  if (shorter.n > METG_OPERATIONS) shorter.n = METG_OPERATIONS;
  int n = modes_graph(&shorter, GRAPH_RANDOM, 0, trials), kept = 0;
  for (int i = 0; i < n; i++) {
    if (trials[i].who->most_workers == 1) continue; /* serial mode: a body at a time */
    trials[i].name = "metg50";
    trials[i].job.metg = true;
    if (trials[i].who->most > 0 && trials[i].n > METG_SLOW) trials[i].n = METG_SLOW;
    trials[i].job.n = trials[i].n;
    trials[kept++] = trials[i];
  }
  return kept;
}

/* Bodies in ns, falling, until two workers are no longer quicker than one. */
int modes_two_beat_one(const options *o) {
  static const double grains[] = {1000, 700, 500, 400, 300, 250, 200, 150, 100, 75, 50, 25};
  const contestant *thrum = &contestants[0];
  bool has[3] = {false};
  for (int k = 0; k < o->n_workers; k++)
    if (o->workers[k] <= 2) has[o->workers[k]] = true;
  if (!has[1] || !has[2] || !takes_part(o, thrum, 2)) return 0;
  trial beaten = {.failed = true};
  for (size_t i = 0; i < sizeof grains / sizeof *grains; i++) {
    options shorter = *o;
    shorter.n = operations(o, grains[i]);
    trial pair[2];
    for (int w = 1; w <= 2; w++)
      pair[w - 1] = contest_graph(&shorter, thrum, GRAPH_RANDOM, w, grains[i]);
    contest_run(o, pair, 2);
    if (pair[0].failed || pair[1].failed) break;
    if (pair[1].value.median >= pair[0].value.median) break;
    beaten = pair[1];
    beaten.foreign = pair[0].foreign > pair[1].foreign ? pair[0].foreign : pair[1].foreign;
    beaten.value = (bench_summary){grains[i], grains[i], grains[i]};
  }
  if (beaten.failed) {
    fprintf(stderr, "two_beat_one: not even at %g ns\n", grains[0]);
    return 1;
  }
  beaten.name = "two_beat_one";
  beaten.job.grain = 0;
  report_add(o, &beaten);
  if (!o->json) putchar('\n');
  return 1;
}

int modes_sweep(const options *o, bool patterns, bool grains) {
  static const double all[] = {0, 100, 500, 1000, 10000, 100000}, two[] = {0, 1000};
  const double *list = grains ? all : two;
  int n_list = grains ? (int)(sizeof all / sizeof *all) : (int)(sizeof two / sizeof *two);
  int ran = 0;
  for (int g = patterns ? GRAPH_MAIN : GRAPH_RANDOM; g < (patterns ? GRAPH_CASES : GRAPH_MAIN);
       g++) {
    if (o->only && strcmp(o->only, graph_names[g]) != 0) continue;
    for (int i = 0; i < n_list; i++) {
      trial trials[CONTEST_TRIALS];
      int n = modes_graph(o, (graph_case)g, list[i], trials);
      contest_run(o, trials, n);
      for (int k = 0; k < n; k++) report_add(o, &trials[k]);
      ran += n;
      if (n > 0 && !o->json) putchar('\n');
    }
  }
  return ran;
}
