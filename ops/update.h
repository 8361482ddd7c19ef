/* Steps for optimizers: what th_sgd_step() and its like do, with settings as they are (0 is 0, not a default). */
#ifndef THRUM_OPS_UPDATE_H
#define THRUM_OPS_UPDATE_H

#include "ndarray/array.h"
#include "ops/params.h"
#include "ops/params_nn.h"

/* lists: parameters, gradients, then as many states as the settings ask for; p->n arrays each. Adam: rate and root are
 * computed from p->step. */
th_status th__step_sgd(const th__sgd_params *p, th_array *const *const *lists);
th_status th__step_adam(const th__adam_params *p, th_array *const *const *lists);
th_status th__step_rmsprop(const th__rmsprop_params *p, th_array *const *const *lists);

#endif
