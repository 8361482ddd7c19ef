/* The caching allocator over a source that counts and can refuse. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "devices/pool.h"
#include "engine/base/error.h"
#include "engine/base/thread.h"

TestSuite(pool, .timeout = 60);

#define NO_LIMIT (INT64_C(1) << 40)

static _Atomic int64_t taken, given; /* calls of the source */
static _Atomic int64_t refuse_from = INT64_MAX;

static void *counting_alloc(size_t bytes, size_t align, void *user) {
  if (th__fetch_add(&taken, 1, TH__RELAXED) >= th__load(&refuse_from, TH__RELAXED)) {
    th__fetch_sub(&taken, 1, TH__RELAXED);
    return NULL;
  }
  void *block = NULL;
  return posix_memalign(&block, align, bytes) == 0 ? block : NULL;
}

static void counting_release(void *block, void *user) {
  th__fetch_add(&given, 1, TH__RELAXED);
  free(block);
}

static const th__pool_source source = {counting_alloc, counting_release, NULL};
static th__pool pool;

static void open_pool(int64_t limit) {
  cr_assert(eq(int, th__pool_open(&pool, "test:0", &source, limit), TH_OK));
}

static void *take(int64_t bytes) {
  void *block = NULL;
  cr_assert(eq(int, th__pool_alloc(&pool, bytes, &block), TH_OK), "%lld bytes: %s",
            (long long)bytes, th_last_error());
  cr_assert(not(zero(ptr, block)));
  return block;
}

static th_memory_info figures(void) {
  th_memory_info m;
  th__pool_memory(&pool, &m);
  return m;
}

static int64_t held_by_source(void) {
  return th__load(&taken, TH__RELAXED) - th__load(&given, TH__RELAXED);
}

Test(pool, classes_are_tight_and_growing) {
  cr_assert(eq(i64, th__pool_block_size(0), 64));
  cr_assert(eq(i64, th__pool_block_size(1), 64));
  cr_assert(eq(i64, th__pool_block_size(64), 64));
  cr_assert(eq(i64, th__pool_block_size(65), 128));
  cr_assert(eq(i64, th__pool_block_size(1024), 1024));
  cr_assert(eq(i64, th__pool_block_size(1025), 1088));
  cr_assert(eq(i64, th__pool_block_size(2048), 2048));
  cr_assert(eq(i64, th__pool_block_size(4096), 4096));
  cr_assert(eq(i64, th__pool_block_size(4097), 4352));
  cr_assert(eq(i64, th__pool_block_size(-1), 0));
  cr_assert(eq(i64, th__pool_block_size(INT64_C(1) << 46), INT64_C(1) << 46));
  cr_assert(eq(i64, th__pool_block_size((INT64_C(1) << 46) + 1), 0));
  cr_assert(eq(i64, th__pool_block_size(INT64_MAX), 0));
  for (int64_t n = 1; n < INT64_C(1) << 45; n = n + n / 7 + 1) {
    int64_t size = th__pool_block_size(n);
    cr_assert(ge(i64, size, n));
    cr_assert(eq(i64, size % 64, 0), "%lld", (long long)n);
    cr_assert(eq(i64, th__pool_block_size(size), size), "%lld", (long long)n);
    cr_assert(le(i64, size - n, n < 1024 ? 63 : n / 16 + 1), "%lld wastes %lld", (long long)n,
              (long long)(size - n));
  }
}

Test(pool, blocks_are_aligned_and_apart) {
  enum { N = 200 };
  static const int64_t sizes[] = {0, 1, 63, 64, 100, 1000, 4096, 4097, 65535, 65536, 1 << 20};
  open_pool(NO_LIMIT);
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
    unsigned char *blocks[N];
    for (int i = 0; i < N; i++) {
      blocks[i] = take(sizes[s]);
      uintptr_t align = sizes[s] >= 65536 ? 4096 : 64;
      cr_assert(zero(sz, (uintptr_t)blocks[i] % align), "%lld bytes", (long long)sizes[s]);
      memset(blocks[i], i, (size_t)sizes[s]);
    }
    for (int i = 0; i < N; i++) {
      for (int64_t k = 0; k < sizes[s]; k += 61)
        cr_assert(eq(u8, blocks[i][k], (unsigned char)i), "%lld bytes", (long long)sizes[s]);
      th__pool_free(&pool, blocks[i], sizes[s]);
    }
  }
  cr_assert(eq(i64, figures().live, 0));
}

Test(pool, empty_blocks_are_blocks) {
  open_pool(NO_LIMIT);
  void *a = take(0), *b = take(0);
  cr_assert(ne(ptr, a, b));
  cr_assert(eq(i64, figures().live, 128));
  th__pool_free(&pool, a, 0);
  th__pool_free(&pool, b, 0);
  th__pool_free(&pool, NULL, 0);
  cr_assert(eq(i64, figures().live, 0));
}

Test(pool, figures_are_exact) {
  open_pool(NO_LIMIT);
  void *a = take(100), *b = take(5000), *c = take(1 << 20);
  int64_t sum = 128 + 5120 + (1 << 20);
  th_memory_info m = figures();
  cr_assert(eq(i64, m.live, sum));
  cr_assert(eq(i64, m.peak, sum));
  cr_assert(eq(i64, m.cached, 0));
  cr_assert(eq(i64, m.limit, NO_LIMIT));
  cr_assert(eq(u64, m.hits, 0));
  cr_assert(eq(u64, m.misses, 3));
  th__pool_free(&pool, b, 5000);
  m = figures();
  cr_assert(eq(i64, m.live, sum - 5120));
  cr_assert(eq(i64, m.cached, 5120));
  cr_assert(eq(i64, m.peak, sum));
  cr_assert(eq(ptr, take(5100), b)); /* the same class */
  th__pool_free(&pool, a, 100);
  cr_assert(eq(ptr, take(65), a));
  m = figures();
  cr_assert(eq(i64, m.live, sum));
  cr_assert(eq(i64, m.cached, 0));
  cr_assert(eq(u64, m.hits, 2));
  cr_assert(eq(u64, m.misses, 3));
  th__pool_free(&pool, a, 65);
  th__pool_free(&pool, b, 5100);
  th__pool_free(&pool, c, 1 << 20);
  th__pool_reset_peak(&pool);
  m = figures();
  cr_assert(eq(i64, m.live, 0));
  cr_assert(eq(i64, m.peak, 0));
  cr_assert(eq(i64, m.cached, sum));
}

Test(pool, trim_gives_everything_back) {
  open_pool(NO_LIMIT);
  enum { N = 3000 };
  static void *small[N];
  for (int i = 0; i < N; i++) small[i] = take(i % 4000);
  void *large = take(1 << 22);
  for (int i = 0; i < N; i++) th__pool_free(&pool, small[i], i % 4000);
  th__pool_free(&pool, large, 1 << 22);
  cr_assert(gt(i64, figures().cached, 1 << 22));
  th__pool_trim(&pool);
  cr_assert(eq(i64, figures().cached, 0));
  cr_assert(eq(i64, held_by_source(), 0));
  th__pool_free(&pool, take(10), 10); /* and it still works */
  cr_assert(eq(i64, figures().cached, 64));
}

Test(pool, trim_keeps_slabs_in_use) {
  open_pool(NO_LIMIT);
  enum { N = 5000 };
  static char *blocks[N];
  for (int i = 0; i < N; i++) memset(blocks[i] = take(64), i, 64);
  for (int i = 0; i < N; i++)
    if (i % 1500 != 7) th__pool_free(&pool, blocks[i], 64);
  for (int round = 0; round < 2; round++) {
    th__pool_trim(&pool);
    for (int i = 7; i < N; i += 1500)
      for (int k = 0; k < 64; k++) cr_assert(eq(chr, blocks[i][k], (char)i));
    cr_assert(eq(i64, figures().live, 4 * 64));
    cr_assert(le(i64, held_by_source(), 4));
    cr_assert(le(i64, figures().cached, 4 * 65536));
  }
  uint64_t misses = figures().misses;
  char *again = take(64); /* from a slab that stayed */
  cr_assert(eq(u64, figures().misses, misses));
  th__pool_free(&pool, again, 64);
  for (int i = 7; i < N; i += 1500) th__pool_free(&pool, blocks[i], 64);
  th__pool_trim(&pool);
  cr_assert(eq(i64, held_by_source(), 0));
}

Test(pool, the_limit_holds_to_the_byte) {
  open_pool(10240);
  void *a = take(4096), *b = take(4096), *c = take(2048), *d = NULL;
  cr_assert(eq(int, th__pool_alloc(&pool, 1, &d), TH_ENOMEM));
  cr_assert(eq(str, (char *)th_last_error(),
               (char *)"test:0: out of memory: 1 bytes wanted, 10240 live, limit 10240"));
  th_memory_info m = figures();
  cr_assert(eq(i64, m.live, 10240));
  cr_assert(eq(i64, m.peak, 10240));
  th__pool_free(&pool, c, 2048);
  c = take(2048);
  th__pool_free(&pool, a, 4096);
  th__pool_free(&pool, b, 4096);
  th__pool_free(&pool, c, 2048);
}

Test(pool, cached_blocks_make_room) {
  open_pool(1 << 20);
  void *a = take(1 << 19), *b = take(1 << 18), *c = take(100);
  th__pool_free(&pool, a, 1 << 19);
  th__pool_free(&pool, b, 1 << 18);
  th__pool_free(&pool, c, 100);
  void *all = take(1 << 20); /* nothing of it may stay cached */
  th_memory_info m = figures();
  cr_assert(eq(i64, m.live, 1 << 20));
  cr_assert(eq(i64, m.cached, 0));
  cr_assert(eq(i64, m.peak, 1 << 20));
  th__pool_free(&pool, all, 1 << 20);
  void *small = take(64); /* the large block has to go */
  cr_assert(eq(i64, figures().cached, 0));
  th__pool_free(&pool, small, 64);
}

Test(pool, room_is_made_by_as_few_blocks_as_needed) {
  open_pool(10 << 20);
  void *blocks[10];
  for (int i = 0; i < 10; i++) blocks[i] = take(1 << 20);
  for (int i = 0; i < 10; i++) th__pool_free(&pool, blocks[i], 1 << 20);
  void *other = take(900000);
  cr_assert(ge(i64, figures().cached, 9 << 20));
  th__pool_free(&pool, other, 900000);
}

Test(pool, sizes_that_never_come_again_do_not_pile_up) {
  open_pool(NO_LIMIT);
  int64_t asked = 0;
  for (int64_t bytes = 1 << 20; bytes < INT64_C(256) << 20; bytes += bytes / 12) {
    th__pool_free(&pool, take(bytes), bytes);
    asked += bytes;
    th_memory_info m = figures();
    cr_assert(le(i64, m.live + m.cached, 2 * m.peak + (64 << 20)), "%lld", (long long)bytes);
  }
  cr_assert(gt(i64, asked, INT64_C(2) << 30));
}

Test(pool, a_lower_limit_gives_back_the_cache) {
  open_pool(NO_LIMIT);
  void *a = take(1 << 20), *b = take(1 << 20), *c = NULL;
  th__pool_free(&pool, b, 1 << 20);
  th__pool_set_limit(&pool, 1 << 20);
  th_memory_info m = figures();
  cr_assert(eq(i64, m.limit, 1 << 20));
  cr_assert(eq(i64, m.cached, 0));
  cr_assert(eq(int, th__pool_alloc(&pool, 1, &c), TH_ENOMEM));
  th__pool_set_limit(&pool, 100); /* below what lives: legal */
  cr_assert(eq(int, th__pool_alloc(&pool, 1, &c), TH_ENOMEM));
  th__pool_set_limit(&pool, 2 << 20);
  c = take(1);
  th__pool_free(&pool, a, 1 << 20);
  th__pool_free(&pool, c, 1);
}

Test(pool, absurd_sizes_are_refused) {
  open_pool(INT64_MAX);
  static const int64_t sizes[] = {-1, INT64_MIN, INT64_MAX, (INT64_C(1) << 46) + 1};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    void *block = &pool;
    cr_assert(eq(int, th__pool_alloc(&pool, sizes[i], &block), TH_ENOMEM));
    cr_assert(eq(ptr, block, (void *)&pool));
  }
  cr_assert(eq(i64, figures().live, 0));
  cr_assert(eq(i64, figures().cached, 0));
}

Test(pool, a_refusing_system_gets_the_cache_first) {
  static const int64_t sizes[] = {64, 4096, 5000, 1 << 20};
  open_pool(NO_LIMIT);
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    void *cached = take(70000), *block = NULL;
    th__pool_free(&pool, cached, 70000);
    th__store(&refuse_from, th__load(&taken, TH__RELAXED), TH__RELAXED);
    cr_assert(eq(int, th__pool_alloc(&pool, sizes[i], &block), TH_ENOMEM), "%zu", i);
    th_memory_info m = figures();
    cr_assert(eq(i64, m.live, 0));
    cr_assert(eq(i64, m.cached, 0));
    cr_assert(eq(i64, held_by_source(), 0));
    th__store(&refuse_from, INT64_MAX, TH__RELAXED);
    th__pool_free(&pool, take(sizes[i]), sizes[i]);
    th__pool_trim(&pool);
  }
}

Test(pool, every_failing_allocation_leaves_exact_figures) {
  for (int64_t n = 0; n < 12; n++) {
    static const int64_t sizes[] = {1, 100000, 3000, 0, 5000, 1 << 21, 64, 200, 9000, 70000};
    enum { N = sizeof sizes / sizeof *sizes };
    void *blocks[N] = {0};
    int64_t live = 0;
    open_pool(NO_LIMIT);
    th__store(&refuse_from, th__load(&taken, TH__RELAXED) + n, TH__RELAXED);
    for (int i = 0; i < N; i++)
      if (th__pool_alloc(&pool, sizes[i], &blocks[i]) == TH_OK)
        live += th__pool_block_size(sizes[i]);
    cr_assert(eq(i64, figures().live, live), "failing after %lld", (long long)n);
    for (int i = 0; i < N; i++) th__pool_free(&pool, blocks[i], sizes[i]);
    cr_assert(eq(i64, figures().live, 0), "failing after %lld", (long long)n);
    th__store(&refuse_from, INT64_MAX, TH__RELAXED);
    th__pool_close(&pool);
    cr_assert(eq(i64, held_by_source(), 0), "failing after %lld", (long long)n);
  }
}

Test(pool, blocks_outlive_close) {
  open_pool(NO_LIMIT);
  char *a = take(100), *b = take(100000);
  th__pool_free(&pool, take(500), 500);
  th__pool_close(&pool);
  cr_assert(eq(i64, figures().cached, 0));
  memset(a, 1, 100);
  memset(b, 1, 100000);
  th__pool_free(&pool, a, 100);
  cr_assert(eq(i64, held_by_source(), 1));
  open_pool(NO_LIMIT); /* again, with one block still out */
  cr_assert(eq(i64, figures().live, th__pool_block_size(100000)));
  cr_assert(eq(i64, figures().peak, figures().live));
  th__pool_free(&pool, b, 100000);
  th__pool_close(&pool);
  cr_assert(eq(i64, held_by_source(), 0));
}

/* ---- threads ---- */

enum { THREADS = 6, ROUNDS = 20000, SLOTS = 64 };

/* Slots that all threads share: blocks are taken by one thread and freed by another. */
static _Atomic(void *) slots[SLOTS];
static const int64_t slot_sizes[] = {8, 64, 200, 1000, 4096, 6000, 70000, 300000};
static _Atomic int64_t torn, refused;

static int64_t slot_bytes(int i) { return slot_sizes[i % 8]; }

static void mark(void *block, int i) {
  memset(block, i, 8);
  memset((char *)block + slot_bytes(i) - 8, i, 8);
}

static void check(const unsigned char *block, int i) {
  for (int k = 0; k < 8; k++)
    if (block[k] != i || block[slot_bytes(i) - 1 - k] != i) th__fetch_add(&torn, 1, TH__RELAXED);
}

static void churn(void *arg) {
  uint32_t random = (uint32_t)(uintptr_t)arg * 2654435761u + 1;
  for (int round = 0; round < ROUNDS; round++) {
    random = random * 1664525u + 1013904223u;
    int i = (int)(random >> 16) % SLOTS;
    void *block = NULL;
    if (th__pool_alloc(&pool, slot_bytes(i), &block) == TH_OK)
      mark(block, i);
    else
      th__fetch_add(&refused, 1, TH__RELAXED);
    void *old = th__exchange(&slots[i], block, TH__ACQ_REL);
    if (old) check(old, i);
    th__pool_free(&pool, old, slot_bytes(i));
    if (round % 1000 == 0) th__pool_trim(&pool);
  }
}

static void run_threads(void) {
  th__thread_handle threads[THREADS];
  for (uintptr_t i = 0; i < THREADS; i++)
    cr_assert(eq(int, th__thread_start(&threads[i], churn, (void *)i, "churn"), TH_OK));
  for (int i = 0; i < THREADS; i++) th__thread_join(&threads[i]);
  int64_t live = 0;
  for (int i = 0; i < SLOTS; i++)
    if (slots[i]) live += th__pool_block_size(slot_bytes(i));
  cr_assert(eq(i64, figures().live, live));
  for (int i = 0; i < SLOTS; i++)
    th__pool_free(&pool, th__load(&slots[i], TH__RELAXED), slot_bytes(i));
  cr_assert(eq(i64, figures().live, 0));
  cr_assert(eq(i64, th__load(&torn, TH__RELAXED), 0));
  th__pool_trim(&pool);
  cr_assert(eq(i64, figures().cached, 0));
  cr_assert(eq(i64, held_by_source(), 0));
}

Test(pool, many_threads) {
  open_pool(NO_LIMIT);
  run_threads();
  th_memory_info m = figures();
  cr_assert(eq(i64, th__load(&refused, TH__RELAXED), 0));
  cr_assert(eq(u64, m.hits + m.misses, (uint64_t)THREADS * ROUNDS));
}

Test(pool, many_threads_under_a_limit) {
  open_pool(1 << 20);
  run_threads();
  cr_assert(le(i64, figures().peak, 1 << 20));
  cr_assert(gt(i64, th__load(&refused, TH__RELAXED), 0));
}

static void free_elsewhere(void *arg) {
  void **blocks = arg;
  for (int i = 0; i < 1000; i++) th__pool_free(&pool, blocks[i], 64);
}

Test(pool, blocks_come_back_from_other_threads) {
  static void *blocks[1000];
  open_pool(NO_LIMIT);
  for (int round = 0; round < 50; round++) {
    for (int i = 0; i < 1000; i++) blocks[i] = take(64);
    th__thread_handle thread;
    cr_assert(eq(int, th__thread_start(&thread, free_elsewhere, blocks, "freeing"), TH_OK));
    th__thread_join(&thread);
  }
  cr_assert(eq(u64, figures().misses, 1000));
}

/* ---- fork ---- */

/* In a child: 0 when all went well. Locks that stayed held in the child must not stop it. */
static int child_of_fork(void *small, void *large) {
  th__pool_free(&pool, small, 64);
  th__pool_free(&pool, large, 100000);
  th_memory_info m = figures();
  if (m.live != 64) return 1;
  if (th__pool_open(&pool, "test:0", NULL, NO_LIMIT) != TH_OK) return 2;
  void *block = NULL;
  if (th__pool_alloc(&pool, 64, &block) != TH_OK || !block) return 3;
  th__pool_free(&pool, block, 64);
  return figures().live == 64 && figures().cached == 64 ? 0 : 4;
}

static void *take_and_give(void *arg) {
  void *block = take(*(int64_t *)arg);
  th__pool_free(&pool, block, *(int64_t *)arg);
  return NULL;
}

/* Threads that gave blocks back leave no trace in live, and none in the peak. */
Test(pool, figures_are_exact_across_threads) {
  open_pool(INT64_MAX);
  int64_t bytes = 4096;
  for (int i = 0; i < 2 * TH__POOL_SHARDS; i++) {
    pthread_t thread;
    cr_assert(zero(pthread_create(&thread, NULL, take_and_give, &bytes)));
    pthread_join(thread, NULL);
    cr_assert(eq(i64, figures().live, 0));
    cr_assert(eq(i64, figures().peak, 4096), "one at a time");
  }
  void *blocks[40];
  for (int i = 0; i < 40; i++) {
    blocks[i] = take(1024);
    cr_assert(eq(i64, figures().live, 1024 * (i + 1)));
    cr_assert(eq(i64, figures().peak, i < 3 ? 4096 : 1024 * (i + 1)));
  }
  for (int i = 0; i < 40; i++) th__pool_free(&pool, blocks[i], 1024);
  cr_assert(eq(i64, figures().live, 0));
  cr_assert(eq(i64, figures().peak, 40960));
  th__pool_reset_peak(&pool);
  cr_assert(eq(i64, figures().peak, 0));
  void *one = take(64);
  cr_assert(eq(i64, figures().peak, 64));
  th__pool_free(&pool, one, 64);
  one = take(128);
  cr_assert(eq(i64, figures().peak, 128));
  th__pool_free(&pool, one, 128);
}

Test(pool, a_child_of_a_fork_may_free_and_reopen) {
  open_pool(NO_LIMIT);
  void *kept = take(64), *small = take(64), *large = take(100000);
  for (int s = 0; s < TH__POOL_SHARDS; s++) th__spin_lock(&pool.shards[s].lock);
  for (int c = 0; c < TH__POOL_CLASSES; c++) th__spin_lock(&pool.classes[c].lock);
  pid_t pid = fork();
  if (pid == 0) _exit(child_of_fork(small, large));
  for (int s = 0; s < TH__POOL_SHARDS; s++) th__spin_unlock(&pool.shards[s].lock);
  for (int c = 0; c < TH__POOL_CLASSES; c++) th__spin_unlock(&pool.classes[c].lock);
  int status = -1;
  cr_assert(eq(int, waitpid(pid, &status, 0), pid));
  cr_assert(eq(int, status, 0));
  th__pool_free(&pool, kept, 64);
  th__pool_free(&pool, small, 64);
  th__pool_free(&pool, large, 100000);
  cr_assert(eq(i64, figures().live, 0));
}
