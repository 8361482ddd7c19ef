/* Owns searchsorted: by bisection, in the order that sort has. */
#include "engine/base/error.h"
#include "ops/op.h"
#include "ops/params_arrays.h"
#include "ops/loops/runs.h"

enum { PIECE = 256 };

static th_status infer_search(th_infer *io, const void *params) {
  if (io->in[0].dtype != io->in[1].dtype)
    return th__fail(TH_EDTYPE, "searchsorted: element types %s and %s differ",
                    th_dtype_name(io->in[0].dtype), th_dtype_name(io->in[1].dtype));
  if (io->in[0].ndim != 1)
    return th__fail(TH_ESHAPE, "searchsorted: argument 0 has %d dimensions, 1 is wanted",
                    io->in[0].ndim);
  th__layout_copy(&io->out[0], &io->in[1]);
  io->out[0].offset = 0;
  io->out[0].dtype = TH_I64;
  io->workspace = io->in[0].shape[0] * th__compute_size(th__compute_of(io->in[0].dtype));
  return TH_OK;
}

typedef struct search {
  const th_kernel_args *k;
  const void *sorted; /* in the type computed in */
  int64_t n;
  th__compute type;
  bool right;
} search;

/* How many sorted elements come before x, or (right) not after it. NaN comes after every number. */
#define BISECT(id, T)                                                                              \
  static int64_t bisect_##id(const T *sorted, int64_t n, T x, bool right) {                        \
    const T *at = sorted;                                                                          \
    while (n > 0) {                                                                                \
      int64_t half = n / 2;                                                                        \
      T y = at[half];                                                                              \
      bool before = y < x || (y == y && x != x);                                                   \
      bool equal = y == x || (y != y && x != x);                                                   \
      if (before || (right && equal)) {                                                            \
        at += half + 1;                                                                            \
        n -= half + 1;                                                                             \
      } else {                                                                                     \
        n = half;                                                                                  \
      }                                                                                            \
    }                                                                                              \
    return at - sorted;                                                                            \
  }
BISECT(f32, float)
BISECT(f64, double)
BISECT(i64, int64_t)
BISECT(u64, uint64_t)

static void bisect(const search *s, const void *x, int64_t n, int64_t *out) {
#define EACH(id, T)                                                                                \
  for (int64_t i = 0; i < n; i++) out[i] = bisect_##id(s->sorted, s->n, ((const T *)x)[i], s->right)
  switch (s->type) {
  case TH__F32: EACH(f32, float); break;
  case TH__F64: EACH(f64, double); break;
  case TH__I64: EACH(i64, int64_t); break;
  default: EACH(u64, uint64_t); break;
  }
#undef EACH
}

static void search_values(int64_t first, int64_t last, void *arg) {
  const search *s = arg;
  const th_layout *l = &s->k->in[1];
  int64_t item = (int64_t)th_dtype_size(l->dtype), *out = (int64_t *)s->k->out_data[0] + first;
  th__runs walk;
  th__runs_begin(&walk, &l, 1, first, last);
  while (th__runs_next(&walk))
    for (int64_t i = 0; i < walk.run; i += PIECE) {
      th__word room[PIECE];
      int64_t n = walk.run - i < PIECE ? walk.run - i : PIECE;
      const char *from =
          (const char *)s->k->in_data[1] + (walk.offset[0] + i * walk.step[0]) * item;
      bisect(s, th__gathered(l->dtype, from, walk.step[0], n, room), n, out);
      out += n;
    }
}

static th_status search_cpu(const th_kernel_args *k) {
  const th_layout *sorted = &k->in[0];
  search s = {.k = k,
              .n = sorted->shape[0],
              .type = th__compute_of(sorted->dtype),
              .right = ((const th__search_params *)k->params)->right};
  s.sorted = th__gathered(sorted->dtype, k->in_data[0], sorted->strides[0], s.n, k->workspace);
  int64_t cost = 1;
  for (int64_t n = s.n; n > 0; n /= 2) cost += 2;
  th_parallel_for(k->context, th__layout_size(&k->out[0]), th__grain(cost), search_values, &s);
  return TH_OK;
}

static const th_op op_search = {
    .name = "searchsorted",
    .in = {2, 0},
    .out = {1, 0},
    .flags = TH_OP_FLAT,
    .dtypes = TH_ANY,
    .params_size = sizeof(th__search_params),
    .infer = infer_search,
    .cpu = search_cpu,
    .test = {-2, 2, 0},
};

th_array *th_searchsorted(const th_array *sorted, const th_array *values, bool right) {
  th__search_params p = {right};
  if (!sorted || !values || sorted->layout.dtype == values->layout.dtype)
    return TH_CALL(&op_search, &p, sorted, values);
  if (th__check_devices("searchsorted", (const th_array *const[]){sorted, values}, 2) != TH_OK)
    return NULL;
  th_scope scope = th__scope_suspend();
  th_array *x = NULL, *y = NULL, *out = NULL;
  if (th__promote_pair(sorted, values, &x, &y) == TH_OK) out = TH_CALL(&op_search, &p, x, y);
  th_release(x);
  th_release(y);
  return th__scope_resume(scope, out);
}

TH_FAMILY_TABLE(search);
const th_op *const th__family_search[] = {&op_search, NULL};
