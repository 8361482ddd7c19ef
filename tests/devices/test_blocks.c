/* Blocks kept for reuse: given and taken across threads, bounded, all back when the engine ends, harmless in a forked child. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "devices/asan.h"
#include "devices/blocks.h"
#include "engine/base/error.h"
#include "thrum/thrum.h"

static _Atomic int64_t taken, given;

static void *counted_alloc(size_t bytes, void *user) {
  (void)user;
  th__fetch_add(&taken, 1, TH__RELAXED);
  return malloc(bytes);
}
static void *counted_resize(void *block, size_t bytes, void *user) {
  (void)user;
  if (block == NULL) th__fetch_add(&taken, 1, TH__RELAXED);
  return realloc(block, bytes);
}
static void counted_release(void *block, void *user) {
  (void)user;
  th__fetch_add(&given, 1, TH__RELAXED);
  free(block);
}

static int64_t taken_now(void) { return th__load(&taken, TH__RELAXED); }

static void start(void) {
  static const th_allocator counting = {counted_alloc, counted_resize, counted_release, NULL};
  th_config config = {.size = sizeof config, .workers = 1, .allocator = &counting};
  cr_assert(eq(int, th_init(&config), TH_OK), "%s", th_last_error());
}

static void stop(void) { th_shutdown(); }

TestSuite(blocks, .timeout = 60, .init = start, .fini = stop);

Test(blocks, every_size_is_writable_and_comes_back) {
  int64_t live = th__mem_live();
  for (size_t bytes = 0; bytes < 3000; bytes += 37) {
    unsigned char *block = th__block_take(bytes);
    cr_assert(not(zero(ptr, block)));
    for (size_t i = 0; i < bytes; i++) block[i] = (unsigned char)i;
    cr_assert(eq(i64, th__mem_live(), live + 1), "%zu bytes", bytes);
    th__block_give(block, bytes);
    cr_assert(eq(i64, th__mem_live(), live), "kept blocks are not live");
  }
}

Test(blocks, nothing_is_allocated_twice) {
  enum { N = 1000 };
  void *blocks[N];
  int64_t before = taken_now();
  for (int round = 0; round < 50; round++) {
    for (int i = 0; i < N; i++) blocks[i] = th__block_take(200);
    for (int i = 0; i < N; i++) th__block_give(blocks[i], 200);
  }
  if (!TH__ASAN) cr_assert(le(i64, taken_now() - before, N));
}

Test(blocks, what_is_kept_is_bounded) {
  enum { N = 40000 };
  void **blocks = malloc(N * sizeof *blocks);
  int64_t freed = th__load(&given, TH__RELAXED);
  for (int i = 0; i < N; i++) blocks[i] = th__block_take(1000);
  for (int i = 0; i < N; i++) th__block_give(blocks[i], 1000);
  free(blocks);
  cr_assert(ge(i64, th__load(&given, TH__RELAXED) - freed, N / 2), "40 MB are not kept");
  freed = th__load(&given, TH__RELAXED);
  cr_assert(eq(int, th_memory_trim(th_cpu(0)), TH_OK));
  if (!TH__ASAN) cr_assert(gt(i64, th__load(&given, TH__RELAXED), freed), "trimming frees some");
}

/* A ring of blocks from one thread to another. */
enum { RING = 4096, PASSED = 200000 };
static _Atomic(void *) ring[RING];

static void *giver(void *arg) {
  (void)arg;
  for (int i = 0; i < PASSED; i++) {
    void *block;
    while ((block = th__exchange(&ring[i % RING], NULL, TH__ACQUIRE)) == NULL) th__yield();
    th__block_give(block, 300);
  }
  return NULL;
}

Test(blocks, they_come_back_from_the_thread_that_gives_them) {
  pthread_t thread;
  int64_t before = taken_now();
  cr_assert(zero(pthread_create(&thread, NULL, giver, NULL)));
  for (int i = 0; i < PASSED; i++) {
    int *block = th__block_take(300);
    *block = i;
    while (th__load(&ring[i % RING], TH__RELAXED) != NULL) th__yield();
    th__store(&ring[i % RING], block, TH__RELEASE);
  }
  pthread_join(thread, NULL);
  if (!TH__ASAN) cr_assert(le(i64, taken_now() - before, RING + 8 * TH__BLOCK_MAGAZINE));
}

Test(blocks, shutdown_gives_all_back) {
  for (int round = 0; round < 3; round++) {
    for (int i = 0; i < 500; i++) {
      void *a = th__block_take(100), *b = th__block_take(700);
      th__block_give(a, 100);
      th__block_give(b, 700);
    }
    void *outlives = th__block_take(128);
    cr_assert(eq(int, th_shutdown(), TH_OK));
    cr_assert(eq(i64, taken_now() - th__load(&given, TH__RELAXED), 1), "round %d", round);
    th__block_give(outlives, 128);
    cr_assert(eq(i64, taken_now(), th__load(&given, TH__RELAXED)), "goes straight back");
    start();
  }
}

Test(blocks, injected_failures_are_not_hidden) {
  void *block = th__block_take(256);
  th__block_give(block, 256);
  th__mem_fail_after(0);
  cr_assert(zero(ptr, th__block_take(256)));
  cr_assert(eq(int, th_last_status(), TH_ENOMEM));
  th__mem_fail_after(-1);
  block = th__block_take(256);
  cr_assert(not(zero(ptr, block)));
  th__block_give(block, 256);
}

Test(blocks, a_forked_child_may_give) {
  void *block = th__block_take(256);
  pid_t child = fork();
  if (child == 0) {
    for (int i = 0; i < 300; i++) th__block_give(th__block_take(256), 256);
    th__block_give(block, 256);
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  cr_assert(eq(int, status, 0));
  th__block_give(block, 256);
}

/* More threads than there are caches: those without pass blocks straight through. */
static void *short_life(void *arg) {
  (void)arg;
  for (int i = 0; i < 200; i++) th__block_give(th__block_take(512), 512);
  return NULL;
}

Test(blocks, any_number_of_threads) {
  enum { AT_ONCE = 300 };
  pthread_t threads[AT_ONCE];
  int64_t live = th__mem_live();
  int n = 0;
  while (n < AT_ONCE && pthread_create(&threads[n], NULL, short_life, NULL) == 0) n++;
  cr_assert(gt(int, n, 0));
  for (int i = 0; i < n; i++) pthread_join(threads[i], NULL);
  cr_assert(eq(i64, th__mem_live(), live));
}
