/* What cross_entropy does with labels that are probabilities. */
#ifndef THRUM_OPS_NN_LOSS_H
#define THRUM_OPS_NN_LOSS_H

#include "thrum/ops.h"

th_array *th__cross_entropy_soft(const th_array *logits, const th_array *labels);

#endif
