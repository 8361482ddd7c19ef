/* Owns mappings: direct access of the host to an array's memory. A mapping is an asynchronous task that reads or writes the
 * array's storage; its body only passes its token on, and th_unmap() signals it: so whatever conflicts and is submitted
 * meanwhile waits like behind any task. Each thread keeps a list of its own mappings, oldest first. */
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "ndarray/array.h"

typedef struct mapping {
  struct mapping *next;
  th_array *array; /* +1 while mapped */
  th_storage *storage;
  bool write;
  th_var held; /* written by the task: a failure of the storage's content travels here */
  th_token *token;
  _Atomic uint32_t taken; /* the token is there; release pairs with the waiting thread's acquire */
  _Atomic uint32_t
      abandon; /* set by the caller when it leaves, by the body when it arrives: the second acts */
} mapping;

static _Thread_local mapping *oldest, *newest;

th_status th__map_check(const th_storage *s, bool write, const char *where) {
  for (const mapping *m = oldest; m; m = m->next)
    if (m->storage == s && (write || m->write))
      return th__fail(TH_EDEADLK, "%s: this thread has mapped the array; unmap it first", where);
  return TH_OK;
}

static th_status mapping_run(void *arg, th_task_context *context) {
  mapping *m = *(mapping **)arg;
  th_status status = th__storage_ensure(m->storage, m->write, context);
  if (status != TH_OK) return status;
  m->token = th_context_token(context);
  if (th__exchange(&m->abandon, 1, TH__ACQ_REL)) {
    (void)th_token_signal(m->token, TH_OK, NULL);
    return TH_OK;
  }
  th__store(&m->taken, 1, TH__RELEASE);
  th__unpark(&m->taken, 1);
  return TH_OK;
}

/* Waits until the host has the storage. On failure the task, if it still comes, lets go at once. */
static th_status mapping_take(mapping *m, const char *where) {
  th_var *storage = th__storage_var(m->storage), *held = &m->held;
  th_task task = {.name = m->write ? "map_write" : "map_read",
                  .run = mapping_run,
                  .arg = &m,
                  .arg_size = sizeof m,
                  .reads = &storage, /* when writing, too: what is there must be valid */
                  .n_reads = 1,
                  .writes = (th_var *[]){held, storage},
                  .n_writes = m->write ? 2 : 1,
                  .device = m->storage->device,
                  .flags = TH_TASK_INLINE | TH_TASK_INTERNAL};
  TH_TRY(th_push_async(&task));
  if (m->write) th__storage_written(m->storage, task.name);
  th_status status = th__wait_flag_at(held, &m->taken, where);
  if (th__load(&m->taken, TH__ACQUIRE)) return TH_OK;
  if (status == TH_OK) status = th__var_error(held); /* the task is done without its body */
  if (status == TH_OK) status = th__fail(TH_ECANCELED, "%s: canceled", where);
  if (th__exchange(&m->abandon, 1, TH__ACQ_REL)) {
    /* The body came at the last moment: it is about to say so. */
    while (!th__load(&m->taken, TH__ACQUIRE) && !th_var_is_ready(held)) th__yield();
    if (th__load(&m->taken, TH__ACQUIRE)) (void)th_token_signal(m->token, TH_OK, NULL);
  }
  return status;
}

static th_status map(const th_array *a, bool write, void **data, const char *who) {
  if (!data) return th__fail(TH_EINVAL, "%s: data is NULL", who);
  *data = NULL;
  if (!a) return th__array_null(who);
  if (!a->storage || a->device.kind != TH_CPU)
    return th__fail(TH_EDEVICE, "%s: only memory of the CPU can be mapped", who);
  TH_TRY(th__map_check(a->storage, write, who));
  mapping *m = th__zalloc(sizeof *m);
  if (!m) return TH_ENOMEM;
  m->storage = a->storage;
  m->write = write;
  th__var_init(&m->held);
  th_status status = mapping_take(m, who);
  if (status != TH_OK) {
    th__var_retire(&m->held, th__free, m);
    return status;
  }
  static char nothing[64];
  m->array = (th_array *)a;
  th__fetch_add(&m->array->refs, 1, TH__RELAXED); /* the library's, whatever scope a is in */
  *data = th__load(&a->storage->data, TH__ACQUIRE) ? th__array_data(a) : nothing;
  if (newest) {
    newest->next = m;
  } else {
    oldest = m;
  }
  newest = m;
  return TH_OK;
}

th_status th_map_read(const th_array *a, const void **data) {
  void *memory = NULL;
  if (!data) return th__fail(TH_EINVAL, "th_map_read: data is NULL");
  th_status status = map(a, false, &memory, "th_map_read");
  *data = memory;
  return status;
}

th_status th_map_write(th_array *a, void **data) { return map(a, true, data, "th_map_write"); }

th_status th_unmap(const th_array *a) {
  if (!a) return th__array_null("th_unmap");
  mapping *before = NULL, *m = oldest;
  while (m && m->array != a) {
    before = m;
    m = m->next;
  }
  if (!m) return th__fail(TH_EINVAL, "th_unmap: this thread has not mapped the array");
  if (before) {
    before->next = m->next;
  } else {
    oldest = m->next;
  }
  if (newest == m) newest = before;
  th_status status = th_token_signal(m->token, TH_OK, NULL);
  th_scope scope = th__scope_suspend();
  th_release(m->array);
  (void)th__scope_resume(scope, NULL);
  th__var_retire(&m->held, th__free, m);
  return status;
}
