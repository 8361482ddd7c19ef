/* Owns the third derivatives of elementwise functions, written in public operators. Operators of rows, their slopes and their bends
 * have derivatives, and those of bends are made here: so all of them have derivatives of every order. */
#include "ops/elementwise/thirds.h"

#include "ops/compose.h"
#include "thrum/ops.h"

/* A derivative by the row's v (x or y), as a product of the bend's other two operands and this. What is made on the way belongs to
 * the caller's scope. */
typedef const th_array *in;

static th_array *constant(in v, double c) { return th_full_like(v, c); }

/* a x^2 + b */
static th_array *even(in x, double a, double b) {
  return th_add_scalar(th_multiply_scalar(th_square(x), a), b);
}
static th_array *cube(in x) { return th_multiply(th_square(x), x); }
/* a / x^3 */
static th_array *by_cube(in x, double a) { return th_multiply_scalar(th_reciprocal(cube(x)), a); }
/* (2 x^2 + b) / q^(5/2) */
static th_array *by_root(in x, double b, in q) {
  th_array *r = th_rsqrt(q);
  return th_multiply(even(x, 2, b), th_multiply(r, th_square(th_square(r))));
}
/* c (a x^2 + b) / q^3 */
static th_array *by_square(in x, double a, double b, in q) {
  return th_divide(even(x, a, b), cube(q));
}
/* s (1 - s), the first derivative of the logistic function, in its value s. */
static th_array *logistic_slope(in s) { return th_subtract(s, th_square(s)); }
/* 1 - 2 s */
static th_array *logistic_turn(in s) { return th_add_scalar(th_multiply_scalar(s, -2), 1); }

th_array *th__third_acos(in x) { return th_negative(th__third_asin(x)); }
th_array *th__third_acosh(in x) { return by_root(x, 1, even(x, 1, -1)); }
th_array *th__third_asin(in x) { return by_root(x, 1, even(x, -1, 1)); }
th_array *th__third_asinh(in x) { return by_root(x, -1, even(x, 1, 1)); }
th_array *th__third_atan(in x) { return by_square(x, 6, -2, even(x, 1, 1)); }
th_array *th__third_atanh(in x) { return by_square(x, 6, 2, even(x, -1, 1)); }
th_array *th__third_cos(in x) { return th_sin(x); }
th_array *th__third_cosh(in x) { return th_sinh(x); }
th_array *th__third_erf(in x) {
  th_array *bell = th_exp(th_negative(th_square(x)));
  return th_multiply(even(x, 4 * 1.1283791670955126, -2 * 1.1283791670955126), bell);
}
th_array *th__third_exp(in y) { return constant(y, 0); }
th_array *th__third_expm1(in y) { return constant(y, 0); }
th_array *th__third_gelu(in x) { /* the normal density times x^3 - 4 x */
  th_array *density = th_exp(th_multiply_scalar(th_square(x), -0.5));
  return th_multiply(th_multiply_scalar(density, 0.3989422804014327),
                     th_multiply(x, even(x, 1, -4)));
}
th_array *th__third_log(in x) { return by_cube(x, 2); }
th_array *th__third_log10(in x) { return by_cube(x, 2 * 0.4342944819032518); }
th_array *th__third_log1p(in x) { return by_cube(th_add_scalar(x, 1), 2); }
th_array *th__third_log2(in x) { return by_cube(x, 2 * 1.4426950408889634); }
th_array *th__third_reciprocal(in y) { return constant(y, -2); }
th_array *th__third_rsqrt(in y) { return th_multiply_scalar(y, -3); }
th_array *th__third_sigmoid(in y) { return constant(y, -2); }
th_array *th__third_silu(in x) { /* s' ((1 - 2 s) (3 + x (1 - 2 s)) - 2 x s') */
  th_array *s = th_sigmoid(x), *slope = logistic_slope(s), *turn = logistic_turn(s);
  th_array *first = th_multiply(turn, th_add_scalar(th_multiply(x, turn), 3));
  th_array *second = th_multiply(th_multiply_scalar(x, 2), slope);
  return th_multiply(slope, th_subtract(first, second));
}
th_array *th__third_sin(in x) { return th_negative(th_cos(x)); }
th_array *th__third_sinh(in x) { return th_cosh(x); }
th_array *th__third_softplus(in x) {
  th_array *s = th_sigmoid(x);
  return th_multiply(logistic_slope(s), logistic_turn(s));
}
th_array *th__third_sqrt(in y) { return by_cube(y, 1); }
th_array *th__third_tan(in y) { return constant(y, 2); }
th_array *th__third_tanh(in y) { return constant(y, -2); }
th_array *th__third_abs(in x) { return constant(x, 0); }
th_array *th__third_negative(in x) { return constant(x, 0); }
th_array *th__third_positive(in x) { return constant(x, 0); }
th_array *th__third_relu(in y) { return constant(y, 0); }
th_array *th__third_square(in x) { return constant(x, 0); }

/* --- of two operands: how often by y --- */

/* (a s^2 + b t^2) s; with n even powers of the distance behind. */
static th_array *form(in s, double a, in t, double b) {
  th_array *sum = th_add(th_multiply_scalar(th_square(s), a), th_multiply_scalar(th_square(t), b));
  return th_multiply(sum, s);
}

th_array *th__third_atan2(in x, in y, int by_y) {
  th_array *distance = cube(th_add(th_square(x), th_square(y)));
  if (by_y == 0) return th_divide(form(y, -2, x, 6), distance);
  if (by_y == 1) return th_divide(form(x, -2, y, 6), distance);
  if (by_y == 2) return th_divide(form(y, 2, x, -6), distance);
  return th_divide(form(x, 2, y, -6), distance);
}

th_array *th__third_hypot(in x, in y, int by_y) {
  th_array *r = th_hypot(x, y), *distance = th_multiply(cube(r), th_square(r));
  if (by_y == 0) return th_divide(form(x, 0, y, -3), distance);
  if (by_y == 1) return th_divide(form(y, -1, x, 2), distance);
  if (by_y == 2) return th_divide(form(x, -1, y, 2), distance);
  return th_divide(form(y, 0, x, -3), distance);
}

th_array *th__third_logaddexp(in x, in y, int by_y) {
  th_array *s = th_sigmoid(th_subtract(x, y));
  th_array *third = th_multiply(logistic_slope(s), logistic_turn(s));
  return by_y & 1 ? th_negative(third) : third;
}

/* a where it is not 0, else 1: for powers and logarithms whose factor is 0 there. */
static th_array *not_zero(in a, in factor) {
  return th_where(th_equal_scalar(factor, 0), th_ones_like(a), a);
}

/* With l = log x: y (y - 1) (y - 2) x^(y - 3), x^(y - 2) (2 y - 1 + y (y - 1) l), x^(y - 1) l (2 + y l), x^y l^3. */
th_array *th__third_pow(in x, in y, int by_y) {
  th_array *product = th_multiply(y, th_subtract_scalar(y, 1));
  if (by_y == 0) {
    th_array *factor = th_multiply(product, th_subtract_scalar(y, 2));
    return th_multiply(factor, th_pow(not_zero(x, factor), th_subtract_scalar(y, 3)));
  }
  th_array *l = th_log(not_zero(x, x));
  th_array *power = th_pow(x, th_subtract_scalar(y, 3 - by_y));
  if (by_y == 3) return th_multiply(power, cube(l));
  if (by_y == 2) return th_multiply(power, th_multiply(l, th_add_scalar(th_multiply(y, l), 2)));
  th_array *sum = th_add(th_multiply(product, l), th_subtract_scalar(th_multiply_scalar(y, 2), 1));
  return th_multiply(power, sum);
}
