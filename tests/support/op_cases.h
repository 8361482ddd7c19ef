/* How to call every operator in tests: operands, a call by public functions, and what may be compared. */
#ifndef THRUM_TESTS_SUPPORT_OP_CASES_H
#define THRUM_TESTS_SUPPORT_OP_CASES_H

#include "ops/op.h"
#include "thrum/autograd.h"

enum { OP_CASE_INPUTS = 4 };

/* One operand: 'x' values of the element type under test, 'i' i64 indices below limit, 'b' bool; 0 ends the list. */
typedef struct op_case_input {
  char kind;
  int ndim;
  int64_t shape[4];
  int limit;
} op_case_input;

/* What a call is told. */
typedef struct op_call_context {
  const th_op *op;
  th_dtype dtype;      /* under test */
  th_device device;    /* where operators without inputs make their result */
  bool strided_target; /* in-place calls write a view with gaps and a negative step */
} op_call_context;

enum {
  OP_CASE_ROUNDS = 1, /* another layout may round differently: compared with a tolerance */
  OP_CASE_EMPTY = 2,  /* works when every dimension of size 3 is 0 instead */
  OP_CASE_OWN_BITS =
      4,            /* values depend on the type under test: only repeated, not compared with f64 */
  OP_CASE_SEEN = 8, /* called through another operator's gradient: no call of its own */
  OP_CASE_NO_META = 16 /* not on the meta device */
};

typedef struct op_case {
  const char *name;
  th_grad_fn call; /* user is an op_call_context */
  op_case_input in[OP_CASE_INPUTS];
  uint32_t dtypes; /* under test; 0 = those of the record */
  uint32_t flags;
  double lo, hi; /* domain; equal = that of the record */
} op_case;

/* More of the table, up to a NULL name. */
extern const op_case op_cases_arrays[];

/* What in-place operators write: a copy of a, or a view with its values into something larger. NULL on failure. */
th_array *op_case_target(const th_array *a, bool strided);
/* The target, or NULL (released) when the call failed. */
th_array *op_case_checked(th_array *target, th_status status);

/* The case of an operator: from the table, or made into *generic for elementwise operators of arrays and, by their names,
 * a scalar. NULL when there is none. */
const op_case *op_case_find(const th_op *op, op_case *generic);

/* The table of operators for networks, ended by a NULL name. */
extern const op_case op_cases_nn[];
/* In-place operators change this: a copy of a, or a view into something larger. */
th_array *op_case_target(const th_array *a, bool strided);
/* target, or NULL (released) when the call failed. */
th_array *op_case_checked(th_array *target, th_status status);

#endif
