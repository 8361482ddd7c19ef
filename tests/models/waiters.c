/* Waiting for a task: {generation, waiters' flag, links} is one word. A waiter sets the flag by a compare-and-swap, which a
 * finished task refuses, and sleeps on the half of the word that holds the generation. The finisher's one exchange ends the
 * generation and brings the flag. Set, look, close, look: four steps of two threads in one word need no order between words.
 *
 * Thread 1 finishes the task and the next one in its slot. Thread 2 waits for the first, thread 3 pushes a link. */
#include "tests/models/model.h"

#define FLAG UINT64_C(0x80000000)

static _Atomic uint64_t word;
static _Atomic uint32_t flag_apart; /* of the broken twin: a word of its own */
static int result;                  /* plain: written by the task */
static int links;
static bool apart, overwriting;

static _Atomic uint32_t *generation_half(void) {
  uint32_t one = 1;
  bool little = *(char *)&one == 1;
  return (_Atomic uint32_t *)(void *)&word + (little ? 1 : 0);
}

static void finish(void) {
  uint64_t ended = (th__load(&word, TH__RELAXED) >> 32) + 1;
  uint64_t was = th__exchange(&word, ended << 32, TH__ACQ_REL);
  bool flag = apart ? th__load(&flag_apart, TH__ACQUIRE) != 0 : (was & FLAG) != 0;
  links += (uint32_t)(was & (FLAG - 1)) != 0;
  if (flag) th__unpark(generation_half(), INT32_MAX);
}

static void wait_for(uint32_t generation) {
  for (;;) {
    uint64_t w = th__load(&word, TH__ACQUIRE);
    do {
      if (w >> 32 != generation) return;
      if (apart) th__store(&flag_apart, 1, TH__RELEASE);
    } while (!apart && !th__cas_weak(&word, &w, w | FLAG, TH__ACQ_REL));
    th__park(generation_half(), generation, -1);
  }
}

static void link_to(uint32_t generation) {
  uint64_t w = th__load(&word, TH__ACQUIRE);
  do {
    if (w >> 32 != generation) return;
  } while (!th__cas_weak(&word, &w, (overwriting ? w >> 32 << 32 : w) | 5, TH__ACQ_REL));
}

static void thread(int number) {
  if (number == 1) {
    result = 1;
    finish();
    finish();
  } else if (number == 2) {
    wait_for(1);
    EX_CHECK(result == 1);
  } else {
    link_to(1);
  }
}

static void setup(void) {
  th__store(&word, UINT64_C(1) << 32, TH__RELAXED);
  th__store(&flag_apart, 0, TH__RELAXED);
  result = links = 0;
  apart = overwriting = false;
}
static void setup_apart(void) {
  setup();
  apart = true;
}
static void setup_overwriting(void) {
  setup();
  overwriting = true;
}

#define WAITERS .threads = 3, .thread = thread, .preemptions = 3, .most = 500000
MODELS({"waiters", .setup = setup, WAITERS, .rare = 1},
       {"waiters.flag_apart", .setup = setup_apart, WAITERS, .rare = 2, .finds = "deadlock"},
       {"waiters.link_forgets_flag", .setup = setup_overwriting, WAITERS, .rare = 1,
        .finds = "deadlock"});
