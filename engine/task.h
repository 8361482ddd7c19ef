/* Owns the task record and its slots. Records live in one reserved range of addresses and are named by slot and generation
 * (th__ref), so a stale name never matches and may always be looked up.
 *
 * Life: pending -> ready -> running -> (issued on a lane) -> finished. Whoever moves a task from ready to running by the claim
 * word owns it until it is finished. Its successors hang in a list whose head also holds the generation: one exchange
 * closes the list, ends the generation and so makes every older reference say "finished". */
#ifndef THRUM_ENGINE_TASK_H
#define THRUM_ENGINE_TASK_H

#include "engine/device.h"
#include "engine/var.h"

#define TH__SLOT_BITS   22 /* most records at one time: 4 Mi */
#define TH__SLOTS       (UINT32_C(1) << TH__SLOT_BITS)
#define TH__LINKS       4 /* predecessors a record holds; more go to extension records */
#define TH__INLINE_VARS 5
#define TH__INLINE_ARG  32
#define TH__LIST_CLOSED UINT32_C(0xffffffff) /* first link of an issue list whose task was issued */

#define TH__REF(generation, slot) ((th__ref)(generation) << 32 | (slot))
#define TH__REF_SLOT(ref)         ((uint32_t)(ref))
#define TH__REF_GENERATION(ref)   ((uint32_t)((ref) >> 32))

enum { /* phase: low byte of the claim word */
       TH__FREE,
       TH__PENDING, /* waits for predecessors */
       TH__READY,   /* whoever claims it may run it */
       TH__RUNNING, /* its body runs, or its token is awaited */
       TH__ISSUED,  /* on a lane */
       TH__JOIN     /* no body: finishes when its predecessors have */
};
enum {                          /* flags of the claim word */
       TH__HAS_WAITERS = 0x100, /* threads are parked on `wake` */
       TH__RAISED = 0x200,      /* somebody waits for it: goes to the urgent class when ready */
       TH__TOKEN_OPEN = 0x400   /* async task whose token was not used yet */
};

enum {                    /* th__task.kind_flags */
       TH__EXTENSION = 1, /* not a task: holds more links of `host` */
       TH__ASYNC = 2,
       TH__HEAP_ARG = 4,
       TH__HEAP_VARS = 8,
       TH__LANE_TASK = 16,
       TH__INTERNAL = 32,    /* left out of traces */
       TH__SKIPPED = 64,     /* not run: what it reads is poisoned */
       TH__LAST_CHANCE = 128 /* nothing else can free memory */
};

/* A variable of the access set: pointer with two tag bits. */
typedef uintptr_t th__access;
#define TH__ACCESS_WRITE       ((uintptr_t)1)
#define TH__ACCESS_READ        ((uintptr_t)2)
#define TH__ACCESS_VAR(access) ((th_var *)((access) & ~(uintptr_t)3))

struct th__failure;
struct th__thread;

typedef struct th__task {
  /* What finishing touches. */
  _Atomic uint64_t done_list; /* {generation, first link}: successors released by completion */
  _Atomic uint64_t claim;     /* {generation, flags | phase} */
  _Atomic uint32_t pending;   /* unfinished predecessors; during submission plus TH__BIAS */
  _Atomic uint32_t wake;      /* waiters park here; changes when the task finishes */
  th_task_fn run;
  void *arg;
  _Atomic uint64_t sequence; /* order of submission, from 1; atomic for dumps, edges, wait_all */
  _Atomic(struct th__thread *) owner; /* the thread that runs it */
  uint32_t flags;                     /* TH_TASK_* */
  _Atomic uint16_t device;    /* index into the engine's devices; atomic as the back edges are */
  uint8_t priority;           /* class, 0 = low .. 3 = urgent */
  _Atomic uint8_t kind_flags; /* TH__EXTENSION and so on; atomic as the back edges are */
  /* Back edges. Atomic because waiters read them while the slot may be recycled, then check the
   * generation again. */
  _Atomic uint64_t preds[TH__LINKS];
  _Atomic uint32_t links[TH__LINKS]; /* next link of the list this link is in */
  _Atomic uint32_t extension;        /* slot + 1 of the record that holds more links; 0 = none */
  uint32_t host;                     /* of an extension: the task's slot */
  _Atomic uint16_t n_links;
  uint16_t n_vars;
  int16_t lane;
  int16_t status; /* of the body, kept for a later finish (lanes, tokens) */
  /* What the owner needs. */
  void (*drop)(void *arg);
  _Atomic(const char *) name; /* atomic for the dump */
  int64_t bytes;
  th__access vars[TH__INLINE_VARS]; /* the access set; with TH__HEAP_VARS vars[0] points to it */
} th__task;

_Static_assert(sizeof(th__task) == 192, "three cache lines: long queues live from small records");

/* What few tasks need, in a range of its own that stays untouched otherwise. */
typedef struct th__side {
  char arg[TH__INLINE_ARG] __attribute__((aligned(16)));
  _Atomic uint64_t
      issue_list; /* {generation, first link or closed}: successors on the same lane device */
  _Atomic uint64_t point;      /* of a task on a lane */
  struct th__failure *failure; /* handed over by a token signal */
  uint64_t unused;
} th__side;

_Static_assert(sizeof(th__side) == 64, "one cache line");

/* Stamps of tracing, likewise. */
typedef struct th__stamps {
  uint64_t submitted, ready, started;
} th__stamps;

/* Reserves the ranges. TH_ENOMEM. */
th_status th__slots_open(void);
void th__slots_close(void);
/* A free slot for this thread with its generation set, or TH_ENOMEM. Fills nothing else. */
th__task *th__slot_take(struct th__thread *self);
void th__slot_give(struct th__thread *self, th__task *task);
/* Gives back what this thread keeps aside. */
void th__slots_flush(struct th__thread *self);
/* Returns memory of free slots beyond `keep` to the system. */
void th__slots_trim(uint32_t keep);
/* Slots ever used: all live tasks are below. */
uint32_t th__slots_used(void);

extern th__task *th__slot_base;
extern th__side *th__side_base;
extern th__stamps *th__stamp_base;

static inline th__task *th__task_at(uint32_t slot) { return th__slot_base + slot; }
static inline uint32_t th__task_slot(const th__task *t) { return (uint32_t)(t - th__slot_base); }
static inline th__side *th__task_side(const th__task *t) {
  return th__side_base + th__task_slot(t);
}
/* The access set. */
static inline const th__access *th__task_vars(const th__task *t) {
  return th__load(&t->kind_flags, TH__RELAXED) & TH__HEAP_VARS ? (const th__access *)t->vars[0]
                                                               : t->vars;
}
static inline th__stamps *th__task_stamps(const th__task *t) {
  return th__stamp_base + th__task_slot(t);
}
static inline uint32_t th__task_generation(const th__task *t) {
  return (uint32_t)(th__load(&t->done_list, TH__ACQUIRE) >>
                    32); /* pairs with the closing exchange */
}
static inline th__ref th__task_ref(const th__task *t) {
  return TH__REF(th__task_generation(t), th__task_slot(t));
}
/* True once the task has finished; everything it did is then visible. */
static inline bool th__ref_finished(th__ref ref) {
  return ref == 0 || th__task_generation(th__task_at(TH__REF_SLOT(ref))) != TH__REF_GENERATION(ref);
}

#endif
