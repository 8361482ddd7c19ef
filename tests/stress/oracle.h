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
  bool cuda;        /* two fake GPUs instead of two lag devices; see tests/fakecuda */
  bool gpu;         /* with cuda: the GPUs that are there instead of fake ones */
  /* Not NULL: the first run is recorded and its trace shown to look, which says what is wrong with it, or true. */
  bool (*look)(const char *trace, size_t size, char *message, size_t bytes);
} oracle_config;

/* For oracle_config.look: thrum-trace reads the trace, proves its order, and finds out when one edge is turned round. */
bool oracle_trace_is_true(const char *text, size_t size, char *message, size_t bytes);

/* True when both runs agree. Else message tells the seed and the first operation that differs. Starts and stops the
 * engine; it must not run. */
bool oracle_run(const oracle_config *config, char *message, size_t bytes);

#endif
