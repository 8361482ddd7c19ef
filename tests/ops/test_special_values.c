/* NaN, infinities, both zeros, denormals, the largest numbers and extremes of integers through every elementwise operator of
 * one and two arrays: floats as f64 gives them, integers as 64 bits do and wrapped; the same bits behind gaps. */
#include "ops/op.h"
#include "support/op_cases.h"
#include "tests/ops/values.h"

TestSuite(special_values, .timeout = 120, .fini = stop_engine);

enum { MOST = 16, PAIRS = MOST * MOST };

/* As bits or numbers of an element type; n of them. */
static int specials(th_dtype t, double *out) {
  static const struct {
    th_dtype type;
    double least, normal, most;
  } limits[] = {{TH_F16, 0x1p-24, 0x1p-14, 65504},
                {TH_BF16, 0x1p-133, 0x1p-126, 0x1.fep127},
                {TH_F32, 0x1p-149, 0x1p-126, 0x1.fffffep127},
                {TH_F64, 0x1p-1074, 0x1p-1022, 0x1.fffffffffffffp1023}};
  for (int i = 0; i < 4; i++) {
    if (limits[i].type != t) continue;
    double e = limits[i].least, m = limits[i].most, s = limits[i].normal;
    double values[MOST] = {NAN, INFINITY, -INFINITY, 0,  -0.0, 1,     -1, 2,
                           0.5, -2.5,     e,         -e, s,    s - e, m,  -m};
    memcpy(out, values, sizeof values);
    return MOST;
  }
  double bits = (double)(8 * th_dtype_size(t)), top = ldexp(1, (int)bits - 1);
  double values[] = {0, 1, 2, 7, t == TH_BOOL ? 1 : top - 1, 3};
  double more[] = {-1, -top, -7};
  int n = t == TH_BOOL ? 2 : 6;
  memcpy(out, values, (size_t)n * sizeof *out);
  if (th__dtype_in(t, TH_SINTS)) memcpy(out + n, more, sizeof more), n += 3;
  if (th__dtype_in(t, TH_UINTS)) out[n++] = 2 * top - 1;
  return n;
}

/* All values, or all pairs of them: operand i of two. */
static th_array *operand(th_dtype t, const double *values, int n, int inputs, int i) {
  char raw[PAIRS * 8];
  int64_t size = inputs == 1 ? n : n * n;
  for (int64_t k = 0; k < size; k++) {
    double value = inputs == 1 ? values[k] : values[i == 0 ? k / n : k % n];
    th__dtype_set(t, raw + (size_t)k * th_dtype_size(t), value);
  }
  return th_from_host(raw, &size, 1, t, th_cpu(0));
}

/* The results as bytes; the number of elements. */
static int64_t compute(const th_op *op, th_dtype t, const double *values, int n, bool gaps,
                       th_dtype *out_type, char *out) {
  const th_array *in[2] = {NULL};
  int inputs = op->in.min;
  for (int i = 0; i < inputs; i++) {
    th_array *a = operand(t, values, n, inputs, i);
    if (gaps) {
      int64_t size = 2 * th_array_size(a);
      th_array *large = th_ones(&size, 1, t, th_cpu(0)), *view = th_slice(large, "::-2");
      cr_assert(eq(int, th_assign(view, a), TH_OK));
      th_release(large);
      th_release(a);
      a = view;
    }
    in[i] = a;
  }
  th_array *y = th__call(op, NULL, in, inputs);
  cr_assert(y != NULL, "%s: %s", op->name, th_last_error());
  int64_t size = th_array_size(y);
  *out_type = th_array_dtype(y);
  cr_assert(eq(int, th_read(y, out, (size_t)size * th_dtype_size(*out_type)), TH_OK));
  for (int i = 0; i < inputs; i++) th_release((th_array *)in[i]);
  th_release(y);
  return size;
}

static double allowed(th_dtype t) {
  return t == TH_F16 ? 0x1p-9 : t == TH_BF16 ? 0x1p-6 : t == TH_F32 ? 0x1p-21 : 0;
}

/* Rows whose formula leaves the range on its way where f64's does not, so their results differ at the very ends. */
static bool is_composed(const char *name) {
  return strstr(name, "_slope") || strstr(name, "_bend") || strcmp(name, "remainder") == 0 ||
         strcmp(name, "floor_divide") == 0;
}

static bool is_near(double x, double y, double relative, double least) {
  if (isnan(x) || isnan(y)) return isnan(x) && isnan(y);
  return x == y || fabs(x - y) <= relative * fabs(y) + least;
}

static void check_floats(const th_op *op, th_dtype t) {
  static char got[PAIRS * 8], reference[PAIRS * 8];
  double values[MOST];
  th_dtype type, wide;
  int n = specials(t, values);
  int64_t size = compute(op, t, values, n, false, &type, got);
  compute(op, TH_F64, values, n, false, &wide, reference);
  for (int64_t i = 0; i < size; i++) {
    char rounded[8];
    th__dtype_set(type, rounded, th__dtype_get(wide, reference + (size_t)i * th_dtype_size(wide)));
    double x = th__dtype_get(type, got + (size_t)i * th_dtype_size(type)),
           y = th__dtype_get(type, rounded);
    double least = t == TH_F16 ? 0x1p-23 : 0x1p-125; /* below, products of denormals lose digits */
    cr_assert(is_near(x, y, allowed(type), least), "%s %s of %g, %g: %g, not %g", op->name,
              th_dtype_name(t), values[op->in.min == 1 ? i : i / n], values[i % n], x, y);
  }
}

static void check_layout(const th_op *op, th_dtype t) {
  static char plain[PAIRS * 8], gaps[PAIRS * 8];
  double values[MOST];
  th_dtype type;
  int n = specials(t, values);
  int64_t size = compute(op, t, values, n, false, &type, plain);
  compute(op, t, values, n, true, &type, gaps);
  for (int64_t i = 0; i < size; i++) {
    size_t bytes = th_dtype_size(type), at = (size_t)i * bytes;
    bool nans = isnan(th__dtype_get(type, plain + at)) && isnan(th__dtype_get(type, gaps + at));
    cr_assert(nans || memcmp(plain + at, gaps + at, bytes) == 0,
              "%s %s: element %d differs behind gaps", op->name, th_dtype_name(t), (int)i);
  }
}

/* Integers of up to 32 bits give what 64 bits give, wrapped: true of all that neither divide nor shift. */
static void check_integers(const th_op *op, th_dtype t) {
  static char got[PAIRS * 8], reference[PAIRS * 8];
  double values[MOST];
  th_dtype type, wide;
  int n = specials(t, values);
  int64_t size = compute(op, t, values, n, false, &type, got);
  compute(op, TH_I64, values, n, false, &wide, reference);
  for (int64_t i = 0; i < size; i++) {
    uint64_t x = 0, y = 0;
    size_t bytes = th_dtype_size(type);
    memcpy(&x, got + (size_t)i * bytes, bytes);
    memcpy(&y, reference + (size_t)i * th_dtype_size(wide), bytes);
    cr_assert(x == y, "%s %s of %g, %g: %llx, not %llx", op->name, th_dtype_name(t),
              values[op->in.min == 1 ? i : i / n], values[i % n], (unsigned long long)x,
              (unsigned long long)y);
  }
}

Test(special_values, through_every_elementwise_operator) {
  int walked = 0;
  for (int i = 0; i < th__op_count(); i++) {
    const th_op *op = th__op_at(i);
    bool plain = (op->flags & TH_OP_ELEMENTWISE) && op->params_size == 0 && !op->writes &&
                 op->dtypes && op->in.max == 0 && (op->in.min == 1 || op->in.min == 2);
    if (!plain) continue;
    walked++;
    for (int t = 0; t < TH_DTYPE_COUNT; t++) {
      if (!(op->dtypes & TH_BIT(t))) continue;
      check_layout(op, (th_dtype)t);
      bool narrow = th__dtype_in((th_dtype)t, TH_INTS) && th_dtype_size((th_dtype)t) < 8;
      if (narrow && (op->dtypes & TH_BIT(TH_I64)) && !strstr(op->name, "shift") &&
          strcmp(op->name, "pow") != 0)
        check_integers(op, (th_dtype)t);
      if (th__dtype_in((th_dtype)t, TH_FLOATS) && t != TH_F64 && !is_composed(op->name))
        check_floats(op, (th_dtype)t);
    }
  }
  cr_assert(walked > 40, "%d operators", walked);
}
