/* Steps for optimizers: what th_sgd_step() and its like do, with settings as they are (0 is 0, not a default). */
#ifndef THRUM_OPS_NN_UPDATE_H
#define THRUM_OPS_NN_UPDATE_H

#include <math.h>
#include <stdint.h>

#include "ndarray/array.h"
#include "ops/params.h"
#include "ops/params_nn.h"

/* What only the device knows of a step: 0-d arrays of f32 there. */
typedef struct th__step_control {
  const th_array *factor;  /* times the gradients; 0: the step is left out, nothing changes */
  const th_array *skipped; /* how many steps were left out before: Adam does not count them */
} th__step_control;

/* lists: parameters, gradients, then as many states as the settings ask for; p->n arrays each. Adam: rate and root are
 * computed from p->step. control may be NULL; p->controls is set by these. */
th_status th__step_sgd(const th__sgd_params *p, th_array *const *const *lists,
                       const th__step_control *control);
th_status th__step_adam(const th__adam_params *p, th_array *const *const *lists,
                        const th__step_control *control);
th_status th__step_rmsprop(const th__rmsprop_params *p, th_array *const *const *lists,
                           const th__step_control *control);

/* How many parameters a call with so many lists can take. */
static inline int th__step_most(int lists, bool controlled) {
  return (INT16_MAX - (controlled ? 2 : 0)) / lists;
}

/* What Adam's corrections make of step t, from 1. */
static inline void th__adam_correct(th__adam_params *p, double t) {
  p->rate = p->lr / (1 - pow(p->beta1, t));
  p->root = 1 / sqrt(1 - pow(p->beta2, t));
}

#endif
