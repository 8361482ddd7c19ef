/* Owns the lock-free queue of ready tasks that each thread has: the owner pushes at the bottom without a read-modify-write,
 * anybody takes from the top by compare-and-swap. Two uses, never mixed on one queue:
 *   a worker's: the owner also pops the newest from the bottom, others steal the oldest, one at a time
 *     (Chase and Lev 2005; orders as Le, Pop, Cohen, Zappa Nardelli 2013, with seq_cst operations for their fences);
 *   an inbox: nobody pops at the bottom, so several may be taken from the top at once.
 * top and bottom only grow, so a compare-and-swap of top never meets an old value again. */
#ifndef THRUM_ENGINE_DEQUE_H
#define THRUM_ENGINE_DEQUE_H

#include <stddef.h>

#include "engine/base/atomic.h"
#include "engine/var.h"

#define TH__DEQUE_FIRST  256 /* entries that are part of the deque */
#define TH__DEQUE_GROWTH 4
#define TH__DEQUE_LEVELS 9 /* 256, 1024, ... 16 Mi entries */

/* Entries; index i lies at i % capacity. Rings out of use stay mapped, since a slow thief may still read them. */
typedef struct th__ring {
  uint64_t capacity;
  _Atomic uint64_t *entries; /* relaxed: published by bottom */
} th__ring;

typedef struct th__deque {
  _Atomic uint64_t top; /* next to be taken */
  char gap[56];         /* thieves write above, the owner below */
  _Atomic uint64_t bottom;
  uint64_t top_seen;                /* owner only: top was at least this */
  _Atomic(const th__ring *) ring;   /* one of rings */
  th__ring rings[TH__DEQUE_LEVELS]; /* entries NULL until first used; constant then */
  _Atomic uint64_t first_entries[TH__DEQUE_FIRST];
} th__deque;

void th__deque_init(th__deque *d);
/* Frees all rings. Nobody else may use the deque any more. */
void th__deque_free(th__deque *d);
/* Owner only. Makes room: drops entries at the top that keep() refuses, then grows. False: no memory for a larger ring. */
bool th__deque_room(th__deque *d, bool (*keep)(th__ref ref));
/* Owner only, and only does something when empty: back to the smallest ring; the memory of the others is given back. */
void th__deque_trim(th__deque *d);

/* Owner only. False: full; see th__deque_room(). */
static inline bool th__deque_push(th__deque *d, th__ref ref) {
  uint64_t bottom = th__load(&d->bottom, TH__RELAXED);
  const th__ring *ring = th__load(&d->ring, TH__RELAXED);
  if (__builtin_expect(bottom - d->top_seen >= ring->capacity, 0)) return false;
  th__store(&ring->entries[bottom & (ring->capacity - 1)], ref, TH__RELAXED);
  th__store(&d->bottom, bottom + 1,
            TH__RELEASE); /* pairs with the takers' acquire: entry and ring are visible */
  return true;
}

/* How many there are; a guess for everybody but the owner. */
static inline uint64_t th__deque_count(const th__deque *d) {
  uint64_t top = th__load(&d->top, TH__RELAXED), bottom = th__load(&d->bottom, TH__RELAXED);
  return bottom > top ? bottom - top : 0;
}

/* A worker's own: the newest, or 0. */
th__ref th__deque_pop(th__deque *d);
/* The oldest of a worker's, or 0: also when another thief was faster. */
th__ref th__deque_steal(th__deque *d);
/* Up to max of the oldest of an inbox. Tries again when another taker was faster. */
int th__deque_take(th__deque *d, th__ref *out, int max);

#endif
