/* The operators whose parallel loops are measured, each in a process of its own. */
#ifndef THRUM_BENCH_COMMON_LOOP_CASES_H
#define THRUM_BENCH_COMMON_LOOP_CASES_H

#include <stdbool.h>
#include <stdint.h>

enum { LOOP_SAMPLES = 101 };

/* What is measured. Workers are threads able to run operators, a helping submitter counted. */
typedef struct loop_case {
  const char *name; /* "exp", "sum", "matmul", or two at once: "exp_pair", "matmul_pair" */
  const char *
      impl; /* "thrum", "thrum-default" (as many workers as cores, and the submitter helps), "thrum-serial",
                        "cblas" */
  int workers;
  int64_t n; /* elements of a vector, rows and columns of a matrix */
} loop_case;

typedef struct loop_outcome {
  double ns;      /* per operator (per pair), median of the samples */
  double use;     /* CPU time of this process / (time x cores); who spins counts as busy */
  double foreign; /* share of the cores that other processes took */
  uint64_t bits;  /* hash of the result's bits */
} loop_outcome;

/* For bench_in_child(). Ends the process when something fails. */
void loop_measure(const void *which, void *outcome);

#endif
