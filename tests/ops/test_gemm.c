#include "ops/linear/gemm.h"

#include "tests/ops/values.h"

TestSuite(ops_gemm, .timeout = 60);

/* Kernels run wherever the processor can, also where others are quicker. */
static bool can_run(void) {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
  return th__gemm_present();
#endif
}

static uint64_t state = 88172645463325252u;

static int64_t random_below(int64_t n) {
  state ^= state << 13, state ^= state >> 7, state ^= state << 17;
  return (int64_t)(state % (uint64_t)n);
}

/* A matrix somewhere in memory whose other elements are NaN: what is read beyond it shows. */
typedef struct matrix {
  int64_t rows, columns, row, column;
  char *memory, *data;
  size_t bytes;
} matrix;

static double get(const matrix *m, int size, int64_t i, int64_t j) {
  const char *at = m->data + (i * m->row + j * m->column) * size;
  return size == 4 ? (double)*(const float *)(const void *)at : *(const double *)(const void *)at;
}

static void set(const matrix *m, int size, int64_t i, int64_t j, double x) {
  char *at = m->data + (i * m->row + j * m->column) * size;
  if (size == 4)
    *(float *)(void *)at = (float)x;
  else
    *(double *)(void *)at = x;
}

/* kind 0: by rows, 1: by columns, both with gaps if `gap`; 2: both stepped; 3: reversed; 4: one row for all. */
static matrix make(int kind, int64_t rows, int64_t columns, int64_t gap, int size) {
  matrix m = {.rows = rows, .columns = columns};
  int64_t step = kind == 2 ? 3 : 1;
  m.row = kind == 1 ? step : (columns + gap) * step;
  m.column = kind == 1 ? (rows + gap) * step : step;
  m.bytes = (size_t)((rows + gap) * (columns + gap) * step * step * size);
  m.memory = malloc(m.bytes);
  memset(m.memory, 0xff, m.bytes);
  m.data = m.memory;
  if (kind == 3) {
    m.data += ((rows - 1) * m.row + (columns - 1) * m.column) * size;
    m.row = -m.row;
    m.column = -m.column;
  }
  if (kind == 4) m.row = 0;
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < columns; j++)
      set(&m, size, i, j, (double)random_below(2001) / 1000 - 1);
  return m;
}

static th__gemm product_of(const matrix *a, const matrix *b, const matrix *c, bool add) {
  return (th__gemm){a->rows,   b->columns, a->columns, a->data, b->data,   c->data, a->row,
                    a->column, b->row,     b->column,  c->row,  c->column, add};
}

static void run(const th__gemm *g, int size) {
  th__gemm_way way = th__gemm_way_of(g, size);
  char *scratch = aligned_alloc(64, (size_t)way.scratch + 64);
  memset(scratch, 0xff, (size_t)way.scratch + 64);
  th__gemm_run(g, &way, size, scratch);
  for (int64_t i = way.scratch; i < way.scratch + 64; i++)
    cr_assert(scratch[i] == (char)0xff, "wrote beyond its scratch");
  free(scratch);
}

static void check(const matrix *a, const matrix *b, const matrix *c, const matrix *before, int size,
                  const char *what) {
  double unit = size == 4 ? 6e-8 : 1.2e-16;
  for (int64_t i = 0; i < a->rows; i++)
    for (int64_t j = 0; j < b->columns; j++) {
      double sum = before != NULL ? get(before, size, i, j) : 0, most = fabs(sum) + 1;
      for (int64_t p = 0; p < a->columns; p++) {
        double x = get(a, size, i, p) * get(b, size, p, j);
        sum += x, most += fabs(x);
      }
      double error = fabs(get(c, size, i, j) - sum);
      cr_assert(error <= unit * most * 30, "%s: (%d, %d) is off by %g", what, (int)i, (int)j,
                error);
    }
}

/* Elements beside c keep what they were. */
static void check_rest(const matrix *c, int size, const char *what) {
  for (int64_t i = 0; i < c->rows; i++)
    for (int64_t j = 0; j < c->columns; j++) {
      char *at = c->data + (i * c->row + j * c->column) * size;
      memset(at, 0xff, (size_t)size);
    }
  for (size_t i = 0; i < c->bytes; i++)
    cr_assert(c->memory[i] == (char)0xff, "%s: wrote beside c", what);
}

static int64_t some_size(void) {
  static const int64_t sizes[] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  11, 12, 13,  16,
                                  17, 23, 31, 32, 33, 47, 48, 49, 64, 65, 97, 131, 200};
  return sizes[random_below(sizeof sizes / sizeof *sizes)];
}

Test(ops_gemm, random_sizes_and_strides_agree_with_plain_loops) {
  if (!can_run()) return;
  for (int round = 0; round < 1500; round++) {
    int size = round % 2 == 0 ? 4 : 8;
    int64_t m = some_size(), n = some_size(), k = some_size();
    if (round % 50 == 0) k += 700; /* several slices */
    bool add = random_below(2) != 0, biased = !add && random_below(2) != 0;
    int kind_a = (int)random_below(5), kind_b = (int)random_below(5);
    matrix a = make(kind_a, m, k, random_below(20), size);
    matrix b = make(kind_b, k, n, random_below(20), size);
    matrix c = make((int)random_below(2), m, n, random_below(9), size), before = c;
    before.memory = malloc(c.bytes);
    memcpy(before.memory, c.memory, c.bytes);
    before.data = before.memory;
    matrix bias = make(4, m, n, 0, size); /* one row for all */
    th__gemm g = product_of(&a, &b, &c, add);
    if (biased) g.bias = bias.data, g.bias_row = bias.row, g.bias_col = bias.column;
    run(&g, size);
    char what[128];
    snprintf(what, sizeof what, "%d x %d x %d of %d bytes, kinds %d and %d%s", (int)m, (int)n,
             (int)k, size, kind_a, kind_b,
             add      ? ", added"
             : biased ? ", to a bias"
                      : "");
    check(&a, &b, &c, add ? &before : biased ? &bias : NULL, size, what);
    check_rest(&c, size, what);
    matrix all[] = {a, b, c, before, bias};
    for (int i = 0; i < 5; i++) free(all[i].memory);
  }
}

/* The same elements, laid out anew by rows or columns. */
static matrix copied(const matrix *m, int kind, int64_t gap, int size) {
  matrix to = make(kind, m->rows, m->columns, gap, size);
  for (int64_t i = 0; i < m->rows; i++)
    for (int64_t j = 0; j < m->columns; j++) set(&to, size, i, j, get(m, size, i, j));
  return to;
}

static void check_bits(const matrix *x, const matrix *y, int size, const char *what) {
  for (int64_t i = 0; i < x->rows; i++)
    for (int64_t j = 0; j < x->columns; j++) {
      double u = get(x, size, i, j), v = get(y, size, i, j);
      cr_assert(memcmp(&u, &v, sizeof u) == 0, "%s: (%d, %d) has other bits", what, (int)i, (int)j);
    }
}

Test(ops_gemm, bits_depend_on_neither_layouts_nor_parts) {
  if (!can_run()) return;
  const int64_t sizes[][3] = {
      {70, 90, 500}, {10, 130, 64}, {130, 10, 64}, {33, 33, 33}, {7, 5, 900}};
  for (int s = 0; s < 5; s++)
    for (int size = 4; size <= 8; size += 4) {
      int64_t m = sizes[s][0], n = sizes[s][1], k = sizes[s][2];
      matrix a = make(0, m, k, 0, size), b = make(0, k, n, 0, size), first = make(0, m, n, 0, size);
      th__gemm g = product_of(&a, &b, &first, false);
      run(&g, size);
      for (int kinds = 0; kinds < 8; kinds++) {
        matrix x = copied(&a, kinds & 1, 3, size), y = copied(&b, kinds >> 1 & 1, 5, size);
        matrix c = make(kinds >> 2, m, n, 1, size);
        g = product_of(&x, &y, &c, false);
        run(&g, size);
        check_bits(&first, &c, size, "another layout");
        for (int64_t i = 0; i < m; i += 4) /* in strips of four rows */
          for (int64_t j = 0; j < n; j += 24) {
            th__gemm part = g;
            part.m = m - i < 4 ? m - i : 4, part.n = n - j < 24 ? n - j : 24;
            part.a = x.data + i * x.row * size;
            part.b = y.data + j * y.column * size;
            part.c = c.data + (i * c.row + j * c.column) * size;
            run(&part, size);
          }
        check_bits(&first, &c, size, "in parts");
        matrix all[] = {x, y, c};
        for (int i = 0; i < 3; i++) free(all[i].memory);
      }
      matrix all[] = {a, b, first};
      for (int i = 0; i < 3; i++) free(all[i].memory);
    }
}

Test(ops_gemm, nan_and_infinity_reach_their_row_and_column_only) {
  if (!can_run()) return;
  for (int size = 4; size <= 8; size += 4)
    for (int kinds = 0; kinds < 8; kinds++) {
      matrix a = make(kinds & 1, 61, 70, 0, size), b = make(kinds >> 1 & 1, 70, 53, 0, size);
      matrix c = make(kinds >> 2, 61, 53, 0, size);
      set(&a, size, 17, 33, (double)NAN);
      set(&b, size, 5, 52, (double)INFINITY);
      th__gemm g = product_of(&a, &b, &c, false);
      run(&g, size);
      for (int64_t i = 0; i < 61; i++)
        for (int64_t j = 0; j < 53; j++) {
          double x = get(&c, size, i, j), factor = get(&a, size, i, 5);
          if (i == 17 || (j == 52 && factor == 0))
            cr_assert(isnan(x), "(%d, %d) is %g", (int)i, (int)j, x);
          else if (j == 52)
            cr_assert(isinf(x) && (x > 0) == (factor > 0), "(%d, %d) is %g", (int)i, (int)j, x);
          else
            cr_assert(isfinite(x), "(%d, %d) is %g", (int)i, (int)j, x);
        }
      matrix all[] = {a, b, c};
      for (int i = 0; i < 3; i++) free(all[i].memory);
    }
}
