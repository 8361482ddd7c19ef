/* What the files of convolutions share: the three operators, each the gradient of the others, since all are linear in both of
 * their inputs. */
#ifndef THRUM_OPS_NN_CONV_H
#define THRUM_OPS_NN_CONV_H

#include "ops/nn/window.h"

extern const th_op th__op_conv2d;              /* x, weight, maybe bias */
extern const th_op th__op_conv2d_input_slope;  /* g, weight; size = of the input */
extern const th_op th__op_conv2d_weight_slope; /* x, g; size = of the kernel */

enum { TH__CONV_ROUND_BYTES = 8 << 20 }; /* packed planes of at most so many bytes at a time */

static inline int64_t th__conv_round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

/* Images worked on together, by their packed bytes. */
static inline int64_t th__conv_round(int64_t images, int64_t bytes_each) {
  int64_t n = bytes_each > 0 ? TH__CONV_ROUND_BYTES / bytes_each : images;
  if (n > images) n = images;
  return n > 0 ? n : 1;
}

/* The call with another size; results are +1 or NULL. */
th_array *th__conv_call(const th_op *op, const void *params, const int64_t *size, const th_array *a,
                        const th_array *b);

#endif
