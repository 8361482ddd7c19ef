/* Waiting: it helps along ancestors only, never deadlocks silently, times out, wakes everybody.
 * It measures time (ctest: serial). */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <pthread.h>
#include <string.h>

#include "engine/base/thread.h"
#include "support/tasks.h"

TestSuite(wait, .timeout = 60);

Test(wait, runs_a_long_chain_without_workers) {
  tasks_init("threads", TH_NO_WORKERS, -1);
  th_var *v = th_var_new();
  _Atomic int sum = 0;
  for (int i = 0; i < 70000; i++) push_add(&sum, 1, NULL, v);
  cr_assert(eq(int, th_wait_var(v), TH_OK));
  cr_assert(eq(int, sum, 70000));
  th_var_release(v);
  th_shutdown();
}

Test(wait, runs_ancestors_only) {
  tasks_init("threads", TH_NO_WORKERS, 0);
  th_var *a = th_var_new(), *b = th_var_new(), *stranger = th_var_new();
  _Atomic int ours = 0, others = 0;
  push_add(&others, 1, NULL, stranger);
  push_add(&ours, 1, NULL, a);
  push_add(&ours, 1, a, b);
  push_add(&others, 1, b, NULL); /* a descendant, not an ancestor */
  cr_assert(eq(int, th_wait_var(b), TH_OK));
  cr_assert(eq(int, ours, 2));
  cr_assert(eq(int, others, 0));
  cr_assert(eq(int, th_wait_var_idle(b), TH_OK));
  cr_assert(eq(int, others, 1));
  cr_assert(eq(int, th_wait_all(), TH_OK));
  cr_assert(eq(int, others, 2));
  th_var_release(a);
  th_var_release(b);
  th_var_release(stranger);
  th_shutdown();
}

Test(wait, idle_means_all_of_many_readers) {
  tasks_init("threads", 2, 0);
  th_var *v = th_var_new();
  engine_gate gate = {0};
  engine_push_gate(&gate, v);
  _Atomic int done = 0;
  for (int i = 0; i < 300; i++) {
    if (i == 250) push_sleep(50, v, NULL);
    push_add(&done, 1, v, NULL);
  }
  int64_t begin = th__now_ns();
  engine_open(&gate);
  cr_assert(eq(int, th_wait_var_idle(v), TH_OK));
  cr_assert(eq(int, done, 300));
  cr_assert(th__now_ns() - begin >=
            50000000); /* the sleeper too, behind more than are waited for one by one */
  th_var_release(v);
  th_shutdown();
}

Test(wait, finds_ancestors_behind_joins_and_extensions) {
  tasks_init("threads", TH_NO_WORKERS, -1);
  th_var *in[50], *out = th_var_new();
  _Atomic int sum = 0;
  for (int i = 0; i < 50; i++) {
    in[i] = th_var_new();
    push_add(&sum, 1, NULL, in[i]);
  }
  for (int i = 0; i < 1000; i++) push_add(&sum, 1, in[0], NULL); /* folds into joins */
  for (int i = 0; i < 50; i++) push_add(&sum, 1, in[i], in[0]);
  push_add(&sum, 1, in[0], out);
  cr_assert(eq(int, th_wait_var(out), TH_OK));
  cr_assert(eq(int, sum, 50 + 1000 + 50 + 1));
  for (int i = 0; i < 50; i++) th_var_release(in[i]);
  th_var_release(out);
  th_shutdown();
}

typedef struct inner_wait {
  th_var *first, *second;
  th_status seen;
  char text[128];
} inner_wait;

static th_status wait_inside(void *arg, th_task_context *context) {
  inner_wait *w = *(inner_wait **)arg;
  push_sleep(2, NULL, w->first);
  w->seen = th_wait_var(w->first);
  return TH_OK;
}

static th_status wait_for_itself(void *arg, th_task_context *context) {
  inner_wait *w = *(inner_wait **)arg;
  push_nop(w->first, w->second); /* behind this task */
  w->seen = th_wait_var(w->second);
  strncpy(w->text, th_last_error(), sizeof w->text - 1);
  return TH_OK;
}

static th_status wait_all_inside(void *arg, th_task_context *context) {
  inner_wait *w = *(inner_wait **)arg;
  w->seen = th_wait_all();
  return TH_OK;
}

static inner_wait run_inner(th_task_fn run) {
  inner_wait w = {th_var_new(), th_var_new(), TH_EBUSY, ""}, *p = &w;
  th_var *own = run == wait_for_itself ? w.first : NULL;
  th_task t = {.name = "inner",
               .run = run,
               .arg = &p,
               .arg_size = sizeof p,
               .writes = &own,
               .n_writes = own != NULL};
  cr_assert(eq(int, th_push(&t), TH_OK));
  cr_assert(eq(int, th_wait_all(), TH_OK));
  th_var_release(w.first);
  th_var_release(w.second);
  return w;
}

Test(wait, inside_a_body_works_or_says_deadlock) {
  static const char *const modes[] = {"threads", "serial", "shuffle:3", "shuffle-threads:3"};
  for (int m = 0; m < 4; m++) {
    for (int workers = 1; workers < 3; workers++) {
      tasks_init(modes[m], workers, 0);
      cr_assert(eq(int, run_inner(wait_inside).seen, TH_OK), "mode %s", modes[m]);
      inner_wait w = run_inner(wait_for_itself);
      cr_assert(eq(int, w.seen, TH_EDEADLK), "mode %s", modes[m]);
      cr_assert(ne(ptr, (void *)strstr(w.text, "waits for the one that is running here"), NULL),
                "%s", w.text);
      cr_assert(eq(int, run_inner(wait_all_inside).seen, TH_EDEADLK), "mode %s", modes[m]);
      th_shutdown();
    }
  }
}

typedef struct tangle {
  th_var *token, *middle;
  _Atomic int waits; /* the second body is about to */
  _Atomic int seen[2];
} tangle;

static th_status wait_for_token(void *arg, th_task_context *context) {
  tangle *t = *(tangle **)arg;
  while (!th__load(&t->waits, TH__ACQUIRE)) th__yield();
  th__store(&t->seen[0], th_wait_var(t->token), TH__RELAXED);
  return TH_OK;
}

static th_status wait_for_middle(void *arg, th_task_context *context) {
  tangle *t = *(tangle **)arg;
  th__store(&t->waits, 1, TH__RELEASE);
  th__store(&t->seen[1], th_wait_var(t->middle), TH__RELAXED);
  return TH_OK;
}

/* The thread that ran a body whose token is open runs another, which waits for the one that waits for the token: no cycle. */
Test(wait, an_open_token_is_not_what_its_thread_does_now) {
  for (int round = 0; round < 10; round++) {
    tasks_init("threads", 2, 0);
    th_var *end = th_var_new();
    tangle t = {.token = th_var_new(), .middle = th_var_new(), .seen = {TH_EBUSY, TH_EBUSY}};
    th_token *token = close_gate(t.token);
    cr_assert(eq(int, engine_push("first", wait_for_token, &t, NULL, 0, &t.middle, 1), TH_OK));
    cr_assert(eq(int, engine_push("second", wait_for_middle, &t, NULL, 0, &end, 1), TH_OK));
    th__sleep_ns(5000000);
    cr_assert(eq(int, th_token_signal(token, TH_OK, NULL), TH_OK));
    cr_assert(eq(int, th_wait_var(end), TH_OK));
    cr_assert(eq(int, t.seen[0], TH_OK));
    cr_assert(eq(int, t.seen[1], TH_OK));
    th_var_release(t.token);
    th_var_release(t.middle);
    th_var_release(end);
    th_shutdown();
  }
}

typedef struct pair {
  th_var *own, *other;
  _Atomic int *arrived;
  _Atomic int *deadlocks;
} pair;

/* Two running bodies, each waiting for something behind the other. */
static th_status wait_crosswise(void *arg, th_task_context *context) {
  pair *p = arg;
  th_var *mine = th_var_new();
  th__fetch_add(p->arrived, 1, TH__ACQ_REL);
  while (th__load(p->arrived, TH__ACQUIRE) < 2) th__yield();
  push_nop(p->other, mine);
  if (th_wait_var(mine) == TH_EDEADLK) th__fetch_add(p->deadlocks, 1, TH__RELAXED);
  th_var_release(mine);
  return TH_OK;
}

Test(wait, two_bodies_that_wait_for_each_other_are_told) {
  tasks_init("threads", 2, 0);
  for (int i = 0; i < 20; i++) {
    th_var *a = th_var_new(), *b = th_var_new();
    _Atomic int arrived = 0, deadlocks = 0;
    pair p = {a, b, &arrived, &deadlocks}, q = {b, a, &arrived, &deadlocks};
    th_push(&(th_task){
        .run = wait_crosswise, .arg = &p, .arg_size = sizeof p, .writes = &a, .n_writes = 1});
    th_push(&(th_task){
        .run = wait_crosswise, .arg = &q, .arg_size = sizeof q, .writes = &b, .n_writes = 1});
    while (th__load(&arrived, TH__ACQUIRE) < 2) th__yield(); /* both on workers */
    cr_assert(eq(int, th_wait_all(), TH_OK));
    cr_assert(deadlocks >= 1);
    th_var_release(a);
    th_var_release(b);
  }
  th_shutdown();
}

Test(wait, timed_and_polling_start_no_work) {
  tasks_init("threads", TH_NO_WORKERS, 0);
  th_var *v = th_var_new();
  _Atomic int sum = 0;
  cr_assert(eq(int, th_wait_var_for(v, 0), TH_OK));
  push_add(&sum, 1, NULL, v);
  cr_assert(eq(int, th_wait_var_for(v, 0), TH_ETIMEDOUT));
  int64_t begin = th__now_ns();
  cr_assert(eq(int, th_wait_var_for(v, 20000000), TH_ETIMEDOUT));
  int64_t took = th__now_ns() - begin;
  cr_assert(took >= 20000000 && took < 2000000000);
  cr_assert(eq(int, sum, 0));
  cr_assert(not(th_var_is_ready(v)));
  cr_assert(eq(int, th_wait_var(v), TH_OK));
  cr_assert(th_var_is_ready(v));
  th_var_release(v);
  th_shutdown();
}

/* The least of some tries, as others may take the machine for a while; behind the strangers each would take 250 ms. */
Test(wait, short_result_behind_long_unrelated_work) {
  int64_t least = INT64_MAX;
  tasks_init("threads", 2, 0);
  th_var *v = th_var_new();
  for (int attempt = 0; attempt < 20 && least >= 60000000; attempt++) {
    for (int i = 0; i < 50; i++) push_sleep(10, NULL, NULL); /* 250 ms for two workers */
    push_sleep(5, NULL, v);
    int64_t begin = th__now_ns();
    cr_assert(eq(int, th_wait_var(v), TH_OK));
    int64_t took = th__now_ns() - begin;
    if (took < least) least = took;
    cr_assert(eq(int, th_wait_all(), TH_OK));
  }
  cr_assert(least < 60000000, "%lld ns", (long long)least); /* alone 5 ms */
  th_var_release(v);
  th_shutdown();
}

static void *wait_thread(void *arg) { return (void *)(intptr_t)th_wait_var(arg); }

Test(wait, many_threads_on_one_result_all_wake) {
  tasks_init("threads", 2, 0);
  th_var *v = th_var_new();
  engine_gate gate = {0};
  engine_push_gate(&gate, v);
  pthread_t t[64];
  for (int i = 0; i < 64; i++) cr_assert(eq(int, pthread_create(&t[i], NULL, wait_thread, v), 0));
  th__sleep_ns(5000000);
  engine_open(&gate);
  for (int i = 0; i < 64; i++) {
    void *status;
    pthread_join(t[i], &status);
    cr_assert(eq(int, (int)(intptr_t)status, TH_OK));
  }
  th_var_release(v);
  th_shutdown();
}

static _Atomic int stop_pushing, pushed;
static int64_t task_ns, pause_ns;

static void spin_for(int64_t ns) {
  for (int64_t end = th__now_ns() + ns; ns > 0 && th__now_ns() < end;) th__pause();
}

static th_status take_a_while(void *arg, th_task_context *context) {
  (void)arg;
  (void)context;
  spin_for(task_ns);
  return TH_OK;
}

static void *push_forever(void *arg) {
  th_var *v = arg;
  while (!th__load(&stop_pushing, TH__ACQUIRE)) {
    (void)engine_push("noise", take_a_while, NULL, NULL, 0, &v, 1);
    th__fetch_add(&pushed, 1, TH__RELEASE);
    spin_for(pause_ns);
  }
  return NULL;
}

static void wait_all_beside(int64_t task, int64_t pause) {
  tasks_init("threads", 2, 0);
  th_var *v = th_var_new();
  pthread_t t;
  stop_pushing = pushed = 0;
  task_ns = task;
  pause_ns = pause;
  pthread_create(&t, NULL, push_forever, v);
  for (int i = 0; i < 5; i++) {
    for (int before = pushed; pushed - before < 3;) th__yield(); /* it is at work */
    cr_assert(eq(int, th_wait_all(), TH_OK));
  }
  th__store(&stop_pushing, 1, TH__RELEASE);
  pthread_join(t, NULL);
  th_wait_all();
  th_var_release(v);
  th_shutdown();
}

Test(wait, wait_all_ends_under_a_constantly_pushing_thread) { wait_all_beside(0, 0); }

/* Something is always in flight, and something always comes within the time for which a waiter looks. */
Test(wait, wait_all_ends_beside_a_thread_that_pushes_now_and_then) {
  wait_all_beside(40000, 20000);
}

/* Without workers nothing is ready before it is waited for. */
Test(wait, host_waits_are_counted) {
  tasks_init("threads", TH_NO_WORKERS, 0);
  th_var *v = th_var_new();
  for (int i = 0; i < 10; i++) {
    push_sleep(1, NULL, v);
    th_wait_var(v);
  }
  th_wait_var(v); /* ready: no wait */
  th_engine_stats s = {.size = sizeof s};
  th_engine_get_stats(&s);
  cr_assert(eq(u64, s.host_waits, 10));
  cr_assert(s.host_wait_ns >= 5000000);
  th_var_release(v);
  th_shutdown();
}
