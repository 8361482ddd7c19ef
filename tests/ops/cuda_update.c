/* Kernels of the steps of optimizers. Part of the programs of test_cuda_kernels.c and tests/gpu/test_kernels.c. */
#include "ops/kernel_suite.h"

#include "ops/nn/update.h"

TestSuite(cuda_update, .timeout = 240, .init = start, .fini = stop_engine);

static double allowed(th_dtype t) {
  return t == TH_F64 ? 1e-12 : t == TH_F32 ? 1e-5 : t == TH_F16 ? 0x1p-8 : 0x1p-5;
}

/* Both are released. */
static void expect(th_array *got, th_array *wanted, double tolerance) {
  double *values = values_of(wanted), worst = worst_of(got, values, th_array_size(wanted));
  cr_assert(worst <= tolerance, "off by %g", worst);
  free(values);
  th_release(got);
  th_release(wanted);
}

/* Parameters of several types and sizes, one with gaps, one without elements. */
Test(cuda_update, step_of_many_parameters) {
  enum { N = 6 };
  static const th_dtype types[N] = {TH_F32, TH_F64, TH_F16, TH_F32, TH_BF16, TH_F32};
  static const int64_t sizes[N] = {10, 9001, 5000, 0, 4096, 600};
  for (int velocities = 0; velocities < 2; velocities++) {
    th_array *side[2][3][N];
    for (int d = 0; d < 2; d++)
      for (int j = 0; j < 3; j++)
        for (int i = 0; i < N; i++) {
          th_array *a = noisy(TH_SHAPE(sizes[i]), types[i], j + 1);
          th_array *there = th_copy_to(a, d ? kernel_device() : th_cpu(0));
          side[d][j][i] = i == 5 && j == 0 ? th_slice(there, "::-2")
                          : i == 5         ? th_slice(there, ":300")
                                           : th_retain(there);
          th_release(a);
          th_release(there);
        }
    for (int d = 0; d < 2; d++)
      for (int round = 0; round < 3; round++)
        cr_assert(eq(int,
                     th_sgd_step(side[d][0], side[d][1], velocities ? side[d][2] : NULL, N, 0.1,
                                 velocities ? 0.9 : 0, 0.01, round == 1),
                     TH_OK));
    for (int j = 0; j < 3; j++)
      for (int i = 0; i < N; i++) expect(side[1][j][i], side[0][j][i], allowed(types[i]));
  }
}

/* Steps with controls: by a factor, left out, and Adam's count of what was left out before. */
Test(cuda_update, step_by_factor) {
  static const float factors[] = {0.5f, 0, 1};
  static const float skipped = 2;
  for (int kind = 0; kind < 3; kind++)
    for (int f = 0; f < 3; f++) {
      th_array *side[2][4];
      for (int d = 0; d < 2; d++) {
        th_device device = d ? kernel_device() : th_cpu(0);
        for (int j = 0; j < 4; j++) {
          th_array *a = noisy(TH_SHAPE(5000), TH_F32, j + 1), *size = th_abs(a);
          side[d][j] = th_copy_to(j < 2 ? a : size, device);
          th_release(a);
          th_release(size);
        }
        th_array *factor = th_from_host(&factors[f], TH_SCALAR, TH_F32, device);
        th_array *before = th_from_host(&skipped, TH_SCALAR, TH_F32, device);
        th__step_control control = {factor, before};
        th_array **lists[] = {&side[d][0], &side[d][1], &side[d][2], &side[d][3]};
        th_array *const *const *groups = (th_array *const *const *)lists;
        const th__sgd_params sgd = {.lr = 0.1, .momentum = 0.9, .n = 1};
        const th__adam_params adam = {
            .lr = 0.1, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-3, .step = 5, .n = 1};
        const th__rmsprop_params rmsprop = {.lr = 0.1, .alpha = 0.9, .eps = 1e-3, .n = 1};
        th_status status = kind == 0   ? th__step_sgd(&sgd, groups, &control)
                           : kind == 1 ? th__step_adam(&adam, groups, &control)
                                       : th__step_rmsprop(&rmsprop, groups, &control);
        cr_assert(eq(int, status, TH_OK), "%s", th_last_error());
        th_release(factor);
        th_release(before);
      }
      for (int j = 0; j < 4; j++) expect(side[1][j], side[0][j], 1e-5);
    }
}
