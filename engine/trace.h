/* What the engine calls to be seen: stamps, edges, host waits, counters. Recording is off until th_profile_start(); the hot
 * path pays one relaxed load. Each thread records into its own bounded ring, which only it writes. */
#ifndef THRUM_ENGINE_TRACE_H
#define THRUM_ENGINE_TRACE_H

#include <time.h>

#include "engine/base/atomic.h"
#include "engine/device.h"
#include "thrum/profile.h"

/* TH_PROFILE_* bits that are being recorded; 0 = off. */
extern _Atomic uint32_t th__trace_flags;

/* True when one of the kinds in what is recorded: `if (th__trace_on(TH_PROFILE_OPS)) slot->submitted = th__ticks();` */
static inline bool th__trace_on(uint32_t what) {
  return __builtin_expect((th__load(&th__trace_flags, TH__RELAXED) & what) != 0, 0);
}

/* Which clock th__ticks() reads: 0 = not yet known, 1 = the time stamp counter, 2 = CLOCK_MONOTONIC in ns. Decided once. */
extern _Atomic uint32_t th__trace_clock;
uint32_t th__trace_clock_decide(void);

/* A time stamp in ticks of an unspecified unit; the trace converts it to ns. */
static inline uint64_t th__ticks(void) {
#if defined(__x86_64__)
  uint32_t clock = th__load(&th__trace_clock, TH__RELAXED);
  if (__builtin_expect(clock == 0, 0)) clock = th__trace_clock_decide();
  if (__builtin_expect(clock == 1, 1)) return __builtin_ia32_rdtsc();
#endif
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Reads th__ticks() and th__now_ns() at nearly the same moment. */
void th__trace_clocks(uint64_t *ticks, int64_t *ns);

/* th__trace_task.lane beyond the worker indices 0, 1, ... of a pool. */
enum {
  TH__TRACE_HOST = -1, /* a helping or submitting thread of the program: the thread that records */
  TH__TRACE_LANES = 0x100000, /* lane i of a lane device is TH__TRACE_LANES + i */
};

/* th__trace_task.status; COPY is a flag: it moves data between devices, or between a device and the host. */
enum { TH__TRACE_OK, TH__TRACE_FAILED, TH__TRACE_SKIPPED, TH__TRACE_COPY = 4 };

enum { TH__TRACE_EDGES = 128 }; /* of one task; more are left out */

/* A completed task. Stamps from before the start of recording, zeros and stale ones included, are clamped, so a task that was
 * submitted before th_profile_start() needs no care. A skipped task may give started == finished. */
typedef struct th__trace_task {
  uint64_t id;                                  /* sequence number */
  uint64_t ref;                                 /* its th__ref */
  const char *name;                             /* copied during the call; NULL = "task" */
  const struct th__kind *kind;                  /* whose name it is instead; NULL = nobody's */
  uint64_t submitted, ready, started, finished; /* th__ticks() */
  uint64_t starved;                             /* when it first found no memory; 0 = it did not */
  int64_t bytes;                                /* it allocates */
  const uint64_t *edges;                        /* th__refs of the tasks it waited for */
  uint32_t n_edges;
  int32_t lane; /* worker index >= 0, or TH__TRACE_* */
  int16_t device_kind, device_index;
  uint16_t n_reads, n_writes;
  uint8_t status; /* TH__TRACE_OK and so on */
} th__trace_task;

/* Records a completed task; called by the completing thread. With TH__TRACE_HOST it must be the thread that ran it. */
void th__trace_task_done(const th__trace_task *t);
/* Records what the task with this id does: floating-point operations and bytes read and written, and a note such as its shapes, cut
 * at TH__TRACE_NAME (NULL: none). From its body; of several calls the last counts. */
void th__trace_work(uint64_t id, int64_t flops, int64_t moved, const char *note);
/* A note whose text is made only when the calling thread meets its key for the first time, or has forgotten it. The key is a hash
 * of all that the text tells; 128 bits need no comparison. */
typedef struct th__trace_note {
  uint64_t key[2];
  void (*make)(const void *what, char *text, size_t bytes);
  const void *what;
} th__trace_note;
/* The number of its text, good for any thread until shutdown; TH__TRACE_NO_NOTE when nothing is recorded. */
uint32_t th__trace_note_number(const th__trace_note *note);
#define TH__TRACE_NO_NOTE UINT32_MAX
/* th__trace_work() of the task of context, with the note of that number. */
void th__trace_noted(th_task_context *context, int64_t flops, int64_t moved, uint32_t note);
/* Records that the calling thread waited in the public call `where`, between two th__ticks(). */
void th__trace_host_wait(const char *where, uint64_t begin, uint64_t end);
/* Records a range of the calling thread, as th__trace_host_wait(). */
void th__trace_range(const char *name, uint64_t begin, uint64_t end);
/* Records the value of a counter now. The number of pending tasks needs no call: it follows from the tasks' stamps. */
void th__trace_counter(const char *name, int64_t value);

/* --- trace_memory.c --- */
/* Records that a block of d's memory was taken (after that) or is given back (bytes < 0; before that). Who took it: the task of
 * context, else (NULL) the innermost range of the calling thread. Now and then the figures of d's memory, too. */
void th__trace_block(th_task_context *context, const th__device_ops *ops, void *state, th_device d,
                     const void *block, int64_t bytes);
/* When recording begins: what devices hold. */
void th__trace_memory_begins(void);
/* The same without the figures, which need the lock of the device's memory. */
void th__trace_block_changed(th_device d, uint64_t block, int64_t bytes, const char *who);
/* The same at a th__ticks() of the caller's. */
void th__trace_block_changed_at(uint64_t at, th_device d, uint64_t block, int64_t bytes,
                                const struct th__kind *who);

/* TH_PROFILE=path: called when the engine has started; records everything. */
void th__trace_autostart(const char *path);
/* Called at shutdown or exit when the last task is done; writes the file if autostarted. Tells the logger of failures. */
void th__trace_autostop(void);
/* Gives all memory back and stops recording; called at shutdown, when no thread is inside the engine any more. */
void th__trace_shutdown(void);
/* Called in the child of a fork: forgets everything without touching locks or other threads' rings. Until
 * th__trace_shutdown() or th__trace_reset(), th_profile_*() answer TH_EFORK. */
void th__trace_after_fork(void);
void th__trace_reset(void);

#endif
