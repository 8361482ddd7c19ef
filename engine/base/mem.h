/* Owns host memory for the library's own records: the allocator hook, zeroing, failure injection for tests. Array data
 * comes from devices' pools instead. */
#ifndef THRUM_ENGINE_BASE_MEM_H
#define THRUM_ENGINE_BASE_MEM_H

#include "engine/base/atomic.h"
#include "thrum/base.h"

void *th__alloc(size_t bytes);               /* NULL and TH_ENOMEM set when there is none */
void *th__zalloc(size_t bytes);              /* zeroed */
void *th__resize(void *block, size_t bytes); /* block stays valid on failure */
void th__free(void *block);                  /* NULL is fine */
/* Whole pages straight from the system, zeroed, for what is large for a while: they go back at once, where an allocator may keep them.
 * block NULL: new ones, `bytes` is 0 then. NULL and TH_ENOMEM: block stays valid. */
void *th__pages_resize(void *block, size_t bytes, size_t wanted);
void th__pages_free(void *block, size_t bytes);
/* The same, in multiples of TH__HUGE_PAGE and aligned to it: huge pages, if the kernel has them, take a sixth of the time to touch. */
#define TH__HUGE_PAGE ((size_t)2 << 20)
void *th__pages_huge(size_t bytes);
char *th__strdup(const char *text); /* NULL when out of memory */

/* Sets the hook; NULL restores malloc. Only while nothing is allocated through it. */
void th__mem_set_allocator(const th_allocator *allocator);
/* Tests: lets n allocations succeed and then fails every one until called with -1. */
void th__mem_fail_after(int64_t n);
/* Allocations that still succeed; -1 = all do. */
extern _Atomic int64_t th__mem_allowed;
static inline bool th__mem_limited(void) { return th__load(&th__mem_allowed, TH__RELAXED) >= 0; }
/* Live blocks of this allocator, for leak tests; those that a floor above only keeps for reuse are not counted. */
int64_t th__mem_live(void);
/* Set by that floor: how many it keeps. */
extern int64_t (*th__mem_kept)(void);

#endif
