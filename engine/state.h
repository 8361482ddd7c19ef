/* Owns the layout of the engine's private state: the engine, its threads, its device queues. Private to engine/. */
#ifndef THRUM_ENGINE_STATE_H
#define THRUM_ENGINE_STATE_H

#include "engine/base/atomic.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/base/thread.h"
#include "engine/engine.h"
#include "engine/task.h"

#define TH__MAGAZINE      256
#define TH__CLASSES       4
#define TH__CLASS_DEFAULT 1
#define TH__CLASS_URGENT  3
#define TH__MAX_DEVICES   48
#define TH__MAX_WORKERS   256
#define TH__BIAS          (UINT32_C(1) << 30)

typedef enum th__mode {
  TH__MODE_THREADS,
  TH__MODE_SERIAL,         /* inside the submitting call */
  TH__MODE_SHUFFLE,        /* one thread at a time, at sync points, in seeded order */
  TH__MODE_SHUFFLE_THREADS /* real threads, seeded choice among what is ready */
} th__mode;

/* A growable ring of ready tasks. `lock` guards all but count, which may be read without it. */
typedef struct th__queue {
  th__spin lock;
  _Atomic uint32_t count; /* changed by read-modify-write: orders "push, then look for sleepers" */
  uint32_t head, capacity;
  th__ref *ring;
} th__queue;

/* One body on a thread's stack: bodies nest when a waiting body helps. */
typedef struct th__frame {
  struct th__frame *outer;
  th__ref task;
} th__frame;

/* Everything the engine keeps per thread. Records are reused when threads end, never freed before shutdown. */
typedef struct th__thread {
  struct th__thread *next; /* all records; prepend only */
  _Atomic uint32_t in_use;
  _Atomic uint64_t submitted; /* written by the owner only */
  uint64_t sequences,
      last_sequence;          /* given to its submissions but internal ones; the owner's only */
  _Atomic uint64_t completed; /* written by the owner only */
  _Atomic uint64_t failed, skipped, steals, wakes;
  int64_t credit; /* submissions allowed before looking at the run-ahead limit again */
  struct th__pool_device *pool; /* of a worker: its device */
  int worker;                   /* index within the device; -1 = not a worker */
  bool engine_thread;           /* owned by the engine: never blocks at the run-ahead limit */
  int issuing;                  /* depth of bodies of lane tasks on this thread */
  th__queue own;                /* of a worker: what it released */
  uint32_t takes;
  uint64_t random;
  th__frame *frame;             /* innermost body */
  _Atomic uint64_t waiting_for; /* while parked inside a body: the task it waits for */
  uint32_t n_free;
  uint32_t free_slots[TH__MAGAZINE];
} th__thread;

/* An open device: its queues and workers, or its lanes. */
typedef struct th__pool_device {
  th_device id;
  uint16_t index; /* in th__engine.devices */
  const th__device_ops *ops;
  void *state;
  th__queue classes[TH__CLASSES];
  _Atomic uint32_t ready_mask; /* bit c: classes[c] may be non-empty */
  _Atomic uint32_t sleeping, spinning;
  _Atomic uint32_t wake; /* workers park here */
  int n_workers;         /* set before the threads start */
  int n_started;         /* threads to join */
  struct th__worker *workers;
  struct th__lanes *lanes; /* of a lane device */
} th__pool_device;

typedef struct th__worker {
  th__thread_handle handle;
  th__pool_device *device;
  int index;
  _Atomic(th__thread *) thread;
} th__worker;

typedef struct th__engine {
  _Atomic uint32_t phase; /* TH__PHASE_* */
  uint32_t epoch;         /* counts starts */
  th__mode mode;
  th_config config; /* defaults filled in */
  bool strict_device;
  _Atomic uint64_t sequence;      /* last given */
  _Atomic uint32_t stopping;      /* workers leave */
  _Atomic uint32_t failures_live; /* poisoned variables; 0 lets the hot path skip all checks */
  _Atomic uint32_t limit_waiters; /* submitters parked at the run-ahead limit */
  _Atomic uint32_t limit_wake;
  _Atomic int64_t bytes; /* that pending tasks will allocate */
  _Atomic(th__thread *) threads;
  _Atomic uint32_t
      active; /* threads that may be running bodies: workers not idle, helpers, lanes */
  _Atomic uint32_t starved; /* tasks waiting for memory */
  _Atomic uint32_t workers_alive;
  _Atomic uint64_t host_waits, host_wait_ns, limit_waits, fallbacks;
  _Atomic uint32_t n_devices;
  _Atomic(th__pool_device *) devices[TH__MAX_DEVICES];
} th__engine;

enum { TH__PHASE_OFF, TH__PHASE_ON, TH__PHASE_EXITING, TH__PHASE_FORKED };

extern th__engine th__the; /* the engine of this process */

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
bool th__claim(th__ref ref); /* ready -> running; false when somebody else has it */

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
typedef struct th__failure {
  _Atomic int32_t refs;
  _Atomic uint32_t observed;
  th_status status;
  uint64_t sequence;
  char text[TH__ERROR_TEXT];
} th__failure;
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

struct th_task_context {
  th__thread *thread;
  th__task *task;
  th__pool_device *device;
  void *lane_handle;
  bool failed_text; /* th_context_fail() set this thread's message */
};

/* --- switch.c --- floors above may save and restore what they keep per thread around nested bodies */
void th__switch_enter(void **saved);
void th__switch_leave(void **saved);
#define TH__SWITCHES 4

#endif
