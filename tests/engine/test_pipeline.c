/* Row 5 of the list of features: stages of a pipeline stream instead of waiting for each other, and submitting waits for nobody.
 * Times are the best of some tries, as others use the machine, too (ctest: serial). */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "engine/base/thread.h"
#include "support/sanitizers.h"
#include "support/tasks.h"

enum { STAGES = 3, ITEMS = 40, STEPS = ITEMS + STAGES - 1, STAGE_MS = 5, TRIES = 20 };

TestSuite(pipeline, .timeout = 120);

static double ms_since(int64_t began) { return (double)(th__now_ns() - began) * 1e-6; }

/* Stage s is to work on item i at step s + i, beside all other stages that have an item then: each waits until they have begun. */
static _Atomic int begun[STEPS];

static int begin_at(int step, int stages, int items) {
  int first = step < items ? 0 : step - items + 1, last = step < stages ? step : stages - 1;
  return last - first + 1;
}

typedef struct place {
  int step, company;
} place;

static th_status stage(void *arg, th_task_context *context) {
  place *p = arg;
  th__fetch_add(&begun[p->step], 1, TH__ACQ_REL);
  while (th__load(&begun[p->step], TH__ACQUIRE) < p->company) th__sleep_ns(50000);
  th__sleep_ns(STAGE_MS * INT64_C(1000000));
  return TH_OK;
}

/* A stage has one item at a time, and an item is in one stage at a time. */
static double run_pipeline(int n_stages, int n_items) {
  th_var *stages[STAGES], *items[STEPS];
  for (int s = 0; s < n_stages; s++) stages[s] = th_var_new();
  for (int t = 0; t < STEPS; t++) begun[t] = 0;
  int64_t began = th__now_ns();
  for (int i = 0; i < n_items; i++) {
    items[i] = th_var_new();
    for (int s = 0; s < n_stages; s++) {
      th_var *writes[] = {stages[s], items[i]};
      place p = {s + i, begin_at(s + i, n_stages, n_items)};
      th_task t = {.name = "stage",
                   .run = stage,
                   .arg = &p,
                   .arg_size = sizeof p,
                   .writes = writes,
                   .n_writes = 2};
      cr_assert(eq(int, th_push(&t), TH_OK));
    }
  }
  cr_assert(eq(int, th_wait_all(), TH_OK));
  double ms = ms_since(began);
  for (int s = 0; s < n_stages; s++) th_var_release(stages[s]);
  for (int i = 0; i < n_items; i++) th_var_release(items[i]);
  return ms;
}

/* It ends only if they stream. One stage with as many steps tells how long sleeping takes on this machine now. */
Test(pipeline, row_5_three_stages_take_little_longer_than_one) {
  const double most = 1.15;
  double least = 1e9;
  tasks_init("threads", STAGES, 0);
  for (int i = 0; i < TRIES && least > most; i++) {
    double one = run_pipeline(1, STEPS), three = run_pipeline(STAGES, ITEMS);
    if (three / one < least) least = three / one;
  }
  cr_assert(least <= most, "%.2f times as long, not at most %.2f", least, most);
  th_shutdown();
}

Test(pipeline, row_5_the_push_of_a_long_task_returns_at_once) {
  const double goal = THREAD_SANITIZER || ADDRESS_SANITIZER ? 1 : 0.05; /* ms; the task takes 50 */
  double best = 50;
  tasks_init("threads", 1, 0);
  for (int i = 0; i < TRIES && best >= goal; i++) {
    int64_t began = th__now_ns();
    cr_assert(eq(int, push_sleep(50, NULL, NULL), TH_OK));
    double ms = ms_since(began);
    if (ms < best) best = ms;
    cr_assert(eq(int, th_wait_all(), TH_OK));
  }
  cr_assert(best < goal, "%.0f us, not below %.0f", best * 1e3, goal * 1e3);
  th_shutdown();
}
