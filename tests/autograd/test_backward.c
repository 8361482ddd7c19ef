/* Walking back: order, accumulation, flags, failures, hooks, depth, threads. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>
#include <uv.h>

#include "autograd/tape.h"
#include "support/arrays.h"
#include "support/gradients.h"

TestSuite(backward, .timeout = 60, .fini = stop_engine);

static bool says(const char *part) { return strstr(th_last_error(), part) != NULL; }

Test(backward, mean_sum_and_second_time) {
  const double values[] = {1, 2, 3, 4};
  th_array *a = th_from_host(values, TH_SHAPE(1, 4), TH_F64, th_cpu(0));
  th_require_grad(a);
  th_array *b = th_square(a), *c = th_multiply_scalar(b, 2);
  th_array *d = th_mean(c, NULL, 0, false), *e = th_sum(c, NULL, 0, false);
  cr_assert(eq(int, th_backward(d, TH_RETAIN_GRAPH), TH_OK));
  cr_assert(eq(dbl, distance_to(th_grad(a), 1, 2, 3, 4), 0));
  th_zero_grad(a);
  cr_assert(zero(ptr, th_grad(a)));
  cr_assert(eq(int, th_backward(e, 0), TH_OK));
  cr_assert(eq(dbl, distance_to(th_grad(a), 4, 8, 12, 16), 0));
  cr_assert(eq(int, th_backward(e, 0), TH_EINVAL));
  cr_assert(says("TH_RETAIN_GRAPH"), "%s", th_last_error());
  cr_assert(eq(int, th_backward(d, 0), TH_EINVAL), "d shares what the walk from e freed");
  cr_assert(says("TH_RETAIN_GRAPH"), "%s", th_last_error());
  cr_assert(eq(dbl, distance_to(th_grad(a), 4, 8, 12, 16), 0));
  th_array *all[] = {a, b, c, d, e};
  for (int i = 0; i < 5; i++) th_release(all[i]);
}

Test(backward, contributions_and_calls_add_up) {
  th_array *x = leaf(3);
  th_array *sum = th_add(x, x), *y = th_multiply(sum, x), *z = th_add(y, sum); /* 2 x^2 + 2 x */
  cr_assert(eq(int, th_backward(z, TH_RETAIN_GRAPH), TH_OK));
  cr_assert(eq(dbl, th_item(th_grad(x)), 14));
  th_array *gradient = th_grad(x);
  cr_assert(eq(int, th_backward(z, TH_RETAIN_GRAPH), TH_OK));
  cr_assert(eq(dbl, th_item(th_grad(x)), 28));
  cr_assert(eq(ptr, th_grad(x), gradient), "the gradient stays the same array");
  th_release(x);
  th_release(sum);
  th_release(y);
  th_release(z);
}

/* The second slice and the third are added to what the first has left, overlapping or not. */
Test(backward, slices_add_to_their_parts) {
  th_array *x = vector(1, 2), *two = vector(2, 3), *parts[2];
  th_require_grad(x);
  th_array *y = th_multiply(x, two); /* so that the sum is an inner gradient */
  cr_assert(eq(int, th_unstack(y, 0, parts), TH_OK));
  th_array *both = th_slice(y, "::-1"), *weighted = th_multiply(both, two);
  th_array *a = th_multiply_scalar(parts[0], 5), *b = th_multiply_scalar(parts[1], 7);
  th_array *c = th_sum(weighted, NULL, 0, false), *d = th_add(a, b), *sum = th_add(c, d);
  cr_assert(eq(int, th_backward(sum, TH_RETAIN_GRAPH), TH_OK)); /* (5 + 3) 2, (7 + 2) 3 */
  cr_assert(eq(dbl, distance_to(th_grad(x), 16, 27), 0));
  cr_assert(eq(int, th_backward(sum, TH_CREATE_GRAPH), TH_OK));
  cr_assert(eq(dbl, distance_to(th_grad(x), 32, 54), 0));
  th_array *all[] = {x, two, y, parts[0], parts[1], both, weighted, a, b, c, d, sum};
  for (int i = 0; i < 12; i++) th_release(all[i]);
}

Test(backward, gradients_of_two_leaves_are_separate_arrays) {
  th_array *x = vector(1, 2), *w = vector(3, 4), *start = vector(1, 1);
  th_require_grad(x);
  th_require_grad(w);
  th_array *y = th_add(x, w);
  cr_assert(eq(int, th_backward_from(y, start, 0), TH_OK));
  cr_assert(not(th_array_shares(th_grad(x), th_grad(w))));
  cr_assert(not(th_array_shares(th_grad(x), start)));
  th_multiply_scalar_inplace(th_grad(x), 5);
  cr_assert(eq(dbl, distance_to(th_grad(w), 1, 1), 0));
  cr_assert(eq(dbl, distance_to(start, 1, 1), 0));
  th_release(x);
  th_release(w);
  th_release(y);
  th_release(start);
}

Test(backward, only_one_element_without_a_gradient_to_start_from) {
  th_array *x = vector(1, 2, 3);
  th_require_grad(x);
  th_array *y = th_square(x), *start = vector(1, 10, 100), *bad = vector(1, 2);
  cr_assert(eq(int, th_backward(y, 0), TH_ESHAPE));
  cr_assert(says("th_backward_from") && says("(3"), "%s", th_last_error());
  cr_assert(eq(int, th_backward_from(y, bad, 0), TH_ESHAPE));
  cr_assert(eq(int, th_backward_from(y, start, 4), TH_EINVAL));
  cr_assert(says("flags"), "%s", th_last_error());
  cr_assert(eq(int, th_backward_from(y, start, 0), TH_OK));
  cr_assert(eq(dbl, distance_to(th_grad(x), 2, 40, 600), 0));
  th_array *single = vector(7);
  th_require_grad(single);
  th_array *one = th_square(single);
  cr_assert(eq(int, th_backward(one, 0), TH_OK), "shape (1) is one element");
  cr_assert(eq(dbl, distance_to(th_grad(single), 14), 0));
  th_array *all[] = {x, y, start, bad, single, one};
  for (int i = 0; i < 6; i++) th_release(all[i]);
}

Test(backward, leaf_itself) {
  th_array *x = leaf(3);
  cr_assert(eq(int, th_backward(x, 0), TH_OK));
  cr_assert(eq(int, th_backward(x, 0), TH_OK));
  cr_assert(eq(dbl, th_item(th_grad(x)), 2));
  th_clear_error();
  cr_assert(eq(int, th_backward(NULL, 0), TH_EINVAL));
  th_release(x);
}

Test(backward, higher_derivatives) {
  th_array *x = leaf(2);
  th_array *square = th_multiply(x, x), *cube = th_multiply(square, x);
  const double wanted[] = {12, 12, 6};
  th_array *y = cube;
  for (int order = 0; order < 3; order++) {
    th_zero_grad(x);
    cr_assert(eq(int, th_backward(y, TH_CREATE_GRAPH), TH_OK), "order %d: %s", order + 1,
              th_last_error());
    if (order > 0) th_release(y);
    y = th_retain(th_grad(x));
    cr_assert(eq(dbl, th_item(y), wanted[order]), "order %d: %g", order + 1, th_item(y));
  }
  th_release(y);
  th_zero_grad(x);
  th_array *e = th_exp(x), *s = th_sin(e);
  cr_assert(eq(int, th_backward(s, TH_CREATE_GRAPH), TH_OK));
  y = th_retain(th_grad(x));
  th_zero_grad(x);
  cr_assert(eq(int, th_backward(y, 0), TH_OK), "%s", th_last_error());
  double ex = exp(2);
  cr_assert(lt(dbl, fabs(th_item(th_grad(x)) - (cos(ex) * ex - sin(ex) * ex * ex)), 1e-11));
  th_array *all[] = {x, square, cube, y, e, s};
  for (int i = 0; i < 6; i++) th_release(all[i]);
}

typedef struct calls {
  int n;
  double sum[8];
  th_array *of[8], *gradient[8];
} calls;

static void on_gradient(th_array *gradient, void *user) {
  calls *c = user;
  c->gradient[c->n] = th_retain(gradient);
  c->n++;
}

Test(backward, hooks_run_after_the_last_contribution) {
  th_array *x = leaf(2), *w = leaf(5);
  calls seen = {0};
  cr_assert(eq(int, th_on_grad(x, on_gradient, &seen), TH_OK));
  cr_assert(eq(int, th_on_grad(w, on_gradient, &seen), TH_OK));
  cr_assert(eq(int, th_on_grad(w, on_gradient, &seen), TH_OK));
  /* w takes part only at the end, x early and late: w is complete first. */
  th_array *a = th_square(x), *b = th_multiply(a, x), *c = th_multiply(b, w);
  cr_assert(eq(int, th_backward(c, TH_RETAIN_GRAPH), TH_OK));
  cr_assert(eq(int, seen.n, 3));
  cr_assert(eq(ptr, seen.gradient[0], th_grad(w)));
  cr_assert(eq(ptr, seen.gradient[1], th_grad(w)));
  cr_assert(eq(ptr, seen.gradient[2], th_grad(x)));
  cr_assert(eq(dbl, th_item(seen.gradient[2]), 60));
  cr_assert(eq(int, th_backward(c, 0), TH_OK));
  cr_assert(eq(int, seen.n, 6));
  for (int i = 0; i < seen.n; i++) th_release(seen.gradient[i]);
  th_array *all[] = {x, w, a, b, c};
  for (int i = 0; i < 5; i++) th_release(all[i]);
}

Test(backward, long_chains_need_no_stack) {
  enum { LENGTH = 100000 };
  th_array *x = leaf(1), *y = th_retain(x);
  for (int i = 0; i < LENGTH; i++) {
    th_array *next = th_add_scalar(y, 1);
    th_release(y);
    y = next;
  }
  cr_assert(eq(int, th_backward(y, 0), TH_OK));
  cr_assert(eq(dbl, th_item(th_grad(x)), 1));
  th_release(y);
  y = th_retain(x);
  for (int i = 0; i < LENGTH; i++) {
    th_array *next = th_multiply_scalar(y, 1);
    th_release(y);
    y = next;
  }
  th_release(y); /* frees a chain that was never walked */
  th_release(x);
}

Test(backward, walked_graphs_give_their_memory_back) {
  const int64_t n = 1 << 18;
  th_array *x = th_ones(TH_SHAPE(n), TH_F64, th_cpu(0));
  th_require_grad(x);
  th_array *y = th_retain(x);
  for (int i = 0; i < 8; i++) {
    th_array *next = th_tanh(y);
    th_release(y);
    y = next;
  }
  th_array *sum = th_sum(y, NULL, 0, false);
  th_release(y);
  th_wait_all();
  th_memory_info info;
  cr_assert(eq(int, th_memory_get(th_cpu(0), &info), TH_OK));
  cr_assert(ge(i64, info.live, 9 * 8 * n), "tanh keeps its result");
  cr_assert(eq(int, th_backward(sum, 0), TH_OK));
  th_wait_all();
  cr_assert(eq(int, th_memory_get(th_cpu(0), &info), TH_OK));
  cr_assert(le(i64, info.live, 2 * 8 * n + 65536), "x and its gradient: %lld",
            (long long)info.live);
  th_release(sum);
  th_release(x);
}

static void note_live(th_array *gradient, void *user) {
  th_memory_info info;
  if (th_memory_get(th_array_device(gradient), &info) == TH_OK) *(int64_t *)user = info.live;
}

/* What a vjp needed goes right behind it: halfway through a chain half of what it kept is gone, and at no time is there more than
 * the forward left and a few gradients. Serially, so that memory comes and goes in the order of the program. */
Test(backward, saved_arrays_go_as_the_walk_passes) {
  enum { DEPTH = 64, FEW = 6 };
  const int64_t n = 1 << 13, bytes = 8 * n;
  th_config config = {.size = sizeof(config), .engine = "serial"};
  cr_assert(eq(int, th_init(&config), TH_OK), "%s", th_last_error());
  th_array *x = th_ones(TH_SHAPE(n), TH_F64, th_cpu(0)), *y = th_retain(x);
  th_require_grad(x);
  int64_t halfway = 0;
  for (int i = 0; i < DEPTH; i++) {
    th_array *next = th_tanh(y);
    th_release(y);
    y = next;
    if (i == DEPTH / 2) cr_assert(eq(int, th_on_grad(y, note_live, &halfway), TH_OK));
  }
  th_array *sum = th_sum(y, NULL, 0, false);
  th_release(y);
  cr_assert(eq(int, th_backward(sum, 0), TH_OK), "%s", th_last_error());
  th_memory_info info;
  cr_assert(eq(int, th_memory_get(th_cpu(0), &info), TH_OK));
  cr_assert(ge(i64, info.peak, DEPTH * bytes), "tanh keeps its result");
  cr_assert(le(i64, info.peak, (DEPTH + FEW) * bytes), "%lld arrays",
            (long long)(info.peak / bytes));
  cr_assert(le(i64, halfway, (DEPTH / 2 + FEW) * bytes), "%lld arrays",
            (long long)(halfway / bytes));
  cr_assert(ge(i64, halfway, DEPTH / 2 * bytes), "%lld arrays", (long long)(halfway / bytes));
  th_release(sum);
  th_release(x);
}

enum { THREADS = 4, ROUNDS = 200 };

static void walk_shared(void *arg) {
  th_array *x = arg;
  for (int i = 0; i < ROUNDS; i++) {
    th_array *y = th_multiply_scalar(x, 2), *z = th_add(y, x);
    th_backward(z, 0);
    th_release(y);
    th_release(z);
  }
}

Test(backward, threads_may_share_leaves) {
  th_array *x = leaf(1);
  uv_thread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++) cr_assert(zero(uv_thread_create(&threads[i], walk_shared, x)));
  for (int i = 0; i < THREADS; i++) uv_thread_join(&threads[i]);
  cr_assert(eq(dbl, th_item(th_grad(x)), 3.0 * THREADS * ROUNDS));
  th_release(x);
}

typedef struct shared_graph {
  th_array *root;
  _Atomic int succeeded;
} shared_graph;

static void walk_once(void *arg) {
  shared_graph *g = arg;
  if (th_backward(g->root, 0) == TH_OK) atomic_fetch_add(&g->succeeded, 1);
}

Test(backward, one_of_two_threads_gets_a_graph) {
  for (int round = 0; round < 50; round++) {
    th_array *x = leaf(1), *y = th_exp(x);
    for (int i = 0; i < 20; i++) {
      th_array *next = th_tanh(y);
      th_release(y);
      y = next;
    }
    shared_graph g = {.root = y};
    uv_thread_t threads[2];
    for (int i = 0; i < 2; i++) cr_assert(zero(uv_thread_create(&threads[i], walk_once, &g)));
    for (int i = 0; i < 2; i++) uv_thread_join(&threads[i]);
    cr_assert(le(int, g.succeeded, 1), "a graph was walked twice without TH_RETAIN_GRAPH");
    th_release(x);
    th_release(y);
  }
}

typedef struct contribution {
  th_array *loss;
  uint32_t flags;
} contribution;

static void contribute(void *arg) {
  contribution *c = arg;
  cr_assert(eq(int, th_backward(c->loss, c->flags), TH_OK), "%s", th_last_error());
}

/* One adds in place, the other puts a recorded sum in its place: nobody's contribution may get lost. */
Test(backward, threads_with_and_without_create_graph_share_leaves) {
  for (int round = 0; round < 300; round++) {
    th_array *x = leaf(1), *first = th_multiply_scalar(x, 2);
    cr_assert(eq(int, th_backward(first, 0), TH_OK));
    th_array *a = th_multiply_scalar(x, 3), *b = th_multiply_scalar(x, 5);
    contribution both[2] = {{a, TH_CREATE_GRAPH}, {b, 0}};
    uv_thread_t threads[2];
    for (int i = 0; i < 2; i++)
      cr_assert(zero(uv_thread_create(&threads[i], contribute, &both[i])));
    for (int i = 0; i < 2; i++) uv_thread_join(&threads[i]);
    cr_assert(eq(dbl, th_item(th_grad(x)), 10), "round %d", round);
    th_zero_grad(x);
    th_array *all[] = {x, first, a, b};
    for (int i = 0; i < 4; i++) th_release(all[i]);
  }
}

/* What a walk still needs may be changed by the walk itself, where a gradient is added to, or by a hook. */
Test(backward, saved_arrays_that_change_during_the_walk) {
  th_array *w = leaf(1), *b = leaf(1), *c = scalar(3), *y = th_multiply_scalar(w, 2);
  cr_assert(eq(int, th_backward(y, 0), TH_OK));
  th_array *p = th_multiply(b, th_grad(w)), *q = th_multiply(w, c), *sum = th_add(p, q);
  th_status status = th_backward(sum, 0);
  if (status == TH_OK)
    cr_assert(eq(dbl, th_item(th_grad(b)), 2));
  else
    cr_assert(eq(int, status, TH_EVERSION));
  th_array *all[] = {w, b, c, y, p, q, sum};
  for (int i = 0; i < 7; i++) th_release(all[i]);
}

static void change(th_array *gradient, void *user) {
  (void)gradient;
  bool before = th_grad_mode(false);
  cr_assert(eq(int, th_add_scalar_inplace(user, 1), TH_OK));
  th_grad_mode(before);
}

Test(backward, saved_arrays_that_a_hook_changes) {
  th_array *x = leaf(1), *factor = scalar(2), *y = th_multiply(x, factor), *z = th_exp(y);
  cr_assert(eq(int, th_on_grad(y, change, factor), TH_OK));
  cr_assert(eq(int, th_backward(z, 0), TH_EVERSION));
  cr_assert(says("argument 1 () of multiply was changed in place by add_scalar_inplace"), "%s",
            th_last_error());
  th_array *all[] = {x, factor, y, z};
  for (int i = 0; i < 4; i++) th_release(all[i]);
}

static th_status run_copy(const th_kernel_args *k) {
  th__copy_elements(&k->in[0], k->in_data[0], &k->out[0], k->out_data[0]);
  return TH_OK;
}
static th_status vjp_bad_shape(const th_vjp *v) {
  v->result[0] = th_reshape((th_array *)v->gradients[0], TH_SHAPE(1, -1));
  return TH_OK;
}
static th_status vjp_fails(const th_vjp *v) { return th_op_refuse(TH_EKERNEL, "no luck today"); }
static const th_op bad_shape = {.name = "bad_shape",
                                .in = {1},
                                .out = {1},
                                .dtypes = TH_SINGLES,
                                .infer = th__infer_same,
                                .cpu = run_copy,
                                .vjp = vjp_bad_shape};
static const th_op bad_luck = {.name = "bad_luck",
                               .in = {1},
                               .out = {1},
                               .dtypes = TH_SINGLES,
                               .infer = th__infer_same,
                               .cpu = run_copy,
                               .vjp = vjp_fails};

Test(backward, failing_gradients_are_named) {
  th_array *x = vector(1, 2), *start = vector(1, 1);
  th_require_grad(x);
  th_array *y = TH_CALL(&bad_shape, NULL, x), *z = TH_CALL(&bad_luck, NULL, x);
  cr_assert(eq(int, th_backward_from(y, start, 0), TH_ESHAPE));
  cr_assert(says("bad_shape"), "%s", th_last_error());
  cr_assert(eq(int, th_backward_from(z, start, 0), TH_EKERNEL));
  cr_assert(says("bad_luck") && says("no luck today"), "%s", th_last_error());
  cr_assert(zero(ptr, th_grad(x)));
  th_release(x);
  th_release(start);
  th_release(y);
  th_release(z);
}

Test(backward, same_bits_every_time) {
  double first[6], again[6];
  for (int round = 0; round < 5; round++) {
    th_generator *g = th_generator_new(7);
    th_array *x = th_normal(g, TH_SHAPE(2, 3), 0, 1, TH_F64, th_cpu(0));
    th_array *w = th_normal(g, TH_SHAPE(3, 4), 0, 1, TH_F64, th_cpu(0));
    th_require_grad(x);
    th_scope scope = th_scope_begin();
    th_array *y = th_matmul(x, w);
    for (int i = 0; i < 5; i++) y = th_add(th_tanh(y), th_multiply(th_sigmoid(y), y));
    cr_assert(eq(int, th_backward(th_sum(y, NULL, 0, false), 0), TH_OK));
    cr_assert(eq(int, th_read(th_grad(x), round == 0 ? first : again, sizeof(first)), TH_OK));
    cr_assert(round == 0 || memcmp(first, again, sizeof(first)) == 0, "round %d differs", round);
    th_scope_end(scope);
    th_release(x);
    th_release(w);
    th_generator_release(g);
  }
}

/* One recorded program with an in-place write, walked with TH_CREATE_GRAPH; TH_OK or the first failure. */
static th_status small_program(void) {
  th_status status = TH_ENOMEM;
  th_scope scope = th_scope_begin();
  if (scope == NULL) return status;
  th_array *x = leaf(2);
  th_array *y = th_multiply(th_exp(x), x);
  if (y != NULL && th_multiply_inplace(y, x) == TH_OK) {
    status = th_backward(y, TH_CREATE_GRAPH);
    if (status == TH_OK) status = th_backward(th_grad(x), 0);
  }
  th_zero_grad(x);
  th_scope_end(scope);
  return status;
}

Test(backward, every_allocation_may_fail) { gradients_without_memory(small_program, 2000); }
