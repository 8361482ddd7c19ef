/* Owns the task record and its slots. Records live in one reserved range of addresses and are named by slot and generation
 * (th__ref), so a stale name never matches and may always be looked up.
 *
 * Life: entering -> pending -> running -> (issued on a lane) -> finished. A pending task without unfinished predecessors is
 * ready: whoever moves it to running by the word owns it until it is finished. Its successors hang in a list whose head
 * also holds the generation: one exchange closes the list, ends the generation and so makes every older reference say
 * "finished". */
#ifndef THRUM_ENGINE_TASK_H
#define THRUM_ENGINE_TASK_H

#include "engine/device.h"
#include "engine/kind.h"
#include "engine/var.h"

#define TH__SLOT_BITS   22 /* most records at one time: 4 Mi */
#define TH__SLOTS       (UINT32_C(1) << TH__SLOT_BITS)
#define TH__LINKS       4 /* predecessors a record holds; more go to extension records */
#define TH__MORE_LINKS  8 /* in an extension record; also what a link's number is counted in */
#define TH__INLINE_VARS 3
#define TH__INLINE_ARG  64
#define TH__SIDE_VARS   8                    /* that fit where the argument would lie */
#define TH__LIST_CLOSED UINT32_C(0x7fffffff) /* first link of an issue list whose task was issued */
#define TH__WAITERS     UINT32_C(0x80000000) /* in done_list: threads are parked on its generation */

#define TH__REF(generation, slot) ((th__ref)(generation) << 32 | (slot))
#define TH__REF_SLOT(ref)         ((uint32_t)(ref))
#define TH__REF_GENERATION(ref)   ((uint32_t)((ref) >> 32))

/* The word: {generation:32, unfinished predecessors:24, flags:5, phase:3}. */
enum { /* phase */
       TH__FREE,
       TH__ENTERING, /* being submitted: nobody may claim it or set flags */
       TH__PENDING,  /* ready once it has no unfinished predecessor: whoever claims it may run it */
       TH__RUNNING,  /* its body runs, or its token is awaited */
       TH__ISSUED,   /* on a lane */
       TH__JOIN,     /* no body: finishes when its predecessors have */
       TH__PHASE = 7
};
enum {                      /* flags of the word */
       TH__RAISED = 8,      /* somebody waits for it: goes to the urgent class when ready */
       TH__TOKEN_OPEN = 16, /* async task whose token was not used yet */
       TH__BLOCKED = 32,    /* its body waits for another task */
       TH__STARVING = 64    /* its body found no memory and waits for its next try */
};
#define TH__ONE                (UINT64_C(1) << 8) /* one predecessor */
#define TH__WORD_PREDS(word)   ((uint32_t)(word) >> 8)
#define TH__WORD_PHASE(word)   ((uint32_t)(word)&TH__PHASE)
#define TH__WORD_GENERATION(w) ((uint32_t)((w) >> 32))
#define TH__WORD_READY(word)                                                                       \
  (((uint32_t)(word) & ~(uint32_t)(TH__RAISED | TH__TOKEN_OPEN)) == TH__PENDING)

enum {                    /* th__task.kind_flags */
       TH__EXTENSION = 1, /* not a task: holds more links of `host` */
       TH__ASYNC = 2,
       TH__HEAP_ARG = 4,
       TH__HEAP_VARS = 8,
       TH__LANE_TASK = 16,
       TH__INTERNAL = 32,    /* left out of traces */
       TH__SKIPPED = 64,     /* not run: what it reads is poisoned */
       TH__LAST_CHANCE = 128 /* nothing else can free memory, it seems: see starve.c */
};

enum { /* in th__task.flags beside TH_TASK_* */
       TH__USER_FLAGS = 63,
       TH__GROUPED = 64,   /* the side holds its group */
       TH__SMALL_ARG = 128 /* the argument's bytes lie in th__task.arg */
};

/* A variable of the access set: pointer with two tag bits. */
typedef uintptr_t th__access;
#define TH__ACCESS_WRITE       ((uintptr_t)1)
#define TH__ACCESS_READ        ((uintptr_t)2)
#define TH__ACCESS_VAR(access) ((th_var *)((access) & ~(uintptr_t)3))

/* Where a task runs: index into the engine's devices and priority class, 0 = low .. 3 = urgent. */
#define TH__PLACE(device, class_) ((uint8_t)((device) | (class_) << 6))
#define TH__PLACE_DEVICE(place)   ((place)&63)
#define TH__PLACE_CLASS(place)    ((place) >> 6)

struct th__failure;
struct th__thread;

/* Two cache lines. Most fields are atomic because helpers and dumps look at records that may be recycled meanwhile; they read
 * with acquire what is stored with release, then check the generation again. */
typedef struct th__task {
  /* Line one: what finishing predecessors and the executor touch. */
  _Atomic uint64_t
      done_list; /* {generation:32, waiters:1, first link:31}: successors released by completion */
  _Atomic uint64_t word;
  _Atomic uint8_t kind_flags; /* TH__EXTENSION and so on */
  _Atomic uint8_t n_links;
  _Atomic uint8_t place;
  int8_t status;              /* of the body, kept for a later finish (lanes, tokens) */
  _Atomic uint32_t extension; /* slot + 1 of the record that holds more links; 0 = none */
  union {
    struct {
      _Atomic uint32_t own_links[TH__LINKS];
      void *arg;
      _Atomic uint16_t kind;  /* index into th__kinds; 0 = the side holds it */
      _Atomic uint16_t owner; /* number of the thread that runs it; 0 = none */
      uint16_t n_vars;
      uint8_t flags;   /* TH_TASK_*, TH__GROUPED, TH__SMALL_ARG */
      int8_t lane;     /* -1 = none */
      uint32_t memory; /* it will allocate, see th__memory_pack() */
      uint32_t hint;   /* a slot that the submitter was going to take soon: a later task lies there.
                      * Of one that starves: the next of the list */
    };
    struct {                                  /* of an extension record */
      _Atomic uint32_t links[TH__MORE_LINKS]; /* next link of the list this link is in */
      uint32_t host;                          /* the task's slot */
    };
  };
  /* Line two: who must finish first, and what it uses. */
  union {
    struct {
      _Atomic uint64_t own_preds[TH__LINKS];
      _Atomic th__access vars[TH__INLINE_VARS]; /* of more, vars[0] is the address */
      _Atomic uint64_t sequence;                /* grows along every dependency, and per thread */
    };
    _Atomic uint64_t preds[TH__MORE_LINKS]; /* back edges: th__ref */
  };
} th__task;

_Static_assert(sizeof(th__task) == 128, "two cache lines: long queues live from small records");
_Static_assert(offsetof(th__task, own_preds) == 64, "line one ends here");
_Static_assert(offsetof(th__task, own_links) == offsetof(th__task, links), "links by one name");

/* What few tasks need, in a range of its own that stays untouched otherwise. */
typedef struct th__side {
  char arg[TH__INLINE_ARG] __attribute__((aligned(16)));
  _Atomic uint64_t
      issue_list; /* {generation, first link or closed}: successors on the same lane device */
  _Atomic uint64_t point;      /* of a task on a lane */
  struct th__failure *failure; /* handed over by a token signal */
  th__kind kind;
  th_group *group; /* counted; of a task that has not begun */
} th__side;

_Static_assert(sizeof(th__side) == 128, "whole cache lines");

/* Stamps of tracing, likewise. */
typedef struct th__stamps {
  uint64_t submitted, started;
  _Atomic uint64_t ready; /* set by whoever counts the last predecessor off */
  uint64_t starved;       /* when its body first found no memory; 0 = it did not */
} th__stamps;

_Static_assert(sizeof(th__stamps) == 32, "no stamps lie across two cache lines");

/* Reserves the ranges. TH_ENOMEM. */
th_status th__slots_open(void);
void th__slots_close(void);
/* Gives back what this thread keeps aside. */
void th__slots_flush(struct th__thread *self);
/* For a thread without work: makes memory ready that many submissions in a row will need soon. */
void th__slots_populate(void);
/* Returns memory of free slots beyond `keep` to the system. */
void th__slots_trim(uint32_t keep);
/* The first from slot on whose memory is there; who reads others makes the system map pages for nothing. */
uint32_t th__slots_from(uint32_t slot);
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
static inline const th__kind *th__task_kind(const th__task *t) {
  uint32_t kind = th__load(&t->kind, TH__RELAXED);
  return kind != 0 ? &th__kinds[kind] : &th__task_side(t)->kind;
}
/* Bytes in 32 bits: exact below 2 GiB, else rounded up to 64 KiB. */
static inline uint32_t th__memory_pack(int64_t bytes) {
  if (__builtin_expect((uint64_t)bytes <= INT32_MAX, 1)) return (uint32_t)bytes;
  if (bytes < 0) return 0;
  int64_t units = (bytes - 1) / 65536 + 1;
  return UINT32_C(1) << 31 | (units < INT32_MAX ? (uint32_t)units : (uint32_t)INT32_MAX);
}
static inline int64_t th__memory_unpack(uint32_t memory) {
  return memory >> 31 ? (int64_t)(memory & INT32_MAX) * 65536 : (int64_t)memory;
}
/* A status that fits the record: callers of a failed body see the failure itself. */
static inline int8_t th__short_status(th_status status) {
  return (int8_t)(status < INT8_MIN ? INT8_MIN : status);
}
/* What the body gets. */
static inline void *th__task_arg(th__task *t) {
  return __builtin_expect(t->flags & TH__SMALL_ARG, 0) ? (void *)&t->arg : t->arg;
}
/* The access set. */
static inline const _Atomic th__access *th__task_vars(const th__task *t) {
  return t->n_vars <= TH__INLINE_VARS
             ? t->vars
             : (const _Atomic th__access *)th__load(&t->vars[0], TH__RELAXED);
}
static inline th__stamps *th__task_stamps(const th__task *t) {
  return th__stamp_base + th__task_slot(t);
}
static inline uint32_t th__task_generation(const th__task *t) {
  return (uint32_t)(th__load(&t->done_list, TH__ACQUIRE) >>
                    32); /* pairs with the closing exchange */
}
/* The one after it; 0 stands for memory nobody used yet. */
static inline uint32_t th__generation_after(uint32_t generation) {
  return generation + 1 != 0 ? generation + 1 : 1;
}
static inline th__ref th__task_ref(const th__task *t) {
  return TH__REF(th__task_generation(t), th__task_slot(t));
}
/* True once the task has finished; everything it did is then visible. */
static inline bool th__ref_finished(th__ref ref) {
  return ref == 0 || th__task_generation(th__task_at(TH__REF_SLOT(ref))) != TH__REF_GENERATION(ref);
}

#endif
