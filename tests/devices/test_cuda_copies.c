/* Copies between host and device on the fake driver: pinned memory without a detour, pageable memory through staging blocks, both in
 * one program; marks that large bodies get; what the issue thread does while a device is busy. "Fake" results: no GPU took part. */
#include <string.h>
#include <sys/resource.h>

#include "devices/cuda/parts.h"
#include "engine/base/thread.h"
#include "support/cudaworld.h"
#include "support/sanitizers.h"

TestSuite(cuda_copies, .timeout = 120);

enum { WORDS = 5 << 18, SMALL_WORDS = 1 << 15 }; /* 5 MiB: two staging blocks; 128 KiB */

static const char *const modes[] = {"threads", "serial", "shuffle:7", "shuffle-threads:7"};

static th_array *pinned(int64_t words) {
  th_array *a = th_pinned(&words, 1, TH_I32, th_cuda(0));
  cr_assert(a != NULL, "%s", th_last_error());
  return a;
}

static void fill(th_array *a, int32_t value) {
  cr_assert(eq(int, th_fill(a, value), TH_OK), "%s", th_last_error());
}

static void all_are(const th_array *a, int32_t value, const char *what) {
  static int32_t out[WORDS];
  size_t words = (size_t)th_array_size(a);
  cr_assert(eq(int, th_read(a, out, words * sizeof *out), TH_OK), "%s", th_last_error());
  for (size_t i = 0; i < words; i++)
    cr_assert(out[i] == value, "%s: element %zu is %d, not %d", what, i, out[i], value);
}

static void assign(th_array *to, const th_array *from) {
  cr_assert(eq(int, th_assign(to, from), TH_OK), "%s", th_last_error());
}

/* One copy each way, where pageable memory takes two and staging blocks. */
Test(cuda_copies, pinned_memory_is_copied_as_it_lies) {
  start("threads", 1, 1);
  th_array *host = pinned(WORDS), *back = pinned(WORDS);
  fill(host, 3);
  th_array *there = th_copy_to(host, th_cuda(0));
  assign(back, there);
  all_are(back, 3, "back");
  cr_assert(eq(i64, fake_counted("copies"), 2));
  cr_assert(eq(i64, fake_counted("registers"), 2));
  th_array *plain = th_copy_to(there, th_cpu(0));
  all_are(plain, 3, "pageable");
  cr_assert(eq(i64, fake_counted("copies"), 4));
  th_array *const made[] = {host, back, there, plain};
  for (int i = 0; i < 4; i++) th_release(made[i]);
  stop();
}

/* The gradient of what was assigned goes back to where it came from. */
Test(cuda_copies, an_assignment_from_the_host_is_recorded) {
  start("threads", 1, 1);
  th_scope scope = th_scope_begin();
  th_array *x = th_full(TH_SHAPE(3), 2, TH_F64, th_cpu(0));
  th_array *y = th_full(TH_SHAPE(3), 5, TH_F64, th_cuda(0));
  cr_assert(eq(int, th_require_grad(x), TH_OK));
  cr_assert(eq(int, th_require_grad(y), TH_OK));
  th_array *z = th_square(y);
  assign(z, x);
  th_array *loss = th_sum(th_multiply(z, z), NULL, 0, false);
  cr_assert(eq(int, th_backward(loss, 0), TH_OK), "%s", th_last_error());
  double slope[3];
  cr_assert(th_device_equal(th_array_device(th_grad(x)), th_cpu(0)));
  cr_assert(eq(int, th_read(th_grad(x), slope, sizeof slope), TH_OK), "%s", th_last_error());
  for (int i = 0; i < 3; i++) cr_assert(eq(dbl, slope[i], 4));
  th_scope_end(scope);
  stop();
}

/* Assignments and additions among arrays of all kinds of memory; what each holds is known without them. */
static void shuttle(uint64_t seed, const char *what) {
  enum { ARRAYS = 7 };
  int64_t words = seed % 4 == 0 ? WORDS : SMALL_WORDS;
  th_array *a[ARRAYS];
  int32_t holds[ARRAYS];
  uint64_t random = seed * 77;
  for (int i = 0; i < ARRAYS; i++) {
    a[i] = i < 2 ? pinned(words)
                 : th_zeros(&words, 1, TH_I32, i < 4 ? th_cpu(0) : th_cuda(0)); /* then the GPU's */
    fill(a[i], holds[i] = i);
  }
  for (int step = 0; step < 60; step++) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    int to = (int)(random >> 33) % ARRAYS, from = (int)(random >> 45) % ARRAYS;
    if (to == from) {
      cr_assert(eq(int, th_add_scalar_inplace(a[to], step), TH_OK), "%s", th_last_error());
      holds[to] += step;
    } else {
      assign(a[to], a[from]);
      holds[to] = holds[from];
    }
  }
  for (int i = 0; i < ARRAYS; i++) {
    all_are(a[i], holds[i], what);
    th_release(a[i]);
  }
}

Test(cuda_copies, pinned_and_pageable_memory_in_one_program) {
  for (int m = 0; m < 4; m++) {
    uint64_t seeds = THREAD_SANITIZER && m > 0 ? 3 : 4; /* the fourth has large arrays */
    for (uint64_t seed = 1; seed <= seeds; seed++) {
      start(modes[m], seed, 1);
      fake_setting("mode", (int64_t)seed % 4);
      fake_setting("memops", seed % 3 != 0);
      shuttle(seed, modes[m]);
      stop();
    }
  }
}

Test(cuda_copies, the_same_beside_threads) {
  for (uint64_t seed = 1; seed <= 4; seed++) {
    start("threads", seed, 1);
    fake_setting("threads", 3);
    shuttle(seed, "threaded");
    stop();
  }
}

/* Small parts of pinned memory go through staging blocks, among copies of all of it. */
static void parts_of(th_array *host, const char *what) {
  th_array *five = th_full(TH_SHAPE(WORDS), 5, TH_I32, th_cuda(0));
  th_array *six = th_full(TH_SHAPE(WORDS), 6, TH_I32, th_cuda(0));
  th_array *few = th_full(TH_SHAPE(1000), 7, TH_I32, th_cuda(0)), *part = th_slice(host, "0:1000");
  assign(host, five);
  th_array *there = th_copy_to(part, th_cuda(0)); /* behind the five */
  all_are(there, 5, what);
  assign(part, few);
  assign(host, six); /* over the seven */
  all_are(part, 6, what);
  assign(host, five);
  assign(part, few); /* over the five */
  all_are(part, 7, what);
  th_array *const made[] = {five, six, few, part, there};
  for (int i = 0; i < 5; i++) th_release(made[i]);
}

Test(cuda_copies, parts_of_pinned_memory) {
  for (int m = 0; m < 4; m++) {
    for (int mode = 0; mode < 4; mode++) {
      start(modes[m], 1, 1);
      fake_setting("mode", mode);
      th_array *host = pinned(WORDS);
      parts_of(host, modes[m]);
      th_release(host);
      stop();
    }
  }
}

/* A reset takes the device's memory away, not the program's. */
Test(cuda_copies, pinned_memory_outlives_its_context) {
  start("threads", 1, 1);
  th_array *host = pinned(WORDS), *lost = numbers(1, 0);
  fill(host, 5);
  fake_setting("kill", 1);
  mix(NULL, lost, 1);
  cr_assert(eq(int, th_wait(lost), TH_EDEVICE));
  cr_assert(eq(int, th_device_reset(th_cuda(0)), TH_OK), "%s", th_last_error());
  int64_t copies = fake_counted("copies");
  th_array *there = th_copy_to(host, th_cuda(0));
  all_are(there, 5, "after the reset");
  cr_assert(eq(i64, fake_counted("copies") - copies, 4), "it is ordinary memory now");
  th_release(there);
  th_release(lost);
  th_release(host);
  th_status status = th_wait_all(); /* what was lost */
  (void)status;
  stop();
}

Test(cuda_copies, pinned_memory_outlives_the_engine) {
  start("threads", 1, 1);
  th_array *host = pinned(WORDS);
  fill(host, 5);
  cr_assert(eq(int, th_shutdown(), TH_OK));
  th_release(host);
  const char *findings = fake_findings(true);
  cr_assert(findings[0] == 0, "%s", findings);
}

Test(cuda_copies, memory_that_cannot_be_pinned_is_an_error) {
  start("threads", 1, 1);
  th_array *first = pinned(SMALL_WORDS); /* the device is open */
  fill(first, 1);
  fake_setting("fail_host", 1);
  cr_assert(th_pinned(TH_SHAPE(WORDS), TH_I32, th_cuda(0)) == NULL);
  cr_assert(eq(int, th_last_status(), TH_ENOMEM), "%s", th_last_error());
  cr_assert(th_pinned(TH_SHAPE(4), TH_I32, th_cuda(7)) == NULL);
  cr_assert(eq(int, th_last_status(), TH_EDEVICE));
  th_array *plain = th_pinned(TH_SHAPE(4), TH_I32, th_cpu(0));
  cr_assert(plain != NULL && th_device_equal(th_array_device(plain), th_cpu(0)));
  th_release(plain);
  th_release(first);
  (void)th_shutdown();
}

/* A body that takes a while is marked at once, so a waiter does not wait for what came behind it; small ones are not. */
Test(cuda_copies, large_bodies_are_marked_early) {
  start("threads", 1, 1);
  fake_setting("hold", 1); /* until the mix is issued, behind a write that is not over then */
  th_array *small = numbers(1, 0);
  mix(NULL, small, 1);
  while (fake_counted("launches") == 0) th__sleep_ns(100000);
  fake_setting("hold", 0);
  cr_assert(eq(int, th_wait(small), TH_OK));
  cr_assert(eq(i64, fake_counted("records"), 1)); /* the write was waited for by another lane */
  static int32_t in[WORDS];
  th_array *large = th_from_host(in, TH_SHAPE(WORDS), TH_I32, th_cuda(0));
  cr_assert(eq(int, th_wait(large), TH_OK));
  cr_assert(eq(i64, fake_counted("records"), 2));
  th_release(small);
  th_release(large);
  stop();
}

static double cpu_seconds(void) {
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
         1e-6 * (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}

/* A device that is busy for long costs the host little, and a new task gets through all the same. Who polls does so always, so the
 * idlest of some moments tells. */
Test(cuda_copies, a_busy_device_lets_the_host_sleep) {
  start("threads", 1, 1);
  th_array *a = numbers(1, 0), *b = numbers(2, 0);
  uint64_t before = hash_of(b);
  (void)hash_of(a);
  fake_setting("hold", 1);
  mix(NULL, a, 1);
  double least = 1;
  for (int i = 0; i < 20 && least >= 0.2; i++) {
    double used = cpu_seconds();
    th__sleep_ns(400000000);
    used = cpu_seconds() - used;
    if (used < least) least = used;
  }
  fake_setting("hold", 0);
  mix(NULL, b, 0);
  cr_assert(hash_of(b) != before || hash_of(a) != 0);
  cr_assert(lt(dbl, least, 0.2), "in 0.4 s, all of which polling would use");
  th_release(a);
  th_release(b);
  stop();
}
