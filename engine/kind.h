/* Owns kinds of tasks: body, drop and name, which most tasks share with thousands of others. A record holds the kind's number
 * instead of three pointers. Kinds are compared by their pointers and stay for the life of the process. */
#ifndef THRUM_ENGINE_KIND_H
#define THRUM_ENGINE_KIND_H

#include "engine/base/atomic.h"
#include "thrum/engine.h"

#define TH__KINDS       4096 /* more are kept per task */
#define TH__KINDS_KNOWN 32   /* of a thread */

typedef struct th__kind {
  th_task_fn run;
  void (*drop)(void *arg);
  const char *name;
  bool name_lasts; /* TH__TASK_NAME_LASTS; not compared */
} th__kind;

#define TH__KIND_BESIDE 0 /* kept beside the record */
#define TH__KIND_JOIN   1
extern th__kind th__kinds[TH__KINDS];

/* What a thread knows by heart. */
typedef struct th__known_kind {
  th__kind kind;
  uint32_t number; /* 0 = empty */
} th__known_kind;

/* The number of t's kind, or 0 when the table is full. */
uint32_t th__kind_find(const th_task *t, th__known_kind *known);
void th__kinds_after_fork(void);

static inline uint32_t th__kind_number(const th_task *t, const char *name, th__known_kind *table) {
  uintptr_t bits = (uintptr_t)t->run ^ (uintptr_t)name;
  th__known_kind *known = &table[(bits >> 4 ^ bits >> 9) % TH__KINDS_KNOWN];
  uintptr_t differ = (uintptr_t)known->kind.run ^ (uintptr_t)t->run;
  differ |= (uintptr_t)known->kind.name ^ (uintptr_t)name;
  differ |= (uintptr_t)known->kind.drop ^ (uintptr_t)t->drop;
  return __builtin_expect(differ == 0, 1) ? known->number : th__kind_find(t, known);
}

#endif
