/* What is measured on a GPU, each case in a process of its own. */
#ifndef THRUM_BENCH_COMMON_CUDA_CASES_H
#define THRUM_BENCH_COMMON_CUDA_CASES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/bench.h"

enum { CUDA_SAMPLES = 64, CUDA_EXTRAS = 3 };

typedef struct cuda_sizes {
  int64_t chain;       /* dependent additions */
  int64_t independent; /* additions */
  int64_t steps;       /* of training */
  int64_t n;           /* of a square product */
  int64_t elements;    /* of large arrays, f32 */
  int64_t copied;      /* bytes that are copied in during computing, in sixteen pieces */
  double medium;       /* seconds of a medium kernel */
  int samples;
} cuda_sizes;

typedef struct cuda_outcome {
  bench_summary value;
  struct {
    char name[24];
    double value;
  } extra[CUDA_EXTRAS]; /* what belongs to it; "" = no more */
  char error[200];      /* "" = none */
} cuda_outcome;

typedef struct cuda_case {
  const char *name, *unit, *what;
  void (*measure)(const struct cuda_case *c, const cuda_sizes *sizes, cuda_outcome *out);
  int dtype;   /* of products */
  bool tf32;   /* asked of the engine */
  bool pinned; /* the host's memory */
  double goal; /* on an H200; 0 = beside PyTorch only */
  bool least;  /* the goal is a minimum */
} cuda_case;

extern const cuda_case cuda_cases[];
extern const int cuda_n_cases;

typedef struct cuda_presence {
  int devices;
  char why[200]; /* why there is no further one */
} cuda_presence;

typedef struct cuda_question {
  const cuda_case *c;
  cuda_sizes sizes;
} cuda_question;

/* For bench_in_child(): a process that has started the driver must not fork. */
void cuda_look(const void *nothing, void *presence);
void cuda_run(const void *question, void *outcome);

#endif
