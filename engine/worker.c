/* Owns the worker threads of pool devices: take, run, spin, sleep. A sleeper counts itself before its last look at the queues,
 * a publisher queues before it looks for sleepers; both orders are sequentially consistent, so no task is left lying. */
#include <stdio.h>

#include "engine/parts.h"

#define SPIN_NS 50000

static bool leaving(void) { return th__load(&th__the.stopping, TH__ACQUIRE) != 0; }

/* Looks for work for a while. Costs no wake-up when something comes soon. */
static th__ref spin(th__thread *self, th__pool_device *device) {
  th__ref ref = 0;
  th__fetch_add(&device->spinning, 1, TH__SEQ_CST);
  int64_t end = th__now_ns() + SPIN_NS;
  do {
    for (int i = 0; i < 32 && ref == 0; i++) {
      ref = th__take(self, device);
      th__pause();
    }
  } while (ref == 0 && !leaving() && th__now_ns() < end);
  th__spin_end(self, device, ref != 0);
  return ref;
}

static th__ref sleep_for_work(th__thread *self, th__pool_device *device) {
  uint32_t wake = th__load(&device->wake, TH__ACQUIRE);
  th__fetch_add(&device->sleeping, 1, TH__SEQ_CST);
  th__ref ref = th__take(self, device);
  if (ref == 0 && !leaving()) th__park(&device->wake, wake, -1);
  th__fetch_sub(&device->sleeping, 1, TH__SEQ_CST);
  return ref;
}

static void idle(th__thread *self, th__pool_device *device, th__ref *ref) {
  th__fetch_sub(&th__the.active, 1, TH__SEQ_CST);
  if (th__load(&th__the.limit_waiters, TH__RELAXED) != 0) th__limit_poke();
  th__starved_idle(self);
  *ref = spin(self, device);
  if (*ref == 0 && !leaving()) *ref = sleep_for_work(self, device);
  th__fetch_add(&th__the.active, 1, TH__SEQ_CST);
}

static void worker_main(void *arg) {
  th__worker *w = arg;
  th__thread *self = th__self();
  if (self != NULL) {
    self->pool = w->device;
    self->worker = w->index;
    self->engine_thread = true;
    self->random = (uint64_t)(w->index + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ self->random;
    th__store(&w->thread, self, TH__RELEASE);
    th__ref ref = 0;
    while (!leaving()) {
      if (ref == 0) ref = th__take(self, w->device);
      if (ref == 0) {
        idle(self, w->device, &ref);
        continue;
      }
      if (th__the.mode == TH__MODE_SHUFFLE_THREADS && th__random(self) % 8 == 0) th__yield();
      th__run_ref(self, ref);
      ref = 0;
    }
  }
  th__fetch_sub(&th__the.active, 1, TH__SEQ_CST);
  th__fetch_sub(&th__the.workers_alive, 1, TH__RELEASE);
}

th_status th__workers_start(th__pool_device *device, int n) {
  if (n <= 0) return TH_OK;
  device->workers = th__zalloc((size_t)n * sizeof *device->workers);
  if (device->workers == NULL) return TH_ENOMEM;
  device->n_workers = n; /* before the first thread looks at it */
  th_status status = TH_OK;
  for (int i = 0; i < n && status == TH_OK; i++) {
    char name[40];
    snprintf(name, sizeof name, "th-%s%d-%d", device->ops->name, device->id.index, i);
    device->workers[i].device = device;
    device->workers[i].index = i;
    th__fetch_add(&th__the.active, 1, TH__SEQ_CST);
    th__fetch_add(&th__the.workers_alive, 1, TH__RELAXED);
    status = th__thread_start(&device->workers[i].handle, worker_main, &device->workers[i], name);
    if (status == TH_OK) {
      device->n_started = i + 1;
    } else {
      th__fetch_sub(&th__the.active, 1, TH__SEQ_CST);
      th__fetch_sub(&th__the.workers_alive, 1, TH__RELAXED);
    }
  }
  if (device->n_started > 0) return TH_OK; /* fewer threads than asked for still work */
  th__free(device->workers);
  return status;
}

void th__workers_stop(th__pool_device *device) {
  th__fetch_add(&device->wake, 1, TH__SEQ_CST);
  th__unpark(&device->wake, INT32_MAX);
  for (int i = 0; i < device->n_started; i++) th__thread_join(&device->workers[i].handle);
  th__free(device->workers);
  device->workers = NULL;
  device->n_workers = device->n_started = 0;
}
