/* Owns variables: the record of last writer and readers since, and the public handle. Each variable's `lock` guards its
 * record. */
#include "engine/var.h"

#include "engine/parts.h"

#define FOLD 64 /* so many unfinished readers are joined into one record */

void th__var_init(th_var *v) {
  *v = (th_var){.reader_capacity = 2, .epoch = th__the.epoch};
  v->readers = v->inline_readers;
  th__store(&v->refs, 1, TH__RELAXED);
}

th_var *th_var_new(void) {
  if (th__engine_ensure() != TH_OK) return NULL;
  th_var *v = th__alloc(sizeof *v);
  if (v != NULL) th__var_init(v);
  return v;
}

th_var *th_var_retain(th_var *v) {
  if (v != NULL) th__fetch_add(&v->refs, 1, TH__RELAXED);
  return v;
}

void th_var_release(th_var *v) {
  /* acq_rel: what other holders did to v comes before its end. */
  if (v != NULL && th__fetch_sub(&v->refs, 1, TH__ACQ_REL) == 1) th__var_retire(v, th__free, v);
}

uint64_t th_var_version(const th_var *v) {
  return v == NULL ? 0 : th__load(&v->version, TH__ACQUIRE);
}

/* Frees what v holds. Nobody else uses v any more. */
static void var_end(th_var *v) {
  if (v->readers != v->inline_readers) th__free(v->readers);
  v->readers = v->inline_readers;
  if (th__load(&v->error, TH__RELAXED) != NULL) {
    if (v->epoch == th__the.epoch) {
      th__var_set_error(v, NULL);
    } else {
      th__failure_release(th__exchange(&v->error, NULL, TH__RELAXED));
    }
  }
}

typedef struct retirement {
  th_var *var;
  void (*done)(void *arg);
  void *arg;
} retirement;

static th_status retire_run(void *arg, th_task_context *context) { return TH_OK; }

/* As `drop`, so that it runs whatever happened to the task, just before the task finishes: all others have. */
static void retire_drop(void *arg) {
  retirement *r = arg;
  void (*done)(void *) = r->done;
  void *done_arg = r->arg;
  var_end(r->var);
  done(done_arg);
}

static bool var_idle(th_var *v) {
  th__spin_lock(&v->lock);
  bool idle = th__ref_finished(v->last_writer);
  for (uint32_t i = 0; idle && i < v->n_readers; i++) idle = th__ref_finished(v->readers[i]);
  th__spin_unlock(&v->lock);
  return idle;
}

void th__var_retire(th_var *v, void (*done)(void *arg), void *arg) {
  uint32_t phase = th__load(&th__the.phase, TH__ACQUIRE);
  if (phase == TH__PHASE_FORKED || phase == TH__PHASE_EXITING) return; /* goes with the process */
  if (phase == TH__PHASE_OFF || v->epoch != th__the.epoch || var_idle(v)) {
    var_end(v);
    done(arg);
    return;
  }
  retirement r = {v, done, arg};
  th_task t = {.name = "release",
               .run = retire_run,
               .arg = &r,
               .arg_size = sizeof r,
               .drop = retire_drop,
               .writes = &v,
               .n_writes = 1,
               .flags = TH_TASK_ALWAYS | TH_TASK_INTERNAL};
  while (th__submit(&t, TH__SUBMIT_NO_LIMIT, NULL) != TH_OK) {
    /* No record is free, or the engine is being left: then v is idle soon, or goes with the process. */
    if (th__load(&th__the.phase, TH__ACQUIRE) != TH__PHASE_ON) return;
    th__yield();
  }
}

/* Removes finished readers. */
static void prune(th_var *v) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < v->n_readers; i++)
    if (!th__ref_finished(v->readers[i])) v->readers[n++] = v->readers[i];
  v->n_readers = n;
}

/* Replaces all readers by one join record that finishes when they have. */
static void fold(th__thread *self, th_var *v) {
  th__task *join = th__slot_take(self);
  if (join == NULL) return; /* the list grows instead */
  uint64_t generation = (uint64_t)th__task_generation(join) << 32;
  th__store(&join->kind_flags, TH__INTERNAL, TH__RELAXED);
  th__store(&join->n_links, 0, TH__RELAXED);
  th__store(&join->extension, 0, TH__RELAXED);
  th__store(&join->pending, TH__BIAS, TH__RELAXED);
  th__store(&join->owner, NULL, TH__RELAXED);
  th__store(&join->sequence, th__load(&th__the.sequence, TH__RELAXED), TH__RELAXED);
  th__store(&join->device, 0, TH__RELAXED);
  join->bytes = 0;
  join->name = "join";
  join->n_vars = 0;
  join->drop = NULL;
  th__store(&join->claim, generation | TH__JOIN, TH__RELEASE);
  uint32_t made = 0;
  for (uint32_t i = 0; i < v->n_readers; i++) made += th__link(self, join, v->readers[i]);
  v->readers[0] = th__task_ref(join);
  v->n_readers = 1;
  if (th__fetch_sub(&join->pending, TH__BIAS - made, TH__ACQ_REL) == TH__BIAS - made) {
    th__release_joins(self, join);
    v->n_readers = 0;
  }
}

static bool grow_readers(th_var *v) {
  uint32_t capacity = v->reader_capacity * 2;
  bool was_inline = v->readers == v->inline_readers;
  th__ref *bigger = th__resize(was_inline ? NULL : v->readers, capacity * sizeof *bigger);
  if (bigger == NULL) return false;
  if (was_inline)
    for (uint32_t i = 0; i < v->n_readers; i++) bigger[i] = v->readers[i];
  v->readers = bigger;
  v->reader_capacity = capacity;
  return true;
}

static void add_reader(th__thread *self, th_var *v, th__ref ref) {
  while (v->n_readers == v->reader_capacity) {
    prune(v);
    if (v->n_readers >= FOLD) fold(self, v);
    /* Grows when pruning helped little, so that pruning stays linear in the end. A join needs no memory. */
    if (v->n_readers > v->reader_capacity / 2 && !grow_readers(v)) fold(self, v);
    if (v->n_readers == v->reader_capacity) th__yield(); /* not even a slot for a join */
  }
  v->readers[v->n_readers++] = ref;
}

uint32_t th__var_enter(th__thread *self, th_var *v, th__task *task, bool write) {
  th__ref ref = th__task_ref(task);
  uint32_t made = 0;
  if (!write) {
    made = th__link(self, task, v->last_writer);
    add_reader(self, v, ref);
    return made;
  }
  if (v->n_readers == 0) made = th__link(self, task, v->last_writer); /* else implied by them */
  for (uint32_t i = 0; i < v->n_readers; i++) made += th__link(self, task, v->readers[i]);
  v->n_readers = 0;
  v->last_writer = ref;
  th__store(&v->version, th__load(&v->version, TH__RELAXED) + 1, TH__RELEASE);
  return made;
}
