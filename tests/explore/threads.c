/* Owns the coroutines: switching, parking, locks, the clock, and the verdicts deadlock and livelock. */
#include "tests/explore/core.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#define STACK_BYTES  ((size_t)256 << 10)
#define STEPS_MOST   100000 /* more in one schedule is called a livelock */
#define IDLE_MOST    3000   /* rounds in which all spin and nothing changes */
#define IDLE_TIMEOUT 40     /* so many such rounds bring the next time-out */
#define FAIR_STEPS   2000   /* a thread that goes on for so long lets others go */
#define TICK_NS      20000
#define TRACE_HEAD   150 /* lines shown of a long trace */
#define TRACE_TAIL   100

ex_state ex;

/* A coroutine is made once and runs one thread function after the other. */
typedef struct coroutine {
  bool made;
  jmp_buf at;
  ucontext_t first;
  char *stack, *tls;
  void (*fn)(void *arg);
  void *arg;
} coroutine;

static coroutine coroutines[EX_THREADS];
static char *stacks, *tls_first, *data_first;
static jmp_buf host;
static ucontext_t host_first;
static int idle_rounds;
static long steps_alone; /* of the running thread since others ran */

bool ex_private(const volatile void *at) {
  const volatile char *p = at;
  return (p >= stacks && p < stacks + EX_THREADS * STACK_BYTES) ||
         (p >= ex_areas.tls && p < ex_areas.tls_end);
}

int ex_self(void) { return ex.running; }
int64_t ex_now_ns(void) { return ex.now += TICK_NS; }

/* Lines of a trace are kept, so that the middle of a long one can be left out. */
#define LINE_BYTES 160
static char (*trace_lines)[LINE_BYTES];
static long n_lines, room_lines;

static char *trace_line(void) {
  if (n_lines == room_lines) {
    room_lines = room_lines * 2 + 1000;
    trace_lines = realloc(trace_lines, (size_t)room_lines * LINE_BYTES);
    if (trace_lines == NULL) abort();
  }
  return trace_lines[n_lines++];
}

void ex_trace(const ex_place *at, const char *format, ...) {
  if (!ex.tracing || ex.quiet) return;
  va_list args;
  const char *name = strrchr(at->file, '/');
  char place[64], *line = trace_line();
  snprintf(place, sizeof place, "%s:%d", name ? name + 1 : at->file, at->line);
  int n = snprintf(line, LINE_BYTES, "  thread %d  %-18s %s", ex.running, place, at->text);
  va_start(args, format);
  if (n < LINE_BYTES) vsnprintf(line + n, (size_t)(LINE_BYTES - n), format, args);
  va_end(args);
}

void ex_trace_show(void) {
  for (long i = 0; i < n_lines; i++) {
    if (i == TRACE_HEAD && n_lines > TRACE_HEAD + TRACE_TAIL) {
      printf("  ... %ld steps ...\n", n_lines - TRACE_HEAD - TRACE_TAIL);
      i = n_lines - TRACE_TAIL;
    }
    puts(trace_lines[i]);
  }
  n_lines = 0;
}

void ex_fail(const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(ex.message, sizeof ex.message, format, args);
  va_end(args);
  ex.failed = true;
  for (int i = 0; i < EX_THREADS; i++) coroutines[i].made = false; /* they stand in the middle */
  _longjmp(host, 1);
}

/* --- switching --- */

static void tls_swap(int from, int to) {
  size_t bytes = (size_t)(ex_areas.tls_end - ex_areas.tls);
  if (bytes == 0) return;
  memcpy(coroutines[from].tls, ex_areas.tls, bytes);
  memcpy(ex_areas.tls, coroutines[to].tls, bytes);
}

static void switch_to(int next) {
  int from = ex.running;
  if (from == next) return;
  steps_alone = 0;
  tls_swap(from, next);
  ex.running = next;
  if (_setjmp(coroutines[from].at) == 0) _longjmp(coroutines[next].at, 1);
}

static void state_text(int i, char *out, size_t bytes) {
  static const char *const names[] = {"", "ready", "parked", "waits for a lock", "joins", "ended"};
  const ex_thread *t = &ex.threads[i];
  const char *file = t->at && strrchr(t->at->file, '/') ? strrchr(t->at->file, '/') + 1 : "";
  snprintf(out, bytes, "; thread %d %s%s (%s:%d)", i, names[t->state],
           t->state == EX_READY && t->yielded ? ", spins" : "", file, t->at ? t->at->line : 0);
}

static void fail_with_states(const char *what) {
  char text[400] = "";
  for (int i = 0; i < EX_THREADS; i++) {
    if (ex.threads[i].state == EX_NONE || ex.threads[i].state == EX_ENDED) continue;
    size_t n = strlen(text);
    state_text(i, text + n, sizeof text - n);
  }
  ex_fail("%s%s", what, text);
}

static int ready_others(int *out, bool yielded_too) {
  int n = 0;
  for (int i = 0; i < EX_THREADS; i++)
    if (i != ex.running && ex.threads[i].state == EX_READY &&
        (yielded_too || !ex.threads[i].yielded))
      out[n++] = i;
  return n;
}

/* Nobody can go on but by a time-out: the earliest fires. False when there is none. */
static bool fire_timeout(void) {
  int first = -1;
  for (int i = 0; i < EX_THREADS; i++) {
    const ex_thread *t = &ex.threads[i];
    if (t->state == EX_PARKED && t->deadline >= 0 &&
        (first < 0 || t->deadline < ex.threads[first].deadline))
      first = i;
  }
  if (first < 0) return false;
  ex_thread *t = &ex.threads[first];
  if (ex.scenario->all_woken && *(const volatile uint32_t *)t->on != t->expected)
    fail_with_states("a wake-up was missed, only a time-out helps");
  if (t->deadline > ex.now) ex.now = t->deadline;
  t->state = EX_READY;
  t->timed_out = true;
  return true;
}

/* Rarely a parked thread wakes early: it times out when it may, else for nothing. */
static void early_wake(void) {
  int parked[EX_THREADS], n = 0;
  for (int i = 0; i < EX_THREADS; i++)
    if (ex.threads[i].state == EX_PARKED && i != ex.running) parked[n++] = i;
  if (n == 0) return;
  int c = ex_choose_rare(n + 1);
  if (c == 0) return;
  ex_thread *t = &ex.threads[parked[c - 1]];
  t->state = EX_READY;
  t->timed_out = t->deadline >= 0;
  if (t->timed_out && t->deadline > ex.now) ex.now = t->deadline;
}

/* The running thread cannot go on, or wants others to go first. */
static void run_another(void) {
  int ids[EX_THREADS];
  early_wake();
  int n = ready_others(ids, false);
  if (n == 0) { /* all who could go on spin: they get another round */
    n = ready_others(ids, true);
    bool self = ex.threads[ex.running].state == EX_READY;
    if (n + self > 0 && ++idle_rounds > IDLE_MOST) fail_with_states("livelock: all spin");
    if (n + self > 0 && idle_rounds % IDLE_TIMEOUT == 0) fire_timeout();
    for (int i = 0; i < EX_THREADS; i++) ex.threads[i].yielded = false;
    if (n == 0 && self) return;
  }
  while (n == 0) {
    if (!fire_timeout()) fail_with_states("deadlock");
    if (ex.threads[ex.running].state == EX_READY) return;
    n = ready_others(ids, false);
  }
  switch_to(ids[ex_choose_thread(ids, n, false, true)]);
}

static bool at_stop(const ex_thread *t);

void ex_point(const ex_place *at, const volatile void *p) {
  ex_thread *t = &ex.threads[ex.running];
  t->at = at;
  if (ex.live == 1 && ++steps_alone < STEPS_MOST) return;
  if (++ex.steps > STEPS_MOST) fail_with_states("livelock: no end in sight");
  if (ex.stop == ex.running && at_stop(t)) {
    switch_to(0); /* who waits for this is always the body's own thread */
    return;
  }
  if (++steps_alone > FAIR_STEPS) {
    steps_alone = 0;
    ex_yield(at);
    return;
  }
  int ids[EX_THREADS];
  ids[0] = ex.running;
  int n = 1 + ready_others(ids + 1, false);
  if (n > 1) switch_to(ids[ex_choose_thread(ids, n, true, ex_shared(p))]);
}

void ex_changed(void) {
  idle_rounds = 0;
  for (int i = 0; i < EX_THREADS; i++)
    if (i != ex.running) ex.threads[i].yielded = false;
}

/* --- the operations that wait --- */

void ex_yield(const ex_place *at) {
  ex.threads[ex.running].at = at;
  if (++ex.steps > STEPS_MOST) fail_with_states("livelock: no end in sight");
  ex.threads[ex.running].yielded = true;
  run_another();
  ex.threads[ex.running].yielded = false;
}

static void block(int state, const volatile void *on) {
  ex_thread *t = &ex.threads[ex.running];
  t->state = state;
  t->on = on;
  run_another();
}

bool ex_park(const ex_place *at, const volatile void *word, uint32_t expected, int64_t timeout_ns) {
  ex_point(at, word);
  /* The kernel compares under its own lock and behind a full barrier: the newest value counts. */
  uint32_t now = *(const volatile uint32_t *)word;
  if (now != expected) {
    ex_trace(at, ": not asleep, it is %u", now);
    return true;
  }
  ex_trace(at, ": sleeps");
  ex_thread *t = &ex.threads[ex.running];
  t->deadline = timeout_ns < 0 ? -1 : ex.now + timeout_ns;
  t->expected = expected;
  t->timed_out = false;
  block(EX_PARKED, word);
  ex_trace(at, t->timed_out ? ": time is over" : ": awake");
  return !t->timed_out;
}

void ex_unpark(const ex_place *at, const volatile void *word, int count) {
  ex_point(at, word);
  ex_trace(at, " %s", count == 1 ? "one" : "all");
  /* In the order of the threads' numbers; which of several sleepers wakes first is a choice. */
  for (; count > 0; count--) {
    int asleep[EX_THREADS], n = 0;
    for (int i = 0; i < EX_THREADS; i++)
      if (ex.threads[i].state == EX_PARKED && ex.threads[i].on == word) asleep[n++] = i;
    if (n == 0) break;
    int which = n > count ? ex_choose_thread(asleep, n, false, true) : 0;
    ex.threads[asleep[which]].state = EX_READY;
  }
  ex_changed();
}

static const volatile uint32_t *held_word(const volatile void *held) { return held; }

void ex_lock(const ex_place *at, volatile void *held) {
  ex_point(at, held);
  while (*held_word(held) != 0) {
    ex_trace(at, ": waits");
    block(EX_LOCKING, held);
  }
  ex_rmw_now(at, held, 4, EX_EXCHANGE, 1, EX_ACQUIRE);
}

bool ex_try_lock(const ex_place *at, volatile void *held) {
  ex_point(at, held);
  if (*held_word(held) != 0) return false;
  ex_rmw_now(at, held, 4, EX_EXCHANGE, 1, EX_ACQUIRE);
  return true;
}

void ex_unlock(const ex_place *at, volatile void *held) {
  if (*held_word(held) == 0) ex_fail("a lock is released that nobody holds");
  ex_store_now(at, held, 4, 0, EX_RELEASE);
  for (int i = 0; i < EX_THREADS; i++)
    if (ex.threads[i].state == EX_LOCKING && ex.threads[i].on == held)
      ex.threads[i].state = EX_READY;
}

void ex_quiet(bool on) { ex.quiet = on; }

void ex_settle(bool for_good) {
  static const ex_place at = {"settle", __FILE__, __LINE__};
  int ids[EX_THREADS];
  ex.quiet = true;
  while (ready_others(ids, true) > 0 || (for_good && fire_timeout())) ex_yield(&at);
  ex.quiet = false;
}

static bool at_stop(const ex_thread *t) {
  return t->at != NULL && strstr(t->at->file, ex.stop_file) != NULL &&
         strcmp(t->at->text, ex.stop_text) == 0;
}

void ex_run_until(int thread, const char *file, const char *text) {
  static const ex_place at = {"run until", __FILE__, __LINE__};
  ex.stop = thread;
  ex.stop_file = file;
  ex.stop_text = text;
  ex.quiet = true;
  while (!at_stop(&ex.threads[thread])) ex_yield(&at);
  ex.quiet = false;
  ex.stop = -1;
}

/* --- life of threads --- */

int ex_spawn(void (*fn)(void *), void *arg) {
  for (int i = 0; i < EX_THREADS; i++) {
    ex_thread *t = &ex.threads[i];
    if (t->state != EX_NONE) continue;
    t->state = EX_READY;
    ex_thread *self = &ex.threads[ex.running];
    ex_join_clock(&t->happened, &self->happened);
    ex_join_clock(&t->seen, &self->seen);
    t->happened.at[i] = t->seen.at[i] = 1;
    self->happened.at[ex.running]++;
    self->seen.at[ex.running]++;
    coroutines[i].fn = fn;
    coroutines[i].arg = arg;
    if (ex_areas.tls != ex_areas.tls_end)
      memcpy(coroutines[i].tls, tls_first, (size_t)(ex_areas.tls_end - ex_areas.tls));
    ex.live++;
    return i;
  }
  ex_fail("more than %d threads", EX_THREADS);
}

void ex_join(int thread) {
  static const ex_place at = {"join", __FILE__, __LINE__};
  ex_thread *self = &ex.threads[ex.running];
  self->at = &at;
  self->joins = thread;
  while (ex.threads[thread].state != EX_ENDED) block(EX_JOINING, NULL);
  ex_join_clock(&self->happened, &ex.threads[thread].happened);
  ex_join_clock(&self->seen, &ex.threads[thread].seen);
}

static void end_thread(void) {
  int me = ex.running;
  ex.threads[me].state = EX_ENDED;
  ex.live--;
  ex_changed();
  for (int i = 0; i < EX_THREADS; i++)
    if (ex.threads[i].state == EX_JOINING && ex.threads[i].joins == me)
      ex.threads[i].state = EX_READY;
  if (ex.live > 0) {
    run_another();
  } else if (_setjmp(coroutines[me].at) == 0) {
    _longjmp(host, 1);
  }
}

static void coroutine_main(unsigned i) {
  coroutine *c = &coroutines[i];
  if (_setjmp(c->at) == 0) {
    c->made = true;
    swapcontext(&c->first, &host_first); /* later it is entered by _longjmp() */
  }
  for (;;) {
    c->fn(c->arg);
    end_thread(); /* comes back in another schedule, with another fn */
  }
}

static void make(int i) {
  coroutine *c = &coroutines[i];
  if (c->made) return;
  getcontext(&c->first);
  c->first.uc_stack.ss_sp = c->stack = stacks + (size_t)i * STACK_BYTES;
  c->first.uc_stack.ss_size = STACK_BYTES;
  makecontext(&c->first, (void (*)(void))coroutine_main, 1, (unsigned)i);
  swapcontext(&host_first, &c->first);
}

static void on_fault(int signal) {
  ex_fail(signal == SIGALRM ? "no end: a loop without atomic operations" : "crash: signal %d",
          signal);
}

static void open_once(void) {
  if (stacks != NULL) return;
  stacks = mmap(NULL, (EX_THREADS + 1) * STACK_BYTES, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (stacks == MAP_FAILED) abort();
  size_t tls = (size_t)(ex_areas.tls_end - ex_areas.tls);
  size_t data = (size_t)(ex_areas.data_end - ex_areas.data);
  tls_first = malloc(tls + 1);
  data_first = malloc(data + 1);
  memcpy(tls_first, ex_areas.tls, tls);
  memcpy(data_first, ex_areas.data, data);
  for (int i = 0; i < EX_THREADS; i++) coroutines[i].tls = malloc(tls + 1);
  stack_t other = {.ss_sp = stacks + EX_THREADS * STACK_BYTES, .ss_size = STACK_BYTES};
  sigaltstack(&other, NULL);
  struct sigaction action = {.sa_handler = on_fault, .sa_flags = SA_ONSTACK | SA_NODEFER};
  static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGALRM};
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
    sigaction(signals[i], &action, NULL);
}

static void numbered(void *number) { ex.scenario->thread((int)(intptr_t)number); }

static void body(void *arg) {
  const ex_scenario *s = ex.scenario;
  if (s->setup != NULL) s->setup();
  if (s->body != NULL) s->body();
  int started[EX_THREADS];
  for (int i = 1; i <= s->threads; i++) started[i] = ex_spawn(numbered, (void *)(intptr_t)i);
  for (int i = 1; i <= s->threads; i++) ex_join(started[i]);
  if (s->check != NULL) s->check();
}

bool ex_run_once(void) {
  open_once();
  memcpy(ex_areas.data, data_first, (size_t)(ex_areas.data_end - ex_areas.data));
  memset(ex.threads, 0, sizeof ex.threads);
  ex.running = ex.live = 0;
  ex.steps = 0;
  ex.now = 0;
  ex.failed = ex.quiet = false;
  ex.stop = -1;
  idle_rounds = 0;
  steps_alone = 0;
  ex_memory_reset();
  ex_plain_reset();
  for (int i = 0; i < EX_THREADS; i++) make(i);
  ex_spawn(body, NULL);
  memcpy(ex_areas.tls, tls_first, (size_t)(ex_areas.tls_end - ex_areas.tls));
  if (_setjmp(host) == 0) _longjmp(coroutines[0].at, 1);
  return !ex.failed;
}
