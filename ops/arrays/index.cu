/* Kernels of take, one_hot, and what adds or puts at indices. An index out of range writes `missing` in take and nothing elsewhere. */
#include "ops/cuda/convert.cuh"

#define SIZES(X) X(8, u8) X(16, u16) X(32, u32) X(64, u64)

/* out = a[index], steps of the axis apart. */
#define TAKE(bits, t)                                                                              \
  TH_KERNEL(take_##bits, "wrrvvvvv", void *out, const void *a, const void *indices, int64_t limit, \
            int64_t step, int64_t index_dtype, uint64_t missing, TH_WALK) {                        \
    for (int64_t i = th__thread(); i < w.size; i += th__threads()) {                               \
      int64_t at[3];                                                                               \
      th__offsets(w, i, at);                                                                       \
      int64_t index = th__load_index((int)index_dtype, indices, at[2]);                            \
      ((t::S *)out)[at[0]] =                                                                       \
          index >= 0 && index < limit ? ((const t::S *)a)[at[1] + index * step] : (t::S)missing;   \
    }                                                                                              \
  }
SIZES(TAKE)

/* out[index] = value, for each index in a row of its own. */
#define PUT(bits, t)                                                                               \
  TH_KERNEL(put_##bits, "wrvvvv", void *out, const void *indices, int64_t limit,                   \
            int64_t index_dtype, uint64_t value, TH_WALK) {                                        \
    for (int64_t i = th__thread(); i < w.size; i += th__threads()) {                               \
      int64_t at[2];                                                                               \
      th__offsets(w, i, at);                                                                       \
      int64_t index = th__load_index((int)index_dtype, indices, at[1]);                            \
      if (index >= 0 && index < limit) ((t::S *)out)[at[0] + index] = (t::S)value;                 \
    }                                                                                              \
  }
SIZES(PUT)

/* to[indices[i], c] += from[i, c] for i in order. The walk goes over columns c. A thread has a column and every groups-th row of
 * the target, so no two threads write the same element and sums have one order. */
template <class A>
TH_DEVICE void th__add_rows(void *to, const void *from, const int64_t *indices, int64_t n,
                            int64_t to_step, int64_t from_step, int64_t limit, int64_t groups,
                            int from_dtype, const th__cuda_walk &w) {
  typedef typename A::W W;
  const th__operand<A> y(to, w.dtype), x(from, from_dtype);
  for (int64_t i = th__thread(); i < w.size * groups; i += th__threads()) {
    int64_t at[2], group = i / w.size;
    th__offsets(w, i % w.size, at);
    for (int64_t j = 0; j < n; j++) {
      int64_t row = indices[j];
      if (row < 0 || row >= limit || row % groups != group) continue;
      int64_t here = at[0] + row * to_step;
      y.put(here, (typename A::C)((W)y.get(here) + (W)x.get(at[1] + j * from_step)));
    }
  }
}

#define ADD_ROWS(t, ...)                                                                           \
  TH_KERNEL(add_rows_##t, "brrvvvvvvv", void *to, const void *from, const int64_t *indices,        \
            int64_t n, int64_t to_step, int64_t from_step, int64_t limit, int64_t groups,          \
            int64_t from_dtype, TH_WALK) {                                                         \
    th__add_rows<t>(to, from, indices, n, to_step, from_step, limit, groups, (int)from_dtype, w);  \
  }
TH_FLOATING(ADD_ROWS, )
TH_INTEGERS(ADD_ROWS, )

/* The same, but the last one stays. */
#define PUT_ROWS(bits, t)                                                                          \
  TH_KERNEL(put_rows_##bits, "brrvvvvvvv", void *to, const void *from, const int64_t *indices,     \
            int64_t n, int64_t to_step, int64_t from_step, int64_t limit, int64_t groups,          \
            int64_t from_dtype, TH_WALK) {                                                         \
    for (int64_t i = th__thread(); i < w.size * groups; i += th__threads()) {                      \
      int64_t at[2], group = i / w.size;                                                           \
      th__offsets(w, i % w.size, at);                                                              \
      for (int64_t j = 0; j < n; j++) {                                                            \
        int64_t row = indices[j];                                                                  \
        if (row >= 0 && row < limit && row % groups == group)                                      \
          ((t::S *)to)[at[0] + row * to_step] = ((const t::S *)from)[at[1] + j * from_step];       \
      }                                                                                            \
    }                                                                                              \
  }
SIZES(PUT_ROWS)

/* A thread has a line along the axis: to[indices[j]] += g[j] for j in order. dtypes: of g, then of the indices. */
template <class A>
TH_DEVICE void th__add_along(void *to, const void *g, const void *indices, int64_t n, int64_t limit,
                             int64_t to_step, int64_t g_step, int64_t index_step, int64_t dtypes,
                             const th__cuda_walk &w) {
  typedef typename A::W W;
  const th__operand<A> y(to, w.dtype), x(g, (int)(dtypes & 255));
  for (int64_t i = th__thread(); i < w.size; i += th__threads()) {
    int64_t at[3];
    th__offsets(w, i, at);
    for (int64_t j = 0; j < n; j++) {
      int64_t index = th__load_index((int)(dtypes >> 8), indices, at[2] + j * index_step);
      if (index < 0 || index >= limit) continue;
      int64_t here = at[0] + index * to_step;
      y.put(here, (typename A::C)((W)y.get(here) + (W)x.get(at[1] + j * g_step)));
    }
  }
}

#define ADD_ALONG(t, ...)                                                                          \
  TH_KERNEL(add_along_##t, "brrvvvvvvv", void *to, const void *g, const void *indices, int64_t n,  \
            int64_t limit, int64_t to_step, int64_t g_step, int64_t index_step, int64_t dtypes,    \
            TH_WALK) {                                                                             \
    th__add_along<t>(to, g, indices, n, limit, to_step, g_step, index_step, dtypes, w);            \
  }
TH_FLOATING(ADD_ALONG, )
TH_INTEGERS(ADD_ALONG, )
