/* What tests on a GPU share. They run on whatever driver the library finds; where there is no GPU they are skipped and say why. */
#ifndef THRUM_TESTS_GPU_GPU_H
#define THRUM_TESTS_GPU_GPU_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "devices/cuda/cuda.h"
#include "devices/cuda/driver.h"
#include "ops/cuda/cuda.h"

/* The fake driver brings kernels of its own: also a build without nvcc can be tried on it. */
static inline bool gpu_is_fake(void) { return getenv("FAKE_CUDA_KERNELS") != NULL; }

/* Before the engine starts. */
static inline void gpu_or_skip(void) {
  const char *why = th__cuda_absent();
  if (why == NULL && !th__cuda_kernels_built() && !gpu_is_fake())
    why = "nvcc was missing when this was built, so there are no kernels";
  if (why != NULL) {
    fprintf(stderr, "skipped, no GPU to test on: %s\n", why); /* Criterion keeps it to itself */
    cr_skip_test("no GPU to test on: %s", why);
  }
  th__cuda_kernels_set();
}

#endif
