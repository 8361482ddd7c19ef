/* Owns links: a task becomes a successor of another by a compare-and-swap on the list head that holds the generation, which
 * a finished task refuses. A link also stays with its task as the back edge for helping and dumps. */
#include "engine/parts.h"
#include "engine/trace.h"

/* The record that takes the next link of task: itself or an extension record. */
static th__task *link_record(th__thread *self, th__task *task) {
  if (th__load(&task->n_links, TH__RELAXED) < TH__LINKS) return task;
  uint32_t first = th__load(&task->extension, TH__RELAXED);
  if (first != 0) {
    th__task *e = th__task_at(first - 1);
    if (th__load(&e->n_links, TH__RELAXED) < TH__LINKS) return e;
  }
  th__task *e = th__slot_take(self);
  if (e == NULL) return NULL;
  th__store(&e->kind_flags, TH__EXTENSION, TH__RELAXED);
  e->host = th__task_slot(task);
  th__store(&e->n_links, 0, TH__RELAXED);
  th__store(&e->extension, first, TH__RELAXED); /* newest first */
  th__store(&task->extension, th__task_slot(e) + 1, TH__RELEASE);
  return e;
}

/* Pushes link id onto a list of that generation. False when the generation is over or the list closed. */
static bool list_push(_Atomic uint64_t *list, uint32_t generation, _Atomic uint32_t *link,
                      uint32_t id) {
  uint64_t head = th__load(list, TH__ACQUIRE);
  do {
    if ((uint32_t)(head >> 32) != generation || (uint32_t)head == TH__LIST_CLOSED) return false;
    th__store(link, (uint32_t)head, TH__RELAXED);
    /* release: the finisher that takes the list sees the link and the task behind it. */
  } while (!th__cas_weak(list, &head, (uint64_t)generation << 32 | id, TH__ACQ_REL));
  return true;
}

uint32_t th__link(th__thread *self, th__task *task, th__ref ref) {
  if (th__ref_finished(ref)) return 0;
  th__task *before = th__task_at(TH__REF_SLOT(ref));
  th__task *record;
  while ((record = link_record(self, task)) == NULL)
    th__yield(); /* admission keeps half of all slots for links */
  uint32_t n = th__load(&record->n_links, TH__RELAXED), generation = TH__REF_GENERATION(ref);
  th__store(&record->preds[n], ref, TH__RELAXED);
  th__store(&record->n_links, (uint16_t)(n + 1),
            TH__RELEASE); /* pairs with readers of back edges */
  uint32_t id = th__task_slot(record) * TH__LINKS + n + 1;
  /* On one lane device issuing is enough; if `before` was issued already, its point orders us. The fields of `before`
   * may belong to a later task, but then the generation refuses the push. */
  bool same_lanes = (th__load(&task->kind_flags, TH__RELAXED) & TH__LANE_TASK) &&
                    (th__load(&before->kind_flags, TH__RELAXED) & TH__LANE_TASK) &&
                    th__load(&before->device, TH__RELAXED) == th__load(&task->device, TH__RELAXED);
  _Atomic uint64_t *list = same_lanes ? &th__task_side(before)->issue_list : &before->done_list;
  uint64_t from = th__load(&before->sequence, TH__RELAXED);
  bool hidden = th__load(&before->kind_flags, TH__RELAXED) & TH__INTERNAL;
  if (!list_push(list, generation, &record->links[n], id)) return 0;
  if (th__trace_on(TH_PROFILE_EDGES) && !hidden)
    th__trace_edge(from, th__load(&task->sequence, TH__RELAXED));
  return 1;
}

void th__links_free(th__thread *self, th__task *task) {
  uint32_t e = th__load(&task->extension, TH__RELAXED);
  while (e != 0) {
    th__task *record = th__task_at(e - 1);
    e = th__load(&record->extension, TH__RELAXED);
    uint64_t generation = (uint64_t)th__task_generation(record) + 1;
    th__store(&record->claim, generation << 32, TH__RELAXED);
    th__store(&record->done_list, generation << 32, TH__RELEASE);
    th__slot_give(self, record);
  }
}
