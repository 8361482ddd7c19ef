/* Sleepers and pushers. A worker that finds nothing announces itself, looks again, and sleeps; a pusher queues, then looks for
 * sleepers. Both store first and load then, so one of them must see the other: either all four are sequentially
 * consistent, or the pusher, who is in a hurry, takes the light side of the asymmetric fence and the sleeper the heavy one.
 *
 * Thread 1 pushes two items, threads 2 and 3 work until both are done. A missed wake-up ends as a deadlock. */
#include "tests/models/model.h"

static _Atomic uint32_t queued, sleeping, wake, done;
static order strength;
static bool fences, heavy, second_look, late_ticket;

static void push(void) {
  th__fetch_add(&queued, 1, strength == TH__RELAXED ? TH__RELEASE : strength);
  if (fences) th__fence_light();
  if (th__load(&sleeping, strength) == 0) return;
  th__fetch_add(&wake, 1, TH__SEQ_CST);
  th__unpark(&wake, 1);
}

static bool take(void) {
  uint32_t n = th__load(&queued, strength == TH__SEQ_CST ? TH__SEQ_CST : TH__ACQUIRE);
  while (n > 0)
    if (th__cas(&queued, &n, n - 1, TH__ACQ_REL)) return true;
  return false;
}

/* Returns an item it found on the second look. */
static bool sleep_for_work(void) {
  th__fetch_add(&sleeping, 1, strength == TH__SEQ_CST ? TH__SEQ_CST : TH__RELAXED);
  uint32_t ticket = th__load(&wake, TH__ACQUIRE);
  if (fences && heavy) th__fence_heavy();
  if (fences && !heavy) th__fence_light();
  bool found = second_look && take();
  if (late_ticket) ticket = th__load(&wake, TH__ACQUIRE);
  if (!found && th__load(&done, TH__SEQ_CST) < 2) th__park(&wake, ticket, -1);
  th__fetch_sub(&sleeping, 1, TH__SEQ_CST);
  return found;
}

static void thread(int number) {
  if (number == 1) {
    push();
    push();
    return;
  }
  while (th__load(&done, TH__SEQ_CST) < 2) {
    if (!take() && !sleep_for_work()) continue;
    if (th__fetch_add(&done, 1, TH__SEQ_CST) == 1) { /* the last item: all may leave */
      th__fetch_add(&wake, 1, TH__SEQ_CST);
      th__unpark(&wake, INT32_MAX);
    }
  }
}

static void check(void) { EX_CHECK(th__load(&done, TH__RELAXED) == 2); }

static void setup(void) {
  th__store(&queued, 0, TH__RELAXED);
  th__store(&sleeping, 0, TH__RELAXED);
  th__store(&wake, 0, TH__RELAXED);
  th__store(&done, 0, TH__RELAXED);
  strength = TH__SEQ_CST;
  fences = late_ticket = false;
  heavy = second_look = true;
}

static void setup_fences(void) {
  setup();
  strength = TH__RELAXED;
  fences = true;
}
static void setup_light(void) {
  setup_fences();
  heavy = false;
}
static void setup_weak(void) {
  setup();
  strength = TH__RELAXED;
}
static void setup_one_look(void) {
  setup();
  second_look = false;
}
static void setup_late(void) {
  setup();
  late_ticket = true;
}

#define SLEEP                                                                                      \
  .threads = 3, .thread = thread, .check = check, .preemptions = 2, .rare = 1, .most = 500000
MODELS({"sleep", .setup = setup, SLEEP}, {"sleep.fences", .setup = setup_fences, SLEEP},
       {"sleep.light_on_both_sides", .setup = setup_light, SLEEP, .finds = "deadlock"},
       {"sleep.weak", .setup = setup_weak, SLEEP, .finds = "deadlock"},
       {"sleep.one_look", .setup = setup_one_look, SLEEP, .finds = "deadlock"},
       {"sleep.late_ticket", .setup = setup_late, SLEEP, .finds = "deadlock"});
