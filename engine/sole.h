/* Owns the privilege of the sole thread. A program without workers often has one thread that uses the engine; while no second one
 * has a record, nobody else changes tasks and variables, and each read-modify-write, about 20 cycles of waiting for earlier
 * stores, may be a load and a store. The thread says so for short sections that call nothing of the program's:
 *
 *   owner:          inside = 1; light fence; sole still me?   ...section...   inside = 0 (release)
 *   second thread:  sole = nobody; heavy fence; wait until inside == 0 (acquire)
 *
 * One of them sees the other (the asymmetric fence of base/atomic.h), so the second thread begins behind the last section. It
 * never ends before the engine stops. Threads without a record only read. */
#ifndef THRUM_ENGINE_SOLE_H
#define THRUM_ENGINE_SOLE_H

#include "engine/state.h"

/* Begins a section. True: until th__sole_leave() this thread is the only one. */
static inline bool th__sole_enter(th__thread *self) {
  if (__builtin_expect(th__load(&th__the.sole, TH__RELAXED) != self, 1)) return false;
  th__store(&self->inside, 1, TH__RELAXED);
  th__fence_light();
  if (__builtin_expect(th__load(&th__the.sole, TH__RELAXED) == self, 1)) return true;
  th__store(&self->inside, 0, TH__RELEASE);
  return false;
}

static inline void th__sole_leave(th__thread *self, bool sole) {
  if (sole) th__store(&self->inside, 0, TH__RELEASE); /* pairs with the second thread's acquire */
}

/* Read-modify-writes inside a section, or outside of any (sole = false). */
TH__INLINED uint64_t th__exchange_by(bool sole, _Atomic uint64_t *p, uint64_t v) {
  if (!sole) return th__exchange(p, v, TH__ACQ_REL);
  uint64_t before = th__load(p, TH__RELAXED);
  th__store(p, v, TH__RELEASE);
  return before;
}

TH__INLINED uint64_t th__fetch_sub_by(bool sole, _Atomic uint64_t *p, uint64_t v) {
  if (!sole) return th__fetch_sub(p, v, TH__ACQ_REL);
  uint64_t before = th__load(p, TH__RELAXED);
  th__store(p, before - v, TH__RELEASE);
  return before;
}

/* *expected is what was read before; in a section it still holds. */
TH__INLINED bool th__cas_by(bool sole, _Atomic uint64_t *p, uint64_t *expected, uint64_t v) {
  if (!sole) return th__cas_weak(p, expected, v, TH__ACQ_REL);
  th__store(p, v, TH__RELEASE);
  return true;
}

#endif
