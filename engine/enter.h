/* Owns the hot half of submission: a task becomes the newest access of each variable in its set, atomically. The locks of the
 * whole set are taken in address order, so crossing sets cannot deadlock; while they are held the task is noted and lists whom
 * it must wait for; the links are made after the locks are given back, because once the last one is made somebody else may run
 * the task, recycle its record and end its variables. sole: no locks are needed, see sole.h. Private to submission. */
#ifndef THRUM_ENGINE_ENTER_H
#define THRUM_ENGINE_ENTER_H

#include "engine/link.h"
#include "engine/parts.h"

#define TH__LISTED 64 /* predecessors listed on the stack */

static inline void th__unlock_all(const th__access *set, int n, bool sole) {
  for (int i = 0; !sole && i < n; i++) th__spin_unlock(&TH__ACCESS_VAR(set[i])->lock);
}

/* Asks for the records that the variables remember as their last writers: they are needed soon. */
TH__INLINED void th__ask_for_writers(const th__access *set, int n) {
  TH__UNROLLED for (int i = 0; i < n; i++) th__prefetch(
      th__task_at(TH__REF_SLOT(th__load(&TH__ACCESS_VAR(set[i])->last_writer, TH__RELAXED))));
}

/* Under the variable's lock, whose accesses fit: the unfinished ones that an access must wait for. Returns the end of the list. */
TH__INLINED th__ref *th__list_before(const th_var *v, bool write, th__ref *list) {
  if (write && v->n_readers != 0) { /* the writer is implied */
    for (uint32_t k = 0; k < v->n_readers; k++)
      if (!th__ref_finished(v->readers[k])) *list++ = v->readers[k];
    return list;
  }
  th__ref writer = th__load(&v->last_writer, TH__RELAXED);
  if (!th__ref_finished(writer)) *list++ = writer;
  return list;
}

/* Takes the locks and lists the unfinished accesses to wait for. newest: the largest sequence number of all accesses. Returns how
 * many are listed; -1: more than fit, and no lock is held. A lock waits until the processor has written out all that was stored
 * before: so the record is filled afterwards. */
TH__INLINED int th__lock_and_list(th__thread *self, const th__access *set, int n, th__ref *list,
                                  uint64_t *newest, bool sole) {
  th__ref *end = list;
  TH__UNROLLED for (int i = 0; i < n; i++) {
    th_var *v = TH__ACCESS_VAR(set[i]);
    bool write = set[i] & TH__ACCESS_WRITE;
    if (!sole) th__spin_lock(&v->lock);
    if (v->sequence > *newest) *newest = v->sequence;
    if (!write && __builtin_expect(v->n_readers == v->reader_capacity, 0))
      th__var_make_room(self, v, sole);
    uint32_t most = write ? v->n_readers : 0;
    if (__builtin_expect((end - list) + (ptrdiff_t)most >= TH__LISTED, 0)) {
      th__unlock_all(set, i + 1, sole);
      return -1;
    }
    end = th__list_before(v, write, end);
  }
  return (int)(end - list);
}

/* Under the variable's lock: the task is its newest access. */
TH__INLINED void th__enter(th_var *v, bool write, th__ref ref, uint64_t sequence) {
  v->sequence = sequence;
  if (write) {
    v->n_readers = 0;
    th__store(&v->last_writer, ref, TH__RELEASE); /* pairs with th_wait_var() */
    th__store(&v->version, th__load(&v->version, TH__RELAXED) + 1, TH__RELEASE);
  } else {
    v->readers[v->n_readers++] = ref;
  }
}

TH__INLINED void th__enter_and_unlock(const th__access *set, int n, th__ref ref, uint64_t sequence,
                                      bool sole) {
  TH__UNROLLED for (int i = 0; i < n; i++) {
    th_var *v = TH__ACCESS_VAR(set[i]);
    th__enter(v, set[i] & TH__ACCESS_WRITE, ref, sequence);
    if (!sole) th__spin_unlock(&v->lock);
  }
}

/* In a section of the sole thread, when nothing is pending: there is nobody to wait for, and whoever a variable remembers has
 * finished. */
TH__INLINED void th__enter_idle(const th__access *set, int n, th__ref ref, uint64_t sequence) {
  TH__UNROLLED for (int i = 0; i < n; i++) {
    th_var *v = TH__ACCESS_VAR(set[i]);
    v->n_readers = 0;
    th__enter(v, set[i] & TH__ACCESS_WRITE, ref, sequence);
  }
}

/* Links the task behind n others. Returns how many of them had finished. */
TH__INLINED uint32_t th__link_all(th__thread *self, th__task *r, const th__ref *list, int n,
                                  bool plain, bool sole) {
  uint32_t missed = 0;
  for (int i = 0; i < n; i++) missed += 1 - th__link(self, r, list[i], plain, sole);
  return missed;
}

#endif
