/* Walks the registry: second derivatives of every operator that has a gradient, against central differences of its first ones in
 * f64, and third ones against differences of the second; elementwise ones in random shapes with broadcasts. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "support/arrays.h"
#include "support/lagdevice.h"
#include "support/op_cases.h"

TestSuite(higher_order, .timeout = 240, .fini = stop_engine);

/* Bends are second derivatives of the elementwise operators that they are named after. */
static bool is_bend(const char *name) { return strstr(name, "_bend") != NULL; }

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
  int order; /* of the derivatives that are compared */
} walked;

/* Replaces *sum by a sum over its gradients, recorded: squares and sines make derivatives of these by all pairs of inputs count. */
static th_status take_gradients(th_array **sum, th_array *const *leaves, int n) {
  th_array *g[OP_CASE_INPUTS];
  th_status status = th_grads(sum, 1, NULL, leaves, n, TH_CREATE_GRAPH | TH_ALLOW_UNUSED, g);
  if (status != TH_OK) return status;
  *sum = th_zeros(TH_SCALAR, TH_F64, th_cpu(0));
  for (int i = 0; i < n; i++) {
    if (g[i] == NULL) continue;
    th_array *part = i % 2 ? th_sin(g[i]) : th_square(g[i]);
    *sum = th_add(*sum, th_sum(part, NULL, 0, false));
  }
  return TH_OK;
}

/* sum(cos(f)), of which gradients are taken order - 1 times. */
static th_array *gradients_of(th_array *const *in, int n, void *user) {
  walked *w = user;
  bool recording = th_grad_mode(true);
  th_scope scope = th_scope_begin();
  th_array *points[OP_CASE_INPUTS], *leaves[OP_CASE_INPUTS];
  int n_leaves = 0;
  for (int i = 0; i < n; i++) {
    points[i] = th_requires_grad(in[i]) ? in[i] : th_detach(in[i]);
    if (th_array_dtype(in[i]) != TH_F64) continue;
    th_require_grad(points[i]);
    leaves[n_leaves++] = points[i];
  }
  th_array *y = w->c->call(points, n, &w->context);
  th_array *sum = th_sum(th_cos(y), NULL, 0, false);
  th_status status = sum == NULL ? th_last_status() : TH_OK;
  for (int k = 1; k < w->order && status == TH_OK; k++)
    status = take_gradients(&sum, leaves, n_leaves);
  th_array *result = status == TH_OK ? th_keep(sum) : NULL;
  th_scope_end(scope);
  th_grad_mode(recording);
  return result;
}

static void check(const op_case *c, const th_op *op, int order) {
  double lo = c->lo < c->hi ? c->lo : op->test.lo, hi = c->lo < c->hi ? c->hi : op->test.hi;
  if (!(lo < hi)) lo = -2, hi = 2;
  /* High derivatives grow steeply towards poles, where differences tell little. */
  double margin = is_bend(op->name) || order > 2 ? (hi - lo) / 5 : 0;
  lo += margin, hi -= margin;
  th_array *in[OP_CASE_INPUTS];
  int n = 0;
  for (; n < OP_CASE_INPUTS && c->in[n].kind; n++) in[n] = make_input(&c->in[n], lo, hi);
  walked w = {c, {op, TH_F64, th_cpu(0), false}, order};
  double worst = 0;
  th_status status = th_grad_check(gradients_of, in, n, &w, 1e-5,
                                   order > 2    ? 1e-3
                                   : margin > 0 ? 1e-4
                                                : 1e-5,
                                   &worst);
  for (int i = 0; i < n; i++) th_release(in[i]);
  cr_assert(eq(int, status, TH_OK), "%s: %s", op->name, th_last_error());
  cr_assert(gt(dbl, worst, 0), "%s: differences are never exact: nothing was compared", op->name);
}

/* Checks the derivatives of this order; returns of how many operators. */
static int walk(int order) {
  int checked = 0;
  lag_install(3);
  for (int i = 0; i < th__op_count(); i++) {
    const th_op *op = th__op_at(i);
    op_case generic;
    const op_case *c = op_case_find(op, &generic);
    cr_assert(c != NULL, "operator %s has no case", op->name);
    uint32_t types = c->dtypes ? c->dtypes : op->dtypes;
    if (order > 2 && is_bend(op->name)) continue; /* these would be fifth ones */
    if (op->vjp == NULL || (c->flags & OP_CASE_SEEN) || !(types & TH_BIT(TH_F64))) continue;
    state = (uint64_t)i * 977 + 13;
    check(c, op, order);
    for (int round = 0; c == &generic && round < (order > 2 ? 1 : 3); round++) {
      draw_shapes(&generic, op->writes != 0);
      check(c, op, order);
    }
    checked++;
  }
  printf("derivatives of order %d of %d operators checked\n", order, checked);
  return checked;
}

Test(higher_order, second_of_the_registry) { cr_assert(gt(int, walk(2), 140)); }
Test(higher_order, third_of_the_registry) { cr_assert(gt(int, walk(3), 140)); }
