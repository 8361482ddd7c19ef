/* The allocator hook, failure injection and the live count. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/base/thread.h"

TestSuite(mem, .timeout = 60);

Test(mem, gives_counts_and_takes_back) {
  int64_t before = th__mem_live();
  char *a = th__alloc(100), *z = th__zalloc(100), *none = th__alloc(0), *s = th__strdup("text");
  cr_assert(not(zero(ptr, a)));
  cr_assert(not(zero(ptr, none)));
  for (int i = 0; i < 100; i++) cr_assert(eq(chr, z[i], 0));
  cr_assert(eq(str, s, (char *)"text"));
  cr_assert(eq(i64, th__mem_live() - before, 4));
  th__free(a);
  th__free(z);
  th__free(none);
  th__free(s);
  th__free(NULL);
  cr_assert(eq(i64, th__mem_live(), before));
}

Test(mem, resize_keeps_contents) {
  int64_t before = th__mem_live();
  char *block = th__resize(NULL, 4);
  cr_assert(eq(i64, th__mem_live() - before, 1));
  memcpy(block, "abc", 4);
  block = th__resize(block, 100000);
  cr_assert(eq(str, block, (char *)"abc"));
  cr_assert(eq(i64, th__mem_live() - before, 1));
  th__free(block);
  cr_assert(eq(i64, th__mem_live(), before));
}

Test(mem, every_injected_failure_is_reported) {
  int64_t before = th__mem_live();
  char *kept = th__alloc(8);
  memcpy(kept, "kept", 5);
  th__mem_fail_after(2);
  void *a = th__alloc(1), *b = th__zalloc(1);
  cr_assert(not(zero(ptr, a)));
  cr_assert(not(zero(ptr, b)));
  for (int i = 0; i < 3; i++) {
    th_clear_error();
    cr_assert(zero(ptr, th__alloc(1)));
    cr_assert(eq(int, th_last_status(), TH_ENOMEM));
    cr_assert(zero(ptr, th__zalloc(1)));
    cr_assert(zero(ptr, th__strdup("x")));
    cr_assert(zero(ptr, th__resize(kept, 50000)));
    cr_assert(eq(str, kept, (char *)"kept"));
  }
  th__mem_fail_after(-1);
  void *c = th__alloc(1);
  cr_assert(not(zero(ptr, c)));
  cr_assert(eq(i64, th__mem_live() - before, 4));
  th__free(a), th__free(b), th__free(c), th__free(kept);
  cr_assert(eq(i64, th__mem_live(), before));
}

typedef struct hook_counts {
  int alloc, resize, release;
} hook_counts;

static void *counting_alloc(size_t bytes, void *user) {
  ((hook_counts *)user)->alloc++;
  void *block = malloc(bytes);
  if (block) memset(block, 0x5A, bytes);
  return block;
}

static void *counting_resize(void *block, size_t bytes, void *user) {
  ((hook_counts *)user)->resize++;
  return realloc(block, bytes);
}

static void counting_release(void *block, void *user) {
  ((hook_counts *)user)->release++;
  free(block);
}

Test(mem, the_hook_sees_everything) {
  hook_counts counts = {0};
  th_allocator hook = {counting_alloc, counting_resize, counting_release, &counts};
  th__mem_set_allocator(&hook);
  hook = (th_allocator){0}; /* it was copied */
  char *a = th__zalloc(16);
  for (int i = 0; i < 16; i++) cr_assert(eq(chr, a[i], 0));
  a = th__resize(a, 64);
  char *s = th__strdup("s");
  th__free(a);
  th__free(s);
  th__free(NULL);
  th__mem_set_allocator(NULL);
  cr_assert(eq(int, counts.alloc, 2));
  cr_assert(eq(int, counts.resize, 1));
  cr_assert(eq(int, counts.release, 2));
  th__free(th__alloc(1));
  cr_assert(eq(int, counts.alloc, 2));
}

static void *refusing_alloc(size_t bytes, void *user) { return NULL; }
static void *refusing_resize(void *block, size_t bytes, void *user) { return NULL; }

Test(mem, the_hook_may_refuse) {
  int64_t before = th__mem_live();
  char *kept = malloc(8);
  th_allocator hook = {refusing_alloc, refusing_resize, counting_release, NULL};
  th__mem_set_allocator(&hook);
  cr_assert(zero(ptr, th__alloc(123)));
  cr_assert(eq(int, th_last_status(), TH_ENOMEM));
  cr_assert(eq(str, (char *)th_last_error(), (char *)"out of host memory: 123 bytes were refused"));
  cr_assert(zero(ptr, th__zalloc(1)));
  cr_assert(zero(ptr, th__strdup("x")));
  cr_assert(zero(ptr, th__resize(kept, 16)));
  cr_assert(zero(ptr, th__resize(NULL, 16)));
  th__mem_set_allocator(NULL);
  cr_assert(eq(i64, th__mem_live(), before));
  free(kept);
}

static void churn(void *arg) {
  for (int i = 0; i < 10000; i++) th__free(th__alloc(16));
  *(void **)arg = th__alloc(16);
}

Test(mem, counts_across_threads) {
  int64_t before = th__mem_live();
  th__thread_handle threads[20];
  void *kept[20];
  for (int i = 0; i < 20; i++)
    cr_assert(eq(int, th__thread_start(&threads[i], churn, &kept[i], "churn"), TH_OK));
  for (int i = 0; i < 20; i++) th__thread_join(&threads[i]);
  cr_assert(eq(i64, th__mem_live() - before, 20));
  for (int i = 0; i < 20; i++) th__free(kept[i]);
  cr_assert(eq(i64, th__mem_live(), before));
}

Test(mem, huge_pages_are_aligned_zeroed_and_may_be_refused) {
  for (int blocks = 1; blocks <= 3; blocks++) {
    size_t bytes = (size_t)blocks * TH__HUGE_PAGE;
    char *pages = th__pages_huge(bytes);
    cr_assert(pages != NULL);
    cr_assert(zero(u64, (uintptr_t)pages % TH__HUGE_PAGE));
    for (size_t i = 0; i < bytes; i += 4096) cr_assert(zero(int, pages[i]++));
    pages[bytes - 1] = 1;
    th__pages_free(pages, bytes);
  }
  th__mem_fail_after(0);
  void *refused = th__pages_huge(TH__HUGE_PAGE);
  th__mem_fail_after(-1);
  cr_assert(zero(ptr, refused));
  cr_assert(eq(int, th_last_status(), TH_ENOMEM));
}
