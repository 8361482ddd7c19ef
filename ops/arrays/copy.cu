/* Kernels that copy, cast, fill and choose: of any type by the bits of an element, casts by both types. */
#include "ops/cuda/convert.cuh"

#define SIZES(X) X(8, u8) X(16, u16) X(32, u32) X(64, u64)

#define MOVE(bits, t)                                                                              \
  TH_KERNEL(move_##bits, "wrv", void *out, const void *a, TH_WALK) {                               \
    th__map<t, t>(out, a, w, [](t::C x) -> t::C { return x; });                                    \
  }
SIZES(MOVE)

#define FILL(bits, t)                                                                              \
  TH_KERNEL(fill_##bits, "wvv", void *out, uint64_t cell, TH_WALK) {                               \
    th__fill<t>(out, (t::S)cell, w);                                                               \
  }
template <class A> TH_DEVICE void th__fill(void *out, typename A::S s, const th__cuda_walk &w) {
  const int N = th__width<A, A>::value;
  const th__operand<A> o(out, 0);
  int64_t done = 0;
  if (w.shape.ndim == 0 && th__aligned(out)) {
    typename A::C all[N];
#pragma unroll
    for (int j = 0; j < N; j++) all[j] = s;
    for (int64_t i = th__thread(); i < w.size / N; i += th__threads()) o.template give<N>(i, all);
    done = w.size / N * N;
  }
  for (int64_t i = done + th__thread(); i < w.size; i += th__threads()) {
    int64_t at[1];
    th__offsets(w, i, at);
    o.put(at[0], s);
  }
}
SIZES(FILL)

#define WHERE(bits, t)                                                                             \
  TH_KERNEL(where_##bits, "wrrrv", void *out, const void *a, const void *b, const void *c,         \
            TH_WALK) {                                                                             \
    for (int64_t i = th__thread(); i < w.size; i += th__threads()) {                               \
      int64_t at[4];                                                                               \
      th__offsets(w, i, at);                                                                       \
      bool chosen = ((const uint8_t *)a)[at[1]] != 0;                                              \
      ((t::S *)out)[at[0]] = chosen ? ((const t::S *)b)[at[2]] : ((const t::S *)c)[at[3]];         \
    }                                                                                              \
  }
SIZES(WHERE)

#define CLIP(t, ...)                                                                               \
  TH_KERNEL(clip_##t, "wrvvv", void *out, const void *a, uint64_t low, uint64_t high, TH_WALK) {   \
    typedef t::C T;                                                                                \
    const T lo = th__operand<t>(&low, w.dtype).get(0), hi = th__operand<t>(&high, w.dtype).get(0); \
    th__map<t, t>(out, a, w,                                                                       \
                  [lo, hi](T x) -> T { return (x < lo ? lo : x) > hi ? hi : (x < lo ? lo : x); }); \
  }
TH_FLOATING(CLIP, )
TH_INTEGERS(CLIP, )

/* --- casts: to one type from the type in w.dtype --- */

template <class O, class A>
TH_DEVICE void th__cast(void *out, const void *a, const th__cuda_walk &w) {
  const int N = th__width<O, A, 4>::value;
  const th__operand<A> x(a, 0);
  typename O::S *o = (typename O::S *)out;
  int64_t done = 0;
  if (w.shape.ndim == 0 && th__aligned(out) && th__aligned(a)) {
    for (int64_t i = th__thread(); i < w.size / N; i += th__threads()) {
      typename A::C from[N];
      th__pack<O, N> to;
      x.template take<N>(i, from);
#pragma unroll
      for (int j = 0; j < N; j++) to.element[j] = th__to<O>::from(from[j]);
      ((typename th__raw<sizeof(typename O::S) * N>::type *)out)[i] = to.raw;
    }
    done = w.size / N * N;
  }
  for (int64_t i = done + th__thread(); i < w.size; i += th__threads()) {
    int64_t at[2];
    th__offsets(w, i, at);
    o[at[0]] = th__to<O>::from(x.get(at[1]));
  }
}

template <class O> TH_DEVICE void th__cast_to(void *out, const void *a, const th__cuda_walk &w) {
  switch (w.dtype) {
#define TH_CASE(t, NAME)                                                                           \
  case TH_##NAME: th__cast<O, t>(out, a, w); break;
    TH_NAMED(TH_CASE)
#undef TH_CASE
  default: break;
  }
}

#define CAST(t, NAME)                                                                              \
  TH_KERNEL(cast_##t, "wrv", void *out, const void *a, TH_WALK) { th__cast_to<t>(out, a, w); }
TH_NAMED(CAST)

/* first + i step; the last element is `last` if it has an end. */
TH_KERNEL(ramp, "wvvvvvv", void *out, int64_t n, int32_t dtype, int32_t ends, double first,
          double step, double last) {
  for (int64_t i = th__thread(); i < n; i += th__threads())
    th__store(dtype, out, i, ends && i == n - 1 ? last : first + (double)i * step);
}
