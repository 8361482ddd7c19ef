/* Owns arithmetic of an array and a scalar, into a new array and in place: the rows of binary.def with y fixed. The scalar is
 * converted to the array's element type by the cast rule. */
#include "ops/elementwise/forms.h"

#include "engine/base/error.h"

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

/* The scalar that x was compared with. */
static double element_of(const th_vjp *v) { return th__as_element(v->in[0].dtype, scalar_of(v)); }

/* All of it where x is chosen, ties included. */
static th_status vjp_chosen(const th_vjp *v, th_array *chosen) {
  th_array *result = th__keep_where(chosen, v->gradients[0]);
  th_release(chosen);
  return give(v, result);
}

static th_status vjp_maximum(const th_vjp *v) {
  return vjp_chosen(v, th_greater_equal_scalar(v->inputs[0], element_of(v)));
}

static th_status vjp_minimum(const th_vjp *v) {
  return vjp_chosen(v, th_less_equal_scalar(v->inputs[0], element_of(v)));
}

/* g times the row's own slope, with the scalar as an array of one element. */
static th_status vjp_of_row(const th_vjp *v, const th_op *slope) {
  const th_array *g = v->gradients[0];
  th_array *y = th_full(NULL, 0, scalar_of(v), g->layout.dtype, g->device);
  th_array *result = TH_CALL(slope, NULL, g, v->inputs[0], y);
  th_release(y);
  return give(v, result);
}

static th_status vjp_atan2(const th_vjp *v) { return vjp_of_row(v, &th__atan2_slope_x); }
static th_status vjp_copysign(const th_vjp *v) { return vjp_of_row(v, &th__copysign_slope_x); }
static th_status vjp_hypot(const th_vjp *v) { return vjp_of_row(v, &th__hypot_slope_x); }
static th_status vjp_logaddexp(const th_vjp *v) { return vjp_of_row(v, &th__logaddexp_slope_x); }

/* --- records and public functions --- */

/* The gradients that the rows of binary.def name do not apply here. */
#define RULE_add          vjp_add, 0, 0
#define RULE_subtract     vjp_add, 0, 0
#define RULE_multiply     vjp_multiply, 0, 0
#define RULE_divide       vjp_divide, 0, 0
#define RULE_remainder    vjp_add, 0, 0
#define RULE_floor_divide NULL, 0, TH_OP_FLAT
#define RULE_pow          vjp_pow, TH_SAVE_IN(0), 0
#define RULE_maximum      vjp_maximum, TH_SAVE_IN(0), 0
#define RULE_minimum      vjp_minimum, TH_SAVE_IN(0), 0
#define RULE_atan2        vjp_atan2, TH_SAVE_IN(0), 0
#define RULE_copysign     vjp_copysign, TH_SAVE_IN(0), 0
#define RULE_hypot        vjp_hypot, TH_SAVE_IN(0), 0
#define RULE_logaddexp    vjp_logaddexp, TH_SAVE_IN(0), 0

#define FORMS(...)                                                                                 \
  TH__SCALAR_FORM(__VA_ARGS__)                                                                     \
  TH__SCALAR_INPLACE_FORM(__VA_ARGS__)
#define TH_BINARY(id, lo, hi, gradient, floats, signed_ints, unsigned_ints)                        \
  FORMS(id, TH_NUMBERS, lo, hi, RULE_##id)                                                         \
  TH__SCALAR_PUBLIC(id)
#define TH_BINARY_FLOAT(id, lo, hi, gradient, floats)                                              \
  FORMS(id, TH_FLOATS, lo, hi, RULE_##id)                                                          \
  TH__SCALAR_PUBLIC(id)
#define TH_BINARY_QUOTIENT(id, lo, hi, gradient, floats) FORMS(id, TH_FLOATS, lo, hi, RULE_##id)
#define TH_SLOPES(id, dx, dy, dxx, dxy, dyy)
#define TH_STEPS(id, dx, dy)
#include "ops/elementwise/binary.def"
#undef TH_BINARY
#undef TH_BINARY_FLOAT
#undef TH_BINARY_QUOTIENT

th_array *th_divide_scalar(const th_array *a, double s) {
  if (!a || th__divide_dtype(a->layout.dtype) == a->layout.dtype)
    return TH_CALL(&divide_scalar_op, &s, a);
  th_scope scope = th__scope_suspend();
  th_array *cast = th_astype(a, th__divide_dtype(a->layout.dtype));
  th_array *result = TH_CALL(&divide_scalar_op, &s, cast);
  th_release(cast);
  return th__scope_resume(scope, result);
}

#define ENTRIES(id)                                                         &id##_scalar_op, &id##_scalar_inplace_op,
#define TH_BINARY(id, lo, hi, gradient, floats, signed_ints, unsigned_ints) ENTRIES(id)
#define TH_BINARY_FLOAT(id, lo, hi, gradient, floats)                       ENTRIES(id)
#define TH_BINARY_QUOTIENT(id, lo, hi, gradient, floats)                    ENTRIES(id)
TH_FAMILY_TABLE(scalar);
const th_op *const th__family_scalar[] = {
#include "ops/elementwise/binary.def"
    NULL};
