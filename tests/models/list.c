/* The closing successor list. A task's list head is one word {generation, link}. Who wants to follow a task pushes a link by a
 * compare-and-swap that also compares the generation; the finisher takes all links and ends the generation with one
 * exchange. So a link is either taken by the finisher or refused, never lost, and a recycled slot refuses links that
 * were meant for the task before.
 *
 * Here: thread 1 finishes the task in slot 0, takes the slot again for another task and finishes that as well. Threads 2 and 3
 * each link a task of their own to the first one; if refused, it is ready at once. Each must run exactly once and see
 * what the first one wrote. */
#include "tests/models/model.h"

#define GENERATION(head) ((uint32_t)((head) >> 32))

typedef struct task {
  _Atomic uint64_t head;    /* {generation:32, link:32}; a link is a task's number, 0 = none */
  _Atomic uint32_t next;    /* the link behind this task's own */
  _Atomic uint32_t pending; /* predecessors, plus a bias while it is being linked */
  int argument;             /* plain: published by whoever makes it ready */
} task;

static task tasks[4];
static _Atomic uint32_t runs[4];
static int written;          /* by the first task */
static order push, close_by; /* memory orders */
static bool ignore_generation, split_close;

static void run(uint32_t t) {
  EX_CHECK(tasks[t].argument == (int)t);
  EX_CHECK(written == 1);
  EX_CHECK(th__fetch_add(&runs[t], 1, TH__RELAXED) == 0);
}

/* Makes task t follow the one that had this generation. False: it has finished. */
static bool link_to(_Atomic uint64_t *list, uint32_t generation, uint32_t t) {
  uint64_t head = th__load(list, TH__ACQUIRE);
  do {
    if (!ignore_generation && GENERATION(head) != generation) return false;
    th__store(&tasks[t].next, (uint32_t)head, TH__RELAXED);
  } while (!th__cas_weak(list, &head, head >> 32 << 32 | t, push));
  return true;
}

static void arrive(uint32_t t, uint32_t n) {
  if (th__fetch_sub(&tasks[t].pending, n, TH__ACQ_REL) == n) run(t);
}

static void finish(task *first) {
  uint32_t generation = GENERATION(th__load(&first->head, TH__RELAXED));
  uint64_t ended = (uint64_t)(generation + 1) << 32, head;
  if (split_close) {
    head = th__load(&first->head, TH__ACQUIRE);
    th__store(&first->head, ended, close_by);
  } else {
    head = th__exchange(&first->head, ended, close_by);
  }
  for (uint32_t t = (uint32_t)head; t != 0;) {
    uint32_t next = th__load(&tasks[t].next, TH__RELAXED);
    arrive(t, 1);
    t = next;
  }
}

static void setup(void) {
  push = TH__ACQ_REL;
  close_by = TH__ACQ_REL;
  ignore_generation = split_close = false;
  for (int i = 0; i < 4; i++) {
    th__store(&tasks[i].head, UINT64_C(1) << 32, TH__RELAXED);
    th__store(&runs[i], 0, TH__RELAXED);
    th__store(&tasks[i].pending, 100, TH__RELAXED);
    tasks[i].argument = 0;
  }
  written = 0;
}

static void thread(int number) {
  if (number == 1) {
    written = 1;
    finish(&tasks[0]);
    finish(&tasks[0]); /* the slot's next task */
    return;
  }
  uint32_t t = (uint32_t)number;
  tasks[t].argument = number;
  uint32_t made = link_to(&tasks[0].head, 1, t);
  arrive(t, 100 - made); /* the bias goes, links stay */
}

static void check(void) {
  EX_CHECK(th__load(&runs[2], TH__RELAXED) == 1);
  EX_CHECK(th__load(&runs[3], TH__RELAXED) == 1);
}

static void setup_relaxed_push(void) {
  setup();
  push = TH__RELAXED;
}
static void setup_relaxed_close(void) {
  setup();
  close_by = TH__ACQUIRE;
}
static void setup_ignorant(void) {
  setup();
  ignore_generation = true;
}
static void setup_split(void) {
  setup();
  split_close = true;
}

#define LIST .threads = 3, .thread = thread, .check = check, .preemptions = 3, .rare = 1
MODELS({"list", .setup = setup, LIST},
       {"list.push_relaxed", .setup = setup_relaxed_push, LIST, .finds = "check failed"},
       {"list.close_without_release", .setup = setup_relaxed_close, LIST, .finds = "race"},
       {"list.generation_ignored", .setup = setup_ignorant, LIST, .finds = "check failed"},
       {"list.close_split", .setup = setup_split, LIST, .finds = "check failed"});
