/* Copies between CUDA devices on the fake driver, with access to each other's memory and without. "Fake" results: no GPU took part. */
#include <pthread.h>
#include <string.h>

#include "engine/base/thread.h"
#include "support/cudaworld.h"

TestSuite(cuda_peer, .timeout = 60);

static const char *const modes[] = {"threads", "serial", "shuffle:7", "shuffle-threads:7"};

Test(cuda_peer, straight_or_through_the_host) {
  for (int m = 0; m < 4; m++) {
    for (int peers = 0; peers <= 1; peers++) {
      start(modes[m], 1, 2);
      fake_setting("peers", peers);
      int32_t in[12], out[12];
      for (int i = 0; i < 12; i++) in[i] = i * i;
      th_array *a = th_from_host(in, TH_SHAPE(3, 4), TH_I32, th_cuda(0));
      th_array *t = th_permute_dims(a, (const int[]){1, 0}, 2);
      cr_assert(eq(int, th_wait(a), TH_OK));
      int64_t copies = fake_counted("copies");
      th_array *b = th_copy_to(a, th_cuda(1)), *c = th_copy_to(t, th_cuda(1));
      th_array *none = th_zeros(TH_SHAPE(0, 4), TH_I32, th_cuda(0));
      th_array *empty = th_copy_to(none, th_cuda(1));
      cr_assert(eq(int, th_wait_all(), TH_OK), "%s", th_last_error());
      cr_assert(eq(i64, fake_counted("peer_copies"), peers ? 2 : 0));
      if (peers) cr_assert(eq(i64, fake_counted("copies"), copies));
      cr_assert(eq(int, th_read(b, out, sizeof out), TH_OK), "%s", th_last_error());
      cr_assert(memcmp(in, out, sizeof in) == 0);
      cr_assert(eq(int, th_read(c, out, sizeof out), TH_OK), "%s", th_last_error());
      for (int i = 0; i < 12; i++) cr_assert(eq(int, out[i], in[i % 3 * 4 + i / 3]));
      cr_assert(eq(i64, th_array_size(empty), 0));
      th_array *const all[] = {a, t, b, c, none, empty};
      for (int i = 0; i < 6; i++) th_release(all[i]);
      stop();
    }
  }
}

Test(cuda_peer, arrays_wander) {
  start("serial", 1, 1);
  uint64_t expected = wander(1);
  stop();
  for (int m = 0; m < 4; m++) {
    for (uint64_t seed = 1; seed <= 8; seed++) {
      start(modes[m], seed, 3);
      fake_setting("mode", (int64_t)seed % 4);
      fake_setting("memops", seed % 3 != 0);
      fake_setting("peers", seed % 4 != 3);
      cr_assert(eq(u64, wander(3), expected), "%s, seed %llu", modes[m], (unsigned long long)seed);
      stop();
    }
  }
}

Test(cuda_peer, gradients_go_back) {
  start("threads", 1, 2);
  float in[4] = {1, 2, 3, 4}, out[4];
  th_scope scope = th_scope_begin();
  th_array *a = th_from_host(in, TH_SHAPE(2, 2), TH_F32, th_cuda(0));
  cr_assert(eq(int, th_require_grad(a), TH_OK));
  th_array *b = th_copy_to(th_permute_dims(a, (const int[]){1, 0}, 2), th_cuda(1));
  cr_assert(eq(int, th_backward(th_sum(th_multiply(b, b), NULL, 0, false), 0), TH_OK), "%s",
            th_last_error());
  cr_assert(eq(int, th_read(th_grad(a), out, sizeof out), TH_OK), "%s", th_last_error());
  for (int i = 0; i < 4; i++) cr_assert(eq(flt, out[i], 2 * in[i]));
  th_scope_end(scope);
  stop();
}

/* Either side is lost, and made anew: access is enabled again. */
Test(cuda_peer, lost_on_either_side) {
  for (int m = 0; m < 4; m++) {
    for (int lost = 0; lost < 2; lost++) {
      start(modes[m], 1, 2);
      th_array *a = numbers(1, 0), *victim = numbers(1, lost);
      th_array *b = th_copy_to(a, th_cuda(1));
      uint64_t h = hash_of(b);
      fake_setting("kill_device", lost + 1);
      mix(NULL, victim, 1);
      cr_assert(eq(int, th_wait(victim), TH_EDEVICE));
      th_array *c = th_copy_to(a, th_cuda(1));
      cr_assert(eq(int, th_wait(c), TH_EDEVICE));
      cr_assert(eq(int, th_device_reset(th_cuda(lost)), TH_OK), "%s", th_last_error());
      th_array *d = th_copy_to(a, th_cuda(1));
      if (lost == 0)
        cr_assert(eq(int, th_wait(d), TH_EDEVICE)); /* what a held is gone */
      else
        cr_assert(eq(u64, hash_of(d), h), "%s", modes[m]);
      th_array *e = numbers(1, 0), *f = th_copy_to(e, th_cuda(1));
      cr_assert(eq(u64, hash_of(f), h));
      th_array *const all[] = {a, victim, b, c, d, e, f};
      for (int i = 0; i < 7; i++) th_release(all[i]);
      th_status status = th_wait_all();
      (void)status;
      stop();
    }
  }
}

static void *reset_first(void *arg) {
  *(th_status *)arg = th_device_reset(th_cuda(0));
  return NULL;
}

/* Its peer is slow to copy what was handed to it. */
Test(cuda_peer, a_reset_waits_for_copies_from_the_device) {
  start("threads", 1, 2);
  th_array *a = numbers(1, 0), *victim = numbers(2, 0), *b[4];
  uint64_t h = hash_of(a);
  fake_setting("hold", 2);
  for (int i = 0; i < 4; i++) b[i] = th_copy_to(a, th_cuda(1));
  while (fake_counted("peer_copies") < 4) th__yield();
  fake_setting("kill_device", 1);
  mix(NULL, victim, 1);
  cr_assert(eq(int, th_wait(victim), TH_EDEVICE));
  th_status status = TH_EBUSY;
  pthread_t thread;
  pthread_create(&thread, NULL, reset_first, &status);
  th__sleep_ns(50000000);
  fake_setting("hold", 0);
  pthread_join(thread, NULL);
  cr_assert(eq(int, status, TH_OK));
  for (int i = 0; i < 4; i++) cr_assert(eq(u64, hash_of(b[i]), h)); /* begun before the end */
  th_array *const all[] = {a, victim, b[0], b[1], b[2], b[3]};
  for (int i = 0; i < 6; i++) th_release(all[i]);
  status = th_wait_all();
  stop();
}

static void *copy_and_copy(void *arg) {
  for (_Atomic int *end = arg; !*end;) {
    th_array *a = numbers(1, 0), *b = th_copy_to(a, th_cuda(1));
    th_release(a);
    th_status status = th_wait(b); /* any */
    (void)status;
    th_release(b);
  }
  return NULL;
}

/* The source's context goes while its peer copies from it. */
Test(cuda_peer, a_source_is_reset_in_flight) {
  start("threads", 3, 2);
  _Atomic int end = 0;
  pthread_t threads[2];
  for (int t = 0; t < 2; t++) pthread_create(&threads[t], NULL, copy_and_copy, (void *)&end);
  for (int round = 0; round < 30; round++) {
    fake_setting("kill_device", 1);
    cr_assert(eq(int, th_device_reset(th_cuda(0)), TH_OK), "%s", th_last_error());
  }
  end = 1;
  for (int t = 0; t < 2; t++) pthread_join(threads[t], NULL);
  fake_setting("kill_device", 0);
  cr_assert(eq(int, th_device_reset(th_cuda(0)), TH_OK), "%s", th_last_error());
  th_array *a = numbers(1, 0), *b = th_copy_to(a, th_cuda(1));
  cr_assert(eq(u64, hash_of(a), hash_of(b)));
  th_release(a);
  th_release(b);
  th_status status = th_wait_all();
  (void)status;
  stop();
}
