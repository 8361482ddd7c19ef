/* Owns the thread that writes files. It is started by the first need, sleeps when idle and ends at shutdown. `lock` guards
 * everything in `s`. */
#include "ndarray/disk.h"

#include "engine/base/atomic.h"
#include "engine/base/error.h"
#include "engine/base/thread.h"
#include "engine/engine.h"

static th__spin lock;
static struct {
  th__disk_call *first, *last;
  th__thread_handle thread;
  bool has_thread, stop;
  uint32_t process; /* in which the thread runs: a fork leaves it behind */
} s;
static _Atomic uint32_t wakes; /* the thread parks on it; changes under lock */

static th__disk_call *take(void) {
  th__disk_call *call = s.first;
  if (call) s.first = call->next;
  return call;
}

static void body(void *arg) {
  (void)arg;
  th__spin_lock(&lock);
  for (;;) {
    th__disk_call *call = take();
    uint32_t seen = th__load(&wakes, TH__RELAXED);
    bool stop = s.stop;
    th__spin_unlock(&lock);
    if (call) {
      call->run(call);
    } else if (stop) {
      return;
    } else {
      th__park(&wakes, seen, -1);
    }
    th__spin_lock(&lock);
  }
}

/* Under the lock; what it holds is handed over. */
static void wake(void) {
  th__fetch_add(&wakes, 1, TH__RELEASE); /* pairs with the park's look at the word */
  th__spin_unlock(&lock);
  th__unpark(&wakes, 1);
}

/* At shutdown: every task has ended, so nothing is queued. */
static void stop(void) {
  th__spin_lock(&lock);
  bool join = s.has_thread && s.process == th__load(&th__spin_process, TH__RELAXED);
  s.has_thread = false;
  s.stop = true;
  wake();
  if (join) th__thread_join(&s.thread);
}

/* Under the lock. */
static th_status need_thread(void) {
  uint32_t here = th__load(&th__spin_process, TH__RELAXED);
  if (s.has_thread && s.process == here) return TH_OK;
  s.first = s.last = NULL; /* after a fork: the parent's */
  s.stop = false;
  TH_TRY(th__thread_start(&s.thread, body, NULL, "thrum-disk"));
  s.has_thread = true;
  s.process = here;
  return TH_OK;
}

th_status th__disk_post(th__disk_call *call) {
  th__engine_at_stop(stop);
  call->next = NULL;
  th__spin_lock(&lock);
  th_status status = need_thread();
  if (status != TH_OK) {
    th__spin_unlock(&lock);
    return status;
  }
  if (s.first) {
    s.last->next = call;
  } else {
    s.first = call;
  }
  s.last = call;
  wake();
  return TH_OK;
}
