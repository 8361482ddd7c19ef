/* Who takes part, and how trials that are compared alternate. */
#ifndef THRUM_BENCH_COMMON_ENGINE_CONTEST_H
#define THRUM_BENCH_COMMON_ENGINE_CONTEST_H

#include "common/engine_run.h"

/* One of Thrum's modes, or a peer: a program in peers/ beside this one, made where its packages are. */
typedef struct contestant {
  const char *name;
  const char *mode;  /* Thrum's; NULL = a peer */
  const char *needs; /* of a peer: Debian packages */
  int most_workers;  /* 0 = any number */
  bool
      immediate; /* with one worker each task runs inside its submission: a peer of serial mode only */
  long most,
      most_fans; /* operations: of slow peers, and of one that is quadratic in GRAPH_FANOUT8 */
} contestant;

enum { CONTESTANTS = 7 };
extern const contestant contestants[CONTESTANTS];

typedef struct options {
  bool json;
  long n;
  int repetitions, rounds;
  const char *only; /* case, NULL = all */
  const char *impl; /* names that begin so */
  int workers[16], n_workers;
} options;

bool contest_has(const contestant *c); /* whether its program was built */
/* The contestants that were not built, one line each, to stderr, so that --json stays clean. */
void contest_print_missing(void);

/* One reading: what is measured, in a process of its own, and what came out. */
typedef struct trial {
  const char *name; /* of the case */
  const char *impl;
  const char *detail;   /* of the case, "" = none: "spinning", "idle1ms", a graph */
  const char *key;      /* of the value in JSON; NULL = ns_per_op */
  const char *base_key; /* the same of the base; NULL = the case has none */
  int workers;
  long n;
  void (*measure)(const struct trial *t, run_outcome *out); /* NULL: a graph */
  const contestant *who;                                    /* of a graph */
  run_job job;                                              /* of a graph */

  bench_summary value;
  double base;
  double foreign; /* largest of its rounds */
  bool failed;
} trial;

enum { CONTEST_TRIALS = 256, CONTEST_ROUNDS = 16 };
extern const double contest_noise; /* a foreign share above is repeated, and marked if it stays */

/* A graph for a contestant; n is cut to what the contestant can do in a sensible time. */
trial contest_graph(const options *o, const contestant *who, graph_case which, int workers,
                    double grain);
/* Measures all trials `rounds` times in turn (a, b, a, b ...), because the machine changes speed meanwhile. A reading in
 * which others took more than contest_noise is repeated twice at most, and the quietest kept; not while the machine is
 * busy all the time. */
void contest_run(const options *o, trial *trials, int n);

#endif
