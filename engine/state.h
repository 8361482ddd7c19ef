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

/* What a running body may ask about. */
struct th_task_context {
  th__thread *thread;
  th__task *task;
  th__pool_device *device;
  void *lane_handle;
  bool failed_text; /* th_context_fail() set this thread's message */
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
