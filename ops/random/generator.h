/* How operators take their counters from a generator. */
#ifndef THRUM_OPS_RANDOM_GENERATOR_H
#define THRUM_OPS_RANDOM_GENERATOR_H

#include <stdint.h>

#include "thrum/ops.h"

/* The seed and the first of `blocks` counters, each good for four random words; NULL = the default generator. */
void th__generator_take(th_generator *g, uint64_t blocks, uint64_t *seed, uint64_t *counter);

#endif
