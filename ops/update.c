/* Owns the updates of parameters: sgd_step, adam_step and rmsprop_step over any number of arrays as one task. Their inputs are
 * groups of n arrays: parameters, gradients, then state; all but the gradients are written. Behind them may come controls, which
 * decide on the device whether there is a step at all (ops/update.h). */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "ops/op.h"
#include "ops/runs.h"
#include "ops/params.h"
#include "ops/params_nn.h"
#include "ops/update.h"

enum { PIECE = 1024 }; /* elements worked on at a time */

static const char *const sgd_states[] = {"velocity"};
static const char *const adam_states[] = {"first moment", "second moment"};
static const char *const rmsprop_states[] = {"mean of squares", "velocity"};

/* n parameters with their gradients and states, alike in type and shape. */
static th_status infer_groups(th_infer *io, int n, int controls, const char *const *states) {
  const char *who = io->op->name;
  for (int i = io->n_in - controls; i < io->n_in; i++)
    if (io->in[i].dtype != TH_F32 || io->in[i].ndim != 0)
      return th__fail(TH_EINVAL, "%s: a control is not one element of f32", who);
  for (int i = 0; i < n; i++) {
    const th_layout *own = &io->in[i];
    if (!th__dtype_in(own->dtype, TH_FLOATS))
      return th__fail(TH_EDTYPE, "%s: parameter %d is %s; floating types are wanted", who, i,
                      th_dtype_name(own->dtype));
    io->written[i] = 1;
    for (int j = i + n; j < io->n_in - controls; j += n) {
      const th_layout *other = &io->in[j];
      const char *what = j < 2 * n ? "gradient" : states[j / n - 2];
      char a[TH__SHAPE_TEXT], b[TH__SHAPE_TEXT];
      if (other->dtype != own->dtype)
        return th__fail(TH_EDTYPE, "%s: %s %d is %s, its parameter %s", who, what, i,
                        th_dtype_name(other->dtype), th_dtype_name(own->dtype));
      if (!th__layout_same_shape(own, other))
        return th__fail(TH_ESHAPE, "%s: %s %d has shape %s, its parameter %s", who, what, i,
                        th__shape_text(other->shape, other->ndim, a, sizeof a),
                        th__shape_text(own->shape, own->ndim, b, sizeof b));
      if (j >= 2 * n) io->written[j] = 1;
    }
  }
  return TH_OK;
}

static th_status infer_sgd(th_infer *io, const void *params) {
  const th__sgd_params *p = params;
  return infer_groups(io, p->n, p->controls, sgd_states);
}
static th_status infer_adam(th_infer *io, const void *params) {
  const th__adam_params *p = params;
  return infer_groups(io, p->n, p->controls, adam_states);
}
static th_status infer_rmsprop(th_infer *io, const void *params) {
  const th__rmsprop_params *p = params;
  return infer_groups(io, p->n, p->controls, rmsprop_states);
}

/* A step on n elements as they are computed with: parameters, gradients and states, NULL where there are none. */
typedef void (*step_fn)(const void *params, int64_t n, void *const *x);

#define SGD(id, T)                                                                                 \
  TH__WIDE static void sgd_##id(const void *params, int64_t n, void *const *x) {                   \
    const th__sgd_params *s = params;                                                              \
    const T lr = (T)s->lr, momentum = (T)s->momentum, decay = (T)s->weight_decay;                  \
    T *restrict p = x[0], *restrict v = x[2];                                                      \
    const T *restrict g = x[1];                                                                    \
    if (v == NULL) {                                                                               \
      for (int64_t i = 0; i < n; i++) p[i] -= lr * (g[i] + decay * p[i]);                          \
    } else if (s->nesterov) {                                                                      \
      for (int64_t i = 0; i < n; i++) {                                                            \
        T slope = g[i] + decay * p[i];                                                             \
        v[i] = momentum * v[i] + slope;                                                            \
        p[i] -= lr * (slope + momentum * v[i]);                                                    \
      }                                                                                            \
    } else {                                                                                       \
      for (int64_t i = 0; i < n; i++) {                                                            \
        v[i] = momentum * v[i] + (g[i] + decay * p[i]);                                            \
        p[i] -= lr * v[i];                                                                         \
      }                                                                                            \
    }                                                                                              \
  }
SGD(f32, float)
SGD(f64, double)

#define ADAM(id, T, sqrt_fn)                                                                       \
  TH__WIDE static void adam_##id(const void *params, int64_t n, void *const *x) {                  \
    const th__adam_params *s = params;                                                             \
    const T b1 = (T)s->beta1, b2 = (T)s->beta2, a1 = (T)(1 - s->beta1), a2 = (T)(1 - s->beta2);    \
    const T rate = (T)s->rate, root = (T)s->root, eps = (T)s->eps;                                 \
    const T shrink = (T)(s->decoupled ? 1 - s->lr * s->weight_decay : 1);                          \
    const T decay = (T)(s->decoupled ? 0 : s->weight_decay);                                       \
    T *restrict p = x[0], *restrict m = x[2], *restrict v = x[3];                                  \
    const T *restrict g = x[1];                                                                    \
    for (int64_t i = 0; i < n; i++) {                                                              \
      T slope = g[i] + decay * p[i];                                                               \
      m[i] = b1 * m[i] + a1 * slope;                                                               \
      v[i] = b2 * v[i] + a2 * (slope * slope);                                                     \
      p[i] = shrink * p[i] - rate * (m[i] / (sqrt_fn(v[i]) * root + eps));                         \
    }                                                                                              \
  }
ADAM(f32, float, sqrtf)
ADAM(f64, double, sqrt)

#define RMSPROP(id, T, sqrt_fn)                                                                    \
  TH__WIDE static void rmsprop_##id(const void *params, int64_t n, void *const *x) {               \
    const th__rmsprop_params *s = params;                                                          \
    const T lr = (T)s->lr, b = (T)s->alpha, a = (T)(1 - s->alpha), eps = (T)s->eps;                \
    const T decay = (T)s->weight_decay, momentum = (T)s->momentum;                                 \
    T *restrict p = x[0], *restrict q = x[2], *restrict v = x[3];                                  \
    const T *restrict g = x[1];                                                                    \
    for (int64_t i = 0; i < n && v == NULL; i++) {                                                 \
      T slope = g[i] + decay * p[i];                                                               \
      q[i] = b * q[i] + a * (slope * slope);                                                       \
      p[i] -= lr * (slope / (sqrt_fn(q[i]) + eps));                                                \
    }                                                                                              \
    for (int64_t i = 0; i < n && v != NULL; i++) {                                                 \
      T slope = g[i] + decay * p[i];                                                               \
      q[i] = b * q[i] + a * (slope * slope);                                                       \
      v[i] = momentum * v[i] + slope / (sqrt_fn(q[i]) + eps);                                      \
      p[i] -= lr * v[i];                                                                           \
    }                                                                                              \
  }
RMSPROP(f32, float, sqrtf)
RMSPROP(f64, double, sqrt)

typedef struct stepping {
  const th_kernel_args *k;
  const void *params;
  int index, n, groups;
  float factor; /* of the gradients */
  step_fn run;
} stepping;

/* n gradients times factor, in room. */
static void scale(th_dtype t, const void *from, float factor, int64_t n, void *room) {
  if (t == TH_F64)
    for (int64_t i = 0; i < n; i++)
      ((double *)room)[i] = ((const double *)from)[i] * (double)factor;
  else
    for (int64_t i = 0; i < n; i++) ((float *)room)[i] = ((const float *)from)[i] * factor;
}

/* Elements [first, last) of parameter `index`: gathered, stepped, scattered back. */
static void step_range(int64_t first, int64_t last, void *arg) {
  const stepping *s = arg;
  const th_layout *layouts[TH__RUN_OPERANDS];
  char *data[TH__RUN_OPERANDS];
  for (int i = 0; i < s->groups; i++) {
    layouts[i] = &s->k->in[s->index + i * s->n];
    data[i] = s->k->in_data[s->index + i * s->n];
  }
  th_dtype t = layouts[0]->dtype;
  int64_t item = (int64_t)th_dtype_size(t);
  th__runs walk;
  th__runs_begin(&walk, layouts, s->groups, first, last);
  while (th__runs_next(&walk))
    for (int64_t done = 0; done < walk.run; done += PIECE) {
      th__word room[TH__RUN_OPERANDS][PIECE];
      void *x[TH__RUN_OPERANDS] = {NULL};
      char *here[TH__RUN_OPERANDS];
      int64_t n = walk.run - done < PIECE ? walk.run - done : PIECE;
      for (int i = 0; i < s->groups; i++) {
        here[i] = data[i] + (walk.offset[i] + done * walk.step[i]) * item;
        x[i] = (void *)th__gathered(t, here[i], walk.step[i], n, room[i]);
      }
      if (s->factor != 1) {
        scale(t, x[1], s->factor, n, room[1]);
        x[1] = room[1];
      }
      s->run(s->params, n, x);
      for (int i = 0; i < s->groups; i++)
        if (i != 1 && x[i] != here[i]) th__scatter(t, here[i], walk.step[i], n, x[i]);
    }
}

/* The last `controls` inputs: 1 without any. */
static float control(const th_kernel_args *k, int controls, int i) {
  return controls > i ? *(const float *)k->in_data[k->n_in - controls + i] : 1;
}

static th_status step_all(const th_kernel_args *k, const void *params, int n, int controls,
                          int64_t cost, step_fn f32, step_fn f64) {
  float factor = control(k, controls, 0);
  for (int i = 0; i < n && factor != 0; i++) {
    int groups = (k->n_in - controls) / n;
    stepping s = {k, params, i, n, groups, factor, k->in[i].dtype == TH_F64 ? f64 : f32};
    th_parallel_for(k->context, th__layout_size(&k->in[i]), th__grain(cost), step_range, &s);
  }
  return TH_OK;
}

static th_status sgd_cpu(const th_kernel_args *k) {
  const th__sgd_params *p = k->params;
  return step_all(k, p, p->n, p->controls, 2, sgd_f32, sgd_f64);
}
static th_status adam_cpu(const th_kernel_args *k) {
  th__adam_params p = *(const th__adam_params *)k->params;
  if (p.controls > 0) th__adam_correct(&p, p.step - (double)control(k, p.controls, 1));
  return step_all(k, &p, p.n, p.controls, 4, adam_f32, adam_f64);
}
static th_status rmsprop_cpu(const th_kernel_args *k) {
  const th__rmsprop_params *p = k->params;
  return step_all(k, p, p->n, p->controls, 4, rmsprop_f32, rmsprop_f64);
}

/* Groups of n arrays each and the controls, as inputs of one call. */
static th_status call_groups(const th_op *op, const void *params, th_array *const *const *lists,
                             int groups, int n, const th__step_control *control, int controls) {
  if (n < 1 || n > (INT16_MAX - controls) / groups)
    return th__fail(TH_EINVAL, "%s: %d parameters, 1 to %d expected", op->name, n,
                    (INT16_MAX - controls) / groups);
  for (int j = 0; j < groups; j++)
    if (lists[j] == NULL)
      return th__fail(TH_EINVAL, "%s: list %d of %d is NULL", op->name, j, groups);
  const th_array **in = th__alloc((size_t)(groups * n + controls) * sizeof *in);
  if (in == NULL) return TH_ENOMEM;
  for (int j = 0; j < groups; j++)
    for (int i = 0; i < n; i++) in[j * n + i] = lists[j][i];
  if (controls > 0) in[groups * n] = control->factor;
  if (controls > 1) in[groups * n + 1] = control->skipped;
  th_status status = th__invoke(op, params, in, groups * n + controls, NULL, 0);
  th__free(in);
  return status;
}

static const th_op op_sgd_step = {
    .name = "sgd_step",
    .in = {2, INT16_MAX},
    .out = {0, 0},
    .flags = TH_OP_FLAT,
    .params_size = sizeof(th__sgd_params),
    .infer = infer_sgd,
    .cpu = sgd_cpu,
    .test = {-1, 1, 0},
};

th_status th__step_sgd(const th__sgd_params *p, th_array *const *const *lists,
                       const th__step_control *control) {
  th__sgd_params own = *p;
  own.controls = control != NULL ? 1 : 0;
  return call_groups(&op_sgd_step, &own, lists, p->momentum != 0 ? 3 : 2, p->n, control,
                     own.controls);
}

th_status th_sgd_step(th_array *const *params, th_array *const *gradients,
                      th_array *const *velocities, int n, double lr, double momentum,
                      double weight_decay, bool nesterov) {
  if (momentum != 0 && velocities == NULL)
    return th__fail(TH_EINVAL, "sgd_step: momentum %g needs velocities", momentum);
  th__sgd_params p = {lr, momentum, weight_decay, n, 0, nesterov};
  th_array *const *lists[] = {params, gradients, velocities};
  return th__step_sgd(&p, lists, NULL);
}

static const th_op op_adam_step = {
    .name = "adam_step",
    .in = {4, INT16_MAX},
    .out = {0, 0},
    .flags = TH_OP_FLAT,
    .params_size = sizeof(th__adam_params),
    .infer = infer_adam,
    .cpu = adam_cpu,
    .test = {0.1, 1, 0},
};

th_status th__step_adam(const th__adam_params *p, th_array *const *const *lists,
                        const th__step_control *control) {
  th__adam_params own = *p;
  own.controls = control != NULL ? 2 : 0;
  th__adam_correct(&own, p->step);
  return call_groups(&op_adam_step, &own, lists, 4, p->n, control, own.controls);
}

static double or_default(double value, double instead) { return value != 0 ? value : instead; }

th_status th_adam_step(th_array *const *params, th_array *const *gradients,
                       th_array *const *first_moments, th_array *const *second_moments, int n,
                       int64_t step, const th_adam_config *config) {
  const th_adam_config c = config != NULL ? *config : (th_adam_config){0};
  th__adam_params p = {.lr = or_default(c.lr, 1e-3),
                       .beta1 = or_default(c.beta1, 0.9),
                       .beta2 = or_default(c.beta2, 0.999),
                       .eps = or_default(c.eps, 1e-8),
                       .weight_decay = c.weight_decay,
                       .step = (double)step,
                       .n = n,
                       .decoupled = c.decoupled};
  if (step < 1) return th__fail(TH_EINVAL, "adam_step: step %lld, from 1", (long long)step);
  if (!(p.beta1 >= 0 && p.beta1 < 1 && p.beta2 >= 0 && p.beta2 < 1))
    return th__fail(TH_EINVAL, "adam_step: betas %g and %g must be in [0, 1)", p.beta1, p.beta2);
  th_array *const *lists[] = {params, gradients, first_moments, second_moments};
  return th__step_adam(&p, lists, NULL);
}

th_status th_adamw_step(th_array *const *params, th_array *const *gradients,
                        th_array *const *first_moments, th_array *const *second_moments, int n,
                        int64_t step, double lr, double weight_decay) {
  return th_adam_step(params, gradients, first_moments, second_moments, n, step,
                      &(th_adam_config){.lr = lr, .weight_decay = weight_decay, .decoupled = true});
}

static const th_op op_rmsprop_step = {
    .name = "rmsprop_step",
    .in = {3, INT16_MAX},
    .out = {0, 0},
    .flags = TH_OP_FLAT,
    .params_size = sizeof(th__rmsprop_params),
    .infer = infer_rmsprop,
    .cpu = rmsprop_cpu,
    .test = {0.1, 1, 0},
};

th_status th__step_rmsprop(const th__rmsprop_params *p, th_array *const *const *lists,
                           const th__step_control *control) {
  th__rmsprop_params own = *p;
  own.controls = control != NULL ? 1 : 0;
  return call_groups(&op_rmsprop_step, &own, lists, p->momentum != 0 ? 4 : 3, p->n, control,
                     own.controls);
}

th_status th_rmsprop_step(th_array *const *params, th_array *const *gradients,
                          th_array *const *squares, th_array *const *velocities, int n, double lr,
                          double alpha, double eps, double weight_decay, double momentum) {
  if (momentum != 0 && velocities == NULL)
    return th__fail(TH_EINVAL, "rmsprop_step: momentum %g needs velocities", momentum);
  th__rmsprop_params p = {lr, alpha, eps, weight_decay, momentum, n, 0};
  th_array *const *lists[] = {params, gradients, squares, velocities};
  return th__step_rmsprop(&p, lists, NULL);
}

TH_FAMILY_TABLE(update);
const th_op *const th__family_update[] = {&op_sgd_step, &op_adam_step, &op_rmsprop_step, NULL};
