/* Owns products of matrices by kernels of our own, by one thread each: what tiles of matmul.c run where the processor has AVX2
 * and no wider vectors. */
#ifndef THRUM_OPS_LINEAR_GEMM_H
#define THRUM_OPS_LINEAR_GEMM_H

#include <stdbool.h>
#include <stdint.h>

/* c (m, n) = [c +] a (m, k) b (k, n), or bias + a b, all sizes at least 1. Strides in elements, any of a and b; rows or columns of
 * c are contiguous. */
typedef struct th__gemm {
  int64_t m, n, k;
  const void *a, *b;
  void *c;
  int64_t a_row, a_col, b_row, b_col, c_row, c_col;
  bool add; /* to c; without bias */
  const void
      *bias; /* or NULL: one for each column of c, with strides 0 and 1, or row, with 1 and 0 */
  int64_t bias_row, bias_col;
} th__gemm;

/* How a product is walked. */
typedef struct th__gemm_way {
  bool turned; /* c^T = b^T a^T: vectors lie along the columns of c */
  bool pack_a, pack_b;
  bool fetch;             /* rows of a are asked for before their turn */
  int64_t part_k, part_n; /* of a slice */
  int64_t slivers;        /* of a, packed together */
  int64_t sliver;         /* where packed rows of a are in the scratch, in elements */
  int64_t scratch;        /* bytes of it, 64-byte aligned */
} th__gemm_way;

/* Whether this processor has kernels and they are the quickest it has. */
bool th__gemm_present(void);
/* The way of a product of elements of `size` bytes (f32 or f64), by sizes and strides. It suits its parts as well. */
th__gemm_way th__gemm_way_of(const th__gemm *g, int size);
/* Bits depend on k alone, not on the way. */
void th__gemm_run(const th__gemm *g, const th__gemm_way *way, int size, void *scratch);

#endif
