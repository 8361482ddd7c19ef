/* The short way of small elementwise calls: it gives the bits of the long way, refuses what the long way must judge, allocates
 * nothing, and a released result costs no task of its own. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "devices/asan.h"
#include "engine/base/atomic.h"
#include "ops/call.h"
#include "support/engine.h"
#include "thrum/thrum.h"

static void stop(void) { th_shutdown(); }

TestSuite(quick, .timeout = 60, .fini = stop);

enum { N = 12 };

typedef struct op_case {
  const th_op *op;
  th_dtype t;
} op_case;

/* Operand i of an operator: packed, or every second element of something longer. */
static th_array *operand(const th_op *op, th_dtype t, int i, bool spaced) {
  double values[N];
  for (int j = 0; j < N; j++)
    values[j] = op->test.lo + (op->test.hi - op->test.lo) * ((j * 7 + i * 3) % N + 0.5) / N;
  th_array *doubles = th_from_host(values, TH_SHAPE(3, 4), TH_F64, th_cpu(0));
  th_array *a = th_astype(doubles, t);
  th_release(doubles);
  if (!spaced) return a;
  th_array *wide = th_zeros(TH_SHAPE(3, 8), t, th_cpu(0)), *view = th_slice(wide, ":, ::2");
  cr_assert(eq(int, th_assign(view, a), TH_OK));
  th_release(a);
  th_release(wide);
  return view;
}

/* Calls op, releases its inputs and leaves the elements of its result, or of what it wrote, in out. */
static bool run_with(const th_op *op, th_dtype t, th_array **in, bool expect_quick, char *out) {
  static const double params[2] = {0.75, 1.5};
  th_array *result = NULL;
  int n_in = op->in.min, n_out = op->out.min;
  const th_array *const *const_in = (const th_array *const *)in;
  th_status status;
  bool quick = th__quick(op, params, const_in, n_in, &result, n_out, &status);
  cr_assert(eq(int, quick, expect_quick), "%s", op->name);
  if (!quick) status = th__invoke(op, params, const_in, n_in, &result, n_out);
  cr_assert(eq(int, status, TH_OK), "%s of %s: %s", op->name, th_dtype_name(t), th_last_error());
  const th_array *answer = n_out ? result : in[0];
  size_t bytes = (size_t)th_array_size(answer) * th_dtype_size(th_array_dtype(answer));
  cr_assert(eq(int, th_read(answer, out, bytes), TH_OK), "%s", th_last_error());
  bool fresh = !n_out || th_array_is_contiguous(result);
  cr_assert(fresh, "%s", op->name);
  th_release(result);
  for (int i = 0; i < n_in; i++) th_release(in[i]);
  return bytes == N * th_dtype_size(op->flags & TH_OP_TESTS ? TH_BOOL : t);
}

static bool run(const th_op *op, th_dtype t, bool spaced, bool expect_quick, char *out) {
  th_array *in[4] = {NULL};
  for (int i = 0; i < op->in.min; i++) in[i] = operand(op, t, i, spaced);
  return run_with(op, t, in, expect_quick, out);
}

Test(quick, gives_the_bits_of_the_long_way) {
  int ops = 0;
  for (int k = 0; k < th__op_count(); k++) {
    const th_op *op = th__op_at(k);
    if (op->lines == NULL || op->dtypes == 0) continue; /* where: its inputs are never alike */
    ops++;
    for (int t = 0; t < TH_DTYPE_COUNT; t++) {
      if (!(op->dtypes >> t & 1)) continue;
      char quick[N * 8], slow[N * 8];
      cr_assert(run(op, (th_dtype)t, false, true, quick), "%s", op->name);
      cr_assert(run(op, (th_dtype)t, true, false, slow), "%s", op->name);
      size_t item = th_dtype_size(op->flags & TH_OP_TESTS ? TH_BOOL : (th_dtype)t);
      cr_assert(memcmp(quick, slow, N * item) == 0, "%s of %s", op->name,
                th_dtype_name((th_dtype)t));
    }
  }
  cr_assert(gt(int, ops, 50), "%d operators have a short way", ops);
}

/* Operand `single` is the last element of what it was, seen by the slice, or that element everywhere. */
static void run_single(const op_case *c, int single, const char *slice, char *out) {
  th_array *in[4] = {NULL};
  for (int i = 0; i < c->op->in.min; i++) in[i] = operand(c->op, c->t, i, false);
  th_array *whole = in[single], *one = th_slice(whole, slice ? slice : "2, 3");
  in[single] = one;
  if (!slice) {
    th_array *everywhere = th_broadcast_to(one, TH_SHAPE(3, 4));
    in[single] = th_copy(everywhere);
    th_release(everywhere);
    th_release(one);
  }
  th_release(whole);
  cr_assert(run_with(c->op, c->t, in, true, out), "%s", c->op->name);
}

Test(quick, a_single_element_stands_for_all) {
  static const char *const slices[] = {"2, 3", "2, 3:", "2:, 3:"};
  int ops = 0;
  for (int k = 0; k < th__op_count(); k++) {
    const th_op *op = th__op_at(k);
    if (!op->lines || op->dtypes == 0 || op->in.min < 2) continue;
    if (op->infer != (op->out.min ? th__infer_broadcast : th__infer_inplace)) continue;
    ops++;
    for (int t = 0; t < TH_DTYPE_COUNT; t++) {
      op_case c = {op, (th_dtype)t};
      size_t item = th_dtype_size(op->flags & TH_OP_TESTS ? TH_BOOL : (th_dtype)t);
      for (int i = op->out.min ? 0 : 1; i < op->in.min && (op->dtypes >> t & 1); i++) {
        char expected[N * 8], got[N * 8];
        run_single(&c, i, NULL, expected);
        for (int s = 0; s < 3; s++) {
          run_single(&c, i, slices[s], got);
          cr_assert(memcmp(got, expected, N * item) == 0, "%s of %s", op->name, th_dtype_name(c.t));
        }
      }
    }
  }
  cr_assert(gt(int, ops, 20), "%d operators", ops);
}

/* No operand has the shape of the result, or what is written would have to grow. */
Test(quick, single_elements_of_more_dimensions_do_not_fit) {
  const th_op *add = th__op_find("add"), *inplace = th__op_find("add_inplace");
  th_array *row = th_ones(TH_SHAPE(4), TH_F32, th_cpu(0)),
           *one = th_ones(TH_SHAPE(1, 1), TH_F32, th_cpu(0)), *sum = th_add(row, one), *out = NULL;
  th_status status;
  const th_array *const in[] = {row, one}, *const turned[] = {one, row};
  cr_assert(eq(int, th__quick(add, NULL, in, 2, &out, 1, &status), false));
  cr_assert(eq(int, th__quick(add, NULL, turned, 2, &out, 1, &status), false));
  cr_assert(eq(int, th__quick(inplace, NULL, in, 2, &out, 0, &status), false));
  cr_assert(eq(int, th__quick(inplace, NULL, turned, 2, &out, 0, &status), false));
  cr_assert(eq(int, th_array_ndim(sum), 2));
  cr_assert(eq(i64, th_array_shape(sum)[1], 4));
  th_array *made[] = {row, one, sum};
  for (int k = 0; k < 3; k++) th_release(made[k]);
}

Test(quick, packed_parts_of_larger_arrays_fit) {
  th_array *a = th_arange(0, 12, 1, TH_F32, th_cpu(0)), *row = th_slice(a, "4:8");
  th_array *sum = th_add_scalar(row, 1);
  float got[4];
  cr_assert(eq(int, th_read(sum, got, sizeof got), TH_OK));
  for (int i = 0; i < 4; i++) cr_assert(eq(flt, got[i], (float)(5 + i)));
  cr_assert(eq(int, th_add_scalar_inplace(row, 10), TH_OK));
  float all[12];
  cr_assert(eq(int, th_read(a, all, sizeof all), TH_OK));
  for (int i = 0; i < 12; i++) cr_assert(eq(flt, all[i], (float)(i >= 4 && i < 8 ? i + 10 : i)));
  th_array *made[] = {a, row, sum};
  for (int i = 0; i < 3; i++) th_release(made[i]);
}

Test(quick, refuses_what_the_long_way_must_judge) {
  const th_op *add = th__op_find("add"), *inplace = th__op_find("add_inplace");
  th_array *a = th_ones(TH_SHAPE(4), TH_F32, th_cpu(0)),
           *b = th_ones(TH_SHAPE(5), TH_F32, th_cpu(0));
  th_array *i = th_ones(TH_SHAPE(4), TH_I32, th_cpu(0)),
           *m = th_ones(TH_SHAPE(4), TH_F32, th_meta());
  th_array *none = th_ones(TH_SHAPE(0), TH_F32, th_cpu(0)),
           *all = th_ones(TH_SHAPE(8), TH_F32, th_cpu(0));
  th_array *left = th_slice(all, "0:4"), *right = th_slice(all, "2:6");
  const struct {
    const th_op *op;
    const th_array *x, *y;
    int n_in, n_out;
  } rows[] = {{add, a, NULL, 2, 1},    {add, NULL, a, 2, 1},
              {add, a, b, 2, 1},       {add, a, i, 2, 1},
              {add, a, m, 2, 1},       {add, m, m, 2, 1},
              {add, none, none, 2, 1}, {add, a, a, 1, 1},
              {add, a, a, 2, 0},       {inplace, left, right, 2, 0},
              {inplace, a, a, 2, 0}};
  for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
    th_array *out = NULL;
    th_status status;
    const th_array *const in[] = {rows[k].x, rows[k].y};
    cr_assert(
        eq(int, th__quick(rows[k].op, NULL, in, rows[k].n_in, &out, rows[k].n_out, &status), false),
        "%zu", k);
    cr_assert(zero(ptr, out));
  }
  cr_assert(eq(int, th_shutdown(), TH_OK));
  cr_assert(zero(ptr, th_add(a, a)));
  cr_assert(eq(int, th_last_status(), TH_ESHUTDOWN), "%s", th_last_error());
  th_array *made[] = {a, b, i, m, none, all, left, right};
  for (size_t k = 0; k < sizeof made / sizeof *made; k++) th_release(made[k]);
}

/* --- what a call leaves behind --- */

static uint64_t submitted(void) {
  th_engine_stats stats = {.size = sizeof stats};
  cr_assert(eq(int, th_engine_get_stats(&stats), TH_OK));
  return stats.submitted;
}

static int64_t live_bytes(void) {
  th_memory_info info;
  cr_assert(eq(int, th_memory_get(th_cpu(0), &info), TH_OK));
  return info.live;
}

Test(quick, a_release_while_pending_is_no_task) {
  th_array *x = th_ones(TH_SHAPE(16), TH_F32, th_cpu(0));
  cr_assert(eq(int, th_wait_all(), TH_OK));
  int64_t live = live_bytes();
  engine_gate gate = {0};
  cr_assert(eq(int, engine_push_gate(&gate, th_array_var(x)), TH_OK));
  uint64_t before = submitted();
  th_array *y = th_add(x, x), *z = th_exp(y), *wide = th_sum(z, NULL, 0, false);
  th_release(y); /* two tasks use it */
  th_release(z);
  th_release(wide);
  cr_assert(eq(u64, submitted() - before, 3));
  engine_open(&gate);
  cr_assert(eq(int, th_wait_all(), TH_OK));
  cr_assert(eq(u64, submitted() - before, 3), "three operations, three tasks");
  cr_assert(eq(i64, live_bytes(), live));
  th_release(x);
}

static _Atomic int deleted;
static void count_deleted(void *data, void *user) {
  (void)data, (void)user;
  th__fetch_add(&deleted, 1, TH__RELAXED);
}

/* Memory of the program is let go after the last task, whether the operators' own or not, and after the last handle. */
Test(quick, memory_is_let_go_once_and_last) {
  for (int kinds = 0; kinds < 4; kinds++) {
    float data[8] = {0};
    th__store(&deleted, 0, TH__RELAXED);
    th_array *a = th_wrap(data, (const int64_t[]){8}, NULL, 1, TH_F32, count_deleted, NULL);
    th_array *ones = th_ones(TH_SHAPE(8), TH_F32, th_cpu(0));
    engine_gate gate = {0};
    cr_assert(eq(int, engine_push_gate(&gate, th_array_var(ones)), TH_OK));
    if (kinds & 1) cr_assert(eq(int, th_add_inplace(a, ones), TH_OK));
    th_var *var = (kinds & 2) ? th_array_var(a) : NULL;
    if (var != NULL) {
      th_var *reads[] = {var, th_array_var(ones)};
      cr_assert(eq(int, engine_push("foreign", engine_nothing, NULL, reads, 2, NULL, 0), TH_OK));
    }
    th_array *view = th_slice(a, "2:");
    th_release(a);
    cr_assert(eq(int, th__load(&deleted, TH__RELAXED), 0));
    th_release(view);
    cr_assert(eq(int, th__load(&deleted, TH__RELAXED), kinds == 0), "kinds %d", kinds);
    engine_open(&gate);
    cr_assert(eq(int, th_wait_all(), TH_OK));
    engine_drain();
    cr_assert(eq(int, th__load(&deleted, TH__RELAXED), 1), "kinds %d", kinds);
    th_release(ones);
  }
}

static _Atomic int64_t allocations;
static void *counted_alloc(size_t bytes, void *user) {
  (void)user;
  th__fetch_add(&allocations, 1, TH__RELAXED);
  return malloc(bytes);
}
static void *counted_resize(void *block, size_t bytes, void *user) {
  (void)user;
  th__fetch_add(&allocations, 1, TH__RELAXED);
  return realloc(block, bytes);
}
static void counted_release(void *block, void *user) {
  (void)user;
  free(block);
}

enum { CALLS = 3000 };

/* Twice CALLS operations, at most all of them pending; with a gate surely all. */
static void add_many(const th_array *x, const th_array *y, engine_gate *gate) {
  if (gate != NULL) cr_assert(eq(int, engine_push_gate(gate, th_array_var((th_array *)x)), TH_OK));
  for (int i = 0; i < CALLS; i++) {
    th_array *z = th_add(x, y), *p = th_matmul(x, z);
    th_release(z);
    th_release(p);
  }
  if (gate != NULL) engine_open(gate);
  cr_assert(eq(int, th_wait_all(), TH_OK));
}

/* Short way and long way, inline and through the queue. */
Test(quick, no_heap_block_per_operation) {
  static const th_allocator counting = {counted_alloc, counted_resize, counted_release, NULL};
  for (int in_line = 0; in_line < 2; in_line++) {
    th_config config = {
        .size = sizeof config, .workers = 1, .inline_small = in_line, .allocator = &counting};
    cr_assert(eq(int, th_init(&config), TH_OK));
    th_array *x = th_ones(TH_SHAPE(4, 4), TH_F32, th_cpu(0));
    th_array *y = th_ones(TH_SHAPE(4, 4), TH_F32, th_cpu(0));
    for (int i = 0; i < 3; i++) {
      engine_gate gate = {0};
      add_many(x, y, &gate);
    }
    int64_t before = th__load(&allocations, TH__RELAXED);
    for (int i = 0; i < 5; i++) add_many(x, y, NULL);
    int64_t more = th__load(&allocations, TH__RELAXED) - before;
    if (!TH__ASAN) cr_assert(lt(i64, more, 600), "%lld for 30,000 operations", (long long)more);
    th_release(x);
    th_release(y);
    cr_assert(eq(int, th_shutdown(), TH_OK));
  }
}
