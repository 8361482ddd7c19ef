/* Program order: what touches one variable, one of them writing, takes effect in submission order; nothing else is ordered. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <pthread.h>
#include <string.h>

#include "support/tasks.h"

TestSuite(order, .timeout = 60);

static const char *const modes[] = {"threads", "serial", "shuffle:7", "shuffle-threads:7"};

Test(order, chain_runs_in_submission_order) {
  static task_log log;
  for (int m = 0; m < 4; m++) {
    tasks_init(modes[m], 3, 0);
    th_var *v = th_var_new();
    log.count = 0;
    for (int i = 0; i < 5000; i++) cr_assert(eq(int, push_log(&log, i, NULL, v, 0), TH_OK));
    cr_assert(eq(int, th_wait_var(v), TH_OK));
    cr_assert(eq(int, log.count, 5000), "mode %s", modes[m]);
    for (int i = 0; i < 5000; i++)
      cr_assert(eq(int, log.entries[i], i), "mode %s at %d", modes[m], i);
    cr_assert(eq(u64, th_var_version(v), 5000));
    th_var_release(v);
    th_shutdown();
  }
}

Test(order, readers_run_between_writers) {
  static task_log log;
  for (int m = 0; m < 4; m++) {
    tasks_init(modes[m], 3, 0);
    th_var *v = th_var_new();
    log.count = 0;
    for (int round = 0; round < 200; round++) { /* 100 readers fold into joins */
      push_log(&log, round * 2, NULL, v, 0);
      for (int r = 0; r < 100; r++) push_log(&log, round * 2 + 1, v, NULL, 0);
    }
    cr_assert(eq(int, th_wait_var_idle(v), TH_OK));
    cr_assert(eq(int, log.count, 200 * 101));
    for (int i = 0; i < log.count; i++) {
      int expected = i / 101 * 2 + (i % 101 != 0);
      cr_assert(eq(int, log.entries[i], expected), "mode %s at %d", modes[m], i);
    }
    th_var_release(v);
    th_shutdown();
  }
}

Test(order, independent_tasks_run_side_by_side) {
  tasks_init("threads", 2, 0);
  th_var *a = th_var_new(), *b = th_var_new();
  engine_gate gate = {0};
  engine_push_gate(&gate, a);
  push_nop(NULL, b);
  cr_assert(eq(int, th_wait_var_for(b, 10000000000), TH_OK));
  cr_assert(not(th_var_is_ready(a)));
  engine_open(&gate);
  cr_assert(eq(int, th_wait_var(a), TH_OK));
  th_var_release(a);
  th_var_release(b);
  th_shutdown();
}

static th_status nothing(void *arg, th_task_context *context) { return TH_OK; }

static th_status push_many(th_var **reads, size_t n_reads, th_var **writes, size_t n_writes) {
  return th_push(&(th_task){
      .run = nothing, .reads = reads, .n_reads = n_reads, .writes = writes, .n_writes = n_writes});
}

Test(order, duplicates_merge_and_read_write_is_a_write) {
  tasks_init("threads", 2, 0);
  th_var *v = th_var_new();
  _Atomic int sum = 0;
  push_add(&sum, 1, v, v);
  push_add(&sum, 1, v, v);
  th_var *many[40];
  for (int i = 0; i < 40; i++) many[i] = v;
  for (int i = 0; i < 100; i++) cr_assert(eq(int, push_many(many, 40, many, 40), TH_OK));
  cr_assert(eq(int, th_wait_var(v), TH_OK));
  cr_assert(eq(u64, th_var_version(v), 102));
  cr_assert(eq(int, sum, 2));
  th_var_release(v);
  th_shutdown();
}

typedef struct crossing {
  th_var *x, *y;
  bool swap;
} crossing;

static void *push_crossing(void *arg) {
  crossing *c = arg;
  for (int i = 0; i < 50000; i++) {
    th_var *first = c->swap ? c->y : c->x, *second = c->swap ? c->x : c->y;
    if (i % 2 == 0) {
      push_nop(first, second);
    } else {
      push_many(NULL, 0, (th_var *[]){first, second}, 2);
    }
  }
  return NULL;
}

Test(order, crossing_sets_from_two_threads_do_not_deadlock) {
  tasks_init("threads", 2, 0);
  th_var *x = th_var_new(), *y = th_var_new();
  crossing a = {x, y, false}, b = {x, y, true};
  pthread_t t;
  pthread_create(&t, NULL, push_crossing, &b);
  push_crossing(&a);
  pthread_join(t, NULL);
  cr_assert(eq(int, th_wait_all(), TH_OK));
  th_var_release(x);
  th_var_release(y);
  th_shutdown();
}

Test(order, higher_classes_first_and_in_order) {
  static task_log log;
  tasks_init("threads", 1, 0);
  th_var *gate_var = th_var_new();
  engine_gate gate = {0};
  engine_push_gate(&gate, gate_var);
  engine_await(&gate); /* the one worker is busy from here on */
  static const int priorities[] = {TH_PRIORITY_LOW, TH_PRIORITY_DEFAULT, TH_PRIORITY_HIGH,
                                   TH_PRIORITY_URGENT};
  for (int i = 0; i < 400; i++) /* none of them shares a variable */
    push_log(&log, i, NULL, NULL, priorities[i % 4]);
  engine_open(&gate);
  /* Not th_wait_all(): a helping thread would run some at the same time. */
  while (log.count < 400) th_wait_var_for(gate_var, 1000000);
  th_wait_all(); /* the last may still be writing its entry */
  int last_of_class[4] = {-1, -1, -1, -1};
  for (int i = 0; i < 400; i++) {
    int class_ = log.entries[i] % 4;
    cr_assert(eq(int, class_, 3 - i / 100), "entry %d", i);
    if (class_ != 1) cr_assert(last_of_class[class_] < log.entries[i], "class %d", class_);
    last_of_class[class_] = log.entries[i];
  }
  th_var_release(gate_var);
  th_shutdown();
}

Test(order, variable_may_be_released_while_in_use) {
  tasks_init("threads", 2, 0);
  _Atomic int sum = 0;
  for (int i = 0; i < 2000; i++) {
    th_var *v = th_var_new();
    push_add(&sum, 1, NULL, v);
    push_add(&sum, 1, v, NULL);
    th_var_release(v);
  }
  cr_assert(eq(int, th_wait_all(), TH_OK));
  cr_assert(eq(int, sum, 4000));
  th_shutdown();
}

static th_status push_inside(void *arg, th_task_context *context) {
  _Atomic int *sum = *(_Atomic int **)arg;
  for (int i = 0; i < 100; i++) {
    th_status status = push_add(sum, 1, NULL, NULL);
    if (status != TH_OK) return status;
  }
  return TH_OK;
}

Test(order, bodies_may_push_at_the_limit) {
  for (int m = 0; m < 4; m++) {
    tasks_init(modes[m], 2, 4);
    _Atomic int sum = 0, *target = &sum;
    for (int i = 0; i < 100; i++) {
      th_task t = {.name = "outer", .run = push_inside, .arg = &target, .arg_size = sizeof target};
      cr_assert(eq(int, th_push(&t), TH_OK));
    }
    cr_assert(eq(int, th_wait_all(), TH_OK)); /* all outer ones; inner ones may have come later */
    cr_assert(eq(int, th_wait_all(), TH_OK));
    cr_assert(eq(int, sum, 10000), "mode %s", modes[m]);
    th_shutdown();
  }
}

Test(order, bad_tasks_are_refused_with_a_reason) {
  tasks_init("threads", 1, 0);
  th_var *null = NULL, *v = th_var_new();
  cr_assert(eq(int, th_push(NULL), TH_EINVAL));
  cr_assert(eq(int, th_push(&(th_task){.name = "empty"}), TH_EINVAL));
  cr_assert(ne(ptr, (void *)strstr(th_last_error(), "empty has no body"), NULL));
  cr_assert(
      eq(int, th_push(&(th_task){.run = nothing, .writes = &null, .n_writes = 1}), TH_EINVAL));
  cr_assert(ne(ptr, (void *)strstr(th_last_error(), "write 0 is NULL"), NULL));
  cr_assert(eq(int, th_push(&(th_task){.run = nothing, .device = {TH_CPU, 99}}), TH_EDEVICE));
  cr_assert(ne(ptr, (void *)strstr(th_last_error(), "cpu:99"), NULL));
  cr_assert(eq(int, th_push(&(th_task){.run = nothing, .device = {TH_META, 0}}), TH_EDEVICE));
  cr_assert(eq(int, th_push(&(th_task){.run = nothing, .n_writes = 3}), TH_EINVAL));
  th_engine_stats s = {.size = sizeof s};
  cr_assert(eq(int, th_engine_get_stats(&s), TH_OK));
  cr_assert(eq(u64, s.submitted, 0));
  th_var_release(v);
  th_shutdown();
}
