/* The benchmark's graphs as OpenMP tasks; compiled once with gcc (libgomp) and once with clang (libomp). Independent
 * operations need no depend clause in OpenMP, which is its fastest form, so they have none. The creating thread runs
 * tasks, too, and counts. */
#include <stdlib.h>

#include "common/engine_peer.h"

static int threads;
static char *vars;

static void start(int workers, const char *mode, const graph *g) {
  threads = workers;
  vars = malloc((size_t)g->variables);
  if (!vars) exit(1);
}

static void stop(void) { free(vars); }

static void independent(const graph *g) {
  for (long i = 0; i < g->n; i++) {
#pragma omp task
    graph_body();
  }
}

static void chain(const graph *g) {
  for (long i = 0; i < g->n; i++) {
#pragma omp task depend(inout : vars[0])
    graph_body();
  }
}

static void fanout(const graph *g) {
  for (long i = 0; i < g->n; i++) {
    if (i % (GRAPH_FANOUT + 1) == 0) {
#pragma omp task depend(inout : vars[0])
      graph_body();
    } else {
#pragma omp task depend(in : vars[0])
      graph_body();
    }
  }
}

static void random_graph(const graph *g) {
  for (long i = 0; i < g->n; i++) {
    const graph_node *o = &g->nodes[i];
    const int32_t *read = g->reads + o->first;
#pragma omp task depend(in : vars[read[0]], vars[read[1]]) depend(inout : vars[o->write])
    graph_body();
  }
}

static void pattern(const graph *g) {
  for (long i = 0; i < g->n; i++) {
    const graph_node *o = &g->nodes[i];
    const int32_t *read = g->reads + o->first;
    int n = o->n_reads;
    switch (n) {
    case 0:
#pragma omp task depend(inout : vars[o->write])
      graph_body();
      break;
    case 1:
#pragma omp task depend(in : vars[read[0]]) depend(inout : vars[o->write])
      graph_body();
      break;
    case 2:
#pragma omp task depend(in : vars[read[0]], vars[read[1]]) depend(inout : vars[o->write])
      graph_body();
      break;
    case 3:
#pragma omp task depend(in                                                                         \
                        : vars[read[0]], vars[read[1]], vars[read[2]]) depend(inout                \
                                                                              : vars[o->write])
      graph_body();
      break;
    default:
#pragma omp task depend(iterator(int k = 0 : n), in : vars[read[k]]) depend(inout : vars[o->write])
      graph_body();
      break;
    }
  }
}

static void run(const graph *g) {
#pragma omp parallel num_threads(threads)
#pragma omp single
  {
    switch (g->which) {
    case GRAPH_INDEPENDENT: independent(g); break;
    case GRAPH_CHAIN: chain(g); break;
    case GRAPH_FANOUT8: fanout(g); break;
    case GRAPH_RANDOM: random_graph(g); break;
    default: pattern(g); break;
    }
#pragma omp taskwait
  }
}

const graph_impl peer_impl = {start, run, stop};
