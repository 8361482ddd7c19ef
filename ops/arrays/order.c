/* Owns sort, argsort and topk. Every element of a line becomes an item of its key, an unsigned integer that orders like the
 * elements, and its index; items are sorted by radix. No two are equal, so the result does not depend on how. */
#include <string.h>

#include "engine/base/error.h"
#include "ops/arrays/index.h"
#include "ops/loops/loop.h"
#include "ops/op.h"
#include "ops/params_arrays.h"
#include "ops/loops/runs.h"

enum {
  INSERTION = 48,      /* so few items are sorted by insertion */
  STACK = 2048,        /* lines up to this length are sorted on the stack */
  LONG = 131072,       /* lines from this length on are sorted one at a time, by all threads */
  GROUP = 8,           /* lines in between that have room at a time */
  PARTS = 8,           /* of a long line */
  MOST_BUCKETS = 2048, /* 11 bits */
  SELECTED = 1024,     /* items that a selection has room for */
  SORTED = 32,         /* so few are kept in order while they are selected */
  TOGETHER = 16,       /* items passed over at once */
  PIECE = 512
};

/* One call: lines of n elements along the axis. */
typedef struct ordering {
  const th_kernel_args *k_args;
  th_layout lines, out_lines; /* without the axis */
  th_dtype dtype;
  const char *data;
  void *values;    /* or NULL */
  int64_t *places; /* or NULL */
  void *room;
  int64_t n, n_lines, step, out_step, k; /* k: results per line */
  int64_t first, pieces;
  int bits; /* of keys */
  bool descending;
} ordering;

static const char *line_of(const ordering *o, int64_t line) {
  const th_layout *l = &o->lines;
  return o->data +
         th__offset_at(line, l->ndim, l->shape, l->strides) * (int64_t)th_dtype_size(o->dtype);
}

/* Small counts for short lines, few passes for long ones. */
static int digit_bits(int64_t n, int bits) { return n < 4096 || bits <= 16 ? 8 : 11; }

/* --- keys --- */

#define KEY_SIGNED(bits)                                                                           \
  static inline uint##bits##_t key_i##bits(uint##bits##_t x) {                                     \
    return x ^ (uint##bits##_t)((uint##bits##_t)1 << (bits - 1));                                  \
  }
KEY_SIGNED(8)
KEY_SIGNED(16)
KEY_SIGNED(32)
KEY_SIGNED(64)
#define key_u(x) (x)

/* Sign and magnitude turned to an unsigned integer; -0 is 0, every NaN the largest. */
#define KEY_FLOAT(id, bits, infinity)                                                              \
  static inline uint##bits##_t key_##id(uint##bits##_t x) {                                        \
    const uint##bits##_t sign = (uint##bits##_t)((uint##bits##_t)1 << (bits - 1));                 \
    uint##bits##_t size = x & (uint##bits##_t) ~sign;                                              \
    uint##bits##_t key = (x & sign) && size ? (uint##bits##_t)(sign - size) : size | sign;         \
    return size > (infinity) ? (uint##bits##_t) ~(uint##bits##_t)0 : key;                          \
  }
KEY_FLOAT(f16, 16, 0x7c00)
KEY_FLOAT(bf16, 16, 0x7f80)
KEY_FLOAT(f32, 32, 0x7f800000)
KEY_FLOAT(f64, 64, UINT64_C(0x7ff0000000000000))

/* --- items: a word for keys of up to 32 bits, a pair for others --- */

#define MAKES                                                                                      \
  case TH_BOOL:                                                                                    \
  case TH_U8: MAKE(uint8_t, key_u, false) break;                                                   \
  case TH_U16: MAKE(uint16_t, key_u, false) break;                                                 \
  case TH_U32: MAKE(uint32_t, key_u, false) break;                                                 \
  case TH_I8: MAKE(uint8_t, key_i8, false) break;                                                  \
  case TH_I16: MAKE(uint16_t, key_i16, false) break;                                               \
  case TH_I32: MAKE(uint32_t, key_i32, false) break;                                               \
  case TH_F16: MAKE(uint16_t, key_f16, true) break;                                                \
  case TH_BF16: MAKE(uint16_t, key_bf16, true) break;                                              \
  case TH_F32:                                                                                     \
    MAKE(uint32_t, key_f32, true) break;
#define ITEM                uint64_t
#define KEY                 uint32_t
#define ID(name)            name##_words
#define ITEM_OF(key, index) ((uint64_t)(key) << 32 | (uint32_t)(index))
#define KEY_OF(item)        ((uint32_t)((item) >> 32))
#define INDEX_OF(item)      ((uint32_t)(item))
#define LESS(a, b)          ((a) < (b))
#define KEY_BEFORE(a, b)    ((a) < (b))
#include "ops/arrays/order.def"

typedef struct pair {
  uint64_t key, index;
} pair;
#define MAKES                                                                                      \
  case TH_U64: MAKE(uint64_t, key_u, false) break;                                                 \
  case TH_I64: MAKE(uint64_t, key_i64, false) break;                                               \
  case TH_F64:                                                                                     \
    MAKE(uint64_t, key_f64, true) break;
#define ITEM                pair
#define KEY                 uint64_t
#define ID(name)            name##_pairs
#define ITEM_OF(key, index) ((pair){(key), (uint64_t)(index)})
#define KEY_OF(item)        ((item).key)
#define INDEX_OF(item)      ((item).index)
#define LESS(a, b)          ((a).key < (b).key || ((a).key == (b).key && (a).index < (b).index))
#define KEY_BEFORE(a, b)    ((a).key < (b).key) /* of equal ones those that came before stay */
#include "ops/arrays/order.def"

/* --- inference --- */

static th_status check_axis(const th_infer *io, int axis) {
  const th_layout *in = &io->in[0];
  if (axis < 0 || axis >= in->ndim)
    return th__fail(TH_ESHAPE, "%s: axis %d of %d dimensions", io->op->name, axis, in->ndim);
  if (in->shape[axis] > INT32_MAX)
    return th__fail(TH_EOVERFLOW, "%s: %lld elements along axis %d, at most 2^31 - 1 are possible",
                    io->op->name, (long long)in->shape[axis], axis);
  return TH_OK;
}

static int64_t item_bytes(th_dtype t) {
  return th_dtype_size(t) == 8 ? (int64_t)sizeof(pair) : (int64_t)sizeof(uint64_t);
}

static int64_t sort_workspace(th_dtype t, int64_t n) {
  int64_t line = 2 * n * item_bytes(t);
  if (n <= STACK) return 0;
  return n < LONG ? GROUP * line : line + PARTS * MOST_BUCKETS * 4;
}

static th_status infer_order(th_infer *io, const void *params, th_dtype t) {
  int axis = ((const th__sort_params *)params)->axis;
  const th_layout *in = &io->in[0];
  TH_TRY(check_axis(io, axis));
  TH_TRY(th__infer_same(io, params));
  io->out[0].dtype = t;
  io->workspace = sort_workspace(in->dtype, in->shape[axis]);
  return TH_OK;
}

static th_status infer_sort(th_infer *io, const void *params) {
  return infer_order(io, params, io->in[0].dtype);
}

static th_status infer_argsort(th_infer *io, const void *params) {
  return infer_order(io, params, TH_I64);
}

/* Whether the few wanted are selected instead of sorting all. */
static bool selects(int64_t n, int64_t k) {
  return k > 0 && 2 * k + INSERTION <= SELECTED && n > 4 * k;
}

static int64_t pieces_of(int64_t n) { return n / LONG + (n % LONG != 0); }

static th_status infer_topk(th_infer *io, const void *params) {
  const th__topk_params *p = params;
  const th_layout *in = &io->in[0];
  TH_TRY(check_axis(io, p->axis));
  int64_t n = in->shape[p->axis], lines = 1;
  if (p->k < 0 || p->k > n)
    return th__fail(TH_EINVAL, "topk: %lld of %lld elements", (long long)p->k, (long long)n);
  for (int j = 0; j < 2; j++) {
    th__layout_copy(&io->out[j], in);
    io->out[j].offset = 0;
    io->out[j].shape[p->axis] = p->k;
  }
  io->out[1].dtype = TH_I64;
  for (int d = 0; d < in->ndim; d++)
    if (d != p->axis) lines *= in->shape[d];
  if (!selects(n, p->k))
    io->workspace = sort_workspace(in->dtype, n);
  else if (pieces_of(n) > 1)
    io->workspace = lines * pieces_of(n) * (p->k + 1) * item_bytes(in->dtype);
  return TH_OK;
}

/* n log n comparisons, as sorting is usually counted. */
static th_cost cost_order(const th_infer *io, const void *params) {
  int64_t size = th__layout_size(&io->in[0]), log = 1;
  int64_t n = io->in[0].ndim > 0 ? io->in[0].shape[((const th__sort_params *)params)->axis] : 1;
  for (; n > 1; n /= 2) log++;
  int64_t bytes = th__layout_bytes(&io->in[0]) + th__layout_bytes(&io->out[0]);
  return (th_cost){.flops = size * log, .bytes = bytes};
}

static th_cost cost_topk(const th_infer *io, const void *params) {
  int64_t bytes = th__layout_bytes(&io->in[0]) + th__layout_bytes(&io->out[0]);
  return (th_cost){.flops = th__layout_size(&io->in[0]),
                   .bytes = bytes + th__layout_bytes(&io->out[1])};
}

/* --- kernels --- */

static ordering ordering_of(const th_kernel_args *k, int axis, bool descending) {
  const th_layout *in = &k->in[0], *out = &k->out[0];
  return (ordering){.k_args = k,
                    .lines = th__layout_part(in, axis, 1, false),
                    .out_lines = th__layout_part(out, axis, 1, false),
                    .dtype = in->dtype,
                    .data = k->in_data[0],
                    .room = k->workspace,
                    .n = in->shape[axis],
                    .n_lines = in->shape[axis] > 0 ? th__layout_size(in) / in->shape[axis] : 0,
                    .step = in->strides[axis],
                    .out_step = out->strides[axis],
                    .k = out->shape[axis],
                    .pieces = pieces_of(in->shape[axis]),
                    .bits = 8 * (int)th_dtype_size(in->dtype),
                    .descending = descending};
}

static void sort_all(ordering *o) {
  if (o->n_lines == 0 || o->k == 0) return;
  (o->bits == 64 ? sort_lines_pairs : sort_lines_words)(o);
}

static th_status sort_cpu(const th_kernel_args *k) {
  const th__sort_params *p = k->params;
  ordering o = ordering_of(k, p->axis, p->descending);
  o.values = k->out_data[0];
  sort_all(&o);
  return TH_OK;
}

static th_status argsort_cpu(const th_kernel_args *k) {
  const th__sort_params *p = k->params;
  ordering o = ordering_of(k, p->axis, p->descending);
  o.places = k->out_data[0];
  sort_all(&o);
  return TH_OK;
}

static th_status topk_cpu(const th_kernel_args *k) {
  const th__topk_params *p = k->params;
  ordering o = ordering_of(k, p->axis, p->largest);
  o.values = k->out_data[0];
  o.places = k->out_data[1];
  if (!selects(o.n, o.k))
    sort_all(&o);
  else if (o.n_lines > 0)
    (o.bits == 64 ? select_lines_pairs : select_lines_words)(&o);
  return TH_OK;
}

/* --- gradients: back to where the elements came from --- */

static th_status vjp_sort(const th_vjp *v) {
  const th__sort_params *p = v->params;
  th_array *places = th_argsort(v->inputs[0], p->axis, p->descending);
  v->result[0] = th__add_along(places, v->gradients[0], p->axis, v->in[0].shape[p->axis]);
  th_release(places);
  return th__vjp_check(v);
}

static th_status vjp_topk(const th_vjp *v) {
  int axis = ((const th__topk_params *)v->params)->axis;
  v->result[0] = v->gradients[0]
                     ? th__add_along(v->outputs[1], v->gradients[0], axis, v->in[0].shape[axis])
                     : th_multiply_scalar(v->inputs[0], 0);
  return th__vjp_check(v);
}

/* --- records and public functions --- */

static const th_op op_sort = {
    .name = "sort",
    .in = {1, 0},
    .out = {1, 0},
    .saves = TH_SAVE_IN(0),
    .dtypes = TH_ANY,
    .params_size = sizeof(th__sort_params),
    .infer = infer_sort,
    .vjp = vjp_sort,
    .cost = cost_order,
    .cpu = sort_cpu,
    .test = {-2, 2, 1e-4},
};

static const th_op op_argsort = {
    .name = "argsort",
    .in = {1, 0},
    .out = {1, 0},
    .flags = TH_OP_FLAT,
    .dtypes = TH_ANY,
    .params_size = sizeof(th__sort_params),
    .infer = infer_argsort,
    .cost = cost_order,
    .cpu = argsort_cpu,
    .test = {-2, 2, 0},
};

static th_array *call(const th_op *op, const th_array *a, int axis, bool descending) {
  th__sort_params p = {axis, descending};
  if (a && th__axis(axis, a->layout.ndim, op->name, &p.axis) != TH_OK) return NULL;
  return TH_CALL(op, &p, a);
}

th_array *th_sort(const th_array *a, int axis, bool descending) {
  return call(&op_sort, a, axis, descending);
}

th_array *th_argsort(const th_array *a, int axis, bool descending) {
  return call(&op_argsort, a, axis, descending);
}

static const th_op op_topk = {
    .name = "topk",
    .in = {1, 0},
    .out = {2, 0},
    .saves = TH_SAVE_IN(0) | TH_SAVE_OUT(1),
    .dtypes = TH_ANY,
    .params_size = sizeof(th__topk_params),
    .infer = infer_topk,
    .vjp = vjp_topk,
    .cost = cost_topk,
    .cpu = topk_cpu,
    .test = {-2, 2, 1e-4},
};

th_status th_topk(const th_array *a, int64_t k, int axis, bool largest, th_array **values,
                  th_array **indices) {
  th_array *out[2];
  th__topk_params p = {.axis = axis, .largest = largest, .k = k};
  if (a) TH_TRY(th__axis(axis, a->layout.ndim, "topk", &p.axis));
  TH_TRY(th__invoke(&op_topk, &p, &a, 1, out, 2));
  if (values)
    *values = out[0];
  else
    th_release(out[0]);
  if (indices)
    *indices = out[1];
  else
    th_release(out[1]);
  return TH_OK;
}

TH_FAMILY_TABLE(order);
const th_op *const th__family_order[] = {&op_sort, &op_argsort, &op_topk, NULL};
