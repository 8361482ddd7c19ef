/**
 * @file optim.h
 * Optimizers over lists of leaves: SGD, Adam, AdamW, RMSprop, with PyTorch's formulas; clipping of gradients; loss scaling; schedules.
 *
 * An optimizer retains its leaves and owns their state, which lies beside them on their devices. A step submits one task per device
 * and returns; nothing here waits. Only the learning rate and the number of steps may be changed while other threads step.
 */
#ifndef THRUM_OPTIM_H
#define THRUM_OPTIM_H

#include <thrum/nn.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct th_optimizer th_optimizer; /**< An optimizer over a fixed list of leaves. */

/* Making. All return an optimizer to be released, or NULL: TH_EINVAL for settings out of range and for arrays that are not leaves
 * (th_require_grad()), TH_ENOMEM. Leaves may lie on several devices. States start as 0. */
/** p -= lr * (g + weight_decay * p), with momentum v = momentum * v + g and p -= lr * v, nesterov: g + momentum * v. */
TH_API th_optimizer *th_sgd(th_array *const *leaves, int n, double lr, double momentum,
                            double weight_decay, bool nesterov);
/** th_adam_step() with config, NULL = defaults. */
TH_API th_optimizer *th_adam(th_array *const *leaves, int n, const th_adam_config *config);
/** th_adam() with decoupled weight decay; its weight_decay 0 means 0.01. For none there is th_adam(). */
TH_API th_optimizer *th_adamw(th_array *const *leaves, int n, const th_adam_config *config);
/** Settings of th_rmsprop(); what is 0 gets its default. */
typedef struct th_rmsprop_config {
  double lr;           /**< 0: 0.01. */
  double alpha;        /**< 0: 0.99. */
  double eps;          /**< 0: 1e-8. */
  double weight_decay; /**< Times p is added to the gradient. */
  double momentum;     /**< 0: none, and no velocities. */
} th_rmsprop_config;
/** th_rmsprop_step() with config, NULL = defaults. */
TH_API th_optimizer *th_rmsprop(th_array *const *leaves, int n, const th_rmsprop_config *config);
TH_API void th_optimizer_release(th_optimizer *o); /**< NULL is fine. */

/** Updates every leaf that has a gradient: one task per device and pair of factors (th_optimizer_set_factors()), of more than
 *  some 8,000 to 16,000 leaves further ones. */
TH_API th_status th_optimizer_step(th_optimizer *o);
TH_API void th_optimizer_zero_grad(th_optimizer *o);         /**< th_zero_grad() for all leaves. */
TH_API double th_optimizer_lr(const th_optimizer *o);        /**< NaN for NULL. */
TH_API void th_optimizer_set_lr(th_optimizer *o, double lr); /**< From the next step on. */
/** From the next step on leaf is updated with lr_factor times the learning rate and decay_factor times the weight decay (both 1 at
 *  first): {1, 0} keeps biases from decaying. TH_EINVAL: not a leaf of o, or a factor negative or not finite. */
TH_API th_status th_optimizer_set_factors(th_optimizer *o, const th_array *leaf, double lr_factor,
                                          double decay_factor);

/* State, for checkpoints: what an optimizer needs to go on are its arrays, its number of steps and its learning rate. */
TH_API int th_optimizer_states(const th_optimizer *o); /**< Number of state arrays; 0 for NULL. */
/** State array i, borrowed, with its name in name (bytes long, may be NULL): "velocity.3" belongs to leaf 3. Others are
 *  first_moment, second_moment, mean_square and, of Adam as a whole, skipped_steps. It may be written, th_assign(). NULL: TH_EINVAL, no such state, or the name is too long. */
TH_API th_array *th_optimizer_state(const th_optimizer *o, int i, char *name, size_t bytes);
/** Steps submitted so far, on which Adam's bias correction depends; 0 for NULL. */
TH_API int64_t th_optimizer_steps(const th_optimizer *o);
/** The next step is number steps + 1. TH_EINVAL: negative. */
TH_API th_status th_optimizer_set_steps(th_optimizer *o, int64_t steps);

/* Gradients of leaves, changed in place between th_backward() and a step. Leaves without gradient are left out; nothing is
 * recorded. Leaves may lie on several devices. */
/** Norm of all gradients of n leaves as one vector, times max_norm / (norm + 1e-6) where that is below 1, as PyTorch's
 *  clip_grad_norm_ (Pascanu et al. 2013). Returns the norm from before, +1: 0-d, f32, or f64 if a gradient is, on the device of the
 *  first gradient (of leaf 0 and 0 if there is none). Does not wait. An infinite norm makes gradients 0 or NaN, NaN makes all NaN; who
 *  wants to know reads the norm. NULL: TH_EINVAL for what is not a leaf, and max_norm negative or NaN. */
TH_API th_array *th_clip_grad_norm(th_array *const *leaves, int n, double max_norm);
/** Every element of the gradients into [-value, value]; NaN stays. TH_EINVAL as above. Does not wait. */
TH_API th_status th_clip_grad_value(th_array *const *leaves, int n, double value);

/* Loss scaling for training in f16 (Micikevicius et al. 2018), by the rules of PyTorch's GradScaler and without waiting: th_scaler_scale()
 * of the loss, th_backward(), th_scaler_step() for each optimizer instead of th_optimizer_step(), th_scaler_update(). A step whose
 * gradients contain an infinity or NaN changes neither parameters nor states. One thread at a time. */
typedef struct th_scaler th_scaler; /**< A scale of losses that adapts. */
/** Settings of th_scaler_new(); what is 0 gets its default. */
typedef struct th_scaler_config {
  double scale; /**< 0: 65536. At first. */
  double
      growth; /**< 0: 2. Multiplies the scale after `interval` steps in a row without overflow. */
  double backoff;   /**< 0: 0.5. Multiplies the scale after an overflow. */
  int64_t interval; /**< 0: 2000. */
} th_scaler_config;
/** A scaler with its state on d, or NULL (TH_EINVAL, TH_ENOMEM). config NULL = defaults. */
TH_API th_scaler *th_scaler_new(const th_scaler_config *config, th_device d);
TH_API void th_scaler_release(th_scaler *s); /**< NULL is fine. */
/** loss times the scale, +1, on loss's device; f16 becomes f32. Recorded. */
TH_API th_array *th_scaler_scale(th_scaler *s, const th_array *loss);
/** Divides the gradients of o's leaves by the scale in place, for what has to see their true size, like th_clip_grad_norm(). Gradients
 *  of f16 can lose small values here, th_scaler_step() alone computes in f32. TH_EINVAL: twice before th_scaler_update(), after the step,
 *  no gradients. */
TH_API th_status th_scaler_unscale(th_scaler *s, th_optimizer *o);
/** th_optimizer_step() by the gradients divided by the scale (unless they have been), if all of them are finite. It counts in
 *  th_optimizer_steps() either way; Adam knows how many were left out. TH_EINVAL: twice before th_scaler_update(), no gradients. */
TH_API th_status th_scaler_step(th_scaler *s, th_optimizer *o);
/** Adapts the scale to the steps since the last update, once they are known. TH_EINVAL: there were none. */
TH_API th_status th_scaler_update(th_scaler *s);
TH_API int th_scaler_states(const th_scaler *s); /**< Number of state arrays; 0 for NULL. */
/** State array i, as th_optimizer_state(): 0-d, f32, "scale" and "good_steps". Reading one waits. */
TH_API th_array *th_scaler_state(const th_scaler *s, int i, char *name, size_t bytes);

/* Schedules: factors of a learning rate at a step, counted from 0. They are multiplied with each other and with the rate at the
 * start: th_optimizer_set_lr(o, lr * th_schedule_warmup(t, 100, 0.1) * th_schedule_cosine(t - 100, 900, 0)). Steps outside are as the
 * nearest inside. NaN and TH_EINVAL for a period or a number of steps below 1. */
/** gamma ^ floor(step / period): PyTorch's StepLR; period 1: its ExponentialLR. */
TH_API double th_schedule_step(int64_t step, int64_t period, double gamma);
/** From 1 to lowest in steps: lowest + (1 - lowest) (1 + cos(pi step / steps)) / 2 (Loshchilov and Hutter 2017, without restarts). */
TH_API double th_schedule_cosine(int64_t step, int64_t steps, double lowest);
/** From first to 1 in steps, in a straight line (Goyal et al. 2017): PyTorch's LinearLR. */
TH_API double th_schedule_warmup(int64_t step, int64_t steps, double first);

#ifdef __cplusplus
}
#endif
#endif
