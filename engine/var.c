/* Owns variables: the record of last writer and readers since, and the public handle. Each variable's `lock` guards its
 * record. */
#include "engine/var.h"

#include <string.h>

#include "engine/link.h"
#include "engine/parts.h"

#define SAMPLES 16   /* readers that are asked whether they have finished */
#define MANY    8192 /* a list of so many has pages of its own, which go back when few are left */

void th__var_init(th_var *v) {
  *v = (th_var){.reader_capacity = TH__INLINE_READERS, .epoch = th__the.epoch};
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

static void free_readers(th_var *v) {
  if (v->reader_capacity >= MANY) {
    th__pages_free(v->readers, v->reader_capacity * sizeof *v->readers);
  } else if (v->readers != v->inline_readers) {
    th__free(v->readers);
  }
}

void th__var_end(th_var *v) {
  /* A list that a thread of the parent was moving at the fork may be gone already: it stays with the process. */
  if (v->epoch >= th__the.first_epoch) free_readers(v);
  v->readers = v->inline_readers;
  v->reader_capacity = TH__INLINE_READERS;
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
  th__var_end(r->var);
  done(done_arg);
}

/* Of very many readers the records are not looked at when nothing is pending: their memory may have been given back. */
static bool var_idle(th_var *v) {
  th__spin_lock(&v->lock);
  if (v->n_readers > TH__FOLD && th__in_flight() == 0) v->n_readers = 0;
  bool idle = th__ref_finished(th__load(&v->last_writer, TH__RELAXED));
  for (uint32_t i = 0; idle && i < v->n_readers; i++) idle = th__ref_finished(v->readers[i]);
  th__spin_unlock(&v->lock);
  return idle;
}

void th__var_retire(th_var *v, void (*done)(void *arg), void *arg) {
  uint32_t phase = th__load(&th__the.phase, TH__ACQUIRE);
  if (phase == TH__PHASE_FORKED || phase == TH__PHASE_EXITING) return; /* goes with the process */
  bool on = phase != TH__PHASE_OFF && v->epoch == th__the.epoch;
  /* With a record of its own this thread may use v's lock, see sole.h; without, it can only try again. */
  if (!on || (th__self() != NULL && var_idle(v))) {
    th__var_end(v);
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
  while (th__submit(&t, TH__SUBMIT_NO_LIMIT) != TH_OK) {
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

/* Whether pruning may help: of many readers a few are asked, since the records of all are more than the cache holds. */
static bool some_finished(const th_var *v) {
  uint32_t step = v->n_readers / SAMPLES + 1;
  for (uint32_t i = 0; i < v->n_readers; i += step)
    if (th__ref_finished(v->readers[i])) return true;
  return false;
}

/* A record without body that waits for n others. NULL: no slot is free. */
static th__task *join_new(th__thread *self, uint32_t n) {
  th__task *join = th__slot_take(self);
  if (join == NULL) return NULL;
  uint64_t generation = (uint64_t)th__task_generation(join) << 32;
  join->arg = NULL;
  join->flags = 0;
  join->n_vars = 0;
  join->memory = 0;
  join->lane = -1;
  join->status = TH_OK;
  th__store(&join->kind, TH__KIND_JOIN, TH__RELAXED);
  th__store(&join->kind_flags, TH__INTERNAL, TH__RELAXED);
  th__store(&join->place, TH__PLACE(0, TH__CLASS_DEFAULT), TH__RELAXED);
  th__store(&join->owner, 0, TH__RELAXED);
  th__store(&join->sequence, th__load(&th__the.sequence, TH__RELAXED), TH__RELAXED);
  th__store(&join->n_links, 0, TH__RELEASE);
  th__store(&join->extension, 0, TH__RELEASE);
  th__store(&join->word, generation | n * TH__ONE | TH__JOIN, TH__RELEASE);
  return join;
}

/* A join of n readers: finishes when they have. Returns 0 when they had. */
static th__ref join_readers(th__thread *self, const th__ref *readers, uint32_t n, bool sole) {
  th__task *join;
  while ((join = join_new(self, n)) == NULL) th__yield(); /* admission keeps half of all slots */
  th__ref ref = th__task_ref(join);
  uint32_t missed = 0;
  for (uint32_t i = 0; i < n; i++) missed += 1 - th__link(self, join, readers[i], false, sole);
  if (missed == 0 ||
      TH__WORD_PREDS(th__fetch_sub(&join->word, missed * TH__ONE, TH__ACQ_REL)) != missed)
    return ref;
  th__release_joins(self, join);
  return 0;
}

void th__var_fold(th__thread *self, th_var *v, bool sole) {
  if (v->n_readers > TH__FOLD) prune(v);
  while (v->n_readers > TH__FOLD) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < v->n_readers; i += TH__FOLD) {
      uint32_t left = v->n_readers - i;
      th__ref join = join_readers(self, v->readers + i, left < TH__FOLD ? left : TH__FOLD, sole);
      if (join != 0) v->readers[n++] = join;
    }
    v->n_readers = n;
  }
}

/* capacity: a power of two, enough for all. */
static bool resize_readers(th_var *v, uint32_t capacity) {
  size_t before = v->reader_capacity * sizeof *v->readers, bytes = capacity * sizeof *v->readers;
  th__ref *block;
  if (v->reader_capacity >= MANY && capacity >= MANY) {
    block = th__pages_resize(v->readers, before, bytes);
    if (block == NULL) return false;
  } else {
    block = capacity >= MANY ? th__pages_resize(NULL, 0, bytes) : th__alloc(bytes);
    if (block == NULL) return false;
    memcpy(block, v->readers, v->n_readers * sizeof *block);
    free_readers(v);
  }
  v->readers = block;
  v->reader_capacity = capacity;
  return true;
}

/* Readers are kept as they are, however many: most have finished when the next writer comes, and of a constant none ever comes. */
void th__var_make_room(th__thread *self, th_var *v, bool sole) {
  if (v->n_readers <= SAMPLES || some_finished(v)) prune(v);
  uint32_t capacity = v->reader_capacity, n = v->n_readers;
  if (n <= capacity / 8 && capacity >= MANY) (void)resize_readers(v, capacity / 4);
  /* Grows when pruning helped little, so that pruning stays linear in the end. A join needs no memory. */
  if (n <= capacity / 2 || resize_readers(v, 2 * capacity)) return;
  if (n == capacity) {
    th__ref join = join_readers(self, v->readers, capacity, sole);
    v->readers[0] = join;
    v->n_readers = join != 0;
  }
}
