/* Owns the small tasks of engine tests. */
#include "support/tasks.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine/base/thread.h"

void tasks_init(const char *engine, int workers, int64_t max_ops) {
  th_config c = {.size = sizeof c, .engine = engine, .workers = workers, .max_ops = max_ops};
  if (th_init(&c) != TH_OK) {
    fprintf(stderr, "tasks_init: %s\n", th_last_error());
    abort();
  }
}

static th_status push(const char *name, th_task_fn run, const void *arg, size_t size, th_var *reads,
                      th_var *writes, int priority) {
  th_task t = {.name = name,
               .run = run,
               .arg = arg,
               .arg_size = size,
               .priority = priority,
               .reads = &reads,
               .n_reads = reads != NULL,
               .writes = &writes,
               .n_writes = writes != NULL};
  return th_push(&t);
}

th_status push_nop(th_var *reads, th_var *writes) {
  return push("nop", engine_nothing, NULL, 0, reads, writes, 0);
}

static th_status sleep_run(void *arg, th_task_context *context) {
  th__sleep_ns((int64_t) * (int *)arg * 1000000);
  return TH_OK;
}

th_status push_sleep(int ms, th_var *reads, th_var *writes) {
  return push("sleep", sleep_run, &ms, sizeof ms, reads, writes, 0);
}

typedef struct log_arg {
  task_log *log;
  int entry;
} log_arg;

static th_status log_run(void *arg, th_task_context *context) {
  log_arg *a = arg;
  a->log->entries[th__fetch_add(&a->log->count, 1, TH__RELAXED)] = a->entry;
  return TH_OK;
}

th_status push_log(task_log *log, int entry, th_var *reads, th_var *writes, int priority) {
  log_arg a = {log, entry};
  return push("log", log_run, &a, sizeof a, reads, writes, priority);
}

static th_status fail_run(void *arg, th_task_context *context) {
  return th_context_fail(context, TH_EKERNEL, "%s", *(const char **)arg);
}

th_status push_fail(const char *name, const char *text, th_var *reads, th_var *writes) {
  return push(name, fail_run, &text, sizeof text, reads, writes, 0);
}

typedef struct add_arg {
  _Atomic int *target;
  int n;
} add_arg;

static th_status add_run(void *arg, th_task_context *context) {
  add_arg *a = arg;
  th__fetch_add(a->target, a->n, TH__RELAXED);
  return TH_OK;
}

th_status push_add(_Atomic int *target, int n, th_var *reads, th_var *writes) {
  add_arg a = {target, n};
  return push("add", add_run, &a, sizeof a, reads, writes, 0);
}

static th_status hand_out_token(void *arg, th_task_context *context) {
  __atomic_store_n(*(th_token ***)arg, th_context_token(context), __ATOMIC_RELEASE);
  return TH_OK;
}

th_token *close_gate(th_var *gate) {
  th_token *token = NULL, **out = &token;
  th_task task = {.name = "gate",
                  .run = hand_out_token,
                  .arg = &out,
                  .arg_size = sizeof out,
                  .writes = &gate,
                  .n_writes = 1};
  if (th_push_async(&task) != TH_OK) return NULL;
  while (!__atomic_load_n(&token, __ATOMIC_ACQUIRE)) usleep(100);
  return token;
}

/* As many tasks as there are workers, none of which ends before all have begun. */
void tasks_await_workers(void) {
  th_engine_stats stats = {.size = sizeof stats};
  bool ok = push_nop(NULL, NULL) == TH_OK && th_wait_all() == TH_OK &&
            th_engine_get_stats(&stats) == TH_OK;
  engine_gate *gates = calloc((size_t)stats.workers + 1, sizeof *gates);
  th_var *v = th_var_new();
  for (int i = 0; ok && i < stats.workers; i++)
    ok = gates != NULL && v != NULL && engine_push_gate_reading(&gates[i], v) == TH_OK;
  if (!ok) {
    fprintf(stderr, "tasks_await_workers: %s\n", th_last_error());
    abort();
  }
  for (int i = 0; i < stats.workers; i++) engine_await(&gates[i]);
  for (int i = 0; i < stats.workers; i++) engine_open(&gates[i]);
  (void)th_wait_all();
  th_var_release(v);
  free(gates);
}
