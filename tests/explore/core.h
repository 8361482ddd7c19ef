/* What the explorer's files share: the state of the schedule that is running. Everything runs in one real thread, so nothing
 * is locked. */
#ifndef THRUM_TESTS_EXPLORE_CORE_H
#define THRUM_TESTS_EXPLORE_CORE_H

#include "tests/explore/explore.h"
#include "tests/explore/operations.h"

/* A vector clock: how much of each thread's past is meant. */
typedef struct ex_clock {
  uint32_t at[EX_THREADS];
} ex_clock;

static inline void ex_join_clock(ex_clock *into, const ex_clock *from) {
  for (int i = 0; i < EX_THREADS; i++)
    if (from->at[i] > into->at[i]) into->at[i] = from->at[i];
}

typedef struct ex_thread {
  enum { EX_NONE, EX_READY, EX_PARKED, EX_LOCKING, EX_JOINING, EX_ENDED } state;
  bool yielded; /* it spins: goes on when another thread has changed something */
  bool timed_out;
  const volatile void *on; /* what it waits for */
  int joins;
  int64_t deadline;  /* of a parked one; -1 = none */
  uint32_t expected; /* likewise */
  const ex_place *at;
  ex_clock happened; /* what happens before its next step; its own entry is its time */
  ex_clock seen;     /* what its loads must see: that, and what fences told it */
} ex_thread;

typedef struct ex_state {
  const ex_scenario *scenario;
  int running;
  int live; /* threads that have not ended */
  long steps;
  int64_t now;
  ex_thread threads[EX_THREADS];
  bool failed, tracing, quiet;
  int stop; /* the thread that ex_run_until() lets run; -1 = none */
  const char *stop_file, *stop_text;
  char message[512];
} ex_state;

extern ex_state ex;

/* --- threads.c --- */
/* Before an operation on p: another thread may go first. */
void ex_point(const ex_place *at, const volatile void *p);
void ex_changed(void); /* the running thread changed something that others may spin on */
/* Runs the body once. False when it failed. */
bool ex_run_once(void);

/* --- choice.c --- */
typedef enum { EX_SEARCH, EX_RANDOM, EX_REPLAY } ex_mode;
/* How one schedule is chosen. */
typedef struct ex_plan {
  ex_mode mode;
  int preemptions, rare; /* bounds of a search */
  uint64_t seed;         /* of a random schedule */
  const char *path; /* of a replayed one: "17:1,33:2" = choice 17 is 1, 33 is 2, all others are 0 */
} ex_plan;
/* Before each schedule; a search goes on where its last schedule was. */
void ex_plan_begin(const ex_plan *plan);
void ex_search_restart(void);
bool ex_search_next(void); /* to the next schedule of the search; false when all were tried */
/* One of n threads; ids[0] goes on if it can (preempting: else it is free to choose). */
int ex_choose_thread(const int *ids, int n, bool preempting, bool worthwhile);
/* 0 = the usual; 1..n-1 = something rarer. */
int ex_choose_rare(int n);
/* The choices of the schedule that was run last, as a path. */
const char *ex_path(void);
uint32_t ex_path_length(void);
void ex_path_without(uint32_t skip, char *out, size_t bytes);

/* --- memory.c --- */
void ex_memory_reset(void);
/* Plain code wrote to these addresses: what was known of atomics there is void. */
void ex_memory_overwritten(uintptr_t from, uintptr_t to);
/* The operations without a scheduling point before them. */
uint64_t ex_rmw_now(const ex_place *at, volatile void *p, int size, ex_change change,
                    uint64_t operand, ex_order order);
void ex_store_now(const ex_place *at, volatile void *p, int size, uint64_t value, ex_order order);
/* Several threads have used p, in this schedule or an earlier one. */
bool ex_shared(const volatile void *p);
void ex_shared_forget(void);
uint32_t ex_shared_count(void);

/* --- plain.c --- */
void ex_plain_reset(void);
typedef enum { EX_READ, EX_WRITE, EX_ATOMIC_READ, EX_ATOMIC_WRITE } ex_access;
/* Checks an access against all others that are not ordered with it, and remembers it. */
void ex_plain_access(const volatile void *p, size_t size, ex_access kind, const void *pc);
bool ex_private(const volatile void *at); /* threads.c: on a stack, or per thread */
void *ex_resize(void *block, size_t bytes);
void ex_map_forget(void *p, size_t bytes); /* as madvise() with MADV_DONTNEED */

/* --- program.c, linked into each program --- */
typedef struct ex_area {
  char *data, *data_end; /* variables: as they were at the start for each schedule */
  char *tls, *tls_end;   /* what each thread has of its own */
} ex_area;
extern ex_area ex_areas;

/* threads.c: one step of a schedule that is shown. */
void ex_trace_show(void);
void ex_trace(const ex_place *at, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
