/* Owns groups of tasks that are canceled together. A task holds its group until it begins; who runs it looks at the mark once,
 * just before the body, so canceling touches no task. Nothing is locked. */
#include "engine/parts.h"

struct th_group {
  _Atomic uint32_t refs; /* handles, and tasks that have not begun */
  _Atomic uint32_t canceled;
};

th_group *th_group_new(void) {
  if (th__engine_ensure() != TH_OK) return NULL;
  th_group *g = th__zalloc(sizeof *g);
  if (g != NULL) th__store(&g->refs, 1, TH__RELAXED);
  return g;
}

th_group *th_group_retain(th_group *g) {
  if (g != NULL) th__fetch_add(&g->refs, 1, TH__RELAXED);
  return g;
}

void th_group_release(th_group *g) {
  /* acq_rel: what other holders did to g comes before its end. */
  if (g != NULL && th__fetch_sub(&g->refs, 1, TH__ACQ_REL) == 1) th__free(g);
}

th_status th_group_cancel(th_group *g) {
  if (g == NULL) return th__fail(TH_EINVAL, "group_cancel: group is NULL");
  /* seq_cst: written out before the call returns. Pairs with the load in th__group_leave(). */
  (void)th__exchange(&g->canceled, 1, TH__SEQ_CST);
  return TH_OK;
}

bool th_group_canceled(const th_group *g) {
  return g != NULL && th__load(&g->canceled, TH__ACQUIRE) != 0;
}

void th__group_join(th__task *task, th_group *group) {
  th__task_side(task)->group = th_group_retain(group);
  task->flags |= TH__GROUPED;
}

bool th__group_leave(th__task *task) {
  th_group *g = th__task_side(task)->group;
  task->flags &= (uint8_t)~TH__GROUPED;
  bool canceled = th_group_canceled(g) && !(task->flags & TH_TASK_ALWAYS);
  th_group_release(g);
  return canceled;
}

/* --- the group of a thread --- */

/* A nested body on a thread of the program starts with none. */
static void *put_aside(void) { return th_group_use(NULL); }
static void put_back(void *saved) { (void)th_group_use(saved); }

th_group *th_group_use(th_group *g) {
  if (th__engine_ensure() != TH_OK) return NULL;
  th__thread *self = th__self();
  if (self == NULL) return NULL;
  th_group *before = self->group;
  if (g == before) return before;
  if (th__engine_on_switch(put_aside, put_back) != TH_OK) return before;
  self->group = g;
  return before;
}
