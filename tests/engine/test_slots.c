/* Queues and slots on their own: order, growth, recycling, generations. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "engine/parts.h"
#include "support/tasks.h"

TestSuite(slots, .timeout = 60);

Test(slots, queue_is_first_in_first_out_and_grows) {
  th__queue q = {0};
  cr_assert(eq(u64, th__queue_pop_front(&q, 0), 0));
  for (uint64_t i = 1; i <= 5000; i++) {
    cr_assert(th__queue_push(&q, i));
    if (i % 5 == 0) cr_assert(eq(u64, th__queue_pop_front(&q, 0), i / 5));
  }
  cr_assert(eq(u64, th__queue_pop_back(&q), 5000));
  th__ref batch[8];
  cr_assert(eq(int, th__queue_take(&q, batch, 8), 8));
  for (int i = 0; i < 8; i++) cr_assert(eq(u64, batch[i], (uint64_t)(1001 + i)));
  th__queue_free(&q);
}

Test(slots, random_pops_return_everything_once) {
  th__queue q = {0};
  static uint8_t seen[1001];
  for (uint64_t i = 1; i <= 1000; i++) th__queue_push(&q, i);
  for (uint64_t i = 1; i <= 1000; i++) seen[th__queue_pop_front(&q, i * 7919)]++;
  for (int i = 1; i <= 1000; i++) cr_assert(eq(int, seen[i], 1), "%d", i);
  th__queue_free(&q);
}

Test(slots, old_references_say_finished) {
  tasks_init("threads", TH_NO_WORKERS, -1);
  th__thread *self = th__self();
  th__task *t = th__slot_take(self);
  th__ref first = th__task_ref(t);
  cr_assert(not(th__ref_finished(first)));
  th__slot_give(self, t);
  th_var *v = th_var_new();
  for (int i = 0; i < 100000; i++) push_nop(NULL, v); /* recycles and trims */
  cr_assert(eq(int, th_wait_all(), TH_OK));
  cr_assert(th__ref_finished(v->last_writer));
  th__ref stale = v->last_writer;
  for (int i = 0; i < 100000; i++) push_nop(NULL, v);
  cr_assert(eq(int, th_wait_all(), TH_OK));
  cr_assert(th__ref_finished(stale));
  cr_assert(not(th__claim(stale)));
  th_var_release(v);
  th_shutdown();
}
