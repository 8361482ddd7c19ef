/* What the engine's files offer each other, file by file. Private to engine/. */
#ifndef THRUM_ENGINE_PARTS_H
#define THRUM_ENGINE_PARTS_H

#include "engine/state.h"

/* --- thread.c --- */
th__thread *th__self_slow(void);
extern _Thread_local th__thread *th__self_record;
extern _Thread_local uint32_t th__self_epoch;
/* This thread's record, made on first use; NULL and TH_ENOMEM. The engine must be on. */
static inline th__thread *th__self(void) {
  return th__self_record != NULL && th__self_epoch == th__the.epoch ? th__self_record
                                                                    : th__self_slow();
}
void th__threads_free(void); /* at shutdown */
int64_t th__in_flight(void); /* submitted - completed, over all threads */
uint64_t th__random(th__thread *self);
static inline void th__count(_Atomic uint64_t *counter, uint64_t n) { /* single writer */
  th__store(counter, th__load(counter, TH__RELAXED) + n, TH__RELEASE);
}

/* --- queue.c --- */
bool th__queue_push(th__queue *q, th__ref ref); /* false: out of memory */
th__ref th__queue_pop_front(th__queue *q,
                            uint64_t random); /* 0 = empty; random != 0 picks any element */
th__ref th__queue_pop_back(th__queue *q);
int th__queue_take(th__queue *q, th__ref *out, int max); /* from the front */
void th__queue_trim(th__queue *q);                       /* gives a large empty ring back */
void th__queue_free(th__queue *q);

/* --- ready.c --- */
/* A task became ready: makes it claimable and puts it where a worker, issue thread or waiter finds it. */
void th__publish(th__thread *self, th__task *task);
void th__publish_raised(th__thread *self,
                        th__task *task); /* a second reference, in the urgent class */
th__ref th__take(th__thread *self,
                 th__pool_device *device); /* next entry for a worker or helper; 0 = none */
th__ref th__take_any(th__thread *self);    /* from any pool device; 0 = none */
bool th__higher_waits(const th__pool_device *device, int class_);
void th__invite(th__thread *self, th__pool_device *device, th__ref loop, int n);
void th__wake_workers(th__thread *self, th__pool_device *device, int n);
void th__spin_end(th__thread *self, th__pool_device *device,
                  bool found); /* a worker stops looking */
bool th__claim(th__ref ref);   /* ready -> running; false when somebody else has it */

/* --- run.c --- */
/* Runs a claimed task of a pool device to its end; then successors: those not run by the return value are published.
 * Returns a released successor, claimed for the caller to run next, or NULL. keep: a task the caller will claim itself
 * (it must not be taken away by publishing), or 0. */
th__task *th__run(th__thread *self, th__task *task, th__ref keep, bool may_continue);
void th__run_all(th__thread *self, th__task *task); /* a claimed task and what it leads to */
void th__execute(th__thread *self, th__task *task,
                 void *lane_handle); /* poison check, body, poison; sets task->status */
void th__finish(th__thread *self, th__task *task, th__ref keep,
                th__task **next); /* drop, close, release */
void th__release_joins(th__thread *self, th__task *join);
void th__release_issued(th__thread *self,
                        uint32_t link);          /* the successors of a task that was issued */
void th__run_ref(th__thread *self, th__ref ref); /* entry from a queue: loop invitation or task */

/* --- token.c --- */
/* The body of an async task returned: true when the caller is to finish the task. */
bool th__async_returned(th__thread *self, th__task *task, th__ref ref);

/* --- help.c --- */
typedef enum { TH__HELP_DONE, TH__HELP_STUCK, TH__HELP_DEADLOCK } th__help_result;
/* Runs unfinished ancestors of target that can be claimed. */
th__help_result th__help(th__thread *self, th__ref target);
void th__raise(th__thread *self, th__ref target);

/* --- wait.c --- */
th_status th__wait_ref(th__thread *self, th__ref target, int64_t deadline_ns, bool help);

/* --- limit.c --- */
th_status th__admit(th__thread *self, int64_t bytes, bool try_only);
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
th_status th__submit(const th_task *task, uint32_t how, th__ref *out);

/* --- var.c --- */
/* Adds v's unfinished accesses before an access of this kind: calls link(task, ref) for each, under v's lock. */
uint32_t th__var_enter(th__thread *self, th_var *v, th__task *task, bool write);

/* --- link.c --- */
/* Makes task a successor of ref, unless that has finished. Returns links made: 0 or 1. */
uint32_t th__link(th__thread *self, th__task *task, th__ref ref);
void th__links_free(th__thread *self, th__task *task);

/* --- lanes.c --- */
th_status th__lanes_open(th__pool_device *device);
void th__lanes_close(th__pool_device *device);
void th__lanes_wake(th__pool_device *device);
void th__lanes_push(th__thread *self, th__pool_device *device, th__ref ref);
th__ref th__lanes_take(th__pool_device *device); /* in serial mode: the next ready one; 0 = none */
bool th__lanes_poll(
    th__thread *self,
    th__pool_device *device); /* finishes what has passed; false when nothing is issued */
void th__lanes_issue(th__thread *self, th__task *task);   /* a claimed task */
void th__lanes_run_now(th__thread *self, th__task *task); /* a claimed task, to its end */

/* --- worker.c --- */
th_status th__workers_start(th__pool_device *device, int n);
void th__workers_stop(th__pool_device *device);

/* --- shuffle.c --- */
void th__shuffle_push(th__ref ref);
bool th__shuffle_step(th__thread *self); /* runs one ready task; false when none */
void th__shuffle_seed(uint64_t seed);
void th__shuffle_trim(void);
void th__shuffle_free(void);
void th__shuffle_forget(void);

/* --- starve.c --- */
void th__starve(th__thread *self, th__task *task); /* a body returned TH__STARVED */
void th__starved_retry(th__thread *self, bool last_chance);
void th__starved_idle(th__thread *self); /* called by threads that found nothing to do */
bool th__task_last_chance(const th__task *task);
void th__starve_free(void);
void th__starve_forget(void);

/* --- parallel.c --- */
void th__loop_join(th__ref ref); /* an invitation from a queue */
void th__loops_forget(void);
#define TH__LOOP_BIT     (UINT32_C(1) << 31)
#define TH__IS_LOOP(ref) ((uint32_t)(ref)&TH__LOOP_BIT)

/* --- device.c --- */
th_status th__device_at(th_device d, th__pool_device **out); /* opened on first use */
void th__devices_close(void);                                /* stops their threads */
void th__devices_forget(void); /* in a forked child: they have no threads any more */
int th__workers_total(void);
void th__devices_stop(void); /* joins their threads; `stopping` is set */
void th__devices_trim(void); /* large empty queues go */
void th__devices_wake(void); /* so that threads see `stopping` */

/* --- switch.c --- floors above may save and restore what they keep per thread around nested bodies */
void th__switch_enter(void **saved);
void th__switch_leave(void **saved);
#define TH__SWITCHES 4

#endif
