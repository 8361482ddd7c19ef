/* The inner loops of convolutions, on packed planes (ops/window.h). */
#ifndef THRUM_OPS_CONV_KERNEL_H
#define THRUM_OPS_CONV_KERNEL_H

#include <stdint.h>

enum {
  TH__CONV_OUTPUTS = 8,      /* output channels side by side */
  TH__CONV_WIDE = 32,        /* windows read together, at most */
  TH__CONV_SLOPE_OUTPUTS = 4 /* output channels and taps of a block of weight gradients */
};

/* out[o][i] = sum over taps of x[taps[t] + i] * weights[t][o] for i in [0, n), in steps: up to TH__CONV_WIDE - 1 elements beyond n
 * are read and written. out rows are `step` apart. */
void th__conv_run_f32(const float *x, const int64_t *taps, int64_t n_taps, const float *weights,
                      int64_t n, float *out, int64_t step);
void th__conv_run_f64(const double *x, const int64_t *taps, int64_t n_taps, const double *weights,
                      int64_t n, double *out, int64_t step);
/* out[o][t] += sum over i in [0, n) of g[o][i] * x[t][i] for 4 outputs and 4 taps; n is a multiple of 16. */
void th__conv_slope_f32(const float *const *g, const float *const *x, int64_t n, float *out);
void th__conv_slope_f64(const double *const *g, const double *const *x, int64_t n, double *out);

#endif
