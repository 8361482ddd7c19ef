/* Included before everything else in the engine's sources when they are explored: what they ask of the system goes to
 * engine/base.c instead, and what is per thread goes to a section that the explorer swaps. */
#ifndef THRUM_TESTS_EXPLORE_SYSTEM_H
#define THRUM_TESTS_EXPLORE_SYSTEM_H

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <uv.h>

#define _Thread_local __attribute__((section("ex_tls")))
#define tls_model(how) unused /* an attribute that is none here */

void base_mutex_lock(void *mutex);
void base_mutex_unlock(void *mutex);
int base_once(void *once, void (*fn)(void));
int base_key_create(pthread_key_t *key, void (*at_end)(void *));
int base_set_specific(pthread_key_t key, const void *value);
int base_at_exit(void (*fn)(void));
void *base_map(size_t bytes);
int base_unmap(void *p, size_t bytes);
int base_forget(void *p, size_t bytes);

#define pthread_mutex_lock(m)            base_mutex_lock(m)
#define pthread_mutex_unlock(m)          base_mutex_unlock(m)
#define uv_mutex_init_recursive(m)       0
#define uv_mutex_destroy(m)              ((void)0)
#define uv_mutex_lock(m)                 base_mutex_lock(m)
#define uv_mutex_unlock(m)               base_mutex_unlock(m)
#define pthread_once(once, fn)           base_once(once, fn)
#define pthread_key_create(key, fn)      base_key_create(key, fn)
#define pthread_setspecific(key, value)  base_set_specific(key, value)
#define pthread_atfork(a, b, c)          base_at_exit(c)
#define atexit(fn)                       base_at_exit(fn)
#define mmap(at, n, prot, flags, fd, of) base_map(n)
#define munmap(p, n)                     base_unmap(p, n)
#define madvise(p, n, how)               base_forget(p, n)

#endif
