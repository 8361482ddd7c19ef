/* Owns completion tokens and what a running body may ask of its context. A token is its task's name (slot and generation) in
 * the shape of a pointer: signalled twice or too late it matches nothing, and there is nothing to free. */
#include <stdarg.h>
#include <stdio.h>

#include "engine/parts.h"

static th__ref ref_of(th_token *token) { return (th__ref)(uintptr_t)token; }

/* Takes the token away, so that only one caller completes the task. */
static bool token_take(th__ref ref) {
  th__task *t = th__task_at(TH__REF_SLOT(ref) & (TH__SLOTS - 1));
  uint64_t word = th__load(&t->word, TH__ACQUIRE);
  do {
    if (TH__WORD_GENERATION(word) != TH__REF_GENERATION(ref) || !(word & TH__TOKEN_OPEN))
      return false;
  } while (!th__cas_weak(&t->word, &word, word & ~(uint64_t)TH__TOKEN_OPEN, TH__ACQ_REL));
  return true;
}

/* Body and token have both ended. */
static void async_finish(th__thread *self, th__task *task) {
  th__side *side = th__task_side(task);
  if (side->failure != NULL) {
    task->status = th__short_status(side->failure->status);
    th__poison_outputs(task, side->failure);
    th__failure_release(side->failure);
    side->failure = NULL;
    th__count(&self->failed, 1);
  } else if (task->status == TH_OK && th__load(&th__the.failures_live, TH__ACQUIRE) != 0) {
    th__cure_outputs(task);
  }
}

/* The word counts no predecessors while a task runs; for async tasks the second of two arrivals finishes: body and token. */
static bool second_arrival(th__task *task) {
  return TH__WORD_PREDS(th__fetch_add(&task->word, TH__ONE, TH__ACQ_REL)) == 1;
}

bool th__async_returned(th__thread *self, th__task *task, th__ref ref) {
  if (task->status < 0 && token_take(ref)) return true; /* failed or skipped: nobody can signal */
  if (!second_arrival(task)) return false;
  async_finish(self, task);
  return true;
}

static th_status complete(th_token *token, th_status status, const char *message, const char *who) {
  th__ref ref = ref_of(token);
  if (token == NULL) return th__fail(TH_EINVAL, "%s: token is NULL", who);
  if (status > 0) return th__fail(TH_EINVAL, "%s: %d is not a status", who, (int)status);
  TH_TRY(th__engine_ensure());
  th__thread *self = th__self();
  if (self == NULL) return TH_ENOMEM;
  if (!token_take(ref))
    return th__fail(TH_EINVAL, "%s: the token was signalled or dropped before", who);
  th__task *task = th__task_at(TH__REF_SLOT(ref));
  if (status < 0)
    th__task_side(task)->failure =
        th__failure_new(status, task, message ? message : th_status_text(status));
  if (!second_arrival(task)) return TH_OK;
  async_finish(self, task);
  bool serial = th__the.mode == TH__MODE_SERIAL;
  th__task *next = th__finish(self, task, 0, serial);
  if (next == NULL && !(serial && self->frame == NULL)) return TH_OK;
  th__switch saved;
  th__switch_enter(&saved);
  self->tick = 0;
  th__run_all(self, next);
  th__switch_leave(&saved);
  if (self->frame == NULL) th__run_everything(self); /* nobody else may come */
  return TH_OK;
}

th_status th_token_signal(th_token *token, th_status status, const char *message) {
  return complete(token, status, message, "token_signal");
}

th_status th_token_drop(th_token *token) {
  return complete(token, TH_ECANCELED, "its token was dropped without a signal", "token_drop");
}

th_token *th_context_token(th_task_context *context) {
  if (!(th__load(&context->task->kind_flags, TH__RELAXED) & TH__ASYNC)) return NULL;
  return (th_token *)(uintptr_t)th__task_ref(context->task);
}

th_device th_context_device(const th_task_context *context) {
  return th__task_device(context->task)->id;
}

int th_context_worker(const th_task_context *context) {
  const th__thread *t = context->thread;
  return t->pool == th__task_device(context->task) ? t->worker : -1;
}

th_status th_context_fail(th_task_context *context, th_status status, const char *format, ...) {
  va_list args;
  va_start(args, format);
  th__fail_v(status, format, args);
  va_end(args);
  context->failed_text = true;
  return status;
}

void *th__context_device_state(const th_task_context *context) {
  return th__task_device(context->task)->state;
}
void *th__context_lane(const th_task_context *context) { return context->lane_handle; }
uint64_t th__context_sequence(const th_task_context *context) {
  return th__load(&context->task->sequence, TH__RELAXED);
}
bool th__context_last_chance(th_task_context *context) {
  const th__pool_device *device = th__task_device(context->task);
  /* What is on a lane already cannot be taken off it. */
  bool later = device->lanes != NULL && !(device->ops->caps & TH__CAP_ISSUES_NOW);
  bool last = later || th__last_chance(context->task);
  context->starves = !last;
  return last;
}
