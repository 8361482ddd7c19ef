/* Owns checking and sorting a task's access set. Stateless. */
#include "engine/access.h"

#include <stdlib.h>

#include "engine/base/error.h"
#include "engine/state.h"

#define INSERTION 24 /* up to so many by insertion, more by the C library */

th_status th__access_check(const th_task *t) {
  const char *name = t->name ? t->name : "task";
  if ((t->reads == NULL && t->n_reads > 0) || (t->writes == NULL && t->n_writes > 0))
    return th__fail(TH_EINVAL, "push: %s has a count without a list", name);
  if (t->n_reads > UINT16_MAX || t->n_writes > UINT16_MAX - t->n_reads)
    return th__fail(TH_EINVAL, "push: %s uses more than 65535 variables", name);
  for (size_t i = 0; i < t->n_reads + t->n_writes; i++) {
    const th_var *v = i < t->n_reads ? t->reads[i] : t->writes[i - t->n_reads];
    if (v == NULL)
      return th__fail(TH_EINVAL, "push: %s: %s %zu is NULL", name,
                      i < t->n_reads ? "read" : "write", i < t->n_reads ? i : i - t->n_reads);
    if (v->epoch != th__the.epoch)
      return th__fail(TH_EFORK, "push: %s uses a variable of an engine that was left", name);
  }
  return TH_OK;
}

static int by_address(const void *a, const void *b) {
  th__access x = *(const th__access *)a, y = *(const th__access *)b;
  return (x > y) - (x < y);
}

static void sort(th__access *set, size_t n) {
  if (n > INSERTION) {
    qsort(set, n, sizeof *set, by_address);
    return;
  }
  for (size_t i = 1; i < n; i++) {
    th__access a = set[i];
    size_t at = i;
    for (; at > 0 && set[at - 1] > a; at--) set[at] = set[at - 1];
    set[at] = a;
  }
}

/* Read and write of one variable become an access with both bits. */
size_t th__access_merge(th__access *set, size_t n) {
  size_t kept = 0;
  sort(set, n);
  for (size_t i = 0; i < n; i++) {
    if (kept > 0 && (set[kept - 1] ^ set[i]) < 4) {
      set[kept - 1] |= set[i];
    } else {
      set[kept++] = set[i];
    }
  }
  return kept;
}

size_t th__access_gather(const th_task *t, th__access *set) {
  size_t n = t->n_reads + t->n_writes;
  for (size_t i = 0; i < n; i++)
    set[i] = i < t->n_reads ? (uintptr_t)t->reads[i] | TH__ACCESS_READ
                            : (uintptr_t)t->writes[i - t->n_reads] | TH__ACCESS_WRITE;
  return th__access_merge(set, n);
}
