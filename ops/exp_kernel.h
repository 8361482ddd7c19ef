/* The exponential of softmax and its relatives in f32. */
#ifndef THRUM_OPS_EXP_KERNEL_H
#define THRUM_OPS_EXP_KERNEL_H

#include <stdint.h>

/* y[i] = e^(x[i] - shift) for x[i] <= shift or NaN, at most 0.8 ulp off. An element's bits do not depend on where it stands. */
void th__exp_shifted_f32(const float *x, float shift, int64_t n, float *y);

#endif
