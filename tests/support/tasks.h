/* Small tasks for engine tests: sleep, append to a log, fail, count. */
#ifndef THRUM_TESTS_SUPPORT_TASKS_H
#define THRUM_TESTS_SUPPORT_TASKS_H

#include "support/engine.h"

/* A log that many tasks append to. */
typedef struct task_log {
  _Atomic int count;
  _Atomic int entries[100000];
} task_log;

/* Starts the engine for a test; fails the process if it cannot. workers: TH_NO_WORKERS, 0 = default. */
void tasks_init(const char *engine, int workers, int64_t max_ops);

/* Each pushes one task; reads and writes may be NULL. They return what th_push() returned. */
th_status push_nop(th_var *reads, th_var *writes);
th_status push_sleep(int ms, th_var *reads, th_var *writes);
th_status push_log(task_log *log, int entry, th_var *reads, th_var *writes, int priority);
th_status push_fail(const char *name, const char *text, th_var *reads, th_var *writes);
th_status push_add(_Atomic int *target, int n, th_var *reads, th_var *writes);
/* Submits a task that writes gate and ends only when its token is signalled; returns the token, NULL when it was refused. */
th_token *close_gate(th_var *gate);
/* Returns when each worker of the threaded engine has run a task. A thread that starts late takes memory when it does: for tests that
 * count blocks, or let allocations fail. The program must have no other task pending. */
void tasks_await_workers(void);

#endif
