/* Convolutions where the cases of single operators do not reach: several tiles of rows and columns, and sums cut into chunks. Part
 * of the programs of test_cuda_kernels.c and tests/gpu/test_kernels.c. */
#include "ops/kernel_suite.h"

TestSuite(cuda_nn, .timeout = 240, .init = start, .fini = stop_engine);

typedef struct conv_case {
  const char *what;
  int64_t images, in, out, size, kernel;
  th_conv_config config;
} conv_case;

static const conv_case cases[] = {
    {"weights' slope in chunks, few rows", 4, 3, 5, 20, 3, {.padding = {1, 1}}},
    {"forward in chunks, with stride", 2, 64, 12, 9, 3, {.stride = {2, 2}, .padding = {1, 1}}},
    {"groups and gaps", 1, 40, 34, 8, 5, {.groups = 2, .dilation = {2, 2}, .padding = {4, 4}}},
    {"many rows, uneven strides", 3, 2, 70, 13, 3, {.stride = {3, 1}}},
    {"no place inside", 1, 2, 3, 1, 3, {.padding = {5, 5}, .dilation = {4, 4}}},
};

enum { RESULTS = 4 };

/* The result and the gradients of the sum of its squares by x, weight and bias, on device d. */
static void convolve(const conv_case *c, th_array *const in[3], th_device d,
                     th_array *out[RESULTS]) {
  th_array *leaf[3];
  for (int i = 0; i < 3; i++) {
    leaf[i] = th_copy_to(in[i], d);
    cr_assert(eq(int, th_require_grad(leaf[i]), TH_OK));
  }
  out[0] = th_conv2d(leaf[0], leaf[1], leaf[2], &c->config);
  th_array *square = th_square(out[0]), *loss = th_sum(square, NULL, 0, false);
  cr_assert(th_backward(loss, 0) == TH_OK, "%s: %s", c->what, th_last_error());
  for (int i = 0; i < 3; i++) {
    out[1 + i] = th_copy(th_grad(leaf[i]));
    th_release(leaf[i]);
  }
  th_release(square);
  th_release(loss);
}

Test(cuda_nn, convolutions_in_tiles_and_chunks) {
  static const char *const names[RESULTS] = {"result", "by x", "by weight", "by bias"};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    for (int wide = 0; wide < 2; wide++) {
      const conv_case *c = &cases[i];
      th_dtype t = wide ? TH_F64 : TH_F32;
      int64_t groups = c->config.groups ? c->config.groups : 1;
      th_array *in[3] = {
          noisy(TH_SHAPE(c->images, c->in, c->size, c->size + 2), t, 1),
          noisy(TH_SHAPE(c->out, c->in / groups, c->kernel, c->kernel), t, 1),
          noisy(TH_SHAPE(c->out), t, 1),
      };
      th_array *wanted[RESULTS], *got[RESULTS];
      kernel_device_backwards(wide);
      convolve(c, in, th_cpu(0), wanted);
      convolve(c, in, kernel_device(), got);
      for (int r = 0; r < RESULTS; r++) {
        double *values = values_of(wanted[r]);
        double worst = worst_of(got[r], values, th_array_size(wanted[r]));
        /* f64 is the sharp one; in f32 sums of hundreds of terms lose digits where they cancel. */
        cr_assert(worst <= (wide ? 1e-10 : 2e-3), "%s, %s: off by %g", c->what, names[r], worst);
        free(values);
        th_release(got[r]);
        th_release(wanted[r]);
      }
      for (int k = 0; k < 3; k++) th_release(in[k]);
    }
}
