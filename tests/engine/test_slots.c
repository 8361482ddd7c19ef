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
  cr_assert(eq(u64, th__queue_pop_front(&q, 0), 1001));
  th__queue_free(&q);
}

static bool keep_all(th__ref ref) { return true; }
static bool keep_even(th__ref ref) { return ref % 2 == 0; }

static void deque_push(th__deque *d, th__ref ref) {
  if (th__deque_push(d, ref)) return;
  cr_assert(th__deque_room(d, keep_all));
  cr_assert(th__deque_push(d, ref));
}

Test(slots, deque_gives_the_newest_to_its_owner_and_the_oldest_to_thieves) {
  static th__deque d;
  th__deque_init(&d);
  for (uint64_t i = 1; i <= 5000; i++) deque_push(&d, i);
  for (uint64_t i = 1; i <= 1000; i++) {
    cr_assert(eq(u64, th__deque_steal(&d), i));
    cr_assert(eq(u64, th__deque_pop(&d), 5001 - i));
  }
  cr_assert(eq(u64, th__deque_count(&d), 3000));
  for (uint64_t i = 0; i < 3000; i++) cr_assert(th__deque_pop(&d) != 0);
  cr_assert(eq(u64, th__deque_pop(&d), 0));
  cr_assert(eq(u64, th__deque_steal(&d), 0));
  th__deque_trim(&d);
  for (uint64_t i = 1; i <= 2000; i++) deque_push(&d, i);
  cr_assert(eq(u64, th__deque_pop(&d), 2000));
  cr_assert(eq(u64, th__deque_steal(&d), 1));
  th__deque_free(&d);
}

Test(slots, inbox_gives_batches_in_order) {
  static th__deque d;
  th__deque_init(&d);
  th__ref batch[8];
  uint64_t next = 1;
  for (uint64_t i = 1; i <= 3000; i++) deque_push(&d, i);
  for (int n; (n = th__deque_take(&d, batch, 7)) > 0;)
    for (int i = 0; i < n; i++) cr_assert(eq(u64, batch[i], next++));
  cr_assert(eq(u64, next, 3001));
  th__deque_free(&d);
}

Test(slots, a_full_deque_drops_what_is_stale_before_it_grows) {
  static th__deque d;
  th__deque_init(&d);
  for (uint64_t i = 0; i < TH__DEQUE_FIRST; i++) cr_assert(th__deque_push(&d, 2 * i + 1));
  cr_assert(not(th__deque_push(&d, 2)));
  cr_assert(th__deque_room(&d, keep_even));
  cr_assert(eq(u64, th__deque_count(&d), 0));
  cr_assert(th__load(&d.ring, TH__RELAXED) == &d.rings[0]);
  cr_assert(th__deque_push(&d, 2));
  cr_assert(eq(u64, th__deque_steal(&d), 2));
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
  cr_assert(not(th__claim(th__self(), stale)));
  th_var_release(v);
  th_shutdown();
}

/* A thread may hold slots of the last, incomplete chunk while another one trims. */
Test(slots, trimming_never_hands_out_a_held_slot) {
  tasks_init("threads", TH_NO_WORKERS, -1);
  th__thread *self = th__self();
  static th__task *taken[40000];
  uint32_t n = 0;
  while (n < 40000) {
    if (n == 100) th__slots_flush(self); /* so that fresh slots come in uneven portions */
    taken[n] = th__slot_take(self);
    uint32_t used = th__slots_used();
    n++;
    if (n > 20000 && used % 64 != 0 && th__task_slot(taken[n - 1]) == used - 1) break;
  }
  cr_assert(n < 40000, "slots are handed out in whole chunks: this test no longer tests anything");
  th__task *held = taken[--n];
  for (uint32_t i = 0; i < n; i++) th__slot_give(self, taken[i]);
  th__slots_flush(self);
  th__slots_trim(1000);
  for (uint32_t i = 0; i < n + 64; i++) {
    taken[i] = th__slot_take(self);
    cr_assert(taken[i] != held);
  }
  for (uint32_t i = 0; i < n + 64; i++) th__slot_give(self, taken[i]);
  th__slot_give(self, held);
  th_shutdown();
}
