/* Long runs that look for leaks, hangs and slow growth. Each takes a count, starts and stops the engine itself and returns
 * false with a message when something is wrong; numbers worth knowing are in the message also when all is well. */
#ifndef THRUM_TESTS_STRESS_LIMITS_H
#define THRUM_TESTS_STRESS_LIMITS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct limit_run {
  const char *name;
  const char *about;
  bool (*run)(long n, char *message, size_t bytes);
  long small, large; /* counts for tests and for the soak program */
} limit_run;

bool fork_locks(long n, char *message, size_t bytes);        /* fork_locks.c */
bool random_statistics(long n, char *message, size_t bytes); /* statistics.c */

extern const limit_run limit_runs[];
extern const int limit_runs_count;

#endif
