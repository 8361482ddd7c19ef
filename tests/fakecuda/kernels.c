/* Kernels of the tests, as a host library for the fake driver; see fakecuda.h for the form. */
#include <stdint.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#define KERNEL(name)                                                                               \
  EXPORT void fake_kernel_##name(void **params, const unsigned grid[3], const unsigned block[3],   \
                                 unsigned shared_bytes);                                           \
  void fake_kernel_##name(void **params, const unsigned grid[3], const unsigned block[3],          \
                          unsigned shared_bytes)
#define PARAMETER(type, i) (*(type *)params[i])

static uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
  return x ^ (x >> 31);
}

/* y[i] = y[i] * 31 + (h >> i % 32), with the elements of x (or none) folded into h. */
EXPORT extern const char fake_access_mix[];
EXPORT extern const unsigned short fake_sizes_mix[];
const char fake_access_mix[] = "rvbvv";
const unsigned short fake_sizes_mix[] = {8, 8, 8, 8, 8, 0};
KERNEL(mix) {
  const uint32_t *x = PARAMETER(const uint32_t *, 0);
  int64_t nx = PARAMETER(int64_t, 1), ny = PARAMETER(int64_t, 3);
  uint32_t *y = PARAMETER(uint32_t *, 2);
  uint64_t h = PARAMETER(uint64_t, 4);
  for (int64_t i = 0; x != NULL && i < nx; i++) h = mix(h * 31 + x[i]);
  for (int64_t i = 0; i < ny; i++) y[i] = y[i] * 31u + (uint32_t)(h >> (i % 32));
}

/* out[i] = a[i] + b[i] */
EXPORT extern const char fake_access_add[];
EXPORT extern const unsigned short fake_sizes_add[];
const char fake_access_add[] = "wrrv";
const unsigned short fake_sizes_add[] = {8, 8, 8, 8, 0};
KERNEL(add) {
  float *out = PARAMETER(float *, 0);
  const float *a = PARAMETER(const float *, 1), *b = PARAMETER(const float *, 2);
  int64_t n = PARAMETER(int64_t, 3);
  for (int64_t i = 0; i < n; i++) out[i] = a[i] + b[i];
}

/* x[i] += by; without sizes, so that it runs at its launch. */
EXPORT extern const char fake_access_bump[];
const char fake_access_bump[] = "bvv";
KERNEL(bump) {
  float *x = PARAMETER(float *, 0);
  int64_t n = PARAMETER(int64_t, 1);
  float by = PARAMETER(float, 2);
  for (int64_t i = 0; i < n; i++) x[i] += by;
}
