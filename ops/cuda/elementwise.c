/* Owns the launchers of the rows of unary.def, binary.def and compare.def: the forms with a second array, with a scalar and in
 * place share a kernel. */
#include "ops/cuda/cuda.h"

/* --- kernels by name: family_id_type --- */

#define SLOT(t, id)           static th__cuda_kernel id##_##t = {.name = #id "_" #t};
#define SLOTS_FLOATING(id, X) X(single, id) X(f64, id)
#define SLOTS_INTEGER(id, X)                                                                       \
  X(i8, id) X(i16, id) X(i32, id) X(i64, id) X(u8, id) X(u16, id) X(u32, id) X(u64, id)
#define FLOATING(id)                                                                               \
  [TH_F16] = &id##_single, [TH_BF16] = &id##_single, [TH_F32] = &id##_single, [TH_F64] = &id##_f64
#define INTEGER(id)                                                                                \
  [TH_I8] = &id##_i8, [TH_I16] = &id##_i16, [TH_I32] = &id##_i32, [TH_I64] = &id##_i64,            \
  [TH_U8] = &id##_u8, [TH_U16] = &id##_u16, [TH_U32] = &id##_u32, [TH_U64] = &id##_u64
#define BOOLEAN(id) [TH_BOOL] = &id##_b8

#define LAUNCH(id, how, image, kernels)                                                            \
  static th_status id##_cuda(const th_kernel_args *k) {                                            \
    return how(k, &th__image_##image, kernels);                                                    \
  }
#define FLOAT_KERNELS(id)                                                                          \
  SLOTS_FLOATING(id, SLOT)                                                                         \
  static th__cuda_by_dtype id##_kernels = {FLOATING(id)};
#define NUMBER_KERNELS(id)                                                                         \
  SLOTS_FLOATING(id, SLOT)                                                                         \
  SLOTS_INTEGER(id, SLOT)                                                                          \
  static th__cuda_by_dtype id##_kernels = {FLOATING(id), INTEGER(id)};
#define INTEGER_KERNELS(id)                                                                        \
  SLOTS_INTEGER(id, SLOT)                                                                          \
  SLOT(b8, id)                                                                                     \
  static th__cuda_by_dtype id##_kernels = {INTEGER(id), BOOLEAN(id)};
#define ALL_KERNELS(id)                                                                            \
  SLOTS_FLOATING(id, SLOT)                                                                         \
  SLOTS_INTEGER(id, SLOT)                                                                          \
  SLOT(b8, id)                                                                                     \
  static th__cuda_by_dtype id##_kernels = {FLOATING(id), INTEGER(id), BOOLEAN(id)};

/* --- how kernels are called --- */

static th__cuda_loop loop_of(const th_kernel_args *k, const th__cuda_image *image,
                             th__cuda_by_dtype kernels) {
  th_dtype t = k->in[0].dtype;
  th__cuda_loop l = {.context = k->context, .image = image, .kernel = kernels[t], .dtype = t};
  th__cuda_loop_fill(&l, k);
  return l;
}

/* Arrays only. */
static th_status arrays(const th_kernel_args *k, const th__cuda_image *image,
                        th__cuda_by_dtype kernels) {
  th__cuda_loop l = loop_of(k, image, kernels);
  return th__cuda_loop_run(&l);
}

/* The second operand is an array or the scalar in the params, as an element of the first one's type. */
static th_status pair(const th_kernel_args *k, const th__cuda_image *image,
                      th__cuda_by_dtype kernels) {
  th__cuda_loop l = loop_of(k, image, kernels);
  l.n_pointers = 3;
  l.n_cells = 1;
  if (k->n_in == 1) th__dtype_set(l.dtype, &l.cell[0], *(const double *)k->params);
  return th__cuda_loop_run(&l);
}

/* The scalar in the params as the double that it is. */
static th_status with_double(const th_kernel_args *k, const th__cuda_image *image,
                             th__cuda_by_dtype kernels) {
  th__cuda_loop l = loop_of(k, image, kernels);
  l.n_cells = 1;
  memcpy(&l.cell[0], k->params, sizeof(double));
  return th__cuda_loop_run(&l);
}

/* --- unary --- */

#define UNARY(id)                                                                                  \
  FLOAT_KERNELS(unary_##id##_slope)                                                                \
  FLOAT_KERNELS(unary_##id##_bend)                                                                 \
  LAUNCH(id##_slope, arrays, unary, unary_##id##_slope_kernels)                                    \
  LAUNCH(id##_bend, arrays, unary, unary_##id##_bend_kernels)                                      \
  LAUNCH(id, arrays, unary, unary_##id##_kernels)
#define TH_UNARY(id, v, lo, hi, floats, slope, bend)                                               \
  FLOAT_KERNELS(unary_##id)                                                                        \
  UNARY(id)
#define TH_UNARY_TURN TH_UNARY
#define TH_UNARY_NUMBER(id, v, lo, hi, floats, slope, bend, si, ui)                                \
  NUMBER_KERNELS(unary_##id)                                                                       \
  UNARY(id)
#define TH_UNARY_STEP(id, lo, hi, floats, si, ui)                                                  \
  NUMBER_KERNELS(unary_##id)                                                                       \
  LAUNCH(id, arrays, unary, unary_##id##_kernels)
#define TH_UNARY_TEST(id, floats, others)                                                          \
  ALL_KERNELS(unary_##id)                                                                          \
  LAUNCH(id, arrays, unary, unary_##id##_kernels)
#include "ops/elementwise/unary.def"
INTEGER_KERNELS(unary_bitwise_invert)
LAUNCH(bitwise_invert, arrays, unary, unary_bitwise_invert_kernels)
#undef TH_UNARY
#undef TH_UNARY_NUMBER
#undef TH_UNARY_STEP
#undef TH_UNARY_TEST

#define ENTRY(id)                                    {#id, id##_cuda},
#define TH_UNARY(id, v, lo, hi, floats, slope, bend) ENTRY(id) ENTRY(id##_slope) ENTRY(id##_bend)
#define TH_UNARY_NUMBER(id, v, lo, hi, floats, slope, bend, si, ui)                                \
  ENTRY(id) ENTRY(id##_slope) ENTRY(id##_bend)
#define TH_UNARY_STEP(id, lo, hi, floats, si, ui) ENTRY(id)
#define TH_UNARY_TEST(id, floats, others)         ENTRY(id)
extern const th__cuda_entry th__cuda_unary[];
const th__cuda_entry th__cuda_unary[] = {
#include "ops/elementwise/unary.def"
    ENTRY(bitwise_invert){NULL, NULL}};

/* --- binary, scalar, inplace --- */

#define BINARY(id)                                       LAUNCH(id, pair, binary, binary_##id##_kernels)
#define DERIVATIVE(id)                                   FLOAT_KERNELS(binary_##id) LAUNCH(id, arrays, binary, binary_##id##_kernels)
#define TH_BINARY(id, lo, hi, gradient, floats, si, ui)  NUMBER_KERNELS(binary_##id) BINARY(id)
#define TH_BINARY_FLOAT(id, lo, hi, gradient, floats)    FLOAT_KERNELS(binary_##id) BINARY(id)
#define TH_BINARY_QUOTIENT(id, lo, hi, gradient, floats) FLOAT_KERNELS(binary_##id) BINARY(id)
#define TH_SLOPES(id, dx, dy, dxx, dxy, dyy)                                                       \
  TH_STEPS(id, dx, dy)                                                                             \
  DERIVATIVE(id##_bend_xx) DERIVATIVE(id##_bend_xy) DERIVATIVE(id##_bend_yy)
#define TH_STEPS(id, dx, dy) DERIVATIVE(id##_slope_x) DERIVATIVE(id##_slope_y)
#include "ops/elementwise/binary.def"
#undef TH_BINARY
#undef TH_BINARY_FLOAT
#undef TH_BINARY_QUOTIENT
#undef TH_SLOPES
#undef TH_STEPS

#define FORMS(id)                                                                                  \
  ENTRY(id){#id "_scalar", id##_cuda}, {#id "_inplace", id##_cuda},                                \
      {#id "_scalar_inplace", id##_cuda},
#define TH_BINARY(id, lo, hi, gradient, floats, si, ui)  FORMS(id)
#define TH_BINARY_FLOAT(id, lo, hi, gradient, floats)    FORMS(id)
#define TH_BINARY_QUOTIENT(id, lo, hi, gradient, floats) FORMS(id)
#define TH_SLOPES(id, dx, dy, dxx, dxy, dyy)                                                       \
  TH_STEPS(id, dx, dy)                                                                             \
  ENTRY(id##_bend_xx) ENTRY(id##_bend_xy) ENTRY(id##_bend_yy)
#define TH_STEPS(id, dx, dy) ENTRY(id##_slope_x) ENTRY(id##_slope_y)
extern const th__cuda_entry th__cuda_binary[];
const th__cuda_entry th__cuda_binary[] = {
#include "ops/elementwise/binary.def"
    {NULL, NULL}};

/* --- compare --- */

#define COMPARISON(id) LAUNCH(id, pair, compare, compare_##id##_kernels)
#define TH_COMPARE(id, expression)                                                                 \
  TH_LOGIC(id, expression)                                                                         \
  ALL_KERNELS(compare_##id##_scalar)                                                               \
  LAUNCH(id##_scalar, with_double, compare, compare_##id##_scalar_kernels)
#define TH_LOGIC(id, expression)   ALL_KERNELS(compare_##id) COMPARISON(id)
#define TH_BITWISE(id, expression) INTEGER_KERNELS(compare_##id) COMPARISON(id)
#define TH_SHIFT(id, si, ui)                                                                       \
  SLOTS_INTEGER(compare_##id, SLOT)                                                                \
  static th__cuda_by_dtype compare_##id##_kernels = {INTEGER(compare_##id)};                       \
  COMPARISON(id)
#include "ops/elementwise/compare.def"
#undef TH_COMPARE
#undef TH_LOGIC
#undef TH_BITWISE
#undef TH_SHIFT

#define TH_COMPARE(id, expression) ENTRY(id) ENTRY(id##_scalar)
#define TH_LOGIC(id, expression)   ENTRY(id){#id "_scalar", id##_cuda},
#define TH_BITWISE(id, expression) FORMS(id)
#define TH_SHIFT(id, si, ui)       FORMS(id)
extern const th__cuda_entry th__cuda_compare[];
const th__cuda_entry th__cuda_compare[] = {
#include "ops/elementwise/compare.def"
    {NULL, NULL}};
