/* The inputs of a case, as text that all programs of the operators' benchmark read: "f32:1024x1024 f32:1024".
 *   f32, f64      uniform in [-2, 2); +f32: in [0.1, 4)
 *   i64<N         indices below N
 * Behind the sizes: T = the transpose of an array stored the other way round, S = every second element of the last dimension.
 * "axis=1" and "k=8" are numbers that the case wants. */
#ifndef THRUM_BENCH_COMMON_OPS_SPEC_H
#define THRUM_BENCH_COMMON_OPS_SPEC_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { OPS_INPUTS = 4, OPS_DIMS = 4, OPS_SPEC_BYTES = 200 };

typedef enum ops_type { OPS_F32, OPS_F64, OPS_I64 } ops_type;

typedef struct ops_input {
  ops_type type;
  bool positive, transposed, strided;
  int64_t limit; /* of indices */
  int ndim;
  int64_t shape[OPS_DIMS];  /* as seen */
  int64_t stored[OPS_DIMS]; /* as it lies in memory */
  int64_t elements;         /* stored */
} ops_input;

typedef struct ops_spec {
  char text[OPS_SPEC_BYTES];
  int n;
  ops_input in[OPS_INPUTS];
  int64_t axis, k;
} ops_spec;

bool ops_spec_parse(const char *text, ops_spec *out);
/* Stored elements of input i, rows first; free() it. NULL when out of memory. */
void *ops_input_data(const ops_spec *s, int i);
/* Bytes of all elements of all inputs, stored. */
int64_t ops_spec_bytes(const ops_spec *s);

#ifdef __cplusplus
}
#endif
#endif
