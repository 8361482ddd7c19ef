/* Owns how the library's threads are born, counts cores, and reads the clock. Stateless. */
#include "engine/base/thread.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <time.h>

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

/* Cores in the affinity mask; 0 when it cannot be read. The mask must be as large as the kernel's, whatever that is. */
static int affinity_cores(void) {
  for (int cpus = 1024; cpus <= 1 << 20; cpus *= 4) {
    cpu_set_t *set = CPU_ALLOC((size_t)cpus);
    if (!set) return 0;
    size_t bytes = CPU_ALLOC_SIZE((size_t)cpus);
    bool read = sched_getaffinity(0, bytes, set) == 0;
    int cores = read ? CPU_COUNT_S(bytes, set) : 0;
    bool larger = !read && errno == EINVAL;
    CPU_FREE(set);
    if (!larger) return cores;
  }
  return 0;
}

int th__thread_cores(void) {
  int cores = affinity_cores();
  th__cgroup group;
  th__cgroup_read("", &group);
  if (group.cores > 0 && group.cores < cores) cores = group.cores;
  return cores > 0 ? cores : 1;
}

int64_t th__now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void th__sleep_ns(int64_t ns) {
  if (ns <= 0) return;
  int64_t end = th__now_ns() + ns;
  struct timespec at = {end / 1000000000, end % 1000000000};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR) {
  }
}
