/* What the engine's files offer each other, file by file; ready.c, lanes.c and the slots of task.c have headers of their own. Private to engine/. */
#ifndef THRUM_ENGINE_PARTS_H
#define THRUM_ENGINE_PARTS_H

#include "engine/lanes.h"
#include "engine/ready.h"
#include "engine/slots.h"
#include "engine/state.h"

/* --- thread.c --- */
th__thread *th__self_slow(void);
th__thread *th__self_worker(void); /* as the first call on a worker */
/* initial-exec: one load instead of a call in the shared library; the system keeps room for a few such words. */
extern _Thread_local th__thread *th__self_record __attribute__((tls_model("initial-exec")));
extern _Thread_local uint32_t th__self_epoch __attribute__((tls_model("initial-exec")));
extern _Atomic(th__thread *) th__thread_numbers[TH__MAX_THREADS]; /* by th__thread.number */
/* This thread's record, made on first use; NULL and TH_ENOMEM. The engine must be on. */
static inline th__thread *th__self(void) {
  return th__self_record != NULL && th__self_epoch == th__the.epoch ? th__self_record
                                                                    : th__self_slow();
}
void th__threads_settle(void); /* waits for threads that are just ending; the engine is off */
void th__threads_free(void);   /* at shutdown */
void th__threads_forget(void);
void th__threads_after_fork(void); /* those that were ending have not come along */
/* Over all threads. */
typedef struct th__totals {
  uint64_t submitted, completed;
} th__totals;
th__totals th__totals_now(void);
static inline bool th__totals_equal(const th__totals *a, const th__totals *b) {
  return a->submitted == b->submitted && a->completed == b->completed;
}
int64_t th__in_flight(void); /* submitted and not completed */
uint64_t th__random(th__thread *self);
static inline void th__count(_Atomic uint64_t *counter, uint64_t n) { /* single writer */
  th__store(counter, th__load(counter, TH__RELAXED) + n, TH__RELEASE);
}

/* --- queue.c --- */
bool th__queue_push(th__queue *q, th__ref ref); /* false: out of memory */
th__ref th__queue_pop_front(th__queue *q,
                            uint64_t random); /* 0 = empty; random != 0 picks any element */
void th__queue_trim(th__queue *q);            /* gives a large empty ring back */
void th__queue_free(th__queue *q);

/* --- run.c --- */
/* Runs a claimed task of a pool device to its end, then publishes its successors, but for keep (or 0): that one the caller will
 * claim itself. */
void th__run(th__thread *self, th__task *task, th__ref keep);
void th__run_all(th__thread *self, th__task *task); /* a claimed task and what it leads to */
void th__execute(th__thread *self, th__task *task,
                 void *lane_handle); /* poison check, body, poison; sets task->status */
th__task *th__finish(th__thread *self, th__task *task, th__ref keep,
                     bool may_continue); /* drop, close, release */
void th__release_joins(th__thread *self, th__task *join);
/* While a trace records: counts n predecessors off the task's word, read a moment ago as `word`; returns the word before. Whoever
 * counts the last one off stamps it ready, before anybody else may claim it: at `now` (0: read the clock) if there was one. sole: in
 * a section of the sole thread. */
uint64_t th__count_off_traced(th__thread *self, th__task *task, uint64_t word, uint32_t n,
                              uint64_t now, bool sole);
void th__release_issued(th__thread *self,
                        uint32_t link);          /* the successors of a task that was issued */
void th__run_ref(th__thread *self, th__ref ref); /* entry from a queue: loop invitation or task */

/* --- group.c --- */
/* The group that t joins when this thread submits it; NULL = none. */
static inline th_group *th__group_of(const th__thread *self, const th_task *t) {
  if (t->group != NULL) return t->group;
  return t->flags & TH_TASK_INTERNAL ? NULL : self->group;
}
void th__group_join(th__task *task, th_group *group);
/* Takes a task that begins, or never will, out of its group. True: it is not to run. */
bool th__group_leave(th__task *task);
static inline bool th__group_refuses(th__task *task) {
  return __builtin_expect(task->flags & TH__GROUPED, 0) && th__group_leave(task);
}

/* --- token.c --- */
/* The body of an async task returned: true when the caller is to finish the task. */
bool th__async_returned(th__thread *self, th__task *task, th__ref ref);

/* --- help.c --- */
typedef enum { TH__HELP_DONE, TH__HELP_STUCK, TH__HELP_DEADLOCK } th__help_result;
/* Runs unfinished ancestors of target that can be claimed. */
th__help_result th__help(th__thread *self, th__ref target);
/* Whether th__help() is worth another call: the running ancestor that it watched in vain has ended, or had a loop to join. */
bool th__help_again(th__thread *self);
void th__raise(th__thread *self, th__ref target);

/* --- wait.c --- */
th_status th__wait_ref(th__thread *self, th__ref target, int64_t deadline_ns, bool help);
void th__run_everything(th__thread *self); /* that is ready, until nothing is */
void th__unpark_waiters(th__task *task);   /* after its generation ended */

/* --- limit.c --- */
th_status th__admit_slow(th__thread *self, int64_t bytes, bool try_only);
static inline th_status th__admit(th__thread *self, int64_t bytes, bool try_only) {
  if (__builtin_expect(self->credit <= 0 || bytes > self->bytes_kept, 0))
    return th__admit_slow(self, bytes, try_only);
  self->credit--;
  return TH_OK;
}
void th__limit_forget(void);                           /* at shutdown */
void th__memory_take(th__thread *self, int64_t bytes); /* a task that will allocate is pending */
void th__memory_done(th__thread *self, int64_t bytes);
void th__limit_poke(void); /* after completions, when somebody waits at the limit */

/* --- failure.c --- */
th__failure *th__failure_new(th_status status, const th__task *task, const char *text);
th__failure *th__failure_retain(th__failure *f);
void th__failure_release(th__failure *f);
th__failure *th__poison_of_inputs(const th__task *task); /* borrowed; NULL = clean */
void th__poison_outputs(const th__task *task, th__failure *f);
void th__cure_outputs(const th__task *task);
th_status th__failures_collect(void); /* for wait_all */
void th__failures_free(void);
void th__failures_forget(void);
void th__var_set_error(th_var *v, th__failure *f); /* takes a reference of its own; NULL cures */

/* --- submit.c --- */
enum { TH__SUBMIT_TRY = 1, TH__SUBMIT_ASYNC = 2, TH__SUBMIT_NO_LIMIT = 4 };
th_status th__submit(const th_task *task, uint32_t how);

/* --- var.c --- */
/* Under v's lock. Makes room for one more reader; may shorten the list of readers. */
/* Under the variable's lock: for one more reader. */
void th__var_make_room(th__thread *self, th_var *v, bool sole);
/* Under the variable's lock: joins many readers, so that at most TH__FOLD are left. */
void th__var_fold(th__thread *self, th_var *v, bool sole);

/* --- worker.c --- */
th_status th__workers_start(th__pool_device *device, int n);
void th__workers_stop(th__pool_device *device);

/* --- pin.c --- under life.c's `starting` */
void th__pin_start(void);                                       /* before any worker */
void th__pin_worker(const th__pool_device *device, int worker); /* the calling thread */

/* --- shuffle.c --- */
void th__shuffle_push(th__ref ref);
bool th__shuffle_step(th__thread *self); /* runs one ready task; false when none */
void th__shuffle_seed(uint64_t seed);
void th__shuffle_trim(void);
void th__shuffle_free(void);
void th__shuffle_forget(void);

/* --- starve.c --- */
void th__starve(th__thread *self, th__task *task); /* a body returned TH__STARVED */
void th__starved_retry(th__thread *self);          /* something finished or was freed */
/* Called by threads that found nothing to do. True: the oldest has its last chance now. */
bool th__starved_idle(th__thread *self);
bool th__last_chance(const th__task *task); /* its body found no memory: it must fail */
void th__last_chance_over(th__task *task);  /* its body has returned */
void th__starve_forget(void);

/* --- parallel.c --- */
void th__loop_join(th__ref ref); /* an invitation from a queue */
/* Whether this thread had an invitation, in time or not, since it last asked. */
bool th__loops_came(void);
/* Runs blocks of the loop that this task runs now on owner's thread. False when there are none. */
bool th__loop_help(const th__thread *owner, th__ref task);
void th__loops_forget(void);
#define TH__LOOP_BIT     (UINT32_C(1) << 31)
#define TH__IS_LOOP(ref) ((uint32_t)(ref)&TH__LOOP_BIT)

/* --- dump.c --- samples of records that change meanwhile */
/* What ref waits for: an unfinished predecessor, or what its body waits for; 0 when nothing. */
th__ref th__blocker(th__ref ref);
th__ref th__pending_at(uint32_t slot, uint64_t *sequence); /* the unfinished task there; 0 = none */
/* "#7 add: running" and so on; false when it has finished. */
bool th__task_text(th__ref ref, char *out, size_t room);

/* --- watchdog.c --- under life.c's `starting` */
void th__watchdog_start(void); /* if the settings want one */
void th__watchdog_stop(void);
void th__watchdog_after_fork(void);

/* --- log.c --- under life.c's `starting` */
th_status th__log_open(th_config *config, const char *path); /* path may be NULL. TH_EIO */
void th__log_close(void);

/* --- device.c --- */
#define TH__PER_KIND 32
extern _Atomic(th__pool_device *) th__device_table[TH_KIND_COUNT][TH__PER_KIND];
th_status th__device_find(th_device d, th__pool_device **out); /* opened on first use */
static inline th__pool_device *th__device_if_open(th_device d) {
  bool known = (uint32_t)d.kind < TH_KIND_COUNT && (uint32_t)d.index < TH__PER_KIND;
  return __builtin_expect(known, 1) ? th__load(&th__device_table[d.kind][d.index], TH__ACQUIRE)
                                    : NULL;
}
static inline th_status th__device_at(th_device d, th__pool_device **out) {
  *out = th__device_if_open(d);
  return *out != NULL ? TH_OK : th__device_find(d, out);
}
static inline th__pool_device *th__task_device(const th__task *task) {
  return th__place_device(th__load(&task->place, TH__RELAXED));
}
void th__devices_close(void);  /* stops their threads */
void th__devices_forget(void); /* in a forked child: they have no threads any more */
int th__workers_total(void);
void th__devices_stop(void); /* joins their threads; `stopping` is set */
void th__devices_trim(void); /* large empty queues go */
void th__devices_wake(void); /* so that threads see `stopping` */

/* --- switch.c --- floors above may save and restore what they keep per thread around nested bodies */
#define TH__SWITCHES 6
typedef struct th__switch {
  uint32_t n; /* of those that were registered when it was entered */
  void *saved[TH__SWITCHES];
} th__switch;
extern _Atomic uint32_t
    th__switches; /* registered; relaxed here: most programs' engines have none, or all from the start */
uint32_t th__switch_enter_all(void **saved);
void th__switch_leave_all(void **saved, uint32_t n);
static inline void th__switch_enter(th__switch *s) {
  s->n = th__load(&th__switches, TH__RELAXED) == 0 ? 0 : th__switch_enter_all(s->saved);
}
static inline void th__switch_leave(th__switch *s) {
  if (s->n != 0) th__switch_leave_all(s->saved, s->n);
}

#endif
