/* For public functions that are composed of others: what they make on the way goes with a scope of their own, and the result
 * to the one that was open. */
#ifndef THRUM_OPS_COMPOSE_H
#define THRUM_OPS_COMPOSE_H

#include "ndarray/array.h"

typedef struct th__composing {
  th_scope outer, own;
} th__composing;

static inline th__composing th__compose(void) {
  th_scope outer = th__scope_suspend();
  return (th__composing){outer, th_scope_begin()};
}

/* Ends it; result may be NULL. Returns result. */
static inline th_array *th__composed(th__composing c, th_array *result) {
  result = th_keep(result);
  th_scope_end(c.own);
  return th__scope_resume(c.outer, result);
}

#endif
