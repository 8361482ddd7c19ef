/* Owns the list of per-thread states of upper floors that are put aside while a nested body runs. Filled before threads exist
 * or idempotently; entries never go away. */
#include "engine/parts.h"

static struct {
  void *(*enter)(void);
  void (*leave)(void *saved);
} switches[TH__SWITCHES];
_Atomic uint32_t th__switches;
static th__spin lock;

th_status th__engine_on_switch(void *(*enter)(void), void (*leave)(void *saved)) {
  th__spin_lock(&lock);
  uint32_t n = th__load(&th__switches, TH__RELAXED);
  bool known = false;
  for (uint32_t i = 0; i < n; i++) known |= switches[i].enter == enter;
  bool full = !known && n == TH__SWITCHES;
  if (!known && !full) {
    switches[n].enter = enter;
    switches[n].leave = leave;
    th__store(&th__switches, n + 1, TH__RELEASE); /* pairs with the load below */
  }
  th__spin_unlock(&lock);
  return full ? th__fail(TH_EBUSY, "engine: too many per-thread states") : TH_OK;
}

uint32_t th__switch_enter_all(void **saved) {
  uint32_t n = th__load(&th__switches, TH__ACQUIRE); /* pairs with the registration's release */
  for (uint32_t i = 0; i < n; i++) saved[i] = switches[i].enter();
  return n;
}

void th__switch_leave_all(void **saved, uint32_t n) {
  for (uint32_t i = 0; i < n; i++) switches[i].leave(saved[i]);
}
