/* Owns the way from "ready" to whoever runs a task: deques of threads, queues of a pool device, claiming, waking sleepers. Entries
 * are mere references: a task may be named in several places, and whoever claims it first has it. */
#include "engine/parts.h"
#include "engine/sole.h"
#include "engine/trace.h"

bool th__claim(th__thread *self, th__ref ref) {
  th__task *t = th__task_at(TH__REF_SLOT(ref));
  bool sole = th__sole_enter(self), ready;
  uint64_t word = th__load(&t->word, TH__ACQUIRE);
  do {
    ready = TH__WORD_GENERATION(word) == TH__REF_GENERATION(ref) && TH__WORD_READY(word);
    /* acq_rel: sees what the publisher and all predecessors wrote; flags in the word are kept. */
  } while (ready && !th__cas_by(sole, &t->word, &word, word + (TH__RUNNING - TH__PENDING)));
  th__sole_leave(self, sole);
  return ready;
}

/* --- waking --- */

void th__wake_sleepers(th__thread *self, th__pool_device *device, int n, bool lone) {
  if (n == 1 && th__load(&device->spinning, TH__SEQ_CST) > 0) return; /* it finds the work */
  if (lone && th__load(&device->napping, TH__SEQ_CST) != 0 && th__deque_count(&self->deque) < 2)
    return; /* not worth a system call: the napper looks soon */
  th__fetch_add(&device->wake, 1, TH__SEQ_CST);
  th__unpark(&device->wake, n);
  th__count(&self->wakes, 1);
}

static bool any_queued(const th__pool_device *device) {
  for (int c = 0; c < TH__CLASSES; c++)
    if (th__load(&device->classes[c].count, TH__SEQ_CST) > 0) return true;
  uint32_t n = th__load(&device->n_sources, TH__ACQUIRE);
  for (uint32_t i = 0; i < n; i++)
    if (th__deque_count(&th__load(&device->sources[i], TH__ACQUIRE)->deque) > 0) return true;
  return false;
}

/* Publishers who saw this thread spin or nap woke nobody. It found something and will be busy: who looks for the rest? */
void th__pass_the_watch(th__thread *self, th__pool_device *device, uint32_t asleep) {
  if (th__load(&device->sleeping, TH__SEQ_CST) <= asleep) return;
  th__fence_heavy(); /* what they queued is visible, or they see that nobody watches */
  if (any_queued(device)) th__wake_workers(self, device, 1, false);
}

void th__spin_end(th__thread *self, th__pool_device *device, bool found) {
  bool last = th__fetch_sub(&device->spinning, 1, TH__SEQ_CST) == 1;
  if (last && found) th__pass_the_watch(self, device, 0);
}

void th__nap_end(th__thread *self, th__pool_device *device, bool found) {
  th__store(&device->napping, 0, TH__SEQ_CST);
  if (found) th__pass_the_watch(self, device, 1); /* it is still counted among the sleepers */
}

/* --- publishing --- */

/* Whether an entry still leads to something to run. */
static bool is_live(th__ref ref) {
  uint64_t word = th__load(&th__task_at(TH__REF_SLOT(ref))->word, TH__ACQUIRE);
  return TH__WORD_GENERATION(word) == TH__REF_GENERATION(ref) &&
         TH__WORD_PHASE(word) == TH__PENDING;
}

bool th__bind(th__thread *self, th__pool_device *device) {
  if (th__load(&self->home, TH__RELAXED) != NULL) return false; /* another device's */
  th__spin_lock(&device->sources_lock);
  uint32_t n = th__load(&device->n_sources, TH__RELAXED);
  if (n < TH__MAX_SOURCES) {
    th__store(&self->home, device, TH__RELEASE);
    th__store(&device->sources[n], self, TH__RELEASE);
    th__store(&device->n_sources, n + 1, TH__RELEASE);
  }
  th__spin_unlock(&device->sources_lock);
  return n < TH__MAX_SOURCES;
}

static inline bool push_own(th__thread *self, th__pool_device *device, th__ref ref) {
  if (__builtin_expect(th__load(&self->home, TH__RELAXED) != device, 0) && !th__bind(self, device))
    return false;
  if (__builtin_expect(th__deque_push(&self->deque, ref), 1)) return true;
  return th__deque_room(&self->deque, is_live) && th__deque_push(&self->deque, ref);
}

/* False: no memory for a larger ring now. */
static bool push_class(th__thread *self, th__pool_device *device, int class_, th__ref ref) {
  if (!th__queue_push(&device->classes[class_], ref)) return false;
  /* Set after the push: a taker that clears the bit looks at the count again. */
  if (!(th__load(&device->ready_mask, TH__RELAXED) & 1u << class_))
    th__fetch_or(&device->ready_mask, 1u << class_, TH__SEQ_CST);
  th__wake_workers(self, device, 1, false);
  return true;
}

/* Whatever memory there is: rather out of its turn than never. */
static void push_somewhere(th__thread *self, th__pool_device *device, int class_, th__ref ref) {
  while (!push_class(self, device, class_, ref)) {
    if (device->plain && push_own(self, device, ref)) {
      th__wake_workers(self, device, 1, true);
      return;
    }
    th__yield(); /* others take from the full ring meanwhile */
  }
}

void th__publish_slow(th__thread *self, th__ref ref, th__pool_device *device, int class_) {
  if (class_ == TH__CLASS_DEFAULT && device->plain && push_own(self, device, ref)) {
    th__wake_workers(self, device, 1, true);
  } else if (th__the.mode == TH__MODE_SHUFFLE) {
    th__shuffle_push(ref);
  } else if (device->lanes != NULL) {
    th__lanes_push(self, device, ref);
  } else {
    push_somewhere(self, device, class_, ref);
  }
}

void th__publish_raised(th__thread *self, th__ref ref, uint8_t place) {
  th__pool_device *device = th__place_device(place);
  if (device->lanes == NULL && th__the.mode != TH__MODE_SHUFFLE)
    (void)push_class(self, device, TH__CLASS_URGENT, ref); /* it is in its own place, too */
}

void th__invite(th__thread *self, th__pool_device *device, th__ref loop, int n) {
  for (int i = 0; i < n; i++) {
    if (!th__queue_push(&device->classes[TH__CLASS_URGENT], loop)) return;
    th__fetch_or(&device->ready_mask, 1u << TH__CLASS_URGENT, TH__SEQ_CST);
  }
  th__wake_workers(self, device, n, false);
}

/* --- taking --- */

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

/* A worker keeps what it does not run at once where others may steal it. */
static th__ref take_batch(th__thread *self, th__pool_device *device, th__thread *inbox) {
  th__ref batch[TH__BATCH];
  int n = th__deque_take(&inbox->deque, batch, TH__BATCH);
  if (n == 0) return 0;
  for (int i = 0; i < n; i++) th__prefetch(th__task_at(TH__REF_SLOT(batch[i])));
  /* Reversed: the oldest is popped next. */
  for (int i = n; i-- > 1;)
    if (!push_own(self, device, batch[i]))
      push_somewhere(self, device, TH__CLASS_DEFAULT, batch[i]);
  /* What is kept here would wait behind what runs first, however long that takes. */
  if (n > 1) th__wake_workers(self, device, 1, true);
  return batch[0];
}

static th__ref take_inbox(th__thread *self, th__pool_device *device, th__thread *inbox) {
  if (th__deque_count(&inbox->deque) == 0) return 0;
  if (self->pool == device) return take_batch(self, device, inbox);
  th__ref ref;
  return th__deque_take(&inbox->deque, &ref, 1) == 1 ? ref : 0;
}

/* From inboxes (workers = false) or other workers, beginning anywhere. */
static th__ref take_others(th__thread *self, th__pool_device *device, bool workers) {
  uint32_t n = th__load(&device->n_sources, TH__ACQUIRE);
  uint32_t start = n > 1 ? (uint32_t)th__random(self) % n : 0;
  for (uint32_t i = 0; i < n; i++) {
    uint32_t at = start + i < n ? start + i : start + i - n;
    th__thread *t = th__load(&device->sources[at], TH__ACQUIRE);
    if (t == self || t->deque_is_worker != workers) continue;
    th__ref ref = workers ? th__deque_steal(&t->deque) : take_inbox(self, device, t);
    if (ref == 0) continue;
    if (workers) th__count(&self->steals, 1);
    return ref;
  }
  return 0;
}

static th__ref take_own(th__thread *self, th__pool_device *device) {
  if (th__load(&self->home, TH__RELAXED) != device) return 0;
  return self->deque_is_worker ? th__deque_pop(&self->deque) : take_inbox(self, device, self);
}

th__ref th__take(th__thread *self, th__pool_device *device) {
  th__ref ref;
  if (th__higher_waits(device, TH__CLASS_DEFAULT)) {
    for (int c = TH__CLASS_URGENT; c > TH__CLASS_DEFAULT; c--)
      if ((ref = take_class(self, device, c, true)) != 0) return ref;
  }
  /* Now and then the inboxes first, so that what a worker feeds itself cannot starve them. */
  if (self->deque_is_worker && ++self->takes % 32 == 0 &&
      (ref = take_others(self, device, false)) != 0)
    return ref;
  if ((ref = take_own(self, device)) != 0) return ref;
  if ((ref = take_others(self, device, false)) != 0) return ref;
  if ((ref = take_class(self, device, TH__CLASS_DEFAULT, false)) != 0) return ref;
  if ((ref = take_others(self, device, true)) != 0) return ref;
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

/* What a thread of the program submitted itself: several at a time, unless a worker may be waiting for them. Named nowhere else
 * then, but whoever waits for one finds it along the back edges or among the records. */
static int take_own_batch(th__thread *self, th__ref *out, uint32_t most) {
  th__pool_device *device = th__load(&self->home, TH__RELAXED);
  bool alone = device != NULL && device->n_workers == 0 && !self->deque_is_worker &&
               !th__higher_waits(device, TH__CLASS_DEFAULT);
  if (!alone) return 0;
  int n = th__deque_take(&self->deque, out, most < TH__BATCH ? (int)most : TH__BATCH);
  for (int i = 0; i < n; i++) th__prefetch(th__task_at(TH__REF_SLOT(out[i])));
  return n;
}

uint32_t th__run_ready(th__thread *self, uint32_t most) {
  uint32_t ran = 0;
  while (ran < most) {
    th__ref batch[TH__BATCH];
    int n = take_own_batch(self, batch, most - ran);
    if (n == 0 && (batch[0] = th__take_any(self)) != 0) n = 1;
    if (n == 0) break;
    for (int i = 0; i < n; i++) {
      if (i + 1 < n) th__ask_for_successor(th__task_at(TH__REF_SLOT(batch[i + 1])));
      th__run_ref(self, batch[i]);
    }
    ran += (uint32_t)n;
  }
  return ran;
}
