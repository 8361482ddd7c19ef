/* Owns the delivery of the program's callbacks: on the attached libuv loop's thread, else on a service thread that is started
 * by the first need and sleeps when idle. */
#ifndef THRUM_ENGINE_SERVICE_H
#define THRUM_ENGINE_SERVICE_H

#include "thrum/base.h"

/* One callback to deliver, embedded in the caller's record. run frees that record; it is called under no lock. */
typedef struct th__call {
  struct th__call *next; /* under the service's lock while queued */
  void (*run)(struct th__call *call);
} th__call;

/* Announces one callback, so that posting it cannot fail and an attached loop stays alive. Each success is followed by exactly
 * one th__service_post() or th__service_cancel(). TH_ENOMEM, TH_ESHUTDOWN, TH_EFORK. */
th_status th__service_expect(void);
void th__service_cancel(void);
/* Queues an announced callback, from any thread. Never fails, never runs it here. */
void th__service_post(th__call *call);

/* True on the service thread and on the attached loop's thread: they overrun the run-ahead limit instead of blocking. */
bool th__service_thread(void);
/* True inside a callback on the service thread, where th_shutdown() cannot work (TH_EDEADLK). */
bool th__service_inside(void);

/* Called at shutdown when every task is done: runs the callbacks that are queued, then stops; later th__service_expect() gives
 * TH_ESHUTDOWN until th__service_start(). Nothing is delivered once it has returned. */
void th__service_stop(void);
/* Called when the engine starts. */
void th__service_start(void);
/* Called in the child of a fork: forgets thread, loop and queue without touching locks. */
void th__service_after_fork(void);

#endif
