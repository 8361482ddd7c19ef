/* Kernels that draw whole numbers, and of dropout: the same integers and sums as in ops/random/sample.c. */
#include "ops/cuda/convert.cuh"

#ifdef __CUDACC__
#define inline __host__ __device__ inline
#endif
#include "ops/random/random.h"
#undef inline

/* The upper half of a product of 64 x 64 bits. */
TH_DEVICE uint64_t th__high_product(uint64_t a, uint64_t b) {
  const uint64_t low = 0xffffffffu, a0 = a & low, a1 = a >> 32, b0 = b & low, b1 = b >> 32;
  const uint64_t middle = a1 * b0 + (a0 * b0 >> 32), other = a0 * b1 + (middle & low);
  return a1 * b1 + (middle >> 32) + (other >> 32);
}

TH_KERNEL(randint, "wvvvvvv", void *out, int64_t n, int32_t dtype, uint64_t seed, uint64_t counter,
          int64_t least, uint64_t range) {
  for (int64_t block = th__thread(); block < (n + 1) / 2; block += th__threads()) {
    uint32_t words[4];
    th__philox_block(seed, counter + (uint64_t)block, words);
    for (int i = 0; i < 2 && 2 * block + i < n; i++) {
      uint64_t bits = (uint64_t)words[2 * i] << 32 | words[2 * i + 1];
      th__store(dtype, out, 2 * block + i,
                (int64_t)((uint64_t)least + th__high_product(bits, range)));
    }
  }
}

TH_KERNEL(bernoulli, "wvvvvv", void *out, int64_t n, int32_t dtype, uint64_t seed, uint64_t counter,
          uint64_t below) {
  for (int64_t block = th__thread(); block < (n + 3) / 4; block += th__threads()) {
    uint32_t words[4];
    th__philox_block(seed, counter + (uint64_t)block, words);
    for (int i = 0; i < 4 && 4 * block + i < n; i++)
      th__store(dtype, out, 4 * block + i, (int64_t)(words[i] < below));
  }
}

/* The weights are summed up twice, in order: to the whole, then to the class. -1 where they are no weights. */
template <class A>
TH_DEVICE void th__categorical(int64_t *out, const void *weights, int32_t dtype, int64_t rows,
                               int64_t classes, int64_t row_step, int64_t step, int64_t draws,
                               uint64_t seed, uint64_t counter) {
  const th__operand<A> w(weights, dtype);
  for (int64_t i = th__thread(); i < rows * draws; i += th__threads()) {
    const int64_t base = i / draws * row_step;
    double whole = 0, sum = 0;
    bool good = true;
    for (int64_t j = 0; j < classes; j++) {
      double weight = (double)w.get(base + j * step);
      good = good && weight >= 0;
      whole += weight;
    }
    if (!good || !(whole > 0) || whole * 0 != 0) {
      out[i] = -1;
      continue;
    }
    uint32_t words[4];
    th__philox_block(seed, counter + (uint64_t)(i / 2), words);
    uint64_t bits = (uint64_t)words[i % 2 * 2] << 32 | words[i % 2 * 2 + 1];
    const double target = (double)(bits >> 11) * 0x1p-53 * whole;
    int64_t found = 0;
    for (int64_t j = 0; j < classes && !(sum > target); j++) {
      double weight = (double)w.get(base + j * step);
      sum += weight;
      if (weight > 0) found = j; /* the last of them if rounding reached the whole */
    }
    out[i] = found;
  }
}

#define CATEGORICAL(t, ...)                                                                        \
  TH_KERNEL(categorical_##t, "wrvvvvvvvv", int64_t *out, const void *weights, int32_t dtype,       \
            int64_t rows, int64_t classes, int64_t row_step, int64_t step, int64_t draws,          \
            uint64_t seed, uint64_t counter) {                                                     \
    th__categorical<t>(out, weights, dtype, rows, classes, row_step, step, draws, seed, counter);  \
  }
TH_FLOATING(CATEGORICAL, )

template <class A>
TH_DEVICE void th__dropout(void *out, const void *a, uint64_t seed, uint64_t counter,
                           uint64_t below, double factor, const th__cuda_walk &w) {
  typedef typename A::C T;
  const th__operand<A> y(out, w.dtype), x(a, w.dtype);
  const T scale = (T)factor;
  for (int64_t block = th__thread(); block < (w.size + 3) / 4; block += th__threads()) {
    uint32_t words[4];
    th__philox_block(seed, counter + (uint64_t)block, words);
    for (int j = 0; j < 4 && 4 * block + j < w.size; j++) {
      int64_t at[2];
      th__offsets(w, 4 * block + j, at);
      y.put(at[0], words[j] < below ? x.get(at[1]) * scale : 0);
    }
  }
}

#define DROPOUT(t, ...)                                                                            \
  TH_KERNEL(dropout_##t, "wrvvvvv", void *out, const void *a, uint64_t seed, uint64_t counter,     \
            uint64_t below, double factor, TH_WALK) {                                              \
    th__dropout<t>(out, a, seed, counter, below, factor, w);                                       \
  }
TH_FLOATING(DROPOUT, )
