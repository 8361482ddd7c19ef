/* Owns the engine's per-thread records: made on a thread's first call, reused after it ended, freed at shutdown. */
#include <pthread.h>

#include "engine/parts.h"

_Thread_local th__thread *th__self_record;
_Thread_local uint32_t th__self_epoch;

static pthread_key_t key;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static bool key_made;

/* A thread ends: its slots go back and its record becomes free. The counters stay: they are part of the sums. */
static void at_thread_end(void *arg) {
  th__thread *t = arg;
  if (t != th__self_record || th__self_epoch != th__the.epoch) return;
  uint32_t phase = th__load(&th__the.phase, TH__ACQUIRE);
  if (phase != TH__PHASE_ON) return;
  th__slots_flush(t);
  th__self_record = NULL;
  th__store(&t->in_use, 0, TH__RELEASE); /* pairs with the CAS of the next owner */
}

static void make_key(void) { key_made = pthread_key_create(&key, at_thread_end) == 0; }

static th__thread *reuse(void) {
  for (th__thread *t = th__load(&th__the.threads, TH__ACQUIRE); t != NULL; t = t->next) {
    uint32_t expected = 0;
    if (th__load(&t->in_use, TH__RELAXED) == 0 && th__cas(&t->in_use, &expected, 1, TH__ACQ_REL)) {
      return t;
    }
  }
  return NULL;
}

static th__thread *make(void) {
  th__thread *t = th__zalloc(sizeof *t);
  if (t == NULL) return NULL;
  th__store(&t->in_use, 1, TH__RELAXED);
  th__thread *first = th__load(&th__the.threads, TH__RELAXED);
  do {
    t->next = first;
  } while (!th__cas_weak(&th__the.threads, &first, t, TH__ACQ_REL));
  return t;
}

th__thread *th__self_slow(void) {
  pthread_once(&key_once, make_key);
  th__thread *t = reuse();
  if (t == NULL) t = make();
  if (t == NULL) return NULL;
  t->pool = NULL;
  t->worker = -1;
  t->engine_thread = false;
  t->credit = 0;
  t->frame = NULL;
  t->random = (uint64_t)(uintptr_t)t | 1;
  th__self_record = t;
  th__self_epoch = th__the.epoch;
  if (key_made) pthread_setspecific(key, t);
  return t;
}

void th__threads_free(void) {
  th__thread *t = th__load(&th__the.threads, TH__ACQUIRE);
  th__store(&th__the.threads, NULL, TH__RELAXED);
  while (t != NULL) {
    th__thread *next = t->next;
    th__queue_free(&t->own);
    th__free(t);
    t = next;
  }
}

int64_t th__in_flight(void) {
  /* Completions first: a completion that is seen implies its submission is. */
  uint64_t completed = 0, submitted = 0;
  th__thread *first = th__load(&th__the.threads, TH__ACQUIRE);
  for (th__thread *t = first; t != NULL; t = t->next)
    completed += th__load(&t->completed, TH__ACQUIRE);
  first = th__load(&th__the.threads, TH__ACQUIRE);
  for (th__thread *t = first; t != NULL; t = t->next)
    submitted += th__load(&t->submitted, TH__ACQUIRE);
  return (int64_t)(submitted - completed);
}

uint64_t th__random(th__thread *self) { /* xorshift64* (Vigna 2016) */
  uint64_t x = self->random;
  x ^= x >> 12;
  x ^= x << 25;
  x ^= x >> 27;
  self->random = x;
  return x * UINT64_C(2685821657736338717);
}
