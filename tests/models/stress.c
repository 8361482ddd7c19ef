/* Runs a model on real threads, again and again for a moment: what the explorer calls right must also be right here, for the
 * compiler, this machine, and the thread sanitizer. Broken twins are left out: they might never end. */
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/models/model.h"

static const ex_scenario *model;
static pthread_barrier_t begin, end;
static bool leaving;

void ex_fail(const char *format, ...) {
  va_list args;
  va_start(args, format);
  fprintf(stderr, "%s: ", model->name);
  vfprintf(stderr, format, args);
  fputc('\n', stderr);
  exit(1);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void *thread_main(void *number) {
  for (;;) {
    pthread_barrier_wait(&begin);
    if (leaving) return NULL;
    model->thread((int)(intptr_t)number);
    pthread_barrier_wait(&end);
  }
}

static void run(double seconds) {
  pthread_t threads[EX_THREADS];
  pthread_barrier_init(&begin, NULL, (unsigned)model->threads + 1);
  pthread_barrier_init(&end, NULL, (unsigned)model->threads + 1);
  leaving = false;
  for (intptr_t i = 1; i <= model->threads; i++)
    pthread_create(&threads[i], NULL, thread_main, (void *)i);
  long rounds = 0;
  for (double until = now() + seconds; now() < until; rounds++) {
    model->setup();
    pthread_barrier_wait(&begin);
    pthread_barrier_wait(&end);
    if (model->check != NULL) model->check();
  }
  leaving = true;
  pthread_barrier_wait(&begin);
  for (int i = 1; i <= model->threads; i++) pthread_join(threads[i], NULL);
  pthread_barrier_destroy(&begin);
  pthread_barrier_destroy(&end);
  printf("%-20s %ld rounds\n", model->name, rounds);
}

/* stress [SECONDS]: so long for each model, 0.3 s when left out. */
int main(int argc, char **argv) {
  th__fence_prepare();
  for (size_t i = 0; i < ex_n_scenarios; i++) {
    model = &ex_scenarios[i];
    if (model->finds == NULL) run(argc > 1 ? atof(argv[1]) : 0.3);
  }
  return 0;
}
