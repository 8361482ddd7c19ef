/* Owns the update of parameters: sgd_step over any number of arrays as one task. */
#include <stdint.h>
#include <string.h>

#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "ops/op.h"
#include "ops/runs.h"
#include "ops/params.h"

enum { PIECE = 1024 }; /* elements worked on at a time */

static th_status infer_sgd(th_infer *io, const void *params) {
  const th__sgd_params *p = params;
  for (int i = 0; i < p->n; i++) {
    const th_layout *own = &io->in[i];
    if (!th__dtype_in(own->dtype, TH_FLOATS))
      return th__fail(TH_EDTYPE, "sgd_step: parameter %d is %s; floating types are wanted", i,
                      th_dtype_name(own->dtype));
    for (int j = i + p->n; j < io->n_in; j += p->n) {
      const th_layout *other = &io->in[j];
      const char *what = j < 2 * p->n ? "gradient" : "velocity";
      char a[TH__SHAPE_TEXT], b[TH__SHAPE_TEXT];
      if (other->dtype != own->dtype)
        return th__fail(TH_EDTYPE, "sgd_step: %s %d is %s, its parameter %s", what, i,
                        th_dtype_name(other->dtype), th_dtype_name(own->dtype));
      if (!th__layout_same_shape(own, other))
        return th__fail(TH_ESHAPE, "sgd_step: %s %d has shape %s, its parameter %s", what, i,
                        th__shape_text(other->shape, other->ndim, a, sizeof a),
                        th__shape_text(own->shape, own->ndim, b, sizeof b));
    }
    io->written[i] = 1;
    if (io->n_in > 2 * p->n) io->written[2 * p->n + i] = 1;
  }
  return TH_OK;
}

/* The step on n elements as they are computed with; v is NULL without momentum. */
#define STEP(id, T)                                                                                \
  TH__WIDE static void step_##id(const th__sgd_params *s, int64_t n, void *params,                 \
                                 const void *grads, void *velocities) {                            \
    const T lr = (T)s->lr, momentum = (T)s->momentum, decay = (T)s->weight_decay;                  \
    T *restrict p = params, *restrict v = velocities;                                              \
    const T *restrict g = grads;                                                                   \
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

STEP(f32, float)
STEP(f64, double)

typedef struct step {
  const th_kernel_args *k;
  int index;
} step;

/* Elements [first, last) of parameter `index`: gathered, stepped, scattered back. */
static void step_range(int64_t first, int64_t last, void *arg) {
  const step *s = arg;
  const th__sgd_params *p = s->k->params;
  int n_operands = s->k->n_in > 2 * p->n ? 3 : 2;
  const th_layout *layouts[3];
  char *data[3];
  for (int i = 0; i < n_operands; i++) {
    layouts[i] = &s->k->in[s->index + i * p->n];
    data[i] = s->k->in_data[s->index + i * p->n];
  }
  th_dtype t = layouts[0]->dtype;
  int64_t item = (int64_t)th_dtype_size(t);
  th__runs walk;
  th__runs_begin(&walk, layouts, n_operands, first, last);
  while (th__runs_next(&walk))
    for (int64_t done = 0; done < walk.run; done += PIECE) {
      th__word room[3][PIECE];
      const void *x[3] = {NULL, NULL, NULL};
      char *here[3];
      int64_t n = walk.run - done < PIECE ? walk.run - done : PIECE;
      for (int i = 0; i < n_operands; i++) {
        here[i] = data[i] + (walk.offset[i] + done * walk.step[i]) * item;
        x[i] = th__gathered(t, here[i], walk.step[i], n, room[i]);
      }
      (t == TH_F64 ? step_f64 : step_f32)(p, n, (void *)x[0], x[1], (void *)x[2]);
      for (int i = 0; i < n_operands; i += 2)
        if (x[i] != here[i]) th__scatter(t, here[i], walk.step[i], n, x[i]);
    }
}

static th_status sgd_cpu(const th_kernel_args *k) {
  const th__sgd_params *p = k->params;
  for (int i = 0; i < p->n; i++) {
    step s = {.k = k, .index = i};
    th_parallel_for(k->context, th__layout_size(&k->in[i]), th__grain(2), step_range, &s);
  }
  return TH_OK;
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

th_status th_sgd_step(th_array *const *params, th_array *const *gradients,
                      th_array *const *velocities, int n, double lr, double momentum,
                      double weight_decay, bool nesterov) {
  if (n < 1 || n > INT16_MAX / 3 || params == NULL || gradients == NULL)
    return th__fail(TH_EINVAL, "sgd_step: %d parameters, 1 to %d expected", n, INT16_MAX / 3);
  if (momentum != 0 && velocities == NULL)
    return th__fail(TH_EINVAL, "sgd_step: momentum %g needs velocities", momentum);
  int groups = momentum != 0 ? 3 : 2;
  th_array *const *lists[] = {params, gradients, velocities};
  const th_array **in = th__alloc((size_t)(groups * n) * sizeof *in);
  if (in == NULL) return TH_ENOMEM;
  for (int j = 0; j < groups; j++)
    for (int i = 0; i < n; i++) in[j * n + i] = lists[j][i];
  th__sgd_params p = {lr, momentum, weight_decay, n, nesterov};
  th_status status = th__invoke(&op_sgd_step, &p, in, groups * n, NULL, 0);
  th__free(in);
  return status;
}

TH_FAMILY_TABLE(update);
const th_op *const th__family_update[] = {&op_sgd_step, NULL};
