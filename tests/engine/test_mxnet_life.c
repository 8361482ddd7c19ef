/* What MXNet's engine fails at, rows W17 to W23: versions, fork, start and stop, waits. Each test says what happened there. */
/* ctest: serial */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/atomic.h"
#include "engine/base/mem.h"
#include "engine/base/thread.h"
#include "support/tasks.h"
#include "thrum/thrum.h"

TestSuite(mxnet_life, .timeout = 120);

/* --- W17: versions rose when a write was done, too late to notice a change --- */

Test(mxnet_life, w17_versions_rise_at_submission) {
  tasks_init(NULL, 1, 0);
  engine_gate gate = {0};
  th_var *v = th_var_new();
  cr_assert(eq(u64, th_var_version(v), 0));
  engine_push_gate(&gate, v);
  cr_assert(eq(u64, th_var_version(v), 1));
  for (int i = 0; i < 10; i++) {
    (void)engine_push("w", engine_nothing, NULL, NULL, 0, &v, 1);
    (void)engine_push("r", engine_nothing, NULL, &v, 1, NULL, 0);
  }
  cr_assert(eq(u64, th_var_version(v), 11)); /* nothing has run yet */
  cr_assert(not(th_var_is_ready(v)));
  engine_open(&gate);
  cr_assert(eq(int, th_wait_all(), TH_OK));
  cr_assert(eq(u64, th_var_version(v), 11));
  th_var_release(v);
  th_shutdown();
}

/* --- W18: fork waited for everything, and aborted when an error was pending --- */

/* 0 or the number of the check that failed. */
static int in_child(th_var *old) {
  if (engine_push("x", engine_nothing, NULL, NULL, 0, NULL, 0) != TH_EFORK) return 1;
  if (th_wait_all() != TH_EFORK) return 2;
  if (th_wait_var(old) != TH_EFORK) return 3;
  th_var_release(old);
  if (!ENGINE_THREADS_AFTER_FORK) return 0;
  if (th_reset_after_fork() != TH_OK) return 4;
  _Atomic int runs = 0;
  th_var *v = th_var_new();
  for (int i = 0; i < 1000; i++)
    if (engine_push("x", engine_count, &runs, NULL, 0, &v, 1) != TH_OK) return 5;
  if (th_wait_all() != TH_OK || runs != 1000) return 6;
  th_var_release(v);
  return th_shutdown() == TH_OK ? 0 : 7;
}

Test(mxnet_life, w18_fork_with_queued_work_and_a_pending_error) {
  tasks_init(NULL, 2, 0);
  engine_gate gate = {0};
  th_var *v = th_var_new(), *bad = th_var_new();
  engine_push_gate(&gate, v);
  (void)engine_push("fails", engine_fail, NULL, NULL, 0, &bad, 1);
  for (int i = 0; i < 1000; i++) (void)engine_push("q", engine_nothing, NULL, NULL, 0, &v, 1);
  /* Not waiting, which would meet the error. Locks of sanitizers do not survive a fork beside a body that fails. */
  th_engine_stats stats = {.size = sizeof stats};
  while (!ENGINE_THREADS_AFTER_FORK && stats.failed == 0)
    cr_assert(eq(int, th_engine_get_stats(&stats), TH_OK));
  for (int round = 0; round < 10; round++) {
    pid_t child = fork(); /* with the gate closed, who drained would never return */
    if (child == 0) _exit(in_child(v));
    int status = 0;
    waitpid(child, &status, 0);
    cr_assert(eq(int, status, 0), "check %d of round %d", WEXITSTATUS(status), round);
  }
  pid_t child = fork();
  if (child == 0) exit(0); /* never touches the engine; its exit must not hang */
  int status = 0;
  waitpid(child, &status, 0);
  cr_assert(eq(int, status, 0));
  engine_open(&gate);
  cr_assert(eq(int, th_wait_var(v), TH_OK)); /* the parent has not noticed */
  cr_assert(eq(int, th_wait_var(bad), TH_EKERNEL));
  th_var_release(v);
  th_var_release(bad);
  (void)th_shutdown();
}

/* --- W19: the order of static destructors crashed at exit, and there was no way to stop before --- */

Test(mxnet_life, w19_a_thousand_starts_and_stops) {
  int64_t live = th__mem_live();
  for (int i = 0; i < 1000; i++) {
    th_config config = {.size = sizeof(config), .workers = 1 + i % 2};
    cr_assert(eq(int, th_init(&config), TH_OK), "start %d: %s", i, th_last_error());
    _Atomic int runs = 0;
    th_var *v = th_var_new();
    for (int j = 0; j < 20; j++) (void)engine_push("x", engine_count, &runs, NULL, 0, &v, 1);
    if (i % 3 == 0) th_var_release(v);
    cr_assert(eq(int, th_shutdown(), TH_OK), "stop %d: %s", i, th_last_error());
    cr_assert(eq(int, runs, 20), "start %d", i);
    if (i % 3 != 0) th_var_release(v); /* legal afterwards */
  }
  cr_assert(eq(i64, th__mem_live(), live));
}

/* --- W22: waiting for all waited for what others pushed meanwhile, perhaps for ever --- */

static _Atomic int stop_pushing;

static void *push_for_ever(void *arg) {
  th_var *v = arg;
  while (!th__load(&stop_pushing, TH__RELAXED))
    (void)engine_push("noise", engine_nothing, NULL, NULL, 0, &v, 1);
  return NULL;
}

Test(mxnet_life, w22_wait_all_does_not_wait_for_later_pushes) {
  tasks_init(NULL, 2, 0);
  th_var *noise = th_var_new(), *v = th_var_new();
  pthread_t thread;
  pthread_create(&thread, NULL, push_for_ever, noise);
  _Atomic int runs = 0;
  int64_t longest = 0;
  int wrong = 0;
  for (int i = 0; i < 20; i++) {
    (void)engine_push("mine", engine_count, &runs, NULL, 0, &v, 1);
    int64_t from = th__now_ns();
    wrong += th_wait_all() != TH_OK;
    int64_t took = th__now_ns() - from;
    if (took > longest) longest = took;
    wrong += runs != i + 1; /* what came before the call is done */
  }
  th__store(&stop_pushing, 1, TH__RELAXED);
  pthread_join(thread, NULL);
  cr_assert(eq(int, wrong, 0));
  cr_assert(lt(i64, longest, 5000000000));
  th_var_release(noise);
  th_var_release(v);
  th_shutdown();
}

/* --- W23: no wait for readers, for several, with a limit; no poll --- */

Test(mxnet_life, w23_waits_for_writers_or_for_everybody) {
  tasks_init(NULL, 2, 0);
  engine_gate gate = {0};
  th_var *v = th_var_new();
  (void)engine_push("writes", engine_nothing, NULL, NULL, 0, &v, 1);
  engine_push_gate_reading(&gate, v);
  cr_assert(eq(int, th_wait_var(v), TH_OK)); /* its reader still runs */
  cr_assert(th_var_is_ready(v));
  int64_t from = th__now_ns();
  engine_open_later(&gate, 20000000);
  cr_assert(eq(int, th_wait_var_idle(v), TH_OK));
  cr_assert(eq(int, engine_passed(&gate), 1));
  cr_assert(ge(i64, th__now_ns() - from, 20000000));
  engine_join(&gate);
  th_var_release(v);
  th_shutdown();
}

Test(mxnet_life, w23_limits_and_polls) {
  tasks_init(NULL, 1, 0);
  engine_gate gate = {0};
  th_var *v = th_var_new();
  cr_assert(th_var_is_ready(v));
  cr_assert(eq(int, th_wait_var_for(v, 0), TH_OK));
  engine_push_gate(&gate, v);
  cr_assert(not(th_var_is_ready(v)));
  cr_assert(eq(int, th_wait_var_for(v, 0), TH_ETIMEDOUT));
  int64_t from = th__now_ns();
  cr_assert(eq(int, th_wait_var_for(v, 20000000), TH_ETIMEDOUT));
  cr_assert(ge(i64, th__now_ns() - from, 20000000));
  engine_open(&gate);
  cr_assert(eq(int, th_wait_var_for(v, INT64_MAX), TH_OK));
  th_var_release(v);
  th_shutdown();
}

Test(mxnet_life, w23_waits_for_several_arrays) {
  tasks_init(NULL, 2, 0);
  engine_gate gate = {0};
  th_array *a = th_ones(TH_SHAPE(2), TH_F32, th_cpu(0)),
           *b = th_ones(TH_SHAPE(2), TH_F32, th_cpu(0));
  engine_push_gate(&gate, th_array_var(b));
  cr_assert(eq(int, th_wait_for(b, 1000000), TH_ETIMEDOUT));
  cr_assert(not(th_is_ready(b)));
  cr_assert(eq(int, th_wait(a), TH_OK));
  cr_assert(th_is_ready(a));
  engine_open_later(&gate, 5000000);
  cr_assert(eq(int, th_wait_many(TH_ARRAYS(a, b)), TH_OK));
  cr_assert(eq(int, engine_passed(&gate), 1));
  engine_join(&gate);
  th_release(a);
  th_release(b);
  th_shutdown();
}
