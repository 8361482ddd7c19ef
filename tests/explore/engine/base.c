/* What stands below the engine when it is explored: memory, threads, clock, settings, and the parts of the engine that are
 * left out (traces, callbacks). Also two devices, cpu:0 and cpu:1, with as many workers each as the scenario wants. */
#include "engine/base/atomic.h"
#include "engine/base/env.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/base/thread.h"
#include "engine/engine.h"
#include "engine/service.h"
#include "engine/parts.h"
#include "engine/trace.h"
#include "tests/explore/core.h"
#include "tests/explore/engine/base.h"

/* --- engine/base/mem.h --- */

void *th__alloc(size_t bytes) { return ex_alloc(bytes); }
void *th__zalloc(size_t bytes) { return ex_alloc(bytes); }
void *th__resize(void *block, size_t bytes) { return ex_resize(block, bytes); }
void th__free(void *block) { ex_free(block); }
void *th__pages_resize(void *block, size_t bytes, size_t wanted) {
  return ex_resize(block, wanted);
}
void th__pages_free(void *block, size_t bytes) { ex_free(block); }
void th__mem_set_allocator(const th_allocator *allocator) {}

/* --- what shadow/system.h redirects --- */

void *base_map(size_t bytes) { return ex_map(bytes); }
int base_unmap(void *p, size_t bytes) {
  ex_map_forget(p, bytes);
  return 0;
}
int base_at_exit(void (*fn)(void)) { return 0; }
int base_forget(void *p, size_t bytes) {
  ex_map_forget(p, bytes);
  return 0;
}

static const ex_place mutex_lock = {"mutex", __FILE__, __LINE__};
void base_mutex_lock(void *mutex) { ex_lock(&mutex_lock, mutex); }
void base_mutex_unlock(void *mutex) { ex_unlock(&mutex_lock, mutex); }

static th__spin once_lock;
int base_once(void *once, void (*fn)(void)) {
  th__spin_lock(&once_lock);
  char *done = once; /* zero before */
  if (*done == 0) fn();
  *done = 1;
  th__spin_unlock(&once_lock);
  return 0;
}

/* One key is enough. Its values are per thread as everything else that is. */
static void (*key_end)(void *);
static _Thread_local const void *key_value;
int base_key_create(pthread_key_t *key, void (*at_end)(void *)) {
  *key = 0;
  key_end = at_end;
  return 0;
}
int base_set_specific(pthread_key_t key, const void *value) {
  key_value = value;
  return 0;
}
void base_thread_ends(void) {
  if (key_end != NULL && key_value != NULL) key_end((void *)(uintptr_t)key_value);
  key_value = NULL;
}

void base_thread_is_idle(void) { (void)th__starved_idle(th__self()); }

/* --- engine/base/thread.h --- */

int64_t th__now_ns(void) { return ex_now_ns(); }
int64_t th__deadline_ns(int64_t timeout_ns) {
  return timeout_ns < 0 ? -1 : ex_now_ns() + timeout_ns;
}
int th__thread_cores(void) { return 3; } /* two guests in a parallel loop */
int th__thread_core_list(int *out, int most) { return 0; }
bool th__thread_pin(int core) { return false; }
void th__sleep_ns(int64_t ns) { th__yield(); }
th_status th__thread_start(th__thread_handle *out, void (*body)(void *arg), void *arg,
                           const char *name) {
  *out = (th__thread_handle)ex_spawn(body, arg);
  return TH_OK;
}
void th__thread_join(th__thread_handle *handle) { ex_join((int)*handle); }

/* --- engine/base/env.h --- */

th_status th__env_read(th__env *out) {
  *out = (th__env){0};
  return TH_OK;
}

/* --- engine/service.h, engine/trace.h --- */

void th__service_start(void) {}
void th__service_stop(void) {}
void th__service_exit(void) {}
void th__service_after_fork(void) {}
bool th__service_thread(void) { return false; }
bool th__service_inside(void) { return false; }

_Atomic uint32_t th__trace_flags, th__trace_clock;
uint32_t th__trace_clock_decide(void) { return 1; }
void th__trace_task_done(const th__trace_task *t) {}
void th__trace_host_wait(const char *where, uint64_t begin, uint64_t end) {}
void th__trace_counter(const char *name, int64_t value) {}
void th__trace_autostart(const char *path) {}
void th__trace_autostop(void) {}
void th__trace_shutdown(void) {}
void th__trace_after_fork(void) {}
void th__trace_reset(void) {}

/* --- the devices: cpu:0 and cpu:1 --- */

static int workers;

static int cpu_count(void) { return 2; }
static th_status cpu_open(int index, void **state) {
  *state = NULL;
  return TH_OK;
}
static void cpu_close(void *state) {}
static void cpu_memory(void *state, th_memory_info *out) {
  *out = (th_memory_info){.limit = 1 << 20};
}
static int cpu_threads(void *state) { return workers; }

static const th__device_ops cpu_ops = {
    .name = "cpu",
    .caps = TH__CAP_HOST_MEMORY,
    .count = cpu_count,
    .open = cpu_open,
    .close = cpu_close,
    .memory = cpu_memory,
    .threads = cpu_threads,
};

th_status th__engine_start_hook(const th_config *config) {
  workers = config->workers < 0 ? 0 : config->workers;
  return th__device_register(TH_CPU, &cpu_ops);
}
void th__engine_stop_hook(void) {}

const char *th_device_name(th_device d, char *buffer, size_t bytes) { return "cpu:0"; }
