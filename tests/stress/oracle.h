/* The oracle: runs a random program in one mode of the engine, then the same operations in the same order in the serial one,
 * and compares every bit that the program saw, errors included. */
#ifndef THRUM_TESTS_STRESS_ORACLE_H
#define THRUM_TESTS_STRESS_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct oracle_config {
  uint64_t seed;
  int submitters;   /* threads; 1..16 */
  int ops;          /* of all submitters together */
  int errors;       /* failing tasks per thousand raw ones; 0 = none */
  const char *mode; /* as th_config.engine; "shuffle" and "shuffle-threads" get the seed appended */
  int workers;      /* as th_config.workers */
} oracle_config;

/* True when both runs agree. Else message tells the seed and the first operation that differs. Starts and stops the
 * engine; it must not run. */
bool oracle_run(const oracle_config *config, char *message, size_t bytes);

#endif
