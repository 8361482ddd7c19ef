/* Row 5 of the list of features: stages of a pipeline stream instead of waiting for each other, and submitting waits for nobody.
 * Times are the best of some tries, as others use the machine, too. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "engine/base/thread.h"
#include "support/tasks.h"

enum { STAGES = 3, ITEMS = 40, STAGE_MS = 5, TRIES = 20 };

TestSuite(pipeline, .timeout = 120);

static double ms_since(int64_t began) { return (double)(th__now_ns() - began) * 1e-6; }

static th_status stage(void *arg, th_task_context *context) {
  th__sleep_ns(STAGE_MS * INT64_C(1000000));
  return TH_OK;
}

/* A stage has one item at a time, and an item is in one stage at a time. */
static double run_pipeline(void) {
  th_var *stages[STAGES], *items[ITEMS];
  for (int s = 0; s < STAGES; s++) stages[s] = th_var_new();
  int64_t began = th__now_ns();
  for (int i = 0; i < ITEMS; i++) {
    items[i] = th_var_new();
    for (int s = 0; s < STAGES; s++) {
      th_var *writes[] = {stages[s], items[i]};
      th_task t = {.name = "stage", .run = stage, .writes = writes, .n_writes = 2};
      cr_assert(eq(int, th_push(&t), TH_OK));
    }
  }
  cr_assert(eq(int, th_wait_all(), TH_OK));
  double ms = ms_since(began);
  for (int s = 0; s < STAGES; s++) th_var_release(stages[s]);
  for (int i = 0; i < ITEMS; i++) th_var_release(items[i]);
  return ms;
}

Test(pipeline, row_5_three_stages_take_little_longer_than_one) {
  const double goal = 1.15 * (ITEMS + STAGES - 1) * STAGE_MS; /* one after the other: 600 ms */
  double best = goal + 1;
  tasks_init("threads", STAGES, 0);
  for (int i = 0; i < TRIES && best > goal; i++) {
    double ms = run_pipeline();
    if (ms < best) best = ms;
  }
  cr_assert(best <= goal, "%.0f ms, not at most %.0f", best, goal);
  th_shutdown();
}

Test(pipeline, row_5_the_push_of_a_long_task_returns_at_once) {
  double best = 1;
  tasks_init("threads", 1, 0);
  for (int i = 0; i < TRIES && best >= 0.05; i++) {
    int64_t began = th__now_ns();
    cr_assert(eq(int, push_sleep(50, NULL, NULL), TH_OK));
    double ms = ms_since(began);
    if (ms < best) best = ms;
    cr_assert(eq(int, th_wait_all(), TH_OK));
  }
  cr_assert(best < 0.05, "%.0f us, not below 50", best * 1e3);
  th_shutdown();
}
