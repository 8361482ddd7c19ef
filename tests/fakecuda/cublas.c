/* The fake cuBLAS, on top of the fake driver: products by OpenBLAS, and by plain loops for halves. */
#include <cblas.h>
#include <stdlib.h>
#include <string.h>

#include "devices/cuda/blas.h"
#include "fakecuda/fakecuda.h"
#include "ndarray/half.h"

#define FAKE_PROTOTYPE(ours, theirs, parameters)                                                   \
  __attribute__((visibility("default"))) th__cublas_status theirs parameters;
TH__CUBLAS_FUNCTIONS(FAKE_PROTOTYPE)

struct cublasContext {
  th__cu_stream stream;
};

typedef struct product {
  bool turn_a, turn_b;
  int64_t m, n, k, lda, ldb, ldc, batch;
  long long stride_a, stride_b, stride_c;
  double alpha, beta;
  const char *a, *b;
  char *c;
  th__cublas_type type;
} product;

static int64_t size_of(th__cublas_type t) {
  return t == TH__CUBLAS_R_64F ? 8 : t == TH__CUBLAS_R_32F ? 4 : 2;
}

static float half_at(th__cublas_type t, const char *base, int64_t i) {
  const uint16_t *bits = (const uint16_t *)(const void *)base;
  return t == TH__CUBLAS_R_16F ? th__f16_to_float((th_f16){bits[i]})
                               : th__bf16_to_float((th_bf16){bits[i]});
}

static void multiply_halves(const product *p, const char *a, const char *b, char *c) {
  for (int64_t j = 0; j < p->n; j++)
    for (int64_t i = 0; i < p->m; i++) {
      float sum = 0;
      for (int64_t l = 0; l < p->k; l++)
        sum += half_at(p->type, a, p->turn_a ? i * p->lda + l : l * p->lda + i) *
               half_at(p->type, b, p->turn_b ? l * p->ldb + j : j * p->ldb + l);
      uint16_t *out = (uint16_t *)(void *)c + j * p->ldc + i;
      *out = p->type == TH__CUBLAS_R_16F ? th__f16_from_float(sum).bits
                                         : th__bf16_from_float(sum).bits;
    }
}

static void multiply(void *arg) {
  const product *p = arg;
  int64_t size = size_of(p->type);
  CBLAS_TRANSPOSE ta = p->turn_a ? CblasTrans : CblasNoTrans;
  CBLAS_TRANSPOSE tb = p->turn_b ? CblasTrans : CblasNoTrans;
  for (int64_t i = 0; i < p->batch; i++) {
    const char *a = p->a + i * p->stride_a * size, *b = p->b + i * p->stride_b * size;
    char *c = p->c + i * p->stride_c * size;
    if (p->type == TH__CUBLAS_R_64F)
      cblas_dgemm(CblasColMajor, ta, tb, (int)p->m, (int)p->n, (int)p->k, p->alpha,
                  (const double *)(const void *)a, (int)p->lda, (const double *)(const void *)b,
                  (int)p->ldb, p->beta, (double *)(void *)c, (int)p->ldc);
    else if (p->type == TH__CUBLAS_R_32F)
      cblas_sgemm(CblasColMajor, ta, tb, (int)p->m, (int)p->n, (int)p->k, (float)p->alpha,
                  (const float *)(const void *)a, (int)p->lda, (const float *)(const void *)b,
                  (int)p->ldb, (float)p->beta, (float *)(void *)c, (int)p->ldc);
    else
      multiply_halves(p, a, b, c);
  }
}

th__cublas_status cublasCreate_v2(th__cublas_handle *out) {
  *out = calloc(1, sizeof **out);
  return *out != NULL ? TH__CUBLAS_SUCCESS : TH__CUBLAS_ALLOC_FAILED;
}

th__cublas_status cublasDestroy_v2(th__cublas_handle handle) {
  free(handle);
  return TH__CUBLAS_SUCCESS;
}

th__cublas_status cublasSetStream_v2(th__cublas_handle handle, th__cu_stream stream) {
  handle->stream = stream;
  return TH__CUBLAS_SUCCESS;
}

th__cublas_status cublasSetMathMode(th__cublas_handle handle, th__cublas_math mode) {
  return mode == TH__CUBLAS_SUMS_AS_COMPUTED ? TH__CUBLAS_SUCCESS : 7;
}

th__cublas_status cublasSetWorkspace_v2(th__cublas_handle handle, void *block, size_t bytes) {
  return (uintptr_t)block % 256 == 0 ? TH__CUBLAS_SUCCESS : 7;
}

/* Bytes from the first element of an operand to its last: columns of `rows` elements. */
static int64_t extent(int64_t rows, int64_t columns, int64_t ld, int64_t batch, long long stride,
                      int64_t size) {
  if (rows == 0 || columns == 0 || batch == 0) return 0;
  return ((batch - 1) * stride + (columns - 1) * ld + rows) * size;
}

th__cublas_status cublasGemmStridedBatchedEx_64(
    th__cublas_handle handle, th__cublas_operation a_operation, th__cublas_operation b_operation,
    int64_t m, int64_t n, int64_t k, const void *alpha, const void *a, th__cublas_type a_type,
    int64_t lda, long long a_stride, const void *b, th__cublas_type b_type, int64_t ldb,
    long long b_stride, const void *beta, void *c, th__cublas_type c_type, int64_t ldc,
    long long c_stride, int64_t batch, th__cublas_compute compute, th__cublas_algorithm algorithm) {
  bool turn_a = a_operation != TH__CUBLAS_PLAIN, turn_b = b_operation != TH__CUBLAS_PLAIN;
  bool wide = compute == TH__CUBLAS_COMPUTE_64F;
  if (a_type != b_type || a_type != c_type || wide != (a_type == TH__CUBLAS_R_64F)) return 15;
  if (batch > 1 && (a_stride < 0 || b_stride < 0)) return 7; /* not documented */
  if (lda < (turn_a ? k : m) || ldb < (turn_b ? n : k) || ldc < m || m < 0 || n < 0 || k < 0)
    return 7;
  product p = {turn_a,   turn_b,   m,        n, k, lda, ldb, ldc, batch,
               a_stride, b_stride, c_stride, 0, 0, a,   b,   c,   a_type};
  p.alpha = wide ? *(const double *)alpha : (double)*(const float *)alpha;
  p.beta = wide ? *(const double *)beta : (double)*(const float *)beta;
  int64_t size = size_of(a_type);
  fake_range ranges[] = {{a, extent(turn_a ? k : m, turn_a ? m : k, lda, batch, a_stride, size), 0},
                         {b, extent(turn_b ? n : k, turn_b ? k : n, ldb, batch, b_stride, size), 0},
                         {c, extent(m, n, ldc, batch, c_stride, size), 1}};
  return fake_command(handle->stream, "gemm", multiply, &p, sizeof p, ranges, 3) == 0
             ? TH__CUBLAS_SUCCESS
             : 14;
}
