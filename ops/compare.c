/* Owns comparisons, logic and bitwise operators of two arrays, and comparisons with a scalar. */
#include "ops/elementwise.h"

#include "engine/base/error.h"
#include "ops/compare_math.h"

static th_status infer_bool(th_infer *io, const void *params) {
  TH_TRY(th__infer_broadcast(io, params));
  io->out[0].dtype = TH_BOOL;
  return TH_OK;
}

/* --- inner loops --- */

#define INTS(X, ...)   TH__FOR_SIGNED(X, __VA_ARGS__) TH__FOR_UNSIGNED(X, __VA_ARGS__)
#define FLOATS(X, ...) TH__FOR_SINGLES(X, __VA_ARGS__) TH__FOR_HALVES(X, __VA_ARGS__)
#define ALL(X, ...)    FLOATS(X, __VA_ARGS__) INTS(X, __VA_ARGS__) X(b8, BOOL, __VA_ARGS__)

#define TEST(t, NAME, id, expression) TH__DEFINE_ZIP(id##_##t, b8, t, t, expression)
#define BITS(t, NAME, id, expression) TH__DEFINE_ZIP(id##_##t, t, t, t, expression)
#define ENTRY(t, NAME, id)            [TH_##NAME] = id##_##t,

/* --- comparison with a scalar: exact for every type --- */

/* The row's x and y become the order and 0, or the element and the scalar as doubles. */
#define SCALAR_LOOP(fn, t, left, right, expression)                                                \
  static void fn(char *const *p, const int64_t *s, int64_t n, const void *user) {                  \
    const double scalar = *(const double *)user;                                                   \
    for (int64_t i = 0; i < n; i++) {                                                              \
      const th__c_##t e = th__get_##t(p[1] + i * s[1]);                                            \
      const double x = left, y = right;                                                            \
      *(uint8_t *)(p[0] + i * s[0]) = expression;                                                  \
    }                                                                                              \
  }
#define SCALAR_SIGNED(t, NAME, id, expression)                                                     \
  SCALAR_LOOP(id##_##t, t, th__order_signed(e, scalar), 0, expression)
#define SCALAR_UNSIGNED(t, NAME, id, expression)                                                   \
  SCALAR_LOOP(id##_##t, t, th__order_unsigned(e, scalar), 0, expression)
#define SCALAR_FLOAT(t, NAME, id, expression)                                                      \
  SCALAR_LOOP(id##_##t, t, (double)e, scalar, expression)

/* --- records and public functions --- */

#define KERNEL(id, arguments)                                                                      \
  static th_status id##_cpu(const th_kernel_args *k) {                                             \
    return th__loop_typed(k, id##_loops, 0, arguments);                                            \
  }
#define RECORD(id, inputs, types, inference, bytes)                                                \
  static const th_op id##_op = {.name = #id,                                                       \
                                .in = {inputs},                                                    \
                                .out = {1},                                                        \
                                .flags = TH_OP_ELEMENTWISE | TH_OP_NONBLOCKING | TH_OP_FLAT,       \
                                .dtypes = types,                                                   \
                                .params_size = bytes,                                              \
                                .infer = inference,                                                \
                                .cpu = id##_cpu,                                                   \
                                .test = {-3, 3, 0}};
#define PUBLIC(id)                                                                                 \
  th_array *th_##id(const th_array *a, const th_array *b) {                                        \
    return th__call_promoted(&id##_op, a, b);                                                      \
  }
#define TH_LOGIC(id, expression)                                                                   \
  ALL(TEST, id, expression)                                                                        \
  static const th__inner id##_loops[TH_DTYPE_COUNT] = {ALL(ENTRY, id)};                            \
  KERNEL(id, NULL)                                                                                 \
  RECORD(id, 2, TH_ANY, infer_bool, 0)                                                             \
  PUBLIC(id)
#define TH_COMPARE(id, expression)                                                                 \
  TH_LOGIC(id, expression)                                                                         \
  FLOATS(SCALAR_FLOAT, id##_scalar, expression)                                                    \
  TH__FOR_SIGNED(SCALAR_SIGNED, id##_scalar, expression)                                           \
  TH__FOR_UNSIGNED(SCALAR_UNSIGNED, id##_scalar, expression)                                       \
  SCALAR_UNSIGNED(b8, BOOL, id##_scalar, expression)                                               \
  static const th__inner id##_scalar_loops[TH_DTYPE_COUNT] = {ALL(ENTRY, id##_scalar)};            \
  KERNEL(id##_scalar, k->params)                                                                   \
  RECORD(id##_scalar, 1, TH_ANY, infer_bool, sizeof(double))                                       \
  th_array *th_##id##_scalar(const th_array *a, double s) {                                        \
    return TH_CALL(&id##_scalar_op, &s, a);                                                        \
  }
#define TH_BITWISE(id, expression)                                                                 \
  INTS(BITS, id, expression)                                                                       \
  BITS(b8, BOOL, id, expression)                                                                   \
  static const th__inner id##_loops[TH_DTYPE_COUNT] = {INTS(ENTRY, id) ENTRY(b8, BOOL, id)};       \
  KERNEL(id, NULL)                                                                                 \
  RECORD(id, 2, TH_BOOLS | TH_INTS, th__infer_broadcast, 0)                                        \
  PUBLIC(id)
#include "ops/compare.def"
#undef TH_COMPARE
#undef TH_LOGIC
#undef TH_BITWISE

#define TH_COMPARE(id, expression) &id##_op, &id##_scalar_op,
#define TH_LOGIC(id, expression)   &id##_op,
#define TH_BITWISE(id, expression) &id##_op,
const th_op *const th__family_compare[] = {
#include "ops/compare.def"
    NULL};
