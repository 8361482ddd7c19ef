/* The engine's own deque (engine/deque.c) under the explorer, with rings that begin with two entries. Each entry must be taken
 * exactly once, and what was written before its push be visible. */
#include "engine/deque.h"
#include "tests/explore/explore.h"

#define ITEMS 8

static th__deque deque;
static int made[ITEMS + 1]; /* plain: written before the push */
static _Atomic uint32_t taken[ITEMS + 1];

static bool any(th__ref ref) { return true; }

static void push_keeping(uint32_t item, bool (*keep)(th__ref ref)) {
  made[item] = (int)item;
  if (th__deque_push(&deque, item)) return;
  ex_count("times full");
  EX_CHECK(th__deque_room(&deque, keep) && th__deque_push(&deque, item));
}
static void push(uint32_t item) { push_keeping(item, any); }

static void consume(th__ref item) {
  if (item == 0) return;
  EX_CHECK(item <= ITEMS && made[item] == (int)item);
  EX_CHECK(th__fetch_add(&taken[item], 1, TH__RELAXED) == 0);
}

static void setup(void) { th__deque_init(&deque); }

static void all_taken(void) {
  for (int i = 1; i <= ITEMS; i++) EX_CHECK(th__load(&taken[i], TH__RELAXED) == (made[i] != 0));
  th__deque_free(&deque);
}

/* --- a worker's: the owner pushes and pops, others steal --- */

static void steal(int number) {
  if (number > 1) {
    consume(th__deque_steal(&deque));
    if (number == 2) consume(th__deque_steal(&deque));
    return;
  }
  push(1);
  push(2);
  consume(th__deque_pop(&deque));
  push(3);
  consume(th__deque_pop(&deque));
  consume(th__deque_pop(&deque));
}

static void steal_check(void) {
  for (th__ref item; (item = th__deque_pop(&deque)) != 0;) consume(item);
  all_taken();
}

/* It grows while others steal, and shrinks again when it is empty. */
static void grow(int number) {
  if (number > 1) {
    for (int i = 0; i < 2; i++) consume(th__deque_steal(&deque));
    return;
  }
  for (uint32_t i = 1; i <= 4; i++) push(i);
  consume(th__deque_pop(&deque));
  th__deque_trim(&deque);
  push(5);
}

/* --- an inbox: the owner only pushes, others take several at once --- */

static void take(int most) {
  th__ref items[4];
  int n = th__deque_take(&deque, items, most);
  for (int i = 0; i < n; i++) consume(items[i]);
}

static void inbox(int number) {
  if (number > 1) {
    take(2);
    take(2);
    return;
  }
  for (uint32_t i = 1; i <= 5; i++) push(i);
}

static void inbox_check(void) {
  while (th__deque_count(&deque) > 0) take(4);
  all_taken();
}

/* A full ring throws out entries that lead nowhere any more. Item 1 and 2 do. */
static bool not_stale(th__ref ref) { return ref > 2; }

static void stale(int number) {
  if (number > 1) {
    take(1);
    return;
  }
  for (uint32_t i = 1; i <= 4; i++) push_keeping(i, not_stale);
}

static void stale_check(void) {
  while (th__deque_count(&deque) > 0) take(4);
  for (int i = 3; i <= 4; i++) EX_CHECK(th__load(&taken[i], TH__RELAXED) == 1);
  for (int i = 1; i <= 2; i++) EX_CHECK(th__load(&taken[i], TH__RELAXED) <= 1);
}

#define DEQUE .setup = setup, .preemptions = 2, .most = 60000, .random = 3000
const ex_scenario ex_scenarios[] = {
    {"deque.steal", .threads = 3, .thread = steal, .check = steal_check, .rare = 1, DEQUE},
    {"deque.grow", .threads = 2, .thread = grow, .check = steal_check, .rare = 1, DEQUE},
    {"deque.inbox", .threads = 3, .thread = inbox, .check = inbox_check, .rare = 1, DEQUE},
    {"deque.stale", .threads = 2, .thread = stale, .check = stale_check, .rare = 1, DEQUE},
};
const size_t ex_n_scenarios = sizeof ex_scenarios / sizeof *ex_scenarios;
