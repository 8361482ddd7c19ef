/* Tiles of a product by AVX2 and the walk over them, included by gemm.c once for each type: T is the element, V a vector of
 * LANES elements; LOAD, STORE, SPREAD, FMA, ADD and ZERO are the instructions. An element of c is one chain of fused
 * multiplications for each slice of k, so its bits depend on neither tiles nor packing. */

/* out (rows x vectors) = [out +] a b; rows of b are read whole. rows and vectors are constants where this is called, so that
 * all sums stay in registers: twelve are in use of six rows, and as many fused multiplications hide their latency. */
static inline __attribute__((always_inline)) AVX2 void NAME(body)(int rows, int vectors, int64_t k,
                                                                  const T *a, int64_t a_row,
                                                                  int64_t a_col, const T *b,
                                                                  int64_t b_row, T *out,
                                                                  int64_t out_row, bool add) {
  V sum[ROWS][2];
  const T *a3 = a + 3 * a_row; /* two bases and twice the stride reach all rows */
#pragma GCC unroll 6
  for (int i = 0; i < rows; i++) __builtin_prefetch(out + i * out_row, 1);
#pragma GCC unroll 6
  for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
    for (int v = 0; v < vectors; v++) sum[i][v] = ZERO();
#pragma GCC unroll 4
  for (int64_t p = 0; p < k; p++, a += a_col, a3 += a_col, b += b_row) {
    V y[2];
#pragma GCC unroll 2
    for (int v = 0; v < vectors; v++) y[v] = LOAD(b + v * LANES);
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++) {
      V x = SPREAD(i < 3 ? a + i * a_row : a3 + (i - 3) * a_row);
#pragma GCC unroll 2
      for (int v = 0; v < vectors; v++) sum[i][v] = FMA(x, y[v], sum[i][v]);
    }
  }
#pragma GCC unroll 6
  for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
    for (int v = 0; v < vectors; v++) {
      T *to = out + i * out_row + v * LANES;
      STORE(to, add ? ADD(LOAD(to), sum[i][v]) : sum[i][v]);
    }
}

#define TILE(rows, vectors)                                                                        \
  static AVX2 void NAME(tile_##rows##_##vectors)(int64_t k, const T *a, int64_t a_row,             \
                                                 int64_t a_col, const T *b, int64_t b_row, T *out, \
                                                 int64_t out_row, bool add) {                      \
    NAME(body)(rows, vectors, k, a, a_row, a_col, b, b_row, out, out_row, add);                    \
  }
#define TILES(vectors)                                                                             \
  TILE(1, vectors)                                                                                 \
  TILE(2, vectors)                                                                                 \
  TILE(3, vectors) TILE(4, vectors) TILE(5, vectors) TILE(6, vectors)
TILES(1)
TILES(2)
typedef void (*NAME(tile))(int64_t k, const T *a, int64_t a_row, int64_t a_col, const T *b,
                           int64_t b_row, T *out, int64_t out_row, bool add);
#define ALL(vectors)                                                                               \
  {                                                                                                \
    NAME(tile_1_##vectors), NAME(tile_2_##vectors), NAME(tile_3_##vectors),                        \
        NAME(tile_4_##vectors), NAME(tile_5_##vectors), NAME(tile_6_##vectors)                     \
  }
static const NAME(tile) NAME(tiles)[2][ROWS] = {ALL(1), ALL(2)};

/* A tile that c cannot take as it is: columns beyond the edge, or c by columns. */
static AVX2 void NAME(put)(const T *tile, int64_t rows, int64_t columns, T *c, int64_t c_row,
                           int64_t c_col, bool add) {
  if (c_col == 1) {
    for (int64_t i = 0; i < rows; i++, tile += 2 * LANES, c += c_row)
      for (int64_t j = 0; j < columns; j++) c[j] = add ? c[j] + tile[j] : tile[j];
    return;
  }
  for (int64_t j = 0; j < columns; j++, tile++, c += c_col)
    for (int64_t i = 0; i < rows; i++)
      c[i] = add ? c[i] + tile[i * 2 * LANES] : tile[i * 2 * LANES];
}

/* Panels of 2 LANES columns: b (k, n) to [panel][k][2 LANES], columns beyond n zero. */
static AVX2 void NAME(pack_b)(const th__gemm *g, const T *b, int64_t k, int64_t n, T *to) {
  enum { W = 2 * LANES };
  for (int64_t j = 0; j < n; j += W, to += k * W) {
    const T *from = b + j * g->b_col;
    int64_t columns = n - j < W ? n - j : W;
    if (columns < W) memset(to, 0, (size_t)(k * W) * sizeof(T));
    int64_t done = 0;
    if (g->b_row == 1 && columns == W) {
      done = k / W * W;
      th__turn(sizeof(T), from, g->b_col * (int64_t)sizeof(T), to, W * sizeof(T), W, done);
    } else if (g->b_col == 1 && columns == W) {
      for (; done < k; done++) {
        STORE(to + done * W, LOAD(from + done * g->b_row));
        STORE(to + done * W + LANES, LOAD(from + done * g->b_row + LANES));
      }
    }
    for (; done < k; done++)
      for (int64_t q = 0; q < columns; q++) to[done * W + q] = from[done * g->b_row + q * g->b_col];
  }
}

/* a (rows, k) to [k][rows]. */
static AVX2 void NAME(pack_a)(const T *a, int64_t a_row, int64_t a_col, int64_t rows, int64_t k,
                              T *to) {
  if (rows == 6 && a_row == 1) {
    for (int64_t p = 0; p < k; p++) memcpy(to + p * 6, a + p * a_col, 6 * sizeof(T));
    return;
  }
  for (int64_t p = 0; p < k; p++)
    for (int64_t i = 0; i < rows; i++) to[p * rows + i] = a[i * a_row + p * a_col];
}

/* One slice of k and n: where b lies for its tiles. */
typedef struct NAME(panels) {
  int64_t k, n, whole; /* columns before the panel that stands apart */
  const T *b, *last;
  int64_t step, b_row, last_row; /* between panels, rows in a panel */
} NAME(panels);

/* Asks for a part of the rows that come next, tile j of `tiles`: else each tile of the first column would wait for memory. */
static inline void NAME(fetch)(const T *next, int64_t a_row, int64_t rows, int64_t k, int64_t j,
                               int64_t tiles) {
  enum { LINE = 64 / sizeof(T) };
  int64_t lines = (k + LINE - 1) / LINE + 1, from = lines * j / tiles, to = lines * (j + 1) / tiles;
  for (int64_t l = from; l < to; l++)
    for (int64_t i = 0; i < rows; i++) __builtin_prefetch(next + i * a_row + l * LINE, 0, 2);
}

/* `rows` rows of c by all panels. */
static AVX2 void NAME(row_of_tiles)(const NAME(panels) * s, const T *a, int64_t a_row,
                                    int64_t a_col, int64_t rows, T *c, int64_t c_row, int64_t c_col,
                                    bool add, const T *next) {
  enum { W = 2 * LANES };
  T room[ROWS * W] __attribute__((aligned(32)));
  for (int64_t j = 0; j < s->n; j += W) {
    bool apart = j >= s->whole;
    const T *b = apart ? s->last : s->b + j / W * s->step;
    int64_t b_row = apart ? s->last_row : s->b_row, columns = s->n - j < W ? s->n - j : W;
    if (next != NULL) NAME(fetch)(next, a_row, rows, s->k, j / W, (s->n + W - 1) / W);
    NAME(tile) tile = NAME(tiles)[columns > LANES][rows - 1];
    if (columns % LANES == 0 && c_col == 1) {
      tile(s->k, a, a_row, a_col, b, b_row, c + j, c_row, add);
    } else {
      tile(s->k, a, a_row, a_col, b, b_row, room, W, false);
      NAME(put)(room, rows, columns, c + j * c_col, c_row, c_col, add);
    }
  }
}

static AVX2 void NAME(slice)(const th__gemm *g, const th__gemm_way *way, int64_t p, int64_t k,
                             int64_t j, int64_t n, T *scratch) {
  enum { W = 2 * LANES };
  const T *a = (const T *)g->a + p * g->a_col;
  const T *b = (const T *)g->b + p * g->b_row + j * g->b_col;
  T *c = (T *)g->c + j * g->c_col, *sliver = scratch + way->sliver;
  NAME(panels) s = {.k = k, .n = n, .whole = way->pack_b ? n : n / W * W};
  s.b = way->pack_b ? scratch : b;
  s.step = way->pack_b ? k * W : W;
  s.b_row = way->pack_b ? W : g->b_row;
  s.last = scratch;
  s.last_row = W;
  if (s.whole < n || way->pack_b) {
    int64_t from = way->pack_b ? 0 : s.whole;
    NAME(pack_b)(g, b + from * g->b_col, k, n - from, scratch);
  }
  bool add = g->add || p > 0;
  for (int64_t i = 0, rows; i < g->m; i += rows) {
    rows = next_rows(g->m - i);
    const T *x = a + i * g->a_row;
    int64_t a_row = g->a_row, a_col = g->a_col;
    if (way->pack_a) {
      NAME(pack_a)(x, a_row, a_col, rows, k, sliver);
      x = sliver;
      a_row = 1;
      a_col = rows;
    }
    NAME(row_of_tiles)
    (&s, x, a_row, a_col, rows, c + i * g->c_row, g->c_row, g->c_col, add,
     way->fetch && rows < g->m - i ? x + rows * g->a_row : NULL);
  }
}

static AVX2 void NAME(product)(const th__gemm *g, const th__gemm_way *way, T *scratch) {
  for (int64_t j = 0; j < g->n; j += way->part_n)
    for (int64_t p = 0; p < g->k; p += way->part_k) {
      int64_t k = g->k - p < way->part_k ? g->k - p : way->part_k;
      int64_t n = g->n - j < way->part_n ? g->n - j : way->part_n;
      NAME(slice)(g, way, p, k, j, n, scratch);
    }
}

#undef TILE
#undef TILES
#undef ALL
#undef T
#undef V
#undef LANES
#undef NAME
#undef LOAD
#undef STORE
#undef SPREAD
#undef FMA
#undef ADD
#undef ZERO
