/* Owns the worker threads of pool devices: take, run, spin, nap, sleep. A sleeper counts itself, passes a heavy fence and looks at
 * the queues once more; a publisher queues, passes a light fence and looks for sleepers: one of them sees the other. Who
 * stops watching with work in hand passes the watch on. So no task is left lying. */
#include <stdio.h>

#include "engine/parts.h"

#define SPIN_NS 50000
#define NAP_NS  100000
#define NAPS    200 /* about 20 ms */

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

/* One sleeper looks again every now and then for a while: a lone submission then needs no system call to be found. */
static th__ref nap(th__thread *self, th__pool_device *device) {
  uint32_t none = 0;
  if (!th__cas(&device->napping, &none, 1, TH__SEQ_CST)) return 0;
  th__ref ref = 0;
  for (int i = 0; i < NAPS && ref == 0 && !leaving(); i++) {
    uint32_t wake = th__load(&device->wake, TH__ACQUIRE);
    ref = th__take(self, device);
    if (ref == 0) th__slots_populate();
    if (ref == 0) th__park(&device->wake, wake, NAP_NS);
  }
  th__nap_end(self, device, ref != 0);
  return ref;
}

static th__ref sleep_for_work(th__thread *self, th__pool_device *device) {
  th__fetch_add(&device->sleeping, 1, TH__SEQ_CST);
  th__ref ref = nap(self, device);
  if (ref == 0) {
    uint32_t wake = th__load(&device->wake, TH__ACQUIRE);
    th__fence_heavy(); /* who queued before saw us, or we see what was queued */
    ref = th__take(self, device);
    if (ref != 0) th__pass_the_watch(self, device, 1); /* as at the end of a nap */
    if (ref == 0) th__deque_trim(&self->deque);
    if (ref == 0 && !leaving()) {
      th__park(&device->wake, wake, -1);
      /* One wake-up may stand for many tasks: who was woken and will be busy wakes the next. */
      if ((ref = th__take(self, device)) != 0) th__pass_the_watch(self, device, 1);
    }
  }
  th__fetch_sub(&device->sleeping, 1, TH__SEQ_CST);
  return ref;
}

static void idle(th__thread *self, th__pool_device *device, th__ref *ref) {
  if (th__load(&th__the.limit_waiters, TH__RELAXED) != 0) th__limit_poke();
  th__starved_idle(self);
  th__slots_populate();
  self->tick = 0;
  *ref = spin(self, device);
  if (*ref == 0 && !leaving()) *ref = sleep_for_work(self, device);
}

static void worker_main(void *arg) {
  th__worker *w = arg;
  th__pin_worker(w->device, w->index); /* first: the memory it touches shall be near */
  th__thread *self = th__self_worker();
  if (self != NULL) {
    self->pool = w->device;
    self->worker = w->index;
    self->engine_thread = true;
    self->random = (uint64_t)(w->index + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ self->random;
    th__bind(self, w->device);
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
    th__fetch_add(&th__the.workers_alive, 1, TH__RELAXED);
    status = th__thread_start(&device->workers[i].handle, worker_main, &device->workers[i], name);
    if (status == TH_OK) {
      device->n_started = i + 1;
    } else {
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
  device->n_ended = device->n_workers;
  device->n_workers = device->n_started = 0;
}
