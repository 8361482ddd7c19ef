/* The walk back over the tape: which records take part, in which order their vjps run, how contributions add up. All state of a
 * walk is local to the call, so several threads may walk graphs that share records; a record's lock decides who consumes it.
 * walk.c finds what takes part, backward.c runs it, grads.c has the public calls. */
#ifndef THRUM_AUTOGRAD_WALK_H
#define THRUM_AUTOGRAD_WALK_H

#include "autograd/tape.h"

/* A record on the way: it may run when every user of its results has contributed. */
typedef struct th__entry {
  th__record *record; /* +1 until processed */
  int pending;        /* edges from records that have not run yet */
  bool live;          /* a gradient has to arrive here */
  bool runs;          /* and to go on to some input */
  bool target;
  int64_t first;        /* of its n_out gradients in walk.gradients */
  int64_t first_parent; /* of its n_in entries in walk.parents; -1: no gradient needed */
} th__entry;

typedef struct th__walk {
  /* What the caller asks for. */
  const char *who; /* the public call, for messages */
  bool retain, create;
  bool partial; /* targets are taken for independent of each other; leaves among others only */
  th__node **
      targets; /* n_targets, whose gradients become results; NULL: gradients are kept by their nodes */
  int n_targets;
  th_array **results; /* +1 each, or NULL so far */
  /* What takes part. */
  th__entry *entries; /* roots first */
  int64_t n, n_roots, capacity;
  int64_t *table;     /* open addressing by record: entry number + 1, 0 = empty */
  int64_t table_size; /* a power of 2 */
  int64_t *parents;
  int64_t n_parents, parents_capacity;
  int64_t *target_entries; /* per target; -1: no root depends on it */
  th_array **gradients;    /* +1 each, NULL = zero so far */
  int64_t n_gradients, gradients_capacity;
  int max_in, max_out;
  int64_t *ready; /* a stack of entries whose gradients are complete */
  int64_t n_ready;
  th_scope scope; /* the caller's, suspended; open while its hooks run */
} th__walk;

/* Finds and checks everything that the n roots depend on; nothing is submitted. */
th_status th__walk_discover(th__walk *w, th__node *const *roots, int n);
/* Runs the vjps from head gradients (borrowed, per root). */
th_status th__walk_run(th__walk *w, th__node *const *roots, th_array *const *heads, int n);
void th__walk_end(th__walk *w); /* frees all but results */

/* The number of r's entry, or -1. */
int64_t th__walk_entry(const th__walk *w, const th__record *r);
th_status th__walk_fail_freed(const th__walk *w, const th__record *r);
/* Under the record's lock: TH_EVERSION if what its vjp needs was changed in place. */
th_status th__walk_check_saved(const th__walk *w, const th__record *r);

/* Flag of th__grads(): inputs are independent of each other, and no other leaf may take part. */
#define TH__PARTIAL (1u << 31)
/* th_grads() without a scope, and with inner flags. */
th_status th__grads(th_array *const *outputs, int n_outputs, th_array *const *heads,
                    th_array *const *inputs, int n_inputs, uint32_t flags, th_array **gradients);

#endif
