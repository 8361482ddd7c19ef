/* Lines of elements and how the threads of a block share them. */
#ifndef THRUM_OPS_CUDA_LINES_CUH
#define THRUM_OPS_CUDA_LINES_CUH

#include "ops/cuda/convert.cuh"
#include "ops/cuda/reduce.h"

#define TH_LINES const __grid_constant__ th__cuda_reduction r
#define TH_BLOCK 256

/* Several dimensions. Not inlined: it is long, and lines of one dimension need none of it. */
static __device__ __noinline__ int64_t th__place_in(const th__cuda_place &p, int64_t index) {
  int64_t at = 0;
  if (index >> 31) {
    for (int d = p.shape.ndim - 1; d >= 0; d--) {
      at += index % p.sizes[d] * p.strides[d];
      index /= p.sizes[d];
    }
    return at;
  }
  uint32_t rest = (uint32_t)index, here;
  for (int d = p.shape.ndim - 1; d > 0; d--) {
    rest = th__divide(p.shape, d, rest, &here);
    at += here * p.strides[d];
  }
  return at + rest * p.strides[0];
}

TH_DEVICE int64_t th__place(const th__cuda_place &p, int64_t index) {
  return p.shape.ndim > 1 ? th__place_in(p, index) : p.shape.ndim == 1 ? index * p.strides[0] : 0;
}

/* Lane and output of a thread within its block. */
TH_DEVICE int th__lane(const th__cuda_reduction &r) {
  return r.columns ? threadIdx.x / r.outs : threadIdx.x % (TH_BLOCK / r.outs);
}
TH_DEVICE int th__column(const th__cuda_reduction &r) {
  return r.columns ? threadIdx.x % r.outs : threadIdx.x / (TH_BLOCK / r.outs);
}

/* --- folds --- */

/* Signed integers wrap as unsigned ones. */
template <class T> struct th__wrapping { typedef T type; };
template <> struct th__wrapping<int64_t> { typedef uint64_t type; };
template <class T> struct th__sum {
  typedef typename th__wrapping<T>::type W;
  static __device__ T join(T a, T b) { return (T)((W)a + (W)b); }
};
template <class T> struct th__prod {
  typedef typename th__wrapping<T>::type W;
  static __device__ T join(T a, T b) { return (T)((W)a * (W)b); }
};
/* NaN in b fails the comparison and is then taken; NaN in a stays, as no b compares with it. */
template <class T> struct th__max {
  static __device__ T join(T a, T b) { return b > a || b != b ? b : a; }
};
template <class T> struct th__min {
  static __device__ T join(T a, T b) { return b < a || b != b ? b : a; }
};

/* Joins the lanes of each output into lane 0; only as many as there were elements have folded something. */
template <class T, class R>
TH_DEVICE void th__tree(T *lane_of, const th__cuda_reduction &r, int64_t n) {
  const int lanes = TH_BLOCK / r.outs;
  const int64_t filled = n < lanes ? n : lanes, first = (int64_t)(blockIdx.x / r.chunks) * r.outs;
  for (int width = lanes / 2; width > 0; width /= 2) {
    TH_PHASE {
      int lane = th__lane(r), at = lane * r.outs + th__column(r);
      if (lane < width && lane + width < filled && first + th__column(r) < r.n_out)
        lane_of[at] = R::join(lane_of[at], lane_of[at + width * r.outs]);
    }
  }
}

#endif
