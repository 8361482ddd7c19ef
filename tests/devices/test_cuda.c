/* The CUDA device on the fake driver: life, memory, copies, kernels, order, errors. "Fake" results: no GPU took part. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/cudaworld.h"

TestSuite(cuda, .timeout = 60);

Test(cuda, devices_are_counted) {
  start("threads", 1, 3);
  cr_assert(eq(int, th_device_count(TH_CUDA), 3));
  th_array *a = th_full(TH_SHAPE(4), 2, TH_F32, th_cuda(3));
  cr_assert(zero(ptr, a));
  cr_assert(eq(str, (char *)th_last_error(), (char *)"there is no device cuda:3"));
  stop();
}

static const char *const modes[] = {"threads", "serial", "shuffle:7", "shuffle-threads:7"};

Test(cuda, there_and_back) {
  for (int m = 0; m < 4; m++) {
    for (uint64_t seed = 1; seed <= 8; seed++) {
      start(modes[m], seed, 1);
      fake_setting("mode", (int64_t)seed % 4);
      float in[1000], out[1000];
      for (int i = 0; i < 1000; i++) in[i] = (float)i * 0.5f;
      th_array *a = th_from_host(in, TH_SHAPE(10, 100), TH_F32, th_cuda(0));
      cr_assert(not(zero(ptr, a)), "%s", th_last_error());
      cr_assert(eq(int, th_read(a, out, sizeof out), TH_OK), "%s", th_last_error());
      cr_assert(memcmp(in, out, sizeof in) == 0);
      th_array *t = th_permute_dims(a, (const int[]){1, 0}, 2);
      th_array *b = th_copy_to(t, th_cpu(0)); /* strided: gathered on the way */
      cr_assert(eq(int, th_read(b, out, sizeof out), TH_OK), "%s", th_last_error());
      for (int i = 0; i < 1000; i++) cr_assert(out[i] == in[i % 10 * 100 + i / 10]);
      th_release(b);
      th_release(t);
      th_release(a);
      stop();
    }
  }
}

/* ---- tasks that launch ---- */

Test(cuda, lanes_run_a_graph) {
  uint64_t expected = 0;
  for (int m = 0; m < 4; m++) {
    for (int memops = 0; memops <= 1; memops++) {
      for (uint64_t seed = 1; seed <= 8; seed++) {
        start(modes[m], seed, 1);
        fake_setting("mode", (int64_t)seed % 4);
        fake_setting("memops", memops);
        uint64_t h = run_graph();
        if (expected == 0) expected = h;
        cr_assert(eq(u64, h, expected), "mode %s, memops %d, seed %llu", modes[m], memops,
                  (unsigned long long)seed);
        stop();
      }
    }
  }
}

/* A program that never uses a CPU device is not held up by that one's memory. */
Test(cuda, submission_runs_ahead_of_the_device) {
  start("threads", 1, 1);
  fake_setting("hold", 1);
  th_array *a[50];
  for (int i = 0; i < 50; i++) a[i] = numbers(i, 0);
  fake_setting("hold", 0);
  for (int i = 0; i < 50; i++) {
    (void)hash_of(a[i]);
    th_release(a[i]);
  }
  stop();
}

/* Two readers of one array are not ordered with each other. */
Test(cuda, readers_do_not_wait_for_each_other) {
  start("shuffle:1", 1, 1);
  fake_setting("mode", FAKE_LATE);
  th_array *x = numbers(0, 0), *y[8];
  for (int i = 0; i < 8; i++) y[i] = numbers(i, 0);
  cr_assert(eq(int, th_wait_all(), TH_OK));
  int64_t waits = fake_counted("waits");
  for (int i = 0; i < 8; i++) mix(x, y[i], 1);
  cr_assert(eq(int, th_wait_all(), TH_OK));
  cr_assert(eq(i64, fake_counted("waits"), waits));
  th_release(x);
  for (int i = 0; i < 8; i++) th_release(y[i]);
  stop();
}

/* The last handle goes while the array is in use, and its memory comes back for others. */
Test(cuda, released_in_flight) {
  for (uint64_t seed = 1; seed <= 12; seed++) {
    start(modes[seed % 4], seed, 1);
    fake_setting("mode", (int64_t)seed % 4);
    th_array *sum = numbers(0, 0);
    for (int i = 0; i < 100; i++) {
      th_array *x = numbers(i, 0);
      mix(x, sum, 1);
      mix(sum, x, 2);
      th_release(x);
    }
    (void)hash_of(sum);
    th_release(sum);
    stop();
  }
}

static void *wait_thread(void *arg) {
  for (int i = 0; i < 20; i++) {
    th_status status = th_wait_all();
    if (status != TH_OK) *(th_status *)arg = status;
  }
  return NULL;
}

Test(cuda, two_threads_wait_for_everything) {
  start("threads", 5, 2);
  th_status seen[2] = {TH_OK, TH_OK};
  pthread_t threads[2];
  th_array *a = numbers(1, 0), *b = numbers(2, 1);
  for (int t = 0; t < 2; t++) pthread_create(&threads[t], NULL, wait_thread, &seen[t]);
  for (int i = 0; i < 200; i++) mix(NULL, i % 2 ? a : b, 3);
  for (int t = 0; t < 2; t++) pthread_join(threads[t], NULL);
  cr_assert(eq(int, seen[0], TH_OK));
  cr_assert(eq(int, seen[1], TH_OK));
  th_release(a);
  th_release(b);
  stop();
}

Test(cuda, an_array_outlives_the_engine) {
  start("threads", 1, 1);
  th_array *a = numbers(1, 0), *b = numbers(2, 0);
  mix(a, b, 1);
  cr_assert(eq(int, th_wait_all(), TH_OK));
  cr_assert(eq(int, th_shutdown(), TH_OK));
  th_release(a);
  cr_assert(ne(int, fake_findings(true)[0], 0)); /* b is still there */
  start("threads", 1, 1);
  th_array *c = numbers(3, 0); /* where a was, perhaps */
  th_release(b);
  (void)hash_of(c);
  th_release(c);
  stop();
}

typedef struct leaver {
  th_array *a;
  pthread_barrier_t *all;
} leaver;

static void *release_at_once(void *arg) {
  leaver *l = arg;
  (void)pthread_barrier_wait(l->all);
  th_release(l->a);
  return NULL;
}

/* The context goes once, with the last of them, whoever that is. */
Test(cuda, threads_release_the_last_arrays_after_the_engine) {
  enum { THREADS = 3 };
  for (int round = 0; round < 100; round++) {
    start("threads", 1, 1);
    pthread_barrier_t all;
    pthread_barrier_init(&all, NULL, THREADS);
    leaver leavers[THREADS];
    for (int t = 0; t < THREADS; t++) leavers[t] = (leaver){numbers(t, 0), &all};
    cr_assert(eq(int, th_wait_all(), TH_OK));
    cr_assert(eq(int, th_shutdown(), TH_OK));
    pthread_t threads[THREADS];
    for (int t = 0; t < THREADS; t++)
      pthread_create(&threads[t], NULL, release_at_once, &leavers[t]);
    for (int t = 0; t < THREADS; t++) pthread_join(threads[t], NULL);
    pthread_barrier_destroy(&all);
    const char *findings = fake_findings(true);
    cr_assert(findings[0] == 0, "%s", findings);
  }
}

/* ---- operators without a kernel ---- */

Test(cuda, operators_go_over_the_cpu) {
  for (uint64_t seed = 1; seed <= 8; seed++) {
    start(modes[seed % 4], seed, 2);
    fake_setting("mode", (int64_t)seed / 2 % 4);
    th_scope scope = th_scope_begin();
    th_array *a = th_full(TH_SHAPE(3, 4), 2, TH_F32, th_cuda(0));
    th_array *b = th_add_scalar(a, 1);
    th_array *c = th_copy_to(b, th_cuda(1)); /* through the host */
    cr_assert(eq(int, th_multiply_scalar_inplace(th_slice(c, ":, 1:3"), 10), TH_OK), "%s",
              th_last_error());
    th_array *sum = th_sum(c, NULL, 0, false);
    cr_assert(eq(dbl, th_item(sum), 3 * 2 * 3.0 + 3 * 2 * 30.0), "%s", th_last_error());
    th_scope_end(scope);
    stop();
  }
}

/* The issue thread has other things to do. */
Test(cuda, copies_of_strided_arrays_are_not_waited_for) {
  start("threads", 1, 1);
  fake_setting("mode", FAKE_LATE);
  th_scope scope = th_scope_begin();
  th_array *near = th_arange(0, 24, 1, TH_F32, th_cpu(0));
  th_array *far = th_copy_to(near, th_cuda(0));
  cr_assert(eq(int, th_wait_all(), TH_OK));
  int64_t syncs = fake_counted("syncs");
  const int64_t shape[] = {4, 6};
  th_array *there = th_copy_to(th_matrix_transpose(th_reshape(near, shape, 2)), th_cuda(0));
  th_array *back = th_copy_to(th_matrix_transpose(th_reshape(far, shape, 2)), th_cpu(0));
  cr_assert(eq(int, th_wait_all(), TH_OK), "%s", th_last_error());
  cr_assert(eq(i64, fake_counted("syncs"), syncs));
  float a[24], b[24];
  cr_assert(eq(int, th_read(there, a, sizeof a), TH_OK));
  cr_assert(eq(int, th_read(back, b, sizeof b), TH_OK));
  for (int i = 0; i < 24; i++) cr_assert(a[i] == (float)(i % 4 * 6 + i / 4) && b[i] == a[i]);
  th_scope_end(scope);
  stop();
}

Test(cuda, a_copy_larger_than_the_staging_memory) {
  start("threads", 1, 1);
  enum { BYTES = 150 << 20 };
  char *in = malloc(BYTES), *out = malloc(BYTES);
  for (int i = 0; i < BYTES; i += 4096) in[i] = (char)(i >> 12);
  memset(out, 0, BYTES);
  th_array *a = th_from_host(in, TH_SHAPE(BYTES), TH_U8, th_cuda(0));
  cr_assert(eq(int, th_read(a, out, BYTES), TH_OK), "%s", th_last_error());
  for (int i = 0; i < BYTES; i += 4096) cr_assert(out[i] == in[i]);
  th_release(a);
  stop();
  free(in);
  free(out);
}

/* ---- memory ---- */

/* Far more is submitted than fits: tasks wait until others have given memory back. */
Test(cuda, short_of_memory_tasks_wait) {
  for (int m = 0; m < 4; m++) {
    start(modes[m], 1, 1);
    cr_assert(eq(int, th_memory_set_limit(th_cuda(0), 4 << 20), TH_OK));
    th_array *last = NULL;
    for (int i = 0; i < 64; i++) {
      th_release(last);
      last = th_full(TH_SHAPE(256, 1024), i, TH_F32, th_cuda(0)); /* 1 MiB */
    }
    th_array *one = th_slice(last, "7, 9");
    cr_assert(eq(dbl, th_item(one), 63), "%s", th_last_error());
    th_release(one);
    th_release(last);
    stop();
  }
}

Test(cuda, what_never_fits_fails) {
  start("threads", 1, 1);
  cr_assert(eq(int, th_memory_set_limit(th_cuda(0), 4 << 20), TH_OK));
  th_array *held[5];
  for (int i = 0; i < 5; i++) held[i] = th_full(TH_SHAPE(1 << 20), i, TH_U8, th_cuda(0));
  th_status status = th_wait(held[4]);
  for (int i = 0; i < 4 && status == TH_OK; i++) status = th_wait(held[i]);
  cr_assert(eq(int, status, TH_ENOMEM));
  cr_assert(not(zero(ptr, strstr(th_last_error(), "no memory for 1048576 bytes on cuda:0"))), "%s",
            th_last_error());
  for (int i = 0; i < 5; i++) th_release(held[i]);
  status = th_wait_all();
  stop();
}

/* ---- errors ---- */

Test(cuda, a_refused_launch_poisons) {
  start("threads", 1, 1);
  th_array *a = numbers(1, 0), *b = numbers(1, 0), *c = numbers(1, 0);
  cr_assert(eq(int, th_wait_all(), TH_OK));
  fake_setting("fail_launch", 1);
  mix(NULL, a, 1);
  mix(a, b, 1);
  mix(NULL, c, 1);
  cr_assert(eq(int, th_wait(b), TH_EKERNEL));
  cr_assert(not(zero(ptr, strstr(th_last_error(), "cuda:0: mix: "))), "%s", th_last_error());
  cr_assert(eq(int, th_wait(a), TH_EKERNEL));
  cr_assert(eq(int, th_wait(c), TH_OK));
  th_release(a);
  th_release(b);
  th_release(c);
  th_status status = th_wait_all();
  (void)status;
  stop();
}

Test(cuda, a_lost_device_poisons_everything) {
  for (int m = 0; m < 4; m++) {
    start(modes[m], 1, 2);
    th_array *a = numbers(1, 0), *b = numbers(1, 0), *other = numbers(1, 1);
    cr_assert(eq(int, th_wait_all(), TH_OK));
    fake_setting("kill", 3);
    for (int i = 0; i < 20; i++) mix(a, b, 1);
    cr_assert(eq(int, th_wait(b), TH_EDEVICE));
    const char *text = th_last_error();
    cr_assert(not(zero(ptr, strstr(text, "cuda:0 is lost: ILLEGAL_ADDRESS"))), "%s", text);
    mix(NULL, a, 1);
    cr_assert(eq(int, th_wait(a), TH_EDEVICE));
    mix(NULL, other, 1); /* another device goes on */
    cr_assert(eq(int, th_wait(other), TH_OK), "%s", th_last_error());
    th_release(a);
    th_release(b);
    th_release(other);
    th_status status = th_wait_all();
    (void)status;
    cr_assert(eq(int, th_shutdown(), TH_OK));
    start(modes[m], 2, 1); /* a new context */
    a = numbers(1, 0);
    mix(NULL, a, 1);
    (void)hash_of(a);
    th_release(a);
    stop();
  }
}

/* Where an error is not known to end a context, a launch that meets it fails alone, and who asks how things stand loses the device:
 * nobody may wait for ever. */
Test(cuda, a_device_may_be_lost_to_any_error) {
  static const int errors[] = {226, 721, 999};
  for (int m = 0; m < 4; m++) {
    for (int e = 0; e < 3; e++) {
      start(modes[m], 1, 1);
      fake_setting("memops", e % 2);
      fake_setting("error", errors[e]);
      th_array *a = numbers(1, 0), *b = numbers(2, 0);
      fake_setting("kill", 3);
      for (int i = 0; i < 10; i++) mix(a, b, 1);
      int32_t out[N];
      th_status read = th_read(b, out, sizeof out);
      cr_assert(read == TH_EDEVICE || (read == TH_EKERNEL && errors[e] == 999), "%s",
                th_last_error());
      th_release(a);
      th_release(b);
      th_status status = th_wait_all();
      (void)status;
      cr_assert(eq(int, th_shutdown(), TH_OK));
      start(modes[m], 1, 1);
      stop();
    }
  }
}

/* What was issued when the device was lost has not been done. */
Test(cuda, issued_operations_are_lost_too) {
  for (int m = 0; m < 4; m++) {
    start(modes[m], 1, 1);
    th_array *a[6];
    for (int i = 0; i < 6; i++) a[i] = numbers(i, 0);
    cr_assert(eq(int, th_wait_all(), TH_OK));
    fake_setting("mode", FAKE_LATE);
    fake_setting("kill", 1);
    for (int i = 0; i < 6; i++) mix(NULL, a[i], 1);
    for (int i = 0; i < 6; i++) {
      cr_assert(eq(int, th_wait(a[i]), TH_EDEVICE), "%s, array %d", modes[m], i);
      if (i == 0)
        cr_assert(not(zero(ptr, strstr(th_last_error(), "; known complete: up to from_host, #"))),
                  "%s", th_last_error());
    }
    for (int i = 0; i < 6; i++) th_release(a[i]);
    th_status status = th_wait_all();
    (void)status;
    stop();
  }
}
