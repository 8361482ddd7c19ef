/* The cases that only Thrum runs: parts of the path, waits, submitters, the array path, traces, memory. */
#ifndef THRUM_BENCH_COMMON_ENGINE_CASES_H
#define THRUM_BENCH_COMMON_ENGINE_CASES_H

#include "common/engine_contest.h"

/* measure() runs in a process of its own. */
typedef struct special {
  const char *name, *impl, *detail, *key, *base_key;
  int least_workers, most_workers; /* 0 = any number */
  long n;
  int repetitions; /* at least, 0 = as asked */
  void (*measure)(const trial *t, run_outcome *out);
} special;

enum { SPECIALS = 15 };
extern const special specials[SPECIALS];

/* engine_waits.c */
void wait_roundtrip(const trial *t, run_outcome *out);
void wait_ready(const trial *t, run_outcome *out);
void waiters256(const trial *t, run_outcome *out);
void waiters256_floor(const trial *t, run_outcome *out);

#endif
