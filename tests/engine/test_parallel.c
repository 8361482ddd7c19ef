/* Parallel loops inside a task: every element once, on any number of workers, nested, at the same time. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "support/tasks.h"

TestSuite(parallel, .timeout = 60);

enum { N = 100000 };
static uint8_t touched[N];
static _Atomic int blocks;

static void touch(int64_t first, int64_t last, void *arg) {
  th__fetch_add(&blocks, 1, TH__RELAXED);
  for (int64_t i = first; i < last; i++) touched[i]++;
}

typedef struct shape {
  int64_t n, grain;
} shape;

static th_status loop(void *arg, th_task_context *context) {
  shape *s = arg;
  th_parallel_for(context, s->n, s->grain, touch, NULL);
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
