/* Claiming: {generation, unfinished predecessors, flags, phase} is one word. It is ready when pending without predecessors.
 * Predecessors count down, a waiter raises a flag, and whoever meets it ready, by any of several queue entries, swaps it to
 * running. An entry that names an earlier task of the slot finds another generation.
 *
 * Threads 1 and 2 finish the two predecessors; who counts the last one off queues the task and tries to run it. Thread 3 waits: it
 * raises the task, then tries to claim it. Thread 4 has an old entry of the same slot. */
#include "tests/models/model.h"

enum { FREE, PENDING, RUNNING, PHASE = 7, RAISED = 8 };
#define ONE   UINT64_C(256) /* predecessor */
#define FIRST (UINT64_C(2) << 32)

static _Atomic uint64_t word;
static _Atomic uint32_t runs;
static int inputs[3]; /* plain: written by the predecessors */
static order count_down;
static bool split_claim, split_raise, any_generation;

static bool claim(uint32_t generation) {
  uint64_t w = th__load(&word, TH__ACQUIRE);
  do {
    if (!any_generation && w >> 32 != generation) return false;
    if (((uint32_t)w & ~(uint32_t)RAISED) != PENDING) return false;
    if (split_claim) {
      th__store(&word, w + (RUNNING - PENDING), TH__RELEASE);
      return true;
    }
  } while (!th__cas_weak(&word, &w, w + (RUNNING - PENDING), TH__ACQ_REL));
  return true;
}

static void run_if_mine(uint32_t generation) {
  if (!claim(generation)) return;
  EX_CHECK(generation == 2);
  EX_CHECK(inputs[1] == 1 && inputs[2] == 2);
  EX_CHECK(th__fetch_add(&runs, 1, TH__RELAXED) == 0);
  th__store(&word, UINT64_C(3) << 32 | FREE, TH__RELEASE);
}

static void raise(void) {
  uint64_t w = th__load(&word, TH__ACQUIRE);
  do {
    if (w >> 32 != 2 || (w & PHASE) != PENDING) return;
    if (split_raise) {
      th__store(&word, w | RAISED, TH__RELEASE);
      return;
    }
  } while (!th__cas_weak(&word, &w, w | RAISED, TH__ACQ_REL));
}

static void thread(int number) {
  if (number == 3) {
    raise();
    run_if_mine(2);
  } else if (number == 4) {
    run_if_mine(1);
  } else {
    inputs[number] = number;
    uint64_t before = th__fetch_sub(&word, ONE, count_down);
    if ((uint32_t)before >> 8 == 1) run_if_mine((uint32_t)(before >> 32));
  }
}

static void check(void) { EX_CHECK(th__load(&runs, TH__RELAXED) == 1); }

static void setup(void) {
  th__store(&word, FIRST | 2 * ONE | PENDING, TH__RELAXED);
  th__store(&runs, 0, TH__RELAXED);
  inputs[1] = inputs[2] = 0;
  count_down = TH__ACQ_REL;
  split_claim = split_raise = any_generation = false;
}
static void setup_relaxed(void) {
  setup();
  count_down = TH__RELAXED;
}
static void setup_split_claim(void) {
  setup();
  split_claim = true;
}
static void setup_split_raise(void) {
  setup();
  split_raise = true;
}
static void setup_any(void) {
  setup();
  any_generation = true;
}

#define WORD                                                                                       \
  .threads = 4, .thread = thread, .check = check, .preemptions = 2, .rare = 1, .most = 200000
MODELS({"word", .setup = setup, WORD},
       {"word.count_relaxed", .setup = setup_relaxed, WORD, .finds = "race"},
       {"word.claim_split", .setup = setup_split_claim, WORD, .finds = "check failed"},
       {"word.raise_split", .setup = setup_split_raise, WORD, .finds = "check failed"},
       {"word.any_generation", .setup = setup_any, WORD, .finds = "generation == 2"});
