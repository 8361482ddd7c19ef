/* Owns the way from "ready" to whoever runs a task: the queues of a pool device, claiming, waking sleepers. Entries are
 * mere references: a task may be named in several queues, and whoever claims it first has it. */
#include "engine/parts.h"
#include "engine/trace.h"

bool th__claim(th__ref ref) {
  th__task *t = th__task_at(TH__REF_SLOT(ref));
  uint64_t word = th__load(&t->claim, TH__ACQUIRE);
  do {
    if (word >> 32 != TH__REF_GENERATION(ref) || (word & 0xff) != TH__READY) return false;
    /* acq_rel: sees what the publisher wrote; waiters' flags in the word are kept. */
  } while (!th__cas_weak(&t->claim, &word, word + (TH__RUNNING - TH__READY), TH__ACQ_REL));
  return true;
}

void th__wake_workers(th__thread *self, th__pool_device *device, int n) {
  /* seq_cst pairs with the sleeper: it counts itself, then looks at the queues; we queued, now look for sleepers. */
  if (th__load(&device->sleeping, TH__SEQ_CST) == 0) return;
  if (n == 1 && th__load(&device->spinning, TH__SEQ_CST) > 0) return; /* it finds the work */
  th__fetch_add(&device->wake, 1, TH__SEQ_CST);
  th__unpark(&device->wake, n);
  th__count(&self->wakes, 1);
}

static bool any_queued(const th__pool_device *device) {
  for (int c = 0; c < TH__CLASSES; c++)
    if (th__load(&device->classes[c].count, TH__SEQ_CST) > 0) return true;
  for (int i = 0; i < device->n_workers; i++) {
    const th__thread *t = th__load(&device->workers[i].thread, TH__ACQUIRE);
    if (t != NULL && th__load(&t->own.count, TH__SEQ_CST) > 0) return true;
  }
  return false;
}

void th__spin_end(th__thread *self, th__pool_device *device, bool found) {
  /* seq_cst pairs with publishers: who saw us spinning woke nobody, so we look whether there is more than we found. */
  bool last = th__fetch_sub(&device->spinning, 1, TH__SEQ_CST) == 1;
  if (last && found && any_queued(device)) th__wake_workers(self, device, 1);
}

static void push_class(th__thread *self, th__pool_device *device, int class_, th__ref ref) {
  while (!th__queue_push(&device->classes[class_], ref))
    th__yield(); /* no memory for the ring now */
  /* Set after the push: a taker that clears the bit looks at the count again. */
  if (!(th__load(&device->ready_mask, TH__RELAXED) & 1u << class_))
    th__fetch_or(&device->ready_mask, 1u << class_, TH__SEQ_CST);
  th__wake_workers(self, device, 1);
}

void th__publish(th__thread *self, th__task *task) {
  th__pool_device *device =
      th__load(&th__the.devices[th__load(&task->device, TH__RELAXED)], TH__ACQUIRE);
  th__ref ref = th__task_ref(task);
  if (th__trace_on(TH_PROFILE_OPS)) th__task_stamps(task)->ready = th__ticks();
  int class_ = task->priority;
  /* release: the claimer sees everything about the task. */
  uint64_t before = th__fetch_add(&task->claim, TH__READY - TH__PENDING, TH__ACQ_REL);
  if (before & TH__RAISED) class_ = TH__CLASS_URGENT;
  if (th__the.mode == TH__MODE_SHUFFLE) {
    th__shuffle_push(ref);
  } else if (device->lanes != NULL) {
    th__lanes_push(self, device, ref);
  } else if (class_ == TH__CLASS_DEFAULT && self->pool == device) {
    while (!th__queue_push(&self->own, ref)) th__yield();
    th__wake_workers(self, device, 1);
  } else {
    push_class(self, device, class_, ref);
  }
}

void th__publish_raised(th__thread *self, th__task *task) {
  th__pool_device *device =
      th__load(&th__the.devices[th__load(&task->device, TH__RELAXED)], TH__ACQUIRE);
  if (device->lanes == NULL && th__the.mode != TH__MODE_SHUFFLE)
    push_class(self, device, TH__CLASS_URGENT, th__task_ref(task));
}

void th__invite(th__thread *self, th__pool_device *device, th__ref loop, int n) {
  for (int i = 0; i < n; i++) {
    if (!th__queue_push(&device->classes[TH__CLASS_URGENT], loop)) return;
    th__fetch_or(&device->ready_mask, 1u << TH__CLASS_URGENT, TH__SEQ_CST);
  }
  th__wake_workers(self, device, n);
}

bool th__higher_waits(const th__pool_device *device, int class_) {
  return th__load(&device->ready_mask, TH__RELAXED) >> (class_ + 1) != 0;
}

static uint64_t choice(th__thread *self) {
  return th__the.mode == TH__MODE_SHUFFLE_THREADS ? th__random(self) | 1 : 0;
}

/* First of a class; clears its bit when it turns out empty. */
static th__ref take_class(th__thread *self, th__pool_device *device, int class_, bool in_order) {
  uint32_t bit = 1u << class_;
  if (!(th__load(&device->ready_mask, TH__RELAXED) & bit)) return 0;
  th__queue *q = &device->classes[class_];
  th__ref ref = th__queue_pop_front(q, in_order ? 0 : choice(self));
  if (ref != 0) return ref;
  th__fetch_and(&device->ready_mask, ~bit, TH__SEQ_CST);
  if (th__load(&q->count, TH__SEQ_CST) > 0) th__fetch_or(&device->ready_mask, bit, TH__SEQ_CST);
  return 0;
}

/* The inbox in batches: a worker keeps what it does not run at once where others may steal it. */
static th__ref take_inbox(th__thread *self, th__pool_device *device) {
  if (self->pool != device || th__the.mode != TH__MODE_THREADS)
    return take_class(self, device, TH__CLASS_DEFAULT, false);
  th__ref batch[8];
  int n = th__queue_take(&device->classes[TH__CLASS_DEFAULT], batch, 8);
  if (n == 0) return take_class(self, device, TH__CLASS_DEFAULT, false);
  /* Reversed: the oldest is taken next from the back. The inbox has room for what was just taken. */
  for (int i = n; i-- > 1;)
    if (!th__queue_push(&self->own, batch[i]))
      push_class(self, device, TH__CLASS_DEFAULT, batch[i]);
  /* What is kept here would wait behind what runs first, however long that takes. */
  if (n > 1) th__wake_workers(self, device, n - 1);
  return batch[0];
}

static th__ref steal(th__thread *self, th__pool_device *device) {
  uint32_t start =
      device->n_workers > 0 ? (uint32_t)(th__random(self) % (uint32_t)device->n_workers) : 0;
  for (int i = 0; i < device->n_workers; i++) {
    th__worker *w = &device->workers[(start + (uint32_t)i) % (uint32_t)device->n_workers];
    th__thread *victim = th__load(&w->thread, TH__ACQUIRE);
    if (victim == NULL || victim == self) continue;
    th__ref ref = th__queue_pop_front(&victim->own, choice(self));
    if (ref != 0) {
      th__count(&self->steals, 1);
      return ref;
    }
  }
  return 0;
}

th__ref th__take(th__thread *self, th__pool_device *device) {
  th__ref ref;
  for (int c = TH__CLASS_URGENT; c > TH__CLASS_DEFAULT; c--)
    if ((ref = take_class(self, device, c, true)) != 0) return ref;
  bool mine = self->pool == device;
  /* Now and then the inbox first, so that what a worker feeds itself cannot starve it. */
  if (mine && ++self->takes % 32 == 0 && (ref = take_inbox(self, device)) != 0) return ref;
  if (mine) {
    ref = th__the.mode == TH__MODE_SHUFFLE_THREADS ? th__queue_pop_front(&self->own, choice(self))
                                                   : th__queue_pop_back(&self->own);
    if (ref != 0) return ref;
  }
  if ((ref = take_inbox(self, device)) != 0) return ref;
  if ((ref = steal(self, device)) != 0) return ref;
  return take_class(self, device, 0, true);
}

th__ref th__take_any(th__thread *self) {
  uint32_t n = th__load(&th__the.n_devices, TH__ACQUIRE);
  for (uint32_t i = 0; i < n; i++) {
    th__pool_device *device = th__load(&th__the.devices[i], TH__ACQUIRE);
    if (device == NULL) continue;
    th__ref ref = device->lanes != NULL ? th__lanes_take(device) : th__take(self, device);
    if (ref != 0) return ref;
  }
  return 0;
}
