/* The engine on fake GPUs, for tests: starting and stopping it, and arrays of 64 integers that a kernel mixes. */
#ifndef THRUM_TESTS_SUPPORT_CUDAWORLD_H
#define THRUM_TESTS_SUPPORT_CUDAWORLD_H

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "engine/engine.h"
#include "ndarray/array.h"
#include "support/fakedriver.h"
#include "thrum/thrum.h"

/* Starts the engine over so many fake devices. */
static inline void start(const char *mode, uint64_t seed, int devices) {
  const char *why = NULL;
  if (!fake_install(&why)) cr_skip_test("the fake driver cannot be loaded: %s", why);
  fake_begin(seed);
  fake_setting("devices", devices);
  th_config config = {.size = sizeof config, .engine = mode, .workers = 2};
  cr_assert(eq(int, th_init(&config), TH_OK), "%s", th_last_error());
}

/* Stops it; the fake must have found nothing wrong and nothing left. */
static inline void stop(void) {
  th_status status = th_wait_all();
  cr_assert(eq(int, status, TH_OK), "%s", th_last_error());
  cr_assert(eq(int, th_shutdown(), TH_OK));
  const char *findings = fake_findings(true);
  cr_assert(findings[0] == 0, "%s", findings);
}

enum { N = 64 };

typedef struct mix_arg {
  th_array *x, *y; /* x may be NULL; retained */
  uint64_t h;
} mix_arg;

static inline th_status mix_body(void *arg, th_task_context *context) {
  mix_arg *m = arg;
  return fake_launch_mix(context, m->x != NULL ? th__array_data(m->x) : NULL, N,
                         th__array_data(m->y), N, m->h);
}

static inline void mix_drop(void *arg) {
  th_release(((mix_arg *)arg)->x);
  th_release(((mix_arg *)arg)->y);
}

/* y is mixed with h and with x. */
static inline void mix(th_array *x, th_array *y, uint64_t h) {
  mix_arg arg = {th_retain(x), th_retain(y), h};
  th_var *vars[2] = {th_array_var(y), x != NULL ? th_array_var(x) : NULL};
  th_task task = {.name = "mix",
                  .run = mix_body,
                  .arg = &arg,
                  .arg_size = sizeof arg,
                  .drop = mix_drop,
                  .reads = vars,
                  .n_reads = x != NULL ? 2 : 1,
                  .writes = vars,
                  .n_writes = 1,
                  .device = y->device};
  cr_assert(eq(int, th_push(&task), TH_OK), "%s", th_last_error());
}

static inline th_array *numbers(int32_t first, int device) {
  int32_t in[N];
  for (int i = 0; i < N; i++) in[i] = first + i;
  th_array *a = th_from_host(in, TH_SHAPE(N), TH_I32, th_cuda(device));
  cr_assert(not(zero(ptr, a)), "%s", th_last_error());
  return a;
}

static inline uint64_t hash_of(th_array *a) {
  int32_t out[N];
  uint64_t h = 1;
  cr_assert(eq(int, th_read(a, out, sizeof out), TH_OK), "%s", th_last_error());
  for (int i = 0; i < N; i++) h = h * 31 + (uint32_t)out[i];
  return h;
}

/* A graph over eight arrays, many lanes wide; the same numbers on every schedule. */
static inline uint64_t run_graph(void) {
  th_array *a[8];
  uint64_t h = 7, random = 11;
  for (int i = 0; i < 8; i++) a[i] = numbers(i * 100, 0);
  for (int i = 0; i < 400; i++) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    int x = (int)(random >> 40) % 8, y = (int)(random >> 50) % 8;
    mix(x != y ? a[x] : NULL, a[y], random);
  }
  for (int i = 0; i < 8; i++) h = h * 31 + hash_of(a[i]);
  for (int i = 0; i < 8; i++) th_release(a[i]);
  return h;
}

/* Arrays wander between devices while they are mixed; sources are changed and released in flight. */
static inline uint64_t wander(int devices) {
  enum { ARRAYS = 6 };
  th_array *a[ARRAYS];
  uint64_t h = 7, random = 5;
  for (int i = 0; i < ARRAYS; i++) a[i] = numbers(i * 100, i % devices);
  for (int i = 0; i < 300; i++) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    int x = (int)(random >> 40) % ARRAYS, y = (int)(random >> 50) % ARRAYS;
    if (x == y) {
      mix(NULL, a[y], random);
      continue;
    }
    th_array *copy = th_copy_to(a[x], a[y]->device);
    cr_assert(not(zero(ptr, copy)), "%s", th_last_error());
    mix(NULL, a[x], random); /* behind the copy */
    mix(copy, a[y], random);
    if (random >> 60 < 6) {
      th_release(a[y]);
      a[y] = copy;
    } else {
      th_release(copy);
    }
  }
  for (int i = 0; i < ARRAYS; i++) h = h * 31 + hash_of(a[i]);
  for (int i = 0; i < ARRAYS; i++) th_release(a[i]);
  return h;
}

#endif
