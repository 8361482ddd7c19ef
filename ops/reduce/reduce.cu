/* Kernels of reductions over any set of axes, and of argmax and argmin.
 *
 * A block has `outs` neighbouring outputs and 256 / outs lanes for each. A lane folds every lanes-th element of a chunk in order;
 * lanes are joined in a tree. All of that follows from the shape and the strides, so bits do not depend on the device. */
#include "ops/cuda/lines.cuh"
#include "ops/reduce/map_kind.h"

/* A finished value, divided if a mean is wanted, in whatever type results have. */
template <class T>
static __device__ __noinline__ void th__finish(const th__cuda_reduction &r, void *out, int64_t i,
                                               T v) {
  if (!r.divide)
    th__store(r.out_dtype, out, i, v);
  else if (sizeof(T) == sizeof(float))
    th__store(r.out_dtype, out, i, (float)v / (float)r.count);
  else
    th__store(r.out_dtype, out, i, (double)v / (double)r.count);
}

/* R folds values of type T; L loads an element of a for an output. */
template <class T, class R, class L>
TH_DEVICE void th__reduce(void *out, const void *a, const th__cuda_reduction &r, L load) {
  TH_SHARED T lane_of[TH_BLOCK];
  const int lanes = TH_BLOCK / r.outs;
  const int64_t tile = blockIdx.x / r.chunks, chunk = blockIdx.x % r.chunks;
  const int64_t first = chunk * r.chunk;
  const int64_t last = first + r.chunk < r.n_reduced ? first + r.chunk : r.n_reduced;
  TH_PHASE {
    int64_t output = tile * r.outs + th__column(r), lane = first + th__lane(r);
    if (output < r.n_out && lane < last) {
      int64_t base = th__place(r.kept, output);
      T sum = load(a, base + th__place(r.reduced, lane), output);
      if (r.reduced.shape.ndim == 1) {
        const int64_t step = lanes * r.reduced.strides[0];
        int64_t at = base + (lane + lanes) * r.reduced.strides[0];
#pragma unroll 4
        for (int64_t i = lane + lanes; i < last; i += lanes, at += step)
          sum = R::join(sum, load(a, at, output));
      } else {
        for (int64_t i = lane + lanes; i < last; i += lanes)
          sum = R::join(sum, load(a, base + th__place(r.reduced, i), output));
      }
      lane_of[th__lane(r) * r.outs + th__column(r)] = sum;
    }
  }
  th__tree<T, R>(lane_of, r, last - first);
  TH_PHASE {
    int64_t output = tile * r.outs + th__column(r);
    if (th__lane(r) == 0 && output < r.n_out) {
      T v = lane_of[th__column(r)];
      if (r.chunks > 1)
        ((T *)out)[chunk * r.n_out + output] = v;
      else
        th__finish(r, out, output, v);
    }
  }
}

/* Types with the type to fold in. */
#define TH_REDUCED(X)                                                                              \
  X(single, float)                                                                                 \
  X(f64, double)                                                                                   \
  X(i8, int64_t)                                                                                   \
  X(i16, int64_t)                                                                                  \
  X(i32, int64_t)                                                                                  \
  X(i64, int64_t) X(u8, uint64_t) X(u16, uint64_t) X(u32, uint64_t) X(u64, uint64_t) X(b8, int64_t)

#define REDUCE(t, id, T)                                                                           \
  TH_BLOCK_KERNEL(reduce_##id##_##t, "wrv", void *out, const void *a, TH_LINES) {                  \
    const int dtype = r.dtype;                                                                     \
    th__reduce<T, th__##id<T>>(out, a, r, [dtype](const void *p, int64_t i, int64_t) -> T {        \
      return (T)th__operand<t>(p, dtype).get(i);                                                   \
    });                                                                                            \
  }
#define FOLDS(t, T) REDUCE(t, sum, T) REDUCE(t, prod, T) REDUCE(t, max, T) REDUCE(t, min, T)
TH_REDUCED(FOLDS)

/* all and any: elements count as != 0. */
#define TEST(t, id, fold)                                                                          \
  TH_BLOCK_KERNEL(reduce_##id##_##t, "wrv", void *out, const void *a, TH_LINES) {                  \
    const int dtype = r.dtype;                                                                     \
    th__reduce<int, fold<int>>(out, a, r, [dtype](const void *p, int64_t i, int64_t) -> int {      \
      return th__operand<t>(p, dtype).get(i) != 0;                                                 \
    });                                                                                            \
  }
#define TESTS(t, T) TEST(t, all, th__min) TEST(t, any, th__max)
TH_REDUCED(TESTS)

#define COUNT(t, T)                                                                                \
  TH_BLOCK_KERNEL(reduce_count_##t, "wrv", void *out, const void *a, TH_LINES) {                   \
    const int dtype = r.dtype;                                                                     \
    th__reduce<int64_t, th__sum<int64_t>>(out, a, r,                                               \
                                          [dtype](const void *p, int64_t i, int64_t) -> int64_t {  \
                                            return th__operand<t>(p, dtype).get(i) != 0;           \
                                          });                                                      \
  }
TH_REDUCED(COUNT)

/* --- elements mapped first --- */

template <class T> static __device__ __noinline__ T th__map_of(int map, T x, T shift, T number) {
  switch (map) {
  case TH__MAP_DEVIATION: return (x - shift) * (x - shift);
  case TH__MAP_EXP: return exp(x - shift);
  case TH__MAP_ABS: return fabs(x);
  case TH__MAP_SQUARE: return x * x;
  case TH__MAP_POWER: return pow(fabs(x), number);
  default: return (T)(x != 0);
  }
}

/* Shifts lie as the outputs do, and may be missing. */
#define MAPPED(t, id, T)                                                                           \
  TH_BLOCK_KERNEL(mapped_##id##_##t, "wrrvvv", void *out, const void *a, const T *shifts,          \
                  int32_t map, double number, TH_LINES) {                                          \
    const int dtype = r.dtype;                                                                     \
    th__reduce<T, th__##id<T>>(out, a, r, [=](const void *p, int64_t i, int64_t output) -> T {     \
      T shift = shifts ? shifts[output] : (T)0;                                                    \
      return th__map_of<T>(map, th__operand<t>(p, dtype).get(i), shift, (T)number);                \
    });                                                                                            \
  }
#define MAPPINGS(t, T) MAPPED(t, sum, T) MAPPED(t, max, T) MAPPED(t, min, T)
MAPPINGS(single, float)
MAPPINGS(f64, double)

TH_DEVICE double th__end_of(int end, double folded, double shift, double number) {
  switch (end) {
  case TH__END_ROOT: return sqrt(folded);
  case TH__END_POWER: return pow(folded, 1 / number);
  case TH__END_VAR: return folded / number;
  case TH__END_STD: return sqrt(folded / number);
  case TH__END_LOGARITHM: return shift - shift == 0 ? log(folded) + shift : shift;
  default: return folded;
  }
}

TH_KERNEL(finish_mapped, "wrrvvvvv", void *out, const void *folded, const void *shifts, int64_t n,
          int32_t wide, int32_t dtype, int32_t end, double number) {
  for (int64_t i = th__thread(); i < n; i += th__threads()) {
    double x = wide ? ((const double *)folded)[i] : (double)((const float *)folded)[i], s = 0;
    if (shifts) s = wide ? ((const double *)shifts)[i] : (double)((const float *)shifts)[i];
    th__store(dtype, out, i, th__end_of(end, x, s, number));
  }
}

/* --- argmax and argmin: the first place of the extreme, a NaN before every number --- */

template <class T> TH_DEVICE bool th__better(T a, T best, bool min) {
  return best == best && (a != a || (min ? a < best : a > best));
}

template <class A>
TH_DEVICE void th__arg(int64_t *out, const void *a, bool min, const th__cuda_reduction &r) {
  typedef typename A::C T;
  TH_SHARED T best[TH_BLOCK];
  TH_SHARED int64_t where[TH_BLOCK];
  const int lanes = TH_BLOCK / r.outs;
  const int64_t tile = blockIdx.x;
  const th__operand<A> x(a, r.dtype);
  TH_PHASE {
    int64_t output = tile * r.outs + th__column(r), lane = th__lane(r);
    if (output < r.n_out && lane < r.n_reduced) {
      int64_t base = th__place(r.kept, output), place = lane;
      T value = x.get(base + th__place(r.reduced, lane));
      for (int64_t i = lane + lanes; i < r.n_reduced; i += lanes) {
        T next = x.get(base + th__place(r.reduced, i));
        if (!th__better(next, value, min)) continue;
        value = next;
        place = i;
      }
      best[lane * r.outs + th__column(r)] = value;
      where[lane * r.outs + th__column(r)] = place;
    }
  }
  const int64_t filled = r.n_reduced < lanes ? r.n_reduced : lanes;
  for (int width = lanes / 2; width > 0; width /= 2) {
    TH_PHASE {
      int lane = th__lane(r), at = lane * r.outs + th__column(r), other = at + width * r.outs;
      if (lane < width && lane + width < filled && tile * r.outs + th__column(r) < r.n_out) {
        bool tie = !th__better(best[at], best[other], min) && where[other] < where[at];
        if (th__better(best[other], best[at], min) || tie) {
          best[at] = best[other];
          where[at] = where[other];
        }
      }
    }
  }
  TH_PHASE {
    int64_t output = tile * r.outs + th__column(r);
    if (th__lane(r) == 0 && output < r.n_out) out[output] = where[th__column(r)];
  }
}

#define ARG(t, T)                                                                                  \
  TH_BLOCK_KERNEL(arg_##t, "wrvv", int64_t *out, const void *a, int32_t min, TH_LINES) {           \
    th__arg<t>(out, a, min != 0, r);                                                               \
  }
TH_REDUCED(ARG)
