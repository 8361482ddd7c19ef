/* Random graphs of operators against central differences in f64: views, broadcasts, joins, matrix products, reductions,
 * in-place writes to computed arrays. Single operators are walked by tests/ops. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <math.h>
#include <string.h>

#include "support/arrays.h"

TestSuite(gradients, .timeout = 240, .fini = stop_engine);

enum { GRAPHS = 200, INPUTS = 3, STEPS = 9, POOL = INPUTS + STEPS };

/* A small generator of our own, so that building a graph twice draws the same numbers. */
static uint32_t draw(uint64_t *state, uint32_t below) {
  *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (uint32_t)((*state >> 33) % below);
}

/* All arrays of a graph are 2-d with sizes 1 to 4; values stay within about +-2. */
static th_array *tame(th_array *a) { return th_tanh(a); }

static th_array *unary(th_array *a, uint32_t which) {
  switch (which) {
  case 0: return th_sin(a);
  case 1: return th_tanh(a);
  case 2: return th_sigmoid(a);
  case 3: return th_square(tame(a));
  case 4: return th_exp(tame(a));
  case 5: return th_log(th_add_scalar(th_square(a), 1));
  case 6: return th_sqrt(th_add_scalar(th_square(a), 0.5));
  case 7: return th_softmax(a, 1);
  case 8: return th_log_softmax(a, 0);
  case 9: return th_reciprocal(th_add_scalar(th_square(a), 1));
  case 10: return th_softplus(a);
  default: return th_subtract_scalar(th_multiply_scalar(a, -0.7), 0.3);
  }
}

static th_array *view(th_array *a, uint32_t which) {
  const int64_t *s = th_array_shape(a);
  switch (which) {
  case 0: return th_matrix_transpose(a);
  case 1: return th_reshape(a, TH_SHAPE(s[0] * s[1], 1));
  case 2: return th_slice(a, s[0] > 1 ? "1:, ::-1" : ":, ::-1");
  case 3: return th_slice(a, "::2, :1");
  case 4: return th_flip(a, NULL, 0);
  case 5: return th_squeeze(th_expand_dims(a, 1), (const int[]){1}, 1);
  default: return th_broadcast_to(th_slice(a, ":1, :"), TH_SHAPE(3, s[1]));
  }
}

static th_array *reduction(th_array *a, uint32_t which) {
  int axis = (int)(which & 1);
  switch (which >> 1) {
  case 0: return th_sum(tame(a), &axis, 1, true);
  case 1: return th_mean(a, &axis, 1, true);
  case 2: return th_max(a, &axis, 1, true);
  default: return th_reshape(th_mean(a, NULL, 0, false), TH_SHAPE(1, 1));
  }
}

static bool fits(const th_array *a, const th_array *b) {
  const int64_t *s = th_array_shape(a), *t = th_array_shape(b);
  for (int d = 0; d < 2; d++) {
    if (s[d] != t[d] && s[d] != 1 && t[d] != 1) return false;
  }
  return true;
}

/* Two operands; when their shapes do not broadcast, the second is brought to one element. */
static th_array *binary(th_array *a, th_array *b, uint32_t which) {
  if (!fits(a, b)) b = th_mean(b, NULL, 0, true);
  switch (which) {
  case 0: return th_add(a, b);
  case 1: return th_subtract(a, b);
  case 2: return th_multiply(tame(a), b);
  case 3: return th_divide(a, th_add_scalar(th_square(b), 1));
  case 4: return th_where(th_greater(a, th_ones_like(a)), a, th_sin(b));
  case 5: return th_pow(th_add_scalar(th_square(tame(a)), 0.5), tame(b));
  default: return th_maximum(a, th_add_scalar(b, 0.123));
  }
}

static th_array *product(th_array *a, th_array *b) {
  const int64_t *s = th_array_shape(a), *t = th_array_shape(b);
  if (s[1] == t[0]) return th_matmul(a, b);
  if (s[1] == t[1]) return th_matmul(a, th_matrix_transpose(b));
  return th_matmul(th_matrix_transpose(a), a);
}

static th_array *joined(th_array *a, th_array *b) {
  th_array *rows = th_sum(b, (const int[]){1}, 1, true); /* (m, 1) */
  th_array *wide = th_broadcast_to(rows, TH_SHAPE(th_array_shape(b)[0], th_array_shape(a)[1]));
  return th_slice(th_concat(TH_ARRAYS(a, wide), 0), "-3:");
}

/* In place on something computed here and shown nowhere else. */
static th_array *in_place(th_array *a, th_array *b, uint32_t which) {
  th_array *y = th_add_scalar(a, 0.25);
  th_array *small = th_mean(b, NULL, 0, true);
  th_status status = TH_OK;
  switch (which) {
  case 0: status = th_add_inplace(y, small); break;
  case 1: status = th_multiply_inplace(y, tame(small)); break;
  case 2: status = th_subtract_inplace(y, th_sin(a)); break;
  case 3: status = th_divide_inplace(y, th_add_scalar(th_square(small), 1)); break;
  case 4: status = th_assign(y, th_multiply(small, small)); break;
  default: status = th_multiply_scalar_inplace(y, 1.5); break;
  }
  return status == TH_OK ? y : NULL;
}

static th_array *gathered(th_array *a, uint64_t *state) {
  int64_t rows[3];
  for (int i = 0; i < 3; i++) rows[i] = (int64_t)draw(state, (uint32_t)th_array_shape(a)[0]);
  return th_take(a, th_from_host(rows, TH_SHAPE(3), TH_I64, th_cpu(0)), 0);
}

static th_array *step(th_array *const *pool, int n, uint64_t *state) {
  th_array *a = pool[draw(state, (uint32_t)n)], *b = pool[draw(state, (uint32_t)n)];
  switch (draw(state, 12)) {
  case 0:
  case 1:
  case 2: return unary(a, draw(state, 12));
  case 3:
  case 4: return view(a, draw(state, 7));
  case 5: return reduction(a, draw(state, 8));
  case 6:
  case 7: return binary(a, b, draw(state, 7));
  case 8: return tame(product(a, b));
  case 9: return joined(a, b);
  case 10: return gathered(a, state);
  default: return in_place(a, b, draw(state, 6));
  }
}

/* The graph that a seed stands for: the sum of means of the last few arrays, so that most of it takes part. */
static th_array *graph(th_array *const *inputs, int n_inputs, void *user) {
  uint64_t state = *(const uint64_t *)user;
  th_scope scope = th_scope_begin();
  th_array *pool[POOL], *result = NULL;
  int n = 0;
  for (; n < n_inputs; n++) pool[n] = inputs[n];
  for (; n < POOL; n++) {
    pool[n] = step(pool, n, &state);
    if (pool[n] == NULL) break;
    if (th_array_size(pool[n]) > 16) pool[n] = th_slice(pool[n], ":4, :4");
  }
  if (n == POOL) {
    result = th_mean(pool[n - 1], NULL, 0, false);
    for (int i = n - 4; i < n - 1; i++) result = th_add(result, th_mean(pool[i], NULL, 0, false));
  }
  if (result != NULL) th_keep(result);
  th_scope_end(scope);
  return result;
}

Test(gradients, random_graphs) {
  double worst_of_all = 0;
  for (uint64_t seed = 1; seed <= GRAPHS; seed++) {
    uint64_t state = seed;
    th_array *inputs[INPUTS];
    th_generator *g = th_generator_new(seed);
    for (int i = 0; i < INPUTS; i++) {
      int64_t rows = 1 + draw(&state, 4), columns = 1 + draw(&state, 4);
      inputs[i] = th_normal(g, TH_SHAPE(rows, columns), 0, 1, TH_F64, th_cpu(0));
    }
    double worst = 0;
    th_status status = th_grad_check(graph, inputs, INPUTS, &state, 1e-6, 1e-5, &worst);
    cr_assert(eq(int, status, TH_OK), "seed %llu: %s", (unsigned long long)seed, th_last_error());
    if (worst > worst_of_all) worst_of_all = worst;
    for (int i = 0; i < INPUTS; i++) th_release(inputs[i]);
    th_generator_release(g);
  }
  cr_assert(gt(dbl, worst_of_all, 0), "differences are never exact: nothing was compared");
}

/* The sum of squares of a graph's gradients, itself recorded: what second derivatives come from. */
static th_array *gradient_of_graph(th_array *const *inputs, int n, void *user) {
  bool recording = th_grad_mode(true);
  th_scope scope = th_scope_begin();
  th_array *leaves[INPUTS] = {NULL}, *result = NULL;
  for (int i = 0; i < n; i++) {
    leaves[i] = th_requires_grad(inputs[i]) ? inputs[i] : th_detach(inputs[i]);
    th_require_grad(leaves[i]);
  }
  th_array *y = graph(leaves, n, user); /* out of the scope: kept by graph() */
  if (th_backward(y, TH_CREATE_GRAPH) == TH_OK) {
    result = th_zeros(TH_SCALAR, TH_F64, th_cpu(0));
    for (int i = 0; i < n; i++) {
      th_array *gradient = th_grad(leaves[i]);
      if (gradient != NULL) result = th_add(result, th_sum(th_square(gradient), NULL, 0, false));
    }
  }
  th_release(y);
  for (int i = 0; i < n; i++) th_zero_grad(leaves[i]);
  if (result != NULL) th_keep(result);
  th_scope_end(scope);
  th_grad_mode(recording);
  return result;
}

Test(gradients, of_gradients) {
  int checked = 0;
  for (uint64_t seed = 1; seed <= GRAPHS / 4; seed++) {
    uint64_t state = seed;
    th_array *inputs[INPUTS];
    th_generator *g = th_generator_new(seed);
    for (int i = 0; i < INPUTS; i++) {
      int64_t rows = 1 + draw(&state, 3), columns = 1 + draw(&state, 3);
      inputs[i] = th_normal(g, TH_SHAPE(rows, columns), 0, 1, TH_F64, th_cpu(0));
    }
    th_status status = th_grad_check(gradient_of_graph, inputs, INPUTS, &state, 1e-6, 1e-5, NULL);
    /* Some graphs are linear. */
    bool none = strstr(th_last_error(), "nothing was recorded") != NULL;
    cr_assert(status == TH_OK || none, "seed %llu: %s", (unsigned long long)seed, th_last_error());
    checked += status == TH_OK;
    for (int i = 0; i < INPUTS; i++) th_release(inputs[i]);
    th_generator_release(g);
  }
  cr_assert(gt(int, checked, GRAPHS / 8));
}

/* --- second derivatives of single operators --- */

typedef th_array *(*binary_fn)(const th_array *a, const th_array *b);

/* sum(cos(f(a, b))): its slopes reach both arguments, and change. */
static th_array *apply(th_array *const *inputs, binary_fn fn) {
  return th_sum(th_cos(fn(inputs[0], inputs[1])), NULL, 0, false);
}

/* A weighted sum of both gradients of apply(), recorded. */
static th_array *gradients_of_binary(th_array *const *inputs, int n, void *user) {
  bool recording = th_grad_mode(true);
  th_scope scope = th_scope_begin();
  th_array *leaves[2] = {NULL}, *result = NULL;
  for (int i = 0; i < n; i++) {
    leaves[i] = th_requires_grad(inputs[i]) ? inputs[i] : th_detach(inputs[i]);
    th_require_grad(leaves[i]);
  }
  if (th_backward(apply(leaves, *(binary_fn *)user), TH_CREATE_GRAPH) == TH_OK)
    result = th_add(th_sum(th_square(th_grad(leaves[0])), NULL, 0, false),
                    th_sum(th_sin(th_grad(leaves[1])), NULL, 0, false));
  for (int i = 0; i < n; i++) th_zero_grad(leaves[i]);
  if (result != NULL) th_keep(result);
  th_scope_end(scope);
  th_grad_mode(recording);
  return result;
}

/* Also with an operand that is broadcast. */
Test(gradients, of_gradients_of_binary_operators) {
  binary_fn fns[] = {th_pow,     th_atan2,  th_remainder, th_maximum,
                     th_minimum, th_divide, th_multiply};
  th_generator *g = th_generator_new(7);
  for (int f = 0; f < (int)(sizeof fns / sizeof *fns); f++) {
    for (int rows = 1; rows <= 4; rows += 3) {
      th_array *inputs[] = {th_uniform(g, TH_SHAPE(4, 3), 0.6, 2, TH_F64, th_cpu(0)),
                            th_uniform(g, TH_SHAPE(rows, 3), 0.6, 2, TH_F64, th_cpu(0))};
      double worst = 0;
      th_status status = th_grad_check(gradients_of_binary, inputs, 2, &fns[f], 1e-6, 1e-5, &worst);
      cr_assert(eq(int, status, TH_OK), "operator %d, %d rows: %s", f, rows, th_last_error());
      cr_assert(gt(dbl, worst, 0), "differences are never exact: nothing was compared");
      for (int i = 0; i < 2; i++) th_release(inputs[i]);
    }
  }
  th_generator_release(g);
}

static double value_of(th_array *a) {
  double value = th_item(a);
  th_release(a);
  return value;
}

/* d2/dx2 x^y and d2/dxdy x^y at points where the formula alone would give NaN. */
Test(gradients, of_gradients_at_the_edges_of_pow) {
  static const struct {
    double x, y, xx, xy;
  } rows[] = {
      {0, 2, 2, 0}, {0, 3, 0, 0}, {0, 1, 0, -INFINITY}, {-2, 2, 2, NAN}, {3, 0, 0, 1.0 / 3}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    th_array *x = th_full(TH_SCALAR, rows[i].x, TH_F64, th_cpu(0));
    th_array *y = th_full(TH_SCALAR, rows[i].y, TH_F64, th_cpu(0));
    cr_assert(th_require_grad(x) == TH_OK && th_require_grad(y) == TH_OK);
    th_array *z = th_pow(x, y);
    cr_assert(eq(int, th_backward(z, TH_CREATE_GRAPH), TH_OK), "%s", th_last_error());
    th_array *by_x = th_retain(th_grad(x));
    th_zero_grad(x);
    th_zero_grad(y);
    cr_assert(eq(int, th_backward(by_x, 0), TH_OK), "%s", th_last_error());
    double xx = value_of(th_retain(th_grad(x))), xy = value_of(th_retain(th_grad(y)));
    cr_assert(eq(dbl, xx, rows[i].xx), "row %zu: %g", i, xx);
    if (isnan(rows[i].xy))
      cr_assert(isnan(xy));
    else
      cr_assert(xy == rows[i].xy, "row %zu: %g", i, xy);
    th_release(by_x);
    th_release(z);
    th_release(x);
    th_release(y);
  }
}
