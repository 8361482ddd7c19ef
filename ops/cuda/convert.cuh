/* The rules of ndarray/convert.h in CUDA C++: integers wrap; float to integer truncates and saturates, NaN gives 0; to bool
 * means != 0; to a half type rounds once. */
#ifndef THRUM_OPS_CUDA_CONVERT_CUH
#define THRUM_OPS_CUDA_CONVERT_CUH

#include "ops/cuda/kernel.cuh"

template <class O> struct th__to {
  typedef typename O::S S;
  static const bool is_signed = (S)-1 < (S)1;
  static const int bits = 8 * sizeof(S);
  static const S high = (S)(~(uint64_t)0 >> (64 - bits + is_signed));
  static const S low = is_signed ? (S)(-(int64_t)high - 1) : (S)0;
  template <class V> static __device__ S from(V v) { return (S)v; }
  template <class V> static __device__ S saturated(V v) {
    return v >= (V)high ? high : v <= (V)low ? low : v == v ? (S)v : (S)0;
  }
  static __device__ S from(float v) { return saturated(v); }
  static __device__ S from(double v) { return saturated(v); }
};

template <> struct th__to<b8> {
  template <class V> static __device__ uint8_t from(V v) { return v != 0; }
};
template <> struct th__to<f32> {
  template <class V> static __device__ float from(V v) { return (float)v; }
};
template <> struct th__to<f64> {
  template <class V> static __device__ double from(V v) { return (double)v; }
};
template <> struct th__to<f16> {
  template <class V> static __device__ uint16_t from(V v) { return f16::put((float)v); }
  static __device__ uint16_t from(double v) { return th__f16_from_double(v).bits; }
};
template <> struct th__to<bf16> {
  template <class V> static __device__ uint16_t from(V v) {
    return th__bf16_from_i64((int64_t)v).bits;
  }
  static __device__ uint16_t from(uint64_t v) { return th__bf16_from_u64(v).bits; }
  static __device__ uint16_t from(float v) { return bf16::put(v); }
  static __device__ uint16_t from(double v) { return th__bf16_from_double(v).bits; }
};

/* Element i of an array of any type = v. */
template <class V> TH_DEVICE void th__store(int dtype, void *out, int64_t i, V v) {
  switch (dtype) {
#define TH_CASE(t, NAME)                                                                           \
  case TH_##NAME: ((t::S *)out)[i] = th__to<t>::from(v); break;
    TH_NAMED(TH_CASE)
#undef TH_CASE
  default: break;
  }
}

/* Element i of an array of any integer type; u64 beyond INT64_MAX comes out negative. */
TH_DEVICE int64_t th__load_index(int dtype, const void *p, int64_t i) {
  switch (dtype) {
#define TH_CASE(t, NAME)                                                                           \
  case TH_##NAME: return (int64_t)((const t::S *)p)[i];
    TH_NAMED_INTS(TH_CASE)
#undef TH_CASE
  default: return -1;
  }
}

#endif
