/* How operators take their counters from a generator. */
#ifndef THRUM_OPS_RANDOM_GENERATOR_H
#define THRUM_OPS_RANDOM_GENERATOR_H

#include <stdbool.h>
#include <stdint.h>

#include "thrum/ops.h"

/* What the calls of a thread drew between th__draws_begin() and th__draws_end(), so that they can be made to draw it again. */
typedef struct th__draw {
  uint64_t seed, counter;
} th__draw;
typedef struct th__draws {
  th__draw *taken; /* by th__alloc() */
  int64_t n, capacity;
  int64_t next; /* the one to draw again */
  bool again, failed;
  struct th__draws *outer; /* draws that these are part of */
} th__draws;
/* Lets this thread note in d what it draws, or, where d->again, draw what was noted (and new numbers when all of it is used).
 * Nests. */
th_status th__draws_begin(th__draws *d);
/* TH_ENOMEM when not all could be noted. */
th_status th__draws_end(th__draws *d);

/* The seed and the first of `blocks` counters, each good for four random words; NULL = the default generator. */
void th__generator_take(th_generator *g, uint64_t blocks, uint64_t *seed, uint64_t *counter);

#endif
