/* Owns the delivery of callbacks. `lock` guards everything in `s`; no callback runs under it. Who delivers takes the whole queue
 * at once into a list of its own, so that a burst costs one wake-up and one turn of the lock; when the deliverer changes
 * meanwhile, it puts back what is left. libuv calls that change a handle are made on the loop's thread only. uv_async_send()
 * is made without the lock, because it may cost a system call that wakes a thread; `senders` keeps the handle open. */
#include "engine/service.h"

#include <pthread.h>
#include <string.h>
#include <uv.h>

#include "engine/base/atomic.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/base/thread.h"

#define TURN_NS 1000000 /* after so long in callbacks the loop's other handles get their turn */

/* The tie to a loop; freed when its handle has closed. */
typedef struct attachment {
  uv_async_t wake;
  _Atomic uint32_t senders; /* counted up under lock; release pairs with await_senders() */
  uv_loop_t *loop;
  uv_thread_t thread;
  bool orphan; /* under lock; shut down by another thread: closes itself at the next wake */
} attachment;

/* Callbacks in order. */
typedef struct calls {
  th__call *first, *last;
  size_t n;
} calls;

static uv_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
  calls queue;
  uint64_t outstanding; /* announced and not yet delivered, as far as settled */
  attachment *loop;     /* NULL: the service thread delivers */
  int loop_running;     /* loop threads that deliver */
  th__thread_handle thread;
  bool has_thread, stop_thread, asleep;
  bool stopped, over, forked; /* over: what comes now is only freed */
} s;
static _Atomic uint32_t wakes; /* the service thread parks on it; changes under lock */
static _Atomic uint32_t turn;  /* counts changes of who delivers; changes under lock */

static __thread bool on_service_thread;
static __thread attachment *loop_here; /* what this thread attached; only compared */
static __thread calls taken;           /* what this thread took and has not delivered yet */
static __thread uint64_t delivered;    /* of what it took, not yet settled */
static __thread bool on_loop;          /* inside on_wake() */

/* --- lists --- */

static void append(calls *list, th__call *call) {
  call->next = NULL;
  if (list->n++ == 0) {
    list->first = call;
  } else {
    list->last->next = call;
  }
  list->last = call;
}

static th__call *pop(calls *list) {
  th__call *call = list->first;
  if (call == NULL) return NULL;
  list->first = call->next; /* NULL behind the last */
  list->n--;
  return call;
}

/* --- waking and delivering --- */

/* What to do once the lock is released. */
typedef struct wake_up {
  attachment *loop;
  bool thread;
} wake_up;

/* Under the lock: makes whoever delivers look at the queue. */
static wake_up prepare_wake(void) {
  wake_up w = {.loop = s.loop};
  if (w.loop != NULL) {
    th__fetch_add(&w.loop->senders, 1, TH__RELAXED);
  } else if (s.asleep) {
    s.asleep = false;
    th__fetch_add(&wakes, 1, TH__RELEASE); /* pairs with the park's look at the word */
    w.thread = true;
  }
  return w;
}

static void wake(wake_up w) {
  if (w.thread) th__unpark(&wakes, 1);
  if (w.loop == NULL) return;
  (void)uv_async_send(&w.loop->wake);
  th__fetch_sub(&w.loop->senders, 1, TH__RELEASE);
}

/* Before closing the handle of a loop that was left: until nobody sends to it any more. */
static void await_senders(attachment *a) {
  while (th__load(&a->senders, TH__ACQUIRE) != 0) th__yield();
}

static void unlock_and_wake(wake_up w) {
  uv_mutex_unlock(&lock);
  wake(w);
}

/* Under the lock: settles what this thread delivered; what it took and will not deliver comes first again. */
static void put_back(void) {
  s.outstanding -= delivered;
  delivered = 0;
  if (taken.n == 0) return;
  taken.last->next = s.queue.first;
  if (s.queue.n > 0) taken.last = s.queue.last;
  taken.n += s.queue.n;
  s.queue = taken;
  taken = (calls){0};
}

/* Under the lock, without it meanwhile: delivers what is queued now, until `end` (< 0: no limit) or until somebody else is to
 * deliver. */
static void deliver(int64_t end) {
  bool live = !s.over;
  uint32_t mine = th__load(&turn, TH__RELAXED);
  taken = s.queue;
  s.queue = (calls){0};
  uv_mutex_unlock(&lock);
  th__call *call;
  /* relaxed: a change seen late is a change that came late; the lists themselves change hands under the lock. */
  while (th__load(&turn, TH__RELAXED) == mine && (call = pop(&taken)) != NULL) {
    delivered++;
    call->run(call, live);
    if (end >= 0 && th__now_ns() >= end) break;
  }
  uv_mutex_lock(&lock);
  put_back();
}

/* Under the lock: from now on `loop`, or the service thread for NULL, delivers. Whoever it is must be woken. */
static void hand_over(attachment *loop) {
  s.loop = loop;
  th__fetch_add(&turn, 1, TH__RELAXED);
}

/* --- the service thread --- */

static void service_body(void *arg) {
  (void)arg;
  on_service_thread = true;
  uv_mutex_lock(&lock);
  for (;;) {
    if (s.loop == NULL && s.queue.n > 0) {
      deliver(-1);
      if (s.loop != NULL) { /* took over meanwhile: it learns what is left, and what is done */
        unlock_and_wake(prepare_wake());
        uv_mutex_lock(&lock);
      }
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

/* Delivers what is queued now; what callbacks add comes with the next wake, so that the loop's other handles get their turn. */
static void on_wake(uv_async_t *handle) {
  attachment *a = handle->data;
  wake_up more = {0};
  uv_mutex_lock(&lock);
  if (s.loop == a) {
    s.loop_running++;
    on_loop = true;
    deliver(th__now_ns() + TURN_NS);
    on_loop = false;
    s.loop_running--;
  }
  if (s.loop == a) update_alive(a);
  if (s.queue.n > 0) more = prepare_wake();
  bool close = a->orphan;
  a->orphan = false;
  if (close && loop_here == a) loop_here = NULL;
  unlock_and_wake(more);
  if (!close) return;
  await_senders(a);
  uv_close((uv_handle_t *)handle, free_attachment);
}

th_status th__service_attach(uv_loop_t *loop) {
  attachment *a = th__zalloc(sizeof(*a));
  if (a == NULL) return TH_ENOMEM;
  th_status status = TH_OK;
  wake_up first = {0};
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
    loop_here = a;
    hand_over(a);
    first = prepare_wake();
    update_alive(a);
    a = NULL;
  }
  unlock_and_wake(first);
  th__free(a);
  return status;
}

th_status th__service_detach(uv_loop_t *loop) {
  th_status status = TH_OK;
  wake_up next = {0};
  uv_mutex_lock(&lock);
  attachment *a = s.loop;
  if (a == NULL || a->loop != loop) {
    status = th__fail(TH_EINVAL, "th_uv_detach: this loop is not attached");
  } else {
    put_back(); /* when a callback detaches */
    if (s.outstanding > 0) status = need_thread();
  }
  if (status == TH_OK) {
    loop_here = NULL;
    hand_over(NULL);
    next = prepare_wake();
  }
  unlock_and_wake(next);
  if (status != TH_OK) return status;
  await_senders(a);
  uv_close((uv_handle_t *)&a->wake, free_attachment);
  return TH_OK;
}

/* --- callbacks --- */

th_status th__service_expect(const char *who) {
  th_status status = TH_OK;
  wake_up first = {0};
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
      first = prepare_wake(); /* handles are referenced on the loop's thread only */
    }
  }
  unlock_and_wake(first);
  return status;
}

void th__service_cancel(void) {
  uv_mutex_lock(&lock);
  s.outstanding--;
  wake_up w = {0};
  if (s.loop != NULL) w = prepare_wake();
  unlock_and_wake(w);
}

void th__service_post(th__call *call) {
  wake_up first = {0};
  uv_mutex_lock(&lock);
  bool late = s.stopped;
  if (!late) {
    append(&s.queue, call);
    if (s.queue.n == 1) first = prepare_wake(); /* else whoever takes the first takes this, too */
  }
  unlock_and_wake(first);
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
    put_back(); /* when a callback stops the engine */
    while (s.loop == a && s.queue.n > 0) deliver(-1);
    if (s.loop != a) return NULL; /* a callback detached it */
    loop_here = NULL;
    hand_over(NULL);
    return a;
  }
  wake_up last = prepare_wake();
  a->orphan = true;
  hand_over(NULL);
  uv_mutex_unlock(&lock);
  wake(last);
  uv_mutex_lock(&lock);
  return NULL;
}

/* Under the lock, without it meanwhile: until no callback runs on another loop thread. */
static void await_loop(void) {
  while (s.loop_running > (on_loop ? 1 : 0)) {
    uv_mutex_unlock(&lock);
    th__sleep_ns(100000);
    uv_mutex_lock(&lock);
  }
}

void th__service_stop(void) {
  uv_mutex_lock(&lock);
  s.stopped = true;
  attachment *closing = leave_loop();
  await_loop();
  if (s.queue.n > 0) (void)need_thread();
  s.stop_thread = true;
  wake_up last = prepare_wake();
  bool join = s.has_thread;
  s.has_thread = false;
  th__thread_handle thread = s.thread;
  unlock_and_wake(last);
  if (closing != NULL) {
    await_senders(closing);
    uv_close((uv_handle_t *)&closing->wake, free_attachment);
  }
  if (join) th__thread_join(&thread);
  th__service_exit(); /* only if no thread could be started: frees the rest */
}

void th__service_exit(void) {
  uv_mutex_lock(&lock);
  s.stopped = s.over = true;
  th__fetch_add(&turn, 1, TH__RELAXED); /* others put back what they took; they or we free it */
  put_back();                           /* when a callback ends the process */
  while (s.queue.n > 0) deliver(-1);
  uv_mutex_unlock(&lock);
}

void th__service_start(void) {
  uv_mutex_lock(&lock);
  s.stopped = s.over = s.forked = false;
  s.outstanding = 0; /* what was announced before the stop is told that it is late */
  uv_mutex_unlock(&lock);
}

void th__service_after_fork(void) {
  lock = (uv_mutex_t)PTHREAD_MUTEX_INITIALIZER; /* another thread may have held it */
  memset(&s, 0, sizeof(s));
  s.forked = true;
  s.loop_running = on_loop ? 1 : 0; /* a callback forked */
  on_service_thread = false;
  loop_here = NULL;
  taken = (calls){0};
  delivered = 0;
}
