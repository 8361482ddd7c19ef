/* Kernels of running sums and products along an axis. Floats of 32 bits and halves are added up in f64, integers in 64 bits. */
#include "ops/cuda/lines.cuh"

/* What values of type t are added up in, and how a result is stored: floats in their own type, integers in 64 bits. */
template <class A> struct th__running {
  typedef uint64_t T;
  static __device__ void put(void *out, int, int64_t i, T v) { ((uint64_t *)out)[i] = v; }
};
template <> struct th__running<single> {
  typedef double T;
  static __device__ void put(void *out, int dtype, int64_t i, T v) {
    th__operand<single>(out, dtype).put(i, (float)v);
  }
};
template <> struct th__running<f64> {
  typedef double T;
  static __device__ void put(void *out, int, int64_t i, T v) { ((double *)out)[i] = v; }
};

template <class T> TH_DEVICE T th__joined(T a, T b, bool product) {
  return product ? a * b : a + b;
}

/* A block has `chunk` elements of one line, a thread `each` of them in a row. The block begins with what precedes it (before,
 * by line and chunk), if that is known; with only_fold it just writes what it has folded there. */
template <class A>
TH_DEVICE void th__scan(void *out, const void *a, const void *before, int64_t n, int64_t in_step,
                        int64_t out_step, int64_t chunks, int64_t each, int what,
                        const th__cuda_place &in_lines, const th__cuda_place &out_lines,
                        int dtype) {
  typedef typename th__running<A>::T T;
  TH_SHARED T sums[2][TH_BLOCK];
  const bool product = what & 1, initial = what & 2, only_fold = what & 4;
  const int64_t line = blockIdx.x / chunks, chunk = blockIdx.x % chunks, size = each * TH_BLOCK;
  const int64_t from = th__place(in_lines, line), to = th__place(out_lines, line);
  const int64_t end = (chunk + 1) * size < n ? (chunk + 1) * size : n;
  const th__operand<A> x(a, dtype);
  TH_PHASE {
    T sum = product;
    int64_t first = chunk * size + threadIdx.x * each;
    for (int64_t i = first; i < first + each && i < end; i++)
      sum = th__joined(sum, (T)x.get(from + i * in_step), product);
    sums[0][threadIdx.x] = sum;
  }
  int now = 0;
  for (int width = 1; width < TH_BLOCK; width *= 2, now = 1 - now) {
    TH_PHASE {
      int i = threadIdx.x;
      T sum = sums[now][i];
      sums[1 - now][i] = i >= width ? th__joined(sums[now][i - width], sum, product) : sum;
    }
  }
  TH_PHASE {
    if (only_fold) {
      if (threadIdx.x == TH_BLOCK - 1) ((T *)out)[blockIdx.x] = sums[now][threadIdx.x];
    } else {
      T sum = before ? ((const T *)before)[blockIdx.x] : (T)product;
      if (initial && chunk == 0 && threadIdx.x == 0) th__running<A>::put(out, dtype, to, sum);
      if (threadIdx.x > 0) sum = th__joined(sum, sums[now][threadIdx.x - 1], product);
      int64_t first = chunk * size + threadIdx.x * each;
      for (int64_t i = first; i < first + each && i < end; i++) {
        sum = th__joined(sum, (T)x.get(from + i * in_step), product);
        th__running<A>::put(out, dtype, to + (i + initial) * out_step, sum);
      }
    }
  }
}

/* A thread has a line: for many lines side by side. */
template <class A>
TH_DEVICE void th__scan_down(void *out, const void *a, int64_t n, int64_t in_step, int64_t out_step,
                             int64_t what, const th__cuda_walk &w) {
  typedef typename th__running<A>::T T;
  const bool product = what & 1, initial = what & 2;
  const th__operand<A> x(a, w.dtype);
  for (int64_t i = th__thread(); i < w.size; i += th__threads()) {
    int64_t at[2];
    T sum = product;
    th__offsets(w, i, at);
    if (initial) th__running<A>::put(out, w.dtype, at[0], sum);
    for (int64_t j = 0; j < n; j++) {
      sum = th__joined(sum, (T)x.get(at[1] + j * in_step), product);
      th__running<A>::put(out, w.dtype, at[0] + (j + initial) * out_step, sum);
    }
  }
}

#define SCAN(t, ...)                                                                               \
  TH_BLOCK_KERNEL(scan_##t, "wrrvvvvvvvvv", void *out, const void *a, const void *before,          \
                  int64_t n, int64_t in_step, int64_t out_step, int64_t chunks, int64_t each,      \
                  int32_t what, int32_t dtype, const __grid_constant__ th__cuda_place in_lines,    \
                  const __grid_constant__ th__cuda_place out_lines) {                              \
    th__scan<t>(out, a, before, n, in_step, out_step, chunks, each, what, in_lines, out_lines,     \
                dtype);                                                                            \
  }                                                                                                \
  TH_KERNEL(scan_down_##t, "wrvvvvv", void *out, const void *a, int64_t n, int64_t in_step,        \
            int64_t out_step, int64_t what, TH_WALK) {                                             \
    th__scan_down<t>(out, a, n, in_step, out_step, what, w);                                       \
  }
TH_ALL(SCAN, )
