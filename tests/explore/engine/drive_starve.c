/* Memory shortage under the explorer: tasks take units of a make-believe memory and others give them back. Nobody may fail while
 * somebody can still give, and somebody must fail when nobody can. */
#include "engine/base/atomic.h"
#include "engine/device.h"
#include "engine/engine.h"
#include "engine/parts.h"
#include "tests/explore/engine/base.h"
#include "tests/explore/explore.h"
#include "thrum/engine.h"

#define VARS 4

static th_var *vars[VARS];
static _Atomic int units;
static _Atomic uint32_t failed; /* tasks; waited for by a thread that must not help */

static th_status take_run(void *arg, th_task_context *context) {
  int want = *(int *)arg, have = th__load(&units, TH__ACQUIRE);
  do {
    if (have < want && th__context_last_chance(context)) {
      th__store(&failed, 1, TH__RELEASE);
      th__unpark(&failed, 1);
      return TH_ENOMEM;
    }
    if (have < want) return TH__STARVED;
  } while (!th__cas(&units, &have, have - want, TH__ACQ_REL));
  return TH_OK;
}

static th_status give_run(void *arg, th_task_context *context) {
  th__fetch_add(&units, *(int *)arg, TH__ACQ_REL);
  return TH_OK;
}

/* Takes 2 of the units and waits for another variable meanwhile. */
static th_status hold_run(void *arg, th_task_context *context) {
  int n = 2;
  th_status status = take_run(&n, context);
  if (status != TH_OK) return status;
  status = th_wait_var(vars[*(int *)arg]);
  (void)give_run(&n, context);
  return status;
}

static void push(th_task_fn run, int arg, th_var *read, th_var *write) {
  th_task t = {.name = "units",
               .run = run,
               .arg = &arg,
               .arg_size = sizeof arg,
               .reads = &read,
               .n_reads = read != NULL,
               .writes = &write,
               .n_writes = write != NULL};
  EX_CHECK(th_push(&t) == TH_OK);
}

static void start(int workers, int there) {
  ex_quiet(true);
  th_config config = {.size = sizeof config, .workers = workers == 0 ? TH_NO_WORKERS : workers};
  EX_CHECK(th_init(&config) == TH_OK);
  const th__device_ops *ops;
  void *state;
  EX_CHECK(th__device_open((th_device){TH_CPU, 0}, &ops, &state) == TH_OK);
  for (int i = 0; i < VARS; i++) EX_CHECK((vars[i] = th_var_new()) != NULL);
  units = there;
  ex_settle(true);
}

static void stop(int there) {
  ex_quiet(true);
  for (int i = 0; i < VARS; i++) th_var_release(vars[i]);
  EX_CHECK(th_shutdown() == TH_OK);
  EX_CHECK(units == there);
}

static void take_and_give(int i, int n) {
  push(take_run, n, NULL, vars[i]);
  push(give_run, n, vars[i], NULL);
}

static th_status push_all_run(void *arg, th_task_context *context) {
  for (int i = 0; i < *(int *)arg; i++) take_and_give(i, 2);
  return TH_OK;
}

/* The third to take finds nothing until another has given. (Who takes last may have its give not submitted yet: enough is there
 * for that one and another.) */
static void turns(int workers) {
  start(workers, 5);
  for (int i = 0; i < 3; i++) take_and_give(i, 2);
  EX_CHECK(th_wait_var(vars[2]) == TH_OK);
  EX_CHECK(th_wait_all() == TH_OK);
  stop(5);
}
static void turns_of_one(void) { turns(1); }
static void turns_of_two(void) { turns(2); }
static void turns_without_workers(void) { turns(0); }

static void one_at_a_time(void) { /* all submitted by a body, so that nobody is early */
  start(2, 2);
  push(push_all_run, 3, NULL, vars[3]);
  EX_CHECK(th_wait_var(vars[3]) == TH_OK);
  EX_CHECK(th_wait_all() == TH_OK);
  stop(2);
}

static void nobody_gives(void) {
  start(2, 3);
  push(take_run, 2, NULL, vars[0]);
  push(take_run, 4, NULL, vars[1]);
  EX_CHECK(th_wait_var(vars[1]) == TH_ENOMEM);
  EX_CHECK(th_wait_var(vars[0]) == TH_OK);
  stop(1);
}

static void nobody_waits(void) { /* the last worker that finds nothing to do decides */
  start(2, 3);
  push(take_run, 2, NULL, vars[0]);
  push(take_run, 4, NULL, vars[1]);
  while (th__load(&failed, TH__ACQUIRE) == 0) th__park(&failed, 0, -1);
  EX_CHECK(th_wait_var(vars[1]) == TH_ENOMEM);
  stop(1);
}

static _Atomic uint32_t opened;
static _Atomic int holder;
static th_status gate_run(void *arg, th_task_context *context) {
  th__store(&holder, ex_self(), TH__RELEASE);
  while (th__load(&opened, TH__ACQUIRE) == 0) th__park(&opened, 0, -1);
  return give_run(arg, context);
}

/* Who gave is about to have the next one tried while another thread finds that all stand still. */
static void given_meanwhile(void) {
  start(2, 0);
  ex_quiet(true);
  push(gate_run, 2, NULL, vars[2]);
  take_and_give(0, 2);
  take_and_give(1, 2);
  ex_settle(false);
  ex_quiet(true);
  th__store(&opened, 1, TH__RELEASE);
  th__unpark(&opened, 1);
  ex_run_until(th__load(&holder, TH__ACQUIRE), "starve.c", "lock &lock");
  base_thread_is_idle();
  EX_CHECK(th_wait_var(vars[0]) == TH_OK);
  EX_CHECK(th_wait_all() == TH_OK);
  stop(2);
}

/* A body that waits for a task without memory gives back what it holds when that one has failed. */
static void waits_for_a_starving_one(int workers) {
  start(workers, 3);
  push(take_run, 4, NULL, vars[0]);
  push(hold_run, 0, NULL, vars[1]);
  EX_CHECK(th_wait_var(vars[0]) == TH_ENOMEM);
  EX_CHECK(th_wait_var(vars[1]) == TH_ENOMEM);
  stop(3);
}
static void body_waits(void) { waits_for_a_starving_one(2); }
static void body_waits_alone(void) { waits_for_a_starving_one(1); }

/* Another thread submits who gives. */
static void giver(void *arg) {
  push(give_run, 2, vars[0], vars[0]);
  base_thread_ends();
}
static void given_by_another(void) {
  start(1, 2);
  push(take_run, 2, NULL, vars[0]);
  int other = ex_spawn(giver, NULL);
  ex_join(other);
  take_and_give(1, 2);
  EX_CHECK(th_wait_var(vars[1]) == TH_OK);
  EX_CHECK(th_wait_all() == TH_OK);
  stop(2);
}

#define SMALL .preemptions = 1, .most = 1500, .random = 500
#define WIDER .preemptions = 2, .most = 4000, .random = 2000
const ex_scenario ex_scenarios[] = {
    {"starve.turns_of_one", turns_of_one, SMALL},
    {"starve.turns_of_two", turns_of_two, WIDER},
    {"starve.turns_without_workers", turns_without_workers, SMALL},
    {"starve.one_at_a_time", one_at_a_time, WIDER},
    {"starve.nobody_gives", nobody_gives, SMALL},
    {"starve.nobody_waits", nobody_waits, SMALL},
    {"starve.given_meanwhile", given_meanwhile, WIDER},
    {"starve.body_waits", body_waits, SMALL},
    {"starve.body_waits_alone", body_waits_alone, SMALL},
    {"starve.given_by_another", given_by_another, SMALL},
};
const size_t ex_n_scenarios = sizeof ex_scenarios / sizeof *ex_scenarios;
