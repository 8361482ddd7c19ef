/* The atomic operations as the explorer offers them: what shadow/engine/base/atomic.h turns the engine's names into. */
#ifndef THRUM_TESTS_EXPLORE_OPERATIONS_H
#define THRUM_TESTS_EXPLORE_OPERATIONS_H

#include <stdbool.h>
#include <stdint.h>

typedef enum { EX_RELAXED, EX_ACQUIRE, EX_RELEASE, EX_ACQ_REL, EX_SEQ_CST } ex_order;
typedef enum { EX_EXCHANGE, EX_ADD, EX_SUB, EX_OR, EX_AND } ex_change;

/* Where in the source an operation stands, for traces. */
typedef struct ex_place {
  const char *text, *file;
  int line;
} ex_place;

uint64_t ex_load(const ex_place *at, const volatile void *p, int size, ex_order order);
void ex_store(const ex_place *at, volatile void *p, int size, uint64_t value, ex_order order);
/* Returns the value before. */
uint64_t ex_rmw(const ex_place *at, volatile void *p, int size, ex_change change, uint64_t operand,
                ex_order order);
/* On failure *expected gets the value seen, with acquire order. A weak one may fail for nothing. */
bool ex_cas(const ex_place *at, volatile void *p, int size, uint64_t *expected, uint64_t value,
            ex_order order, bool weak);
/* Sleeps while the newest value of *word is expected. May return early; false on time-out. */
bool ex_park(const ex_place *at, const volatile void *word, uint32_t expected, int64_t timeout_ns);
void ex_unpark(const ex_place *at, const volatile void *word, int count);
/* This thread waits in a loop: others go first. */
void ex_yield(const ex_place *at);
void ex_fence(const ex_place *at);            /* sequentially consistent */
void ex_fence_everywhere(const ex_place *at); /* in every thread, one after the other */
void ex_lock(const ex_place *at, volatile void *held);
bool ex_try_lock(const ex_place *at, volatile void *held);
void ex_unlock(const ex_place *at, volatile void *held);

#endif
