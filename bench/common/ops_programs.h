/* The programs of the operators' benchmark: Thrum and its peers, each running for one number of threads, asked in turn. */
#ifndef THRUM_BENCH_COMMON_OPS_PROGRAMS_H
#define THRUM_BENCH_COMMON_OPS_PROGRAMS_H

#include <stdio.h>
#include <sys/types.h>

#include "common/bench.h"
#include "common/ops_cases.h"
#include "common/ops_serve.h"

typedef enum ops_who {
  WHO_THRUM,
  WHO_INLINE,
  WHO_TORCH,
  WHO_NUMPY,
  WHO_ONEDNN,
  WHO_OPENBLAS,
  WHO_PLAIN,
  WHO_STREAMING,
  OPS_WHO
} ops_who;
extern const char *const ops_who_names[OPS_WHO];

enum { OPS_WORKERS = 2, OPS_ROUNDS = 9 };

/* Of one case, program and number of threads; samples of all rounds. n 0: it has no such operator. */
typedef struct ops_reading {
  int n;
  double samples[OPS_ROUNDS * OPS_SAMPLES];
  double median, min, max, spread; /* spread: half the distance of the quartiles / the median */
  double foreign;                  /* largest of the rounds */
} ops_reading;

/* Starts a program for each implementation with 1 and with 2 threads; says which are missing. only: 0 = both. */
void ops_programs_start(int only);
void ops_programs_stop(void);
/* Adds one round of samples; false when the program is not there or has no such operator. workers from 1. */
bool ops_ask(ops_who who, int workers, const ops_case *c, ops_reading *out);
void ops_summarize(ops_reading *r);

#endif
