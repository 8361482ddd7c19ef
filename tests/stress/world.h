/* The state that a random program works on: cells (raw variables with a number each) and arrays, on cpu:0 and two lag
 * devices, two fake GPUs, or the GPUs that are there: a single one stands for both. */
#ifndef THRUM_TESTS_STRESS_WORLD_H
#define THRUM_TESTS_STRESS_WORLD_H

#include <pthread.h>

#include "stress/program.h"
#include "thrum/thrum.h"

/* What one operation showed to the program, for comparison. */
typedef struct sight {
  int32_t status;  /* of the call or the wait */
  uint32_t origin; /* of the failure: 1 + number of the injecting operation, 0 = none named */
  uint64_t hash;   /* of what was read */
} sight;

typedef struct cell {
  th_var *var;
  uint64_t value; /* ordered by var */
} cell;

/* One submitter's own part. */
typedef struct actor {
  struct world *world;
  int index;
  th_array *arrays[PROGRAM_CLASSES][PROGRAM_OPERANDS]; /* shared ones are borrowed */
  th_generator *generator;
  sight *sights; /* per operation */
  uint64_t
      *sequence;   /* per operation: its place in the order of submission, 0 = submitted nothing */
  char error[256]; /* first thing that went wrong, "" = nothing */
} actor;

typedef struct foreign_job {
  struct foreign_job *next;
  th_token *token;
  struct world *world;
  op o;
  th_array *x, *y;
} foreign_job;

/* The thread that completes async tasks. */
typedef struct foreigner {
  pthread_t thread;
  pthread_mutex_t lock; /* guards jobs and stop */
  pthread_cond_t more;
  foreign_job *jobs;
  bool stop;
} foreigner;

typedef struct world {
  uint64_t seed;
  int submitters, ops, errors; /* ops: per submitter */
  bool cuda, gpu;              /* the other devices are GPUs; which are no fake ones */
  int gpus;
  int64_t rows, columns;
  cell cells[PROGRAM_CELLS];
  th_array *shared[PROGRAM_CLASSES][PROGRAM_SHARED];
  actor *actors;
  foreigner foreign;
  _Atomic uint64_t pushed, dropped; /* arguments handed to raw tasks, and taken back by drop */
} world;

/* Makes a world in the running engine; false with th_last_error() set. */
bool world_open(world *w, uint64_t seed, int submitters, int ops, int errors, bool cuda, bool gpu);
void world_close(world *w);
th_device world_device(const world *w, int device);
th_dtype world_dtype(int class_);

/* Runs one operation of an actor's program. replay: the order is known, nothing is logged. */
void actor_step(actor *a, int index, bool replay);
/* Submits a raw or async operation (raw.c). */
th_status raw_submit(actor *a, const op *o);
void *foreigner_main(void *arg);
void foreigner_stop(foreigner *f);

/* Looks at all elements of an array, or at the error in their place. */
sight look_at_array(const th_array *a);
/* The same for a cell, after waiting for it. */
sight look_at_cell(cell *c);
/* status with the origin that th_last_error() names. */
sight look_at_status(th_status status);

#endif
