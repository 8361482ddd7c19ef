/* Owns what clipping needs of many gradients at once, as one task each: gradients_norm, their common norm, and
 * gradients_shrink, which scales them all by a factor made of it. */
#include "ops/nn/clip.h"

#include <math.h>
#include <stdint.h>

#include "engine/base/error.h"
#include "ops/loops/loop.h"
#include "ops/loops/runs.h"
#include "ops/nn/norm_kernel.h"
#include "ops/op.h"

enum { PIECE = 1024, CHUNK = 16 * PIECE }; /* elements gathered, and added up by one block */

/* --- the norm --- */

static int64_t chunks_of(const th_layout *l) { return (th__layout_size(l) + CHUNK - 1) / CHUNK; }

/* f64 if one of them is, else f32; scratch for a figure of every chunk. */
static th_status infer_norm(th_infer *io, const void *params) {
  io->out[0].dtype = TH_F32;
  for (int i = 0; i < io->n_in; i++) {
    if (!th__dtype_in(io->in[i].dtype, TH_FLOATS))
      return th__fail(TH_EDTYPE, "%s: gradient %d is %s", io->op->name, i,
                      th_dtype_name(io->in[i].dtype));
    if (io->in[i].dtype == TH_F64) io->out[0].dtype = TH_F64;
    io->workspace += chunks_of(&io->in[i]) * (int64_t)sizeof(double);
  }
  return TH_OK;
}

/* The largest of two magnitudes; NaN when either is. */
static inline double larger(double a, double b) { return a > b || a != a ? a : b; }

#define LARGEST(id, T)                                                                             \
  static double largest_##id(const T *x, int64_t n, double most) {                                 \
    for (int64_t i = 0; i < n; i++) most = larger(most, fabs((double)x[i]));                       \
    return most;                                                                                   \
  }
LARGEST(f32, float)
LARGEST(f64, double)

typedef struct taking {
  const th_kernel_args *k;
  bool infinite; /* the largest magnitude, else the sum of squares */
  double *figures;
} taking;

/* A piece, joined with what came before it. */
static double join(const taking *t, th_dtype type, const void *x, int64_t n, double before) {
  if (t->infinite) return type == TH_F64 ? largest_f64(x, n, before) : largest_f32(x, n, before);
  return before +
         (type == TH_F64 ? th__norm_squares_f64(x, n, 0) : (double)th__norm_squares_f32(x, n, 0));
}

/* Elements [first, last) of an array. */
static double take_range(const taking *t, const th_layout *l, const char *data, int64_t first,
                         int64_t last) {
  int64_t item = (int64_t)th_dtype_size(l->dtype);
  double figure = 0;
  th__runs walk;
  th__runs_begin(&walk, &l, 1, first, last);
  while (th__runs_next(&walk))
    for (int64_t done = 0; done < walk.run; done += PIECE) {
      th__word room[PIECE];
      int64_t n = walk.run - done < PIECE ? walk.run - done : PIECE;
      const char *from = data + (walk.offset[0] + done * walk.step[0]) * item;
      figure = join(t, l->dtype, th__gathered(l->dtype, from, walk.step[0], n, room), n, figure);
    }
  return figure;
}

/* Chunks are counted through all arrays. */
static void take_chunks(int64_t first, int64_t last, void *arg) {
  const taking *t = arg;
  int64_t before = 0;
  for (int i = 0; i < t->k->n_in && before < last; i++) {
    const th_layout *l = &t->k->in[i];
    int64_t own = chunks_of(l), size = th__layout_size(l);
    int64_t from = first > before ? first - before : 0,
            to = last - before < own ? last - before : own;
    for (int64_t c = from; c < to; c++) {
      int64_t end = (c + 1) * CHUNK < size ? (c + 1) * CHUNK : size;
      t->figures[before + c] = take_range(t, l, t->k->in_data[i], c * CHUNK, end);
    }
    before += own;
  }
}

static th_status norm_cpu(const th_kernel_args *k) {
  const th__shrink_params *p = k->params;
  taking t = {k, isinf(p->order), k->workspace};
  int64_t chunks = 0;
  for (int i = 0; i < k->n_in; i++) chunks += chunks_of(&k->in[i]);
  th_parallel_for(k->context, chunks, th__grain(CHUNK), take_chunks, &t);
  double figure = 0;
  for (int64_t c = 0; c < chunks; c++)
    figure = t.infinite ? larger(figure, t.figures[c]) : figure + t.figures[c];
  if (!t.infinite) figure = sqrt(figure);
  th__scatter_f64(k->out[0].dtype, k->out_data[0], 1, 1, &figure);
  return TH_OK;
}

static const th_op op_gradients_norm = {
    .name = "gradients_norm",
    .in = {1, INT16_MAX},
    .out = {1},
    .flags = TH_OP_FLAT,
    .params_size = sizeof(th__shrink_params),
    .infer = infer_norm,
    .cpu = norm_cpu,
    .test = {-1, 1, 0},
};

th_array *th__gradients_norm_call(th_array *const *gradients, int n, double order) {
  const th__shrink_params p = {.order = order};
  return th__call(&op_gradients_norm, &p, (const th_array *const *)gradients, n);
}

/* --- the factor --- */

/* Gradients, all written, and behind them the norm. */
static th_status infer_shrink(th_infer *io, const void *params) {
  const th_layout *norm = &io->in[io->n_in - 1];
  if (norm->ndim != 0 || (norm->dtype != TH_F32 && norm->dtype != TH_F64))
    return th__fail(TH_EINVAL, "%s: the norm is not one element of f32 or f64", io->op->name);
  for (int i = 0; i + 1 < io->n_in; i++) {
    if (!th__dtype_in(io->in[i].dtype, TH_FLOATS))
      return th__fail(TH_EDTYPE, "%s: gradient %d is %s", io->op->name, i,
                      th_dtype_name(io->in[i].dtype));
    io->written[i] = 1;
  }
  return TH_OK;
}

typedef struct shrinking {
  const th_layout *layout;
  char *data;
  double factor;
} shrinking;

static void shrink_range(int64_t first, int64_t last, void *arg) {
  const shrinking *s = arg;
  th_dtype t = s->layout->dtype;
  int64_t item = (int64_t)th_dtype_size(t);
  th__runs walk;
  th__runs_begin(&walk, &s->layout, 1, first, last);
  while (th__runs_next(&walk))
    for (int64_t done = 0; done < walk.run; done += PIECE) {
      th__word room[PIECE];
      int64_t n = walk.run - done < PIECE ? walk.run - done : PIECE;
      char *here = s->data + (walk.offset[0] + done * walk.step[0]) * item;
      const void *x = th__gathered(t, here, walk.step[0], n, room);
      if (t == TH_F64)
        for (int64_t i = 0; i < n; i++) ((double *)room)[i] = ((const double *)x)[i] * s->factor;
      else
        for (int64_t i = 0; i < n; i++)
          ((float *)room)[i] = ((const float *)x)[i] * (float)s->factor;
      th__scatter(t, here, walk.step[0], n, room);
    }
}

/* min(1, most / (norm + 1e-6)) in the norm's type, as PyTorch has it; NaN stays NaN. */
static double factor_of(const th_kernel_args *k, double most) {
  const void *norm = k->in_data[k->n_in - 1];
  double factor;
  if (k->in[k->n_in - 1].dtype == TH_F64)
    factor = most / (*(const double *)norm + 1e-6);
  else
    factor = (double)((float)most / (*(const float *)norm + 1e-6f));
  return factor > 1 ? 1 : factor;
}

static th_status shrink_cpu(const th_kernel_args *k) {
  double factor = factor_of(k, ((const th__shrink_params *)k->params)->most);
  for (int i = 0; i + 1 < k->n_in && factor != 1; i++) {
    shrinking s = {&k->in[i], k->in_data[i], factor};
    th_parallel_for(k->context, th__layout_size(s.layout), th__grain(1), shrink_range, &s);
  }
  return TH_OK;
}

static const th_op op_gradients_shrink = {
    .name = "gradients_shrink",
    .in = {2, INT16_MAX},
    .out = {0, 0},
    .flags = TH_OP_FLAT,
    .params_size = sizeof(th__shrink_params),
    .infer = infer_shrink,
    .cpu = shrink_cpu,
    .test = {-1, 1, 0},
};

th_status th__gradients_shrink_call(th_array *const *gradients_and_norm, int n, double most) {
  const th__shrink_params p = {.most = most};
  return th__invoke(&op_gradients_shrink, &p, (const th_array *const *)gradients_and_norm, n, NULL,
                    0);
}

bool th__gradients_fused(th_device d) {
  return th__kernel_get(&op_gradients_norm, d.kind) != NULL &&
         th__kernel_get(&op_gradients_shrink, d.kind) != NULL;
}

TH_FAMILY_TABLE(clip);
const th_op *const th__family_clip[] = {&op_gradients_norm, &op_gradients_shrink, NULL};
