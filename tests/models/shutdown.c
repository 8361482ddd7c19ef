/* Shutdown. The engine is idle; its workers sleep, are about to, or just wake for something else. Who stops them sets the
 * flag, then changes the word they sleep on and wakes all. A worker takes its ticket, the value of that word, before it looks at
 * the flag for the last time: then either it sees the flag, or its ticket is out of date and it does not sleep.
 *
 * Thread 1 stops, threads 2 and 3 are workers. Whoever sleeps on is a deadlock. */
#include "tests/models/model.h"

static _Atomic uint32_t stopping, wake, alive, freed;
static bool late_ticket, silent;

static void worker(void) {
  while (th__load(&stopping, TH__ACQUIRE) == 0) {
    uint32_t ticket = th__load(&wake, TH__ACQUIRE);
    bool leaving = th__load(&stopping, TH__ACQUIRE) != 0;
    if (late_ticket) ticket = th__load(&wake, TH__ACQUIRE);
    if (!leaving) th__park(&wake, ticket, -1);
  }
  EX_CHECK(th__load(&freed, TH__RELAXED) == 0);
  th__fetch_sub(&alive, 1, TH__RELEASE);
}

static void stop(void) {
  th__store(&stopping, 1, TH__SEQ_CST);
  if (!silent) th__fetch_add(&wake, 1, TH__RELEASE);
  th__unpark(&wake, INT32_MAX);
  while (th__load(&alive, TH__ACQUIRE) > 0) th__yield(); /* joins them */
  th__store(&freed, 1, TH__RELAXED);
}

static void thread(int number) { number == 1 ? stop() : worker(); }

static void setup(void) {
  th__store(&stopping, 0, TH__RELAXED);
  th__store(&wake, 0, TH__RELAXED);
  th__store(&alive, 2, TH__RELAXED);
  th__store(&freed, 0, TH__RELAXED);
  late_ticket = silent = false;
}
static void setup_late(void) {
  setup();
  late_ticket = true;
}
static void setup_silent(void) {
  setup();
  silent = true;
}

#define SHUTDOWN .threads = 3, .thread = thread, .preemptions = 3, .rare = 1, .most = 500000
MODELS({"shutdown", .setup = setup, SHUTDOWN},
       {"shutdown.late_ticket", .setup = setup_late, SHUTDOWN, .finds = "livelock"},
       {"shutdown.word_unchanged", .setup = setup_silent, SHUTDOWN, .finds = "livelock"});
