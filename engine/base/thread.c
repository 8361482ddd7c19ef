/* Owns how the library's threads are born, counts cores, and reads the clock. Stateless. */
#include "engine/base/thread.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "engine/base/atomic.h"
#include "engine/base/cgroup.h"
#include "engine/base/error.h"

/* Blocked: all that another thread of the host could handle. Faults of the thread itself stay open: blocked, they would kill
 * the process past the host's crash handlers. */
static void signals_to_block(sigset_t *out) {
  static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};
  sigfillset(out);
  for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) sigdelset(out, faults[i]);
}

th_status th__thread_start(th__thread_handle *out, void (*body)(void *arg), void *arg,
                           const char *name) {
  sigset_t blocked, before;
  signals_to_block(&blocked);
  /* A new thread inherits the mask of its maker, so no signal can reach it before it could block them itself. */
  pthread_sigmask(SIG_BLOCK, &blocked, &before);
  int rc = uv_thread_create(out, body, arg);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (rc != 0)
    return th__fail(TH_ENOMEM, "thread %s: cannot be started: %s", name, uv_strerror(rc));
  char shortened[16]; /* the kernel's limit */
  snprintf(shortened, sizeof shortened, "%s", name);
  pthread_setname_np(*out, shortened);
  return TH_OK;
}

void th__thread_join(th__thread_handle *handle) { uv_thread_join(handle); }

/* The affinity mask of the calling thread, to be freed; NULL when it cannot be read. It must be as large as the kernel's, whatever
 * that is. */
static cpu_set_t *affinity(size_t *bytes) {
  for (int cpus = 1024; cpus <= 1 << 20; cpus *= 4) {
    cpu_set_t *set = CPU_ALLOC((size_t)cpus);
    if (!set) return NULL;
    *bytes = CPU_ALLOC_SIZE((size_t)cpus);
    if (sched_getaffinity(0, *bytes, set) == 0) return set;
    bool larger = errno == EINVAL;
    CPU_FREE(set);
    if (!larger) return NULL;
  }
  return NULL;
}

static int affinity_cores(void) {
  size_t bytes;
  cpu_set_t *set = affinity(&bytes);
  if (!set) return 0;
  int cores = CPU_COUNT_S(bytes, set);
  CPU_FREE(set);
  return cores;
}

int th__thread_core_list(int *out, int most) {
  size_t bytes;
  cpu_set_t *set = affinity(&bytes);
  if (!set) return 0;
  int n = 0;
  for (size_t core = 0; core < 8 * bytes && n < most; core++)
    if (CPU_ISSET_S(core, bytes, set)) out[n++] = (int)core;
  CPU_FREE(set);
  return n;
}

bool th__thread_pin(int core) {
  cpu_set_t *set = core >= 0 ? CPU_ALLOC((size_t)core + 1) : NULL;
  if (!set) return false;
  size_t bytes = CPU_ALLOC_SIZE((size_t)core + 1);
  CPU_ZERO_S(bytes, set);
  CPU_SET_S((size_t)core, bytes, set);
  bool done = sched_setaffinity(0, bytes, set) == 0;
  CPU_FREE(set);
  return done;
}

int th__thread_cores(void) {
  int cores = affinity_cores();
  th__cgroup group;
  th__cgroup_read("", &group);
  if (group.cores > 0 && group.cores < cores) cores = group.cores;
  return cores > 0 ? cores : 1;
}

int th__thread_processors(void) {
  static _Atomic int
      known; /* relaxed: any thread finds the same. Asking takes several system calls */
  int n = th__load(&known, TH__RELAXED);
  if (n == 0) {
    long found = sysconf(_SC_NPROCESSORS_CONF);
    n = found > 0 ? (int)found : 1;
    th__store(&known, n, TH__RELAXED);
  }
  return n;
}

int64_t th__now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t th__deadline_ns(int64_t timeout_ns) {
  if (timeout_ns < 0) return -1;
  int64_t now = th__now_ns();
  return timeout_ns < INT64_MAX - now ? now + timeout_ns : INT64_MAX;
}

void th__sleep_ns(int64_t ns) {
  if (ns <= 0) return;
  int64_t end = th__now_ns() + ns;
  struct timespec at = {end / 1000000000, end % 1000000000};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR) {
  }
}
