/* The programs of the operators' benchmark: Thrum and its peers, each running for one number of threads, asked in turn. */
#ifndef THRUM_BENCH_COMMON_OPS_PROGRAMS_H
#define THRUM_BENCH_COMMON_OPS_PROGRAMS_H

#include "common/ask.h"
#include "common/bench.h"
#include "common/ops_cases.h"

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

enum { OPS_WORKERS = 2 };

/* Starts a program for each implementation with 1 and with 2 threads; says which are missing. only: 0 = both. */
void ops_programs_start(int only);
void ops_programs_stop(void);
/* Adds one round of samples; false when the program is not there or has no such operator. workers from 1. */
bool ops_ask(ops_who who, int workers, const ops_case *c, bench_reading *out);

#endif
