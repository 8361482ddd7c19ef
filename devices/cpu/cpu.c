/* Owns the CPU devices: their pools and how the host is divided among them. The lock guards the division; it is held for a
 * few instructions. */
#include "devices/cpu/cpu.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "devices/pool.h"
#include "engine/base/atomic.h"
#include "engine/base/error.h"
#include "engine/base/thread.h"

typedef struct cpu_device {
  int index;
  th__pool pool;
} cpu_device;

/* Never freed: an array released after shutdown gives its block back here. Untouched ones take no memory. */
static cpu_device devices[TH__CPU_MAX];

typedef struct cpu_division {
  int devices;      /* 0 = not divided: cpu:0 alone */
  int threads_each; /* of a division */
  int workers;      /* of cpu:0 alone: 0 = all cores, or TH_NO_WORKERS */
  int64_t limit;    /* of cpu:0: 0 = default */
} cpu_division;

static th__spin lock;
static cpu_division division;

static cpu_division division_now(void) {
  th__spin_lock(&lock);
  cpu_division copy = division;
  th__spin_unlock(&lock);
  return copy;
}

void th__cpu_configure(const th_config *config) {
  th__spin_lock(&lock);
  division.workers = config->workers;
  division.limit = config->memory_limit;
  th__spin_unlock(&lock);
}

void th__cpu_forget(void) {
  th__spin_lock(&lock);
  division = (cpu_division){0};
  th__spin_unlock(&lock);
}

void th__cpu_split(int count, int threads_each) {
  th__spin_lock(&lock);
  division.devices = count;
  division.threads_each = threads_each;
  th__spin_unlock(&lock);
}

static int cpu_count(void) {
  int n = division_now().devices;
  return n > 0 ? n : 1;
}

static th_status cpu_open(int index, void **state) {
  cpu_division d = division_now();
  /* By default the devices of a division share what one would have. */
  int64_t limit = th__cpu_default_limit() / (d.devices > 0 ? d.devices : 1);
  if (index == 0 && d.limit > 0) limit = d.limit;
  char name[24];
  snprintf(name, sizeof name, "cpu:%d", index);
  devices[index].index = index;
  TH_TRY(th__pool_open(&devices[index].pool, name, NULL, limit));
  *state = &devices[index];
  return TH_OK;
}

static void cpu_close(void *state) { th__pool_close(&((cpu_device *)state)->pool); }

static th_status cpu_alloc(void *state, int64_t bytes, void **out) {
  return th__pool_alloc(&((cpu_device *)state)->pool, bytes, out);
}

static void cpu_free(void *state, void *block, int64_t bytes) {
  th__pool_free(&((cpu_device *)state)->pool, block, bytes);
}

static void cpu_memory(void *state, th_memory_info *out) {
  th__pool_memory(&((cpu_device *)state)->pool, out);
}

static void cpu_set_limit(void *state, int64_t bytes) {
  th__pool_set_limit(&((cpu_device *)state)->pool, bytes);
}

static void cpu_trim(void *state) {
  th__pool_trim(&((cpu_device *)state)->pool);
#ifdef __GLIBC__
  malloc_trim(0); /* the C library keeps freed blocks, too */
#endif
}

static void cpu_reset_peak(void *state) { th__pool_reset_peak(&((cpu_device *)state)->pool); }

static int cpu_threads(void *state) {
  cpu_division d = division_now();
  if (d.devices > 0) return d.threads_each;
  if (d.workers == TH_NO_WORKERS) return 0;
  return d.workers > 0 ? d.workers : th__thread_cores();
}

const th__device_ops th__cpu_ops = {
    .name = "cpu",
    .caps = TH__CAP_HOST_MEMORY,
    .count = cpu_count,
    .open = cpu_open,
    .close = cpu_close,
    .alloc = cpu_alloc,
    .free = cpu_free,
    .memory = cpu_memory,
    .set_limit = cpu_set_limit,
    .trim = cpu_trim,
    .reset_peak = cpu_reset_peak,
    .threads = cpu_threads,
};
