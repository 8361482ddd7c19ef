/* Owns the walk over strided operands: dimensions are joined where all operands allow it, long loops are cut into blocks of a
 * fixed number of elements, and each block runs the inner loop along the last dimension. Operands that are dense along another
 * dimension are turned around in tiles first. */
#include "ops/loops/loop.h"

#include <stdlib.h>

typedef struct walk {
  const th__loop *loop;
  int ndim; /* at least 1 */
  int64_t shape[TH_MAX_DIMS];
  int64_t strides[TH_MAX_DIMS][TH__LOOP_OPERANDS]; /* in bytes */
  uint32_t turned; /* operands that are dense along the last dimension but one */
} walk;

/* Elements [first, last) in rows-first order. */
static void run_block(int64_t first, int64_t last, void *arg) {
  const walk *w = arg;
  int n = w->loop->n, inner = w->ndim - 1;
  int64_t at[TH_MAX_DIMS];
  char *p[TH__LOOP_OPERANDS];
  for (int k = 0; k < n; k++) p[k] = w->loop->data[k];
  int64_t rest = first;
  for (int d = inner; d >= 0; d--) {
    at[d] = rest % w->shape[d];
    rest /= w->shape[d];
    for (int k = 0; k < n; k++) p[k] += at[d] * w->strides[d][k];
  }
  for (;;) {
    int64_t run = w->shape[inner] - at[inner];
    if (run > last - first) run = last - first;
    w->loop->inner(p, w->strides[inner], run, w->loop->user);
    first += run;
    if (first >= last) return;
    for (int k = 0; k < n; k++) p[k] -= at[inner] * w->strides[inner][k];
    at[inner] = 0;
    for (int d = inner - 1; d >= 0; d--) {
      for (int k = 0; k < n; k++) p[k] += w->strides[d][k];
      if (++at[d] < w->shape[d]) break;
      for (int k = 0; k < n; k++) p[k] -= at[d] * w->strides[d][k];
      at[d] = 0;
    }
  }
}

/* --- turning --- */

enum {
  LEAST = 16, /* shorter dimensions are not turned */
  TILE_ROWS = 32,
  TILE_COLUMNS = 128, /* of a tile: two cache lines of the operand, a run of the loop */
  GAP =
      64 /* bytes between rows of a turned tile: without, they would meet in few places of the cache */
};

/* Operands, other than the written one, of four or eight bytes that are dense along dimension d and not along the last. */
static uint32_t dense_along(const walk *w, int d) {
  uint32_t set = 0;
  for (int k = 1; k < w->loop->n; k++) {
    int64_t size = th__dtype_size(w->loop->layout[k].dtype);
    int64_t last = llabs(w->strides[w->ndim - 1][k]);
    if (size >= 4 && w->strides[d][k] == size && last > size) set |= 1u << k;
  }
  return set;
}

/* Brings a dimension along which operands are better turned to the place before the last. */
static void look_for_turns(walk *w) {
  int last = w->ndim - 1;
  if (last < 1 || w->shape[last] < LEAST) return;
  for (int d = 0; d < last && !w->turned; d++) {
    if (w->shape[d] < LEAST) continue;
    w->turned = dense_along(w, d);
    if (!w->turned || d == last - 1) continue;
    int64_t size = w->shape[d], strides[TH__LOOP_OPERANDS];
    memcpy(strides, w->strides[d], sizeof strides);
    for (int i = d; i < last - 1; i++) {
      w->shape[i] = w->shape[i + 1];
      memcpy(w->strides[i], w->strides[i + 1], sizeof strides);
    }
    w->shape[last - 1] = size;
    memcpy(w->strides[last - 1], strides, sizeof strides);
  }
}

/* One tile at p: turned operands are copied, then the loop runs row by row. */
static void run_tile(const walk *w, char *const *p, int64_t rows, int64_t columns) {
  int n = w->loop->n, inner = w->ndim - 1;
  _Alignas(64) char room[TH__LOOP_OPERANDS - 1][TILE_ROWS * (8 * TILE_COLUMNS + GAP)];
  char *q[TH__LOOP_OPERANDS];
  int64_t down[TH__LOOP_OPERANDS], right[TH__LOOP_OPERANDS];
  for (int k = 0; k < n; k++) {
    q[k] = p[k];
    down[k] = w->strides[inner - 1][k];
    right[k] = w->strides[inner][k];
    if (!(w->turned >> k & 1)) continue;
    int size = (int)down[k];
    q[k] = room[k - 1];
    down[k] = TILE_COLUMNS * size + GAP;
    th__turn(size, p[k], right[k], q[k], down[k], columns, rows);
    right[k] = size;
  }
  for (int64_t i = 0; i < rows; i++) {
    w->loop->inner(q, right, columns, w->loop->user);
    for (int k = 0; k < n; k++) q[k] += down[k];
  }
}

/* Bands [first, last): TILE_ROWS rows of the last two dimensions each. */
static void run_bands(int64_t first, int64_t last, void *arg) {
  const walk *w = arg;
  int n = w->loop->n, inner = w->ndim - 1;
  int64_t all = w->shape[inner - 1], bands = (all + TILE_ROWS - 1) / TILE_ROWS;
  for (int64_t band = first; band < last; band++) {
    int64_t row = band % bands * TILE_ROWS, rest = band / bands;
    int64_t rows = all - row < TILE_ROWS ? all - row : TILE_ROWS;
    char *p[TH__LOOP_OPERANDS];
    for (int k = 0; k < n; k++) p[k] = w->loop->data[k] + row * w->strides[inner - 1][k];
    for (int d = inner - 2; d >= 0; d--) {
      for (int k = 0; k < n; k++) p[k] += rest % w->shape[d] * w->strides[d][k];
      rest /= w->shape[d];
    }
    for (int64_t j = 0; j < w->shape[inner]; j += TILE_COLUMNS) {
      int64_t columns = w->shape[inner] - j < TILE_COLUMNS ? w->shape[inner] - j : TILE_COLUMNS;
      run_tile(w, p, rows, columns);
      for (int k = 0; k < n; k++) p[k] += columns * w->strides[inner][k];
    }
  }
}

static void run_turned(const walk *w, th_task_context *context) {
  int inner = w->ndim - 1;
  int64_t bands = (w->shape[inner - 1] + TILE_ROWS - 1) / TILE_ROWS;
  int64_t grain = TH__LOOP_GRAIN / (TILE_ROWS * w->shape[inner]);
  for (int d = 0; d < inner - 1; d++) bands *= w->shape[d];
  th_parallel_for(context, bands, grain > 0 ? grain : 1, run_bands, (void *)w);
}

void th__loop_run(th__loop *loop, th_task_context *context) {
  int64_t size = th__layout_size(&loop->layout[0]);
  if (size == 0) return;
  walk w = {.loop = loop, .ndim = th__layouts_collapse(loop->layout, loop->n)};
  for (int d = 0; d < w.ndim; d++) {
    w.shape[d] = loop->layout[0].shape[d];
    for (int k = 0; k < loop->n; k++)
      w.strides[d][k] = loop->layout[k].strides[d] * (int64_t)th_dtype_size(loop->layout[k].dtype);
  }
  if (w.ndim == 0) {
    w.shape[0] = w.ndim = 1;
    for (int k = 0; k < loop->n; k++) w.strides[0][k] = 0;
  }
  look_for_turns(&w);
  if (w.turned)
    run_turned(&w, context);
  else if (size <= TH__LOOP_LEAST)
    run_block(0, size, &w);
  else
    th_parallel_for(context, size, size <= 4 * TH__LOOP_GRAIN ? TH__LOOP_LEAST : TH__LOOP_GRAIN,
                    run_block, &w);
}

/* The elements of a result without gaps, when all inputs lie like it: one run covers everything. 0 when they do not. */
static int64_t one_run(const th_kernel_args *k, const th_layout *result) {
  int64_t size = 1;
  for (int d = result->ndim - 1; d >= 0; d--) {
    if (result->strides[d] != size) return 0;
    for (int i = 0; i < k->n_in; i++)
      if (k->in[i].strides[d] != size) return 0;
    size *= result->shape[d];
  }
  return size;
}

/* The loop over so few elements that arranging a walk would cost more than walking. */
static void run_small(const th_kernel_args *k, const th_layout *result, char *data, int64_t size,
                      th__inner inner, const void *user) {
  char *p[TH__LOOP_OPERANDS];
  int64_t strides[TH__LOOP_OPERANDS];
  p[0] = data;
  strides[0] = th__dtype_size(result->dtype);
  for (int i = 0; i < k->n_in; i++) {
    p[1 + i] = k->in_data[i];
    strides[1 + i] = th__dtype_size(k->in[i].dtype);
  }
  inner(p, strides, size, user);
}

th_status th__loop_kernel(const th_kernel_args *k, th__inner inner, const void *user) {
  const th_layout *result = k->n_out ? &k->out[0] : &k->in[0];
  int64_t size = one_run(k, result);
  if (size > 0 && size <= TH__LOOP_LEAST) {
    run_small(k, result, k->n_out ? k->out_data[0] : k->in_data[0], size, inner, user);
    return TH_OK;
  }
  th__loop loop = {.n = 1 + k->n_in, .inner = inner, .user = user};
  loop.layout[0] = k->n_out ? k->out[0] : k->in[0];
  loop.data[0] = k->n_out ? k->out_data[0] : k->in_data[0];
  for (int i = 0; i < k->n_in; i++) {
    loop.layout[1 + i] = k->in[i];
    loop.data[1 + i] = k->in_data[i];
  }
  th__loop_run(&loop, k->context);
  return TH_OK;
}
