/* Owns the gradient of conv2d by its weights: for every pair of an output channel and a tap, the sum of products of g and the
 * packed input over all windows. Images are dealt to a number of sums that depends on shapes only; those are joined in order. */
#include <string.h>

#include "engine/base/error.h"
#include "ops/nn/conv.h"
#include "ops/nn/conv_kernel.h"
#include "ops/nn/conv_winograd.h"
#include "ops/loops/runs.h"

enum {
  SUMS = 16,             /* images are dealt to so many sums at most */
  SUMS_BYTES = 64 << 20, /* that take so many bytes at most */
  SIDE = TH__CONV_SLOPE_OUTPUTS,
  TAPS = TH__CONV_SLOPE_TAPS,
  STEP = 16 /* windows are padded to a multiple */
};

typedef struct plan {
  th__packing packing;             /* of x */
  int64_t images, groups, in, out; /* channels of a group */
  int64_t kernel[2], count[2];
  int64_t n_taps, windows;               /* padded */
  int64_t x_image, g_image, image_bytes; /* elements, bytes of both */
  int64_t sums, sum_size;                /* how many, elements of each */
  int64_t compute, round;
} plan;

static plan make_plan(const th__window_params *p, const th_layout *x, const th_layout *g) {
  plan c = {.images = x->shape[0], .groups = p->groups, .in = x->shape[1] / p->groups};
  c.out = g->shape[1] / p->groups;
  c.compute = th__compute_size(th__compute_of(x->dtype));
  for (int d = 0; d < 2; d++) {
    c.kernel[d] = p->size[d];
    c.count[d] = g->shape[2 + d];
    c.packing.size[d] = x->shape[2 + d];
    c.packing.pad[d] = p->padding[d];
    c.packing.spread[d] = 1;
  }
  th__packing_make(&c.packing, c.count, c.kernel, p->stride, p->dilation);
  c.n_taps = c.in * c.kernel[0] * c.kernel[1];
  c.windows = (c.count[0] * c.packing.row + STEP - 1) / STEP * STEP;
  c.x_image = c.groups * c.in * c.packing.plane;
  c.g_image = c.groups * c.out * c.windows;
  c.image_bytes = (c.x_image + c.g_image) * c.compute;
  c.sum_size = c.groups * c.out * c.n_taps;
  int64_t most = c.sum_size > 0 ? SUMS_BYTES / (c.sum_size * c.compute) : 1;
  c.sums = c.images < SUMS ? c.images : SUMS;
  if (c.sums > most) c.sums = most;
  if (c.sums < 1) c.sums = 1;
  c.round = th__conv_round(c.images, c.image_bytes);
  if (c.round > c.sums) c.round -= c.round % c.sums; /* an image's sum by its number in the round */
  return c;
}

/* Taps, sums, planes of x and what is read beyond them, planes of g. */
static int64_t plan_bytes(const plan *c) {
  return c->n_taps * 8 + (c->sums * c->sum_size + c->windows + c->packing.plane) * c->compute +
         c->round * c->image_bytes + 64;
}

static th_status infer_weight_slope(th_infer *io, const void *params) {
  const th__window_params *p = params;
  const th_layout *x = &io->in[0], *g = &io->in[1];
  if (x->dtype != g->dtype)
    return th__fail(TH_EDTYPE, "%s: element types %s and %s differ", io->op->name,
                    th_dtype_name(x->dtype), th_dtype_name(g->dtype));
  if (x->ndim != 4 || g->ndim != 4 || x->shape[0] != g->shape[0] || p->groups < 1 ||
      x->shape[1] % p->groups != 0 || g->shape[1] % p->groups != 0)
    return th__window_refuse(io, "input and gradient do not belong together");
  int64_t count[2];
  TH_TRY(th__window_count(io, p, &x->shape[2], p->size, count));
  if (g->shape[2] != count[0] || g->shape[3] != count[1])
    return th__window_refuse(io, "input and gradient do not belong together");
  th_layout *out = &io->out[0];
  out->dtype = x->dtype;
  out->ndim = 4;
  out->shape[0] = g->shape[1];
  out->shape[1] = x->shape[1] / p->groups;
  out->shape[2] = p->size[0];
  out->shape[3] = p->size[1];
  plan c = make_plan(p, x, g);
  int64_t bytes = th__winograd_slope_bytes(p, x, g);
  io->workspace = bytes > plan_bytes(&c) ? bytes : plan_bytes(&c);
  return TH_OK;
}

static th_cost cost_weight_slope(const th_infer *io, const void *params) {
  const th_layout *out = &io->out[0];
  int64_t taps = out->shape[1] * out->shape[2] * out->shape[3];
  return (th_cost){.flops = 2 * taps * th__layout_size(&io->in[1]),
                   .bytes = th__layout_bytes(&io->in[0]) + th__layout_bytes(&io->in[1]) +
                            th__layout_bytes(out)};
}

typedef struct run {
  const th_kernel_args *k;
  const plan *c;
  int64_t *taps;
  char *sums, *x, *g;
  int64_t first, images; /* of the round */
  int64_t out_blocks;
} run;

static void pack_x(int64_t first, int64_t last, void *arg) {
  const run *r = arg;
  const plan *c = r->c;
  const th_layout *x = &r->k->in[0];
  int64_t channels = c->groups * c->in, item = (int64_t)th_dtype_size(x->dtype);
  for (int64_t i = first; i < last; i++) {
    int64_t from = (r->first + i / channels) * x->strides[0] + i % channels * x->strides[1];
    th__packing_fill(&c->packing, x->dtype, (const char *)r->k->in_data[0] + from * item,
                     &x->strides[2], r->x + i * c->packing.plane * c->compute);
  }
}

/* Rows of g as far apart as those of x, zeros between them. */
static void pack_g(int64_t first, int64_t last, void *arg) {
  const run *r = arg;
  const plan *c = r->c;
  const th_layout *g = &r->k->in[1];
  int64_t channels = c->groups * c->out, item = (int64_t)th_dtype_size(g->dtype);
  for (int64_t i = first; i < last; i++) {
    const char *from =
        (const char *)r->k->in_data[1] +
        ((r->first + i / channels) * g->strides[0] + i % channels * g->strides[1]) * item;
    char *to = r->g + i * c->windows * c->compute;
    int64_t rest = c->windows - c->count[0] * c->packing.row, gap = c->packing.row - c->count[1];
    for (int64_t y = 0; y < c->count[0]; y++, to += c->packing.row * c->compute) {
      th__packing_row(g->dtype, from + y * g->strides[2] * item, g->strides[3], c->count[1], to);
      memset(to + c->count[1] * c->compute, 0, (size_t)(gap * c->compute));
    }
    memset(to, 0, (size_t)(rest * c->compute));
  }
}

/* Offsets of the taps in the packed planes of a group. */
static void list_taps(const run *r) {
  const plan *c = r->c;
  int64_t kernel = c->kernel[0] * c->kernel[1];
  for (int64_t tap = 0; tap < c->n_taps; tap++)
    r->taps[tap] = tap / kernel * c->packing.plane +
                   th__packing_tap(&c->packing, tap % kernel / c->kernel[1], tap % c->kernel[1]);
}

/* Between rows lie windows that are none: they have 0 in g, but whatever the input has there. Where that made a sum that is not
 * finite, here is the one of the windows alone. */
#define EXACT(id, T)                                                                               \
  static T exact_##id(const plan *c, const T *g, const T *x) {                                     \
    T sum = 0;                                                                                     \
    for (int64_t i = 0; i < c->count[0]; i++)                                                      \
      for (int64_t j = 0; j < c->count[1]; j++)                                                    \
        sum += g[i * c->packing.row + j] * x[i * c->packing.row + j];                              \
    return sum;                                                                                    \
  }
EXACT(f32, float)
EXACT(f64, double)

/* The products of four output channels with all taps, of the images that go to one sum; blocks that are not full repeat their
 * last. */
#define BLOCK(id, T)                                                                               \
  static void block_##id(const run *r, int64_t image, int64_t group, int64_t o, T *to) {           \
    const plan *c = r->c;                                                                          \
    const T *x = (const T *)r->x + image * c->x_image + group * c->in * c->packing.plane;          \
    const T *g = (const T *)r->g + image * c->g_image + group * c->out * c->windows;               \
    const T *gs[SIDE], *xs[TAPS];                                                                  \
    for (int j = 0; j < SIDE; j++) gs[j] = g + (o + j < c->out ? o + j : c->out - 1) * c->windows; \
    for (int64_t t = 0; t < c->n_taps; t += TAPS) {                                                \
      T sums[SIDE * TAPS] = {0};                                                                   \
      for (int j = 0; j < TAPS; j++)                                                               \
        xs[j] = x + r->taps[t + j < c->n_taps ? t + j : c->n_taps - 1];                            \
      th__conv_slope_##id(gs, xs, c->windows, sums);                                               \
      for (int i = 0; i < SIDE && o + i < c->out; i++)                                             \
        for (int j = 0; j < TAPS && t + j < c->n_taps; j++) {                                      \
          T sum = sums[i * TAPS + j];                                                              \
          if (sum - sum != 0) sum = exact_##id(c, gs[i], xs[j]);                                   \
          to[(o + i) * c->n_taps + t + j] += sum;                                                  \
        }                                                                                          \
    }                                                                                              \
  }                                                                                                \
  static void blocks_##id(const run *r, int64_t item) {                                            \
    const plan *c = r->c;                                                                          \
    int64_t blocks = c->groups * r->out_blocks, sum = item / blocks;                               \
    int64_t group = item / r->out_blocks % c->groups, o = item % r->out_blocks * SIDE;             \
    T *to = (T *)r->sums + sum * c->sum_size + group * c->out * c->n_taps;                         \
    for (int64_t image = sum; image < r->images; image += c->sums)                                 \
      block_##id(r, image, group, o, to);                                                          \
  }                                                                                                \
  static void join_##id(const run *r) {                                                            \
    const plan *c = r->c;                                                                          \
    T *to = (T *)r->sums;                                                                          \
    for (int64_t s = 1; s < c->sums; s++)                                                          \
      for (int64_t i = 0; i < c->sum_size; i++) to[i] += to[s * c->sum_size + i];                  \
    th__scatter(r->k->out[0].dtype, r->k->out_data[0], 1, c->sum_size, to);                        \
  }
BLOCK(f32, float)
BLOCK(f64, double)

static void run_blocks(int64_t first, int64_t last, void *arg) {
  const run *r = arg;
  for (int64_t i = first; i < last; i++) {
    if (r->c->compute == 8)
      blocks_f64(r, i);
    else
      blocks_f32(r, i);
  }
}

static th_status weight_slope_cpu(const th_kernel_args *k) {
  plan c = make_plan(k->params, &k->in[0], &k->in[1]);
  if (c.sum_size == 0) return TH_OK;
  if (th__winograd_slope_bytes(k->params, &k->in[0], &k->in[1]) > 0 && th__winograd_slope_run(k))
    return TH_OK; /* else an element is not finite, and would be spread over all taps of a window */
  run r = {.k = k, .c = &c, .taps = k->workspace};
  r.sums = (char *)(r.taps + c.n_taps);
  r.x = r.sums + c.sums * c.sum_size * c.compute;
  r.g = r.x + (c.round * c.x_image + c.windows + c.packing.plane) * c.compute;
  r.out_blocks = (c.out + SIDE - 1) / SIDE;
  memset(r.sums, 0, (size_t)(c.sums * c.sum_size * c.compute));
  memset(r.x + c.round * c.x_image * c.compute, 0,
         (size_t)((c.windows + c.packing.plane) * c.compute));
  int64_t blocks = c.groups * r.out_blocks;
  list_taps(&r);
  for (; r.first < c.images; r.first += c.round) {
    r.images = c.images - r.first < c.round ? c.images - r.first : c.round;
    th_parallel_for(k->context, r.images * c.groups * c.in, th__grain(c.packing.plane), pack_x, &r);
    th_parallel_for(k->context, r.images * c.groups * c.out, th__grain(c.windows), pack_g, &r);
    int64_t cost = c.windows * c.n_taps / 2 * ((r.images + c.sums - 1) / c.sums);
    th_parallel_for(k->context, c.sums * blocks, th__grain(cost), run_blocks, &r);
  }
  if (c.compute == 8)
    join_f64(&r);
  else
    join_f32(&r);
  return TH_OK;
}

static th_status vjp_weight_slope(const th_vjp *v) {
  th_array *x = v->inputs[0], *g = v->inputs[1], *u = v->gradients[0];
  if (v->needed[0])
    v->result[0] = th__conv_call(&th__op_conv2d_input_slope, v->params, &v->in[0].shape[2], g, u);
  if (v->needed[1]) v->result[1] = th__conv_call(&th__op_conv2d, v->params, NULL, x, u);
  return th__vjp_check(v);
}

const th_op th__op_conv2d_weight_slope = {
    .name = "conv2d_weight_slope",
    .in = {2, 0},
    .out = {1, 0},
    .saves = TH_SAVE_IN(0) | TH_SAVE_IN(1),
    .dtypes = TH_FLOATS,
    .params_size = sizeof(th__window_params),
    .infer = infer_weight_slope,
    .vjp = vjp_weight_slope,
    .cost = cost_weight_slope,
    .cpu = weight_slope_cpu,
    .test = {-1, 1, 1e-4},
};
