/* Owns submission: checks, the record, its entry into all its variables, and the public push calls. The sequence number is given
 * while the variables' locks are held, so it agrees with the order in every variable. */
#include <string.h>

#include "engine/access.h"
#include "engine/enter.h"
#include "engine/submit.h"
#include "engine/trace.h"

static const char *name_of(const th_task *t) { return t->name ? t->name : "task"; }

/* --- checks --- */

TH__INLINED th_status find_device(const th_task *t, uint32_t how, th__entry *e) {
  th__pool_device *d = th__device_if_open(t->device);
  if (__builtin_expect(d == NULL, 0)) {
    th__pool_device *opened;
    TH_TRY(th__device_find(t->device, &opened));
    d = opened;
  }
  e->device = d;
  if (__builtin_expect(d->ops->caps & TH__CAP_NO_DATA, 0))
    return th__fail(TH_EDEVICE, "push: %s: nothing can run on the meta device", name_of(t));
  if (__builtin_expect(d->lanes != NULL && (how & TH__SUBMIT_ASYNC), 0))
    return th__fail(TH_ENOSYS, "push_async: %s: tokens need a CPU device", name_of(t));
  return TH_OK;
}

static th_status check_body(const th_task *t) {
  if (t->run == NULL) return th__fail(TH_EINVAL, "push: %s has no body", name_of(t));
  if (t->arg == NULL && t->arg_size > 0)
    return th__fail(TH_EINVAL, "push: %s has a count without a list", name_of(t));
  return TH_OK;
}

/* --- filling the record --- */

static uint8_t class_of(int priority) {
  if (__builtin_expect(priority == 0, 1)) return TH__CLASS_DEFAULT;
  if (priority < 0) return 0;
  return (uint8_t)(priority > 2 ? TH__CLASS_URGENT : TH__CLASS_DEFAULT + priority);
}

static bool copies_arg(const th_task *t) { return t->arg_size > 0 && !(t->flags & TH_TASK_ADOPT); }

/* Copies the argument into the record, the side or a block. */
static th_status copy_arg(th__task *r, const th_task *t, uint8_t *kind_flags) {
  if (t->arg_size <= sizeof r->arg) {
    memcpy(&r->arg, t->arg, t->arg_size);
    return TH_OK;
  }
  r->arg = th__task_side(r)->arg;
  if (t->arg_size > TH__INLINE_ARG) {
    r->arg = th__alloc(t->arg_size);
    if (r->arg == NULL) return TH_ENOMEM;
    *kind_flags |= TH__HEAP_ARG;
  }
  memcpy(r->arg, t->arg, t->arg_size);
  return TH_OK;
}

/* A set that is too long for the record lies where the argument would, or in a block. NULL: out of memory. */
static th__access *place_set(th__task *r, const th_task *t, size_t n, uint8_t *kind_flags) {
  if (n <= TH__SIDE_VARS && !(copies_arg(t) && t->arg_size <= TH__INLINE_ARG))
    return (th__access *)(void *)th__task_side(r)->arg;
  *kind_flags |= TH__HEAP_VARS;
  return th__alloc(n * sizeof(th__access));
}

/* Places a set that was not gathered, or does not fit the record. A gathered one may turn out to be short. */
TH__APART th_status fill_set(th__task *r, const th_task *t, th__entry *e) {
  size_t n = e->n < 0 ? t->n_reads + t->n_writes : (size_t)e->n;
  th__access *more = place_set(r, t, n, &e->kind_flags);
  if (more == NULL) return TH_ENOMEM;
  if (e->n < 0) {
    e->n = (int)th__access_gather(t, more);
  } else {
    memcpy(more, e->ready, n * sizeof *more);
  }
  if (e->n > TH__INLINE_VARS) {
    e->set = more;
    return TH_OK;
  }
  memcpy(e->few, more, (size_t)e->n * sizeof *more);
  if (e->kind_flags & TH__HEAP_VARS) th__free(more);
  e->kind_flags &= (uint8_t)~TH__HEAP_VARS;
  return TH_OK;
}

static void trace_submitted(const th__task *r) {
  th__stamps *stamps = th__task_stamps(r);
  stamps->submitted = th__ticks();
  stamps->starved = 0;
  th__store(&stamps->ready, stamps->submitted, TH__RELAXED);
}

/* What only some tasks have beside their record. */
static void fill_side(th__thread *self, th__task *r, const th_task *t, uint8_t kind_flags) {
  th__side *side = th__task_side(r);
  if (kind_flags & TH__LANE_TASK) {
    th__store(&side->point, 0, TH__RELAXED);
    th__store(&side->issue_list, (uint64_t)th__task_generation(r) << 32, TH__RELAXED);
  }
  if (kind_flags & TH__ASYNC) side->failure = NULL;
  if (th__load(&r->kind, TH__RELAXED) == TH__KIND_BESIDE)
    side->kind = (th__kind){t->run, t->drop, name_of(t), false};
  th_group *group = th__group_of(self, t);
  if (group != NULL) th__group_join(r, group);
}

/* A number larger than that of every earlier access to the set, the newest of which is given. Threads take numbers in portions; one
 * that meets a larger number than its own goes on with a new portion, which is larger than all that were given before. */
TH__INLINED uint64_t next_sequence(th__thread *self, uint64_t newest, bool internal) {
  uint64_t sequence = self->next_sequence;
  if (__builtin_expect(sequence == self->sequence_end || newest >= sequence, 0)) {
    sequence = th__fetch_add(&th__the.sequence, TH__SEQUENCES, TH__RELAXED) + 1;
    self->sequence_end = sequence + TH__SEQUENCES;
  }
  self->next_sequence = sequence + 1;
  if (!internal) {
    self->last_sequence = sequence;
    self->sequences++;
  }
  return sequence;
}

/* The word of a task that enters, waiting for so many: while it waits for none, nobody but its submitter decides. */
TH__INLINED uint64_t first_word(th__ref ref, uint32_t before, uint8_t kind_flags) {
  return (uint64_t)TH__REF_GENERATION(ref) << 32 | before * TH__ONE |
         (before > 0 ? TH__PENDING : TH__ENTERING) | (kind_flags & TH__ASYNC ? TH__TOKEN_OPEN : 0);
}

/* Under the locks of its variables. before: how many accesses it waits for; they count it off by its word. */
TH__INLINED void fill(th__thread *self, const th_task *t, const th__entry *e, int n, th__ref ref,
                      uint32_t before, bool plain) {
  th__task *r = e->r;
  uint8_t class_ = plain ? TH__CLASS_DEFAULT : (uint8_t)e->class_;
  uint8_t kind_flags = plain ? 0 : e->kind_flags;
  if (plain || e->set == e->few) {
    TH__UNROLLED for (int i = 0; i < n; i++) th__store(&r->vars[i], e->few[i], TH__RELAXED);
  } else {
    th__store(&r->vars[0], (th__access)e->set, TH__RELAXED);
  }
  r->n_vars = (uint16_t)n;
  th__store(&r->kind, (uint16_t)e->kind, TH__RELAXED);
  r->flags = (uint8_t)((t->flags & TH__USER_FLAGS) |
                       (copies_arg(t) && t->arg_size <= sizeof r->arg ? TH__SMALL_ARG : 0));
  r->memory = th__memory_pack(t->bytes);
  r->status = TH_OK;
  r->lane = -1;
  th__store(&r->place, TH__PLACE(e->device->index, class_), TH__RELAXED);
  th__store(&r->kind_flags, kind_flags, TH__RELAXED);
  th__store(&r->owner, 0, TH__RELAXED);
  th__store(&r->n_links, 0, TH__RELEASE);
  th__store(&r->extension, 0, TH__RELEASE);
  if (!plain) fill_side(self, r, t, kind_flags);
  if (th__trace_on(TH_PROFILE_OPS)) trace_submitted(r);
  /* A waiter that reads it sees the fields above. */
  th__store(&r->word, first_word(ref, before, kind_flags), TH__RELEASE);
}

/* --- letting go --- */

/* Whether a task that is ready in the submitting call may run in it. */
TH__INLINED bool runs_here(const th__thread *self, const th_task *t,
                           const th__pool_device *device) {
  if (th__the.mode == TH__MODE_SERIAL) return device->lanes == NULL;
  return (t->flags & TH_TASK_INLINE) && th__the.config.inline_small && device->lanes == NULL &&
         th__the.mode == TH__MODE_THREADS && self->frame == NULL && self->worker < 0;
}

/* Serial mode: the task runs inside the call, unless a body above waits for it to end first. The outermost call leaves nothing
 * ready behind. */
TH__APART void run_serial(th__thread *self, th__ref ref) {
  th__help(self, ref);
  if (self->frame == NULL) th__run_everything(self);
}

static void run_here(th__thread *self, th__task *r) {
  th__switch saved;
  th__switch_enter(&saved);
  /* Of a trace: it starts when it was submitted. */
  self->tick = th__trace_on(TH_PROFILE_OPS) ? th__task_stamps(r)->submitted : 0;
  th__run_all(self, r);
  th__switch_leave(&saved);
}

/* No unfinished predecessor was listed, so nobody else decides about the task: it is ready. */
TH__INLINED void start_alone(th__thread *self, const th_task *t, const th__entry *e, th__ref ref,
                             bool plain) {
  uint64_t word = first_word(ref, 0, plain ? 0 : e->kind_flags) - TH__ENTERING;
  if (runs_here(self, t, e->device)) {
    th__store(&e->r->word, word | TH__RUNNING, TH__RELEASE);
    run_here(self, e->r);
  } else {
    th__store(&e->r->word, word | TH__PENDING, TH__RELEASE);
    th__publish(self, ref, e->device, plain ? TH__CLASS_DEFAULT : e->class_);
  }
}

/* The predecessors that had finished are counted off; the others decide, or the task is ready now. */
static void count_off(th__thread *self, th__task *r, th__ref ref, uint32_t missed) {
  uint8_t place = th__load(&r->place, TH__RELAXED);
  /* acq_rel: what the last predecessor did is visible to whoever runs the task. */
  uint64_t before =
      th__trace_on(TH_PROFILE_OPS)
          ? th__count_off_traced(self, r, th__load(&r->word, TH__RELAXED), missed, 0, false)
          : th__fetch_sub(&r->word, missed * TH__ONE, TH__ACQ_REL);
  if (TH__WORD_PREDS(before) == missed)
    th__publish(self, ref, th__place_device(place), th__place_class(place, before));
}

/* --- the stages of a call --- */

TH__INLINED th_status check(th__thread *self, const th_task *t, uint32_t how, th__entry *e) {
  if (__builtin_expect(t->run == NULL || (t->arg == NULL && t->arg_size > 0), 0))
    return check_body(t);
  e->set = e->few;
  e->n = th__access_few(t, th__the.epoch, e->few);
  if (__builtin_expect(e->n < 0, 0)) TH_TRY(th__access_check(t));
  e->kind = th__kind_number(t, name_of(t), self->kinds);
  return find_device(t, how, e);
}

/* What most tasks are: no token, no group, no priority, few variables, an argument that fits the record. Found once,
 * so that their way has no look at any of it. */
TH__INLINED bool is_plain(const th__thread *self, const th_task *t, const th__entry *e) {
  uintptr_t rare = (uintptr_t)t->group | (uintptr_t)self->group | (uintptr_t)(uint32_t)t->priority |
                   (t->flags & TH_TASK_INTERNAL);
  return rare == 0 && e->kind != TH__KIND_BESIDE && (uint32_t)e->n <= TH__INLINE_VARS &&
         e->device->plain && (t->arg_size <= sizeof(void *) || !copies_arg(t));
}

/* The argument of a plain task, if it is copied, lies in the record. */
TH__INLINED void fill_arg(th__task *r, const th_task *t) {
  r->arg = (void *)(uintptr_t)t->arg;
  if (__builtin_expect(copies_arg(t), 0)) memcpy(&r->arg, t->arg, t->arg_size);
}

static th_status fill_rare(th__task *r, const th_task *t, uint32_t how, th__entry *e) {
  e->class_ = class_of(t->priority);
  e->kind_flags = (how & TH__SUBMIT_ASYNC ? TH__ASYNC : 0) |
                  (e->device->lanes != NULL ? TH__LANE_TASK : 0) |
                  (t->flags & TH_TASK_INTERNAL ? TH__INTERNAL : 0);
  r->arg = (void *)(uintptr_t)t->arg;
  if (e->n < 0 || e->n > TH__INLINE_VARS) TH_TRY(fill_set(r, t, e));
  th_status status = copies_arg(t) ? copy_arg(r, t, &e->kind_flags) : TH_OK;
  if (status != TH_OK && (e->kind_flags & TH__HEAP_VARS)) th__free(e->set);
  return status;
}

/* More predecessors than are listed: one variable after the other, linked under the locks; one predecessor that does not exist
 * keeps the task from running meanwhile. Returns how many are to be counted off, that one included. */
static uint32_t enter_many(th__thread *self, const th_task *t, th__entry *e, th__ref ref) {
  th__ref list[TH__MOST_ACCESSES];
  uint64_t newest = 0;
  uint32_t before = 1, listed = 0;
  for (int i = 0; i < e->n; i++) {
    th_var *v = TH__ACCESS_VAR(e->set[i]);
    th__spin_lock(&v->lock);
    if (v->sequence > newest) newest = v->sequence;
    if (e->set[i] & TH__ACCESS_WRITE) {
      th__var_fold(self, v, false);
    } else if (v->n_readers == v->reader_capacity) {
      th__var_make_room(self, v, false);
    }
    before += e->set[i] & TH__ACCESS_WRITE && v->n_readers > 0 ? v->n_readers : 1;
  }
  uint64_t sequence = next_sequence(self, newest, t->flags & TH_TASK_INTERNAL);
  th__store(&e->r->sequence, sequence, TH__RELAXED);
  fill(self, t, e, e->n, ref, before, false);
  for (int i = 0; i < e->n; i++) {
    th_var *v = TH__ACCESS_VAR(e->set[i]);
    bool write = e->set[i] & TH__ACCESS_WRITE;
    int n = (int)(th__list_before(v, write, list) - list);
    th__enter(v, write, ref, sequence);
    listed += (uint32_t)n - th__link_all(self, e->r, list, n, false, false);
  }
  th__unlock_all(e->set, e->n, false);
  return before - listed;
}

/* No task of this thread is unfinished; inside a section of the sole thread, no task at all. */
TH__INLINED bool nothing_pending(const th__thread *self) {
  return th__load(&self->submitted, TH__RELAXED) == th__load(&self->completed, TH__RELAXED);
}

/* The record enters its n variables; whoever must finish first decides when it runs. */
TH__INLINED th__ref hand_in(th__thread *self, const th_task *t, th__entry *e, int n, bool plain) {
  th__access *set = plain ? e->few : e->set;
  bool sole = th__sole_enter(self), idle = sole && nothing_pending(self);
  if (!sole) {
    if (plain || n <= TH__INLINE_VARS) th__access_sort_few(set, n);
    th__ask_for_writers(set, n); /* locks do not let the processor look ahead by itself */
  }
  if (t->bytes > 0) th__memory_take(self, th__memory_unpack(th__memory_pack(t->bytes)));
  th__ref list[TH__LISTED], ref = th__task_ref(e->r);
  uint64_t newest = 0;
  th__count(&self->submitted, 1);
  int before = idle ? 0 : th__lock_and_list(self, set, n, list, &newest, sole);
  if (__builtin_expect(before < 0, 0)) {
    th__sole_leave(self, sole);
    if (plain || n <= TH__INLINE_VARS) th__access_sort_few(set, n);
    th__entry many = *e;
    if (plain) many.class_ = TH__CLASS_DEFAULT, many.kind_flags = 0;
    if (plain || e->set == e->few) many.set = many.few;
    count_off(self, e->r, ref, enter_many(self, t, &many, ref));
    return ref;
  }
  uint64_t sequence = next_sequence(self, newest, !plain && (t->flags & TH_TASK_INTERNAL));
  th__store(&e->r->sequence, sequence, TH__RELAXED);
  fill(self, t, e, n, ref, (uint32_t)before, plain);
  if (idle) {
    th__enter_idle(set, n, ref, sequence);
  } else {
    th__enter_and_unlock(set, n, ref, sequence, sole);
  }
  if (before == 0) {
    th__sole_leave(self, sole);
    start_alone(self, t, e, ref, plain);
    return ref;
  }
  uint32_t missed = th__link_all(self, e->r, list, before, plain, sole);
  th__sole_leave(self, sole);
  if (__builtin_expect(missed > 0, 0)) count_off(self, e->r, ref, missed);
  return ref;
}

/* In serial mode nothing stays pending behind a call. */
TH__INLINED void settle(th__thread *self, th__ref ref) {
  if (__builtin_expect(th__the.mode != TH__MODE_SERIAL, 1)) return;
  if (!th__ref_finished(ref) || !nothing_pending(self)) run_serial(self, ref);
}

/* What comes after the check, for any task. */
static __attribute__((noinline)) th_status push_any(th__thread *self, const th_task *t,
                                                    uint32_t how, th__entry *e) {
  if (!(how & TH__SUBMIT_NO_LIMIT)) TH_TRY(th__admit(self, t->bytes, how & TH__SUBMIT_TRY));
  e->r = th__slot_take(self);
  if (e->r == NULL) return TH_ENOMEM;
  th_status status = fill_rare(e->r, t, how, e);
  if (status != TH_OK) {
    th__slot_give(self, e->r);
    return status;
  }
  settle(self, hand_in(self, t, e, e->n, false));
  return TH_OK;
}

/* One way for each number of variables: what it knows of them stays in registers. */
TH__INLINED th_status push_plain(th__thread *self, const th_task *t, th__entry *e) {
  TH_TRY(th__admit(self, t->bytes, false));
  e->r = th__slot_take(self);
  if (__builtin_expect(e->r == NULL, 0)) return TH_ENOMEM;
  fill_arg(e->r, t);
  switch (e->n) {
  case 0: settle(self, hand_in(self, t, e, 0, true)); break;
  case 1: settle(self, hand_in(self, t, e, 1, true)); break;
  case 2: settle(self, hand_in(self, t, e, 2, true)); break;
  default: settle(self, hand_in(self, t, e, 3, true)); break;
  }
  return TH_OK;
}

/* The copy for the other way lets the compiler keep the fields of *e in registers on this one. */
TH__INLINED th_status push_checked(th__thread *self, const th_task *t, th__entry *e) {
  if (__builtin_expect(is_plain(self, t, e), 1)) return push_plain(self, t, e);
  th__entry rare = *e;
  if (e->set == e->few) rare.set = rare.few;
  return push_any(self, t, 0, &rare);
}

th_status th__entry_check(th__thread *self, const th_task *t, th__entry *e) {
  return check(self, t, 0, e);
}

th_status th__entry_push(th__thread *self, const th_task *t, th__entry *e) {
  return push_checked(self, t, e);
}

/* --- the calls --- */

/* This thread, with the engine on. */
static inline th_status enter_engine(th__thread **self) {
  if (__builtin_expect(th__load(&th__the.phase, TH__ACQUIRE) != TH__PHASE_ON, 0))
    TH_TRY(th__engine_ensure());
  *self = th__self();
  return __builtin_expect(*self == NULL, 0) ? TH_ENOMEM : TH_OK;
}

th_status th__submit(const th_task *t, uint32_t how) {
  th__thread *self;
  TH_TRY(enter_engine(&self));
  th__entry e;
  TH_TRY(check(self, t, how, &e));
  return push_any(self, t, how, &e);
}

th_status th_push(const th_task *task) {
  if (__builtin_expect(task == NULL, 0)) return th__fail(TH_EINVAL, "push: task is NULL");
  th__thread *self;
  TH_TRY(enter_engine(&self));
  th__entry e;
  TH_TRY(check(self, task, 0, &e));
  return push_checked(self, task, &e);
}

th_status th_push_try(const th_task *task) {
  if (task == NULL) return th__fail(TH_EINVAL, "push_try: task is NULL");
  return th__submit(task, TH__SUBMIT_TRY);
}

th_status th_push_async(const th_task *task) {
  if (task == NULL) return th__fail(TH_EINVAL, "push_async: task is NULL");
  return th__submit(task, TH__SUBMIT_ASYNC);
}

th_status th_push_batch(const th_task *tasks, size_t n, size_t *pushed) {
  size_t done = 0;
  th__thread *self = NULL;
  th_status status = tasks == NULL && n > 0
                         ? th__fail(TH_EINVAL, "push_batch: a count without a list")
                         : enter_engine(&self);
  while (done < n && status == TH_OK) {
    th__entry e;
    status = check(self, &tasks[done], 0, &e);
    if (status == TH_OK) status = th__entry_push(self, &tasks[done], &e);
    if (status == TH_OK) done++;
  }
  if (pushed != NULL) *pushed = done;
  return status;
}

uint64_t th__last_sequence(uint64_t *count) {
  th__thread *self = th__engine_ensure() == TH_OK ? th__self() : NULL;
  *count = self ? self->sequences : 0;
  return self ? self->last_sequence : 0;
}
