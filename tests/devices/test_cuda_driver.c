/* What programs are told where there is no CUDA driver, or not the right one. Each test is a process of its own, so each finds the
 * driver anew. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "devices/cuda/driver.h"
#include "support/fakedriver.h"
#include "thrum/thrum.h"

TestSuite(cuda_driver, .timeout = 60);

static void expect_none(const char *reason) {
  cr_assert(eq(int, th_device_count(TH_CUDA), 0));
  th_array *a = th_full(TH_SHAPE(2), 1, TH_F32, th_cuda(0));
  cr_assert(zero(ptr, a));
  cr_assert(eq(int, th_last_status(), TH_EDEVICE));
  cr_assert(not(zero(ptr, strstr(th_last_error(), reason))), "%s", th_last_error());
  cr_assert(not(zero(ptr, strstr(th_last_error(), "there is no device cuda:0: "))), "%s",
            th_last_error());
  a = th_full(TH_SHAPE(2), 1, TH_F32, th_cpu(0)); /* the rest works */
  cr_assert(eq(int, th_wait(a), TH_OK));
  th_release(a);
  cr_assert(eq(int, th_shutdown(), TH_OK));
}

Test(cuda_driver, there_is_none) {
  setenv("TH_LIBCUDA", "/nowhere/libcuda.so.1", 1);
  expect_none("no driver: /nowhere/libcuda.so.1");
}

Test(cuda_driver, another_library) {
  setenv("TH_LIBCUDA", TH_FAKEKERNELS, 1);
  expect_none("libfakekernels.so has no cuInit");
  cr_assert(eq(int, strncmp(th__cuda_absent(), "driver too old: ", 16), 0));
}

Test(cuda_driver, too_old) {
  setenv("FAKE_CUDA", "version=12020", 1);
  setenv("TH_LIBCUDA", TH_FAKECUDA, 1);
  expect_none("driver too old: has 12.2, needs 13.0");
}

Test(cuda_driver, no_gpu) {
  setenv("FAKE_CUDA", "devices=0", 1);
  setenv("TH_LIBCUDA", TH_FAKECUDA, 1);
  expect_none("the driver finds no GPU");
}

Test(cuda_driver, a_library_beside_the_driver) {
  char why[400] = "";
  setenv("TH_LIBCUDA", TH_FAKECUDA, 1);
  cr_assert(zero(ptr, (void *)th__cuda_absent()), "%s", th__cuda_absent());
  cr_assert(not(zero(ptr, th__cuda_library("libcublas.so.13", why, sizeof why))), "%s", why);
  cr_assert(zero(ptr, th__cuda_library("libnothing.so.0", why, sizeof why)));
  cr_assert(not(zero(ptr, strstr(why, "libnothing.so.0 not found, searched "))), "%s", why);
}
