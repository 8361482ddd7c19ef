/* Convolutions, pooling, norms, losses and attention against formulas written out, their gradients, and what they refuse. */
#include "ops/values.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "thrum/autograd.h"

static void start(void) { start_engine(2); }
TestSuite(nn, .timeout = 240, .init = start, .fini = stop_engine);

static uint64_t state = 7;
static double drawn(void) {
  state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (double)(state >> 11) * 0x1p-52 - 1;
}

static th_array *random_array(const int64_t *shape, int ndim, th_dtype t) {
  int64_t n = 1;
  for (int d = 0; d < ndim; d++) n *= shape[d];
  double *values = malloc((size_t)n * sizeof *values + 1);
  for (int64_t i = 0; i < n; i++) values[i] = drawn();
  th_array *doubles = th_from_host(values, shape, ndim, TH_F64, th_cpu(0));
  th_array *a = th_astype(doubles, t);
  th_release(doubles);
  free(values);
  return a;
}

/* The elements as doubles; the caller frees them. */
static double *read_all(const th_array *a) {
  th_array *doubles = th_astype(a, TH_F64);
  size_t n = (size_t)th_array_size(a) * sizeof(double);
  double *values = malloc(n + 1);
  cr_assert(eq(int, th_read(doubles, values, n), TH_OK), "%s", th_last_error());
  th_release(doubles);
  return values;
}

static double value_of(th_array *a) {
  cr_assert(a != NULL, "%s", th_last_error());
  double *values = read_all(a), value = values[0];
  free(values);
  th_release(a);
  return value;
}

static void expect_close(const th_array *got, const double *wanted, double tolerance,
                         const char *what) {
  cr_assert(got != NULL, "%s: %s", what, th_last_error());
  double *values = read_all(got);
  for (int64_t i = 0; i < th_array_size(got); i++)
    cr_assert(fabs(values[i] - wanted[i]) <= tolerance * fmax(1, fabs(wanted[i])),
              "%s: element %d is %.17g, not %.17g", what, (int)i, values[i], wanted[i]);
  free(values);
}

/* --- convolution --- */

typedef struct conv_shape {
  int64_t n, c, h, w, o, kh, kw, stride[2], padding[2], dilation[2], groups;
} conv_shape;

static int64_t windows(const conv_shape *s, int d) {
  int64_t size = d ? s->w : s->h, kernel = d ? s->kw : s->kh;
  return (size + 2 * s->padding[d] - s->dilation[d] * (kernel - 1) - 1) / s->stride[d] + 1;
}

/* The definition. */
static double *convolved(const conv_shape *s, const double *x, const double *k, const double *b) {
  int64_t oh = windows(s, 0), ow = windows(s, 1), in = s->c / s->groups;
  double *out = calloc((size_t)(s->n * s->o * oh * ow), sizeof *out);
  for (int64_t i = 0; i < s->n * s->o * oh * ow; i++) {
    int64_t column = i % ow, row = i / ow % oh, o = i / (ow * oh) % s->o, n = i / (ow * oh * s->o);
    int64_t group = o / (s->o / s->groups);
    out[i] = b[o];
    for (int64_t t = 0; t < in * s->kh * s->kw; t++) {
      int64_t c = t / (s->kh * s->kw), p = t / s->kw % s->kh, q = t % s->kw;
      int64_t y = row * s->stride[0] - s->padding[0] + p * s->dilation[0];
      int64_t z = column * s->stride[1] - s->padding[1] + q * s->dilation[1];
      if (y < 0 || y >= s->h || z < 0 || z >= s->w) continue;
      out[i] +=
          x[((n * s->c + group * in + c) * s->h + y) * s->w + z] * k[o * in * s->kh * s->kw + t];
    }
  }
  return out;
}

static const conv_shape conv_shapes[] = {
    {3, 1, 9, 7, 8, 3, 3, {1, 1}, {1, 1}, {1, 1}, 1},
    {2, 8, 28, 28, 16, 3, 3, {1, 1}, {1, 1}, {1, 1}, 1},
    {2, 6, 17, 40, 9, 5, 3, {2, 3}, {2, 0}, {1, 2}, 3},
    {1, 4, 33, 700, 4, 1, 5, {1, 2}, {0, 4}, {1, 3}, 4},
    {5, 3, 6, 6, 2, 6, 6, {1, 1}, {0, 0}, {1, 1}, 1},
    {2, 2, 5, 5, 3, 1, 1, {3, 3}, {2, 2}, {1, 1}, 1},
    {40, 2, 4, 4, 5, 2, 2, {1, 1}, {1, 0}, {2, 1}, 1},
    {2, 2, 17, 19, 3, 3, 2, {5, 4}, {1, 2}, {2, 3}, 1},
    {1, 3, 22, 25, 8, 3, 4, {4, 6}, {0, 1}, {6, 4}, 1},
};

Test(nn, conv2d_is_its_definition) {
  static const th_dtype types[] = {TH_F32, TH_F64, TH_F16, TH_BF16};
  static const double allowed[] = {1e-5, 1e-12, 4e-3, 4e-2};
  for (size_t i = 0; i < sizeof conv_shapes / sizeof *conv_shapes; i++)
    for (int t = 0; t < 4; t++) {
      const conv_shape *s = &conv_shapes[i];
      th_array *x = random_array(TH_SHAPE(s->n, s->c, s->h, s->w), types[t]);
      th_array *k = random_array(TH_SHAPE(s->o, s->c / s->groups, s->kh, s->kw), types[t]);
      th_array *b = random_array(TH_SHAPE(s->o), types[t]);
      double *xs = read_all(x), *ks = read_all(k), *bs = read_all(b);
      double *wanted = convolved(s, xs, ks, bs);
      th_conv_config config = {.groups = s->groups};
      memcpy(config.stride, s->stride, sizeof config.stride);
      memcpy(config.padding, s->padding, sizeof config.padding);
      memcpy(config.dilation, s->dilation, sizeof config.dilation);
      th_array *y = th_conv2d(x, k, b, &config);
      expect_close(y, wanted, allowed[t], "conv2d");
      th_release(y);
      free(xs), free(ks), free(bs), free(wanted);
      th_release(x), th_release(k), th_release(b);
    }
}

/* <conv(x, k), g> is linear in x and in k: its gradients, applied to x or k, give it back. */
Test(nn, gradients_of_conv2d_are_adjoint) {
  for (size_t i = 0; i < sizeof conv_shapes / sizeof *conv_shapes; i++) {
    const conv_shape *s = &conv_shapes[i];
    th_scope scope = th_scope_begin();
    th_array *x = random_array(TH_SHAPE(s->n, s->c, s->h, s->w), TH_F64);
    th_array *k = random_array(TH_SHAPE(s->o, s->c / s->groups, s->kh, s->kw), TH_F64);
    th_conv_config config = {.groups = s->groups};
    memcpy(config.stride, s->stride, sizeof config.stride);
    memcpy(config.padding, s->padding, sizeof config.padding);
    memcpy(config.dilation, s->dilation, sizeof config.dilation);
    th_require_grad(x);
    th_require_grad(k);
    th_array *y = th_conv2d(x, k, NULL, &config);
    th_array *g = random_array(th_array_shape(y), 4, TH_F64);
    double whole = value_of(th_retain(th_sum(th_multiply(y, g), NULL, 0, false)));
    cr_assert(eq(int, th_backward_from(y, g, 0), TH_OK), "%s", th_last_error());
    th_grad_mode(false);
    double by_x = value_of(th_retain(th_sum(th_multiply(x, th_grad(x)), NULL, 0, false)));
    double by_k = value_of(th_retain(th_sum(th_multiply(k, th_grad(k)), NULL, 0, false)));
    th_grad_mode(true);
    cr_assert(fabs(by_x - whole) < 1e-9 && fabs(by_k - whole) < 1e-9, "%d: %g, %g, %g", (int)i,
              whole, by_x, by_k);
    th_scope_end(scope);
  }
}

/* Only what taps reach is packed: the whole stride would be 40 GB. */
Test(nn, strides_far_beyond_the_kernel) {
  th_conv_config config = {.stride = {100000, 100000}};
  th_array *x = random_array(TH_SHAPE(1, 1, 4, 4), TH_F32),
           *k = random_array(TH_SHAPE(1, 1, 1, 1), TH_F32);
  double *xs = read_all(x), *ks = read_all(k), slope[16] = {ks[0]}, wanted = xs[0] * ks[0];
  cr_assert(th_require_grad(x) == TH_OK && th_require_grad(k) == TH_OK);
  th_array *y = th_conv2d(x, k, NULL, &config);
  expect_close(y, &wanted, 1e-6, "conv2d");
  cr_assert(eq(int, th_backward(y, 0), TH_OK), "%s", th_last_error());
  expect_close(th_grad(x), slope, 1e-6, "by x");
  expect_close(th_grad(k), xs, 1e-6, "by k");
  free(xs), free(ks);
  th_release(x), th_release(k), th_release(y);
}

/* Weights see the windows of their own channel, whatever lies behind its last row. */
Test(nn, what_is_not_finite_stays_out_of_other_weights) {
  static const th_dtype types[] = {TH_F32, TH_F64, TH_F16};
  for (int t = 0; t < 3; t++)
    for (int channel = 0; channel < 2; channel++) {
      double values[32] = {0};
      values[16 * channel] = INFINITY;
      th_array *doubles = th_from_host(values, TH_SHAPE(1, 2, 4, 4), TH_F64, th_cpu(0));
      th_array *x = th_astype(doubles, types[t]),
               *k = th_zeros(TH_SHAPE(1, 2, 3, 3), types[t], th_cpu(0));
      th_require_grad(k);
      th_array *y = th_conv2d(x, k, NULL, NULL), *sum = th_sum(y, NULL, 0, false);
      cr_assert(eq(int, th_backward(sum, 0), TH_OK), "%s", th_last_error());
      double *g = read_all(th_grad(k)); /* the corner is under the first tap alone */
      for (int i = 0; i < 18; i++)
        cr_assert(g[i] == (i == 9 * channel ? INFINITY : 0), "weight %d: %g", i, g[i]);
      free(g);
      th_release(doubles), th_release(x), th_release(k), th_release(y), th_release(sum);
    }
}

Test(nn, conv1d_is_conv2d_of_one_row) {
  th_array *x = random_array(TH_SHAPE(2, 3, 11), TH_F64),
           *k = random_array(TH_SHAPE(4, 3, 3), TH_F64);
  const conv_shape s = {2, 3, 1, 11, 4, 1, 3, {1, 2}, {0, 1}, {1, 1}, 1};
  const double none[4] = {0};
  double *xs = read_all(x), *ks = read_all(k), *wanted = convolved(&s, xs, ks, none);
  th_array *y = th_conv1d(x, k, NULL, &(th_conv_config){.stride = {2}, .padding = {1}});
  cr_assert(eq(int, th_array_ndim(y), 3));
  expect_close(y, wanted, 1e-12, "conv1d");
  cr_assert(th_conv1d(y, y, y, NULL) == NULL && th_conv2d(x, k, NULL, NULL) == NULL);
  free(xs), free(ks), free(wanted);
  th_release(x), th_release(k), th_release(y);
}

Test(nn, convolutions_refuse) {
  th_array *x = random_array(TH_SHAPE(2, 4, 5, 5), TH_F32),
           *k = random_array(TH_SHAPE(4, 2, 3, 3), TH_F32);
  cr_assert(th_conv2d(x, k, NULL, NULL) == NULL);
  cr_assert(failed_with(TH_ESHAPE, "channels and groups"));
  cr_assert(th_conv2d(x, k, NULL, &(th_conv_config){.groups = 2, .dilation = {3, 1}}) == NULL);
  cr_assert(failed_with(TH_ESHAPE, "kernel is larger"));
  cr_assert(th_conv2d(x, k, NULL, &(th_conv_config){.groups = 2, .stride = {-1, 1}}) == NULL);
  cr_assert(failed_with(TH_EINVAL, "stride -1"));
  cr_assert(th_conv2d(x, k, x, &(th_conv_config){.groups = 2}) == NULL);
  cr_assert(failed_with(TH_ESHAPE, "bias"));
  cr_assert(th_conv2d(NULL, k, NULL, NULL) == NULL);
  cr_assert(th_max_pool2d(x, NULL) == NULL && failed_with(TH_EINVAL, "no configuration"));
  cr_assert(th_max_pool2d(x, &(th_pool_config){.kernel = {2, 2}, .padding = {2, 0}}) == NULL);
  cr_assert(failed_with(TH_EINVAL, "more than half"));
  th_release(x), th_release(k);
}

/* --- pooling --- */

/* 2x2 windows, also in rows that are no multiple of a vector. */
static void pool_many_planes(th_dtype t) {
  static const int64_t sizes[][2] = {{28, 28}, {5, 7},   {2, 70}, {3, 33}, {16, 16},
                                     {7, 21},  {14, 14}, {4, 8},  {3, 9},  {6, 11}};
  for (int i = 0; i < 10; i++) {
    int64_t h = sizes[i][0], w = sizes[i][1], oh = h / 2, ow = w / 2;
    th_array *x = random_array(TH_SHAPE(3, 5, h, w), t);
    double *xs = read_all(x), *wanted = calloc((size_t)(15 * oh * ow), sizeof *wanted);
    double *slope = calloc((size_t)(15 * h * w), sizeof *slope);
    for (int64_t j = 0; j < 15 * oh * ow; j++) {
      int64_t at = (j / (oh * ow) * h + j / ow % oh * 2) * w + j % ow * 2, best = at;
      for (int k = 1; k < 4; k++)
        if (xs[at + k / 2 * w + k % 2] > xs[best]) best = at + k / 2 * w + k % 2;
      wanted[j] = xs[best];
      slope[best] += 1;
    }
    th_require_grad(x);
    th_array *y = th_max_pool2d(x, &(th_pool_config){.kernel = {2, 2}});
    th_array *ones = th_ones_like(y);
    expect_close(y, wanted, 0, "max_pool2d");
    cr_assert(eq(int, th_backward_from(y, ones, 0), TH_OK));
    expect_close(th_grad(x), slope, 0, "its gradient");
    free(xs), free(wanted), free(slope);
    th_release(x), th_release(y), th_release(ones);
  }
}

Test(nn, max_pool2d_of_many_planes) {
  pool_many_planes(TH_F32);
  pool_many_planes(TH_F64);
}

/* The same in a row of windows long enough for vectors. */
Test(nn, max_pool2d_of_nan_in_long_rows) {
  double values[64], slope[64] = {0}, g[16];
  for (int i = 0; i < 64; i++) values[i] = i % 5 == 0 ? 3 : i % 7 == 0 ? (double)NAN : i % 3;
  th_array *x = th_from_host(values, TH_SHAPE(1, 1, 2, 32), TH_F64, th_cpu(0));
  th_require_grad(x);
  for (int j = 0; j < 16; j++) {
    int best = 2 * j;
    g[j] = j + 1;
    for (int k = 1; k < 4; k++) {
      int at = 2 * j + k / 2 * 32 + k % 2;
      if (values[at] > values[best] || (isnan(values[at]) && !isnan(values[best]))) best = at;
    }
    slope[best] = g[j];
  }
  th_array *y = th_max_pool2d(x, &(th_pool_config){.kernel = {2, 2}});
  th_array *u = th_from_host(g, TH_SHAPE(1, 1, 1, 16), TH_F64, th_cpu(0));
  cr_assert(eq(int, th_backward_from(y, u, 0), TH_OK));
  expect_close(th_grad(x), slope, 0, "the first NaN of each window");
  th_release(x), th_release(y), th_release(u);
}

Test(nn, max_pool2d_of_nan_ties_and_padding) {
  const float values[] = {1, 1, 2, NAN, 1, 1, NAN, 0};
  th_array *x = th_from_host(values, TH_SHAPE(1, 1, 2, 4), TH_F32, th_cpu(0));
  th_require_grad(x);
  th_array *y = th_max_pool2d(x, &(th_pool_config){.kernel = {2, 2}}), *ones = th_ones_like(y);
  double *got = read_all(y);
  cr_assert(got[0] == 1 && isnan(got[1]));
  cr_assert(eq(int, th_backward_from(y, ones, 0), TH_OK));
  const double slope[] = {1, 0, 0, 1, 0, 0, 0, 0};
  expect_close(th_grad(x), slope, 0, "the first largest, or the first NaN");
  /* A window whose taps all lie in the padding is empty. */
  th_array *empty = th_max_pool2d(
      x,
      &(th_pool_config){.kernel = {1, 2}, .stride = {1, 1}, .padding = {0, 1}, .dilation = {1, 5}});
  double *none = read_all(empty);
  cr_assert(isinf(none[0]) && none[0] < 0);
  free(got), free(none);
  th_release(x), th_release(y), th_release(ones), th_release(empty);
}

Test(nn, avg_pool2d_counts_padding_or_not) {
  th_array *x = th_ones(TH_SHAPE(1, 1, 3, 3), TH_F64, th_cpu(0));
  th_pool_config config = {.kernel = {2, 2}, .padding = {1, 1}};
  th_array *y = th_avg_pool2d(x, &config);
  const double counted[] = {0.25, 0.5, 0.5, 1}, inside[] = {1, 1, 1, 1};
  expect_close(y, counted, 0, "avg_pool2d");
  config.exclude_padding = true;
  th_array *z = th_avg_pool2d(x, &config);
  expect_close(z, inside, 0, "avg_pool2d without padding");
  th_release(x), th_release(y), th_release(z);
}

/* --- norms --- */

/* Lines longer than what is worked on at a time. */
Test(nn, norms_of_long_lines) {
  enum { ROWS = 3, N = 5003 };
  th_array *x = random_array(TH_SHAPE(ROWS, N), TH_F32), *w = random_array(TH_SHAPE(N), TH_F32);
  th_array *b = random_array(TH_SHAPE(N), TH_F32);
  double *xs = read_all(x), *ws = read_all(w), *bs = read_all(b);
  double *wanted = malloc(sizeof(double) * ROWS * N), *root = malloc(sizeof(double) * ROWS * N);
  for (int i = 0; i < ROWS; i++) {
    double mean = 0, var = 0, square = 0;
    for (int j = 0; j < N; j++) mean += xs[i * N + j] / N;
    for (int j = 0; j < N; j++) {
      var += (xs[i * N + j] - mean) * (xs[i * N + j] - mean) / N;
      square += xs[i * N + j] * xs[i * N + j] / N;
    }
    for (int j = 0; j < N; j++) {
      wanted[i * N + j] = (xs[i * N + j] - mean) / sqrt(var + 1e-5) * ws[j] + bs[j];
      root[i * N + j] = xs[i * N + j] / sqrt(square + 1e-5) * ws[j];
    }
  }
  th_array *y = th_layer_norm(x, 1, w, b, 1e-5), *z = th_rms_norm(x, 1, w, 1e-5);
  expect_close(y, wanted, 1e-5, "layer_norm");
  expect_close(z, root, 1e-5, "rms_norm");
  free(xs), free(ws), free(bs), free(wanted), free(root);
  th_release(x), th_release(w), th_release(b), th_release(y), th_release(z);
}

Test(nn, batch_norm_follows_the_running_figures) {
  const double values[] = {1, 2, 3, 6, -1, 0, 5, 2};
  th_array *x = th_from_host(values, TH_SHAPE(2, 2, 2), TH_F64, th_cpu(0));
  th_array *mean = th_zeros(TH_SHAPE(2), TH_F64, th_cpu(0));
  th_array *var = th_ones(TH_SHAPE(2), TH_F64, th_cpu(0));
  th_require_grad(x);
  th_array *y = th_batch_norm(x, mean, var, NULL, NULL, true, 0.1, 0);
  /* Channel 0: 1 2 -1 0, mean 0.5, variance 1.25; channel 1: 3 6 5 2, mean 4, variance 2.5; unbiased by 4 / 3. */
  const double means[] = {0.05, 0.4}, vars[] = {0.9 + 0.1 * 5 / 3, 0.9 + 1.0 / 3};
  expect_close(mean, means, 1e-12, "running mean");
  expect_close(var, vars, 1e-12, "running variance");
  cr_assert(th_requires_grad(y) && !th_requires_grad(mean));
  const double c = 1 / sqrt(1.25), d = 1 / sqrt(2.5);
  const double normed[] = {0.5 * c, 1.5 * c, -d, 2 * d, -1.5 * c, -0.5 * c, d, -2 * d};
  expect_close(y, normed, 1e-12, "batch_norm");
  th_array *w = th_full(TH_SHAPE(2), 3, TH_F64, th_cpu(0)),
           *b = th_ones(TH_SHAPE(2), TH_F64, th_cpu(0));
  th_array *z = th_batch_norm(x, mean, var, w, b, false, 0.1, 1e-5);
  double inferred[8];
  for (int i = 0; i < 8; i++)
    inferred[i] = (values[i] - means[i / 2 % 2]) / sqrt(vars[i / 2 % 2] + 1e-5) * 3 + 1;
  expect_close(z, inferred, 1e-12, "batch_norm, inference");
  cr_assert(th_batch_norm(x, NULL, NULL, w, b, false, 0.1, 1e-5) == NULL);
  cr_assert(th_layer_norm(x, 4, NULL, NULL, 1e-5) == NULL &&
            th_layer_norm(x, 1, x, NULL, 0) == NULL);
  th_array *biased = th_layer_norm(x, 1, NULL, b, 1e-5);
  cr_assert(biased != NULL, "a bias without a weight: %s", th_last_error());
  th_release(x), th_release(mean), th_release(var), th_release(y), th_release(w), th_release(b);
  th_release(z), th_release(biased);
}

Test(nn, batch_norm_does_not_train_on_nothing) {
  th_array *x = th_zeros(TH_SHAPE(0, 2, 3), TH_F32, th_cpu(0));
  th_array *mean = th_zeros(TH_SHAPE(2), TH_F32, th_cpu(0));
  th_array *var = th_ones(TH_SHAPE(2), TH_F32, th_cpu(0));
  cr_assert(th_batch_norm(x, mean, var, NULL, NULL, true, 0.1, 1e-5) == NULL);
  cr_assert(failed_with(TH_ESHAPE, "batch_norm: no elements per channel"));
  expect_close(mean, (const double[]){0, 0}, 0, "running mean");
  expect_close(var, (const double[]){1, 1}, 0, "running variance");
  th_array *y = th_batch_norm(x, mean, var, NULL, NULL, false, 0.1, 1e-5);
  cr_assert(y != NULL && th_array_size(y) == 0, "%s", th_last_error());
  th_release(x), th_release(mean), th_release(var), th_release(y);
}

/* --- losses --- */

static th_array *all_losses(th_array *const *in, int n, void *user) {
  switch (*(const int *)user) {
  case 0: return th_mse_loss(in[0], in[1]);
  case 1: return th_l1_loss(in[0], in[1]);
  case 2: return th_huber_loss(in[0], in[1], 0.5);
  case 3: return th_bce_with_logits(in[0], in[1]);
  default: return th_cross_entropy(in[0], in[1]);
  }
}

Test(nn, losses_are_their_formulas) {
  static const char *const names[] = {"mse", "l1", "huber", "bce", "cross_entropy"};
  th_array *in[2] = {random_array(TH_SHAPE(4, 5), TH_F64), random_array(TH_SHAPE(4, 5), TH_F64)};
  double *x = read_all(in[0]), *y = read_all(in[1]), wanted[5] = {0};
  for (int i = 0; i < 20; i++) {
    double d = fabs(x[i] - y[i]), s = 1 / (1 + exp(-x[i])), sum = 0;
    for (int j = 0; j < 5; j++) sum += exp(x[i / 5 * 5 + j]);
    wanted[0] += d * d / 20;
    wanted[1] += d / 20;
    wanted[2] += (d <= 0.5 ? d * d / 2 : 0.5 * (d - 0.25)) / 20;
    wanted[3] -= (y[i] * log(s) + (1 - y[i]) * log(1 - s)) / 20;
    wanted[4] -= y[i] * (x[i] - log(sum)) / 4;
  }
  for (int i = 0; i < 5; i++) {
    double got = value_of(all_losses(in, 2, &i));
    cr_assert(fabs(got - wanted[i]) < 1e-12, "%s: %.17g, not %.17g", names[i], got, wanted[i]);
    cr_assert(eq(int, th_grad_check(all_losses, in, 2, &i, 1e-5, 1e-6, NULL), TH_OK), "%s: %s",
              names[i], th_last_error());
  }
  cr_assert(th_huber_loss(in[0], in[1], 0) == NULL && failed_with(TH_EINVAL, "delta"));
  free(x), free(y);
  th_release(in[0]), th_release(in[1]);
}

/* 20 rounds to log(1 + e^20); what is left of the loss is e^-20. Its slope is right where the formula has its corner, too. */
Test(nn, bce_of_sure_logits_keeps_its_digits) {
  const float values[] = {20, -20, 80, 0, 3, -3};
  const float wants[] = {1, 0, 1, 1, 0.25f, 1};
  for (int i = 0; i < 6; i++) {
    double x = values[i], y = wants[i], s = 1 / (1 + exp(-x));
    double wanted = y * log1p(exp(-x)) + (1 - y) * log1p(exp(x));
    th_array *a = th_from_host(&values[i], TH_SHAPE(1), TH_F32, th_cpu(0));
    th_array *b = th_from_host(&wants[i], TH_SHAPE(1), TH_F32, th_cpu(0));
    cr_assert(th_require_grad(a) == TH_OK && th_require_grad(b) == TH_OK);
    th_array *loss = th_bce_with_logits(a, b);
    double got = value_of(th_retain(loss));
    cr_assert(fabs(got - wanted) <= 1e-6 * wanted, "%g, %g: %g, not %g", x, y, got, wanted);
    cr_assert(eq(int, th_backward(loss, 0), TH_OK), "%s", th_last_error());
    expect_close(th_grad(a), (double[]){s - y}, 1e-6, "slope by logits");
    expect_close(th_grad(b), (double[]){-x}, 1e-6, "slope by targets");
    th_release(a), th_release(b), th_release(loss);
  }
}

/* The sum of 8,192 rows, 81,920, is no number of f16; the mean is. */
Test(nn, losses_of_many_rows_of_halves) {
  enum { ROWS = 8192, CLASSES = 3 };
  th_array *p = th_full(TH_SHAPE(ROWS, CLASSES), -10, TH_F16, th_cpu(0));
  th_array *l = th_zeros(TH_SHAPE(ROWS), TH_I64, th_cpu(0));
  th_array *nll = th_nll_loss(p, l);
  cr_assert(eq(int, (int)th_array_dtype(nll), (int)TH_F16));
  expect_close(nll, (const double[]){10}, 0, "nll_loss");
  static const double row[] = {0, -12, -12};
  th_array *line = th_from_host(row, TH_SHAPE(CLASSES), TH_F64, th_cpu(0));
  th_array *halves = th_astype(line, TH_F16);
  th_array *logits = th_broadcast_to(halves, TH_SHAPE(ROWS, CLASSES));
  static const double second[] = {0, 1, 0};
  th_array *label = th_from_host(second, TH_SHAPE(CLASSES), TH_F64, th_cpu(0));
  th_array *share = th_astype(label, TH_F16);
  th_array *soft = th_broadcast_to(share, TH_SHAPE(ROWS, CLASSES));
  th_array *loss = th_cross_entropy(logits, soft);
  expect_close(loss, (const double[]){12}, 1e-3, "cross_entropy");
  th_array *all[] = {p, l, nll, line, halves, logits, label, share, soft, loss};
  for (int i = 0; i < 10; i++) th_release(all[i]);
}

Test(nn, losses_of_extreme_logits) {
  const float logits[] = {1000, -1000, 0}, targets[] = {1, 0, 1};
  th_array *x = th_from_host(logits, TH_SHAPE(3), TH_F32, th_cpu(0));
  th_array *y = th_from_host(targets, TH_SHAPE(3), TH_F32, th_cpu(0));
  cr_assert(fabs(value_of(th_bce_with_logits(x, y)) - log(2) / 3) < 1e-6);
  const float rows[] = {-INFINITY, 0, -1, -INFINITY};
  const int64_t labels[] = {1, 0};
  th_array *p = th_from_host(rows, TH_SHAPE(2, 2), TH_F32, th_cpu(0));
  th_array *l = th_from_host(labels, TH_SHAPE(2), TH_I64, th_cpu(0));
  cr_assert(value_of(th_nll_loss(p, l)) == 0.5);
  th_array *e = th_cross_entropy(p, l), *n = th_nll_loss(p, l);
  cr_assert(e != NULL && n != NULL);
  cr_assert(th_nll_loss(p, p) == NULL && th_nll_loss(NULL, l) == NULL);
  th_release(x), th_release(y), th_release(p), th_release(l), th_release(e), th_release(n);
}

/* --- attention --- */

static th_array *attend(th_array *const *in, int n, void *user) {
  return th_sdpa(in[0], in[1], in[2], n > 3 ? in[3] : NULL, *(const bool *)user);
}

Test(nn, attention_is_its_formula) {
  enum { L = 3, S = 4, D = 5, E = 2 };
  th_array *in[4] = {random_array(TH_SHAPE(2, L, D), TH_F64),
                     random_array(TH_SHAPE(2, S, D), TH_F64),
                     random_array(TH_SHAPE(2, S, E), TH_F64), random_array(TH_SHAPE(L, S), TH_F64)};
  double *q = read_all(in[0]), *k = read_all(in[1]), *v = read_all(in[2]), *m = read_all(in[3]);
  for (int form = 0; form < 4; form++) {
    bool causal = form & 1, masked = form & 2;
    double wanted[2 * L * E] = {0};
    for (int i = 0; i < 2 * L; i++) {
      double weight[S], sum = 0;
      for (int j = 0; j < S; j++) {
        double score = masked ? m[i % L * S + j] : 0;
        for (int d = 0; d < D; d++) score += q[i * D + d] * k[(i / L * S + j) * D + d] / sqrt(D);
        weight[j] = causal && j > i % L ? 0 : exp(score);
        sum += weight[j];
      }
      for (int j = 0; j < S; j++)
        for (int e = 0; e < E; e++)
          wanted[i * E + e] += weight[j] / sum * v[(i / L * S + j) * E + e];
    }
    th_array *y = attend(in, masked ? 4 : 3, &causal);
    expect_close(y, wanted, 1e-12, "sdpa");
    th_release(y);
    cr_assert(eq(int, th_grad_check(attend, in, masked ? 4 : 3, &causal, 1e-5, 1e-6, NULL), TH_OK),
              "%s", th_last_error());
  }
  th_array *all = th_ones(TH_SHAPE(L, S), TH_BOOL, th_cpu(0));
  th_array *a = th_sdpa(in[0], in[1], in[2], all, false);
  th_array *b = th_sdpa(in[0], in[1], in[2], NULL, false);
  double *bs = read_all(b);
  expect_close(a, bs, 0, "a mask that lets all through");
  cr_assert(th_sdpa(in[0], NULL, in[2], NULL, false) == NULL);
  free(q), free(k), free(v), free(m), free(bs);
  for (int i = 0; i < 4; i++) th_release(in[i]);
  th_release(all), th_release(a), th_release(b);
}

/* --- workers --- */

/* Several outputs of large calls with their gradients, one after the other. */
static size_t everything(char *to, size_t most) {
  th_generator *r = th_generator_new(9);
  th_scope scope = th_scope_begin();
  th_array *x = th_normal(r, TH_SHAPE(33, 8, 20, 20), 0, 1, TH_F32, th_cpu(0));
  th_array *k = th_normal(r, TH_SHAPE(16, 8, 3, 3), 0, 1, TH_F32, th_cpu(0));
  th_array *w = th_normal(r, TH_SHAPE(16), 0, 1, TH_F32, th_cpu(0));
  th_array *leaves[] = {x, k, w};
  for (int i = 0; i < 3; i++) th_require_grad(leaves[i]);
  th_array *y = th_conv2d(x, k, w, &(th_conv_config){.padding = {1, 1}});
  th_array *n = th_batch_norm(y, NULL, NULL, w, w, true, 0.1, 1e-5);
  th_array *p = th_max_pool2d(n, &(th_pool_config){.kernel = {3, 3}, .stride = {2, 2}});
  th_array *l = th_layer_norm(th_dropout(r, p, 0.1, true), 3, NULL, NULL, 1e-5);
  th_array *a = th_avg_pool2d(l, &(th_pool_config){.kernel = {2, 2}});
  cr_assert(eq(int, th_backward(th_sum(th_square(a), NULL, 0, false), 0), TH_OK));
  th_array *results[] = {y, n, p, l, a, th_grad(x), th_grad(k), th_grad(w)};
  size_t used = 0;
  for (int i = 0; i < 8; i++) {
    size_t bytes = (size_t)th_array_size(results[i]) * 4;
    cr_assert(used + bytes <= most);
    cr_assert(eq(int, th_read(results[i], to + used, bytes), TH_OK), "%s", th_last_error());
    used += bytes;
  }
  th_scope_end(scope);
  th_generator_release(r);
  return used;
}

Test(nn, bits_do_not_depend_on_the_number_of_workers) {
  const size_t most = 16 << 20;
  char *first = malloc(most), *now = malloc(most);
  size_t used = 0;
  for (int workers = 1; workers <= 3; workers++) {
    stop_engine();
    start_engine(workers);
    used = everything(workers == 1 ? first : now, most);
    cr_assert(workers == 1 || memcmp(first, now, used) == 0, "%d workers", workers);
  }
  free(first), free(now);
}

/* --- meta --- */

Test(nn, shapes_without_data) {
  th_scope scope = th_scope_begin();
  th_array *x = th_empty(TH_SHAPE(32, 8, 28, 28), TH_F32, th_meta());
  th_array *k = th_empty(TH_SHAPE(16, 8, 3, 3), TH_F32, th_meta());
  th_array *c = th_empty(TH_SHAPE(16), TH_F32, th_meta());
  th_array *y = th_conv2d(x, k, c, &(th_conv_config){.padding = {1, 1}});
  th_array *p = th_max_pool2d(y, &(th_pool_config){.kernel = {2, 2}});
  th_array *n = th_batch_norm(p, c, c, c, c, true, 0.1, 1e-5);
  th_array *l = th_layer_norm(n, 2, NULL, NULL, 1e-5);
  th_array *s = th_sdpa(l, l, l, NULL, true);
  th_array *d = th_dropout(NULL, s, 0.5, true);
  cr_assert(d != NULL, "%s", th_last_error());
  const int64_t wanted[] = {32, 16, 14, 14};
  cr_assert(eq(int, memcmp(th_array_shape(d), wanted, sizeof wanted), 0));
  th_scope_end(scope);
}
