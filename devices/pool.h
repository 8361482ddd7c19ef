/* A caching allocator for host memory: the storage behind every device whose blocks are host pointers. */
#ifndef THRUM_DEVICES_POOL_H
#define THRUM_DEVICES_POOL_H

#include "engine/base/atomic.h"
#include "thrum/device.h"

/* Where a pool gets memory. release takes what alloc gave. */
typedef struct th__pool_source {
  void *(*alloc)(size_t bytes, size_t align, void *user); /* NULL when refused; align: power of 2 */
  void (*release)(void *block, void *user);
  void *user;
} th__pool_source;

/* Blocks of up to 4 KiB are carved from slabs and kept in lists per group of threads (shard); larger ones are taken from the
 * source one by one and kept in one list per class. Classes: every 64 bytes up to 2 KiB, then 16 per doubling. A pool holds at
 * most twice its peak and 64 MiB. */
#define TH__POOL_SHARDS  8
#define TH__POOL_SMALL   48  /* classes of at most 4 KiB */
#define TH__POOL_CLASSES 592 /* all; the last ends at 64 TiB */

typedef struct th__pool_block th__pool_block;
typedef struct th__pool_slab th__pool_slab;

typedef struct th__pool_shard {
  _Alignas(64) th__spin lock; /* guards the rest; heads and slack are also peeked at without it */
  uint64_t hits;
  _Atomic int64_t slack; /* bytes of freed blocks that `live` still counts; written under lock */
  _Atomic(th__pool_block *) heads[TH__POOL_SMALL];
} th__pool_shard;

typedef struct th__pool_class {
  th__spin lock;          /* guards the list, or the slab of a small class */
  th__pool_block *blocks; /* cached, of a large class */
  th__pool_slab *slab;    /* the one a small class carves from now; NULL = none */
} th__pool_class;

/* Lives for ever once opened: blocks may come back after close, and then go straight to the source. */
typedef struct th__pool {
  _Atomic int64_t live; /* bytes handed out, and slack; blocks count with the size of their class */
  _Atomic int64_t peak;
  _Alignas(64) _Atomic int64_t held; /* live + cached: changes only when the source gives or gets */
  _Atomic int64_t limit;
  _Atomic uint64_t hits, misses; /* hits of large classes; misses of all */
  _Atomic bool open;
  _Atomic uint32_t forks; /* the fork count it was opened under: later, its locks mean nothing */
  char name[24];          /* for messages */
  th__pool_source source;
  th__pool_shard shards[TH__POOL_SHARDS];
  th__pool_class classes[TH__POOL_CLASSES];
} th__pool;

/* Opens a pool that is zeroed or was closed. source NULL: the system. TH_ENOMEM. */
th_status th__pool_open(th__pool *pool, const char *name, const th__pool_source *source,
                        int64_t limit);
/* Gives all cached blocks back; live ones follow when they are freed. */
void th__pool_close(th__pool *pool);

/* At least `bytes` (0 is legal), aligned to 64 bytes, from 64 KiB on to a page. Near the limit, or when the source refuses,
 * cached blocks are given back first. TH_ENOMEM naming the figures. Thread-safe, like all below. */
th_status th__pool_alloc(th__pool *pool, int64_t bytes, void **out);
void th__pool_free(th__pool *pool, void *block,
                   int64_t bytes); /* bytes as asked for; NULL is fine */
void th__pool_memory(th__pool *pool, th_memory_info *out);
void th__pool_set_limit(th__pool *pool, int64_t bytes); /* gives back what is cached above it */
void th__pool_trim(th__pool *pool);
void th__pool_reset_peak(th__pool *pool);
/* Size of the block that serves a request; 0 when no class is that large. */
int64_t th__pool_block_size(int64_t bytes);

#endif
