/* Blocks of host memory for the records that every operator call makes and ends: handles, storages, calls. They come from the
 * allocator of engine/base/mem.h and are kept for reuse, first by the thread that gave them, then in a common depot. */
#ifndef THRUM_DEVICES_BLOCKS_H
#define THRUM_DEVICES_BLOCKS_H

#include <stddef.h>

#include "engine/base/atomic.h"
#include "engine/base/mem.h"

enum {
  TH__BLOCK_GRAIN = 128, /* sizes are rounded up to it */
  TH__BLOCK_CLASSES = 8,
  TH__BLOCK_MAGAZINE = 64
};

typedef struct th__block {
  struct th__block *next;     /* in its magazine */
  struct th__block *magazine; /* of the first one in the depot: the next magazine */
  int32_t count;              /* likewise: blocks in this one */
} th__block;

/* Kept blocks of one size, a stack. Written by the owner of the cache only. */
typedef struct th__magazine {
  th__block *first;
  _Atomic int32_t count; /* read by any */
} th__magazine;

typedef struct th__block_cache {
  /* th__blocks_current when it was set up: another value means that nothing may be kept here. */
  _Alignas(64) uint32_t since;
  bool in_use;                              /* under the lock of blocks.c */
  th__magazine at_hand[TH__BLOCK_CLASSES];  /* taken from, given to */
  th__magazine in_store[TH__BLOCK_CLASSES]; /* full or empty */
} th__block_cache;

/* This thread's cache; never NULL. */
extern _Thread_local th__block_cache *th__block_mine TH__HOT;
extern _Atomic uint32_t th__blocks_current; /* changes with every opening; 0 = nothing is kept */

void *th__block_take_slow(size_t bytes);
void th__block_give_slow(void *block, size_t bytes);

static inline int th__block_class(size_t bytes) {
  return bytes == 0 ? 0 : (int)((bytes - 1) / TH__BLOCK_GRAIN);
}

static inline void th__magazine_set(th__magazine *m, th__block *first, int32_t count) {
  m->first = first;
  th__store(&m->count, count, TH__RELAXED);
}

/* As th__alloc(). */
static inline void *th__block_take(size_t bytes) {
  int c = th__block_class(bytes);
  th__magazine *m = &th__block_mine->at_hand[c < TH__BLOCK_CLASSES ? c : 0];
  th__block *b = m->first;
  if (__builtin_expect(b == NULL || c >= TH__BLOCK_CLASSES || th__mem_limited(), 0))
    return th__block_take_slow(bytes);
  th__magazine_set(m, b->next, th__load(&m->count, TH__RELAXED) - 1);
  return b;
}

/* Ends a block; bytes as asked for. Any thread, also after th_shutdown() and in a forked child. */
static inline void th__block_give(void *block, size_t bytes) {
  int c = th__block_class(bytes);
  th__block_cache *own = th__block_mine;
  th__magazine *m = &own->at_hand[c < TH__BLOCK_CLASSES ? c : 0];
  int32_t count = th__load(&m->count, TH__RELAXED);
  if (__builtin_expect(count == TH__BLOCK_MAGAZINE || c >= TH__BLOCK_CLASSES ||
                           own->since != th__load(&th__blocks_current, TH__RELAXED),
                       0)) {
    th__block_give_slow(block, bytes);
    return;
  }
  ((th__block *)block)->next = m->first;
  th__magazine_set(m, block, count + 1);
}

/* Keeping begins and ends with the engine; otherwise blocks pass straight through. */
void th__blocks_open(void);
void th__blocks_close(void);
/* Gives back what the depot holds. */
void th__blocks_trim(void);

#endif
