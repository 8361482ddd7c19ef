/* What every .cu file begins with: kernels, element types, and loops over strided operands.
 *
 * A file of kernels is also compiled as C++ for the host, where tests/fakecuda/shim.h comes first and gives the words of CUDA
 * another meaning. So kernels keep to a few rules. TH_KERNEL: every thread works alone. TH_BLOCK_KERNEL: the threads of a block
 * work together in phases; what lives from one phase to the next is in TH_SHARED memory, or is each thread's own: TH_OWN(type, id)
 * outside of phases, TH_MINE(id) in them. What else stands outside of phases is the same for all threads, and blocks have one dimension. Neither may depend on the number of blocks. The string after the name has
 * a letter for each parameter: r and w for memory that is read, written, b for both, v for a value. */
#ifndef THRUM_OPS_CUDA_KERNEL_CUH
#define THRUM_OPS_CUDA_KERNEL_CUH

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "thrum/base.h"
#include "ops/cuda/walk.h"

/* The C headers whose functions kernels call. What they include has been included above. */
#ifdef __CUDACC__
#define inline __host__ __device__ inline
#endif
#include "ndarray/half.h"
#include "ops/elementwise/binary_math.h"
#include "ops/elementwise/compare_math.h"
#include "ops/elementwise/unary_math.h"
#undef inline
#undef th__remainder
#undef th__floor_divide

#ifdef __CUDACC__
#define TH_KERNEL(id, access, ...)       extern "C" __global__ void id(__VA_ARGS__)
#define TH_BLOCK_KERNEL(id, access, ...) extern "C" __global__ void id(__VA_ARGS__)
#define TH_PHASE                         for (bool th__once = true; th__once; th__once = false, __syncthreads())
#define TH_SHARED                        __shared__
#define TH_OWN(type, id)                 type id
#define TH_MINE(id)                      id
#endif
#define TH_DEVICE static __device__ inline
#define TH_WALK   const __grid_constant__ th__cuda_walk w

/* --- element types: S as stored, C as computed with, W wrapping --- */

#define TH_ELEMENT(t, type, wide)                                                                  \
  struct t {                                                                                       \
    typedef type S, C;                                                                             \
    typedef wide W;                                                                                \
    static __device__ inline C get(S s) { return s; }                                              \
    static __device__ inline S put(C c) { return c; }                                              \
  };
TH_ELEMENT(b8, uint8_t, uint32_t)
TH_ELEMENT(u8, uint8_t, uint32_t)
TH_ELEMENT(u16, uint16_t, uint32_t)
TH_ELEMENT(u32, uint32_t, uint32_t)
TH_ELEMENT(u64, uint64_t, uint64_t)
TH_ELEMENT(i8, int8_t, uint32_t)
TH_ELEMENT(i16, int16_t, uint32_t)
TH_ELEMENT(i32, int32_t, uint32_t)
TH_ELEMENT(i64, int64_t, uint64_t)
TH_ELEMENT(f32, float, float)
TH_ELEMENT(f64, double, double)

TH_DEVICE float th__load_f16(uint16_t bits) {
#ifdef __CUDA_ARCH__
  float f;
  asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(bits));
  return f;
#else
  return th__f16_to_float(th_f16{bits});
#endif
}

TH_DEVICE uint16_t th__store_f16(float f) {
#ifdef __CUDA_ARCH__
  uint16_t bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(f));
  return bits;
#else
  return th__f16_from_float(f).bits;
#endif
}

struct f16 {
  typedef uint16_t S;
  typedef float C, W;
  static __device__ inline C get(S s) { return th__load_f16(s); }
  static __device__ inline S put(C c) { return th__store_f16(c); }
};

struct bf16 {
  typedef uint16_t S;
  typedef float C, W;
  static __device__ inline C get(S s) { return th__bf16_to_float(th_bf16{s}); }
  static __device__ inline S put(C c) { return th__bf16_from_float(c).bits; }
};

/* f32, f16 and bf16, whichever w.dtype says: all compute in float, so one kernel serves the three. */
struct single {
  typedef float S, C, W;
};

/* Sets of element types: X(t, ...) for each. */
#define TH_SIGNED(X, ...)                                                                          \
  X(i8, __VA_ARGS__) X(i16, __VA_ARGS__) X(i32, __VA_ARGS__) X(i64, __VA_ARGS__)
#define TH_UNSIGNED(X, ...)                                                                        \
  X(u8, __VA_ARGS__) X(u16, __VA_ARGS__) X(u32, __VA_ARGS__) X(u64, __VA_ARGS__)
#define TH_INTEGERS(X, ...) TH_SIGNED(X, __VA_ARGS__) TH_UNSIGNED(X, __VA_ARGS__)
#define TH_FLOATING(X, ...) X(single, __VA_ARGS__) X(f64, __VA_ARGS__)
#define TH_ALL(X, ...)      TH_FLOATING(X, __VA_ARGS__) TH_INTEGERS(X, __VA_ARGS__) X(b8, __VA_ARGS__)

/* All types with those of th_dtype, for switches: X(t, NAME). */
#define TH_NAMED_INTS(X)                                                                           \
  X(u8, U8) X(u16, U16) X(u32, U32) X(u64, U64) X(i8, I8) X(i16, I16) X(i32, I32) X(i64, I64)
#define TH_NAMED(X) X(b8, BOOL) TH_NAMED_INTS(X) X(f16, F16) X(bf16, BF16) X(f32, F32) X(f64, F64)

TH_DEVICE float th__remainder(float a, float b) { return th__remainder_f32(a, b); }
TH_DEVICE double th__remainder(double a, double b) { return th__remainder_f64(a, b); }
TH_DEVICE float th__floor_divide(float a, float b) { return th__floor_divide_f32(a, b); }
TH_DEVICE double th__floor_divide(double a, double b) { return th__floor_divide_f64(a, b); }

/* --- where threads and elements are --- */

TH_DEVICE int64_t th__thread() { return (int64_t)blockIdx.x * blockDim.x + threadIdx.x; }
TH_DEVICE int64_t th__threads() { return (int64_t)gridDim.x * blockDim.x; }

/* rest / size of dimension d, and the remainder. */
TH_DEVICE uint32_t th__divide(const th__cuda_shape &s, int d, uint32_t n, uint32_t *remainder) {
  uint32_t high = (uint32_t)((uint64_t)n * s.magic[d] >> 32), q = (high + n) >> s.shift[d];
  *remainder = n - q * s.size[d];
  return q;
}

/* Offsets of element `index` in the first N operands. */
template <int N>
TH_DEVICE void th__offsets(const th__cuda_walk &w, int64_t index, int64_t (&at)[N]) {
  if (w.shape.ndim == 0) {
    for (int k = 0; k < N; k++) at[k] = index;
    return;
  }
  uint32_t rest = (uint32_t)index, here;
  for (int k = 0; k < N; k++) at[k] = 0;
  for (int d = w.shape.ndim - 1; d > 0; d--) {
    rest = th__divide(w.shape, d, rest, &here);
    for (int k = 0; k < N; k++) at[k] += here * w.strides[d][k];
  }
  for (int k = 0; k < N; k++) at[k] += rest * w.strides[0][k];
}

/* --- operands: single elements, and packs of up to 16 bytes --- */

template <int bytes> struct th__raw;
template <> struct th__raw<16> { typedef uint4 type; };
template <> struct th__raw<8> { typedef uint2 type; };
template <> struct th__raw<4> { typedef uint32_t type; };
template <> struct th__raw<2> { typedef uint16_t type; };
template <> struct th__raw<1> { typedef uint8_t type; };

template <class A, int N> union th__pack {
  typename th__raw<sizeof(typename A::S) * N>::type raw;
  typename A::S element[N];
};

template <class A> struct th__operand {
  typename A::S *p;
  typedef typename A::C C;
  __device__ th__operand(const void *from, int) : p((typename A::S *)from) {}
  __device__ C get(int64_t i) const { return A::get(p[i]); }
  __device__ void put(int64_t i, C c) const { p[i] = A::put(c); }
  template <int N> __device__ void take(int64_t i, C (&out)[N]) const {
    th__pack<A, N> pack;
    pack.raw = ((const typename th__raw<sizeof(typename A::S) * N>::type *)p)[i];
#pragma unroll
    for (int j = 0; j < N; j++) out[j] = A::get(pack.element[j]);
  }
  template <int N> __device__ void give(int64_t i, const C (&in)[N]) const {
    th__pack<A, N> pack;
#pragma unroll
    for (int j = 0; j < N; j++) pack.element[j] = A::put(in[j]);
    ((typename th__raw<sizeof(typename A::S) * N>::type *)p)[i] = pack.raw;
  }
};

template <> struct th__operand<single> {
  void *p;
  int dtype;
  typedef float C;
  __device__ th__operand(const void *from, int t) : p((void *)from), dtype(t) {}
  __device__ float get(int64_t i) const {
    if (dtype == TH_F32) return ((const float *)p)[i];
    uint16_t bits = ((const uint16_t *)p)[i];
    return dtype == TH_F16 ? f16::get(bits) : bf16::get(bits);
  }
  __device__ void put(int64_t i, float c) const {
    if (dtype == TH_F32)
      ((float *)p)[i] = c;
    else
      ((uint16_t *)p)[i] = dtype == TH_F16 ? f16::put(c) : bf16::put(c);
  }
  template <int N> __device__ void take(int64_t i, float (&out)[N]) const {
    if (dtype == TH_F32)
      th__operand<f32>(p, 0).take(i, out);
    else if (dtype == TH_F16)
      th__operand<f16>(p, 0).take(i, out);
    else
      th__operand<bf16>(p, 0).take(i, out);
  }
  template <int N> __device__ void give(int64_t i, const float (&in)[N]) const {
    if (dtype == TH_F32)
      th__operand<f32>(p, 0).give(i, in);
    else if (dtype == TH_F16)
      th__operand<f16>(p, 0).give(i, in);
    else
      th__operand<bf16>(p, 0).give(i, in);
  }
};

/* Elements per access: 16 bytes of the widest operand, and no more than `most`. */
template <class O, class A, int most = 8> struct th__width {
  static const int widest = sizeof(typename O::S) > sizeof(typename A::S) ? sizeof(typename O::S)
                                                                          : sizeof(typename A::S);
  static const int value = widest * most > 16 ? 16 / widest : most;
};

TH_DEVICE bool th__aligned(const void *p) { return ((uintptr_t)p & 15) == 0; }

/* --- loops: out = f of one, two, three operands of type A --- */

template <class O, class A, int N = th__width<O, A>::value, class F>
TH_DEVICE void th__map(void *out, const void *a, const th__cuda_walk &w, F f) {
  const th__operand<O> o(out, w.dtype);
  const th__operand<A> x(a, w.dtype);
  int64_t done = 0;
  if (N > 1 && w.shape.ndim == 0 && th__aligned(out) && th__aligned(a)) {
    for (int64_t i = th__thread(); i < w.size / N; i += th__threads()) {
      typename A::C from[N];
      typename O::C to[N];
      x.template take<N>(i, from);
#pragma unroll
      for (int j = 0; j < N; j++) to[j] = f(from[j]);
      o.template give<N>(i, to);
    }
    done = w.size / N * N;
  }
  for (int64_t i = done + th__thread(); i < w.size; i += th__threads()) {
    int64_t at[2];
    th__offsets(w, i, at);
    o.put(at[0], f(x.get(at[1])));
  }
}

/* b is NULL when its one element is in the lower bytes of `cell`. */
template <class O, class A, int N = th__width<O, A>::value, class F>
TH_DEVICE void th__zip(void *out, const void *a, const void *b, uint64_t cell,
                       const th__cuda_walk &w, F f) {
  typedef typename A::C C;
  const th__operand<O> o(out, w.dtype);
  const th__operand<A> x(a, w.dtype), y(b, w.dtype);
  const C scalar = th__operand<A>(&cell, w.dtype).get(0);
  int64_t done = 0;
  if (N > 1 && w.shape.ndim == 0 && th__aligned(out) && th__aligned(a) && th__aligned(b)) {
    for (int64_t i = th__thread(); i < w.size / N; i += th__threads()) {
      C left[N], right[N];
      typename O::C to[N];
      x.template take<N>(i, left);
      if (b) y.template take<N>(i, right);
#pragma unroll
      for (int j = 0; j < N; j++) to[j] = f(left[j], b ? right[j] : scalar);
      o.template give<N>(i, to);
    }
    done = w.size / N * N;
  }
  for (int64_t i = done + th__thread(); i < w.size; i += th__threads()) {
    int64_t at[3];
    th__offsets(w, i, at);
    o.put(at[0], f(x.get(at[1]), b ? y.get(at[2]) : scalar));
  }
}

template <class A, class F>
TH_DEVICE void th__zip3(void *out, const void *a, const void *b, const void *c,
                        const th__cuda_walk &w, F f) {
  const th__operand<A> o(out, w.dtype), x(a, w.dtype), y(b, w.dtype), z(c, w.dtype);
  for (int64_t i = th__thread(); i < w.size; i += th__threads()) {
    int64_t at[4];
    th__offsets(w, i, at);
    o.put(at[0], f(x.get(at[1]), y.get(at[2]), z.get(at[3])));
  }
}

#endif
