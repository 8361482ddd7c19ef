/* The operator record and the one path that every call takes. */
#ifndef THRUM_OPS_OP_H
#define THRUM_OPS_OP_H

#include "ndarray/array.h"
#include "ndarray/dtype.h"
#include "ndarray/shape.h"
#include "thrum/ops.h"
#include "thrum/ops_arrays.h"

typedef struct th_op th_op;

/* What infer sees and fills. Layouts of outputs need dtype, ndim and shape; invoke adds contiguous strides, except for views,
 * where infer sets strides and offset as well. */
typedef struct th_infer {
  const th_op *op;
  int n_in, n_out;
  const th_layout *in;
  th_layout *out;    /* dtype, ndim and offset are 0 */
  uint8_t *written;  /* per input: non-zero = changed in place; preset from op->writes */
  int64_t workspace; /* bytes of scratch that .cpu wants */
  th_device device;
} th_infer;

/* What a kernel gets. Data pointers point to element [0,...,0]. For ELEMENTWISE operators inputs are already broadcast to the
 * output's shape. */
typedef struct th_kernel_args {
  const th_op *op;
  int n_in, n_out;
  const th_layout *in, *out;
  void *const *in_data;
  void *const *out_data;
  const void *params;
  void *workspace;          /* 64-byte aligned, th_infer.workspace bytes, or NULL; .cpu only */
  th_task_context *context; /* for th_parallel_for() and th_context_fail() */
} th_kernel_args;

/* Computes n elements: p[0] is written, p[1..] are read, strides are in bytes. */
typedef void (*th__inner)(char *const *p, const int64_t *strides, int64_t n, const void *user);
/* The same without gaps between elements. */
typedef void (*th__line)(char *const *p, int64_t n, const void *user);

typedef th_status (*th_kernel)(const th_kernel_args *k);

typedef struct th_cost {
  int64_t flops, bytes;
} th_cost;

/* What a vjp gets and fills; it calls public operators only. Borrowed unless said. It is called with no scope open: it
 * releases its own temporaries, and results are plain +1. For an in-place operator `out` and `gradients` describe its
 * written inputs, in order (n_out = how many); the result for a written input is the gradient of its old value, and a saved
 * written input is a copy of the old value. Params are a copy: a vjp must not use what op->drop releases. */
typedef struct th_vjp {
  const th_op *op;
  int n_in, n_out;
  const th_layout *in; /* shapes and dtypes of all inputs */
  const th_layout *out;
  th_array *const *inputs;    /* saved by op->saves, else NULL */
  th_array *const *outputs;   /* saved by op->saves, else NULL */
  th_array *const *gradients; /* per output; NULL = zero */
  const void *params;
  const bool *needed; /* per input: a gradient is wanted */
  th_array **result;  /* per input: +1 or NULL; same shape and dtype as the input */
} th_vjp;

/* For vjps that users write: they see zeros where no gradient came, and may compute gradients that nobody needs. call fills
 * results (+1 or NULL); device tells where output j was. */
typedef th_status (*th__user_vjp)(const th_vjp *v, th_array **gradients, th_array **results);
typedef th_device (*th__output_device)(const th_vjp *v, int j);
th_status th__vjp_by_user(const th_vjp *v, th__output_device device, th__user_vjp call);

enum {                        /* th_op.flags */
       TH_OP_ELEMENTWISE = 1, /* inputs broadcast to the output's shape; kernels see equal shapes */
       TH_OP_VIEW = 2,        /* output 0 shares input 0's storage; no kernel, no task */
       TH_OP_RANDOM = 4,      /* never merged by later passes */
       TH_OP_NONBLOCKING = 8, /* cheap: may run inline on the submitting thread */
       TH_OP_FLAT = 16, /* gradient zero wherever it exists (floor, sign, fill): recording stops */
       TH_OP_OVERWRITES = 32, /* every element of a written input is replaced, none is read */
       TH_OP_TRANSFER = 64, /* operands may live on two devices; only copies, see ops/transfer.c */
       TH_OP_SCALARS = 128, /* params are doubles: lines get them as further operands, converted to
                               the inputs' type */
       TH_OP_TESTS = 256    /* the result is bool */
};

typedef struct th_operands {
  int16_t min, max; /* how many; max 0 = exactly min */
} th_operands;

/* Saved for vjp: bit i = input i, bit 16 + j = output j; bit 15 of either half stands for all from there on. */
#define TH_SAVE_IN(i)  (1u << (i))
#define TH_SAVE_OUT(j) (1u << (16 + (j)))

/* The cost of an operator that reads of input 0 what it writes, picked by its other inputs. */
th_cost th__cost_gathered(const th_infer *io, const void *params);

struct th_op {      /* one const record per operator */
  const char *name; /* "matmul": traces, messages, lookup, test names */
  th_operands in, out;
  uint32_t saves;       /* what vjp reads; the tape keeps nothing else */
  uint32_t writes;      /* bit i: input i is changed in place (then it is the output: out = {0}) */
  uint32_t flags;       /* TH_OP_* */
  uint32_t dtypes;      /* element types accepted for every input; 0 = infer checks */
  uint16_t params_size; /* its parameter struct, copied by value into the task */
  th_status (*infer)(th_infer *io, const void *params); /* the only validator; sets the message */
  /* NULL and not FLAT: a backward through it gives TH_ENOSYS */
  th_status (*vjp)(const th_vjp *v);
  /* Where the gradient of the only input is mostly zeros: adds it to `sum`, an array of that input's shape and type which nobody
   * else has, and leaves result alone. Or NULL. */
  th_status (*vjp_add)(const th_vjp *v, th_array *sum);
  th_cost (*cost)(const th_infer *io,
                  const void *params); /* NULL: bytes moved, one flop per element */
  /* What th__lines_kernel() runs, by the element type of the last input, with params as user; small calls whose inputs are
   * alike go straight to it. Halves without an entry are computed by that of f32. Or NULL. */
  const th__line *lines;
  th_kernel cpu; /* other kinds: th__kernel_set() */
  /* Releases what params hold; once per call: after the task, or at once if the call fails or makes no task. Or NULL. */
  void (*drop)(void *params);
  struct {
    double lo, hi, tolerance;
  } test; /* domain walked by tests/ops/test_every_op.c */
};

/* --- ops/invoke.c: the only path --- */
/* Checks, infers, makes outputs (out[j] +1), submits, records. in[i] for a written input is cast from th_array *. params may
 * be NULL when op->params_size is 0. NULL among in gives TH_EINVAL keeping the first message. */
th_status th__invoke(const th_op *op, const void *params, const th_array *const *in, int n_in,
                     th_array **out, int n_out);
/* For creation operators, which have no input that tells the device. */
th_status th__invoke_on(th_device d, const th_op *op, const void *params, const th_array *const *in,
                        int n_in, th_array **out, int n_out);
/* One output: returns it or NULL. TH_CALL(&th__op_matmul, NULL, a, b) */
#define TH_CALL(op, params, ...)                                                                   \
  th__call((op), (params), (const th_array *const[]){__VA_ARGS__},                                 \
           (int)(sizeof((const th_array *const[]){__VA_ARGS__}) / sizeof(th_array *)))
th_array *th__call(const th_op *op, const void *params, const th_array *const *in, int n_in);

/* The interceptor: sees every call after its outputs were made and its task was submitted (views too). Per thread;
 * autograd's tape uses it, capture will. `before` may refuse the call (in-place on recorded arrays). */
typedef struct th__interceptor {
  th_status (*before)(const th_op *op, const th_array *const *in, int n_in, const uint8_t *written);
  th_status (*after)(const th_op *op, const void *params, const th_array *const *in, int n_in,
                     th_array *const *out, int n_out, const uint8_t *written);
} th__interceptor;
/* The one threads start with; NULL = none. Set once, by the first th_require_grad(). */
void th__interceptor_set_default(const th__interceptor *i);
/* Replaces this thread's (NULL = none) and returns the old one, for no_grad and the like. */
const th__interceptor *th__interceptor_swap(const th__interceptor *i);
const th__interceptor *th__interceptor_get(void);

/* --- ops/registry.c --- */
#define TH_FAMILY_TABLE(family)                                                                    \
  extern const th_op *const th__family_##family[] /* NULL-terminated; see families.def */
int th__op_count(void);
const th_op *th__op_at(int index);
const th_op *th__op_find(const char *name);
/* Adds an operator at run time; the record must stay. TH_EBUSY when the name exists, TH_ENOMEM. */
th_status th__op_add(const th_op *op);
/* Kernel of op for a device kind: the record's for host memory kinds, else the slot; NULL when absent. */
th_kernel th__kernel_get(const th_op *op, int kind);
void th__kernel_set(const th_op *op, int kind, th_kernel kernel);

/* A NULL argument: TH_EINVAL, with a message only if none is there yet. */
th_status th__null_input(const char *who, int index);
/* All on the device of the first: for operators that convert their inputs before the call. NULL as above. */
th_status th__check_devices(const char *who, const th_array *const *in, int n);

/* --- helpers for families, ops/infer.c --- */
th_status th__infer_same(th_infer *io, const void *params); /* one output like input 0 */
th_status th__infer_broadcast(
    th_infer *io, const void *params); /* one output: broadcast of all inputs, all of one dtype */
th_status th__infer_inplace(
    th_infer *io, const void *params); /* input 1 broadcasts to input 0, which is written */
/* Sum of gradient g over what broadcasting grew, to shape's layout: +1. For vjps. */
th_array *th__sum_to(const th_array *g, const th_layout *shape);
/* At the end of a vjp: fails if a needed gradient is missing. */
th_status th__vjp_check(const th_vjp *v);
/* Both operands cast to their common type: +1 each (the same handle retained when nothing changes). */
th_status th__promote_pair(const th_array *a, const th_array *b, th_array **pa, th_array **pb);

#endif
