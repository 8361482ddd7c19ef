/* Owns the cases about waiting: the round trip of one operation, a wait for what is ready, many waiters of one result. */
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/engine_cases.h"
#include "common/engine_thrum.h"

enum { ROUND_TRIPS = 1000, IDLE_TRIPS = 51, READY_WAITS = 1000000 };
static const double idle_seconds = 1e-3;

static th_var *var;

static th_status body(void *arg, th_task_context *context) { return TH_OK; }

static void round_trip(void) {
  th_task task = {.name = "body", .run = body, .writes = &var, .n_writes = 1};
  thrum_check(th_push(&task));
  thrum_check(th_wait_var(var));
}

/* One after the other: workers have no time to fall asleep. */
static double spinning(void *state) {
  double start = bench_seconds();
  for (int i = 0; i < ROUND_TRIPS; i++) round_trip();
  return (bench_seconds() - start) * 1e9 / ROUND_TRIPS;
}

/* Each after 1 ms in which nothing is submitted; the caller itself stays awake. The clock's own time is taken off. */
static double after_idle(void *state) {
  double trips[IDLE_TRIPS], clocks[IDLE_TRIPS];
  for (int i = 0; i < IDLE_TRIPS; i++) {
    double now = bench_seconds(), end = now + idle_seconds;
    while (now < end) now = bench_seconds();
    double first = bench_seconds();
    double start = bench_seconds();
    round_trip();
    trips[i] = bench_seconds() - start;
    clocks[i] = start - first;
  }
  double trip = bench_summarize(trips, IDLE_TRIPS).median;
  return (trip - bench_summarize(clocks, IDLE_TRIPS).median) * 1e9;
}

static double ready(void *state) {
  double start = bench_seconds();
  for (int i = 0; i < READY_WAITS; i++) thrum_check(th_wait_var(var));
  return (bench_seconds() - start) * 1e9 / READY_WAITS;
}

static void with_var(const trial *t, run_outcome *out, double (*once)(void *)) {
  th_config config = thrum_config(t->workers, "");
  thrum_check(th_init(&config));
  var = th_var_new();
  round_trip();
  run_samples(out, t->job.repetitions, once, NULL);
  th_var_release(var);
  thrum_check(th_shutdown());
}

void wait_roundtrip(const trial *t, run_outcome *out) {
  with_var(t, out, strcmp(t->detail, "spinning") == 0 ? spinning : after_idle);
}

void wait_ready(const trial *t, run_outcome *out) { with_var(t, out, ready); }

/* The token of the operation that everybody waits for. Written by its body, read by the thread that signals. */
static _Atomic(th_token *) token;
static atomic_int arrived, left;
static _Atomic double last_out; /* time at which the last waiter was out */

static th_status take_token(void *arg, th_task_context *context) {
  atomic_store(&token, th_context_token(context));
  return TH_OK;
}

/* What many threads wait for, and how it ends. */
typedef struct herd {
  int n;
  void (*close)(void), (*wait)(void), (*open)(void);
} herd;

static void close_var(void) {
  atomic_store(&token, NULL);
  th_task task = {.name = "released", .run = take_token, .writes = &var, .n_writes = 1};
  thrum_check(th_push_async(&task)); /* a worker or a waiter runs it */
}
static void wait_var(void) { thrum_check(th_wait_var(var)); }
static void open_var(void) { thrum_check(th_token_signal(atomic_load(&token), TH_OK, NULL)); }

/* The floor: nothing but the system's own way to sleep on a word. */
static atomic_int word;
static void close_word(void) { atomic_store(&word, 0); }
static void wait_word(void) {
  while (atomic_load(&word) == 0)
    syscall(SYS_futex, (void *)&word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
}
static void open_word(void) {
  atomic_store(&word, 1);
  syscall(SYS_futex, (void *)&word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static void *waiter(void *arg) {
  const herd *h = arg;
  atomic_fetch_add(&arrived, 1);
  h->wait();
  double now = bench_seconds();
  if (atomic_fetch_sub(&left, 1) == 1) atomic_store(&last_out, now);
  return NULL;
}

/* From the end of what they wait for until the last of n threads has left its wait. All sleep by then: they had 30 ms. */
static double release_all(void *state) {
  herd *h = state;
  pthread_t *threads = malloc((size_t)h->n * sizeof *threads);
  atomic_store(&arrived, 0);
  atomic_store(&left, h->n);
  h->close();
  for (int i = 0; i < h->n; i++)
    if (pthread_create(&threads[i], NULL, waiter, h) != 0) {
      fprintf(stderr, "waiters256: no thread %d\n", i);
      exit(1);
    }
  while (atomic_load(&arrived) < h->n) sched_yield();
  nanosleep(&(struct timespec){.tv_nsec = 30000000}, NULL);
  double start = bench_seconds();
  h->open();
  for (int i = 0; i < h->n; i++) pthread_join(threads[i], NULL);
  free(threads);
  return (atomic_load(&last_out) - start) * 1e9;
}

void waiters256_floor(const trial *t, run_outcome *out) {
  herd h = {(int)t->n, close_word, wait_word, open_word};
  run_samples(out, t->job.repetitions, release_all, &h);
}

void waiters256(const trial *t, run_outcome *out) {
  herd h = {(int)t->n, close_var, wait_var, open_var};
  th_config config = thrum_config(t->workers, "");
  thrum_check(th_init(&config));
  var = th_var_new();
  run_samples(out, t->job.repetitions, release_all, &h);
  th_var_release(var);
  thrum_check(th_shutdown());
}
