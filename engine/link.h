/* Owns the hot half of linking: a task becomes a successor of another by a compare-and-swap on the list head that holds the
 * generation, which a finished task refuses. A link also stays with its task as the back edge for helping and dumps.
 * Private to submission and folding; the rare half is link.c. */
#ifndef THRUM_ENGINE_LINK_H
#define THRUM_ENGINE_LINK_H

#include "engine/sole.h"

/* The record that takes the next link of a task whose own are used up. */
th__task *th__link_record(struct th__thread *self, th__task *task);
/* The list of `before` that a successor on the same lane device hangs in, else NULL. */
_Atomic uint64_t *th__link_issue_list(th__task *before, const th__task *task);
/* Gives extension records back. */
void th__links_free(struct th__thread *self, th__task *task);

/* Pushes link id onto a list of that generation. False when the generation is over or the list closed. sole: see sole.h. */
TH__INLINED bool th__link_push(_Atomic uint64_t *list, uint64_t head, uint32_t generation,
                               _Atomic uint32_t *link, uint32_t id, bool sole) {
  uint32_t first;
  do {
    first = (uint32_t)head & ~TH__WAITERS;
    if ((uint32_t)(head >> 32) != generation || first == TH__LIST_CLOSED) return false;
    th__store(link, first, TH__RELAXED);
    /* release: the finisher that takes the list sees the link and the task behind it. */
  } while (__builtin_expect(!th__cas_by(sole, list, &head, head - first + id), 0));
  return true;
}

/* Makes task a successor of ref, which is not 0, unless that has finished. Returns links made: 0 or 1. After the last link that
 * its word counts, somebody else may run and recycle the task. plain: known not to be on a lane. */
TH__INLINED uint32_t th__link(struct th__thread *self, th__task *task, th__ref ref, bool plain,
                              bool sole) {
  th__task *before = th__task_at(TH__REF_SLOT(ref)), *record = task;
  uint32_t generation = TH__REF_GENERATION(ref);
  _Atomic uint64_t *list = &before->done_list;
  uint64_t head = th__load(list, TH__ACQUIRE); /* pairs with the closing exchange */
  if ((uint32_t)(head >> 32) != generation) return 0;
  uint32_t n = th__load(&task->n_links, TH__RELAXED);
  if (__builtin_expect(n == TH__LINKS, 0)) {
    record = th__link_record(self, task);
    n = th__load(&record->n_links, TH__RELAXED);
  }
  th__store(&record->preds[n], ref, TH__RELEASE);
  th__store(&record->n_links, (uint8_t)(n + 1), TH__RELEASE); /* pairs with readers of back edges */
  uint32_t id = th__task_slot(record) * TH__MORE_LINKS + n + 1;
  /* On one lane device issuing is enough; if `before` was issued already, its point orders us. The fields of `before`
   * may belong to a later task, but then the generation refuses the push. */
  if (!plain && (th__load(&task->kind_flags, TH__RELAXED) & TH__LANE_TASK)) {
    _Atomic uint64_t *issue_list = th__link_issue_list(before, task);
    if (issue_list != NULL) head = th__load(list = issue_list, TH__ACQUIRE);
  }
  return th__link_push(list, head, generation, &record->links[n], id, sole);
}

#endif
