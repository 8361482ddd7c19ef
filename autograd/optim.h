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
  int64_t step;                    /* from 1 */
  th_array *const *const *lists;   /* leaves, gradients, states */
  const th__step_control *control; /* NULL: a plain step */
} th__optim_group;

typedef struct th__optim_kind {
  const char *name;
  const char *states[TH__OPTIM_STATES]; /* names for checkpoints */
  bool counts_skipped; /* one more state, 0-d f32 "skipped_steps" on the first leaf's device */
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
  th_array *skipped;           /* +1, or NULL: not counted */
  th__optim_factors *factors;
};

/* Makes an optimizer of checked settings; n_states of the kind's states are used. */
th_optimizer *th__optim_new(const th__optim_kind *kind, const th__optim_settings *settings,
                            double lr, int n_states, th_array *const *leaves, int n);
/* th_optimizer_step() whose gradients are multiplied by a 0-d f32 array on any device; where that is 0 nothing changes, but that
 * the step counts as skipped. */
th_status th__optim_step_by(th_optimizer *o, const th_array *factor);

/* The gradients of leaves that have one with elements. */
typedef struct th__gradients {
  th_array **list; /* +1 each */
  int n;
} th__gradients;
th_status th__gradients_take(const char *who, th_array *const *leaves, int n, th__gradients *g);
void th__gradients_release(th__gradients *g);
/* Norm of all of order 2 or infinity, 0-d on home; f32, or f64 if one is; halves are squared in f32. g->n > 0. In a scope. */
th_array *th__gradients_norm(const th__gradients *g, double order, th_device home);

/* Gradient of a leaf with a reference, or NULL: there is none, or it is not a leaf. */
th_array *th__leaf_gradient(const th_array *leaf);
/* TH_EINVAL unless all n are leaves. */
th_status th__leaves_check(const char *who, th_array *const *leaves, int n);
/* a itself where it is of type t and on d, else a copy, of the open scope. */
th_array *th__placed(th_array *a, th_dtype t, th_device d);

#endif
