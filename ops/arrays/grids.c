/* Owns makers that are composed of other operators: what is like another array, triangles, grids. */
#include "engine/base/error.h"
#include "ops/op.h"

th_array *th_full_like(const th_array *a, double value) {
  if (!a) return (void)th__null_input("full_like", 0), NULL;
  return th_full(a->layout.shape, a->layout.ndim, value, a->layout.dtype, a->device);
}

th_array *th_asarray(th_array *a, th_dtype t, th_device d) {
  if (!a) return (void)th__null_input("asarray", 0), NULL;
  if (a->layout.dtype == t) return th_device_equal(a->device, d) ? th_retain(a) : th_copy_to(a, d);
  th_scope scope = th__scope_suspend();
  bool moves = !th_device_equal(a->device, d);
  th_array *cast = th_astype(a, t), *moved = moves ? th_copy_to(cast, d) : th_retain(cast);
  th_release(cast);
  return th__scope_resume(scope, moved);
}

/* --- triangles --- */

/* (rows, columns) bools: column - row <= k. */
static th_array *below_diagonal(const th_array *a, int64_t k) {
  const int64_t *size = a->layout.shape + a->layout.ndim - 2;
  th_array *row = th_arange((double)k, (double)(k + size[0]), 1, TH_I64, a->device);
  th_array *column = th_arange(0, (double)size[1], 1, TH_I64, a->device);
  th_array *rows = th_expand_dims(row, 1), *mask = th_less_equal(column, rows);
  th_array *const made[] = {row, column, rows};
  for (int i = 0; i < 3; i++) th_release(made[i]);
  return mask;
}

static th_array *triangle(const th_array *a, int64_t k, bool lower, const char *who) {
  if (!a) return (void)th__null_input(who, 0), NULL;
  if (a->layout.ndim < 2)
    return th__fail_null(TH_ESHAPE, "%s: %d dimensions are no matrices", who, a->layout.ndim);
  const int64_t *size = a->layout.shape + a->layout.ndim - 2;
  k = k < -size[0] ? -size[0] : k > size[1] ? size[1] : k; /* beyond, nothing changes */
  th_scope scope = th__scope_suspend();
  th_array *below = below_diagonal(a, lower ? k : k - 1);
  th_array *zero = th_zeros(NULL, 0, a->layout.dtype, a->device);
  th_array *result = lower ? th_where(below, a, zero) : th_where(below, zero, a);
  th_release(below);
  th_release(zero);
  return th__scope_resume(scope, result);
}

th_array *th_tril(const th_array *a, int64_t k) { return triangle(a, k, true, "tril"); }
th_array *th_triu(const th_array *a, int64_t k) { return triangle(a, k, false, "triu"); }

/* --- grids --- */

/* After a failure: gives back what was made. */
static th_status give_up(th_array **out, int n) {
  for (int i = 0; i < n; i++) {
    if (out[i]) th_release(th_keep(out[i]));
    out[i] = NULL;
  }
  return th_last_status();
}

static th_status check_list(const char *who, th_array *const *arrays, int n, th_array **out) {
  if (n < 1 || !arrays || !out) return th__fail(TH_EINVAL, "%s: no arrays", who);
  for (int i = 0; i < n; i++) out[i] = NULL;
  for (int i = 0; i < n; i++)
    if (!arrays[i]) return th__null_input(who, i);
  return TH_OK;
}

th_status th_broadcast_arrays(th_array *const *arrays, int n, th_array **out) {
  TH_TRY(check_list("broadcast_arrays", arrays, n, out));
  th_layout shape = arrays[0]->layout;
  for (int i = 1; i < n; i++) {
    th_layout so_far = shape;
    TH_TRY(th__broadcast_shapes(&so_far, &arrays[i]->layout, &shape, "broadcast_arrays"));
  }
  for (int i = 0; i < n; i++)
    if (!(out[i] = th_broadcast_to(arrays[i], shape.shape, shape.ndim))) return give_up(out, i);
  return TH_OK;
}

/* Dimension of the grid along which array i runs. */
static int grid_dimension(int i, bool xy) { return xy && i < 2 ? 1 - i : i; }

static th_array *grid_of(th_array *a, int along, int ndim, const int64_t *shape) {
  int64_t own[TH_MAX_DIMS];
  for (int d = 0; d < ndim; d++) own[d] = d == along ? shape[d] : 1;
  th_scope scope = th__scope_suspend();
  th_array *turned = th_reshape(a, own, ndim), *grid = th_broadcast_to(turned, shape, ndim);
  th_release(turned);
  return th__scope_resume(scope, grid);
}

th_status th_meshgrid(th_array *const *arrays, int n, bool xy, th_array **out) {
  int64_t shape[TH_MAX_DIMS];
  TH_TRY(check_list("meshgrid", arrays, n, out));
  if (n > TH_MAX_DIMS)
    return th__fail(TH_ESHAPE, "meshgrid: %d arrays, at most %d dimensions", n, TH_MAX_DIMS);
  xy = xy && n > 1;
  for (int i = 0; i < n; i++) {
    if (arrays[i]->layout.ndim > 1)
      return th__fail(TH_ESHAPE, "meshgrid: array %d has %d dimensions", i, arrays[i]->layout.ndim);
    shape[grid_dimension(i, xy)] = th__layout_size(&arrays[i]->layout);
  }
  for (int i = 0; i < n; i++)
    if (!(out[i] = grid_of(arrays[i], grid_dimension(i, xy), n, shape))) return give_up(out, i);
  return TH_OK;
}
