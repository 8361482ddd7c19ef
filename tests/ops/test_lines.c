/* Lines and how operands come to them: every layout and length gives the bits of packed operands, halves give those of
 * ndarray/half.h, and the elementary functions are near the C library's at the edges of their domains. */
#include "ndarray/half.h"
#include "ops/loops/halves.h"
#include "ops/loops/stream.h"
#include "ops/values.h"

TestSuite(lines, .timeout = 120, .fini = stop_engine);

/* --- layouts --- */

enum { LONG = 5003 }; /* several pieces and a tail */

static th_array *packed(th_dtype t, int seed) {
  th_array *a = noisy(TH_SHAPE(LONG + seed), t, 3);
  char spec[32];
  snprintf(spec, sizeof spec, "%d:", seed);
  th_array *rest = th_slice(a, spec), *copy = th_copy(rest);
  th_release(a);
  th_release(rest);
  return copy;
}

/* The same elements with a step. */
static th_array *stepped(const th_array *a, const char *spec, int64_t room) {
  th_array *wide = th_zeros(&room, 1, th_array_dtype(a), th_cpu(0)), *view = th_slice(wide, spec);
  cr_assert(eq(int, th_assign(view, a), TH_OK), "%s", th_last_error());
  th_release(wide);
  return view;
}

static void expect_same(th_array *got, th_array *wanted, const char *what, th_dtype t) {
  cr_assert(got != NULL, "%s", th_last_error());
  size_t bytes = (size_t)th_array_size(wanted) * th_dtype_size(th_array_dtype(wanted));
  char *x = malloc(bytes), *y = malloc(bytes);
  cr_assert(eq(int, th_read(got, x, bytes), TH_OK), "%s", th_last_error());
  cr_assert(eq(int, th_read(wanted, y, bytes), TH_OK), "%s", th_last_error());
  cr_assert(memcmp(x, y, bytes) == 0, "%s of %s", what, th_dtype_name(t));
  free(x);
  free(y);
  th_release(got);
  th_release(wanted);
}

static th_array *half_up(const th_array *a) { return th_clip(a, -1, 1); }
static th_array *plus(const th_array *a) { return th_add_scalar(a, 2); }
static th_array *(*const unary[])(const th_array *) = {th_negative, th_square, half_up, plus,
                                                       th_isfinite};
static th_array *(*const binary[])(const th_array *, const th_array *) = {th_add, th_maximum,
                                                                          th_less, th_logical_and};

Test(lines, steps_change_nothing) {
  for (int t = TH_U8; t < TH_DTYPE_COUNT; t++) {
    th_array *a = packed((th_dtype)t, 0), *b = packed((th_dtype)t, 7);
    th_array *x = stepped(a, "::2", 2 * LONG - 1), *y = stepped(b, "::-3", 3 * LONG - 2);
    for (size_t i = 0; i < sizeof unary / sizeof *unary; i++) {
      expect_same(unary[i](x), unary[i](a), "unary", (th_dtype)t);
      expect_same(unary[i](y), unary[i](b), "unary", (th_dtype)t);
    }
    for (size_t i = 0; i < sizeof binary / sizeof *binary; i++) {
      expect_same(binary[i](x, y), binary[i](a, b), "binary", (th_dtype)t);
      expect_same(binary[i](a, y), binary[i](a, b), "binary", (th_dtype)t);
      expect_same(binary[i](x, b), binary[i](a, b), "binary", (th_dtype)t);
    }
    cr_assert(eq(int, th_multiply_inplace(y, x), TH_OK));
    expect_same(th_copy(y), th_multiply(b, a), "multiply_inplace", (th_dtype)t);
    th_array *const made[] = {a, b, x, y};
    for (int i = 0; i < 4; i++) th_release(made[i]);
  }
}

Test(lines, one_element_for_all) {
  for (int t = TH_U8; t < TH_DTYPE_COUNT; t++) {
    th_array *a = packed((th_dtype)t, 0), *one = th_slice(a, "3:4");
    th_array *spread = th_broadcast_to(one, TH_SHAPE(LONG)), *full = th_copy(spread);
    for (size_t i = 0; i < sizeof binary / sizeof *binary; i++) {
      expect_same(binary[i](a, spread), binary[i](a, full), "right", (th_dtype)t);
      expect_same(binary[i](spread, a), binary[i](full, a), "left", (th_dtype)t);
    }
    th_array *const made[] = {a, one, spread, full};
    for (int i = 0; i < 4; i++) th_release(made[i]);
  }
}

/* Near and far arguments side by side: the quick way and the library's meet inside a piece. */
Test(lines, bits_do_not_depend_on_the_neighbours) {
  th_array *a = packed(TH_F32, 0), *far = th_multiply_scalar(a, 1e5), *mixed = th_copy(a);
  th_array *some = th_slice(mixed, "::100"), *those = th_slice(far, "::100");
  cr_assert(eq(int, th_assign(some, those), TH_OK));
  th_array *sines = th_sin(mixed), *near = th_sin(a), *away = th_sin(far);
  double *x = values_of(sines), *y = values_of(near), *z = values_of(away), *arg = values_of(far);
  for (int i = 0; i < LONG; i++) {
    cr_assert(x[i] == (i % 100 ? y[i] : z[i]), "element %d", i);
    cr_assert(fabs(z[i] - sin(arg[i])) < 3e-7, "sin(%g)", arg[i]);
  }
  double *const values[] = {x, y, z, arg};
  for (int i = 0; i < 4; i++) free(values[i]);
  th_array *const made[] = {a, far, mixed, some, those, sines, near, away};
  for (int i = 0; i < 8; i++) th_release(made[i]);
}

/* --- halves --- */

static uint16_t one_half(th_dtype t, float f) {
  return t == TH_F16 ? th__f16_from_float(f).bits : th__bf16_from_float(f).bits;
}

static float one_float(th_dtype t, uint16_t bits) {
  return t == TH_F16 ? th__f16_to_float((th_f16){bits}) : th__bf16_to_float((th_bf16){bits});
}

Test(lines, every_half_has_the_bits_of_one_by_one) {
  static uint16_t bits[65536], back[65536];
  static float floats[65536];
  for (int i = 0; i < 65536; i++) bits[i] = (uint16_t)i;
  for (int k = 0; k < 2; k++) {
    th_dtype t = k ? TH_BF16 : TH_F16;
    th__halves_load(t, bits, 1, 65536, floats);
    for (int i = 0; i < 65536; i++)
      cr_assert(th__float_bits(floats[i]) == th__float_bits(one_float(t, bits[i])), "%04x", i);
    th__halves_store(t, back, 1, 65536, floats);
    for (int i = 0; i < 65536; i++) cr_assert(back[i] == one_half(t, floats[i]), "%04x", i);
    th__halves_load(t, bits + 65535, -1, 65535, floats);
    for (int i = 0; i < 65535; i++)
      cr_assert(th__float_bits(floats[i]) == th__float_bits(one_float(t, bits[65535 - i])));
  }
}

Test(lines, floats_become_halves_by_the_same_rounding) {
  enum { N = 1 << 16 };
  static float floats[N];
  static uint16_t got[2 * N];
  for (uint32_t round = 0; round < 24; round++)
    for (int k = 0; k < 2; k++) {
      th_dtype t = k ? TH_BF16 : TH_F16;
      for (uint32_t i = 0; i < N; i++) floats[i] = th__bits_float(i * 65537u + round * 2731u);
      th__halves_store(t, got, 2, N, floats);
      for (uint32_t i = 0; i < N; i++)
        cr_assert(got[2 * i] == one_half(t, floats[i]), "%a", (double)floats[i]);
    }
}

/* --- streaming --- */

Test(lines, streamed_bytes_arrive_wherever_they_lie) {
  static char from[600], to[600];
  for (int i = 0; i < 600; i++) from[i] = (char)(i * 7 + 1);
  for (int start = 0; start < 20; start++)
    for (int n = 0; n < 300; n += 1 + n / 7) {
      memset(to, 0, sizeof to);
      th__stream(to + start, from + 3, n);
      th__stream_end();
      cr_assert(memcmp(to + start, from + 3, (size_t)n) == 0, "%d at %d", n, start);
      cr_assert(to[start + n] == 0 && (start == 0 || to[start - 1] == 0), "%d at %d", n, start);
    }
}

Test(lines, streamed_results_have_the_same_bits) {
  for (int t = TH_U8; t < TH_DTYPE_COUNT; t++) {
    th_array *a = packed((th_dtype)t, 1), *steps = stepped(a, "::2", 2 * LONG - 1);
    th_array *sum = th_add(a, steps), *more = th_add_scalar(a, 1), *test = th_less(a, steps);
    th_array *const wanted[] = {sum, more, test};
    for (int i = 0; i < 3; i++) cr_assert(eq(int, th_wait(wanted[i]), TH_OK));
    th__stream_least = 1;
    th_array *const got[] = {th_add(a, steps), th_add_scalar(a, 1), th_less(a, steps)};
    for (int i = 0; i < 3; i++) cr_assert(eq(int, th_wait(got[i]), TH_OK));
    th__stream_least = 0;
    for (int i = 0; i < 3; i++) expect_same(got[i], wanted[i], "streamed", (th_dtype)t);
    th_release(a);
    th_release(steps);
  }
}

/* --- elementary functions at their edges --- */

static double logistic(double x) { return 1 / (1 + exp(-x)); }
static double softplus(double x) { return fmax(x, 0) + log1p(exp(-fabs(x))); }
static double silu(double x) { return x * logistic(x); }
static double gelu(double x) { return x < -40 ? -0.0 : x * 0.5 * erfc(-x * 0.7071067811865476); }

static const struct {
  const char *name;
  th_array *(*ours)(const th_array *);
  double (*exact)(double);
  double ulps;
} functions[] = {{"exp", th_exp, exp, 2},       {"expm1", th_expm1, expm1, 2},
                 {"log", th_log, log, 2},       {"log2", th_log2, log2, 2},
                 {"log10", th_log10, log10, 2}, {"log1p", th_log1p, log1p, 2},
                 {"tanh", th_tanh, tanh, 2},    {"sigmoid", th_sigmoid, logistic, 3},
                 {"erf", th_erf, erf, 2},       {"softplus", th_softplus, softplus, 3},
                 {"sin", th_sin, sin, 2},       {"cos", th_cos, cos, 2},
                 {"silu", th_silu, silu, 4},    {"gelu", th_gelu, gelu, 6}};

static void check_function(size_t k, const float *x, int64_t n) {
  th_array *a = th_from_host(x, &n, 1, TH_F32, th_cpu(0)), *b = functions[k].ours(a);
  double *got = values_of(b);
  for (int64_t i = 0; i < n; i++) {
    double exact = functions[k].exact((double)x[i]), y = got[i];
    float nearest = (float)exact;
    bool right = isnan(exact) ? isnan(y) : (float)y == nearest;
    double ulp = fabs((double)nextafterf(nearest, INFINITY) - (double)nearest);
    if (!right && isfinite(nearest) && fabs(exact) > 1e-36)
      right = fabs(y - exact) <= functions[k].ulps * ulp;
    if (!right && fabs(exact) <= 1e-36) right = fabs(y - exact) <= 110 * 0x1p-149;
    if (!right && !isfinite(nearest)) right = y >= 3.4028234e38; /* overflow, half an ulp early */
    cr_assert(right, "%s(%a) is %a, not %a", functions[k].name, (double)x[i], y, exact);
    bool zeros = y == 0 && exact == 0;
    cr_assert(zeros ? !signbit(y) == !signbit(exact) : true, "%s(%a): sign of zero",
              functions[k].name, (double)x[i]);
  }
  free(got);
  th_release(a);
  th_release(b);
}

Test(lines, functions_at_their_edges) {
  static const float edges[] = {
      0.0f,          -0.0f,          1.0f,       -1.0f,      INFINITY,    -INFINITY,
      NAN,           1e-45f,         -1e-45f,    1e-39f,     -1e-39f,     1.1754944e-38f,
      3.4028235e38f, -3.4028235e38f, 88.72283f,  88.72284f,  -87.33654f,  -103.97208f,
      -103.98f,      0.625f,         0.92773f,   -0.92775f,  9.01f,       -14.2f,
      -20.0f,        17.3f,          0.9999999f, 1.0000001f, -0.9999999f, 32768.0f,
      32769.0f,      -1e9f,          1.5707964f, 3.1415927f, 22.0f,       1e-4f,
      -1e-4f};
  for (size_t k = 0; k < sizeof functions / sizeof *functions; k++)
    check_function(k, edges, sizeof edges / sizeof *edges);
}

Test(lines, functions_everywhere) {
  enum { N = 1 << 16 };
  static float x[N];
  for (uint32_t i = 0; i < N; i++) x[i] = th__bits_float(i * 65521u);
  for (size_t k = 0; k < sizeof functions / sizeof *functions; k++) check_function(k, x, N);
}
