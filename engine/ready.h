/* What ready.c offers: the way from "ready" to whoever runs a task, with its hot half. Private to engine/. */
#ifndef THRUM_ENGINE_READY_H
#define THRUM_ENGINE_READY_H

#include "engine/state.h"

/* --- places --- */
static inline th__pool_device *th__place_device(uint8_t place) {
  return th__load(&th__the.devices[TH__PLACE_DEVICE(place)], TH__ACQUIRE);
}
/* The class of a task whose word was word when it became ready: what somebody waits for goes first. */
static inline int th__place_class(uint8_t place, uint64_t word) {
  return word & TH__RAISED ? TH__CLASS_URGENT : TH__PLACE_CLASS(place);
}
static inline bool th__higher_waits(const th__pool_device *device, int class_) {
  return th__load(&device->ready_mask, TH__RELAXED) >> (class_ + 1) != 0;
}

/* --- waking --- */
/* After queueing n; lone: one that can wait for the napper. */
void th__wake_sleepers(th__thread *self, th__pool_device *device, int n, bool lone);
static inline void th__wake_workers(th__thread *self, th__pool_device *device, int n, bool lone) {
  /* Pairs with the sleeper: it counts itself, then (heavy fence) looks at the queues; we queued, now look for sleepers. */
  th__fence_light();
  if (__builtin_expect(th__load(&device->sleeping, TH__RELAXED) != 0, 0))
    th__wake_sleepers(self, device, n, lone);
}
/* A worker stops looking; who found something passes the watch on. */
void th__spin_end(th__thread *self, th__pool_device *device, bool found);
void th__nap_end(th__thread *self, th__pool_device *device, bool found);
/* Wakes a sleeper for what is left, if more than `asleep` sleep. */
void th__pass_the_watch(th__thread *self, th__pool_device *device, uint32_t asleep);

/* --- publishing --- */
/* From now on this thread's deque holds tasks of device. False when it holds another's, or too many do. */
bool th__bind(th__thread *self, th__pool_device *device);
void th__publish_slow(th__thread *self, th__ref ref, th__pool_device *device, int class_);
/* A task is ready: puts it where a worker, issue thread or waiter finds it. It may be finished already: somebody who met it on
 * another way ran it. */
static inline void th__publish(th__thread *self, th__ref ref, th__pool_device *device, int class_) {
  bool own =
      class_ == TH__CLASS_DEFAULT && device->plain && th__load(&self->home, TH__RELAXED) == device;
  if (__builtin_expect(own, 1) && __builtin_expect(th__deque_push(&self->deque, ref), 1)) {
    th__wake_workers(self, device, 1, true);
  } else {
    th__publish_slow(self, ref, device, class_);
  }
}
/* A second reference, in the urgent class, to a task whose place is given: somebody waits for it. */
void th__publish_raised(th__thread *self, th__ref ref, uint8_t place);
void th__invite(th__thread *self, th__pool_device *device, th__ref loop, int n);

/* --- taking --- */
/* Ready -> running; false when somebody else has it. */
bool th__claim(th__thread *self, th__ref ref);
/* The next entry for a worker or helper; 0 = none. */
th__ref th__take(th__thread *self, th__pool_device *device);
th__ref th__take_any(th__thread *self); /* from any pool device */
/* Runs what is ready, on any pool device, but no more than `most`. Returns how many. */
uint32_t th__run_ready(th__thread *self, uint32_t most);

#endif
