/* Owns moving halves to and from floats in bulk, with the bits of ndarray/half.h and, where the processor has them, its
 * instructions. */
#ifndef THRUM_OPS_LOOPS_HALVES_H
#define THRUM_OPS_LOOPS_HALVES_H

#include <stdint.h>

#include "thrum/base.h"

/* n elements, stride elements apart, of type f16 or bf16. */
void th__halves_load(th_dtype t, const void *from, int64_t stride, int64_t n, float *to);
/* The other way: to nearest, ties to even. */
void th__halves_store(th_dtype t, void *to, int64_t stride, int64_t n, const float *from);

#endif
