/* The benchmark's graphs as OpenMP tasks. Independent operations need no depend clause in OpenMP, which is its fastest
 * form, so they have none. The creating thread runs tasks, too, and counts. */
#include "common/engine_graph.h"

static int threads;
static char vars[GRAPH_VARIABLES];

/* Something the compiler must keep. */
static void nothing(void) { __asm__ volatile(""); }

void openmp_start(int workers, const char *mode, long n) { threads = workers; }

void openmp_stop(void) {}

static void independent(long n) {
  for (long i = 0; i < n; i++) {
#pragma omp task
    nothing();
  }
}

static void chain(long n) {
  for (long i = 0; i < n; i++) {
#pragma omp task depend(inout : vars[0])
    nothing();
  }
}

static void fanout(long n) {
  for (long i = 0; i < n; i++) {
    if (i % (GRAPH_FANOUT + 1) == 0) {
#pragma omp task depend(inout : vars[0])
      nothing();
    } else {
#pragma omp task depend(in : vars[0])
      nothing();
    }
  }
}

static void random_graph(const graph_op *ops, long n) {
  for (long i = 0; i < n; i++) {
    const graph_op *o = &ops[i];
#pragma omp task depend(in : vars[o->read[0]], vars[o->read[1]]) depend(inout : vars[o->write])
    nothing();
  }
}

void openmp_run(graph_case which, const graph_op *ops, long n) {
#pragma omp parallel num_threads(threads)
#pragma omp single
  {
    switch (which) {
    case GRAPH_INDEPENDENT: independent(n); break;
    case GRAPH_CHAIN: chain(n); break;
    case GRAPH_FANOUT8: fanout(n); break;
    case GRAPH_RANDOM: random_graph(ops, n); break;
    case GRAPH_CASES: break;
    }
#pragma omp taskwait
  }
}
