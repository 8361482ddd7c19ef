/* CPU devices: workers, division, memory and its limits, through the public functions. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "devices/cpu/cpu.h"
#include "engine/base/cgroup.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/base/thread.h"
#include "engine/engine.h"

static void clean_environment(void) {
  unsetenv("TH_ENGINE");
  unsetenv("TH_WORKERS");
  unsetenv("TH_MEMORY_LIMIT");
}

/* Threads are not left to the end of the process: the thread sanitizer calls them leaked. */
static void stop(void) { th_shutdown(); }

TestSuite(cpu, .timeout = 60, .fini = stop, .init = clean_environment);

static th_memory_info figures(int index) {
  th_memory_info m;
  cr_assert(eq(int, th_memory_get(th_cpu(index), &m), TH_OK), "%s", th_last_error());
  return m;
}

static void *open_state(int index, const th__device_ops **ops) {
  void *state = NULL;
  cr_assert(eq(int, th__device_open(th_cpu(index), ops, &state), TH_OK), "%s", th_last_error());
  return state;
}

Test(cpu, there_is_one) {
  cr_assert(eq(int, th_device_count(TH_CPU), 1));
  th_memory_info m;
  cr_assert(eq(int, th_memory_get(th_cpu(1), &m), TH_EDEVICE));
  cr_assert(not(zero(ptr, strstr(th_last_error(), "cpu:1"))), "%s", th_last_error());
  cr_assert(eq(int, th_memory_get(th_cpu(-1), &m), TH_EDEVICE));
  cr_assert(eq(int, th_memory_get(th_cpu(70000), &m), TH_EDEVICE));
}

Test(cpu, default_limit_is_most_of_what_there_is) {
  int64_t machine = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
  th__cgroup group;
  th__cgroup_read("", &group);
  if (group.memory > 0 && group.memory < machine) machine = group.memory;
  th_memory_info m = figures(0);
  cr_assert(ge(i64, m.limit, machine / 20 * 17));
  cr_assert(le(i64, m.limit, machine / 20 * 19));
  cr_assert(eq(i64, m.live, 0));
}

Test(cpu, limit_from_config) {
  th_config config = {.size = sizeof config, .memory_limit = 1 << 20};
  cr_assert(eq(int, th_init(&config), TH_OK));
  cr_assert(eq(i64, figures(0).limit, 1 << 20));
}

Test(cpu, limit_from_environment) {
  setenv("TH_MEMORY_LIMIT", "3m", 1);
  cr_assert(eq(i64, figures(0).limit, 3 << 20));
}

Test(cpu, unknown_environment_stops_the_start) {
  setenv("TH_MEMORY_LIMIT", "lots", 1);
  th_memory_info m;
  cr_assert(eq(int, th_memory_get(th_cpu(0), &m), TH_EINVAL));
  cr_assert(not(zero(ptr, strstr(th_last_error(), "TH_MEMORY_LIMIT=lots"))));
  unsetenv("TH_MEMORY_LIMIT");
  cr_assert(eq(int, th_memory_get(th_cpu(0), &m), TH_OK));
}

Test(cpu, workers_from_config_environment_and_cores) {
  const th__device_ops *ops;
  cr_assert(eq(int, th_init(NULL), TH_OK));
  cr_assert(eq(int, th__cpu_ops.threads(open_state(0, &ops)), th__thread_cores()));
  cr_assert(eq(int, th_shutdown(), TH_OK));

  setenv("TH_WORKERS", "3", 1);
  cr_assert(eq(int, th_init(NULL), TH_OK));
  cr_assert(eq(int, ops->threads(open_state(0, &ops)), 3));
  cr_assert(eq(int, th_shutdown(), TH_OK));

  th_config config = {.size = sizeof config, .workers = 5}; /* wins over the environment */
  cr_assert(eq(int, th_init(&config), TH_OK));
  cr_assert(eq(int, ops->threads(open_state(0, &ops)), 5));
  cr_assert(eq(int, th_shutdown(), TH_OK));

  setenv("TH_WORKERS", "0", 1);
  cr_assert(eq(int, th_init(NULL), TH_OK));
  cr_assert(eq(int, ops->threads(open_state(0, &ops)), 0));
  cr_assert(eq(int, th_shutdown(), TH_OK));
}

Test(cpu, blocks_and_figures) {
  const th__device_ops *ops;
  void *state = open_state(0, &ops), *a = NULL, *b = NULL;
  cr_assert(eq(int, ops->alloc(state, 4096, &a), TH_OK));
  cr_assert(eq(int, ops->alloc(state, 1 << 20, &b), TH_OK));
  memset(b, 1, 1 << 20);
  th_memory_info m = figures(0);
  cr_assert(eq(i64, m.live, 4096 + (1 << 20)));
  cr_assert(eq(u64, m.misses, 2));
  ops->free(state, a, 4096);
  ops->free(state, b, 1 << 20);
  m = figures(0);
  cr_assert(eq(i64, m.live, 0));
  cr_assert(eq(i64, m.peak, 4096 + (1 << 20)));
  cr_assert(eq(i64, m.cached, 4096 + (1 << 20)));
  cr_assert(eq(int, th_memory_reset_peak(th_cpu(0)), TH_OK));
  cr_assert(eq(i64, figures(0).peak, 0));
  cr_assert(eq(int, th_memory_trim(th_cpu(0)), TH_OK));
  cr_assert(eq(i64, figures(0).cached, 0));
}

Test(cpu, limit_by_call) {
  const th__device_ops *ops;
  cr_assert(eq(int, th_memory_set_limit(th_cpu(0), 8192), TH_OK));
  void *state = open_state(0, &ops), *a = NULL, *b = NULL;
  cr_assert(eq(int, ops->alloc(state, 8192, &a), TH_OK));
  cr_assert(eq(int, ops->alloc(state, 1, &b), TH_ENOMEM));
  cr_assert(not(zero(ptr, strstr(th_last_error(), "cpu:0: out of memory"))));
  cr_assert(eq(int, th_memory_set_limit(th_cpu(0), 0), TH_EINVAL));
  cr_assert(eq(int, th_memory_set_limit(th_cpu(0), -4), TH_EINVAL));
  cr_assert(eq(i64, figures(0).limit, 8192));
  ops->free(state, a, 8192);
}

Test(cpu, a_block_may_outlive_the_engine) {
  const th__device_ops *ops;
  void *state = open_state(0, &ops), *a = NULL;
  cr_assert(eq(int, ops->alloc(state, 1000, &a), TH_OK));
  cr_assert(eq(int, th_shutdown(), TH_OK));
  memset(a, 1, 1000);
  ops->free(state, a, 1000);
  cr_assert(eq(int, th_init(NULL), TH_OK));
  cr_assert(eq(i64, figures(0).live, 0));
}

/* Opening the device takes host memory, too: each refusal is told, and the next try works. */
Test(cpu, starting_survives_every_failing_allocation) {
  int refused = 0;
  for (int n = 0; n < 40; n++) {
    th_config config = {.size = sizeof config, .workers = 2};
    th_memory_info m;
    th__mem_fail_after(n);
    th_status s = th_init(&config);
    if (s == TH_OK) s = th_memory_get(th_cpu(0), &m);
    th__mem_fail_after(-1);
    cr_assert(s == TH_OK || s == TH_ENOMEM, "after %d: %s", n, th_last_error());
    refused += s == TH_ENOMEM;
    th_shutdown();
    cr_assert(eq(int, th_init(&config), TH_OK), "after %d: %s", n, th_last_error());
    cr_assert(eq(int, th_memory_get(th_cpu(0), &m), TH_OK), "after %d: %s", n, th_last_error());
    cr_assert(eq(int, th_shutdown(), TH_OK));
  }
  cr_assert(gt(int, refused, 0));
  cr_assert(lt(int, refused, 40));
}

/* In the child of a fork; 0 when all went well. */
static int child_of_fork(const th__device_ops *ops, void *state, void *block) {
  th_memory_info m;
  if (th_memory_get(th_cpu(0), &m) != TH_EFORK) return 1;
  ops->free(state, block, 100000);
  if (th_reset_after_fork() != TH_OK) return 2;
  if (th_memory_get(th_cpu(0), &m) != TH_OK || m.live != 0) return 3;
  if (m.limit != 1 << 20 || th_device_count(TH_CPU) != 1) return 4;
  return th_shutdown() == TH_OK ? 0 : 5;
}

/* Without workers: the thread sanitizer allows no new threads in the child. */
Test(cpu, memory_survives_a_fork) {
  th_config config = {.size = sizeof config, .workers = TH_NO_WORKERS, .memory_limit = 1 << 20};
  cr_assert(eq(int, th_init(&config), TH_OK));
  const th__device_ops *ops;
  void *state = open_state(0, &ops), *block = NULL;
  cr_assert(eq(int, ops->alloc(state, 100000, &block), TH_OK));
  pid_t pid = fork();
  if (pid == 0) _exit(child_of_fork(ops, state, block));
  int status = -1;
  cr_assert(eq(int, waitpid(pid, &status, 0), pid));
  cr_assert(eq(int, status, 0));
  cr_assert(gt(i64, figures(0).live, 0));
  ops->free(state, block, 100000);
}

/* ---- dividing the host ---- */

Test(cpu, split_gives_devices_of_their_own) {
  cr_assert(eq(int, th_cpu_split(3, 2), TH_OK));
  cr_assert(eq(int, th_device_count(TH_CPU), 3));
  const th__device_ops *ops;
  void *states[3], *a = NULL;
  for (int i = 0; i < 3; i++) {
    states[i] = open_state(i, &ops);
    cr_assert(eq(int, ops->threads(states[i]), 2));
    cr_assert(le(i64, figures(i).limit, th__cpu_default_limit() / 3));
  }
  cr_assert(eq(int, ops->alloc(states[1], 64, &a), TH_OK));
  for (int i = 0; i < 3; i++) cr_assert(eq(i64, figures(i).live, i == 1 ? 64 : 0));
  ops->free(states[1], a, 64);
  th_memory_info m;
  cr_assert(eq(int, th_memory_get(th_cpu(3), &m), TH_EDEVICE));
}

Test(cpu, split_is_refused_once_in_use) {
  figures(0);
  cr_assert(eq(int, th_cpu_split(2, 1), TH_EBUSY));
  cr_assert(eq(int, th_device_count(TH_CPU), 1));
}

Test(cpu, split_checks_its_numbers) {
  static const int bad[][2] = {{0, 1}, {-1, 1}, {17, 1}, {1, 0}, {2, -3}, {2, 257}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    cr_assert(eq(int, th_cpu_split(bad[i][0], bad[i][1]), TH_EINVAL), "%d, %d", bad[i][0],
              bad[i][1]);
  cr_assert(
      eq(str, (char *)th_last_error(), (char *)"cpu_split: 257 threads each, must be 1 to 256"));
  cr_assert(eq(int, th_device_count(TH_CPU), 1));
}

Test(cpu, split_may_be_changed_until_used_and_ends_with_the_engine) {
  cr_assert(eq(int, th_cpu_split(4, 1), TH_OK));
  cr_assert(eq(int, th_cpu_split(2, 1), TH_OK));
  cr_assert(eq(int, th_device_count(TH_CPU), 2));
  figures(1);
  cr_assert(eq(int, th_cpu_split(1, 1), TH_EBUSY));
  cr_assert(eq(int, th_shutdown(), TH_OK));
  cr_assert(eq(int, th_init(NULL), TH_OK));
  cr_assert(eq(int, th_device_count(TH_CPU), 1));
}

/* Tasks of each device run on its own workers, and devices run side by side. */
static _Atomic uint32_t started;

static th_status meet(void *arg, th_task_context *context) {
  int index = *(int *)arg;
  if (th_context_device(context).index != index) return TH_EDEVICE;
  th__fetch_add(&started, 1, TH__ACQ_REL);
  int64_t end = th__now_ns() + INT64_C(20000000000);
  while (th__load(&started, TH__ACQUIRE) < 3 && th__now_ns() < end) th__yield();
  return th__load(&started, TH__ACQUIRE) >= 3 ? TH_OK : TH_ETIMEDOUT;
}

Test(cpu, devices_run_side_by_side) {
  cr_assert(eq(int, th_cpu_split(3, 1), TH_OK));
  for (int i = 0; i < 3; i++) {
    th_task task = {.run = meet, .arg = &i, .arg_size = sizeof i, .device = th_cpu(i)};
    cr_assert(eq(int, th_push(&task), TH_OK), "%s", th_last_error());
  }
  cr_assert(eq(int, th_wait_all(), TH_OK), "%s", th_last_error());
}

static th_status note_stranger(void *arg, th_task_context *context) {
  _Atomic int *strangers = *(_Atomic int **)arg;
  if (th_context_worker(context) < 0) th__fetch_add(strangers, 1, TH__RELAXED);
  return TH_OK;
}

/* A chain that changes its device at every step. Nobody helps: a timed wait starts no work. */
Test(cpu, released_tasks_run_on_workers_of_their_own_device) {
  clean_environment();
  cr_assert(eq(int, th_cpu_split(2, 1), TH_OK));
  _Atomic int strangers = 0, *counter = &strangers;
  th_var *v = th_var_new();
  for (int i = 0; i < 1000; i++) {
    th_task t = {.run = note_stranger,
                 .arg = &counter,
                 .arg_size = sizeof counter,
                 .writes = &v,
                 .n_writes = 1,
                 .device = th_cpu(i % 2)};
    cr_assert(eq(int, th_push(&t), TH_OK));
  }
  cr_assert(eq(int, th_wait_var_for(v, 30000000000), TH_OK));
  cr_assert(eq(int, strangers, 0));
  th_var_release(v);
}
