/* Owns masked_fill, masked_fill_inplace and nonzero. */
#include <string.h>

#include "engine/base/error.h"
#include "ops/compose.h"
#include "ops/op.h"
#include "ops/loops/loop.h"
#include "ops/params_arrays.h"
#include "ops/loops/runs.h"

/* --- masked_fill: a choice between the value and a --- */

th_array *th_masked_fill(const th_array *a, const th_array *mask, double value) {
  if (!a || !mask) return (void)th__null_input("masked_fill", a ? 1 : 0), NULL;
  if (mask->layout.dtype != TH_BOOL)
    return th__fail_null(TH_EDTYPE, "masked_fill: the mask is %s, not bool",
                         th_dtype_name(mask->layout.dtype));
  th__composing c = th__compose();
  th_array *cell = th_full(TH_SCALAR, value, a->layout.dtype, a->device);
  return th__composed(c, cell ? th_where(mask, cell, a) : NULL);
}

/* --- masked_fill_inplace --- */

#define PUT(bits)                                                                                  \
  static void put_##bits(char *const *p, const int64_t *s, int64_t n, const void *user) {          \
    uint##bits##_t cell;                                                                           \
    memcpy(&cell, user, sizeof cell);                                                              \
    for (int64_t i = 0; i < n; i++)                                                                \
      if (*(const uint8_t *)(p[2] + i * s[2])) *(uint##bits##_t *)(p[0] + i * s[0]) = cell;        \
  }
PUT(8)
PUT(16)
PUT(32)
PUT(64)

static th_status infer_masked(th_infer *io, const void *params) {
  th_layout grown;
  if (io->in[1].dtype != TH_BOOL)
    return th__fail(TH_EDTYPE, "masked_fill_inplace: the mask is %s, not bool",
                    th_dtype_name(io->in[1].dtype));
  return th__layout_broadcast(&io->in[1], io->in[0].shape, io->in[0].ndim, &grown,
                              "masked_fill_inplace");
}

static th_status masked_cpu(const th_kernel_args *k) {
  char cell[8];
  size_t size = th_dtype_size(k->in[0].dtype);
  th__dtype_set(k->in[0].dtype, cell, ((const th__masked_params *)k->params)->value);
  return th__loop_kernel(k,
                         size == 1   ? put_8
                         : size == 2 ? put_16
                         : size == 4 ? put_32
                                     : put_64,
                         cell);
}

static th_status vjp_masked(const th_vjp *v) {
  v->result[0] = th_masked_fill(v->gradients[0], v->inputs[1], 0);
  return th__vjp_check(v);
}

static const th_op op_masked = {
    .name = "masked_fill_inplace",
    .in = {2, 0},
    .out = {0, 0},
    .saves = TH_SAVE_IN(1),
    .writes = 1,
    .flags = TH_OP_ELEMENTWISE | TH_OP_NONBLOCKING,
    .params_size = sizeof(th__masked_params),
    .infer = infer_masked,
    .vjp = vjp_masked,
    .cpu = masked_cpu,
    .test = {-3, 3, 1e-5},
};
th_status th_masked_fill_inplace(th_array *a, const th_array *mask, double value) {
  return th__invoke(&op_masked, &(th__masked_params){value}, (const th_array *const[]){a, mask}, 2,
                    NULL, 0);
}

/* --- nonzero --- */

enum { PIECE = 1024, BLOCK = 16384 }; /* elements looked at at a time, elements of one item */

static int64_t n_blocks(int64_t size) { return (size + BLOCK - 1) / BLOCK; }

static th_status infer_nonzero(th_infer *io, const void *params) {
  const th__nonzero_params *p = params;
  const th_layout *in = &io->in[0];
  if (io->n_out != in->ndim || p->count < 0)
    return th__fail(TH_EINVAL, "nonzero: %d results for %d dimensions", io->n_out, in->ndim);
  for (int d = 0; d < io->n_out; d++) {
    io->out[d].dtype = TH_I64;
    io->out[d].ndim = 1;
    io->out[d].shape[0] = p->count;
  }
  io->workspace = (n_blocks(th__layout_size(in)) + 1) * 8;
  return TH_OK;
}

typedef struct looking {
  const th_kernel_args *k;
  const th_layout *in;
  int64_t size, *before; /* places found before each block */
} looking;

/* flag[i] = 1 where element i, stride elements apart, is not 0, else 0; returns how many are. Floats are zero whatever their
 * sign. */
TH__WIDE static int64_t flag_elements(th_dtype t, const void *from, int64_t stride, int64_t n,
                                      uint8_t *restrict flag) {
  bool is_float = th__dtype_in(t, TH_FLOATS);
  int64_t found = 0;
#define FLAG(T)                                                                                    \
  do {                                                                                             \
    const T *x = from, all = (T) ~(T)0, seen = (T)(is_float ? all >> 1 : all);                     \
    if (stride == 1)                                                                               \
      for (int64_t i = 0; i < n; i++) flag[i] = (x[i] & seen) != 0;                                \
    else                                                                                           \
      for (int64_t i = 0; i < n; i++) flag[i] = (x[i * stride] & seen) != 0;                       \
  } while (0)
  switch (th_dtype_size(t)) {
  case 1: FLAG(uint8_t); break;
  case 2: FLAG(uint16_t); break;
  case 4: FLAG(uint32_t); break;
  default: FLAG(uint64_t); break;
  }
#undef FLAG
  for (int64_t i = 0; i < n; i++) found += flag[i];
  return found;
}

/* Calls place() with the flags of elements [first, last), piece by piece, unless it is NULL. Returns how many are not 0. */
static int64_t look(const looking *l, int64_t first, int64_t last,
                    void (*place)(const looking *l, int64_t first, int64_t n, const uint8_t *flag,
                                  int64_t number),
                    int64_t number) {
  th_dtype t = l->in->dtype;
  int64_t item = (int64_t)th_dtype_size(t), found = 0;
  th__runs walk;
  th__runs_begin(&walk, &l->in, 1, first, last);
  while (th__runs_next(&walk)) {
    const char *from = (const char *)l->k->in_data[0] + walk.offset[0] * item;
    for (int64_t i = 0; i < walk.run; i += PIECE) {
      uint8_t flag[PIECE];
      int64_t n = walk.run - i < PIECE ? walk.run - i : PIECE;
      int64_t here = flag_elements(t, from + i * walk.step[0] * item, walk.step[0], n, flag);
      if (place && here > 0) place(l, first, n, flag, number + found);
      found += here;
      first += n;
    }
  }
  return found;
}

static void count_blocks(int64_t from, int64_t to, void *arg) {
  const looking *l = arg;
  for (int64_t i = from; i < to; i++) {
    int64_t last = (i + 1) * BLOCK;
    l->before[i] = look(l, i * BLOCK, last < l->size ? last : l->size, NULL, 0);
  }
}

/* Places along the last dimension are written to a buffer of their own first, every one over the last that was not wanted. */
static int64_t collect(const uint8_t *flag, int64_t n, int64_t first, int64_t *places) {
  int64_t found = 0;
  for (int64_t i = 0; i < n; i++) {
    places[found] = first + i;
    found += flag[i];
  }
  return found;
}

/* Writes the places of flagged elements of [first, first + n) to the results from `number` on, line by line. */
static void place_piece(const looking *l, int64_t first, int64_t n, const uint8_t *flag,
                        int64_t number) {
  int64_t places[PIECE + 1], at[TH_MAX_DIMS], rest = first;
  int inner = l->in->ndim - 1;
  for (int d = inner; d >= 0; d--) {
    at[d] = rest % l->in->shape[d];
    rest /= l->in->shape[d];
  }
  for (int64_t i = 0, part; i < n; i += part) {
    part = l->in->shape[inner] - at[inner] < n - i ? l->in->shape[inner] - at[inner] : n - i;
    int64_t found = collect(flag + i, part, at[inner], places);
    for (int d = 0; d < inner; d++)
      for (int64_t j = 0; j < found; j++) ((int64_t *)l->k->out_data[d])[number + j] = at[d];
    memcpy((int64_t *)l->k->out_data[inner] + number, places, (size_t)found * sizeof *places);
    number += found;
    at[inner] = 0;
    for (int d = inner - 1; d >= 0 && ++at[d] == l->in->shape[d]; d--) at[d] = 0;
  }
}

static void place_blocks(int64_t from, int64_t to, void *arg) {
  const looking *l = arg;
  for (int64_t i = from; i < to; i++) {
    int64_t last = (i + 1) * BLOCK;
    look(l, i * BLOCK, last < l->size ? last : l->size, place_piece, l->before[i]);
  }
}

static th_status nonzero_cpu(const th_kernel_args *k) {
  int64_t wanted = ((const th__nonzero_params *)k->params)->count, total = 0;
  looking l = {k, &k->in[0], th__layout_size(&k->in[0]), k->workspace};
  th_parallel_for(k->context, n_blocks(l.size), 1, count_blocks, &l);
  for (int64_t i = 0; i < n_blocks(l.size); i++) {
    int64_t here = l.before[i];
    l.before[i] = total;
    total += here;
  }
  if (total != wanted) /* somebody wrote between the count and this task */
    return th_context_fail(k->context, TH_EINVAL,
                           "nonzero: %lld elements are not 0, %lld were when it was called",
                           (long long)total, (long long)wanted);
  th_parallel_for(k->context, n_blocks(l.size), 1, place_blocks, &l);
  return TH_OK;
}

static const th_op op_nonzero = {
    .name = "nonzero",
    .in = {1, 0},
    .out = {1, TH_MAX_DIMS},
    .flags = TH_OP_FLAT,
    .dtypes = TH_ANY,
    .params_size = sizeof(th__nonzero_params),
    .infer = infer_nonzero,
    .cpu = nonzero_cpu,
    .test = {-2, 2, 0},
};

/* How many elements are not 0; waits for a. Negative on failure. */
static int64_t count_now(const th_array *a) {
  int64_t n = -1;
  th_scope scope = th__scope_suspend();
  th_array *count = th_count_nonzero(a, NULL, 0, false);
  if (!count || th_read(count, &n, sizeof n) != TH_OK) n = -1;
  th_release(count);
  (void)th__scope_resume(scope, NULL);
  return n;
}

th_status th_nonzero(const th_array *a, th_array **out) {
  if (!a || !out) return th__null_input("nonzero", a ? 1 : 0);
  if (a->layout.ndim == 0) return th__fail(TH_ESHAPE, "nonzero: needs at least one dimension");
  th__nonzero_params p = {count_now(a)};
  if (p.count < 0) return th_last_status();
  return th__invoke(&op_nonzero, &p, &a, 1, out, a->layout.ndim);
}

TH_FAMILY_TABLE(mask);
const th_op *const th__family_mask[] = {&op_masked, &op_nonzero, NULL};
