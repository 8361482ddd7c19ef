/* Errors inside tasks: they poison what should have been written, travel, stay until a whole overwrite, and come out at every
 * sync point. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <limits.h>
#include <string.h>

#include "support/tasks.h"

TestSuite(failure, .timeout = 60);

static bool says(const char *part) { return strstr(th_last_error(), part) != NULL; }

Test(failure, travels_to_every_dependent_and_stays) {
  static const char *const modes[] = {"threads", "serial", "shuffle:1", "shuffle-threads:1"};
  for (int m = 0; m < 4; m++) {
    tasks_init(modes[m], 2, 0);
    th_var *a = th_var_new(), *b = th_var_new(), *c = th_var_new(), *clean = th_var_new();
    _Atomic int ran = 0;
    push_fail("origin", "it broke", NULL, a);
    push_add(&ran, 1, a, b);
    push_add(&ran, 1, b, c);
    push_add(&ran, 100, NULL, clean);
    for (int again = 0; again < 3; again++) {
      cr_assert(eq(int, th_wait_var(c), TH_EKERNEL), "mode %s", modes[m]);
      cr_assert(says("origin: it broke"), "%s", th_last_error());
      cr_assert(eq(int, th_wait_var(a), TH_EKERNEL));
    }
    cr_assert(eq(int, th_wait_var(clean), TH_OK));
    cr_assert(eq(int, ran, 100));
    cr_assert(eq(int, th_wait_all(), TH_OK), "it was observed: %s", th_last_error());
    th_var_release(a);
    th_var_release(b);
    th_var_release(c);
    th_var_release(clean);
    th_shutdown();
  }
}

Test(failure, whole_overwrite_cures_and_in_place_does_not) {
  tasks_init("threads", 2, 0);
  th_var *v = th_var_new();
  push_fail("bad", "no", NULL, v);
  push_nop(v, v); /* in place: skipped */
  cr_assert(eq(int, th_wait_var(v), TH_EKERNEL));
  push_nop(NULL, v);
  cr_assert(eq(int, th_wait_var(v), TH_OK));
  push_nop(v, v);
  cr_assert(eq(int, th_wait_var(v), TH_OK));
  th_var_release(v);
  th_shutdown();
}

Test(failure, wait_all_reports_the_first_unseen_and_the_count) {
  tasks_init("threads", 1, 0);
  th_var *v[3];
  static const char *const names[] = {"one", "two", "three"};
  for (int i = 0; i < 3; i++) {
    v[i] = th_var_new();
    push_fail(names[i], "lost", NULL, v[i]);
  }
  cr_assert(eq(int, th_wait_all(), TH_EKERNEL));
  cr_assert(says("one: lost"), "%s", th_last_error());
  cr_assert(says("3 failures"), "%s", th_last_error());
  cr_assert(eq(int, th_wait_all(), TH_OK));
  cr_assert(eq(int, th_wait_var(v[2]), TH_EKERNEL)); /* the arrays keep theirs */
  for (int i = 0; i < 1000; i++) push_fail("many", "lost", NULL, v[0]);
  cr_assert(eq(int, th_wait_all(), TH_EKERNEL));
  cr_assert(says("1000 failures"), "%s", th_last_error());
  for (int i = 0; i < 3; i++) th_var_release(v[i]);
  th_shutdown();
}

static _Atomic int dropped;
static void drop(void *arg) { th__fetch_add(&dropped, *(int *)arg, TH__RELAXED); }
static th_status body(void *arg, th_task_context *context) { return TH_OK; }

/* However many failures somebody has met, one that nobody has is told. */
Test(failure, wait_all_reports_what_came_after_many) {
  tasks_init("threads", 1, 0);
  th_var *v = th_var_new(), *last = th_var_new();
  for (int seen = 60; seen < 70; seen++) {
    for (int i = 0; i < seen; i++) {
      push_fail("known", "no", NULL, v);
      cr_assert(eq(int, th_wait_var(v), TH_EKERNEL));
    }
    push_fail("unknown", "lost", NULL, last);
    cr_assert(eq(int, th_wait_all(), TH_EKERNEL), "after %d", seen);
    cr_assert(says("unknown: lost") && !says("failures"), "%s", th_last_error());
    cr_assert(eq(int, th_wait_all(), TH_OK));
  }
  for (int i = 0; i < 200; i++) push_fail("many", "no", NULL, v);
  cr_assert(eq(int, th_wait_all(), TH_EKERNEL));
  cr_assert(says("many: no (first of 200 failures)"), "%s", th_last_error());
  th_var_release(v);
  th_var_release(last);
  th_shutdown();
}

static th_status return_number(void *arg, th_task_context *context) { return *(th_status *)arg; }

Test(failure, what_is_no_status_is_a_failure) {
  static const int numbers[] = {1, 2, 127, 257, INT_MAX};
  static const char *const modes[] = {"threads", "serial"};
  for (int m = 0; m < 2; m++) {
    tasks_init(modes[m], 1, 0);
    for (int i = 0; i < 5; i++) {
      th_var *v = th_var_new();
      th_task task = {.name = "odd",
                      .run = return_number,
                      .arg = &numbers[i],
                      .arg_size = sizeof numbers[i],
                      .writes = &v,
                      .n_writes = 1};
      cr_assert(eq(int, th_push(&task), TH_OK));
      cr_assert(eq(int, th_wait_var(v), TH_EINVAL), "%d", numbers[i]);
      cr_assert(says("odd: the body returned") && says("no status"), "%s", th_last_error());
      th_var_release(v);
    }
    th_shutdown();
  }
}

Test(failure, skipped_tasks_are_dropped_and_cleanup_runs) {
  tasks_init("threads", 2, 0);
  th_var *v = th_var_new();

  int one = 1;
  dropped = 0;
  push_fail("bad", "no", NULL, v);
  for (int i = 0; i < 10; i++)
    th_push(&(th_task){.run = body,
                       .arg = &one,
                       .arg_size = sizeof one,
                       .drop = drop,
                       .writes = &v,
                       .n_writes = 1,
                       .reads = &v,
                       .n_reads = 1});
  th_push(&(th_task){.run = body,
                     .arg = &one,
                     .arg_size = sizeof one,
                     .drop = drop,
                     .reads = &v,
                     .n_reads = 1,
                     .flags = TH_TASK_ALWAYS});
  cr_assert(eq(int, th_wait_var_idle(v), TH_EKERNEL));
  cr_assert(eq(int, dropped, 11));
  th_engine_stats s = {.size = sizeof s};
  th_engine_get_stats(&s);
  cr_assert(eq(u64, s.skipped, 10));
  cr_assert(eq(u64, s.failed, 1));
  th_var_release(v);
  th_shutdown();
}

static th_status nested_error(void *arg, th_task_context *context) {
  th_push(NULL); /* leaves a message on this thread */
  return TH_OK;
}

Test(failure, a_helping_thread_keeps_its_own_message) {
  tasks_init("threads", TH_NO_WORKERS, 0);
  th_var *v = th_var_new();
  cr_assert(eq(int, th_push(NULL), TH_EINVAL));
  char before[128];
  strncpy(before, th_last_error(), sizeof before - 1);
  th_push(&(th_task){.run = nested_error, .writes = &v, .n_writes = 1});
  push_fail("inner", "other text", NULL, NULL);
  cr_assert(eq(int, th_wait_var(v), TH_OK));
  cr_assert(eq(str, before, (char *)th_last_error()));
  th_wait_all();
  th_var_release(v);
  th_shutdown();
}
