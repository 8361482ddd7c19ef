/* Kernels of the rows of compare.def: of two arrays, and of an array and the double in `cell`. */
#include "ops/cuda/kernel.cuh"

#define ZIP(t, o, id, expression)                                                                  \
  TH_KERNEL(compare_##id##_##t, "wrrvv", void *out, const void *a, const void *b, uint64_t cell,   \
            TH_WALK) {                                                                             \
    typedef t::C T;                                                                                \
    typedef t::W W;                                                                                \
    th__zip<o, t, th__width<o, t, 4>::value>(out, a, b, cell, w, [](T x, T y) -> o::C {            \
      (void)sizeof(W);                                                                             \
      return expression;                                                                           \
    });                                                                                            \
  }
#define TEST(t, id, expression) ZIP(t, b8, id, expression)
#define BITS(t, id, expression) ZIP(t, t, id, expression)

/* The row's x and y become the order and 0, or the element and the scalar as doubles. */
#define SCALAR(t, id, left, right, expression)                                                     \
  TH_KERNEL(compare_##id##_scalar_##t, "wrvv", void *out, const void *a, uint64_t cell, TH_WALK) { \
    double scalar;                                                                                 \
    memcpy(&scalar, &cell, sizeof scalar);                                                         \
    th__map<b8, t, th__width<b8, t, 4>::value>(out, a, w, [scalar](t::C e) -> b8::C {              \
      const double x = left, y = right;                                                            \
      return expression;                                                                           \
    });                                                                                            \
  }
#define SCALAR_SIGNED(t, id, expression) SCALAR(t, id, th__order_signed(e, scalar), 0, expression)
#define SCALAR_UNSIGNED(t, id, expression)                                                         \
  SCALAR(t, id, th__order_unsigned(e, scalar), 0, expression)
#define SCALAR_FLOAT(t, id, expression) SCALAR(t, id, e, scalar, expression)

#define TH_LOGIC(id, expression) TH_ALL(TEST, id, expression)
#define TH_COMPARE(id, expression)                                                                 \
  TH_LOGIC(id, expression)                                                                         \
  TH_FLOATING(SCALAR_FLOAT, id, expression)                                                        \
  TH_SIGNED(SCALAR_SIGNED, id, expression)                                                         \
  TH_UNSIGNED(SCALAR_UNSIGNED, id, expression)                                                     \
  SCALAR_UNSIGNED(b8, id, expression)
#define TH_BITWISE(id, expression)                                                                 \
  TH_INTEGERS(BITS, id, expression)                                                                \
  BITS(b8, id, expression)
#define TH_SHIFT(id, signed_ints, unsigned_ints)                                                   \
  TH_SIGNED(BITS, id, signed_ints)                                                                 \
  TH_UNSIGNED(BITS, id, unsigned_ints)
#include "ops/elementwise/compare.def"
