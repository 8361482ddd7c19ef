/* Walks the registry: second derivatives of every operator that has a gradient, against central differences of its first ones in
 * f64, elementwise ones in random shapes with broadcasts. What has none is listed with the reason. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "support/arrays.h"
#include "support/lagdevice.h"
#include "support/op_cases.h"

TestSuite(second_order, .timeout = 240, .fini = stop_engine);

/* Slopes are first derivatives of the elementwise operators that they are named after. Their own second ones are third ones of
 * those, which nobody wrote down. */
static bool is_slope(const char *name) {
  size_t n = strlen(name);
  static const char *const ends[] = {"_slope", "_slope_x", "_slope_y"};
  for (int i = 0; i < 3; i++) {
    size_t k = strlen(ends[i]);
    if (n > k && strcmp(name + n - k, ends[i]) == 0) return true;
  }
  return false;
}

/* --- operands --- */

static uint64_t state;

static double uniform(double lo, double hi) {
  state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return lo + (hi - lo) * ((double)(state >> 11) * 0x1p-53);
}

static th_array *make_input(const op_case_input *in, double lo, double hi) {
  enum { MOST = 256 };
  double values[MOST];
  int64_t size = 1;
  for (int d = 0; d < in->ndim; d++) size *= in->shape[d];
  cr_assert(le(i64, size, MOST));
  for (int64_t i = 0; i < size; i++)
    values[i] = in->kind == 'i' ? floor(uniform(0, in->limit)) : uniform(lo, hi);
  th_array *a = th_from_host(values, in->shape, in->ndim, TH_F64, th_cpu(0));
  if (in->kind == 'x') return a;
  if (in->kind == 'b') {
    th_array *b = th_greater_scalar(a, (lo + hi) / 2);
    th_release(a);
    return b;
  }
  th_array *indices = th_astype(a, TH_I64);
  th_release(a);
  return indices;
}

/* Shapes of up to three dimensions that broadcast with each other; what an operator writes has all of them. */
static void draw_shapes(op_case *c, bool writes) {
  int64_t full[3];
  int ndim = (int)uniform(0, 4);
  for (int d = 0; d < ndim; d++) full[d] = (int64_t)uniform(1, 4);
  for (int i = 0; i < OP_CASE_INPUTS && c->in[i].kind; i++) {
    int own = writes && i == 0 ? ndim : (int)uniform(0, ndim + 1);
    c->in[i].ndim = own;
    for (int d = 0; d < own; d++) {
      bool repeated = !(writes && i == 0) && uniform(0, 1) < 0.3;
      c->in[i].shape[d] = repeated ? 1 : full[ndim - own + d];
    }
  }
}

/* --- the function whose gradient is checked --- */

typedef struct walked {
  const op_case *c;
  op_call_context context;
} walked;

/* A weighted sum of the first gradients of sum(cos(f)), recorded: both make second derivatives by all pairs of inputs count. */
static th_array *gradients_of(th_array *const *in, int n, void *user) {
  walked *w = user;
  bool recording = th_grad_mode(true);
  th_scope scope = th_scope_begin();
  th_array *points[OP_CASE_INPUTS], *leaves[OP_CASE_INPUTS], *g[OP_CASE_INPUTS], *result = NULL;
  int n_leaves = 0;
  for (int i = 0; i < n; i++) {
    points[i] = th_requires_grad(in[i]) ? in[i] : th_detach(in[i]);
    if (th_array_dtype(in[i]) != TH_F64) continue;
    th_require_grad(points[i]);
    leaves[n_leaves++] = points[i];
  }
  th_array *y = w->c->call(points, n, &w->context);
  th_array *sum = th_sum(th_cos(y), NULL, 0, false);
  if (th_grads(&sum, 1, NULL, leaves, n_leaves, TH_CREATE_GRAPH | TH_ALLOW_UNUSED, g) == TH_OK) {
    result = th_zeros(TH_SCALAR, TH_F64, th_cpu(0));
    for (int i = 0; i < n_leaves; i++) {
      if (g[i] == NULL) continue;
      th_array *part = i % 2 ? th_sin(g[i]) : th_square(g[i]);
      result = th_add(result, th_sum(part, NULL, 0, false));
    }
  }
  if (result != NULL) th_keep(result);
  th_scope_end(scope);
  th_grad_mode(recording);
  return result;
}

static bool check(const op_case *c, const th_op *op) {
  double lo = c->lo < c->hi ? c->lo : op->test.lo, hi = c->lo < c->hi ? c->hi : op->test.hi;
  if (!(lo < hi)) lo = -2, hi = 2;
  th_array *in[OP_CASE_INPUTS];
  int n = 0;
  for (; n < OP_CASE_INPUTS && c->in[n].kind; n++) in[n] = make_input(&c->in[n], lo, hi);
  walked w = {c, {op, TH_F64, th_cpu(0), false}};
  double worst = 0;
  th_status status = th_grad_check(gradients_of, in, n, &w, 1e-5, 1e-5, &worst);
  for (int i = 0; i < n; i++) th_release(in[i]);
  if (status == TH_ENOSYS && is_slope(op->name)) return false;
  cr_assert(eq(int, status, TH_OK), "%s: %s", op->name, th_last_error());
  cr_assert(gt(dbl, worst, 0), "%s: differences are never exact: nothing was compared", op->name);
  return true;
}

Test(second_order, registry) {
  lag_install(3);
  int checked = 0, slopes = 0;
  for (int i = 0; i < th__op_count(); i++) {
    const th_op *op = th__op_at(i);
    op_case generic;
    const op_case *c = op_case_find(op, &generic);
    cr_assert(c != NULL, "operator %s has no case", op->name);
    uint32_t types = c->dtypes ? c->dtypes : op->dtypes;
    if (op->vjp == NULL || (c->flags & OP_CASE_SEEN) || !(types & TH_BIT(TH_F64))) continue;
    state = (uint64_t)i * 977 + 13;
    bool has = check(c, op);
    for (int round = 0; c == &generic && has && round < 3; round++) {
      draw_shapes(&generic, op->writes != 0);
      check(c, op);
    }
    *(has ? &checked : &slopes) += 1;
  }
  printf("second derivatives of %d operators checked; %d slopes have none, as these would be third "
         "ones of their "
         "operators\n",
         checked, slopes);
  cr_assert(gt(int, checked, 100), "%d operators", checked);
}
