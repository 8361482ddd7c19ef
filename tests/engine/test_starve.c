/* Tasks that find no memory wait for those that free some; when nobody can, the oldest fails. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "engine/engine.h"
#include "support/tasks.h"

TestSuite(starve, .timeout = 60);

static _Atomic int units; /* of a make-believe memory */

static th_status take(void *arg, th_task_context *context) {
  int want = *(int *)arg, have = th__load(&units, TH__ACQUIRE);
  do {
    if (have < want && th__context_last_chance(context))
      return th_context_fail(context, TH_ENOMEM, "%d units wanted, %d there", want, have);
    if (have < want) return TH__STARVED;
  } while (!th__cas(&units, &have, have - want, TH__ACQ_REL));
  return TH_OK;
}

static th_status give(void *arg, th_task_context *context) {
  th__fetch_add(&units, *(int *)arg, TH__ACQ_REL);
  return TH_OK;
}

static th_status push_units(th_task_fn run, int n, th_var *reads, th_var *writes) {
  return th_push(&(th_task){.name = run == take ? "take" : "give",
                            .run = run,
                            .arg = &n,
                            .arg_size = sizeof n,
                            .reads = &reads,
                            .n_reads = reads != NULL,
                            .writes = &writes,
                            .n_writes = writes != NULL});
}

Test(starve, waits_for_what_others_give_back) {
  static const char *const modes[] = {"threads", "serial", "shuffle:5", "shuffle-threads:5"};
  for (int m = 0; m < 4; m++) {
    for (int workers = 1; workers <= 3; workers++) {
      tasks_init(modes[m], workers, 0);
      units = 10;
      th_var *v[300];
      for (int i = 0; i < 300;
           i++) { /* each takes 4 of 10 and gives them back: at most two hold some */
        v[i] = th_var_new();
        cr_assert(eq(int, push_units(take, 4, NULL, v[i]), TH_OK));
        cr_assert(eq(int, push_units(give, 4, v[i], NULL), TH_OK));
      }
      cr_assert(eq(int, th_wait_all(), TH_OK), "mode %s: %s", modes[m], th_last_error());
      cr_assert(eq(int, units, 10));
      for (int i = 0; i < 300; i++) th_var_release(v[i]);
      th_shutdown();
    }
  }
}

Test(starve, fails_when_nothing_can_free_any) {
  static const char *const modes[] = {"threads", "serial", "shuffle:5", "shuffle-threads:5"};
  for (int m = 0; m < 4; m++) {
    tasks_init(modes[m], 2, 0);
    units = 10;
    th_var *big = th_var_new(), *small = th_var_new();
    push_units(take, 11, NULL, big);
    push_units(take, 5, NULL, small);
    cr_assert(eq(int, th_wait_var(big), TH_ENOMEM), "mode %s", modes[m]);
    cr_assert(eq(int, th_wait_var(small), TH_OK));
    cr_assert(eq(int, units, 5));
    th_var_release(big);
    th_var_release(small);
    th_shutdown();
  }
}
