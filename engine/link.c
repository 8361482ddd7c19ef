/* Owns the rare half of linking: extension records for tasks with many predecessors, and lists of lane devices. */
#include "engine/link.h"

#include "engine/parts.h"

/* A new extension record in front of the others. NULL: no slot is free. */
static th__task *extend(th__thread *self, th__task *task) {
  th__task *e = th__slot_take(self);
  if (e == NULL) return NULL;
  th__store(&e->kind_flags, TH__EXTENSION, TH__RELAXED);
  e->host = th__task_slot(task);
  th__store(&e->n_links, 0, TH__RELEASE);
  th__store(&e->extension, th__load(&task->extension, TH__RELAXED), TH__RELEASE);
  th__store(&task->extension, th__task_slot(e) + 1, TH__RELEASE);
  return e;
}

th__task *th__link_record(th__thread *self, th__task *task) {
  uint32_t first = th__load(&task->extension, TH__RELAXED);
  th__task *e = first != 0 ? th__task_at(first - 1) : NULL;
  if (e != NULL && th__load(&e->n_links, TH__RELAXED) < TH__MORE_LINKS) return e;
  while ((e = extend(self, task)) == NULL) th__yield(); /* admission keeps half of all slots */
  return e;
}

_Atomic uint64_t *th__link_issue_list(th__task *before, const th__task *task) {
  bool same = (th__load(&before->kind_flags, TH__RELAXED) & TH__LANE_TASK) &&
              TH__PLACE_DEVICE(th__load(&before->place, TH__RELAXED)) ==
                  TH__PLACE_DEVICE(th__load(&task->place, TH__RELAXED));
  return same ? &th__task_side(before)->issue_list : NULL;
}

void th__links_free(th__thread *self, th__task *task) {
  uint32_t e = th__load(&task->extension, TH__RELAXED);
  while (e != 0) {
    th__task *record = th__task_at(e - 1);
    e = th__load(&record->extension, TH__RELAXED);
    uint64_t generation = (uint64_t)th__generation_after(th__task_generation(record)) << 32;
    th__store(&record->word, generation | TH__FREE, TH__RELAXED);
    th__store(&record->done_list, generation, TH__RELEASE);
    th__slot_give(self, record);
  }
}
