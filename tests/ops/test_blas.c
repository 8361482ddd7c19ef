#include "ops/linear/blas.h"
#include "tests/ops/values.h"

TestSuite(ops_blas, .timeout = 60, .fini = stop_engine);

Test(ops_blas, runs_kernels_that_fit_the_processor) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  bool wide = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (wide && getenv("OPENBLAS_CORETYPE") == NULL)
    cr_assert(strcmp(openblas_get_corename(), "Prescott") != 0);
#endif
  cr_assert(strlen(openblas_get_corename()) > 0);
}

Test(ops_blas, leaves_the_environment_as_it_was) {
  char at_start[65536]; /* what the process was started with */
  FILE *file = fopen("/proc/self/environ", "r");
  cr_assert(file != NULL);
  size_t n = fread(at_start, 1, sizeof at_start - 1, file);
  fclose(file);
  at_start[n] = 0;
  const char *then = NULL, *name = "OPENBLAS_CORETYPE=", *now = getenv("OPENBLAS_CORETYPE");
  for (const char *p = at_start; p < at_start + n; p += strlen(p) + 1)
    if (strncmp(p, name, strlen(name)) == 0) then = p + strlen(name);
  bool same_absence = (then == NULL) == (now == NULL);
  cr_assert(same_absence);
  cr_assert(now == NULL || strcmp(then, now) == 0);
}

Test(ops_blas, is_single_threaded_once_a_product_ran) {
  th_array *a = th_ones(TH_SHAPE(3, 3), TH_F32, th_cpu(0));
  cr_assert(eq(dbl, take_value(th_matmul(a, a), 8), 3));
  cr_assert(eq(int, openblas_get_num_threads(), 1));
  th_release(a);
}
