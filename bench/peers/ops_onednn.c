/* Products of f32 matrices by oneDNN, for the operators' benchmark: `ops-onednn WORKERS`. */
#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/ops_serve.h"

static struct {
  int64_t m, n, k, lda, ldb;
  char transposed[2];
  float *a, *b, *c;
} now;

static bool begin(const char *kind, const ops_spec *s, void *state) {
  if (strcmp(kind, "matmul") != 0 || s->n != 2 || s->in[0].ndim != 2 || s->in[1].ndim != 2 ||
      s->in[0].type != OPS_F32)
    return false;
  now.m = s->in[0].shape[0], now.k = s->in[0].shape[1], now.n = s->in[1].shape[1];
  now.lda = s->in[0].stored[1], now.ldb = s->in[1].stored[1];
  for (int i = 0; i < 2; i++) now.transposed[i] = s->in[i].transposed ? 'T' : 'N';
  now.a = ops_input_data(s, 0);
  now.b = ops_input_data(s, 1);
  now.c = calloc((size_t)(now.m * now.n), sizeof(float));
  return now.a && now.b && now.c;
}

static void run(void *state, long times) {
  for (long i = 0; i < times; i++)
    if (dnnl_sgemm(now.transposed[0], now.transposed[1], now.m, now.n, now.k, 1, now.a, now.lda,
                   now.b, now.ldb, 0, now.c, now.n) != dnnl_success)
      exit(1);
}

static void end(void *state) {
  free(now.a);
  free(now.b);
  free(now.c);
}

int main(int argc, char **argv) {
  char version[32];
  if (argc != 2) return 2;
  omp_set_num_threads(atoi(argv[1]));
  const dnnl_version_t *v = dnnl_version();
  snprintf(version, sizeof version, "%d.%d.%d", v->major, v->minor, v->patch);
  ops_impl impl = {"onednn", version, begin, run, end, NULL};
  return ops_serve(&impl);
}
