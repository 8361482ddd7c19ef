/* Convolutions with windows of three by three, which take other ways than f64 does: against f64, with a bound for the error;
 * layouts; elements that are not finite. */
#include "ops/values.h"

#include <math.h>
#include <stdlib.h>

#include "thrum/autograd.h"

static void start(void) { start_engine(2); }
TestSuite(conv, .timeout = 240, .init = start, .fini = stop_engine);

typedef struct shape {
  int64_t n, c, h, w, o, padding[2], groups;
} shape;

static const shape shapes[] = {
    {2, 8, 30, 30, 16, {0, 0}, 1}, /* pairs of rows and columns, whole vectors */
    {2, 8, 28, 28, 16, {1, 1}, 1},  {3, 9, 7, 13, 11, {1, 0}, 1}, /* odd ones, short rows */
    {1, 12, 17, 23, 36, {4, 2}, 3}, {2, 8, 5, 300, 8, {1, 1}, 1}, /* pieces of rows */
    {1, 70, 20, 9, 5, {0, 2}, 1},   {17, 16, 6, 6, 20, {0, 0}, 2},
    {1, 1, 30, 31, 8, {1, 1}, 1},   {2, 3, 12, 70, 5, {2, 1}, 1},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

/* x, weights, g, and what they give: the convolution, its gradients by x and by the weights. */
typedef struct trial {
  th_array *in[3], *out[3];
} trial;

static th_array *drawn(th_generator *r, const int64_t *sizes, th_dtype t, bool positive) {
  th_array *a = th_astype(th_uniform(r, sizes, 4, -1, 1, TH_F32, th_cpu(0)), t);
  return positive ? th_abs(a) : a;
}

static void convolve(trial *t, const shape *s) {
  th_conv_config config = {.padding = {s->padding[0], s->padding[1]}, .groups = s->groups};
  th_require_grad(t->in[0]);
  th_require_grad(t->in[1]);
  t->out[0] = th_conv2d(t->in[0], t->in[1], NULL, &config);
  cr_assert(t->out[0] != NULL, "%s", th_last_error());
  th_array *const y[] = {t->out[0]}, *const g[] = {t->in[2]};
  cr_assert(eq(int, th_grads(y, 1, g, t->in, 2, 0, t->out + 1), TH_OK), "%s", th_last_error());
}

static void draw(trial *t, const shape *s, th_dtype dtype) {
  th_generator *r = th_generator_new(5);
  int64_t height = s->h + 2 * s->padding[0] - 2, width = s->w + 2 * s->padding[1] - 2;
  t->in[0] = drawn(r, (const int64_t[]){s->n, s->c, s->h, s->w}, dtype, false);
  t->in[1] = drawn(r, (const int64_t[]){s->o, s->c / s->groups, 3, 3}, dtype, false);
  t->in[2] = drawn(r, (const int64_t[]){s->n, s->o, height, width}, dtype, false);
  th_generator_release(r);
}

/* The inputs of a in f64, or their magnitudes. */
static void widen(trial *t, const trial *a, bool magnitudes) {
  for (int i = 0; i < 3; i++) {
    th_array *wide = th_astype(a->in[i], TH_F64);
    t->in[i] = th_detach(magnitudes ? th_abs(wide) : wide);
  }
}

/* The bound of docs/accuracy.md: parts of the sum of the magnitudes of what is added up, and half a unit of the result's type. */
static void expect_near(const trial *got, const trial *wanted, const trial *sums, double part,
                        double ulp, int which) {
  for (int i = 0; i < 3; i++) {
    double *a = values_of(got->out[i]), *b = values_of(wanted->out[i]),
           *m = values_of(sums->out[i]);
    for (int64_t j = 0; j < th_array_size(got->out[i]); j++)
      cr_assert(fabs(a[j] - b[j]) <= part * m[j] + ulp * fabs(b[j]),
                "shape %d, result %d, element %d is %.9g, not %.9g", which, i, (int)j, a[j], b[j]);
    free(a), free(b), free(m);
  }
}

Test(conv, errors_stay_below_their_bound) {
  static const th_dtype types[] = {TH_F32, TH_F16, TH_BF16};
  static const double ulps[] = {0, 0x1p-11, 0x1p-8};
  for (int i = 0; i < SHAPES; i++)
    for (int k = 0; k < 3; k++) {
      th_scope scope = th_scope_begin();
      trial got, wanted, sums;
      draw(&got, &shapes[i], types[k]);
      widen(&wanted, &got, false);
      widen(&sums, &got, true);
      convolve(&got, &shapes[i]);
      convolve(&wanted, &shapes[i]);
      convolve(&sums, &shapes[i]);
      expect_near(&got, &wanted, &sums, 2e-6, ulps[k], i);
      th_scope_end(scope);
    }
}

static th_array *turned_copy(th_array *a) {
  const int order[] = {2, 0, 3, 1}, back[] = {1, 3, 0, 2};
  return th_detach(th_permute_dims(th_copy(th_permute_dims(a, order, 4)), back, 4));
}

Test(conv, bits_do_not_depend_on_layouts) {
  for (int i = 0; i < SHAPES; i++) {
    th_scope scope = th_scope_begin();
    trial a, b;
    draw(&a, &shapes[i], TH_F32);
    for (int k = 0; k < 3; k++) b.in[k] = turned_copy(a.in[k]);
    convolve(&a, &shapes[i]);
    convolve(&b, &shapes[i]);
    for (int k = 0; k < 3; k++) {
      double *x = values_of(a.out[k]), *y = values_of(b.out[k]);
      for (int64_t j = 0; j < th_array_size(a.out[k]); j++)
        cr_assert(x[j] == y[j], "shape %d, result %d, element %d", i, k, (int)j);
      free(x), free(y);
    }
    th_scope_end(scope);
  }
}

static int kind(double x) { return isnan(x) ? 2 : isinf(x) ? 3 + (x > 0) : 0; }

/* What is not finite reaches the windows that hold it, and no others. */
static void expect_kinds(const shape *s, int input, float value) {
  th_scope scope = th_scope_begin();
  trial got, wanted;
  draw(&got, s, TH_F32);
  size_t n = (size_t)th_array_size(got.in[input]);
  float *values = malloc(n * sizeof *values);
  cr_assert(eq(int, th_read(got.in[input], values, n * sizeof *values), TH_OK));
  values[n / 2 + 3] = value;
  const th_array *old = got.in[input];
  got.in[input] = th_from_host(values, th_array_shape(old), 4, TH_F32, th_cpu(0));
  free(values);
  widen(&wanted, &got, false);
  convolve(&got, s);
  convolve(&wanted, s);
  for (int k = 0; k < 3; k++) {
    double *x = values_of(got.out[k]), *y = values_of(wanted.out[k]);
    for (int64_t j = 0; j < th_array_size(got.out[k]); j++)
      cr_assert(eq(int, kind(x[j]), kind(y[j])), "input %d, result %d, element %d: %g, not %g",
                input, k, (int)j, x[j], y[j]);
    free(x), free(y);
  }
  th_scope_end(scope);
}

Test(conv, what_is_not_finite_stays_in_its_windows) {
  for (int i = 0; i < SHAPES; i++)
    for (int input = 0; input < 3; input++) {
      expect_kinds(&shapes[i], input, NAN);
      expect_kinds(&shapes[i], input, -INFINITY);
    }
}
