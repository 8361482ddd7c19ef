/* Owns the set-up of OpenBLAS; see blas.h. `lock` guards the first call that switches its threads off.
 *
 * OpenBLAS before 0.3.25 takes Intel processors that it does not know for a Prescott of 2004, which costs a factor of five and
 * more. When that happened, its own choice is repeated with the right name: while the library is loaded, before threads of a
 * normal program exist, because the name travels through the environment. A choice the user made stays. */
#include "ops/linear/blas.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/atomic.h"

#if defined(__x86_64__)

#define CHOICE "OPENBLAS_CORETYPE"

static const char *fitting_core(void) {
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512cd"))
    return "SkylakeX";
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? "Haswell" : NULL;
}

__attribute__((constructor)) static void choose_core(void) {
  const char *core = fitting_core();
  if (core == NULL || getenv(CHOICE) != NULL || strcmp(openblas_get_corename(), "Prescott") != 0)
    return;
  /* Not in its header, so an OpenBLAS without them is left alone. */
  void (*quit)(void), (*init)(void);
  *(void **)&quit = dlsym(RTLD_DEFAULT, "gotoblas_dynamic_quit");
  *(void **)&init = dlsym(RTLD_DEFAULT, "gotoblas_dynamic_init");
  if (quit == NULL || init == NULL || setenv(CHOICE, core, 1) != 0) return;
  quit();
  init();
  (void)unsetenv(CHOICE);
}

#endif

void th__blas_prepare(void) {
  static th__spin lock;
  static _Atomic bool done; /* release after the call pairs with acquire here */
  if (th__load(&done, TH__ACQUIRE)) return;
  th__spin_lock(&lock);
  if (!th__load(&done, TH__RELAXED)) openblas_set_num_threads(1);
  th__store(&done, true, TH__RELEASE);
  th__spin_unlock(&lock);
}
