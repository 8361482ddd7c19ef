/* Kernels without a public function, which are reached as gradients. Part of the programs of test_cuda_kernels.c and
 * tests/gpu/test_kernels.c. */
#include "ops/kernel_suite.h"

#include "ops/op.h"

TestSuite(cuda_slopes, .timeout = 240, .init = start, .fini = stop_engine);

typedef th_array *(*part)(const th_array *x, const th_array *indices);

static th_array *sliced(const th_array *x, const th_array *indices) {
  return th_slice((th_array *)x, "::-2, 1:");
}
static th_array *taken(const th_array *x, const th_array *indices) {
  return th_take(x, indices, 0);
}
static th_array *along(const th_array *x, const th_array *indices) {
  th_array *columns = th_expand_dims((th_array *)indices, 1);
  th_array *out = th_take_along_axis(x, columns, 1);
  th_release(columns);
  return out;
}
static th_array *diagonal(const th_array *x, const th_array *indices) {
  return th_diagonal((th_array *)x, -2);
}

/* Operators without a public function; those with indices come with each type of them. */
static const struct {
  const char *slope;
  part f;
  bool indexed;
} slopes[] = {{"unslice", sliced, false},
              {"take_slope", taken, true},
              {"along_slope", along, true},
              {"undiagonal", diagonal, false},
              {"cross_entropy_slope", th_cross_entropy, true}};

/* --- which operator was called --- */

static const th__interceptor *usual;
static const char *awaited;
static int calls;

static th_status before(const th_op *op, const th_array *const *in, int n, const uint8_t *written) {
  return usual->before(op, in, n, written);
}
static th_status after(const th_op *op, const void *params, const th_array *const *in, int n_in,
                       th_array *const *out, int n_out, const uint8_t *written) {
  calls += strcmp(op->name, awaited) == 0;
  return usual->after(op, params, in, n_in, out, n_out, written);
}
static const th__interceptor watcher = {before, after};

/* --- gradients --- */

static th_array *gradient_of(part f, const th_array *values, const th_array *indices, th_device d) {
  th_array *x = th_copy_to(values, d), *i = th_copy_to(indices, d);
  cr_assert(eq(int, th_require_grad(x), TH_OK));
  th_array *y = f(x, i), *square = th_square(y), *sum = th_sum(square, NULL, 0, false);
  cr_assert(th_backward(sum, 0) == TH_OK, "%s", th_last_error());
  th_array *g = th_copy(th_grad(x));
  th_array *const all[] = {x, i, y, square, sum};
  for (int j = 0; j < 5; j++) th_release(all[j]);
  return g;
}

static void check(size_t slope, th_dtype t, th_dtype index) {
  static const th_dtype floats[] = {TH_F64, TH_F32, TH_F16, TH_BF16};
  static const double allowed[] = {1e-12, 1e-5, 0x1p-8, 0x1p-5};
  int64_t labels[40];
  int kind = 0;
  while (floats[kind] != t) kind++;
  for (int i = 0; i < 40; i++) labels[i] = i * 7 % 9;
  th_array *wide = th_from_host(labels, TH_SHAPE(40), TH_I64, th_cpu(0));
  th_array *indices = th_astype(wide, index), *x = noisy(TH_SHAPE(40, 9), t, 1);
  th_array *wanted = gradient_of(slopes[slope].f, x, indices, th_cpu(0));
  awaited = slopes[slope].slope;
  calls = 0;
  th_array *got = gradient_of(slopes[slope].f, x, indices, kernel_device());
  cr_assert(gt(int, calls, 0), "%s was not called", awaited);
  double *values = values_of(wanted), worst = worst_of(got, values, th_array_size(wanted));
  cr_assert(worst <= allowed[kind], "%s of %s with indices %s: off by %g", awaited,
            th_dtype_name(t), th_dtype_name(index), worst);
  free(values);
  th_array *const all[] = {wide, indices, x, wanted, got};
  for (int j = 0; j < 5; j++) th_release(all[j]);
}

Test(cuda_slopes, every_type) {
  usual = th__interceptor_swap(&watcher);
  awaited = "";
  for (size_t s = 0; s < sizeof slopes / sizeof *slopes; s++)
    for (int t = 0; t < TH_DTYPE_COUNT; t++)
      for (int index = 0; index < TH_DTYPE_COUNT; index++)
        if ((TH_FLOATS & TH_BIT(t)) &&
            (slopes[s].indexed ? TH_INTS & TH_BIT(index) : index == TH_I64))
          check(s, (th_dtype)t, (th_dtype)index);
  (void)th__interceptor_swap(usual);
}
