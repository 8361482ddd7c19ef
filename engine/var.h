/* Owns the variable: who wrote it last, who reads it since, its version and its error. `lock` guards last_writer and the
 * readers; submission takes the locks of its whole access set in address order. Completions never touch a variable,
 * except to poison or cure it. */
#ifndef THRUM_ENGINE_VAR_H
#define THRUM_ENGINE_VAR_H

#include "engine/base/atomic.h"
#include "thrum/engine.h"

/* A task by slot and generation: {generation:32, slot:32}; 0 = none. A recycled slot no longer matches. */
typedef uint64_t th__ref;

#define TH__INLINE_READERS 4
#define TH__FOLD           64 /* so many unfinished readers at most are waited for one by one */
#define TH__MOST_ACCESSES  (TH__FOLD + 1) /* with the writer */

struct th__failure;

struct th_var {
  th__spin lock;
  uint32_t n_readers;       /* under lock */
  uint32_t reader_capacity; /* under lock */
  uint32_t
      epoch; /* of the engine that made it; another epoch means it outlived a fork or shutdown */
  _Atomic th__ref last_writer; /* written under lock; release pairs with waiters' acquire */
  uint64_t sequence;           /* under lock: of the last access */
  th__ref *readers;            /* under lock; points to inline_readers or a heap block */
  _Atomic uint64_t version;    /* writes submitted; written under lock, read anywhere */
  th__ref inline_readers[TH__INLINE_READERS]; /* under lock; used while there is no block */
  _Atomic(struct th__failure *)
      error;            /* counted; swapped under lock by the task that owns the write */
  _Atomic int32_t refs; /* handles; embedded variables do not use it */
};

/* For variables embedded in storages and the like. */
void th__var_init(th_var *v);
/* Calls done(arg) once, when every task submitted on v so far is complete: now if there is none, else from an engine
 * thread. v must not be submitted any more. Frees what v holds first. Never fails, never blocks. */
void th__var_retire(th_var *v, void (*done)(void *arg), void *arg);
/* Frees what v holds, for an owner who knows that every task submitted on v has run and is at least in its drop. May be
 * called again. */
void th__var_end(th_var *v);

#endif
