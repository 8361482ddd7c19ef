/* Owns running and finishing tasks. Finishing happens in this order: poison or cure what was written, drop the argument, close
 * the successor list (from here on every reference says "finished"), wake waiters, release successors, give the slot back. */
#include <string.h>

#include "engine/link.h"
#include "engine/parts.h"
#include "engine/trace.h"

enum {
  FOLLOWED = 64,       /* tasks of a chain between two readings of the clock */
  FOLLOW_NS = 1000000, /* then others get a turn */
};

/* What a body left behind as this thread's error, or a thread of the program had before. */
static void clear_error(th__last_error *error) {
  error->status = TH_OK;
  error->text[0] = 0;
}

/* Poisons what the task writes with a new failure. */
TH__APART void fail(th__thread *self, th__task *task, th_status status, const char *text) {
  th__failure *f = th__failure_new(status, task, text);
  th__poison_outputs(task, f);
  th__failure_release(f);
  th__count(&self->failed, 1);
}

/* The task ends without its body. */
static void skip(th__thread *self, th__task *task, th__failure *f) {
  task->status = th__short_status(f->status);
  th__poison_outputs(task, f);
  th__store(&task->kind_flags, th__load(&task->kind_flags, TH__RELAXED) | TH__SKIPPED, TH__RELAXED);
  th__count(&self->skipped, 1);
}

/* Poison passes a task by unless it runs always. True: it was skipped. */
TH__APART bool skip_poisoned(th__thread *self, th__task *task) {
  th__failure *f = task->flags & TH_TASK_ALWAYS ? NULL : th__poison_of_inputs(task);
  if (f == NULL) return false;
  skip(self, task, f);
  return true;
}

TH__APART void skip_canceled(th__thread *self, th__task *task) {
  th__failure *f = th__failure_new(TH_ECANCELED, task, "canceled with its group");
  skip(self, task, f);
  th__failure_release(f);
}

TH__APART void fail_body(th__thread *self, th__task *task, th_status status, bool text) {
  fail(self, task, status,
       text || self->error->status == status ? self->error->text : th_status_text(status));
}

/* Of a body that did not return TH_OK. What is positive is no status, but for who found no memory and was told to come again. */
TH__APART th_status body_failed(th__thread *self, th__task *task, th_status status,
                                th_task_context *context) {
  if (status == TH__STARVED && context->starves) return status;
  if (status > 0)
    status = th_context_fail(context, TH_EINVAL, "the body returned %d, which is no status",
                             (int)status);
  fail_body(self, task, status, context->failed_text);
  return status;
}

TH__INLINED th_status call_body(th__thread *self, th__task *task, const th__kind *kind, th__ref ref,
                                void *lane_handle) {
  th_task_context context = {self, task, lane_handle, false, false};
  th__frame frame = {self->frame, ref};
  self->frame = &frame;
  if (lane_handle == NULL) th__store(&task->owner, self->number, TH__RELAXED);
  th_status status = kind->run(th__task_arg(task), &context);
  self->frame = frame.outer;
  return __builtin_expect(status == TH_OK, 1) ? status : body_failed(self, task, status, &context);
}

/* As call_body(), with this thread's error put aside: a helping thread has one of its own. */
TH__APART th_status call_body_aside(th__thread *self, th__task *task, const th__kind *kind,
                                    th__ref ref, void *lane_handle) {
  th__last_error kept = *self->error;
  clear_error(self->error);
  th_status status = call_body(self, task, kind, ref, lane_handle);
  *self->error = kept;
  return status;
}

/* Who ended a task and went straight on saves a reading of the clock. Not on a lane, where others come in between. */
static void trace_started(th__thread *self, th__task *task, bool on_lane) {
  th__stamps *s = th__task_stamps(task);
  bool exact = !on_lane && s->starved == 0 && self->tick >= th__load(&s->ready, TH__RELAXED);
  s->started = exact ? self->tick : th__ticks();
}

/* Sets task->status. */
TH__INLINED void execute(th__thread *self, th__task *task, const th__kind *kind, th__ref ref,
                         void *lane_handle) {
  if (th__trace_on(TH_PROFILE_OPS)) trace_started(self, task, lane_handle != NULL);
  if (th__group_refuses(task)) {
    skip_canceled(self, task);
    return;
  }
  /* Pairs with the poisoner's increment. */
  bool failures = th__load(&th__the.failures_live, TH__ACQUIRE) != 0;
  if (__builtin_expect(failures, 0) && skip_poisoned(self, task)) return;
  th_status status;
  if (__builtin_expect(self->error->status != TH_OK, 0)) {
    status = call_body_aside(self, task, kind, ref, lane_handle);
  } else {
    status = call_body(self, task, kind, ref, lane_handle);
    if (__builtin_expect(self->error->status != TH_OK, 0)) clear_error(self->error);
  }
  if (__builtin_expect(th__load(&th__the.failures_live, TH__RELAXED) != 0, 0) && status == TH_OK &&
      !(th__load(&task->kind_flags, TH__RELAXED) & TH__ASYNC))
    th__cure_outputs(task);
  task->status = th__short_status(status);
}

static th__ref running_ref(const th__task *task) {
  return TH__REF(TH__WORD_GENERATION(th__load(&task->word, TH__RELAXED)), th__task_slot(task));
}

void th__execute(th__thread *self, th__task *task, void *lane_handle) {
  execute(self, task, th__task_kind(task), running_ref(task), lane_handle);
}

/* Whom it waited for: its back edges, which stay until it is closed. Returns how many. */
static uint32_t trace_edges(const th__task *task, uint64_t out[TH__TRACE_EDGES]) {
  uint32_t found = 0;
  for (const th__task *r = task;;) {
    uint32_t n = th__load(&r->n_links, TH__RELAXED), more = th__load(&r->extension, TH__RELAXED);
    for (uint32_t i = 0; i < n && found < TH__TRACE_EDGES; i++)
      out[found++] = th__load(&r->preds[i], TH__RELAXED);
    if (more == 0) return found;
    r = th__task_at(more - 1);
  }
}

static uint8_t trace_status(const th__task *task) {
  uint8_t copies = task->flags & (TH_TASK_COPY_IN | TH_TASK_COPY_OUT) ? TH__TRACE_COPY : 0;
  if (task->status == TH_OK) return TH__TRACE_OK | copies;
  bool skipped = th__load(&task->kind_flags, TH__RELAXED) & TH__SKIPPED;
  return (uint8_t)((skipped ? TH__TRACE_SKIPPED : TH__TRACE_FAILED) | copies);
}

static void trace_accesses(const th__task *task, th__trace_task *t) {
  const _Atomic th__access *vars = th__task_vars(task);
  uint32_t reads = 0, writes = 0;
  for (size_t i = 0; i < task->n_vars; i++) {
    th__access a = th__load(&vars[i], TH__RELAXED);
    reads += (a & TH__ACCESS_READ) != 0;
    writes += (a & TH__ACCESS_WRITE) != 0;
  }
  t->n_reads = (uint16_t)reads;
  t->n_writes = (uint16_t)writes;
}

/* Returns the stamp. What is told is filled field by field: an initializer would clear all of it first, which takes longer. */
static uint64_t trace_finished(th__thread *self, th__task *task, th__ref ref, uint8_t kind_flags) {
  uint64_t now = th__ticks(), edges[TH__TRACE_EDGES];
  if (kind_flags & TH__INTERNAL) return now;
  const th__stamps *s = th__task_stamps(task);
  th__pool_device *device = th__task_device(task);
  th__trace_task t;
  t.id = th__load(&task->sequence, TH__RELAXED);
  t.ref = ref;
  t.kind = th__task_kind(task);
  t.submitted = s->submitted;
  t.ready = th__load(&s->ready, TH__RELAXED);
  t.started = s->started;
  t.finished = now;
  t.starved = s->starved;
  t.bytes = th__memory_unpack(task->memory);
  t.edges = edges;
  t.n_edges = th__trace_on(TH_PROFILE_EDGES) ? trace_edges(task, edges) : 0;
  t.lane = self->pool == device ? self->worker : TH__TRACE_HOST;
  t.device_kind = (int16_t)device->id.kind;
  t.device_index = (int16_t)device->id.index;
  t.status = trace_status(task);
  trace_accesses(task, &t);
  if (task->lane >= 0) {
    t.lane = TH__TRACE_LANES + task->lane;
    th__lanes_times(device, task, &t.started, &t.finished);
  }
  th__trace_task_done(&t);
  self->tick_of = task->status == TH_OK ? ref : 0;
  return now;
}

/* Releases the owner's part of a task before it is closed. */
TH__INLINED void drop_parts(th__thread *self, th__task *task, const th__kind *kind, th__ref ref,
                            uint8_t kind_flags) {
  void (*drop)(void *arg) = kind->drop;
  if (drop != NULL) {
    th__frame frame = {self->frame, ref};
    self->frame = &frame; /* what drop submits must not block at the run-ahead limit */
    drop(th__task_arg(task));
    self->frame = frame.outer;
  }
  if (task->memory > 0) th__memory_done(self, th__memory_unpack(task->memory));
  if (__builtin_expect((kind_flags & (TH__HEAP_ARG | TH__HEAP_VARS)) == 0, 1)) return;
  if (kind_flags & TH__HEAP_ARG) th__free(task->arg);
  if (kind_flags & TH__HEAP_VARS) th__free((void *)th__load(&task->vars[0], TH__RELAXED));
}

/* Ends the generation of a record: closes its list and wakes its waiters. Returns the list. */
TH__INLINED uint32_t close_record(th__thread *self, th__task *task, uint32_t generation_now,
                                  bool sole) {
  if (__builtin_expect(th__load(&task->extension, TH__RELAXED) != 0, 0)) th__links_free(self, task);
  uint64_t generation = (uint64_t)th__generation_after(generation_now) << 32;
  /* release: all the task did is visible to who sees the new generation. A waiter's flag is seen here, or its
   * compare-and-swap meets the new generation. */
  uint64_t list = th__exchange_by(sole, &task->done_list, generation);
  th__store(&task->word, generation | TH__FREE, TH__RELEASE);
  if (__builtin_expect(list & TH__WAITERS, 0)) th__unpark_waiters(task);
  return (uint32_t)list & ~TH__WAITERS;
}

/* Where released tasks go: one to the caller to run next, one (keep) to the caller who claims it itself, others are published. */
typedef struct outlet {
  th__ref keep;
  bool may_continue;
  th__task *next; /* claimed */
  uint64_t now;   /* of the trace: when they became ready */
} outlet;

/* Whether the caller may run a released task next without publishing it. Another device's belongs to that one's workers. */
static bool may_follow(const th__thread *self, const outlet *out, uint8_t place) {
  if (!out->may_continue || out->next != NULL || TH__PLACE_CLASS(place) != TH__CLASS_DEFAULT)
    return false;
  const th__pool_device *device = th__place_device(place);
  return (self->pool == NULL || self->pool == device) && device->lanes == NULL &&
         !th__higher_waits(device, TH__CLASS_DEFAULT);
}

/* Behind several predecessors the clock is read again, since who counts the last one off need not have ended last; a thread that then
 * runs the task itself saves its reading. The sole thread ended all of them, the newest at its tick. */
TH__APART void trace_ready(th__thread *self, th__task *task, uint64_t now, bool sole) {
  if (sole && self->tick != 0) {
    now = self->tick;
  } else if (now == 0 || th__load(&task->n_links, TH__RELAXED) > 1) {
    self->tick = now = th__ticks();
  }
  th__store(&th__task_stamps(task)->ready, now, TH__RELAXED);
}

__attribute__((noinline, cold)) uint64_t th__count_off_traced(th__thread *self, th__task *task,
                                                              uint64_t word, uint32_t n,
                                                              uint64_t now, bool sole) {
  do {
    if (TH__WORD_PREDS(word) == n) trace_ready(self, task, now, sole);
    /* acq_rel: what all predecessors did is visible to the body. */
  } while (!th__cas_by(sole, &task->word, &word, word - n * TH__ONE));
  return word;
}

/* Counts one predecessor of the task off; if it was the last, the task is handed on. `word` is its word, read a moment ago. */
static inline void arrive(th__thread *self, th__task *task, uint64_t word, outlet *out, bool sole) {
  uint8_t place = th__load(&task->place, TH__RELAXED);
  if (TH__WORD_PREDS(word) == 1 && TH__WORD_PHASE(word) == TH__PENDING &&
      may_follow(self, out, place)) {
    if (__builtin_expect(out->now != 0, 0)) trace_ready(self, task, out->now, sole);
    /* acq_rel: what all predecessors did is visible to the body. */
    while (!th__cas_by(sole, &task->word, &word, word - TH__ONE + (TH__RUNNING - TH__PENDING)))
      continue; /* a flag was set */
    out->next = task;
    return;
  }
  bool maybe_last = !sole || TH__WORD_PREDS(word) == 1;
  uint64_t before = __builtin_expect(out->now != 0, 0) && maybe_last
                        ? th__count_off_traced(self, task, word, 1, out->now, sole)
                        : th__fetch_sub_by(sole, &task->word, TH__ONE);
  /* From here on somebody else may run and recycle it. */
  if (TH__WORD_PREDS(before) != 1) return;
  th__ref ref = TH__REF(TH__WORD_GENERATION(before), th__task_slot(task));
  if (TH__WORD_PHASE(before) == TH__JOIN) {
    th__release_joins(self, task);
    return;
  }
  th__pool_device *device = th__place_device(place);
  if (ref != out->keep || device->lanes != NULL)
    th__publish(self, ref, device, th__place_class(place, before));
}

/* The task of a link; *next is the link behind it. */
static inline th__task *task_of_link(uint32_t link, uint32_t *next) {
  th__task *record = th__task_at((link - 1) / TH__MORE_LINKS);
  *next = th__load(&record->links[(link - 1) % TH__MORE_LINKS], TH__RELAXED);
  bool extension = th__load(&record->kind_flags, TH__RELAXED) & TH__EXTENSION;
  return __builtin_expect(extension, 0) ? th__task_at(record->host) : record;
}

/* Slots between neighbours of a list that consecutive submissions made, at most; and how many strides to look ahead. */
#define STRIDE_MOST 32
#define STRIDES     6

/* A long list of what was submitted in a row lies in memory at even distances: the processor is told what comes. */
static inline void look_ahead(uint32_t link, uint32_t following) {
  int32_t stride = (int32_t)(following - link) / TH__MORE_LINKS;
  if (stride <= STRIDE_MOST && stride >= -STRIDE_MOST)
    th__prefetch(
        th__task_at((following / TH__MORE_LINKS + (uint32_t)(stride * STRIDES)) & (TH__SLOTS - 1)));
}

static inline void release_list(th__thread *self, uint32_t link, outlet *out, bool sole) {
  while (link != 0) {
    uint32_t following;
    th__task *task = task_of_link(link, &following);
    look_ahead(link, following);
    arrive(self, task, th__load(&task->word, TH__RELAXED), out, sole);
    link = following;
  }
}

/* Joins may follow joins: a chain of them is walked, not recursed into. */
void th__release_joins(th__thread *self, th__task *join) {
  th__task *stack = join; /* linked through `arg` */
  join->arg = NULL;
  outlet out = {.now = th__trace_on(TH_PROFILE_OPS) ? th__ticks() : 0};
  while (stack != NULL) {
    th__task *j = stack;
    stack = j->arg;
    uint32_t link = close_record(self, j, th__task_generation(j), false);
    while (link != 0) {
      th__task *task = task_of_link(link, &link);
      uint64_t word = th__load(&task->word, TH__RELAXED);
      if (TH__WORD_PHASE(word) != TH__JOIN) {
        arrive(self, task, word, &out, false);
      } else if (TH__WORD_PREDS(th__fetch_sub(&task->word, TH__ONE, TH__ACQ_REL)) == 1) {
        task->arg = stack;
        stack = task;
      }
    }
    th__slot_give(self, j);
  }
}

void th__release_issued(th__thread *self, uint32_t link) {
  outlet out = {.now = th__trace_on(TH_PROFILE_OPS) ? th__ticks() : 0};
  release_list(self, link, &out, false);
}

TH__INLINED th__task *finish(th__thread *self, th__task *task, const th__kind *kind, th__ref ref,
                             th__ref keep, bool may_continue) {
  uint8_t kind_flags = th__load(&task->kind_flags, TH__RELAXED);
  outlet out = {.keep = keep, .may_continue = may_continue};
  if (th__trace_on(TH_PROFILE_OPS))
    self->tick = out.now = trace_finished(self, task, ref, kind_flags);
  drop_parts(self, task, kind, ref, kind_flags);
  bool sole = th__sole_enter(self);
  uint32_t link = close_record(self, task, TH__REF_GENERATION(ref), sole);
  if (link != 0) release_list(self, link, &out, sole);
  th__sole_leave(self, sole);
  th__slot_give(self, task);
  th__count(&self->completed, 1);
  if (__builtin_expect(th__load(&th__the.limit_waiters, TH__RELAXED) != 0, 0)) th__limit_poke();
  if (__builtin_expect(th__load(&th__the.starved, TH__RELAXED) != 0, 0)) th__starved_retry(self);
  return out.next;
}

th__task *th__finish(th__thread *self, th__task *task, th__ref keep, bool may_continue) {
  return finish(self, task, th__task_kind(task), th__task_ref(task), keep, may_continue);
}

/* Behind a body that may not have ended its task: it found no memory, or a token has to come. True: nothing more to do here. */
TH__APART bool goes_on(th__thread *self, th__task *task, th__ref ref) {
  if (th__load(&task->kind_flags, TH__RELAXED) & TH__LAST_CHANCE) th__last_chance_over(task);
  if (task->status == TH__STARVED) {
    th__starve(self, task);
    return true;
  }
  return (th__load(&task->kind_flags, TH__RELAXED) & TH__ASYNC) &&
         !th__async_returned(self, task, ref);
}

TH__INLINED th__task *run(th__thread *self, th__task *task, th__ref ref, th__ref keep,
                          bool may_continue) {
  const th__kind *kind = th__task_kind(task);
  th__prefetch(th__task_at(task->hint)); /* it comes soon, from another core */
  th__ask_for_successor(task);
  execute(self, task, kind, ref, NULL);
  bool unusual = task->status == TH__STARVED ||
                 (th__load(&task->kind_flags, TH__RELAXED) & (TH__ASYNC | TH__LAST_CHANCE));
  if (__builtin_expect(unusual, 0) && goes_on(self, task, ref)) return NULL;
  return finish(self, task, kind, ref, keep, may_continue);
}

void th__run(th__thread *self, th__task *task, th__ref keep) {
  (void)run(self, task, running_ref(task), keep, false);
}

/* A chain that others feed for ever must not keep a thread that waits, or the tasks that wait for a worker: after a while what
 * comes next is published. Not in serial mode, which has no queue. */
static bool follows_on(int64_t *end) {
  if (th__the.mode == TH__MODE_SERIAL) return true;
  int64_t now = th__now_ns();
  if (*end == 0) *end = now + FOLLOW_NS;
  return now < *end;
}

void th__run_all(th__thread *self, th__task *task) {
  bool follow = th__the.mode <= TH__MODE_SERIAL;
  int64_t end = 0;
  for (uint32_t n = 1; task != NULL; n++) {
    if (n % FOLLOWED == 0) follow = follow && follows_on(&end);
    task = run(self, task, running_ref(task), 0, follow);
  }
}

void th__run_ref(th__thread *self, th__ref ref) {
  if (__builtin_expect(TH__IS_LOOP(ref), 0)) {
    th__loop_join(ref);
  } else if (th__claim(self, ref)) {
    th__task *task = th__task_at(TH__REF_SLOT(ref));
    if (th__load(&task->kind_flags, TH__RELAXED) & TH__LANE_TASK) {
      th__lanes_run_now(self, task); /* serial mode */
    } else {
      th__run_all(self, task);
    }
  }
}
