/* Owns the table of device kinds and the devices that are open. `lock` guards opening; an open device never moves or closes
 * before shutdown, so lookups take no lock. */
#include <string.h>

#include "engine/parts.h"

static th__spin lock;
static const th__device_ops *kinds[TH_KIND_COUNT];
_Atomic(th__pool_device *) th__device_table[TH_KIND_COUNT][TH__PER_KIND];

th_status th__device_register(th_device_kind kind, const th__device_ops *ops) {
  if ((int)kind < 0 || kind >= TH_KIND_COUNT || ops == NULL)
    return th__fail(TH_EINVAL, "device: kind %d cannot be registered", (int)kind);
  th__spin_lock(&lock);
  bool taken = kinds[kind] != NULL && kinds[kind] != ops;
  if (!taken) kinds[kind] = ops;
  th__spin_unlock(&lock);
  return taken ? th__fail(TH_EBUSY, "device: kind %d is taken by %s", (int)kind, kinds[kind]->name)
               : TH_OK;
}

const th__device_ops *th__device_kind_ops(int kind) {
  return kind < 0 || kind >= TH_KIND_COUNT ? NULL : kinds[kind];
}

bool th__device_any_open(void) { return th__load(&th__the.n_devices, TH__ACQUIRE) > 0; }

static int worker_count(const th__pool_device *d) {
  bool threads = th__the.mode == TH__MODE_THREADS || th__the.mode == TH__MODE_SHUFFLE_THREADS;
  if (!threads || d->ops->threads == NULL) return 0;
  int n = d->ops->threads(d->state);
  return n < 0 ? 0 : n > TH__MAX_WORKERS ? TH__MAX_WORKERS : n;
}

/* Under the opening mutex. */
static th_status open_device(th_device id, th__pool_device **out) {
  const th__device_ops *ops = kinds[id.kind];
  uint32_t index = th__load(&th__the.n_devices, TH__RELAXED);
  if (index == TH__MAX_DEVICES) return th__fail(TH_ENOMEM, "device: too many devices are open");
  th__pool_device *d = th__zalloc(sizeof *d);
  if (d == NULL) return TH_ENOMEM;
  d->id = id;
  d->index = (uint16_t)index;
  d->ops = ops;
  d->plain = !(ops->caps & (TH__CAP_LANES | TH__CAP_NO_DATA)) && th__the.mode <= TH__MODE_SERIAL;
  th_status status = ops->open(id.index, &d->state);
  if (status != TH_OK) {
    th__free(d);
    return status;
  }
  /* Visible before its threads start: they look themselves up. */
  th__store(&th__the.devices[index], d, TH__RELEASE);
  status = ops->caps & TH__CAP_LANES ? th__lanes_open(d) : th__workers_start(d, worker_count(d));
  if (status != TH_OK) {
    th__store(&th__the.devices[index], NULL, TH__RELEASE);
    ops->close(d->state);
    th__free(d);
    return status;
  }
  if (ops->memory != NULL) {
    th_memory_info memory;
    ops->memory(d->state, &memory);
    th__limit_memory(memory.limit, id.kind == TH_CPU && id.index == 0);
  }
  th__store(&th__the.n_devices, index + 1, TH__RELEASE);
  th__store(&th__device_table[id.kind][id.index], d, TH__RELEASE);
  *out = d;
  return TH_OK;
}

static _Atomic uint32_t opening; /* a lock that may be held long: opening starts threads */

static th_status open_once(th_device id, th__pool_device **out) {
  uint32_t none = 0;
  while (!th__cas(&opening, &none, 1, TH__ACQ_REL)) {
    none = 0;
    th__yield();
  }
  *out = th__load(&th__device_table[id.kind][id.index], TH__ACQUIRE);
  th_status status = *out != NULL ? TH_OK : open_device(id, out);
  th__store(&opening, 0, TH__RELEASE);
  return status;
}

th_status th__device_find(th_device d, th__pool_device **out) {
  if (d.kind >= 0 && d.kind < TH_KIND_COUNT && d.index >= 0 && d.index < TH__PER_KIND) {
    *out = th__load(&th__device_table[d.kind][d.index], TH__ACQUIRE);
    if (*out != NULL) return TH_OK;
    const th__device_ops *ops = kinds[d.kind];
    if (ops != NULL && d.index < ops->count()) return open_once(d, out);
  }
  char name[32];
  const th__device_ops *ops = th__device_kind_ops(d.kind);
  const char *why = ops != NULL && ops->absent != NULL ? ops->absent() : NULL;
  return th__fail(TH_EDEVICE, "there is no device %s%s%s", th_device_name(d, name, sizeof name),
                  why != NULL ? ": " : "", why != NULL ? why : "");
}

th_status th__device_open(th_device d, const th__device_ops **ops, void **state) {
  TH_TRY(th__engine_ensure());
  th__pool_device *device;
  TH_TRY(th__device_at(d, &device));
  *ops = device->ops;
  *state = device->state;
  return TH_OK;
}

/* Other devices may be copying from the lost one's memory. What they begin from now on meets the loss. */
static th_status wait_for_peers(const th__pool_device *lost) {
  for (uint32_t i = 0; i < th__load(&th__the.n_devices, TH__ACQUIRE); i++) {
    th__pool_device *d = th__load(&th__the.devices[i], TH__ACQUIRE);
    if (d != lost && d->ops == lost->ops) TH_TRY(th_wait_device(d->id));
  }
  return TH_OK;
}

th_status th__device_reset(th_device d) {
  char name[32];
  th__pool_device *device;
  TH_TRY(th__engine_ensure());
  TH_TRY(th__device_at(d, &device));
  (void)th_device_name(d, name, sizeof name);
  th__thread *self = th__self();
  if (self == NULL) return TH_ENOMEM;
  if (device->ops->reset == NULL)
    return th__fail(TH_ENOSYS, "device_reset: %s is never lost and cannot be reset", name);
  if (self->frame != NULL)
    return th__fail(TH_EDEADLK, "device_reset: %s: inside a task, which may be one of its own",
                    name);
  /* An error that nobody has met yet is met while waiting. */
  if (device->ops->lost(device->state) == NULL) TH_TRY(th_wait_device(d));
  if (device->ops->lost(device->state) == NULL) return TH_OK;
  TH_TRY(wait_for_peers(device));
  return th__lanes_reset(self, device);
}

int th__workers_total(void) {
  int n = 0;
  for (uint32_t i = 0; i < th__load(&th__the.n_devices, TH__ACQUIRE); i++)
    n += th__load(&th__the.devices[i], TH__ACQUIRE)->n_workers;
  return n;
}

void th__devices_trim(void) {
  for (uint32_t i = 0; i < th__load(&th__the.n_devices, TH__ACQUIRE); i++) {
    th__pool_device *d = th__load(&th__the.devices[i], TH__ACQUIRE);
    for (int c = 0; c < TH__CLASSES; c++) th__queue_trim(&d->classes[c]);
  }
  th__shuffle_trim();
}

void th__devices_wake(void) {
  for (uint32_t i = 0; i < th__load(&th__the.n_devices, TH__ACQUIRE); i++) {
    th__pool_device *d = th__load(&th__the.devices[i], TH__ACQUIRE);
    if (d->lanes != NULL) th__lanes_wake(d);
    th__fetch_add(&d->wake, 1, TH__SEQ_CST);
    th__unpark(&d->wake, INT32_MAX);
  }
}

void th__devices_stop(void) {
  for (uint32_t i = 0; i < th__load(&th__the.n_devices, TH__ACQUIRE); i++) {
    th__pool_device *d = th__load(&th__the.devices[i], TH__ACQUIRE);
    if (d->lanes != NULL) {
      th__lanes_close(d);
    } else {
      th__workers_stop(d);
    }
  }
}

void th__devices_close(void) {
  for (uint32_t i = 0; i < th__load(&th__the.n_devices, TH__ACQUIRE); i++) {
    th__pool_device *d = th__load(&th__the.devices[i], TH__ACQUIRE);
    d->ops->close(d->state);
    for (int c = 0; c < TH__CLASSES; c++) th__queue_free(&d->classes[c]);
    th__free(d);
  }
  th__devices_forget();
}

void th__devices_forget(void) {
  for (uint32_t i = 0; i < TH__MAX_DEVICES; i++) th__store(&th__the.devices[i], NULL, TH__RELAXED);
  th__store(&th__the.n_devices, 0, TH__RELAXED);
  for (int k = 0; k < TH_KIND_COUNT; k++)
    for (int i = 0; i < TH__PER_KIND; i++) th__store(&th__device_table[k][i], NULL, TH__RELAXED);
  lock = (th__spin){0};
  th__store(&opening, 0, TH__RELAXED);
}
