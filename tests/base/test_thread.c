/* Threads: signals, names; the clock; cores. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>

#include "engine/base/atomic.h"
#include "engine/base/cgroup.h"
#include "engine/base/error.h"
#include "engine/base/thread.h"

TestSuite(thread, .timeout = 60);

typedef struct probe {
  sigset_t mask;
  char name[16];
  _Atomic uint32_t go;
} probe;

static void look(void *arg) {
  probe *p = arg;
  while (th__load(&p->go, TH__ACQUIRE) == 0) th__park(&p->go, 0, -1);
  pthread_sigmask(SIG_BLOCK, NULL, &p->mask);
  pthread_getname_np(pthread_self(), p->name, sizeof p->name);
}

static probe run_probe(const char *name) {
  static probe p;
  p = (probe){0};
  th__thread_handle thread;
  cr_assert(eq(int, th__thread_start(&thread, look, &p, name), TH_OK));
  th__store(&p.go, 1, TH__RELEASE); /* the name is set by now */
  th__unpark(&p.go, 1);
  th__thread_join(&thread);
  return p;
}

Test(thread, blocks_signals_but_faults) {
  sigset_t before, after;
  pthread_sigmask(SIG_BLOCK, NULL, &before);
  probe p = run_probe("probe");
  pthread_sigmask(SIG_BLOCK, NULL, &after);
  static const int blocked[] = {SIGINT, SIGTERM, SIGHUP, SIGCHLD, SIGUSR1, SIGALRM, SIGPROF};
  static const int open_[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
  for (size_t i = 0; i < sizeof blocked / sizeof *blocked; i++)
    cr_assert(eq(int, sigismember(&p.mask, blocked[i]), 1), "signal %d", blocked[i]);
  for (size_t i = 0; i < sizeof open_ / sizeof *open_; i++)
    cr_assert(eq(int, sigismember(&p.mask, open_[i]), 0), "signal %d", open_[i]);
  for (int s = 1; s < 32; s++)
    cr_assert(eq(int, sigismember(&before, s), sigismember(&after, s)), "signal %d of the maker",
              s);
}

Test(thread, has_a_name) {
  probe p = run_probe("th-worker-3");
  cr_assert(eq(str, p.name, (char *)"th-worker-3"));
  p = run_probe("a name longer than fits");
  cr_assert(eq(str, p.name, (char *)"a name longer t"));
}

Test(thread, cores_follow_affinity) {
  cpu_set_t all, one;
  cr_assert(eq(int, sched_getaffinity(0, sizeof all, &all), 0));
  th__cgroup group;
  th__cgroup_read("", &group);
  int expected = CPU_COUNT(&all);
  if (group.cores > 0 && group.cores < expected) expected = group.cores;
  cr_assert(eq(int, th__thread_cores(), expected));
  CPU_ZERO(&one);
  for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
    if (CPU_ISSET(i, &all)) CPU_SET(i, &one);
  cr_assert(eq(int, sched_setaffinity(0, sizeof one, &one), 0));
  cr_assert(eq(int, th__thread_cores(), 1));
}

Test(thread, clock_and_sleep) {
  int64_t start = th__now_ns();
  th__sleep_ns(20000000);
  int64_t slept = th__now_ns() - start;
  cr_assert(ge(i64, slept, 20000000));
  start = th__now_ns();
  th__sleep_ns(0);
  th__sleep_ns(-5);
  cr_assert(lt(i64, th__now_ns() - start, INT64_C(1000000000)));
}

static void interrupt(int signal) {}

Test(thread, sleep_outlasts_signals) {
  struct sigaction action = {.sa_handler = interrupt};
  sigaction(SIGALRM, &action, NULL);
  timer_t timer;
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
  cr_assert(eq(int, timer_create(CLOCK_MONOTONIC, &event, &timer), 0));
  struct itimerspec every = {{0, 2000000}, {0, 2000000}};
  timer_settime(timer, 0, &every, NULL);
  int64_t start = th__now_ns();
  th__sleep_ns(30000000);
  int64_t slept = th__now_ns() - start;
  timer_delete(timer);
  cr_assert(ge(i64, slept, 30000000));
}
