/* The fake CUDA driver (tests/fakecuda) behind the product's devices, for tests. */
#ifndef THRUM_TESTS_SUPPORT_FAKEDRIVER_H
#define THRUM_TESTS_SUPPORT_FAKEDRIVER_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/cuda/cuda.h"
#include "fakecuda/fakecuda.h"

/* Makes the fake the process's CUDA driver, before anything asked for one. Blocks of pools are told to it, and its test kernels are
 * loaded. False with why it cannot be. */
bool fake_install(const char **why);
/* Functions of the fake; see fakecuda.h. */
void fake_begin(uint64_t seed); /* fake_reset() */
void fake_setting(const char *name, int64_t value);
int64_t fake_counted(const char *name);
const char *fake_findings(bool leaks);

/* Kernels of tests/fakecuda/kernels.c. */
extern const th__cuda_image fake_image;
extern th__cuda_kernel fake_mix, fake_add, fake_bump;
/* mix: y, ny elements, changes by h and by x, nx elements or NULL. */
th_status fake_launch_mix(th_task_context *context, const void *x, int64_t nx, void *y, int64_t ny,
                          uint64_t h);

#endif
