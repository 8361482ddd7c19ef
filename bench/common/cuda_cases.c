/* Owns how each case is measured on cuda:0. A case that fails leaves a message in its outcome. */
#include "common/cuda_cases.h"

#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <thrum/thrum.h>

enum { SMALL = 1024, PIECES = 16, WARM_UP = 10 };

static jmp_buf failed; /* of this process's one case */
static cuda_outcome *outcome;

static void give_up(const char *text) {
  snprintf(outcome->error, sizeof outcome->error, "%s", text);
  longjmp(failed, 1);
}

static void must(th_status status, const char *what) {
  char text[200];
  if (status == TH_OK) return;
  snprintf(text, sizeof text, "%.40s: %.150s", what, th_last_error());
  give_up(text);
}

static th_array *made(th_array *a, const char *what) {
  if (!a) must(th_last_status(), what);
  return a;
}

static th_array *ones(int64_t n) { return made(th_ones(&n, 1, TH_F32, th_cuda(0)), "ones"); }

static void extra(int i, const char *name, double value) {
  snprintf(outcome->extra[i].name, sizeof outcome->extra[i].name, "%s", name);
  outcome->extra[i].value = value;
}

/* Replaces *a by what was made of it. */
static void replace(th_array **a, th_array *next) {
  th_release(*a);
  *a = next;
}

/* Samples of fn after some that are not counted: each lane makes what it needs at its first product. */
static bench_summary sample(double (*fn)(void *arg), void *arg, const cuda_sizes *sizes) {
  double samples[CUDA_SAMPLES];
  for (int i = -WARM_UP; i < sizes->samples; i++) {
    double value = fn(arg);
    if (i >= 0) samples[i] = value;
  }
  return bench_summarize(samples, sizes->samples);
}

/* --- small operations --- */

typedef struct small {
  th_array *x, *y;
  int64_t n;
  double submitting; /* seconds, smallest */
} small;

static double chain_once(void *arg) {
  small *s = arg;
  double begin = bench_seconds();
  for (int64_t i = 0; i < s->n; i++) replace(&s->y, made(th_add(s->y, s->x), "add"));
  double submitted = bench_seconds() - begin;
  must(th_wait(s->y), "chain");
  if (submitted < s->submitting) s->submitting = submitted;
  return (bench_seconds() - begin) / (double)s->n * 1e6;
}

static void chain(const cuda_case *c, const cuda_sizes *sizes, cuda_outcome *out) {
  small s = {ones(SMALL), ones(SMALL), sizes->chain, 1e9};
  out->value = sample(chain_once, &s, sizes);
  extra(0, "submit_ns", s.submitting / (double)s.n * 1e9);
  th_release(s.x);
  th_release(s.y);
}

static double independent_once(void *arg) {
  small *s = arg;
  double begin = bench_seconds();
  for (int64_t i = 0; i < s->n; i++) th_release(made(th_add(s->x, s->y), "add"));
  must(th_wait_all(), "additions");
  return (bench_seconds() - begin) * 1e3;
}

static void independent(const cuda_case *c, const cuda_sizes *sizes, cuda_outcome *out) {
  small s = {ones(SMALL), ones(SMALL), sizes->independent, 0};
  out->value = sample(independent_once, &s, sizes);
  extra(0, "operations", (double)s.n);
  th_release(s.x);
  th_release(s.y);
}

/* From the host to the device and back: a write, an addition and a read of one float. */
static double ping_once(void *arg) {
  small *s = arg;
  double begin = bench_seconds();
  for (int i = 0; i < 20; i++) {
    float in = (float)i, back = 0;
    must(th_write(s->x, &in, sizeof in), "write");
    must(th_add_scalar_inplace(s->x, 1), "add");
    must(th_read(s->x, &back, sizeof back), "read");
    if (back != in + 1) give_up("a wrong number came back");
  }
  return (bench_seconds() - begin) / 20 * 1e6;
}

static void ping(const cuda_case *c, const cuda_sizes *sizes, cuda_outcome *out) {
  small s = {.x = ones(1)};
  out->value = sample(ping_once, &s, sizes);
  th_release(s.x);
}

/* --- medium kernels: products of integers, 4,096 threads each of which adds k numbers --- */

typedef struct medium {
  th_array *a, *b;
  int many;
} medium;

static double medium_once(void *arg) {
  medium *m = arg;
  th_array *out[8];
  double begin = bench_seconds();
  for (int i = 0; i < m->many; i++) out[i] = made(th_matmul(m->a, m->b), "matmul");
  must(th_wait_many(out, m->many), "products");
  double seconds = bench_seconds() - begin;
  for (int i = 0; i < m->many; i++) th_release(out[i]);
  return seconds * 1e3;
}

static void open_medium(medium *m, int64_t k) {
  m->a = made(th_ones(TH_SHAPE(64, k), TH_I32, th_cuda(0)), "ones");
  m->b = made(th_ones(TH_SHAPE(k, 64), TH_I32, th_cuda(0)), "ones");
}

static void close_medium(medium *m) {
  th_release(m->a);
  th_release(m->b);
}

static void medium8(const cuda_case *c, const cuda_sizes *sizes, cuda_outcome *out) {
  medium m = {.many = 1};
  int64_t k = 64;
  open_medium(&m, k);
  double one = sample(medium_once, &m, sizes).median;
  while (one < sizes->medium * 1e3 && k < (1 << 20)) { /* about as long as asked for */
    double wanted = sizes->medium * 1e3 / one;
    k = (int64_t)((double)k * (wanted > 4 ? 4 : wanted * 1.05)) + 1;
    close_medium(&m);
    open_medium(&m, k);
    one = sample(medium_once, &m, sizes).median;
  }
  m.many = 8;
  out->value = sample(medium_once, &m, sizes);
  extra(0, "one_ms", one);
  extra(1, "over_one", out->value.median / one);
  close_medium(&m);
}

/* --- training --- */

typedef struct net {
  th_array *x, *labels, *p[6];
  th_optimizer *optimizer;
  int64_t steps;
} net;

static void train_step(const net *t) {
  th_scope scope = th_scope_begin();
  th_array *h = th_relu(th_linear(t->x, t->p[0], t->p[1]));
  h = th_relu(th_linear(h, t->p[2], t->p[3]));
  th_array *loss = made(th_cross_entropy(th_linear(h, t->p[4], t->p[5]), t->labels), "loss");
  must(th_backward(loss, 0), "backward");
  must(th_optimizer_step(t->optimizer), "step");
  th_optimizer_zero_grad(t->optimizer);
  th_scope_end(scope);
}

static double train_once(void *arg) {
  net *t = arg;
  double begin = bench_seconds();
  for (int64_t i = 0; i < t->steps; i++) train_step(t);
  must(th_wait_all(), "training");
  return (bench_seconds() - begin) / (double)t->steps * 1e6;
}

static void mlp(const cuda_case *c, const cuda_sizes *sizes, cuda_outcome *out) {
  static const int64_t widths[] = {784, 256, 256, 10};
  enum { BATCH = 128 };
  net t = {.steps = sizes->steps};
  th_generator *g = th_generator_new(1);
  t.x = made(th_normal(g, TH_SHAPE(BATCH, 784), 0, 1, TH_F32, th_cuda(0)), "x");
  t.labels = made(th_zeros(TH_SHAPE(BATCH), TH_I64, th_cuda(0)), "labels");
  for (int i = 0; i < 3; i++) {
    int64_t shape[2] = {widths[i], widths[i + 1]};
    t.p[2 * i] = made(th_normal(g, shape, 2, 0, sqrt(2.0 / (double)shape[0]), TH_F32, th_cuda(0)),
                      "weights");
    t.p[2 * i + 1] = made(th_zeros(&shape[1], 1, TH_F32, th_cuda(0)), "biases");
  }
  for (int i = 0; i < 6; i++) must(th_require_grad(t.p[i]), "gradients");
  t.optimizer = th_sgd(t.p, 6, 0.01, 0, 0, false);
  out->value = sample(train_once, &t, sizes);
  th_optimizer_release(t.optimizer);
  for (int i = 0; i < 6; i++) th_release(t.p[i]);
  th_release(t.x);
  th_release(t.labels);
  th_generator_release(g);
}

/* --- products --- */

typedef struct product {
  th_array *a, *b;
} product;

static double product_once(void *arg) {
  product *p = arg;
  double begin = bench_seconds();
  th_array *c = made(th_matmul(p->a, p->b), "matmul");
  must(th_wait(c), "product");
  double seconds = bench_seconds() - begin;
  th_release(c);
  return seconds * 1e3;
}

/* Random numbers: zeros are quicker. */
static th_array *square_matrix(int64_t n, int dtype) {
  th_array *a =
      made(th_uniform(NULL, TH_SHAPE(n, n), -1, 1, (th_dtype)dtype, th_cuda(0)), "uniform");
  must(th_wait(a), "uniform");
  return a;
}

static void matmul(const cuda_case *c, const cuda_sizes *sizes, cuda_outcome *out) {
  product p = {square_matrix(sizes->n, c->dtype), square_matrix(sizes->n, c->dtype)};
  cuda_sizes few = *sizes;
  if (few.samples > 9) few.samples = 9;
  out->value = sample(product_once, &p, &few);
  double n = (double)sizes->n;
  extra(0, "n", n);
  extra(1, "tflops", 2 * n * n * n / (out->value.median * 1e-3) / 1e12);
  th_release(p.a);
  th_release(p.b);
}

/* --- large arrays --- */

typedef struct large {
  th_array *a, *b;
  const char *name;
  double bytes;
} large;

static th_array *apply(const large *l, const char *name) {
  if (strcmp(name, "add") == 0) return th_add(l->a, l->b);
  if (strcmp(name, "sum") == 0) return th_sum(l->a, NULL, 0, false);
  return th_copy(l->a);
}

static double large_once(void *arg) {
  large *l = arg;
  double begin = bench_seconds();
  th_array *c = made(apply(l, l->name), l->name);
  must(th_wait(c), l->name);
  double seconds = bench_seconds() - begin;
  th_release(c);
  return l->bytes / seconds / 1e9;
}

/* Bytes counted: what is read and what is written. Beside a copy within the device. */
static void bandwidth(const cuda_case *c, const cuda_sizes *sizes, cuda_outcome *out) {
  double one = 4 * (double)sizes->elements;
  large l = {ones(sizes->elements), ones(sizes->elements), "copy", 2 * one};
  double copy = sample(large_once, &l, sizes).median;
  l.name = strncmp(c->name, "large_", 6) == 0 ? c->name + 6 : "copy";
  l.bytes = strcmp(l.name, "add") == 0 ? 3 * one : strcmp(l.name, "sum") == 0 ? one : 2 * one;
  bench_summary gb = sample(large_once, &l, sizes);
  out->value = (bench_summary){gb.median / copy, gb.min / copy, gb.max / copy};
  extra(0, "gb_per_s", gb.median);
  extra(1, "copy_gb_per_s", copy);
  th_release(l.a);
  th_release(l.b);
}

/* --- copying in during computing --- */

typedef struct overlap {
  th_array *host[PIECES], *target[PIECES], *x;
  int products;
  bool copy, compute;
} overlap;

static double overlap_once(void *arg) {
  overlap *o = arg;
  th_array *last = NULL;
  double begin = bench_seconds();
  for (int i = 0; o->compute && i < o->products; i++)
    replace(&last, made(th_matmul(last ? last : o->x, o->x), "matmul"));
  for (int i = 0; o->copy && i < PIECES; i++) must(th_assign(o->target[i], o->host[i]), "assign");
  must(th_wait_all(), "copies and products");
  double seconds = bench_seconds() - begin;
  th_release(last);
  return seconds * 1e3;
}

static double overlap_of(overlap *o, bool copy, bool compute, const cuda_sizes *sizes) {
  cuda_sizes few = *sizes;
  few.samples = few.samples > 5 ? 5 : few.samples;
  o->copy = copy;
  o->compute = compute;
  return sample(overlap_once, o, &few).median;
}

static void overlapped(const cuda_case *c, const cuda_sizes *sizes, cuda_outcome *out) {
  overlap o = {.products = 1};
  int64_t n = sizes->n > 4096 ? 4096 : sizes->n, floats = sizes->copied / 4 / PIECES;
  for (int i = 0; i < PIECES; i++) {
    o.host[i] = made(c->pinned ? th_pinned(&floats, 1, TH_F32, th_cuda(0))
                               : th_empty(&floats, 1, TH_F32, th_cpu(0)),
                     "host memory");
    must(th_fill(o.host[i], 1), "fill");
    o.target[i] = ones(floats);
  }
  o.x = made(th_full(TH_SHAPE(n, n), 1 / (double)n, TH_F32, th_cuda(0)), "matrix");
  double copy = overlap_of(&o, true, false, sizes), compute = overlap_of(&o, false, true, sizes);
  o.products = compute < copy ? (int)(copy / compute + 0.5) : 1; /* about as long */
  compute = overlap_of(&o, false, true, sizes);
  double both = overlap_of(&o, true, true, sizes), ratio = both / fmax(copy, compute);
  out->value = (bench_summary){ratio, ratio, ratio};
  extra(0, "copy_ms", copy);
  extra(1, "compute_ms", compute);
  extra(2, "both_ms", both);
  for (int i = 0; i < PIECES; i++) {
    th_release(o.host[i]);
    th_release(o.target[i]);
  }
  th_release(o.x);
}

/* --- the table --- */

const cuda_case cuda_cases[] = {
    {"chain", "us", "per operation of a chain of additions, 1 Ki floats", chain, .goal = 2.3},
    {"independent", "ms", "for independent additions, 1 Ki floats", independent, .goal = 25},
    {"medium8", "ms", "for 8 independent products of integers, 64 x k x 64", medium8, .goal = 0.25},
    {"mlp_step", "us", "per step of 784-256-256-10, batch 128", mlp, .goal = 150},
    {"overlap", "x", "copying in beside products, over the longer of both", overlapped,
     .pinned = false},
    {"overlap_pinned", "x", "the same from pinned memory", overlapped, .goal = 1.05,
     .pinned = true},
    {"matmul_f32", "ms", "for a product, waited for", matmul, .dtype = TH_F32},
    {"matmul_tf32", "ms", "the same of f32, by TF32", matmul, .dtype = TH_F32, .tf32 = true},
    {"matmul_bf16", "ms", "the same of bf16", matmul, .dtype = TH_BF16},
    {"matmul_f64", "ms", "the same of f64", matmul, .dtype = TH_F64},
    {"large_add", "x", "of a copy's bandwidth, adding", bandwidth, .goal = 0.9, .least = true},
    {"large_sum", "x", "of a copy's bandwidth, summing", bandwidth, .goal = 0.9, .least = true},
    {"ping", "us", "to write, add to and read one float", ping, .goal = 9},
};
const int cuda_n_cases = sizeof cuda_cases / sizeof *cuda_cases;

void cuda_look(const void *nothing, void *result) {
  cuda_presence *p = result;
  memset(p, 0, sizeof *p);
  p->devices = th_device_count(TH_CUDA);
  th_array *none = th_ones(TH_SHAPE(1), TH_F32, th_cuda(p->devices));
  if (!none) snprintf(p->why, sizeof p->why, "%s", th_last_error());
  th_release(none);
  (void)th_shutdown();
}

void cuda_run(const void *question, void *result) {
  const cuda_question *q = question;
  outcome = result;
  memset(outcome, 0, sizeof *outcome);
  if (setjmp(failed)) return;
  th_config config = {.size = sizeof config, .tf32 = q->c->tf32};
  must(th_init(&config), "init");
  q->c->measure(q->c, &q->sizes, outcome);
  must(th_shutdown(), "shutdown");
}
