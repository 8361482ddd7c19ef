/* Owns the records and functions of the forms that a row of two operands has beside the plain one: with a scalar, in place, and
 * both. All run the lines th__binary_ID. */
#ifndef THRUM_OPS_ELEMENTWISE_FORMS_H
#define THRUM_OPS_ELEMENTWISE_FORMS_H

#include "ops/elementwise/elementwise.h"
#include "ops/loops/lines.h"

/* form: what follows the row's name. The last arguments are further fields. */
#define TH__FORM(id, form, types, low, high, gradient, saved, flag, ...)                           \
  static const th_op id##form##_op = {.name = #id #form,                                           \
                                      .saves = saved,                                              \
                                      .flags = TH_OP_ELEMENTWISE | TH_OP_NONBLOCKING | (flag),     \
                                      .dtypes = types,                                             \
                                      .vjp = gradient,                                             \
                                      .lines = th__binary_##id,                                    \
                                      .cpu = th__lines_kernel,                                     \
                                      .test = {low, high, 1e-5},                                   \
                                      __VA_ARGS__};

#define TH__SCALAR_FORM(id, types, low, high, gradient, saved, flag)                               \
  TH__FORM(id, _scalar, types, low, high, gradient, saved, (flag) | TH_OP_SCALARS, .in = {1},      \
           .out = {1}, .params_size = sizeof(double), .infer = th__infer_same)
#define TH__SCALAR_INPLACE_FORM(id, types, low, high, gradient, saved, flag)                       \
  TH__FORM(id, _scalar_inplace, types, low, high, gradient, saved, (flag) | TH_OP_SCALARS,         \
           .in = {1}, .writes = 1, .params_size = sizeof(double), .infer = th__infer_written)      \
  th_status th_##id##_scalar_inplace(th_array *a, double s) {                                      \
    return th__invoke(&id##_scalar_inplace_op, &s, (const th_array *const[]){a}, 1, NULL, 0);      \
  }
#define TH__INPLACE_FORM(id, types, low, high, gradient, saved, flag)                              \
  TH__FORM(id, _inplace, types, low, high, gradient, saved, flag, .in = {2}, .writes = 1,          \
           .infer = th__infer_inplace)                                                             \
  th_status th_##id##_inplace(th_array *a, const th_array *b) {                                    \
    return th__call_inplace(&id##_inplace_op, a, b);                                               \
  }
#define TH__SCALAR_PUBLIC(id)                                                                      \
  th_array *th_##id##_scalar(const th_array *a, double s) {                                        \
    return TH_CALL(&id##_scalar_op, &s, a);                                                        \
  }

#endif
