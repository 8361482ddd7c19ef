/* Owns prepared tasks: a copy of the task and of what its check found, which pushes only read. So nothing is locked. */
#include <string.h>

#include "engine/access.h"
#include "engine/submit.h"

struct th_prepared {
  th_task task;    /* `arg` is its own block */
  th__entry entry; /* as checked */
  uint32_t epoch;
  th__access set[]; /* when it does not fit `entry` */
};

/* The variables, merged. */
static const th__access *set_of(const th_prepared *p) {
  return p->entry.n > TH__INLINE_VARS ? p->set : p->entry.few;
}

/* Gathers what the check left, and makes the entry independent of the caller's lists. */
static void settle_set(th_prepared *p, const th_task *t) {
  th__entry *e = &p->entry;
  if (e->n < 0) {
    e->n = (int)th__access_gather(t, p->set);
    if (e->n <= TH__INLINE_VARS) memcpy(e->few, p->set, (size_t)e->n * sizeof *p->set);
  }
  e->set = e->few;
  e->ready = p->set;
  p->task.reads = p->task.writes = NULL;
}

static bool copy_arg(th_prepared *p, const th_task *t) {
  if (t->arg_size == 0) return true;
  void *arg = th__alloc(t->arg_size);
  if (arg == NULL) return false;
  memcpy(arg, t->arg, t->arg_size);
  p->task.arg = arg;
  return true;
}

th_prepared *th_prepare(const th_task *task) {
  if (task == NULL) return th__fail_null(TH_EINVAL, "prepare: task is NULL");
  if (task->flags & TH_TASK_ADOPT)
    return th__fail_null(TH_EINVAL, "prepare: %s would hand over its argument more than once",
                         task->name ? task->name : "task");
  if (th__engine_ensure() != TH_OK) return NULL;
  th__thread *self = th__self();
  th__entry e = {0};
  if (self == NULL || th__entry_check(self, task, &e) != TH_OK) return NULL;
  size_t more = e.n < 0 ? task->n_reads + task->n_writes : 0;
  th_prepared *p = th__alloc(sizeof *p + more * sizeof *p->set);
  if (p == NULL) return NULL;
  p->task = *task;
  p->entry = e;
  p->epoch = th__the.epoch;
  if (!copy_arg(p, task)) {
    th__free(p);
    return NULL;
  }
  settle_set(p, task);
  for (int i = 0; i < p->entry.n; i++) (void)th_var_retain(TH__ACCESS_VAR(set_of(p)[i]));
  (void)th_group_retain(p->task.group);
  return p;
}

th_status th_push_prepared(const th_prepared *p) {
  if (p == NULL) return th__fail(TH_EINVAL, "push_prepared: prepared is NULL");
  if (__builtin_expect(th__load(&th__the.phase, TH__ACQUIRE) != TH__PHASE_ON, 0))
    TH_TRY(th__engine_ensure());
  if (p->epoch != th__the.epoch)
    return th__fail(TH_EFORK, "push_prepared: %s was prepared for an engine that was left",
                    p->task.name ? p->task.name : "task");
  th__thread *self = th__self();
  if (__builtin_expect(self == NULL, 0)) return TH_ENOMEM;
  th__entry e = p->entry;
  e.set = e.few;
  return th__entry_push(self, &p->task, &e);
}

void th_prepared_free(th_prepared *p) {
  if (p == NULL) return;
  for (int i = 0; i < p->entry.n; i++) th_var_release(TH__ACCESS_VAR(set_of(p)[i]));
  th_group_release(p->task.group);
  if (p->task.arg_size > 0) th__free((void *)(uintptr_t)p->task.arg);
  th__free(p);
}
