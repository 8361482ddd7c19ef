/* Owns what the stages of a submission hand on. Private to submission and prepared tasks. */
#ifndef THRUM_ENGINE_SUBMIT_H
#define THRUM_ENGINE_SUBMIT_H

#include "engine/parts.h"

/* A submission on its way. The check fills device, kind and the set; taking a record places a longer set beside it. */
typedef struct th__entry {
  th__task *r;
  th__pool_device *device;
  uint32_t kind;
  int n; /* variables in set; -1 = too many for `few`, not gathered yet */
  int class_;
  uint8_t kind_flags;
  th__access *set;         /* few, or what lies beside the record */
  const th__access *ready; /* of a prepared task with many variables: its set, sorted */
  th__access few[TH__INLINE_VARS];
} th__entry;

/* The check alone. */
th_status th__entry_check(th__thread *self, const th_task *t, th__entry *e);
/* All that comes after it: the limit, the record, the variables. */
th_status th__entry_push(th__thread *self, const th_task *t, th__entry *e);

#endif
