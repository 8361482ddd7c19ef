/* Owns the delivery of the program's callbacks: on the attached libuv loop's thread, else on a service thread that is started
 * by the first need and sleeps when idle. */
#ifndef THRUM_ENGINE_SERVICE_H
#define THRUM_ENGINE_SERVICE_H

#include "thrum/base.h"

struct uv_loop_s;

/* One callback to deliver, embedded in the caller's record. run frees that record; it is called exactly once, under no lock.
 * deliver is false when it is too late: then run only frees. */
typedef struct th__call {
  struct th__call *next; /* under the service's lock while queued */
  void (*run)(struct th__call *call, bool deliver);
} th__call;

/* Announces one callback, so that posting it cannot fail and an attached loop stays alive. Each success is followed by exactly
 * one th__service_post() or th__service_cancel(). TH_ENOMEM, TH_ESHUTDOWN, TH_EFORK. */
th_status th__service_expect(const char *who);
void th__service_cancel(void);
/* Queues an announced callback, from any thread. Never fails, never delivers it here. */
void th__service_post(th__call *call);

/* What th_uv_attach() and th_uv_detach() do. */
th_status th__service_attach(struct uv_loop_s *loop);
th_status th__service_detach(struct uv_loop_s *loop);

/* True on the service thread and on the attached loop's thread: they overrun the run-ahead limit instead of blocking. */
bool th__service_thread(void);
/* True inside a callback on the service thread, where th_shutdown() cannot work (TH_EDEADLK). */
bool th__service_inside(void);

/* Called at shutdown when every task is done: delivers what is queued (here when this is the loop's thread, else on the service
 * thread), then stops; later th__service_expect() gives TH_ESHUTDOWN until th__service_start(). Nothing is delivered once it
 * has returned. Waits for a callback that runs on another thread. */
void th__service_stop(void);
/* Called at process exit instead: delivers nothing more and waits for nothing. */
void th__service_exit(void);
/* Called when the engine starts. */
void th__service_start(void);
/* Called in the child of a fork: forgets thread, loop and queue without touching locks. */
void th__service_after_fork(void);

#endif
