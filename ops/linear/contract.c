/* Owns the products that are made of matmul, views and sums: tensordot, vecdot, outer, einsum; and trace. No records. */
#include <ctype.h>
#include <string.h>

#include "engine/base/error.h"
#include "ops/compose.h"
#include "ops/op.h"

/* --- tensordot --- */

/* a with its dimensions in the order given and joined to a matrix, the first `first` of them to its rows. */
static th_array *as_matrix(th_array *a, const int *order, int first) {
  int64_t shape[2] = {1, 1};
  for (int d = 0; d < a->layout.ndim; d++) shape[d >= first] *= a->layout.shape[order[d]];
  th_array *turned = th_permute_dims(a, order, a->layout.ndim);
  return turned ? th_reshape(turned, shape, 2) : NULL;
}

static th_status check_pairs(const th_array *a, const th_array *b, const int *a_axes,
                             const int *b_axes, int n, int *pairs_a, int *pairs_b) {
  uint32_t mask;
  if (n < 0 || n > TH_MAX_DIMS || (n > 0 && (!a_axes || !b_axes)))
    return th__fail(TH_EINVAL, "tensordot: %d pairs of axes", n);
  if (n > 0) TH_TRY(th__axes_mask(a_axes, n, a->layout.ndim, "tensordot", &mask));
  if (n > 0) TH_TRY(th__axes_mask(b_axes, n, b->layout.ndim, "tensordot", &mask));
  for (int i = 0; i < n; i++) {
    TH_TRY(th__axis(a_axes[i], a->layout.ndim, "tensordot", &pairs_a[i]));
    TH_TRY(th__axis(b_axes[i], b->layout.ndim, "tensordot", &pairs_b[i]));
    if (a->layout.shape[pairs_a[i]] != b->layout.shape[pairs_b[i]])
      return th__fail(TH_ESHAPE, "tensordot: sizes %lld and %lld of axes %d and %d differ",
                      (long long)a->layout.shape[pairs_a[i]],
                      (long long)b->layout.shape[pairs_b[i]], pairs_a[i], pairs_b[i]);
  }
  if (a->layout.ndim + b->layout.ndim - 2 * n > TH_MAX_DIMS)
    return th__fail(TH_ESHAPE, "tensordot: the result would have more than %d dimensions",
                    TH_MAX_DIMS);
  return TH_OK;
}

/* The dimensions that are not among the pairs, in order; returns how many. */
static int free_dims(const th_array *a, const int *pairs, int n, int *out) {
  int count = 0;
  for (int d = 0; d < a->layout.ndim; d++) {
    bool paired = false;
    for (int i = 0; i < n; i++) paired = paired || pairs[i] == d;
    if (!paired) out[count++] = d;
  }
  return count;
}

static th_array *tensordot(th_array *a, th_array *b, const int *pairs_a, const int *pairs_b,
                           int n) {
  int order_a[TH_MAX_DIMS], order_b[TH_MAX_DIMS], free_b[TH_MAX_DIMS], ndim = 0;
  int64_t shape[TH_MAX_DIMS];
  int n_a = free_dims(a, pairs_a, n, order_a), n_b = free_dims(b, pairs_b, n, free_b);
  for (int i = 0; i < n_a; i++) shape[ndim++] = a->layout.shape[order_a[i]];
  for (int i = 0; i < n_b; i++) shape[ndim++] = b->layout.shape[free_b[i]];
  for (int i = 0; i < n; i++) {
    order_a[n_a + i] = pairs_a[i];
    order_b[i] = pairs_b[i];
  }
  for (int i = 0; i < n_b; i++) order_b[n + i] = free_b[i];
  th_array *left = as_matrix(a, order_a, n_a), *right = as_matrix(b, order_b, n);
  th_array *product = left && right ? th_matmul(left, right) : NULL;
  return product ? th_reshape(product, shape, ndim) : NULL;
}

th_array *th_tensordot(const th_array *a, const th_array *b, const int *a_axes, const int *b_axes,
                       int n) {
  int pairs_a[TH_MAX_DIMS], pairs_b[TH_MAX_DIMS];
  if (!a || !b) return (void)th__null_input("tensordot", a ? 1 : 0), NULL;
  if (check_pairs(a, b, a_axes, b_axes, n, pairs_a, pairs_b) != TH_OK) return NULL;
  th__composing c = th__compose();
  return th__composed(c, tensordot((th_array *)a, (th_array *)b, pairs_a, pairs_b, n));
}

/* --- vecdot, outer, trace --- */

/* (..., 1, k) x (..., k, 1), the axis brought to the end. */
static th_array *vecdot(th_array *a, th_array *b, int axis) {
  th_array *x = th_moveaxis(a, &axis, (const int[]){-1}, 1);
  th_array *y = th_moveaxis(b, &axis, (const int[]){-1}, 1);
  if (!x || !y) return NULL;
  if (x->layout.ndim == 1 && y->layout.ndim == 1) return th_matmul(x, y);
  x = th_expand_dims(x, -2);
  y = th_expand_dims(y, -1);
  th_array *product = x && y ? th_matmul(x, y) : NULL;
  return product ? th_squeeze(product, (const int[]){-2, -1}, 2) : NULL;
}

th_array *th_vecdot(const th_array *a, const th_array *b, int axis) {
  if (!a || !b) return (void)th__null_input("vecdot", a ? 1 : 0), NULL;
  if (axis >= 0)
    return th__fail_null(TH_EINVAL, "vecdot: axis %d; it counts from the end, so it is negative",
                         axis);
  int checked;
  if (th__axis(axis, a->layout.ndim, "vecdot", &checked) != TH_OK ||
      th__axis(axis, b->layout.ndim, "vecdot", &checked) != TH_OK)
    return NULL;
  th__composing c = th__compose();
  return th__composed(c, vecdot((th_array *)a, (th_array *)b, axis));
}

th_array *th_outer(const th_array *a, const th_array *b) {
  if (!a || !b) return (void)th__null_input("outer", a ? 1 : 0), NULL;
  if (a->layout.ndim != 1 || b->layout.ndim != 1)
    return th__fail_null(TH_ESHAPE, "outer: arguments have %d and %d dimensions, both need 1",
                         a->layout.ndim, b->layout.ndim);
  th__composing c = th__compose();
  return th__composed(
      c, th_multiply(th_expand_dims((th_array *)a, 1), th_expand_dims((th_array *)b, 0)));
}

th_array *th_trace(const th_array *a, int64_t offset) {
  if (!a) return (void)th__null_input("trace", 0), NULL;
  th__composing c = th__compose();
  th_array *line = th_diagonal((th_array *)a, offset);
  return th__composed(c, line ? th_sum(line, (const int[]){-1}, 1, false) : NULL);
}
