/* What the element types can hold, and what happens when they cannot: integers wrap, floats give infinity or NaN. */
#include <math.h>
#include <string.h>

#include "common/demo.h"

/* The extreme integers that a double cannot hold exactly. */
static const int64_t i64_max = INT64_MAX;

typedef struct row {
  th_dtype type;
  double start; /* of one element */
  char op;      /* + * / */
  double by;
  double wanted;
} row;

static const row rows[] = {
    {TH_U8, 250, '+', 10, 4},
    {TH_U16, 65535, '+', 1, 0},
    {TH_U32, 4294967295.0, '+', 1, 0},
    {TH_I8, 127, '+', 1, -128},
    {TH_I16, 32767, '+', 1, -32768},
    {TH_I32, -2147483648.0, '+', -1, 2147483647},
    {TH_F16, 65504, '+', 16, (double)INFINITY},
    {TH_BF16, 256, '+', 1, 256},
    {TH_F32, 16777216, '+', 1, 16777216},
    {TH_F32, 3e38, '*', 10, (double)INFINITY},
    {TH_F32, 0, '/', 0, (double)NAN},
    {TH_F64, 1e308, '*', 10, (double)INFINITY},
    {TH_F64, -1, '/', 0, -(double)INFINITY},
};

static bool same(double a, double b) { return (isnan(a) && isnan(b)) || a == b; }

static double compute(const row *r, th_device device) {
  th_scope scope = th_scope_begin();
  th_array *x = DEMO_MAKE(th_full(TH_SHAPE(1), r->start, r->type, device));
  th_array *y = DEMO_MAKE(th_full(TH_SHAPE(1), r->by, r->type, device));
  th_array *z = r->op == '+' ? th_add(x, y) : r->op == '*' ? th_multiply(x, y) : th_divide(x, y);
  double value = demo_item(DEMO_MAKE(z));
  th_scope_end(scope);
  return value;
}

static void overflow(void) {
  puts("overflow, on cpu:0 and cpu:1");
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    const row *r = &rows[i];
    double first = compute(r, th_cpu(0)), second = compute(r, th_cpu(1));
    demo_check(same(first, r->wanted) && same(second, r->wanted), "%-4s %13.10g %c %-3g = %.10g",
               th_dtype_name(r->type), r->start, r->op, r->by, isnan(first) ? (double)NAN : first);
  }
  th_array *x = DEMO_MAKE(th_from_host(&i64_max, TH_SHAPE(1), TH_I64, th_cpu(0)));
  DEMO_TRY(th_add_scalar_inplace(x, 1));
  int64_t wrapped = 0;
  DEMO_TRY(th_read(x, &wrapped, sizeof wrapped));
  demo_check(wrapped == INT64_MIN, "i64  %lld + 1 = %lld", (long long)i64_max, (long long)wrapped);
  th_release(x);
}

static void bytes(void) {
  puts("bytes of 1024 elements");
#define X(upper, lower, type, size, kind) TH_##upper,
  const th_dtype types[] = {TH_DTYPE_MAP(X)};
#undef X
  for (int i = 0; i < TH_DTYPE_COUNT; i++) {
    th_memory_info before, after;
    DEMO_TRY(th_wait_all());
    DEMO_TRY(th_memory_get(th_cpu(0), &before));
    th_array *a = DEMO_MAKE(th_zeros(TH_SHAPE(1024), types[i], th_cpu(0)));
    DEMO_TRY(th_wait(a));
    DEMO_TRY(th_memory_get(th_cpu(0), &after));
    long long live = (long long)(after.live - before.live);
    demo_check(live >= 1024LL * (long long)th_dtype_size(types[i]), "%-4s %lld",
               th_dtype_name(types[i]), live);
    th_release(a);
  }
}

/* 1 / (1 + e^-x): stays inside (0, 1), without overflow on the way. */
static void sigmoid(void) {
  puts("sigmoid of f32");
  const float in[3] = {0, 100, -100};
  float out[3];
  th_array *x = DEMO_MAKE(th_from_host(in, TH_SHAPE(3), TH_F32, th_cpu(0)));
  th_array *y = DEMO_MAKE(th_sigmoid(x));
  DEMO_TRY(th_read(y, out, sizeof out));
  demo_check(out[0] == 0.5f, "sigmoid(0) = %g", (double)out[0]);
  demo_check(out[1] == 1, "sigmoid(100) = %g", (double)out[1]);
  demo_check(out[2] > 3.5e-44f && out[2] < 4e-44f, "sigmoid(-100) = %.3g", (double)out[2]);
  th_release(y);
  th_release(x);
}

/* Half-precision sums are accumulated in f32. */
static void half_sums(void) {
  puts("sums of f16");
  const struct {
    int64_t n;
    bool mean;
    double wanted;
  } cases[] = {{4096, false, 4096}, {70000, true, 1}};
  for (int i = 0; i < 2; i++) {
    th_scope scope = th_scope_begin();
    th_array *ones = DEMO_MAKE(th_ones(TH_SHAPE(cases[i].n), TH_F16, th_cpu(0)));
    th_array *r = cases[i].mean ? th_mean(ones, NULL, 0, false) : th_sum(ones, NULL, 0, false);
    double value = demo_item(DEMO_MAKE(r));
    demo_check(value == cases[i].wanted, "%s of %lld ones = %g", cases[i].mean ? "mean" : "sum",
               (long long)cases[i].n, value);
    th_scope_end(scope);
  }
}

int main(int argc, char **argv) {
  demo_options(argc, argv, "Prints what each element type does at its limits.", NULL, 0);
  DEMO_TRY(th_cpu_split(2, 1));
  overflow();
  bytes();
  sigmoid();
  half_sums();
  return demo_finish();
}
