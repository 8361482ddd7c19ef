/* Owns the allocator hook, the failure injection of tests, and the count of live blocks. The hook changes only while nothing
 * is allocated, so it needs no lock; the counts are atomic. */
#include "engine/base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/base/error.h"

static void *system_alloc(size_t bytes, void *user) { return malloc(bytes); }
static void *system_resize(void *block, size_t bytes, void *user) { return realloc(block, bytes); }
static void system_release(void *block, void *user) { free(block); }

static const th_allocator system_allocator = {system_alloc, system_resize, system_release, NULL};
static th_allocator hook = {system_alloc, system_resize, system_release, NULL};

_Atomic int64_t th__mem_allowed = -1;
int64_t (*th__mem_kept)(void);

/* Live blocks, spread over cache lines so that threads do not pass one back and forth; only the sum means something. */
#define COUNTERS 16
static struct { _Alignas(64) _Atomic int64_t n; } live[COUNTERS];

static void count_live(int64_t change) {
  static _Atomic uint32_t threads;
  static _Thread_local uint32_t mine; /* 1 + index of this thread's counter */
  if (mine == 0) mine = 1 + th__fetch_add(&threads, 1, TH__RELAXED) % COUNTERS;
  th__fetch_add(&live[mine - 1].n, change, TH__RELAXED);
}

/* Order does not matter: tests set the number while no other thread allocates, or do not care which one fails. */
static bool injected_failure(void) {
  int64_t left = th__load(&th__mem_allowed, TH__RELAXED);
  while (left > 0)
    if (th__cas_weak(&th__mem_allowed, &left, left - 1, TH__ACQ_REL)) return false;
  return left == 0;
}

static void *refused(size_t bytes) {
  return th__fail_null(TH_ENOMEM, "out of host memory: %zu bytes were refused", bytes);
}

void *th__alloc(size_t bytes) {
  void *block = injected_failure() ? NULL : hook.alloc(bytes ? bytes : 1, hook.user);
  if (!block) return refused(bytes);
  count_live(1);
  return block;
}

void *th__zalloc(size_t bytes) {
  void *block = th__alloc(bytes);
  if (block) memset(block, 0, bytes);
  return block;
}

void *th__resize(void *block, size_t bytes) {
  if (!block) return th__alloc(bytes);
  void *moved = injected_failure() ? NULL : hook.resize(block, bytes ? bytes : 1, hook.user);
  return moved ? moved : refused(bytes);
}

void th__free(void *block) {
  if (!block) return;
  count_live(-1);
  hook.release(block, hook.user);
}

void *th__pages_resize(void *block, size_t bytes, size_t wanted) {
  if (injected_failure()) return refused(wanted);
  void *pages = block == NULL
                    ? mmap(NULL, wanted, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
                    : mremap(block, bytes, wanted, MREMAP_MAYMOVE);
  return pages != MAP_FAILED ? pages : refused(wanted);
}

void *th__pages_huge(size_t bytes) {
  size_t more = bytes + TH__HUGE_PAGE;
  char *pages = th__pages_resize(NULL, 0, more);
  if (pages == NULL) return NULL;
  char *first = (char *)(((uintptr_t)pages + TH__HUGE_PAGE - 1) & ~(uintptr_t)(TH__HUGE_PAGE - 1));
  size_t before = (size_t)(first - pages), behind = more - before - bytes;
  if (before > 0) th__pages_free(pages, before);
  if (behind > 0) th__pages_free(first + bytes, behind);
#ifdef MADV_HUGEPAGE
  (void)madvise(first, bytes, MADV_HUGEPAGE); /* a kernel that has none refuses: small ones then */
#endif
  return first;
}

void th__pages_free(void *block, size_t bytes) { munmap(block, bytes); }

char *th__strdup(const char *text) {
  size_t bytes = strlen(text) + 1;
  char *copy = th__alloc(bytes);
  return copy ? memcpy(copy, text, bytes) : NULL;
}

void th__mem_set_allocator(const th_allocator *allocator) {
  hook = allocator ? *allocator : system_allocator;
}

void th__mem_fail_after(int64_t n) { th__store(&th__mem_allowed, n < 0 ? -1 : n, TH__RELAXED); }

int64_t th__mem_live(void) {
  int64_t sum = 0;
  for (int i = 0; i < COUNTERS; i++) sum += th__load(&live[i].n, TH__RELAXED);
  return th__mem_kept ? sum - th__mem_kept() : sum;
}
