/* Owns the slow and the contended parts of the lock-free queue: growing, trimming, taking. */
#include "engine/deque.h"

#include <sys/mman.h>

void th__deque_init(th__deque *d) {
  th__store(&d->top, 0, TH__RELAXED);
  th__store(&d->bottom, 0, TH__RELAXED);
  d->top_seen = 0;
  uint64_t capacity = TH__DEQUE_FIRST;
  for (int i = 0; i < TH__DEQUE_LEVELS; i++, capacity *= TH__DEQUE_GROWTH)
    d->rings[i] = (th__ring){capacity, NULL};
  d->rings[0].entries = d->first_entries;
  th__store(&d->ring, &d->rings[0], TH__RELEASE);
}

static size_t ring_bytes(const th__ring *ring) {
  return (size_t)ring->capacity * sizeof *ring->entries;
}

/* Larger rings are mapped: trimming gives their memory back and keeps the addresses. */
static bool ring_map(th__ring *ring) {
  if (ring->entries != NULL) return true;
  void *p =
      mmap(NULL, ring_bytes(ring), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return false;
  ring->entries = p;
  return true;
}

/* What waiters ran themselves is still named here; it leaves from the top. */
static void drop_stale(th__deque *d, bool (*keep)(th__ref ref)) {
  const th__ring *ring = th__load(&d->ring, TH__RELAXED);
  uint64_t top = th__load(&d->top, TH__SEQ_CST), bottom = th__load(&d->bottom, TH__RELAXED);
  while (top < bottom && !keep(th__load(&ring->entries[top & (ring->capacity - 1)], TH__RELAXED)))
    if (th__cas(&d->top, &top, top + 1, TH__SEQ_CST)) top++;
  /* acquire: who took an entry has read it before; only then may it be overwritten. */
  d->top_seen = th__load(&d->top, TH__ACQUIRE);
}

bool th__deque_room(th__deque *d, bool (*keep)(th__ref ref)) {
  uint64_t bottom = th__load(&d->bottom, TH__RELAXED);
  const th__ring *old = th__load(&d->ring, TH__RELAXED);
  drop_stale(d, keep);
  /* Nearly full would ask again at once. */
  if (bottom - d->top_seen < old->capacity - old->capacity / 4) return true;
  ptrdiff_t level = old - d->rings + 1;
  if (level == TH__DEQUE_LEVELS || !ring_map(&d->rings[level]))
    return bottom - d->top_seen < old->capacity;
  const th__ring *ring = &d->rings[level];
  for (uint64_t i = d->top_seen; i != bottom; i++)
    th__store(&ring->entries[i & (ring->capacity - 1)],
              th__load(&old->entries[i & (old->capacity - 1)], TH__RELAXED), TH__RELAXED);
  /* release: a taker that sees the ring sees its entries; one that still has the old ring finds the same there. */
  th__store(&d->ring, ring, TH__RELEASE);
  return true;
}

void th__deque_trim(th__deque *d) {
  const th__ring *ring = th__load(&d->ring, TH__RELAXED);
  uint64_t bottom = th__load(&d->bottom, TH__RELAXED);
  if (ring == &d->rings[0] || th__load(&d->top, TH__ACQUIRE) != bottom) return;
  /* Empty: a thief that read an older top can no longer swap it, whatever it finds in a ring. */
  th__store(&d->ring, &d->rings[0], TH__RELEASE);
  d->top_seen = bottom;
  for (; ring != &d->rings[0]; ring--) madvise(ring->entries, ring_bytes(ring), MADV_DONTNEED);
}

void th__deque_free(th__deque *d) {
  for (int i = 1; i < TH__DEQUE_LEVELS; i++)
    if (d->rings[i].entries != NULL) munmap(d->rings[i].entries, ring_bytes(&d->rings[i]));
  th__deque_init(d);
}

th__ref th__deque_pop(th__deque *d) {
  uint64_t bottom = th__load(&d->bottom, TH__RELAXED);
  if (th__load(&d->top, TH__RELAXED) >= bottom) return 0;
  bottom--;
  const th__ring *ring = th__load(&d->ring, TH__RELAXED);
  /* seq_cst on both sides: of the owner's "bottom, then top" and a thief's "top, then bottom" one sees the other's. */
  th__exchange(&d->bottom, bottom, TH__SEQ_CST);
  uint64_t top = th__load(&d->top, TH__SEQ_CST);
  if (top < bottom) return th__load(&ring->entries[bottom & (ring->capacity - 1)], TH__RELAXED);
  th__ref ref = 0;
  if (top == bottom) { /* the last one: a race with thieves */
    ref = th__load(&ring->entries[bottom & (ring->capacity - 1)], TH__RELAXED);
    if (!th__cas(&d->top, &top, top + 1, TH__SEQ_CST)) ref = 0;
  }
  th__store(&d->bottom, bottom + 1, TH__RELEASE);
  return ref;
}

th__ref th__deque_steal(th__deque *d) {
  uint64_t top = th__load(&d->top, TH__SEQ_CST);
  uint64_t bottom = th__load(&d->bottom, TH__SEQ_CST);
  if ((int64_t)(bottom - top) <= 0) return 0;
  const th__ring *ring = th__load(&d->ring, TH__ACQUIRE);
  th__ref ref = th__load(&ring->entries[top & (ring->capacity - 1)], TH__RELAXED);
  return th__cas(&d->top, &top, top + 1, TH__SEQ_CST) ? ref : 0;
}

int th__deque_take(th__deque *d, th__ref *out, int max) {
  uint64_t top = th__load(&d->top, TH__ACQUIRE);
  for (;;) {
    uint64_t bottom = th__load(&d->bottom, TH__ACQUIRE);
    if ((int64_t)(bottom - top) <= 0) return 0;
    int n = bottom - top < (uint64_t)max ? (int)(bottom - top) : max;
    const th__ring *ring = th__load(&d->ring, TH__ACQUIRE);
    for (int i = 0; i < n; i++)
      out[i] = th__load(&ring->entries[(top + (uint64_t)i) & (ring->capacity - 1)], TH__RELAXED);
    /* release: the entries were read before the owner may overwrite them. */
    if (th__cas(&d->top, &top, top + (uint64_t)n, TH__ACQ_REL)) return n;
  }
}
