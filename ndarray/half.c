/* Owns the public conversions of the half types. */
#include "ndarray/half.h"

float th_f16_to_float(th_f16 h) { return th__f16_to_float(h); }
th_f16 th_f16_from_float(float f) { return th__f16_from_float(f); }
float th_bf16_to_float(th_bf16 h) { return th__bf16_to_float(h); }
th_bf16 th_bf16_from_float(float f) { return th__bf16_from_float(f); }
