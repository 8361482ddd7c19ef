/* Helpers of engine tests: pushing any body, bodies that do little, gates that hold tasks back. support/tasks.h starts the
 * engine and pushes small tasks in one call. */
#ifndef THRUM_TESTS_ENGINE_H
#define THRUM_TESTS_ENGINE_H

#include <pthread.h>

#include "engine/base/atomic.h"
#include "support/sanitizers.h"
#include "thrum/engine.h"

enum {
  ENGINE_PLAIN_MEMORY =
      !ADDRESS_SANITIZER && !THREAD_SANITIZER, /* resident memory says something */
  /* TSan ends a forked child that starts threads; in ASan's they may wait for a lock of its allocator that was held at the fork. */
  ENGINE_THREADS_AFTER_FORK = !THREAD_SANITIZER && !ADDRESS_SANITIZER
};

/* Pushes run(&arg): the body gets a pointer to this pointer. */
th_status engine_push(const char *name, th_task_fn run, void *arg, th_var *const *reads,
                      size_t n_reads, th_var *const *writes, size_t n_writes);
th_status engine_nothing(void *arg, th_task_context *context);
th_status engine_count(void *arg, th_task_context *context); /* arg: _Atomic int * */
th_status engine_fail(void *arg, th_task_context *context);  /* TH_EKERNEL */
void engine_drain(void);       /* until nothing is pending, without helping */
int64_t engine_resident(void); /* bytes of this process in memory */

/* A task that ends when the gate is opened. */
typedef struct engine_gate {
  _Atomic uint32_t open, entered, passed;
  pthread_t opener;
  int64_t delay;
} engine_gate;
th_status engine_push_gate(engine_gate *gate, th_var *write);
th_status engine_push_gate_reading(engine_gate *gate, th_var *read);
void engine_await(engine_gate *gate); /* until its body runs */
void engine_open(engine_gate *gate);
void engine_open_later(engine_gate *gate,
                       int64_t ns); /* from another thread; engine_join() afterwards */
void engine_join(engine_gate *gate);
int engine_passed(engine_gate *gate); /* 1 once its body has returned */

#endif
