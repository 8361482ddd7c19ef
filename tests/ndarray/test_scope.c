/* Scopes: what they own, what leaves them, how they nest, what other threads and library code see. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <pthread.h>

#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "ndarray/array.h"
#include "thrum/thrum.h"

static th_array *make(void) {
  float data[4] = {1, 2, 3, 4};
  th_array *a = th_from_host(data, TH_SHAPE(4), TH_F32, th_cpu(0));
  cr_assert(a != NULL, "%s", th_last_error());
  return a;
}

/* Bytes of arrays that are alive once everything released has gone. */
static int64_t live(void) {
  th_memory_info info;
  cr_assert(eq(int, th_wait_all(), TH_OK));
  cr_assert(eq(int, th_memory_get(th_cpu(0), &info), TH_OK));
  return info.live;
}

static int64_t start; /* blocks of host memory before the engine started */

/* At the end of a test: no array is left, and no record of one. */
static void expect_nothing_left(void) {
  cr_assert(eq(i64, live(), 0));
  cr_assert(eq(int, th_shutdown(), TH_OK));
  cr_assert(eq(i64, th__mem_live(), start));
}

static void begin(void) { start = th__mem_live(); }

TestSuite(scope, .init = begin, .timeout = 60);

Test(scope, owns_what_is_made_inside) {
  th_scope s = th_scope_begin();
  for (int i = 0; i < 100; i++) make();
  cr_assert(live() >= 100 * 16);
  th_scope_end(s);
  expect_nothing_left();
}

Test(scope, nothing_else) {
  th_array *outside = make();
  th_scope s = th_scope_begin();
  th_scope_end(s);
  th_array *after = make();
  cr_assert(eq(int, outside->refs, 1));
  th_release(outside);
  th_release(after);
  expect_nothing_left();
}

/* Of those that the library opens on its way, too: what is made there would have no owner. */
Test(scope, begins_without_memory) {
  enum { MOST = 32 };
  th_scope scopes[MOST + 1];
  cr_assert(eq(int, th_init(NULL), TH_OK));
  for (int round = 0; round < 2; round++) {
    th__mem_fail_after(0);
    for (int i = 0; i <= MOST; i++) scopes[i] = th_scope_begin();
    th__mem_fail_after(-1);
    for (int i = 0; i < MOST; i++) cr_assert(scopes[i] != NULL, "%d", i);
    cr_assert(scopes[MOST] == NULL && th_last_status() == TH_ENOMEM);
    make();
    for (int i = MOST - 1; i >= 0; i--) {
      if (i == 7) make();
      th_scope_end(scopes[i]);
      if (i == MOST - 1) cr_assert(eq(i64, live(), 0), "it has gone with its scope");
    }
  }
  expect_nothing_left();
}

Test(scope, keep_hands_over) {
  th_scope s = th_scope_begin();
  th_array *first = make(), *middle = make(), *last = make();
  cr_assert(th_keep(middle) == middle);
  cr_assert(th_keep(first) == first);
  cr_assert(th_keep(last) == last);
  cr_assert(th_keep(NULL) == NULL);
  make();
  th_scope_end(s);
  cr_assert(eq(int, first->refs, 1));
  cr_assert(eq(int, middle->refs, 1));
  cr_assert(th_keep(last) == last, "without a scope nothing happens");
  th_release(first);
  th_release(middle);
  th_release(last);
  expect_nothing_left();
}

Test(scope, nests) {
  th_scope outer = th_scope_begin();
  th_array *a = make();
  th_scope inner = th_scope_begin();
  th_array *b = make(), *kept = th_keep(make());
  (void)b;
  th_scope_end(inner);
  cr_assert(eq(int, a->refs, 1));
  cr_assert(eq(int, kept->refs, 1));
  th_array *c = make();
  (void)c;
  th_scope_end(outer);
  th_release(kept);
  expect_nothing_left();
}

Test(scope, keep_reaches_outer_scopes) {
  th_scope outer = th_scope_begin();
  th_array *a = make();
  th_scope inner = th_scope_begin();
  th_keep(a);
  th_scope_end(inner);
  th_scope_end(outer);
  cr_assert(eq(int, a->refs, 1));
  th_release(a);
  expect_nothing_left();
}

Test(scope, early_release) {
  th_scope s = th_scope_begin();
  int64_t inside = live();
  for (int i = 0; i < 50; i++) th_release(make());
  cr_assert(eq(i64, live(), inside), "memory came back before the end");
  th_array *a = make(), *b = make(), *c = make();
  th_release(b);
  th_release(a);
  th_release(c);
  th_scope_end(s);
  expect_nothing_left();
}

Test(scope, retain_and_release_balance) {
  th_scope s = th_scope_begin();
  th_array *a = make();
  th_retain(a);
  th_retain(a);
  th_release(a);
  th_release(a);
  cr_assert(eq(int, a->refs, 1));
  make();
  th_scope_end(s);
  expect_nothing_left();
}

Test(scope, a_retained_array_survives) {
  th_scope s = th_scope_begin();
  th_array *a = th_retain(make());
  th_scope_end(s);
  cr_assert(eq(int, a->refs, 1));
  th_release(a);
  expect_nothing_left();
}

Test(scope, only_the_innermost_can_end) {
  th_scope outer = th_scope_begin(), inner = th_scope_begin();
  th_array *a = make();
  th_clear_error();
  th_scope_end(outer);
  cr_assert(eq(int, th_last_status(), TH_EINVAL));
  cr_assert(eq(int, a->refs, 1), "nothing was released");
  th_scope_end(NULL);
  th_scope_end(inner);
  th_scope_end(outer);
  expect_nothing_left();
}

/* --- other threads --- */

static void *hold_and_release(void *arg) {
  th_retain(arg);
  th_scope s = th_scope_begin();
  th_array *own = make();
  th_retain(own);
  th_release(own);
  th_retain(arg);
  th_release(arg);
  th_scope_end(s);
  return NULL;
}

Test(scope, other_threads_count_for_themselves) {
  th_scope s = th_scope_begin();
  th_array *a = make();
  pthread_t thread;
  pthread_create(&thread, NULL, hold_and_release, a);
  pthread_join(thread, NULL);
  cr_assert(eq(int, a->refs, 2));
  th_release(a); /* early: the other thread's reference is not this one's to give */
  cr_assert(eq(int, a->refs, 1));
  th_scope_end(s);
  cr_assert(eq(int, a->refs, 1));
  th_release(a);
  expect_nothing_left();
}

static void *make_elsewhere(void *arg) {
  *(th_array **)arg = make();
  return NULL;
}

Test(scope, is_of_one_thread) {
  th_scope s = th_scope_begin();
  th_array *a = NULL;
  pthread_t thread;
  pthread_create(&thread, NULL, make_elsewhere, &a);
  pthread_join(thread, NULL);
  th_scope_end(s);
  cr_assert(eq(int, a->refs, 1));
  th_release(a);
  expect_nothing_left();
}

/* --- bodies that run on a waiting thread --- */

static th_array *made_in_body;

static th_status make_in_body(void *arg, th_task_context *context) {
  (void)arg;
  (void)context;
  made_in_body = make();
  th_scope s = th_scope_begin();
  make();
  th_scope_end(s);
  return made_in_body ? TH_OK : TH_ENOMEM;
}

Test(scope, a_body_does_not_see_the_scope_of_the_thread_that_helps) {
  th_config config = {.size = sizeof config, .workers = TH_NO_WORKERS};
  cr_assert(eq(int, th_init(&config), TH_OK));
  th_scope s = th_scope_begin();
  th_var *v = th_var_new();
  th_task task = {.name = "maker", .run = make_in_body, .writes = &v, .n_writes = 1};
  cr_assert(eq(int, th_push(&task), TH_OK));
  cr_assert(eq(int, th_wait_var(v), TH_OK));
  th_array *mine = make();
  (void)mine;
  th_scope_end(s);
  cr_assert(eq(int, made_in_body->refs, 1));
  th_release(made_in_body);
  th_var_release(v);
  expect_nothing_left();
}

/* --- library code --- */

Test(scope, suspended_scopes_see_nothing) {
  th_scope s = th_scope_begin();
  th_array *a = make();
  th_scope suspended = th__scope_suspend();
  th_array *temporary = make();
  th_retain(a);
  th_array *result = make();
  th_release(temporary);
  cr_assert(th__scope_resume(suspended, result) == result);
  /* The reference taken while suspended is the library's; the program's early release is not it. */
  th_release(a);
  cr_assert(eq(int, a->refs, 1));
  suspended = th__scope_suspend();
  th_release(a);
  th__scope_resume(suspended, NULL);
  th_scope_end(s);
  expect_nothing_left(); /* result was the scope's */
}

Test(scope, a_second_reference_of_the_same_handle) {
  th_scope s = th_scope_begin();
  th_array *a = make();
  th_scope suspended = th__scope_suspend();
  th__scope_resume(suspended, th_retain(a));
  cr_assert(eq(int, a->refs, 2));
  th_scope_end(s);
  cr_assert(eq(i64, live(), 0));
  s = th_scope_begin();
  a = make();
  suspended = th__scope_suspend();
  th__scope_resume(suspended, th_retain(a));
  th_keep(a);
  th_scope_end(s);
  cr_assert(eq(int, a->refs, 1));
  th_release(a);
  expect_nothing_left();
}

Test(scope, many_arrays_in_any_order) {
  enum { N = 20000 };
  static th_array *all[N];
  uint64_t state = 3;
  th_scope s = th_scope_begin();
  for (int i = 0; i < N; i++) all[i] = make();
  for (int i = 0; i < N / 2; i++) {
    state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
    int at = (int)(state >> 40) % N;
    if (all[at] && i % 2) th_release(all[at]);
    if (all[at] && i % 2 == 0) th_release(th_keep(all[at]));
    all[at] = NULL;
  }
  th_scope_end(s);
  expect_nothing_left();
}
