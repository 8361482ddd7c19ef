/* What the readers and makers of data sets share. */
#ifndef THRUM_DATA_DATA_H
#define THRUM_DATA_DATA_H

#include "ndarray/array.h"
#include "thrum/data.h"

/* A stream of random numbers chosen by (seed, stream): SplitMix64 (Steele et al., OOPSLA 2014), so that streams can be
 * drawn in any order. */
typedef struct th__mixer {
  uint64_t state;
} th__mixer;

static inline uint64_t th__mix(uint64_t z) {
  z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
  return z ^ (z >> 31);
}

static inline th__mixer th__mixer_start(uint64_t seed, uint64_t stream) {
  return (th__mixer){th__mix(seed + UINT64_C(0x9E3779B97F4A7C15)) ^
                     th__mix(stream * UINT64_C(0xD1342543DE82EF95) + 1)};
}

/* [0, 1) with 53 random bits. */
static inline double th__mixer_uniform(th__mixer *m) {
  m->state += UINT64_C(0x9E3779B97F4A7C15);
  return (double)(th__mix(m->state) >> 11) * 0x1p-53;
}

/* Hands an array that was made with scopes suspended to the caller: to the open scope, or as +1. */
static inline th_array *th__hand_out(th_array *a) {
  return th__scope_resume(th__scope_suspend(), a);
}

#endif
