/* What an operator accepts and gives, found out by calling it on the meta device. */
#ifndef THRUM_TESTS_OPERATORS_PROBE_H
#define THRUM_TESTS_OPERATORS_PROBE_H

#include "ops/op.h"

typedef struct probe_types {
  uint32_t accepted;               /* bit per element type */
  uint32_t meta;                   /* of these, on the meta device */
  th_dtype result[TH_DTYPE_COUNT]; /* of accepted ones */
} probe_types;

/* False when tests/support/op_cases.c has no call of it. */
bool probe_operator(const th_op *op, probe_types *out);

#endif
