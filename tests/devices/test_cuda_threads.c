/* The CUDA device on the fake driver with threads that run its commands: what the host does while they do is for the thread sanitizer to
 * judge. "Fake" results: no GPU took part. */
#include <pthread.h>
#include <string.h>

#include "support/cudaworld.h"
#include "thrum/profile.h"

TestSuite(cuda_threads, .timeout = 120);

static const char *const modes[] = {"threads", "serial", "shuffle:7", "shuffle-threads:7"};

static void start_threaded(int m, uint64_t seed, int devices) {
  start(modes[m], seed, devices);
  fake_setting("threads", 3);
  fake_setting("memops", seed % 4 != 3);
}

Test(cuda_threads, a_graph) {
  start("serial", 1, 1);
  uint64_t expected = run_graph();
  stop();
  for (int m = 0; m < 4; m++) {
    for (uint64_t seed = 1; seed <= 4; seed++) {
      start_threaded(m, seed, 1);
      cr_assert(eq(u64, run_graph(), expected), "%s, seed %llu", modes[m],
                (unsigned long long)seed);
      stop();
    }
  }
}

Test(cuda_threads, arrays_wander) {
  start("serial", 1, 1);
  uint64_t expected = wander(1);
  stop();
  for (int m = 0; m < 4; m++) {
    for (uint64_t seed = 1; seed <= 4; seed++) {
      start_threaded(m, seed, 3);
      fake_setting("peers", seed % 2 != 0);
      cr_assert(eq(u64, wander(3), expected), "%s, seed %llu", modes[m], (unsigned long long)seed);
      stop();
    }
  }
}

/* Pieces of staging memory go round while commands use them. */
Test(cuda_threads, copies_in_and_out) {
  enum { WORDS = 3 << 20, ROUNDS = 12 };
  static int32_t in[WORDS], out[WORDS];
  for (int m = 0; m < 4; m += 3) {
    start_threaded(m, 1, 1);
    for (int round = 0; round < ROUNDS; round++) {
      int n = round % 3 == 0 ? WORDS : 1000 + round;
      for (int i = 0; i < n; i += 64) in[i] = i + round;
      th_array *a = th_from_host(in, TH_SHAPE(n), TH_I32, th_cuda(0));
      th_array *b = th_copy(a), *c = th_copy_to(b, th_cpu(0));
      th_release(a);
      th_release(b);
      cr_assert(eq(int, th_read(c, out, (size_t)n * sizeof *out), TH_OK), "%s", th_last_error());
      for (int i = 0; i < n; i += 64) cr_assert(eq(int, out[i], i + round));
      th_release(c);
    }
    stop();
  }
}

typedef struct own_chain {
  th_array *a;
  int device;
} own_chain;

static void *chain(void *arg) {
  own_chain *c = arg;
  for (int i = 0; i < 150; i++) {
    mix(NULL, c->a, 1);
    if (i % 10 == 0) (void)hash_of(c->a);
  }
  return NULL;
}

/* Two threads of the program, a recording, and one short of memory. */
Test(cuda_threads, two_submitters_and_a_trace) {
  for (uint64_t seed = 1; seed <= 4; seed++) {
    start_threaded(seed % 2 ? 0 : 3, seed, 2);
    cr_assert(eq(int, th_memory_set_limit(th_cuda(1), 4 << 20), TH_OK));
    cr_assert(eq(int, th_profile_start(0), TH_OK));
    own_chain c[2] = {{numbers(1, 0), 0}, {numbers(1, 1), 1}};
    pthread_t threads[2];
    for (int t = 0; t < 2; t++) pthread_create(&threads[t], NULL, chain, &c[t]);
    for (int i = 0; i < 20; i++) {
      th_array *large = th_full(TH_SHAPE(256, 1024), i, TH_F32, th_cuda(1));
      th_release(large);
    }
    for (int t = 0; t < 2; t++) pthread_join(threads[t], NULL);
    cr_assert(eq(u64, hash_of(c[0].a), hash_of(c[1].a)));
    for (int t = 0; t < 2; t++) th_release(c[t].a);
    cr_assert(eq(int, th_profile_stop(NULL), TH_OK));
    stop();
  }
}

static void *use_while_lost(void *arg) {
  for (_Atomic int *end = arg; !*end;) {
    th_array *a = numbers(1, 0), *b = th_copy_to(a, th_cuda(1)), *c = th_copy(a);
    mix(a, c, 1);
    th_release(a);
    th_status status = th_wait(b); /* any */
    (void)status;
    th_release(b);
    th_release(c);
  }
  return NULL;
}

Test(cuda_threads, lost_and_reset) {
  start_threaded(0, 1, 2);
  _Atomic int end = 0;
  pthread_t threads[2];
  for (int t = 0; t < 2; t++) pthread_create(&threads[t], NULL, use_while_lost, (void *)&end);
  for (int round = 0; round < 20; round++) {
    fake_setting("kill_device", 1);
    cr_assert(eq(int, th_device_reset(th_cuda(0)), TH_OK), "%s", th_last_error());
  }
  end = 1;
  for (int t = 0; t < 2; t++) pthread_join(threads[t], NULL);
  fake_setting("kill_device", 0);
  cr_assert(eq(int, th_device_reset(th_cuda(0)), TH_OK), "%s", th_last_error());
  th_status status = th_wait_all();
  (void)status;
  stop();
}
