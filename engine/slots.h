/* Taking and giving back the slots of task records, from the thread's magazine; task.c owns what lies behind it. Private to engine/. */
#ifndef THRUM_ENGINE_SLOTS_H
#define THRUM_ENGINE_SLOTS_H

#include "engine/state.h"

#define TH__HINT 24 /* a task leads its executor to the one submitted so many later */
th__task *th__slot_take_slow(th__thread *self);
void th__slots_spill(th__thread *self);
/* A free slot for this thread with its generation set, or NULL and TH_ENOMEM. Fills nothing else but the hint. */
static inline th__task *th__slot_take(th__thread *self) {
  uint32_t n = self->n_free;
  if (__builtin_expect(n == 0, 0)) return th__slot_take_slow(self);
  self->n_free = --n;
  th__task *t = th__task_at(TH__REF_SLOT(self->free_slots[n]));
  t->hint = TH__REF_SLOT(self->free_slots[n >= TH__HINT ? n - TH__HINT : n]);
  if (n > 1) {
    const th__task *soon = th__task_at(TH__REF_SLOT(self->free_slots[n - 2]));
    th__prefetch(soon);
    th__prefetch((const char *)soon + TH__LINE);
  }
  return t;
}
static inline void th__slot_give(th__thread *self, th__task *task) {
  if (__builtin_expect(self->n_free == TH__MAGAZINE, 0)) th__slots_spill(self);
  self->free_slots[self->n_free++] = th__task_ref(task);
}

#define TH__STRIDES_AHEAD 6 /* along a chain */
#define TH__NEAR                                                                                   \
  64 /* slots: nearer ones are in the cache, maybe in that of a submitter who still writes them */
/* Asks for the record of the first successor: it is needed when the task ends. In a long chain, often submitted at even distances,
 * that is too late for memory: so for a later one as well. */
static inline void th__ask_for_successor(const th__task *t) {
  uint32_t link = (uint32_t)th__load(&t->done_list, TH__RELAXED) & ~TH__WAITERS;
  if (link == 0) return;
  uint32_t slot = th__task_slot(t), next = (link - 1) / TH__MORE_LINKS;
  th__prefetch(th__task_at(next));
  if (next - slot + TH__NEAR <= 2 * TH__NEAR) return;
  th__prefetch(th__task_at((slot + (next - slot) * TH__STRIDES_AHEAD) & (TH__SLOTS - 1)));
}

#endif
