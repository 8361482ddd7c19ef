/* What the machine can do, for the operators' benchmark: `ops-native VARIANT WORKERS`.
 *   plain      add, multiply and relu as the compiler makes the loop
 *   streaming  the same, storing past the caches
 *   openblas   products of two matrices
 *   core       only says which processor OpenBLAS takes this one for
 * Threads are started once and spin between loops, so that their wake-up is not measured; left alone they sleep. */
#include <cblas.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "common/ops_serve.h"

enum { THREADS = 64, ADD = 0, MULTIPLY, RELU, MATMUL };

typedef struct work {
  int kind;
  bool streaming;
  int64_t n;
  const float *a, *b;
  float *c;
  int64_t rows, columns, inner;
  bool transposed[2], wide;
  void *data[3];
} work;

static work now;
static int workers;

/* --- loops over a part of the elements --- */

#if defined(__x86_64__) && !defined(__clang__)
#define CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define CLONES
#endif

CLONES static void plain(int kind, const float *restrict a, const float *restrict b,
                         float *restrict c, int64_t n) {
  if (kind == ADD)
    for (int64_t i = 0; i < n; i++) c[i] = a[i] + b[i];
  else if (kind == MULTIPLY)
    for (int64_t i = 0; i < n; i++) c[i] = a[i] * b[i];
  else
    for (int64_t i = 0; i < n; i++) c[i] = a[i] < 0 ? 0 : a[i];
}

#if defined(__x86_64__)
/* Parts begin at multiples of 64 bytes. */
__attribute__((target("avx"))) static void streaming(int kind, const float *a, const float *b,
                                                     float *c, int64_t n) {
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    __m256 x = _mm256_loadu_ps(a + i),
           y = kind == RELU ? _mm256_setzero_ps() : _mm256_loadu_ps(b + i);
    __m256 z = kind == ADD        ? _mm256_add_ps(x, y)
               : kind == MULTIPLY ? _mm256_mul_ps(x, y)
                                  : _mm256_max_ps(x, y);
    _mm256_stream_ps(c + i, z);
  }
  plain(kind, a + i, kind == RELU ? NULL : b + i, c + i, n - i);
  _mm_sfence();
}
#define HAS_STREAMING 1
#else
#define streaming     plain
#define HAS_STREAMING 0
#endif

static void part(int t) {
  int64_t first = now.n * t / workers / 16 * 16, last = now.n * (t + 1) / workers / 16 * 16;
  if (t == workers - 1) last = now.n;
  (now.streaming ? streaming : plain)(now.kind, now.a + first, now.b ? now.b + first : NULL,
                                      now.c + first, last - first);
}

/* --- threads: `turn` counts up to start a loop, `done` counts who is through --- */

static atomic_long turn;
static atomic_int done;

/* Between two readings it must not take a core from the others. */
enum { idle_looks = 1000000 };

static void *thread(void *arg) {
  int t = (int)(intptr_t)arg;
  for (long seen = 0;; seen++) {
    for (long looks = 0; atomic_load_explicit(&turn, memory_order_acquire) == seen; looks++)
      if (looks > idle_looks) nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    part(t);
    atomic_fetch_add_explicit(&done, 1, memory_order_release);
  }
  return NULL;
}

static void loop_once(void) {
  atomic_store_explicit(&done, 0, memory_order_relaxed);
  atomic_fetch_add_explicit(&turn, 1, memory_order_release);
  part(0);
  while (atomic_load_explicit(&done, memory_order_acquire) < workers - 1) {
  }
}

/* --- products --- */

static void product(void) {
  CBLAS_TRANSPOSE ta = now.transposed[0] ? CblasTrans : CblasNoTrans,
                  tb = now.transposed[1] ? CblasTrans : CblasNoTrans;
  blasint m = (blasint)now.rows, n = (blasint)now.columns, k = (blasint)now.inner;
  blasint lda = now.transposed[0] ? m : k, ldb = now.transposed[1] ? k : n;
  if (now.wide)
    cblas_dgemm(CblasRowMajor, ta, tb, m, n, k, 1, now.data[0], lda, now.data[1], ldb, 0,
                now.data[2], n);
  else
    cblas_sgemm(CblasRowMajor, ta, tb, m, n, k, 1, now.data[0], lda, now.data[1], ldb, 0,
                now.data[2], n);
}

/* --- serving --- */

static const char *variant;

static bool elementwise(const ops_spec *s) {
  for (int i = 0; i < s->n; i++)
    if (s->in[i].type != OPS_F32 || s->in[i].strided || s->in[i].transposed ||
        s->in[i].elements != s->in[0].elements)
      return false;
  return true;
}

/* Aligned for streaming stores. */
static void *copied(const ops_spec *s, int i) {
  size_t bytes = (size_t)s->in[i].elements * (s->in[i].type == OPS_F32 ? 4 : 8);
  void *data = ops_input_data(s, i), *out = aligned_alloc(64, (bytes + 63) / 64 * 64);
  memcpy(out, data, bytes);
  free(data);
  return out;
}

static bool begin(const char *kind, const ops_spec *s, void *state) {
  static const char *const kinds[] = {"add", "multiply", "relu", "matmul"};
  int which = 0;
  while (which < 4 && strcmp(kind, kinds[which]) != 0) which++;
  bool blas = strcmp(variant, "openblas") == 0;
  if (which == 4 || blas != (which == MATMUL)) return false;
  if (strcmp(variant, "streaming") == 0 && !HAS_STREAMING) return false;
  if (blas ? s->n != 2 || s->in[0].ndim != 2 || s->in[1].ndim != 2 : !elementwise(s)) return false;
  memset(&now, 0, sizeof now);
  now.kind = which;
  now.streaming = strcmp(variant, "streaming") == 0;
  for (int i = 0; i < s->n; i++) now.data[i] = copied(s, i);
  now.n = s->in[0].elements;
  now.a = now.data[0];
  now.b = now.data[1];
  if (blas) {
    now.rows = s->in[0].shape[0], now.inner = s->in[0].shape[1], now.columns = s->in[1].shape[1];
    now.wide = s->in[0].type == OPS_F64;
    for (int i = 0; i < 2; i++) now.transposed[i] = s->in[i].transposed;
  }
  size_t bytes = (size_t)(blas ? now.rows * now.columns * 8 : now.n * 4);
  now.data[2] = aligned_alloc(64, (bytes + 63) / 64 * 64);
  memset(now.data[2], 0, bytes);
  now.c = now.data[2];
  return true;
}

static void run(void *state, long times) {
  for (long i = 0; i < times; i++) now.kind == MATMUL ? product() : loop_once();
}

static void end(void *state) {
  for (int i = 0; i < 3; i++) free(now.data[i]);
}

int main(int argc, char **argv) {
  if (argc != 3 || (workers = atoi(argv[2])) < 1 || workers > THREADS) return 2;
  variant = argv[1];
  if (strcmp(variant, "core") == 0) return puts(openblas_get_corename()) < 0;
  openblas_set_num_threads(strcmp(variant, "openblas") == 0 ? workers : 1);
  for (int t = 1; t < workers && strcmp(variant, "openblas") != 0; t++) {
    pthread_t id;
    if (pthread_create(&id, NULL, thread, (void *)(intptr_t)t) != 0) return 1;
  }
  ops_impl impl = {variant, strcmp(variant, "openblas") == 0 ? openblas_get_corename() : "",
                   begin,   run,
                   end,     NULL};
  return ops_serve(&impl);
}
