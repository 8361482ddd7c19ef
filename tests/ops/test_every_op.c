/* Walks the registry: every operator x element type x {contiguous, strided, backwards, broadcast, empty, lag device}, elementwise
 * ones also with 0-d arrays; shapes and types on the meta device; and the numeric gradient of every operator that has one. An
 * operator without a case fails the test. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/lagdevice.h"
#include "support/op_cases.h"
#include "thrum/thrum.h"

TestSuite(every_op, .timeout = 120);

enum { MOST = 256 }; /* elements of one operand or result */
enum { CONTIGUOUS, STRIDED, BACKWARDS, BROADCAST, EMPTY, LAG, META, LAYOUTS = META };
static const char *const layout_names[] = {"contiguous", "strided", "backwards", "broadcast",
                                           "empty",      "lag",     "meta"};

/* --- which operators were called: an interceptor in front of the usual one --- */

static const th__interceptor *usual;
static bool seen[2048];

static void note(const th_op *op) {
  for (int i = 0; i < th__op_count() && i < 2048; i++)
    if (th__op_at(i) == op) seen[i] = true;
}

static th_status watch_before(const th_op *op, const th_array *const *in, int n_in,
                              const uint8_t *written) {
  return usual->before(op, in, n_in, written);
}

static th_status watch_after(const th_op *op, const void *params, const th_array *const *in,
                             int n_in, th_array *const *out, int n_out, const uint8_t *written) {
  note(op);
  return usual->after(op, params, in, n_in, out, n_out, written);
}

static const th__interceptor watcher = {watch_before, watch_after};

/* --- operands --- */

static uint64_t state;

static double uniform(double lo, double hi) {
  state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return lo + (hi - lo) * ((double)(state >> 11) * 0x1p-53);
}

/* A value of the domain that the element type holds exactly. */
static double draw(th_dtype t, double lo, double hi) {
  char cell[8];
  double value = uniform(lo, hi);
  if (t == TH_BOOL) value = value > (lo + hi) / 2;
  if (th__dtype_in(t, TH_UINTS)) value = floor(uniform(lo < 0 ? 0 : 1, 5));
  if (th__dtype_in(t, TH_SINTS)) value = floor(uniform(lo < 0 ? -4 : 1, 5));
  th__dtype_set(t, cell, value);
  return th__dtype_get(t, cell);
}

typedef struct operands {
  int n;
  int64_t sizes[OP_CASE_INPUTS], shapes[OP_CASE_INPUTS][4];
  double values[OP_CASE_INPUTS][MOST];
} operands;

static void fill_operands(operands *o, const op_case *c, const th_op *op, th_dtype t, int layout) {
  double lo = c->lo < c->hi ? c->lo : op->test.lo, hi = c->lo < c->hi ? c->hi : op->test.hi;
  if (!(lo < hi)) lo = -2, hi = 2;
  for (o->n = 0; o->n < OP_CASE_INPUTS && c->in[o->n].kind; o->n++) {
    const op_case_input *in = &c->in[o->n];
    int64_t size = 1;
    for (int d = 0; d < in->ndim; d++) {
      o->shapes[o->n][d] = layout == EMPTY && in->shape[d] == 3 ? 0 : in->shape[d];
      size *= o->shapes[o->n][d];
    }
    o->sizes[o->n] = size;
    double *v = o->values[o->n];
    for (int64_t i = 0; i < size; i++) {
      v[i] = in->kind == 'x'   ? draw(t, lo, hi)
             : in->kind == 'i' ? floor(uniform(0, in->limit))
                               : (double)(uniform(0, 1) > 0.5);
    }
    /* A broadcast operand repeats its first row. */
    int64_t rows = in->ndim ? o->shapes[o->n][0] : 1;
    if (layout == BROADCAST && in->ndim > 0)
      for (int64_t i = size / rows; i < size; i++) v[i] = v[i % (size / rows)];
  }
}

static th_array *from_values(const double *values, const int64_t *shape, int ndim, int64_t size,
                             th_dtype t) {
  char raw[MOST * 8];
  for (int64_t i = 0; i < size; i++)
    th__dtype_set(t, raw + (size_t)i * th_dtype_size(t), values[i]);
  return th_from_host(raw, shape, ndim, t, th_cpu(0));
}

/* The same values behind gaps and a negative step. */
static th_array *behind_gaps(th_array *a) {
  int ndim = th_array_ndim(a);
  if (ndim == 0) return th_retain(a);
  int64_t shape[TH_MAX_DIMS];
  for (int d = 0; d < ndim; d++) shape[d] = 2 * th_array_shape(a)[d];
  th_array *large = th_ones(shape, ndim, th_array_dtype(a), th_cpu(0));
  static const char *const specs[] = {"", "::-2", "::-2, 1::2", "::-2, ::2, 1::2",
                                      "::2, ::-2, ::2, 1::2"};
  th_array *view = th_slice(large, specs[ndim]);
  cr_assert(eq(int, th_assign(view, a), TH_OK));
  th_release(large);
  return view;
}

/* The same values, every dimension from its end. */
static th_array *backwards(th_array *a) {
  th_array *there = th_flip(a, NULL, 0), *turned = th_copy(there), *back = th_flip(turned, NULL, 0);
  th_release(there);
  th_release(turned);
  return back;
}

static th_array *as_broadcast(th_array *a) {
  if (th_array_ndim(a) == 0) return th_retain(a);
  th_array *row = th_slice(a, ":1, ...");
  th_array *view = th_broadcast_to(row, th_array_shape(a), th_array_ndim(a));
  th_release(row);
  return view;
}

static void make_inputs(const operands *o, const op_case *c, th_dtype t, int layout,
                        th_array **in) {
  for (int i = 0; i < o->n; i++) {
    char kind = c->in[i].kind;
    th_dtype own = kind == 'x' ? t : kind == 'i' ? TH_I64 : TH_BOOL;
    th_array *a = from_values(o->values[i], o->shapes[i], c->in[i].ndim, o->sizes[i], own), *b;
    b = layout == STRIDED     ? behind_gaps(a)
        : layout == BACKWARDS ? backwards(a)
        : layout == BROADCAST ? as_broadcast(a)
        : layout == META      ? th_copy_to(a, th_meta())
        : layout == LAG       ? th_copy_to(a, lag_device(0))
                              : th_retain(a);
    in[i] = b;
    th_release(a);
  }
}

/* --- results --- */

typedef struct result {
  th_dtype dtype;
  int ndim;
  int64_t shape[TH_MAX_DIMS], size;
  char raw[MOST * 8];
} result;

static double element(const result *r, int64_t i) {
  return th__dtype_get(r->dtype, r->raw + (size_t)i * th_dtype_size(r->dtype));
}

/* On the meta device there are only type and shape. */
static void compute(const op_case *c, const th_op *op, const operands *o, th_dtype t, int layout,
                    result *r) {
  th_device device = layout == LAG ? lag_device(0) : layout == META ? th_meta() : th_cpu(0);
  op_call_context context = {op, t, device, layout == STRIDED};
  th_array *in[OP_CASE_INPUTS] = {NULL};
  make_inputs(o, c, t, layout, in);
  th_clear_error();
  th_array *out = c->call(in, o->n, &context);
  cr_assert(ne(ptr, out, NULL), "%s %s %s: %s", op->name, th_dtype_name(t), layout_names[layout],
            th_last_error());
  r->dtype = th_array_dtype(out);
  r->ndim = th_array_ndim(out);
  r->size = th_array_size(out);
  cr_assert(r->size <= MOST);
  for (int d = 0; d < r->ndim; d++) r->shape[d] = th_array_shape(out)[d];
  th_status status = TH_OK;
  if (layout != META) status = th_read(out, r->raw, (size_t)r->size * th_dtype_size(r->dtype));
  cr_assert(eq(int, status, TH_OK), "%s %s %s: %s", op->name, th_dtype_name(t),
            layout_names[layout], th_last_error());
  th_release(out);
  for (int i = 0; i < o->n; i++) th_release(in[i]);
}

static double tolerance(th_dtype t) {
  switch (t) {
  case TH_F16: return 0x1p-8;
  case TH_BF16: return 0x1p-5;
  case TH_F32: return 2e-5;
  case TH_F64: return 1e-12;
  default: return 0;
  }
}

/* What an exact value becomes in an integer type: it wraps. */
static double wrapped(double value, th_dtype t) {
  uint64_t bits = (uint64_t)(int64_t)value;
  switch (t) {
  case TH_U8: return (double)(uint8_t)bits;
  case TH_U16: return (double)(uint16_t)bits;
  case TH_U32: return (double)(uint32_t)bits;
  case TH_U64: return (double)bits;
  case TH_I8: return (double)(int8_t)bits;
  case TH_I16: return (double)(int16_t)bits;
  case TH_I32: return (double)(int32_t)bits;
  case TH_I64: return (double)(int64_t)bits;
  default: return value;
  }
}

static void expect_near(const result *got, const result *wanted, double allowed, const char *who,
                        th_dtype t, const char *what) {
  cr_assert(eq(int, got->ndim, wanted->ndim), "%s %s %s", who, th_dtype_name(t), what);
  cr_assert(eq(i64, got->size, wanted->size), "%s %s %s", who, th_dtype_name(t), what);
  for (int64_t i = 0; i < got->size; i++) {
    double x = element(got, i), y = wrapped(element(wanted, i), got->dtype);
    double scale = fabs(y) > 1 ? fabs(y) : 1;
    bool near = (isnan(x) && isnan(y)) || x == y || fabs(x - y) <= allowed * scale;
    cr_assert(near, "%s %s %s: element %d is %.17g, not %.17g", who, th_dtype_name(t), what, (int)i,
              x, y);
  }
}

static void expect_same_bits(const result *got, const result *wanted, const char *who, th_dtype t,
                             const char *what) {
  cr_assert(eq(int, (int)got->dtype, (int)wanted->dtype), "%s %s %s", who, th_dtype_name(t), what);
  cr_assert(got->size == wanted->size &&
                memcmp(got->raw, wanted->raw, (size_t)got->size * th_dtype_size(got->dtype)) == 0,
            "%s %s %s: bits differ from the contiguous result", who, th_dtype_name(t), what);
}

/* --- one operator and type --- */

static void check_type(const op_case *c, const th_op *op, th_dtype t) {
  static operands o;
  static result plain, other;
  uint32_t accepted = c->dtypes ? c->dtypes : op->dtypes;
  fill_operands(&o, c, op, t, CONTIGUOUS);
  compute(c, op, &o, t, CONTIGUOUS, &plain);
  if (!(c->flags & OP_CASE_OWN_BITS)) {
    th_dtype reference = (accepted & TH_BIT(TH_F64)) ? TH_F64 : TH_I64;
    if (t == TH_BOOL && (accepted & TH_BIT(TH_F64)) == 0) reference = TH_BOOL;
    compute(c, op, &o, reference, CONTIGUOUS, &other);
    double loosest = tolerance(t) > tolerance(plain.dtype) ? tolerance(t) : tolerance(plain.dtype);
    expect_near(&plain, &other, loosest, op->name, t, "against the reference");
  }
  for (int layout = STRIDED; layout < LAYOUTS; layout++) {
    if (layout == BROADCAST && op->writes) continue;
    if (layout == EMPTY && !(c->flags & OP_CASE_EMPTY)) continue;
    fill_operands(&o, c, op, t, layout);
    compute(c, op, &o, t, layout, &other);
    if (layout == EMPTY) continue;
    compute(c, op, &o, t, CONTIGUOUS, &plain);
    if ((c->flags & OP_CASE_ROUNDS) && layout != LAG)
      expect_near(&other, &plain, tolerance(plain.dtype), op->name, t, layout_names[layout]);
    else
      expect_same_bits(&other, &plain, op->name, t, layout_names[layout]);
  }
}

/* The meta device gives the shape and type of the real result. */
static void check_meta(const op_case *c, const th_op *op, th_dtype t) {
  static operands o;
  static result real, shape;
  if (c->flags & OP_CASE_NO_META) return;
  fill_operands(&o, c, op, t, CONTIGUOUS);
  compute(c, op, &o, t, CONTIGUOUS, &real);
  compute(c, op, &o, t, META, &shape);
  bool same = real.dtype == shape.dtype && real.ndim == shape.ndim;
  for (int d = 0; same && d < real.ndim; d++) same = real.shape[d] == shape.shape[d];
  cr_assert(same, "%s %s: shape or type on the meta device differ", op->name, th_dtype_name(t));
}

static void check_gradient(const op_case *c, const th_op *op) {
  static operands o;
  th_array *in[OP_CASE_INPUTS];
  op_call_context context = {op, TH_F64, th_cpu(0), false};
  double worst = 0;
  fill_operands(&o, c, op, TH_F64, CONTIGUOUS);
  make_inputs(&o, c, TH_F64, CONTIGUOUS, in);
  double allowed = op->test.tolerance > 1e-6 ? op->test.tolerance : 1e-6;
  th_status status = th_grad_check(c->call, in, o.n, &context, 1e-5, allowed, &worst);
  cr_assert(eq(int, status, TH_OK), "gradient of %s: %s", op->name, th_last_error());
  for (int i = 0; i < o.n; i++) th_release(in[i]);
}

/* The slopes are differentiable once more, so the gradients of those rows are recorded and walked again. */
Test(every_op, registry) {
  lag_install(3);
  usual = th__interceptor_swap(&watcher);
  int n = th__op_count();
  cr_assert(n > 100 && n < 2048, "%d operators", n);
  for (int i = 0; i < n; i++) {
    const th_op *op = th__op_at(i);
    op_case generic;
    const op_case *c = op_case_find(op, &generic);
    cr_assert(c != NULL, "operator %s has no case in tests/support/op_cases.c", op->name);
    if (c->flags & OP_CASE_SEEN) continue;
    state = (uint64_t)i * 977 + 13;
    uint32_t types = c->dtypes ? c->dtypes : op->dtypes;
    op_case single = *c; /* 0-d */
    for (int j = 0; j < OP_CASE_INPUTS; j++) single.in[j].ndim = 0;
    for (int t = 0; t < TH_DTYPE_COUNT; t++) {
      if (!(types & TH_BIT(t))) continue;
      check_type(c, op, (th_dtype)t);
      check_meta(c, op, (th_dtype)t);
      if (c == &generic) check_type(&single, op, (th_dtype)t);
    }
    if (op->vjp && (types & TH_BIT(TH_F64))) check_gradient(c, op);
  }
  for (int i = 0; i < n; i++)
    cr_assert(seen[i], "operator %s was never called", th__op_at(i)->name);
  cr_assert(eq(int, th_wait_all(), TH_OK));
  (void)th__interceptor_swap(usual);
}

Test(every_op, names_are_unique_and_found) {
  for (int i = 0; i < th__op_count(); i++)
    cr_assert(th__op_find(th__op_at(i)->name) == th__op_at(i), "%s", th__op_at(i)->name);
  cr_assert(eq(ptr, (void *)th__op_find("no such operator"), NULL));
  cr_assert(eq(ptr, (void *)th__op_at(-1), NULL));
  cr_assert(eq(ptr, (void *)th__op_at(th__op_count()), NULL));
}
