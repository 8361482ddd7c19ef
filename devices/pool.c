/* Owns the caching allocator. Locks, never two at once except class then shard in trim_small(): a shard's lock guards its
 * lists of small blocks, a class's lock its list of large blocks or its slab. Figures are atomic. */
#include "devices/pool.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "devices/asan.h"
#include "engine/base/error.h"
#include "engine/engine.h"

#define SLAB_BYTES                                                                                 \
  ((size_t)65536) /* and its alignment, so that a block's address leads to its slab */
#define PAGE_BYTES  ((size_t)4096)
#define HUGE_BYTES  ((size_t)2 << 20)
#define PAGED_FROM  65536 /* blocks from this size on are aligned to pages */
#define STEAL_COUNT 32    /* blocks moved between shards at once */
#define ALWAYS_KEPT (INT64_C(64) << 20)
#define SLACK_MOST  16384 /* bytes given back that a shard may leave in `live` */

/* A cached block; the rest of it is poisoned. */
struct th__pool_block {
  th__pool_block *next;
};

/* Head of a slab; its blocks follow from offset 64 on. Written under the lock of its class. */
struct th__pool_slab {
  _Alignas(64) int carved; /* blocks ever handed out of it */
  int capacity;
  int found, seen; /* counts of trim_small() */
};

/* ---- classes ---- */

/* Class of a request, or -1. Up to 1 KiB every 64 bytes, from there 16 steps per doubling. */
static int class_of(int64_t bytes) {
  if (bytes < 0) return -1;
  uint64_t last = bytes == 0 ? 0 : (uint64_t)bytes - 1;
  if (last < 1024) return (int)(last / 64);
  int power = 63 - __builtin_clzll(last);
  int c = 16 + (power - 10) * 16 + (int)((last >> (power - 4)) & 15);
  return c < TH__POOL_CLASSES ? c : -1;
}

static int64_t class_size(int c) {
  if (c < 16) return (c + 1) * (int64_t)64;
  int power = 10 + (c - 16) / 16;
  return (INT64_C(1) << power) + ((c - 16) % 16 + 1) * (INT64_C(1) << (power - 4));
}

int64_t th__pool_block_size(int64_t bytes) {
  int c = class_of(bytes);
  return c < 0 ? 0 : class_size(c);
}

/* ---- the system ---- */

/* Large blocks ask for huge pages, as far as these are whole: a sixth of the faults' time, and fewer translations to look up. A
 * kernel that has none ignores it. */
static void *system_alloc(size_t bytes, size_t align, void *user) {
  void *block = NULL;
  if (bytes >= HUGE_BYTES) align = HUGE_BYTES;
  if (posix_memalign(&block, align, bytes) != 0) return NULL;
#ifdef MADV_HUGEPAGE
  if (bytes >= HUGE_BYTES) (void)madvise(block, bytes & ~(HUGE_BYTES - 1), MADV_HUGEPAGE);
#endif
  return block;
}

static void system_release(void *block, void *user) { free(block); }

/* Forks that made this process. A child's pools may hold locks of threads it does not have, so until they are opened anew
 * nothing but their counters is touched. */
static _Atomic uint32_t forks;
static pthread_once_t forks_once = PTHREAD_ONCE_INIT;
static int forks_watch_failed;

static void forked(void) { th__fetch_add(&forks, 1, TH__RELAXED); }
static void watch_forks(void) { forks_watch_failed = pthread_atfork(NULL, NULL, forked); }

static bool stale(th__pool *pool) {
  return th__load(&pool->forks, TH__RELAXED) != th__load(&forks, TH__RELAXED);
}

/* ---- figures ---- */

/* Adds to held unless that would pass the limit. */
static bool reserve(th__pool *pool, int64_t size) {
  int64_t held = th__load(&pool->held, TH__RELAXED);
  do {
    if (size > th__load(&pool->limit, TH__RELAXED) - held) return false;
  } while (!th__cas_weak(&pool->held, &held, held + size, TH__ACQ_REL));
  return true;
}

static void unreserve(th__pool *pool, int64_t size) {
  th__fetch_sub(&pool->held, size, TH__RELAXED);
}

/* Bytes that shards have not counted off `live` yet. */
static int64_t slack_of(th__pool *pool) {
  int64_t sum = 0;
  for (int s = 0; s < TH__POOL_SHARDS; s++) sum += th__load(&pool->shards[s].slack, TH__RELAXED);
  return sum;
}

/* Bytes handed out. */
static int64_t live_now(th__pool *pool) {
  int64_t live = th__load(&pool->live, TH__RELAXED) - slack_of(pool);
  return live > 0 ? live : 0; /* the two were read one after the other */
}

/* Adds to `live`; what exceeds the peak without the slack is the new one. */
static void count_live(th__pool *pool, int64_t change) {
  int64_t now = th__fetch_add(&pool->live, change, TH__RELAXED) + change;
  int64_t peak = th__load(&pool->peak, TH__RELAXED);
  if (now <= peak) return;
  now -= slack_of(pool);
  while (now > peak && !th__cas_weak(&pool->peak, &peak, now, TH__ACQ_REL)) {
  }
}

/* ---- giving back ---- */

/* Takes one cached block off a large class. */
static th__pool_block *take_large(th__pool_class *class) {
  th__spin_lock(&class->lock);
  th__pool_block *block = class->blocks;
  if (block) class->blocks = block->next;
  th__spin_unlock(&class->lock);
  return block;
}

/* Gives cached blocks of one large class back until `need` bytes came together; returns what did. */
static int64_t trim_large(th__pool *pool, int c, int64_t need) {
  int64_t size = class_size(c), given = 0;
  for (th__pool_block *block; given < need && (block = take_large(&pool->classes[c])) != NULL;) {
    th__unpoison(block, (size_t)size);
    pool->source.release(block, pool->source.user);
    unreserve(pool, size);
    given += size;
  }
  return given;
}

static th__pool_slab *slab_of(void *block) {
  return (th__pool_slab *)((uintptr_t)block & ~(uintptr_t)(SLAB_BYTES - 1));
}

/* Takes all cached blocks of a small class. */
static th__pool_block *take_all(th__pool *pool, int c) {
  th__pool_block *all = NULL;
  for (int s = 0; s < TH__POOL_SHARDS; s++) {
    th__pool_shard *shard = &pool->shards[s];
    if (!th__load(&shard->heads[c], TH__RELAXED)) continue;
    th__spin_lock(&shard->lock);
    th__pool_block *list = th__load(&shard->heads[c], TH__RELAXED);
    th__store(&shard->heads[c], NULL, TH__RELAXED);
    th__spin_unlock(&shard->lock);
    while (list) {
      th__pool_block *next = list->next;
      list->next = all;
      all = list;
      list = next;
    }
  }
  return all;
}

/* Puts a chain into a shard. */
static void put_chain(th__pool_shard *shard, int c, th__pool_block *first, th__pool_block *last) {
  th__spin_lock(&shard->lock);
  last->next = th__load(&shard->heads[c], TH__RELAXED);
  th__store(&shard->heads[c], first, TH__RELAXED);
  th__spin_unlock(&shard->lock);
}

/* Gives the slabs of one small class back of which every carved block is cached; returns the bytes of those blocks. */
static int64_t trim_small(th__pool *pool, int c) {
  th__pool_class *class = &pool->classes[c];
  int64_t given = 0, size = class_size(c);
  th__pool_block *kept = NULL, *last = NULL, *next;
  th__spin_lock(&class->lock); /* no carving meanwhile */
  th__pool_block *all = take_all(pool, c);
  for (th__pool_block *block = all; block; block = block->next) slab_of(block)->found++;
  for (th__pool_block *block = all; block; block = next) {
    next = block->next;
    th__pool_slab *slab = slab_of(block);
    bool whole = slab->found == slab->carved;
    if (!whole) {
      if (!kept) last = block;
      block->next = kept;
      kept = block;
    }
    if (++slab->seen < slab->found) continue;
    slab->seen = slab->found = 0;
    if (!whole) continue;
    given += slab->carved * size;
    if (class->slab == slab) class->slab = NULL;
    th__unpoison(slab, SLAB_BYTES);
    pool->source.release(slab, pool->source.user);
  }
  if (kept) put_chain(&pool->shards[0], c, kept, last);
  th__spin_unlock(&class->lock);
  unreserve(pool, given);
  return given;
}

/* Makes room for a block of class c that finds `need` bytes too few. One block of its class or above is enough most of the
 * time; then smaller ones go. False when nothing was cached. */
static bool make_room(th__pool *pool, int c, int64_t need) {
  int64_t given = 0;
  int first = c < TH__POOL_SMALL ? TH__POOL_SMALL : c;
  for (int i = first; i < TH__POOL_CLASSES && given < need; i++)
    given += trim_large(pool, i, need - given);
  for (int i = first - 1; i >= TH__POOL_SMALL && given < need; i--)
    given += trim_large(pool, i, need - given);
  for (int i = 0; i < TH__POOL_SMALL && given < need; i++) given += trim_small(pool, i);
  return given > 0;
}

static void trim_all(th__pool *pool) { make_room(pool, TH__POOL_SMALL, INT64_MAX); }

/* Reserves size bytes, giving cached blocks back while the limit refuses. */
static bool reserve_hard(th__pool *pool, int c, int64_t size) {
  for (;;) {
    if (reserve(pool, size)) return true;
    int64_t limit = th__load(&pool->limit, TH__RELAXED);
    if (size > limit) return false;
    int64_t need = th__load(&pool->held, TH__RELAXED) + size - limit;
    if (need > 0 && !make_room(pool, c, need)) return reserve(pool, size);
  }
}

/* ---- small blocks ---- */

/* This thread's shard. */
static th__pool_shard *shard_of(th__pool *pool) {
  static _Atomic uint32_t threads;
  static _Thread_local uint32_t mine TH__HOT; /* 1 + index */
  if (mine == 0) mine = 1 + th__fetch_add(&threads, 1, TH__RELAXED) % TH__POOL_SHARDS;
  return &pool->shards[mine - 1];
}

static void set_slack(th__pool_shard *shard, int64_t bytes) {
  th__store(&shard->slack, bytes, TH__RELAXED);
}

/* Takes a block, and counts it out of the slack: as long as `live` with all slack in it is below the peak, no peak is missed.
 * *change: what is to be added to `live`. */
static void *pop_small(th__pool *pool, th__pool_shard *shard, int c, int64_t *change) {
  if (!th__load(&shard->heads[c], TH__RELAXED)) return NULL;
  int64_t size = class_size(c);
  th__spin_lock(&shard->lock);
  th__pool_block *block = th__load(&shard->heads[c], TH__RELAXED);
  if (block) {
    th__store(&shard->heads[c], block->next, TH__RELAXED);
    shard->hits++;
    int64_t slack = th__load(&shard->slack, TH__RELAXED);
    bool enough =
        slack >= size && th__load(&pool->live, TH__RELAXED) <= th__load(&pool->peak, TH__RELAXED);
    *change = enough ? 0 : size - slack;
    set_slack(shard, enough ? slack - size : 0);
  }
  th__spin_unlock(&shard->lock);
  return block;
}

/* Puts a block back. Its bytes become slack, which is counted off `live` when it is enough: before the block can be handed
 * out again, else peak would count it twice. */
static void push_small(th__pool *pool, int c, th__pool_block *block) {
  th__pool_shard *shard = shard_of(pool);
  th__spin_lock(&shard->lock);
  block->next = th__load(&shard->heads[c], TH__RELAXED);
  th__store(&shard->heads[c], block, TH__RELAXED);
  int64_t slack = th__load(&shard->slack, TH__RELAXED) + class_size(c);
  if (slack > SLACK_MOST) {
    th__fetch_sub(&pool->live, slack, TH__RELAXED);
    slack = 0;
  }
  set_slack(shard, slack);
  th__spin_unlock(&shard->lock);
}

/* Moves up to STEAL_COUNT blocks from another shard to mine: blocks travel when one thread allocates and another frees. */
static bool steal_small(th__pool *pool, th__pool_shard *mine, int c) {
  for (int s = 0; s < TH__POOL_SHARDS; s++) {
    th__pool_shard *other = &pool->shards[s];
    if (other == mine || !th__load(&other->heads[c], TH__RELAXED)) continue;
    th__spin_lock(&other->lock);
    th__pool_block *first = th__load(&other->heads[c], TH__RELAXED), *last = first;
    for (int n = 1; last && last->next && n < STEAL_COUNT; n++) last = last->next;
    if (last) th__store(&other->heads[c], last->next, TH__RELAXED);
    th__spin_unlock(&other->lock);
    if (!first) continue;
    put_chain(mine, c, first, last);
    return true;
  }
  return false;
}

static th__pool_slab *slab_new(th__pool *pool, int64_t size) {
  th__pool_slab *slab = pool->source.alloc(SLAB_BYTES, SLAB_BYTES, pool->source.user);
  if (!slab) return NULL;
  *slab = (th__pool_slab){.capacity = (int)((SLAB_BYTES - sizeof *slab) / (size_t)size)};
  th__poison(slab + 1, SLAB_BYTES - sizeof *slab);
  return slab;
}

/* A block that was never used before; NULL when the source refuses. Its bytes are reserved. A slab counts for the limit only as
 * it is carved, so a pool of a few KiB works. */
static void *carve_small(th__pool *pool, int c, int64_t size) {
  th__pool_class *class = &pool->classes[c];
  void *block = NULL;
  th__spin_lock(&class->lock);
  if (!class->slab) class->slab = slab_new(pool, size);
  th__pool_slab *slab = class->slab;
  if (slab) {
    block = (char *)(slab + 1) + slab->carved++ * size;
    if (slab->carved == slab->capacity)
      class->slab = NULL; /* from now on found through its blocks */
  }
  th__spin_unlock(&class->lock);
  return block;
}

/* ---- all blocks ---- */

/* From the cache; NULL when it has none. *change as for pop_small(). */
static void *take_cached(th__pool *pool, int c, int64_t *change) {
  if (c < TH__POOL_SMALL) {
    th__pool_shard *mine = shard_of(pool);
    void *block = pop_small(pool, mine, c, change);
    while (!block && steal_small(pool, mine, c)) block = pop_small(pool, mine, c, change);
    return block;
  }
  void *block = take_large(&pool->classes[c]);
  if (block) th__fetch_add(&pool->hits, 1, TH__RELAXED);
  return block;
}

/* From the source, reserved; NULL when it refuses. */
static void *take_new(th__pool *pool, int c, int64_t size) {
  if (c < TH__POOL_SMALL) return carve_small(pool, c, size);
  size_t align = size >= PAGED_FROM ? PAGE_BYTES : 64;
  return pool->source.alloc((size_t)size, align, pool->source.user);
}

static th_status refuse(th__pool *pool, int64_t bytes) {
  th_memory_info m;
  th__pool_memory(pool, &m);
  return th__fail(TH_ENOMEM, "%s: out of memory: %lld bytes wanted, %lld live, limit %lld",
                  pool->name, (long long)bytes, (long long)m.live, (long long)m.limit);
}

/* Sizes that never come again must not pile up until the limit: what is cached stays below what was once live, plus some. */
static void bound_cache(th__pool *pool, int c, int64_t size) {
  int64_t peak = th__load(&pool->peak, TH__RELAXED);
  int64_t live = th__load(&pool->live, TH__RELAXED) + size;
  int64_t most = 2 * (live > peak ? live : peak) + ALWAYS_KEPT;
  int64_t above = th__load(&pool->held, TH__RELAXED) + size - most;
  if (above > 0) make_room(pool, c, above);
}

static void *take_missing(th__pool *pool, int c, int64_t size) {
  bound_cache(pool, c, size);
  if (!reserve_hard(pool, c, size)) return NULL;
  void *block = take_new(pool, c, size);
  if (!block) {
    trim_all(pool);
    block = take_new(pool, c, size);
  }
  if (block)
    th__fetch_add(&pool->misses, 1, TH__RELAXED);
  else
    unreserve(pool, size);
  return block;
}

th_status th__pool_alloc(th__pool *pool, int64_t bytes, void **out) {
  int c = class_of(bytes);
  if (c < 0) return refuse(pool, bytes);
  int64_t size = class_size(c), change = size;
  void *block = take_cached(pool, c, &change);
  if (!block) block = take_missing(pool, c, size);
  if (!block) return refuse(pool, bytes);
  th__unpoison(block, (size_t)bytes);
  if (change != 0) count_live(pool, change);
  *out = block;
  return TH_OK;
}

static void free_large(th__pool *pool, int c, th__pool_block *block) {
  /* Before the block can be handed out again, else peak would count it twice. */
  th__fetch_sub(&pool->live, class_size(c), TH__RELAXED);
  th__pool_class *class = &pool->classes[c];
  th__spin_lock(&class->lock);
  block->next = class->blocks;
  class->blocks = block;
  th__spin_unlock(&class->lock);
}

void th__pool_free(th__pool *pool, void *memory, int64_t bytes) {
  if (!memory) return;
  int c = class_of(bytes);
  if (stale(pool)) {
    th__fetch_sub(&pool->live, class_size(c), TH__RELAXED);
    return;
  }
  th__pool_block *block = memory;
  th__poison(block + 1, (size_t)class_size(c) - sizeof *block);
  th__unpoison(block, sizeof *block);
  if (c < TH__POOL_SMALL)
    push_small(pool, c, block);
  else
    free_large(pool, c, block);
  /* A block that comes back while another thread closes the pool may stay cached; nothing is lost by that. */
  if (!th__load(&pool->open, TH__RELAXED)) trim_all(pool);
  th__memory_freed();
}

void th__pool_memory(th__pool *pool, th_memory_info *out) {
  uint64_t hits = th__load(&pool->hits, TH__RELAXED);
  bool usable = !stale(pool);
  for (int s = 0; s < TH__POOL_SHARDS && usable; s++) {
    th__spin_lock(&pool->shards[s].lock);
    hits += pool->shards[s].hits;
    th__spin_unlock(&pool->shards[s].lock);
  }
  int64_t live = live_now(pool);
  int64_t cached = th__load(&pool->held, TH__RELAXED) - live;
  *out = (th_memory_info){
      .live = live,
      .peak = th__load(&pool->peak, TH__RELAXED),
      .cached = cached > 0 ? cached : 0, /* the two were read one after the other */
      .limit = th__load(&pool->limit, TH__RELAXED),
      .hits = hits,
      .misses = th__load(&pool->misses, TH__RELAXED),
  };
}

void th__pool_set_limit(th__pool *pool, int64_t bytes) {
  th__store(&pool->limit, bytes, TH__RELAXED);
  int64_t above = th__load(&pool->held, TH__RELAXED) - bytes;
  if (above > 0) make_room(pool, TH__POOL_SMALL, above);
  th__memory_freed(); /* tasks may starve at the old limit */
}

void th__pool_trim(th__pool *pool) { trim_all(pool); }

void th__pool_reset_peak(th__pool *pool) { th__store(&pool->peak, live_now(pool), TH__RELAXED); }

th_status th__pool_open(th__pool *pool, const char *name, const th__pool_source *source,
                        int64_t limit) {
  pthread_once(&forks_once, watch_forks);
  if (forks_watch_failed) return th__fail(TH_ENOMEM, "%s: cannot watch for forks", name);
  snprintf(pool->name, sizeof pool->name, "%s", name);
  pool->source = source ? *source : (th__pool_source){system_alloc, system_release, NULL};
  if (stale(pool)) {
    /* In the child of a fork the lists may have been caught half changed: what was cached is given up. */
    th__store(&pool->live, live_now(pool), TH__RELAXED);
    memset(pool->shards, 0, sizeof pool->shards);
    memset(pool->classes, 0, sizeof pool->classes);
    th__store(&pool->held, th__load(&pool->live, TH__RELAXED), TH__RELAXED);
    th__store(&pool->forks, th__load(&forks, TH__RELAXED), TH__RELAXED);
  }
  for (int s = 0; s < TH__POOL_SHARDS; s++) pool->shards[s].hits = 0;
  th__store(&pool->hits, 0, TH__RELAXED);
  th__store(&pool->misses, 0, TH__RELAXED);
  th__store(&pool->limit, limit, TH__RELAXED);
  th__pool_reset_peak(pool);
  th__store(&pool->open, true, TH__RELAXED);
  return TH_OK;
}

void th__pool_close(th__pool *pool) {
  th__store(&pool->open, false, TH__RELAXED);
  if (!stale(pool)) trim_all(pool);
}
