/* th_grads(): any outputs, any inputs, nothing else touched; gradients kept of computed arrays; requests; hooks. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "autograd/tape.h"
#include "engine/base/mem.h"
#include "support/arrays.h"
#include "support/gradients.h"
#include "support/tasks.h"

TestSuite(grads, .timeout = 60, .fini = stop_engine);

static bool says(const char *part) { return strstr(th_last_error(), part) != NULL; }

static void release_all(th_array **arrays, int n) {
  for (int i = 0; i < n; i++) th_release(arrays[i]);
}
#define RELEASE(...)                                                                               \
  release_all((th_array *[]){__VA_ARGS__},                                                         \
              (int)(sizeof((th_array *[]){__VA_ARGS__}) / sizeof(th_array *)))

Test(grads, of_leaves_and_of_computed_arrays) {
  th_array *x = leaf(2), *w = leaf(5);
  th_array *h = th_square(x), *y = th_multiply(h, w), *z = th_add(y, h); /* x^2 w + x^2 */
  th_array *inputs[] = {x, h, w, h, z}, *g[5];
  cr_assert(eq(int, th_grads(&z, 1, NULL, inputs, 5, TH_RETAIN_GRAPH, g), TH_OK), "%s",
            th_last_error());
  const double wanted[] = {24, 6, 4, 6, 1};
  for (int i = 0; i < 5; i++) cr_assert(eq(dbl, th_item(g[i]), wanted[i]), "input %d", i);
  cr_assert(not(th_array_shares(g[1], g[3])), "each result is its own array");
  cr_assert(zero(ptr, th_grad(x)), "gradients of leaves stay as they are");
  cr_assert(zero(ptr, th_grad(w)));
  release_all(g, 5);
  cr_assert(eq(int, th_backward(z, 0), TH_OK), "the graph was kept");
  cr_assert(eq(dbl, th_item(th_grad(x)), 24));
  RELEASE(x, w, h, y, z);
}

Test(grads, several_outputs_with_and_without_head_gradients) {
  th_array *x = vector(1, 2), *head = vector(10, 100);
  th_require_grad(x);
  th_array *a = th_square(x), *b = th_sum(a, NULL, 0, false), *g;
  th_array *outputs[] = {a, b, a}, *heads[] = {head, NULL, NULL};
  cr_assert(eq(int, th_grads(outputs, 3, heads, &x, 1, TH_RETAIN_GRAPH, &g), TH_OK), "%s",
            th_last_error());
  cr_assert(eq(dbl, distance_to(g, 24, 408), 0)); /* 2 x (head + 1 + 1) */
  cr_assert(eq(dbl, distance_to(head, 10, 100), 0));
  th_release(g);
  cr_assert(eq(int, th_grads(&x, 1, &head, &x, 1, 0, &g), TH_OK), "an input that is the output");
  cr_assert(eq(dbl, distance_to(g, 10, 100), 0));
  cr_assert(not(th_array_shares(g, head)));
  RELEASE(g, x, head, a, b);
}

Test(grads, inputs_that_nothing_depends_on) {
  th_array *x = leaf(3), *other = leaf(4), *y = th_square(x), *zero = th_multiply_scalar(x, 0);
  th_array *inputs[] = {other, x}, *g[2] = {x, x};
  cr_assert(eq(int, th_grads(&y, 1, NULL, inputs, 2, 0, g), TH_EINVAL));
  cr_assert(says("input 0") && says("TH_ALLOW_UNUSED"), "%s", th_last_error());
  cr_assert(g[0] == NULL && g[1] == NULL);
  cr_assert(eq(int, th_grads(&y, 1, NULL, inputs, 2, TH_ALLOW_UNUSED, g), TH_OK),
            "the refused call freed nothing: %s", th_last_error());
  cr_assert(zero(ptr, g[0]));
  cr_assert(eq(dbl, th_item(g[1]), 6));
  th_release(g[1]);
  cr_assert(eq(int, th_grads(&zero, 1, NULL, &x, 1, 0, g), TH_OK));
  cr_assert(eq(dbl, th_item(g[0]), 0));
  RELEASE(g[0], x, other, y, zero);
}

/* An operator without a gradient, and what was freed, matter only on the way to an input. */
Test(grads, what_leads_to_no_input_is_not_walked) {
  th_array *x = leaf(3), *w = leaf(2), *o = TH_CALL(&opaque, NULL, x), *y = th_multiply(o, w), *g;
  cr_assert(eq(int, th_grads(&y, 1, NULL, &x, 1, 0, &g), TH_ENOSYS));
  cr_assert(says("opaque"), "%s", th_last_error());
  cr_assert(eq(int, th_grads(&y, 1, NULL, &w, 1, 0, &g), TH_OK), "%s", th_last_error());
  cr_assert(eq(dbl, th_item(g), 3));
  th_release(g);
  th_array *h = th_exp(x), *u = th_square(h);
  cr_assert(eq(int, th_backward(h, 0), TH_OK));
  cr_assert(eq(int, th_grads(&u, 1, NULL, &h, 1, TH_RETAIN_GRAPH, &g), TH_OK),
            "what lies behind the only input may be freed: %s", th_last_error());
  cr_assert(lt(dbl, fabs(th_item(g) - 2 * exp(3)), 1e-12));
  th_release(g);
  cr_assert(eq(int, th_grads(&u, 1, NULL, &x, 1, 0, &g), TH_EINVAL));
  cr_assert(says("freed"), "%s", th_last_error());
  RELEASE(x, w, o, y, h, u);
}

Test(grads, of_gradients) {
  th_array *x = leaf(2), *square = th_multiply(x, x), *y = th_multiply(square, x), *g = NULL;
  const double wanted[] = {12, 12, 6};
  th_array *of = th_retain(y);
  for (int order = 0; order < 3; order++) {
    cr_assert(eq(int, th_grads(&of, 1, NULL, &x, 1, TH_CREATE_GRAPH, &g), TH_OK), "order %d: %s",
              order + 1, th_last_error());
    cr_assert(eq(dbl, th_item(g), wanted[order]), "order %d", order + 1);
    th_release(of);
    of = g;
  }
  th_release(of);
  /* By a computed array: d2 (s x) / ds dx = 1, and s = x^2 is taken for independent in the first step only. */
  cr_assert(eq(int, th_grads(&y, 1, NULL, &square, 1, TH_CREATE_GRAPH, &g), TH_OK));
  th_array *second;
  cr_assert(eq(int, th_grads(&g, 1, NULL, &x, 1, 0, &second), TH_OK), "%s", th_last_error());
  cr_assert(eq(dbl, th_item(second), 1));
  cr_assert(zero(ptr, th_grad(x)));
  RELEASE(g, second, x, square, y);
}

Test(grads, refuses_what_it_cannot_do) {
  th_array *x = vector(1, 2), *plain = vector(1, 2), *bad = vector(1, 2, 3), *g;
  th_require_grad(x);
  th_array *y = th_square(x), *none = NULL;
  cr_assert(eq(int, th_grads(&y, 0, NULL, &x, 1, 0, &g), TH_EINVAL));
  cr_assert(eq(int, th_grads(&y, 1, NULL, &x, 1, 8, &g), TH_EINVAL));
  cr_assert(says("flags"), "%s", th_last_error());
  cr_assert(eq(int, th_backward_from(y, plain, TH_ALLOW_UNUSED), TH_EINVAL));
  cr_assert(eq(int, th_grads(&plain, 1, NULL, &x, 1, 0, &g), TH_EINVAL));
  cr_assert(says("output 0") && says("nothing was recorded"), "%s", th_last_error());
  cr_assert(eq(int, th_grads(&y, 1, NULL, &plain, 1, 0, &g), TH_EINVAL));
  cr_assert(says("input 0"), "%s", th_last_error());
  cr_assert(eq(int, th_grads(&y, 1, &bad, &x, 1, 0, &g), TH_ESHAPE));
  cr_assert(says("head gradient 0") && says("(3"), "%s", th_last_error());
  th_clear_error();
  cr_assert(eq(int, th_grads(&y, 1, NULL, &none, 1, 0, &g), TH_EINVAL));
  cr_assert(says("input 0 is NULL"), "%s", th_last_error());
  RELEASE(x, plain, bad, y);
}

Test(grads, results_belong_to_the_open_scope) {
  int64_t before = 0;
  tasks_await_workers();
  for (int round = 0; round < 3; round++) {
    th_array *x = leaf(2), *g;
    th_scope scope = th_scope_begin();
    th_array *y = th_exp(th_square(x));
    cr_assert(eq(int, th_grads(&y, 1, NULL, &x, 1, TH_CREATE_GRAPH, &g), TH_OK));
    cr_assert(lt(dbl, fabs(th_item(g) - 4 * exp(4)), 1e-12));
    th_scope_end(scope);
    th_release(x);
    th_wait_all();
    if (round == 0) before = th__mem_live(); /* the first one starts engine and tape */
  }
  cr_assert(le(i64, th__mem_live(), before + 4), "%lld blocks, then %lld", (long long)before,
            (long long)th__mem_live());
}

/* --- kept gradients --- */

Test(grads, computed_arrays_keep_theirs_on_request) {
  th_array *x = vector(1, 2), *start = vector(1, 1);
  th_require_grad(x);
  th_array *h = th_square(x), *y = th_multiply_scalar(h, 3);
  cr_assert(eq(int, th_retain_grad(h), TH_OK));
  cr_assert(eq(int, th_retain_grad(y), TH_OK));
  cr_assert(eq(int, th_backward_from(y, start, TH_RETAIN_GRAPH), TH_OK));
  cr_assert(eq(dbl, distance_to(th_grad(h), 3, 3), 0));
  cr_assert(eq(dbl, distance_to(th_grad(y), 1, 1), 0));
  cr_assert(not(th_array_shares(th_grad(y), start)));
  cr_assert(eq(dbl, distance_to(th_grad(x), 6, 12), 0));
  cr_assert(eq(int, th_backward_from(y, start, TH_RETAIN_GRAPH), TH_OK));
  cr_assert(eq(dbl, distance_to(th_grad(h), 6, 6), 0), "calls add up");
  cr_assert(eq(dbl, distance_to(start, 1, 1), 0));
  th_zero_grad(h);
  cr_assert(zero(ptr, th_grad(h)));
  th_array *g;
  cr_assert(eq(int, th_grads(&y, 1, &start, &x, 1, 0, &g), TH_OK));
  cr_assert(zero(ptr, th_grad(h)), "th_grads() leaves nothing behind");
  cr_assert(eq(int, th_retain_grad(start), TH_EINVAL));
  cr_assert(says("th_require_grad"), "%s", th_last_error());
  cr_assert(eq(int, th_retain_grad(x), TH_OK), "a leaf does so anyway");
  RELEASE(g, x, start, h, y);
}

/* The cycle node -> gradient -> record -> node, too, ends with the array. */
Test(grads, kept_gradients_are_not_left_behind) {
  int64_t before = 0;
  tasks_await_workers();
  for (int round = 0; round < 4; round++) {
    th_array *x = leaf(2), *h = th_exp(x), *y = th_square(h);
    th_retain_grad(h);
    cr_assert(eq(int, th_backward(y, TH_CREATE_GRAPH), TH_OK));
    cr_assert(th_requires_grad(th_grad(h)));
    RELEASE(x, h, y);
    th_wait_all();
    if (round == 0) before = th__mem_live();
  }
  cr_assert(le(i64, th__mem_live(), before + 4), "%lld blocks, then %lld", (long long)before,
            (long long)th__mem_live());
}

Test(grads, a_leaf_may_ask_for_writing) {
  th_array *x = leaf(3), *h = th_square(x);
  cr_assert(eq(int, th_set_grad_request(x, TH_GRAD_WRITE), TH_OK));
  for (int i = 0; i < 3; i++) {
    cr_assert(eq(int, th_backward(h, TH_RETAIN_GRAPH), TH_OK));
    cr_assert(eq(dbl, th_item(th_grad(x)), 6), "contributions of calls replace each other");
  }
  th_array *twice = th_add(h, x), *y = th_add(twice, x);
  cr_assert(eq(int, th_backward(y, TH_RETAIN_GRAPH), TH_OK));
  cr_assert(eq(dbl, th_item(th_grad(x)), 8), "those of one call add up");
  cr_assert(eq(int, th_set_grad_request(x, TH_GRAD_ADD), TH_OK));
  cr_assert(eq(int, th_backward(y, 0), TH_OK));
  cr_assert(eq(dbl, th_item(th_grad(x)), 16));
  cr_assert(eq(int, th_set_grad_request(h, TH_GRAD_WRITE), TH_EINVAL));
  cr_assert(says("th_retain_grad"), "%s", th_last_error());
  cr_assert(eq(int, th_set_grad_request(x, (th_grad_request)7), TH_EINVAL));
  RELEASE(x, h, twice, y);
}

/* --- hooks --- */

typedef struct watch {
  const char *names; /* of what was submitted, one letter each */
  char order[64];    /* letters of hooks and operators as they come */
  const th__interceptor *usual;
} watch;
static watch seen;

static void note(char c) {
  size_t n = strlen(seen.order);
  if (n + 1 < sizeof(seen.order)) seen.order[n] = c;
}

static th_status watch_before(const th_op *op, const th_array *const *in, int n_in,
                              const uint8_t *written) {
  return seen.usual->before(op, in, n_in, written);
}

static th_status watch_after(const th_op *op, const void *params, const th_array *const *in,
                             int n_in, th_array *const *out, int n_out, const uint8_t *written) {
  if (strcmp(op->name, "matmul") == 0) note('m');
  if (strcmp(op->name, "tanh_slope") == 0) note('t');
  return seen.usual->after(op, params, in, n_in, out, n_out, written);
}

static void on_first(th_array *gradient, void *user) { note(*(const char *)user); }

/* Two layers, the weights before and behind what they are multiplied with: as soon as the products that make up a weight's gradient are
 * submitted its hook runs, before anything of the layer below is. */
Test(grads, hooks_run_before_what_lies_behind_is_submitted) {
  th_generator *g = th_generator_new(1);
  th_array *x = th_normal(g, TH_SHAPE(3, 3), 0, 1, TH_F64, th_cpu(0));
  th_array *w1 = th_normal(g, TH_SHAPE(3, 3), 0, 1, TH_F64, th_cpu(0)), *w2 = th_copy(w1);
  th_require_grad(w1);
  th_require_grad(w2);
  for (int front = 0; front < 2; front++) {
    th_scope scope = th_scope_begin();
    th_array *h = th_tanh(th_matmul(x, w1));
    th_array *y = th_sum(front ? th_matmul(w2, h) : th_matmul(h, w2), NULL, 0, false);
    static const char letters[] = {'1', '2', 'h'};
    if (front == 0) {
      cr_assert(eq(int, th_on_grad(w1, on_first, (void *)&letters[0]), TH_OK));
      cr_assert(eq(int, th_on_grad(w2, on_first, (void *)&letters[1]), TH_OK));
    }
    cr_assert(eq(int, th_on_grad(h, on_first, (void *)&letters[2]), TH_OK));
    static const th__interceptor watcher = {watch_before, watch_after};
    memset(&seen, 0, sizeof(seen));
    seen.usual = th__interceptor_swap(&watcher);
    th_status status = th_backward(y, 0);
    th__interceptor_swap(seen.usual);
    cr_assert(eq(int, status, TH_OK), "%s", th_last_error());
    cr_assert(strcmp(seen.order, "mmh2tm1") == 0 || strcmp(seen.order, "mm2htm1") == 0,
              "in the order %s", seen.order);
    th_scope_end(scope);
  }
  RELEASE(x, w1, w2);
  th_generator_release(g);
}

static void add_up(th_array *gradient, void *user) { *(double *)user += th_item(gradient); }

Test(grads, hooks_of_computed_arrays) {
  th_array *x = leaf(3), *h = th_square(x), *a = th_multiply_scalar(h, 2), *y = th_add(a, h);
  double sum = 0;
  cr_assert(eq(int, th_on_grad(h, add_up, &sum), TH_OK));
  RELEASE(h, a); /* the hook is the walk's */
  cr_assert(eq(int, th_backward(y, TH_RETAIN_GRAPH), TH_OK));
  cr_assert(eq(dbl, sum, 3));
  th_array *g;
  cr_assert(eq(int, th_grads(&y, 1, NULL, &x, 1, 0, &g), TH_OK));
  cr_assert(eq(dbl, sum, 3), "th_grads() calls no hooks");
  RELEASE(g, x, y);
}
