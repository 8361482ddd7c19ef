/* Owns tickets: numbers that are never used twice, one per submission. Each thread knows that of its innermost one. */
#include "ops/ticket.h"

#include "engine/base/atomic.h"

static _Thread_local uint64_t submitting TH__HOT;

static uint64_t new_ticket(void) {
  enum { PER_THREAD = 40 }; /* bits */
  static _Atomic uint64_t threads;
  static _Thread_local uint64_t last TH__HOT;
  if (last << (64 - PER_THREAD) == 0)
    last = (th__fetch_add(&threads, 1, TH__RELAXED) + 1) << PER_THREAD;
  return ++last;
}

th_status th__ticket_push(const th_task *task, uint64_t *ticket, bool *ended) {
  uint64_t outer = submitting, mine = new_ticket();
  submitting = *ticket = mine;
  th_status status = th_push(task);
  *ended = submitting != mine;
  submitting = outer;
  return status;
}

bool th__ticket_return(uint64_t ticket) {
  if (submitting != ticket) return false;
  submitting = 0;
  return true;
}
