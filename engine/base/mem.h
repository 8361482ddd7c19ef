/* Owns host memory for the library's own records: the allocator hook, zeroing, failure injection for tests. Array data
 * comes from devices' pools instead. */
#ifndef THRUM_ENGINE_BASE_MEM_H
#define THRUM_ENGINE_BASE_MEM_H

#include "thrum/base.h"

void *th__alloc(size_t bytes);               /* NULL and TH_ENOMEM set when there is none */
void *th__zalloc(size_t bytes);              /* zeroed */
void *th__resize(void *block, size_t bytes); /* block stays valid on failure */
void th__free(void *block);                  /* NULL is fine */
char *th__strdup(const char *text);          /* NULL when out of memory */

/* Sets the hook; NULL restores malloc. Only while nothing is allocated through it. */
void th__mem_set_allocator(const th_allocator *allocator);
/* Tests: lets n allocations succeed and then fails every one until called with -1. */
void th__mem_fail_after(int64_t n);
/* Live blocks of this allocator, for leak tests. */
int64_t th__mem_live(void);

#endif
