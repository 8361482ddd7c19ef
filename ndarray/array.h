/* Owns handles and storages. A storage is one block of device memory with the engine variable that orders all accesses to it;
 * an array is a counted handle: a layout over a storage. */
#ifndef THRUM_NDARRAY_ARRAY_H
#define THRUM_NDARRAY_ARRAY_H

#include "engine/engine.h"
#include "ndarray/shape.h"
#include "thrum/array.h"

/* Handles hold references; pending tasks do not, but those of operator calls are counted: the last of them, or the last
 * handle, ends the storage. Other tasks are not; a storage that had one ends by th__var_retire(). See storage.c. */
typedef struct th_storage {
  _Atomic int32_t refs; /* handles */
  th_device device;
  _Atomic int64_t submitted; /* counted tasks */
  _Atomic bool uncounted;    /* some task is not counted; never cleared */
  bool wrapped;              /* the program's memory */
  th_var var;
  /* Name of the last operator or call that was submitted to change what others may have seen, for messages; NULL: none, or since
   * then th_array_var() was given away. Relaxed: submissions are ordered by var, this only tells of them. */
  _Atomic(const char *) writer;
  const th__device_ops *ops; /* of the device, which took and takes back the block */
  void *state;
  int64_t bytes;
  void (*deleter)(void *data, void *user);
  void *deleter_data, *deleter_user;
  /* What running tasks change lies apart from what submitting ones change. */
  _Atomic int64_t running; /* see storage.c */
  /* NULL until th__storage_ensure(), and always without bytes. What it points to is touched only by tasks ordered by var, or
   * after waiting on it. Published with release, so that several readers may be the first users. */
  _Atomic(void *) data;
} th_storage;

struct th__node; /* autograd's */

struct th_array {
  _Atomic int32_t refs;
  th_device device;
  th_layout layout;
  th_storage *storage; /* NULL on the meta device */
  /* Autograd's record; NULL for most. Owned by this handle, released through th__array_node_free. */
  _Atomic(struct th__node *) node;
  /* Scopes, see scope.c: which thread's scope owns references of this handle (NULL = none); the rest is that thread's. */
  _Atomic(const void *) scope_thread;
  th_scope scope;
  th_array *scope_next, *scope_previous;
  int32_t scope_refs, scope_retains;
};

/* New storage without data yet, +1. TH_EDEVICE, TH_ENOMEM (larger than the device's limit). */
th_storage *th__storage_new(th_device d, int64_t bytes);
/* The same on an open device. */
th_storage *th__storage_on(th_device d, const th__device_ops *ops, void *state, int64_t bytes);
void th__storage_release(th_storage *s);
/* Notes who changes s. */
static inline void th__storage_written(th_storage *s, const char *who) {
  th__store(&s->writer, who, TH__RELAXED);
}
/* The variable, for a task that is not counted. */
th_var *th__storage_var(th_storage *s);
/* Counts a task that was submitted on s, by a caller who holds a handle; the task says when it is through, in its drop.
 * The one may come before the other. */
static inline void th__storage_count(th_storage *s) {
  th__fetch_add(&s->submitted, 1, TH__RELAXED); /* the handle's release passes it on */
}
/* The first task of a storage whose handle only the caller knows yet. */
static inline void th__storage_count_first(th_storage *s) {
  th__store(&s->submitted, 1, TH__RELAXED);
}
void th__storage_uncount(th_storage *s);
/* Inside a task that writes s, or reads it (nobody may have written it): makes sure that s->data exists. TH__STARVED or
 * TH_ENOMEM as engine.h says. context NULL, on a fresh storage: outside a task, TH_ENOMEM rather than waiting. alone: this
 * task writes s, so that no other can be about to do the same. */
th_status th__storage_ensure(th_storage *s, bool alone, th_task_context *context);

/* New handle, +1 (owned by the innermost scope of this thread if one is open), over a new storage of layout's size; layout
 * must be contiguous with offset 0. On meta: without storage. */
th_array *th__array_new(const th_layout *layout, th_device d);
/* The same on an open device. */
th_array *th__array_fresh(const th_layout *layout, th_device d, const th__device_ops *ops,
                          void *state);
/* New handle, +1, onto base's storage. */
th_array *th__array_view(const th_array *base, const th_layout *layout);
/* New handle, +1, that takes over the caller's reference of storage (given back on failure; NULL on meta). */
th_array *th__array_on(th_storage *storage, th_device d, const th_layout *layout);
/* For a NULL array: the failure of the call that should have made it, or TH_EINVAL naming who. */
th_status th__array_null(const char *who);

/* For library code that makes and releases temporaries (composite operators, backward): between the two no scope is open, so
 * everything made is a plain +1. Resume reopens the scope, gives it result (may be NULL) as if made there; returns result. */
th_scope th__scope_suspend(void);
th_array *th__scope_resume(th_scope suspended, th_array *result);
void th__scope_adopt(th_array *a);  /* gives one reference to the innermost open scope, if any */
void th__scope_retain(th_array *a); /* called by th_retain() and th_release() before they count */
void th__scope_release(th_array *a);

/* Set by autograd: called when a handle with a node dies. */
extern void (*th__array_node_free)(struct th__node *node);

/* Element [0,...,0]; only in a task ordered by the storage's variable or after waiting. */
static inline void *th__array_data(const th_array *a) {
  return (char *)th__load(&a->storage->data, TH__ACQUIRE) +
         a->layout.offset * (int64_t)th_dtype_size(a->layout.dtype);
}

/* Calls fn once with a's elements in host memory, by a task that reads a, and waits for it: th_read() and its like. fn may run
 * on any thread; it must not fail or wait. where names the public call. */
typedef void (*th__elements_fn)(const th_layout *layout, const void *first, void *arg);
th_status th__with_elements(const th_array *a, th__elements_fn fn, void *arg, const char *where);
/* The parts of th_write(), which ops/arrays/write.c has: what is wrong with the call; whether the bytes can go where they belong
 * without a kernel that spreads them; and the task, for arguments that are right and elements that can. */
th_status th__write_check(const th_array *a, const void *in, size_t bytes);
bool th__write_straight(const th_array *a);
th_status th__write(th_array *a, const void *in, size_t bytes);
/* TH_EDEADLK if this thread holds a mapping of s that an access (a writing one) would wait for. */
th_status th__map_check(const th_storage *s, bool write, const char *where);

/* Casting and moving between layouts on the host, by the rules of th_astype(); same shape, no overlap. The pointers are to
 * the elements [0,...,0]; offsets are ignored. */
/* to[j][i] = from[i][j] for elements of 4 or 8 bytes; in and out are bytes between rows of from and of to. */
void th__turn(int size, const void *from, ptrdiff_t in, void *to, ptrdiff_t out, int64_t rows,
              int64_t columns);
void th__copy_elements(const th_layout *from, const void *from_first, const th_layout *to,
                       void *to_first);

#endif
