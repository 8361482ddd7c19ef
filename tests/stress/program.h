/* Random programs: every operation is decided by (seed, submitter, index) alone, so two runs decode the same program. */
#ifndef THRUM_TESTS_STRESS_PROGRAM_H
#define THRUM_TESTS_STRESS_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>

enum {
  PROGRAM_CELLS = 24,                    /* raw variables, shared by all submitters */
  PROGRAM_DEVICES = 3,                   /* cpu:0 and two lag devices */
  PROGRAM_CLASSES = 2 * PROGRAM_DEVICES, /* device x element type (i32, f32) */
  PROGRAM_SHARED = 2,                    /* arrays per class that all submitters use */
  PROGRAM_PRIVATE = 2,                   /* arrays per class and submitter */
  PROGRAM_OPERANDS =
      PROGRAM_SHARED + PROGRAM_PRIVATE, /* operand numbers within a class: shared ones first */
  PROGRAM_READS = 4,
  PROGRAM_WRITES = 3,
  PROGRAM_SPECS = 6
};

typedef enum op_kind {
  OP_RAW,     /* a task on cells, and perhaps on one array it reads and one it writes */
  OP_ASYNC,   /* the same, completed by a foreign thread */
  OP_BINARY,  /* private = f(x, y) */
  OP_INPLACE, /* x op= y, on views */
  OP_SCALAR,  /* x op= number, on views */
  OP_FILL,    /* view = number */
  OP_ASSIGN,  /* view = view */
  OP_COPY,    /* private = copy of x */
  OP_CAST,    /* private of the other type = x */
  OP_MOVE,    /* private on another device = x, in new storage */
  OP_SEND,    /* x on another device [...] = y */
  OP_WRITE,   /* x[...] = host numbers */
  OP_REDUCE,  /* private = private + sum of private over an axis */
  OP_UNIFORM, /* private = random numbers */
  OP_READ,    /* look at all elements */
  OP_MAP,     /* look at them in place */
  OP_ITEM,    /* look at one */
  OP_WAIT,    /* for an array */
  OP_WAIT_CELL,
  OP_POLL,
  OP_WAIT_ALL,
  OP_RENEW, /* release a private array, make a new one */
  OP_KINDS
} op_kind;

typedef struct op {
  op_kind kind;
  uint64_t id; /* unique; also the salt of what it computes */
  uint8_t n_reads, n_writes;
  uint8_t reads[PROGRAM_READS], writes[PROGRAM_WRITES]; /* cells */
  uint8_t class_, x, y, target; /* operand numbers within class_; target: a private one */
  uint8_t other;                /* another device */
  uint8_t spec, f;              /* view; which function */
  double number;
  bool reads_array, writes_array; /* raw: x, y */
  bool fails, cancels, always, tries, scoped, long_arg;
  uint8_t device, spin;
  int8_t priority;
} op;

/* errors: failing tasks per thousand raw ones. */
op program_op(uint64_t seed, int submitter, int index, int errors);
const char *program_op_name(op_kind kind);
/* Text of a view by number, the same shape for the same number. */
const char *program_spec(int spec);

static inline uint64_t program_mix(uint64_t x) { /* splitmix64's finalizer */
  x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
  return x ^ (x >> 31);
}

#endif
