/* Owns being told instead of waiting: callbacks and events. Each is a small task that reads the array's variable, and so runs
 * when every write submitted so far is done; its drop passes the news on, exactly once however the task ends. */
#include "thrum/async.h"

#include <limits.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "engine/base/atomic.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/base/thread.h"
#include "engine/service.h"
#include "ndarray/array.h"

/* How an array's writes ended. */
typedef struct outcome {
  th_var *var; /* NULL on the meta device */
  th_status status;
  char *text; /* of a failure; NULL = the status code's text */
} outcome;

/* Inside a task that reads the variable. */
static void outcome_take(outcome *o) {
  o->status = th__var_error(o->var);
  o->text = o->status == TH_OK ? NULL : th__strdup(th_last_error());
}

static const char *outcome_text(const outcome *o) {
  if (o->status == TH_OK) return "";
  return o->text == NULL ? th_status_text(o->status) : o->text;
}

/* For a NULL array: keeps the message of the call that failed to make it. */
static th_status no_array(const char *who) {
  th_status status = th_last_status();
  return status != TH_OK ? status : th__fail(TH_EINVAL, "%s: array is NULL", who);
}

/* A task that runs run(record), then drop(record), behind the writes of *var. */
static th_task reader_of(th_var *const *var, const char *name, th_task_fn run, void *record,
                         void (*drop)(void *record)) {
  return (th_task){.name = name,
                   .run = run,
                   .arg = record,
                   .drop = drop,
                   .reads = var,
                   .n_reads = 1,
                   .priority = TH_PRIORITY_HIGH,
                   .flags = TH_TASK_ALWAYS | TH_TASK_ADOPT | TH_TASK_INTERNAL};
}

/* --- callbacks --- */

typedef struct notice {
  th__call call; /* first: the service knows the notice by it */
  outcome outcome;
  th_ready_fn fn;
  void *user;
  /* For th_read_async(): */
  const th_storage *storage;
  th_layout layout;
  void *out;
} notice;

static void notice_deliver(th__call *call, bool deliver) {
  notice *n = (notice *)(void *)call;
  if (deliver) n->fn(n->outcome.status, outcome_text(&n->outcome), n->user);
  th__free(n->outcome.text);
  th__free(n);
}

static void notice_drop(void *record) { th__service_post(&((notice *)record)->call); }

static th_status notice_run(void *record, th_task_context *context) {
  (void)context;
  outcome_take(&((notice *)record)->outcome);
  return TH_OK;
}

static th_status read_run(void *record, th_task_context *context) {
  (void)context;
  notice *n = record;
  outcome_take(&n->outcome);
  if (n->outcome.status != TH_OK) return TH_OK; /* the failure is the array's, not this task's */
  th_layout compact = n->layout;
  th__layout_set_contiguous(&compact);
  const char *data = th__load(&n->storage->data, TH__ACQUIRE);
  if (n->out == NULL) return TH_OK; /* no elements */
  if (data == NULL) {               /* never written: any content will do */
    memset(n->out, 0, (size_t)th__layout_bytes(&compact));
    return TH_OK;
  }
  const char *first = data + n->layout.offset * (int64_t)th_dtype_size(n->layout.dtype);
  th__copy_elements(&n->layout, first, &compact, n->out);
  return TH_OK;
}

/* A notice for a's variable, announced to the service; NULL with the error set. Canceled before it ran, it says so. */
static notice *notice_new(const char *who, const th_array *a, th_ready_fn fn, void *user) {
  if (fn == NULL) return th__fail_null(TH_EINVAL, "%s: fn is NULL", who);
  if (th__engine_ensure() != TH_OK) return NULL;
  notice *n = th__zalloc(sizeof(*n));
  if (n == NULL) return NULL;
  if (th__service_expect(who) != TH_OK) {
    th__free(n);
    return NULL;
  }
  n->call.run = notice_deliver;
  n->outcome.var = a->storage == NULL ? NULL : th__storage_var(a->storage);
  n->outcome.status = TH_ECANCELED;
  n->fn = fn;
  n->user = user;
  return n;
}

static th_status notice_push(const char *name, notice *n, th_task_fn run, uint32_t flags) {
  th_task task = reader_of(&n->outcome.var, name, run, n, notice_drop);
  task.flags |= flags;
  th_status status = th_push(&task);
  if (status == TH_OK) return TH_OK;
  th__service_cancel();
  th__free(n);
  return status;
}

th_status th_on_ready(const th_array *a, th_ready_fn fn, void *user) {
  if (a == NULL) return no_array("th_on_ready");
  notice *n = notice_new("th_on_ready", a, fn, user);
  if (n == NULL) return th_last_status();
  if (n->outcome.var == NULL) { /* meta: nothing will ever be written */
    n->outcome.status = TH_OK;
    th__service_post(&n->call);
    return TH_OK;
  }
  return notice_push("on_ready", n, notice_run, TH_TASK_INLINE);
}

/* Elements of host memory can be read by a task of cpu:0; others come through a copy. */
static bool in_host_memory(const th_array *a) {
  const th__device_ops *ops = th__device_kind_ops(a->device.kind);
  return ops != NULL && (ops->caps & TH__CAP_HOST_MEMORY) != 0;
}

th_status th_read_async(const th_array *a, void *out, size_t bytes, th_ready_fn fn, void *user) {
  if (a == NULL) return no_array("th_read_async");
  if (a->storage == NULL)
    return th__fail(TH_ENODATA, "th_read_async: an array on the meta device has no data");
  int64_t wanted = th__layout_bytes(&a->layout);
  if (bytes != (size_t)wanted)
    return th__fail(TH_EINVAL, "th_read_async: bytes is %zu, the array has %lld", bytes,
                    (long long)wanted);
  if (out == NULL && bytes > 0) return th__fail(TH_EINVAL, "th_read_async: out is NULL");
  if (!in_host_memory(a)) {
    th_scope scope = th_scope_begin();
    th_array *copy = th_copy_to(a, th_cpu(0));
    th_status status = copy == NULL ? th_last_status() : th_read_async(copy, out, bytes, fn, user);
    th_scope_end(scope);
    return status;
  }
  notice *n = notice_new("th_read_async", a, fn, user);
  if (n == NULL) return th_last_status();
  n->storage = a->storage;
  n->layout = a->layout;
  n->out = out;
  return notice_push("read_async", n, read_run, 0);
}

th_status th_uv_attach(struct uv_loop_s *loop) {
  if (loop == NULL) return th__fail(TH_EINVAL, "th_uv_attach: loop is NULL");
  TH_TRY(th__engine_ensure());
  return th__service_attach(loop);
}

th_status th_uv_detach(struct uv_loop_s *loop) { return th__service_detach(loop); }

/* --- events --- */

struct th_event {
  outcome outcome;        /* written before state becomes 1, constant afterwards */
  _Atomic uint32_t state; /* 0 pending, 1 ready; release pairs with the readers' acquire */
  _Atomic int32_t refs;   /* the maker's and the task's */
  th__spin lock;          /* guards fd */
  int fd;                 /* -1 until asked for */
  th_var *done;           /* written by the task; only where nobody but a waiter runs tasks */
};

static void event_unref(th_event *e) {
  if (th__fetch_sub(&e->refs, 1, TH__ACQ_REL) != 1) return;
  if (e->fd >= 0) close(e->fd);
  th_var_release(e->done);
  th__free(e->outcome.text);
  th__free(e);
}

static th_status event_run(void *record, th_task_context *context) {
  (void)context;
  outcome_take(&((th_event *)record)->outcome);
  return TH_OK;
}

static void event_set(th_event *e) {
  th__store(&e->state, 1, TH__RELEASE);
  th__unpark(&e->state, INT_MAX);
  th__spin_lock(&e->lock);
  int fd = e->fd;
  if (fd >= 0) (void)!eventfd_write(fd, 1);
  th__spin_unlock(&e->lock);
}

static void event_drop(void *record) {
  event_set(record);
  event_unref(record);
}

/* Whether tasks run only while somebody waits: a waiter without a limit must then run them. */
static bool only_waiters_run(void) {
  const th_config *config = th__engine_config();
  return config->workers == TH_NO_WORKERS ||
         (config->engine != NULL && strncmp(config->engine, "shuffle:", 8) == 0);
}

static th_status event_push(th_event *e) {
  th_task task = reader_of(&e->outcome.var, "event", event_run, e, event_drop);
  task.flags |= TH_TASK_INLINE;
  if (only_waiters_run()) {
    e->done = th_var_new();
    if (e->done == NULL) return TH_ENOMEM;
    task.writes = &e->done;
    task.n_writes = 1;
  }
  return th_push(&task);
}

th_event *th_event_new(const th_array *a) {
  if (a == NULL) {
    (void)no_array("th_event_new");
    return NULL;
  }
  if (th__engine_ensure() != TH_OK) return NULL;
  th_event *e = th__zalloc(sizeof(*e));
  if (e == NULL) return NULL;
  e->fd = -1;
  th__store(&e->refs, 2, TH__RELAXED);
  e->outcome.status = TH_ECANCELED; /* stays when the task never runs */
  if (a->storage == NULL) {
    e->outcome.status = TH_OK;
    event_drop(e);
    return e;
  }
  e->outcome.var = th__storage_var(a->storage);
  if (event_push(e) == TH_OK) return e;
  th_var_release(e->done);
  th__free(e);
  return NULL;
}

bool th_event_ready(const th_event *e) {
  return e != NULL && th__load(&((th_event *)(uintptr_t)e)->state, TH__ACQUIRE) != 0;
}

th_status th_event_status(const th_event *e) {
  if (e == NULL) return th__fail(TH_EINVAL, "th_event_status: event is NULL");
  if (!th_event_ready(e)) return TH_EAGAIN;
  if (e->outcome.status == TH_OK) return TH_OK;
  return th__fail(e->outcome.status, "%s", outcome_text(&e->outcome));
}

th_status th_event_wait(th_event *e, int64_t timeout_ns) {
  if (e == NULL) return th__fail(TH_EINVAL, "th_event_wait: event is NULL");
  if (!th_event_ready(e)) TH_TRY(th__engine_ensure());
  if (!th_event_ready(e) && timeout_ns < 0 && e->done != NULL) TH_TRY(th_wait_var(e->done));
  int64_t end = th__deadline_ns(timeout_ns);
  while (!th_event_ready(e)) {
    int64_t left = end < 0 ? -1 : end - th__now_ns();
    if (end >= 0 && left <= 0)
      return th__fail(TH_ETIMEDOUT, "th_event_wait: not ready after %lld ns",
                      (long long)timeout_ns);
    th__park(&e->state, 0, left);
  }
  return th_event_status(e);
}

int th_event_fd(th_event *e) {
  if (e == NULL) {
    (void)th__fail(TH_EINVAL, "th_event_fd: event is NULL");
    return -1;
  }
  th__spin_lock(&e->lock);
  if (e->fd < 0) e->fd = eventfd(th_event_ready(e) ? 1 : 0, EFD_CLOEXEC | EFD_NONBLOCK);
  int fd = e->fd;
  th__spin_unlock(&e->lock);
  if (fd < 0) (void)th__fail(TH_EIO, "th_event_fd: no descriptor left");
  return fd;
}

void th_event_release(th_event *e) {
  if (e != NULL) event_unref(e);
}
