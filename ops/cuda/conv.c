/* Owns the launchers of convolutions: each is a product of tiles (tiles.h), and says what its rows, columns and steps are. */
#include "engine/base/error.h"
#include "ops/cuda/cuda.h"
#include "ops/cuda/tiles.h"
#include "ops/params_nn.h"

#define BLOCKS_WANTED 256 /* fewer are made more by cutting the sums, */
#define CHUNK_LEAST   256 /* but not into shorter ones */

/* Rows of a thread by the rows of a group, so that few channels leave few threads without work. */
static int thread_rows(const th__cuda_tiles *t) { return t->rows > 16 ? 4 : t->rows > 8 ? 2 : 1; }

static int64_t parts_of(int64_t n, int64_t size) { return (n + size - 1) / size; }

/* What is left to say once operands are described. The cut depends on shapes alone, and so do the bits. */
static void cut(th__cuda_tiles *t, const th_layout *out) {
  t->columns = t->column[0] * t->column[1] * t->column[2];
  t->steps = t->step[0] * t->step[1] * t->step[2];
  t->row_tiles = parts_of(t->rows, 8 * thread_rows(t));
  t->column_tiles = parts_of(t->columns, TH__TILE_COLUMNS);
  t->results = th__layout_size(out);
  t->dtype = (int32_t)out->dtype;
  int64_t blocks = t->groups * t->row_tiles * t->column_tiles, chunks = 1;
  if (blocks > 0) chunks = parts_of(BLOCKS_WANTED, blocks);
  if (chunks > t->steps / CHUNK_LEAST) chunks = t->steps / CHUNK_LEAST;
  if (chunks < 1) chunks = 1;
  t->chunk = parts_of(parts_of(t->steps, chunks), TH__TILE_STEPS) * TH__TILE_STEPS;
  t->chunks = t->steps > 0 ? parts_of(t->steps, t->chunk) : 1;
}

static th__cuda_kernel *kernel_of(const th__cuda_tiles *t) {
  static th__cuda_kernel single[3] = {
      {.name = "conv2d_1_single"}, {.name = "conv2d_2_single"}, {.name = "conv2d_4_single"}};
  static th__cuda_kernel f64[3] = {
      {.name = "conv2d_1_f64"}, {.name = "conv2d_2_f64"}, {.name = "conv2d_4_f64"}};
  return (t->dtype == TH_F64 ? f64 : single) + thread_rows(t) / 2;
}

/* The first input is `right`, the second `left`; bias may be NULL. */
static th_status run(const th_kernel_args *k, th__cuda_tiles *t, const void *bias) {
  static th__cuda_kernel join_single = {.name = "conv2d_join_single"},
                         join_f64 = {.name = "conv2d_join_f64"};
  void *out = k->out_data[0], *parts = NULL, *none = NULL;
  cut(t, &k->out[0]);
  if (t->results == 0) return TH_OK;
  bool joined = t->chunks > 1;
  int64_t element = t->dtype == TH_F64 ? 8 : 4;
  if (joined) TH_TRY(th__cuda_scratch(k->context, t->chunks * t->results * element, &parts));
  TH_TRY(th__cuda_blocks(k->context, &th__image_conv, kernel_of(t),
                         t->groups * t->row_tiles * t->column_tiles * t->chunks,
                         (void *[]){joined ? &none : &out, &parts, (void *)&k->in_data[1],
                                    (void *)&k->in_data[0], joined ? (void *)&none : (void *)&bias,
                                    t}));
  if (!joined) return TH_OK;
  return th__cuda_blocks(k->context, &th__image_conv, t->dtype == TH_F64 ? &join_f64 : &join_single,
                         th__cuda_blocks_for(k->context, t->results),
                         (void *[]){&out, &parts, &bias, t});
}

/* What all three have in common: channels per group, and strides of the result's and the weights' four dimensions. */
static th__cuda_tiles describe(const th_kernel_args *k, const th_layout *plane) {
  const th__window_params *p = k->params;
  th__cuda_tiles t = {.groups = p->groups, .right = {plane->strides[2], plane->strides[3]}};
  for (int d = 0; d < 2; d++) {
    t.size[d] = plane->shape[2 + d];
    t.divisor[d] = 1;
  }
  return t;
}

static void set3(int64_t to[3], int64_t a, int64_t b, int64_t c) {
  to[0] = a;
  to[1] = b;
  to[2] = c;
}

/* Columns are places of the result's planes. */
static void columns_of_planes(th__cuda_tiles *t, const th_layout *out) {
  int64_t plane = out->shape[2] * out->shape[3];
  set3(t->column, out->shape[0], out->shape[2], out->shape[3]);
  set3(t->out_column, out->shape[1] * plane, out->shape[3], 1);
  t->out_row = plane;
  t->out_group = t->rows * plane;
}

/* Rows are channels of the result, steps are taps of its input's channels. */
static th_status conv_cuda(const th_kernel_args *k) {
  const th__window_params *p = k->params;
  const th_layout *x = &k->in[0], *w = &k->in[1], *y = &k->out[0];
  th__cuda_tiles t = describe(k, x);
  t.rows = y->shape[1] / p->groups;
  set3(t.step, w->shape[1], w->shape[2], w->shape[3]);
  t.left_group = t.rows * w->strides[0];
  t.left_row = w->strides[0];
  set3(t.left_step, w->strides[1], w->strides[2], w->strides[3]);
  t.right_group = w->shape[1] * x->strides[1];
  t.right_column = x->strides[0];
  t.right_step = x->strides[1];
  for (int d = 0; d < 2; d++) {
    t.origin[d] = -p->padding[d];
    t.by_column[d] = p->stride[d];
    t.by_step[d] = p->dilation[d];
  }
  columns_of_planes(&t, y);
  if (k->n_in > 2) t.bias = k->in[2].strides[0];
  return run(k, &t, k->n_in > 2 ? k->in_data[2] : NULL);
}

/* Rows are channels of x, steps are taps of the channels of g; a tap is over a window where the stride goes into its place. */
static th_status input_slope_cuda(const th_kernel_args *k) {
  const th__window_params *p = k->params;
  const th_layout *g = &k->in[0], *w = &k->in[1], *x = &k->out[0];
  th__cuda_tiles t = describe(k, g);
  int64_t outs = g->shape[1] / p->groups;
  t.rows = x->shape[1] / p->groups;
  set3(t.step, outs, w->shape[2], w->shape[3]);
  t.left_group = outs * w->strides[0];
  t.left_row = w->strides[1];
  set3(t.left_step, w->strides[0], w->strides[2], w->strides[3]);
  t.right_group = outs * g->strides[1];
  t.right_column = g->strides[0];
  t.right_step = g->strides[1];
  for (int d = 0; d < 2; d++) {
    t.origin[d] = p->padding[d];
    t.by_column[d] = 1;
    t.by_step[d] = -p->dilation[d];
    t.divisor[d] = p->stride[d];
  }
  columns_of_planes(&t, x);
  return run(k, &t, NULL);
}

/* Rows are channels of g, columns are weights of a channel, steps are windows of all images. */
static th_status weight_slope_cuda(const th_kernel_args *k) {
  const th__window_params *p = k->params;
  const th_layout *x = &k->in[0], *g = &k->in[1], *w = &k->out[0];
  th__cuda_tiles t = describe(k, x);
  int64_t taps = w->shape[2] * w->shape[3];
  t.rows = w->shape[0] / p->groups;
  set3(t.column, w->shape[1], w->shape[2], w->shape[3]);
  set3(t.step, g->shape[0], g->shape[2], g->shape[3]);
  t.left_group = t.rows * g->strides[1];
  t.left_row = g->strides[1];
  set3(t.left_step, g->strides[0], g->strides[2], g->strides[3]);
  t.right_group = w->shape[1] * x->strides[1];
  t.right_column = x->strides[1];
  t.right_step = x->strides[0];
  for (int d = 0; d < 2; d++) {
    t.origin[d] = -p->padding[d];
    t.by_column[d] = p->dilation[d];
    t.by_step[d] = p->stride[d];
  }
  set3(t.out_column, taps, w->shape[3], 1);
  t.out_row = w->shape[1] * taps;
  t.out_group = t.rows * t.out_row;
  return run(k, &t, NULL);
}

extern const th__cuda_entry th__cuda_convolutions[];
const th__cuda_entry th__cuda_convolutions[] = {{"conv2d", conv_cuda},
                                                {"conv2d_input_slope", input_slope_cuda},
                                                {"conv2d_weight_slope", weight_slope_cuda},
                                                {NULL, NULL}};
