/* The run-ahead gate. A submitter adds up what threads have submitted and completed (completions first, so that the difference is
 * never too small), takes credit for a few submissions at once, and sleeps when too many are pending. Who completes something
 * and sees a sleeper pokes it. That look is relaxed, so a poke can be missed: the sleeper's time limit makes that
 * harmless, and the twin without one shows that it is needed. With the asymmetric fence it would not be.
 *
 * Threads 1 and 2 submit two tasks each at a limit of two, thread 3 completes them. */
#include "tests/models/model.h"

#define EACH  2
#define LIMIT 2

static _Atomic uint32_t submitted[3], completed, waiters, wake;
static int64_t limit_ns;
static bool submissions_first, fences;

static int32_t in_flight(void) {
  uint32_t done = submissions_first ? 0 : th__load(&completed, TH__ACQUIRE), begun = 0;
  for (int i = 1; i <= 2; i++) begun += th__load(&submitted[i], TH__ACQUIRE);
  if (submissions_first) done = th__load(&completed, TH__ACQUIRE);
  return (int32_t)(begun - done);
}

static void admit(void) {
  for (;;) {
    int32_t pending = in_flight();
    EX_CHECK(pending >= 0); /* a sum that is too small would admit too much */
    if (pending < LIMIT) return;
    uint32_t ticket = th__load(&wake, TH__ACQUIRE);
    th__fetch_add(&waiters, 1, TH__SEQ_CST);
    if (fences) {
      th__fence_heavy();
      if (in_flight() >= LIMIT) th__park(&wake, ticket, limit_ns);
    } else {
      th__park(&wake, ticket, limit_ns);
    }
    th__fetch_sub(&waiters, 1, TH__SEQ_CST);
  }
}

static void submitter(int number) {
  for (int i = 0; i < EACH; i++) {
    admit();
    th__store(&submitted[number], th__load(&submitted[number], TH__RELAXED) + 1, TH__RELEASE);
  }
}

static void completer(void) {
  for (uint32_t n = 0; n < 2 * EACH;) {
    uint32_t begun = 0;
    for (int i = 1; i <= 2; i++) begun += th__load(&submitted[i], TH__ACQUIRE);
    if (begun == n) {
      th__pause();
      continue;
    }
    th__store(&completed, ++n, TH__RELEASE);
    if (fences) th__fence_light();
    if (th__load(&waiters, TH__RELAXED) == 0) continue;
    th__fetch_add(&wake, 1, TH__RELEASE);
    th__unpark(&wake, INT32_MAX);
  }
}

static void thread(int number) {
  if (number == 3) {
    completer();
  } else {
    submitter(number);
  }
}

static void check(void) { EX_CHECK(in_flight() == 0); }

static void setup(void) {
  for (int i = 0; i < 3; i++) th__store(&submitted[i], 0, TH__RELAXED);
  th__store(&completed, 0, TH__RELAXED);
  th__store(&waiters, 0, TH__RELAXED);
  th__store(&wake, 0, TH__RELAXED);
  limit_ns = 1000000;
  submissions_first = fences = false;
}
static void setup_no_limit(void) {
  setup();
  limit_ns = -1;
}
static void setup_fences(void) {
  setup();
  limit_ns = -1;
  fences = true;
}
static void setup_wrong_order(void) {
  setup();
  submissions_first = true;
}

#define GATE                                                                                       \
  .threads = 3, .thread = thread, .check = check, .preemptions = 1, .rare = 1, .random = 5000
MODELS({"gate", .setup = setup, GATE}, {"gate.fences", .setup = setup_fences, GATE},
       {"gate.no_time_limit", .setup = setup_no_limit, GATE, .finds = "livelock"},
       {"gate.submissions_first", .setup = setup_wrong_order, GATE, .finds = "pending >= 0"});
