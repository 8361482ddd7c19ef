/* Lane devices: issued is not complete. Order holds on a device by points and across devices by completion, however late and
 * out of order the lanes run. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

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
  log.count = 0;
  for (int round = 0; round < 20; round++) {
    push_log_on(lag_device(0), &log, round * 3, NULL, root);
    for (int i = 0; i < 30; i++) {
      if (round == 0) branch[i] = th_var_new();
      push_log_on(lag_device(0), &log, round * 3 + 1, root, branch[i]);
    }
    for (int i = 0; i < 30; i++) push_nop(branch[i], root);
  }
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
  _Atomic int gate = 0;
  th_var *slow = th_var_new(), *v = th_var_new();
  push_gate(&gate, slow);
  th_push(&(th_task){.run = wait_on_lane,
                     .arg = &slow,
                     .arg_size = sizeof slow,
                     .device = lag_device(0),
                     .writes = &v,
                     .n_writes = 1});
  cr_assert(eq(int, th_wait_var(v), TH_OK));
  gate = 1;
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
  _Atomic int gate = 0;
  static task_log log;
  log.count = 0;
  th_var *slow = th_var_new(), *v = th_var_new();
  push_gate(&gate, slow);
  for (int i = 0; i < 50; i++) push_log_on(lag_device(0), &log, i, NULL, v);
  cr_assert(eq(int, th_wait_device(lag_device(0)), TH_OK));
  cr_assert(eq(int, log.count, 50));
  cr_assert(not(th_var_is_ready(slow)));
  gate = 1;
  th_wait_all();
  th_var_release(slow);
  th_var_release(v);
  th_shutdown();
}
