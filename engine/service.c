/* Owns the delivery of callbacks. `lock` guards everything in `s`; no callback runs under it. libuv calls that change a handle
 * are made on the loop's thread only, except uv_async_send(), which is made under the lock so that no detach closes the handle
 * meanwhile. */
#include "engine/service.h"

#include <pthread.h>
#include <uv.h>

#include "engine/base/atomic.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/base/thread.h"

/* The tie to a loop; freed when its handle has closed. */
typedef struct attachment {
  uv_async_t wake;
  uv_loop_t *loop;
  uv_thread_t thread;
  bool orphan; /* under lock; shut down by another thread: closes itself at the next wake */
} attachment;

static uv_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
  th__call *first, *last;
  size_t queued;
  uint64_t outstanding; /* announced and not yet delivered */
  attachment *loop;     /* NULL: the service thread delivers */
  int loop_running;     /* callbacks running on loop threads */
  th__thread_handle thread;
  bool has_thread, stop_thread, asleep;
  bool stopped, forked;
} s;
static _Atomic uint32_t wakes; /* the service thread parks on it; changes under lock */

static __thread bool on_service_thread;
static __thread attachment *loop_here; /* what this thread attached; only compared */

/* --- queue, under the lock --- */

static void push_call(th__call *call) {
  call->next = NULL;
  if (s.last == NULL) {
    s.first = call;
  } else {
    s.last->next = call;
  }
  s.last = call;
  s.queued++;
}

static th__call *pop_call(void) {
  th__call *call = s.first;
  if (call == NULL) return NULL;
  s.first = call->next;
  if (s.first == NULL) s.last = NULL;
  s.queued--;
  return call;
}

static void wake_thread(void) {
  if (!s.asleep) return;
  s.asleep = false;
  th__fetch_add(&wakes, 1, TH__RELEASE);
  th__unpark(&wakes, 1);
}

/* Makes whoever delivers look at the queue. */
static void wake_deliverer(void) {
  if (s.loop != NULL) {
    uv_async_send(&s.loop->wake);
  } else {
    wake_thread();
  }
}

/* --- the service thread --- */

static void service_body(void *arg) {
  (void)arg;
  on_service_thread = true;
  uv_mutex_lock(&lock);
  for (;;) {
    th__call *call = s.loop == NULL ? pop_call() : NULL;
    if (call != NULL) {
      uv_mutex_unlock(&lock);
      call->run(call, true);
      uv_mutex_lock(&lock);
      s.outstanding--;
      continue;
    }
    if (s.stop_thread) break;
    uint32_t seen = th__load(&wakes, TH__RELAXED);
    s.asleep = true;
    uv_mutex_unlock(&lock);
    th__park(&wakes, seen, -1);
    uv_mutex_lock(&lock);
  }
  uv_mutex_unlock(&lock);
}

/* Under the lock. */
static th_status need_thread(void) {
  if (s.has_thread) return TH_OK;
  s.stop_thread = false;
  s.asleep = false;
  TH_TRY(th__thread_start(&s.thread, service_body, NULL, "thrum-service"));
  s.has_thread = true;
  return TH_OK;
}

/* --- the loop --- */

static void free_attachment(uv_handle_t *handle) { th__free(handle->data); }

/* On the loop's thread, under the lock: the handle keeps the loop alive while something is outstanding. */
static void update_alive(attachment *a) {
  if (s.outstanding > 0) {
    uv_ref((uv_handle_t *)&a->wake);
  } else {
    uv_unref((uv_handle_t *)&a->wake);
  }
}

/* On the loop's thread, under the lock: delivers one callback and takes the lock again. */
static bool deliver_here(void) {
  th__call *call = pop_call();
  if (call == NULL) return false;
  s.loop_running++;
  uv_mutex_unlock(&lock);
  call->run(call, true);
  uv_mutex_lock(&lock);
  s.loop_running--;
  s.outstanding--;
  return true;
}

/* Delivers what is queued now; what callbacks add comes with the next wake, so that the loop's other handles get their turn. */
static void on_wake(uv_async_t *handle) {
  attachment *a = handle->data;
  uv_mutex_lock(&lock);
  for (size_t n = s.queued; n > 0 && s.loop == a; n--)
    if (!deliver_here()) break;
  if (s.loop == a) {
    update_alive(a);
    if (s.first != NULL) uv_async_send(&a->wake);
  }
  bool close = a->orphan;
  a->orphan = false;
  if (close && loop_here == a) loop_here = NULL;
  uv_mutex_unlock(&lock);
  if (close) uv_close((uv_handle_t *)handle, free_attachment);
}

th_status th__service_attach(uv_loop_t *loop) {
  attachment *a = th__zalloc(sizeof(*a));
  if (a == NULL) return TH_ENOMEM;
  th_status status = TH_OK;
  uv_mutex_lock(&lock);
  if (s.loop != NULL) {
    status = th__fail(TH_EBUSY, "th_uv_attach: a loop is attached already");
  } else if (s.stopped) {
    status = th__fail(TH_ESHUTDOWN, "th_uv_attach: the engine has been shut down");
  } else if (uv_async_init(loop, &a->wake, on_wake) != 0) {
    status = th__fail(TH_ENOMEM, "th_uv_attach: the loop accepts no handle");
  } else {
    a->wake.data = a;
    a->loop = loop;
    a->thread = uv_thread_self();
    loop_here = s.loop = a;
    update_alive(a);
    if (s.first != NULL) uv_async_send(&a->wake);
    a = NULL;
  }
  uv_mutex_unlock(&lock);
  th__free(a);
  return status;
}

th_status th__service_detach(uv_loop_t *loop) {
  th_status status = TH_OK;
  uv_mutex_lock(&lock);
  attachment *a = s.loop;
  if (a == NULL || a->loop != loop)
    status = th__fail(TH_EINVAL, "th_uv_detach: this loop is not attached");
  else if (s.outstanding > 0)
    status = need_thread();
  if (status == TH_OK) {
    s.loop = loop_here = NULL;
    wake_thread();
  }
  uv_mutex_unlock(&lock);
  if (status == TH_OK) uv_close((uv_handle_t *)&a->wake, free_attachment);
  return status;
}

/* --- callbacks --- */

th_status th__service_expect(const char *who) {
  th_status status = TH_OK;
  uv_mutex_lock(&lock);
  if (s.forked) {
    status = th__fail(TH_EFORK, "%s: the engine does not survive fork", who);
  } else if (s.stopped) {
    status = th__fail(TH_ESHUTDOWN, "%s: the engine has been shut down", who);
  } else if (s.loop == NULL) {
    status = need_thread();
  }
  if (status == TH_OK && s.outstanding++ == 0 && s.loop != NULL) {
    if (s.loop == loop_here) {
      update_alive(s.loop);
    } else {
      uv_async_send(&s.loop->wake); /* handles are referenced on the loop's thread only */
    }
  }
  uv_mutex_unlock(&lock);
  return status;
}

void th__service_cancel(void) {
  uv_mutex_lock(&lock);
  s.outstanding--;
  if (s.loop != NULL) uv_async_send(&s.loop->wake);
  uv_mutex_unlock(&lock);
}

void th__service_post(th__call *call) {
  uv_mutex_lock(&lock);
  bool late = s.stopped;
  if (!late) {
    push_call(call);
    wake_deliverer();
  }
  uv_mutex_unlock(&lock);
  if (late) call->run(call, false);
}

bool th__service_thread(void) { return on_service_thread || loop_here != NULL; }

bool th__service_inside(void) { return on_service_thread; }

/* --- life --- */

/* Under the lock. Ends the tie to a loop; what is queued is delivered first when this is its thread. Returns a handle to close. */
static attachment *leave_loop(void) {
  attachment *a = s.loop;
  if (a == NULL) return NULL;
  if (a == loop_here) {
    while (s.loop == a && deliver_here()) continue;
    if (s.loop != a) return NULL; /* a callback detached it */
    s.loop = loop_here = NULL;
    return a;
  }
  s.loop = NULL;
  a->orphan = true;
  uv_async_send(&a->wake);
  return NULL;
}

/* Under the lock, without it meanwhile: until no callback runs on another loop thread. */
static void await_loop(bool here) {
  while (s.loop_running > (here ? 1 : 0)) {
    uv_mutex_unlock(&lock);
    th__sleep_ns(100000);
    uv_mutex_lock(&lock);
  }
}

void th__service_stop(void) {
  uv_mutex_lock(&lock);
  s.stopped = true;
  bool here = loop_here != NULL && loop_here == s.loop && s.loop_running > 0;
  attachment *closing = leave_loop();
  await_loop(here);
  if (s.first != NULL) need_thread();
  s.stop_thread = true;
  wake_thread();
  bool join = s.has_thread;
  s.has_thread = false;
  th__thread_handle thread = s.thread;
  uv_mutex_unlock(&lock);
  if (closing != NULL) uv_close((uv_handle_t *)&closing->wake, free_attachment);
  if (join) th__thread_join(&thread);
  th__service_exit(); /* only if no thread could be started: frees the rest */
}

void th__service_exit(void) {
  uv_mutex_lock(&lock);
  s.stopped = true;
  th__call *call;
  while ((call = pop_call()) != NULL) {
    uv_mutex_unlock(&lock);
    call->run(call, false);
    uv_mutex_lock(&lock);
  }
  uv_mutex_unlock(&lock);
}

void th__service_start(void) {
  uv_mutex_lock(&lock);
  s.stopped = s.forked = false;
  s.outstanding = (uint64_t)s.loop_running; /* a callback may have restarted the engine */
  uv_mutex_unlock(&lock);
}

void th__service_after_fork(void) {
  lock = (uv_mutex_t)PTHREAD_MUTEX_INITIALIZER; /* another thread may have held it */
  s.first = s.last = NULL;
  s.queued = 0;
  s.outstanding = 0;
  s.loop = NULL;
  s.loop_running = 0;
  s.has_thread = s.stop_thread = s.asleep = false;
  s.stopped = false;
  s.forked = true;
  on_service_thread = false;
  loop_here = NULL;
}
