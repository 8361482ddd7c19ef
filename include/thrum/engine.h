/**
 * @file engine.h
 * Variables and tasks: the engine without arrays.
 *
 * A variable orders accesses. Two tasks that name the same variable, one of them writing it, take effect in the order
 * of their submission; nothing else is ordered. Any thread may submit at any time.
 */
#ifndef THRUM_ENGINE_H
#define THRUM_ENGINE_H

#include <thrum/base.h>
#include <thrum/device.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct th_var th_var; /**< Orders accesses to something; counted. */
typedef struct th_task_context
    th_task_context;              /**< What a running task may ask; valid inside its body only. */
typedef struct th_token th_token; /**< Completion of a task by foreign code; see th_push_async(). */
typedef struct th_group th_group; /**< Tasks that can be canceled together; counted. */
typedef struct th_prepared th_prepared; /**< A task that was checked once, to be pushed often. */

/** Body of a task. arg points to the task's own copy of its argument bytes. A negative status is the task's failure:
 *  everything it writes is poisoned with it. May submit and wait (waiting on a lane
 *  of a stream device is TH_EDEADLK); must not longjmp or throw out. */
typedef th_status (*th_task_fn)(void *arg, th_task_context *context);

/** th_task.flags */
enum {
  TH_TASK_ALWAYS =
      1, /**< Runs even when what it reads is poisoned (cleanup), and neither inherits nor spreads that. */
  TH_TASK_ADOPT = 2, /**< arg is not copied: the task owns the pointer and drop frees it. */
  TH_TASK_INLINE =
      4, /**< May run inside the submitting call when ready; must be short and never block. */
  TH_TASK_INTERNAL = 8, /**< Left out of traces and statistics. */
  TH_TASK_COPY_IN = 16, /**< Use the device's copy-in lane. */
  TH_TASK_COPY_OUT = 32 /**< Use the device's copy-out lane. */
};

/** Priority classes: a ready task of a higher class is started before any of a lower one. */
enum {
  TH_PRIORITY_LOW = -1,    /**< Only when nothing else is ready. */
  TH_PRIORITY_DEFAULT = 0, /**< Fair, not ordered. */
  TH_PRIORITY_HIGH = 1,    /**< First in, first out among equals. */
  TH_PRIORITY_URGENT = 2   /**< First in, first out among equals. */
};

/** A task to submit. Zero-initialise; run is required. All pointers are only read during the call, except arg with
 *  TH_TASK_ADOPT and name, which must stay valid until the task is done (a literal). */
typedef struct th_task {
  const char *name; /**< For traces, messages, dumps; NULL = "task". */
  th_task_fn run;   /**< The body. */
  const void *arg;  /**< Argument bytes, copied by the call. */
  size_t arg_size;  /**< How many. */
  void (*drop)(
      void *
          arg); /**< Called once with the argument after the task ran or was skipped; may be NULL. */
  th_var *const *reads; /**< Variables the body reads. */
  size_t n_reads;       /**< How many. */
  th_var *const *
      writes; /**< Variables the body writes. One also in reads is written in place. Duplicates are merged. */
  size_t n_writes;  /**< How many. */
  th_device device; /**< Where it runs; zero = cpu:0. */
  int priority;     /**< TH_PRIORITY_*. */
  uint32_t flags;   /**< TH_TASK_*. */
  int64_t bytes;    /**< Memory the body will allocate and keep; counts for the run-ahead limit. */
  th_group *group;  /**< Group it joins; NULL = the one of the submitting thread, if any. */
} th_task;

TH_API th_var *th_var_new(void);         /**< +1, or NULL when out of memory. */
TH_API th_var *th_var_retain(th_var *v); /**< Adds a reference; returns v. */
TH_API void th_var_release(
    th_var *v); /**< Drops one; legal while tasks use v, and with NULL. Never blocks. */
TH_API uint64_t th_var_version(const th_var *v); /**< Writes submitted so far. */

/** Submits a task. Returns before it ran. Blocks only at the run-ahead limit and only on threads the engine does not
 *  own (there it helps). After an error nothing was enqueued and drop was not called: TH_EINVAL (no body, NULL
 *  variable), TH_EDEVICE, TH_ENOMEM, TH_EFORK, TH_ESHUTDOWN. */
TH_API th_status th_push(const th_task *task);
/** As th_push(), but TH_EAGAIN instead of blocking at the limit. */
TH_API th_status th_push_try(const th_task *task);
/** As th_push(), with TH_ENOSYS on devices other than CPUs, but the task is complete only when its token is signalled: the body takes it with
 *  th_context_token() and hands it to foreign code. A body that fails completes the task itself. */
TH_API th_status th_push_async(const th_task *task);

/** As th_push() for each of n tasks, in order. Stops at the first error and returns it; *pushed (may be NULL) tells how many
 *  were enqueued before it. May block at the run-ahead limit in the middle. */
TH_API th_status th_push_batch(const th_task *tasks, size_t n, size_t *pushed);

/** Checks a task and keeps a copy of it: of its argument bytes and lists too; variables and group are retained. NULL
 *  with the errors of th_push(), and TH_EINVAL for TH_TASK_ADOPT, since an argument can be handed over only once. */
TH_API th_prepared *th_prepare(const th_task *task);
/** As th_push() of the task that was prepared, without the checks: again and again, from any thread. Each push has a copy of the
 *  argument and calls drop for it. TH_EFORK when the engine was left since. */
TH_API th_status th_push_prepared(const th_prepared *prepared);
/** Ends it; what was pushed goes on. Legal with NULL, and after th_shutdown(). No push may be under way. */
TH_API void th_prepared_free(th_prepared *prepared);

TH_API th_token *th_context_token(
    th_task_context *context); /**< Token of an async task; NULL in others. */
TH_API th_device th_context_device(const th_task_context *context); /**< Where the task runs. */
TH_API int th_context_worker(
    const th_task_context *context); /**< Index of the running worker, -1 on a helping thread. */
/** Sets the text of the failure the body is about to return, and returns status. */
TH_API th_status th_context_fail(th_task_context *context, th_status status, const char *format,
                                 ...) TH_PRINTF(3, 4);

/** Completes an async task, from any thread, exactly once. status < 0 poisons what it writes with message (copied,
 *  may be NULL). A second signal changes nothing and returns TH_EINVAL with a message that says so. */
TH_API th_status th_token_signal(th_token *token, th_status status, const char *message);
/** Gives up: completes the task with TH_ECANCELED and a message that says the token was dropped. */
TH_API th_status th_token_drop(th_token *token);

/** A group without tasks: +1, or NULL when out of memory. */
TH_API th_group *th_group_new(void);
TH_API th_group *th_group_retain(th_group *g); /**< Adds a reference; returns g. */
TH_API void th_group_release(
    th_group *g); /**< Drops one; its tasks go on. Legal with NULL. Never blocks. */
/** Cancels the tasks of g that have not begun, and all that join it later. They complete in their order, as soon as what they
 *  wait for is done, without their bodies: drop is called, and what they write is poisoned with TH_ECANCELED and
 *  a message that names the task, which sync points report like any failure. What has begun finishes (a task on a stream
 *  device begins when its lane reaches it; one whose token is open has begun). Tasks with TH_TASK_ALWAYS run nevertheless.
 *  Never blocks, and may be called anywhere, also twice. TH_EINVAL for NULL. */
TH_API th_status th_group_cancel(th_group *g);
TH_API bool th_group_canceled(const th_group *g); /**< th_group_cancel() was called. */
/** From now on what the calling thread submits joins g (NULL: nothing), operations on arrays included; but not the tasks of
 *  the library itself, such as reads. g is not retained: keep it until another is set. Returns the one set before,
 *  which a body has to set again before it returns. A new body starts with none. */
TH_API th_group *th_group_use(th_group *g);

/** Waits until every write of v submitted so far is complete. Returns v's error if it is poisoned. The caller runs
 *  unfinished tasks that v depends on, never others. TH_EDEADLK when one of them is what the caller is running. */
TH_API th_status th_wait_var(th_var *v);
/** As th_wait_var(), and waits for the readers too: afterwards nothing submitted so far uses v. */
TH_API th_status th_wait_var_idle(th_var *v);
/** As th_wait_var() with a limit in ns; runs no task itself. 0 and less poll. TH_ETIMEDOUT. */
TH_API th_status th_wait_var_for(th_var *v, int64_t timeout_ns);
TH_API bool th_var_is_ready(th_var *v); /**< Nothing submitted so far will write v. Never blocks. */
/** Waits for everything that any thread submitted before the call. Returns the first failure nobody has observed at a
 *  sync point (and the count in its message) and forgets those. TH_EDEADLK inside a task. */
TH_API th_status th_wait_all(void);
TH_API th_status th_wait_device(
    th_device d); /**< As th_wait_all() for the tasks of one device; reports no failures. */

/** Writes what is pending and, for the oldest, the chain that blocks it. For people. */
TH_API void th_engine_dump(FILE *out);

/** Counters since the engine started. */
typedef struct th_engine_stats {
  size_t size;           /**< sizeof(th_engine_stats); set before the call. */
  uint64_t submitted;    /**< Tasks accepted. */
  uint64_t completed;    /**< Tasks done, failed and skipped ones included. */
  uint64_t failed;       /**< Bodies that returned an error. */
  uint64_t skipped;      /**< Tasks not run because what they read was poisoned, or canceled. */
  uint64_t pending;      /**< submitted - completed. */
  uint64_t host_waits;   /**< Calls of the program that had to wait. */
  uint64_t host_wait_ns; /**< Time they took. */
  uint64_t limit_waits;  /**< Submissions that met the run-ahead limit. */
  uint64_t steals;       /**< Tasks taken from another worker's queue. */
  uint64_t wakes;        /**< Sleeping threads woken. */
  uint64_t fallbacks;    /**< Operations run on the CPU because their device lacks a kernel. */
  int workers;           /**< Worker threads of all devices. */
} th_engine_stats;
TH_API th_status
th_engine_get_stats(th_engine_stats *out); /**< Fills *out. TH_EINVAL if size is not set. */

/** Runs body(first, last, arg) over blocks of [0, n), on this task's device, and returns when all are done. Only inside
 *  a task. Blocks are of grain elements (the last may be shorter) whatever the number of workers; body must not block
 *  or submit. Workers run blocks, and threads of the program that wait for the task, for everything, or at the run-ahead
 *  limit. A loop inside a block runs there alone. */
TH_API void th_parallel_for(th_task_context *context, int64_t n, int64_t grain,
                            void (*body)(int64_t first, int64_t last, void *arg), void *arg);

#ifdef __cplusplus
}
#endif
#endif
