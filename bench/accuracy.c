/* How exact are the elementary functions? Every function of f32 against the C library's double, in units of the last place of
 * the exact result: the worst over a sample of all floats, and with --all over every float from the function's range as well. Prints
 * the table of docs/accuracy.md. Results below 1e-36, where floats or factors of the result have fewer digits, are counted
 * apart, in units of the smallest float. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thrum/thrum.h>

#include "common/bench.h"

enum { PIECE = 1 << 20 };
#define STEP  4093 /* between the bits of sampled floats: prime, so all low bits come up */
#define SMALL 1e-36

static double logistic(double x) { return 1 / (1 + exp(-x)); }
static double silu(double x) { return x * logistic(x); }
static double softplus(double x) { return (x > 0 ? x : 0) + log1p(exp(-fabs(x))); }
static double gelu(double x) { return x < -40 ? -0.0 : x * 0.5 * erfc(-x * 0.7071067811865476); }
static double rsqrt(double x) { return 1 / sqrt(x); }
static double reciprocal(double x) { return 1 / x; }

typedef struct function {
  const char *name;
  th_array *(*ours)(const th_array *);
  double (*exact)(double);
  float from,
      to; /* magnitudes between which --all takes every float; 0: none. Results beyond are x, 0, 1 or infinite. */
} function;

static const function functions[] = {
    {"acos", th_acos, acos, 0, 0},
    {"acosh", th_acosh, acosh, 0, 0},
    {"asin", th_asin, asin, 0, 0},
    {"asinh", th_asinh, asinh, 0, 0},
    {"atan", th_atan, atan, 0, 0},
    {"atanh", th_atanh, atanh, 0, 0},
    {"cos", th_cos, cos, 0x1p-13f, 32768},
    {"cosh", th_cosh, cosh, 0, 0},
    {"erf", th_erf, erf, 0x1p-13f, 4},
    {"exp", th_exp, exp, 0x1p-25f, 104},
    {"expm1", th_expm1, expm1, 0, 0},
    {"gelu", th_gelu, gelu, 0x1p-13f, 16},
    {"log", th_log, log, 0x1p-149f, 0x1.fffffep127f},
    {"log10", th_log10, log10, 0, 0},
    {"log1p", th_log1p, log1p, 0, 0},
    {"log2", th_log2, log2, 0, 0},
    {"reciprocal", th_reciprocal, reciprocal, 0, 0},
    {"rsqrt", th_rsqrt, rsqrt, 0, 0},
    {"sigmoid", th_sigmoid, logistic, 0x1p-25f, 104},
    {"silu", th_silu, silu, 0, 0},
    {"sin", th_sin, sin, 0x1p-13f, 32768},
    {"sinh", th_sinh, sinh, 0, 0},
    {"softplus", th_softplus, softplus, 0, 0},
    {"sqrt", th_sqrt, sqrt, 0x1p-149f, 0x1.fffffep127f},
    {"tan", th_tan, tan, 0, 0},
    {"tanh", th_tanh, tanh, 0x1p-13f, 10},
};

typedef struct finding {
  double worst, at;             /* ulps, argument */
  double worst_small, at_small; /* of results below SMALL, in units of 2^-149 */
  int64_t
      wrong; /* NaN, infinite or of the wrong sign of zero where the exact result is not, or the reverse */
  double wrong_at;
  int64_t count;
} finding;

/* Of a float that large; exact is neither 0 nor denormal as a double. */
static double ulp_of(double exact) {
  uint64_t bits;
  memcpy(&bits, &exact, sizeof bits);
  bits = (bits & UINT64_C(0x7ff0000000000000)) - (UINT64_C(23) << 52);
  memcpy(&exact, &bits, sizeof bits);
  return exact;
}

static void compare(finding *f, double x, float y, double exact) {
  float nearest = (float)exact;
  bool wrong = isnan(exact) ? !isnan(y) : isnan(y);
  if (!wrong && exact == 0 && y == 0) wrong = !signbit(y) != !signbit(exact);
  if (!wrong && isinf(exact)) wrong = (double)y != exact;
  if (wrong && f->wrong++ == 0) f->wrong_at = x;
  if (wrong || isnan(exact) || isinf(exact)) return;
  /* What overflows is as far off as the next float would be. */
  double got = isinf(y) ? copysign(0x1p128, (double)y) : (double)y;
  if (isinf(nearest)) exact = copysign(fmin(fabs(exact), 0x1p128), exact);
  if (fabs(exact) < SMALL) {
    double small = fabs(got - exact) / 0x1p-149;
    if (small > f->worst_small) f->worst_small = small, f->at_small = x;
    return;
  }
  double error = fabs(got - exact) / ulp_of(exact);
  if (error > f->worst) f->worst = error, f->at = x;
}

static bool measure_piece(const function *f, const float *x, int64_t n, finding *found) {
  static float y[PIECE];
  th_array *a = th_from_host(x, &n, 1, TH_F32, th_cpu(0)), *b = f->ours(a);
  bool read = th_read(b, y, (size_t)n * sizeof *y) == TH_OK;
  for (int64_t i = 0; read && i < n; i++)
    compare(found, (double)x[i], y[i], f->exact((double)x[i]));
  found->count += n;
  th_release(a);
  th_release(b);
  return read;
}

/* Floats with bits first, first + step, ... up to last. */
static bool measure_range(const function *f, uint32_t first, uint32_t last, uint32_t step,
                          finding *found) {
  static float x[PIECE];
  int64_t n = 0;
  for (uint64_t bits = first; bits <= last; bits += step) {
    uint32_t low = (uint32_t)bits;
    memcpy(&x[n++], &low, sizeof low);
    if (n < PIECE && bits + step <= last) continue;
    if (!measure_piece(f, x, n, found)) return false;
    n = 0;
  }
  return true;
}

static bool measure(const function *f, bool all, finding *found) {
  if (!measure_range(f, 0, UINT32_MAX, STEP, found)) return false;
  if (!all || f->from == 0) return true;
  uint32_t from, to;
  memcpy(&from, &f->from, sizeof from);
  memcpy(&to, &f->to, sizeof to);
  return measure_range(f, from, to, 1, found) &&
         measure_range(f, from | 0x80000000, to | 0x80000000, 1, found);
}

static void print_row(const function *f, const finding *found, bool json) {
  if (json)
    printf("{\"bench\":\"accuracy\",\"case\":\"%s\",\"dtype\":\"f32\",\"ulp\":%.3f,\"at\":%.9g,"
           "\"small\":%.1f,\"wrong\":%lld,\"n\":%lld}\n",
           f->name, found->worst, found->at, found->worst_small, (long long)found->wrong,
           (long long)found->count);
  else
    printf("| %s | %.3f | %.9g | %.1f | %lld%s |\n", f->name, found->worst, found->at,
           found->worst_small, (long long)found->count, found->wrong ? " WRONG" : "");
  fflush(stdout);
}

int main(int argc, char **argv) {
  bool json = false, all = false, wrong = false;
  const char *only = NULL;
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--json") == 0)
      json = true;
    else if (strcmp(argv[i], "--all") == 0)
      all = true;
    else if (argv[i][0] != '-')
      only = argv[i];
    else {
      fprintf(stderr, "usage: accuracy [--json] [--all] [FUNCTION]\n");
      return 2;
    }
  }
  if (!json)
    printf("| function | worst ulp | at | below 1e-36, 2^-149 | floats |\n|---|---|---|---|---|\n");
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    finding found = {0};
    if (only && strcmp(only, functions[i].name) != 0) continue;
    if (!measure(&functions[i], all, &found)) {
      fprintf(stderr, "accuracy: %s\n", th_last_error());
      return 1;
    }
    print_row(&functions[i], &found, json);
    if (found.wrong)
      fprintf(stderr, "accuracy: %s is wrong at %.9g\n", functions[i].name, found.wrong_at);
    wrong = wrong || found.wrong;
  }
  return wrong;
}
