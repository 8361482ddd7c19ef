/* Owns waiting: for one task, one variable, everything. A waiter helps, then spins, then sets the flag in the word that finishing
 * exchanges and parks on that word's generation; the flag makes the finisher wake it. */
#include "engine/parts.h"
#include "engine/trace.h"

#define SPIN_NS       50000
#define EVERYTHING_NS 1000000 /* of work before a wait for everything looks at single tasks */
#define SOME          64      /* tasks between two looks whether all is done */
#define PARK_FIRST_NS 100000  /* after it found something to run; then it doubles */
#define PARK_MOST_NS  8000000 /* then it looks again: something it may run may have become ready */

/* Until target has finished, or there may be something to run again, for a short while. True: look again. */
static bool spin(th__thread *self, th__ref target, int64_t deadline, bool help) {
  int64_t end = th__now_ns() + SPIN_NS;
  if (deadline >= 0 && end > deadline) end = deadline;
  do {
    for (int i = 0; i < 64; i++) {
      if (th__ref_finished(target) || (help && th__help_again(self))) return true;
      th__pause();
    }
  } while (th__now_ns() < end);
  return th__ref_finished(target);
}

/* The half of done_list that holds the generation: what waiters park on. */
static _Atomic uint32_t *generation_word(th__task *t) {
  uint32_t one = 1;
  bool little = *(char *)&one == 1;
  return (_Atomic uint32_t *)(void *)&t->done_list + (little ? 1 : 0);
}

void th__unpark_waiters(th__task *t) { th__unpark(generation_word(t), INT32_MAX); }

/* Sleeps until target finishes or the time is over. */
static void park(th__ref target, int64_t ns) {
  th__task *t = th__task_at(TH__REF_SLOT(target));
  uint64_t list = th__load(&t->done_list, TH__ACQUIRE);
  do {
    if (list >> 32 != TH__REF_GENERATION(target)) return;
    /* The finisher's exchange of this very word comes later and sees the flag. */
  } while (!th__cas_weak(&t->done_list, &list, list | TH__WAITERS, TH__ACQ_REL));
  th__park(generation_word(t), TH__REF_GENERATION(target), ns);
}

/* In shuffle mode sync points run what is ready, in seeded order, until the target is done. */
static bool shuffle_until(th__thread *self, th__ref target) {
  while (!th__ref_finished(target))
    if (!th__shuffle_step(self)) return th__ref_finished(target);
  return true;
}

/* A body that waits says so: for who follows what waits for what, and for who judges a shortage of memory. Returns what was said
 * before. */
static th__ref body_waits(th__thread *self, th__ref target) {
  th__ref outer = th__load(&self->waiting_for, TH__RELAXED);
  if (self->frame == NULL) return outer;
  th__store(&self->waiting_for, target, TH__SEQ_CST);
  th__fetch_or(&th__task_at(TH__REF_SLOT(self->frame->task))->word, TH__BLOCKED, TH__SEQ_CST);
  return outer;
}

static void body_goes_on(th__thread *self, th__ref outer) {
  if (self->frame == NULL) return;
  th__fetch_and(&th__task_at(TH__REF_SLOT(self->frame->task))->word, ~(uint64_t)TH__BLOCKED,
                TH__SEQ_CST);
  th__store(&self->waiting_for, outer, TH__SEQ_CST);
}

/* At most `most` tasks. False: nothing was ready. */
static bool run_some(th__thread *self, uint32_t most) {
  th__switch saved;
  th__switch_enter(&saved);
  self->tick = 0;
  bool any =
      th__the.mode == TH__MODE_SHUFFLE ? th__shuffle_step(self) : th__run_ready(self, most) > 0;
  th__switch_leave(&saved);
  return any;
}

void th__run_everything(th__thread *self) {
  while (run_some(self, UINT32_MAX)) continue;
}

/* Until target (0: everything) is done, or nothing was ready for a short while, in which what others run mostly ends, makes
 * something ready or invites to a loop. False: the latter. any: set when something was run. */
static bool work_until_idle(th__thread *self, th__ref target, bool *any) {
  int64_t now = th__now_ns(), end = now + SPIN_NS;
  /* Other threads may submit for ever what everything includes: who only waits for what came before has to look at records. */
  const int64_t last = target != 0 ? INT64_MAX : now + EVERYTHING_NS;
  while (target != 0 ? !th__ref_finished(target) : th__in_flight() > 0) {
    bool ran = run_some(self, SOME);
    *any |= ran;
    now = th__now_ns();
    if (ran) end = now + SPIN_NS;
    if (now >= end || now >= last) return false;
    for (int i = 0; !ran && i < 4; i++) th__pause(); /* looking takes lines from those who work */
  }
  return true;
}

static th_status fail_deadlock(th__ref target) {
  const th__task *t = th__task_at(TH__REF_SLOT(target));
  return th__fail(TH_EDEADLK, "wait: task %llu waits for the one that is running here",
                  (unsigned long long)th__load(&t->sequence, TH__RELAXED));
}

/* May be run by a waiter: nothing, what target depends on, anything. */
typedef enum { NOTHING, ANCESTORS, ANYTHING } helping;

static th_status wait_ref(th__thread *self, th__ref target, int64_t deadline, helping helps) {
  bool help = helps != NOTHING;
  int64_t park_ns = PARK_FIRST_NS;
  bool raised = false;
  th_status status = TH_OK;
  if (th__ref_finished(target)) return TH_OK;
  if (self->issuing > 0) /* the lane would wait for itself */
    return th__fail(TH_EDEADLK, "wait: inside the body of a task on a lane");
  th__ref outer = body_waits(self, target);
  while (!th__ref_finished(target)) {
    bool found = false;
    bool shuffle = help && th__the.mode == TH__MODE_SHUFFLE && self->frame == NULL;
    if (shuffle && shuffle_until(self, target)) break;
    if (helps == ANYTHING && work_until_idle(self, target, &found)) break;
    if (help && !shuffle) {
      th__help_result r = th__help(self, target);
      if (r == TH__HELP_DEADLOCK) status = fail_deadlock(target);
      if (r != TH__HELP_STUCK) break;
    }
    bool again = spin(self, target, deadline, help && !shuffle);
    if (again || found) park_ns = PARK_FIRST_NS;
    if (again) continue;
    int64_t now = th__now_ns();
    if (deadline >= 0 && now >= deadline) {
      status = th__fail(TH_ETIMEDOUT, "wait: timed out");
      break;
    }
    if (!raised) th__raise(self, target);
    raised = true;
    th__starved_idle(self);
    int64_t ns = help ? park_ns : -1;
    if (deadline >= 0 && (ns < 0 || deadline - now < ns)) ns = deadline - now;
    park(target, ns);
    if (park_ns < PARK_MOST_NS) park_ns *= 2;
  }
  body_goes_on(self, outer);
  return status;
}

th_status th__wait_ref(th__thread *self, th__ref target, int64_t deadline, bool help) {
  return wait_ref(self, target, deadline, help ? ANCESTORS : NOTHING);
}

/* Counts and traces a wait of the program. */
static void count_wait(th__thread *self, const char *where, uint64_t began) {
  uint64_t now = th__ticks();
  th__count(&self->host_waits, 1);
  th__count(&self->host_wait_ticks, now - began);
  if (th__trace_on(TH_PROFILE_WAITS)) th__trace_host_wait(where, began, now);
}

/* The unfinished accesses of v. out: room for TH__MOST_ACCESSES, or for one without the readers. */
static int unfinished(th__thread *self, th_var *v, bool readers_too, th__ref *out) {
  int n = 0;
  th__ref writer = th__load(&v->last_writer, TH__ACQUIRE);
  if (!readers_too) { /* needs no lock: a writer that enters now is not waited for */
    if (!th__ref_finished(writer)) out[n++] = writer;
    return n;
  }
  th__spin_lock(&v->lock);
  th__var_fold(self, v, false);
  writer = th__load(&v->last_writer, TH__RELAXED);
  if (!th__ref_finished(writer)) out[n++] = writer;
  for (uint32_t i = 0; i < v->n_readers; i++)
    if (!th__ref_finished(v->readers[i])) out[n++] = v->readers[i];
  th__spin_unlock(&v->lock);
  return n;
}

static th_status wait_refs(th__thread *self, const th__ref *refs, int n, int64_t timeout_ns,
                           const char *where) {
  if (timeout_ns == 0) return th__fail(TH_ETIMEDOUT, "%s: not ready", where);
  int64_t deadline = th__deadline_ns(timeout_ns);
  uint64_t began = th__ticks();
  th_status status = TH_OK;
  for (int i = 0; i < n && status == TH_OK; i++)
    status = th__wait_ref(self, refs[i], deadline, timeout_ns < 0);
  if (self->frame == NULL) count_wait(self, where, began);
  return status;
}

static th_status wait_accesses(th_var *v, bool readers_too, int64_t timeout_ns, const char *where) {
  th__ref refs[TH__MOST_ACCESSES];
  th__thread *self = th__self(); /* before v's lock is taken, see sole.h */
  if (self == NULL) return TH_ENOMEM;
  int n = unfinished(self, v, readers_too, refs);
  return n == 0 ? TH_OK : wait_refs(self, refs, n, timeout_ns, where);
}

th_status th__wait_var_at(th_var *v, bool readers_too, int64_t timeout_ns, const char *where) {
  if (v == NULL) return th__fail(TH_EINVAL, "%s: variable is NULL", where);
  TH_TRY(th__engine_ensure());
  if (v->epoch != th__the.epoch)
    return th__fail(TH_EFORK, "%s: made by an engine that was left", where);
  if (readers_too || !th__ref_finished(th__load(&v->last_writer, TH__ACQUIRE)))
    TH_TRY(wait_accesses(v, readers_too, timeout_ns, where));
  return th__load(&v->error, TH__ACQUIRE) == NULL ? TH_OK : th__var_error(v);
}

/* One round of work on what target waits for, then a nap on flag. */
static th_status flag_round(th__thread *self, th__ref target, _Atomic uint32_t *flag, int64_t ns) {
  if (th__the.mode == TH__MODE_SHUFFLE && self->frame == NULL) {
    if (th__shuffle_step(self)) return TH_OK;
  } else if (th__help(self, target) == TH__HELP_DEADLOCK) {
    return th__fail(TH_EDEADLK, "wait: for the task that is running here");
  }
  if (th__load(flag, TH__ACQUIRE) != 0 || th__ref_finished(target)) return TH_OK;
  th__raise(self, target);
  th__starved_idle(self);
  th__park(flag, 0, ns);
  return TH_OK;
}

th_status th__wait_flag_at(th_var *v, _Atomic uint32_t *flag, const char *where) {
  th_status status = th__engine_ensure();
  th__thread *self = status == TH_OK ? th__self() : NULL;
  if (self == NULL) return status == TH_OK ? TH_ENOMEM : status;
  th__ref target = th__load(&v->last_writer, TH__ACQUIRE);
  if (th__load(flag, TH__ACQUIRE) != 0 || th__ref_finished(target)) return TH_OK;
  if (self->issuing > 0)
    return th__fail(TH_EDEADLK, "%s: inside the body of a task on a lane", where);
  int64_t ns = PARK_FIRST_NS;
  uint64_t began = th__ticks();
  th__ref outer = body_waits(self, target);
  while (status == TH_OK && th__load(flag, TH__ACQUIRE) == 0 && !th__ref_finished(target)) {
    status = flag_round(self, target, flag, ns);
    if (ns < PARK_MOST_NS) ns *= 2;
  }
  body_goes_on(self, outer);
  if (self->frame == NULL) count_wait(self, where, began);
  return status;
}

th_status th_wait_var(th_var *v) {
  bool ready = v != NULL && th__load(&th__the.phase, TH__ACQUIRE) == TH__PHASE_ON &&
               v->epoch == th__the.epoch &&
               th__ref_finished(th__load(&v->last_writer, TH__ACQUIRE)) &&
               th__load(&v->error, TH__ACQUIRE) == NULL;
  return __builtin_expect(ready, 1) ? TH_OK : th__wait_var_at(v, false, -1, "th_wait_var");
}
th_status th_wait_var_idle(th_var *v) { return th__wait_var_at(v, true, -1, "th_wait_var_idle"); }
th_status th_wait_var_for(th_var *v, int64_t timeout_ns) {
  return th__wait_var_at(v, false, timeout_ns < 0 ? 0 : timeout_ns, "th_wait_var_for");
}

bool th_var_is_ready(th_var *v) {
  th__ref ref;
  return v != NULL && (th__the.epoch != v->epoch || unfinished(NULL, v, false, &ref) == 0);
}

/* Walks all records once: what is live and was submitted before is waited for; what comes into a passed slot later is newer.
 * device < 0: of any device. */
static void wait_records(th__thread *self, int device) {
  uint64_t last = th__load(&th__the.sequence, TH__SEQ_CST);
  uint32_t used = th__slots_used();
  for (uint32_t s = th__slots_from(0); s < used; s = th__slots_from(s + 1)) {
    th__task *t = th__task_at(s);
    for (;;) {
      uint64_t word = th__load(&t->word, TH__ACQUIRE);
      if (TH__WORD_PHASE(word) == TH__FREE) break;
      if (TH__WORD_PHASE(word) != TH__ENTERING && th__load(&t->sequence, TH__RELAXED) > last) break;
      if (device >= 0 && TH__PLACE_DEVICE(th__load(&t->place, TH__RELAXED)) != device) break;
      if (device < 0 && th__in_flight() == 0) return;
      if (th__ref_finished(TH__REF(word >> 32, s))) { /* its word follows in a moment */
        th__yield();
        continue;
      }
      /* Of a device: only what its tasks depend on is run here. */
      (void)wait_ref(self, TH__REF(word >> 32, s), -1, device < 0 ? ANYTHING : ANCESTORS);
    }
  }
}

static th_status wait_many(const char *where, int device) {
  th__thread *self = th__self();
  if (self == NULL) return TH_ENOMEM;
  if (self->frame != NULL)
    return th__fail(TH_EDEADLK, "%s: inside a task, which it would wait for", where);
  if (th__in_flight() == 0) return TH_OK;
  bool any = false;
  uint64_t began = th__ticks();
  if (device >= 0 || !work_until_idle(self, 0, &any)) wait_records(self, device);
  count_wait(self, where, began);
  return TH_OK;
}

th_status th_wait_all(void) {
  TH_TRY(th__engine_ensure());
  TH_TRY(wait_many("th_wait_all", -1));
  int64_t limit = th__the.config.max_ops > 0 ? th__the.config.max_ops : 8192;
  int64_t keep = limit < TH__SLOTS ? limit + 8192 : TH__SLOTS;
  if (keep < th__slots_used()) {
    th__slots_flush(th__self()); /* what this thread keeps aside may be the last of a chunk */
    th__slots_trim((uint32_t)keep);
  }
  th__deque_trim(&th__self()->deque);
  th__devices_trim();
  return th__failures_collect();
}

th_status th_wait_device(th_device d) {
  TH_TRY(th__engine_ensure());
  th__pool_device *device;
  TH_TRY(th__device_at(d, &device));
  return wait_many("th_wait_device", device->index);
}
