/* Parallel loops (engine/parallel.c) under the explorer, with two records for them. Every block counts itself in plain memory of
 * its own, and the task counts after its loop: a block that runs twice or never is a wrong count, one that the loop's end
 * does not wait for a data race. */
#include "engine/base/atomic.h"
#include "engine/device.h"
#include "engine/parts.h"
#include "tests/explore/engine/base.h"
#include "tests/explore/explore.h"
#include "thrum/base.h"
#include "thrum/engine.h"

#define MOST 8

static th_var *vars[2];
static struct field { /* what a task's loops count */
  int blocks[MOST];   /* how often each was run */
  int owner;          /* the task's thread */
} fields[2];
static _Atomic uint32_t ran; /* tasks; waited for by who must not help */

/* `workers` sleep, on one device; not for good: one of them naps. */
static void start_with(int workers, bool for_good) {
  th_config config = {.size = sizeof config, .workers = workers};
  const th__device_ops *ops;
  void *state;
  ex_quiet(true);
  EX_CHECK(th_init(&config) == TH_OK);
  for (int i = 0; i < 2; i++) EX_CHECK((vars[i] = th_var_new()) != NULL);
  EX_CHECK(th__device_open((th_device){TH_CPU, 0}, &ops, &state) == TH_OK);
  ex_settle(for_good);
}
static void start(int workers) { start_with(workers, true); }

static void stop(void) {
  ex_quiet(true);
  for (int i = 0; i < 2; i++) th_var_release(vars[i]);
  EX_CHECK(th_shutdown() == TH_OK);
}

static void count(int64_t first, int64_t last, void *arg) {
  struct field *f = arg;
  if (ex_self() != f->owner) ex_count("blocks of guests");
  for (int64_t i = first; i < last; i++) f->blocks[i]++;
}

/* n blocks have run `times` times, no others. */
static void expect(int number, int n, int times) {
  for (int i = 0; i < MOST; i++) EX_CHECK(fields[number].blocks[i] == (i < n ? times : 0));
}

static void loop_over(th_task_context *context, int number, int n, int grain,
                      void (*block)(int64_t, int64_t, void *)) {
  fields[number].owner = ex_self();
  th_parallel_for(context, n, grain, block, &fields[number]);
}
static void loop(th_task_context *context, int number, int n, int grain) {
  loop_over(context, number, n, grain, count);
}

static void push(th_task_fn run, int number) {
  th_task t = {.name = "loop",
               .run = run,
               .arg = &number,
               .arg_size = sizeof number,
               .writes = vars + number,
               .n_writes = 1};
  EX_CHECK(th_push(&t) == TH_OK);
}

static void done(void) {
  th__fetch_add(&ran, 1, TH__RELEASE);
  th__unpark(&ran, INT32_MAX);
}
/* Sleeps without a limit and runs nothing, so a worker that missed a wake-up is a deadlock. */
static void await(uint32_t n) {
  for (uint32_t now; (now = th__load(&ran, TH__ACQUIRE)) < n;) th__park(&ran, now, -1);
}

static th_status loop_run(void *arg, th_task_context *context) {
  int number = *(int *)arg;
  loop(context, number, 5, 2); /* the last block is shorter */
  expect(number, 5, 1);
  done();
  return TH_OK;
}

/* --- who comes --- */

static void waited_for(void) { /* main runs it or joins, a worker likewise */
  start(1);
  push(loop_run, 0);
  EX_CHECK(th_wait_var(vars[0]) == TH_OK);
  expect(0, 5, 1);
  stop();
}

static void workers_only(void) { /* one takes the task, the other one is invited out of its sleep */
  start(2);
  push(loop_run, 0);
  await(1);
  stop();
}

/* No block ends before `company` of them run side by side: the loop's announcement must reach so many. */
static _Atomic uint32_t inside_now;
static uint32_t company = 2;
static void meet(int64_t first, int64_t last, void *arg) {
  uint32_t n = th__fetch_add(&inside_now, 1, TH__ACQ_REL) + 1;
  th__unpark(&inside_now, INT32_MAX);
  for (; n < company; n = th__load(&inside_now, TH__ACQUIRE)) th__park(&inside_now, n, -1);
  count(first, last, arg);
}
static th_status meet_run(void *arg, th_task_context *context) {
  int n = (int)company;
  loop_over(context, 0, n, 1, meet);
  expect(0, n, 1);
  done();
  return TH_OK;
}
static void sleeper_is_woken(void) {
  start(2);
  push(meet_run, 0);
  await(1);
  stop();
}
static _Atomic uint32_t entered;
static th_status meet_later_run(void *arg, th_task_context *context) {
  th__store(&entered, 1, TH__RELEASE);
  th__unpark(&entered, 1);
  return meet_run(arg, context);
}
static void waiter_is_needed(void) { /* the only worker runs the task */
  start(1);
  push(meet_later_run, 0);
  while (th__load(&entered, TH__ACQUIRE) == 0) th__park(&entered, 0, -1);
  EX_CHECK(th_wait_var(vars[0]) == TH_OK);
  stop();
}

static void sleeper_just_sleeps(void) { /* the second worker naps, or is falling asleep */
  start_with(2, false);
  push(meet_run, 0);
  await(1);
  stop();
}

/* Three cores: of four threads, three at a time are in a loop. */
static _Atomic int busy;
static void crowded(int64_t first, int64_t last, void *arg) {
  EX_CHECK(th__fetch_add(&busy, 1, TH__ACQ_REL) < 3);
  meet(first, last, arg);
  th__fetch_sub(&busy, 1, TH__ACQ_REL);
}
static th_status crowd_run(void *arg, th_task_context *context) {
  th__store(&entered, 1, TH__RELEASE);
  th__unpark(&entered, 1);
  loop_over(context, 0, 5, 1, crowded);
  expect(0, 5, 1);
  done();
  return TH_OK;
}
static void crowd(void) {
  company = 3;
  start(3);
  push(crowd_run, 0);
  while (th__load(&entered, TH__ACQUIRE) == 0) th__park(&entered, 0, -1);
  EX_CHECK(th_wait_var(vars[0]) == TH_OK);
  stop();
}

/* --- late guests, records used again --- */

static th_status three_run(void *arg,
                           th_task_context *context) { /* the third is in the record of the first */
  int number = *(int *)arg;
  for (int i = 1; i <= 3; i++) {
    loop(context, number, 3, 1);
    expect(number, 3, i);
  }
  done();
  return TH_OK;
}
static void records_again(void) {
  start(2);
  push(three_run, 0);
  await(1);
  stop();
}
static void records_shared(void) { /* by two owners */
  start(2);
  push(three_run, 0);
  push(three_run, 1);
  EX_CHECK(th_wait_all() == TH_OK);
  stop();
}
static void records_again_waited_for(void) {
  start(1);
  push(three_run, 0);
  EX_CHECK(th_wait_var(vars[0]) == TH_OK);
  stop();
}

/* The owner falls asleep at the loop's end, because a guest is still in its block; the guest wakes it. */
static _Atomic uint32_t let_go;
static void slow_guest(int64_t first, int64_t last, void *arg) {
  if (ex_self() != fields[0].owner) {
    th__store(&entered, 1, TH__RELEASE);
    th__unpark(&entered, 1);
    while (th__load(&let_go, TH__ACQUIRE) == 0) th__park(&let_go, 0, -1);
  } else {
    while (th__load(&entered, TH__ACQUIRE) == 0) th__park(&entered, 0, -1);
  }
  count(first, last, arg);
}
static th_status slow_run(void *arg, th_task_context *context) {
  loop_over(context, 0, 3, 1, slow_guest);
  expect(0, 3, 1);
  done();
  return TH_OK;
}
static void guest_is_awaited(void) {
  start(2);
  push(slow_run, 0);
  ex_settle(false);
  th__store(&let_go, 1, TH__RELEASE);
  th__unpark(&let_go, INT32_MAX);
  await(1);
  stop();
}

/* --- side by side --- */

static void two_loops(void) {
  start(2);
  push(loop_run, 0);
  push(loop_run, 1);
  EX_CHECK(th_wait_var(vars[0]) == TH_OK);
  expect(0, 5, 1);
  EX_CHECK(th_wait_var(vars[1]) == TH_OK);
  expect(1, 5, 1);
  stop();
}

/* Who waits for one task runs no blocks of another, not even of one that follows it on the same thread. */
static int waiter;
static void not_by_waiter(int64_t first, int64_t last, void *arg) {
  EX_CHECK(ex_self() != waiter);
  count(first, last, arg);
}
static th_status stranger_run(void *arg, th_task_context *context) {
  loop_over(context, 1, 3, 1, not_by_waiter);
  done();
  return TH_OK;
}
static _Atomic uint32_t gate;
static th_status gated_run(void *arg, th_task_context *context) {
  th__store(&entered, 1, TH__RELEASE);
  th__unpark(&entered, 1);
  while (th__load(&gate, TH__ACQUIRE) == 0) th__park(&gate, 0, -1);
  return loop_run(arg, context);
}
static void wait_first(void *unused) {
  EX_CHECK(th_wait_var(vars[0]) == TH_OK);
  expect(0, 5, 1);
  base_thread_ends();
}
static void strangers(void) {
  start(1);
  push(gated_run, 0);
  while (th__load(&entered, TH__ACQUIRE) == 0) th__park(&entered, 0, -1);
  push(stranger_run, 1);
  waiter = ex_spawn(wait_first, NULL);
  ex_run_until(waiter, "parallel.c", "&owner->loop"); /* and then the task may end */
  th__store(&gate, 1, TH__RELEASE);
  th__unpark(&gate, 1);
  await(2);
  ex_join(waiter);
  expect(1, 3, 1);
  stop();
}

/* --- loops in blocks, errors --- */

static void inner(int64_t first, int64_t last, void *arg) { EX_CHECK(ex_self() == *(int *)arg); }
static void outer(int64_t first, int64_t last, void *arg) {
  int here = ex_self();
  th_parallel_for(arg, 3, 1, inner, &here);
  count(first, last, &fields[0]);
}
static th_status nested_run(void *arg, th_task_context *context) {
  fields[0].owner = ex_self();
  th_parallel_for(context, 3, 1, outer, context);
  expect(0, 3, 1);
  loop(context, 1, 3, 1); /* and later ones are shared again */
  done();
  return TH_OK;
}
static void nested(void) {
  start(2);
  push(nested_run, 0);
  await(1);
  expect(1, 3, 1);
  stop();
}

/* A block has no status: it leaves word in memory, and the body fails after the loop. */
static int broken;
static void break_one(int64_t first, int64_t last, void *arg) {
  if (first == 1) broken = 1;
  count(first, last, arg);
}
static th_status fail_run(void *arg, th_task_context *context) {
  loop_over(context, 0, 3, 1, break_one);
  expect(0, 3, 1);
  done();
  return broken ? th_context_fail(context, TH_EKERNEL, "block 1 is broken") : TH_OK;
}
static void error_in_block(void) {
  start(1);
  push(fail_run, 0);
  push(loop_run, 1);
  EX_CHECK(th_wait_var(vars[0]) == TH_EKERNEL);
  EX_CHECK(th_wait_var(vars[1]) == TH_OK);
  expect(1, 5, 1);
  stop();
}

static void shutdown_early(void) { /* while the task, its guests and late invitations are about */
  start(2);
  push(three_run, 0);
  for (int i = 0; i < 2; i++) th_var_release(vars[i]);
  EX_CHECK(th_shutdown() == TH_OK);
  expect(0, 3, 3);
}

#define SMALL .preemptions = 1, .rare = 1, .most = 1500, .random = 400
#define WIDER .preemptions = 2, .rare = 1, .most = 4000, .random = 400
const ex_scenario ex_scenarios[] = {
    {"loop.waited_for", waited_for, WIDER},
    {"loop.workers_only", workers_only, SMALL},
    {"loop.crowd", crowd, .preemptions = 1, .most = 3000, .random = 1000},
    {"loop.sleeper_is_woken", sleeper_is_woken, SMALL},
    {"loop.waiter_is_needed", waiter_is_needed, SMALL},
    {"loop.sleeper_just_sleeps", sleeper_just_sleeps, SMALL},
    {"loop.records_again", records_again, SMALL},
    {"loop.records_again_waited_for", records_again_waited_for, WIDER},
    {"loop.guest_is_awaited", guest_is_awaited, .all_woken = true, WIDER},
    {"loop.records_shared", records_shared, SMALL},
    {"loop.two_loops", two_loops, SMALL},
    {"loop.strangers", strangers, .preemptions = 1, .most = 5000, .random = 400},
    {"loop.nested", nested, SMALL},
    {"loop.error_in_block", error_in_block, SMALL},
    {"loop.shutdown_early", shutdown_early, SMALL},
};
const size_t ex_n_scenarios = sizeof ex_scenarios / sizeof *ex_scenarios;
