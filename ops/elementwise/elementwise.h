/* What the elementwise families share: lines by element type, gradients, and calls that bring operands to one type first. */
#ifndef THRUM_OPS_ELEMENTWISE_ELEMENTWISE_H
#define THRUM_OPS_ELEMENTWISE_ELEMENTWISE_H

#include "ops/op.h"

/* Lines of the rows of binary.def by element type, NULL where there is none; gradients and derivatives of those that are not
 * composed of other operators. */
#define TH__LINES_OF(id)                                                    extern const th__line th__binary_##id[TH_DTYPE_COUNT];
#define TH_BINARY(id, lo, hi, gradient, floats, signed_ints, unsigned_ints) TH__LINES_OF(id)
#define TH_BINARY_FLOAT(id, lo, hi, gradient, floats)                       TH__LINES_OF(id)
#define TH_BINARY_QUOTIENT(id, lo, hi, gradient, floats)                    TH__LINES_OF(id)
#define TH_SLOPES(id, dx, dy, dxx, dxy, dyy)                                TH_STEPS(id, dx, dy)
#define TH_STEPS(id, dx, dy)                                                                       \
  th_status th__vjp_##id(const th_vjp *v);                                                         \
  extern const th_op th__##id##_slope_x;
#include "ops/elementwise/binary.def"
#undef TH_BINARY
#undef TH_BINARY_FLOAT
#undef TH_BINARY_QUOTIENT
#undef TH_SLOPES
#undef TH_STEPS
#undef TH__LINES_OF

#define SAVE_XY (TH_SAVE_IN(0) | TH_SAVE_IN(1))

/* op(a, b) after casting both to their common type. All checks come first: a refused call enqueues nothing. */
th_array *th__call_promoted(const th_op *op, const th_array *a, const th_array *b);
/* The same with the common type given. */
th_array *th__call_as(const th_op *op, const th_array *a, const th_array *b, th_dtype common);
/* Of operators that write their one input. */
th_status th__infer_written(th_infer *io, const void *params);
/* One bool output, broadcast of all inputs. */
th_status th__infer_bool(th_infer *io, const void *params);
/* op(a, b) writing a, after casting b to a's type. */
th_status th__call_inplace(const th_op *op, th_array *a, const th_array *b);
/* Type in which th_divide() computes: t itself if floating, else f32, or f64 for 64-bit integers. */
th_dtype th__divide_dtype(th_dtype t);
/* sum_to of a temporary, which it releases. */
th_array *th__sum_to_release(th_array *g, const th_layout *shape);

/* The scalar s as lines of element type t see it. */
static inline double th__as_element(th_dtype t, double s) {
  uint64_t cell;
  th__dtype_set(t, &cell, s);
  return th__dtype_get(t, &cell);
}

/* where(mask, g, 0). */
th_array *th__keep_where(const th_array *mask, const th_array *g);

/* Gradients of x + y, x - y, x * y, x / y; their in-place forms share them. */
th_status th__vjp_add(const th_vjp *v);
th_status th__vjp_subtract(const th_vjp *v);
th_status th__vjp_multiply(const th_vjp *v);
th_status th__vjp_divide(const th_vjp *v);

#endif
