/* Owns bringing operands to the lines of elementwise operators: in place where they lie without gaps, through buffers
 * otherwise. No state, no lock. */
#include "ops/loops/lines.h"

#include "engine/base/error.h"
#include "ops/loops/halves.h"
#include "ops/loops/stream.h"

/* Of one buffer: four of them leave room in the smallest first-level caches. */
enum { PIECE_BYTES = 4096, CELL = 8 };

bool th__line_find(const th_op *op, th_dtype t, th__line_call *call) {
  call->line = op->lines[t];
  call->halves = !call->line && th__dtype_in(t, TH_HALVES);
  if (call->halves) call->line = op->lines[TH_F32];
  call->streams = false;
  return call->line != NULL;
}

int th__line_scalars(const th_op *op, const void *params, th_dtype t, char *cells) {
  if (!(op->flags & TH_OP_SCALARS)) return 0;
  int n = (int)(op->params_size / sizeof(double));
  for (int i = 0; i < n; i++) th__dtype_set(t, cells + i * CELL, ((const double *)params)[i]);
  return n;
}

/* --- pieces --- */

static bool converts(const th__line_call *c, int k) {
  return c->halves && th__dtype_in(c->dtype[k], TH_HALVES);
}

/* Bytes of an element as the line sees it. */
static int64_t width(const th__line_call *c, int k) {
  return converts(c, k) ? (int64_t)sizeof(float) : th__dtype_size(c->dtype[k]);
}

/* Of a buffer; a short line has no time for a division. */
static int64_t elements(const th__line_call *c, int k) {
  return PIECE_BYTES >> __builtin_ctz((unsigned)width(c, k));
}

/* The line can read, or write, the operand where it lies. */
static bool lies_ready(const th__line_call *c, int k, int64_t stride) {
  return stride == th__dtype_size(c->dtype[k]) && !converts(c, k);
}

static void load(const th__line_call *c, int k, const char *from, int64_t stride, int64_t n,
                 char *to) {
  int64_t size = th__dtype_size(c->dtype[k]);
  if (converts(c, k))
    th__halves_load(c->dtype[k], from, stride / size, n, (float *)(void *)to);
  else
    th__copy_run((size_t)size, to, 1, from, stride / size, n);
}

static void load_repeated(const th__line_call *c, int k, const char *from, int64_t n, char *to) {
  _Alignas(CELL) char cell[CELL];
  bool converted = converts(c, k);
  if (converted) load(c, k, from, 0, 1, cell);
  th__copy_run((size_t)width(c, k), to, 1, converted ? cell : from, 0, n);
}

static void store(const th__line_call *c, char *to, int64_t stride, int64_t n, const char *from) {
  int64_t size = th__dtype_size(c->dtype[0]);
  if (converts(c, 0))
    th__halves_store(c->dtype[0], to, stride / size, n, (const float *)(const void *)from);
  else if (stride == size)
    th__stream(to, from, n * size);
  else
    th__copy_run((size_t)size, to, stride / size, from, 1, n);
}

static void run_in_pieces(const th__line_call *c, char *const *p, const int64_t *strides,
                          int64_t n) {
  _Alignas(64) char buffer[TH__LOOP_OPERANDS][PIECE_BYTES];
  char *at[TH__LOOP_OPERANDS];
  int64_t piece = n;
  bool ready[TH__LOOP_OPERANDS];
  for (int k = 0; k < c->n; k++) {
    int64_t most = elements(c, k);
    if (most < piece) piece = most;
    ready[k] = lies_ready(c, k, strides[k]) && !(k == 0 && c->streams);
  }
  for (int k = 1; k < c->n; k++)
    if (strides[k] == 0) load_repeated(c, k, p[k], piece, buffer[k]);
  for (int64_t i = 0; i < n; i += piece) {
    int64_t m = n - i < piece ? n - i : piece;
    for (int k = 0; k < c->n; k++) {
      at[k] = ready[k] ? p[k] + i * strides[k] : buffer[k];
      if (k > 0 && !ready[k] && strides[k] != 0)
        load(c, k, p[k] + i * strides[k], strides[k], m, buffer[k]);
    }
    c->line(at, m, c->user);
    if (!ready[0]) store(c, p[0] + i * strides[0], strides[0], m, buffer[0]);
  }
  if (c->streams) th__stream_end();
}

void th__line_run(char *const *p, const int64_t *strides, int64_t n, const void *user) {
  const th__line_call *c = user;
  bool ready = !c->streams;
  for (int k = 0; k < c->n; k++) ready = ready && lies_ready(c, k, strides[k]);
  if (ready)
    c->line(p, n, c->user);
  else
    run_in_pieces(c, p, strides, n);
}

/* --- the kernel --- */

/* A scalar as an operand of the result's shape. */
static void add_scalar(th__loop *loop, th_dtype t, char *cell) {
  th_layout *l = &loop->layout[loop->n];
  *l = loop->layout[0];
  l->dtype = t;
  for (int d = 0; d < l->ndim; d++) l->strides[d] = 0;
  loop->data[loop->n++] = cell;
}

static void add_operands(th__loop *loop, const th_kernel_args *k) {
  loop->layout[0] = k->n_out ? k->out[0] : k->in[0];
  loop->data[0] = k->n_out ? k->out_data[0] : k->in_data[0];
  for (int i = 0; i < k->n_in; i++) {
    loop->layout[1 + i] = k->in[i];
    loop->data[1 + i] = k->in_data[i];
  }
  loop->n = 1 + k->n_in;
}

th_status th__lines_kernel(const th_kernel_args *k) {
  _Alignas(CELL) char cells[TH__LOOP_OPERANDS][CELL];
  th__line_call call = {.user = k->params};
  th__loop loop = {.inner = th__line_run, .user = &call};
  th_dtype t = k->in[k->n_in - 1].dtype;
  if (!th__line_find(k->op, t, &call))
    return th_context_fail(k->context, TH_EDTYPE, "%s: no loop for element type %s", k->op->name,
                           th_dtype_name(t));
  add_operands(&loop, k);
  int scalars = th__line_scalars(k->op, k->params, t, cells[0]);
  for (int i = 0; i < scalars; i++) add_scalar(&loop, t, cells[i]);
  call.n = loop.n;
  for (int i = 0; i < loop.n; i++) call.dtype[i] = loop.layout[i].dtype;
  call.streams = k->n_out == 1 && !call.halves && th__streams(th__layout_bytes(&k->out[0]));
  th__loop_run(&loop, k->context);
  return TH_OK;
}
