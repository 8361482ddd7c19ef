/**
 * @file array.h
 * Arrays: making, sharing, viewing, moving, reading.
 *
 * An array handle is counted and shows a strided window of a storage. Views share the storage and are writable. One
 * engine variable per storage orders all accesses, so views of one storage order each other even where disjoint.
 * Values come later: making and computing return at once; th_wait*, th_read, th_item, th_print, th_map_* block.
 */
#ifndef THRUM_ARRAY_H
#define THRUM_ARRAY_H

#include <thrum/base.h>
#include <thrum/device.h>
#include <thrum/engine.h>
#include <thrum/types.h>

#ifdef __cplusplus
#include <initializer_list>
extern "C" {
#endif

typedef struct th_array th_array; /**< An n-dimensional array; counted, always used by pointer. */

/** TH_SHAPE(2, 3) gives the two arguments (const int64_t *shape, int ndim); TH_SCALAR the shape (). */
#ifdef __cplusplus
#define TH_SHAPE(...)                                                                              \
  (std::initializer_list<int64_t>{__VA_ARGS__}.begin()),                                           \
      static_cast<int>(std::initializer_list<int64_t>{__VA_ARGS__}.size())
#else
#define TH_SHAPE(...)                                                                              \
  (const int64_t[]){__VA_ARGS__}, (int)(sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))
#endif
#define TH_SCALAR NULL, 0 /**< Shape of a 0-d array. */
/** TH_ARRAYS(a, b) gives the two arguments (th_array *const *arrays, int n). */
#ifdef __cplusplus
#define TH_ARRAYS(...)                                                                             \
  (std::initializer_list<th_array *>{__VA_ARGS__}.begin()),                                        \
      static_cast<int>(std::initializer_list<th_array *>{__VA_ARGS__}.size())
#else
#define TH_ARRAYS(...)                                                                             \
  (th_array *[]){__VA_ARGS__}, (int)(sizeof((th_array *[]){__VA_ARGS__}) / sizeof(th_array *))
#endif

/* Making. All return +1 or NULL (TH_ESHAPE: negative size, more than 8 dims; TH_EOVERFLOW; TH_EDTYPE; TH_EDEVICE;
 * TH_ENOMEM when the device could never hold it). Rows-first contiguous layout. */
TH_API th_array *th_empty(const int64_t *shape, int ndim, th_dtype t,
                          th_device d); /**< Content undefined. */
TH_API th_array *th_zeros(const int64_t *shape, int ndim, th_dtype t, th_device d); /**< All 0. */
TH_API th_array *th_ones(const int64_t *shape, int ndim, th_dtype t, th_device d);  /**< All 1. */
/** All value, converted to t by the cast rules of th_astype(). */
TH_API th_array *th_full(const int64_t *shape, int ndim, double value, th_dtype t, th_device d);
TH_API th_array *th_arange(double start, double stop, double step, th_dtype t,
                           th_device d); /**< start + i step < stop. */
TH_API th_array *th_linspace(double start, double stop, int64_t n, th_dtype t,
                             th_device d); /**< n points, both ends. */
TH_API th_array *th_eye(int64_t rows, int64_t columns, int diagonal, th_dtype t,
                        th_device d);              /**< 1 on a diagonal. */
TH_API th_array *th_zeros_like(const th_array *a); /**< Shape, dtype and device of a. */
TH_API th_array *th_ones_like(const th_array *a);  /**< Shape, dtype and device of a. */
TH_API th_array *th_empty_like(const th_array *a); /**< Shape, dtype and device of a. */
TH_API th_array *th_full_like(const th_array *a,
                              double value); /**< Shape, dtype and device of a. */
/** a itself, retained, when it is of type t and on d; else a converted copy there. */
TH_API th_array *th_asarray(th_array *a, th_dtype t, th_device d);
/** Copies of the matrices in the last two dimensions with 0 above, or below, their k-th diagonal. TH_ESHAPE below 2-d. */
TH_API th_array *th_tril(const th_array *a, int64_t k);
TH_API th_array *th_triu(const th_array *a, int64_t k); /**< The other triangle. */
/** Copies shape's product of elements of type t from data before it returns. */
TH_API th_array *th_from_host(const void *data, const int64_t *shape, int ndim, th_dtype t,
                              th_device d);
/** Zero copy: shows host memory as an array on cpu:0. strides in elements, NULL = contiguous. deleter (may be NULL) is
 *  called once with (data, user), on any thread, when no array and no task uses the memory any more; not when the call fails.
 *  TH_EINVAL: data is NULL, or not aligned for t. */
TH_API th_array *th_wrap(void *data, const int64_t *shape, const int64_t *strides, int ndim,
                         th_dtype t, void (*deleter)(void *data, void *user), void *user);
/** An array on cpu:0, content undefined, in memory that d copies from and to without a detour (pinned). Making one and its end take
 *  long, so it is to be used again and again; th_memory_get() does not count it. Where d has no such memory, as th_empty().
 *  Memory that the program pinned itself is copied in the same way once it is wrapped. */
TH_API th_array *th_pinned(const int64_t *shape, int ndim, th_dtype t, th_device d);

/* Handles. */
TH_API th_array *th_retain(th_array *a); /**< Adds a reference; returns a. */
/** Drops one; NULL is fine, pending operations keep what they need. Never blocks. Legal after th_shutdown() and in a forked
 *  child. Of an array that a scope owns: undoes a th_retain() of this thread, else gives up
 *  the scope's reference before its end. */
TH_API void th_release(th_array *a);
typedef struct th_scope_state *th_scope; /**< A scope of temporaries of one thread. */
TH_API th_scope
th_scope_begin(void); /**< From now on arrays made on this thread belong to the scope. Nests. */
TH_API void th_scope_end(
    th_scope s); /**< Releases what the scope owns. Innermost first, on the thread that began it. */
TH_API th_array *th_keep(
    th_array *
        a); /**< Takes a out of the innermost scope that owns it: the caller owns it now. Returns a. */

TH_API int th_array_ndim(const th_array *a);             /**< Number of dimensions; 0 for NULL. */
TH_API const int64_t *th_array_shape(const th_array *a); /**< Sizes; valid while a lives. */
TH_API const int64_t *th_array_strides(
    const th_array *a); /**< Steps in elements, may be negative or 0; valid while a lives. */
TH_API int64_t th_array_size(const th_array *a);     /**< Number of elements. */
TH_API th_dtype th_array_dtype(const th_array *a);   /**< Element type. */
TH_API th_device th_array_device(const th_array *a); /**< Where it lives. */
TH_API uint64_t th_array_version(const th_array *a); /**< Writes to its storage submitted so far. */
TH_API bool th_array_is_contiguous(const th_array *a);             /**< Rows-first without gaps. */
TH_API bool th_array_shares(const th_array *a, const th_array *b); /**< Same storage. */
TH_API th_var *th_array_var(
    th_array *a); /**< The variable that orders accesses; borrowed. For own tasks on the data. */

/* Views: +1, same storage, nothing computed. Differentiable. */
/** NumPy's basic slicing: "1:5", "::-1, 3", "..., None", "-1". TH_EINVAL for bad text, TH_ESHAPE for bad index. */
TH_API th_array *th_slice(th_array *a, const char *spec);
TH_API th_array *th_reshape(th_array *a, const int64_t *shape,
                            int ndim); /**< One size may be -1. Copies if it must. */
TH_API th_array *th_permute_dims(th_array *a, const int *axes,
                                 int n_axes); /**< Dimension i of the result is axes[i] of a. */
TH_API th_array *th_matrix_transpose(th_array *a); /**< Swaps the last two dimensions. */
TH_API th_array *th_broadcast_to(th_array *a, const int64_t *shape,
                                 int ndim); /**< Stride 0 along grown dimensions. */
/** Views of n arrays in their common shape: out[i] +1. On failure all of out is NULL. */
TH_API th_status th_broadcast_arrays(th_array *const *arrays, int n, th_array **out);
/** Views of n 0-d or 1-d arrays as coordinates of a grid: out[i] +1, of n dimensions, changes along dimension i only; with xy
 *  the first two dimensions change places, as NumPy has it. TH_ESHAPE. On failure all of out is NULL. */
TH_API th_status th_meshgrid(th_array *const *arrays, int n, bool xy, th_array **out);
TH_API th_array *th_expand_dims(th_array *a, int axis); /**< Inserts a dimension of size 1. */
TH_API th_array *th_squeeze(th_array *a, const int *axes,
                            int n_axes); /**< Removes dimensions of size 1; n_axes 0 = all. */
TH_API th_array *th_flip(th_array *a, const int *axes,
                         int n_axes); /**< Reverses; n_axes 0 = all. */

/* Moving. */
TH_API th_array *th_copy(const th_array *a); /**< New storage, contiguous, same device. */
TH_API th_array *th_copy_to(const th_array *a,
                            th_device d); /**< New storage on d; to meta: only the shape. */
TH_API th_array *th_astype(
    const th_array *a,
    th_dtype t); /**< New array of type t. Float to integer truncates and saturates,
                                                                   NaN gives 0; integers wrap; to bool: != 0. */
TH_API th_status th_assign(th_array *a,
                           const th_array *b); /**< a[...] = b, broadcast, cast, from any device. */
TH_API th_status th_fill(th_array *a, double value); /**< a[...] = value. */

/* Waiting and reading. All may block. Errors of the operations that a's content depends on come out here, every time. */
TH_API th_status th_wait(const th_array *a); /**< Until every write submitted so far is done. */
TH_API th_status th_wait_many(th_array *const *arrays,
                              int n); /**< All of them; the first error in list order. */
TH_API th_status th_wait_for(
    const th_array *a, int64_t timeout_ns); /**< TH_ETIMEDOUT after timeout_ns; 0 and less poll. */
TH_API bool th_is_ready(const th_array *a); /**< No write pending. Never blocks. */
/** Copies a's elements, rows first, to out. bytes must be size * element size (TH_EINVAL). TH_ENODATA for meta. */
TH_API th_status th_read(const th_array *a, void *out, size_t bytes);
/** a[...] = elements at in. in may be reused when the call returns. Does not wait for a's readers. Elements with gaps on a GPU
 *  need room there for as many without. */
TH_API th_status th_write(th_array *a, const void *in, size_t bytes);
TH_API double th_item(
    const th_array *a); /**< The one element as double; NaN and an error if not one. */
TH_API th_status th_print(const th_array *a,
                          FILE *out); /**< As NumPy prints, with dtype; long axes shortened. */
/** Direct access to host memory: waits (for reading: pending writes; for writing: all uses), then holds the storage
 *  until th_unmap(): operations submitted meanwhile that conflict wait. *data points to element [0,...,0]; use the
 *  strides. CPU devices only (TH_EDEVICE). TH_EDEADLK inside a task that the storage waits for. */
TH_API th_status th_map_read(const th_array *a, const void **data);
TH_API th_status th_map_write(th_array *a, void **data); /**< As th_map_read(), for writing. */
TH_API th_status
th_unmap(const th_array *a); /**< Ends the oldest mapping of a by this thread. TH_EINVAL if none. */

#ifdef __cplusplus
}
#endif
#endif
