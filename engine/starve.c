/* Owns tasks that found no memory: they wait, oldest first, until some is freed; when nothing else is running or ready that
 * could free any, the oldest gets a last chance, which fails with TH_ENOMEM. `lock` guards the list. */
#include "engine/parts.h"

static th__spin lock;
static th__task **list; /* sorted by sequence, oldest last */
static uint32_t count, capacity;

static uint64_t sequence(const th__task *t) { return th__load(&t->sequence, TH__RELAXED); }

bool th__task_last_chance(const th__task *task) {
  return th__load(&task->kind_flags, TH__RELAXED) & TH__LAST_CHANCE;
}

static void try_again(th__thread *self, th__task *task, bool last_chance) {
  uint8_t kind = th__load(&task->kind_flags, TH__RELAXED);
  kind = last_chance ? kind | TH__LAST_CHANCE : (uint8_t)(kind & ~TH__LAST_CHANCE);
  th__store(&task->kind_flags, kind, TH__RELAXED);
  th__fetch_sub(&task->claim, TH__RUNNING - TH__PENDING, TH__ACQ_REL);
  th__publish(self, task);
}

void th__starve(th__thread *self, th__task *task) {
  th__spin_lock(&lock);
  bool ok = count < capacity;
  if (!ok) {
    uint32_t bigger = capacity == 0 ? 64 : capacity * 2;
    th__task **p = th__resize(list, bigger * sizeof *p);
    if (p != NULL) {
      list = p;
      capacity = bigger;
      ok = true;
    }
  }
  if (ok) {
    uint32_t at = count++;
    for (; at > 0 && sequence(list[at - 1]) < sequence(task); at--) list[at] = list[at - 1];
    list[at] = task;
    th__fetch_add(&th__the.starved, 1, TH__SEQ_CST);
  }
  th__spin_unlock(&lock);
  if (!ok) try_again(self, task, true);
}

void th__starved_retry(th__thread *self, bool last_chance) {
  th__spin_lock(&lock);
  th__task *task = count > 0 ? list[--count] : NULL;
  if (task != NULL) th__fetch_sub(&th__the.starved, 1, TH__SEQ_CST);
  th__spin_unlock(&lock);
  if (task != NULL) try_again(self, task, last_chance);
}

void th__starved_idle(th__thread *self) {
  if (th__load(&th__the.starved, TH__SEQ_CST) == 0 || th__load(&th__the.active, TH__SEQ_CST) != 0)
    return;
  th__ref ref = self->frame == NULL && th__the.mode != TH__MODE_SHUFFLE ? th__take_any(self) : 0;
  if (ref != 0) {
    th__fetch_add(&th__the.active, 1, TH__SEQ_CST);
    th__run_ref(self, ref);
    th__fetch_sub(&th__the.active, 1, TH__SEQ_CST);
  } else {
    th__starved_retry(self, true);
  }
}

void th__memory_freed(void) {
  if (th__load(&th__the.starved, TH__RELAXED) == 0) return;
  if (th__load(&th__the.phase, TH__ACQUIRE) != TH__PHASE_ON) return;
  th__thread *self = th__self();
  if (self != NULL) th__starved_retry(self, false);
}

void th__starve_free(void) {
  th__free(list);
  th__starve_forget();
}

void th__starve_forget(void) {
  list = NULL;
  count = capacity = 0;
  lock = (th__spin){0};
}
