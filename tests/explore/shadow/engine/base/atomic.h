/* Stands before engine/base/atomic.h on the include path of explored sources: the same names, but every operation is a call
 * that the explorer answers. Sources are compiled as they are. The spin lock is a lock that the explorer knows, so a holder
 * is waited for, not spun on. */
#ifndef THRUM_ENGINE_BASE_ATOMIC_H
#define THRUM_ENGINE_BASE_ATOMIC_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/explore/operations.h"

#define TH__RELAXED EX_RELAXED
#define TH__ACQUIRE EX_ACQUIRE
#define TH__RELEASE EX_RELEASE
#define TH__ACQ_REL EX_ACQ_REL
#define TH__SEQ_CST EX_SEQ_CST

#define EX_HERE(text)                                                                              \
  ({                                                                                               \
    static const ex_place here = {text, __FILE__, __LINE__};                                       \
    &here;                                                                                         \
  })
/* The type behind p without _Atomic and const. */
#define EX_TYPE(p) __typeof__((void)0, *(p))
/* Any atomic type as a word of 64 bits, and back. */
#define EX_WORD(type, v)                                                                           \
  ({                                                                                               \
    type value_ = (v);                                                                             \
    uint64_t word_ = 0;                                                                            \
    __builtin_memcpy(&word_, &value_, sizeof value_);                                              \
    word_;                                                                                         \
  })
#define EX_VALUE(type, word)                                                                       \
  ({                                                                                               \
    uint64_t word_ = (word);                                                                       \
    type value_;                                                                                   \
    __builtin_memcpy(&value_, &word_, sizeof value_);                                              \
    value_;                                                                                        \
  })
#define EX_RMW(kind, p, v, order)                                                                  \
  EX_VALUE(EX_TYPE(p), ex_rmw(EX_HERE(#p), p, sizeof *(p), kind, EX_WORD(EX_TYPE(p), v), order))
#define EX_CAS(p, expected, v, order, weak)                                                        \
  ({                                                                                               \
    EX_TYPE(p) *expected_ = (expected);                                                            \
    uint64_t seen_ = EX_WORD(EX_TYPE(p), *expected_);                                              \
    bool done_ = ex_cas(EX_HERE(#p), p, sizeof *(p), &seen_, EX_WORD(EX_TYPE(p), v), order, weak); \
    if (!done_) *expected_ = EX_VALUE(EX_TYPE(p), seen_);                                          \
    done_;                                                                                         \
  })

#define th__load(p, order)                  EX_VALUE(EX_TYPE(p), ex_load(EX_HERE(#p), p, sizeof *(p), order))
#define th__store(p, v, order)              ex_store(EX_HERE(#p), p, sizeof *(p), EX_WORD(EX_TYPE(p), v), order)
#define th__exchange(p, v, order)           EX_RMW(EX_EXCHANGE, p, v, order)
#define th__fetch_add(p, v, order)          EX_RMW(EX_ADD, p, v, order)
#define th__fetch_sub(p, v, order)          EX_RMW(EX_SUB, p, v, order)
#define th__fetch_or(p, v, order)           EX_RMW(EX_OR, p, v, order)
#define th__fetch_and(p, v, order)          EX_RMW(EX_AND, p, v, order)
#define th__cas(p, expected, v, order)      EX_CAS(p, expected, v, order, false)
#define th__cas_weak(p, expected, v, order) EX_CAS(p, expected, v, order, true)

#define th__park(word, expected, ns) ex_park(EX_HERE("park " #word), word, expected, ns)
#define th__unpark(word, count)      ex_unpark(EX_HERE("unpark " #word), word, count)
#define th__pause()                  ex_yield(EX_HERE("pause"))
#define th__yield()                  ex_yield(EX_HERE("yield"))

/* The asymmetric fence: the light side is only for the compiler, the heavy one makes every thread pass a fence. */
static inline void th__prefetch(const void *p) { (void)p; }
static inline void th__fence_prepare(void) {}
static inline void th__fence_light(void) {}
#define th__fence_heavy() ex_fence_everywhere(EX_HERE("heavy fence"))
#define th__fence_full()  ex_fence(EX_HERE("fence"))

#define th__prefetch(p) ((void)(p))

typedef struct th__spin {
  _Atomic uint32_t held;
} th__spin;

static inline void th__spin_watch_forks(void) {} /* nobody forks here */
#define th__spin_lock(s)   ex_lock(EX_HERE("lock " #s), &(s)->held)
#define th__spin_try(s)    ex_try_lock(EX_HERE("try " #s), &(s)->held)
#define th__spin_unlock(s) ex_unlock(EX_HERE("unlock " #s), &(s)->held)

#endif
