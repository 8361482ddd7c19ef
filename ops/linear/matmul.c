/* Owns matmul and linear. Products run as tiles under the engine's parallel loop, each by one thread: by kernels of our own
 * (gemm.h) where the processor has them, which read any strides; else, and for products by a vector, by BLAS, for which operands
 * without contiguous rows or columns are packed into the workspace; plain loops for integers. Tiles depend on the shapes only.
 * Halves and narrow integers compute in f32 and 64 bits, packed. */
#include <limits.h>
#include <string.h>

#include "engine/base/error.h"
#include "engine/base/thread.h"
#include "ops/linear/blas.h"
#include "ops/linear/gemm.h"
#include "ops/op.h"
#include "ops/loops/runs.h"
#include "ops/loops/scratch.h"

/* One product, batched: C[i] = A[i] B[i] (+ bias). Strides in elements of the operands as the tiles see them. */
typedef struct gemm {
  th__compute type;
  int64_t m, n, k;
  int64_t n_batch;
  th_layout batch_a, batch_b; /* leading dimensions, broadcast */
  int64_t a_row, a_col, b_row, b_col;
  bool pack_a, pack_b, pack_c;
  int64_t tile_m, tile_n;
  bool own;         /* by gemm.h, */
  th__gemm_way way; /* this way */
} gemm;

/* --- inference --- */

static int64_t extent(const th_layout *l, int from_end) {
  return l->ndim >= from_end ? l->shape[l->ndim - from_end] : 1;
}

/* The leading dimensions of a matrix operand. */
static th_layout leading(const th_layout *l) {
  th_layout lead = *l;
  lead.ndim = l->ndim > 2 ? l->ndim - 2 : 0;
  return lead;
}

static th_status refuse(th_infer *io, const char *why) {
  char a[TH__SHAPE_TEXT], b[TH__SHAPE_TEXT];
  return th__fail(TH_ESHAPE, "%s: %s x %s: %s", io->op->name,
                  th__shape_text(io->in[0].shape, io->in[0].ndim, a, sizeof a),
                  th__shape_text(io->in[1].shape, io->in[1].ndim, b, sizeof b), why);
}

static th_status infer_product(th_infer *io) {
  const th_layout *a = &io->in[0], *b = &io->in[1];
  th_layout *out = &io->out[0];
  if (a->dtype != b->dtype)
    return th__fail(TH_EDTYPE, "%s: %s x %s", io->op->name, th_dtype_name(a->dtype),
                    th_dtype_name(b->dtype));
  if (a->ndim == 0 || b->ndim == 0) return refuse(io, "0-d operands have no product");
  int64_t k = extent(a, 1), kb = b->ndim == 1 ? b->shape[0] : extent(b, 2);
  if (k != kb) return refuse(io, "inner sizes differ");
  th_layout lead_a = leading(a), lead_b = leading(b);
  if (th__broadcast_shapes(&lead_a, &lead_b, out, io->op->name) != TH_OK)
    return refuse(io, "leading dimensions do not broadcast");
  out->dtype = a->dtype;
  int64_t m = a->ndim > 1 ? extent(a, 2) : 1, n = b->ndim > 1 ? extent(b, 1) : 1;
  if (m > INT_MAX || n > INT_MAX || k > INT_MAX) return refuse(io, "a size is beyond 2^31 - 1");
  if (a->ndim > 1) out->shape[out->ndim++] = m;
  if (b->ndim > 1) out->shape[out->ndim++] = n;
  th_layout made; /* its size is asked for before invoke.c checks it */
  return th__layout_make(&made, out->shape, out->ndim, out->dtype, io->op->name);
}

/* --- planning: by shapes, types and strides only --- */

/* BLAS can read a matrix with contiguous rows (or columns), its leading dimension at least as long as one. */
static bool rows_readable(int64_t rows, int64_t columns, int64_t row, int64_t column) {
  return (column == 1 || columns == 1) &&
         (rows == 1 || (row >= columns && row > 0 && row <= INT_MAX));
}

static bool readable(int64_t rows, int64_t columns, int64_t row, int64_t column) {
  return rows_readable(rows, columns, row, column) || rows_readable(columns, rows, column, row);
}

static bool is_integer(const gemm *g) { return g->type == TH__I64 || g->type == TH__U64; }

/* Operands of these types need no packing for their strides. */
static bool any_strides(th__compute c) {
  return c == TH__I64 || c == TH__U64 || th__gemm_present();
}

static bool must_pack(const th_layout *l, bool vector_is_row) {
  th__compute c = th__compute_of(l->dtype);
  if ((int64_t)th_dtype_size(l->dtype) != th__compute_size(c)) return true;
  if (any_strides(c)) return false;
  if (l->ndim > 1)
    return !readable(l->shape[l->ndim - 2], l->shape[l->ndim - 1], l->strides[l->ndim - 2],
                     l->strides[l->ndim - 1]);
  return vector_is_row ? !readable(1, l->shape[0], l->shape[0], l->strides[0])
                       : !readable(l->shape[0], 1, l->strides[0], 1);
}

#define LEAST_CUT 1e6 /* of own kernels: 10 us, of which a second thread saves a few */

/* As few tiles as keep all processors of the machine busy, because each tile packs its operands anew: 16 tiles of a product of
 * 2048 take a tenth longer than 2. Twice as many when halving does not come out even. The machine's processors, not the
 * workers: settings do not change the bits. Parts of less than 16 MFLOP are not made. */
static int64_t tiles_wanted(double flops) {
  int64_t processors = th__thread_processors(), wanted = 2;
  if ((processors & (processors - 1)) != 0) processors *= 2;
  while (wanted < processors && flops > 32e6 * (double)wanted) wanted *= 2;
  return wanted;
}

/* OpenBLAS's kernels of AVX-512 like tiles of 48 x 64; those of AVX2 are a fifth slower by them than by halves. */
static bool likes_small_tiles(void) {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512f");
#else
  return false;
#endif
}

static th__gemm own_tile(const gemm *g) {
  return (th__gemm){.m = g->tile_m,
                    .n = g->tile_n,
                    .k = g->k,
                    .a_row = g->a_row,
                    .a_col = g->a_col,
                    .b_row = g->b_row,
                    .b_col = g->b_col,
                    .c_row = g->n,
                    .c_col = 1};
}

/* Tiles of 2 MFLOP (25 us) and more, a few for each processor: who joins late, or has a slower core, then leaves little to wait for
 * at the end. More than that only of products whose tiles stay large. */
static int64_t own_tiles_wanted(double flops) {
  int64_t processors = th__thread_processors(), wanted = 2;
  while (wanted < 8 * processors &&
         flops >= (wanted < 4 * processors ? 4e6 : 16e6) * (double)wanted)
    wanted *= 2;
  return wanted;
}

/* Halves a tile across rows, so that threads write apart from each other (a prefetcher that runs into the neighbour's half of a
 * row costs as much as the second thread saves), unless there are so few that each tile's copy of b would tell; across columns
 * first where that copy has to turn b around, later where a need not be copied for each. False: it is small enough. */
static bool halve_own(gemm *g, bool first) {
  int size = (int)th__compute_size(g->type);
  bool turns_b = !g->way.turned && g->b_col != 1 && g->tile_n >= 256;
  bool broad = g->tile_n >= (g->way.pack_a && !first ? 256 : 128);
  bool rows = !turns_b && (g->tile_m >= (first ? 96 : 192) || !broad);
  if (!first && rows && g->tile_m < 128) return false;
  int64_t *cut = rows ? &g->tile_m : &g->tile_n;
  int64_t unit = !rows ? 64 / size : g->way.turned ? 32 / size : 4;
  *cut = ((*cut + 1) / 2 + unit - 1) / unit * unit;
  return true;
}

static void cut_own(gemm *g, double flops) {
  int size = (int)th__compute_size(g->type);
  th__gemm tile = own_tile(g);
  g->way = th__gemm_way_of(&tile, size);
  if (flops < LEAST_CUT || (g->n_batch >= 8 && flops < 1 << 28)) return;
  int64_t wanted = own_tiles_wanted(flops), tiles = 1;
  while (tiles < wanted && halve_own(g, tiles == 1)) tiles *= 2;
  tile = own_tile(g);
  g->way = th__gemm_way_of(&tile, size);
}

/* Small tiles suit products up to some 64 MFLOP; longer inner sizes and larger products want halves. Beyond 2048 packing costs
 * nothing to speak of, and more tiles balance better. */
static void choose_tiles(gemm *g) {
  double flops = 2.0 * (double)g->m * (double)g->n * (double)g->k;
  g->tile_m = g->m;
  g->tile_n = g->n;
  if (g->own) {
    cut_own(g, flops);
    return;
  }
  if (flops < 1 << 20 || (g->n_batch >= 8 && flops < 1 << 28)) return;
  if (flops < 64e6 && g->k < 512 && g->m > 1 && g->n > 1 && likes_small_tiles()) {
    g->tile_m = g->m < 48 ? g->m : 48;
    g->tile_n = g->n < 64 ? g->n : 64;
    return;
  }
  int64_t tiles = 1, wanted = tiles_wanted(flops);
  while (tiles < wanted || g->tile_m > 2048 || g->tile_n > 2048) {
    bool rows = g->tile_m >= g->tile_n;
    int64_t *longer = rows ? &g->tile_m : &g->tile_n, unit = rows ? 8 : 16; /* of BLAS kernels */
    *longer = (*longer + 1) / 2;
    if (*longer > 64) *longer = (*longer + unit - 1) / unit * unit;
    tiles *= 2;
  }
}

/* Joins the leading dimensions of a with its rows when b has none: one tall product instead of many. */
static void join_rows(gemm *g) {
  for (int d = 0; d < g->batch_b.ndim; d++)
    if (g->batch_b.strides[d] != 0 && g->batch_b.shape[d] != 1) return;
  th_layout rows = g->batch_a;
  rows.shape[rows.ndim] = g->m;
  rows.strides[rows.ndim++] = g->a_row;
  int64_t m = g->m * g->n_batch;
  rows.ndim = th__layouts_collapse(&rows, 1);
  if (rows.ndim > 1 || m > INT_MAX) return;
  int64_t row = rows.ndim == 1 ? rows.strides[0] : g->k;
  if (!any_strides(g->type) && !readable(m, g->k, row, g->a_col)) return;
  g->m = m;
  g->a_row = row;
  g->n_batch = 1;
  g->batch_a.ndim = g->batch_b.ndim = 0;
}

/* Own kernels leave to BLAS what it can read and does quicker: vectors, and f64 from some 370 rows and columns on. */
static bool takes_own(const gemm *g) {
  if (is_integer(g) || !th__gemm_present() || g->m == 0 || g->n == 0 || g->k == 0) return false;
  bool readable_by_blas =
      readable(g->m, g->k, g->a_row, g->a_col) && readable(g->k, g->n, g->b_row, g->b_col);
  bool large = g->type == TH__F64 && 2.0 * (double)g->m * (double)g->n * (double)g->k > 1e8;
  return !readable_by_blas || !(g->m == 1 || g->n == 1 || large);
}

static gemm plan(const th_layout *a, const th_layout *b) {
  gemm g = {.type = th__compute_of(a->dtype), .n_batch = 1};
  g.pack_a = must_pack(a, true);
  g.pack_b = must_pack(b, false);
  g.pack_c = (int64_t)th_dtype_size(a->dtype) != th__compute_size(g.type);
  th_layout pa = *a, pb = *b, batch = {0};
  if (g.pack_a) th__layout_set_contiguous(&pa);
  if (g.pack_b) th__layout_set_contiguous(&pb);
  g.m = a->ndim > 1 ? extent(a, 2) : 1;
  g.k = extent(a, 1);
  g.n = b->ndim > 1 ? extent(b, 1) : 1;
  g.a_col = pa.strides[pa.ndim - 1];
  g.a_row = pa.ndim > 1 ? pa.strides[pa.ndim - 2] : g.k;
  g.b_row = pb.ndim > 1 ? pb.strides[pb.ndim - 2] : pb.strides[0];
  g.b_col = pb.ndim > 1 ? pb.strides[pb.ndim - 1] : 1;
  th_layout lead_a = leading(&pa), lead_b = leading(&pb);
  /* Cannot fail: infer did the same. */
  if (th__broadcast_shapes(&lead_a, &lead_b, &batch, "matmul") != TH_OK ||
      th__layout_broadcast(&lead_a, batch.shape, batch.ndim, &g.batch_a, "matmul") != TH_OK ||
      th__layout_broadcast(&lead_b, batch.shape, batch.ndim, &g.batch_b, "matmul") != TH_OK)
    g.n_batch = 0;
  for (int d = 0; d < batch.ndim; d++) g.n_batch *= batch.shape[d];
  if (g.n_batch > 1 || g.batch_a.ndim > 0) join_rows(&g);
  g.own = takes_own(&g);
  choose_tiles(&g);
  return g;
}

static int64_t rounded(int64_t bytes) { return (bytes + 63) / 64 * 64; }

static int64_t tile_count(const gemm *g) {
  return g->n_batch * ((g->n + g->tile_n - 1) / g->tile_n) * ((g->m + g->tile_m - 1) / g->tile_m);
}

#define ON_STACK 4096 /* bytes of scratch that need no workspace */

/* Of the workspace. */
static int64_t scratches(const gemm *g) {
  return g->own && g->way.scratch > ON_STACK ? th__scratches_for(tile_count(g)) : 0;
}

static int64_t workspace_of(const gemm *g, const th_infer *io) {
  int64_t size = th__compute_size(g->type), bytes = 0;
  if (g->pack_a) bytes += rounded(th__layout_size(&io->in[0]) * size);
  if (g->pack_b) bytes += rounded(th__layout_size(&io->in[1]) * size);
  if (g->pack_c) bytes += rounded(th__layout_size(&io->out[0]) * size);
  if (io->n_in > 2) bytes += rounded(g->n * size);
  return bytes + scratches(g) * g->way.scratch;
}

/* --- kernel --- */

typedef struct run {
  gemm g;
  const char *a, *b, *bias; /* of the computing type; bias contiguous or NULL */
  char *c, *scratch;
  th__scratches scratches;
} run;

/* The body of one tile: c (rows n apart) = [bias +] a b. */
#define TILE(id, T, gemm_call, gemv_call)                                                          \
  static void id(const run *r, const T *a, const T *b, T *c, int64_t m, int64_t n, bool add) {     \
    const gemm *g = &r->g;                                                                         \
    T beta = add ? 1 : 0;                                                                          \
    bool a_rows = rows_readable(g->m, g->k, g->a_row, g->a_col);                                   \
    bool b_rows = rows_readable(g->k, g->n, g->b_row, g->b_col);                                   \
    int k = (int)g->k;                                                                             \
    /* A dimension of size 1 has any stride: BLAS wants a valid one. */                            \
    int lda = (int)(a_rows ? (g->m == 1 ? g->k : g->a_row) : (g->k == 1 ? g->m : g->a_col));       \
    int ldb = (int)(b_rows ? (g->k == 1 ? g->n : g->b_row) : (g->n == 1 ? g->k : g->b_col));       \
    if (g->n == 1)                                                                                 \
      gemv_call(a_rows ? CblasRowMajor : CblasColMajor, CblasNoTrans, (int)m, k, 1, a, lda, b,     \
                g->k == 1 ? 1 : (int)g->b_row, beta, c, 1);                                        \
    else if (g->m == 1)                                                                            \
      gemv_call(b_rows ? CblasColMajor : CblasRowMajor, CblasNoTrans, (int)n, k, 1, b, ldb, a,     \
                g->k == 1 ? 1 : (int)g->a_col, beta, c, 1);                                        \
    else                                                                                           \
      gemm_call(CblasRowMajor, a_rows ? CblasNoTrans : CblasTrans,                                 \
                b_rows ? CblasNoTrans : CblasTrans, (int)m, (int)n, k, 1, a, lda, b, ldb, beta, c, \
                (int)g->n);                                                                        \
  }

TILE(tile_f32, float, cblas_sgemm, cblas_sgemv)
TILE(tile_f64, double, cblas_dgemm, cblas_dgemv)

/* Both signednesses have the same wrapping product. c was set before. */
static void tile_int(const run *r, const uint64_t *a, const uint64_t *b, uint64_t *c, int64_t m,
                     int64_t n) {
  const gemm *g = &r->g;
  for (int64_t i = 0; i < m; i++)
    for (int64_t p = 0; p < g->k; p++) {
      uint64_t x = a[i * g->a_row + p * g->a_col];
      const uint64_t *y = b + p * g->b_row;
      for (int64_t j = 0; j < n; j++) c[i * g->n + j] += x * y[j * g->b_col];
    }
}

/* bias: of the tile's columns, or NULL. */
static void tile_own(const run *r, const char *a, const char *b, char *c, int64_t m, int64_t n,
                     const char *bias, char *scratch) {
  th__gemm tile = own_tile(&r->g);
  tile.m = m, tile.n = n, tile.a = a, tile.b = b, tile.c = c;
  tile.bias = bias, tile.bias_col = 1;
  th__gemm_run(&tile, &r->g.way, (int)th__compute_size(r->g.type), scratch);
}

static void one_tile(const run *r, int64_t index, int64_t row, int64_t column, char *scratch) {
  const gemm *g = &r->g;
  int64_t size = th__compute_size(g->type);
  int64_t m = g->m - row < g->tile_m ? g->m - row : g->tile_m;
  int64_t n = g->n - column < g->tile_n ? g->n - column : g->tile_n;
  int64_t a_at = th__offset_at(index, g->batch_a.ndim, g->batch_a.shape, g->batch_a.strides);
  int64_t b_at = th__offset_at(index, g->batch_b.ndim, g->batch_b.shape, g->batch_b.strides);
  const char *a = r->a + (a_at + row * g->a_row) * size;
  const char *b = r->b + (b_at + column * g->b_col) * size;
  char *c = r->c + ((index * g->m + row) * g->n + column) * size;
  const char *bias = r->bias != NULL ? r->bias + column * size : NULL;
  if (g->own) {
    tile_own(r, a, b, c, m, n, bias, scratch);
    return;
  }
  bool integer = is_integer(g);
  /* Vector products add to zeros: not every BLAS leaves a target alone that it is told to overwrite. */
  bool preset = integer || g->k == 0 || g->m == 1 || g->n == 1 || bias != NULL;
  for (int64_t i = 0; i < m && preset; i++) {
    char *line = c + i * g->n * size;
    if (bias != NULL)
      memcpy(line, bias, (size_t)(n * size));
    else
      memset(line, 0, (size_t)(n * size));
  }
  if (g->k == 0) return;
  if (integer)
    tile_int(r, (const void *)a, (const void *)b, (void *)c, m, n);
  else if (g->type == TH__F32)
    tile_f32(r, (const void *)a, (const void *)b, (void *)c, m, n, preset);
  else
    tile_f64(r, (const void *)a, (const void *)b, (void *)c, m, n, preset);
}

static void tiles(int64_t first, int64_t last, void *arg) {
  run *r = arg;
  const gemm *g = &r->g;
  _Alignas(64) char small[ON_STACK];
  int64_t n = scratches(g), mine = n > 0 ? th__scratch_take(&r->scratches, n) : 0;
  char *scratch = n > 0 ? r->scratch + mine * g->way.scratch : small;
  int64_t across = (g->n + g->tile_n - 1) / g->tile_n, down = (g->m + g->tile_m - 1) / g->tile_m;
  for (int64_t i = first; i < last; i++) {
    int64_t in_matrix = i % (across * down);
    one_tile(r, i / (across * down), in_matrix / across * g->tile_m, in_matrix % across * g->tile_n,
             scratch);
  }
  if (n > 0) th__scratch_give(&r->scratches, mine);
}

typedef struct conversion {
  const th_layout *layout; /* of the operand that is not contiguous in the computing type */
  char *data, *packed;
  int64_t size;
  bool unpack; /* the other way; layout is contiguous */
} conversion;

static void convert(int64_t first, int64_t last, void *arg) {
  const conversion *c = arg;
  th_dtype t = c->layout->dtype;
  int64_t item = (int64_t)th_dtype_size(t), at = first;
  th__runs walk;
  th__runs_begin(&walk, &c->layout, 1, first, last);
  for (; th__runs_next(&walk); at += walk.run) {
    char *data = c->data + walk.offset[0] * item, *packed = c->packed + at * c->size;
    if (c->unpack)
      th__scatter(t, data, walk.step[0], walk.run, packed);
    else
      th__gather(t, data, walk.step[0], walk.run, packed);
  }
}

static char *take_room(char **room, int64_t bytes) {
  char *here = *room;
  *room += rounded(bytes);
  return here;
}

static char *packed(const th_kernel_args *k, int input, int64_t size, char **room) {
  const th_layout *l = &k->in[input];
  conversion c = {.layout = l, .data = k->in_data[input], .size = size};
  c.packed = take_room(room, th__layout_size(l) * size);
  th_parallel_for(k->context, th__layout_size(l), th__grain(1), convert, &c);
  return c.packed;
}

static th_status matmul_cpu(const th_kernel_args *k) {
  run r = {.g = plan(&k->in[0], &k->in[1])};
  const gemm *g = &r.g;
  int64_t size = th__compute_size(g->type), n_out = th__layout_size(&k->out[0]);
  if (n_out == 0) return TH_OK;
  th__blas_prepare();
  char *room = k->workspace;
  r.a = g->pack_a ? packed(k, 0, size, &room) : k->in_data[0];
  r.b = g->pack_b ? packed(k, 1, size, &room) : k->in_data[1];
  r.bias = k->n_in > 2 ? packed(k, 2, size, &room) : NULL;
  r.c = g->pack_c ? take_room(&room, n_out * size) : k->out_data[0];
  r.scratch = room;
  int64_t cost = g->tile_m * g->tile_n * (g->k + 1) / 16; /* some 16 multiplications per visit */
  bool cut = g->tile_m < g->m || g->tile_n < g->n;
  th_parallel_for(k->context, tile_count(g), cut ? 1 : th__grain(cost), tiles, &r);
  if (g->pack_c) {
    conversion c = {
        .layout = &k->out[0], .data = k->out_data[0], .packed = r.c, .size = size, .unpack = true};
    th_parallel_for(k->context, n_out, th__grain(1), convert, &c);
  }
  return TH_OK;
}

static th_cost cost_matmul(const th_infer *io, const void *params) {
  int64_t k = extent(&io->in[0], 1);
  th_cost cost = {.flops = 2 * k * th__layout_size(&io->out[0])};
  for (int i = 0; i < io->n_in; i++) cost.bytes += th__layout_bytes(&io->in[i]);
  cost.bytes += th__layout_bytes(&io->out[0]);
  return cost;
}

/* --- matmul --- */

static th_status infer_matmul(th_infer *io, const void *params) {
  TH_TRY(infer_product(io));
  gemm g = plan(&io->in[0], &io->in[1]);
  io->workspace = workspace_of(&g, io);
  return TH_OK;
}

/* da = g b^T and db = a^T g, with 1-d operands seen as matrices, summed over what broadcasting grew. */
static th_status vjp_matmul(const th_vjp *v) {
  th_scope scope = th_scope_begin();
  bool row = v->in[0].ndim == 1, column = v->in[1].ndim == 1;
  th_array *a = row ? th_expand_dims(v->inputs[0], 0) : v->inputs[0];
  th_array *b = column ? th_expand_dims(v->inputs[1], 1) : v->inputs[1];
  th_array *g = v->gradients[0];
  if (column) g = th_expand_dims(g, -1);
  if (row) g = th_expand_dims(g, -2);
  for (int i = 0; i < 2; i++) {
    if (!v->needed[i]) continue;
    th_array *x = i == 0 ? a : b;
    th_array *full =
        i == 0 ? th_matmul(g, th_matrix_transpose(b)) : th_matmul(th_matrix_transpose(a), g);
    th_array *d = full != NULL && x != NULL ? th__sum_to(full, &x->layout) : NULL;
    v->result[i] = th_keep(th_reshape(d, v->in[i].shape, v->in[i].ndim));
  }
  th_scope_end(scope);
  return th__vjp_check(v);
}

static const th_op op_matmul = {
    .name = "matmul",
    .in = {2, 0},
    .out = {1, 0},
    .saves = TH_SAVE_IN(0) | TH_SAVE_IN(1),
    .dtypes = TH_NUMBERS,
    .infer = infer_matmul,
    .vjp = vjp_matmul,
    .cost = cost_matmul,
    .cpu = matmul_cpu,
    .test = {-1, 1, 1e-4},
};

th_array *th_matmul(const th_array *a, const th_array *b) {
  if (a == NULL || b == NULL || a->layout.dtype == b->layout.dtype)
    return TH_CALL(&op_matmul, NULL, a, b);
  if (th__check_devices("matmul", (const th_array *const[]){a, b}, 2) != TH_OK) return NULL;
  th_scope scope = th__scope_suspend();
  th_array *pa = NULL, *pb = NULL, *product = NULL;
  if (th__promote_pair(a, b, &pa, &pb) == TH_OK) product = TH_CALL(&op_matmul, NULL, pa, pb);
  th_release(pa);
  th_release(pb);
  return th__scope_resume(scope, product);
}

/* --- linear --- */

static th_status infer_linear(th_infer *io, const void *params) {
  if (io->in[1].ndim != 2) return refuse(io, "weights must have 2 dimensions");
  TH_TRY(infer_product(io));
  gemm g = plan(&io->in[0], &io->in[1]);
  if (io->n_in > 2) {
    const th_layout *bias = &io->in[2];
    char text[TH__SHAPE_TEXT];
    if (bias->ndim != 1 || bias->shape[0] != g.n)
      return th__fail(TH_ESHAPE, "linear: bias %s does not fit %lld outputs",
                      th__shape_text(bias->shape, bias->ndim, text, sizeof text), (long long)g.n);
    if (bias->dtype != io->in[0].dtype)
      return th__fail(TH_EDTYPE, "linear: bias is %s, not %s", th_dtype_name(bias->dtype),
                      th_dtype_name(io->in[0].dtype));
  }
  io->workspace = workspace_of(&g, io);
  return TH_OK;
}

static th_status vjp_linear(const th_vjp *v) {
  th_scope scope = th_scope_begin();
  int64_t k = v->in[1].shape[0], n = v->in[1].shape[1], rows = 1;
  for (int d = 0; d + 1 < v->in[0].ndim; d++) rows *= v->in[0].shape[d];
  th_array *g = v->gradients[0], *flat = th_reshape(g, (int64_t[]){rows, n}, 2);
  if (v->needed[0]) v->result[0] = th_keep(th_matmul(g, th_matrix_transpose(v->inputs[1])));
  if (v->needed[1]) {
    th_array *x = th_reshape(v->inputs[0], (int64_t[]){rows, k}, 2);
    v->result[1] = th_keep(th_matmul(th_matrix_transpose(x), flat));
  }
  if (v->n_in > 2 && v->needed[2]) v->result[2] = th_keep(th_sum(flat, (int[]){0}, 1, false));
  th_scope_end(scope);
  return th__vjp_check(v);
}

static const th_op op_linear = {
    .name = "linear",
    .in = {2, 3},
    .out = {1, 0},
    .saves = TH_SAVE_IN(0) | TH_SAVE_IN(1),
    .dtypes = TH_NUMBERS,
    .infer = infer_linear,
    .vjp = vjp_linear,
    .cost = cost_matmul,
    .cpu = matmul_cpu,
    .test = {-1, 1, 1e-4},
};

static th_array *call_linear(const th_array *x, const th_array *w, const th_array *b) {
  return b != NULL ? TH_CALL(&op_linear, NULL, x, w, b) : TH_CALL(&op_linear, NULL, x, w);
}

th_array *th_linear(const th_array *x, const th_array *w, const th_array *b) {
  if (x == NULL || w == NULL) return TH_CALL(&op_linear, NULL, x, w);
  th_dtype t = th__dtype_promote(x->layout.dtype, w->layout.dtype);
  if (b != NULL) t = th__dtype_promote(t, b->layout.dtype);
  bool same = x->layout.dtype == t && w->layout.dtype == t && (b == NULL || b->layout.dtype == t);
  const th_array *all[] = {x, w, b};
  if (same) return call_linear(x, w, b);
  if (th__check_devices("linear", all, b != NULL ? 3 : 2) != TH_OK) return NULL;
  th_scope scope = th__scope_suspend();
  th_array *px = th_astype(x, t), *pw = th_astype(w, t);
  th_array *pb = b != NULL ? th_astype(b, t) : NULL, *out = NULL;
  if (px != NULL && pw != NULL && (b == NULL || pb != NULL)) out = call_linear(px, pw, pb);
  th_release(px);
  th_release(pw);
  th_release(pb);
  return th__scope_resume(scope, out);
}

TH_FAMILY_TABLE(matmul);
const th_op *const th__family_matmul[] = {&op_matmul, &op_linear, NULL};
