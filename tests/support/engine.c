/* Owns the helpers of engine tests. */
#include "support/engine.h"

#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "engine/base/thread.h"

th_status engine_push(const char *name, th_task_fn run, void *arg, th_var *const *reads,
                      size_t n_reads, th_var *const *writes, size_t n_writes) {
  th_task task = {.name = name,
                  .run = run,
                  .arg = &arg,
                  .arg_size = sizeof(arg),
                  .reads = reads,
                  .n_reads = n_reads,
                  .writes = writes,
                  .n_writes = n_writes};
  return th_push(&task);
}

th_status engine_nothing(void *arg, th_task_context *context) {
  (void)arg;
  (void)context;
  return TH_OK;
}

th_status engine_count(void *arg, th_task_context *context) {
  (void)context;
  th__fetch_add(*(_Atomic int **)arg, 1, TH__RELAXED);
  return TH_OK;
}

th_status engine_fail(void *arg, th_task_context *context) {
  (void)arg;
  return th_context_fail(context, TH_EKERNEL, "failed on purpose");
}

void engine_drain(void) {
  th_engine_stats stats = {.size = sizeof(stats)};
  while (th_engine_get_stats(&stats) == TH_OK && stats.pending > 0) th__sleep_ns(200000);
}

int64_t engine_resident(void) {
  long pages = 0;
  FILE *in = fopen("/proc/self/statm", "r");
  if (in == NULL) return 0;
  if (fscanf(in, "%*d %ld", &pages) != 1) pages = 0;
  fclose(in);
  return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

static th_status pass(void *arg, th_task_context *context) {
  engine_gate *gate = *(engine_gate **)arg;
  (void)context;
  th__store(&gate->entered, 1, TH__RELEASE);
  while (th__load(&gate->open, TH__ACQUIRE) == 0) th__park(&gate->open, 0, -1);
  th__store(&gate->passed, 1, TH__RELEASE);
  return TH_OK;
}

th_status engine_push_gate(engine_gate *gate, th_var *write) {
  return engine_push("gate", pass, gate, NULL, 0, &write, 1);
}

th_status engine_push_gate_reading(engine_gate *gate, th_var *read) {
  return engine_push("gate", pass, gate, &read, 1, NULL, 0);
}

void engine_await(engine_gate *gate) {
  while (th__load(&gate->entered, TH__ACQUIRE) == 0) th__sleep_ns(200000);
}

void engine_open(engine_gate *gate) {
  th__store(&gate->open, 1, TH__RELEASE);
  th__unpark(&gate->open, INT_MAX);
}

static void *open_later(void *arg) {
  engine_gate *gate = arg;
  th__sleep_ns(gate->delay);
  engine_open(gate);
  return NULL;
}

void engine_open_later(engine_gate *gate, int64_t ns) {
  gate->delay = ns;
  if (pthread_create(&gate->opener, NULL, open_later, gate) != 0) engine_open(gate);
}

void engine_join(engine_gate *gate) { pthread_join(gate->opener, NULL); }

int engine_passed(engine_gate *gate) { return (int)th__load(&gate->passed, TH__ACQUIRE); }
