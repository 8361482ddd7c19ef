/* Functions that bring their own gradient (th_custom()) and functions that are computed again (th_recompute()). */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>
#include <uv.h>

#include "autograd/tape.h"
#include "engine/base/error.h"
#include "support/arrays.h"
#include "support/gradients.h"

TestSuite(custom, .timeout = 60, .fini = stop_engine);

static bool says(const char *part) { return strstr(th_last_error(), part) != NULL; }

static void release_all(th_array **arrays, int n) {
  for (int i = 0; i < n; i++) th_release(arrays[i]);
}
#define RELEASE(...)                                                                               \
  release_all((th_array *[]){__VA_ARGS__},                                                         \
              (int)(sizeof((th_array *[]){__VA_ARGS__}) / sizeof(th_array *)))

/* --- a function with two inputs and two results: a b and a + b --- */

typedef struct counts {
  int forward, backward, dropped;
  bool inputs, outputs; /* whether backward saw them */
} counts;

static th_status forward(th_array *const *in, int n_in, th_array **out, int n_out, void *user) {
  ((counts *)user)->forward++;
  out[0] = th_multiply(in[0], in[1]);
  out[1] = th_add(in[0], in[1]);
  return TH_OK;
}

static th_status backward(th_array *const *in, th_array *const *out, th_array *const *g,
                          th_array **result, void *user) {
  counts *c = user;
  c->backward++;
  c->inputs = in[0] != NULL && in[1] != NULL;
  c->outputs = out[0] != NULL && out[1] != NULL;
  for (int i = 0; i < 2; i++) {
    th_scope scope = th_scope_begin();
    result[i] = th_keep(th_add(th_multiply(g[0], in[1 - i]), g[1]));
    th_scope_end(scope);
  }
  return TH_OK;
}

static void drop(void *user) { ((counts *)user)->dropped++; }

static th_function function(counts *c) {
  return (th_function){.size = sizeof(th_function),
                       .forward = forward,
                       .backward = backward,
                       .user = c,
                       .drop = drop};
}

Test(custom, gradient_is_the_functions) {
  counts c = {0};
  th_function f = function(&c);
  th_array *x = leaf(3), *w = leaf(5), *out[2];
  cr_assert(eq(int, th_custom(&f, (th_array *[]){x, w}, 2, out, 2), TH_OK), "%s", th_last_error());
  cr_assert(eq(dbl, th_item(out[0]), 15));
  cr_assert(eq(dbl, th_item(out[1]), 8));
  th_array *y = th_square(out[0]), *z = th_add(y, out[1]); /* (x w)^2 + x + w */
  cr_assert(eq(int, th_backward(z, 0), TH_OK), "%s", th_last_error());
  cr_assert(eq(dbl, th_item(th_grad(x)), 2 * 15 * 5 + 1));
  cr_assert(eq(dbl, th_item(th_grad(w)), 2 * 15 * 3 + 1));
  cr_assert(eq(int, c.dropped, 1), "as soon as the graph is freed");
  cr_assert(c.forward == 1 && c.backward == 1 && c.inputs && c.outputs);
  RELEASE(x, w, out[0], out[1], y, z);
}

Test(custom, saves_only_what_it_is_asked_to) {
  counts c = {0};
  th_function f = function(&c);
  f.unsaved = TH_UNSAVED_OUTPUTS;
  th_array *x = leaf(3), *w = leaf(5), *out[2];
  cr_assert(eq(int, th_custom(&f, (th_array *[]){x, w}, 2, out, 2), TH_OK));
  cr_assert(eq(int, th_backward(out[1], TH_RETAIN_GRAPH), TH_OK), "the other result adds zeros");
  cr_assert(eq(dbl, th_item(th_grad(x)), 1));
  cr_assert(c.inputs && !c.outputs);
  cr_assert(eq(int, c.dropped, 0), "backward may come again");
  RELEASE(x, w, out[0], out[1]);
  cr_assert(eq(int, c.dropped, 1));
}

/* --- results on two devices --- */

static th_status apart(th_array *const *in, int n_in, th_array **out, int n_out, void *user) {
  out[0] = th_multiply_scalar(in[0], 2);
  th_array *three = th_multiply_scalar(in[0], 3);
  out[1] = th_copy_to(three, th_cpu(1));
  th_release(three);
  return TH_OK;
}
static th_status apart_backward(th_array *const *in, th_array *const *out, th_array *const *g,
                                th_array **result, void *user) {
  int *seen = user;
  for (int j = 0; j < 2; j++) seen[j] = th_array_device(g[j]).index;
  th_array *near = th_copy_to(g[1], th_cpu(0)), *twice = th_multiply_scalar(g[0], 2);
  th_array *thrice = th_multiply_scalar(near, 3);
  result[0] = th_add(twice, thrice);
  release_all((th_array *[]){near, twice, thrice}, 3);
  return TH_OK;
}

Test(custom, zeros_lie_where_the_unused_result_did) {
  cr_assert(eq(int, th_cpu_split(2, 1), TH_OK), "%s", th_last_error());
  for (int unsaved = 0; unsaved <= TH_UNSAVED_OUTPUTS; unsaved += TH_UNSAVED_OUTPUTS)
    for (int used = 0; used < 2; used++) {
      int seen[2] = {-1, -1};
      th_function f = {.size = sizeof(f),
                       .forward = apart,
                       .backward = apart_backward,
                       .unsaved = (uint32_t)unsaved,
                       .user = seen};
      th_array *x = leaf(5), *out[2];
      cr_assert(eq(int, th_custom(&f, &x, 1, out, 2), TH_OK), "%s", th_last_error());
      cr_assert(eq(int, th_backward(out[used], 0), TH_OK), "%s", th_last_error());
      cr_assert(seen[0] == 0 && seen[1] == 1, "result %d used: %d and %d", used, seen[0], seen[1]);
      cr_assert(eq(dbl, th_item(th_grad(x)), used ? 3 : 2));
      RELEASE(x, out[0], out[1]);
    }
}

Test(custom, gradients_of_the_gradient) {
  counts c = {0};
  th_function f = function(&c);
  th_array *x = leaf(3), *w = leaf(5), *out[2], *g, *second;
  cr_assert(eq(int, th_custom(&f, (th_array *[]){x, w}, 2, out, 2), TH_OK));
  th_array *y = th_square(out[0]); /* x^2 w^2 */
  cr_assert(eq(int, th_grads(&y, 1, NULL, &x, 1, TH_CREATE_GRAPH, &g), TH_OK));
  cr_assert(eq(dbl, th_item(g), 150)); /* 2 x w^2 */
  cr_assert(eq(int, th_grads(&g, 1, NULL, &w, 1, 0, &second), TH_OK), "%s", th_last_error());
  cr_assert(eq(dbl, th_item(second), 60)); /* 4 x w */
  RELEASE(x, w, out[0], out[1], y, g, second);
}

Test(custom, without_a_recorded_input) {
  counts c = {0};
  th_function f = function(&c);
  th_array *x = scalar(3), *w = leaf(5), *out[2];
  cr_assert(eq(int, th_custom(&f, (th_array *[]){x, x}, 2, out, 2), TH_OK));
  cr_assert(not(th_requires_grad(out[0])));
  cr_assert(eq(int, c.dropped, 1));
  RELEASE(out[0], out[1]);
  th_grad_mode(false);
  cr_assert(eq(int, th_custom(&f, (th_array *[]){x, w}, 2, out, 2), TH_OK));
  th_grad_mode(true);
  cr_assert(not(th_requires_grad(out[0])));
  cr_assert(eq(int, c.dropped, 2));
  RELEASE(out[0], out[1], x, w);
}

/* Many inputs: more than the bits that say what an operator saves. */
static th_status sum_of_all(th_array *const *in, int n_in, th_array **out, int n_out, void *user) {
  out[0] = th_copy(in[0]);
  for (int i = 1; i < n_in; i++) TH_TRY(th_add_inplace(out[0], in[i]));
  return TH_OK;
}
static th_status each_by_itself(th_array *const *in, th_array *const *out, th_array *const *g,
                                th_array **result, void *user) {
  for (int i = 0; i < *(int *)user; i++) result[i] = th_multiply(g[0], in[i]);
  return TH_OK;
}

Test(custom, many_inputs) {
  enum { N = 40 };
  int n = N;
  th_function f = {
      .size = sizeof(f), .forward = sum_of_all, .backward = each_by_itself, .user = &n};
  th_array *x[N], *y;
  for (int i = 0; i < N; i++) x[i] = leaf(i);
  cr_assert(eq(int, th_custom(&f, x, N, &y, 1), TH_OK), "%s", th_last_error());
  cr_assert(eq(dbl, th_item(y), N * (N - 1) / 2));
  cr_assert(eq(int, th_backward(y, 0), TH_OK), "%s", th_last_error());
  for (int i = 0; i < N; i++) cr_assert(eq(dbl, th_item(th_grad(x[i])), i));
  release_all(x, N);
  th_release(y);
}

/* Results that show an input, or each other, get a history of their own all the same. */
static th_status identity(th_array *const *in, int n_in, th_array **out, int n_out, void *user) {
  out[0] = th_retain(in[0]);
  out[1] = th_retain(in[0]);
  return TH_OK;
}
static th_status add_gradients(th_array *const *in, th_array *const *out, th_array *const *g,
                               th_array **result, void *user) {
  result[0] = th_add(g[0], g[1]);
  return TH_OK;
}

Test(custom, results_are_arrays_of_their_own) {
  th_function f = {.size = sizeof(f), .forward = identity, .backward = add_gradients};
  th_array *x = leaf(3), *out[2];
  th_scope scope = th_scope_begin();
  cr_assert(eq(int, th_custom(&f, &x, 1, out, 2), TH_OK), "%s", th_last_error());
  cr_assert(not(th_array_shares(out[0], x)));
  cr_assert(not(th_array_shares(out[0], out[1])));
  cr_assert(eq(int, th_backward(th_multiply(out[0], out[1]), 0), TH_OK), "%s", th_last_error());
  cr_assert(eq(dbl, th_item(th_grad(x)), 6));
  th_scope_end(scope);
  th_release(x);
}

static th_status fails(th_array *const *in, int n_in, th_array **out, int n_out, void *user) {
  out[0] = th_square(in[0]);
  return th_op_refuse(TH_EKERNEL, "no luck today");
}
static th_status makes_nothing(th_array *const *in, int n_in, th_array **out, int n_out,
                               void *user) {
  return TH_OK;
}
static th_status backward_fails(th_array *const *in, th_array *const *out, th_array *const *g,
                                th_array **result, void *user) {
  result[0] = th_copy(g[0]);
  return TH_EKERNEL;
}
static th_status bad_shape(th_array *const *in, th_array *const *out, th_array *const *g,
                           th_array **result, void *user) {
  result[0] = th_reshape(g[0], TH_SHAPE(1, 1));
  return TH_OK;
}

Test(custom, failures_are_passed_on_and_nothing_leaks) {
  counts c = {0};
  th_array *x = leaf(3), *out[2] = {x, x};
  th_function f = {
      .size = sizeof(f), .forward = fails, .backward = backward, .user = &c, .drop = drop};
  cr_assert(eq(int, th_custom(&f, &x, 1, out, 1), TH_EKERNEL));
  cr_assert(says("no luck today") && out[0] == NULL, "%s", th_last_error());
  f.forward = makes_nothing;
  cr_assert(eq(int, th_custom(&f, &x, 1, out, 2), TH_EINVAL));
  cr_assert(says("made no output 0"), "%s", th_last_error());
  f.backward = NULL;
  cr_assert(eq(int, th_custom(&f, &x, 1, out, 1), TH_EINVAL));
  f = (th_function){.size = 1};
  cr_assert(eq(int, th_custom(&f, &x, 1, out, 1), TH_EINVAL));
  cr_assert(eq(int, c.dropped, 3), "drop comes in any case but an unknown size");
  static const th_backward_fn bad[] = {backward_fails, bad_shape};
  for (int i = 0; i < 2; i++) {
    f = (th_function){.size = sizeof(f), .forward = identity, .backward = bad[i]};
    cr_assert(eq(int, th_custom(&f, &x, 1, out, 2), TH_OK));
    cr_assert(eq(int, th_backward(out[0], 0), i == 0 ? TH_EKERNEL : TH_ESHAPE));
    cr_assert(says("custom"), "%s", th_last_error());
    RELEASE(out[0], out[1]);
  }
  cr_assert(eq(int, th_recompute(NULL, &x, 1, out, 1, &c, drop), TH_EINVAL));
  cr_assert(eq(int, th_recompute(identity, &x, 0, out, 1, &c, drop), TH_EINVAL));
  cr_assert(eq(int, c.dropped, 5));
  th_release(x);
}

/* --- recompute --- */

/* A layer: tanh(x w), then dropout by the generator in user. */
typedef struct layer {
  th_generator *g;
  int calls, dropped;
  const th_array *captured; /* or NULL */
} layer;

static th_status run_layer(th_array *const *in, int n_in, th_array **out, int n_out, void *user) {
  layer *l = user;
  l->calls++;
  th_scope scope = th_scope_begin();
  th_array *y = th_dropout(l->g, th_tanh(th_matmul(in[0], in[1])), 0.5, true);
  for (int i = 0; i < 3; i++)
    y = th_add(th_tanh(y), th_uniform(l->g, TH_SHAPE(4, 4), 0, 1, TH_F64, th_cpu(0)));
  if (l->captured != NULL) y = th_multiply(y, l->captured);
  out[0] = th_keep(y);
  th_scope_end(scope);
  return TH_OK;
}

static void drop_layer(void *user) { ((layer *)user)->dropped++; }

/* Three layers, the middle one with the input of the first, too; the sum of squares. */
static th_array *network(th_array *x, th_array *const *w, layer *l, bool again) {
  th_array *h = x;
  for (int i = 0; i < 3; i++) {
    th_array *in[] = {i == 1 ? th_add(h, x) : h, w[i]}, *out;
    th_status status = again ? th_recompute(run_layer, in, 2, &out, 1, l, drop_layer)
                             : run_layer(in, 2, &out, 1, l);
    cr_assert(eq(int, status, TH_OK), "%s", th_last_error());
    h = out;
    if (!again) th__scope_adopt(h);
  }
  return th_sum(th_square(h), NULL, 0, false);
}

static th_array *weights(uint64_t seed) {
  th_generator *g = th_generator_new(seed);
  th_array *w = th_normal(g, TH_SHAPE(4, 4), 0, 0.5, TH_F64, th_cpu(0));
  th_generator_release(g);
  th_require_grad(w);
  return w;
}

/* The loss, its gradients, and their gradients, with random numbers inside. */
Test(custom, recomputing_changes_no_result) {
  double values[2][4][16];
  for (int again = 0; again < 2; again++) {
    th_array *w[3] = {weights(1), weights(2), weights(3)}, *x = weights(4), *g[4];
    layer l = {.g = th_generator_new(9)};
    th_scope scope = th_scope_begin();
    th_array *loss = network(x, w, &l, again);
    th_array *inputs[] = {x, w[0], w[1], w[2]};
    cr_assert(eq(int, th_grads(&loss, 1, NULL, inputs, 4, TH_CREATE_GRAPH, g), TH_OK), "%s",
              th_last_error());
    th_array *second = th_sum(th_square(th_add(g[0], g[2])), NULL, 0, false);
    cr_assert(eq(int, th_backward(second, 0), TH_OK), "%s", th_last_error());
    cr_assert(eq(int, th_read(loss, values[again][0], 8), TH_OK));
    cr_assert(eq(int, th_read(g[1], values[again][1], 128), TH_OK));
    cr_assert(eq(int, th_read(th_grad(x), values[again][2], 128), TH_OK));
    cr_assert(eq(int, th_read(th_grad(w[2]), values[again][3], 128), TH_OK));
    cr_assert(again ? l.calls > 3 : l.calls == 3);
    th_scope_end(scope);
    for (int i = 0; i < 4; i++) th_zero_grad(inputs[i]);
    RELEASE(x, w[0], w[1], w[2]);
    cr_assert(eq(int, l.dropped, again ? 3 : 0));
    th_generator_release(l.g);
  }
  cr_assert(eq(dbl, values[0][0][0], values[1][0][0]));
  for (int i = 1; i < 4; i++) {
    for (int k = 0; k < 16; k++)
      cr_assert(lt(dbl, fabs(values[0][i][k] - values[1][i][k]), 1e-12), "%d %d: %.17g %.17g", i, k,
                values[0][i][k], values[1][i][k]);
  }
}

/* The stream of random numbers goes on where it would have without the second call. */
Test(custom, recomputing_draws_nothing_new) {
  layer l = {.g = th_generator_new(9)};
  th_array *x = weights(1), *w = weights(2), *in[] = {x, w}, *out;
  cr_assert(eq(int, th_recompute(run_layer, in, 2, &out, 1, &l, NULL), TH_OK));
  th_generator *same = th_generator_new(9);
  layer reference = {.g = same};
  th_array *plain;
  cr_assert(eq(int, run_layer(in, 2, &plain, 1, &reference), TH_OK));
  th_array *start = th_ones_like(out);
  cr_assert(eq(int, th_backward_from(out, start, 0), TH_OK), "%s", th_last_error());
  cr_assert(eq(int, l.calls, 2));
  th_array *one = th_uniform(l.g, TH_SCALAR, 0, 1, TH_F64, th_cpu(0));
  th_array *two = th_uniform(same, TH_SCALAR, 0, 1, TH_F64, th_cpu(0));
  cr_assert(eq(dbl, th_item(one), th_item(two)));
  RELEASE(x, w, out, plain, start, one, two);
  th_generator_release(l.g);
  th_generator_release(same);
}

Test(custom, recomputing_what_is_recomputed) {
  layer l = {.g = th_generator_new(9)};
  th_array *x = weights(1), *w = weights(2), *in[] = {x, x}, *out;
  cr_assert(eq(int, th_recompute(run_layer, in, 2, &out, 1, &l, NULL), TH_OK));
  th_array *loss = th_sum(out, NULL, 0, false);
  cr_assert(eq(int, th_backward(loss, TH_RETAIN_GRAPH), TH_OK), "the same array twice: %s",
            th_last_error());
  double once[16], twice[16];
  cr_assert(eq(int, th_read(th_grad(x), once, 128), TH_OK));
  cr_assert(eq(int, th_backward(loss, 0), TH_OK));
  cr_assert(eq(int, th_read(th_grad(x), twice, 128), TH_OK));
  for (int k = 0; k < 16; k++) cr_assert(eq(dbl, twice[k], 2 * once[k]));
  RELEASE(x, w, out, loss);
  th_generator_release(l.g);
}

Test(custom, captured_arrays_are_told) {
  th_array *x = weights(1), *w = weights(2), *captured = leaf(2), *in[] = {x, w}, *out;
  layer l = {.g = th_generator_new(9), .captured = captured};
  cr_assert(eq(int, th_recompute(run_layer, in, 2, &out, 1, &l, NULL), TH_OK));
  th_array *loss = th_sum(out, NULL, 0, false);
  cr_assert(eq(int, th_backward(loss, 0), TH_EINVAL));
  cr_assert(says("without being an input"), "%s", th_last_error());
  RELEASE(out, loss);
  th_array *plain[] = {th_detach(x), th_detach(w)};
  cr_assert(eq(int, th_recompute(run_layer, plain, 2, &out, 1, &l, drop_layer), TH_OK));
  loss = th_sum(out, NULL, 0, false);
  cr_assert(eq(int, th_backward(loss, 0), TH_OK), "an ordinary call: %s", th_last_error());
  cr_assert(ne(ptr, th_grad(captured), NULL));
  cr_assert(eq(int, l.dropped, 1));
  RELEASE(out, loss, x, w, captured, plain[0], plain[1]);
  th_generator_release(l.g);
}

enum { THREADS = 3, ROUNDS = 20 };

typedef struct shared_loss {
  th_array *loss, *x;
  _Atomic int failures;
} shared_loss;

static void walk_shared(void *arg) {
  shared_loss *s = arg;
  for (int i = 0; i < ROUNDS; i++) {
    th_array *g;
    th_status status = th_grads(&s->loss, 1, NULL, &s->x, 1, TH_RETAIN_GRAPH, &g);
    if (status != TH_OK || !(th_item(g) > 0)) atomic_fetch_add(&s->failures, 1);
    th_release(g);
    if (th_backward(s->loss, TH_RETAIN_GRAPH) != TH_OK) atomic_fetch_add(&s->failures, 1);
  }
}

static th_status exp_of_square(th_array *const *in, int n_in, th_array **out, int n_out,
                               void *user) {
  th_array *square = th_square(in[0]);
  out[0] = th_exp(square);
  th_release(square);
  return TH_OK;
}

/* Each thread runs the function for itself; gradients that are written replace each other. */
Test(custom, threads_may_share_what_is_recomputed) {
  shared_loss s = {.x = leaf(1)};
  cr_assert(eq(int, th_set_grad_request(s.x, TH_GRAD_WRITE), TH_OK));
  cr_assert(eq(int, th_recompute(exp_of_square, &s.x, 1, &s.loss, 1, NULL, NULL), TH_OK));
  uv_thread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++) cr_assert(zero(uv_thread_create(&threads[i], walk_shared, &s)));
  for (int i = 0; i < THREADS; i++) uv_thread_join(&threads[i]);
  cr_assert(eq(int, s.failures, 0));
  cr_assert(lt(dbl, fabs(th_item(th_grad(s.x)) - 2 * exp(1)), 1e-14));
  th_release(s.x);
  th_release(s.loss);
}

typedef struct slow {
  _Atomic int runs, go_on, dropped, used_late;
} slow;

/* Run again, it waits until the other walk is through. */
static th_status double_slowly(th_array *const *in, int n_in, th_array **out, int n_out,
                               void *user) {
  slow *s = user;
  if (atomic_fetch_add(&s->runs, 1) == 1)
    while (!atomic_load(&s->go_on)) uv_sleep(1);
  if (atomic_load(&s->dropped)) atomic_store(&s->used_late, 1);
  out[0] = th_multiply_scalar(in[0], 2);
  return TH_OK;
}

static void drop_slow(void *user) { atomic_store(&((slow *)user)->dropped, 1); }

static void walk_and_keep(void *arg) {
  cr_assert(eq(int, th_backward(arg, TH_RETAIN_GRAPH), TH_OK), "%s", th_last_error());
}

/* One walk keeps the graph and is inside the function, another consumes it: what the function uses stays until both are through. */
Test(custom, functions_stay_until_the_last_walk_is_through) {
  slow s = {0};
  th_array *x = leaf(1), *h;
  cr_assert(eq(int, th_recompute(double_slowly, &x, 1, &h, 1, &s, drop_slow), TH_OK));
  th_array *one = th_sin(h), *two = th_cos(h);
  uv_thread_t thread;
  cr_assert(zero(uv_thread_create(&thread, walk_and_keep, one)));
  while (atomic_load(&s.runs) < 2) uv_sleep(1);
  cr_assert(eq(int, th_backward(two, 0), TH_OK), "%s", th_last_error());
  atomic_store(&s.go_on, 1);
  uv_thread_join(&thread);
  cr_assert(eq(int, s.used_late, 0));
  cr_assert(eq(int, s.dropped, 1), "and no longer");
  th_array *all[] = {x, h, one, two};
  for (int i = 0; i < 4; i++) th_release(all[i]);
}

/* --- memory --- */

/* All that this file is about at once; TH_OK or the first failure. */
static th_status small_program(void) {
  counts c = {0};
  th_function f = function(&c);
  layer l = {.g = th_generator_new(9)};
  th_scope scope = th_scope_begin();
  th_array *x = leaf(2), *out[3] = {NULL}, *g[2] = {NULL};
  th_status status = scope != NULL && l.g != NULL && x != NULL ? TH_OK : TH_ENOMEM;
  int given = 0; /* how often the functions got what they drop */
  if (status == TH_OK && ++given) status = th_custom(&f, (th_array *[]){x, x}, 2, out, 2);
  if (status == TH_OK) status = th_retain_grad(out[0]);
  if (status == TH_OK && ++given)
    status = th_recompute(exp_of_square, &out[1], 1, &out[2], 1, &c, drop);
  th_array *y = status == TH_OK ? th_multiply(out[0], out[2]) : NULL;
  if (status == TH_OK && y == NULL) status = th_last_status();
  if (status == TH_OK)
    status = th_grads(&y, 1, NULL, (th_array *[]){x, out[0]}, 2, TH_CREATE_GRAPH, g);
  if (status == TH_OK) status = th_backward(g[0], 0);
  th_zero_grad(x);
  th_zero_grad(out[0]);
  th_scope_end(scope);
  th_generator_release(l.g);
  cr_assert(eq(int, c.dropped, given));
  return status;
}

Test(custom, every_allocation_may_fail) { gradients_without_memory(small_program, 3000); }

enum { DEPTH = 16, BLOCK = 8, SIDE = 128 };

static th_status run_block(th_array *const *in, int n_in, th_array **out, int n_out, void *user) {
  th_array *h = th_retain(in[0]);
  for (int i = 0; i < BLOCK; i++) {
    th_array *next = th_sin(h);
    th_release(h);
    h = next;
  }
  out[0] = h;
  return TH_OK;
}

/* Bytes in use at most while a chain of DEPTH blocks is computed and walked back. */
static int64_t peak_of_chain(bool again) {
  th_array *x = th_ones(TH_SHAPE(SIDE, SIDE), TH_F64, th_cpu(0)), *h = th_retain(x), *next;
  th_require_grad(x);
  for (int i = 0; i < DEPTH; i++) {
    th_status status = again ? th_recompute(run_block, &h, 1, &next, 1, NULL, NULL)
                             : run_block(&h, 1, &next, 1, NULL);
    cr_assert(eq(int, status, TH_OK), "%s", th_last_error());
    th_release(h);
    h = next;
  }
  th_array *loss = th_sum(h, NULL, 0, false);
  th_release(h);
  th_wait_all();
  cr_assert(eq(int, th_backward(loss, 0), TH_OK), "%s", th_last_error());
  th_wait_all();
  th_memory_info info;
  cr_assert(eq(int, th_memory_get(th_cpu(0), &info), TH_OK));
  th_release(loss);
  th_release(x);
  return info.peak;
}

/* Serially, so that arrays end in the order of the program. 128 steps: each keeps an array; 16 blocks of 8: one per block, and the
 * inner ones of a single block. */
static int64_t peak_alone(bool again) {
  th_config config = {.size = sizeof(config), .engine = "serial"};
  cr_assert(eq(int, th_init(&config), TH_OK), "%s", th_last_error());
  int64_t peak = peak_of_chain(again) / (SIDE * SIDE * 8);
  th_shutdown();
  return peak;
}

Test(custom, recomputing_saves_memory) {
  int64_t plain = peak_alone(false), again = peak_alone(true);
  cr_assert(ge(i64, plain, DEPTH * BLOCK), "%lld arrays", (long long)plain);
  cr_assert(le(i64, again, DEPTH + BLOCK + 8), "%lld arrays", (long long)again);
}
