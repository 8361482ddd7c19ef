/* Owns roll and pad: copies of boxes to other places, and boxes of one value. */
#include "ops/arrays/shift.h"

#include <stdio.h>

#include "engine/base/error.h"
#include "ops/compose.h"
#include "ops/op.h"
#include "ops/arrays/copy.h"
#include "ops/params_arrays.h"

static const th__box_ops host = {th__host_move, th__host_fill};

static char *moved(void *data, const th_layout *l, int d, int64_t steps) {
  return (char *)data + steps * l->strides[d] * (int64_t)th_dtype_size(l->dtype);
}

/* --- roll --- */

typedef struct rolling {
  const th_kernel_args *k;
  const th__box_ops *ops;
  const int64_t *shifts;
} rolling;

/* Dimensions before d are cut already. Each that moves falls into two boxes, which change places. */
static th_status roll_from(const rolling *r, int d, th_layout to, void *to_data, th_layout from,
                           void *from_data) {
  while (d < to.ndim && r->shifts[d] == 0) d++;
  if (d == to.ndim) return r->ops->move(r->k->context, &to, to_data, &from, from_data);
  int64_t n = to.shape[d], shift = r->shifts[d];
  to.shape[d] = from.shape[d] = n - shift;
  TH_TRY(roll_from(r, d + 1, to, moved(to_data, &to, d, shift), from, from_data));
  to.shape[d] = from.shape[d] = shift;
  return roll_from(r, d + 1, to, to_data, from, moved(from_data, &from, d, n - shift));
}

th_status th__roll(const th_kernel_args *k, const th__box_ops *ops) {
  rolling r = {k, ops, ((const th__roll_params *)k->params)->shifts};
  if (th__layout_size(&k->out[0]) == 0) return TH_OK;
  return roll_from(&r, 0, k->out[0], k->out_data[0], k->in[0], k->in_data[0]);
}

static th_status roll_cpu(const th_kernel_args *k) { return th__roll(k, &host); }

static int64_t wrapped(int64_t shift, int64_t n) {
  if (n == 0) return 0;
  shift %= n;
  return shift < 0 ? shift + n : shift;
}

static th_status vjp_roll(const th_vjp *v) {
  const th__roll_params *p = v->params;
  int64_t back[TH_MAX_DIMS];
  int axes[TH_MAX_DIMS];
  for (int d = 0; d < v->in[0].ndim; d++) {
    back[d] = -p->shifts[d];
    axes[d] = d;
  }
  v->result[0] = th_roll(v->gradients[0], back, axes, v->in[0].ndim);
  return th__vjp_check(v);
}

static const th_op op_roll = {
    .name = "roll",
    .in = {1, 0},
    .out = {1, 0},
    .flags = TH_OP_NONBLOCKING,
    .dtypes = TH_ANY,
    .params_size = sizeof(th__roll_params),
    .infer = th__infer_same,
    .vjp = vjp_roll,
    .cpu = roll_cpu,
    .test = {-3, 3, 1e-5},
};

static th_array *roll_flat(const th_array *a, const int64_t *shifts) {
  const int axis = 0;
  th__composing c = th__compose();
  th_array *flat = th_reshape((th_array *)a, (const int64_t[]){-1}, 1);
  th_array *rolled = flat ? th_roll(flat, shifts, &axis, 1) : NULL;
  return th__composed(c, rolled ? th_reshape(rolled, a->layout.shape, a->layout.ndim) : NULL);
}

th_array *th_roll(const th_array *a, const int64_t *shifts, const int *axes, int n) {
  th__roll_params p = {{0}};
  if (!a) return (void)th__null_input("roll", 0), NULL;
  if (n < 0 || (n > 0 && !shifts) || (!axes && n > 1))
    return th__fail_null(TH_EINVAL, "roll: %d shifts without %s", n, shifts ? "axes" : "values");
  if (!axes && n == 1) {
    if (th__layout_size(&a->layout) == 0) return th_copy(a);
    return roll_flat(a, shifts);
  }
  for (int i = 0; i < n; i++) {
    int axis;
    if (th__axis(axes[i], a->layout.ndim, "roll", &axis) != TH_OK) return NULL;
    int64_t size = a->layout.shape[axis];
    p.shifts[axis] = wrapped(p.shifts[axis] + wrapped(shifts[i], size), size);
  }
  return TH_CALL(&op_roll, &p, a);
}

/* --- pad --- */

static th_status infer_pad(th_infer *io, const void *params) {
  const th__pad_params *p = params;
  TH_TRY(th__infer_same(io, params));
  for (int d = 0; d < io->in[0].ndim; d++) {
    int64_t *size = &io->out[0].shape[d];
    if (p->before[d] < 0 || p->after[d] < 0)
      return th__fail(TH_EINVAL, "pad: %lld and %lld elements around dimension %d",
                      (long long)p->before[d], (long long)p->after[d], d);
    if (__builtin_add_overflow(*size, p->before[d], size) ||
        __builtin_add_overflow(*size, p->after[d], size))
      return th__fail(TH_EOVERFLOW, "pad: dimension %d overflows", d);
  }
  return TH_OK;
}

/* What is before and after the input along each dimension, where the dimensions before are those of the input. */
th_status th__pad(const th_kernel_args *k, const th__box_ops *ops) {
  const th__pad_params *p = k->params;
  th_layout rest = k->out[0];
  void *data = k->out_data[0];
  uint64_t cell = 0;
  th__dtype_set(rest.dtype, &cell, p->value);
  for (int d = 0; d < rest.ndim; d++) {
    th_layout edge = rest;
    int64_t size = k->in[0].shape[d];
    edge.shape[d] = p->before[d];
    if (th__layout_size(&edge) > 0) TH_TRY(ops->fill(k->context, &edge, data, cell));
    edge.shape[d] = p->after[d];
    if (th__layout_size(&edge) > 0)
      TH_TRY(ops->fill(k->context, &edge, moved(data, &edge, d, p->before[d] + size), cell));
    data = moved(data, &rest, d, p->before[d]);
    rest.shape[d] = size;
  }
  if (th__layout_size(&rest) == 0) return TH_OK;
  return ops->move(k->context, &rest, data, &k->in[0], k->in_data[0]);
}

static th_status pad_cpu(const th_kernel_args *k) { return th__pad(k, &host); }

/* The part of the gradient that came from the input, dimension by dimension: one text might grow too long. */
static th_status vjp_pad(const th_vjp *v) {
  const th__pad_params *p = v->params;
  th_scope scope = th_scope_begin();
  th_array *g = th_slice(v->gradients[0], "...");
  for (int d = 0; d < v->in[0].ndim && g; d++) {
    char spec[4 * TH_MAX_DIMS + 64];
    int length = 0;
    if (p->before[d] == 0 && p->after[d] == 0) continue;
    for (int i = 0; i < d; i++) length += snprintf(spec + length, 4, ":, ");
    snprintf(spec + length, sizeof spec - (size_t)length, "%lld:%lld", (long long)p->before[d],
             (long long)(p->before[d] + v->in[0].shape[d]));
    g = th_slice(g, spec);
  }
  v->result[0] = th_keep(g);
  th_scope_end(scope);
  return th__vjp_check(v);
}

static const th_op op_pad = {
    .name = "pad",
    .in = {1, 0},
    .out = {1, 0},
    .flags = TH_OP_NONBLOCKING,
    .dtypes = TH_ANY,
    .params_size = sizeof(th__pad_params),
    .infer = infer_pad,
    .vjp = vjp_pad,
    .cpu = pad_cpu,
    .test = {-3, 3, 1e-5},
};

th_array *th_pad(const th_array *a, const int64_t *before, const int64_t *after, double value) {
  th__pad_params p = {.value = value};
  for (int d = 0; a && d < a->layout.ndim; d++) {
    p.before[d] = before ? before[d] : 0;
    p.after[d] = after ? after[d] : 0;
  }
  return TH_CALL(&op_pad, &p, a);
}

TH_FAMILY_TABLE(shift);
const th_op *const th__family_shift[] = {&op_roll, &op_pad, NULL};
