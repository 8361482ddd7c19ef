/* Optimizers inside: one struct for all kinds, which differ in states, settings and the operator of a step. */
#ifndef THRUM_AUTOGRAD_OPTIM_H
#define THRUM_AUTOGRAD_OPTIM_H

#include "engine/base/atomic.h"
#include "ops/update.h"
#include "thrum/optim.h"

enum { TH__OPTIM_STATES = 2 }; /* most per leaf */

/* Settings of an optimizer, or of one step of it. */
typedef union th__optim_settings {
  th__sgd_params sgd;
  th__adam_params adam;
  th__rmsprop_params rmsprop;
} th__optim_settings;

/* What the leaves of one step have in common. */
typedef struct th__optim_group {
  int n;
  double lr, decay_factor;
  int64_t step;                  /* from 1 */
  th_array *const *const *lists; /* leaves, gradients, states */
} th__optim_group;

typedef struct th__optim_kind {
  const char *name;
  const char *states[TH__OPTIM_STATES]; /* names for checkpoints */
  th_status (*step)(const th__optim_settings *settings, const th__optim_group *group);
} th__optim_kind;

/* Multiples of the optimizer's rates for one leaf. */
typedef struct th__optim_factors {
  double lr, decay;
} th__optim_factors;

struct th_optimizer {
  const th__optim_kind *kind;
  th__optim_settings settings; /* lr and n are set for each step */
  int n, n_states;             /* leaves; states per leaf */
  _Atomic double lr;           /* relaxed: the next step takes what it finds */
  _Atomic int64_t steps;       /* relaxed, as lr */
  th_array **leaves;           /* +1 each */
  th_array **states;           /* +1 each: the first state of all leaves, then the second */
  th__optim_factors *factors;
};

/* Makes an optimizer of checked settings; n_states of the kind's states are used. */
th_optimizer *th__optim_new(const th__optim_kind *kind, const th__optim_settings *settings,
                            double lr, int n_states, th_array *const *leaves, int n);
/* Gradient of a leaf with a reference, or NULL: there is none, or it is not a leaf. */
th_array *th__leaf_gradient(const th_array *leaf);
/* TH_EINVAL unless all n are leaves. */
th_status th__leaves_check(const char *who, th_array *const *leaves, int n);

#endif
