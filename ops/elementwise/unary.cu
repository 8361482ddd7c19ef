/* Kernels of the rows of unary.def: functions of one array, their slopes (g, v) and bends (h, g, v). */
#include "ops/cuda/kernel.cuh"

/* Doubles one by one: their formulas are long, and 8 bytes per access are enough beside them. */
#define WIDTH(t) (sizeof(t::S) == 8 ? 1 : th__width<t, t>::value)
#define MAP(t, o, id, expression)                                                                  \
  TH_KERNEL(id##_##t, "wrv", void *out, const void *a, TH_WALK) {                                  \
    typedef t::C T;                                                                                \
    typedef t::W W;                                                                                \
    th__map<o, t, WIDTH(t)>(out, a, w, [](T x) -> o::C {                                           \
      (void)sizeof(W), (void)x;                                                                    \
      return expression;                                                                           \
    });                                                                                            \
  }
#define SAME(t, id, expression) MAP(t, t, id, expression)
#define TEST(t, id, expression) MAP(t, b8, id, expression)
#define SLOPE(t, id, v, slope)                                                                     \
  TH_KERNEL(id##_slope_##t, "wrrv", void *out, const void *a, const void *b, TH_WALK) {            \
    typedef t::C T;                                                                                \
    th__zip<t, t, WIDTH(t)>(out, a, b, 0, w, [](T g, T v) -> T {                                   \
      (void)v;                                                                                     \
      return g * (slope);                                                                          \
    });                                                                                            \
  }
#define BEND(t, id, v, bend)                                                                       \
  TH_KERNEL(id##_bend_##t, "wrrrv", void *out, const void *a, const void *b, const void *c,        \
            TH_WALK) {                                                                             \
    typedef t::C T;                                                                                \
    th__zip3<t>(out, a, b, c, w, [](T h, T g, T v) -> T {                                          \
      (void)v;                                                                                     \
      return h * g * (bend);                                                                       \
    });                                                                                            \
  }

#define TH_UNARY(id, v, lo, hi, floats, slope, bend)                                               \
  TH_FLOATING(SAME, unary_##id, floats)                                                            \
  TH_FLOATING(SLOPE, unary_##id, v, slope)                                                         \
  TH_FLOATING(BEND, unary_##id, v, bend)
#define TH_UNARY_TURN TH_UNARY
#define TH_UNARY_NUMBER(id, v, lo, hi, floats, slope, bend, signed_ints, unsigned_ints)            \
  TH_UNARY(id, v, lo, hi, floats, slope, bend)                                                     \
  TH_UNARY_STEP_INTS(id, signed_ints, unsigned_ints)
#define TH_UNARY_STEP(id, lo, hi, floats, signed_ints, unsigned_ints)                              \
  TH_FLOATING(SAME, unary_##id, floats)                                                            \
  TH_UNARY_STEP_INTS(id, signed_ints, unsigned_ints)
#define TH_UNARY_STEP_INTS(id, signed_ints, unsigned_ints)                                         \
  TH_SIGNED(SAME, unary_##id, signed_ints)                                                         \
  TH_UNSIGNED(SAME, unary_##id, unsigned_ints)
#define TH_UNARY_TEST(id, floats, others)                                                          \
  TH_FLOATING(TEST, unary_##id, floats)                                                            \
  TH_INTEGERS(TEST, unary_##id, others)                                                            \
  TEST(b8, unary_##id, others)
#include "ops/elementwise/unary.def"

TEST(b8, unary_bitwise_invert, !x)
TH_INTEGERS(SAME, unary_bitwise_invert, (T) ~(W)x)
