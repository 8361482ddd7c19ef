/* Owns shuffle mode: what is ready waits in one pool until a sync point, then one thread at a time runs it in an order drawn from
 * the seed, polling lane devices in between. With one submitting thread a seed replays exactly. `lock` guards pool and draw. */
#include "engine/parts.h"

static th__spin lock;
static th__queue pool;
static uint64_t state;
static _Atomic(th__thread *) runner; /* the one thread that may run, or NULL */

void th__shuffle_seed(uint64_t seed) {
  state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
  th__store(&runner, NULL, TH__RELAXED);
  lock = (th__spin){0};
}

static uint64_t draw(void) { /* splitmix64 (Steele, Lea, Flood 2014) */
  uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);
  z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
  return z ^ z >> 31;
}

void th__shuffle_push(th__ref ref) {
  while (!th__queue_push(&pool, ref)) th__yield();
}

void th__shuffle_trim(void) { th__queue_trim(&pool); }
void th__shuffle_free(void) { th__queue_free(&pool); }
void th__shuffle_forget(void) { pool = (th__queue){0}; }

/* Polls one lane device at random. False when nothing is issued anywhere. */
static bool poll_lanes(th__thread *self, uint64_t random) {
  uint32_t n = th__load(&th__the.n_devices, TH__ACQUIRE);
  for (uint32_t i = 0; i < n; i++) {
    th__pool_device *d = th__load(&th__the.devices[(random + i) % n], TH__ACQUIRE);
    if (d != NULL && d->lanes != NULL && th__lanes_poll(self, d)) return true;
  }
  return false;
}

static bool step(th__thread *self) {
  th__spin_lock(&lock);
  uint64_t random = draw();
  th__spin_unlock(&lock);
  if (random % 3 == 0 && poll_lanes(self, random >> 8)) return true;
  th__ref ref = th__queue_pop_front(&pool, random >> 8 | 1);
  if (ref == 0) {
    if (poll_lanes(self, random >> 8)) return true;
    return th__starved_idle(self);
  }
  if (!th__claim(self, ref)) return true;
  th__task *task = th__task_at(TH__REF_SLOT(ref));
  if (th__load(&task->kind_flags, TH__RELAXED) & TH__LANE_TASK) {
    (void)th__lanes_issue(self, task);
  } else {
    th__run(self, task, 0);
  }
  return true;
}

bool th__shuffle_step(th__thread *self) {
  th__thread *nobody = NULL;
  if (!th__cas(&runner, &nobody, self, TH__ACQ_REL)) {
    th__yield();
    return false; /* another thread runs; the caller looks again */
  }
  th__switch saved;
  th__switch_enter(&saved);
  bool any = step(self);
  th__switch_leave(&saved);
  th__store(&runner, NULL, TH__RELEASE);
  return any;
}
