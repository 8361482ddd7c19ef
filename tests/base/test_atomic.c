/* Atomics, spin locks and parking. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/atomic.h"
#include "engine/base/error.h"
#include "engine/base/thread.h"

TestSuite(atomic, .timeout = 60);

enum { THREADS = 4, ROUNDS = 50000 };

static th__spin lock;
static int64_t plain; /* guarded by lock */
static _Atomic int64_t added;
static _Atomic int64_t swapped;

static void count_up(void *arg) {
  for (int i = 0; i < ROUNDS; i++) {
    th__spin_lock(&lock);
    plain++;
    th__spin_unlock(&lock);
    th__fetch_add(&added, 1, TH__RELAXED);
    int64_t seen = th__load(&swapped, TH__RELAXED);
    while (!th__cas_weak(&swapped, &seen, seen + 1, TH__ACQ_REL)) {
    }
  }
}

Test(atomic, nothing_is_lost) {
  th__thread_handle threads[THREADS];
  for (int i = 0; i < THREADS; i++)
    cr_assert(eq(int, th__thread_start(&threads[i], count_up, NULL, "count"), TH_OK));
  for (int i = 0; i < THREADS; i++) th__thread_join(&threads[i]);
  cr_assert(eq(i64, plain, THREADS * ROUNDS));
  cr_assert(eq(i64, th__load(&added, TH__RELAXED), THREADS * ROUNDS));
  cr_assert(eq(i64, th__load(&swapped, TH__RELAXED), THREADS * ROUNDS));
}

Test(atomic, operations_return_the_value_before) {
  _Atomic uint32_t x = 6;
  cr_assert(eq(u32, th__fetch_add(&x, 2, TH__RELAXED), 6));
  cr_assert(eq(u32, th__fetch_sub(&x, 1, TH__RELAXED), 8));
  cr_assert(eq(u32, th__fetch_or(&x, 8, TH__RELAXED), 7));
  cr_assert(eq(u32, th__fetch_and(&x, 12, TH__RELAXED), 15));
  cr_assert(eq(u32, th__exchange(&x, 3, TH__ACQ_REL), 12));
  uint32_t expected = 4;
  cr_assert(not(th__cas(&x, &expected, 9, TH__ACQ_REL)));
  cr_assert(eq(u32, expected, 3));
  cr_assert(th__cas(&x, &expected, 9, TH__ACQ_REL));
  cr_assert(eq(u32, th__load(&x, TH__ACQUIRE), 9));
}

Test(atomic, try_refuses_a_held_lock) {
  th__spin s = {0};
  cr_assert(th__spin_try(&s));
  cr_assert(not(th__spin_try(&s)));
  th__spin_unlock(&s);
  cr_assert(th__spin_try(&s));
}

static _Atomic uint32_t taken;

static void hold_for_ever(void *arg) {
  th__spin_lock(arg);
  th__store(&taken, 1, TH__RELEASE);
  for (;;) th__sleep_ns(1000000000);
}

/* In the child of a fork: what other threads held is free, what is taken here is not. */
static int in_child(th__spin *held, th__spin *own) {
  if (!th__spin_try(held) || th__spin_try(held)) return 1;
  th__spin_unlock(held);
  th__spin_lock(held);
  th__spin_unlock(held);
  th__spin_unlock(own); /* this thread's own from before the fork */
  if (!th__spin_try(own) || th__spin_try(own)) return 2;
  return 0;
}

Test(atomic, locks_of_threads_that_are_gone_are_free_in_a_child) {
  static th__spin held, own;
  th__thread_handle thread;
  th__spin_watch_forks();
  th__spin_watch_forks();
  cr_assert(eq(int, th__thread_start(&thread, hold_for_ever, &held, "holder"), TH_OK));
  while (th__load(&taken, TH__ACQUIRE) == 0) th__sleep_ns(100000);
  th__spin_lock(&own);
  cr_assert(not(th__spin_try(&held)));
  pid_t child = fork();
  if (child == 0) _exit(in_child(&held, &own));
  int status = -1;
  waitpid(child, &status, 0);
  cr_assert(eq(int, status, 0));
  cr_assert(not(th__spin_try(&held))); /* still held here */
  cr_assert(not(th__spin_try(&own)));
}

Test(atomic, park_returns_at_once_on_another_value) {
  _Atomic uint32_t word = 1;
  int64_t start = th__now_ns();
  cr_assert(th__park(&word, 0, INT64_C(20000000000)));
  cr_assert(lt(i64, th__now_ns() - start, INT64_C(10000000000)));
}

Test(atomic, park_times_out) {
  _Atomic uint32_t word = 0;
  int64_t start = th__now_ns();
  while (th__park(&word, 0, 10000000)) { /* may return early */
  }
  cr_assert(ge(i64, th__now_ns() - start, 9000000));
}

typedef struct baton {
  _Atomic uint32_t word;
  int64_t passes;
} baton;

static void pass_back(void *arg) {
  baton *b = arg;
  for (int i = 0; i < 2000; i++) {
    while (th__load(&b->word, TH__ACQUIRE) != 1) th__park(&b->word, 0, -1);
    b->passes++;
    th__store(&b->word, 0, TH__RELEASE);
    th__unpark(&b->word, 1);
  }
}

Test(atomic, no_wake_is_lost) {
  static baton b;
  th__thread_handle thread;
  cr_assert(eq(int, th__thread_start(&thread, pass_back, &b, "baton"), TH_OK));
  for (int i = 0; i < 2000; i++) {
    th__store(&b.word, 1, TH__RELEASE);
    th__unpark(&b.word, 1);
    while (th__load(&b.word, TH__ACQUIRE) != 0) th__park(&b.word, 1, -1);
  }
  th__thread_join(&thread);
  cr_assert(eq(i64, b.passes, 2000));
}

static _Atomic uint32_t gate;
static _Atomic uint32_t woken;

static void wait_at_gate(void *arg) {
  while (th__load(&gate, TH__ACQUIRE) == 0) th__park(&gate, 0, -1);
  th__fetch_add(&woken, 1, TH__RELAXED);
}

Test(atomic, unpark_wakes_many) {
  th__thread_handle threads[THREADS];
  for (int i = 0; i < THREADS; i++)
    cr_assert(eq(int, th__thread_start(&threads[i], wait_at_gate, NULL, "gate"), TH_OK));
  th__sleep_ns(5000000);
  cr_assert(eq(u32, th__load(&woken, TH__RELAXED), 0));
  th__store(&gate, 1, TH__RELEASE);
  th__unpark(&gate, INT32_MAX);
  for (int i = 0; i < THREADS; i++) th__thread_join(&threads[i]);
  cr_assert(eq(u32, th__load(&woken, TH__RELAXED), THREADS));
}
