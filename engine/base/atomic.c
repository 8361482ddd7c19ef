/* Owns parking (futex) and the slow path of the spin lock. */
#include "engine/base/atomic.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <errno.h>
#include <limits.h>
#include <unistd.h>

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
