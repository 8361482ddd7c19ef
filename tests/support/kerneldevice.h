/* The kernel device: a pool device over host memory that CPU kernels do not run on. Its kernels are the launchers of CUDA devices
 * (ops/cuda/cuda.h) over the .cu files compiled as C++ (tests/fakecuda), so both are tested without a driver. A program that uses
 * it is linked with th__cuda_launch() and its neighbours wrapped; see tests/CMakeLists.txt. */
#ifndef THRUM_TESTS_SUPPORT_KERNELDEVICE_H
#define THRUM_TESTS_SUPPORT_KERNELDEVICE_H

#include "engine/device.h"

/* Registers the kind, as TH_KIND_EXTERNAL, and its kernels. Before the engine starts. False when the library of kernels cannot
 * be loaded. */
bool kernel_device_install(const char *library);
th_device kernel_device(void);
/* Kernels, copies and fills so far. */
int kernel_device_launches(void);
/* Its elementary functions are the CPU's, so elementwise results have the same bits. */
bool kernel_device_exact(void);
/* How many products were allowed to be of TF32. */
int kernel_device_tf32(void);
/* Blocks and threads run in the opposite order from now on. */
void kernel_device_backwards(bool backwards);

#endif
