/* Run-ahead: bounded in operations and bytes, never a deadlock, memory back after a wait. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "engine/task.h"
#include "engine/var.h"
#include "support/tasks.h"

TestSuite(limit, .timeout = 60);

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

Test(limit, blocking_only_mode_waits_for_workers) {
  th_config c = {.size = sizeof c, .workers = 1, .max_ops = 8, .no_help_at_limit = true};
  cr_assert(eq(int, th_init(&c), TH_OK));
  _Atomic int sum = 0;
  for (int i = 0; i < 1000; i++) cr_assert(eq(int, push_add(&sum, 1, NULL, NULL), TH_OK));
  th_engine_stats s = {.size = sizeof s};
  th_engine_get_stats(&s);
  cr_assert(s.limit_waits > 0);
  th_wait_all();
  cr_assert(eq(int, sum, 1000));
  th_shutdown();
}

Test(limit, long_queues_give_their_memory_back) {
  tasks_init("threads", TH_NO_WORKERS, -1);
  th_var *v = th_var_new();
  for (int i = 0; i < 8192; i++) push_nop(NULL, v);
  th_wait_all();
  int64_t base = resident_kib();
  for (int round = 0; round < 2; round++) {
    for (int i = 0; i < 200000; i++) push_nop(NULL, v);
    cr_assert(ENGINE_PLAIN_MEMORY == 0 || resident_kib() - base > 20000);
    th_wait_all();
    cr_assert(ENGINE_PLAIN_MEMORY == 0 || resident_kib() - base < 6000, "%lld KiB",
              (long long)(resident_kib() - base));
    cr_assert(th__slots_used() < 30000);
  }
  th_var_release(v);
  th_shutdown();
}

Test(limit, readers_of_a_variable_stay_few) {
  tasks_init("threads", 1, 0);
  th_var *v = th_var_new();
  for (int i = 0; i < 20000; i++) push_nop(v, NULL);
  int64_t base = resident_kib();
  for (int i = 0; i < (!ENGINE_PLAIN_MEMORY ? 100000 : 1000000); i++) push_nop(v, NULL);
  cr_assert(ENGINE_PLAIN_MEMORY == 0 || resident_kib() - base < 4000, "%lld KiB",
            (long long)(resident_kib() - base));
  cr_assert(eq(int, push_nop(NULL, v), TH_OK));
  cr_assert(eq(int, th_wait_var(v), TH_OK));
  cr_assert(v->reader_capacity <= 128);
  th_var_release(v);
  th_shutdown();
}
