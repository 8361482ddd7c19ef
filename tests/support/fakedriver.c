/* Owns the way from tests to the fake driver: its functions are found by dlsym(), because the product opens it like any driver. */
#include "support/fakedriver.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "devices/cuda/driver.h"
#include "devices/cuda/parts.h"
#include "ops/cuda/cuda.h"

static struct {
  void (*reset)(uint64_t seed);
  int (*set)(const char *name, int64_t value);
  int (*kernels)(const char *path);
  int64_t (*count)(const char *name);
  const char *(*report)(int leaks);
  void (*block)(void *block, int64_t bytes, int taken);
} fake;

static void find(void *library, const char *name, void *out) {
  void *symbol = dlsym(library, name);
  memcpy(out, &symbol, sizeof symbol);
}

static void watch(void *block, int64_t bytes, bool taken) { fake.block(block, bytes, taken); }

bool fake_install(const char **why) {
  if (fake.reset != NULL) return true;
  setenv("TH_LIBCUDA", TH_FAKECUDA, 1);
  void *library = dlopen(TH_FAKECUDA, RTLD_NOW | RTLD_LOCAL);
  *why = library == NULL ? dlerror() : th__cuda_absent();
  if (*why != NULL) return false;
  find(library, "fake_set", &fake.set);
  find(library, "fake_kernels", &fake.kernels);
  find(library, "fake_count", &fake.count);
  find(library, "fake_report", &fake.report);
  find(library, "fake_block", &fake.block);
  find(library, "fake_reset", &fake.reset);
  if (fake.reset == NULL || fake.kernels(TH_FAKEKERNELS) != 0) {
    *why = fake.reset == NULL ? "no fake_reset()" : fake.report(0);
    fake.reset = NULL;
    return false;
  }
  th__cuda_kernels_set(); /* the library has them, with nvcc and without */
  th__cuda_pool_watch = watch;
  return true;
}

void fake_begin(uint64_t seed) { fake.reset(seed); }

void fake_setting(const char *name, int64_t value) {
  if (fake.set(name, value) != 0) abort();
}

int64_t fake_counted(const char *name) { return fake.count(name); }
const char *fake_findings(bool leaks) { return fake.report(leaks); }

const th__cuda_image fake_image = {"tests", "", 0};
th__cuda_kernel fake_mix = {.name = "mix"};
th__cuda_kernel fake_add = {.name = "add"};
th__cuda_kernel fake_bump = {.name = "bump"};

th_status fake_launch_mix(th_task_context *context, const void *x, int64_t nx, void *y, int64_t ny,
                          uint64_t h) {
  static const unsigned one[3] = {1, 1, 1};
  void *args[] = {&x, &nx, &y, &ny, &h};
  return th__cuda_launch(context, &fake_image, &fake_mix, one, one, 0, args);
}
