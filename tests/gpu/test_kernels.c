/* A GPU in place of the kernel device: with this file tests/ops/test_cuda_kernels.c becomes a test of cuda:0. Elementary functions
 * of a GPU are not those of the CPU, so results of floating types are compared with tolerances.
 * ctest: timeout 600 */
#include <limits.h>

#include "gpu/gpu.h"
#include "support/kerneldevice.h"
#include "thrum/thrum.h"

bool kernel_device_install(const char *library) {
  gpu_or_skip();
  return true;
}

th_device kernel_device(void) { return th_cuda(0); }
bool kernel_device_exact(void) { return false; }
int kernel_device_tf32(void) { return -1; }          /* nobody counts */
int kernel_device_launches(void) { return INT_MAX; } /* nobody counts */
void kernel_device_backwards(bool backwards) {}
