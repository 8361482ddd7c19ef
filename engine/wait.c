/* Owns waiting: for one task, one variable, everything. A waiter helps, then spins, then parks on the task's `wake` word; the
 * flag in the claim word makes the finisher wake it. */
#include "engine/parts.h"
#include "engine/trace.h"

#define SPIN_NS       50000
#define PARK_FIRST_NS 1000000
#define PARK_MOST_NS                                                                               \
  8000000 /* a parked waiter looks again: something it may run may have become ready */

static bool spin(th__ref target, int64_t deadline) {
  int64_t end = th__now_ns() + SPIN_NS;
  if (deadline >= 0 && end > deadline) end = deadline;
  do {
    for (int i = 0; i < 64; i++) {
      if (th__ref_finished(target)) return true;
      th__pause();
    }
  } while (th__now_ns() < end);
  return th__ref_finished(target);
}

/* Sleeps until target finishes or the time is over. */
static void park(th__thread *self, th__ref target, int64_t ns) {
  th__task *t = th__task_at(TH__REF_SLOT(target));
  uint32_t wake = th__load(&t->wake, TH__ACQUIRE);
  uint64_t word = th__load(&t->claim, TH__ACQUIRE);
  do {
    if (word >> 32 != TH__REF_GENERATION(target)) return;
    /* seq_cst: the finisher's exchange of this word comes later and sees the flag, or we saw the new generation. */
  } while (!th__cas_weak(&t->claim, &word, word | TH__HAS_WAITERS, TH__SEQ_CST));
  if (th__ref_finished(target)) return;
  th__park(&t->wake, wake, ns);
}

/* In shuffle mode sync points run what is ready, in seeded order, until the target is done. */
static bool shuffle_until(th__thread *self, th__ref target) {
  while (!th__ref_finished(target))
    if (!th__shuffle_step(self)) return th__ref_finished(target);
  return true;
}

th_status th__wait_ref(th__thread *self, th__ref target, int64_t deadline, bool help) {
  int64_t park_ns = PARK_FIRST_NS;
  bool raised = false;
  th_status status = TH_OK;
  if (th__ref_finished(target)) return TH_OK;
  if (self->issuing > 0) /* the lane would wait for itself */
    return th__fail(TH_EDEADLK, "wait: inside the body of a task on a lane");
  uint64_t outer = th__load(&self->waiting_for, TH__RELAXED);
  if (self->frame != NULL) th__store(&self->waiting_for, target, TH__SEQ_CST);
  while (!th__ref_finished(target)) {
    bool shuffle = help && th__the.mode == TH__MODE_SHUFFLE && self->frame == NULL;
    if (shuffle && shuffle_until(self, target)) break;
    if (help && !shuffle) {
      th__help_result r = th__help(self, target);
      if (r == TH__HELP_DEADLOCK) {
        status = th__fail(TH_EDEADLK, "wait: task %llu waits for the one that is running here",
                          (unsigned long long)th__load(&th__task_at(TH__REF_SLOT(target))->sequence,
                                                       TH__RELAXED));
        break;
      }
      if (r == TH__HELP_DONE) break;
    }
    if (spin(target, deadline)) break;
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
    park(self, target, ns);
    if (park_ns < PARK_MOST_NS) park_ns *= 2;
  }
  if (self->frame != NULL) th__store(&self->waiting_for, outer, TH__SEQ_CST);
  return status;
}

/* Counts and traces a wait of the program. */
static void count_wait(const char *where, uint64_t begin, int64_t began_ns) {
  th__fetch_add(&th__the.host_waits, 1, TH__RELAXED);
  th__fetch_add(&th__the.host_wait_ns, (uint64_t)(th__now_ns() - began_ns), TH__RELAXED);
  if (th__trace_on(TH_PROFILE_WAITS)) th__trace_host_wait(where, begin, th__ticks());
}

/* The unfinished accesses of v, at most max; more readers than that are asked for again by the caller. */
static int unfinished(th_var *v, bool readers_too, th__ref *out, int max) {
  int n = 0;
  th__spin_lock(&v->lock);
  if (!th__ref_finished(v->last_writer)) out[n++] = v->last_writer;
  for (uint32_t i = 0; readers_too && i < v->n_readers && n < max; i++)
    if (!th__ref_finished(v->readers[i])) out[n++] = v->readers[i];
  th__spin_unlock(&v->lock);
  return n;
}

th_status th__wait_var_at(th_var *v, bool readers_too, int64_t timeout_ns, const char *where) {
  if (v == NULL) return th__fail(TH_EINVAL, "%s: variable is NULL", where);
  TH_TRY(th__engine_ensure());
  if (v->epoch != th__the.epoch)
    return th__fail(TH_EFORK, "%s: made by an engine that was left", where);
  th__ref refs[130]; /* the writer and all readers a variable keeps */
  int n = unfinished(v, readers_too, refs, 130);
  if (n > 0) {
    th__thread *self = th__self();
    if (self == NULL) return TH_ENOMEM;
    if (timeout_ns == 0) return th__fail(TH_ETIMEDOUT, "%s: not ready", where);
    int64_t began = th__now_ns(), deadline = timeout_ns < 0 ? -1 : began + timeout_ns;
    uint64_t begin = th__trace_on(TH_PROFILE_WAITS) ? th__ticks() : 0;
    th_status status = TH_OK;
    for (int i = 0; i < n && status == TH_OK; i++)
      status = th__wait_ref(self, refs[i], deadline, timeout_ns < 0);
    if (self->frame == NULL) count_wait(where, begin, began);
    TH_TRY(status);
  }
  return th__var_error(v);
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
  th__spin_lock(&v->lock);
  th__ref target = v->last_writer;
  th__spin_unlock(&v->lock);
  if (th__load(flag, TH__ACQUIRE) != 0 || th__ref_finished(target)) return TH_OK;
  if (self->issuing > 0)
    return th__fail(TH_EDEADLK, "%s: inside the body of a task on a lane", where);
  int64_t began = th__now_ns(), ns = PARK_FIRST_NS;
  uint64_t begin = th__trace_on(TH_PROFILE_WAITS) ? th__ticks() : 0;
  uint64_t outer = th__load(&self->waiting_for, TH__RELAXED);
  if (self->frame != NULL) th__store(&self->waiting_for, target, TH__SEQ_CST);
  while (status == TH_OK && th__load(flag, TH__ACQUIRE) == 0 && !th__ref_finished(target)) {
    status = flag_round(self, target, flag, ns);
    if (ns < PARK_MOST_NS) ns *= 2;
  }
  if (self->frame != NULL) th__store(&self->waiting_for, outer, TH__SEQ_CST);
  if (self->frame == NULL) count_wait(where, begin, began);
  return status;
}

th_status th_wait_var(th_var *v) { return th__wait_var_at(v, false, -1, "th_wait_var"); }
th_status th_wait_var_idle(th_var *v) { return th__wait_var_at(v, true, -1, "th_wait_var_idle"); }
th_status th_wait_var_for(th_var *v, int64_t timeout_ns) {
  return th__wait_var_at(v, false, timeout_ns < 0 ? 0 : timeout_ns, "th_wait_var_for");
}

bool th_var_is_ready(th_var *v) {
  th__ref ref;
  return v != NULL && (th__the.epoch != v->epoch || unfinished(v, false, &ref, 1) == 0);
}

/* Runs anything that is ready. */
static void help_all(th__thread *self) {
  th__fetch_add(&th__the.active, 1, TH__SEQ_CST);
  if (th__the.mode == TH__MODE_SHUFFLE) {
    while (th__shuffle_step(self)) continue;
  } else {
    th__ref ref;
    while ((ref = th__take_any(self)) != 0) th__run_ref(self, ref);
  }
  th__fetch_sub(&th__the.active, 1, TH__SEQ_CST);
}

/* Walks all records once: what is live and was submitted before is waited for; what comes into a passed slot later is newer.
 * device < 0: of any device. */
static void wait_records(th__thread *self, int device) {
  uint64_t last = th__load(&th__the.sequence, TH__SEQ_CST);
  uint32_t used = th__slots_used();
  for (uint32_t s = 0; s < used; s++) {
    th__task *t = th__task_at(s);
    for (;;) {
      uint64_t word = th__load(&t->claim, TH__ACQUIRE);
      if ((word & 0xff) == TH__FREE) break;
      if (th__load(&t->sequence, TH__RELAXED) > last) break;
      if (device >= 0 && th__load(&t->device, TH__RELAXED) != device) break;
      if (device < 0) help_all(self); /* else: only what the device's tasks depend on */
      if (device < 0 && th__in_flight() == 0) return;
      if (th__ref_finished(TH__REF(word >> 32, s))) continue;
      th__wait_ref(self, TH__REF(word >> 32, s), -1, true);
    }
  }
}

static th_status wait_many(const char *where, int device) {
  th__thread *self = th__self();
  if (self == NULL) return TH_ENOMEM;
  if (self->frame != NULL)
    return th__fail(TH_EDEADLK, "%s: inside a task, which it would wait for", where);
  if (th__in_flight() == 0) return TH_OK;
  int64_t began = th__now_ns();
  uint64_t begin = th__trace_on(TH_PROFILE_WAITS) ? th__ticks() : 0;
  if (device < 0) help_all(self);
  if (th__in_flight() != 0) wait_records(self, device);
  count_wait(where, begin, began);
  return TH_OK;
}

th_status th_wait_all(void) {
  TH_TRY(th__engine_ensure());
  TH_TRY(wait_many("th_wait_all", -1));
  int64_t keep = (th__the.config.max_ops > 0 ? th__the.config.max_ops : 8192) + 8192;
  if (keep < th__slots_used()) {
    th__slots_flush(th__self()); /* what this thread keeps aside may be the last of a chunk */
    th__slots_trim((uint32_t)keep);
  }
  th__devices_trim();
  return th__failures_collect();
}

th_status th_wait_device(th_device d) {
  TH_TRY(th__engine_ensure());
  th__pool_device *device;
  TH_TRY(th__device_at(d, &device));
  return wait_many("th_wait_device", device->index);
}
