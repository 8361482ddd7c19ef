/* Owns every atomic operation, spinning and parking of the library: nothing else touches <stdatomic.h>, so a schedule
 * explorer can stand behind these names. No stand-alone fences but the asymmetric pair below: ThreadSanitizer cannot follow
 * them. */
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

/* For small thread-local variables on hot paths: read without a call, at a fixed place. Room for those is short when the
 * library is loaded at run time, so not for large ones. */
#define TH__HOT __attribute__((tls_model("initial-exec")))

/* Tells the core that this is a spin loop. */
static inline void th__pause(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

/* Asks for the cache line of p, to be written. (Compilers use prefetchw only where the target is known to have it; every
 * x86-64 processor at least ignores it.) */
static inline void th__prefetch(const void *p) {
#if defined(__x86_64__)
  __asm__ volatile("prefetchw %0" : : "m"(*(const char *)p));
#else
  __builtin_prefetch(p, 1);
#endif
}

/* An asymmetric fence: "store, light fence, load" on the hot side and "store, heavy fence, load" on the rare side are ordered as
 * if both were full fences. The light one only stops the compiler where the system can make all running threads pass a
 * barrier (Linux membarrier); elsewhere it is a full fence itself. Orders no data for ThreadSanitizer: for sleepers only. */
extern _Atomic uint32_t th__membarrier; /* 1 = the system does it */
void th__fence_prepare(
    void); /* once per process, before the first light fence; again after a fork */
void th__fence_heavy(void);
void th__fence_full(void);
static inline void th__fence_light(void) {
  if (__builtin_expect(th__load(&th__membarrier, TH__RELAXED) != 0, 1)) {
    atomic_signal_fence(memory_order_seq_cst);
  } else {
    th__fence_full();
  }
}

/* Sleeps while *word == expected, at most timeout_ns (< 0: no limit). May return early; false only on time-out. */
bool th__park(_Atomic uint32_t *word, uint32_t expected, int64_t timeout_ns);
/* Wakes up to count threads parked on word. Change *word first. */
void th__unpark(_Atomic uint32_t *word, int count);
/* Gives the core to another thread. */
void th__yield(void);

/* A lock for a few dozen instructions. Spins, then yields: its holder may be preempted. Not recursive. A lock that another
 * thread held when the process was forked is free in the child, because `held` names the process it was taken in. Acquire on
 * lock pairs with release on unlock. */
typedef struct th__spin {
  _Atomic uint32_t held; /* 0, or th__spin_process of the holder */
} th__spin;

/* This process among its forks, from 1. Relaxed: it changes while the process has one thread. */
extern _Atomic uint32_t th__spin_process;
/* From now on forks are counted. Calling again is fine. */
void th__spin_watch_forks(void);

void th__spin_lock_slow(th__spin *s);

static inline bool th__spin_try(th__spin *s) {
  uint32_t here = th__load(&th__spin_process, TH__RELAXED);
  return th__load(&s->held, TH__RELAXED) != here &&
         th__exchange(&s->held, here, TH__ACQUIRE) != here;
}

static inline void th__spin_lock(th__spin *s) {
  uint32_t here = th__load(&th__spin_process, TH__RELAXED);
  if (th__exchange(&s->held, here, TH__ACQUIRE) == here) th__spin_lock_slow(s);
}

static inline void th__spin_unlock(th__spin *s) { th__store(&s->held, 0, TH__RELEASE); }

#endif
