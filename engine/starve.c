/* Owns tasks that found no memory: they wait, oldest first, until some is freed. When no other task goes on that could free any, the
 * oldest gets a last chance: it looks again, and if there is none and nothing has moved meanwhile, it fails with TH_ENOMEM.
 * `lock` guards all state here, and TH__STARVING in the words. */
#include "engine/parts.h"
#include "engine/trace.h"

static th__spin lock;
static th__task *oldest; /* of a list by sequence that leads through the records' hints */
/* Of the last chance that was granted: one at a time, since its task does not stand still. */
static th__totals totals_then;
static bool freed_since;

static th__task *next_of(const th__task *t) {
  return t->hint == th__task_slot(t) ? NULL : th__task_at(t->hint);
}
static void set_next(th__task *t, const th__task *next) {
  t->hint = th__task_slot(next != NULL ? next : t);
}
static uint64_t sequence(const th__task *t) { return th__load(&t->sequence, TH__RELAXED); }

static void mark(th__task *task, bool last_chance) {
  uint8_t kind = th__load(&task->kind_flags, TH__RELAXED);
  kind = last_chance ? kind | TH__LAST_CHANCE : (uint8_t)(kind & ~TH__LAST_CHANCE);
  th__store(&task->kind_flags, kind, TH__RELAXED);
}

static void try_again(th__thread *self, th__task *task) {
  uint8_t place = th__load(&task->place, TH__RELAXED);
  /* From here on it is ready: somebody else may claim it. */
  uint64_t word = th__fetch_sub(&task->word, TH__RUNNING - TH__PENDING, TH__ACQ_REL);
  th__publish(self, TH__REF(TH__WORD_GENERATION(word), th__task_slot(task)),
              th__place_device(place), th__place_class(place, word));
}

void th__starve(th__thread *self, th__task *task) {
  th__stamps *stamps = th__task_stamps(task);
  if (th__trace_on(TH_PROFILE_OPS) && stamps->starved == 0) stamps->starved = th__ticks();
  th__spin_lock(&lock);
  th__task *before = NULL, *after = oldest;
  while (after != NULL && sequence(after) < sequence(task)) {
    before = after;
    after = next_of(after);
  }
  set_next(task, after);
  if (before == NULL) {
    oldest = task;
  } else {
    set_next(before, task);
  }
  th__fetch_or(&task->word, TH__STARVING, TH__RELAXED);
  th__fetch_add(&th__the.starved, 1, TH__SEQ_CST);
  th__spin_unlock(&lock);
}

/* Under lock. The oldest, which goes on from here. */
static th__task *take_oldest(void) {
  th__task *task = oldest;
  if (task == NULL) return NULL;
  oldest = next_of(task);
  th__fetch_and(&task->word, ~(uint64_t)TH__STARVING, TH__RELAXED);
  return task;
}

void th__starved_retry(th__thread *self) {
  th__spin_lock(&lock);
  freed_since = true;
  th__task *task = take_oldest();
  if (task != NULL) th__fetch_sub(&th__the.starved, 1, TH__SEQ_CST);
  th__spin_unlock(&lock);
  if (task != NULL) try_again(self, task);
}

/* Whether a pending task waits for others: for a task that has not finished, for memory, or for a token. */
static bool stands_still(th__task *task, uint64_t word) {
  switch (TH__WORD_PHASE(word)) {
  case TH__PENDING: /* whose predecessors are all done is being handed on */
    return !TH__WORD_READY(word) &&
           th__blocker(TH__REF(TH__WORD_GENERATION(word), th__task_slot(task))) != 0;
  case TH__RUNNING: /* an async body that has returned counts as one arrival */
    return (word & (TH__BLOCKED | TH__STARVING)) ||
           ((word & TH__TOKEN_OPEN) && TH__WORD_PREDS(word) > 0);
  default: return false;
  }
}

/* Under lock. Whether all tasks in flight, but one, stand still. seen: how many there are. */
static bool each_stands_still(const th__task *but, uint64_t *seen) {
  *seen = 0;
  for (uint32_t s = th__slots_from(0), used = th__slots_used(); s < used;
       s = th__slots_from(s + 1)) {
    th__task *task = th__task_at(s);
    uint64_t word = th__load(&task->word, TH__ACQUIRE);
    if (TH__WORD_PHASE(word) == TH__FREE || TH__WORD_PHASE(word) == TH__JOIN) continue;
    if (task != but && !stands_still(task, word)) return false;
    ++*seen;
  }
  return true;
}

/* Under lock. The same, for one moment: none begins or ends meanwhile, and none is missing. One that is missing is just ending, and hands on what
 * was seen waiting for it: then another look tells, since who ends it may have decided before that nobody starves. Whoever
 * decided so did it behind a light fence: all that it did before is seen here. */
static bool all_stand_still(const th__task *but, th__totals *totals) {
  th__fence_heavy();
  for (uint64_t seen;; th__yield()) {
    *totals = th__totals_now();
    if (!each_stands_still(but, &seen)) return false;
    th__totals now = th__totals_now();
    if (seen == now.submitted - now.completed && th__totals_equal(&now, totals)) return true;
  }
}

/* Where no worker comes for what lies ready, the waiting thread runs it. */
static bool run_something(th__thread *self) {
  bool none_comes = th__the.config.workers == TH_NO_WORKERS || th__the.mode == TH__MODE_SERIAL;
  th__ref ref = none_comes && th__the.mode != TH__MODE_SHUFFLE ? th__take_any(self) : 0;
  if (ref == 0) return false;
  th__switch saved;
  th__switch_enter(&saved);
  self->tick = 0;
  th__run_ref(self, ref);
  th__switch_leave(&saved);
  return true;
}

bool th__starved_idle(th__thread *self) {
  th__fence_light();
  if (th__load(&th__the.starved, TH__SEQ_CST) == 0 || run_something(self)) return false;
  th__spin_lock(&lock);
  th__totals totals;
  th__task *task = all_stand_still(NULL, &totals) ? take_oldest() : NULL;
  if (task != NULL) {
    totals_then = totals;
    freed_since = false;
    mark(task, true);
  }
  th__spin_unlock(&lock);
  if (task != NULL) try_again(self, task);
  return task != NULL;
}

bool th__last_chance(const th__task *task) {
  if (!(th__load(&task->kind_flags, TH__RELAXED) & TH__LAST_CHANCE)) return false;
  th__spin_lock(&lock);
  th__totals totals;
  bool still =
      !freed_since && all_stand_still(task, &totals) && th__totals_equal(&totals, &totals_then);
  th__spin_unlock(&lock);
  return still;
}

void th__last_chance_over(th__task *task) {
  mark(task, false);
  th__fetch_sub(&th__the.starved, 1, TH__SEQ_CST);
}

void th__memory_freed(void) {
  if (th__load(&th__the.starved, TH__RELAXED) == 0) return;
  if (th__load(&th__the.phase, TH__ACQUIRE) != TH__PHASE_ON) return;
  th__thread *self = th__self();
  if (self != NULL) th__starved_retry(self);
}

void th__starve_forget(void) {
  oldest = NULL;
  lock = (th__spin){0};
}
