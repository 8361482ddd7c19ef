/* Owns a device's memory and its pinned staging memory: segments from the driver, cut into chunks that are split and merged, found
 * by size in constant time. A chunk given back inside a body stays pending on that lane: the same lane may have it again at once,
 * others when the counter has passed. The pool's mutex guards everything. */
#include <string.h>

#include "devices/cuda/parts.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"

#define UNIT         INT64_C(512)
#define MIB          (INT64_C(1) << 20)
#define PENDING_LOOK 8 /* chunks of the own lane that are looked at */

struct th__cuda_segment {
  th__cuda_segment *next;
  th__cuda_chunk *first; /* chunks merge into the one before, so it stays */
  char *address;
  int64_t bytes;
  int arena;
  int taken; /* chunks that are not free */
};

struct th__cuda_chunk {
  th__cuda_chunk *before, *behind; /* neighbours in the segment */
  th__cuda_chunk *previous, *next; /* in a list of free or pending ones; next also in `spare` */
  th__cuda_segment *segment;
  char *address;
  int64_t bytes;
  uint64_t seq; /* while pending: free when the lane has passed it */
  bool free;
  void *owner; /* of one in use, see th__cuda_pool_own(); NULL = nobody asks */
  void (*gone)(void *owner);
};

th__cuda_watch th__cuda_pool_watch;

static const struct {
  int64_t most, segment; /* largest block; size of a segment, 0 = as large as the block */
} arenas[TH__CUDA_ARENAS] = {{MIB, 2 * MIB}, {16 * MIB, 32 * MIB}, {INT64_MAX, 0}};

/* ---- sizes ---- */

static int row_of(uint64_t units) { return 63 - __builtin_clzll(units); }

static int column_of(uint64_t units, int row) {
  return (int)(row < 3 ? units << (3 - row) : units >> (row - 3)) & 7;
}

/* Up to a size on which a column begins, so that a chunk given back is found for the same size again; 0 when there is none. */
static int64_t rounded(int64_t bytes) {
  if (bytes < 0 || bytes > INT64_MAX / 4) return 0;
  uint64_t units = bytes == 0 ? 1 : ((uint64_t)bytes - 1) / UNIT + 1;
  int row = row_of(units);
  uint64_t step = row > 3 ? UINT64_C(1) << (row - 3) : 1;
  units = (units + step - 1) & ~(step - 1);
  return row_of(units) < TH__CUDA_ROWS ? (int64_t)units * UNIT : 0;
}

static int arena_of(int64_t bytes) {
  int a = 0;
  while (bytes > arenas[a].most) a++;
  return a;
}

/* ---- lists of free chunks ---- */

static void link_free(th__cuda_arena *arena, th__cuda_chunk *c) {
  int row = row_of((uint64_t)(c->bytes / UNIT));
  int column = column_of((uint64_t)(c->bytes / UNIT), row);
  th__cuda_chunk **head = &arena->free[row][column];
  c->free = true;
  c->previous = NULL;
  c->next = *head;
  if (*head != NULL) (*head)->previous = c;
  *head = c;
  arena->columns[row] |= (uint8_t)(1 << column);
  arena->rows |= UINT64_C(1) << row;
}

static void unlink_free(th__cuda_arena *arena, th__cuda_chunk *c) {
  int row = row_of((uint64_t)(c->bytes / UNIT));
  int column = column_of((uint64_t)(c->bytes / UNIT), row);
  if (c->next != NULL) c->next->previous = c->previous;
  if (c->previous != NULL) {
    c->previous->next = c->next;
  } else if ((arena->free[row][column] = c->next) == NULL) {
    arena->columns[row] &= (uint8_t) ~(1 << column);
    if (arena->columns[row] == 0) arena->rows &= ~(UINT64_C(1) << row);
  }
  c->free = false;
}

/* A chunk of at least bytes, a rounded size; NULL when there is none. */
static th__cuda_chunk *find_free(th__cuda_arena *arena, int64_t bytes) {
  int row = row_of((uint64_t)(bytes / UNIT));
  int column = column_of((uint64_t)(bytes / UNIT), row);
  unsigned columns = arena->columns[row] & (0xFFu << column);
  if (columns == 0) {
    uint64_t rows = arena->rows & (~UINT64_C(0) << (row + 1));
    if (rows == 0) return NULL;
    row = __builtin_ctzll(rows);
    columns = arena->columns[row];
  }
  return arena->free[row][__builtin_ctz(columns)];
}

/* ---- chunks in use, by address ---- */

static size_t slot_of(const th__cuda_pool *pool, const void *address) {
  return (size_t)(((uintptr_t)address / UNIT) * UINT64_C(0x9E3779B97F4A7C15) >> 20) &
         (pool->table_room - 1);
}

static void table_put(th__cuda_pool *pool, th__cuda_chunk *c) {
  size_t at = slot_of(pool, c->address);
  while (pool->table[at] != NULL) at = (at + 1) & (pool->table_room - 1);
  pool->table[at] = c;
  pool->table_used++;
}

/* Room for one more, and never more than half full. */
static bool table_reserve(th__cuda_pool *pool) {
  if (2 * (pool->table_used + 1) <= pool->table_room) return true;
  size_t room = pool->table_room == 0 ? 256 : 2 * pool->table_room;
  th__cuda_chunk **old = pool->table, **table = th__zalloc(room * sizeof *table);
  if (table == NULL) return false;
  size_t old_room = pool->table_room;
  pool->table = table;
  pool->table_room = room;
  pool->table_used = 0;
  for (size_t i = 0; i < old_room; i++)
    if (old[i] != NULL) table_put(pool, old[i]);
  th__free(old);
  return true;
}

/* Where the chunk at address is, or the gap that says there is none. The table has room. */
static size_t table_find(const th__cuda_pool *pool, const void *address) {
  size_t mask = pool->table_room - 1, at = slot_of(pool, address);
  while (pool->table[at] != NULL && pool->table[at]->address != address) at = (at + 1) & mask;
  return at;
}

/* Takes the chunk at address out; NULL when there is none, or it is not the owner's (NULL: anybody's). What lies behind it moves
 * up, so that no gap ends a search. */
static th__cuda_chunk *table_take(th__cuda_pool *pool, const void *address, const void *owner) {
  if (pool->table_room == 0) return NULL;
  size_t mask = pool->table_room - 1, at = table_find(pool, address);
  th__cuda_chunk *found = pool->table[at];
  if (found == NULL || (owner != NULL && found->owner != owner)) return NULL;
  for (size_t i = (at + 1) & mask; pool->table[i] != NULL; i = (i + 1) & mask) {
    size_t home = slot_of(pool, pool->table[i]->address);
    if (((i - home) & mask) < ((i - at) & mask)) continue;
    pool->table[at] = pool->table[i];
    at = i;
  }
  pool->table[at] = NULL;
  pool->table_used--;
  return found;
}

/* ---- segments ---- */

static th__cuda_chunk *record_new(th__cuda_pool *pool) {
  th__cuda_chunk *c = pool->spare;
  if (c == NULL) return th__zalloc(sizeof *c);
  pool->spare = c->next;
  *c = (th__cuda_chunk){0};
  return c;
}

static void record_give(th__cuda_pool *pool, th__cuda_chunk *c) {
  c->next = pool->spare;
  pool->spare = c;
}

static char *driver_take(th__cuda_pool *pool, int64_t bytes) {
  th__cuda_device *d = pool->device;
  th__cu_address address = 0;
  void *host = NULL;
  if (!th__cuda_push_context(d)) return NULL;
  th__cu_result result =
      pool->pinned
          ? th__cu.host_alloc(&host, (size_t)bytes, TH__CU_HOST_PORTABLE | TH__CU_HOST_DEVICEMAP)
          : th__cu.alloc(&address, (size_t)bytes);
  th__cuda_pop_context(d);
  if (result != TH__CU_SUCCESS && result != TH__CU_OUT_OF_MEMORY)
    (void)th__cuda_check(d, result, "memory");
  if (result != TH__CU_SUCCESS) return NULL;
  return pool->pinned ? host : (char *)(uintptr_t)address;
}

static void driver_give(th__cuda_pool *pool, char *address) {
  if (!th__cuda_push_context(pool->device)) return; /* lost: the memory is gone with the context */
  if (pool->pinned)
    (void)th__cu.host_free(address);
  else
    (void)th__cu.free((th__cu_address)(uintptr_t)address);
  th__cuda_pop_context(pool->device);
}

/* A new segment for a block of bytes as one chunk that is in no list. */
static th__cuda_chunk *segment_new(th__cuda_pool *pool, int arena, int64_t bytes) {
  int64_t size = arenas[arena].segment;
  if (size < bytes || size > pool->limit - pool->held) size = bytes;
  if (size > pool->limit - pool->held) return NULL;
  th__cuda_segment *s = th__zalloc(sizeof *s);
  th__cuda_chunk *c = s == NULL ? NULL : record_new(pool);
  char *address = c == NULL ? NULL : driver_take(pool, size);
  if (address == NULL && size > bytes && c != NULL) address = driver_take(pool, size = bytes);
  if (address == NULL) {
    if (c != NULL) record_give(pool, c);
    th__free(s);
    return NULL;
  }
  *s = (th__cuda_segment){pool->arenas[arena].segments, c, address, size, arena, 0};
  pool->arenas[arena].segments = s;
  c->segment = s;
  c->address = address;
  c->bytes = size;
  pool->held += size;
  pool->misses++;
  return c;
}

/* Gives the segments back that are one free chunk. */
static bool trim(th__cuda_pool *pool) {
  bool any = false;
  for (int a = 0; a < TH__CUDA_ARENAS; a++) {
    th__cuda_arena *arena = &pool->arenas[a];
    for (th__cuda_segment **p = &arena->segments; *p != NULL;) {
      th__cuda_segment *s = *p;
      if (s->taken > 0) {
        p = &s->next;
        continue;
      }
      unlink_free(arena, s->first); /* merged, it is all there is */
      record_give(pool, s->first);
      *p = s->next;
      pool->held -= s->bytes;
      driver_give(pool, s->address);
      th__free(s);
      any = true;
    }
  }
  return any;
}

/* ---- chunks ---- */

/* Takes bytes off the front of a chunk in no list; the rest becomes free if it is worth it. */
static void split(th__cuda_pool *pool, th__cuda_chunk *c, int64_t bytes) {
  int64_t rest = c->bytes - bytes;
  int64_t least = arena_of(bytes) == 0 ? UNIT : bytes / 8;
  if (rest < UNIT || rest < least) return;
  th__cuda_chunk *r = record_new(pool);
  if (r == NULL) return;
  r->segment = c->segment;
  r->address = c->address + bytes;
  r->bytes = rest;
  r->before = c;
  r->behind = c->behind;
  if (c->behind != NULL) c->behind->before = r;
  c->behind = r;
  c->bytes = bytes;
  link_free(&pool->arenas[c->segment->arena], r);
}

/* Merges b, free and unlinked, into a. */
static void join(th__cuda_pool *pool, th__cuda_chunk *a, th__cuda_chunk *b) {
  a->bytes += b->bytes;
  a->behind = b->behind;
  if (b->behind != NULL) b->behind->before = a;
  record_give(pool, b);
}

/* Nobody uses the chunk any more. */
static void set_free(th__cuda_pool *pool, th__cuda_chunk *c) {
  th__cuda_arena *arena = &pool->arenas[c->segment->arena];
  c->segment->taken--;
  if (c->behind != NULL && c->behind->free) {
    unlink_free(arena, c->behind);
    join(pool, c, c->behind);
  }
  if (c->before != NULL && c->before->free) {
    th__cuda_chunk *a = c->before;
    unlink_free(arena, a);
    join(pool, a, c);
    c = a;
  }
  link_free(arena, c);
}

/* ---- pending chunks ---- */

static void unlink_pending(th__cuda_pool *pool, int lane, th__cuda_chunk *c) {
  *(c->previous != NULL ? &c->previous->next : &pool->pending[lane]) = c->next;
  *(c->next != NULL ? &c->next->previous : &pool->pending_last[lane]) = c->previous;
}

static void link_pending(th__cuda_pool *pool, const th__cuda_lane *lane, th__cuda_chunk *c) {
  int i = lane->index;
  c->seq = lane->seq + 1; /* the body that runs */
  c->next = NULL;
  c->previous = pool->pending_last[i];
  *(c->previous != NULL ? &c->previous->next : &pool->pending[i]) = c;
  pool->pending_last[i] = c;
}

/* Frees what has passed; with all, everything that is pending on the lane. */
static bool reap(th__cuda_pool *pool, int lane, bool all) {
  bool any = false;
  for (th__cuda_chunk *c; (c = pool->pending[lane]) != NULL; any = true) {
    if (!all && !th__cuda_passed(&pool->device->lanes[lane], c->seq)) break;
    unlink_pending(pool, lane, c);
    set_free(pool, c);
  }
  return any;
}

/* What was given back on this thread's lane is ordered before what comes there now. */
static th__cuda_chunk *take_own(th__cuda_pool *pool, int64_t bytes) {
  const th__cuda_lane *lane = th__cuda_running.lane;
  if (lane == NULL || lane->device != pool->device || pool->pinned) return NULL;
  int look = PENDING_LOOK;
  for (th__cuda_chunk *c = pool->pending[lane->index]; c != NULL && look-- > 0; c = c->next) {
    if (c->bytes < bytes || c->bytes / 2 > bytes) continue;
    unlink_pending(pool, lane->index, c);
    return c;
  }
  return NULL;
}

/* Waits for what is pending. */
static bool await_pending(th__cuda_pool *pool) {
  bool any = false;
  for (int i = 0; i < TH__CUDA_LANES; i++)
    if (pool->pending[i] != NULL && th__cuda_await(&pool->device->lanes[i]))
      any = reap(pool, i, true) || any;
  return any;
}

/* ---- the pool ---- */

/* From the free lists; NULL when none fits. */
static th__cuda_chunk *take_free(th__cuda_pool *pool, int arena, int64_t bytes) {
  th__cuda_chunk *c = find_free(&pool->arenas[arena], bytes);
  if (c != NULL) unlink_free(&pool->arenas[arena], c);
  return c;
}

/* The ladder, cheapest first. */
static th__cuda_chunk *take_chunk(th__cuda_pool *pool, int64_t bytes) {
  int arena = arena_of(bytes);
  th__cuda_chunk *c = take_own(pool, bytes);
  if (c != NULL) {
    pool->hits++;
    return c; /* still counted in its segment */
  }
  for (int i = 0; i < TH__CUDA_LANES; i++) (void)reap(pool, i, false);
  c = take_free(pool, arena, bytes);
  if (c != NULL) pool->hits++;
  if (c == NULL) c = segment_new(pool, arena, bytes);
  if (c == NULL && trim(pool)) c = segment_new(pool, arena, bytes);
  if (c == NULL && await_pending(pool)) {
    c = take_free(pool, arena, bytes);
    if (c == NULL && trim(pool)) c = segment_new(pool, arena, bytes);
  }
  if (c == NULL) return NULL;
  split(pool, c, bytes);
  c->segment->taken++;
  return c;
}

th_status th__cuda_pool_take(th__cuda_pool *pool, int64_t bytes, void **out) {
  int64_t size = rounded(bytes);
  uv_mutex_lock(&pool->lock);
  th__cuda_chunk *c = size > 0 && table_reserve(pool) ? take_chunk(pool, size) : NULL;
  if (c != NULL) {
    c->owner = NULL;
    table_put(pool, c);
    pool->live += c->bytes;
    if (pool->live > pool->peak) pool->peak = pool->live;
    *out = c->address;
  }
  int64_t live = pool->live, held = pool->held, limit = pool->limit;
  uv_mutex_unlock(&pool->lock);
  if (c == NULL) {
    TH_TRY(th__cuda_alive(pool->device));
    return th__fail(TH_ENOMEM,
                    "cuda:%d: out of %s memory: %lld bytes wanted, %lld live, %lld cached, "
                    "limit %lld",
                    pool->device->index, pool->pinned ? "pinned" : "device", (long long)bytes,
                    (long long)live, (long long)(held - live), (long long)limit);
  }
  if (th__cuda_pool_watch != NULL && !pool->pinned) th__cuda_pool_watch(*out, c->bytes, true);
  return TH_OK;
}

void th__cuda_pool_own(th__cuda_pool *pool, const void *block, void *owner,
                       void (*gone)(void *owner)) {
  uv_mutex_lock(&pool->lock);
  th__cuda_chunk *c = pool->table_room == 0 ? NULL : pool->table[table_find(pool, block)];
  if (c != NULL) {
    c->owner = owner;
    c->gone = gone;
  }
  uv_mutex_unlock(&pool->lock);
}

void th__cuda_pool_give(th__cuda_pool *pool, void *block) {
  th__cuda_pool_give_owned(pool, block, NULL);
}

void th__cuda_pool_give_owned(th__cuda_pool *pool, void *block, const void *owner) {
  const th__cuda_lane *lane = th__cuda_running.lane;
  bool behind = lane != NULL && lane->device == pool->device;
  uv_mutex_lock(&pool->lock);
  th__cuda_chunk *c = block == NULL ? NULL : table_take(pool, block, owner);
  if (c != NULL) {
    pool->live -= c->bytes;
    if (th__cuda_pool_watch != NULL && !pool->pinned)
      th__cuda_pool_watch(c->address, c->bytes, false);
    if (behind)
      link_pending(pool, lane, c);
    else
      set_free(pool, c);
  }
  uv_mutex_unlock(&pool->lock);
}

void th__cuda_pool_trim(th__cuda_pool *pool) {
  uv_mutex_lock(&pool->lock);
  for (int i = 0; i < TH__CUDA_LANES; i++) (void)reap(pool, i, false);
  (void)trim(pool);
  uv_mutex_unlock(&pool->lock);
}

void th__cuda_pool_figures(th__cuda_pool *pool, th_memory_info *out) {
  uv_mutex_lock(&pool->lock);
  *out = (th_memory_info){.live = pool->live,
                          .peak = pool->peak,
                          .cached = pool->held - pool->live,
                          .limit = pool->limit,
                          .hits = pool->hits,
                          .misses = pool->misses};
  uv_mutex_unlock(&pool->lock);
}

void th__cuda_pool_set_limit(th__cuda_pool *pool, int64_t bytes) {
  uv_mutex_lock(&pool->lock);
  pool->limit = bytes;
  for (int i = 0; i < TH__CUDA_LANES; i++) (void)reap(pool, i, false);
  if (pool->held > bytes) (void)trim(pool);
  uv_mutex_unlock(&pool->lock);
}

void th__cuda_pool_reset_peak(th__cuda_pool *pool) {
  uv_mutex_lock(&pool->lock);
  pool->peak = pool->live;
  uv_mutex_unlock(&pool->lock);
}

th_status th__cuda_pool_open(th__cuda_pool *pool, th__cuda_device *device, bool pinned,
                             int64_t limit) {
  if (pool->device == NULL) {
    if (uv_mutex_init(&pool->lock) != 0)
      return th__fail(TH_ENOMEM, "cuda:%d: no mutex for a pool", device->index);
    pool->device = device;
    pool->pinned = pinned;
  }
  uv_mutex_lock(&pool->lock); /* after a reset others look on */
  pool->limit = limit;
  pool->peak = pool->live; /* of arrays that outlived a shutdown */
  pool->hits = pool->misses = 0;
  uv_mutex_unlock(&pool->lock);
  return TH_OK;
}

/* What is taken goes with the context; its owners hear of it. */
static void abandon_all(th__cuda_pool *pool) {
  for (size_t i = 0; i < pool->table_room; i++) {
    th__cuda_chunk *c = pool->table[i];
    if (c == NULL) continue;
    pool->table[i] = NULL;
    if (th__cuda_pool_watch != NULL && !pool->pinned)
      th__cuda_pool_watch(c->address, c->bytes, false);
    if (c->owner != NULL) c->gone(c->owner);
    set_free(pool, c);
  }
  pool->table_used = 0;
  pool->live = 0;
}

/* Nothing runs any more. */
bool th__cuda_pool_close(th__cuda_pool *pool, bool abandon) {
  uv_mutex_lock(&pool->lock);
  for (int i = 0; i < TH__CUDA_LANES; i++) (void)reap(pool, i, true);
  if (abandon) abandon_all(pool);
  (void)trim(pool);
  bool empty = pool->table_used == 0;
  if (empty) {
    th__free(pool->table);
    pool->table = NULL;
    pool->table_room = 0;
  }
  for (th__cuda_chunk *c; (c = pool->spare) != NULL;) {
    pool->spare = c->next;
    th__free(c);
  }
  uv_mutex_unlock(&pool->lock);
  return empty;
}
