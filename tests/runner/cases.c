/* Tests for the runner itself: suite `good` must pass, every test of a `bad` suite must be reported as failing.
 * Built by tests/runner/check, never by CMake. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int prepared;
static void prepare(void) { prepared++; }

TestSuite(good, .timeout = 20, .init = prepare);
TestSuite(bad, .timeout = 20);
TestSuite(address, .timeout = 20);
TestSuite(thread, .timeout = 20);

Test(good, asserts, .init = prepare) {
  int a[2] = {1, 2}, b[2] = {1, 2};
  char *text = "abc";
  cr_assert(eq(int, prepared, 2), "set-up of suite and test");
  cr_assert(all(eq(dbl, 1.5, 1.5), ne(i64, 1, 2), not(zero(u8, 1))));
  cr_assert(any(eq(int, 1, 2), eq(str, text, "abc")));
  cr_assert(none(zero(ptr, text), lt(int, 2, 1)));
  struct cr_mem x = {a, sizeof a}, y = {b, sizeof b};
  cr_assert(eq(mem, x, y));
  cr_assert(epsilon_eq(dbl, 1.0, 1.01, 0.1));
}
Test(good, expected_signal, .signal = SIGABRT) { abort(); }
Test(good, expected_segv, .signal = SIGSEGV) { raise(SIGSEGV); }
Test(good, expected_code, .exit_code = 3) { exit(3); }
Test(good, skips) { cr_skip("not here"); }
Test(good, off, .disabled = true) { cr_fatal("must not run"); }
Test(good, frees) {
  char *volatile block = malloc(10);
  free(block);
}

Test(bad, assertion) { cr_assert(eq(int, 1, 2), "expected to fail"); }
Test(bad, expectation) { cr_expect(eq(str, (char *)"a", (char *)"b")); }
Test(bad, negation) { cr_assert(not(eq(int, 1, 1))); }
Test(bad, nothing_holds) { cr_assert(any(eq(int, 1, 2), zero(int, 3))); }
Test(bad, arrays) {
  int a[2] = {1, 2}, b[2] = {1, 3};
  cr_assert(eq(int[2], a, b));
}
Test(bad, fatal) { cr_fatal("gives up"); }
Test(bad, segv) { raise(SIGSEGV); }
Test(bad, aborts) { abort(); }
Test(bad, hangs, .timeout = 0.2) {
  for (;;) pause();
}
Test(bad, early_exit) { exit(0); }
Test(bad, early_raw_exit) { _exit(0); }
Test(bad, no_signal, .signal = SIGABRT) {}
Test(bad, other_signal, .signal = SIGABRT) { raise(SIGTERM); }
Test(bad, no_exit, .exit_code = 3) {}
Test(bad, teardown, .fini = abort) {}

static void *fail_there(void *arg) {
  (void)arg;
  cr_assert(eq(int, 1, 2));
  return NULL;
}
Test(bad, assertion_in_thread) {
  pthread_t t;
  pthread_create(&t, NULL, fail_there, NULL);
  pthread_join(t, NULL);
}

static void *volatile hidden;
Test(address, leak) {
  hidden = malloc(100);
  memset(hidden, 1, 100);
  hidden = NULL;
}
Test(address, use_after_free) {
  char *volatile block = malloc(10);
  free(block);
  block[3] = 1;
}
Test(address, overflow) {
  volatile int big = INT32_MAX;
  big = big + 1;
}

static int shared;
static void *add_many(void *arg) {
  for (int i = 0; i < 100000; i++) shared++;
  return arg;
}
Test(thread, race) {
  pthread_t t;
  pthread_create(&t, NULL, add_many, NULL);
  add_many(NULL);
  pthread_join(t, NULL);
}
