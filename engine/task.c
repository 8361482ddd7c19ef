/* Owns the slots of task records: magazines per thread, one depot under `depot_lock`, trimming. */
#include "engine/task.h"

#include <sys/mman.h>

#include "engine/parts.h"

#define CHUNK        64 /* slots trimmed together: a whole number of pages */
#define STAMP_CHUNKS 8  /* chunks whose stamps fill a whole number of pages */
_Static_assert(STAMP_CHUNKS *CHUNK * sizeof(th__stamps) % 4096 == 0, "stamps must be whole pages");
_Static_assert(CHUNK * sizeof(th__side) % 4096 == 0, "sides must be whole pages");
_Static_assert(CHUNK * sizeof(th__task) % 4096 == 0, "a chunk must be whole pages");

th__task *th__slot_base;
th__side *th__side_base;
th__stamps *th__stamp_base;

static th__spin depot_lock;
static uint32_t *depot;        /* free slots, a stack */
static uint32_t depot_count;   /* under depot_lock */
static _Atomic uint32_t fresh; /* slots below were used at least once */
static uint32_t *chunk_base;   /* generation for the slots of a trimmed chunk; under depot_lock */
static uint16_t *chunk_free;   /* scratch of trimming */
static uint32_t taken_since_trim; /* under depot_lock: high slots handed out since */

static void *reserve(size_t bytes) {
  void *p =
      mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return p == MAP_FAILED ? NULL : p;
}

static void unreserve(void *p, size_t bytes) {
  if (p != NULL) munmap(p, bytes);
}

th_status th__slots_open(void) {
  th__slot_base = reserve((size_t)TH__SLOTS * sizeof(th__task));
  th__side_base = reserve((size_t)TH__SLOTS * sizeof(th__side));
  th__stamp_base = reserve((size_t)TH__SLOTS * sizeof(th__stamps));
  depot = reserve((size_t)TH__SLOTS * sizeof *depot);
  chunk_base = reserve((size_t)(TH__SLOTS / CHUNK) * sizeof *chunk_base);
  chunk_free = reserve((size_t)(TH__SLOTS / CHUNK) * sizeof *chunk_free);
  depot_lock = (th__spin){0}; /* after a fork a thread that is gone may hold it */
  depot_count = 0;
  taken_since_trim = 0;
  th__store(&fresh, 0, TH__RELAXED);
  if (th__slot_base && th__side_base && th__stamp_base && depot && chunk_base && chunk_free)
    return TH_OK;
  th__slots_close();
  return th__fail(TH_ENOMEM, "engine: cannot reserve addresses for tasks");
}

void th__slots_close(void) {
  unreserve(th__slot_base, (size_t)TH__SLOTS * sizeof(th__task));
  unreserve(th__side_base, (size_t)TH__SLOTS * sizeof(th__side));
  unreserve(th__stamp_base, (size_t)TH__SLOTS * sizeof(th__stamps));
  unreserve(depot, (size_t)TH__SLOTS * sizeof *depot);
  unreserve(chunk_base, (size_t)(TH__SLOTS / CHUNK) * sizeof *chunk_base);
  unreserve(chunk_free, (size_t)(TH__SLOTS / CHUNK) * sizeof *chunk_free);
  th__slot_base = NULL;
  th__side_base = NULL;
  th__stamp_base = NULL;
  depot = NULL;
  chunk_base = NULL;
  chunk_free = NULL;
}

uint32_t th__slots_used(void) { return th__load(&fresh, TH__ACQUIRE); }

/* Moves up to `want` slots from the depot, or fresh ones, to this thread. */
static void refill(th__thread *self, uint32_t want) {
  th__spin_lock(&depot_lock);
  while (self->n_free < want && depot_count > 0) {
    self->free_slots[self->n_free++] = depot[--depot_count];
    taken_since_trim++;
  }
  uint32_t first = th__load(&fresh, TH__RELAXED), n = 0;
  while (self->n_free + n < want && first + n < TH__SLOTS) n++;
  /* The lowest slot is taken first: they are pushed in falling order. */
  for (uint32_t i = 0; i < n; i++) self->free_slots[self->n_free + i] = first + n - 1 - i;
  self->n_free += n;
  taken_since_trim += n;
  th__store(&fresh, first + n, TH__RELEASE);
  th__spin_unlock(&depot_lock);
}

/* A slot of memory that is new, or was given back, has generation 0. */
static void renew(th__task *t) {
  th__spin_lock(&depot_lock);
  uint32_t generation = chunk_base[th__task_slot(t) / CHUNK];
  th__spin_unlock(&depot_lock);
  if (generation == 0) generation = 1;
  th__store(&t->claim, (uint64_t)generation << 32, TH__RELAXED);
  th__store(&t->done_list, (uint64_t)generation << 32, TH__RELEASE);
}

th__task *th__slot_take(th__thread *self) {
  if (self->n_free == 0) refill(self, TH__MAGAZINE / 2);
  if (self->n_free == 0) return th__fail_null(TH_ENOMEM, "engine: %u tasks are pending", TH__SLOTS);
  th__task *t = th__task_at(self->free_slots[--self->n_free]);
  if (__builtin_expect(th__task_generation(t) == 0, 0)) renew(t);
  return t;
}

static void spill(th__thread *self, uint32_t keep) {
  th__spin_lock(&depot_lock);
  /* The oldest free ones go: what was just used is warm. */
  uint32_t n = self->n_free - keep;
  for (uint32_t i = 0; i < n; i++) depot[depot_count++] = self->free_slots[i];
  th__spin_unlock(&depot_lock);
  for (uint32_t i = 0; i < keep; i++) self->free_slots[i] = self->free_slots[n + i];
  self->n_free = keep;
}

void th__slot_give(th__thread *self, th__task *task) {
  if (self->n_free == TH__MAGAZINE) spill(self, TH__MAGAZINE / 2);
  self->free_slots[self->n_free++] = th__task_slot(task);
}

void th__slots_flush(th__thread *self) {
  if (self->n_free > 0) spill(self, 0);
}

/* Remembers the generations of a chunk that is free as a whole, then gives its pages back. */
static void trim_chunk(uint32_t chunk) {
  uint32_t top = chunk_base[chunk];
  for (uint32_t i = 0; i < CHUNK; i++) {
    uint32_t generation = th__task_generation(th__task_at(chunk * CHUNK + i));
    if (generation > top) top = generation;
  }
  chunk_base[chunk] = top + 1;
  madvise(th__task_at(chunk * CHUNK), CHUNK * sizeof(th__task), MADV_DONTNEED);
  madvise(th__side_base + chunk * CHUNK, CHUNK * sizeof(th__side), MADV_DONTNEED);
  if (chunk % STAMP_CHUNKS == 0) /* whole pages; a neighbour that is live only loses its stamps */
    madvise(th__stamp_base + chunk * CHUNK, STAMP_CHUNKS * CHUNK * sizeof(th__stamps),
            MADV_DONTNEED);
}

/* Free chunks at the end become unused again: their slots leave the depot. Under depot_lock. */
static void shorten(uint32_t keep) {
  uint32_t used = th__load(&fresh, TH__RELAXED), chunk = used / CHUNK;
  while (chunk * CHUNK > keep && chunk_free[chunk - 1] == CHUNK) chunk--;
  if (chunk * CHUNK >= used) return;
  uint32_t n = 0;
  for (uint32_t i = 0; i < depot_count; i++)
    if (depot[i] < chunk * CHUNK) depot[n++] = depot[i];
  depot_count = n;
  th__store(&fresh, chunk * CHUNK, TH__RELEASE);
  size_t bytes = ((n * sizeof *depot) + 4095) & ~(size_t)4095;
  madvise((char *)depot + bytes, (size_t)TH__SLOTS * sizeof *depot - bytes, MADV_DONTNEED);
}

void th__slots_trim(uint32_t keep) {
  th__spin_lock(&depot_lock);
  uint32_t used = th__load(&fresh, TH__RELAXED);
  if (used <= keep + CHUNK || depot_count <= keep || taken_since_trim <= keep) {
    th__spin_unlock(&depot_lock);
    return;
  }
  taken_since_trim = 0;
  uint32_t n_chunks = used / CHUNK, first = (keep + CHUNK - 1) / CHUNK;
  for (uint32_t c = 0; c <= n_chunks; c++) chunk_free[c] = 0;
  for (uint32_t i = 0; i < depot_count; i++) chunk_free[depot[i] / CHUNK]++;
  for (uint32_t c = first; c < n_chunks; c++)
    if (chunk_free[c] == CHUNK && th__task_generation(th__task_at(c * CHUNK)) != 0) trim_chunk(c);
  /* An incomplete last chunk is made whole by slots nobody has used yet. */
  if (used % CHUNK != 0 && chunk_free[n_chunks] == used % CHUNK) {
    for (uint32_t s = used; s < (n_chunks + 1) * CHUNK; s++) depot[depot_count++] = s;
    chunk_free[n_chunks] = CHUNK;
    th__store(&fresh, (n_chunks + 1) * CHUNK, TH__RELEASE);
  }
  shorten(keep);
  th__spin_unlock(&depot_lock);
}
