/* Owns how rows become loops: one loop without gaps per row and computing type, in several bodies for several processors. What
 * lies otherwise (strides, a single element, halves) comes to it through small buffers in the first-level cache, so neither
 * layouts nor half types nor scalar forms multiply the loops that are compiled. */
#ifndef THRUM_OPS_LOOPS_LINES_H
#define THRUM_OPS_LOOPS_LINES_H

#include "ops/loops/loop.h"
#include "ops/loops/runs.h"

/* A loop and how its operands are to be brought to it. */
typedef struct th__line_call {
  th__line line;
  const void *user; /* params of the operator */
  int n;            /* operands, the written one first, scalars last */
  th_dtype dtype[TH__LOOP_OPERANDS];
  bool halves;  /* the line computes in f32: halves are converted on the way */
  bool streams; /* the result is too large for caches: it passes them by */
} th__line_call;

/* The line of op for elements of type t, and whether halves must be converted; false when there is none. */
bool th__line_find(const th_op *op, th_dtype t, th__line_call *call);
/* n elements of operands with any strides; user is the th__line_call. */
void th__line_run(char *const *p, const int64_t *strides, int64_t n, const void *user);
/* The scalars of an operator with TH_OP_SCALARS, as elements of type t, 8 bytes apart. Returns how many. */
int th__line_scalars(const th_op *op, const void *params, th_dtype t, char *cells);

/* .cpu of operators with .lines. */
th_status th__lines_kernel(const th_kernel_args *k);

/* --- lines from rows: T is the computing type, W its wrapping form --- */

/* Bodies of a line: floating ones have all; integers gain little from the widest vectors, and each body is compiled. */
#if defined(TH__MANY_BODIES)
#define TH__HALF_WIDE __attribute__((target_clones("default", "arch=x86-64-v3")))
#else
#define TH__HALF_WIDE
#endif
#define TH__BODIES_f32 TH__WIDE
#define TH__BODIES_f64 TH__WIDE
#define TH__BODIES_b8  TH__HALF_WIDE
#define TH__BODIES_u8  TH__HALF_WIDE
#define TH__BODIES_u16 TH__HALF_WIDE
#define TH__BODIES_u32 TH__HALF_WIDE
#define TH__BODIES_u64 TH__HALF_WIDE
#define TH__BODIES_i8  TH__HALF_WIDE
#define TH__BODIES_i16 TH__HALF_WIDE
#define TH__BODIES_i32 TH__HALF_WIDE
#define TH__BODIES_i64 TH__HALF_WIDE

#define TH__LINE_BEGIN(bodies, fn, a)                                                              \
  bodies static void fn(char *const *p, int64_t n, const void *user) {                             \
    TH__ROW_TYPES(a);
#define TH__LINE_OPERAND(t, id, k) const th__s_##t *const id = (const void *)p[k]
#define TH__LINE_END               }

/* fn: o = expression of x (type a). */
#define TH__LINE_MAP(fn, o, a, expression)                                                         \
  TH__LINE_BEGIN(TH__BODIES_##a, fn, a)                                                            \
  th__s_##o *const out = (void *)p[0];                                                             \
  TH__LINE_OPERAND(a, first, 1);                                                                   \
  TH__INDEPENDENT                                                                                  \
  for (int64_t i = 0; i < n; i++) {                                                                \
    const T x = first[i];                                                                          \
    (void)x;                                                                                       \
    out[i] = expression;                                                                           \
  }                                                                                                \
  TH__LINE_END

/* fn: o = expression of x and y (type a), under the names given. */
#define TH__LINE_ZIP(fn, o, a, x, y, expression)                                                   \
  TH__LINE_ZIP_IN(TH__BODIES_##a, fn, o, a, x, y, expression)
#define TH__LINE_ZIP_IN(bodies, fn, o, a, x, y, expression)                                        \
  TH__LINE_BEGIN(bodies, fn, a)                                                                    \
  th__s_##o *const out = (void *)p[0];                                                             \
  TH__LINE_OPERAND(a, first, 1);                                                                   \
  TH__LINE_OPERAND(a, second, 2);                                                                  \
  TH__INDEPENDENT                                                                                  \
  for (int64_t i = 0; i < n; i++) {                                                                \
    const T x = first[i], y = second[i];                                                           \
    (void)x, (void)y;                                                                              \
    out[i] = expression;                                                                           \
  }                                                                                                \
  TH__LINE_END

/* fn: a = expression of three of type a, under the names given. */
#define TH__LINE_ZIP3(fn, a, x, y, z, expression)                                                  \
  TH__LINE_BEGIN(TH__HALF_WIDE, fn, a)                                                             \
  th__s_##a *const out = (void *)p[0];                                                             \
  TH__LINE_OPERAND(a, first, 1);                                                                   \
  TH__LINE_OPERAND(a, second, 2);                                                                  \
  TH__LINE_OPERAND(a, third, 3);                                                                   \
  TH__INDEPENDENT                                                                                  \
  for (int64_t i = 0; i < n; i++) {                                                                \
    const T x = first[i], y = second[i], z = third[i];                                             \
    (void)x, (void)y, (void)z;                                                                     \
    out[i] = expression;                                                                           \
  }                                                                                                \
  TH__LINE_END

/* Entries of a table of lines. Halves have none of their own. */
#define TH__LINE_ENTRY(t, NAME, id)    TH__LINE_ENTRY_AT(TH_##NAME, id##_##t)
#define TH__LINE_ENTRY_AT(index, line) [index] = line,

#endif
