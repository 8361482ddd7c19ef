/* Owns blocks kept for reuse. A thread's cache holds, per size, two magazines, so that taking and giving need no lock and no
 * atomic read-modify-write; whole magazines travel through the depot, because operations end on other threads than they begin
 * on. `lock` guards the depot and which caches are in use. A cache belongs to one thread while that lives.
 *
 * Nothing is kept while tests inject failures, nor under the address sanitizer, which would see no misuse any more. */
#include "devices/blocks.h"

#include <pthread.h>
#include <string.h>

#include "devices/asan.h"

/* Enough for the operations of a full run-ahead window. */
#define DEPOT_BYTES (INT64_C(16) << 20)
/* More threads at one time do without. */
#define CACHES 256

static th__spin lock;
static th__block_cache caches[CACHES];
static th__block *depot[TH__BLOCK_CLASSES]; /* whole magazines; under lock */
static int64_t depot_blocks, depot_bytes;   /* under lock */
static uint32_t opened;                     /* how often */

_Atomic uint32_t th__blocks_current; /* release: what opening set up comes with it */

/* What a thread has before it has one of its own: always empty. */
static th__block_cache nobody = {.since = UINT32_MAX};
_Thread_local th__block_cache *th__block_mine TH__HOT = &nobody;

static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool ready; /* the key and the fork handler are there */

static size_t class_bytes(int c) { return (size_t)(c + 1) * TH__BLOCK_GRAIN; }

static int32_t count_of(const th__magazine *m) { return th__load(&m->count, TH__RELAXED); }

static void free_all(th__magazine *m) {
  th__block *b = m->first, *next;
  th__magazine_set(m, NULL, 0);
  for (; b; b = next) {
    next = b->next;
    th__free(b);
  }
}

/* --- depot --- */

/* Takes over what a magazine holds. */
static void depot_put(th__magazine *m, int c) {
  th__block *b = m->first;
  if (!b) return;
  int64_t bytes = (int64_t)class_bytes(c) * count_of(m);
  th__spin_lock(&lock);
  bool fits = depot_bytes + bytes <= DEPOT_BYTES;
  if (fits) {
    b->magazine = depot[c];
    b->count = count_of(m);
    depot[c] = b;
    depot_blocks += b->count;
    depot_bytes += bytes;
    th__magazine_set(m, NULL, 0);
  }
  th__spin_unlock(&lock);
  if (!fits) free_all(m);
}

static bool depot_get(th__magazine *m, int c) {
  th__spin_lock(&lock);
  th__block *b = depot[c];
  if (b) {
    depot[c] = b->magazine;
    depot_blocks -= b->count;
    depot_bytes -= (int64_t)class_bytes(c) * b->count;
  }
  th__spin_unlock(&lock);
  if (!b) return false;
  th__magazine_set(m, b, b->count);
  return true;
}

void th__blocks_trim(void) {
  th__magazine m = {0};
  for (int c = 0; c < TH__BLOCK_CLASSES; c++)
    while (depot_get(&m, c)) free_all(&m);
}

/* --- caches --- */

static _Atomic uint32_t ending; /* threads in at_thread_end() */

/* Makes the cache reusable by a later thread. Nothing orders it with a shutdown by another thread. Seq_cst: it sees that nothing is
 * kept any more, or th__blocks_close() sees it. */
static void at_thread_end(void *arg) {
  th__block_cache *own = arg;
  if (own != th__block_mine) return;
  th__block_mine = &nobody;
  th__fetch_add(&ending, 1, TH__SEQ_CST);
  if (own->since == th__load(&th__blocks_current, TH__SEQ_CST))
    for (int c = 0; c < TH__BLOCK_CLASSES; c++) {
      depot_put(&own->at_hand[c], c);
      depot_put(&own->in_store[c], c);
    }
  th__spin_lock(&lock);
  own->in_use = false;
  th__spin_unlock(&lock);
  th__fetch_sub(&ending, 1, TH__RELEASE);
}

/* Locks and caches of threads that are gone mean nothing in the child. */
static void after_fork(void) {
  th__store(&th__blocks_current, 0, TH__RELAXED);
  th__store(&ending, 0, TH__RELAXED);
  lock = (th__spin){0};
  for (th__block_cache *own = caches; own < caches + CACHES; own++)
    if (own != th__block_mine) memset(own, 0, sizeof *own);
  depot_blocks = depot_bytes = 0;
  for (int c = 0; c < TH__BLOCK_CLASSES; c++) depot[c] = NULL;
}

static void prepare(void) {
  ready =
      pthread_key_create(&key, at_thread_end) == 0 && pthread_atfork(NULL, NULL, after_fork) == 0;
}

static th__block_cache *find_free(void) {
  th__spin_lock(&lock);
  th__block_cache *own = caches;
  while (own < caches + CACHES && own->in_use) own++;
  if (own < caches + CACHES) own->in_use = true;
  th__spin_unlock(&lock);
  return own < caches + CACHES ? own : NULL;
}

/* This thread's cache, found and renewed when needed; NULL when nothing may be kept. */
static th__block_cache *cache_get(void) {
  uint32_t now = th__load(&th__blocks_current, TH__ACQUIRE);
  th__block_cache *own = th__block_mine;
  if (now == 0) return NULL;
  if (own == &nobody) {
    own = find_free();
    if (!own) return NULL;
    th__block_mine = own;
    (void)pthread_setspecific(key, own); /* without it the cache only stays with a dead thread */
  }
  own->since = now;
  return own;
}

static int64_t kept(void) {
  th__spin_lock(&lock);
  int64_t n = depot_blocks;
  for (th__block_cache *own = caches; own < caches + CACHES; own++)
    for (int c = 0; c < TH__BLOCK_CLASSES; c++)
      n += count_of(&own->at_hand[c]) + count_of(&own->in_store[c]);
  th__spin_unlock(&lock);
  return n;
}

void th__blocks_open(void) {
  pthread_once(&once, prepare);
  th__mem_kept = kept;
  if (!ready || TH__ASAN) return;
  opened = opened + 1 < UINT32_MAX ? opened + 1 : 1;
  th__store(&th__blocks_current, opened, TH__RELEASE);
}

/* No other thread is inside the library but those that are just ending. */
void th__blocks_close(void) {
  th__store(&th__blocks_current, 0, TH__SEQ_CST);
  while (th__load(&ending, TH__SEQ_CST) != 0) th__yield();
  for (th__block_cache *own = caches; own < caches + CACHES; own++)
    for (int c = 0; c < TH__BLOCK_CLASSES; c++) {
      free_all(&own->at_hand[c]);
      free_all(&own->in_store[c]);
    }
  th__blocks_trim();
}

/* --- blocks --- */

/* The magazine at hand is empty: takes the stored one, or one from the depot. */
static bool refill(th__block_cache *own, int c) {
  th__magazine *m = &own->at_hand[c], *store = &own->in_store[c];
  if (!store->first) return depot_get(m, c);
  th__magazine_set(m, store->first, count_of(store));
  th__magazine_set(store, NULL, 0);
  return true;
}

void *th__block_take_slow(size_t bytes) {
  int c = th__block_class(bytes);
  if (c >= TH__BLOCK_CLASSES) return th__alloc(bytes);
  th__block_cache *own = th__mem_limited() ? NULL : cache_get();
  if (own && refill(own, c)) return th__block_take(bytes);
  return th__alloc(class_bytes(c));
}

void th__block_give_slow(void *block, size_t bytes) {
  int c = th__block_class(bytes);
  th__block_cache *own = c < TH__BLOCK_CLASSES ? cache_get() : NULL;
  if (!own) {
    th__free(block);
    return;
  }
  th__magazine *m = &own->at_hand[c];
  if (count_of(m) == TH__BLOCK_MAGAZINE) {
    depot_put(&own->in_store[c], c);
    th__magazine_set(&own->in_store[c], m->first, TH__BLOCK_MAGAZINE);
    th__magazine_set(m, NULL, 0);
  }
  th__block_give(block, bytes);
}
