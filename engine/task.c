/* Owns the slots of task records: magazines per thread, one depot under `depot_lock`, trimming. */
#include "engine/task.h"

#include <string.h>
#include <sys/mman.h>

#include "engine/parts.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14; refused by older ones */
#endif

#define CHUNK        64  /* slots trimmed together: a whole number of pages */
#define MANY_CHUNKS  256 /* beyond the usual run-ahead, memory is asked for in larger portions: */
#define AHEAD_CHUNKS 64  /* 512 KiB */
#define STAMP_CHUNKS 8   /* chunks whose stamps fill a whole number of pages */
_Static_assert(STAMP_CHUNKS *CHUNK * sizeof(th__stamps) % 4096 == 0, "stamps must be whole pages");
_Static_assert(CHUNK * sizeof(th__side) % 4096 == 0, "sides must be whole pages");
_Static_assert(CHUNK * sizeof(th__task) % 4096 == 0, "a chunk must be whole pages");

th__task *th__slot_base;
th__side *th__side_base;
th__stamps *th__stamp_base;

static th__spin depot_lock;
static th__ref *depot;         /* free slots with their generations, a stack */
static uint32_t depot_count;   /* under depot_lock */
static _Atomic uint32_t fresh; /* slots below were used at least once */
static uint32_t *chunk_base;   /* generation for the slots of a trimmed chunk; under depot_lock */
static struct {
  uint32_t free;                       /* slots of it that lie in the depot */
  uint32_t top;                        /* their highest generation */
} * chunk_scan;                        /* scratch of trimming */
static _Atomic uint8_t *chunk_touched; /* its memory is there; written under depot_lock */
static uint32_t *idle_chunks; /* under depot_lock: used once, given back; a stack, lowest on top */
static uint32_t n_idle;       /* under depot_lock */
static _Atomic uint32_t wanted;   /* chunk from which memory should be there soon; 0: none */
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
  chunk_scan = reserve((size_t)(TH__SLOTS / CHUNK) * sizeof *chunk_scan);
  chunk_touched = reserve((size_t)(TH__SLOTS / CHUNK) * sizeof *chunk_touched);
  idle_chunks = reserve((size_t)(TH__SLOTS / CHUNK) * sizeof *idle_chunks);
  depot_lock = (th__spin){0}; /* after a fork a thread that is gone may hold it */
  depot_count = 0;
  n_idle = 0;
  taken_since_trim = 0;
  th__store(&fresh, 0, TH__RELAXED);
  th__store(&wanted, 0, TH__RELAXED);
  if (th__slot_base && th__side_base && th__stamp_base && depot && chunk_base && chunk_scan &&
      chunk_touched && idle_chunks)
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
  unreserve(chunk_scan, (size_t)(TH__SLOTS / CHUNK) * sizeof *chunk_scan);
  unreserve((void *)chunk_touched, (size_t)(TH__SLOTS / CHUNK) * sizeof *chunk_touched);
  unreserve(idle_chunks, (size_t)(TH__SLOTS / CHUNK) * sizeof *idle_chunks);
  th__slot_base = NULL;
  th__side_base = NULL;
  th__stamp_base = NULL;
  depot = NULL;
  chunk_base = NULL;
  chunk_scan = NULL;
  chunk_touched = NULL;
  idle_chunks = NULL;
}

static bool is_touched(uint32_t chunk) { return th__load(&chunk_touched[chunk], TH__ACQUIRE) != 0; }

uint32_t th__slots_from(uint32_t slot) {
  while (slot % CHUNK == 0 && slot < TH__SLOTS && !is_touched(slot / CHUNK)) slot += CHUNK;
  return slot;
}

uint32_t th__slots_used(void) { return th__load(&fresh, TH__ACQUIRE); }

/* Begins the life of a slot whose memory is new or was given back. */
static void begin(uint32_t slot, uint32_t generation) {
  th__task *t = th__task_at(slot);
  th__store(&t->word, (uint64_t)generation << 32 | TH__FREE, TH__RELAXED);
  th__store(&t->done_list, (uint64_t)generation << 32, TH__RELEASE);
}

/* Under depot_lock. The first generation of a chunk's slots: behind those of before, as far as anybody remembers, else one that no
 * other start of the engine begins with, so that tokens of an earlier one match nothing. */
static uint32_t first_generation(uint32_t chunk) {
  if (chunk_base[chunk] != 0) return chunk_base[chunk];
  uint32_t first = 1 + (th__the.epoch - 1) * UINT32_C(0x9E3779B1);
  return first != 0 ? first : 1;
}

/* A help, no more: where it fails, pages come one by one. */
static void populate(uint32_t chunk) {
  if (chunk + AHEAD_CHUNKS <= TH__SLOTS / CHUNK)
    madvise(th__task_at(chunk * CHUNK), AHEAD_CHUNKS * CHUNK * sizeof(th__task),
            MADV_POPULATE_WRITE);
}

void th__slots_populate(void) {
  if (th__load(&wanted, TH__RELAXED) == 0) return;
  uint32_t chunk = th__exchange(&wanted, 0, TH__RELAXED);
  if (chunk != 0) populate(chunk);
}

/* Under depot_lock. A slot of the chunk is handed out. Memory that is not there is written before it is read, for the whole chunk:
 * reading a page first costs a fault of its own. */
static void touch(uint32_t chunk) {
  if (is_touched(chunk)) return;
  th__store(&chunk_touched[chunk], 1, TH__RELEASE);
  uint32_t generation = first_generation(chunk);
  if (chunk >= MANY_CHUNKS && chunk % AHEAD_CHUNKS == 0) {
    populate(chunk); /* unless an idle worker was quicker */
    th__store(&wanted, chunk + AHEAD_CHUNKS, TH__RELAXED);
  }
  for (uint32_t i = 0; i < CHUNK; i++) begin(chunk * CHUNK + i, generation);
}

/* Zeroing pages takes as long as submitting what fills them: a worker without work does it meanwhile. */
static void wake_for_memory(th__thread *self) {
  th__pool_device *device = th__load(&self->home, TH__RELAXED);
  if (device != NULL && th__load(&device->sleeping, TH__RELAXED) > 0)
    th__wake_sleepers(self, device, 1, false);
}

/* Under depot_lock. So many slots in the depot, if idle chunks have them: the lowest on top. */
static void unpack_idle(uint32_t want) {
  uint32_t n = 0;
  while (n < n_idle && depot_count + n * CHUNK < want) n++;
  for (uint32_t k = n_idle - n; k < n_idle; k++) {
    uint32_t chunk = idle_chunks[k];
    touch(chunk);
    for (uint32_t i = CHUNK; i-- > 0;)
      depot[depot_count++] = TH__REF(first_generation(chunk), chunk * CHUNK + i);
  }
  n_idle -= n;
}

/* Moves up to `want` slots from the depot, or fresh ones, to this thread. The lowest is taken first: they lie in falling order. */
static void refill(th__thread *self, uint32_t want) {
  th__spin_lock(&depot_lock);
  unpack_idle(want - self->n_free);
  uint32_t n = want - self->n_free < depot_count ? want - self->n_free : depot_count;
  depot_count -= n;
  memcpy(self->free_slots + self->n_free, depot + depot_count, n * sizeof *depot);
  self->n_free += n;
  uint32_t first = th__load(&fresh, TH__RELAXED), m = 0;
  while (self->n_free + m < want && first + m < TH__SLOTS) m++;
  for (uint32_t i = m; i-- > 0;) {
    touch((first + i) / CHUNK);
    self->free_slots[self->n_free++] = th__task_ref(th__task_at(first + i));
  }
  taken_since_trim += n + m;
  th__store(&fresh, first + m, TH__RELEASE);
  bool more = th__load(&wanted, TH__RELAXED) != 0;
  th__spin_unlock(&depot_lock);
  if (more) wake_for_memory(self);
}

th__task *th__slot_take_slow(th__thread *self) {
  if (self->n_free == 0) refill(self, TH__MAGAZINE / 2);
  if (self->n_free == 0) return th__fail_null(TH_ENOMEM, "engine: %u tasks are pending", TH__SLOTS);
  th__task *t = th__task_at(TH__REF_SLOT(self->free_slots[--self->n_free]));
  t->hint = th__task_slot(t);
  return t;
}

static void spill(th__thread *self, uint32_t keep) {
  th__spin_lock(&depot_lock);
  /* The oldest free ones go: what was just used is warm. */
  uint32_t n = self->n_free - keep;
  memcpy(depot + depot_count, self->free_slots, n * sizeof *depot);
  depot_count += n;
  th__spin_unlock(&depot_lock);
  memmove(self->free_slots, self->free_slots + n, keep * sizeof *self->free_slots);
  self->n_free = keep;
}

void th__slots_spill(th__thread *self) { spill(self, TH__MAGAZINE / 2); }

void th__slots_flush(th__thread *self) {
  if (self->n_free > 0) spill(self, 0);
}

/* A chunk that is free as a whole: its next slots begin behind all generations it had. The depot knows them: the records, long out of
 * the cache, are not read again. */
static void remember_generations(uint32_t chunk) {
  uint32_t top = chunk_scan[chunk].top;
  if (chunk_base[chunk] > top) top = chunk_base[chunk];
  chunk_base[chunk] = th__generation_after(top);
  th__store(&chunk_touched[chunk], 0, TH__RELEASE);
}

/* Gives the pages of chunks [first, end) back. */
static void give_back(uint32_t first, uint32_t end) {
  size_t slots = (size_t)(end - first) * CHUNK;
  if (slots == 0) return;
  madvise(th__task_at(first * CHUNK), slots * sizeof(th__task), MADV_DONTNEED);
  madvise(th__side_base + first * CHUNK, slots * sizeof(th__side), MADV_DONTNEED);
  /* Whole pages only. */
  first = (first + STAMP_CHUNKS - 1) / STAMP_CHUNKS * STAMP_CHUNKS;
  end = end / STAMP_CHUNKS * STAMP_CHUNKS;
  if (first < end)
    madvise(th__stamp_base + first * CHUNK, (size_t)(end - first) * CHUNK * sizeof(th__stamps),
            MADV_DONTNEED);
}

/* Under depot_lock: all free chunks in [first, end) that were used, neighbours at a time. */
static void give_back_free(uint32_t first, uint32_t end) {
  uint32_t begin_run = first;
  for (uint32_t c = first; c < end; c++) {
    if (chunk_scan[c].free == CHUNK && is_touched(c)) {
      remember_generations(c);
    } else {
      give_back(begin_run, c);
      begin_run = c + 1;
    }
  }
  give_back(begin_run, end > begin_run ? end : begin_run);
}

/* Under depot_lock. The slots of chunks that were given back leave the depot. Chunks at the end become unused again, the others come
 * back lowest first, so that who fills many slots in a row walks through memory in a row. */
static void sort_depot(uint32_t first, uint32_t end) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < depot_count; i++)
    if (is_touched(TH__REF_SLOT(depot[i]) / CHUNK)) depot[n++] = depot[i];
  depot_count = n;
  while (end > first && !is_touched(end - 1)) end--;
  th__store(&fresh, end * CHUNK, TH__RELEASE);
  n_idle = 0;
  for (uint32_t c = end; c-- > first;)
    if (!is_touched(c)) idle_chunks[n_idle++] = c;
  size_t bytes = ((n * sizeof *depot) + 4095) & ~(size_t)4095;
  madvise((char *)depot + bytes, (size_t)TH__SLOTS * sizeof *depot - bytes, MADV_DONTNEED);
}

/* Under depot_lock. */
static void scan_depot(uint32_t n_chunks) {
  memset(chunk_scan, 0, (n_chunks + 1) * sizeof *chunk_scan);
  for (uint32_t i = 0; i < depot_count; i++) {
    uint32_t chunk = TH__REF_SLOT(depot[i]) / CHUNK, generation = TH__REF_GENERATION(depot[i]);
    chunk_scan[chunk].free++;
    if (generation > chunk_scan[chunk].top) chunk_scan[chunk].top = generation;
  }
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
  scan_depot(n_chunks);
  /* An incomplete last chunk is made whole by slots nobody has used yet. */
  if (used % CHUNK != 0) {
    for (uint32_t s = used; s < (n_chunks + 1) * CHUNK; s++)
      depot[depot_count++] = TH__REF(first_generation(n_chunks), s);
    chunk_scan[n_chunks++].free += CHUNK - used % CHUNK;
  }
  give_back_free(first, n_chunks);
  sort_depot(first, n_chunks);
  th__spin_unlock(&depot_lock);
}
