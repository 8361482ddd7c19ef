/* Owns every atomic operation, spinning and parking of the library: nothing else touches <stdatomic.h>, so a schedule
 * explorer can stand behind these names. No stand-alone fences: ThreadSanitizer cannot follow them. */
#ifndef THRUM_ENGINE_BASE_ATOMIC_H
#define THRUM_ENGINE_BASE_ATOMIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define TH__RELAXED memory_order_relaxed
#define TH__ACQUIRE memory_order_acquire
#define TH__RELEASE memory_order_release
#define TH__ACQ_REL memory_order_acq_rel
#define TH__SEQ_CST memory_order_seq_cst

#define th__load(p, order)         atomic_load_explicit(p, order)
#define th__store(p, v, order)     atomic_store_explicit(p, v, order)
#define th__exchange(p, v, order)  atomic_exchange_explicit(p, v, order)
#define th__fetch_add(p, v, order) atomic_fetch_add_explicit(p, v, order)
#define th__fetch_sub(p, v, order) atomic_fetch_sub_explicit(p, v, order)
#define th__fetch_or(p, v, order)  atomic_fetch_or_explicit(p, v, order)
#define th__fetch_and(p, v, order) atomic_fetch_and_explicit(p, v, order)
/* On failure *expected gets the value seen, with acquire order. */
#define th__cas(p, expected, v, order)                                                             \
  atomic_compare_exchange_strong_explicit(p, expected, v, order, memory_order_acquire)
#define th__cas_weak(p, expected, v, order)                                                        \
  atomic_compare_exchange_weak_explicit(p, expected, v, order, memory_order_acquire)

/* Tells the core that this is a spin loop. */
static inline void th__pause(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

/* Sleeps while *word == expected, at most timeout_ns (< 0: no limit). May return early; false only on time-out. */
bool th__park(_Atomic uint32_t *word, uint32_t expected, int64_t timeout_ns);
/* Wakes up to count threads parked on word. Change *word first. */
void th__unpark(_Atomic uint32_t *word, int count);
/* Gives the core to another thread. */
void th__yield(void);

/* A lock for a few dozen instructions. Spins, then yields: its holder may be preempted. Not recursive. */
typedef struct th__spin {
  _Atomic uint32_t held; /* acquire on lock pairs with release on unlock */
} th__spin;

void th__spin_lock_slow(th__spin *s);

static inline bool th__spin_try(th__spin *s) {
  return th__load(&s->held, TH__RELAXED) == 0 && th__exchange(&s->held, 1, TH__ACQUIRE) == 0;
}

static inline void th__spin_lock(th__spin *s) {
  if (th__exchange(&s->held, 1, TH__ACQUIRE) != 0) th__spin_lock_slow(s);
}

static inline void th__spin_unlock(th__spin *s) { th__store(&s->held, 0, TH__RELEASE); }

#endif
