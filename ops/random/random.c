/* Owns generators and the operators that fill arrays with random numbers.
 *
 * Philox4x32-10 turns a 64-bit key (the seed) and a 128-bit counter into four random words. A call takes as many counters as
 * its shape needs when it is submitted, under the generator's lock; element i is a function of seed and counter alone. */
#include <math.h>

#include "engine/base/atomic.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "ops/random/generator.h"
#include "ops/op.h"
#include "ops/random/random.h"
#include "ops/loops/runs.h"
#include "ops/params.h"

/* --- generators --- */

struct th_generator {
  _Atomic int32_t refs;
  th__spin lock;
  uint64_t seed;    /* under lock */
  uint64_t counter; /* under lock: the next one to hand out */
};

static th_generator default_generator;

th_generator *th_generator_new(uint64_t seed) {
  th_generator *g = th__zalloc(sizeof *g);
  if (g == NULL) return NULL;
  th__store(&g->refs, 1, TH__RELAXED);
  g->seed = seed;
  return g;
}

void th_generator_release(th_generator *g) {
  if (g == NULL || g == &default_generator) return;
  /* Tasks hold copies of seed and counter, never the generator. */
  if (th__fetch_sub(&g->refs, 1, TH__ACQ_REL) == 1) th__free(g);
}

void th_generator_state(th_generator *g, uint64_t *seed, uint64_t *counter) {
  if (g == NULL) g = &default_generator;
  th__spin_lock(&g->lock);
  if (seed != NULL) *seed = g->seed;
  if (counter != NULL) *counter = g->counter;
  th__spin_unlock(&g->lock);
}

void th_generator_set_state(th_generator *g, uint64_t seed, uint64_t counter) {
  if (g == NULL) g = &default_generator;
  th__spin_lock(&g->lock);
  g->seed = seed;
  g->counter = counter;
  th__spin_unlock(&g->lock);
}

void th_seed(uint64_t seed) {
  th__spin_lock(&default_generator.lock);
  default_generator.seed = seed;
  default_generator.counter = 0;
  th__spin_unlock(&default_generator.lock);
}

static _Thread_local th__draws *draws; /* innermost, NULL for most */

static void *put_aside(void) {
  th__draws *d = draws;
  draws = NULL;
  return d;
}
static void put_back(void *saved) { draws = saved; }

th_status th__draws_begin(th__draws *d) {
  TH_TRY(th__engine_on_switch(put_aside, put_back));
  d->outer = draws;
  d->next = 0;
  draws = d;
  return TH_OK;
}

th_status th__draws_end(th__draws *d) {
  draws = d->outer;
  return d->failed ? TH_ENOMEM : TH_OK;
}

static void note(th__draws *d, th__draw taken) {
  if (d->n == d->capacity) {
    int64_t more = d->capacity * 2 + 4;
    th__draw *grown = th__resize(d->taken, (size_t)more * sizeof *grown);
    if (grown == NULL) {
      d->failed = true;
      return;
    }
    d->taken = grown;
    d->capacity = more;
  }
  d->taken[d->n++] = taken;
}

static th__draw take(th__draws *d, th_generator *g, uint64_t blocks) {
  th__draw taken;
  if (d != NULL && d->again && d->next < d->n) return d->taken[d->next++];
  if (d != NULL) {
    taken = take(d->outer, g, blocks);
    if (!d->again) note(d, taken);
    return taken;
  }
  th__spin_lock(&g->lock);
  taken = (th__draw){g->seed, g->counter};
  g->counter += blocks;
  th__spin_unlock(&g->lock);
  return taken;
}

void th__generator_take(th_generator *g, uint64_t blocks, uint64_t *seed, uint64_t *counter) {
  th__draw taken = take(draws, g != NULL ? g : &default_generator, blocks);
  *seed = taken.seed;
  *counter = taken.counter;
}

/* --- operators --- */

typedef enum filling { BITS, UNIFORM, NORMAL } filling;

/* Elements that one block of four words gives. */
static int64_t per_block(th_dtype t) { return t == TH_F64 ? 2 : 4; }

static th_status infer_random(th_infer *io, const void *params) {
  const th__random_params *p = params;
  io->out[0].dtype = p->dtype;
  io->out[0].ndim = p->ndim;
  for (int d = 0; d < p->ndim; d++) io->out[0].shape[d] = p->shape[d];
  return TH_OK;
}

/* [0, 1) with as many bits as the type's fraction holds exactly. */
static double unit(th_dtype t, const uint32_t *words) {
  if (t == TH_F64) {
    uint64_t bits = ((uint64_t)words[0] << 32 | words[1]) >> 11;
    return (double)bits * 0x1p-53;
  }
  if (t == TH_F16) return (double)(words[0] >> 21) * 0x1p-11;
  if (t == TH_BF16) return (double)(words[0] >> 24) * 0x1p-8;
  return (double)(words[0] >> 8) * 0x1p-24;
}

/* Rounding to the type may reach high: then the next value below it is taken. */
static void put_uniform(const th__random_params *p, const uint32_t *words, char *to) {
  double value = p->a + unit(p->dtype, words) * (p->b - p->a);
  if (p->dtype == TH_F64) {
    *(double *)to = value < p->b || p->a == p->b ? value : nextafter(p->b, p->a);
  } else if (p->dtype == TH_F32) {
    float rounded = (float)value, high = (float)p->b;
    if (!((double)rounded < p->b) && p->a != p->b)
      rounded = (double)high < p->b ? high : nextafterf(high, (float)p->a);
    *(float *)to = rounded;
  } else { /* halves order like their bits within one sign */
    th__dtype_set(p->dtype, to, value);
    if (p->a == p->b || th__dtype_get(p->dtype, to) < p->b) return;
    uint16_t *bits = (uint16_t *)to;
    *bits = (*bits & 0x7fff) == 0 ? 0x8001 : (uint16_t)(*bits & 0x8000 ? *bits + 1 : *bits - 1);
  }
}

/* Box-Muller on pairs of uniforms, the first in (0, 1]. */
static void put_normals(const th__random_params *p, const uint32_t *words, int64_t n, char *to) {
  int64_t item = (int64_t)th_dtype_size(p->dtype);
  for (int64_t i = 0; i < n; i += 2) {
    double pair[2];
    if (p->dtype == TH_F64) {
      uint64_t x = ((uint64_t)words[0] << 32 | words[1]) >> 11;
      uint64_t y = ((uint64_t)words[2] << 32 | words[3]) >> 11;
      double radius = sqrt(-2 * log((double)(x + 1) * 0x1p-53));
      double angle = 6.283185307179586 * ((double)y * 0x1p-53);
      pair[0] = radius * cos(angle);
      pair[1] = radius * sin(angle);
    } else {
      float radius = sqrtf(-2 * logf((float)(((double)words[i] + 1) * 0x1p-32)));
      float angle = 6.2831853f * ((float)(words[i + 1] >> 8) * 0x1p-24f);
      pair[0] = (double)(radius * cosf(angle));
      pair[1] = (double)(radius * sinf(angle));
    }
    for (int64_t j = 0; j < 2 && i + j < n; j++) {
      double value = p->a + p->b * pair[j];
      if (p->dtype == TH_F32)
        ((float *)to)[i + j] = (float)value;
      else
        th__dtype_set(p->dtype, to + (i + j) * item, value);
    }
  }
}

typedef struct fill {
  const th__random_params *p;
  filling what;
  char *out;
  int64_t n;
} fill;

static void fill_blocks(int64_t first, int64_t last, void *arg) {
  const fill *f = arg;
  const th__random_params *p = f->p;
  int64_t item = (int64_t)th_dtype_size(p->dtype), width = per_block(p->dtype);
  for (int64_t block = first; block < last; block++) {
    int64_t at = block * width, n = f->n - at < width ? f->n - at : width;
    char *to = f->out + at * item;
    uint32_t words[4];
    th__philox_block(p->seed, p->counter + (uint64_t)block, words);
    if (f->what == NORMAL) {
      put_normals(p, words, n, to);
      continue;
    }
    for (int64_t i = 0; i < n; i++) {
      if (f->what == BITS)
        ((uint32_t *)to)[i] = words[i];
      else
        put_uniform(p, words + i * (4 / width), to + i * item);
    }
  }
}

static th_status fill_cpu(const th_kernel_args *k, filling what) {
  fill f = {.p = k->params, .what = what, .out = k->out_data[0], .n = th__layout_size(&k->out[0])};
  int64_t width = per_block(f.p->dtype);
  th_parallel_for(k->context, (f.n + width - 1) / width, th__grain(8 * width), fill_blocks, &f);
  return TH_OK;
}

static th_status bits_cpu(const th_kernel_args *k) { return fill_cpu(k, BITS); }
static th_status uniform_cpu(const th_kernel_args *k) { return fill_cpu(k, UNIFORM); }
static th_status normal_cpu(const th_kernel_args *k) { return fill_cpu(k, NORMAL); }

/* Fisher-Yates, one task: swap i with one of 0..i, chosen by the upper half of a 64 x 64 bit product. */
static th_status permutation_cpu(const th_kernel_args *k) {
  const th__random_params *p = k->params;
  int64_t n = p->shape[0], *out = k->out_data[0];
  for (int64_t i = 0; i < n; i++) out[i] = i;
  for (int64_t i = n - 1; i > 0; i--) {
    uint32_t words[4];
    th__philox_block(p->seed, p->counter + (uint64_t)(i / 2), words);
    uint64_t bits = (uint64_t)words[i % 2 * 2] << 32 | words[i % 2 * 2 + 1];
    int64_t j = (int64_t)((unsigned __int128)bits * (uint64_t)(i + 1) >> 64), old = out[i];
    out[i] = out[j];
    out[j] = old;
  }
  return TH_OK;
}

#define RANDOM(id, kernel)                                                                         \
  static const th_op op_##id = {.name = #id,                                                       \
                                .in = {0, 0},                                                      \
                                .out = {1, 0},                                                     \
                                .flags = TH_OP_RANDOM | TH_OP_FLAT,                                \
                                .params_size = sizeof(th__random_params),                          \
                                .infer = infer_random,                                             \
                                .cpu = kernel}
RANDOM(random_bits, bits_cpu);
RANDOM(uniform, uniform_cpu);
RANDOM(normal, normal_cpu);
RANDOM(permutation, permutation_cpu);

/* Checks the shape, takes the counters and calls. */
static th_array *call_random(const th_op *op, th_generator *g, const int64_t *shape, int ndim,
                             th_device d, th__random_params *p) {
  th_layout made;
  if (th__engine_ensure() != TH_OK ||
      th__layout_make(&made, shape, ndim, p->dtype, op->name) != TH_OK)
    return NULL;
  p->ndim = ndim;
  for (int i = 0; i < ndim; i++) p->shape[i] = shape[i];
  int64_t width = per_block(op == &op_permutation ? TH_F64 : p->dtype);
  uint64_t blocks = ((uint64_t)th__layout_size(&made) + (uint64_t)width - 1) / (uint64_t)width;
  th__generator_take(g, blocks, &p->seed, &p->counter);
  th_array *out = NULL;
  return th__invoke_on(d, op, p, NULL, 0, &out, 1) == TH_OK ? out : NULL;
}

static bool is_float(const char *who, th_dtype t) {
  if (th__dtype_valid(t) && th__dtype_in(t, TH_FLOATS)) return true;
  th__fail(TH_EDTYPE, "%s: element type %s; a floating type is wanted", who, th_dtype_name(t));
  return false;
}

th_array *th_random_bits(th_generator *g, const int64_t *shape, int ndim, th_device d) {
  return call_random(&op_random_bits, g, shape, ndim, d, &(th__random_params){.dtype = TH_U32});
}

th_array *th_uniform(th_generator *g, const int64_t *shape, int ndim, double low, double high,
                     th_dtype t, th_device d) {
  if (!is_float("uniform", t)) return NULL;
  if (!(low <= high) || !isfinite(high - low))
    return th__fail_null(TH_EINVAL, "uniform: [%g, %g) is no range", low, high);
  th__random_params p = {.a = low, .b = high, .dtype = t};
  return call_random(&op_uniform, g, shape, ndim, d, &p);
}

th_array *th_normal(th_generator *g, const int64_t *shape, int ndim, double mean, double sd,
                    th_dtype t, th_device d) {
  if (!is_float("normal", t)) return NULL;
  if (!isfinite(mean) || !(sd >= 0) || !isfinite(sd))
    return th__fail_null(TH_EINVAL, "normal: mean %g, standard deviation %g", mean, sd);
  th__random_params p = {.a = mean, .b = sd, .dtype = t};
  return call_random(&op_normal, g, shape, ndim, d, &p);
}

th_array *th_permutation(th_generator *g, int64_t n, th_device d) {
  return call_random(&op_permutation, g, &n, 1, d, &(th__random_params){.dtype = TH_I64});
}

TH_FAMILY_TABLE(random);
const th_op *const th__family_random[] = {&op_random_bits, &op_uniform, &op_normal, &op_permutation,
                                          NULL};
