/* Owns arithmetic of an array and a scalar: the rows of binary.def with y fixed. The scalar is converted to the array's element
 * type by the cast rule. */
#include "ops/elementwise.h"

#include <tgmath.h>

#include "engine/base/error.h"
#include "ops/binary_math.h"

/* --- inner loops --- */

#define SCALAR_Y(t, NAME)                                                                          \
  th__s_##t cell;                                                                                  \
  th__dtype_set(TH_##NAME, &cell, *(const double *)user);                                          \
  const th__c_##t y = th__get_##t(&cell)
#define MAP(t, NAME, id, expression) TH__DEFINE_MAP(id##_##t, t, t, SCALAR_Y(t, NAME), expression)
#define ENTRY(t, NAME, id)           [TH_##NAME] = id##_##t,
#define FLOATS(X, id, ...)           TH__FOR_SINGLES(X, id, __VA_ARGS__) TH__FOR_HALVES(X, id, __VA_ARGS__)
#define FLOAT_ENTRIES(id)            TH__FOR_SINGLES(ENTRY, id) TH__FOR_HALVES(ENTRY, id)

#define TH_BINARY(id, lo, hi, gradient, floats, signed_ints, unsigned_ints)                        \
  FLOATS(MAP, id, floats)                                                                          \
  TH__FOR_SIGNED(MAP, id, signed_ints)                                                             \
  TH__FOR_UNSIGNED(MAP, id, unsigned_ints)                                                         \
  const th__inner th__scalar_##id[TH_DTYPE_COUNT] = {FLOAT_ENTRIES(id) TH__FOR_SIGNED(ENTRY, id)   \
                                                         TH__FOR_UNSIGNED(ENTRY, id)};
#define TH_BINARY_FLOAT(id, lo, hi, gradient, floats)                                              \
  FLOATS(MAP, id, floats)                                                                          \
  const th__inner th__scalar_##id[TH_DTYPE_COUNT] = {FLOAT_ENTRIES(id)};
#define TH_BINARY_ONLY(id, lo, hi, gradient, floats)
#define TH_SLOPES(id, dx, dy, dxx, dxy, dyy)
#define TH_STEPS(id, dx, dy)
#include "ops/binary.def"
#undef TH_BINARY
#undef TH_BINARY_FLOAT

/* --- gradients, composed --- */

static th_status give(const th_vjp *v, th_array *gradient) {
  v->result[0] = gradient;
  return th__vjp_check(v);
}

static double scalar_of(const th_vjp *v) { return *(const double *)v->params; }

static th_status vjp_add(const th_vjp *v) { return give(v, th_retain(v->gradients[0])); }

static th_status vjp_multiply(const th_vjp *v) {
  return give(v, th_multiply_scalar(v->gradients[0], scalar_of(v)));
}

static th_status vjp_divide(const th_vjp *v) {
  return give(v, th_divide_scalar(v->gradients[0], scalar_of(v)));
}

/* s x^(s - 1); a constant for s = 0, where x = 0 would give infinity times 0. */
static th_status vjp_pow(const th_vjp *v) {
  double s = scalar_of(v);
  if (s == 0) return give(v, th_zeros_like(v->gradients[0]));
  th_array *power = th_pow_scalar(v->inputs[0], s - 1);
  th_array *slope = th_multiply_scalar(power, s);
  th_array *result = th_multiply(v->gradients[0], slope);
  th_release(power);
  th_release(slope);
  return give(v, result);
}

/* All of it where x is chosen, ties included. */
static th_status vjp_chosen(const th_vjp *v, th_array *chosen) {
  th_array *result = th__keep_where(chosen, v->gradients[0]);
  th_release(chosen);
  return give(v, result);
}

static th_status vjp_maximum(const th_vjp *v) {
  return vjp_chosen(v, th_greater_equal_scalar(v->inputs[0], scalar_of(v)));
}

static th_status vjp_minimum(const th_vjp *v) {
  return vjp_chosen(v, th_less_equal_scalar(v->inputs[0], scalar_of(v)));
}

/* --- records and public functions --- */

/* The scalar's own gradient as the rows of binary.def name it does not apply here. */
#define RULE_add          vjp_add, 0, 0
#define RULE_subtract     vjp_add, 0, 0
#define RULE_multiply     vjp_multiply, 0, 0
#define RULE_divide       vjp_divide, 0, 0
#define RULE_remainder    vjp_add, 0, 0
#define RULE_floor_divide NULL, 0, TH_OP_FLAT
#define RULE_pow          vjp_pow, TH_SAVE_IN(0), 0
#define RULE_maximum      vjp_maximum, TH_SAVE_IN(0), 0
#define RULE_minimum      vjp_minimum, TH_SAVE_IN(0), 0

#define RECORD(...) RECORD_(__VA_ARGS__)
#define RECORD_(id, types, lo_, hi_, gradient, saved, flag)                                        \
  static th_status id##_cpu(const th_kernel_args *k) {                                             \
    return th__loop_typed(k, th__scalar_##id, 0, k->params);                                       \
  }                                                                                                \
  static const th_op id##_op = {.name = #id "_scalar",                                             \
                                .in = {1},                                                         \
                                .out = {1},                                                        \
                                .saves = saved,                                                    \
                                .flags = TH_OP_ELEMENTWISE | TH_OP_NONBLOCKING | (flag),           \
                                .dtypes = types,                                                   \
                                .params_size = sizeof(double),                                     \
                                .infer = th__infer_same,                                           \
                                .vjp = gradient,                                                   \
                                .loops = th__scalar_##id,                                          \
                                .cpu = id##_cpu,                                                   \
                                .test = {lo_, hi_, 1e-5}};

#define TH_BINARY(id, lo, hi, gradient, floats, signed_ints, unsigned_ints)                        \
  RECORD(id, TH_NUMBERS, lo, hi, RULE_##id)                                                        \
  th_array *th_##id##_scalar(const th_array *a, double s) { return TH_CALL(&id##_op, &s, a); }
#define TH_BINARY_FLOAT(id, lo, hi, gradient, floats) RECORD(id, TH_FLOATS, lo, hi, RULE_##id)
#include "ops/binary.def"
#undef TH_BINARY
#undef TH_BINARY_FLOAT

th_array *th_divide_scalar(const th_array *a, double s) {
  if (!a || th__divide_dtype(a->layout.dtype) == a->layout.dtype) return TH_CALL(&divide_op, &s, a);
  th_scope scope = th__scope_suspend();
  th_array *cast = th_astype(a, th__divide_dtype(a->layout.dtype));
  th_array *result = TH_CALL(&divide_op, &s, cast);
  th_release(cast);
  return th__scope_resume(scope, result);
}

#define TH_BINARY(id, lo, hi, gradient, floats, signed_ints, unsigned_ints) &id##_op,
#define TH_BINARY_FLOAT(id, lo, hi, gradient, floats)                       &id##_op,
const th_op *const th__family_scalar[] = {
#include "ops/binary.def"
    NULL};
