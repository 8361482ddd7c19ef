/* Owns the kinds of optimizers: their settings with defaults and ranges, and which operator steps. */
#include <math.h>

#include "autograd/optim.h"
#include "engine/base/error.h"

static double or_default(double value, double instead) { return value != 0 ? value : instead; }

static th_status check_rates(const char *who, double lr, double weight_decay) {
  if (!(isfinite(lr) && lr >= 0)) {
    return th__fail(TH_EINVAL, "%s: lr %g must be finite and not negative", who, lr);
  }
  if (!(isfinite(weight_decay) && weight_decay >= 0)) {
    return th__fail(TH_EINVAL, "%s: weight_decay %g must be finite and not negative", who,
                    weight_decay);
  }
  return TH_OK;
}

/* A weight of the past. */
static th_status check_past(const char *who, const char *what, double value) {
  if (value >= 0 && value < 1) return TH_OK;
  return th__fail(TH_EINVAL, "%s: %s %g must be in [0, 1)", who, what, value);
}

static th_status check_eps(const char *who, double eps) {
  if (isfinite(eps) && eps >= 0) return TH_OK;
  return th__fail(TH_EINVAL, "%s: eps %g must be finite and not negative", who, eps);
}

/* --- SGD --- */

static th_status step_sgd(const th__optim_settings *settings, const th__optim_group *group) {
  th__sgd_params p = settings->sgd;
  p.lr = group->lr;
  p.weight_decay *= group->decay_factor;
  p.n = group->n;
  return th__step_sgd(&p, group->lists, group->control);
}

static const th__optim_kind sgd = {"sgd", {"velocity"}, false, step_sgd};

static th_status check_sgd(double lr, double momentum, double weight_decay, bool nesterov) {
  TH_TRY(check_rates("sgd", lr, weight_decay));
  TH_TRY(check_past("sgd", "momentum", momentum));
  if (nesterov && momentum <= 0) return th__fail(TH_EINVAL, "sgd: nesterov needs momentum");
  return TH_OK;
}

th_optimizer *th_sgd(th_array *const *leaves, int n, double lr, double momentum,
                     double weight_decay, bool nesterov) {
  if (check_sgd(lr, momentum, weight_decay, nesterov) != TH_OK) return NULL;
  th__optim_settings settings = {
      .sgd = {.momentum = momentum, .weight_decay = weight_decay, .nesterov = nesterov}};
  return th__optim_new(&sgd, &settings, lr, momentum > 0 ? 1 : 0, leaves, n);
}

/* --- Adam and AdamW --- */

static th_status step_adam(const th__optim_settings *settings, const th__optim_group *group) {
  th__adam_params p = settings->adam;
  p.lr = group->lr;
  p.weight_decay *= group->decay_factor;
  p.n = group->n;
  p.step = (double)group->step;
  return th__step_adam(&p, group->lists, group->control);
}

static const th__optim_kind adam = {"adam", {"first_moment", "second_moment"}, true, step_adam};

static th_status check_adam(double lr, const th__adam_params *p) {
  TH_TRY(check_rates("adam", lr, p->weight_decay));
  TH_TRY(check_past("adam", "beta1", p->beta1));
  TH_TRY(check_past("adam", "beta2", p->beta2));
  return check_eps("adam", p->eps);
}

th_optimizer *th_adam(th_array *const *leaves, int n, const th_adam_config *config) {
  const th_adam_config c = config != NULL ? *config : (th_adam_config){0};
  th__optim_settings settings = {.adam = {.beta1 = or_default(c.beta1, 0.9),
                                          .beta2 = or_default(c.beta2, 0.999),
                                          .eps = or_default(c.eps, 1e-8),
                                          .weight_decay = c.weight_decay,
                                          .decoupled = c.decoupled}};
  double lr = or_default(c.lr, 1e-3);
  if (check_adam(lr, &settings.adam) != TH_OK) return NULL;
  return th__optim_new(&adam, &settings, lr, 2, leaves, n);
}

th_optimizer *th_adamw(th_array *const *leaves, int n, const th_adam_config *config) {
  th_adam_config c = config != NULL ? *config : (th_adam_config){0};
  c.decoupled = true;
  c.weight_decay = or_default(c.weight_decay, 0.01);
  return th_adam(leaves, n, &c);
}

/* --- RMSprop --- */

static th_status step_rmsprop(const th__optim_settings *settings, const th__optim_group *group) {
  th__rmsprop_params p = settings->rmsprop;
  p.lr = group->lr;
  p.weight_decay *= group->decay_factor;
  p.n = group->n;
  return th__step_rmsprop(&p, group->lists, group->control);
}

static const th__optim_kind rmsprop = {"rmsprop", {"mean_square", "velocity"}, false, step_rmsprop};

static th_status check_rmsprop(double lr, const th__rmsprop_params *p) {
  TH_TRY(check_rates("rmsprop", lr, p->weight_decay));
  TH_TRY(check_past("rmsprop", "alpha", p->alpha));
  TH_TRY(check_past("rmsprop", "momentum", p->momentum));
  return check_eps("rmsprop", p->eps);
}

th_optimizer *th_rmsprop(th_array *const *leaves, int n, const th_rmsprop_config *config) {
  const th_rmsprop_config c = config != NULL ? *config : (th_rmsprop_config){0};
  th__optim_settings settings = {.rmsprop = {.alpha = or_default(c.alpha, 0.99),
                                             .eps = or_default(c.eps, 1e-8),
                                             .weight_decay = c.weight_decay,
                                             .momentum = c.momentum}};
  double lr = or_default(c.lr, 0.01);
  if (check_rmsprop(lr, &settings.rmsprop) != TH_OK) return NULL;
  return th__optim_new(&rmsprop, &settings, lr, c.momentum > 0 ? 2 : 1, leaves, n);
}
