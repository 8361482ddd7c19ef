/* Loops over elements: the driver that splits and walks strided operands, and what rows need to know of element types.
 *
 * Blocks depend on the shape only, and every element is computed by itself, so results never depend on the number of
 * workers. */
#ifndef THRUM_OPS_LOOPS_LOOP_H
#define THRUM_OPS_LOOPS_LOOP_H

#include <string.h>

#include "ndarray/half.h"
#include "ops/op.h"

#define TH__LOOP_OPERANDS 4
#define TH__LOOP_GRAIN    32768 /* elements per parallel block, */
#define TH__LOOP_LEAST    8192  /* and of elementwise loops over few, that they are shared */

typedef struct th__loop {
  int n;                               /* operands, the written one first */
  th_layout layout[TH__LOOP_OPERANDS]; /* all of one shape */
  char *data[TH__LOOP_OPERANDS];       /* element [0,...,0] */
  th__inner inner;
  const void *user;
} th__loop;

/* Runs the loop, in parallel if it is long. Changes the layouts. */
void th__loop_run(th__loop *loop, th_task_context *context);
/* The loop of an elementwise kernel: the result (or the written input) first, then all inputs. */
th_status th__loop_kernel(const th_kernel_args *k, th__inner inner, const void *user);

/* Iterations are independent: operands are the same elements or do not overlap (invoke.c copies colliding ones). */
#if defined(__clang__)
#define TH__INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define TH__INDEPENDENT _Pragma("GCC ivdep")
#else
#define TH__INDEPENDENT
#endif

/* Per element type t (b8 = bool): th__s_t as stored, th__c_t as computed with, th__w_t wrapping (integers), th__get_t, th__put_t. */
#define TH__ELEMENT_SAME(t, type, wide)                                                            \
  typedef type th__s_##t, th__c_##t;                                                               \
  typedef wide th__w_##t;                                                                          \
  static inline type th__get_##t(const void *p) { return *(const type *)p; }                       \
  static inline void th__put_##t(void *p, type v) { *(type *)p = v; }
TH__ELEMENT_SAME(b8, uint8_t, uint32_t)
TH__ELEMENT_SAME(u8, uint8_t, uint32_t)
TH__ELEMENT_SAME(u16, uint16_t, uint32_t)
TH__ELEMENT_SAME(u32, uint32_t, uint32_t)
TH__ELEMENT_SAME(u64, uint64_t, uint64_t)
TH__ELEMENT_SAME(i8, int8_t, uint32_t)
TH__ELEMENT_SAME(i16, int16_t, uint32_t)
TH__ELEMENT_SAME(i32, int32_t, uint32_t)
TH__ELEMENT_SAME(i64, int64_t, uint64_t)
TH__ELEMENT_SAME(f32, float, float)
TH__ELEMENT_SAME(f64, double, double)
#undef TH__ELEMENT_SAME

#define TH__ELEMENT_HALF(t)                                                                        \
  typedef th_##t th__s_##t;                                                                        \
  typedef float th__c_##t, th__w_##t;                                                              \
  static inline float th__get_##t(const void *p) {                                                 \
    return th__##t##_to_float(*(const th_##t *)p);                                                 \
  }                                                                                                \
  static inline void th__put_##t(void *p, float v) { *(th_##t *)p = th__##t##_from_float(v); }
TH__ELEMENT_HALF(f16)
TH__ELEMENT_HALF(bf16)
#undef TH__ELEMENT_HALF

/* Types inside a row: T computes, W wraps. */
#define TH__ROW_TYPES(a)                                                                           \
  typedef th__c_##a T;                                                                             \
  typedef th__w_##a W;                                                                             \
  (void)sizeof(T), (void)sizeof(W)

/* Sets of element types by lower-case name: X(t, NAME, ...) for each. */
#define TH__FOR_SIGNED(X, ...)                                                                     \
  X(i8, I8, __VA_ARGS__) X(i16, I16, __VA_ARGS__) X(i32, I32, __VA_ARGS__) X(i64, I64, __VA_ARGS__)
#define TH__FOR_UNSIGNED(X, ...)                                                                   \
  X(u8, U8, __VA_ARGS__) X(u16, U16, __VA_ARGS__) X(u32, U32, __VA_ARGS__) X(u64, U64, __VA_ARGS__)
#define TH__FOR_HALVES(X, ...)  X(f16, F16, __VA_ARGS__) X(bf16, BF16, __VA_ARGS__)
#define TH__FOR_SINGLES(X, ...) X(f32, F32, __VA_ARGS__) X(f64, F64, __VA_ARGS__)

#endif
