/* Owns the engine's per-thread records: made on a thread's first call, reused after it ended, freed at shutdown. */
#include <pthread.h>

#include "engine/parts.h"

_Thread_local th__thread *th__self_record;
_Thread_local uint32_t th__self_epoch;
_Atomic(th__thread *) th__thread_numbers[TH__MAX_THREADS];
static _Atomic uint32_t n_numbers;

static pthread_key_t key;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static bool key_made;
static _Atomic uint32_t ending; /* threads in at_thread_end() */

/* A thread ends: its slots go back and its record becomes free. The counters stay: they are part of the sums. */
static void give_record(th__thread *t) {
  if (th__load(&th__the.phase, TH__SEQ_CST) != TH__PHASE_ON) return;
  if (t != th__self_record || th__self_epoch != th__the.epoch) return; /* of an earlier engine */
  th__slots_flush(t);
  th__self_record = NULL;
  th__store(&t->in_use, 0, TH__RELEASE); /* pairs with the CAS of the next owner */
}

/* Nothing orders it with a shutdown by another thread. Seq_cst: it sees that the engine is off, or th__threads_settle() sees it. */
static void at_thread_end(void *arg) {
  th__fetch_add(&ending, 1, TH__SEQ_CST);
  give_record(arg);
  th__fetch_sub(&ending, 1, TH__RELEASE);
}

void th__threads_settle(void) {
  while (th__load(&ending, TH__SEQ_CST) != 0) th__yield();
}

static void make_key(void) { key_made = pthread_key_create(&key, at_thread_end) == 0; }

/* There is a second thread: the first is the only one no more, and not inside a section from here on. */
static void end_sole(void) {
  th__store(&th__the.sole, NULL, TH__SEQ_CST);
  th__thread *first = th__load(&th__the.threads, TH__ACQUIRE);
  while (first->next != NULL) first = first->next;
  th__fence_heavy(); /* it sees that, or we see it inside */
  while (th__load(&first->inside, TH__ACQUIRE) != 0) th__yield();
}

static th__thread *reuse(void) {
  for (th__thread *t = th__load(&th__the.threads, TH__ACQUIRE); t != NULL; t = t->next) {
    uint32_t expected = 0;
    if (th__load(&t->in_use, TH__RELAXED) == 0 && th__cas(&t->in_use, &expected, 1, TH__ACQ_REL)) {
      return t;
    }
  }
  return NULL;
}

static th__thread *make(bool worker) {
  th__thread *t = th__zalloc(sizeof *t);
  if (t == NULL) return NULL;
  th__store(&t->in_use, 1, TH__RELAXED);
  th__deque_init(&t->deque);
  t->deque_is_worker = worker;
  uint32_t number = th__fetch_add(&n_numbers, 1, TH__RELAXED) + 1;
  if (number < TH__MAX_THREADS) {
    t->number = (uint16_t)number;
    th__store(&th__thread_numbers[number], t, TH__RELEASE);
  }
  th__thread *others = th__load(&th__the.threads, TH__RELAXED), *none = NULL;
  if (others == NULL)
    th__cas(&th__the.sole, &none, t, TH__ACQ_REL); /* who turns out second ends it */
  do {
    t->next = others;
  } while (!th__cas_weak(&th__the.threads, &others, t, TH__ACQ_REL));
  if (others != NULL) end_sole();
  return t;
}

/* A worker's record is its own: the deque of a record that was another thread's may hold that one's tasks. */
static th__thread *begin(bool worker) {
  pthread_once(&key_once, make_key);
  th__thread *t = worker ? NULL : reuse();
  if (t == NULL) t = make(worker);
  if (t == NULL) return NULL;
  t->error = th__error_slot();
  t->pool = NULL;
  t->worker = -1;
  t->engine_thread = false;
  t->credit = 0;
  t->frame = NULL;
  t->group = NULL;
  t->next_sequence = t->sequence_end = 0;
  t->random = (uint64_t)(uintptr_t)t | 1;
  th__self_record = t;
  th__self_epoch = th__the.epoch;
  if (key_made) pthread_setspecific(key, t);
  return t;
}

th__thread *th__self_slow(void) { return begin(false); }
th__thread *th__self_worker(void) { return begin(true); }

void th__threads_free(void) {
  th__thread *t = th__load(&th__the.threads, TH__ACQUIRE);
  while (t != NULL) {
    th__thread *next = t->next;
    th__deque_free(&t->deque);
    th__free(t);
    t = next;
  }
  th__threads_forget();
}

void th__threads_forget(void) {
  th__store(&th__the.threads, NULL, TH__RELAXED);
  th__store(&th__the.sole, NULL, TH__RELAXED);
  for (int i = 0; i < TH__MAX_THREADS; i++) th__store(&th__thread_numbers[i], NULL, TH__RELAXED);
  th__store(&n_numbers, 0, TH__RELAXED);
}

void th__threads_after_fork(void) { th__store(&ending, 0, TH__RELAXED); }

th__totals th__totals_now(void) {
  th__totals sum = {0};
  /* Completions first: a completion that is seen implies its submission is. */
  th__thread *first = th__load(&th__the.threads, TH__ACQUIRE);
  for (th__thread *t = first; t != NULL; t = t->next)
    sum.completed += th__load(&t->completed, TH__ACQUIRE);
  first = th__load(&th__the.threads, TH__ACQUIRE);
  for (th__thread *t = first; t != NULL; t = t->next)
    sum.submitted += th__load(&t->submitted, TH__ACQUIRE);
  return sum;
}

int64_t th__in_flight(void) {
  th__totals now = th__totals_now();
  return (int64_t)(now.submitted - now.completed);
}

uint64_t th__random(th__thread *self) { /* xorshift64* (Vigna 2016) */
  uint64_t x = self->random;
  x ^= x >> 12;
  x ^= x << 25;
  x ^= x >> 27;
  self->random = x;
  return x * UINT64_C(2685821657736338717);
}
