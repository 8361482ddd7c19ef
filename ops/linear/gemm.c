/* Owns products by kernels of our own: which way one goes by its sizes and strides, and which processors have them. The nest is
 * that of BLIS turned by one: six rows of a stay in the first-level cache while panels of b stream from the second, so that a
 * is mostly read where it lies, and b as well where few rows use it. */
#include "ops/linear/gemm.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/atomic.h"
#include "ndarray/array.h"

#define AVX2 __attribute__((target("avx2,fma")))

enum {
  ROWS = 6,     /* of a tile */
  SLICE = 384,  /* of k at most: what a tile reads fits the first-level cache. Bits depend on it */
  SLIVERS = 8,  /* of six rows, packed together where the rows of a are neighbours in memory */
  DIRECT = 100, /* rows of a that use b where it lies: for more, copying it into panels pays */
  NEAR = 256 * 1024,  /* bytes of a that need no asking for */
  LEAST = 256 * 1024, /* bytes of panels */
  MOST = 1024 * 1024
};

/* Rows of the next tile: six, and the rest in even parts, because few rows do not hide the latency of sums. */
static int64_t next_rows(int64_t left) {
  if (left >= 12 || left == 11) return ROWS;
  return left > ROWS ? (left + 1) / 2 : left;
}

/* How many slivers of `left` rows are packed together. */
static int64_t slivers_ahead(const th__gemm_way *way, int64_t left) {
  int64_t whole = left >= 2 * ROWS ? left / ROWS - 1 : 1;
  return whole < way->slivers ? whole : way->slivers;
}

#define T            float
#define V            __m256
#define LANES        8
#define NAME(id)     id##_f32
#define LOAD(p)      _mm256_loadu_ps(p)
#define STORE(p, x)  _mm256_storeu_ps(p, x)
#define SPREAD(p)    _mm256_broadcast_ss(p)
#define FMA(x, y, z) _mm256_fmadd_ps(x, y, z)
#define ADD(x, y)    _mm256_add_ps(x, y)
#define ZERO()       _mm256_setzero_ps()
#include "ops/linear/gemm_tile.def"

#define T            double
#define V            __m256d
#define LANES        4
#define NAME(id)     id##_f64
#define LOAD(p)      _mm256_loadu_pd(p)
#define STORE(p, x)  _mm256_storeu_pd(p, x)
#define SPREAD(p)    _mm256_broadcast_sd(p)
#define FMA(x, y, z) _mm256_fmadd_pd(x, y, z)
#define ADD(x, y)    _mm256_add_pd(x, y)
#define ZERO()       _mm256_setzero_pd()
#include "ops/linear/gemm_tile.def"

static int64_t up(int64_t x, int64_t unit) { return (x + unit - 1) / unit * unit; }

/* Even parts of at most `most`, in units. */
static int64_t even_part(int64_t n, int64_t most, int64_t unit) {
  int64_t parts = (n + most - 1) / most;
  return parts > 1 ? up((n + parts - 1) / parts, unit) : n;
}

/* Bytes of panels: the second-level cache, asked for once. Relaxed: any thread finds the same. */
static int64_t panel_bytes(void) {
  static _Atomic int64_t known;
  int64_t bytes = th__load(&known, TH__RELAXED);
  if (bytes == 0) {
    bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
    bytes = bytes < LEAST ? LEAST : bytes > MOST ? MOST : bytes;
    th__store(&known, bytes, TH__RELAXED);
  }
  return bytes;
}

static th__gemm turned(const th__gemm *g) {
  th__gemm t = *g;
  t.m = g->n, t.n = g->m, t.a = g->b, t.b = g->a;
  t.a_row = g->b_col, t.a_col = g->b_row, t.b_row = g->a_col, t.b_col = g->a_row;
  t.c_row = g->c_col, t.c_col = g->c_row;
  t.bias_row = g->bias_col, t.bias_col = g->bias_row;
  return t;
}

/* Roughly the cycles of a product: vectors that are partly used, copies of b, c written by columns. */
static double cycles(const th__gemm *g, int size) {
  double width = 64 / size, rest = (double)(g->n % (64 / size));
  double panels = (double)(g->n * size / 64) + (rest == 0 ? 0 : rest <= width / 2 ? 0.67 : 1);
  double m = (double)g->m, n = (double)g->n, k = (double)g->k;
  double copy = g->b_col == 1 ? (g->m > DIRECT ? 0.25 : 0) : g->b_row == 1 ? 0.6 : 1.5;
  return panels * (m < 4 ? 4 : m) * k + copy * k * n + (g->c_col != 1 ? m * n : 0);
}

th__gemm_way th__gemm_way_of(const th__gemm *g, int size) {
  th__gemm t = turned(g);
  th__gemm_way w = {.turned = cycles(&t, size) < cycles(g, size)};
  if (!w.turned) t = *g;
  int64_t width = 64 / size;
  w.part_k = even_part(t.k, SLICE, 8);
  int64_t most = panel_bytes() / (w.part_k * size) / width * width;
  w.part_n = even_part(t.n, most, width);
  w.pack_b = t.b_col != 1 || t.m > DIRECT;
  w.pack_a = t.a_col != 1 && t.n > 64;
  w.slivers = !w.pack_a || t.a_row != 1 || t.m < 2 * ROWS ? 1 : t.m / ROWS - 1;
  if (w.slivers > SLIVERS) w.slivers = SLIVERS;
  w.fetch = t.a_col == 1 && t.m * t.k * size > NEAR;
  w.sliver =
      w.part_k * (w.pack_b ? up(w.part_n, width) : width); /* the last panel may be partial */
  w.scratch = up((w.sliver + (w.pack_a ? w.slivers * ROWS * w.part_k : 0)) * size, 64);
  return w;
}

void th__gemm_run(const th__gemm *g, const th__gemm_way *way, int size, void *scratch) {
  th__gemm t = way->turned ? turned(g) : *g;
  if (size == 4)
    product_f32(&t, way, scratch);
  else
    product_f64(&t, way, scratch);
}

/* With AVX-512 OpenBLAS's kernels are twice as wide as these. */
bool th__gemm_present(void) {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         !__builtin_cpu_supports("avx512f");
}

#else

bool th__gemm_present(void) { return false; }
th__gemm_way th__gemm_way_of(const th__gemm *g, int size) { return (th__gemm_way){0}; }
void th__gemm_run(const th__gemm *g, const th__gemm_way *way, int size, void *scratch) {}

#endif
