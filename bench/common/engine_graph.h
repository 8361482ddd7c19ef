/* The graphs of the engine benchmark, the same for every implementation, and the implementations. */
#ifndef THRUM_BENCH_COMMON_ENGINE_GRAPH_H
#define THRUM_BENCH_COMMON_ENGINE_GRAPH_H

#include <stdint.h>

enum { GRAPH_VARIABLES = 1000, GRAPH_FANOUT = 8 };

typedef enum graph_case {
  GRAPH_INDEPENDENT, /* no two operations share a variable */
  GRAPH_CHAIN,       /* each operation writes the one variable */
  GRAPH_FANOUT8,     /* one operation writes the one variable, the next 8 read it, and so on */
  GRAPH_RANDOM,      /* each operation reads two of 1000 variables and writes a third one */
  GRAPH_CASES
} graph_case;

/* Operands of one operation of GRAPH_RANDOM. */
typedef struct graph_op {
  int32_t read[2], write;
} graph_op;

/* One repetition: submits n empty operations and waits for all of them. */
typedef struct graph_impl {
  const char *name;
  int workers; /* threads able to run operations, the submitting one included */
  void (*start)(int workers, const char *mode, long n);
  void (*run)(graph_case which, const graph_op *ops, long n);
  void (*stop)(void);
  const char *mode;     /* for thrum: "", "inline" or "serial" */
  long quadratic_limit; /* largest n for GRAPH_FANOUT8; 0 = any */
} graph_impl;

void thrum_start(int workers, const char *mode, long n);
void thrum_run(graph_case which, const graph_op *ops, long n);
void thrum_stop(void);

void openmp_start(int workers, const char *mode, long n);
void openmp_run(graph_case which, const graph_op *ops, long n);
void openmp_stop(void);

#endif
