/* Owns arithmetic that writes its first argument: the loops of binary.c and scalar.c with that argument as the result. */
#include "ops/elementwise.h"

#include "engine/base/error.h"

/* --- gradients: g speaks of the new value, results of the old one --- */

static th_status give(const th_vjp *v, th_array *gradient) {
  v->result[0] = gradient;
  return th__vjp_check(v);
}

static th_status vjp_shift(const th_vjp *v) { return give(v, th_retain(v->gradients[0])); }

static th_status vjp_scale(const th_vjp *v) {
  return give(v, th_multiply_scalar(v->gradients[0], *(const double *)v->params));
}

static th_status vjp_shrink(const th_vjp *v) {
  return give(v, th_divide_scalar(v->gradients[0], *(const double *)v->params));
}

/* --- records and public functions --- */

static th_status infer_scalar(th_infer *io, const void *params) { return TH_OK; }

#define INPLACE(id, types, low, high, gradient, saved, scalar_gradient)                            \
  static th_status id##_cpu(const th_kernel_args *k) {                                             \
    return th__loop_typed(k, th__binary_##id, 0, NULL);                                            \
  }                                                                                                \
  static const th_op id##_op = {.name = #id "_inplace",                                            \
                                .in = {2},                                                         \
                                .saves = saved,                                                    \
                                .writes = 1,                                                       \
                                .flags = TH_OP_ELEMENTWISE | TH_OP_NONBLOCKING,                    \
                                .dtypes = types,                                                   \
                                .infer = th__infer_inplace,                                        \
                                .vjp = gradient,                                                   \
                                .loops = th__binary_##id,                                          \
                                .cpu = id##_cpu,                                                   \
                                .test = {low, high, 1e-5}};                                        \
  th_status th_##id##_inplace(th_array *a, const th_array *b) {                                    \
    return th__call_inplace(&id##_op, a, b);                                                       \
  }                                                                                                \
  static th_status id##_scalar_cpu(const th_kernel_args *k) {                                      \
    return th__loop_typed(k, th__scalar_##id, 0, k->params);                                       \
  }                                                                                                \
  static const th_op id##_scalar_op = {.name = #id "_scalar_inplace",                              \
                                       .in = {1},                                                  \
                                       .writes = 1,                                                \
                                       .flags = TH_OP_ELEMENTWISE | TH_OP_NONBLOCKING,             \
                                       .dtypes = types,                                            \
                                       .params_size = sizeof(double),                              \
                                       .infer = infer_scalar,                                      \
                                       .vjp = scalar_gradient,                                     \
                                       .loops = th__scalar_##id,                                   \
                                       .cpu = id##_scalar_cpu,                                     \
                                       .test = {low, high, 1e-5}};                                 \
  th_status th_##id##_scalar_inplace(th_array *a, double s) {                                      \
    return th__invoke(&id##_scalar_op, &s, (const th_array *const[]){a}, 1, NULL, 0);              \
  }

INPLACE(add, TH_NUMBERS, -3, 3, th__vjp_add, 0, vjp_shift)
INPLACE(subtract, TH_NUMBERS, -3, 3, th__vjp_subtract, 0, vjp_shift)
INPLACE(multiply, TH_NUMBERS, -3, 3, th__vjp_multiply, TH_SAVE_IN(0) | TH_SAVE_IN(1), vjp_scale)
INPLACE(divide, TH_FLOATS, 0.5, 3, th__vjp_divide, TH_SAVE_IN(1) | TH_SAVE_OUT(0), vjp_shrink)

const th_op *const th__family_inplace[] = {
    &add_op,      &add_scalar_op,      &subtract_op, &subtract_scalar_op,
    &multiply_op, &multiply_scalar_op, &divide_op,   &divide_scalar_op,
    NULL};
