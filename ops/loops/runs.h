/* Owns two things that families of kernels share: walking strided operands of one shape in straight runs, and moving elements
 * of any type to and from the type that kernels compute in (f32 for f32 and halves, f64, 64-bit integers for the rest). */
#ifndef THRUM_OPS_LOOPS_RUNS_H
#define THRUM_OPS_LOOPS_RUNS_H

#include "ndarray/dtype.h"
#include "ndarray/shape.h"

/* Several bodies of one function, chosen at load time by what the processor has. Kernels write their order of operations
 * down explicitly and contract nothing, so all bodies give the same bits. Sanitizers start after such choices are made. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) &&                             \
    !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
#define TH__MANY_BODIES
#define TH__WIDE __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define TH__WIDE
#endif

typedef enum th__compute { TH__F32, TH__F64, TH__I64, TH__U64, TH__COMPUTE_COUNT } th__compute;

static inline th__compute th__compute_of(th_dtype t) {
  if (t == TH_F64) return TH__F64;
  if (th__dtype_in(t, TH_FLOATS)) return TH__F32;
  return th__dtype_in(t, TH_UINTS) ? TH__U64 : TH__I64;
}

static inline int64_t th__compute_size(th__compute c) { return c == TH__F32 ? 4 : 8; }

/* Elements are stored as what is computed with. */
static inline bool th__computes_as_stored(th_dtype t) {
  return t == TH_F32 || t == TH_F64 || t == TH_I64 || t == TH_U64;
}

/* Buffers of kernels: one element of any computing type. */
typedef union th__word {
  float s;
  double f;
  int64_t i;
  uint64_t u;
} th__word;

/* Copies n elements, stride elements apart, to out, which holds the computing type of t. */
void th__gather(th_dtype t, const void *from, int64_t stride, int64_t n, void *out);
/* The other way; integers wrap, halves round to nearest even, bool is != 0. */
void th__scatter(th_dtype t, void *to, int64_t stride, int64_t n, const void *in);
/* The elements as an array of the computing type: in place when they are one already, else gathered into buffer. */
const void *th__gathered(th_dtype t, const void *from, int64_t stride, int64_t n, void *buffer);
/* From and to double, with the cast rules of th_astype(). */
void th__gather_f64(th_dtype t, const void *from, int64_t stride, int64_t n, double *out);
void th__scatter_f64(th_dtype t, void *to, int64_t stride, int64_t n, const double *in);
/* Any integer type; values of u64 beyond INT64_MAX come out negative. */
void th__gather_index(th_dtype t, const void *from, int64_t stride, int64_t n, int64_t *out);
/* Copies n elements of 1, 2, 4 or 8 bytes; steps in elements. */
void th__copy_run(size_t size, void *to, int64_t to_step, const void *from, int64_t from_step,
                  int64_t n);

#define TH__RUN_OPERANDS 4

/* Straight runs of up to four operands of one shape, in row-first order. */
typedef struct th__runs {
  int64_t run;                      /* length of the current run */
  int64_t offset[TH__RUN_OPERANDS]; /* of its first element, in elements, layout offsets left out */
  int64_t step[TH__RUN_OPERANDS];   /* between its elements */
  int n, ndim;                      /* ndim after joining dimensions; at least 1 */
  int64_t left;                     /* elements after the current run */
  int64_t index[TH_MAX_DIMS];       /* where the next run starts */
  int64_t next[TH__RUN_OPERANDS];   /* its offsets */
  th_layout layouts[TH__RUN_OPERANDS]; /* collapsed */
} th__runs;

/* Prepares to walk elements [first, last) of n layouts of the same shape. */
void th__runs_begin(th__runs *r, const th_layout *const *layouts, int n, int64_t first,
                    int64_t last);
/* Steps to the next run; false at the end. */
bool th__runs_next(th__runs *r);

/* Offset of element `index` (rows first) of a shape with these strides, in elements. */
int64_t th__offset_at(int64_t index, int ndim, const int64_t *shape, const int64_t *strides);

/* Elements [first, first + n), rows first, of a collapsed layout, as an array of the computing type: in place or in buffer. */
const void *th__gathered_range(const th_layout *l, const char *base, int64_t first, int64_t n,
                               void *buffer);
/* l without dimensions [first, first + n) (drop) or only those (keep), with l's dtype and offset 0. */
th_layout th__layout_part(const th_layout *l, int first, int n, bool keep);

/* Elements per block of a parallel loop whose items cost `cost` element visits each: by shape only. */
static inline int64_t th__grain(int64_t cost) {
  int64_t grain = 32768 / (cost > 0 ? cost : 1);
  return grain > 0 ? grain : 1;
}

#endif
