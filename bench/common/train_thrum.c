/* Owns the nets in Thrum. Steps are submitted one behind the other, as in a training loop that reads its losses seldom; only
 * the end of a sample waits. */
#include "common/train_thrum.h"

#include <stdio.h>
#include <stdlib.h>
#include <thrum/thrum.h>

#include "common/serve.h"
#include "common/train_cases.h"

typedef struct training {
  const train_case *c;
  th_array *p[TRAIN_PARAMS]; /* parameters, as train_params() lists them */
  int n;
  th_array *x, *y; /* y: classes, or what the block is to give */
  th_optimizer *sgd;
  double loss;
} training;

static void check(bool good) {
  if (good) return;
  fprintf(stderr, "thrum: %s\n", th_last_error());
  exit(1);
}

static th_array *drawn(const train_tensor *t, uint64_t stream) {
  float *data = malloc((size_t)train_elements(t) * sizeof *data);
  check(data != NULL);
  train_fill(t, stream, data);
  th_array *a = th_from_host(data, t->shape, t->ndim, TH_F32, th_cpu(0));
  free(data);
  check(a != NULL);
  return a;
}

static th_array *classes(int64_t rows) {
  int64_t *data = malloc((size_t)rows * sizeof *data);
  check(data != NULL);
  for (int64_t i = 0; i < rows; i++) data[i] = train_label(i);
  th_array *a = th_from_host(data, TH_SHAPE(rows), TH_I64, th_cpu(0));
  free(data);
  check(a != NULL);
  return a;
}

/* --- nets; what they make belongs to the step's scope --- */

static th_array *mlp(th_array *const *p, int layers, th_array *x) {
  for (int i = 0; i < layers; i++) {
    x = th_linear(x, p[2 * i], p[2 * i + 1]);
    if (i + 1 < layers) x = th_relu(x);
  }
  return x;
}

static th_array *cnn(th_array *const *p, th_array *x) {
  const th_conv_config same = {.padding = {1, 1}};
  const th_pool_config half = {.kernel = {2, 2}};
  for (int i = 0; i < 2; i++)
    x = th_max_pool2d(th_relu(th_conv2d(x, p[2 * i], p[2 * i + 1], &same)), &half);
  return th_linear(th_reshape(x, TH_SHAPE(-1, 784)), p[4], p[5]);
}

/* (batch, length, width) -> (3, batch, heads, length, width / heads) -> (batch, length, width) */
static th_array *attention(th_array *qkv, int64_t batch) {
  th_array *parts[3];
  th_array *heads =
      th_reshape(qkv, TH_SHAPE(batch, TRAIN_LENGTH, 3, TRAIN_HEADS, TRAIN_WIDTH / TRAIN_HEADS));
  check(th_unstack(th_permute_dims(heads, (int[]){2, 0, 3, 1, 4}, 5), 0, parts) == TH_OK);
  th_array *out = th_sdpa(parts[0], parts[1], parts[2], NULL, true);
  out = th_permute_dims(out, (int[]){0, 2, 1, 3}, 4);
  return th_reshape(out, TH_SHAPE(batch, TRAIN_LENGTH, TRAIN_WIDTH));
}

static th_array *block(th_array *const *p, th_array *x, int64_t batch) {
  th_array *a = th_linear(th_layer_norm(x, 1, p[0], p[1], 1e-5), p[2], p[3]);
  x = th_add(x, th_linear(attention(a, batch), p[4], p[5]));
  th_array *hidden = th_gelu(th_linear(th_layer_norm(x, 1, p[6], p[7], 1e-5), p[8], p[9]));
  return th_add(x, th_linear(hidden, p[10], p[11]));
}

static th_array *loss_of(const training *t) {
  switch (t->c->net) {
  case TRAIN_CNN: return th_cross_entropy(cnn(t->p, t->x), t->y);
  case TRAIN_BLOCK: return th_mse_loss(block(t->p, t->x, t->c->batch), t->y);
  default: return th_cross_entropy(mlp(t->p, t->n / 2, t->x), t->y);
  }
}

/* --- a reading --- */

static void step(training *t, bool tell) {
  th_scope scope = th_scope_begin();
  th_array *loss = loss_of(t);
  check(loss && th_backward(loss, 0) == TH_OK && th_optimizer_step(t->sgd) == TH_OK);
  th_optimizer_zero_grad(t->sgd);
  if (tell) t->loss = th_item(loss);
  th_scope_end(scope);
}

static void run(void *state, long times) {
  for (long i = 0; i < times; i++) step(state, false);
  check(th_wait_all() == TH_OK);
}

static bool begin(const char *request, void *state) {
  training *t = state;
  const train_tensor *tensors;
  *t = (training){.c = train_find(request)};
  if (!t->c) return false;
  t->n = train_params(t->c->net, &tensors);
  for (int i = 0; i < t->n; i++) {
    t->p[i] = drawn(&tensors[i], (uint64_t)i);
    check(th_require_grad(t->p[i]) == TH_OK);
  }
  train_tensor input = train_input(t->c);
  t->x = drawn(&input, TRAIN_PARAMS);
  t->y = t->c->net == TRAIN_BLOCK ? drawn(&input, TRAIN_PARAMS + 1) : classes(t->c->batch);
  t->sgd = th_sgd(t->p, t->n, 1. / TRAIN_RATE, 0, 0, false);
  check(t->sgd != NULL);
  for (int i = 1; i <= TRAIN_FIRST_STEPS; i++) step(t, i == TRAIN_FIRST_STEPS);
  check(th_wait_all() == TH_OK && th_memory_reset_peak(th_cpu(0)) == TH_OK);
  return true;
}

/* The peak is that of all steps since the first ones, with as many in flight as there were. */
static void figures(void *state, double *out) {
  const training *t = state;
  th_memory_info memory;
  check(th_memory_get(th_cpu(0), &memory) == TH_OK);
  out[TRAIN_PEAK] = (double)memory.peak;
  out[TRAIN_LOSS] = t->loss;
}

static void end(void *state) {
  training *t = state;
  for (int i = 0; i < t->n; i++) th_release(t->p[i]);
  th_release(t->x);
  th_release(t->y);
  th_optimizer_release(t->sgd);
  check(th_wait_all() == TH_OK);
}

int train_thrum_serve(int workers) {
  static training t;
  th_config config = {.size = sizeof config, .workers = workers > 1 ? workers - 1 : TH_NO_WORKERS};
  check(th_init(&config) == TH_OK);
  bench_service service = {.name = "thrum",
                           .version = th_version_string(),
                           .begin = begin,
                           .run = run,
                           .end = end,
                           .figures = figures,
                           .state = &t,
                           .sample_seconds = 0.02};
  return bench_serve(&service);
}
