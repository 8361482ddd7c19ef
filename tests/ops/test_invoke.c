/* The one path: NULL chains, checks that enqueue nothing, in-place operands that share memory, poison and cure, devices without
 * kernels, the interceptor. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "ops/op.h"
#include "support/fardevice.h"
#include "thrum/thrum.h"

/* A scope around each test releases what it makes. */
static th_scope around;
static void begin(void) { around = th_scope_begin(); }
static void end(void) {
  th_scope_end(around);
  (void)th_wait_all();
}

TestSuite(invoke, .timeout = 60, .init = begin, .fini = end);

static uint64_t submitted(void) {
  th_engine_stats stats = {.size = sizeof stats};
  cr_assert(eq(int, th_engine_get_stats(&stats), TH_OK));
  return stats.submitted;
}

static th_array *counting(int n) { return th_arange(0, n, 1, TH_F32, th_cpu(0)); }

static void expect(th_array *a, const double *wanted, const char *what) {
  th_array *wide = th_astype(a, TH_F64);
  double got[64];
  int64_t n = th_array_size(a);
  cr_assert(eq(int, th_read(wide, got, (size_t)n * 8), TH_OK), "%s: %s", what, th_last_error());
  for (int64_t i = 0; i < n; i++)
    cr_assert(eq(dbl, got[i], wanted[i]), "%s: element %d", what, (int)i);
  th_release(wide);
}

static void expect_failure(const th_array *result, th_status status, const char *text) {
  cr_assert(eq(ptr, (void *)result, NULL), "%s", text);
  cr_assert(eq(int, th_last_status(), status), "%s: %s", text, th_last_error());
  cr_assert(eq(str, (char *)th_last_error(), (char *)text));
  th_clear_error();
}

Test(invoke, null_keeps_the_first_message) {
  th_array *a = th_zeros(TH_SHAPE(2, 3), TH_F32, th_cpu(0));
  th_array *b = th_zeros(TH_SHAPE(4), TH_F32, th_cpu(0));
  expect_failure(th_add(NULL, a), TH_EINVAL, "add: argument 0 is NULL");
  expect_failure(th_add(a, NULL), TH_EINVAL, "add: argument 1 is NULL");
  expect_failure(th_exp(th_multiply(th_add(a, b), a)), TH_ESHAPE,
                 "add: shapes (2, 3) and (4,) do not broadcast");
  expect_failure(th_reshape(th_slice(th_copy(NULL), ":"), TH_SHAPE(1)), TH_EINVAL,
                 "copy: argument 0 is NULL");
  cr_assert(eq(int, th_add_inplace(a, th_add(a, b)), TH_EINVAL));
  cr_assert(eq(int, th_last_status(), TH_ESHAPE));
  th_release(a);
  th_release(b);
}

Test(invoke, refused_calls_enqueue_nothing) {
  th_array *f = th_zeros(TH_SHAPE(2, 3), TH_F32, th_cpu(0));
  th_array *d = th_zeros(TH_SHAPE(4), TH_F64, th_cpu(0));
  th_array *i = th_zeros(TH_SHAPE(2, 3), TH_I32, th_cpu(0));
  th_array *m = th_zeros(TH_SHAPE(2, 3), TH_F64, th_meta());
  th_array *wide = th_broadcast_to(f, TH_SHAPE(2, 2, 3));
  th_array *t = th_zeros(TH_SHAPE(2, 3), TH_BOOL, th_cpu(0));
  cr_assert(eq(int, th_wait_all(), TH_OK));
  uint64_t before = submitted();
  expect_failure(th_add(f, d), TH_ESHAPE, "add: shapes (2, 3) and (4,) do not broadcast");
  expect_failure(th_exp(i), TH_EDTYPE, "exp: element type i32 of argument 0 is not accepted");
  expect_failure(th_add(t, t), TH_EDTYPE, "add: element type bool of argument 0 is not accepted");
  expect_failure(th_bitwise_and(f, i), TH_EDTYPE, "bitwise_and: element type f32 is not accepted");
  expect_failure(th_add(f, m), TH_EDEVICE, "add: argument 1 is on meta but argument 0 is on cpu:0");
  expect_failure(th_where(f, f, f), TH_EDTYPE, "where: element type f32 of argument 0 is not bool");
  expect_failure(th_copy_to(m, th_cpu(0)), TH_ENODATA,
                 "copy_to: argument 0 is on meta and has no data");
  cr_assert(eq(int, th_add_inplace(wide, f), TH_EINVAL));
  cr_assert(eq(int, th_add_inplace(f, wide), TH_ESHAPE));
  cr_assert(eq(int, th_divide_inplace(i, i), TH_EDTYPE));
  cr_assert(eq(int, th_assign(f, d), TH_ESHAPE));
  cr_assert(eq(int, th_assign(f, m), TH_ENODATA));
  cr_assert(eq(u64, submitted(), before));
  th_array *all[] = {f, d, i, m, wide, t};
  for (int k = 0; k < 6; k++) th_release(all[k]);
}

Test(invoke, absent_device) {
  cr_assert(eq(ptr, th_zeros(TH_SHAPE(2), TH_F32, th_cpu(7)), NULL));
  cr_assert(eq(int, th_last_status(), TH_EDEVICE));
  cr_assert(strstr(th_last_error(), "cpu:7") != NULL, "%s", th_last_error());
}

Test(invoke, overlapping_operands_are_read_first) {
  th_array *a = counting(6), *head = th_slice(a, ":-1"), *tail = th_slice(a, "1:");
  cr_assert(eq(int, th_add_inplace(tail, head), TH_OK));
  expect(a, (const double[]){0, 1, 3, 5, 7, 9}, "x[1:] += x[:-1]");
  cr_assert(eq(int, th_assign(tail, head), TH_OK));
  expect(a, (const double[]){0, 0, 1, 3, 5, 7}, "x[1:] = x[:-1]");
  th_array *back = th_flip(a, NULL, 0);
  cr_assert(eq(int, th_subtract_inplace(a, back), TH_OK));
  expect(a, (const double[]){-7, -5, -2, 2, 5, 7}, "x -= x[::-1]");
  cr_assert(eq(int, th_multiply_inplace(a, a), TH_OK));
  expect(a, (const double[]){49, 25, 4, 4, 25, 49}, "x *= x");
  cr_assert(eq(int, th_assign(a, a), TH_OK));
  th_array *first = th_slice(a, "0");
  cr_assert(eq(int, th_subtract_inplace(a, first), TH_OK));
  expect(a, (const double[]){0, -24, -45, -45, -24, 0}, "x -= x[0]");
  th_array *square = th_reshape(counting(9), TH_SHAPE(3, 3));
  th_array *transposed = th_matrix_transpose(square);
  cr_assert(eq(int, th_add_inplace(square, transposed), TH_OK));
  expect(square, (const double[]){0, 4, 8, 4, 8, 12, 8, 12, 16}, "x += x.T");
}

static th_status failing(void *arg, th_task_context *context) {
  return th_context_fail(context, TH_EIO, "no luck");
}

static void poison(th_array *a) {
  th_var *v = th_array_var(a);
  th_task task = {.name = "failing", .run = failing, .writes = &v, .n_writes = 1};
  cr_assert(eq(int, th_push(&task), TH_OK));
}

Test(invoke, whole_overwrites_cure_and_partial_ones_do_not) {
  th_array *a = counting(4), *part = th_slice(a, "1:"), *other = th_ones_like(a);
  poison(a);
  cr_assert(eq(int, th_fill(part, 3), TH_OK));
  cr_assert(eq(int, th_wait(a), TH_EIO), "a partial fill keeps the error");
  cr_assert(eq(int, th_add_inplace(a, other), TH_OK));
  cr_assert(eq(int, th_wait(a), TH_EIO), "an in-place operator reads");
  th_array *sum = th_add(a, other);
  cr_assert(eq(int, th_wait(sum), TH_EIO));
  cr_assert(strstr(th_last_error(), "no luck") != NULL, "%s", th_last_error());
  cr_assert(eq(int, th_fill(a, 2), TH_OK));
  cr_assert(eq(int, th_wait(a), TH_OK), "a whole fill cures");
  expect(a, (const double[]){2, 2, 2, 2}, "cured");
  poison(a);
  th_array *back = th_flip(a, NULL, 0);
  cr_assert(eq(int, th_assign(back, other), TH_OK));
  cr_assert(eq(int, th_wait(a), TH_OK), "a whole assignment through a view cures");
  poison(a);
  cr_assert(eq(int, th_assign(a, a), TH_OK));
  cr_assert(eq(int, th_wait(a), TH_EIO), "a = a reads");
  (void)th_wait_all();
}

Test(invoke, meta_computes_shapes) {
  th_array *a = th_zeros(TH_SHAPE(5, 1), TH_F32, th_meta());
  th_array *b = th_zeros(TH_SHAPE(3), TH_F64, th_meta());
  uint64_t before = submitted();
  th_array *c = th_add(a, b);
  cr_assert(eq(int, th_array_ndim(c), 2));
  cr_assert(eq(i64, th_array_shape(c)[0], 5));
  cr_assert(eq(i64, th_array_shape(c)[1], 3));
  cr_assert(eq(int, (int)th_array_dtype(c), (int)TH_F64));
  cr_assert(eq(int, th_fill(c, 1), TH_OK));
  cr_assert(eq(int, th_add_inplace(c, c), TH_OK));
  th_array *view = th_slice(c, "::2");
  cr_assert(eq(i64, th_array_shape(view)[0], 3));
  th_array *down = th_copy_to(counting(4), th_meta());
  cr_assert(eq(i64, th_array_size(down), 4));
  cr_assert(eq(u64, submitted(), before + 1), "only arange made a task");
  cr_assert(eq(int, th_read(c, (char[120]){0}, 120), TH_ENODATA));
}

Test(invoke, device_without_kernels) {
  far_install();
  th_array *host = counting(6), *x = th_copy_to(host, far_device(0));
  cr_assert(ne(ptr, x, NULL), "%s", th_last_error());
  th_array *y = th_add(x, x), *back = th_copy_to(y, th_cpu(0));
  expect(back, (const double[]){0, 2, 4, 6, 8, 10}, "x + x over the CPU");
  th_array *view = th_slice(y, "::-2");
  cr_assert(eq(int, th_multiply_scalar_inplace(view, 10), TH_OK));
  expect(th_copy_to(y, th_cpu(0)), (const double[]){0, 20, 4, 60, 8, 100}, "a view with gaps");
  expect(th_copy_to(view, th_cpu(0)), (const double[]){100, 60, 20}, "the view itself");
  expect(th_copy_to(th_copy_to(y, far_device(1)), th_cpu(0)),
         (const double[]){0, 20, 4, 60, 8, 100}, "from far to far");
  th_array *made = th_full(TH_SHAPE(2), 4, TH_I16, far_device(1));
  expect(th_copy_to(made, th_cpu(0)), (const double[]){4, 4}, "made there");
  cr_assert(eq(int, th_assign(made, th_slice(host, "2:4")), TH_OK));
  expect(th_copy_to(made, th_cpu(0)), (const double[]){2, 3}, "assigned from the CPU");
  cr_assert(eq(int, th_assign(host, made = th_full(TH_SCALAR, 9, TH_F64, far_device(0))), TH_OK));
  expect(host, (const double[]){9, 9, 9, 9, 9, 9}, "assigned to the CPU");
  poison(x);
  cr_assert(eq(int, th_fill(th_slice(x, "1:"), 2), TH_OK));
  cr_assert(eq(int, th_wait(x), TH_EIO), "a partial fill keeps the error");
  cr_assert(eq(int, th_fill(x, 2), TH_OK));
  expect(th_copy_to(x, th_cpu(0)), (const double[]){2, 2, 2, 2, 2, 2}, "cured by a whole fill");
  th_engine_stats stats = {.size = sizeof stats};
  cr_assert(eq(int, th_engine_get_stats(&stats), TH_OK));
  cr_assert(stats.fallbacks >= 4, "%d fallbacks", (int)stats.fallbacks);
  cr_assert(far_copies_in() > 0 && far_copies_out() > 0);
}

Test(invoke, strict_device) {
  setenv("TH_STRICT_DEVICE", "1", 1);
  far_install();
  th_array *x = th_copy_to(counting(3), far_device(0));
  cr_assert(ne(ptr, x, NULL), "%s", th_last_error());
  th_clear_error();
  cr_assert(eq(ptr, th_exp(x), NULL));
  cr_assert(eq(int, th_last_status(), TH_ENOSYS));
  cr_assert(strncmp(th_last_error(), "exp: ", 5) == 0, "%s", th_last_error());
}

/* --- the interceptor --- */

static int before_calls, after_calls, refuse;
static char last_name[32];
static uint8_t last_written;

static th_status on_before(const th_op *op, const th_array *const *in, int n_in,
                           const uint8_t *written) {
  before_calls++;
  last_written = n_in ? written[0] : 0;
  return refuse ? TH_EBUSY : TH_OK;
}

static th_status on_after(const th_op *op, const void *params, const th_array *const *in, int n_in,
                          th_array *const *out, int n_out, const uint8_t *written) {
  after_calls++;
  strncpy(last_name, op->name, sizeof last_name - 1);
  for (int j = 0; j < n_out; j++) cr_assert(ne(ptr, out[j], NULL));
  return TH_OK;
}

static const th__interceptor watcher = {on_before, on_after};

Test(invoke, interceptor_sees_tasks_views_and_meta) {
  const th__interceptor *old = th__interceptor_swap(&watcher);
  th_array *a = counting(3);
  cr_assert(eq(str, last_name, "arange"));
  th_array *v = th_slice(a, "1:");
  cr_assert(eq(str, last_name, "slice"));
  th_array *m = th_zeros(TH_SHAPE(2), TH_F32, th_meta());
  cr_assert(eq(str, last_name, "full"));
  cr_assert(eq(int, th_fill(v, 1), TH_OK));
  cr_assert(eq(str, last_name, "fill"));
  cr_assert(eq(int, last_written, 1));
  cr_assert(eq(int, before_calls, 4));
  cr_assert(eq(int, after_calls, 4));
  refuse = 1;
  cr_assert(eq(int, th_fill(v, 2), TH_EBUSY));
  cr_assert(eq(int, after_calls, 4));
  refuse = 0;
  cr_assert(th__interceptor_swap(NULL) == &watcher);
  expect(a, (const double[]){0, 1, 1}, "the refused call did nothing");
  cr_assert(eq(int, after_calls, 4), "nothing is seen without one");
  (void)th__interceptor_swap(old);
  th_release(m);
}

Test(invoke, default_interceptor_reaches_threads_that_did_not_choose) {
  cr_assert(eq(ptr, (void *)th__interceptor_get(), NULL));
  th__interceptor_set_default(&watcher);
  cr_assert(th__interceptor_get() == &watcher);
  const th__interceptor *old = th__interceptor_swap(NULL);
  cr_assert(eq(ptr, (void *)th__interceptor_get(), NULL));
  (void)counting(2);
  cr_assert(eq(int, after_calls, 0));
  (void)th__interceptor_swap(old);
  (void)counting(2);
  cr_assert(eq(int, after_calls, 1));
}

Test(invoke, scopes_own_results) {
  th_memory_info info;
  th_scope scope = th_scope_begin();
  th_array *a = counting(1000);
  th_array *i = th_astype(a, TH_I32);
  th_array *mixed = th_add(i, th_divide(i, i));
  th_array *moved = th_reshape(th_matrix_transpose(th_reshape(a, TH_SHAPE(10, 100))), TH_SHAPE(-1));
  th_keep(mixed);
  cr_assert(ne(ptr, moved, NULL));
  th_scope_end(scope);
  cr_assert(eq(int, th_wait_all(), TH_OK));
  cr_assert(eq(int, th_memory_get(th_cpu(0), &info), TH_OK));
  int64_t kept = info.live;
  th_release(mixed);
  cr_assert(eq(int, th_memory_get(th_cpu(0), &info), TH_OK));
  cr_assert(kept > 0 && kept <= 8192, "only one result was kept, not %d bytes", (int)kept);
  cr_assert(eq(i64, info.live, 0));
}

/* Every allocation of a call fails once: it says so, leaves nothing behind, and works when there is memory again. */
Test(invoke, allocations_that_fail) {
  th_array *i = th_astype(counting(6), TH_I32), *f = counting(6), *tail = th_slice(f, "1:");
  th_array *head = th_slice(f, ":-1"), *square = th_reshape(counting(9), TH_SHAPE(3, 3));
  cr_assert(eq(int, th_wait_all(), TH_OK));
  int done = 0;
  for (int k = 0; k < 200 && done < 3; k++) {
    th_clear_error();
    th__mem_fail_after(k);
    th_array *sum = th_add(i, f);
    th_status status = th_multiply_inplace(tail, head);
    th_array *flat = th_reshape(th_matrix_transpose(square), TH_SHAPE(-1));
    bool failed = !sum || status != TH_OK || !flat;
    if (failed) cr_assert(eq(int, th_last_status(), TH_ENOMEM), "%d: %s", k, th_last_error());
    if (!failed) done++;
    th__mem_fail_after(-1);
    th_status waited = th_wait_all();
    cr_assert(waited == TH_OK || waited == TH_ENOMEM, "%d: %s", k, th_last_error());
    th_release(sum);
    th_release(flat);
    cr_assert(eq(int, th_fill(f, 1), TH_OK));
    cr_assert(eq(int, th_wait(f), TH_OK));
  }
  cr_assert(eq(int, done, 3), "all three worked in the end");
}
