/* The graphs of the engine benchmark, the same for every contestant, and what a contestant offers. */
#ifndef THRUM_BENCH_COMMON_ENGINE_GRAPH_H
#define THRUM_BENCH_COMMON_ENGINE_GRAPH_H

#include <stdbool.h>
#include <stdint.h>

#include "common/bench.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { GRAPH_VARIABLES = 1000, GRAPH_FANOUT = 8, GRAPH_WIDTH = 32 };

typedef enum graph_case {
  GRAPH_INDEPENDENT, /* each operation writes a variable of its own */
  GRAPH_CHAIN,       /* each operation writes the one variable */
  GRAPH_FANOUT8,     /* one operation writes the one variable, the next 8 read it, and so on */
  GRAPH_RANDOM,      /* each operation reads two of 1000 variables and writes a third one */
  GRAPH_MAIN,
  /* The patterns of Task Bench (Slaughter et al. 2020): steps of GRAPH_WIDTH points. Point i of step t writes one of two
   * variables per point, in turn, and reads the other ones of points of step t - 1: */
  PATTERN_TRIVIAL = GRAPH_MAIN, /* none */
  PATTERN_CHAIN,                /* i */
  PATTERN_STENCIL,              /* i - 1, i, i + 1 */
  PATTERN_FFT,                  /* i, i - 2^k, i + 2^k with k = t mod log2(width) */
  PATTERN_TREE,                 /* i / 2; steps of 1, 2, 4 ... width points, then the next tree */
  PATTERN_RANDOM,               /* three different points drawn at random */
  PATTERN_ALL_TO_ALL,           /* all */
  GRAPH_CASES
} graph_case;

extern const char *const graph_names[GRAPH_CASES];

/* Operands of one operation: reads[first .. first + n_reads) of its graph, and the variable written, -1 = none. */
typedef struct graph_node {
  int64_t first;
  int32_t n_reads, write;
} graph_node;

typedef struct graph {
  graph_case which;
  long n;        /* operations */
  int variables; /* numbered from 0 */
  graph_node *nodes;
  int32_t *reads;
} graph;

graph *graph_new(graph_case which, long n); /* ends the process without memory */
void graph_free(graph *g);

/* The body of all operations: nothing, a spin of so many iterations, or GRAPH_COUNT: counts itself. Set while nothing
 * runs. */
enum { GRAPH_COUNT = -1 };
extern long graph_iterations;
void graph_work(void);
long graph_counted(void); /* bodies that counted themselves since the process started */
static inline void graph_body(void) {
  if (graph_iterations != 0) graph_work();
  __asm__ volatile(""); /* something the compiler must keep */
}

/* A contestant. */
typedef struct graph_impl {
  void (*start)(int workers, const char *mode, const graph *g);
  void (*run)(const graph *g); /* submits all operations and waits for them */
  void (*stop)(void);
} graph_impl;

#ifdef __cplusplus
}
#endif
#endif
