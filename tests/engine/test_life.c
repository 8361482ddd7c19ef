/* Start, stop, fork and exit of the engine.
 * It measures time (ctest: serial). */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/mem.h"
#include "engine/base/thread.h"
#include "support/tasks.h"
#include "thrum/thrum.h"

TestSuite(life, .timeout = 60);

Test(life, starts_on_first_use_and_stops) {
  th_var *v = th_var_new();
  cr_assert(ne(ptr, v, NULL));
  cr_assert(eq(int, push_nop(NULL, v), TH_OK));
  cr_assert(eq(int, th_init(NULL), TH_EBUSY));
  cr_assert(eq(int, th_shutdown(), TH_OK));
  cr_assert(eq(int, th_shutdown(), TH_OK));
  cr_assert(eq(int, push_nop(NULL, NULL), TH_ESHUTDOWN));
  th_var_release(v); /* legal afterwards */
  cr_assert(eq(int, th_init(NULL), TH_OK));
  th_var *old = th_var_new();
  th_shutdown();
  cr_assert(eq(int, th_init(NULL), TH_OK));
  cr_assert(eq(int, push_nop(old, NULL), TH_EFORK)); /* of another engine */
  th_var_release(old);
  cr_assert(eq(int, th_shutdown(), TH_OK));
}

Test(life, many_cycles_leak_nothing) {
  int64_t live = -1;
  for (int i = 0; i < 200; i++) {
    tasks_init(i % 3 == 0 ? "serial" : "threads", 2, 0);
    th_var *v = th_var_new();
    for (int k = 0; k < 20; k++) push_nop(NULL, v);
    th_var_release(v);
    cr_assert(eq(int, th_shutdown(), TH_OK));
    if (i == 5) live = th__mem_live();
  }
  cr_assert(eq(i64, th__mem_live(), live));
}

typedef struct leaver {
  _Atomic bool done;
} leaver;

static void *use_and_leave(void *arg) {
  leaver *l = arg;
  th_array *a = th_ones(TH_SHAPE(100), TH_F32, th_cpu(0)), *b = th_add(a, a);
  th_status status = th_wait(b);
  th_release(a);
  th_release(b);
  th__store(&l->done, status == TH_OK, TH__RELEASE);
  return NULL; /* what the library keeps for the thread ends beside the shutdown */
}

Test(life, threads_end_beside_a_shutdown) {
  enum { THREADS = 3 };
  int rounds = ENGINE_THREADS_AFTER_FORK ? 200 : 50;
  for (int round = 0; round < rounds; round++) {
    tasks_init("threads", 1, 0);
    leaver leavers[THREADS] = {0};
    pthread_t threads[THREADS];
    for (int t = 0; t < THREADS; t++) pthread_create(&threads[t], NULL, use_and_leave, &leavers[t]);
    for (int t = 0; t < THREADS; t++)
      while (!th__load(&leavers[t].done, TH__ACQUIRE)) sched_yield();
    cr_assert(eq(int, th_shutdown(), TH_OK));
    for (int t = 0; t < THREADS; t++) pthread_join(threads[t], NULL);
  }
}

static void *allocate(size_t bytes, void *user) { return malloc(bytes); }
static void *resize(void *block, size_t bytes, void *user) { return realloc(block, bytes); }
static void give_back(void *block, void *user) { free(block); }

static int started_again(void) {
  if (th_reset_after_fork() != TH_OK) return 1;
  th_var *v = th_var_new();
  if (v == NULL || push_nop(NULL, v) != TH_OK || th_wait_var(v) != TH_OK) return 2;
  th_var_release(v);
  return 0;
}

/* What they point to may change as soon as the engine has started. */
Test(life, settings_are_copied) {
  char engine[32] = "shuffle:7";
  th_allocator allocator = {allocate, resize, give_back, NULL};
  th_config config = {.size = sizeof config, .engine = engine, .allocator = &allocator};
  cr_assert(eq(int, th_init(&config), TH_OK));
  strcpy(engine, "(reused)");
  memset(&allocator, 0xDB, sizeof allocator);
  th_array *a = th_ones(TH_SHAPE(4), TH_F32, th_cpu(0));
  th_event *e = th_event_new(a);
  cr_assert(eq(int, th_event_wait(e, -1), TH_OK));
  th_event_release(e);
  th_release(a);
  pid_t child = ENGINE_THREADS_AFTER_FORK ? fork() : -1;
  if (child == 0) _exit(started_again());
  int status = 0;
  if (child > 0) waitpid(child, &status, 0);
  cr_assert(eq(int, status, 0));
  cr_assert(eq(int, th_shutdown(), TH_OK));
}

Test(life, settings_are_checked) {
  cr_assert(eq(int, th_init(&(th_config){.size = 3}), TH_EINVAL));
  static const char *const bad[] = {
      "", "thread", "shuffle", "shuffle:", "shuffle:x", "shuffle:1x", "naive"};
  for (int i = 0; i < 7; i++) {
    th_config c = {.size = sizeof c, .engine = bad[i]};
    cr_assert(eq(int, th_init(&c), TH_EINVAL), "'%s'", bad[i]);
    cr_assert(ne(ptr, (void *)strstr(th_last_error(), "shuffle-threads:SEED"), NULL));
  }
  cr_assert(
      eq(int, th_init(&(th_config){.size = sizeof(th_config), .workers = 100000}), TH_EINVAL));
  cr_assert(eq(int, th_init(&(th_config){.size = sizeof(th_config), .max_ops = -5}), TH_EINVAL));
  th_allocator none = {0};
  cr_assert(
      eq(int, th_init(&(th_config){.size = sizeof(th_config), .allocator = &none}), TH_EINVAL));
}

/* In the child: what is allowed, and a fresh start. */
static int in_child(th_var *v) {
  if (push_nop(NULL, v) != TH_EFORK) return 1;
  if (th_wait_all() != TH_EFORK || th_wait_var(v) != TH_EFORK) return 2;
  th_var_release(v);
  if (!ENGINE_THREADS_AFTER_FORK) return 0;
  if (th_reset_after_fork() != TH_OK) return 3;
  th_var *fresh = th_var_new();
  _Atomic int sum = 0;
  for (int i = 0; i < 100; i++)
    if (push_add(&sum, 1, NULL, fresh) != TH_OK) return 4;
  if (th_wait_var(fresh) != TH_OK || sum != 100) return 5;
  th_var_release(fresh);
  return th_shutdown() == TH_OK ? 0 : 6;
}

Test(life, fork_with_busy_workers) {
  tasks_init("threads", 2, 0);
  cr_assert(eq(int, th_reset_after_fork(), TH_EINVAL));
  th_var *v = th_var_new();
  for (int i = 0; i < 30; i++) {
    for (int k = 0; k < 200; k++) push_nop(k % 2 ? v : NULL, k % 2 ? NULL : v);
    if (i == 10) push_fail("pending", "an error", NULL, v);
    if (!ENGINE_THREADS_AFTER_FORK) /* locks of sanitizers do not survive a fork among busy threads */
      (void)th_wait_all();
    pid_t child = fork();
    if (child == 0) _exit(in_child(v));
    int status = -1;
    waitpid(child, &status, 0);
    bool good = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    cr_assert(good, "round %d: status %x", i, (unsigned)status);
  }
  push_nop(NULL, v);
  cr_assert(eq(int, th_wait_var(v), TH_OK)); /* the parent goes on */
  th_wait_all();
  th_var_release(v);
  th_shutdown();
}

/* All of the work would take two workers 5 s. The least of 20 counts, as others may take the machine for a while. */
Test(life, exit_with_queued_work_is_quick) {
  int64_t least = INT64_MAX;
  for (int i = 0; i < 20; i++) {
    pid_t child = fork();
    if (child == 0) {
      tasks_init("threads", 2, -1);
      th_var *v = th_var_new();
      push_sleep(2, NULL, v);
      for (int k = 0; k < 10000; k++) push_sleep(1, v, NULL);
      exit(0);
    }
    int64_t begin = th__now_ns();
    int status = -1;
    waitpid(child, &status, 0);
    bool good = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    cr_assert(good);
    if (th__now_ns() - begin < least) least = th__now_ns() - begin;
  }
  cr_assert(lt(i64, least, 3000000000));
}

static th_status shut(void *arg, th_task_context *context) {
  return th_shutdown() == TH_EDEADLK ? TH_OK : TH_EKERNEL;
}

Test(life, shutdown_inside_a_task_is_refused) {
  tasks_init("threads", 1, 0);
  th_var *v = th_var_new();
  th_push(&(th_task){.run = shut, .writes = &v, .n_writes = 1});
  cr_assert(eq(int, th_wait_var(v), TH_OK), "%s", th_last_error());
  th_var_release(v);
  th_shutdown();
}

/* Who spins does so always, so the idlest of some moments tells. Threads that OpenBLAS starts when it is loaded spin at first. */
Test(life, idle_process_uses_no_cpu) {
  double least = 1;
  tasks_init("threads", 2, 0);
  for (int i = 0; i < 100; i++) push_nop(NULL, NULL);
  th_wait_all();
  for (int i = 0; i < 20 && least >= 0.02; i++) {
    clock_t begin = clock();
    th__sleep_ns(500000000);
    double share = (double)(clock() - begin) / CLOCKS_PER_SEC / 0.5;
    if (share < least) least = share;
  }
  cr_assert(least < 0.02, "%.3f of a core", least);
  th_shutdown();
}
