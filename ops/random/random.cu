/* Kernels that fill arrays with random numbers: a thread makes the elements of one counter, as ops/random/random.c does. */
#include "ops/cuda/convert.cuh"

#ifdef __CUDACC__
#define inline __host__ __device__ inline
#endif
#include "ops/random/random.h"
#undef inline

TH_KERNEL(random_bits, "wvvv", uint32_t *out, int64_t n, uint64_t seed, uint64_t counter) {
  for (int64_t block = th__thread(); block < (n + 3) / 4; block += th__threads()) {
    uint32_t words[4];
    th__philox_block(seed, counter + (uint64_t)block, words);
    for (int64_t i = 0; i < 4 && 4 * block + i < n; i++) out[4 * block + i] = words[i];
  }
}

/* [0, 1) with as many bits as the type's fraction holds exactly. */
TH_DEVICE double th__unit(int dtype, const uint32_t *words) {
  switch (dtype) {
  case TH_F64: return (double)(((uint64_t)words[0] << 32 | words[1]) >> 11) * 0x1p-53;
  case TH_F16: return (double)(words[0] >> 21) * 0x1p-11;
  case TH_BF16: return (double)(words[0] >> 24) * 0x1p-8;
  default: return (double)(words[0] >> 8) * 0x1p-24;
  }
}

/* The next half below, by its bits; halves order like them within one sign. */
TH_DEVICE uint16_t th__half_below(uint16_t bits) {
  return (bits & 0x7fff) == 0 ? 0x8001 : (uint16_t)(bits & 0x8000 ? bits + 1 : bits - 1);
}

/* Rounding to the type may reach high: then the next value below it is taken. */
TH_DEVICE void th__put_uniform(int dtype, void *out, int64_t i, double value, double low,
                               double high) {
  if (dtype == TH_F64) {
    ((double *)out)[i] = value < high || low == high ? value : nextafter(high, low);
  } else if (dtype == TH_F32) {
    float rounded = (float)value, top = (float)high;
    if (!((double)rounded < high) && low != high)
      rounded = (double)top < high ? top : nextafterf(top, (float)low);
    ((float *)out)[i] = rounded;
  } else {
    uint16_t bits = dtype == TH_F16 ? th__to<f16>::from(value) : th__to<bf16>::from(value);
    float rounded = dtype == TH_F16 ? f16::get(bits) : bf16::get(bits);
    if (low != high && !((double)rounded < high)) bits = th__half_below(bits);
    ((uint16_t *)out)[i] = bits;
  }
}

TH_KERNEL(uniform, "wvvvvvv", void *out, int64_t n, int32_t dtype, uint64_t seed, uint64_t counter,
          double low, double high) {
  const int width = dtype == TH_F64 ? 2 : 4;
  for (int64_t block = th__thread(); block < (n + width - 1) / width; block += th__threads()) {
    uint32_t words[4];
    th__philox_block(seed, counter + (uint64_t)block, words);
    for (int i = 0; i < width && width * block + i < n; i++) {
      double value = low + th__unit(dtype, words + i * (4 / width)) * (high - low);
      th__put_uniform(dtype, out, width * block + i, value, low, high);
    }
  }
}

/* Box-Muller on pairs of uniforms, the first in (0, 1]. */
TH_DEVICE void th__normal_pair(const uint32_t *words, double *pair) {
  uint64_t x = ((uint64_t)words[0] << 32 | words[1]) >> 11;
  uint64_t y = ((uint64_t)words[2] << 32 | words[3]) >> 11;
  double radius = sqrt(-2 * log((double)(x + 1) * 0x1p-53));
  double angle = 6.283185307179586 * ((double)y * 0x1p-53);
  pair[0] = radius * cos(angle);
  pair[1] = radius * sin(angle);
}
TH_DEVICE void th__normal_pair_f32(const uint32_t *words, double *pair) {
  float radius = sqrtf(-2 * logf((float)(((double)words[0] + 1) * 0x1p-32)));
  float angle = 6.2831853f * ((float)(words[1] >> 8) * 0x1p-24f);
  pair[0] = (double)(radius * cosf(angle));
  pair[1] = (double)(radius * sinf(angle));
}

TH_KERNEL(normal, "wvvvvvv", void *out, int64_t n, int32_t dtype, uint64_t seed, uint64_t counter,
          double mean, double sd) {
  const int width = dtype == TH_F64 ? 2 : 4;
  for (int64_t block = th__thread(); block < (n + width - 1) / width; block += th__threads()) {
    uint32_t words[4];
    th__philox_block(seed, counter + (uint64_t)block, words);
    for (int i = 0; i < width && width * block + i < n; i += 2) {
      double pair[2];
      if (dtype == TH_F64)
        th__normal_pair(words, pair);
      else
        th__normal_pair_f32(words + i, pair);
      for (int j = 0; j < 2 && width * block + i + j < n; j++)
        th__store(dtype, out, width * block + i + j, mean + sd * pair[j]);
    }
  }
}
