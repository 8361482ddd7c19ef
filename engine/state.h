/* Owns the layout of the engine's private state: the engine, its threads, its device queues. Private to engine/. */
#ifndef THRUM_ENGINE_STATE_H
#define THRUM_ENGINE_STATE_H

#include "engine/base/atomic.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/base/thread.h"
#include "engine/deque.h"
#include "engine/engine.h"
#include "engine/task.h"

#define TH__MAGAZINE      256
#define TH__CLASSES       4
#define TH__CLASS_DEFAULT 1
#define TH__CLASS_URGENT  3
#define TH__MAX_DEVICES   48
#define TH__MAX_WORKERS   256
#define TH__MAX_SOURCES   1024 /* deques of one device */
/* Threads that have a number. More may work, but helpers do not see what they wait for. */
#define TH__MAX_THREADS 4096
#define TH__SEQUENCES   64 /* sequence numbers a thread takes at a time */
#define TH__BATCH       8  /* tasks taken from an inbox at a time */
#define TH__LINE        64 /* keeps what different threads write on different cache lines */

/* On the way of every task: part of its caller. What only few tasks need stays apart, out of the way's registers and lines. */
#define TH__INLINED static inline __attribute__((always_inline))
#define TH__APART   static __attribute__((noinline, cold))
/* Before a loop over at most TH__INLINE_VARS. (clang unrolls these by itself.) */
#ifdef __clang__
#define TH__UNROLLED
#else
#define TH__UNROLLED _Pragma("GCC unroll 3")
#endif

typedef enum th__mode {
  TH__MODE_THREADS,
  TH__MODE_SERIAL,         /* inside the submitting call */
  TH__MODE_SHUFFLE,        /* one thread at a time, at sync points, in seeded order */
  TH__MODE_SHUFFLE_THREADS /* real threads, seeded choice among what is ready */
} th__mode;

#define TH__QUEUE_FIRST 256

/* A growable ring of ready tasks for what is not hot: priority classes, lanes, shuffle modes; the first entries need no memory.
 * `lock` guards all but count, which may be read without it. All zero is empty. */
typedef struct th__queue {
  th__spin lock;
  _Atomic uint32_t count; /* changed by read-modify-write: orders "push, then look for sleepers" */
  uint32_t head, capacity;
  th__ref *ring; /* `first`, or allocated; NULL until the first push */
  th__ref first[TH__QUEUE_FIRST];
} th__queue;

/* One body on a thread's stack: bodies nest when a waiting body helps. */
typedef struct th__frame {
  struct th__frame *outer;
  th__ref task;
} th__frame;

/* Everything the engine keeps per thread. Records are reused when threads end, never freed before shutdown. */
typedef struct th__thread {
  struct th__thread *next; /* all records; prepend only */
  uint16_t number;         /* from 1; 0 = none was left */
  bool deque_is_worker;    /* constant: how the deque is used, see deque.h */
  _Atomic uint32_t in_use;
  _Atomic uint64_t waiting_for; /* while parked inside a body: the task it waits for */
  _Atomic th__ref loop; /* that its innermost body runs: who waits for the body joins; 0 = none */
  _Atomic(struct th__pool_device *)
      home; /* the device whose tasks the deque holds; never changes once set */
  char gap[TH__LINE];
  /* Written by the owner only; the atomic ones are read by others. */
  _Atomic uint32_t inside; /* a section of the sole thread, see sole.h */
  _Atomic uint64_t submitted, completed;
  _Atomic uint64_t failed, skipped, steals, wakes;
  _Atomic uint64_t host_waits, host_wait_ticks;
  uint64_t next_sequence, sequence_end;
  uint64_t sequences, last_sequence; /* given to its submissions but internal ones */
  th__last_error *error;             /* this thread's th__error_slot() */
  int64_t bytes_kept;                /* counted in th__the.bytes beyond what its tasks need */
  int64_t credit; /* submissions allowed before looking at the run-ahead limit again */
  struct th__pool_device *pool; /* of a worker: its device */
  int worker;                   /* index within the device; -1 = not a worker */
  bool engine_thread;           /* owned by the engine: never blocks at the run-ahead limit */
  int issuing;                  /* depth of bodies of lane tasks on this thread */
  uint32_t takes;
  uint32_t help_share; /* tasks run at a time at the run-ahead limit, but one */
  uint64_t random;
  uint64_t
      tick; /* of the trace: when it ended a task and went straight on; 0 = it did something else since */
  th__ref tick_of;  /* the task that ended well at `tick`, as long as that stays so; 0 = none */
  th__ref watched;  /* the running task whose loops it waited for in vain; 0 = none */
  th__frame *frame; /* innermost body */
  th_group *group;  /* its submissions join this one; NULL = none. Borrowed */
  uint32_t n_free;
  th__ref free_slots[TH__MAGAZINE]; /* with their generations, for trimming */
  th__known_kind kinds[TH__KINDS_KNOWN];
  char gap_before_deque[TH__LINE];
  th__deque deque; /* of a worker: what it released; of others: what they submitted */
} th__thread;

/* An open device: its queues and workers, or its lanes. */
typedef struct th__pool_device {
  th_device id;
  uint16_t index; /* in th__engine.devices */
  const th__device_ops *ops;
  void *state;
  bool plain; /* no lanes, and ready tasks go to deques, as they do unless a mode shuffles them */
  int n_workers; /* set before the threads start */
  int n_started; /* threads to join */
  int n_ended;   /* workers it had before it was stopped, which traces written at the end show */
  struct th__worker *workers;
  struct th__lanes *lanes; /* of a lane device */
  /* Threads whose deques hold this device's tasks: workers and inboxes. Appended under `sources_lock`. */
  th__spin sources_lock;
  _Atomic uint32_t n_sources;
  _Atomic(th__thread *) sources[TH__MAX_SOURCES];
  char gap[TH__LINE];
  _Atomic uint32_t ready_mask; /* bit c: classes[c] may be non-empty */
  _Atomic uint32_t sleeping;   /* workers parked, or about to: announced before the last look */
  _Atomic uint32_t spinning;   /* workers that look for work */
  _Atomic uint32_t napping;    /* one sleeper that looks again by itself soon */
  _Atomic uint32_t wake;       /* workers park here */
  char gap_after[TH__LINE];
  th__queue classes[TH__CLASSES];
} th__pool_device;

typedef struct th__worker {
  th__thread_handle handle;
  th__pool_device *device;
  int index;
} th__worker;

typedef struct th__engine {
  /* Read by everybody, seldom written. */
  _Atomic uint32_t phase; /* TH__PHASE_* */
  uint32_t epoch;         /* counts starts */
  uint32_t
      first_epoch; /* of this process; what is older was forked with its parent in the middle of using it */
  th__mode mode;
  bool strict_device;
  _Atomic uint32_t stopping;      /* workers leave */
  _Atomic uint32_t failures_live; /* poisoned variables; 0 lets the hot path skip all checks */
  _Atomic uint32_t limit_waiters; /* submitters parked at the run-ahead limit */
  _Atomic uint32_t starved;       /* tasks waiting for memory */
  _Atomic(th__thread *) threads;
  _Atomic(th__thread *) sole; /* the only thread record; NULL since there was a second: sole.h */
  _Atomic uint32_t n_devices;
  _Atomic(th__pool_device *) devices[TH__MAX_DEVICES];
  th_config config;     /* defaults filled in */
  uint64_t begin_ticks; /* when it started, by both clocks */
  int64_t begin_ns;
  char gap[TH__LINE];
  _Atomic uint64_t sequence; /* numbers given to threads so far */
  char gap_after_sequence[TH__LINE];
  _Atomic int64_t bytes; /* that pending tasks will allocate */
  char gap_after_bytes[TH__LINE];
  _Atomic uint32_t limit_wake;
  _Atomic uint32_t workers_alive;
  _Atomic uint64_t limit_waits, fallbacks;
} th__engine;

enum { TH__PHASE_OFF, TH__PHASE_ON, TH__PHASE_EXITING, TH__PHASE_FORKED };

extern th__engine th__the; /* the engine of this process */

/* What a running body may ask about. */
struct th_task_context {
  th__thread *thread;
  th__task *task;
  void *lane_handle;
  bool failed_text; /* th_context_fail() set this thread's message */
  bool starves;     /* found no memory and was told that there may be some later */
};

/* What went wrong in a task; shared by all variables it poisons. */
typedef struct th__failure {
  _Atomic int32_t refs;
  _Atomic uint32_t observed;
  th_status status;
  uint64_t sequence;
  char text[TH__ERROR_TEXT];
} th__failure;

#endif
