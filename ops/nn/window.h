/* Windows over the last two dimensions, for convolution and pooling: their sizes, and planes packed for them. */
#ifndef THRUM_OPS_NN_WINDOW_H
#define THRUM_OPS_NN_WINDOW_H

#include "ops/op.h"
#include "ops/params_nn.h"

/* Fills in 1 where 0 stands for it and checks; who is named. */
th_status th__window_check(const char *who, th__window_params *p, const int64_t kernel[2]);
/* Windows along a dimension of this size; TH_ESHAPE when there is none. */
th_status th__window_count(const th_infer *io, const th__window_params *p, const int64_t size[2],
                           const int64_t kernel[2], int64_t out[2]);
/* TH_ESHAPE with the shapes of the first two inputs. */
th_status th__window_refuse(const th_infer *io, const char *text);

/* Planes packed so that each tap of a window is one offset for all windows: padded with zeros, and split by phase of the
 * stride. Window (i, j) has number i * row + j, and its tap lies at that number from the tap's offset. Only phases that a tap
 * reaches are there, in the order of taps: the n-th is n * dilation % stride. */
typedef struct th__packing {
  int64_t size[2];   /* of the source */
  int64_t pad[2];    /* may be negative: then the source is cut */
  int64_t spread[2]; /* source elements are that far apart, zeros between them */
  int64_t stride[2], dilation[2];
  int64_t phases[2];   /* how many */
  int64_t height, row; /* of a phase */
  int64_t plane;       /* elements of a packed plane, all phases */
} th__packing;

/* n elements of a row into computing types. */
void th__packing_row(th_dtype t, const char *from, int64_t stride, int64_t n, void *to);
/* For `count` windows of this kernel. */
void th__packing_make(th__packing *k, const int64_t count[2], const int64_t kernel[2],
                      const int64_t stride[2], const int64_t dilation[2]);
/* Offset of tap (i, j) within a plane. */
int64_t th__packing_tap(const th__packing *k, int64_t i, int64_t j);
/* Packs a plane whose element [0, 0] is at from, into computing types. */
void th__packing_fill(const th__packing *k, th_dtype t, const char *from, const int64_t *strides,
                      void *to);

#endif
