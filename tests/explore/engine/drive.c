/* The whole engine under the explorer: small programs against its public interface, with its workers as coroutines. Every variable
 * stands for a cell of plain memory. A task reads and writes the cells of its variables, so an edge that is missing shows
 * as a data race, and a task that runs twice or never as a wrong sum. Whoever must not help waits for a plain signal. */
#include "engine/base/atomic.h"
#include "engine/device.h"
#include "engine/parts.h"
#include "tests/explore/engine/base.h"
#include "tests/explore/engine/jobs.h"
#include "tests/explore/explore.h"
#include "thrum/engine.h"

static void start_with(int workers, int64_t max_ops, bool no_help) {
  th_config config = {.size = sizeof config,
                      .workers = workers == 0 ? TH_NO_WORKERS : workers,
                      .max_ops = max_ops,
                      .no_help_at_limit = no_help};
  EX_CHECK(th_init(&config) == TH_OK);
  for (int i = 0; i < CELLS; i++) EX_CHECK((vars[i] = th_var_new()) != NULL);
}
static void start_now(int workers) { start_with(workers, 0, false); }

/* The workers start and fall asleep before anything is explored. */
static void open_device(void) {
  const th__device_ops *ops;
  void *state;
  EX_CHECK(th__device_open((th_device){TH_CPU, 0}, &ops, &state) == TH_OK);
}
static void open_workers(void) {
  open_device();
  ex_settle(true);
}
static void start(int workers) {
  ex_quiet(true);
  start_now(workers);
  open_workers();
}

static void stop_now(int sum) {
  for (int i = 0; i < CELLS; i++) th_var_release(vars[i]);
  EX_CHECK(th_shutdown() == TH_OK);
  for (int i = 0; i < CELLS; i++) sum -= cells[i];
  EX_CHECK(sum == 0);
}
/* The end is explored in scenarios of its own. */
static void stop(int sum) {
  ex_quiet(true);
  stop_now(sum);
}

/* Until n tasks have run. Runs none itself and sleeps without a limit, so a worker that missed a wake-up is a deadlock. */
static void await(uint32_t n) {
  for (;;) {
    uint32_t now = th__load(&ran, TH__ACQUIRE);
    if (now >= n) return;
    th__park(&ran, now, -1);
  }
}

static _Atomic uint32_t entered, opened;
static th_status gated_run(void *arg, th_task_context *context) {
  th__store(&entered, 1, TH__RELEASE);
  th__unpark(&entered, 1);
  while (th__load(&opened, TH__ACQUIRE) == 0) th__park(&opened, 0, -1);
  cells[0]++;
  return TH_OK;
}
/* A task that a worker runs and that ends when the gate is opened. */
static void push_gated(void) {
  th_task t = {.name = "gated", .run = gated_run, .writes = vars, .n_writes = 1};
  EX_CHECK(th_push(&t) == TH_OK);
  ex_quiet(true);
  while (th__load(&entered, TH__ACQUIRE) == 0) th__park(&entered, 0, -1);
  ex_quiet(false);
}
static void open_gate(void) {
  th__store(&opened, 1, TH__RELEASE);
  th__unpark(&opened, 1);
}

/* --- order --- */

static void chain(void) {
  start(2);
  push((job){WRITES(0), .checked = true, .before = 0});
  push((job){WRITES(0), .checked = true, .before = 1});
  push((job){WRITES(0), .checked = true, .before = 2});
  EX_CHECK(th_wait_var(vars[0]) == TH_OK);
  EX_CHECK(cells[0] == 3);
  stop(3);
}

static void readers(void) { /* write, read, read, write: the last comes behind both readers */
  start(2);
  push((job){WRITES(0)});
  push((job){READS(0), WRITES(1)});
  push((job){READS(0), WRITES(2)});
  push((job){WRITES(0)});
  EX_CHECK(th_wait_var(vars[0]) == TH_OK);
  EX_CHECK(cells[0] == 2);
  stop(4);
}

static void many_links(void) { /* more predecessors than a record holds */
  start(1);
  for (uint8_t i = 0; i < 6; i++) push((job){WRITES(i)});
  push((job){READS(0, 1, 2, 3, 4, 5), WRITES(6), .checked = true, .before = 0});
  push((job){READS(6), WRITES(0, 1, 2, 3), .checked = true, .before = 1});
  EX_CHECK(th_wait_var(vars[0]) == TH_OK);
  EX_CHECK(cells[0] == 2 && cells[6] == 1);
  stop(11);
}

static void fold(void) { /* so many readers that the variable joins them */
  start(1);
  push((job){WRITES(0)});
  for (uint8_t i = 1; i <= 6; i++) push((job){READS(0), WRITES(i)});
  push((job){WRITES(0), .checked = true, .before = 1});
  EX_CHECK(th_wait_var(vars[0]) == TH_OK);
  EX_CHECK(cells[0] == 2 && cells[1] == 1 && cells[6] == 1);
  stop(8);
}

static void joins(void) { /* so many that joins follow joins */
  start(1);
  push_gated();
  for (int i = 0; i < 9; i++) push((job){READS(0)});
  push((job){WRITES(0)}); /* a plain task */
  open_gate();
  EX_CHECK(th_wait_var(vars[0]) == TH_OK);
  EX_CHECK(cells[0] == 2);
  stop(2);
}

/* --- several submitters --- */

static void submit_ab(void *unused) {
  push((job){WRITES(0, 1)});
  push((job){READS(2), WRITES(0)});
  base_thread_ends();
}
static void submit_ba(void *unused) {
  push((job){WRITES(1, 0)});
  push((job){READS(0), WRITES(2)});
  base_thread_ends();
}
static void submitters(void) { /* crossing sets */
  start(1);
  int a = ex_spawn(submit_ab, NULL), b = ex_spawn(submit_ba, NULL);
  ex_join(a);
  ex_join(b);
  EX_CHECK(th_wait_all() == TH_OK);
  stop(6);
}

/* The second thread begins while the first, alone until then, is anywhere between its locks that it does not take. */
static void second_thread(void) {
  start(0);
  int other = ex_spawn(submit_ba, NULL);
  push((job){WRITES(0, 1)});
  push((job){READS(2), WRITES(0)});
  push((job){READS(0), WRITES(1)});
  ex_join(other);
  EX_CHECK(th_wait_all() == TH_OK);
  stop(7);
}

static void thread_after_thread(void) { /* the second takes over the first one's record */
  start(1);
  ex_join(ex_spawn(submit_ab, NULL));
  ex_join(ex_spawn(submit_ba, NULL));
  await(4);
  stop(6);
}

static void recycling(void) { /* of slots whose old names another thread links to */
  start(1);
  int other = ex_spawn(submit_ab, NULL);
  for (int i = 0; i < 3; i++) {
    push((job){WRITES(3), .checked = true, .before = i});
    EX_CHECK(th_wait_var(vars[3]) == TH_OK);
  }
  push((job){WRITES(0)});
  ex_join(other);
  EX_CHECK(th_wait_all() == TH_OK);
  stop(7);
}

static void submit_four(void *unused) {
  for (uint8_t i = 0; i < 4; i++) push((job){WRITES(i)});
  base_thread_ends();
}
static void slots(void) { /* through full magazines and the depot to another thread */
  start(0);
  for (uint8_t i = 0; i < 6; i++) push((job){WRITES(i)});
  EX_CHECK(th_wait_all() == TH_OK);
  ex_join(ex_spawn(submit_four, NULL));
  for (uint8_t i = 4; i < 8; i++) push((job){WRITES(i)});
  EX_CHECK(th_wait_all() == TH_OK);
  stop(14);
}

/* engine/tiny leaves generations 4 bits. A variable remembers its last writer by slot and generation; behind 15 later tasks in
 * the same slot that name is right again, and a free slot looks like a task that never ends. With 32 bits a variable would
 * have to be left alone for exactly 2^32 - 1 tasks of one slot. */
static void come_round(int others) {
  start(0);
  push((job){WRITES(0)});
  EX_CHECK(th_wait_var(vars[0]) == TH_OK);
  for (int i = 0; i < others; i++) {
    push((job){WRITES(1)});
    EX_CHECK(th_wait_var(vars[1]) == TH_OK);
  }
  EX_CHECK(th_var_is_ready(vars[0]));
  stop(1 + others);
}
static void generations(void) { come_round(13); }
static void generations_round(void) { come_round(14); }

/* --- waiting --- */

static void wait_zero(void *unused) {
  EX_CHECK(th_wait_var(vars[0]) == TH_OK);
  EX_CHECK(cells[0] == 1); /* also a race, if nobody waited */
  base_thread_ends();
}
static void waiters(void) {
  start(1);
  push((job){WRITES(0)});
  int a = ex_spawn(wait_zero, NULL), b = ex_spawn(wait_zero, NULL);
  ex_join(a);
  ex_join(b);
  stop(1);
}

static void second_thread_waits(void) { /* for what the first runs, alone until then */
  start(0);
  push((job){WRITES(0)});
  push((job){READS(0), WRITES(1)});
  int other = ex_spawn(wait_zero, NULL);
  EX_CHECK(th_wait_var(vars[1]) == TH_OK);
  ex_join(other);
  stop(2);
}

static void waiter_falls_asleep(void) { /* the task ends while a waiter sets its flag */
  start(1);
  push_gated();
  int waiter = ex_spawn(wait_zero, NULL);
  ex_run_until(waiter, "wait.c", "&t->done_list");
  open_gate();
  ex_join(waiter);
  stop(1);
}

static void wait_all_late(void) { /* while another thread submits */
  start(1);
  push((job){WRITES(3)});
  push((job){READS(3), WRITES(4)});
  int other = ex_spawn(submit_ab, NULL);
  EX_CHECK(th_wait_all() == TH_OK);
  EX_CHECK(cells[3] == 1 && cells[4] == 1);
  ex_join(other);
  stop(5);
}

static void waiters_asleep(void) { /* the task ends when one of them sleeps already */
  start(1);
  push_gated();
  int a = ex_spawn(wait_zero, NULL);
  ex_settle(false);
  push((job){READS(0), WRITES(1)}); /* links to what is waited for */
  int b = ex_spawn(wait_zero, NULL);
  open_gate();
  ex_join(a);
  ex_join(b);
  EX_CHECK(th_wait_var(vars[1]) == TH_OK);
  stop(2);
}

static th_status nested_run(void *arg, th_task_context *context) { /* pushes and waits in a body */
  push((job){WRITES(1)});
  EX_CHECK(th_wait_var(vars[1]) == TH_OK);
  EX_CHECK(cells[1] == 1);
  cells[0]++;
  return TH_OK;
}
static void nested(void) {
  start(2);
  th_task t = {.name = "nested", .run = nested_run, .writes = vars, .n_writes = 1};
  EX_CHECK(th_push(&t) == TH_OK);
  EX_CHECK(th_wait_var(vars[0]) == TH_OK);
  EX_CHECK(cells[0] == 1);
  stop(2);
}

/* --- sleeping workers --- */

static void lone_push(void) {
  start(1);
  push((job){WRITES(0)});
  await(1);
  push((job){WRITES(0)});
  await(2);
  stop(2);
}

static void fall_asleep(void) { /* a push while the worker, after its nap, goes to sleep for good */
  ex_quiet(true);
  start_now(1);
  open_device();
  const th__pool_device *device = th__load(&th__the.devices[0], TH__ACQUIRE);
  while (th__load(&device->napping, TH__ACQUIRE) == 0) th__pause();
  ex_quiet(false);
  while (th__load(&device->napping, TH__ACQUIRE) != 0) th__pause();
  push((job){WRITES(0)});
  await(1);
  stop(1);
}

static void push_two(void) { /* independent, for two workers */
  start(2);
  push((job){WRITES(0)});
  push((job){WRITES(1)});
  await(2);
  stop(2);
}

static void push_classes(void) {
  start(1);
  push_flags((job){WRITES(0)}, 0, -1);
  push_flags((job){WRITES(1)}, 0, 1);
  push_flags((job){WRITES(2)}, 0, 3);
  await(3);
  stop(3);
}

static void submit_quick(void *unused) {
  push((job){WRITES(1)});
  base_thread_ends();
}
static void push_from_two(void) {
  start(1);
  int other = ex_spawn(submit_quick, NULL);
  push((job){WRITES(0)});
  await(2);
  ex_join(other);
  stop(2);
}

static _Atomic uint32_t inside;
static uint32_t company = 2; /* that meets */
static th_status meet_run(void *arg, th_task_context *context) {
  uint32_t n = th__fetch_add(&inside, 1, TH__ACQ_REL) + 1;
  th__unpark(&inside, INT32_MAX);
  for (; n < company; n = th__load(&inside, TH__ACQUIRE)) th__park(&inside, n, -1);
  return job_run(arg, context);
}
static void push_meeting(uint8_t cell) {
  job j = {WRITES(cell)};
  th_task t = {
      .run = meet_run, .arg = &j, .arg_size = sizeof j, .writes = vars + cell, .n_writes = 1};
  EX_CHECK(th_push(&t) == TH_OK);
}
static void submit_meeting(void *unused) {
  push_meeting(1);
  base_thread_ends();
}
/* Neither task ends before both run: none may lie in a queue while a worker sleeps. */
static void side_by_side(void) {
  start(2);
  int other = ex_spawn(submit_meeting, NULL);
  push_meeting(0);
  await(2);
  ex_join(other);
  stop(2);
}
static void side_by_side_napping(void) { /* one worker naps, so that a lone push wakes nobody */
  ex_quiet(true);
  start_now(2);
  open_device();
  ex_settle(false);
  int other = ex_spawn(submit_meeting, NULL);
  push_meeting(0);
  await(2);
  ex_join(other);
  stop(2);
}
/* The same when one task releases both. */
static void released_together(void) {
  start(2);
  push((job){WRITES(0, 1)});
  push_meeting(0);
  push_meeting(1);
  await(3);
  stop(4);
}

/* Three come while a worker spins, which takes them all and wakes one sleeper: that one must wake the next. */
static void three_for_a_spinner(void) {
  company = 3;
  start(3);
  push((job){WRITES(0)});
  await(1);
  for (uint8_t i = 1; i <= 3; i++) push_meeting(i);
  await(4);
  stop(4);
}

static th_status worker_run(void *arg, th_task_context *context) {
  EX_CHECK(th_context_worker(context) >= 0);
  return job_run(arg, context);
}
/* Main runs a task itself and leaves an entry that names it; the slot's next task belongs to another device. */
static void two_devices(void) {
  start(1);
  push((job){WRITES(0)});
  EX_CHECK(th_wait_var(vars[0]) == TH_OK);
  job j = {WRITES(1)};
  th_task t = {.run = worker_run, .arg = &j, .arg_size = sizeof j, .device = {TH_CPU, 1}};
  t.writes = vars + 1;
  t.n_writes = 1;
  EX_CHECK(th_push(&t) == TH_OK);
  await(2);
  stop(2);
}

/* --- the limit --- */

static void limit(void) {
  start_with(1, 2, false);
  open_workers();
  for (int i = 0; i < 5; i++) {
    push((job){WRITES(0), .checked = true, .before = i});
    EX_CHECK(th__in_flight() <= 2);
  }
  EX_CHECK(th_wait_var(vars[0]) == TH_OK);
  stop(5);
}
static void limit_without_help(void) {
  start_with(1, 2, true);
  open_workers();
  for (int i = 0; i < 4; i++) push((job){WRITES((uint8_t)(i % 2))});
  await(4);
  stop(4);
}

/* --- errors, tokens --- */

static th_status fail_run(void *arg, th_task_context *context) {
  return th_context_fail(context, TH_EKERNEL, "broken");
}
static void failure(void) { /* travels on, and a whole overwrite cures */
  start(1);
  th_task t = {.name = "fail", .run = fail_run, .writes = vars, .n_writes = 1};
  EX_CHECK(th_push(&t) == TH_OK);
  push((job){READS(0), WRITES(1)}); /* skipped */
  push((job){READS(2), WRITES(0)}); /* cures */
  EX_CHECK(th_wait_var(vars[1]) == TH_EKERNEL);
  EX_CHECK(th_wait_var(vars[0]) == TH_OK);
  EX_CHECK(cells[0] == 1 && cells[1] == 0);
  stop(1);
}

static _Atomic(th_token *) token;
static th_status async_run(void *arg, th_task_context *context) {
  cells[0]++;
  th__store(&token, th_context_token(context), TH__RELEASE);
  return TH_OK;
}
static void signaller(void *unused) {
  th_token *t;
  while ((t = th__load(&token, TH__ACQUIRE)) == NULL) th__pause();
  cells[0]++; /* the task's: it ends with the signal */
  EX_CHECK(th_token_signal(t, TH_OK, NULL) == TH_OK);
  EX_CHECK(th_token_signal(t, TH_OK, NULL) == TH_EINVAL);
  base_thread_ends();
}
static void tokens(void) {
  start(1);
  int other = ex_spawn(signaller, NULL);
  th_task t = {.name = "async", .run = async_run, .writes = vars, .n_writes = 1};
  EX_CHECK(th_push_async(&t) == TH_OK);
  push((job){WRITES(0), .checked = true, .before = 2});
  EX_CHECK(th_wait_var(vars[0]) == TH_OK);
  ex_join(other);
  stop(3);
}

/* --- the end --- */

static void shutdown_busy(void) { /* while tasks are pending */
  start_now(2);
  push((job){WRITES(0)});
  push((job){READS(0), WRITES(1)});
  stop_now(2);
}

static void shutdown_idle(void) { /* while workers go to sleep */
  start(2);
  push((job){WRITES(0)});
  await(1);
  stop_now(1);
}

static void start_again(void) {
  start_now(1);
  push((job){WRITES(0)});
  stop_now(1);
  start_now(1);
  push((job){WRITES(0)});
  EX_CHECK(th_wait_var(vars[0]) == TH_OK);
  stop_now(2);
}

#define SMALL .preemptions = 1, .most = 700, .random = 200
const ex_scenario ex_scenarios[] = {
    {"chain", chain, SMALL},
    {"readers", readers, SMALL},
    {"many_links", many_links, SMALL},
    {"fold", fold, SMALL},
    {"joins", joins, SMALL},
    {"submitters", submitters, SMALL},
    {"second_thread", second_thread, SMALL},
    {"second_thread_waits", second_thread_waits, SMALL},
    {"thread_after_thread", thread_after_thread, SMALL},
    {"recycling", recycling, SMALL},
    {"slots", slots, SMALL},
    {"generations", generations, .random = 20},
    {"generations.come_round", generations_round, .finds = "is_ready"},
    {"waiters", waiters, SMALL},
    {"waiters_asleep", waiters_asleep, .all_woken = true, SMALL},
    {"waiter_falls_asleep", waiter_falls_asleep, .all_woken = true, SMALL},
    {"wait_all_late", wait_all_late, SMALL},
    {"nested", nested, SMALL},
    {"lone_push", lone_push, SMALL},
    {"fall_asleep", fall_asleep, SMALL},
    {"push_two", push_two, SMALL},
    {"push_classes", push_classes, SMALL},
    {"push_from_two", push_from_two, SMALL},
    {"side_by_side", side_by_side, SMALL},
    {"side_by_side_napping", side_by_side_napping, SMALL},
    {"released_together", released_together, SMALL},
    {"three_for_a_spinner", three_for_a_spinner, SMALL},
    {"two_devices", two_devices, SMALL},
    {"limit", limit, SMALL},
    {"limit_without_help", limit_without_help, SMALL},
    {"failure", failure, SMALL},
    {"tokens", tokens, SMALL},
    {"shutdown_busy", shutdown_busy, SMALL},
    {"shutdown_idle", shutdown_idle, SMALL},
    {"start_again", start_again, SMALL},
};
const size_t ex_n_scenarios = sizeof ex_scenarios / sizeof *ex_scenarios;
