/* Owns the driver: finding its library, its functions, starting it once per process. `once` guards all of it; afterwards it is
 * constant. The library is never closed, because its threads and handlers would go on. */
#include "devices/cuda/driver.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/env.h"
#include "engine/base/error.h"

#define DRIVER_NAME "libcuda.so.1"

th__cuda_driver th__cu;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static char reason[400];  /* why there is no driver; "" = there is one */
static char folder[1024]; /* of the library that TH_LIBCUDA names, with the slash; "" = none */
static pid_t loaded_in;   /* a forked child cannot use its parent's driver */

static const struct {
  const char *name;
  size_t offset;
  bool required;
} functions[] = {
#define ROW(ours, theirs, parameters)      {#theirs, offsetof(th__cuda_driver, ours), true},
#define OPTIONAL(ours, theirs, parameters) {#theirs, offsetof(th__cuda_driver, ours), false},
    TH__CU_FUNCTIONS(ROW) TH__CU_OPTIONAL_FUNCTIONS(OPTIONAL)
#undef ROW
#undef OPTIONAL
};

const char *th__cuda_result_text(th__cu_result result, char *out, size_t room) {
  const char *name = NULL, *text = NULL;
  if (th__cu.error_name == NULL || th__cu.error_name(result, &name) != TH__CU_SUCCESS) name = NULL;
  if (th__cu.error_text == NULL || th__cu.error_text(result, &text) != TH__CU_SUCCESS) text = NULL;
  if (name == NULL) {
    snprintf(out, room, "error %d", (int)result);
  } else {
    static const char prefix[] = "CUDA_ERROR_";
    if (strncmp(name, prefix, sizeof prefix - 1) == 0) name += sizeof prefix - 1;
    snprintf(out, room, "%s (%s)", name, text == NULL ? "no text" : text);
  }
  return out;
}

/* False with the reason when a required one is missing. */
static bool find_functions(void *library, const char *path) {
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    void *symbol = dlsym(library, functions[i].name);
    if (symbol == NULL && functions[i].required) {
      snprintf(reason, sizeof reason, "driver too old: %.200s has no %s", path, functions[i].name);
      return false;
    }
    memcpy((char *)&th__cu + functions[i].offset, &symbol, sizeof symbol);
  }
  return true;
}

static void start(void) {
  char text[200];
  int version = 0;
  if (th__cu.version(&version) != TH__CU_SUCCESS) version = 0;
  if (version < TH__CUDA_DRIVER_NEEDED) {
    snprintf(reason, sizeof reason, "driver too old: has %d.%d, needs %d.%d", version / 1000,
             version % 1000 / 10, TH__CUDA_DRIVER_NEEDED / 1000,
             TH__CUDA_DRIVER_NEEDED % 1000 / 10);
    return;
  }
  th__cu_result result = th__cu.init(0);
  if (result == TH__CU_NO_DEVICE)
    snprintf(reason, sizeof reason, "the driver finds no GPU");
  else if (result != TH__CU_SUCCESS)
    snprintf(reason, sizeof reason, "the driver does not start: %s",
             th__cuda_result_text(result, text, sizeof text));
}

static void load(void) {
  th__env env;
  const char *path = th__env_read(&env) == TH_OK ? env.libcuda : NULL;
  if (path == NULL) path = DRIVER_NAME;
  loaded_in = getpid();
  const char *slash = strrchr(path, '/');
  if (slash != NULL && (size_t)(slash - path) + 2 <= sizeof folder)
    memcpy(folder, path, (size_t)(slash - path) + 1);
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) {
    const char *why = dlerror();
    snprintf(reason, sizeof reason, "no driver: %.300s", why == NULL ? path : why);
  } else if (find_functions(library, path)) {
    start();
  }
}

const char *th__cuda_absent(void) {
  pthread_once(&once, load);
  if (reason[0] != 0) return reason;
  return getpid() == loaded_in ? NULL : "a forked process cannot use the driver of its parent";
}

th_status th__cuda_present(void) {
  const char *why = th__cuda_absent();
  return why == NULL ? TH_OK : th__fail(TH_EDEVICE, "cuda: %s", why);
}

void *th__cuda_library(const char *name, char *why, size_t room) {
  char path[1200];
  void *library = NULL;
  if (folder[0] != 0) {
    snprintf(path, sizeof path, "%s%s", folder, name);
    library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  }
  if (library == NULL) library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (library == NULL)
    snprintf(why, room, "%s not found, searched %.300s%sthe system's library path", name, folder,
             folder[0] != 0 ? " and " : "");
  return library;
}
