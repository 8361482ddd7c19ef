/* Owns the table of cases, what the nets are made of, and the random numbers. */
#include "common/train_cases.h"

#include <string.h>

const train_case train_cases[TRAIN_CASES] = {
    {"logreg_b100", TRAIN_LOGREG, 100, 50, 0}, {"mlp_b32", TRAIN_MLP, 32, 300, 0},
    {"mlp_b128", TRAIN_MLP, 128, 650, 0},      {"mlp_b1024", TRAIN_MLP, 1024, 4300, 0},
    {"cnn_b32", TRAIN_CNN, 32, 1000, 0},       {"cnn_b128", TRAIN_CNN, 128, 4000, 0},
    {"block", TRAIN_BLOCK, 8, 0, 0.6},
};

const train_case *train_find(const char *name) {
  for (int i = 0; i < TRAIN_CASES; i++)
    if (strcmp(train_cases[i].name, name) == 0) return &train_cases[i];
  return NULL;
}

/* Bounds keep the variance: 3 / inputs under its square root, twice that before a relu. Biases are drawn, too. */
#define BIAS(n)                                                                                    \
  { 1, {n}, 0.01, 0 }
#define NORM(n)                                                                                    \
  {1, {n}, 0.01, 1}, { 1, {n}, 0.01, 0 }

static const train_tensor logreg[] = {{2, {784, 10}, 0.06, 0}, BIAS(10)};
static const train_tensor mlp[] = {{2, {784, 256}, 0.087, 0}, BIAS(256),
                                   {2, {256, 128}, 0.15, 0},  BIAS(128),
                                   {2, {128, 10}, 0.15, 0},   BIAS(10)};
static const train_tensor cnn[] = {{4, {8, 1, 3, 3}, 0.8, 0},  BIAS(8),
                                   {4, {16, 8, 3, 3}, 0.3, 0}, BIAS(16),
                                   {2, {784, 10}, 0.06, 0},    BIAS(10)};
static const train_tensor block[] = {NORM(TRAIN_WIDTH),
                                     {2, {TRAIN_WIDTH, 3 * TRAIN_WIDTH}, 0.15, 0},
                                     BIAS(3 * TRAIN_WIDTH),
                                     {2, {TRAIN_WIDTH, TRAIN_WIDTH}, 0.15, 0},
                                     BIAS(TRAIN_WIDTH),
                                     NORM(TRAIN_WIDTH),
                                     {2, {TRAIN_WIDTH, 4 * TRAIN_WIDTH}, 0.15, 0},
                                     BIAS(4 * TRAIN_WIDTH),
                                     {2, {4 * TRAIN_WIDTH, TRAIN_WIDTH}, 0.08, 0},
                                     BIAS(TRAIN_WIDTH)};
#define COUNT(a) ((int)(sizeof(a) / sizeof *(a)))
_Static_assert(COUNT(block) == TRAIN_PARAMS, "the block has most");

int train_params(train_net net, const train_tensor **out) {
  switch (net) {
  case TRAIN_LOGREG: return *out = logreg, COUNT(logreg);
  case TRAIN_MLP: return *out = mlp, COUNT(mlp);
  case TRAIN_CNN: return *out = cnn, COUNT(cnn);
  default: return *out = block, COUNT(block);
  }
}

train_tensor train_input(const train_case *c) {
  if (c->net == TRAIN_CNN) return (train_tensor){4, {c->batch, 1, 28, 28}, 1, 0};
  if (c->net == TRAIN_BLOCK)
    return (train_tensor){3, {c->batch, TRAIN_LENGTH, TRAIN_WIDTH}, 1.7, 0};
  return (train_tensor){2, {c->batch, 784}, 1, 0};
}

int64_t train_elements(const train_tensor *t) {
  int64_t n = 1;
  for (int i = 0; i < t->ndim; i++) n *= t->shape[i];
  return n;
}

void train_fill(const train_tensor *t, uint64_t stream, float *out) {
  uint64_t state = UINT64_C(0x9E3779B97F4A7C15) * (stream + 1);
  for (int64_t i = 0, n = train_elements(t); i < n; i++) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    out[i] = (float)(t->center + t->bound * ((double)(state >> 11) * 0x1p-52 - 1));
  }
}

int64_t train_label(int64_t i) { return i * 7 % 10; }
