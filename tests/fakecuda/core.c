/* Owns the fake's settings, reports, devices and contexts. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fakecuda/fake.h"

#define STACK 16

fake_the fake = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
_Thread_local bool fake_unlocked;

static bool started;
static char report[8192];
static _Thread_local th__cu_context stack[STACK];
static _Thread_local int depth;

/* ---- settings ---- */

static const struct {
  const char *name;
  size_t offset;
  int64_t value;
} settings[] = {
#define ROW(name, value) {#name, offsetof(fake_settings, name), value},
    FAKE_SETTINGS(ROW)
#undef ROW
};

static int set(const char *name, size_t length, int64_t value) {
  for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
    if (strlen(settings[i].name) != length || strncmp(settings[i].name, name, length) != 0)
      continue;
    memcpy((char *)&fake.set + settings[i].offset, &value, sizeof value);
    if (strcmp(settings[i].name, "seed") == 0) fake.random = (uint64_t)value * 1000003;
    return 0;
  }
  return -1;
}

static void set_defaults(void) {
  for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
    (void)set(settings[i].name, strlen(settings[i].name), settings[i].value);
  fake.mood = fake.mood_calls = fake.idle = 0;
}

static void read_environment(void) {
  const char *text = getenv("FAKE_CUDA");
  while (text != NULL && *text != 0) {
    text += strspn(text, " ,");
    size_t length = strcspn(text, "=");
    if (text[length] == 0) break;
    char *end;
    int64_t value = strtoll(text + length + 1, &end, 10);
    if (set(text, length, value) != 0) fake_complain("FAKE_CUDA: unknown setting %.20s", text);
    text = end;
  }
}

void fake_lock(void) {
  pthread_mutex_lock(&fake.lock);
  if (started) return;
  started = true;
  for (int i = 0; i < FAKE_DEVICES; i++) fake.contexts[i].index = i;
  set_defaults();
  read_environment();
}

void fake_unlock(void) { pthread_mutex_unlock(&fake.lock); }

int64_t fake_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

uint32_t fake_below(uint32_t n) {
  uint64_t z = fake.random += UINT64_C(0x9E3779B97F4A7C15);
  z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
  z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
  return (uint32_t)((z ^ z >> 31) % n);
}

bool fake_strikes(int64_t *setting) { return *setting > 0 && --*setting == 0; }

void fake_clock_join(fake_clock into, const fake_clock from) {
  for (int i = 0; i < FAKE_STREAMS; i++)
    if (from[i] > into[i]) into[i] = from[i];
}

/* ---- reports ---- */

void fake_complain(const char *format, ...) {
  if (fake_unlocked) fake_lock();
  size_t used = strlen(report);
  va_list args;
  va_start(args, format);
  if (used + 2 < sizeof report) {
    vsnprintf(report + used, sizeof report - used - 1, format, args);
    strcat(report, "\n");
  }
  va_end(args);
  if (fake_unlocked) fake_unlock();
}

FAKE_EXPORT void fake_reset(uint64_t seed) {
  fake_lock();
  set_defaults();
  read_environment();
  (void)set("seed", 4, (int64_t)seed);
  memset(&fake.count, 0, sizeof fake.count);
  report[0] = 0;
  fake_unlock();
}

FAKE_EXPORT int fake_set(const char *name, int64_t value) {
  fake_lock();
  int result = set(name, strlen(name), value);
  fake_unlock();
  return result;
}

FAKE_EXPORT int64_t fake_count(const char *name) {
  int64_t value = -1;
  fake_lock();
#define LOOK(field)                                                                                \
  if (strcmp(name, #field) == 0) value = fake.count.field;
  FAKE_COUNTS(LOOK)
#undef LOOK
  fake_unlock();
  return value;
}

FAKE_EXPORT const char *fake_report(int leaks) {
  static char text[sizeof report];
  fake_lock();
  if (leaks) {
    fake_memory_leaks();
    if (fake.n_streams > 0) fake_complain("leak: %d streams", fake.n_streams);
    if (fake.n_events > 0) fake_complain("leak: %d events", fake.n_events);
    if (fake.n_modules > 0) fake_complain("leak: %d modules", fake.n_modules);
    for (int i = 0; i < FAKE_DEVICES; i++)
      if (fake.contexts[i].retained > 0) fake_complain("leak: the context of device %d", i);
  }
  memcpy(text, report, sizeof text);
  fake_unlock();
  return text;
}

/* ---- devices ---- */

th__cu_result cuInit(unsigned flags) {
  fake_lock();
  bool none = fake.set.devices == 0;
  fake_unlock();
  return none ? TH__CU_NO_DEVICE : TH__CU_SUCCESS;
}

th__cu_result cuDriverGetVersion(int *version) {
  fake_lock();
  *version = (int)fake.set.version;
  fake_unlock();
  return TH__CU_SUCCESS;
}

th__cu_result cuDeviceGetCount(int *count) {
  fake_lock();
  *count = (int)(fake.set.devices < FAKE_DEVICES ? fake.set.devices : FAKE_DEVICES);
  fake_unlock();
  return TH__CU_SUCCESS;
}

th__cu_result cuDeviceGet(th__cu_device *device, int ordinal) {
  *device = ordinal;
  return ordinal >= 0 && ordinal < FAKE_DEVICES ? TH__CU_SUCCESS : 101;
}

th__cu_result cuDeviceTotalMem_v2(size_t *bytes, th__cu_device device) {
  fake_lock();
  *bytes = (size_t)fake.set.memory;
  fake_unlock();
  return TH__CU_SUCCESS;
}

th__cu_result cuDeviceGetAttribute(int *value, th__cu_attribute attribute, th__cu_device device) {
  fake_lock();
  *value = attribute == TH__CU_MULTIPROCESSORS ? 4
           : attribute == TH__CU_64_BIT_MEMOPS ? (int)fake.set.memops
                                               : 0;
  fake_unlock();
  return TH__CU_SUCCESS;
}

/* ---- contexts ---- */

/* A new context knows no peer, and none knows it. */
static void forget_peer(int device) {
  fake.contexts[device].peers = 0;
  for (int i = 0; i < FAKE_DEVICES; i++) fake.contexts[i].peers &= ~(1u << device);
}

th__cu_result cuDeviceCanAccessPeer(int *possible, th__cu_device device, th__cu_device peer) {
  fake_lock();
  *possible = device != peer && fake.set.peers != 0;
  fake_unlock();
  return TH__CU_SUCCESS;
}

th__cu_result cuCtxEnablePeerAccess(th__cu_context peer, unsigned flags) {
  fake_lock();
  th__cu_context c = fake_current();
  th__cu_result result = c == NULL ? 201 : c->dead != TH__CU_SUCCESS ? c->dead : peer->dead;
  if (result == TH__CU_SUCCESS && fake.set.peers == 0) result = 217;
  if (result == TH__CU_SUCCESS && (c->peers >> peer->index & 1)) result = 704;
  if (result == TH__CU_SUCCESS) c->peers |= 1u << peer->index;
  fake_unlock();
  return result;
}

th__cu_result cuDevicePrimaryCtxRetain(th__cu_context *context, th__cu_device device) {
  fake_lock();
  struct CUctx_st *c = &fake.contexts[device];
  th__cu_result result = TH__CU_SUCCESS;
  if (fake_strikes(&fake.set.fail_context)) result = TH__CU_OUT_OF_MEMORY;
  if (c->retained == 0) forget_peer(device);
  /* Others held it when we let go, and have let go since. */
  if (c->retained == 0 && c->dead != TH__CU_SUCCESS && fake.set.held == 0) fake_forget_context(c);
  if (result == TH__CU_SUCCESS && c->retained++ == 0 && fake.set.held == 0)
    c->dead = fake_strikes(&fake.set.stay_dead) ? TH__CU_ILLEGAL_ADDRESS : TH__CU_SUCCESS;
  if (result == TH__CU_SUCCESS) *context = c;
  fake_unlock();
  return result;
}

th__cu_result cuDevicePrimaryCtxRelease_v2(th__cu_device device) {
  fake_lock();
  struct CUctx_st *c = &fake.contexts[device];
  if (c->retained <= 0) fake_complain("context %d is released more often than retained", device);
  if (c->retained == 1 && fake.set.held == 0) fake_forget_registered(c);
  if (--c->retained == 0 && c->dead != TH__CU_SUCCESS && fake.set.held == 0) fake_forget_context(c);
  fake_unlock();
  return TH__CU_SUCCESS;
}

/* fake.set.held: another library of the process holds all contexts. */
th__cu_result cuDevicePrimaryCtxGetState(th__cu_device device, unsigned *flags, int *active) {
  fake_lock();
  *flags = 0;
  *active = fake.contexts[device].retained > 0 || fake.set.held != 0;
  fake_unlock();
  return TH__CU_SUCCESS;
}

th__cu_result cuCtxPushCurrent_v2(th__cu_context context) {
  if (depth == STACK || context == NULL) return 201;
  stack[depth++] = context;
  return TH__CU_SUCCESS;
}

th__cu_result cuCtxPopCurrent_v2(th__cu_context *context) {
  if (depth == 0) return 201;
  *context = stack[--depth];
  return TH__CU_SUCCESS;
}

th__cu_context fake_current(void) {
  if (depth > 0) return stack[depth - 1];
  fake_complain("a call without a context");
  return NULL;
}

/* ---- errors ---- */

th__cu_result cuGetErrorName(th__cu_result result, const char **out) {
#define NAME(ours, theirs, value)                                                                  \
  if (result == (value) && #theirs[2] == 'D') {                                                    \
    *out = #theirs;                                                                                \
    return TH__CU_SUCCESS;                                                                         \
  }
  TH__CU_CONSTANTS(NAME)
#undef NAME
  *out = "CUDA_ERROR_UNKNOWN";
  return TH__CU_SUCCESS;
}

th__cu_result cuGetErrorString(th__cu_result result, const char **out) {
  *out = "fake";
  return TH__CU_SUCCESS;
}
