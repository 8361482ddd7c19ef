/* What launchers tell kernels about strided operands of one shape; C and CUDA C++. */
#ifndef THRUM_OPS_CUDA_WALK_H
#define THRUM_OPS_CUDA_WALK_H

#include <stdint.h>

#define TH__WALK_DIMS     8
#define TH__WALK_OPERANDS 4

/* Sizes of a shape with what divides by them: n / shape = (mulhi(n, magic) + n) >> shift for n below 2^31. */
typedef struct th__cuda_shape {
  int32_t ndim;
  uint32_t size[TH__WALK_DIMS], magic[TH__WALK_DIMS], shift[TH__WALK_DIMS];
} th__cuda_shape;

/* Operands of one shape, the written one first. */
typedef struct th__cuda_walk {
  int64_t size;         /* elements; below 2^31 unless ndim is 0 */
  int32_t dtype;        /* th_dtype of the elements computed with */
  th__cuda_shape shape; /* ndim 0: all operands lie alike, without gaps */
  int64_t strides[TH__WALK_DIMS][TH__WALK_OPERANDS]; /* in elements */
} th__cuda_walk;

#endif
