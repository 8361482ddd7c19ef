/* Many tasks in one call, and tasks that are checked once and pushed often. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <pthread.h>
#include <string.h>

#include "engine/base/mem.h"
#include "support/lagdevice.h"
#include "support/tasks.h"

TestSuite(bulk, .timeout = 60);

static const char *const modes[] = {"threads", "serial", "shuffle:7", "shuffle-threads:7"};
enum { MODES = 4, N = 500, MOST_VARS = 12 };

static const th_device cpu = {TH_CPU, 0};
static _Atomic int dropped;
static void drop(void *arg) { th__fetch_add(&dropped, 1, TH__RELAXED); }

static bool says(const char *text) { return strstr(th_last_error(), text) != NULL; }

/* The argument: what to add to, how much; and bytes that must arrive as they were. */
typedef struct add_arg {
  unsigned *sum;
  unsigned n;
  unsigned char rest[100];
} add_arg;

static th_status add(void *arg, th_task_context *context) {
  add_arg *a = arg;
  for (size_t i = 0; i < sizeof a->rest; i++)
    if (a->rest[i] != (unsigned char)i) return th_context_fail(context, TH_EINVAL, "byte %zu", i);
  *a->sum = *a->sum * 3 + a->n; /* not atomic: the variable orders it */
  return TH_OK;
}

/* The same with an argument that fits the record. */
static th_status add_one(void *arg, th_task_context *context) {
  unsigned *sum = *(unsigned **)arg;
  *sum = *sum * 3 + 1;
  return TH_OK;
}

static void fill(add_arg *a, unsigned *sum, unsigned n) {
  *a = (add_arg){.sum = sum, .n = n};
  for (size_t i = 0; i < sizeof a->rest; i++) a->rest[i] = (unsigned char)i;
}

static void begin(int mode) {
  lag_install(7);
  tasks_init(modes[mode], 2, 0);
  dropped = 0;
}

Test(bulk, batch_runs_in_order) {
  for (int m = 0; m < MODES; m++) {
    begin(m);
    th_var *v = th_var_new();
    static add_arg args[N];
    static th_task tasks[N];
    unsigned expected = 0, sum = 0;
    for (int i = 0; i < N; i++) {
      fill(&args[i], &sum, (unsigned)i);
      expected = expected * 3 + (unsigned)i;
      tasks[i] = (th_task){.run = add,
                           .drop = drop,
                           .arg = &args[i],
                           .arg_size = sizeof args[i],
                           .writes = &v,
                           .n_writes = 1,
                           .device = i % 5 ? cpu : lag_device(0)};
    }
    size_t pushed = 7;
    cr_assert(eq(int, th_push_batch(tasks, N, &pushed), TH_OK));
    cr_assert(eq(sz, pushed, N));
    cr_assert(eq(int, th_wait_var(v), TH_OK));
    cr_assert(eq(uint, sum, expected), "mode %s", modes[m]);
    cr_assert(eq(int, dropped, N));
    th_var_release(v);
    th_shutdown();
  }
}

Test(bulk, batch_stops_at_the_first_error) {
  begin(0);
  th_var *v = th_var_new();
  unsigned sum = 0, *p = &sum;
  th_task good = {.name = "good",
                  .run = add_one,
                  .drop = drop,
                  .arg = &p,
                  .arg_size = sizeof p,
                  .writes = &v,
                  .n_writes = 1};
  th_task tasks[5] = {good, good, {.name = "bodiless"}, good, good};
  size_t pushed = 9;
  cr_assert(eq(int, th_push_batch(tasks, 5, &pushed), TH_EINVAL));
  cr_assert(says("bodiless"), "%s", th_last_error());
  cr_assert(eq(sz, pushed, 2));
  cr_assert(eq(int, th_push_batch(tasks, 2, NULL), TH_OK));
  cr_assert(eq(int, th_wait_var(v), TH_OK));
  cr_assert(eq(uint, sum, 40));
  cr_assert(eq(int, th_push_batch(NULL, 0, &pushed), TH_OK));
  cr_assert(eq(sz, pushed, 0));
  cr_assert(eq(int, th_push_batch(NULL, 1, &pushed), TH_EINVAL));
  cr_assert(eq(int, th_wait_all(), TH_OK));
  cr_assert(eq(int, dropped, 4));
  th_var_release(v);
  th_shutdown();
}

/* Pushes one prepared task N times on a variable, with `extra` other variables that it reads and some that repeat. */
static void prepared_case(int m, int extra, size_t arg_size, th_device d) {
  begin(m);
  th_var *v[MOST_VARS];
  for (int i = 0; i <= extra; i++) v[i] = th_var_new();
  th_var *writes[2] = {v[0], v[0]};
  unsigned sum = 0, *p = &sum;
  unsigned expected = 0;
  add_arg big;
  fill(&big, &sum, 1);
  th_task t = {.run = arg_size == sizeof p ? add_one : add,
               .drop = drop,
               .arg = arg_size == sizeof p ? (void *)&p : (void *)&big,
               .arg_size = arg_size,
               .reads = v,
               .n_reads = (size_t)extra + 1,
               .writes = writes,
               .n_writes = 2,
               .device = d};
  th_prepared *prepared = th_prepare(&t);
  cr_assert(ne(ptr, prepared, NULL), "%s", th_last_error());
  memset(&big, 0, sizeof big); /* it has its own */
  memset(&t, 0, sizeof t);
  memset(writes, 0, sizeof writes);
  for (int i = 0; i < N; i++) {
    cr_assert(eq(int, th_push_prepared(prepared), TH_OK));
    expected = expected * 3 + 1;
  }
  for (int i = 1; i <= extra; i++) th_var_release(v[i]); /* it holds them */
  cr_assert(eq(int, th_push_prepared(prepared), TH_OK));
  th_prepared_free(prepared);
  cr_assert(eq(int, th_wait_var(v[0]), TH_OK), "%s", th_last_error());
  cr_assert(eq(uint, sum, expected * 3 + 1), "mode %s, %d more", modes[m], extra);
  cr_assert(eq(u64, th_var_version(v[0]), N + 1));
  th_var_release(v[0]);
  th_shutdown();
  cr_assert(eq(int, dropped, N + 1));
}

Test(bulk, prepared_tasks_of_any_size) {
  static const int extras[] = {0, 1, 2, 3, 7, 8, 11};
  int64_t live = -1;
  for (int round = 0; round < 2; round++) {
    for (int m = 0; m < MODES; m++)
      for (size_t k = 0; k < sizeof extras / sizeof *extras; k++) {
        prepared_case(m, extras[k], sizeof(unsigned *), cpu);
        prepared_case(m, extras[k], sizeof(add_arg), k % 2 ? cpu : lag_device(1));
      }
    if (round == 0) live = th__mem_live();
  }
  cr_assert(eq(i64, th__mem_live(), live));
}

static th_status fail_twice(void *arg, th_task_context *context) {
  _Atomic int *n = *(_Atomic int **)arg;
  return th__fetch_add(n, 1, TH__RELAXED) < 2 ? TH_EKERNEL : TH_OK;
}

Test(bulk, prepared_tasks_fail_and_are_canceled_like_others) {
  begin(0);
  th_var *v = th_var_new();
  th_group *g = th_group_new();
  _Atomic int n = 0;
  _Atomic int *p = &n;
  th_prepared *prepared = th_prepare(&(th_task){.name = "unsteady",
                                                .run = fail_twice,
                                                .arg = &p,
                                                .arg_size = sizeof p,
                                                .writes = &v,
                                                .n_writes = 1,
                                                .group = g});
  th_push_prepared(prepared);
  cr_assert(eq(int, th_wait_var(v), TH_EKERNEL));
  cr_assert(says("unsteady"), "%s", th_last_error());
  th_push_prepared(prepared);
  th_push_prepared(prepared);
  cr_assert(eq(int, th_wait_var(v), TH_OK));
  th_group_cancel(g);
  th_group_release(g); /* the prepared task holds it */
  th_push_prepared(prepared);
  cr_assert(eq(int, th_wait_var(v), TH_ECANCELED));
  cr_assert(eq(int, n, 3));
  th_prepared_free(prepared);
  th_var_release(v);
  th_wait_all();
  th_shutdown();
}

static void *push_many(void *arg) {
  for (int i = 0; i < N; i++)
    if (th_push_prepared(arg) != TH_OK) return arg;
  return NULL;
}

Test(bulk, prepared_tasks_are_pushed_from_several_threads) {
  for (int m = 0; m < MODES; m++) {
    begin(m);
    th_var *v = th_var_new(), *w = th_var_new(), *both[2] = {w, v};
    unsigned sum = 0, *p = &sum;
    th_prepared *prepared = th_prepare(
        &(th_task){.run = add_one, .arg = &p, .arg_size = sizeof p, .writes = both, .n_writes = 2});
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, push_many, prepared);
    for (int i = 0; i < 4; i++) {
      void *wrong;
      pthread_join(threads[i], &wrong);
      cr_assert(eq(ptr, wrong, NULL));
    }
    cr_assert(eq(int, th_wait_var(w), TH_OK));
    unsigned expected = 0;
    for (int i = 0; i < 4 * N; i++) expected = expected * 3 + 1;
    cr_assert(eq(uint, sum, expected));
    th_prepared_free(prepared);
    th_var_release(v);
    th_var_release(w);
    th_shutdown();
  }
}

Test(bulk, bad_prepared_tasks) {
  begin(0);
  th_var *v = th_var_new(), *none = NULL;
  char *text = "x";
  cr_assert(eq(ptr, th_prepare(NULL), NULL));
  cr_assert(eq(int, th_last_status(), TH_EINVAL));
  cr_assert(eq(ptr, th_prepare(&(th_task){.name = "empty"}), NULL));
  cr_assert(says("empty"), "%s", th_last_error());
  cr_assert(eq(ptr,
               th_prepare(&(th_task){.run = engine_nothing, .arg = text, .flags = TH_TASK_ADOPT}),
               NULL));
  cr_assert(
      eq(ptr, th_prepare(&(th_task){.run = engine_nothing, .writes = &none, .n_writes = 1}), NULL));
  cr_assert(eq(int, th_push_prepared(NULL), TH_EINVAL));
  th_prepared_free(NULL);
  th_prepared *p = th_prepare(&(th_task){.run = engine_nothing, .writes = &v, .n_writes = 1});
  th_shutdown();
  cr_assert(eq(int, th_push_prepared(p), TH_ESHUTDOWN));
  begin(0);
  cr_assert(eq(int, th_push_prepared(p), TH_EFORK));
  th_prepared_free(p);
  th_var_release(v);
  th_shutdown();
}
