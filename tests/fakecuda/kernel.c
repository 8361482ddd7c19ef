/* Owns the fake's kernels: functions of a host library, found by name. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fakecuda/fake.h"

static void *library;
static fake_kernel *kernels; /* never freed: handles stay good */

FAKE_EXPORT int fake_kernels(const char *path) {
  void *opened = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  fake_lock();
  if (opened != NULL)
    library = opened;
  else
    fake_complain("kernels: %s", dlerror());
  fake_unlock();
  return opened != NULL ? 0 : -1;
}

static void *symbol_of(const char *kind, const char *name) {
  char symbol[160];
  snprintf(symbol, sizeof symbol, "fake_%s_%s", kind, name);
  return library == NULL ? NULL : dlsym(library, symbol);
}

static void open_library(void) {
  const char *path = getenv("FAKE_CUDA_KERNELS");
  if (library == NULL && path != NULL) library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
}

th__cu_result cuModuleLoadData(th__cu_module *out, const void *image) {
  fake_lock();
  th__cu_context context = fake_current();
  th__cu_result result = context == NULL ? 201 : context->dead;
  if (result == TH__CU_SUCCESS) {
    *out = calloc(1, sizeof **out);
    (*out)->context = context;
    fake.n_modules++;
  }
  fake_unlock();
  return result;
}

th__cu_result cuModuleUnload(th__cu_module module) {
  fake_lock();
  fake.n_modules--;
  free(module);
  fake_unlock();
  return TH__CU_SUCCESS;
}

th__cu_result cuModuleGetFunction(th__cu_function *out, th__cu_module module, const char *name) {
  fake_lock();
  open_library();
  fake_kernel *k = kernels;
  while (k != NULL && strcmp(k->name, name) != 0) k = k->next;
  void *run = k == NULL ? symbol_of("kernel", name) : NULL;
  if (run != NULL) {
    k = calloc(1, sizeof *k);
    snprintf(k->name, sizeof k->name, "%s", name);
    memcpy(&k->run, &run, sizeof run);
    k->access = symbol_of("access", name);
    k->sizes = symbol_of("sizes", name);
    k->next = kernels;
    kernels = k;
  }
  *out = (th__cu_function)(void *)k;
  fake_unlock();
  return k != NULL ? TH__CU_SUCCESS : 500;
}

/* A launch with its parameters. */
typedef struct launch {
  fake_kernel *kernel;
  unsigned grid[3], block[3], shared;
  int64_t slow; /* ns */
  size_t offsets[FAKE_PARAMS];
  int n;
} launch;

static size_t align16(size_t bytes) { return (bytes + 15) & ~(size_t)15; }

/* Parameters follow the launch, each on a multiple of 16 bytes. */
static void *value_of(launch *l, int i) { return (char *)l + align16(sizeof *l) + l->offsets[i]; }

static void run_launch(void *arg) {
  launch *l = arg;
  void *params[FAKE_PARAMS];
  for (int i = 0; i < l->n; i++) params[i] = value_of(l, i);
  int64_t end = fake_now() + l->slow;
  l->kernel->run(params, l->grid, l->block, l->shared);
  while (l->slow > 0 && fake_now() < end) continue;
}

/* Keeps the parameters until the kernel runs. */
static void enqueue_launch(th__cu_stream stream, launch *head, void **args) {
  const fake_kernel *k = head->kernel;
  size_t bytes = 0;
  for (head->n = 0; head->n < FAKE_PARAMS && k->sizes[head->n] != 0; head->n++) {
    head->offsets[head->n] = bytes;
    bytes += align16(k->sizes[head->n]);
  }
  size_t all = align16(sizeof *head) + bytes;
  launch *l = calloc(1, all);
  *l = *head;
  for (int i = 0; i < l->n; i++) memcpy(value_of(l, i), args[i], k->sizes[i]);
  (void)fake_enqueue(stream, k->name, run_launch, l, all);
  free(l);
}

/* What the kernel does with its parameters, as far as it says. */
static void check_parameters(th__cu_stream stream, const fake_kernel *k, void **args) {
  for (int i = 0; k->access != NULL && k->access[i] != 0; i++) {
    char letter = k->access[i];
    const void *address, *begin;
    int64_t bytes;
    if (letter == 'v') continue;
    memcpy(&address, args[i], sizeof address);
    if (address == NULL) continue;
    if (!fake_extent(address, &begin, &bytes)) {
      fake_complain("%s: parameter %d, %p, is no memory of the driver's", k->name, i, address);
      continue;
    }
    if (letter != 'w') fake_access(stream, k->name, begin, bytes, false);
    if (letter != 'r') fake_access(stream, k->name, begin, bytes, true);
  }
}

th__cu_result cuLaunchKernel(th__cu_function function, unsigned grid_x, unsigned grid_y,
                             unsigned grid_z, unsigned block_x, unsigned block_y, unsigned block_z,
                             unsigned shared_bytes, th__cu_stream stream, void **args,
                             void **extra) {
  fake_kernel *k = (fake_kernel *)(void *)function;
  launch head = {.kernel = k,
                 .grid = {grid_x, grid_y, grid_z},
                 .block = {block_x, block_y, block_z},
                 .shared = shared_bytes};
  fake_lock();
  head.slow = fake.set.slow;
  th__cu_result result = stream->context->dead;
  bool sane = grid_x > 0 && grid_y > 0 && grid_z > 0 && grid_y <= 65535 && grid_z <= 65535 &&
              block_x > 0 && block_y > 0 && block_z > 0 &&
              (uint64_t)block_x * block_y * block_z <= 1024 && shared_bytes <= 227 * 1024;
  if (result == TH__CU_SUCCESS && (!sane || fake_strikes(&fake.set.fail_launch))) result = 1;
  if (result == TH__CU_SUCCESS) {
    fake.count.launches++;
    if (k->sizes != NULL)
      enqueue_launch(stream, &head, args);
    else
      (void)fake_enqueue(stream, k->name, NULL, NULL, 0);
    check_parameters(stream, k, args);
    if (k->sizes == NULL && fake_run_until(stream, stream->issued))
      k->run(args, head.grid, head.block, shared_bytes);
    fake_some_progress();
  }
  fake_unlock();
  return result;
}
