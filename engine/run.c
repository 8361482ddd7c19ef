/* Owns running and finishing tasks. Finishing happens in this order: poison or cure what was written, drop the argument, close
 * the successor list (from here on every reference says "finished"), wake waiters, release successors, give the slot back. */
#include <string.h>

#include "engine/parts.h"
#include "engine/trace.h"

/* Calls the body with this thread's context put aside: a helping thread has an error text, scopes and modes of its own. */
static th_status call_body(th__thread *self, th__task *task, void *lane_handle, bool *text) {
  th_task_context context = {
      self, task, th__load(&th__the.devices[th__load(&task->device, TH__RELAXED)], TH__ACQUIRE),
      lane_handle, false};
  th__frame frame = {self->frame, th__task_ref(task)};
  bool nested = self->worker < 0 || self->frame != NULL;
  void *saved[TH__SWITCHES];
  if (nested) th__switch_enter(saved);
  self->frame = &frame;
  th__store(&task->owner, self, TH__RELAXED);
  th__last_error *error = th__error_slot();
  error->status = TH_OK;
  th_status status = task->run(task->arg, &context);
  self->frame = frame.outer;
  if (nested) th__switch_leave(saved);
  *text = status < 0 && (context.failed_text || error->status == status);
  return status;
}

void th__execute(th__thread *self, th__task *task, void *lane_handle) {
  if (th__trace_on(TH_PROFILE_OPS)) th__task_stamps(task)->started = th__ticks();
  if (th__load(&th__the.failures_live, TH__ACQUIRE) !=
      0) { /* pairs with the poisoner's increment */
    th__failure *f = task->flags & TH_TASK_ALWAYS ? NULL : th__poison_of_inputs(task);
    if (f != NULL) {
      task->status = (int16_t)f->status;
      th__poison_outputs(task, f);
      th__store(&task->kind_flags, th__load(&task->kind_flags, TH__RELAXED) | TH__SKIPPED,
                TH__RELAXED);
      th__count(&self->skipped, 1);
      return;
    }
  }
  th__last_error kept, *error = th__error_slot();
  bool keep = error->status != TH_OK;
  if (keep) kept = *error;
  bool text;
  th_status status = call_body(self, task, lane_handle, &text);
  if (status < 0) {
    th__failure *f = th__failure_new(status, task, text ? error->text : th_status_text(status));
    th__poison_outputs(task, f);
    th__failure_release(f);
    th__count(&self->failed, 1);
  } else if (status == TH_OK && th__load(&th__the.failures_live, TH__RELAXED) != 0 &&
             !(th__load(&task->kind_flags, TH__RELAXED) & TH__ASYNC)) {
    th__cure_outputs(task);
  }
  task->status = (int16_t)status;
  if (keep) {
    *error = kept;
  } else {
    error->status = TH_OK;
    error->text[0] = 0;
  }
}

static void trace_finished(th__thread *self, th__task *task) {
  th__stamps *s = th__task_stamps(task);
  th__pool_device *device =
      th__load(&th__the.devices[th__load(&task->device, TH__RELAXED)], TH__ACQUIRE);
  int lane = self->pool == device ? self->worker : TH__TRACE_HOST;
  if (task->lane >= 0) lane = TH__TRACE_LANES + task->lane;
  th__trace_task t = {
      .id = th__load(&task->sequence, TH__RELAXED),
      .name = task->name,
      .submitted = s->submitted,
      .ready = s->ready,
      .started = s->started,
      .finished = th__ticks(),
      .bytes = task->bytes,
      .lane = lane,
      .device_kind = device->id.kind,
      .device_index = device->id.index,
  };
  t.status = task->status == TH_OK                                    ? TH__TRACE_OK
             : th__load(&task->kind_flags, TH__RELAXED) & TH__SKIPPED ? TH__TRACE_SKIPPED
                                                                      : TH__TRACE_FAILED;
  const th__access *vars = th__task_vars(task);
  for (size_t i = 0; i < task->n_vars; i++) {
    if (vars[i] & TH__ACCESS_READ) t.n_reads++;
    if (vars[i] & TH__ACCESS_WRITE) t.n_writes++;
  }
  th__trace_task_done(&t);
}

/* Releases the owner's part of a task before it is closed. */
static void drop_parts(th__thread *self, th__task *task) {
  uint8_t kind = th__load(&task->kind_flags, TH__RELAXED);
  if (task->drop != NULL) {
    th__frame frame = {self->frame, th__task_ref(task)};
    self->frame = &frame; /* what drop submits must not block at the run-ahead limit */
    task->drop(task->arg);
    self->frame = frame.outer;
  }
  if (kind & TH__HEAP_ARG) th__free(task->arg);
  if (kind & TH__HEAP_VARS) th__free((void *)task->vars[0]);
  if (task->bytes > 0) th__fetch_sub(&th__the.bytes, task->bytes, TH__RELAXED);
}

/* The task behind a link, if this was its last predecessor. */
static th__task *released(uint32_t link, uint32_t *next) {
  th__task *record = th__task_at((link - 1) / TH__LINKS);
  *next = th__load(&record->links[(link - 1) % TH__LINKS], TH__RELAXED);
  th__task *task = record;
  if (th__load(&record->kind_flags, TH__RELAXED) & TH__EXTENSION) task = th__task_at(record->host);
  /* acq_rel: the last predecessor passes on what all of them did. */
  return th__fetch_sub(&task->pending, 1, TH__ACQ_REL) == 1 ? task : NULL;
}

/* Takes a released task for the caller to run next when that is allowed, else publishes it. */
static void hand_on(th__thread *self, th__task *task, th__ref keep, th__task **next) {
  th__pool_device *device =
      th__load(&th__the.devices[th__load(&task->device, TH__RELAXED)], TH__ACQUIRE);
  if (next != NULL && *next == NULL && device->lanes == NULL &&
      task->priority == TH__CLASS_DEFAULT &&
      (self->pool == device || th__the.mode == TH__MODE_SERIAL) &&
      th__the.mode != TH__MODE_SHUFFLE && th__the.mode != TH__MODE_SHUFFLE_THREADS &&
      !th__higher_waits(device, TH__CLASS_DEFAULT)) {
    if (th__trace_on(TH_PROFILE_OPS)) th__task_stamps(task)->ready = th__ticks();
    th__fetch_add(&task->claim, TH__RUNNING - TH__PENDING, TH__ACQ_REL);
    *next = task;
    return;
  }
  bool claimable = device->lanes == NULL || th__the.mode == TH__MODE_SERIAL;
  if (keep != 0 && claimable && th__task_ref(task) == keep) { /* the caller claims it right away */
    if (th__trace_on(TH_PROFILE_OPS)) th__task_stamps(task)->ready = th__ticks();
    th__fetch_add(&task->claim, TH__READY - TH__PENDING, TH__ACQ_REL);
    return;
  }
  th__publish(self, task);
}

/* Ends the generation of a record: closes its list, wakes its waiters, recycles the slot. Returns the list. */
static uint32_t close_record(th__thread *self, th__task *task) {
  th__links_free(self, task);
  uint32_t generation = th__task_generation(task) + 1;
  if (generation == 0) generation = 1;
  /* seq_cst: a thread that set its waiter flag before the next exchange is woken; one that comes later sees the new
   * generation. release: all the task did is visible to who sees it. */
  uint64_t list = th__exchange(&task->done_list, (uint64_t)generation << 32, TH__SEQ_CST);
  uint64_t claim = th__exchange(&task->claim, (uint64_t)generation << 32 | TH__FREE, TH__SEQ_CST);
  if (claim & TH__HAS_WAITERS) {
    th__fetch_add(&task->wake, 1, TH__RELEASE);
    th__unpark(&task->wake, INT32_MAX);
  }
  return (uint32_t)list;
}

static void release_list(th__thread *self, uint32_t link, th__ref keep, th__task **next) {
  while (link != 0) {
    uint32_t following;
    th__task *task = released(link, &following);
    link = following;
    if (task == NULL) continue;
    if ((th__load(&task->claim, TH__RELAXED) & 0xff) == TH__JOIN) {
      th__release_joins(self, task);
    } else {
      hand_on(self, task, keep, next);
    }
  }
}

/* A join finished. Joins may follow joins: a chain of them is walked, not recursed into. */
void th__release_joins(th__thread *self, th__task *join) {
  th__task *stack = NULL; /* linked through `arg` */
  join->arg = NULL;
  stack = join;
  while (stack != NULL) {
    th__task *j = stack;
    stack = j->arg;
    uint32_t link = close_record(self, j);
    while (link != 0) {
      uint32_t following;
      th__task *task = released(link, &following);
      link = following;
      if (task == NULL) continue;
      if ((th__load(&task->claim, TH__RELAXED) & 0xff) == TH__JOIN) {
        task->arg = stack;
        stack = task;
      } else {
        hand_on(self, task, 0, NULL);
      }
    }
    th__slot_give(self, j);
  }
}

void th__release_issued(th__thread *self, uint32_t link) { release_list(self, link, 0, NULL); }

void th__finish(th__thread *self, th__task *task, th__ref keep, th__task **next) {
  uint8_t kind = th__load(&task->kind_flags, TH__RELAXED);
  if (th__trace_on(TH_PROFILE_OPS) && !(kind & TH__INTERNAL)) trace_finished(self, task);
  drop_parts(self, task);
  uint32_t link = close_record(self, task);
  release_list(self, link, keep, next);
  th__slot_give(self, task);
  th__count(&self->completed, 1);
  if (th__load(&th__the.limit_waiters, TH__RELAXED) != 0) th__limit_poke();
  if (th__load(&th__the.starved, TH__RELAXED) != 0) th__starved_retry(self, false);
}

th__task *th__run(th__thread *self, th__task *task, th__ref keep, bool may_continue) {
  th__task *next = NULL;
  uint8_t kind = th__load(&task->kind_flags, TH__RELAXED);
  th__ref ref = th__task_ref(task);
  th__execute(self, task, NULL);
  if (task->status == TH__STARVED) {
    th__starve(self, task);
    return NULL;
  }
  if (kind & TH__ASYNC) {
    if (!th__async_returned(self, task, ref)) return NULL;
  }
  th__finish(self, task, keep, may_continue ? &next : NULL);
  return next;
}

void th__run_all(th__thread *self, th__task *task) {
  while (task != NULL) task = th__run(self, task, 0, true);
}

void th__run_ref(th__thread *self, th__ref ref) {
  if (TH__IS_LOOP(ref)) {
    th__loop_join(ref);
  } else if (th__claim(ref)) {
    th__task *task = th__task_at(TH__REF_SLOT(ref));
    if (th__load(&task->kind_flags, TH__RELAXED) & TH__LANE_TASK) {
      th__lanes_run_now(self, task); /* serial mode */
    } else {
      th__run_all(self, task);
    }
  }
}
