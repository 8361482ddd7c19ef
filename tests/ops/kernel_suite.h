/* How every suite of kernels begins: on the kernel device, where nothing may go over the CPU. FAKE_KERNELS comes from the build, for
 * programs with the kernels compiled for the host; on a GPU it is not looked at. */
#ifndef THRUM_TESTS_OPS_KERNEL_SUITE_H
#define THRUM_TESTS_OPS_KERNEL_SUITE_H

#include "ops/values.h"
#include "support/kerneldevice.h"

#ifndef FAKE_KERNELS
#define FAKE_KERNELS ""
#endif

static inline void start(void) {
  cr_assert(kernel_device_install(FAKE_KERNELS), "cannot load the kernels");
  setenv("TH_STRICT_DEVICE", "1", 1);
  start_engine(1);
}

#endif
