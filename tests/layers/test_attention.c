/* The attention layer against its formula in plain loops, with every kind of mask and with dropout, and its gradients against
 * differences. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "support/arrays.h"

TestSuite(attention, .timeout = 60, .fini = stop_engine);

enum { N = 2, L = 5, WIDTH = 6, HEADS = 2, SIZE = WIDTH / HEADS, SCORES = N * HEADS * L * L };

static double *doubles(const th_array *a) {
  cr_assert(a != NULL, "%s", th_last_error());
  size_t bytes = (size_t)th_array_size(a) * sizeof(double);
  double *out = malloc(bytes);
  cr_assert(eq(int, th_read(a, out, bytes), TH_OK), "%s", th_last_error());
  return out;
}

/* What is looked at in a test: a layer, how it is called, and what its formula needs of that. */
typedef struct looked {
  th_layer *layer;
  th_generator *g;      /* of the layer */
  uint64_t seed, count; /* the state of g in front of each call */
  th_array *mask;       /* or NULL */
  bool seen[SCORES];    /* by mask and causality */
  double added[SCORES], kept[SCORES];
} looked;

/* x (rows, WIDTH) times weight + bias, into out (rows, outputs). */
static void linear(const double *x, int rows, const th_layer *l, const char *name, int outputs,
                   double *out) {
  char path[32];
  snprintf(path, sizeof path, "%s.weight", name);
  double *w = doubles(th_layer_find(l, path));
  snprintf(path, sizeof path, "%s.bias", name);
  double *b = doubles(th_layer_find(l, path));
  for (int r = 0; r < rows; r++)
    for (int o = 0; o < outputs; o++) {
      out[r * outputs + o] = b[o];
      for (int i = 0; i < WIDTH; i++) out[r * outputs + o] += x[r * WIDTH + i] * w[i * outputs + o];
    }
  free(w);
  free(b);
}

/* Adds to mixed what place i of sentence n sees with head h. */
static void one_place(const looked *k, const double *qkv, int n, int h, int i, double *mixed) {
  double weight[L], sum = 0;
  const double *row = qkv + (n * L + i) * 3 * WIDTH + h * SIZE;
  for (int j = 0; j < L; j++) {
    int at = ((n * HEADS + h) * L + i) * L + j;
    double score = k->added[at];
    for (int e = 0; e < SIZE; e++)
      score += row[e] * qkv[(n * L + j) * 3 * WIDTH + WIDTH + h * SIZE + e] / sqrt(SIZE);
    weight[j] = k->seen[at] ? exp(score) : 0;
    sum += weight[j];
  }
  for (int j = 0; j < L; j++) {
    double share = weight[j] / sum * k->kept[((n * HEADS + h) * L + i) * L + j];
    for (int e = 0; e < SIZE; e++)
      mixed[(n * L + i) * WIDTH + h * SIZE + e] +=
          share * qkv[(n * L + j) * 3 * WIDTH + 2 * WIDTH + h * SIZE + e];
  }
}

static void by_formula(const looked *k, const double *x, double *out) {
  static double qkv[N * L * 3 * WIDTH];
  double mixed[N * L * WIDTH] = {0};
  linear(x, N * L, k->layer, "in_proj", 3 * WIDTH, qkv);
  for (int n = 0; n < N; n++)
    for (int h = 0; h < HEADS; h++)
      for (int i = 0; i < L; i++) one_place(k, qkv, n, h, i, mixed);
  linear(mixed, N * L, k->layer, "out_proj", WIDTH, out);
}

/* in: x, or x and a floating mask. */
static th_array *call(th_array *const *in, int n, void *user) {
  looked *k = user;
  th_generator_set_state(k->g, k->seed, k->count);
  const th_array *mask = n > 1 ? in[1] : k->mask;
  return mask == NULL ? th_layer_forward(k->layer, in[0])
                      : th_attention_forward(k->layer, in[0], mask);
}

static looked make(uint64_t seed, bool causal, double dropout) {
  looked k = {.g = th_generator_new(seed)};
  k.layer = th_attention_layer(k.g, WIDTH, HEADS, &(th_attention_config){causal, dropout});
  cr_assert(eq(int, th_layer_to(k.layer, TH_F64, th_cpu(0)), TH_OK), "%s", th_last_error());
  th_grad_mode(false);
  for (int i = 0; i < 2; i++) /* biases that count */
    th_fill(th_layer_find(k.layer, i ? "out_proj.bias" : "in_proj.bias"), 0.3);
  th_grad_mode(true);
  th_generator_state(k.g, &k.seed, &k.count);
  for (int at = 0; at < SCORES; at++) {
    int i = at / L % L, j = at % L;
    k.seen[at] = !causal || j <= i;
    k.kept[at] = 1;
  }
  return k;
}

static void compare(looked *k, th_array *const *in, int n, const char *what) {
  double *x = doubles(in[0]), wanted[N * L * WIDTH];
  by_formula(k, x, wanted);
  th_array *y = call(in, n, k);
  double off = distance(y, wanted, N * L * WIDTH);
  cr_assert(off < 1e-12, "%s: %g, %s", what, off, th_last_error());
  cr_assert(eq(int, th_grad_check(call, in, n, k, 1e-5, 1e-7, NULL), TH_OK), "%s: %s", what,
            th_last_error());
  th_release(y);
  free(x);
}

static void end(looked *k) {
  th_layer_release(k->layer);
  th_generator_release(k->g);
  th_release(k->mask);
}

static th_array *sentences(void) {
  th_generator *g = th_generator_new(50);
  th_array *x = th_normal(g, TH_SHAPE(N, L, WIDTH), 0, 1, TH_F64, th_cpu(0));
  th_generator_release(g);
  return x;
}

Test(attention, causal_or_not) {
  th_array *x = sentences();
  for (int causal = 0; causal < 2; causal++) {
    looked k = make(51, causal, 0);
    compare(&k, &x, 1, causal ? "causal" : "all");
    end(&k);
  }
  th_release(x);
}

/* Which places are filled differs between sentences: (N, 1, 1, L); together with causality. */
Test(attention, mask_of_what_is_seen) {
  const bool filled[N * L] = {1, 1, 1, 0, 0, 1, 1, 1, 1, 0};
  th_array *x = sentences();
  for (int causal = 0; causal < 2; causal++) {
    looked k = make(52, causal, 0);
    k.mask = th_from_host(filled, TH_SHAPE(N, 1, 1, L), TH_BOOL, th_cpu(0));
    for (int at = 0; at < SCORES; at++) k.seen[at] &= filled[at / (HEADS * L * L) * L + at % L];
    compare(&k, &x, 1, "bool mask");
    end(&k);
  }
  th_release(x);
}

/* Added to the scores of each head, as a bias by distance, with a gradient of its own. */
Test(attention, mask_that_is_added) {
  double values[HEADS * L * L];
  for (int i = 0; i < HEADS * L * L; i++) values[i] = sin(i);
  th_array *in[] = {sentences(), th_from_host(values, TH_SHAPE(HEADS, L, L), TH_F64, th_cpu(0))};
  looked k = make(53, false, 0);
  for (int at = 0; at < SCORES; at++) k.added[at] = values[at % (HEADS * L * L)];
  compare(&k, in, 2, "floating mask");
  end(&k);
  th_release(in[0]);
  th_release(in[1]);
}

/* The generator's state is known, so th_dropout() of ones tells what is kept. */
Test(attention, dropout_of_weights) {
  th_array *x = sentences();
  looked k = make(54, true, 0.4);
  th_generator *same = th_generator_new(0);
  th_generator_set_state(same, k.seed, k.count);
  th_array *ones = th_ones(TH_SHAPE(N, HEADS, L, L), TH_F64, th_cpu(0));
  th_array *kept = th_dropout(same, ones, 0.4, true);
  cr_assert(eq(int, th_read(kept, k.kept, sizeof k.kept), TH_OK));
  int dropped = 0;
  for (int at = 0; at < SCORES; at++) dropped += k.kept[at] == 0;
  cr_assert(dropped > 0 && dropped < SCORES);
  compare(&k, &x, 1, "dropout");
  th_layer_train(k.layer, false); /* then all count */
  for (int at = 0; at < SCORES; at++) k.kept[at] = 1;
  compare(&k, &x, 1, "evaluation");
  end(&k);
  th_generator_release(same);
  th_array *all[] = {x, ones, kept};
  for (int i = 0; i < 3; i++) th_release(all[i]);
}

/* Gradients of parameters: a step along them makes a loss smaller by as much as they say. */
Test(attention, gradients_of_parameters) {
  th_array *x = sentences(), *parameters[4];
  looked k = make(55, true, 0.2);
  int n = th_layer_parameters(k.layer, parameters, 4);
  cr_assert(eq(int, n, 4));
  for (int i = 0; i < n; i++) {
    th_scope scope = th_scope_begin();
    double loss[2], step = 1e-6;
    th_array *y = th_sum(th_square(call(&x, 1, &k)), NULL, 0, false);
    cr_assert(eq(int, th_backward(y, 0), TH_OK), "%s", th_last_error());
    th_array *g = th_grad(parameters[i]);
    double slope = th_item(th_sum(th_square(g), NULL, 0, false));
    th_grad_mode(false);
    for (int side = 0; side < 2; side++) {
      th_add_inplace(parameters[i], th_multiply_scalar(g, side ? -2 * step : step));
      loss[side] = th_item(th_sum(th_square(call(&x, 1, &k)), NULL, 0, false));
    }
    th_grad_mode(true);
    double numeric = (loss[0] - loss[1]) / (2 * step);
    cr_assert(slope > 0 && fabs(numeric - slope) < 1e-6 * fmax(1, slope), "%d: %g, %g", i, numeric,
              slope);
    th_scope_end(scope);
    for (int j = 0; j < n; j++) th_zero_grad(parameters[j]);
  }
  end(&k);
  th_release(x);
}

/* Sentences without words, and no sentences. */
Test(attention, nothing_to_look_at) {
  static const int64_t shapes[][3] = {{2, 0, WIDTH}, {0, 5, WIDTH}, {0, 0, WIDTH}};
  for (int i = 0; i < 4; i++) {
    looked k = make(60, true, 0);
    const int64_t *shape = i < 3 ? shapes[i] : shapes[0] + 1;
    int ndim = i < 3 ? 3 : 2;
    th_array *x = th_zeros(shape, ndim, TH_F64, th_cpu(0));
    cr_assert(eq(int, th_require_grad(x), TH_OK));
    th_array *y = th_layer_forward(k.layer, x), *sum = th_sum(y, NULL, 0, false);
    cr_assert(sum != NULL, "%d: %s", i, th_last_error());
    cr_assert(eq(int, th_array_ndim(y), ndim));
    for (int d = 0; d < ndim; d++) cr_assert(eq(i64, th_array_shape(y)[d], shape[d]));
    cr_assert(eq(int, th_backward(sum, 0), TH_OK), "%d: %s", i, th_last_error());
    th_array *slope = th_grad(th_layer_find(k.layer, "in_proj.bias"));
    cr_assert(slope != NULL);
    static const double zeros[3 * WIDTH];
    cr_assert(eq(dbl, distance(slope, zeros, 3 * WIDTH), 0));
    th_release(x);
    th_release(y);
    th_release(sum);
    end(&k);
  }
}

Test(attention, wrong_masks_are_refused) {
  th_array *x = sentences(), *mask = th_ones(TH_SHAPE(L, L + 1), TH_BOOL, th_cpu(0));
  looked k = make(56, false, 0);
  cr_assert(zero(ptr, th_attention_forward(k.layer, x, mask)));
  cr_assert(eq(int, th_last_status(), TH_ESHAPE), "%s", th_last_error());
  cr_assert(zero(ptr, th_attention_forward(NULL, x, mask)));
  cr_assert(strstr(th_last_error(), "NULL layer") != NULL, "%s", th_last_error());
  end(&k);
  th_release(x);
  th_release(mask);
}
