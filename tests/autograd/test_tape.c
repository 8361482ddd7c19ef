/* Recording: what leaves a node, what refuses, what views and in-place writes do, and that nothing is left behind. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "autograd/tape.h"
#include "engine/base/mem.h"
#include "support/arrays.h"
#include "support/gradients.h"
#include "support/tasks.h"

TestSuite(tape, .timeout = 60, .fini = stop_engine);

static bool says(const char *part) { return strstr(th_last_error(), part) != NULL; }

Test(tape, zero_dim_arrays_add) {
  th_array *a = th_ones(TH_SCALAR, TH_F32, th_cpu(0)), *b = th_ones(TH_SCALAR, TH_F32, th_cpu(0));
  th_array *c = th_add(a, b);
  cr_assert(eq(int, th_array_ndim(c), 0));
  cr_assert(eq(dbl, th_item(c), 2));
  th_release(a);
  th_release(b);
  th_release(c);
}

Test(tape, gradient_of_a_square) {
  th_array *x = leaf(1);
  th_array *sum = th_add_scalar(x, 2), *y = th_square(sum);
  cr_assert(eq(dbl, th_item(y), 9));
  cr_assert(th_requires_grad(y));
  cr_assert(zero(ptr, th_grad(x)));
  cr_assert(eq(int, th_backward(y, 0), TH_OK));
  cr_assert(eq(dbl, th_item(th_grad(x)), 6));
  th_release(x);
  th_release(sum);
  th_release(y);
}

Test(tape, grad_mode_off_records_nothing) {
  th_array *x = leaf(1);
  cr_assert(th_grad_mode(false), "recording must be on by default");
  th_array *v = th_square(x);
  cr_assert(not(th_grad_mode(true)));
  cr_assert(eq(dbl, th_item(v), 1));
  cr_assert(not(th_requires_grad(v)));
  cr_assert(eq(int, th_backward(v, 0), TH_EINVAL));
  cr_assert(says("nothing was recorded"), "%s", th_last_error());
  th_release(v);
  th_release(x);
}

Test(tape, branch_on_a_value) {
  th_array *x = leaf(-5);
  th_array *y = th_item(x) < 0 ? th_negative(x) : th_retain(x);
  cr_assert(eq(dbl, th_item(y), 5));
  cr_assert(eq(int, th_backward(y, 0), TH_OK));
  cr_assert(eq(dbl, th_item(th_grad(x)), -1));
  th_release(x);
  th_release(y);
}

Test(tape, leaves_must_be_floating_and_not_computed) {
  th_array *i = th_ones(TH_SHAPE(2), TH_I32, th_cpu(0));
  cr_assert(eq(int, th_require_grad(i), TH_EDTYPE));
  cr_assert(says("i32"), "%s", th_last_error());
  th_array *x = leaf(1), *y = th_square(x);
  cr_assert(eq(int, th_require_grad(y), TH_EINVAL));
  cr_assert(says("th_detach"), "%s", th_last_error());
  cr_assert(eq(int, th_require_grad(x), TH_OK), "marking a leaf twice is fine");
  cr_assert(eq(int, th_on_grad(y, NULL, NULL), TH_EINVAL));
  th_clear_error();
  cr_assert(eq(int, th_require_grad(NULL), TH_EINVAL));
  th_release(i);
  th_release(x);
  th_release(y);
}

Test(tape, detach_cuts_history_and_shares_data) {
  th_array *x = leaf(3), *y = th_square(x), *d = th_detach(y);
  cr_assert(th_array_shares(d, y));
  cr_assert(not(th_requires_grad(d)));
  th_array *z = th_multiply(y, d); /* 9 x^2 as far as gradients know */
  cr_assert(eq(int, th_backward(z, 0), TH_OK));
  cr_assert(eq(dbl, th_item(th_grad(x)), 54));
  th_release(x);
  th_release(y);
  th_release(d);
  th_release(z);
}

Test(tape, leaf_is_not_written_while_recording) {
  th_array *x = leaf(3), *one = scalar(1);
  uint64_t version = th_array_version(x);
  cr_assert(eq(int, th_add_inplace(x, one), TH_EINVAL));
  cr_assert(says("th_grad_mode(false)") && says("th_detach()") && says("leaf"), "%s",
            th_last_error());
  cr_assert(eq(u64, th_array_version(x), version), "a refused call submits nothing");
  cr_assert(eq(dbl, th_item(x), 3));
  th_grad_mode(false);
  cr_assert(eq(int, th_add_inplace(x, one), TH_OK));
  th_grad_mode(true);
  cr_assert(eq(dbl, th_item(x), 4));
  th_release(x);
  th_release(one);
}

Test(tape, views_and_their_bases_are_not_written_while_recording) {
  th_array *x = vector(1, 2, 3, 4);
  cr_assert(eq(int, th_require_grad(x), TH_OK));
  th_array *y = th_multiply_scalar(x, 2), *v = th_slice(y, "1:3"), *vv = th_slice(v, "0:1");
  cr_assert(eq(int, th_multiply_scalar_inplace(v, 3), TH_EINVAL));
  cr_assert(says("view of a recorded array"), "%s", th_last_error());
  cr_assert(eq(int, th_multiply_scalar_inplace(y, 3), TH_EINVAL));
  cr_assert(says("recorded views"), "%s", th_last_error());
  th_release(v);
  cr_assert(eq(int, th_multiply_scalar_inplace(y, 3), TH_EINVAL),
            "the view of the view still lives");
  th_release(vv);
  cr_assert(eq(int, th_multiply_scalar_inplace(y, 3), TH_OK));
  th_array *sum = th_sum(y, NULL, 0, false);
  cr_assert(eq(int, th_backward(sum, 0), TH_OK));
  cr_assert(eq(dbl, distance_to(th_grad(x), 6, 6, 6, 6), 0));
  th_release(x);
  th_release(y);
  th_release(sum);
}

Test(tape, recorded_write_into_shared_storage_is_refused) {
  th_array *x = leaf(2), *buffer = th_zeros(TH_SHAPE(3), TH_F64, th_cpu(0));
  th_array *part = th_slice(buffer, "0:1");
  cr_assert(eq(int, th_add_inplace(part, x), TH_EINVAL));
  cr_assert(says("shares its storage"), "%s", th_last_error());
  th_release(part);
  cr_assert(eq(int, th_add_inplace(buffer, x), TH_OK));
  cr_assert(th_requires_grad(buffer));
  th_array *sum = th_sum(buffer, NULL, 0, false);
  cr_assert(eq(int, th_backward(sum, 0), TH_OK));
  cr_assert(eq(dbl, th_item(th_grad(x)), 3));
  th_release(x);
  th_release(buffer);
  th_release(sum);
}

Test(tape, in_place_on_a_computed_array_is_recorded) {
  th_array *x = vector(1, 2, 3), *w = vector(4, 5, 6);
  th_require_grad(x);
  th_require_grad(w);
  th_array *y = th_add(x, w);                             /* x + w */
  cr_assert(eq(int, th_multiply_inplace(y, w), TH_OK));   /* (x + w) w: wants the old y */
  cr_assert(eq(int, th_add_scalar_inplace(y, 1), TH_OK)); /* + 1 */
  cr_assert(eq(int, th_subtract_inplace(y, x), TH_OK));   /* - x */
  cr_assert(eq(dbl, distance_to(y, 20, 34, 52), 0));
  th_array *sum = th_sum(y, NULL, 0, false);
  cr_assert(eq(int, th_backward(sum, 0), TH_OK), "%s", th_last_error());
  cr_assert(eq(dbl, distance_to(th_grad(x), 3, 4, 5), 0));   /* w - 1 */
  cr_assert(eq(dbl, distance_to(th_grad(w), 9, 12, 15), 0)); /* x + 2 w */
  th_release(x);
  th_release(w);
  th_release(y);
  th_release(sum);
}

Test(tape, in_place_with_itself) {
  th_array *x = leaf(3), *y = th_multiply_scalar(x, 1);
  cr_assert(eq(int, th_multiply_inplace(y, y), TH_OK));
  cr_assert(eq(dbl, th_item(y), 9));
  cr_assert(eq(int, th_backward(y, 0), TH_OK), "%s", th_last_error());
  cr_assert(eq(dbl, th_item(th_grad(x)), 6));
  th_release(x);
  th_release(y);
}

Test(tape, overwriting_cuts_history) {
  th_array *x = leaf(3), *y = th_square(x), *z = leaf(5);
  cr_assert(eq(int, th_assign(y, z), TH_OK), "%s", th_last_error());
  cr_assert(eq(int, th_backward(y, 0), TH_OK), "%s", th_last_error());
  cr_assert(th_grad(x) == NULL || th_item(th_grad(x)) == 0);
  cr_assert(eq(dbl, th_item(th_grad(z)), 1));
  th_array *w = th_square(x);
  cr_assert(eq(int, th_fill(w, 7), TH_OK));
  cr_assert(not(th_requires_grad(w)), "a constant has no gradient");
  th_release(x);
  th_release(y);
  th_release(z);
  th_release(w);
}

Test(tape, changed_argument_is_found_at_backward) {
  th_array *x = leaf(3), *y = th_exp(x), *w = scalar(2);
  th_array *z = th_multiply(y, w);
  th_grad_mode(false);
  cr_assert(eq(int, th_add_scalar_inplace(w, 1), TH_OK));
  th_grad_mode(true);
  cr_assert(eq(int, th_backward(z, 0), TH_EVERSION));
  cr_assert(says("argument 1 () of multiply was changed in place by add_scalar_inplace"), "%s",
            th_last_error());
  cr_assert(zero(ptr, th_grad(x)), "nothing may be added before the check");
  th_array *again = th_exp(x);
  th_grad_mode(false);
  th_add_scalar_inplace(again, 1);
  th_grad_mode(true);
  cr_assert(eq(int, th_backward(again, 0), TH_EVERSION));
  cr_assert(says("result 0 () of exp"), "%s", th_last_error());
  th_release(x);
  th_release(y);
  th_release(w);
  th_release(z);
  th_release(again);
}

static th_status do_nothing(void *arg, th_task_context *context) { return TH_OK; }

/* As a program's own task that writes a. */
static th_status touch(th_array *a) {
  th_var *var = th_array_var(a);
  th_task task = {.run = do_nothing, .writes = &var, .n_writes = 1};
  return th_push(&task);
}

/* Whoever overwrites what a gradient needs is named: by the short way of small calls and the long one, and where no operator
 * did it. */
Test(tape, who_changed_an_argument_is_named) {
  enum { OPERATOR, LARGE, WRITE, MAPPING, TASK, WAYS };
  static const char *const names[WAYS] = {"by add_scalar_inplace", "by multiply_inplace",
                                          "by write", "by map_write", "by a task"};
  for (int way = 0; way < WAYS; way++) {
    int64_t n = way == LARGE ? 5000 : 3;
    th_array *x = th_ones(TH_SHAPE(n), TH_F64, th_cpu(0)), *w = th_ones_like(x);
    th_require_grad(x);
    th_array *y = th_multiply(x, w), *sum = th_sum(y, NULL, 0, false);
    void *data;
    th_status status = TH_OK;
    if (way == OPERATOR) status = th_add_scalar_inplace(w, 1);
    if (way == LARGE) status = th_multiply_inplace(w, w);
    if (way == WRITE) status = th_write(w, (const double[]){1, 2, 3}, 24);
    if (way == MAPPING) status = th_map_write(w, &data);
    if (way == MAPPING && status == TH_OK) status = th_unmap(w);
    if (way == TASK) status = touch(w);
    cr_assert(eq(int, status, TH_OK), "%s: %s", names[way], th_last_error());
    cr_assert(eq(int, th_backward(sum, 0), TH_EVERSION));
    cr_assert(says(names[way]), "%s", th_last_error());
    th_release(x);
    th_release(w);
    th_release(y);
    th_release(sum);
  }
}

Test(tape, flat_operators_stop_recording) {
  th_array *x = leaf(2.5), *y = th_floor(x), *b = th_greater_scalar(x, 1);
  cr_assert(not(th_requires_grad(y)));
  cr_assert(not(th_requires_grad(b)));
  th_release(x);
  th_release(y);
  th_release(b);
}

Test(tape, operator_without_gradient_is_named_at_backward) {
  th_array *x = leaf(2), *y = TH_CALL(&opaque, NULL, x), *z = th_square(y);
  cr_assert(th_requires_grad(z));
  cr_assert(eq(int, th_backward(z, 0), TH_ENOSYS));
  cr_assert(says("opaque"), "%s", th_last_error());
  th_release(x);
  th_release(y);
  th_release(z);
}

Test(tape, nothing_is_left_behind) {
  th_release(leaf(1)); /* the engine's and the tape's own start */
  tasks_await_workers();
  int64_t before = th__mem_live();
  for (int round = 0; round < 20; round++) {
    th_array *x = leaf(2), *y = th_exp(x), *z = th_multiply(y, x), *u = th_square(z);
    th_add_scalar_inplace(u, 1);
    if (round % 4 == 1) th_backward(u, 0);
    if (round % 4 == 2) th_backward(u, TH_RETAIN_GRAPH);
    if (round % 4 == 3) cr_assert(eq(int, th_backward(u, TH_CREATE_GRAPH), TH_OK));
    th_release(y);
    th_release(z);
    th_release(u);
    th_release(x);
  }
  th_wait_all();
  cr_assert(le(i64, th__mem_live(), before + 8), "blocks: %lld before, %lld after",
            (long long)before, (long long)th__mem_live());
}

Test(tape, scopes_own_results_but_not_what_the_tape_keeps) {
  th_array *x = leaf(2);
  for (int round = 0; round < 3; round++) {
    th_scope scope = th_scope_begin();
    th_array *y = th_multiply(th_exp(x), th_sin(x));
    th_add_scalar_inplace(y, 1);
    cr_assert(eq(int, th_backward(y, 0), TH_OK), "%s", th_last_error());
    th_scope_end(scope);
  }
  double once = exp(2) * (sin(2) + cos(2));
  cr_assert(lt(dbl, fabs(th_item(th_grad(x)) - 3 * once), 1e-12));
  th_release(x);
}
