/**
 * @file ops_arrays.h
 * Operators that rearrange, index, sort and sum up arrays, beside those of ops.h and by the same rules.
 */
#ifndef THRUM_OPS_ARRAYS_H
#define THRUM_OPS_ARRAYS_H

#include <thrum/array.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Views, as in array.h. */
/** Dimension source[i] of a becomes destination[i] of the result, n of them; the others keep their order. */
TH_API th_array *th_moveaxis(th_array *a, const int *source, const int *destination, int n);
/** out[i] = a's element i along axis, a view without it, for all of them (+1 each); none on failure. */
TH_API th_status th_unstack(th_array *a, int axis, th_array **out);
/** The diagonal of the last two dimensions, as the last one: a[..., i, i + offset]. (..., m, n) -> (..., length). */
TH_API th_array *th_diagonal(th_array *a, int64_t offset);

/* Copies. */
/** Every element along axis `repeats` times, one beside the other. TH_EINVAL below 0. */
TH_API th_array *th_repeat(const th_array *a, int64_t repeats, int axis);
/** The whole array repetitions[i] times along each of its last n dimensions; dimensions of size 1 come in front when n is
 *  larger. TH_EINVAL below 0. */
TH_API th_array *th_tile(const th_array *a, const int64_t *repetitions, int n);
/** What leaves one end along axes[i] comes in at the other, shifts[i] elements further, for n axes; an axis given twice moves
 *  by the sum. axes NULL with n 1: along the flattened array. */
TH_API th_array *th_roll(const th_array *a, const int64_t *shifts, const int *axes, int n);
/** before[d] and after[d] elements of the value around each dimension (ndim of each; NULL = none). TH_EINVAL below 0. */
TH_API th_array *th_pad(const th_array *a, const int64_t *before, const int64_t *after,
                        double value);

/* Indexing. Indices are of any integer type, 0 <= i < size; one out of range fails the task with TH_EINVAL (a CUDA kernel
 * cannot: it gives NaN or 0 when reading, and leaves out what it should write). */
/** result[..., j, ...] = a[..., indices[..., j, ...], ...] along axis; other dimensions broadcast. */
TH_API th_array *th_take_along_axis(const th_array *a, const th_array *indices, int axis);
/** a[indices[i]] = b[i] along axis 0, the last one wins: shapes as for th_scatter_add_inplace(); b is cast to a's type. */
TH_API th_status th_put_inplace(th_array *a, const th_array *indices, const th_array *b);
/** mask ? value : a, both broadcast; mask bool. */
TH_API th_array *th_masked_fill(const th_array *a, const th_array *mask, double value);
/** a = value where the mask (broadcast to a's shape) is true. */
TH_API th_status th_masked_fill_inplace(th_array *a, const th_array *mask, double value);
/** Where elements are not 0, rows first: out[d] = i64 positions along dimension d (ndim of them, +1 each, all as long as
 *  there are such elements). Waits for a, because the result's size depends on it. TH_ESHAPE for 0-d. On CUDA devices it is
 *  computed by the CPU. */
TH_API th_status th_nonzero(const th_array *a, th_array **out);

/* Reductions: axes and keepdims as in ops.h. */
TH_API th_array *th_count_nonzero(const th_array *a, const int *axes, int n_axes,
                                  bool keepdims); /**< i64: elements != 0. */
/** Mean of squared differences from the mean (computed first), with n - correction in place of n. Floats; NaN or infinite
 *  when that is not above 0. */
TH_API th_array *th_variance(const th_array *a, const int *axes, int n_axes, double correction,
                             bool keepdims);
TH_API th_array *th_std(const th_array *a, const int *axes, int n_axes, double correction,
                        bool keepdims); /**< Square root of th_variance(). */
/** log of the sum of e^a, shifted by the largest a, so that nothing overflows. Floats; -infinity when empty. */
TH_API th_array *th_logsumexp(const th_array *a, const int *axes, int n_axes, bool keepdims);
/** (sum |a|^ord)^(1/ord); ord infinity: largest, -infinity: smallest |a|; 0: elements != 0. Floats. */
TH_API th_array *th_vector_norm(const th_array *a, const int *axes, int n_axes, double ord,
                                bool keepdims);

/* Running sums along an axis. Types as for th_sum(); f32 and halves add up in f64. With include_initial the axis is one
 * longer and begins with 0 or 1. */
TH_API th_array *th_cumulative_sum(const th_array *a, int axis,
                                   bool include_initial); /**< Sums of all up to each element. */
TH_API th_array *th_cumulative_prod(const th_array *a, int axis,
                                    bool include_initial); /**< Products of the same. */

/* Order along an axis. Equal elements keep their order, -0 equals 0, NaN comes last in either direction. */
TH_API th_array *th_sort(const th_array *a, int axis, bool descending); /**< Sorted elements. */
TH_API th_array *th_argsort(const th_array *a, int axis,
                            bool descending); /**< i64: where they come from. */
/** The k largest (or smallest) elements along axis, best first, and their i64 indices; of equal ones the first. *values and
 *  *indices are +1; either may be NULL. TH_EINVAL for k outside [0, size]. */
TH_API th_status th_topk(const th_array *a, int64_t k, int axis, bool largest, th_array **values,
                         th_array **indices);
/** i64: where each of `values` (any shape) would be inserted into the ascending 1-d `sorted`: before (right: behind) equal
 *  elements. Promotes. */
TH_API th_array *th_searchsorted(const th_array *sorted, const th_array *values, bool right);

/* Linear algebra. */
/** Sum of products over n pairs of dimensions a_axes[i], b_axes[i]: the others of a, then those of b. Promotes. */
TH_API th_array *th_tensordot(const th_array *a, const th_array *b, const int *a_axes,
                              const int *b_axes, int n);
/** Sum of products along an axis (negative, from the end of both); other dimensions broadcast. Promotes. */
TH_API th_array *th_vecdot(const th_array *a, const th_array *b, int axis);
/** (m), (n) -> (m, n): a[i] * b[j]. */
TH_API th_array *th_outer(const th_array *a, const th_array *b);
/** Einstein's sum of one (b NULL) or two arrays: "ij,jk->ik", "bij,bij->b", "ii->i", "ij,j". Letters, each at most once on
 *  the right; without "->" those that occur once, in the alphabet's order. Sizes must be equal or 1. Promotes. */
TH_API th_array *th_einsum(const char *formula, const th_array *a, const th_array *b);
/** Sum along the diagonal of the last two dimensions. */
TH_API th_array *th_trace(const th_array *a, int64_t offset);

#ifdef __cplusplus
}
#endif
#endif
