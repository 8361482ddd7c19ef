/* Asking programs that serve (common/serve.h): starting them, readings, stopping them. */
#ifndef THRUM_BENCH_COMMON_ASK_H
#define THRUM_BENCH_COMMON_ASK_H

#include <stdio.h>
#include <sys/types.h>

#include "common/serve.h"

typedef struct bench_program {
  pid_t pid; /* 0 = not there */
  FILE *in, *out;
} bench_program;

enum { BENCH_ROUNDS = 9 };

/* Of all rounds in which one program was asked the same. n 0: it has no such thing. */
typedef struct bench_reading {
  int n;
  double samples[BENCH_ROUNDS * BENCH_SAMPLES];
  double median, min, max, spread; /* spread: half the distance of the quartiles / the median */
  double foreign;                  /* largest of the rounds */
  double figures[BENCH_FIGURES];   /* the last round's */
} bench_reading;

/* The folder of this program. False when it is not known. */
bool bench_own_folder(char *path, size_t bytes);
/* OpenBLAS before 0.3.25 takes new processors for a Prescott of 2004. Thrum repairs that for itself (ops/linear/blas.c); so that
 * peers are not measured at a quarter of their speed, they get the right kernels, too. Before programs are started. */
void bench_choose_blas_core(void);

/* Starts a program: become(arg) is called in the child and turns into it (exec), or exits. Waits for its "ready NAME VERSION".
 * False, with nothing started, when that does not come. */
bool bench_program_start(bench_program *p, void (*become)(const void *arg), const void *arg,
                         char *version, size_t bytes);
void bench_program_stop(bench_program *p);
/* Adds one round of samples and, of a program that tells them, figures. False when the program is not there or has no such
 * thing. what is for the message that the program ended. */
bool bench_ask(bench_program *p, const char *request, bool figures, const char *what,
               bench_reading *out);
void bench_reading_end(bench_reading *r); /* median and so on of the samples */

#endif
