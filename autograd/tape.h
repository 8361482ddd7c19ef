/* The tape: what operators leave behind on arrays that require gradients, and who owns it.
 *
 * One record per recorded call (op != NULL) or per leaf (op == NULL). An array that was computed points to one node of a
 * record: result `index` of that call. A record points back to the nodes its inputs had (parents), never to arrays that
 * point to it: saved arrays are aliases, handles onto the same storage without a node, so no reference cycle exists.
 * Records are counted; whoever holds a node pointer holds a reference to its record. */
#ifndef THRUM_AUTOGRAD_TAPE_H
#define THRUM_AUTOGRAD_TAPE_H

#include "engine/base/atomic.h"
#include "ops/op.h"
#include "thrum/autograd.h"

typedef struct th__record th__record;

/* Result `index` of a recorded call, or a leaf (index 0). Lives inside its record. */
typedef struct th__node {
  th__record *record;
  int index;
  _Atomic int32_t handles; /* live arrays that point here */
  _Atomic int32_t views;   /* live arrays that are recorded views of those */
  /* NULL for most, never exchanged. Made under the record's lock by who has an array; relaxed, as the array's last user has
   * learnt of it with the array. */
  _Atomic(struct th__kept *) kept;
} th__node;

/* An array kept for a vjp, with its storage's version when it was recorded. */
typedef struct th__saved {
  th_array *array;
  uint64_t version;
} th__saved;

/* Appended under the record's lock, never removed before the record ends. */
typedef struct th__hook {
  void (*fn)(th_array *gradient, void *user);
  void *user;
  struct th__hook *next;
} th__hook;

/* A gradient that stays after the walk, and who is told of it: every leaf has one, other nodes on request (kept.c). Guarded by
 * the record's lock. */
typedef struct th__kept {
  th_array *gradient; /* +1 or NULL */
  th__hook *hooks;
  bool stored;    /* walks leave the gradient here; false: there are only hooks */
  bool replaced;  /* a walk writes over the gradient instead of adding to it */
  bool dead;      /* no array is left that could show the gradient */
  int adding;     /* threads that are adding to it in place */
  uint32_t added; /* how often that was done */
} th__kept;

struct th__record {
  const th_op *op; /* NULL: a leaf */
  _Atomic int32_t refs;
  th__spin lock;    /* guards saved, freed, stripped, users, what nodes keep */
  bool freed;       /* a backward consumed it: saved and the parents' references are gone */
  bool stripped;    /* they are, and params go with the last of its users */
  int users;        /* walks that keep the graph and are inside its vjp */
  int n_in, n_out;  /* n_out counts results: outputs, then written inputs */
  th__record *next; /* in the list of records to free, of one thread */
  th__node *base;   /* views: the node whose storage this shows (+1), else NULL */
  th_layout *in, *out;
  th__node **parents; /* per input, +1; NULL: no gradient needed */
  th__saved *saved;   /* n_in inputs, then n_out results */
  void *params;
  void (*drop)(void *params); /* ends params together with saved, or after its last user; or NULL */
  th__kept *leaf;             /* leaves only: what their node keeps */
  th__node nodes[];           /* n_out */
};

/* Switches recording on this thread; returns the old setting. */
bool th__tape_recording(bool on);
/* Node of a, with a reference to its record, or NULL. */
th__node *th__tape_node(const th_array *a);
/* Lets a point to node (NULL: nowhere), dropping what it pointed to. */
void th__tape_attach(th_array *a, th__node *node);
th__record *th__record_retain(th__record *r);
void th__record_release(th__record *r); /* NULL is fine; frees long chains without recursion */
/* A handle onto a's data without history, owned by no scope. NULL when out of memory. */
th_array *th__tape_alias(const th_array *a);
/* The leaf record of a with a reference, or NULL. */
th__record *th__tape_leaf(const th_array *a);
/* Drops saved arrays and parents of a record marked freed; only by who set the mark. */
void th__record_strip(th__record *r, th__saved *saved);
/* A walk that was counted among the users is through with the vjp. */
void th__record_leave(th__record *r);
/* Whether calls on these arrays are recorded on this thread. */
bool th__tape_records(const th_array *const *in, int n_in);
/* Records a call by hand: the results' tasks are submitted already. saves as op->saves; drop (or NULL) belongs to the record when
 * this succeeds. */
th_status th__tape_record(const th_op *op, const void *params, void (*drop)(void *params),
                          uint32_t saves, const th_array *const *in, int n_in,
                          const th_array *const *results, int n_results);

/* --- kept.c --- */
/* What node keeps; made when there is nothing yet. NULL when out of memory. */
th__kept *th__kept_make(th__node *node);
void th__kept_free(th__kept *kept); /* NULL is fine */
/* A walk found the gradient g of node (borrowed): stores it where that is wanted and tells the hooks, with the caller's scope
 * open meanwhile. create: the walk is recorded. */
th_status th__kept_deliver(th__node *node, th_array *g, bool create, th_scope *scope);
/* Nobody else can see a's content: it may be changed in place or be given away as it is. */
bool th__is_exclusive(const th_array *a);

#endif
