/* Lane devices: issued is not complete. Order holds on a device by points and across devices by completion, however late and
 * out of order the lanes run. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <pthread.h>
#include <string.h>

#include "engine/base/thread.h"
#include "engine/engine.h"
#include "support/lagdevice.h"
#include "support/tasks.h"

TestSuite(lanes, .timeout = 60);

static const char *const modes[] = {"threads", "serial", "shuffle:7", "shuffle-threads:7"};

typedef struct log_arg {
  task_log *log;
  int entry;
} log_arg;

static th_status log_entry(void *arg, th_task_context *context) {
  log_arg *a = arg;
  a->log->entries[th__fetch_add(&a->log->count, 1, TH__RELAXED)] = a->entry;
  return TH_OK;
}

static th_status push_log_on(th_device d, task_log *log, int entry, th_var *reads, th_var *writes) {
  log_arg a = {log, entry};
  th_task t = {.name = "log",
               .run = log_entry,
               .arg = &a,
               .arg_size = sizeof a,
               .device = d,
               .reads = &reads,
               .n_reads = reads != NULL,
               .writes = &writes,
               .n_writes = writes != NULL};
  return th_push(&t);
}

Test(lanes, chain_on_one_device_keeps_its_order) {
  static task_log log;
  for (int m = 0; m < 4; m++) {
    lag_install(11);
    tasks_init(modes[m], 2, 0);
    th_var *v = th_var_new();
    log.count = 0;
    for (int i = 0; i < 2000; i++)
      cr_assert(eq(int, push_log_on(lag_device(0), &log, i, NULL, v), TH_OK));
    cr_assert(eq(int, th_wait_var(v), TH_OK));
    cr_assert(eq(int, log.count, 2000), "mode %s", modes[m]);
    for (int i = 0; i < 2000; i++) cr_assert(eq(int, log.entries[i], i), "mode %s", modes[m]);
    th_var_release(v);
    th_shutdown();
  }
}

Test(lanes, order_holds_across_devices) {
  static task_log log;
  for (int m = 0; m < 4; m++) {
    lag_install(5 + (uint64_t)m);
    tasks_init(modes[m], 2, 0);
    th_var *v = th_var_new(), *w = th_var_new();
    log.count = 0;
    for (int i = 0; i < 1500; i++) {
      th_device d = i % 3 == 0 ? (th_device){TH_CPU, 0} : lag_device(i % 3 - 1);
      cr_assert(eq(int, push_log_on(d, &log, i, w, v), TH_OK));
      push_nop(v, NULL);
    }
    cr_assert(eq(int, th_wait_var_idle(v), TH_OK));
    for (int i = 0; i < 1500; i++)
      cr_assert(eq(int, log.entries[i], i), "mode %s at %d", modes[m], i);
    th_var_release(v);
    th_var_release(w);
    th_shutdown();
  }
}

Test(lanes, fans_out_over_lanes_and_joins) {
  static task_log log;
  lag_install(3);
  tasks_init("threads", 2, 0);
  th_var *root = th_var_new(), *branch[30];
  engine_gate gate = {0};
  engine_push_gate(&gate, root); /* the device shall have many to choose from */
  log.count = 0;
  for (int round = 0; round < 20; round++) {
    push_log_on(lag_device(0), &log, round * 3, NULL, root);
    for (int i = 0; i < 30; i++) {
      if (round == 0) branch[i] = th_var_new();
      push_log_on(lag_device(0), &log, round * 3 + 1, root, branch[i]);
    }
    for (int i = 0; i < 30; i++) push_nop(branch[i], root);
  }
  engine_open(&gate);
  cr_assert(eq(int, th_wait_all(), TH_OK));
  cr_assert(eq(int, log.count, 20 * 31));
  for (int i = 0; i < log.count; i++)
    cr_assert(eq(int, log.entries[i], i / 31 * 3 + (i % 31 != 0)));
  lag_counts c = lag_counters(0);
  cr_assert(eq(u64, c.issued, 620));
  cr_assert(eq(u64, c.executed, 620));
  cr_assert(c.overtook > 0, "the device was not adversarial");
  for (int i = 0; i < 30; i++) th_var_release(branch[i]);
  th_var_release(root);
  th_shutdown();
}

static th_status fail_body(void *arg, th_task_context *context) {
  return th_context_fail(context, TH_EKERNEL, "late failure");
}

Test(lanes, late_failures_poison_what_was_issued_behind) {
  for (int m = 0; m < 4; m++) {
    lag_install(9);
    tasks_init(modes[m], 1, 0);
    static task_log log;
    log.count = 0;
    th_var *a = th_var_new(), *b = th_var_new();
    th_push(&(th_task){
        .name = "kernel", .run = fail_body, .device = lag_device(1), .writes = &a, .n_writes = 1});
    push_log_on(lag_device(1), &log, 1, a, b);
    push_log_on(lag_device(1), &log, 2, b, b);
    cr_assert(eq(int, th_wait_var(b), TH_EKERNEL), "mode %s", modes[m]);
    cr_assert(eq(int, log.count, 0));
    push_log_on(lag_device(1), &log, 3, NULL, b);
    cr_assert(eq(int, th_wait_var(b), TH_OK));
    cr_assert(eq(int, log.count, 1));
    th_var_release(a);
    th_var_release(b);
    th_shutdown();
  }
}

static th_status wait_on_lane(void *arg, th_task_context *context) {
  th_var *v = *(th_var **)arg;
  return th_wait_var(v) == TH_EDEADLK ? TH_OK : TH_EKERNEL;
}

Test(lanes, bodies_on_lanes_must_not_wait) {
  lag_install(2);
  tasks_init("threads", 1, 0);
  engine_gate gate = {0};
  th_var *slow = th_var_new(), *v = th_var_new();
  engine_push_gate(&gate, slow);
  th_push(&(th_task){.run = wait_on_lane,
                     .arg = &slow,
                     .arg_size = sizeof slow,
                     .device = lag_device(0),
                     .writes = &v,
                     .n_writes = 1});
  cr_assert(eq(int, th_wait_var(v), TH_OK));
  engine_open(&gate);
  cr_assert(
      eq(int, th_push_async(&(th_task){.run = wait_on_lane, .device = lag_device(0)}), TH_ENOSYS));
  th_wait_all();
  th_var_release(slow);
  th_var_release(v);
  th_shutdown();
}

Test(lanes, wait_device_leaves_other_devices_alone) {
  lag_install(4);
  tasks_init("threads", 2, 0);
  engine_gate gate = {0};
  static task_log log;
  log.count = 0;
  th_var *slow = th_var_new(), *v = th_var_new();
  engine_push_gate(&gate, slow);
  for (int i = 0; i < 50; i++) push_log_on(lag_device(0), &log, i, NULL, v);
  cr_assert(eq(int, th_wait_device(lag_device(0)), TH_OK));
  cr_assert(eq(int, log.count, 50));
  cr_assert(not(th_var_is_ready(slow)));
  engine_open(&gate);
  th_wait_all();
  th_var_release(slow);
  th_var_release(v);
  th_shutdown();
}

/* ---- which lane ---- */

/* A device whose lanes pass nothing until they are let go. */
enum { HELD_LANES = 4 };
static struct {
  uint64_t seq[HELD_LANES];
  _Atomic bool go, lost;
  pthread_t resetter;
} held;

static int held_count(void) { return 1; }
static th_status held_open(int index, void **state) {
  memset(held.seq, 0, sizeof held.seq);
  th__store(&held.go, false, TH__RELAXED);
  th__store(&held.lost, false, TH__RELAXED);
  *state = &held;
  return TH_OK;
}
static void held_close(void *state) {}
static int held_lanes(void *state) { return HELD_LANES; }
static th_status held_issue(void *state, int lane, void (*body)(void *arg, void *lane_handle),
                            void *arg, th_point *out) {
  body(arg, &held.seq[lane]);
  *out = TH__POINT(lane, ++held.seq[lane]);
  return TH_OK;
}
static th_status held_wait(void *state, int lane, th_point point) { return TH_OK; }
static bool held_done(void *state, th_point point) { return th__load(&held.go, TH__ACQUIRE); }
/* Only the thread that resets learns of it, not the one that issues. */
static const char *held_lost(void *state) {
  bool lost = th__load(&held.lost, TH__ACQUIRE) && pthread_equal(pthread_self(), held.resetter);
  return lost ? "held:0 is lost" : NULL;
}
static th_status held_reset(void *state) {
  th__store(&held.lost, false, TH__RELEASE);
  return TH_OK;
}

static const th__device_ops held_ops = {
    .name = "held",
    .caps = TH__CAP_HOST_MEMORY | TH__CAP_LANES | TH__CAP_ISSUES_NOW,
    .count = held_count,
    .open = held_open,
    .close = held_close,
    .lanes = held_lanes,
    .issue = held_issue,
    .lane_wait = held_wait,
    .point_done = held_done,
    .lost = held_lost,
    .reset = held_reset,
};

static th_status note_lane(void *arg, th_task_context *context) {
  log_arg *a = arg;
  int lane = (int)((uint64_t *)th__context_lane(context) - held.seq);
  th__store(&a->log->entries[a->entry], lane, TH__RELAXED);
  th__fetch_add(&a->log->count, 1, TH__RELEASE);
  return TH_OK;
}

/* A chain stays on its lane, however long, and work that depends on nothing goes where little is. */
Test(lanes, the_idlest_lane_is_chosen) {
  static task_log log;
  cr_assert(eq(int, th__device_register(TH_KIND_EXTERNAL, &held_ops), TH_OK));
  tasks_init("threads", 2, 0);
  th_var *chain = th_var_new(), *others[12];
  log.count = 0;
  for (int i = 0; i < 17; i++) {
    th_var *v = i < 5 ? chain : (others[i - 5] = th_var_new());
    log_arg a = {&log, i};
    th_task t = {.name = "note",
                 .run = note_lane,
                 .arg = &a,
                 .arg_size = sizeof a,
                 .device = {TH_KIND_EXTERNAL, 0},
                 .writes = &v,
                 .n_writes = 1};
    cr_assert(eq(int, th_push(&t), TH_OK));
    while (i >= 4 && th__load(&log.count, TH__ACQUIRE) <= i) th__yield();
  }
  for (int i = 1; i < 5; i++) cr_assert(eq(int, log.entries[i], log.entries[0]), "task %d", i);
  for (int i = 5; i < 17; i++) cr_assert(ne(int, log.entries[i], log.entries[0]), "task %d", i);
  int on[HELD_LANES] = {0};
  for (int i = 5; i < 17; i++) on[log.entries[i]]++;
  for (int l = 0; l < HELD_LANES; l++)
    cr_assert(eq(int, on[l], l == log.entries[0] ? 0 : 4), "lane %d", l);
  th__store(&held.go, true, TH__RELEASE);
  cr_assert(eq(int, th_wait_all(), TH_OK));
  th_var_release(chain);
  for (int i = 0; i < 12; i++) th_var_release(others[i]);
  th_shutdown();
}

/* What is on a lane of a lost device ends before the device begins anew, though nobody has looked since. */
Test(lanes, a_reset_ends_what_is_issued) {
  static task_log log;
  cr_assert(eq(int, th__device_register(TH_KIND_EXTERNAL, &held_ops), TH_OK));
  tasks_init("threads", 2, 0);
  th_device device = {TH_KIND_EXTERNAL, 0};
  th_var *v = th_var_new();
  log.count = 0;
  cr_assert(eq(int, push_log_on(device, &log, 1, NULL, v), TH_OK));
  while (th__load(&log.count, TH__ACQUIRE) < 1) th__yield();
  held.resetter = pthread_self();
  th__store(&held.lost, true, TH__RELEASE);
  cr_assert(eq(int, th_device_reset(device), TH_OK), "%s", th_last_error());
  cr_assert(th_var_is_ready(v));
  cr_assert(eq(int, th_wait_var(v), TH_EDEVICE));
  cr_assert(not(th__load(&held.lost, TH__ACQUIRE)));
  th_status status = th_wait_all();
  (void)status;
  th_var_release(v);
  th_shutdown();
}
