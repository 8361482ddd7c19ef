/* Slots are recycled, and a name {generation, slot} of an earlier task must not fit a later one. Generations of few bits come
 * round: behind enough tasks in one slot an old name fits again. With 4 bits the explorer shows both: 14 later tasks never
 * take a link that was meant for the first one, 15 can.
 *
 * What would that do with the engine's 32 bits? The name must lie in a variable for exactly 2^32 - 1 tasks of one slot. Then
 * whoever waits for it waits for a stranger, and a task linked to it starts later than it could. The stranger was submitted
 * before, so no cycle comes of it, unless it is itself just being submitted: the last model. */
#include "tests/models/model.h"

#define BITS 4

static _Atomic uint64_t head; /* of the slot: {generation, link} */
static uint32_t others;       /* tasks in the slot behind the first */
static uint32_t follows;      /* the task that released the link; 0 = refused */

static uint32_t generation_after(uint32_t g) {
  g = (g + 1) % (1u << BITS);
  return g == 0 ? 1 : g; /* 0 = a slot that was never used */
}

/* Pushes the only link onto the list of that generation. */
static bool link_to(uint32_t generation) {
  uint64_t h = th__load(&head, TH__ACQUIRE);
  do {
    if ((uint32_t)(h >> 32) != generation) return false;
  } while (!th__cas(&head, &h, (uint64_t)generation << 32 | 1, TH__ACQ_REL));
  return true;
}

/* Ends the task in the slot, and so begins the next. True when there was a link. */
static bool finish(void) {
  uint32_t g = (uint32_t)(th__load(&head, TH__RELAXED) >> 32);
  return (uint32_t)th__exchange(&head, (uint64_t)generation_after(g) << 32, TH__ACQ_REL) != 0;
}

static void setup(uint32_t n) {
  others = n;
  follows = 0;
  th__store(&head, UINT64_C(1) << 32, TH__RELAXED);
}
static void setup_14(void) { setup(14); }
static void setup_15(void) { setup(15); }

static void thread(int number) {
  if (number == 1) {
    for (uint32_t t = 1; t <= 1 + others; t++)
      if (finish()) follows = t;
  } else {
    link_to(1); /* refused: the first task has finished */
  }
}

static void check(void) { EX_CHECK(follows <= 1); }

/* --- two tasks that are being submitted wait for each other --- */

static th__spin variable; /* held while a task enters it */
static bool a_entered;    /* under variable: it names task A as the last writer */
static bool a_waits, b_waits;

/* Task A writes a variable whose last writer had generation 1; task B takes that writer's slot when the generations have come
 * round, and writes the same variable. */
static void thread_cycle(int number) {
  if (number == 1) {
    th__spin_lock(&variable);
    a_waits = link_to(1);
    a_entered = true;
    th__spin_unlock(&variable);
  } else {
    for (uint32_t i = 0; i < others; i++) finish();
    th__spin_lock(&variable);
    b_waits = a_entered;
    th__spin_unlock(&variable);
  }
}

static void setup_cycle(uint32_t n) {
  setup(n);
  finish(); /* the last writer has finished */
  a_entered = a_waits = b_waits = false;
}
static void setup_cycle_13(void) { setup_cycle(13); }
static void setup_cycle_14(void) { setup_cycle(14); }
static void check_cycle(void) { EX_CHECK(!(a_waits && b_waits)); }

#define ONE .threads = 2, .thread = thread, .check = check, .preemptions = 2, .rare = 1
#define TWO .threads = 2, .thread = thread_cycle, .check = check_cycle, .preemptions = 2, .rare = 1
MODELS({"recycle", .setup = setup_14, ONE},
       {"recycle.comes_round", .setup = setup_15, ONE, .finds = "check failed"},
       {"recycle.cycle", .setup = setup_cycle_13, TWO},
       {"recycle.cycle_comes_round", .setup = setup_cycle_14, TWO, .finds = "check failed"});
