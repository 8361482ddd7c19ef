/* Owns the ring of ready tasks. `lock` guards head, ring and capacity; count may be read without it. */
#include "engine/parts.h"

#define KEEP 16384 /* an empty ring larger than this is given back by trimming */

static void use_first(th__queue *q) {
  q->ring = q->first;
  q->capacity = TH__QUEUE_FIRST;
  q->head = 0;
}

static bool grow(th__queue *q) {
  if (q->capacity == 0) {
    use_first(q);
    return true;
  }
  uint32_t count = th__load(&q->count, TH__RELAXED), capacity = q->capacity * 2;
  th__ref *ring = th__alloc((size_t)capacity * sizeof *ring);
  if (ring == NULL) return false;
  for (uint32_t i = 0; i < count; i++) ring[i] = q->ring[(q->head + i) & (q->capacity - 1)];
  if (q->ring != q->first) th__free(q->ring);
  q->ring = ring;
  q->head = 0;
  q->capacity = capacity;
  return true;
}

bool th__queue_push(th__queue *q, th__ref ref) {
  th__spin_lock(&q->lock);
  uint32_t count = th__load(&q->count, TH__RELAXED);
  bool ok = count < q->capacity || grow(q);
  if (ok) {
    q->ring[(q->head + count) & (q->capacity - 1)] = ref;
    /* seq_cst: with the sleeper's own increment, one of the two sees the other. */
    th__fetch_add(&q->count, 1, TH__SEQ_CST);
  }
  th__spin_unlock(&q->lock);
  return ok;
}

static th__ref pop_locked(th__queue *q) {
  th__ref ref = q->ring[q->head];
  q->head = (q->head + 1) & (q->capacity - 1);
  th__store(&q->count, th__load(&q->count, TH__RELAXED) - 1, TH__RELAXED);
  return ref;
}

th__ref th__queue_pop_front(th__queue *q, uint64_t random) {
  if (th__load(&q->count, TH__RELAXED) == 0) return 0;
  th__ref ref = 0;
  th__spin_lock(&q->lock);
  uint32_t count = th__load(&q->count, TH__RELAXED);
  if (count > 0) {
    if (random != 0) { /* a random element changes places with the first */
      uint32_t i = (q->head + (uint32_t)(random % count)) & (q->capacity - 1);
      th__ref first = q->ring[q->head];
      q->ring[q->head] = q->ring[i];
      q->ring[i] = first;
    }
    ref = pop_locked(q);
  }
  th__spin_unlock(&q->lock);
  return ref;
}

void th__queue_trim(th__queue *q) {
  th__ref *ring = NULL;
  th__spin_lock(&q->lock);
  if (q->capacity > KEEP && th__load(&q->count, TH__RELAXED) == 0) {
    ring = q->ring;
    use_first(q);
  }
  th__spin_unlock(&q->lock);
  th__free(ring);
}

void th__queue_free(th__queue *q) {
  if (q->ring != q->first) th__free(q->ring);
  *q = (th__queue){0};
}
