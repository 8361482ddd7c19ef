/* Owns handles: making, counting, asking, wrapping. */
#include <string.h>

#include "devices/blocks.h"
#include "engine/base/error.h"
#include "ndarray/array.h"
#include "ndarray/dtype.h"

void (*th__array_node_free)(struct th__node *node);

th_status th__array_null(const char *who) {
  th_status status = th_last_status();
  return status != TH_OK ? status : th__fail(TH_EINVAL, "%s: array is NULL", who);
}

th_array *th__array_on(th_storage *storage, th_device d, const th_layout *layout) {
  th_array *a = th__block_take(sizeof *a);
  if (!a) {
    th__storage_release(storage);
    return NULL;
  }
  th__store(&a->refs, 1, TH__RELAXED);
  a->device = d;
  th__layout_copy(&a->layout, layout);
  a->storage = storage;
  th__store(&a->node, NULL, TH__RELAXED);
  th__store(&a->scope_thread, NULL,
            TH__RELAXED); /* the other fields of scopes count only with it */
  th__scope_adopt(a);
  return a;
}

th_array *th__array_fresh(const th_layout *layout, th_device d, const th__device_ops *ops,
                          void *state) {
  th_storage *storage = NULL;
  if (!(ops->caps & TH__CAP_NO_DATA)) {
    storage = th__storage_on(d, ops, state, th__layout_bytes(layout));
    if (!storage) return NULL;
  }
  return th__array_on(storage, d, layout);
}

th_array *th__array_new(const th_layout *layout, th_device d) {
  const th__device_ops *ops;
  void *state;
  return th__device_open(d, &ops, &state) == TH_OK ? th__array_fresh(layout, d, ops, state) : NULL;
}

th_array *th__array_view(const th_array *base, const th_layout *layout) {
  if (base->storage) th__fetch_add(&base->storage->refs, 1, TH__RELAXED);
  return th__array_on(base->storage, base->device, layout);
}

/* Layout of wrapped memory, with offset such that the storage starts at the lowest element; *bytes is its length. */
static th_status wrapped_layout(const int64_t *shape, const int64_t *strides, int ndim, th_dtype t,
                                th_layout *out, int64_t *bytes) {
  int64_t first, last, count;
  TH_TRY(th__layout_make(out, shape, ndim, t, "th_wrap"));
  for (int i = 0; strides && i < ndim; i++) out->strides[i] = strides[i];
  if (th__layout_extent(out, &first, &last) != TH_OK ||
      __builtin_sub_overflow(last, first, &count) ||
      __builtin_mul_overflow(count + 1, (int64_t)th_dtype_size(t), bytes))
    return th__fail(TH_EOVERFLOW, "th_wrap: the strides reach further than memory can");
  out->offset = -first;
  return TH_OK;
}

th_array *th_wrap(void *data, const int64_t *shape, const int64_t *strides, int ndim, th_dtype t,
                  void (*deleter)(void *data, void *user), void *user) {
  th_layout layout;
  int64_t bytes = 0;
  if (wrapped_layout(shape, strides, ndim, t, &layout, &bytes) != TH_OK) return NULL;
  if (!data && bytes > 0) return th__fail_null(TH_EINVAL, "th_wrap: data is NULL");
  if ((uintptr_t)data % th_dtype_size(t))
    return th__fail_null(TH_EINVAL, "th_wrap: data is not aligned for %s", th_dtype_name(t));
  th_storage *s = th__storage_new(th_cpu(0), 0);
  if (!s) return NULL;
  s->bytes = bytes;
  s->wrapped = true;
  s->deleter = NULL; /* until it is sure that the array is made */
  if (bytes > 0) {
    char *lowest = (char *)data - layout.offset * (int64_t)th_dtype_size(t);
    th__store(&s->data, (void *)lowest, TH__RELEASE);
  }
  th_array *a = th__array_on(s, th_cpu(0), &layout);
  if (!a) return NULL; /* the program keeps its memory */
  s->deleter = deleter;
  s->deleter_data = data;
  s->deleter_user = user;
  return a;
}

th_array *th_retain(th_array *a) {
  if (!a) return NULL;
  th__scope_retain(a);
  th__fetch_add(&a->refs, 1, TH__RELAXED);
  return a;
}

static void array_free(th_array *a) {
  struct th__node *node = th__load(&a->node, TH__ACQUIRE);
  if (node && th__array_node_free) {
    /* What the node lets go are references of the library: no business of the open scope. */
    th_scope scope = th__scope_suspend();
    th__array_node_free(node);
    th__scope_resume(scope, NULL);
  }
  th__storage_release(a->storage);
  th__block_give(a, sizeof *a);
}

void th_release(th_array *a) {
  if (!a) return;
  th__scope_release(a);
  /* A count of one is ours and stays. acq_rel: what other holders did with the handle comes before its end. */
  if (th__load(&a->refs, TH__ACQUIRE) == 1 || th__fetch_sub(&a->refs, 1, TH__ACQ_REL) == 1)
    array_free(a);
}

int th_array_ndim(const th_array *a) { return a ? a->layout.ndim : 0; }
const int64_t *th_array_shape(const th_array *a) { return a ? a->layout.shape : NULL; }
const int64_t *th_array_strides(const th_array *a) { return a ? a->layout.strides : NULL; }
int64_t th_array_size(const th_array *a) { return a ? th__layout_size(&a->layout) : 0; }
th_dtype th_array_dtype(const th_array *a) { return a ? a->layout.dtype : TH_DTYPE_COUNT; }
th_device th_array_device(const th_array *a) { return a ? a->device : th_meta(); }

uint64_t th_array_version(const th_array *a) {
  return a && a->storage ? th_var_version(&a->storage->var) : 0;
}

bool th_array_is_contiguous(const th_array *a) { return a && th__layout_contiguous(&a->layout); }

bool th_array_shares(const th_array *a, const th_array *b) {
  return a && b && a->storage && a->storage == b->storage;
}

th_var *th_array_var(th_array *a) {
  if (!a) return (void)th__array_null("th_array_var"), NULL;
  if (!a->storage)
    return th__fail_null(TH_ENODATA, "th_array_var: an array on the meta device has no data");
  th__storage_written(a->storage, NULL); /* by whom is not known from here on */
  return th__storage_var(a->storage);
}
