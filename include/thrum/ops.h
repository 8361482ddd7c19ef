/**
 * @file ops.h
 * Operators on arrays, by the names of the Array API standard. Those that work element by element are in
 * elementwise.h.
 *
 * All return +1 or NULL at once, before the result is computed (checks happen in the call: TH_ESHAPE, TH_EDTYPE, TH_EDEVICE,
 * TH_EINVAL, naming the operator and the shapes). Two-argument operators broadcast and promote by the Array API's table,
 * integer with float giving the float's type; scalars never change the type. _inplace forms write their first argument
 * (its shape and type stay). Integers wrap; integer x / 0 and x % 0 give 0. f16 and bf16 compute and accumulate in f32.
 * axes: n_axes dimensions, negative counts from the end; n_axes 0 = all. keepdims keeps reduced dimensions as size 1.
 */
#ifndef THRUM_OPS_H
#define THRUM_OPS_H

#include <thrum/array.h>
#include <thrum/custom.h>
#include <thrum/elementwise.h>
#include <thrum/nn.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Reductions. Sums are pairwise in fixed blocks: bits do not depend on the number of threads. bool and small integers sum
 * and multiply in i64 (unsigned: u64). */
TH_API th_array *th_sum(const th_array *a, const int *axes, int n_axes,
                        bool keepdims); /**< Sum; 0 when empty. */
TH_API th_array *th_prod(const th_array *a, const int *axes, int n_axes,
                         bool keepdims); /**< Product; 1 when empty. */
/** Mean; integers give f32; of 64 bits they sum in f64. */
TH_API th_array *th_mean(const th_array *a, const int *axes, int n_axes, bool keepdims);
TH_API th_array *th_max(const th_array *a, const int *axes, int n_axes,
                        bool keepdims); /**< Largest; NaN wins; TH_ESHAPE when empty. */
TH_API th_array *th_min(const th_array *a, const int *axes, int n_axes,
                        bool keepdims); /**< Smallest; NaN wins; TH_ESHAPE when empty. */
TH_API th_array *th_all(const th_array *a, const int *axes, int n_axes,
                        bool keepdims); /**< bool: every element != 0. */
TH_API th_array *th_any(const th_array *a, const int *axes, int n_axes,
                        bool keepdims); /**< bool: some element != 0. */
TH_API th_array *th_argmax(const th_array *a, int axis,
                           bool keepdims); /**< i64 index of the first largest along axis. */
TH_API th_array *th_argmin(const th_array *a, int axis,
                           bool keepdims); /**< i64 index of the first smallest along axis. */

/* Linear algebra. */
/** (..., m, k) x (..., k, n) -> (..., m, n), leading dimensions broadcast; 1-d operands as in the Array API. */
TH_API th_array *th_matmul(const th_array *a, const th_array *b);
/** x w + b: x (..., k), w (k, n), b (n) or NULL. */
TH_API th_array *th_linear(const th_array *x, const th_array *w, const th_array *b);

/* Indexing and joining. */
/** Rows of a along axis at indices (any integer type, any shape, 0 <= i < size; else the task fails with TH_EINVAL). */
TH_API th_array *th_take(const th_array *a, const th_array *indices, int axis);
/** Adds b's rows to a's at indices along axis 0, repeated ones in order: a[indices[i]] += b[i]. */
TH_API th_status th_scatter_add_inplace(th_array *a, const th_array *indices, const th_array *b);
TH_API th_array *th_one_hot(const th_array *indices, int64_t n,
                            th_dtype t); /**< (..., n): 1 at the index, else 0. */
TH_API th_array *th_concat(th_array *const *arrays, int n,
                           int axis); /**< Joins along an axis; promotes. */
TH_API th_array *th_stack(th_array *const *arrays, int n,
                          int axis); /**< Joins along a new axis; promotes. */

#ifdef __cplusplus
}
#endif
#endif
