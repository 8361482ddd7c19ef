/* The inner loops of convolutions, on packed planes (ops/nn/window.h). */
#ifndef THRUM_OPS_NN_CONV_KERNEL_H
#define THRUM_OPS_NN_CONV_KERNEL_H

#include <stdint.h>

enum {
  TH__CONV_OUTPUTS = 8,       /* output channels side by side */
  TH__CONV_WIDE = 32,         /* windows read together, at most */
  TH__CONV_SLOPE_OUTPUTS = 4, /* of a block of weight gradients */
  TH__CONV_SLOPE_TAPS = 3
};

/* out[o][i] = sum over taps of x[taps[t] + i] * weights[t][o] for i in [0, n), in steps: up to TH__CONV_WIDE - 1 elements beyond n
 * are read and written. Of TH__CONV_OUTPUTS only `outputs` may be made. out rows are `step` apart. */
void th__conv_run_f32(const float *x, const int64_t *taps, int64_t n_taps, const float *weights,
                      int64_t n, int outputs, float *out, int64_t step);
void th__conv_run_f64(const double *x, const int64_t *taps, int64_t n_taps, const double *weights,
                      int64_t n, int outputs, double *out, int64_t step);

/* Rows of windows that go straight to the result: rows of x are x_row apart, those of the result follow each other. */
typedef struct th__conv_rows {
  const int64_t *taps;
  int64_t n_taps, rows, columns; /* columns: a vector at least */
  int64_t x_row, step;           /* step: between outputs */
} th__conv_rows;

/* Bytes of a vector of this processor. */
int th__conv_width(void);
/* The same with bias, of `outputs` outputs, 4 or TH__CONV_OUTPUTS. */
void th__conv_rows_f32(const th__conv_rows *k, const float *x, const float *weights,
                       const float *bias, int outputs, float *out);
void th__conv_rows_f64(const th__conv_rows *k, const double *x, const double *weights,
                       const double *bias, int outputs, double *out);

/* out[o][t] += sum over i in [0, n) of g[o][i] * x[t][i] for 4 outputs and 3 taps; n is a multiple of 16. */
void th__conv_slope_f32(const float *const *g, const float *const *x, int64_t n, float *out);
void th__conv_slope_f64(const double *const *g, const double *const *x, int64_t n, double *out);

#endif
