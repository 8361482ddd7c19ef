/* Owns the operators that draw whole numbers: randint, bernoulli and categorical, and dropout, which draws what it keeps.
 * Comparisons and products of integers and sums of doubles only, so that every device draws the same. */
#include <math.h>

#include "engine/base/error.h"
#include "ops/random/generator.h"
#include "ops/op.h"
#include "ops/params_nn.h"
#include "ops/random/random.h"
#include "ops/loops/runs.h"

enum { PIECE = 1024 }; /* elements worked on at a time; a multiple of 4 */

static uint64_t blocks_of(int64_t n, int64_t width) {
  return ((uint64_t)n + (uint64_t)width - 1) / (uint64_t)width;
}

/* A word below this comes with probability p. */
static uint64_t threshold(double p) { return (uint64_t)(p * 0x1p32); }

static th_status take_shape(th_infer *io, const int64_t *shape, int ndim, th_dtype t) {
  io->out[0].dtype = t;
  io->out[0].ndim = ndim;
  for (int d = 0; d < ndim; d++) io->out[0].shape[d] = shape[d];
  return TH_OK;
}

/* Checks a shape, copies it to `to` and gives its elements; -1 when it is none. */
static int64_t check_shape(const char *who, const int64_t *shape, int ndim, th_dtype t,
                           int64_t *to) {
  th_layout made;
  if (th__engine_ensure() != TH_OK || th__layout_make(&made, shape, ndim, t, who) != TH_OK)
    return -1;
  for (int d = 0; d < ndim; d++) to[d] = shape[d];
  return th__layout_size(&made);
}

typedef struct filling {
  const void *params;
  char *out;
  int64_t n;
} filling;

/* --- randint --- */

static th_status infer_randint(th_infer *io, const void *params) {
  const th__randint_params *p = params;
  return take_shape(io, p->shape, p->ndim, p->dtype);
}

static void randint_blocks(int64_t first, int64_t last, void *arg) {
  const filling *f = arg;
  const th__randint_params *p = f->params;
  for (int64_t block = first; block < last; block++) {
    uint32_t words[4];
    int64_t values[2];
    th__philox_block(p->seed, p->counter + (uint64_t)block, words);
    for (int i = 0; i < 2; i++) {
      uint64_t bits = (uint64_t)words[2 * i] << 32 | words[2 * i + 1];
      uint64_t above = (uint64_t)((unsigned __int128)bits * p->range >> 64);
      values[i] = (int64_t)((uint64_t)p->low + above);
    }
    int64_t at = 2 * block, item = (int64_t)th_dtype_size(p->dtype);
    th__scatter(p->dtype, f->out + at * item, 1, f->n - at < 2 ? f->n - at : 2, values);
  }
}

static th_status randint_cpu(const th_kernel_args *k) {
  filling f = {k->params, k->out_data[0], th__layout_size(&k->out[0])};
  th_parallel_for(k->context, (int64_t)blocks_of(f.n, 2), th__grain(16), randint_blocks, &f);
  return TH_OK;
}

static const th_op op_randint = {
    .name = "randint",
    .in = {0, 0},
    .out = {1, 0},
    .flags = TH_OP_RANDOM | TH_OP_FLAT,
    .params_size = sizeof(th__randint_params),
    .infer = infer_randint,
    .cpu = randint_cpu,
};
th_array *th_randint(th_generator *g, const int64_t *shape, int ndim, int64_t low, int64_t high,
                     th_dtype t, th_device d) {
  if (!th__dtype_valid(t) || !th__dtype_in(t, TH_INTS))
    return th__fail_null(TH_EDTYPE, "randint: element type %s; an integer type is wanted",
                         th_dtype_name(t));
  if (low >= high)
    return th__fail_null(TH_EINVAL, "randint: [%lld, %lld) is empty", (long long)low,
                         (long long)high);
  int64_t ends[2] = {low, high - 1};
  for (int i = 0; i < 2; i++) {
    char cell[8];
    th__scatter(t, cell, 1, 1, &ends[i]);
    if (th__dtype_get_int(t, cell) != ends[i] || (ends[i] < 0 && th__dtype_in(t, TH_UINTS)))
      return th__fail_null(TH_EINVAL, "randint: %s does not hold %lld", th_dtype_name(t),
                           (long long)ends[i]);
  }
  th__randint_params p = {
      .low = low, .range = (uint64_t)high - (uint64_t)low, .ndim = ndim, .dtype = t};
  int64_t n = check_shape("randint", shape, ndim, t, p.shape);
  if (n < 0) return NULL;
  th__generator_take(g, blocks_of(n, 2), &p.seed, &p.counter);
  th_array *out = NULL;
  return th__invoke_on(d, &op_randint, &p, NULL, 0, &out, 1) == TH_OK ? out : NULL;
}

/* --- bernoulli --- */

static th_status infer_bernoulli(th_infer *io, const void *params) {
  const th__bernoulli_params *p = params;
  return take_shape(io, p->shape, p->ndim, p->dtype);
}

static void bernoulli_blocks(int64_t first, int64_t last, void *arg) {
  const filling *f = arg;
  const th__bernoulli_params *p = f->params;
  int64_t item = (int64_t)th_dtype_size(p->dtype);
  for (int64_t block = first; block < last; block++) {
    uint32_t words[4];
    double values[4];
    th__philox_block(p->seed, p->counter + (uint64_t)block, words);
    for (int i = 0; i < 4; i++) values[i] = words[i] < p->below;
    int64_t at = 4 * block;
    th__scatter_f64(p->dtype, f->out + at * item, 1, f->n - at < 4 ? f->n - at : 4, values);
  }
}

static th_status bernoulli_cpu(const th_kernel_args *k) {
  filling f = {k->params, k->out_data[0], th__layout_size(&k->out[0])};
  th_parallel_for(k->context, (int64_t)blocks_of(f.n, 4), th__grain(16), bernoulli_blocks, &f);
  return TH_OK;
}

static const th_op op_bernoulli = {
    .name = "bernoulli",
    .in = {0, 0},
    .out = {1, 0},
    .flags = TH_OP_RANDOM | TH_OP_FLAT,
    .params_size = sizeof(th__bernoulli_params),
    .infer = infer_bernoulli,
    .cpu = bernoulli_cpu,
};
th_array *th_bernoulli(th_generator *g, const int64_t *shape, int ndim, double p, th_dtype t,
                       th_device d) {
  if (!th__dtype_valid(t)) return th__fail_null(TH_EDTYPE, "bernoulli: no element type %d", (int)t);
  if (!(p >= 0 && p <= 1))
    return th__fail_null(TH_EINVAL, "bernoulli: probability %g is outside [0, 1]", p);
  th__bernoulli_params params = {.below = threshold(p), .ndim = ndim, .dtype = t};
  int64_t n = check_shape("bernoulli", shape, ndim, t, params.shape);
  if (n < 0) return NULL;
  th__generator_take(g, blocks_of(n, 4), &params.seed, &params.counter);
  th_array *out = NULL;
  return th__invoke_on(d, &op_bernoulli, &params, NULL, 0, &out, 1) == TH_OK ? out : NULL;
}

/* --- categorical --- */

static th_status infer_categorical(th_infer *io, const void *params) {
  const th_layout *weights = &io->in[0];
  char text[TH__SHAPE_TEXT];
  int d = weights->ndim - 1;
  if (d != 0 && d != 1)
    return th__fail(TH_ESHAPE, "categorical: weights %s; (classes) or (rows, classes) are wanted",
                    th__shape_text(weights->shape, weights->ndim, text, sizeof text));
  if (weights->shape[d] == 0) return th__fail(TH_ESHAPE, "categorical: no classes");
  io->out[0].dtype = TH_I64;
  io->out[0].ndim = d + 1;
  if (d == 1) io->out[0].shape[0] = weights->shape[0];
  io->out[0].shape[d] = ((const th__categorical_params *)params)->n;
  io->workspace = th__layout_size(weights) * 8;
  return TH_OK;
}

typedef struct drawing {
  const th__categorical_params *p;
  double *sums; /* running sums of each row's weights */
  int64_t classes, *out;
} drawing;

/* The first class whose running sum is above a random part of the whole. */
static void draw_elements(int64_t first, int64_t last, void *arg) {
  const drawing *d = arg;
  for (int64_t i = first; i < last; i++) {
    const double *sums = d->sums + i / d->p->n * d->classes;
    uint32_t words[4];
    th__philox_block(d->p->seed, d->p->counter + (uint64_t)(i / 2), words);
    uint64_t bits = (uint64_t)words[i % 2 * 2] << 32 | words[i % 2 * 2 + 1];
    double target = (double)(bits >> 11) * 0x1p-53 * sums[d->classes - 1];
    int64_t low = 0, high = d->classes - 1;
    while (low < high) {
      int64_t middle = (low + high) / 2;
      if (sums[middle] > target)
        high = middle;
      else
        low = middle + 1;
    }
    /* Rounded up to the whole: the last class that has a weight. */
    while (low > 0 && sums[low] == sums[low - 1]) low--;
    d->out[i] = low;
  }
}

static th_status categorical_cpu(const th_kernel_args *k) {
  const th_layout *w = &k->in[0];
  int64_t rows = w->ndim == 2 ? w->shape[0] : 1, item = (int64_t)th_dtype_size(w->dtype);
  drawing d = {k->params, k->workspace, w->shape[w->ndim - 1], k->out_data[0]};
  for (int64_t r = 0; r < rows; r++) {
    double *sums = d.sums + r * d.classes, sum = 0;
    const char *row = (const char *)k->in_data[0] + (w->ndim == 2 ? r * w->strides[0] * item : 0);
    th__gather_f64(w->dtype, row, w->strides[w->ndim - 1], d.classes, sums);
    for (int64_t j = 0; j < d.classes; j++) {
      if (!(sums[j] >= 0))
        return th_context_fail(k->context, TH_EINVAL, "categorical: weight %g in row %lld", sums[j],
                               (long long)r);
      sums[j] = sum += sums[j];
    }
    if (!(sum > 0) || isinf(sum))
      return th_context_fail(k->context, TH_EINVAL,
                             "categorical: the weights of row %lld sum to %g", (long long)r, sum);
  }
  th_parallel_for(k->context, th__layout_size(&k->out[0]), th__grain(32), draw_elements, &d);
  return TH_OK;
}

static const th_op op_categorical = {
    .name = "categorical",
    .in = {1, 0},
    .out = {1, 0},
    .flags = TH_OP_RANDOM | TH_OP_FLAT,
    .dtypes = TH_FLOATS,
    .params_size = sizeof(th__categorical_params),
    .infer = infer_categorical,
    .cpu = categorical_cpu,
    .test = {0.1, 2, 0},
};
th_array *th_categorical(th_generator *g, const th_array *weights, int64_t n) {
  if (n < 0) return th__fail_null(TH_EINVAL, "categorical: %lld draws", (long long)n);
  if (weights == NULL) return TH_CALL(&op_categorical, NULL, weights);
  const th_layout *w = &weights->layout;
  int64_t rows = w->ndim == 2 ? w->shape[0] : 1;
  if (n > 0 && rows > INT64_MAX / 8 / n)
    return th__fail_null(TH_EOVERFLOW, "categorical: %lld draws from each of %lld rows",
                         (long long)n, (long long)rows);
  th__categorical_params p = {.n = n};
  th__generator_take(g, blocks_of(rows * n, 2), &p.seed, &p.counter);
  return TH_CALL(&op_categorical, &p, weights);
}

/* --- dropout --- */

typedef struct dropping {
  const th_kernel_args *k;
  th_layout in; /* collapsed */
} dropping;

#define DROP(id, T)                                                                                \
  static void drop_##id(const th__dropout_params *p, int64_t first, int64_t n, const T *x, T *y) { \
    const T scale = (T)p->scale;                                                                   \
    for (int64_t i = 0; i < n; i += 4) {                                                           \
      uint32_t words[4];                                                                           \
      th__philox_block(p->seed, p->counter + (uint64_t)((first + i) / 4), words);                  \
      for (int64_t j = 0; j < 4 && i + j < n; j++)                                                 \
        y[i + j] = words[j] < p->below ? x[i + j] * scale : 0;                                     \
    }                                                                                              \
  }
DROP(f32, float)
DROP(f64, double)

static void drop_pieces(int64_t first, int64_t last, void *arg) {
  const dropping *d = arg;
  const th__dropout_params *p = d->k->params;
  th_dtype t = d->in.dtype;
  int64_t size = th__layout_size(&d->in), item = (int64_t)th_dtype_size(t);
  for (int64_t i = first * PIECE; i < last * PIECE && i < size; i += PIECE) {
    th__word in[PIECE], out[PIECE];
    int64_t n = size - i < PIECE ? size - i : PIECE;
    const void *x = th__gathered_range(&d->in, d->k->in_data[0], i, n, in);
    if (t == TH_F64)
      drop_f64(p, i, n, x, (double *)out);
    else
      drop_f32(p, i, n, x, (float *)out);
    th__scatter(t, (char *)d->k->out_data[0] + i * item, 1, n, out);
  }
}

static th_status dropout_cpu(const th_kernel_args *k) {
  dropping d = {.k = k, .in = k->in[0]};
  d.in.ndim = th__layouts_collapse(&d.in, 1);
  int64_t pieces = (th__layout_size(&d.in) + PIECE - 1) / PIECE;
  th_parallel_for(k->context, pieces, th__grain(4 * PIECE), drop_pieces, &d);
  return TH_OK;
}

static const th_op op_dropout;
/* The same elements of the gradient, so no mask is kept. */
static th_status vjp_dropout(const th_vjp *v) {
  v->result[0] = TH_CALL(&op_dropout, v->params, v->gradients[0]);
  return th__vjp_check(v);
}

static const th_op op_dropout = {
    .name = "dropout",
    .in = {1, 0},
    .out = {1, 0},
    .flags = TH_OP_RANDOM,
    .dtypes = TH_FLOATS,
    .params_size = sizeof(th__dropout_params),
    .infer = th__infer_same,
    .vjp = vjp_dropout,
    .cpu = dropout_cpu,
    .test = {-3, 3, 1e-4},
};
th_array *th_dropout(th_generator *g, const th_array *a, double p, bool training) {
  if (!(p >= 0 && p <= 1))
    return th__fail_null(TH_EINVAL, "dropout: probability %g is outside [0, 1]", p);
  if (a == NULL) return TH_CALL(&op_dropout, NULL, a);
  if (!training || p == 0) return th_broadcast_to((th_array *)a, a->layout.shape, a->layout.ndim);
  th__dropout_params params = {.below = threshold(1 - p), .scale = p < 1 ? 1 / (1 - p) : 0};
  th__generator_take(g, blocks_of(th__layout_size(&a->layout), 4), &params.seed, &params.counter);
  return TH_CALL(&op_dropout, &params, a);
}

TH_FAMILY_TABLE(sample);
const th_op *const th__family_sample[] = {&op_randint, &op_bernoulli, &op_categorical, &op_dropout,
                                          NULL};
