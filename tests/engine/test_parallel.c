/* Parallel loops inside a task: every element once, on any number of workers, in blocks of other loops, at the same time; who waits
 * for the task helps. What only timing shows is explored in tests/explore/engine/drive_loop.c. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "engine/base/thread.h"
#include "support/tasks.h"

TestSuite(parallel, .timeout = 60);

enum { N = 100000 };
static uint8_t touched[N];
static _Atomic int blocks;

static void touch(int64_t first, int64_t last, void *arg) {
  uint8_t *elements = arg;
  th__fetch_add(&blocks, 1, TH__RELAXED);
  for (int64_t i = first; i < last; i++) elements[i]++;
}

typedef struct shape {
  int64_t n, grain;
} shape;

static th_status loop(void *arg, th_task_context *context) {
  shape *s = arg;
  th_parallel_for(context, s->n, s->grain, touch, touched);
  return TH_OK;
}

Test(parallel, touches_every_element_once_in_fixed_blocks) {
  static const char *const modes[] = {"threads", "serial", "shuffle:7", "shuffle-threads:7"};
  static const shape shapes[] = {{0, 10}, {1, 10}, {10, 10}, {11, 10}, {N, 1000},
                                 {N, 7},  {N, N},  {N, 0},   {5, -1}};
  for (int m = 0; m < 4; m++) {
    for (int workers = 1; workers <= 4; workers += 3) {
      tasks_init(modes[m], workers, 0);
      th_var *v = th_var_new();
      for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
        memset(touched, 0, sizeof touched);
        blocks = 0;
        shape s = shapes[k];
        th_push(
            &(th_task){.run = loop, .arg = &s, .arg_size = sizeof s, .writes = &v, .n_writes = 1});
        cr_assert(eq(int, th_wait_var(v), TH_OK));
        int64_t grain = s.grain < 1 ? 1 : s.grain;
        cr_assert(eq(int, blocks, (int)((s.n + grain - 1) / grain)));
        for (int64_t i = 0; i < N; i++)
          cr_assert(eq(int, touched[i], i < s.n), "element %lld", (long long)i);
      }
      th_var_release(v);
      th_shutdown();
    }
  }
}

static _Atomic long total;

static void add(int64_t first, int64_t last, void *arg) {
  long sum = 0;
  for (int64_t i = first; i < last; i++) sum += i;
  th__fetch_add(&total, sum, TH__RELAXED);
}

static th_status sum_loop(void *arg, th_task_context *context) {
  th_parallel_for(context, 10000, 100, add, NULL);
  return TH_OK;
}

Test(parallel, many_loops_at_the_same_time) {
  tasks_init("threads", 4, 0);
  total = 0;
  for (int i = 0; i < 3000; i++) th_push(&(th_task){.run = sum_loop});
  cr_assert(eq(int, th_wait_all(), TH_OK));
  cr_assert(eq(long, total, 3000L * (9999L * 10000L / 2)));
  th_shutdown();
}

static void touch_nested(int64_t first, int64_t last, void *arg) {
  int64_t n = N / 10;
  for (int64_t i = first; i < last; i++) th_parallel_for(arg, n, 100, touch, touched + i * n);
}

static th_status nested_loop(void *arg, th_task_context *context) {
  th_parallel_for(context, 10, 1, touch_nested, context);
  return TH_OK;
}

Test(parallel, a_loop_in_a_block_runs_there) {
  for (int workers = 1; workers <= 4; workers++) {
    tasks_init("threads", workers, 0);
    memset(touched, 0, sizeof touched);
    th_push(&(th_task){.run = nested_loop});
    cr_assert(eq(int, th_wait_all(), TH_OK));
    for (int i = 0; i < N; i++) cr_assert(eq(int, touched[i], 1), "element %d", i);
    th_shutdown();
  }
}

/* Both blocks must run at the same time, and there is only one worker. */
static _Atomic int met, entered;

static void meet(int64_t first, int64_t last, void *arg) {
  th__fetch_add(&met, 1, TH__SEQ_CST);
  while (th__load(&met, TH__SEQ_CST) < 2) th__yield();
}

static th_status meeting(void *arg, th_task_context *context) {
  th__store(&entered, 1, TH__SEQ_CST);
  th_parallel_for(context, 2, 1, meet, NULL);
  return TH_OK;
}

Test(parallel, who_waits_for_the_task_joins_its_loop) {
  if (th__thread_cores() < 2) return; /* then loops are never shared */
  tasks_init("threads", 1, 0);
  th_var *v = th_var_new();
  for (int i = 0; i < 20; i++) {
    met = entered = 0;
    th_push(&(th_task){.run = meeting, .writes = &v, .n_writes = 1});
    while (th__load(&entered, TH__SEQ_CST) == 0) th__yield();
    cr_assert(eq(int, th_wait_var(v), TH_OK));
    cr_assert(eq(int, met, 2));
  }
  th_var_release(v);
  th_shutdown();
}

static th_status nothing(void *arg, th_task_context *context) { return TH_OK; }
static th_status nap(void *arg, th_task_context *context) {
  th__sleep_ns(*(int64_t *)arg);
  return TH_OK;
}

/* Whoever waits for all tasks, or until fewer are pending, is as good as a worker. */
Test(parallel, who_waits_for_others_joins_their_loops) {
  if (th__thread_cores() < 2) return;
  for (int limit = 0; limit <= 2; limit += 2) {
    tasks_init("threads", 1, limit);
    th_var *v = th_var_new();
    for (int i = 0; i < 20; i++) {
      int64_t ns = i * 100000; /* for the waiter to get there, and to be spinning or parked */
      met = 0;
      th_push(
          &(th_task){.run = nap, .arg = &ns, .arg_size = sizeof ns, .writes = &v, .n_writes = 1});
      th_push(&(th_task){.run = meeting, .writes = &v, .n_writes = 1});
      for (int k = 0; k < 2 * limit; k++)
        th_push(&(th_task){.run = nothing, .writes = &v, .n_writes = 1});
      cr_assert(eq(int, th_wait_all(), TH_OK));
      cr_assert(eq(int, met, 2));
    }
    th_var_release(v);
    th_shutdown();
  }
}
