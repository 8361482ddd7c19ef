/* th_device_reset() on the fake driver: what is lost, what goes on, who else is disturbed. "Fake" results: no GPU took part. */
#include <pthread.h>
#include <string.h>

#include "support/cudaworld.h"
#include "support/lagdevice.h"

TestSuite(cuda_reset, .timeout = 60);

static const char *const modes[] = {"threads", "serial", "shuffle:7", "shuffle-threads:7"};

/* The next command on a device kills its context; a is written by one. */
static void lose(th_array *a) {
  fake_setting("kill", 1);
  mix(NULL, a, 1);
  cr_assert(eq(int, th_wait(a), TH_EDEVICE), "%s", th_last_error());
}

static void reset(int device) {
  cr_assert(eq(int, th_device_reset(th_cuda(device)), TH_OK), "%s", th_last_error());
}

static void reads_as_gone(th_array *a) {
  int32_t out[N];
  cr_assert(eq(int, th_read(a, out, sizeof out), TH_EDEVICE));
  cr_assert(
      not(zero(ptr, strstr(th_last_error(), "cuda:0 was reset: what the array held is gone"))),
      "%s", th_last_error());
}

/* What has failed is known to the test. */
static void forget_failures(void) {
  th_status status = th_wait_all();
  (void)status;
}

Test(cuda_reset, new_arrays_work_and_old_ones_stay_poisoned) {
  for (int m = 0; m < 4; m++) {
    for (int memops = 0; memops <= 1; memops++) {
      start(modes[m], 1, 1);
      fake_setting("memops", memops);
      th_array *untouched = numbers(5, 0), *a = numbers(1, 0);
      uint64_t expected = hash_of(untouched);
      lose(a);
      reset(0);
      reads_as_gone(untouched);
      cr_assert(eq(int, th_wait(a), TH_EDEVICE));
      th_array *fresh[20];
      for (int i = 0; i < 20; i++) fresh[i] = numbers(5, 0);
      for (int i = 0; i < 20; i++) cr_assert(eq(u64, hash_of(fresh[i]), expected));
      mix(untouched, fresh[0], 3); /* poison travels */
      cr_assert(eq(int, th_wait(fresh[0]), TH_EDEVICE));
      mix(fresh[1], fresh[2], 3);
      (void)hash_of(fresh[2]);
      th_release(untouched);
      th_release(a);
      for (int i = 0; i < 20; i++) th_release(fresh[i]);
      forget_failures();
      stop();
    }
  }
}

/* An array that is written anew has memory of the new context. */
Test(cuda_reset, overwriting_an_old_array_cures_it) {
  start("threads", 1, 1);
  int32_t in[N], out[N];
  for (int i = 0; i < N; i++) in[i] = 3 * i;
  th_array *a = numbers(1, 0), *b = numbers(2, 0);
  lose(b);
  reset(0);
  cr_assert(eq(int, th_write(a, in, sizeof in), TH_OK), "%s", th_last_error());
  cr_assert(eq(int, th_read(a, out, sizeof out), TH_OK), "%s", th_last_error());
  cr_assert(memcmp(in, out, sizeof in) == 0);
  th_release(a);
  th_release(b);
  forget_failures();
  stop();
}

/* Figures are of the new context alone; a limit stays. */
Test(cuda_reset, memory_is_counted_anew) {
  start("threads", 1, 1);
  cr_assert(eq(int, th_memory_set_limit(th_cuda(0), 8 << 20), TH_OK));
  th_array *a = numbers(1, 0), *large = th_full(TH_SHAPE(1 << 20), 1, TH_F32, th_cuda(0));
  cr_assert(eq(int, th_wait(large), TH_OK));
  lose(a);
  reset(0);
  th_memory_info m;
  cr_assert(eq(int, th_memory_get(th_cuda(0), &m), TH_OK));
  cr_assert(eq(i64, m.live, 0));
  cr_assert(eq(i64, m.cached, 0));
  cr_assert(eq(i64, m.limit, 8 << 20));
  th_array *b = numbers(7, 0);
  (void)hash_of(b);
  th_release(a); /* neither may take b's memory away */
  th_release(large);
  (void)hash_of(b);
  cr_assert(eq(int, th_memory_get(th_cuda(0), &m), TH_OK));
  cr_assert(eq(i64, m.live, 512));
  th_release(b);
  forget_failures();
  stop();
}

Test(cuda_reset, twice_and_without_need) {
  start("threads", 1, 1);
  th_array *a = numbers(1, 0);
  uint64_t h = hash_of(a);
  reset(0); /* not lost: nothing happens */
  cr_assert(eq(u64, hash_of(a), h));
  for (int round = 0; round < 3; round++) {
    th_array *b = numbers(2, 0);
    lose(b);
    reset(0);
    reset(0);
    th_array *c = numbers(1, 0);
    cr_assert(eq(u64, hash_of(c), h));
    th_release(b);
    th_release(c);
  }
  reads_as_gone(a);
  th_release(a);
  forget_failures();
  stop();
}

/* An error that nobody has met yet. */
Test(cuda_reset, what_is_pending_is_waited_for) {
  for (int m = 0; m < 4; m++) {
    start(modes[m], 1, 1);
    fake_setting("mode", FAKE_LATE);
    th_array *a[6];
    for (int i = 0; i < 6; i++) a[i] = numbers(i, 0);
    cr_assert(eq(int, th_wait_all(), TH_OK));
    fake_setting("kill", 1);
    for (int i = 0; i < 6; i++) mix(NULL, a[i], 1);
    reset(0);
    for (int i = 0; i < 6; i++) cr_assert(eq(int, th_wait(a[i]), TH_EDEVICE));
    th_array *b = numbers(1, 0);
    (void)hash_of(b);
    th_release(b);
    for (int i = 0; i < 6; i++) th_release(a[i]);
    forget_failures();
    stop();
  }
}

/* Of several that were issued, one is waited for; the others are still on their lanes. */
Test(cuda_reset, what_is_issued_is_lost) {
  for (int m = 0; m < 4; m++) {
    start(modes[m], 1, 1);
    th_array *a[12];
    for (int i = 0; i < 12; i++) a[i] = numbers(i, 0);
    cr_assert(eq(int, th_wait_all(), TH_OK));
    fake_setting("mode", FAKE_LATE);
    fake_setting("kill", 1);
    for (int i = 0; i < 12; i++) mix(NULL, a[i], 1);
    cr_assert(eq(int, th_wait(a[5]), TH_EDEVICE));
    reset(0);
    for (int i = 0; i < 12; i++) cr_assert(eq(int, th_wait(a[i]), TH_EDEVICE), "%s", modes[m]);
    for (int i = 0; i < 12; i++) th_release(a[i]);
    forget_failures();
    stop();
  }
}

/* ---- beside others ---- */

typedef struct busy {
  th_array *a;
  _Atomic int stop;
  int rounds;
} busy;

static void *work_elsewhere(void *arg) {
  busy *b = arg;
  while (!b->stop && b->rounds < 100000) {
    mix(NULL, b->a, 1);
    if (++b->rounds % 16 == 0) (void)hash_of(b->a);
  }
  return NULL;
}

static uint64_t mixed(int rounds) {
  th_array *a = numbers(1, 1);
  for (int i = 0; i < rounds; i++) mix(NULL, a, 1);
  uint64_t h = hash_of(a);
  th_release(a);
  return h;
}

Test(cuda_reset, other_devices_work_on) {
  start("threads", 3, 2);
  busy b = {.a = numbers(1, 1)};
  pthread_t thread;
  pthread_create(&thread, NULL, work_elsewhere, &b);
  for (int round = 0; round < 10; round++) {
    th_array *a = numbers(1, 0);
    fake_setting("kill_device", 1);
    mix(NULL, a, 1);
    cr_assert(eq(int, th_wait(a), TH_EDEVICE), "%s", th_last_error());
    reset(0);
    th_release(a);
    a = numbers(1, 0);
    (void)hash_of(a);
    th_release(a);
  }
  b.stop = 1;
  pthread_join(thread, NULL);
  cr_assert(eq(u64, hash_of(b.a), mixed(b.rounds)));
  th_release(b.a);
  forget_failures();
  stop();
}

static void *submit_and_release(void *arg) {
  for (_Atomic int *end = arg; !*end;) {
    int32_t in[N] = {0};
    th_array *a = th_from_host(in, TH_SHAPE(N), TH_I32, th_cuda(0)), *b = th_add_scalar(a, 1);
    th_status status = th_wait(b); /* any */
    (void)status;
    th_release(a);
    th_release(b);
  }
  return NULL;
}

/* Others go on submitting to the device, releasing arrays and resetting it, too. */
Test(cuda_reset, while_others_use_the_device) {
  start("threads", 3, 1);
  _Atomic int end = 0;
  pthread_t threads[2];
  for (int t = 0; t < 2; t++) pthread_create(&threads[t], NULL, submit_and_release, (void *)&end);
  for (int round = 0; round < 20; round++) {
    fake_setting("kill", 1 + round % 5);
    for (int i = 0; i < 3; i++) reset(0);
    th_memory_info m;
    cr_assert(eq(int, th_memory_get(th_cuda(0), &m), TH_OK));
    cr_assert(eq(int, th_memory_trim(th_cuda(0)), TH_OK));
  }
  end = 1;
  for (int t = 0; t < 2; t++) pthread_join(threads[t], NULL);
  fake_setting("kill", 0);
  reset(0);
  th_array *a = numbers(1, 0);
  (void)hash_of(a);
  th_release(a);
  forget_failures();
  stop();
}

/* ---- what cannot be ---- */

Test(cuda_reset, a_context_that_others_hold) {
  start("threads", 1, 1);
  th_array *a = numbers(1, 0), *b = numbers(1, 0);
  lose(a);
  fake_setting("held", 1);
  cr_assert(eq(int, th_device_reset(th_cuda(0)), TH_EBUSY));
  cr_assert(eq(str, (char *)th_last_error(),
               (char *)"device_reset: cuda:0: another part of this process holds the context"));
  mix(NULL, b, 1); /* still lost */
  cr_assert(eq(int, th_wait(b), TH_EDEVICE));
  th_array *c = th_full(TH_SHAPE(4), 1, TH_F32, th_cuda(0));
  cr_assert(eq(int, th_wait(c), TH_EDEVICE));
  fake_setting("held", 0);
  reset(0);
  th_array *d = numbers(1, 0);
  (void)hash_of(d);
  th_release(a);
  th_release(b);
  th_release(c);
  th_release(d);
  forget_failures();
  stop();
}

Test(cuda_reset, a_new_context_that_does_not_work) {
  static const char *const settings[] = {"fail_context", "stay_dead", "fail_host"};
  static const int errors[] = {TH_ENOMEM, TH_EDEVICE, TH_ENOMEM};
  for (int i = 0; i < 3; i++) {
    start("threads", 1, 1);
    th_array *a = numbers(1, 0);
    lose(a);
    fake_setting(settings[i], 1);
    cr_assert(eq(int, th_device_reset(th_cuda(0)), errors[i]), "%s: %s", settings[i],
              th_last_error());
    cr_assert(not(zero(ptr, strstr(th_last_error(), "device_reset: no new context: cuda:0"))), "%s",
              th_last_error());
    th_array *b = th_full(TH_SHAPE(4), 1, TH_F32, th_cuda(0));
    cr_assert(eq(int, th_wait(b), TH_EDEVICE));
    if (i != 1) reset(0);
    th_release(a);
    th_release(b);
    forget_failures();
    stop();
  }
}

static th_status reset_inside(void *arg, th_task_context *context) {
  **(th_status **)arg = th_device_reset(th_cuda(0));
  return TH_OK;
}

Test(cuda_reset, inside_a_task) {
  start("threads", 1, 1);
  th_array *a = numbers(1, 0);
  th_device devices[] = {th_cpu(0), th_cuda(0)};
  for (int i = 0; i < 2; i++) {
    th_status seen = TH_OK, *place = &seen;
    th_var *v = th_array_var(a);
    th_task task = {.name = "reset",
                    .run = reset_inside,
                    .arg = &place,
                    .arg_size = sizeof place,
                    .writes = &v,
                    .n_writes = 1,
                    .device = devices[i]};
    cr_assert(eq(int, th_push(&task), TH_OK));
    cr_assert(eq(int, th_wait(a), TH_OK));
    cr_assert(eq(int, seen, TH_EDEADLK));
  }
  th_release(a);
  stop();
}

Test(cuda_reset, devices_that_are_never_lost) {
  lag_install(1);
  start("threads", 1, 1);
  th_device devices[] = {th_cpu(0), th_meta(), lag_device(0)};
  static const char *const texts[] = {"device_reset: cpu:0 is never lost and cannot be reset",
                                      "device_reset: meta is never lost and cannot be reset",
                                      "device_reset: lag:0 is never lost and cannot be reset"};
  for (int i = 0; i < 3; i++) {
    cr_assert(eq(int, th_device_reset(devices[i]), TH_ENOSYS));
    cr_assert(eq(str, (char *)th_last_error(), (char *)texts[i]));
  }
  cr_assert(eq(int, th_device_reset(th_cuda(1)), TH_EDEVICE));
  stop();
}
