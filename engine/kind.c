/* Owns the table of kinds: open addressing over th__kinds by a table of numbers. `lock` guards both; a kind is complete before
 * its number leaves, and never changes. */
#include "engine/kind.h"

#include "engine/engine.h"

#define TABLE (2 * TH__KINDS) /* a power of two, never full */

th__kind th__kinds[TH__KINDS] = {[TH__KIND_JOIN] = {NULL, NULL, "join", true}};

static th__spin lock;
static uint16_t numbers[TABLE]; /* 0 = empty */
static uint32_t n_kinds = TH__KIND_JOIN + 1;

static uint32_t find_locked(const th__kind *kind) {
  uintptr_t bits = (uintptr_t)kind->run ^ (uintptr_t)kind->name << 1 ^ (uintptr_t)kind->drop << 2;
  uint32_t at = (uint32_t)((uint64_t)bits * UINT64_C(0x9e3779b97f4a7c15) >> 40) % TABLE;
  for (; numbers[at] != 0; at = (at + 1) % TABLE) {
    const th__kind *k = &th__kinds[numbers[at]];
    if (k->run == kind->run && k->drop == kind->drop && k->name == kind->name) return numbers[at];
  }
  if (n_kinds == TH__KINDS) return 0;
  th__kinds[n_kinds] = *kind;
  numbers[at] = (uint16_t)n_kinds;
  return n_kinds++;
}

uint32_t th__kind_find(const th_task *t, th__known_kind *known) {
  th__kind kind = {t->run, t->drop, t->name ? t->name : "task",
                   t->name != NULL && (t->flags & TH__TASK_NAME_LASTS)};
  th__spin_lock(&lock);
  uint32_t number = find_locked(&kind);
  th__spin_unlock(&lock);
  if (number != 0) *known = (th__known_kind){kind, number};
  return number;
}

void th__kinds_after_fork(void) { lock = (th__spin){0}; }
