/* Owns storages: their memory, from the first task that needs it to the last that used it.
 *
 * The end: `submitted` counts tasks on the submitting side, `running` counts them down from ALIVE on the running side, so that
 * the two do not pass a cache line back and forth. The last handle to go takes ALIVE out and puts `submitted` in; whoever then
 * brings `running` to zero, it or a task, ends the storage. No task of its own is needed for that, and neither is the variable's
 * lock. */
#include <stdio.h>

#include "devices/blocks.h"
#include "engine/base/error.h"
#include "engine/trace.h"
#include "ndarray/array.h"

/* Up to this size the device's limit is not asked at the call: figures cost more than the answer is worth. */
#define UNCHECKED_BYTES 65536
#define ALIVE           (INT64_C(1) << 40) /* more than tasks there can be */

static bool within_limit(const th__device_ops *ops, void *state, int64_t bytes) {
  if (bytes <= UNCHECKED_BYTES) return true;
  th_memory_info info;
  ops->memory(state, &info);
  return info.limit <= 0 || bytes <= info.limit;
}

th_storage *th__storage_new(th_device d, int64_t bytes) {
  const th__device_ops *ops;
  void *state;
  return th__device_open(d, &ops, &state) == TH_OK ? th__storage_on(d, ops, state, bytes) : NULL;
}

th_storage *th__storage_on(th_device d, const th__device_ops *ops, void *state, int64_t bytes) {
  char name[32];
  if (!within_limit(ops, state, bytes))
    return th__fail_null(TH_ENOMEM, "%lld bytes are more than %s may ever hold", (long long)bytes,
                         th_device_name(d, name, sizeof name));
  th_storage *s = th__block_take(sizeof *s);
  if (!s) return NULL;
  th__store(&s->refs, 1, TH__RELAXED);
  s->device = d;
  th__store(&s->submitted, 0, TH__RELAXED);
  th__store(&s->uncounted, false, TH__RELAXED);
  s->wrapped = false;
  th__var_init(&s->var);
  th__storage_written(s, NULL);
  s->ops = ops;
  s->state = state;
  s->bytes = bytes;
  th__store(&s->running, ALIVE, TH__RELAXED);
  th__store(&s->data, NULL, TH__RELAXED);
  return s;
}

/* The device was reset. Under the lock of its memory, and no task uses s: what reads it is poisoned from now on, what overwrites all
 * of it begins with new memory. The address goes last: as long as there is one, who ends s waits for that lock in free_owned. */
static void storage_gone(void *arg) {
  th_storage *s = arg;
  char name[32], text[80];
  if (th__trace_on(TH_PROFILE_MEMORY))
    th__trace_block_changed(s->device, (uint64_t)(uintptr_t)th__load(&s->data, TH__RELAXED),
                            -s->bytes, "");
  snprintf(text, sizeof text, "%s was reset: what the array held is gone",
           th_device_name(s->device, name, sizeof name));
  th__var_lose(&s->var, text);
  th__store(&s->data, NULL, TH__RELEASE);
}

static void give_memory(th_storage *s, void *data) {
  if (th__trace_on(TH_PROFILE_MEMORY))
    th__trace_block(NULL, s->ops, s->state, s->device, data, -s->bytes);
  if (s->ops->free_owned)
    s->ops->free_owned(s->state, data, s);
  else
    s->ops->free(s->state, data, s->bytes);
  th__memory_freed();
}

/* Nobody uses s any more. The variable ends behind the memory, because a reset may poison it as long as there is some. */
static void storage_end(void *arg) {
  th_storage *s = arg;
  void *data = th__load(&s->data, TH__ACQUIRE);
  if (s->wrapped) {
    if (s->deleter) s->deleter(s->deleter_data, s->deleter_user);
  } else if (data) {
    give_memory(s, data);
  }
  th__var_end(&s->var);
  th__block_give(s, sizeof *s);
}

th_var *th__storage_var(th_storage *s) {
  /* Relaxed: whoever releases the last handle learns of it with the handles. */
  if (!th__load(&s->uncounted, TH__RELAXED)) th__store(&s->uncounted, true, TH__RELAXED);
  return &s->var;
}

void th__storage_uncount(th_storage *s) {
  /* acq_rel: what all others did comes before the end. */
  if (th__fetch_sub(&s->running, 1, TH__ACQ_REL) == 1) storage_end(s);
}

/* Nobody submits any more, and tasks that are not counted are through: the counted ones decide. */
static void hand_over(void *arg) {
  th_storage *s = arg;
  int64_t rest = th__load(&s->submitted, TH__RELAXED) - ALIVE;
  /* The usual case needs no read-modify-write: nothing is pending. */
  if (th__load(&s->running, TH__ACQUIRE) + rest == 0 ||
      th__fetch_add(&s->running, rest, TH__ACQ_REL) + rest == 0)
    storage_end(s);
}

/* The last handle went. On a stream device a task may still be about to be dropped when a later one, which the variable
 * knows instead, is through: an idle variable alone is no end. */
static void give_up(th_storage *s) {
  if (s->var.epoch != th__engine_epoch())
    th__var_retire(&s->var, storage_end, s); /* of an engine that was left: its tasks are gone */
  else if (th__load(&s->uncounted, TH__RELAXED))
    th__var_retire(&s->var, hand_over, s);
  else
    hand_over(s);
}

void th__storage_release(th_storage *s) {
  if (!s) return;
  /* A count of one is ours and stays. acq_rel: what other holders did comes before the end. */
  if (th__load(&s->refs, TH__ACQUIRE) == 1 || th__fetch_sub(&s->refs, 1, TH__ACQ_REL) == 1)
    give_up(s);
}

th_status th__storage_ensure(th_storage *s, bool alone, th_task_context *context) {
  if (th__load(&s->data, TH__ACQUIRE) || s->bytes == 0) return TH_OK;
  void *block = NULL, *none = NULL;
  th_status status = s->ops->alloc(s->state, s->bytes, &block);
  if (status == TH_OK) {
    /* Release: a reader that meets the block sees it as the pool left it. Another first reader may have won. */
    bool first = alone || th__cas(&s->data, &none, block, TH__ACQ_REL);
    if (first && th__trace_on(TH_PROFILE_MEMORY))
      th__trace_block(context, s->ops, s->state, s->device, block, s->bytes);
    if (alone) th__store(&s->data, block, TH__RELEASE);
    if (!first)
      s->ops->free(s->state, block, s->bytes);
    else if (s->ops->own)
      s->ops->own(s->state, block, s, storage_gone);
    return TH_OK;
  }
  if (status != TH_ENOMEM) return status;
  if (context && !th__context_last_chance(context)) return TH__STARVED;
  char name[32];
  return th__fail(TH_ENOMEM, "no memory for %lld bytes on %s", (long long)s->bytes,
                  th_device_name(s->device, name, sizeof name));
}
