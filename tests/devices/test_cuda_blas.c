/* Products through cuBLAS: the fake one on the fake driver. What is tested is how row-major operands, transposes, strides and batches are
 * handed over, and that products are ordered on their lane. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <math.h>
#include <stdlib.h>

#include "ndarray/array.h"
#include "ndarray/dtype.h"
#include "support/fakedriver.h"
#include "thrum/thrum.h"

enum { M = 5, N = 7, K = 6, BATCH = 3, GAP = 2 }; /* rows are GAP elements longer than needed */

TestSuite(cuda_blas, .timeout = 60);

static void start(void) {
  const char *why = NULL;
  if (!fake_install(&why)) cr_skip_test("the fake driver cannot be loaded: %s", why);
  fake_begin(1);
  th_config config = {.size = sizeof config, .workers = 1};
  cr_assert(eq(int, th_init(&config), TH_OK), "%s", th_last_error());
}

static void stop(void) {
  th_status status = th_wait_all();
  cr_assert(eq(int, status, TH_OK), "%s", th_last_error());
  cr_assert(eq(int, th_shutdown(), TH_OK));
  const char *findings = fake_findings(true);
  cr_assert(findings[0] == 0, "%s", findings);
}

/* batch x rows x (columns + GAP) small numbers, in host memory as doubles. */
static double *make(int batch, int rows, int columns, uint64_t seed) {
  size_t n = (size_t)(batch * rows * (columns + GAP));
  double *a = malloc(n * sizeof *a);
  for (size_t i = 0; i < n; i++) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    a[i] = (double)((int)(seed >> 40) % 9 - 4);
  }
  return a;
}

static th_array *send(const double *values, int batch, int rows, int columns, th_dtype t) {
  th_array *d = th_from_host(values, TH_SHAPE(batch, rows, columns + GAP), TH_F64, th_cpu(0));
  th_array *c = th_astype(d, t), *result = th_copy_to(c, th_cuda(0));
  th_release(c);
  th_release(d);
  return result;
}

typedef struct gemm_arg {
  th_array *a, *b, *c;
  th__cuda_gemm_args args;
} gemm_arg;

static th_status gemm_body(void *arg, th_task_context *context) {
  gemm_arg *g = arg;
  g->args.a = th__array_data(g->a);
  g->args.b = th__array_data(g->b);
  g->args.c = th__array_data(g->c);
  return th__cuda_gemm(context, &g->args);
}

static void push(gemm_arg *g) {
  th_var *reads[] = {th_array_var(g->a), th_array_var(g->b), th_array_var(g->c)};
  th_task task = {.name = "gemm",
                  .run = gemm_body,
                  .arg = g,
                  .arg_size = sizeof *g,
                  .reads = reads,
                  .n_reads = 3,
                  .writes = &reads[2],
                  .n_writes = 1,
                  .device = th_cuda(0)};
  cr_assert(eq(int, th_push(&task), TH_OK), "%s", th_last_error());
}

static void check(const gemm_arg *g, const double *a, const double *b, const double *before) {
  const th__cuda_gemm_args *p = &g->args;
  th_array *host = th_copy_to(g->c, th_cpu(0)), *wide = th_astype(host, TH_F64);
  double out[BATCH * M * (N + GAP)];
  cr_assert(eq(int, th_read(wide, out, sizeof out), TH_OK), "%s", th_last_error());
  for (int z = 0; z < BATCH; z++)
    for (int i = 0; i < M; i++)
      for (int j = 0; j < N + GAP; j++) {
        double sum = 0;
        int at = (int)(z * p->stride_c + i * p->ldc + j);
        for (int k = 0; k < K && j < N; k++)
          sum += a[z * p->stride_a + (p->transpose_a ? k * p->lda + i : i * p->lda + k)] *
                 b[z * p->stride_b + (p->transpose_b ? j * p->ldb + k : k * p->ldb + j)];
        cr_assert(eq(dbl, out[at], j < N ? sum : before[at]), "type %d, [%d, %d, %d]",
                  (int)p->dtype, z, i, j);
      }
  th_release(wide);
  th_release(host);
}

Test(cuda_blas, transposes_strides_batches_types) {
  static const th_dtype types[] = {TH_F32, TH_F64, TH_F16, TH_BF16};
  start();
  for (int t = 0; t < 4; t++)
    for (int way = 0; way < 8; way++) {
      bool ta = way & 1, tb = way & 2, shared = way & 4; /* one B for all of the batch */
      int ra = ta ? K : M, ca = ta ? M : K, rb = tb ? N : K, cb = tb ? K : N;
      double *a = make(BATCH, ra, ca, 1), *b = make(BATCH, rb, cb, 2), *c = make(BATCH, M, N, 3);
      gemm_arg g = {send(a, BATCH, ra, ca, types[t]), send(b, BATCH, rb, cb, types[t]),
                    send(c, BATCH, M, N, types[t])};
      g.args = (th__cuda_gemm_args){.dtype = types[t],
                                    .m = M,
                                    .n = N,
                                    .k = K,
                                    .batch = BATCH,
                                    .transpose_a = ta,
                                    .transpose_b = tb,
                                    .lda = ca + GAP,
                                    .ldb = cb + GAP,
                                    .ldc = N + GAP,
                                    .stride_a = ra * (ca + GAP),
                                    .stride_b = shared ? 0 : rb * (cb + GAP),
                                    .stride_c = M * (N + GAP)};
      push(&g);
      check(&g, a, b, c);
      th_release(g.a);
      th_release(g.b);
      th_release(g.c);
      free(a);
      free(b);
      free(c);
    }
  stop();
}

Test(cuda_blas, other_types_are_refused) {
  start();
  th_array *a = th_zeros(TH_SHAPE(2, 2), TH_I32, th_cuda(0));
  gemm_arg g = {a, a, a, {.dtype = TH_I32, .m = 2, .n = 2, .k = 2, .batch = 1}};
  push(&g);
  cr_assert(eq(int, th_wait(a), TH_ENOSYS));
  cr_assert(eq(int, th_last_status(), TH_ENOSYS));
  th_release(a);
  th_status status = th_wait_all();
  (void)status;
  stop();
}
