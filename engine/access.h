/* Owns a task's access set: the check of what the user lists, and the set in which every variable is found once. Locks are taken
 * in the order of addresses, so a set is sorted before they are; a short one only then. Private to submission. */
#ifndef THRUM_ENGINE_ACCESS_H
#define THRUM_ENGINE_ACCESS_H

#include "engine/task.h"

/* Says why th__access_few() refused, or that the set is only too long for it. TH_OK, TH_EINVAL, TH_EFORK; the message names the
 * task and the argument. */
th_status th__access_check(const th_task *t);
/* Sorts and merges a set of any length into set, which has room for all that are listed. Returns how many are left. */
size_t th__access_gather(const th_task *t, th__access *set);
/* Sorts, and makes one access of those to one variable. Returns how many are left. */
size_t th__access_merge(th__access *set, size_t n);

/* The smaller first. Compiles to conditional moves: the order of addresses cannot be predicted. */
static inline void th__access_order(th__access *a, th__access *b) {
  th__access x = *a, y = *b;
  *a = x < y ? x : y;
  *b = x < y ? y : x;
}

/* Up to TH__INLINE_VARS. */
static inline __attribute__((always_inline)) void th__access_sort_few(th__access *set, int n) {
  if (n < 2) return;
  if (n == 3) {
    th__access_order(&set[0], &set[1]);
    th__access_order(&set[1], &set[2]);
  }
  th__access_order(&set[0], &set[1]);
}

static inline bool th__access_list(th_var *const *list, size_t n, th__access kind, uint32_t epoch,
                                   th__access *set) {
  for (size_t i = 0; i < n; i++) {
    if (__builtin_expect(list[i] == NULL, 0) || __builtin_expect(list[i]->epoch != epoch, 0))
      return false;
    set[i] = (uintptr_t)list[i] | kind;
  }
  return true;
}

/* The common case, without a second look: at most TH__INLINE_VARS variables, reads first, not sorted. Returns how many, or -1: see
 * th__access_check(). */
static inline __attribute__((always_inline)) int th__access_few(const th_task *t, uint32_t epoch,
                                                                th__access *set) {
  size_t n_reads = t->n_reads, n = n_reads + t->n_writes;
  if (__builtin_expect(n_reads > TH__INLINE_VARS || n > TH__INLINE_VARS, 0)) return -1;
  if (__builtin_expect((n_reads > 0 && t->reads == NULL) || (n > n_reads && t->writes == NULL), 0))
    return -1;
  if (!th__access_list(t->reads, n_reads, TH__ACCESS_READ, epoch, set) ||
      !th__access_list(t->writes, n - n_reads, TH__ACCESS_WRITE, epoch, set + n_reads))
    return -1;
  if (n < 2) return (int)n;
  bool twice =
      (set[0] ^ set[1]) < 4 || (n == 3 && ((set[1] ^ set[2]) < 4 || (set[0] ^ set[2]) < 4));
  return (int)(__builtin_expect(twice, 0) ? th__access_merge(set, n) : n);
}

#endif
