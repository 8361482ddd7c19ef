/* Owns the functions that rearrange by other operators: moveaxis, unstack, repeat, tile. They have no records: views and one
 * copy say all, gradients included. */
#include "ops/compose.h"
#include "ops/op.h"

#include "engine/base/error.h"

/* --- moveaxis --- */

th_array *th_moveaxis(th_array *a, const int *source, const int *destination, int n) {
  if (!a) return (void)th__null_input("moveaxis", 0), NULL;
  int ndim = a->layout.ndim, order[TH_MAX_DIMS], next = 0;
  uint32_t taken = 0, moved = 0;
  if (n < 0 || n > ndim || (n > 0 && (!source || !destination)))
    return th__fail_null(TH_EINVAL, "moveaxis: %d axes of %d dimensions", n, ndim);
  for (int i = 0; i < n; i++) {
    int from, to;
    if (th__axis(source[i], ndim, "moveaxis", &from) != TH_OK ||
        th__axis(destination[i], ndim, "moveaxis", &to) != TH_OK)
      return NULL;
    if ((moved >> from & 1) || (taken >> to & 1))
      return th__fail_null(TH_EINVAL, "moveaxis: an axis is given twice");
    moved |= 1u << from;
    taken |= 1u << to;
    order[to] = from;
  }
  for (int d = 0; d < ndim; d++) {
    if (moved >> d & 1) continue;
    while (taken >> next & 1) next++;
    order[next++] = d;
  }
  return th_permute_dims(a, order, ndim);
}

/* --- unstack --- */

/* Element i along axis, as a view without it. */
static th_array *element(th_array *a, int axis, int64_t i) {
  char spec[4 * TH_MAX_DIMS + 32];
  int length = 0;
  for (int d = 0; d < axis; d++) length += snprintf(spec + length, 4, ":, ");
  snprintf(spec + length, sizeof spec - (size_t)length, "%lld", (long long)i);
  return th_slice(a, spec);
}

th_status th_unstack(th_array *a, int axis, th_array **out) {
  if (!a || !out) return th__null_input("unstack", a ? 2 : 0);
  TH_TRY(th__axis(axis, a->layout.ndim, "unstack", &axis));
  for (int64_t i = 0; i < a->layout.shape[axis]; i++) {
    out[i] = element(a, axis, i);
    if (out[i]) continue;
    for (int64_t j = 0; j < i; j++) th_release(th_keep(out[j]));
    for (int64_t j = 0; j < i; j++) out[j] = NULL;
    return th_last_status();
  }
  return TH_OK;
}

/* --- repeat, tile --- */

/* a with dimension `at` (of size `times`) inserted by broadcasting. */
static th_array *spread(th_array *a, int at, int64_t times) {
  th_array *wide = a ? th_expand_dims(a, at) : NULL;
  if (!wide) return NULL;
  int64_t shape[TH_MAX_DIMS];
  for (int d = 0; d < wide->layout.ndim; d++) shape[d] = wide->layout.shape[d];
  shape[at] = times;
  return th_broadcast_to(wide, shape, wide->layout.ndim);
}

/* a with its dimension `axis` `times` as long: the whole again and again, or (each) every element. The copy is of three
 * dimensions and one more, so eight are no limit. */
static th_array *lengthen(th_array *a, int axis, int64_t times, bool each) {
  int ndim = a->layout.ndim;
  int64_t shape[TH_MAX_DIMS], parts[3] = {1, 1, 1};
  for (int d = 0; d < ndim; d++) {
    shape[d] = a->layout.shape[d];
    parts[d < axis ? 0 : d == axis ? 1 : 2] *= shape[d];
  }
  th_array *flat = ndim < TH_MAX_DIMS ? a : th_reshape(a, parts, 3);
  int at = ndim < TH_MAX_DIMS ? axis : 1;
  th_array *wide = spread(flat, at + each, times);
  if (!wide) return NULL;
  shape[axis] *= times; /* fits: the broadcast shape did */
  th_array *result = th_reshape(wide, shape, ndim);
  return result && result->storage == a->storage ? th_copy(result) : result;
}

th_array *th_repeat(const th_array *a, int64_t repeats, int axis) {
  if (!a) return (void)th__null_input("repeat", 0), NULL;
  if (repeats < 0) return th__fail_null(TH_EINVAL, "repeat: %lld times", (long long)repeats);
  if (th__axis(axis, a->layout.ndim, "repeat", &axis) != TH_OK) return NULL;
  th__composing c = th__compose();
  return th__composed(c, lengthen((th_array *)a, axis, repeats, true));
}

/* All dimensions at once, where a dimension more for each that grows is possible: one copy. */
static th_array *tile_at_once(th_array *a, const int64_t *times) {
  int ndim = a->layout.ndim;
  int64_t shape[TH_MAX_DIMS];
  th_array *wide = a;
  for (int d = ndim - 1; d >= 0 && wide; d--) {
    shape[d] = a->layout.shape[d];
    if (times[d] != 1) wide = spread(wide, d, times[d]);
  }
  if (!wide) return NULL;
  for (int d = 0; d < ndim; d++) shape[d] *= times[d];
  th_array *result = th_reshape(wide, shape, ndim);
  return result && result->storage == a->storage ? th_copy(result) : result;
}

static th_array *tiled(th_array *a, const int64_t *repetitions, int n) {
  int ndim = a->layout.ndim, growing = 0;
  int64_t times[TH_MAX_DIMS];
  for (; ndim < n && a; ndim++) a = th_expand_dims(a, 0);
  for (int d = 0; d < ndim; d++) {
    times[d] = d < ndim - n ? 1 : repetitions[d - (ndim - n)];
    growing += times[d] != 1;
  }
  if (!a || growing == 0) return a ? th_copy(a) : NULL;
  if (ndim + growing <= TH_MAX_DIMS) return tile_at_once(a, times);
  for (int d = ndim - 1; d >= 0 && a; d--)
    if (times[d] != 1) a = lengthen(a, d, times[d], false);
  return a;
}

th_array *th_tile(const th_array *a, const int64_t *repetitions, int n) {
  if (!a) return (void)th__null_input("tile", 0), NULL;
  if (n < 0 || n > TH_MAX_DIMS || (n > 0 && !repetitions))
    return th__fail_null(TH_EINVAL, "tile: %d repetitions, at most %d are possible", n,
                         TH_MAX_DIMS);
  for (int i = 0; i < n; i++)
    if (repetitions[i] < 0)
      return th__fail_null(TH_EINVAL, "tile: %lld times", (long long)repetitions[i]);
  th__composing c = th__compose();
  return th__composed(c, tiled((th_array *)a, repetitions, n));
}
