/* Scratch memory of parallel loops: equal pieces, so many that every thread in the loop finds one that is free, up to TH__SCRATCHES. A
 * piece goes from thread to thread, so that there are no more than processors, however many blocks the loop has. */
#ifndef THRUM_OPS_SCRATCH_H
#define THRUM_OPS_SCRATCH_H

#include <stdint.h>

#include "engine/base/atomic.h"
#include "engine/base/thread.h"

enum { TH__SCRATCHES = 128 };

typedef struct th__scratches {
  _Atomic uint8_t taken[TH__SCRATCHES]; /* zeros at first */
} th__scratches;

/* How many a loop of so many blocks needs. */
static inline int64_t th__scratches_for(int64_t blocks) {
  int64_t most = th__thread_processors();
  if (most > TH__SCRATCHES) most = TH__SCRATCHES; /* a thread too many waits for another's */
  return blocks < most ? blocks : most;
}

/* The index of one of the n pieces. acquire: pairs with the release of whoever had it. */
static inline int64_t th__scratch_take(th__scratches *s, int64_t n) {
  int64_t i = 0;
  while (th__exchange(&s->taken[i], 1, TH__ACQUIRE) != 0) i = i + 1 < n ? i + 1 : 0;
  return i;
}

static inline void th__scratch_give(th__scratches *s, int64_t index) {
  th__store(&s->taken[index], 0, TH__RELEASE);
}

#endif
