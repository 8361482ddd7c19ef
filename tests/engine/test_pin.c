/* Pinned workers: each on the core that its index names, devices of a division on different ones; and only when asked. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <sched.h>
#include <stdlib.h>

#include "engine/base/thread.h"
#include "support/engine.h"

TestSuite(pin, .timeout = 60);

enum { MOST = 1024, WORKERS = 5 };

static int own[MOST], n_own; /* cores of this process */
static struct { int n, core; } seen[WORKERS];
static _Atomic int entered, expected;

/* Every worker runs one of these: none ends before all have begun. */
static th_status look(void *arg, th_task_context *context) {
  int list[MOST], worker = th_context_worker(context), n = th__thread_core_list(list, MOST);
  if (worker >= 0 && worker < WORKERS) {
    seen[worker].n = n;
    seen[worker].core = list[0];
  }
  th__fetch_add(&entered, 1, TH__ACQ_REL);
  while (th__load(&entered, TH__ACQUIRE) < th__load(&expected, TH__ACQUIRE)) sched_yield();
  return TH_OK;
}

static void look_at(th_device d, int workers) {
  for (int i = 0; i < WORKERS; i++) seen[i].n = seen[i].core = -1;
  entered = 0;
  expected = workers;
  for (int i = 0; i < workers; i++)
    cr_assert(eq(int, th_push(&(th_task){.run = look, .device = d}), TH_OK));
  engine_drain(); /* does not help */
}

static void start(bool pin) {
  n_own = th__thread_core_list(own, MOST);
  cr_assert(n_own > 0);
  th_config c = {.size = sizeof c, .workers = WORKERS, .pin_workers = pin};
  cr_assert(eq(int, th_init(&c), TH_OK), "%s", th_last_error());
}

static void expect_pinned(int workers, int first) {
  for (int i = 0; i < workers; i++) {
    cr_assert(eq(int, seen[i].n, 1), "worker %d", i);
    cr_assert(eq(int, seen[i].core, own[(first + i) % n_own]), "worker %d", i);
  }
}

Test(pin, each_worker_has_its_core) {
  for (int round = 0; round < 2; round++) {
    start(true);
    look_at((th_device){TH_CPU, 0}, WORKERS);
    expect_pinned(WORKERS, 0);
    int after[MOST];
    cr_assert(eq(int, th__thread_core_list(after, MOST), n_own)); /* the caller's stay */
    th_shutdown();
  }
}

Test(pin, the_environment_asks_for_it) {
  setenv("TH_WORKERS", "pin", 1);
  start(false);
  unsetenv("TH_WORKERS");
  look_at((th_device){TH_CPU, 0}, WORKERS);
  expect_pinned(WORKERS, 0);
  th_shutdown();
}

Test(pin, unasked_workers_go_where_they_like) {
  start(false);
  look_at((th_device){TH_CPU, 0}, WORKERS);
  for (int i = 0; i < WORKERS; i++) cr_assert(eq(int, seen[i].n, n_own));
  th_shutdown();
}

/* Opened by a worker that is pinned itself. */
static th_status open_other(void *arg, th_task_context *context) {
  return th_push(&(th_task){.run = engine_nothing, .device = {TH_CPU, 2}});
}

Test(pin, devices_of_a_division_take_different_cores) {
  cr_assert(eq(int, th_cpu_split(3, 2), TH_OK));
  start(true);
  th_push(&(th_task){.run = open_other});
  engine_drain();
  for (int d = 2; d >= 0; d--) {
    look_at((th_device){TH_CPU, d}, 2);
    expect_pinned(2, 2 * d);
  }
  th_shutdown();
}

Test(pin, a_core_that_is_not_there_is_refused) {
  int before[MOST], n = th__thread_core_list(before, MOST);
  cr_assert(not(th__thread_pin(-1)));
  cr_assert(not(th__thread_pin(1 << 19)));
  cr_assert(eq(int, th__thread_core_list(before, MOST), n));
  cr_assert(eq(int, th__thread_core_list(before, 1), 1));
}
