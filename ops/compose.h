/* For public functions that are made of other public functions: what they make on the way goes, the result stays. */
#ifndef THRUM_OPS_COMPOSE_H
#define THRUM_OPS_COMPOSE_H

#include "ops/op.h"

/* Ends the scope that the function began and gives the result, which it made inside, to the scope around it, if any. */
static inline th_array *th__composed(th_scope scope, th_array *result) {
  if (result) result = th_keep(result);
  th_scope_end(scope);
  return result ? th__scope_resume(th__scope_suspend(), result) : NULL;
}

#endif
