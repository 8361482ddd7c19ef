/* One large product: how long the call takes, how long the product, and whether its first element is right. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/demo.h"

/* tf32 is f32 whose products a GPU may round to 10 bits; the engine is told at its start. error: of a result, relative to the sum of
 * the absolute values of what was added up. */
static const struct {
  const char *name;
  th_dtype type;
  bool tf32;
  double error;
} types[] = {{"f32", TH_F32, false, 1e-5},
             {"tf32", TH_F32, true, 2e-3},
             {"bf16", TH_BF16, false, 1e-2},
             {"f64", TH_F64, false, 1e-13}};
enum { TYPES = sizeof types / sizeof *types };

/* A row or column of a matrix as doubles of the host; free() it. */
static double *line(th_array *a, const char *spec) {
  th_scope scope = th_scope_begin();
  th_array *part = th_astype(DEMO_MAKE(th_slice(a, spec)), TH_F64);
  size_t bytes = (size_t)th_array_size(DEMO_MAKE(part)) * sizeof(double);
  double *out = malloc(bytes);
  if (!out) demo_die("out of memory");
  DEMO_TRY(th_read(part, out, bytes));
  th_scope_end(scope);
  return out;
}

/* Z[0,0] is row 0 of A times column 0 of B. */
static void check_corner(th_array *a, th_array *b, th_array *z, double error) {
  double *row = line(a, "0, :"), *column = line(b, ":, 0"), *corner = line(z, "0, 0");
  double wanted = 0, size = 0;
  for (int64_t i = 0; i < th_array_shape(a)[1]; i++) {
    wanted += row[i] * column[i];
    size += fabs(row[i] * column[i]);
  }
  demo_check_near("Z[0,0]", *corner, wanted, error * size);
  free(row);
  free(column);
  free(corner);
}

/* What is done only once, per lane of a GPU, is done before anything is timed. */
static void warm_up(th_dtype type, th_device device) {
  th_array *a = DEMO_MAKE(th_ones(TH_SHAPE(16, 16), type, device));
  for (int i = 0; i < 16; i++) th_release(DEMO_MAKE(th_matmul(a, a)));
  DEMO_TRY(th_wait_all());
  th_release(a);
}

static void multiply(int64_t n, int t, th_device device) {
  warm_up(types[t].type, device);
  th_array *a = DEMO_MAKE(th_uniform(NULL, TH_SHAPE(n, n), -1, 1, types[t].type, device));
  th_array *b = DEMO_MAKE(th_uniform(NULL, TH_SHAPE(n, n), -1, 1, types[t].type, device));
  DEMO_TRY(th_wait_all());
  double begin = demo_seconds();
  th_array *z = DEMO_MAKE(th_matmul(a, b));
  double enqueued = demo_seconds() - begin;
  DEMO_TRY(th_wait(z));
  double finished = demo_seconds() - begin;
  printf("enqueued after %.1f us, finished after %.3f ms: %.4g TFLOP/s\n", enqueued * 1e6,
         finished * 1e3, 2e-12 * (double)n * (double)n * (double)n / finished);
  check_corner(a, b, z, types[t].error);
  th_release(a);
  th_release(b);
  th_release(z);
}

int main(int argc, char **argv) {
  long n = 1024;
  const char *dtype = "f32", *name = "cpu:0";
  const demo_option options[] = {
      {"n", "rows and columns of the matrices", .integer = &n},
      {"dtype", "f32, tf32, bf16 or f64", .text = &dtype},
      {"device", "where they are multiplied: cpu:0, cuda:0", .text = &name},
  };
  DEMO_OPTIONS(argc, argv, "Multiplies two random square matrices.", options);
  if (n < 1 || n > 100000) demo_die("--n must be from 1 to 100000");
  int t = 0;
  while (t < TYPES && strcmp(dtype, types[t].name) != 0) t++;
  if (t == TYPES) demo_die("--dtype must be f32, tf32, bf16 or f64");
  DEMO_TRY(th_init(&(th_config){.size = sizeof(th_config), .tf32 = types[t].tf32}));
  th_device device = demo_device(name);
  printf("Z = A B, %ld x %ld of %s on %s\n", n, n, dtype, name);
  multiply(n, t, device);
  return demo_finish();
}
