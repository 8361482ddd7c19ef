/* Run-ahead: bounded in operations and bytes, never a deadlock, memory back after a wait. */
#include <pthread.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "engine/base/mem.h"
#include "engine/base/thread.h"
#include "engine/task.h"
#include "engine/var.h"
#include "support/tasks.h"
#include "thrum/device.h"

TestSuite(limit, .timeout = 60);

enum { KIB = 1024 };

static uint64_t pending(void) {
  th_engine_stats s = {.size = sizeof s};
  th_engine_get_stats(&s);
  return s.pending;
}

Test(limit, pending_operations_stay_bounded) {
  tasks_init("threads", TH_NO_WORKERS, 100);
  th_var *v = th_var_new();
  uint64_t most = 0;
  for (int i = 0; i < 5000; i++) {
    cr_assert(eq(int, push_nop(NULL, v), TH_OK));
    uint64_t now = pending();
    if (now > most) most = now;
  }
  cr_assert(most <= 100 && most >= 50, "most %llu", (unsigned long long)most);
  th_wait_all();
  th_var_release(v);
  th_shutdown();
}

static th_status nothing(void *arg, th_task_context *context) { return TH_OK; }

Test(limit, push_try_says_try_again) {
  tasks_init("threads", TH_NO_WORKERS, 10);
  th_status status = TH_OK;
  int accepted = 0;
  while ((status = th_push_try(&(th_task){.run = nothing})) == TH_OK) accepted++;
  cr_assert(eq(int, status, TH_EAGAIN));
  cr_assert(eq(int, accepted, 10));
  cr_assert(eq(int, th_wait_all(), TH_OK));
  cr_assert(eq(int, th_push_try(&(th_task){.run = nothing}), TH_OK));
  th_shutdown();
}

Test(limit, pending_bytes_stay_bounded_but_one_task_always_goes) {
  th_config c = {.size = sizeof c, .workers = TH_NO_WORKERS, .max_bytes = 1000};
  cr_assert(eq(int, th_init(&c), TH_OK));
  cr_assert(eq(int, th_push_try(&(th_task){.run = nothing, .bytes = 5000}), TH_OK)); /* alone */
  cr_assert(eq(int, th_push_try(&(th_task){.run = nothing, .bytes = 1}), TH_EAGAIN));
  cr_assert(eq(int, th_push_try(&(th_task){.run = nothing}), TH_OK)); /* allocates nothing */
  cr_assert(eq(int, th_wait_all(), TH_OK));
  for (int i = 0; i < 10; i++)
    cr_assert(eq(int, th_push_try(&(th_task){.run = nothing, .bytes = 100}), TH_OK));
  cr_assert(eq(int, th_push_try(&(th_task){.run = nothing, .bytes = 100}), TH_EAGAIN));
  for (int i = 0; i < 100; i++)
    cr_assert(eq(int, th_push(&(th_task){.run = nothing, .bytes = 600}), TH_OK));
  cr_assert(eq(int, th_shutdown(), TH_OK));
}

/* Opens the gate once a submitter waits at the limit. */
static void *open_at_the_limit(void *gate) {
  th_engine_stats s = {.size = sizeof s};
  while (th_engine_get_stats(&s) == TH_OK && s.limit_waits == 0) th__sleep_ns(200000);
  engine_open(gate);
  return NULL;
}

Test(limit, the_largest_numbers) {
  th_config c = {
      .size = sizeof c, .workers = TH_NO_WORKERS, .max_ops = INT64_MAX, .max_bytes = INT64_MAX};
  cr_assert(eq(int, th_init(&c), TH_OK));
  for (int i = 0; i < 2; i++) {
    th_status status = th_push_try(&(th_task){.run = nothing, .bytes = INT64_MAX});
    cr_assert(status == TH_OK || status == TH_EAGAIN);
    cr_assert(i > 0 || status == TH_OK);
  }
  cr_assert(eq(int, th_wait_all(), TH_OK));
  th_shutdown();
}

Test(limit, of_an_earlier_engine_are_forgotten) {
  th_config c = {.size = sizeof c, .workers = TH_NO_WORKERS, .max_bytes = 1000};
  cr_assert(eq(int, th_init(&c), TH_OK));
  cr_assert(eq(int, th_push_try(&(th_task){.run = nothing, .bytes = 5000}), TH_OK));
  cr_assert(eq(int, th_wait_all(), TH_OK));
  th_shutdown();
  c.workers = 0;
  c.max_bytes = -1;
  cr_assert(eq(int, th_init(&c), TH_OK));
  cr_assert(eq(int, th_cpu_split(2, 1), TH_OK));
  engine_gate gate = {0};
  th_var *v = th_var_new();
  th_task second = {.run = nothing, .device = th_cpu(1), .bytes = 5000, .reads = &v, .n_reads = 1};
  cr_assert(eq(int, th_push_try(&second), TH_OK)); /* opens it, before cpu:0 */
  cr_assert(eq(int, engine_push_gate(&gate, v), TH_OK));
  for (int i = 0; i < 3; i++) cr_assert(eq(int, th_push_try(&second), TH_OK), "%d", i);
  engine_open(&gate);
  cr_assert(eq(int, th_wait_all(), TH_OK));
  th_var_release(v);
  th_shutdown();
}

Test(limit, blocking_only_mode_waits_for_workers) {
  th_config c = {.size = sizeof c, .workers = 1, .max_ops = 8, .no_help_at_limit = true};
  cr_assert(eq(int, th_init(&c), TH_OK));
  _Atomic int sum = 0;
  engine_gate gate = {0};
  th_var *v = th_var_new();
  pthread_t opener;
  cr_assert(eq(int, engine_push_gate(&gate, v), TH_OK)); /* until then nothing ends */
  cr_assert(zero(int, pthread_create(&opener, NULL, open_at_the_limit, &gate)));
  for (int i = 0; i < 1000; i++) cr_assert(eq(int, push_add(&sum, 1, NULL, v), TH_OK));
  pthread_join(opener, NULL);
  th_wait_all();
  cr_assert(eq(int, sum, 1000));
  th_var_release(v);
  th_shutdown();
}

Test(limit, long_queues_give_their_memory_back) {
  tasks_init("threads", TH_NO_WORKERS, -1);
  th_var *v = th_var_new();
  for (int i = 0; i < 8192; i++) push_nop(NULL, v);
  th_wait_all();
  int64_t base = engine_resident();
  for (int round = 0; round < 2; round++) {
    for (int i = 0; i < 200000; i++) push_nop(NULL, v);
    cr_assert(ENGINE_PLAIN_MEMORY == 0 || engine_resident() - base > 20000 * KIB);
    th_wait_all();
    cr_assert(ENGINE_PLAIN_MEMORY == 0 || engine_resident() - base < 6000 * KIB, "%lld KiB",
              (long long)(engine_resident() - base) / KIB);
    cr_assert(th__slots_used() < 30000);
  }
  th_var_release(v);
  th_shutdown();
}

/* More than a queue holds without growing: some are run out of their turn, none is lost and nobody spins for memory. */
Test(limit, what_becomes_ready_needs_no_memory) {
  enum { TASKS = 1500 };
  static task_log log;
  tasks_init("threads", 1, 4 * TASKS);
  th_var *held = th_var_new();
  for (int urgent = 0; urgent < 2; urgent++) { /* the others bring the records */
    log.count = 0;
    engine_gate gate = {0};
    engine_push_gate(&gate, held);
    for (int i = 0; i < TASKS; i++)
      cr_assert(eq(int, push_log(&log, i, held, NULL, urgent), TH_OK));
    if (urgent) th__mem_fail_after(0);
    for (int i = TASKS; i < 2 * TASKS; i++)
      cr_assert(eq(int, push_log(&log, i, NULL, NULL, urgent), TH_OK));
    engine_open(&gate);
    th_status status = th_wait_all();
    th__mem_fail_after(-1);
    cr_assert(eq(int, status, TH_OK));
    cr_assert(eq(int, log.count, 2 * TASKS));
  }
  th_var_release(held);
  th_shutdown();
}

Test(limit, the_list_of_a_variables_readers_is_bounded) {
  tasks_init("threads", 1, 0);
  th_var *v = th_var_new();
  engine_gate gate = {0};
  engine_push_gate(&gate, v);
  th_task reader = {.run = nothing, .reads = &v, .n_reads = 1};
  while (th_push_try(&reader) == TH_OK)
    continue; /* once as many at a time as may be: then all has been touched */
  engine_open(&gate);
  cr_assert(eq(int, th_wait_var_idle(v), TH_OK));
  int64_t base = engine_resident();
  for (int i = 0; i < (!ENGINE_PLAIN_MEMORY ? 100000 : 1000000); i++) push_nop(v, NULL);
  cr_assert(ENGINE_PLAIN_MEMORY == 0 || engine_resident() - base < 4000 * KIB, "%lld KiB",
            (long long)(engine_resident() - base) / KIB);
  cr_assert(eq(int, push_nop(NULL, v), TH_OK));
  cr_assert(eq(int, th_wait_var(v), TH_OK));
  cr_assert(v->reader_capacity <= 32768); /* the run-ahead limit, doubled twice at most */
  th_var_release(v);
  th_shutdown();
}

/* Reads one and writes another of its own variables, at random. */
static void *push_own(void *arg) {
  enum { OWN = 200 };
  th_var *own[OWN];
  uint32_t state = (uint32_t) * (long *)arg;
  for (int i = 0; i < OWN; i++) own[i] = th_var_new();
  for (long i = 0; i < *(long *)arg; i++) {
    state = state * 1664525 + 1013904223; /* Numerical Recipes */
    uint32_t w = state >> 16;
    push_nop(own[w % OWN], own[w / OWN % OWN]);
  }
  for (int i = 0; i < OWN; i++) th_var_release(own[i]);
  return NULL;
}

/* Each thread runs what others submitted, too; one that has ended must not take anything with it. */
Test(limit, submitters_without_workers_help_each_other_to_the_end) {
  int rounds = ENGINE_PLAIN_MEMORY ? 20 : 4; /* sanitizers are slow */
  for (int round = 0; round < rounds; round++) {
    tasks_init("threads", TH_NO_WORKERS, 2000);
    pthread_t threads[4];
    long n[4] = {10000, 20000, 20000, 20000}; /* one ends early */
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, push_own, &n[i]);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    cr_assert(eq(int, th_wait_all(), TH_OK));
    th_shutdown();
  }
}
