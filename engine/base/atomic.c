/* Owns parking (futex), the rare side of the asymmetric fence and the slow path of the spin lock. */
#include "engine/base/atomic.h"

#include <linux/futex.h>
#include <pthread.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <errno.h>
#include <limits.h>
#include <unistd.h>

_Atomic uint32_t th__membarrier;

void th__fence_prepare(void) {
  bool works = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
  th__store(&th__membarrier, works, TH__SEQ_CST);
}

/* A read-modify-write of any word is a full fence on x86; elsewhere a real fence is taken. */
void th__fence_full(void) {
#if defined(__x86_64__) || defined(__i386__)
  _Atomic uint32_t word = 0;
  th__fetch_add(&word, 1, TH__SEQ_CST);
#else
  atomic_thread_fence(memory_order_seq_cst);
#endif
}

void th__fence_heavy(void) {
  if (th__load(&th__membarrier, TH__RELAXED) == 0 ||
      syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0)
    th__fence_full();
}

bool th__park(_Atomic uint32_t *word, uint32_t expected, int64_t timeout_ns) {
  struct timespec limit = {timeout_ns / 1000000000, timeout_ns % 1000000000};
  long rc = syscall(SYS_futex, (void *)word, FUTEX_WAIT_PRIVATE, expected,
                    timeout_ns < 0 ? NULL : &limit, NULL, 0);
  return !(rc != 0 && errno == ETIMEDOUT);
}

void th__unpark(_Atomic uint32_t *word, int count) {
  syscall(SYS_futex, (void *)word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

void th__yield(void) { sched_yield(); }

_Atomic uint32_t th__spin_process = 1;

/* In the child. */
static void after_fork(void) {
  if (th__fetch_add(&th__spin_process, 1, TH__RELAXED) == UINT32_MAX)
    th__store(&th__spin_process, 1, TH__RELAXED);
}

void th__spin_watch_forks(void) {
  static _Atomic uint32_t watching; /* relaxed: orders nothing */
  if (th__load(&watching, TH__RELAXED) != 0 || th__exchange(&watching, 1, TH__RELAXED) != 0) return;
  if (pthread_atfork(NULL, NULL, after_fork) != 0) th__store(&watching, 0, TH__RELAXED);
}

void th__spin_lock_slow(th__spin *s) {
  for (int spins = 0;; spins++) {
    if (th__spin_try(s)) return;
    if (spins < 200) {
      th__pause();
    } else {
      th__yield();
      spins = 0;
    }
  }
}
