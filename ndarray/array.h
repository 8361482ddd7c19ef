/* Owns handles and storages. A storage is one block of device memory with the engine variable that orders all accesses to it;
 * an array is a counted handle: a layout over a storage. */
#ifndef THRUM_NDARRAY_ARRAY_H
#define THRUM_NDARRAY_ARRAY_H

#include "engine/engine.h"
#include "ndarray/shape.h"
#include "thrum/array.h"

/* Handles hold references; pending tasks do not: the storage's end is ordered behind them by th__var_retire(). */
typedef struct th_storage {
  _Atomic int32_t refs;
  th_device device;
  int64_t bytes;
  th_var var;
  void *
      data; /* taken by the first task that writes; touched only by tasks ordered by var, or after waiting on it */
  void (*deleter)(void *data, void *user); /* of wrapped memory, else NULL */
  void *deleter_user;
} th_storage;

struct th__node; /* autograd's */

struct th_array {
  _Atomic int32_t refs;
  th_layout layout;
  th_storage *storage; /* NULL on the meta device */
  th_device device;
  /* Autograd's record; NULL for most. Owned by this handle, released through th__array_hooks. */
  _Atomic(struct th__node *) node;
};

/* New storage without data yet, +1. TH_EDEVICE, TH_ENOMEM (larger than the device's limit). */
th_storage *th__storage_new(th_device d, int64_t bytes);
void th__storage_release(th_storage *s);
/* Inside a task that writes s: makes sure s->data exists. TH__STARVED or TH_ENOMEM as engine.h says. */
th_status th__storage_ensure(th_storage *s, th_task_context *context);

/* New handle, +1 (owned by the innermost scope of this thread if one is open), over a new storage of layout's size; layout
 * must be contiguous with offset 0. On meta: without storage. */
th_array *th__array_new(const th_layout *layout, th_device d);
/* New handle, +1, onto base's storage. */
th_array *th__array_view(const th_array *base, const th_layout *layout);

/* For library code that makes and releases temporaries (composite operators, backward): between the two no scope is open, so
 * everything made is a plain +1. Resume reopens the scope, gives it result (may be NULL) as if made there; returns result. */
th_scope th__scope_suspend(void);
th_array *th__scope_resume(th_scope suspended, th_array *result);

/* Set by autograd: called when a handle with a node dies. */
extern void (*th__array_node_free)(struct th__node *node);

/* Element [0,...,0]; only in a task ordered by the storage's variable or after waiting. */
static inline void *th__array_data(const th_array *a) {
  return (char *)a->storage->data + a->layout.offset * (int64_t)th_dtype_size(a->layout.dtype);
}

/* Casting and moving between layouts on the host, by the rules of th_astype(); same shape. Used by read, write, print, files
 * and the copy kernels. */
void th__copy_elements(const th_layout *from, const void *from_base, const th_layout *to,
                       void *to_base);

#endif
