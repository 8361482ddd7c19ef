/* The explorer's own test: small algorithms that are known to be right pass, and their known mistakes are found. Each is a
 * textbook case; the broken form differs by one order or one step. */
#include "engine/base/atomic.h"
#include "tests/explore/explore.h"

static _Atomic uint32_t x, y, word, held;
static uint32_t seen_x, seen_y;
static int data;

static void both(void (*a)(void *), void (*b)(void *)) {
  int first = ex_spawn(a, NULL), second = ex_spawn(b, NULL);
  ex_join(first);
  ex_join(second);
}

/* --- store buffering: at least one thread sees the other's store, if both are sequentially consistent --- */

static void sb_left(void *strong) {
  th__store(&x, 1, strong ? TH__SEQ_CST : TH__RELEASE);
  seen_y = th__load(&y, strong ? TH__SEQ_CST : TH__ACQUIRE);
}
static void sb_right(void *strong) {
  th__store(&y, 1, strong ? TH__SEQ_CST : TH__RELEASE);
  seen_x = th__load(&x, strong ? TH__SEQ_CST : TH__ACQUIRE);
}
static void store_buffering(void *strong) {
  int a = ex_spawn(sb_left, strong), b = ex_spawn(sb_right, strong);
  ex_join(a);
  ex_join(b);
  EX_CHECK(seen_x + seen_y > 0);
}
static void sb_strong(void) { store_buffering(&x); }
static void sb_weak(void) { store_buffering(NULL); }

/* The same with the asymmetric fence: one side pays for both. */
static void af_hot(void *unused) {
  th__store(&x, 1, TH__RELAXED);
  th__fence_light();
  seen_y = th__load(&y, TH__RELAXED);
}
static void af_rare(void *unused) {
  th__store(&y, 1, TH__RELAXED);
  th__fence_heavy();
  seen_x = th__load(&x, TH__RELAXED);
}
static void af_two_light(void *unused) {
  th__store(&y, 1, TH__RELAXED);
  th__fence_light();
  seen_x = th__load(&x, TH__RELAXED);
}
static void fence_pair(void) {
  both(af_hot, af_rare);
  EX_CHECK(seen_x + seen_y > 0);
}
static void fence_light_only(void) {
  both(af_hot, af_two_light);
  EX_CHECK(seen_x + seen_y > 0);
}

/* --- message passing --- */

static void mp_send(void *order) {
  data = 42;
  th__store(&x, 1, order ? TH__RELEASE : TH__RELAXED);
}
static void mp_receive(void *order) {
  while (th__load(&x, TH__ACQUIRE) == 0) th__pause();
  EX_CHECK(data == 42);
}
static void message_passing(void *order) {
  int a = ex_spawn(mp_send, order), b = ex_spawn(mp_receive, order);
  ex_join(a);
  ex_join(b);
}
static void mp_release(void) { message_passing(&x); }
static void mp_relaxed(void) { message_passing(NULL); }

/* The flag is raised by a read-modify-write of a third thread: the release sequence goes on. */
static void mp_middle(void *unused) { th__fetch_add(&x, 1, TH__RELAXED); }
static void mp_second(void *unused) {
  while (th__load(&x, TH__ACQUIRE) != 2) th__pause();
  EX_CHECK(data == 42);
}
static void mp_first(void *unused) {
  data = 42;
  th__fetch_add(&x, 1, TH__RELEASE);
}
static void release_sequence(void) {
  int a = ex_spawn(mp_first, NULL), b = ex_spawn(mp_middle, NULL), c = ex_spawn(mp_second, NULL);
  ex_join(a);
  ex_join(b);
  ex_join(c);
}

/* Two readers agree on the order of two independent stores only if all are sequentially consistent. */
static uint32_t saw[4];
static _Atomic uint32_t first_loc, second_loc;
static void iriw_write(void *p) { th__store((_Atomic uint32_t *)p, 1, TH__SEQ_CST); }
static void iriw_read(void *strong) {
  ex_order order = strong ? TH__SEQ_CST : TH__ACQUIRE;
  saw[0] = th__load(&first_loc, order);
  saw[1] = th__load(&second_loc, order);
}
static void iriw_read_back(void *strong) {
  ex_order order = strong ? TH__SEQ_CST : TH__ACQUIRE;
  saw[2] = th__load(&second_loc, order);
  saw[3] = th__load(&first_loc, order);
}
static void iriw(void *strong) {
  int t[4] = {ex_spawn(iriw_write, (void *)&first_loc), ex_spawn(iriw_write, (void *)&second_loc),
              ex_spawn(iriw_read, strong), ex_spawn(iriw_read_back, strong)};
  for (int i = 0; i < 4; i++) ex_join(t[i]);
  EX_CHECK(!(saw[0] == 1 && saw[1] == 0 && saw[2] == 1 && saw[3] == 0));
}
static void iriw_strong(void) { iriw(&x); }
static void iriw_weak(void) { iriw(NULL); }

/* Values of one location never go back. */
static void coherence_write(void *unused) {
  th__store(&x, 1, TH__RELAXED);
  th__store(&x, 2, TH__RELAXED);
}
static void coherence_read(void *unused) {
  uint32_t a = th__load(&x, TH__RELAXED), b = th__load(&x, TH__RELAXED);
  EX_CHECK(a <= b);
}
static void coherence(void) { both(coherence_write, coherence_read); }

/* --- split read-modify-write --- */

static void add_whole(void *unused) { th__fetch_add(&x, 1, TH__RELAXED); }
static void add_split(void *unused) { th__store(&x, th__load(&x, TH__RELAXED) + 1, TH__RELAXED); }
static void counter(void) {
  both(add_whole, add_whole);
  EX_CHECK(th__load(&x, TH__RELAXED) == 2);
}
static void counter_split(void) {
  both(add_split, add_split);
  EX_CHECK(th__load(&x, TH__RELAXED) == 2);
}

/* --- sleeping: look, sleep if nothing came; the waker changes the word --- */

static void sleeper(void *unused) {
  for (;;) {
    uint32_t w = th__load(&word, TH__ACQUIRE);
    if (th__load(&y, TH__SEQ_CST) != 0) return;
    th__park(&word, w, -1);
  }
}
static void sleeper_careless(void *unused) { /* looks before it takes the word to sleep on */
  for (;;) {
    if (th__load(&y, TH__SEQ_CST) != 0) return;
    th__park(&word, th__load(&word, TH__ACQUIRE), -1);
  }
}
static void waker(void *unused) {
  th__store(&y, 1, TH__SEQ_CST);
  th__fetch_add(&word, 1, TH__SEQ_CST);
  th__unpark(&word, 1);
}
static void sleep_right(void) { both(sleeper, waker); }
static void sleep_missed(void) { both(sleeper_careless, waker); }

/* --- a stack without generations: pop, pop, push between another's look and its swap --- */

typedef struct node {
  _Atomic(struct node *) next;
} node;
static node nodes[3];
static _Atomic(node *) top;
static _Atomic uint32_t owned[3];

static node *stack_pop(void) {
  node *n = th__load(&top, TH__ACQUIRE);
  while (n != NULL && !th__cas(&top, &n, th__load(&n->next, TH__RELAXED), TH__ACQ_REL)) continue;
  if (n != NULL) EX_CHECK(th__exchange(&owned[n - nodes], 1, TH__RELAXED) == 0);
  return n;
}
static void stack_push(node *n) {
  th__store(&owned[n - nodes], 0, TH__RELAXED);
  node *first = th__load(&top, TH__RELAXED);
  do {
    th__store(&n->next, first, TH__RELAXED);
  } while (!th__cas(&top, &first, n, TH__RELEASE));
}
static void aba_one(void *unused) { stack_pop(); }
static void aba_two(void *unused) {
  node *a = stack_pop();
  stack_pop();
  if (a != NULL) stack_push(a);
}
static void aba_stack(void) {
  for (int i = 3; i-- > 0;) {
    th__store(&nodes[i].next, th__load(&top, TH__RELAXED), TH__RELAXED);
    th__store(&top, &nodes[i], TH__RELAXED);
  }
  both(aba_one, aba_two);
  stack_pop();
  stack_pop();
}

/* --- locks --- */

static th__spin one, two;
static void lock_forth(void *unused) {
  th__spin_lock(&one);
  th__spin_lock(&two);
  data++;
  th__spin_unlock(&two);
  th__spin_unlock(&one);
}
static void lock_back(void *unused) {
  th__spin_lock(&two);
  th__spin_lock(&one);
  data++;
  th__spin_unlock(&one);
  th__spin_unlock(&two);
}
static void locks_ordered(void) {
  both(lock_forth, lock_forth);
  EX_CHECK(data == 2);
}
static void locks_crossed(void) { both(lock_forth, lock_back); }

static void spin_own(void *unused) { /* a lock of one's own, made of what is here */
  while (th__exchange(&held, 1, TH__ACQUIRE) != 0) th__pause();
  data++;
  th__store(&held, 0, TH__RELEASE);
}
static void own_lock(void) {
  both(spin_own, spin_own);
  EX_CHECK(data == 2);
}
static void spin_weak(void *unused) {
  while (th__exchange(&held, 1, TH__ACQUIRE) != 0) th__pause();
  data++;
  th__store(&held, 0, TH__RELAXED);
}
static void own_lock_weak(void) { both(spin_weak, spin_weak); }

static void wait_for_ever(void *unused) {
  while (th__load(&x, TH__ACQUIRE) != 7) th__pause();
}
static void never_ends(void) { both(wait_for_ever, add_whole); }

/* --- memory --- */

static void free_early(void) {
  int *block = ex_alloc(sizeof *block);
  *block = 1;
  ex_free(block);
  data = *(volatile int *)block;
}
static void beyond(void) {
  char *block = ex_alloc(16);
  data = *(volatile char *)(block + 16);
}
static void plain_write(void *unused) { data++; }
static void plain_race(void) { both(plain_write, plain_write); }
static void crash(void) {
  int *volatile nowhere = NULL;
  data = *(volatile int *)nowhere;
}

const ex_scenario ex_scenarios[] = {
    {"store_buffering", sb_strong, .preemptions = 3, .rare = 2},
    {"store_buffering.weak", sb_weak, .preemptions = 2, .rare = 2, .finds = "seen_x + seen_y"},
    {"asymmetric_fence", fence_pair, .preemptions = 3, .rare = 3},
    {"asymmetric_fence.light", fence_light_only, .preemptions = 2, .rare = 2,
     .finds = "seen_x + seen_y"},
    {"message_passing", mp_release, .preemptions = 3, .rare = 2},
    {"message_passing.relaxed", mp_relaxed, .preemptions = 2, .rare = 2, .finds = "race"},
    {"release_sequence", release_sequence, .preemptions = 3, .rare = 2},
    {"independent_reads", iriw_strong, .preemptions = 2, .rare = 2},
    {"independent_reads.weak", iriw_weak, .preemptions = 2, .rare = 2, .finds = "check failed"},
    {"coherence", coherence, .preemptions = 3, .rare = 3},
    {"counter", counter, .preemptions = 2, .rare = 2},
    {"counter.split", counter_split, .preemptions = 2, .finds = "check failed"},
    {"sleep", sleep_right, .preemptions = 3, .rare = 2},
    {"sleep.careless", sleep_missed, .preemptions = 2, .finds = "deadlock"},
    {"stack.aba", aba_stack, .preemptions = 2, .finds = "owned"},
    {"locks", locks_ordered, .preemptions = 3},
    {"locks.crossed", locks_crossed, .preemptions = 2, .finds = "deadlock"},
    {"own_lock", own_lock, .preemptions = 3, .rare = 2},
    {"own_lock.weak", own_lock_weak, .preemptions = 2, .rare = 2, .finds = "race"},
    {"never_ends", never_ends, .preemptions = 1, .finds = "livelock"},
    {"memory.freed", free_early, .finds = "freed"},
    {"memory.beyond", beyond, .finds = "beyond"},
    {"memory.race", plain_race, .preemptions = 1, .finds = "race"},
    {"memory.crash", crash, .finds = "crash"},
};
const size_t ex_n_scenarios = sizeof ex_scenarios / sizeof *ex_scenarios;
