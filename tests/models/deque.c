/* The queue of ready tasks that a thread has (Chase and Lev 2005; orders as Le and others 2013, with seq_cst operations for their
 * fences). The owner pushes at the bottom. A worker's: the owner pops there too, thieves steal one at the top. A submitter's
 * inbox: nobody pops, takers move up to two from the top by one compare-and-swap. Indices only grow, so a swap of `top`
 * never meets an old value again; an entry may be overwritten once `top` has passed it.
 *
 * Each entry must be taken exactly once, and what was written before its push be visible. */
#include "tests/models/model.h"

#define RING  2
#define ITEMS 4

static _Atomic uint64_t top, bottom;
static _Atomic uint32_t entries[RING];
static _Atomic uint32_t taken[ITEMS + 1];
static int made[ITEMS + 1]; /* plain: written before the push */
static order publish, pop_order, thief_order;

static void consume(uint32_t item) {
  EX_CHECK(item >= 1 && item <= ITEMS);
  EX_CHECK(made[item] == (int)item);
  EX_CHECK(th__fetch_add(&taken[item], 1, TH__RELAXED) == 0);
}

/* Owner. False: full. */
static bool push(uint32_t item) {
  uint64_t b = th__load(&bottom, TH__RELAXED);
  if (b - th__load(&top, TH__ACQUIRE) >= RING) return false;
  made[item] = (int)item;
  th__store(&entries[b % RING], item, TH__RELAXED);
  th__store(&bottom, b + 1, publish); /* who sees it sees the entry */
  return true;
}

/* Owner of a worker's. */
static uint32_t pop(void) {
  uint64_t b = th__load(&bottom, TH__RELAXED);
  if (th__load(&top, TH__RELAXED) >= b) return 0;
  b--;
  th__exchange(&bottom, b, pop_order); /* of "bottom, top" here and "top, bottom" there */
  uint64_t t = th__load(&top, pop_order == TH__SEQ_CST ? TH__SEQ_CST : TH__ACQUIRE);
  uint32_t item = t <= b ? th__load(&entries[b % RING], TH__RELAXED) : 0;
  if (t < b) return item;
  if (t == b && !th__cas(&top, &t, t + 1, TH__SEQ_CST))
    item = 0; /* the last: a race with thieves */
  th__store(&bottom, b + 1, TH__RELEASE);
  return item;
}

static uint32_t steal(void) {
  uint64_t t = th__load(&top, thief_order);
  uint64_t b = th__load(&bottom, thief_order);
  if ((int64_t)(b - t) <= 0) return 0;
  uint32_t item = th__load(&entries[t % RING], TH__RELAXED);
  return th__cas(&top, &t, t + 1, TH__SEQ_CST) ? item : 0;
}

/* Up to two of an inbox. */
static void take(void) {
  uint64_t t = th__load(&top, TH__ACQUIRE);
  for (;;) {
    uint64_t b = th__load(&bottom, TH__ACQUIRE);
    if ((int64_t)(b - t) <= 0) return;
    uint32_t n = b - t < 2 ? 1 : 2, items[2];
    for (uint32_t i = 0; i < n; i++) items[i] = th__load(&entries[(t + i) % RING], TH__RELAXED);
    if (!th__cas(&top, &t, t + n, TH__ACQ_REL)) continue;
    for (uint32_t i = 0; i < n; i++) consume(items[i]);
    return;
  }
}

static void setup(void) {
  th__store(&top, 0, TH__RELAXED);
  th__store(&bottom, 0, TH__RELAXED);
  for (int i = 0; i < RING; i++) th__store(&entries[i], 0, TH__RELAXED);
  for (int i = 0; i <= ITEMS; i++) {
    th__store(&taken[i], 0, TH__RELAXED);
    made[i] = 0;
  }
  publish = TH__RELEASE;
  pop_order = thief_order = TH__SEQ_CST;
}

static void consume_any(uint32_t item) {
  if (item != 0) consume(item);
}

/* A worker pushes and pops, two thieves steal. */
static void stealing(int number) {
  if (number > 1) {
    consume_any(steal());
    if (number == 2) consume_any(steal());
    return;
  }
  push(1);
  push(2);
  consume_any(pop());
  push(3);
  consume_any(pop());
  consume_any(pop());
}

/* What was pushed and is not in the ring any more was taken. */
static void check_stealing(void) {
  for (uint32_t item; (item = pop()) != 0;) consume(item);
  for (int i = 1; i <= 3; i++) EX_CHECK(th__load(&taken[i], TH__RELAXED) == (made[i] != 0));
}

/* A submitter fills and refills a ring of two. */
static void inbox(int number) {
  if (number > 1) {
    take();
    take();
    return;
  }
  for (uint32_t i = 1; i <= ITEMS; i++)
    for (int tries = 0; !push(i) && tries < 3; tries++) th__yield();
}

static void check_inbox(void) {
  while (th__load(&bottom, TH__RELAXED) != th__load(&top, TH__RELAXED)) take();
  for (int i = 1; i <= ITEMS; i++) EX_CHECK(th__load(&taken[i], TH__RELAXED) == (made[i] != 0));
}

#define BROKEN(name, change)                                                                       \
  static void setup_##name(void) {                                                                 \
    setup();                                                                                       \
    change;                                                                                        \
  }
BROKEN(push_relaxed, publish = TH__RELAXED)
BROKEN(pop_weak, pop_order = TH__ACQ_REL)
BROKEN(thief_weak, thief_order = TH__ACQUIRE)

#define STEALING                                                                                   \
  .threads = 3, .thread = stealing, .check = check_stealing, .preemptions = 2, .rare = 2
#define INBOX .threads = 3, .thread = inbox, .check = check_inbox, .preemptions = 2, .rare = 1
MODELS({"deque.steal", .setup = setup, STEALING},
       {"deque.push_relaxed", .setup = setup_push_relaxed, STEALING, .finds = "race"},
       {"deque.pop_weak", .setup = setup_pop_weak, STEALING, .finds = "taken[item]"},
       {"deque.thief_weak", .setup = setup_thief_weak, STEALING, .finds = "taken[item]"},
       {"deque.inbox", .setup = setup, INBOX},
       {"deque.inbox_push_relaxed", .setup = setup_push_relaxed, INBOX, .finds = "race"});
