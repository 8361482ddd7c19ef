/* Owns conv2d, its gradient by the input, and conv1d, which is conv2d with rows of height 1.
 *
 * Planes of a few images are packed (ops/nn/window.h), so that every tap of the kernel is one offset for all windows; then eight
 * output channels are computed side by side over strips of windows. The gradient by the input is the same computation: g with
 * its elements spread by the stride, the kernel turned around, channels exchanged. */
#include "ops/nn/conv.h"

#include <string.h>

#include "engine/base/error.h"
#include "ops/nn/conv_kernel.h"
#include "ops/nn/conv_winograd.h"
#include "ops/loops/runs.h"

enum {
  STRIP = 512, /* windows of a strip */
  BAND = 7,    /* rows of a band */
  PIECE = 64   /* weights moved at a time */
};

/* --- inference --- */

static th_status check_pair(const th_infer *io) {
  for (int i = 1; i < io->n_in; i++)
    if (io->in[i].dtype != io->in[0].dtype)
      return th__fail(TH_EDTYPE, "%s: element types %s and %s differ", io->op->name,
                      th_dtype_name(io->in[0].dtype), th_dtype_name(io->in[i].dtype));
  if (io->in[0].ndim != 4 || io->in[1].ndim != 4)
    return th__window_refuse(io, "(n, c, h, w) and (o, c / groups, kh, kw) are wanted");
  return TH_OK;
}

/* The kernel of a convolution from `in` to `out` channels (all groups), as seen by its kernel function. */
typedef struct plan {
  th__packing packing;
  int64_t images, groups, in, out; /* channels of a group */
  int64_t kernel[2], count[2];     /* windows */
  int64_t n_taps, blocks;          /* of a group: taps, and blocks of output channels */
  int64_t image_bytes, weight_bytes, tap_bytes, round, compute;
  bool turned; /* gradient by the input */
} plan;

/* source: (n, groups * in, h, w); count: windows of the result. */
static plan make_plan(const th__window_params *p, const th_layout *source, const th_layout *weight,
                      const int64_t count[2], bool turned) {
  plan c = {.images = source->shape[0], .groups = p->groups, .turned = turned};
  c.in = source->shape[1] / p->groups;
  c.out = turned ? weight->shape[1] : weight->shape[0] / p->groups;
  c.compute = th__compute_size(th__compute_of(source->dtype));
  static const int64_t one[2] = {1, 1};
  for (int d = 0; d < 2; d++) {
    c.kernel[d] = weight->shape[2 + d];
    c.count[d] = count[d];
    c.packing.size[d] = source->shape[2 + d];
    c.packing.pad[d] = turned ? p->dilation[d] * (c.kernel[d] - 1) - p->padding[d] : p->padding[d];
    c.packing.spread[d] = turned ? p->stride[d] : 1;
  }
  th__packing_make(&c.packing, count, c.kernel, turned ? one : p->stride, p->dilation);
  c.n_taps = c.in * c.kernel[0] * c.kernel[1];
  c.blocks = (c.out + TH__CONV_OUTPUTS - 1) / TH__CONV_OUTPUTS;
  c.image_bytes = c.groups * c.in * c.packing.plane * c.compute;
  c.weight_bytes =
      th__conv_round_up(c.groups * c.blocks * TH__CONV_OUTPUTS * c.n_taps * c.compute, 64);
  c.tap_bytes = th__conv_round_up(c.n_taps * 8, 64);
  c.round = th__conv_round(c.images, c.image_bytes);
  return c;
}

/* Taps, weights, planes, and what strips read beyond the last plane. */
static int64_t plan_bytes(const plan *c) {
  return c->tap_bytes + c->weight_bytes + c->round * c->image_bytes + TH__CONV_WIDE * 8;
}

static int64_t workspace(const th__window_params *p, const th_layout *source,
                         const th_layout *weight, const int64_t count[2], bool turned) {
  int64_t bytes = th__winograd_bytes(p, source, weight, count, turned);
  if (bytes > 0) return bytes;
  plan c = make_plan(p, source, weight, count, turned);
  return plan_bytes(&c);
}

static th_status infer_conv(th_infer *io, const void *params) {
  const th__window_params *p = params;
  TH_TRY(check_pair(io));
  const th_layout *x = &io->in[0], *w = &io->in[1];
  if (p->groups < 1 || w->shape[0] % p->groups != 0 || x->shape[1] != w->shape[1] * p->groups)
    return th__window_refuse(io, "channels and groups do not fit");
  if (io->n_in > 2 && (io->in[2].ndim != 1 || io->in[2].shape[0] != w->shape[0]))
    return th__window_refuse(io, "the bias must have one element per output channel");
  int64_t count[2];
  TH_TRY(th__window_count(io, p, &x->shape[2], &w->shape[2], count));
  th_layout *out = &io->out[0];
  out->dtype = x->dtype;
  out->ndim = 4;
  out->shape[0] = x->shape[0];
  out->shape[1] = w->shape[0];
  out->shape[2] = count[0];
  out->shape[3] = count[1];
  io->workspace = workspace(p, x, w, count, false);
  return TH_OK;
}

static th_status infer_input_slope(th_infer *io, const void *params) {
  const th__window_params *p = params;
  TH_TRY(check_pair(io));
  const th_layout *g = &io->in[0], *w = &io->in[1];
  int64_t count[2];
  TH_TRY(th__window_count(io, p, p->size, &w->shape[2], count));
  if (g->shape[1] != w->shape[0] || g->shape[2] != count[0] || g->shape[3] != count[1])
    return th__window_refuse(io, "gradient and weights do not belong together");
  th_layout *out = &io->out[0];
  out->dtype = g->dtype;
  out->ndim = 4;
  out->shape[0] = g->shape[0];
  out->shape[1] = w->shape[1] * p->groups;
  out->shape[2] = p->size[0];
  out->shape[3] = p->size[1];
  io->workspace = workspace(p, g, w, p->size, true);
  return TH_OK;
}

static th_cost cost_conv(const th_infer *io, const void *params) {
  const th_layout *w = &io->in[1], *out = &io->out[0];
  int64_t taps = w->shape[1] * w->shape[2] * w->shape[3];
  const th_layout *windows = io->op == &th__op_conv2d_input_slope ? &io->in[0] : out;
  th_cost cost = {.flops = 2 * taps * th__layout_size(windows), .bytes = th__layout_bytes(out)};
  for (int i = 0; i < io->n_in; i++) cost.bytes += th__layout_bytes(&io->in[i]);
  return cost;
}

/* --- computing --- */

typedef struct run {
  const th_kernel_args *k;
  const plan *c;
  int64_t *taps;
  char *weights, *planes;
  int64_t first; /* image of the round */
  int64_t strips, windows;
} run;

/* Weights as [group][block][tap][output]; rows of a kernel that lie one behind the other are moved at once. */
static void pack_weights(int64_t first, int64_t last, void *arg) {
  const run *r = arg;
  const plan *c = r->c;
  const th_layout *w = &r->k->in[1];
  th_dtype t = w->dtype;
  int64_t item = (int64_t)th_dtype_size(t), kernel = c->kernel[0] * c->kernel[1];
  bool dense = w->strides[2] == c->kernel[1] * w->strides[3];
  int64_t length = dense ? kernel : c->kernel[1], step = w->strides[3] * (c->turned ? -1 : 1);
  for (int64_t i = first; i < last; i++) {
    int64_t group = i / c->out, o = i % c->out, block = group * c->blocks + o / TH__CONV_OUTPUTS;
    char *to =
        r->weights + (block * c->n_taps * TH__CONV_OUTPUTS + o % TH__CONV_OUTPUTS) * c->compute;
    for (int64_t tap = 0; tap < c->n_taps; tap += length) {
      int64_t in = tap / kernel, at = tap % kernel;
      if (c->turned) at = kernel - 1 - at;
      int64_t outer = c->turned ? group * c->in + in : i, inner = c->turned ? o : in;
      int64_t offset = outer * w->strides[0] + inner * w->strides[1] +
                       at / c->kernel[1] * w->strides[2] + at % c->kernel[1] * w->strides[3];
      for (int64_t done = 0; done < length; done += PIECE) {
        th__word room[PIECE];
        int64_t n = length - done < PIECE ? length - done : PIECE;
        th__gather(t, (const char *)r->k->in_data[1] + (offset + done * step) * item, step, n,
                   room);
        th__copy_run((size_t)c->compute, to, TH__CONV_OUTPUTS, room, 1, n);
        to += n * TH__CONV_OUTPUTS * c->compute;
      }
    }
  }
}

static void list_taps(const run *r) {
  const plan *c = r->c;
  int64_t kernel = c->kernel[0] * c->kernel[1];
  for (int64_t tap = 0; tap < c->n_taps; tap++)
    r->taps[tap] = tap / kernel * c->packing.plane +
                   th__packing_tap(&c->packing, tap % kernel / c->kernel[1], tap % c->kernel[1]);
}

static void pack_planes(int64_t first, int64_t last, void *arg) {
  const run *r = arg;
  const plan *c = r->c;
  const th_layout *x = &r->k->in[0];
  int64_t channels = c->groups * c->in, item = (int64_t)th_dtype_size(x->dtype);
  for (int64_t i = first; i < last; i++) {
    int64_t from = (r->first + i / channels) * x->strides[0] + i % channels * x->strides[1];
    th__packing_fill(&c->packing, x->dtype, (const char *)r->k->in_data[0] + from * item,
                     &x->strides[2], r->planes + i * c->packing.plane * c->compute);
  }
}

/* n values of windows from `window` on to the rows of a plane of the result; windows between rows are left out. */
#define STORE(id, T)                                                                               \
  static void store_##id(const run *r, const T *from, int64_t window, int64_t n, T bias,           \
                         char *plane) {                                                            \
    const plan *c = r->c;                                                                          \
    th_dtype t = r->k->out[0].dtype;                                                               \
    int64_t width = c->count[1], item = (int64_t)th_dtype_size(t), part;                           \
    for (int64_t i = 0; i < n; i += part) {                                                        \
      int64_t row = (window + i) / c->packing.row, column = (window + i) % c->packing.row;         \
      part = c->packing.row - column < n - i ? c->packing.row - column : n - i;                    \
      int64_t inside = column + part > width ? width - column : part;                              \
      char *to = plane + (row * width + column) * item;                                            \
      if (inside > 0 && item == sizeof(T)) {                                                       \
        for (int64_t j = 0; j < inside; j++) ((T *)to)[j] = from[i + j] + bias;                    \
      } else if (inside > 0) {                                                                     \
        T sums[STRIP];                                                                             \
        for (int64_t j = 0; j < inside; j++) sums[j] = from[i + j] + bias;                         \
        th__scatter(t, to, 1, inside, sums);                                                       \
      }                                                                                            \
    }                                                                                              \
  }                                                                                                \
  static void strip_##id(const run *r, int64_t image, int64_t group, int64_t first, int64_t n) {   \
    T sums[TH__CONV_OUTPUTS][STRIP + TH__CONV_WIDE];                                               \
    const plan *c = r->c;                                                                          \
    const th_layout *out = &r->k->out[0];                                                          \
    int64_t item = (int64_t)th_dtype_size(out->dtype), plane = c->count[0] * c->count[1];          \
    const T *x = (const T *)r->planes + (image * c->groups + group) * c->in * c->packing.plane;    \
    for (int64_t b = 0; b < c->blocks; b++) {                                                      \
      const T *w = (const T *)r->weights + (group * c->blocks + b) * c->n_taps * TH__CONV_OUTPUTS; \
      th__conv_run_##id(x + first, r->taps, c->n_taps, w, n, (int)(c->out - b * TH__CONV_OUTPUTS), \
                        sums[0], STRIP + TH__CONV_WIDE);                                           \
      for (int64_t j = 0; j < TH__CONV_OUTPUTS && b * TH__CONV_OUTPUTS + j < c->out; j++) {        \
        int64_t o = group * c->out + b * TH__CONV_OUTPUTS + j;                                     \
        T bias = 0;                                                                                \
        if (r->k->n_in > 2)                                                                        \
          th__gather(out->dtype,                                                                   \
                     (const char *)r->k->in_data[2] + o * r->k->in[2].strides[0] * item, 1, 1,     \
                     &bias);                                                                       \
        char *to =                                                                                 \
            (char *)r->k->out_data[0] + ((r->first + image) * out->shape[1] + o) * plane * item;   \
        store_##id(r, sums[j], first, n, bias, to);                                                \
      }                                                                                            \
    }                                                                                              \
  }
STORE(f32, float)
STORE(f64, double)

/* Rows [first, first + rows) of the result, where they hold whole vectors of the type computed with. */
#define BAND_OF(id, T)                                                                             \
  static void band_##id(const run *r, int64_t image, int64_t group, int64_t first, int64_t rows) { \
    const plan *c = r->c;                                                                          \
    const th_layout *out = &r->k->out[0];                                                          \
    int64_t plane = c->count[0] * c->count[1], row = c->packing.row;                               \
    const th__conv_rows k = {r->taps, c->n_taps, rows, c->count[1], row, plane};                   \
    const T *x = (const T *)r->planes + (image * c->groups + group) * c->in * c->packing.plane;    \
    const T *w = (const T *)r->weights + group * c->blocks * c->n_taps * TH__CONV_OUTPUTS;         \
    for (int64_t o = 0; o < c->out; o += TH__CONV_OUTPUTS, w += c->n_taps * TH__CONV_OUTPUTS) {    \
      int64_t outputs = c->out - o < TH__CONV_OUTPUTS ? c->out - o : TH__CONV_OUTPUTS;             \
      T bias[TH__CONV_OUTPUTS] = {0};                                                              \
      T *to = (T *)r->k->out_data[0] + first * c->count[1] +                                       \
              ((r->first + image) * out->shape[1] + group * c->out + o) * plane;                   \
      if (r->k->n_in > 2) {                                                                        \
        int64_t step = r->k->in[2].strides[0];                                                     \
        const T *from = (const T *)r->k->in_data[2] + (group * c->out + o) * step;                 \
        for (int64_t j = 0; j < outputs; j++) bias[j] = from[j * step];                            \
      }                                                                                            \
      th__conv_rows_##id(&k, x + first * row, w, bias, (int)outputs, to);                          \
    }                                                                                              \
  }
BAND_OF(f32, float)
BAND_OF(f64, double)

static void run_bands(int64_t first, int64_t last, void *arg) {
  const run *r = arg;
  int64_t height = r->c->count[0], bands = (height + BAND - 1) / BAND;
  for (int64_t i = first; i < last; i++) {
    int64_t at = i % bands * BAND, rows = height - at < BAND ? height - at : BAND, part = i / bands;
    if (r->c->compute == 8)
      band_f64(r, part / r->c->groups, part % r->c->groups, at, rows);
    else
      band_f32(r, part / r->c->groups, part % r->c->groups, at, rows);
  }
}

static void run_strips(int64_t first, int64_t last, void *arg) {
  const run *r = arg;
  for (int64_t i = first; i < last; i++) {
    int64_t at = i % r->strips * STRIP, part = i / r->strips;
    int64_t n = r->windows - at < STRIP ? r->windows - at : STRIP;
    if (r->c->compute == 8)
      strip_f64(r, part / r->c->groups, part % r->c->groups, at, n);
    else
      strip_f32(r, part / r->c->groups, part % r->c->groups, at, n);
  }
}

/* Whether results can be written by vectors as they are computed: four outputs at a time, elements as they are stored. */
static bool fills_vectors(const plan *c, th_dtype t) {
  return (t == TH_F32 || t == TH_F64) && c->out % 4 == 0 &&
         c->count[1] * c->compute >= th__conv_width();
}

static th_status convolve(const th_kernel_args *k, bool turned) {
  const th_layout *out = &k->out[0];
  if (th__layout_size(out) == 0) return TH_OK;
  if (th__winograd_bytes(k->params, &k->in[0], &k->in[1], &out->shape[2], turned) > 0)
    return th__winograd_run(k, turned);
  plan c = make_plan(k->params, &k->in[0], &k->in[1], &out->shape[2], turned);
  run r = {.k = k, .c = &c, .taps = k->workspace};
  r.weights = (char *)k->workspace + c.tap_bytes;
  r.planes = r.weights + c.weight_bytes;
  r.windows = (c.count[0] - 1) * c.packing.row + c.count[1];
  r.strips = (r.windows + STRIP - 1) / STRIP;
  list_taps(&r);
  if (c.out % TH__CONV_OUTPUTS != 0) memset(r.weights, 0, (size_t)c.weight_bytes);
  th_parallel_for(k->context, c.groups * c.out, th__grain(8 * c.n_taps), pack_weights, &r);
  memset(r.planes + c.round * c.image_bytes, 0, TH__CONV_WIDE * 8);
  bool bands = fills_vectors(&c, out->dtype);
  int64_t band = (c.count[0] + BAND - 1) / BAND;
  int64_t cost = c.n_taps * c.blocks * (bands ? BAND * c.count[1] : STRIP) / 4;
  for (; r.first < c.images; r.first += c.round) {
    int64_t images = c.images - r.first < c.round ? c.images - r.first : c.round;
    th_parallel_for(k->context, images * c.groups * c.in, th__grain(c.packing.plane), pack_planes,
                    &r);
    th_parallel_for(k->context, images * c.groups * (bands ? band : r.strips), th__grain(cost),
                    bands ? run_bands : run_strips, &r);
  }
  return TH_OK;
}

static th_status conv_cpu(const th_kernel_args *k) { return convolve(k, false); }
static th_status input_slope_cpu(const th_kernel_args *k) { return convolve(k, true); }

/* --- gradients --- */

th_array *th__conv_call(const th_op *op, const void *params, const int64_t *size, const th_array *a,
                        const th_array *b) {
  th__window_params p = *(const th__window_params *)params;
  for (int d = 0; d < 2 && size != NULL; d++) p.size[d] = size[d];
  return TH_CALL(op, &p, a, b);
}

static th_status vjp_conv(const th_vjp *v) {
  th_array *x = v->inputs[0], *w = v->inputs[1], *g = v->gradients[0];
  if (v->needed[0])
    v->result[0] = th__conv_call(&th__op_conv2d_input_slope, v->params, &v->in[0].shape[2], g, w);
  if (v->needed[1])
    v->result[1] = th__conv_call(&th__op_conv2d_weight_slope, v->params, &v->in[1].shape[2], x, g);
  if (v->n_in > 2 && v->needed[2]) v->result[2] = th_sum(g, (const int[]){0, 2, 3}, 3, false);
  return th__vjp_check(v);
}

static th_status vjp_input_slope(const th_vjp *v) {
  th_array *g = v->inputs[0], *w = v->inputs[1], *u = v->gradients[0];
  if (v->needed[0]) v->result[0] = th__conv_call(&th__op_conv2d, v->params, NULL, u, w);
  if (v->needed[1])
    v->result[1] = th__conv_call(&th__op_conv2d_weight_slope, v->params, &v->in[1].shape[2], u, g);
  return th__vjp_check(v);
}

const th_op th__op_conv2d = {
    .name = "conv2d",
    .in = {2, 3},
    .out = {1, 0},
    .saves = TH_SAVE_IN(0) | TH_SAVE_IN(1),
    .dtypes = TH_FLOATS,
    .params_size = sizeof(th__window_params),
    .infer = infer_conv,
    .vjp = vjp_conv,
    .cost = cost_conv,
    .cpu = conv_cpu,
    .test = {-1, 1, 1e-4},
};

const th_op th__op_conv2d_input_slope = {
    .name = "conv2d_input_slope",
    .in = {2, 0},
    .out = {1, 0},
    .saves = TH_SAVE_IN(0) | TH_SAVE_IN(1),
    .dtypes = TH_FLOATS,
    .params_size = sizeof(th__window_params),
    .infer = infer_input_slope,
    .vjp = vjp_input_slope,
    .cost = cost_conv,
    .cpu = input_slope_cpu,
    .test = {-1, 1, 1e-4},
};

/* --- public functions --- */

static th_array *call_conv(const th_array *x, const th_array *weight, const th_array *bias,
                           const th__window_params *p) {
  if (bias == NULL) return TH_CALL(&th__op_conv2d, p, x, weight);
  return TH_CALL(&th__op_conv2d, p, x, weight, bias);
}

static th_status take_config(const char *who, const th_conv_config *config, int dims,
                             const th_layout *weight, th__window_params *p) {
  static const int64_t one[2] = {1, 1};
  *p = (th__window_params){.groups = config != NULL ? config->groups : 1};
  for (int d = 0; d < dims && config != NULL; d++) {
    p->stride[2 - dims + d] = config->stride[d];
    p->padding[2 - dims + d] = config->padding[d];
    p->dilation[2 - dims + d] = config->dilation[d];
  }
  if (p->groups < 0) return th__fail(TH_EINVAL, "%s: %lld groups", who, (long long)p->groups);
  return th__window_check(who, p, dims == 2 && weight->ndim == 4 ? &weight->shape[2] : one);
}

th_array *th_conv2d(const th_array *x, const th_array *weight, const th_array *bias,
                    const th_conv_config *config) {
  th__window_params p = {.groups = 1};
  if (x != NULL && weight != NULL && take_config("conv2d", config, 2, &weight->layout, &p) != TH_OK)
    return NULL;
  return call_conv(x, weight, bias, &p);
}

th_array *th_conv1d(const th_array *x, const th_array *weight, const th_array *bias,
                    const th_conv_config *config) {
  th__window_params p = {.groups = 1};
  if (x == NULL || weight == NULL) return call_conv(x, weight, bias, &p);
  if (x->layout.ndim != 3 || weight->layout.ndim != 3)
    return th__fail_null(TH_ESHAPE,
                         "conv1d: %d and %d dimensions; (n, c, l) and (o, c / groups, k) "
                         "are wanted",
                         x->layout.ndim, weight->layout.ndim);
  if (take_config("conv1d", config, 1, &weight->layout, &p) != TH_OK) return NULL;
  th_scope scope = th__scope_suspend();
  th_array *high = th_expand_dims((th_array *)x, 2), *tall = th_expand_dims((th_array *)weight, 2);
  th_array *out = high != NULL && tall != NULL ? call_conv(high, tall, bias, &p) : NULL;
  th_array *flat = out != NULL ? th_squeeze(out, (const int[]){2}, 1) : NULL;
  th_release(high);
  th_release(tall);
  th_release(out);
  return th__scope_resume(scope, flat);
}

TH_FAMILY_TABLE(conv);
const th_op *const th__family_conv[] = {&th__op_conv2d, &th__op_conv2d_input_slope,
                                        &th__op_conv2d_weight_slope, NULL};
