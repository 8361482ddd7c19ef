/* The exponential of f32 that kernels of the host share. */
#ifndef THRUM_OPS_EXP_MATH_H
#define THRUM_OPS_EXP_MATH_H

#include <stdint.h>
#include <string.h>

/* e^x for x <= 0, at most 0.71 ulp off: Cody-Waite reduction, degree 7 with what rounding loses carried along, scaled in two
 * steps to reach denormals. No fused operations, so that every vector width gives the same bits. */
static inline float th__exp_f32(float x) {
  const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer in the low bits */
  x = x < -105.0f ? -105.0f : x;   /* e^-105 rounds to 0; NaN stays */
  float t = x * 1.44269504f + magic;
  float n = t - magic;
  float far = x - n * 0.693359375f, near = n * -2.12194440e-4f;
  float r = far - near, lost = (far - r) - near;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  float high = 1.0f + r, low = r - (high - 1.0f);
  float y = high + (low + ((r * r) * p + lost));
  uint32_t bits, magic_bits;
  memcpy(&bits, &t, sizeof bits);
  memcpy(&magic_bits, &magic, sizeof magic_bits);
  int32_t exponent = (int32_t)(bits - magic_bits), half = exponent / 2;
  uint32_t first = (uint32_t)(half + 127) << 23, second = (uint32_t)(exponent - half + 127) << 23;
  float scale1, scale2;
  memcpy(&scale1, &first, sizeof scale1);
  memcpy(&scale2, &second, sizeof scale2);
  return y * scale1 * scale2;
}

#endif
