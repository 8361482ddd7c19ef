/* What the operators' benchmark measures, and what is to be reached. */
#ifndef THRUM_BENCH_COMMON_OPS_CASES_H
#define THRUM_BENCH_COMMON_OPS_CASES_H

#include "common/ops_spec.h"

/* Whom a goal compares with. */
typedef enum ops_rival {
  RIVAL_NONE,
  RIVAL_LOOP,  /* the better of the plain and the streaming loop */
  RIVAL_PEERS, /* the best of libtorch, NumPy and oneDNN */
  RIVAL_TORCH,
  RIVAL_BLAS,    /* the better of OpenBLAS and oneDNN */
  RIVAL_OPENBLAS /* alone */
} ops_rival;

typedef struct ops_case {
  const char *name;
  const char *kind; /* what programs know it by */
  const char *spec;
  ops_rival rival;
  double most[2]; /* our time / the rival's, with 1 and with 2 threads; 0 = none */
  bool small;     /* through the queue and inside the call */
  bool huge;      /* gigabytes: one round */
} ops_case;

extern const ops_case ops_cases[];
extern const int ops_cases_count;
extern const char *const ops_rival_names[];

#endif
