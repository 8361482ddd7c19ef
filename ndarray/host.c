/* Owns the traffic between arrays and the program's memory: read, write as it lies, item, from_host, and the waits. A read is a task, so
 * that no write submitted meanwhile can get in between; the waiting caller usually runs it itself. */
#include <math.h>
#include <string.h>

#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "ndarray/array.h"
#include "ndarray/dtype.h"

/* --- reading --- */

enum { WAITING, RUNNING, DONE, GIVEN_UP };

/* One read; freed when both the caller and the task are through, by th__var_retire(). */
typedef struct reading {
  th_var done; /* written by the task, so that errors of the source travel here */
  th_storage *storage;
  th_layout layout;
  th__elements_fn fn;
  void *arg;
  /* WAITING until either the task starts to use fn and arg or the caller leaves without. */
  _Atomic uint32_t state;
  char *bounce; /* elements [first, last] of the storage, from a device the host cannot reach */
  int64_t first, last;
} reading;

static bool host_memory(const th_storage *s) { return s->ops->caps & TH__CAP_HOST_MEMORY; }

static void reading_end(void *arg) {
  reading *r = arg;
  th__free(r->bounce);
  th__free(r);
}

static const char *element(const char *base, const th_layout *layout, int64_t index) {
  return base + index * (int64_t)th_dtype_size(layout->dtype);
}

static void use_elements(reading *r) {
  static const char nothing[8];
  const char *data = th__load(&r->storage->data, TH__ACQUIRE);
  if (r->bounce) {
    data = element(r->bounce, &r->layout, r->layout.offset - r->first);
  } else {
    data = data ? element(data, &r->layout, r->layout.offset) : nothing;
  }
  r->fn(&r->layout, data, r->arg);
}

/* The task where the host can reach the memory. */
static th_status reading_run(void *arg, th_task_context *context) {
  reading *r = *(reading **)arg;
  th_status status = th__storage_ensure(r->storage, false, context);
  if (status != TH_OK) return status;
  uint32_t expected = WAITING;
  if (!th__cas(&r->state, &expected, RUNNING, TH__ACQ_REL)) return TH_OK;
  use_elements(r);
  th__store(&r->state, DONE, TH__RELEASE); /* pairs with reading_leave() */
  return TH_OK;
}

/* The task where it cannot: the copy may end later than this body, so that the caller uses the elements. */
static th_status reading_copy(void *arg, th_task_context *context) {
  reading *r = *(reading **)arg;
  th_storage *s = r->storage;
  th_status status = th__storage_ensure(s, false, context);
  if (status != TH_OK) return status;
  int64_t size = (int64_t)th_dtype_size(r->layout.dtype);
  const char *from = element(th__load(&s->data, TH__ACQUIRE), &r->layout, r->first);
  return s->ops->copy_out(th__context_device_state(context), th__context_lane(context), r->bounce,
                          from, (r->last - r->first + 1) * size);
}

/* Of either: r itself stays until the task has ended. */
static void reading_drop(void *arg) { th__storage_uncount((*(reading **)arg)->storage); }

/* The caller gives up after a failed wait: the task must not use fn and arg any more. */
static void reading_leave(reading *r) {
  uint32_t expected = WAITING;
  if (th__cas(&r->state, &expected, GIVEN_UP, TH__ACQ_REL)) return;
  while (th__load(&r->state, TH__ACQUIRE) == RUNNING) th__yield();
}

static reading *reading_new(const th_array *a, th__elements_fn fn, void *arg) {
  reading *r = th__zalloc(sizeof *r);
  if (!r) return NULL;
  th__var_init(&r->done);
  r->storage = a->storage;
  r->layout = a->layout;
  r->fn = fn;
  r->arg = arg;
  (void)th__layout_extent(&a->layout, &r->first, &r->last); /* within the storage */
  if (host_memory(a->storage) || r->last < r->first) return r;
  r->bounce = th__alloc((size_t)(r->last - r->first + 1) * th_dtype_size(a->layout.dtype));
  if (r->bounce) return r;
  th__free(r);
  return NULL;
}

static th_status reading_push(reading *r, const char *where) {
  th_var *read = &r->storage->var, *write = &r->done;
  th_device d = r->storage->device;
  th_task task = {.name = where,
                  .run = r->bounce ? reading_copy : reading_run,
                  .arg = &r,
                  .arg_size = sizeof r,
                  .drop = reading_drop,
                  .reads = &read,
                  .n_reads = 1,
                  .writes = &write,
                  .n_writes = 1,
                  .device = r->bounce || d.kind == TH_CPU ? d : th_cpu(0),
                  .flags = TH_TASK_INLINE | TH_TASK_INTERNAL};
  if (r->bounce) task.flags |= TH_TASK_COPY_OUT;
  th_storage *s = r->storage;
  th_status status = th_push(&task);
  if (status == TH_OK) th__storage_count(s);
  return status;
}

th_status th__with_elements(const th_array *a, th__elements_fn fn, void *arg, const char *where) {
  if (!a->storage)
    return th__fail(TH_ENODATA, "%s: an array on the meta device has no data", where);
  TH_TRY(th__map_check(a->storage, false, where));
  reading *r = reading_new(a, fn, arg);
  if (!r) return TH_ENOMEM;
  th_status status = reading_push(r, where);
  if (status == TH_OK) {
    status = th__wait_var_at(&r->done, false, -1, where);
    if (status != TH_OK) {
      reading_leave(r);
    } else if (r->bounce) {
      use_elements(r);
    }
  }
  th__var_retire(&r->done, reading_end, r);
  return status;
}

static void copy_compact(const th_layout *layout, const void *first, void *out) {
  th_layout compact = *layout;
  th__layout_set_contiguous(&compact);
  th__copy_elements(layout, first, &compact, out);
}

static th_status check_bytes(const th_array *a, const void *memory, size_t bytes, const char *who) {
  char shape[TH__SHAPE_TEXT];
  int64_t expected = th__layout_bytes(&a->layout);
  if (bytes != (size_t)expected)
    return th__fail(TH_EINVAL, "%s: %zu bytes given, shape %s of %s has %lld", who, bytes,
                    th__shape_text(a->layout.shape, a->layout.ndim, shape, sizeof shape),
                    th_dtype_name(a->layout.dtype), (long long)expected);
  if (!memory && bytes > 0) return th__fail(TH_EINVAL, "%s: the program's memory is NULL", who);
  return TH_OK;
}

th_status th_read(const th_array *a, void *out, size_t bytes) {
  if (!a) return th__array_null("th_read");
  if (!a->storage) return th__fail(TH_ENODATA, "th_read: an array on the meta device has no data");
  TH_TRY(check_bytes(a, out, bytes, "th_read"));
  return th__with_elements(a, copy_compact, out, "th_read");
}

double th_item(const th_array *a) {
  char shape[TH__SHAPE_TEXT];
  double value = 0;
  uint64_t bits = 0;
  if (!a) {
    (void)th__array_null("th_item");
    return (double)NAN;
  }
  if (th__layout_size(&a->layout) != 1) {
    (void)th__fail(TH_ESHAPE, "th_item: shape %s has %lld elements, not 1",
                   th__shape_text(a->layout.shape, a->layout.ndim, shape, sizeof shape),
                   (long long)th__layout_size(&a->layout));
    return (double)NAN;
  }
  if (th__with_elements(a, copy_compact, &bits, "th_item") != TH_OK) return (double)NAN;
  value = th__dtype_get(a->layout.dtype, &bits);
  return value;
}

/* --- writing --- */

/* One write; the task owns it. */
typedef struct writing {
  th_storage *storage;
  th_layout to;
  char data[]; /* the elements, rows first */
} writing;

static th_status writing_run(void *arg, th_task_context *context) {
  writing *w = arg;
  th_storage *s = w->storage;
  th_status status = th__storage_ensure(s, true, context);
  if (status != TH_OK) return status;
  char *first =
      (char *)th__load(&s->data, TH__ACQUIRE) + w->to.offset * (int64_t)th_dtype_size(w->to.dtype);
  if (!host_memory(s))
    return s->ops->copy_in(th__context_device_state(context), th__context_lane(context), first,
                           w->data, th__layout_bytes(&w->to));
  th_layout from = w->to;
  th__layout_set_contiguous(&from);
  th__copy_elements(&from, w->data, &w->to, first);
  return TH_OK;
}

static void writing_drop(void *arg) {
  th__storage_uncount(((writing *)arg)->storage);
  th__free(arg);
}

/* Submits a[...] = bytes at in. */
static th_status writing_push(th_array *a, const void *in, size_t bytes, const char *name) {
  th_storage *s = a->storage;
  writing *w = th__alloc(sizeof *w + bytes);
  if (!w) return TH_ENOMEM;
  w->storage = s;
  w->to = a->layout;
  memcpy(w->data, in, bytes);
  th_var *var = &s->var;
  bool whole = (int64_t)bytes == s->bytes && !th__layout_overlaps_itself(&a->layout);
  th_task task = {.name = name,
                  .run = writing_run,
                  .arg = w,
                  .arg_size = sizeof *w + bytes,
                  .drop = writing_drop,
                  .reads = &var,
                  .n_reads = whole ? 0 : 1, /* what is left of the old content may be poisoned */
                  .writes = &var,
                  .n_writes = 1,
                  .device = a->device,
                  .flags = TH_TASK_ADOPT,
                  .bytes = th__load(&s->data, TH__RELAXED) ? 0 : s->bytes};
  if (bytes <= 4096) task.flags |= TH_TASK_INLINE;
  if (!host_memory(s)) task.flags |= TH_TASK_COPY_IN;
  th_status status = th_push(&task);
  if (status == TH_OK)
    th__storage_count(s);
  else
    th__free(w);
  th__storage_written(s, name);
  return status;
}

th_status th__write_check(const th_array *a, const void *in, size_t bytes) {
  if (!a) return th__array_null("th_write");
  if (!a->storage) return th__fail(TH_ENODATA, "th_write: an array on the meta device has no data");
  TH_TRY(check_bytes(a, in, bytes, "th_write"));
  if (bytes > 0 && th__layout_overlaps_itself(&a->layout))
    return th__fail(TH_EINVAL, "th_write: a view that repeats elements (stride 0) is not writable");
  return TH_OK;
}

bool th__write_straight(const th_array *a) {
  return host_memory(a->storage) || th__layout_contiguous(&a->layout);
}

th_status th__write(th_array *a, const void *in, size_t bytes) {
  return bytes > 0 ? writing_push(a, in, bytes, "write") : TH_OK;
}

/* A fresh array whose memory the host can reach is filled at once, if the device has room now. */
static bool fill_now(th_array *a, const void *data, size_t bytes) {
  if (!host_memory(a->storage)) return false;
  th__last_error *slot = th__error_slot(), kept = *slot;
  if (th__storage_ensure(a->storage, true, NULL) != TH_OK) {
    *slot = kept; /* a task will wait for memory */
    return false;
  }
  memcpy(th__array_data(a), data, bytes);
  return true;
}

th_array *th_from_host(const void *data, const int64_t *shape, int ndim, th_dtype t, th_device d) {
  th_layout layout;
  if (th__layout_make(&layout, shape, ndim, t, "th_from_host") != TH_OK) return NULL;
  size_t bytes = (size_t)th__layout_bytes(&layout);
  if (!data && bytes > 0) return th__fail_null(TH_EINVAL, "th_from_host: data is NULL");
  th_array *a = th__array_new(&layout, d);
  if (!a || !a->storage || bytes == 0 || fill_now(a, data, bytes)) return a;
  if (writing_push(a, data, bytes, "from_host") == TH_OK) return a;
  th_release(th_keep(a));
  return NULL;
}

/* --- waiting --- */

static th_status wait_at(const th_array *a, const char *who) {
  if (!a) return th__array_null(who);
  if (!a->storage) return TH_OK;
  TH_TRY(th__map_check(a->storage, false, who));
  return th__wait_var_at(&a->storage->var, false, -1, who);
}

th_status th_wait(const th_array *a) { return wait_at(a, "th_wait"); }

th_status th_wait_many(th_array *const *arrays, int n) {
  th__last_error first = {.status = TH_OK};
  th_status status = TH_OK;
  if (n < 0 || (n > 0 && !arrays))
    return th__fail(TH_EINVAL, n < 0 ? "th_wait_many: negative number of arrays"
                                     : "th_wait_many: arrays is NULL");
  for (int i = 0; i < n; i++) {
    th_status one = wait_at(arrays[i], "th_wait_many");
    if (one == TH_OK || status != TH_OK) continue;
    status = one;
    first = *th__error_slot();
  }
  if (status != TH_OK) *th__error_slot() = first;
  return status;
}

th_status th_wait_for(const th_array *a, int64_t timeout_ns) {
  if (!a) return th__array_null("th_wait_for");
  if (!a->storage) return TH_OK;
  return th__wait_var_at(&a->storage->var, false, timeout_ns < 0 ? 0 : timeout_ns, "th_wait_for");
}

bool th_is_ready(const th_array *a) {
  return a && (!a->storage || th_var_is_ready(&a->storage->var));
}
