/* Owns submission: checks, the access set, atomic entry into all its variables, and the public push calls. The locks of the
 * whole set are taken in address order, so crossing sets cannot deadlock; the sequence number is given while they are
 * held, so it agrees with the order in every variable. */
#include <string.h>

#include "engine/parts.h"
#include "engine/trace.h"

#define STACK_SET 16

static th_status check(const th_task *t) {
  const char *name = t->name ? t->name : "task";
  if (t->run == NULL) return th__fail(TH_EINVAL, "push: %s has no body", name);
  if ((t->arg == NULL && t->arg_size > 0) || (t->reads == NULL && t->n_reads > 0) ||
      (t->writes == NULL && t->n_writes > 0))
    return th__fail(TH_EINVAL, "push: %s has a count without a list", name);
  if (t->n_reads + t->n_writes > UINT16_MAX)
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

/* Sorts by address and merges duplicates; read and write of one variable become an access with both bits. */
static size_t gather(const th_task *t, th__access *set) {
  size_t n = 0;
  for (size_t i = 0; i < t->n_reads + t->n_writes; i++) {
    th__access a = i < t->n_reads ? (uintptr_t)t->reads[i] | TH__ACCESS_READ
                                  : (uintptr_t)t->writes[i - t->n_reads] | TH__ACCESS_WRITE;
    uintptr_t address = a & ~(uintptr_t)3;
    size_t at = n;
    while (at > 0 && (set[at - 1] & ~(uintptr_t)3) > address) at--;
    if (at > 0 && (set[at - 1] & ~(uintptr_t)3) == address) {
      set[at - 1] |= a;
      continue;
    }
    memmove(set + at + 1, set + at, (n - at) * sizeof *set);
    set[at] = a;
    n++;
  }
  return n;
}

/* Enters all variables of the set at once. Returns the number of predecessors that were linked. */
static uint32_t enter(th__thread *self, th__task *task) {
  size_t n = task->n_vars;
  const th__access *vars = th__task_vars(task);
  for (size_t i = 0; i < n; i++) th__spin_lock(&TH__ACCESS_VAR(vars[i])->lock);
  uint64_t sequence = th__fetch_add(&th__the.sequence, 1, TH__RELAXED) + 1;
  th__store(&task->sequence, sequence, TH__RELAXED);
  if (!(task->flags & TH_TASK_INTERNAL)) {
    self->last_sequence = sequence;
    self->sequences++;
  }
  uint32_t made = 0;
  for (size_t i = 0; i < n; i++)
    made += th__var_enter(self, TH__ACCESS_VAR(vars[i]), task, vars[i] & TH__ACCESS_WRITE);
  for (size_t i = n; i-- > 0;) th__spin_unlock(&TH__ACCESS_VAR(vars[i])->lock);
  return made;
}

static uint8_t class_of(int priority) {
  if (priority < 0) return 0;
  return (uint8_t)(priority > 2 ? TH__CLASS_URGENT : TH__CLASS_DEFAULT + priority);
}

/* Copies the access set and the argument. */
static th_status fill_blocks(th__task *r, const th_task *t, uint8_t *kind) {
  size_t most = t->n_reads + t->n_writes;
  th__access *vars = r->vars;
  if (most > TH__INLINE_VARS) {
    vars = th__alloc(most * sizeof *vars);
    if (vars == NULL) return TH_ENOMEM;
    r->vars[0] = (th__access)vars;
    *kind |= TH__HEAP_VARS;
  }
  r->n_vars = (uint16_t)gather(t, vars);
  r->arg = (void *)(uintptr_t)t->arg;
  if (t->flags & TH_TASK_ADOPT || t->arg_size == 0) return TH_OK;
  r->arg = th__task_side(r)->arg;
  if (t->arg_size > TH__INLINE_ARG) {
    r->arg = th__alloc(t->arg_size);
    if (r->arg == NULL) {
      if (*kind & TH__HEAP_VARS) th__free(vars);
      return TH_ENOMEM;
    }
    *kind |= TH__HEAP_ARG;
  }
  memcpy(r->arg, t->arg, t->arg_size);
  return TH_OK;
}

static th_status fill(th__task *r, const th_task *t, th__pool_device *device, uint32_t how) {
  uint8_t kind = (how & TH__SUBMIT_ASYNC ? TH__ASYNC : 0) |
                 (device->lanes != NULL ? TH__LANE_TASK : 0) |
                 (t->flags & TH_TASK_INTERNAL ? TH__INTERNAL : 0);
  TH_TRY(fill_blocks(r, t, &kind));
  uint64_t generation = (uint64_t)th__task_generation(r) << 32;
  r->run = t->run;
  r->drop = t->drop;
  r->name = t->name ? t->name : "task";
  r->flags = t->flags;
  r->priority = class_of(t->priority);
  r->bytes = t->bytes > 0 ? t->bytes : 0;
  r->status = TH_OK;
  r->lane = -1;
  th__store(&r->device, device->index, TH__RELAXED);
  th__store(&r->kind_flags, kind, TH__RELAXED);
  th__store(&r->n_links, 0, TH__RELAXED);
  th__store(&r->extension, 0, TH__RELAXED);
  th__store(&r->owner, NULL, TH__RELAXED);
  if (kind & TH__LANE_TASK) {
    th__store(&th__task_side(r)->point, 0, TH__RELAXED);
    th__store(&th__task_side(r)->issue_list, generation, TH__RELAXED);
  }
  if (kind & TH__ASYNC) th__task_side(r)->failure = NULL;
  th__store(&r->pending, TH__BIAS, TH__RELAXED);
  /* release: a waiter that reads this phase sees the fields above. */
  th__store(&r->claim, generation | (how & TH__SUBMIT_ASYNC ? TH__TOKEN_OPEN : 0) | TH__PENDING,
            TH__RELEASE);
  return TH_OK;
}

/* The task is ready already: runs it here when asked and allowed, else hands it on. */
static void start_ready(th__thread *self, th__task *r) {
  bool here = (r->flags & TH_TASK_INLINE) && th__the.config.inline_small &&
              th__the.mode == TH__MODE_THREADS && self->frame == NULL && self->worker < 0 &&
              !(th__load(&r->kind_flags, TH__RELAXED) & TH__LANE_TASK);
  if (!here) {
    th__publish(self, r);
    return;
  }
  th__fetch_add(&r->claim, TH__RUNNING - TH__PENDING, TH__ACQ_REL);
  th__run(self, r, 0, false);
}

/* Serial mode: the task runs inside the call, unless a body above waits for it to end first. The outermost call leaves nothing
 * ready behind. */
static void run_serial(th__thread *self, th__ref ref) {
  th__help(self, ref);
  if (self->frame != NULL) return;
  while ((ref = th__take_any(self)) != 0) th__run_ref(self, ref);
}

th_status th__submit(const th_task *t, uint32_t how, th__ref *out) {
  TH_TRY(th__engine_ensure());
  th__thread *self = th__self();
  if (self == NULL) return TH_ENOMEM;
  TH_TRY(check(t));
  th__pool_device *device;
  TH_TRY(th__device_at(t->device, &device));
  if (device->ops->caps & TH__CAP_NO_DATA)
    return th__fail(TH_EDEVICE, "push: %s: nothing can run on the meta device",
                    t->name ? t->name : "task");
  if (device->lanes != NULL && (how & TH__SUBMIT_ASYNC))
    return th__fail(TH_ENOSYS, "push_async: %s: tokens need a CPU device",
                    t->name ? t->name : "task");
  if (!(how & TH__SUBMIT_NO_LIMIT)) TH_TRY(th__admit(self, t->bytes, how & TH__SUBMIT_TRY));
  th__task *r = th__slot_take(self);
  if (r == NULL) return TH_ENOMEM;
  th_status status = fill(r, t, device, how);
  if (status != TH_OK) {
    th__slot_give(self, r);
    return status;
  }
  if (r->bytes > 0) th__fetch_add(&th__the.bytes, r->bytes, TH__RELAXED);
  th__count(&self->submitted, 1);
  if (th__trace_on(TH_PROFILE_OPS)) th__task_stamps(r)->submitted = th__ticks();
  th__ref ref = th__task_ref(r);
  if (out != NULL) *out = ref;
  uint32_t made = enter(self, r);
  if (made == 0) th__store(&r->pending, 0, TH__RELAXED); /* async tasks count on from 0 */
  /* acq_rel: what the last predecessor did is visible to whoever runs the task. */
  if (made == 0 || th__fetch_sub(&r->pending, TH__BIAS - made, TH__ACQ_REL) == TH__BIAS - made)
    start_ready(self, r);
  if (th__the.mode == TH__MODE_SERIAL) run_serial(self, ref);
  return TH_OK;
}

th_status th_push(const th_task *task) {
  if (task == NULL) return th__fail(TH_EINVAL, "push: task is NULL");
  return th__submit(task, 0, NULL);
}

th_status th_push_try(const th_task *task) {
  if (task == NULL) return th__fail(TH_EINVAL, "push_try: task is NULL");
  return th__submit(task, TH__SUBMIT_TRY, NULL);
}

th_status th_push_async(const th_task *task) {
  if (task == NULL) return th__fail(TH_EINVAL, "push_async: task is NULL");
  return th__submit(task, TH__SUBMIT_ASYNC, NULL);
}

uint64_t th__last_sequence(uint64_t *count) {
  th__thread *self = th__engine_ensure() == TH_OK ? th__self() : NULL;
  *count = self ? self->sequences : 0;
  return self ? self->last_sequence : 0;
}
