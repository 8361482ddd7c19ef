/* Errors of elementary functions against long double, sampled over the whole range of f32 and of f64: each sign and exponent,
 * denormals and NaN among them. What becomes of infinities is special_values' business.
 * ctest: timeout 600 */
#include "ops/op.h"
#include "tests/ops/values.h"

TestSuite(ops_accuracy, .timeout = 300, .fini = stop_engine);

typedef struct row {
  const char *name;
  long double (*exact)(long double x);
  double most[2]; /* ulp: f32, f64 */
} row;

#define TH_ACCURACY(id, value, f32, f64)                                                           \
  static long double exact_##id(long double x) { return value; }
#include "tests/ops/accuracy.def"
#undef TH_ACCURACY

static const row rows[] = {
#define TH_ACCURACY(id, value, f32, f64) {#id, exact_##id, {f32, f64}},
#include "tests/ops/accuracy.def"
#undef TH_ACCURACY
};

/* |got - exact| in units of the last place that a type with so many digits and this least exponent has there. A result beyond
 * the largest number may be infinite, and one may be off by a step where the exact value rounds to infinity. */
static double ulps(long double got, long double exact, int digits, int least, long double largest) {
  if (isnan(got) || isnan(exact)) return isnan(got) && isnan(exact) ? 0 : INFINITY;
  if (got == exact) return 0;
  if (isinf(got)) got = copysignl(largest, got);
  if (isinf(exact) || fabsl(exact) > largest) exact = copysignl(largest, exact);
  int exponent = exact == 0 ? least : ilogbl(exact) + 1;
  if (exponent < least) exponent = least;
  return (double)(fabsl(got - exact) / ldexpl(1, exponent - digits));
}

/* The sample of all bit patterns that steps by an odd number. */
enum { SAMPLES = 1 << 17 };
static union {
  uint32_t u32[SAMPLES];
  uint64_t u64[SAMPLES];
  float f32[SAMPLES];
  double f64[SAMPLES];
} in, out;

static double worst_of_row(const row *r, bool wide, long double *at) {
  for (uint64_t i = 0; i < SAMPLES; i++) {
    if (wide) {
      in.u64[i] = i * UINT64_C(0x800000000001) + (i * UINT64_C(0x9E3779B97F4A7C15) >> 24);
    } else {
      in.u32[i] = (uint32_t)(i << 15) + (uint32_t)(i * UINT64_C(0x9E3779B97F4A7C15) >> 49);
    }
  }
  th_dtype t = wide ? TH_F64 : TH_F32;
  th_array *x = th_from_host(&in, TH_SHAPE(SAMPLES), t, th_cpu(0));
  th_array *y = TH_CALL(th__op_find(r->name), NULL, x);
  cr_assert(eq(int, th_read(y, &out, SAMPLES * th_dtype_size(t)), TH_OK), "%s: %s", r->name,
            th_last_error());
  double worst = 0;
  for (int i = 0; i < SAMPLES; i++) {
    long double a = wide ? in.f64[i] : in.f32[i], got = wide ? out.f64[i] : out.f32[i];
    if (isinf(a)) continue;
    double error = wide ? ulps(got, r->exact(a), 53, -1021, 0x1.fffffffffffffp1023L)
                        : ulps(got, r->exact(a), 24, -125, 0x1.fffffep127L);
    if (error > worst) worst = error, *at = a;
  }
  th_release(x);
  th_release(y);
  return worst;
}

Test(ops_accuracy, over_the_whole_range) {
  int over = 0;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    if (!th__op_find(rows[i].name)) continue; /* not there yet */
    for (int wide = 0; wide < 2; wide++) {
      long double at = 0;
      double worst = worst_of_row(&rows[i], wide, &at);
      bool good = worst <= rows[i].most[wide];
      if (!good || getenv("TH_SHOW_ACCURACY"))
        fprintf(stderr, "%-11s %s: %.3f ulp at %Lg, allowed %g\n", rows[i].name,
                wide ? "f64" : "f32", worst, at, rows[i].most[wide]);
      over += !good;
    }
  }
  cr_assert(eq(int, over, 0));
}
