/* What the files of the fake driver offer each other. One mutex guards everything; commands run under it unless threads run them (threads.c),
 * so kernels must not call the driver. */
#ifndef THRUM_TESTS_FAKECUDA_FAKE_H
#define THRUM_TESTS_FAKECUDA_FAKE_H

#include <pthread.h>
#include <stdbool.h>

#include "devices/cuda/driver.h"
#include "fakecuda/fakecuda.h"

enum { FAKE_DEVICES = 4, FAKE_STREAMS = 64, FAKE_PARAMS = 32 };

#define FAKE_EXPORT __attribute__((visibility("default")))
/* The exported functions, so that their definitions must agree with what the product calls. */
#define FAKE_PROTOTYPE(ours, theirs, parameters) FAKE_EXPORT th__cu_result theirs parameters;
TH__CU_FUNCTIONS(FAKE_PROTOTYPE)
TH__CU_OPTIONAL_FUNCTIONS(FAKE_PROTOTYPE)

typedef struct fake_settings {
#define FAKE_FIELD(name, value) int64_t name;
  FAKE_SETTINGS(FAKE_FIELD)
#undef FAKE_FIELD
} fake_settings;

#define FAKE_COUNTS(X)                                                                             \
  X(launches)                                                                                      \
  X(copies)                                                                                        \
  X(peer_copies)                                                                                   \
  X(fills)                                                                                         \
  X(writes)                                                                                        \
  X(waits)                                                                                         \
  X(records)                                                                                       \
  X(timed)                                                                                         \
  X(allocs)                                                                                        \
  X(frees)                                                                                         \
  X(host_allocs)                                                                                   \
  X(registers)                                                                                     \
  X(commands)                                                                                      \
  X(syncs)                                                                                         \
  X(queries)                                                                                       \
  X(races)
typedef struct fake_counts {
#define FAKE_FIELD(name) int64_t name;
  FAKE_COUNTS(FAKE_FIELD)
#undef FAKE_FIELD
} fake_counts;

typedef uint64_t fake_clock[FAKE_STREAMS]; /* per stream: commands that are known to be over */

struct CUctx_st {
  int index, retained;
  th__cu_result dead; /* the sticky error; 0 = alive */
  unsigned peers;     /* bit i: access to device i is enabled */
};

typedef struct fake_command_record {
  struct fake_command_record *next;
  char name[48];
  void (*run)(void *arg);
  void *arg;
  uint64_t seq; /* among the stream's */
  /* A wait: */
  struct CUstream_st *other;
  uint64_t other_seq;
  /* A write of a counter: what its stream is ordered behind becomes known to the host. */
  uint64_t *clock;
} fake_record;

struct CUstream_st {
  struct CUstream_st *next;
  int id; /* index in clocks; used again only when all that was on it is over */
  th__cu_context context;
  fake_record *first, *last;
  uint64_t issued, done;
  int waiters; /* calls that wait for it without the lock: it stays */
  bool busy;   /* a thread runs a command of it, without the lock */
  fake_clock clock;
};

struct CUevent_st {
  th__cu_context context;
  struct CUstream_st *stream; /* NULL = never recorded */
  uint64_t seq;
  fake_clock clock;
  bool timed, stamped; /* at is valid */
  double at;           /* ns of the device's clock when the stream passed it */
};

struct CUmod_st {
  th__cu_context context;
};

typedef struct fake_kernel {
  struct fake_kernel *next;
  char name[64];
  void (*run)(void **params, const unsigned grid[3], const unsigned block[3], unsigned shared);
  const char *access;
  const unsigned short *sizes;
} fake_kernel;

typedef struct fake_the {
  pthread_mutex_t lock;
  pthread_cond_t changed; /* for threads: there is something to do, or to see */
  fake_settings set;
  fake_counts count;
  struct CUctx_st contexts[FAKE_DEVICES];
  struct CUstream_st *streams;
  uint64_t stream_ids; /* bit i: id i is used */
  uint64_t random;
  int mood, mood_calls, starved, idle;
  int n_streams, n_events, n_modules;
  fake_clock host; /* what the host may know to be over */
} fake_the;
extern fake_the fake;

/* core.c */
void fake_lock(void); /* reads the environment the first time */
void fake_unlock(void);
extern _Thread_local bool fake_unlocked; /* this thread runs a command without the lock */
int64_t fake_now(void);                  /* ns */
uint32_t fake_below(uint32_t n);
void fake_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
th__cu_context fake_current(void); /* of this thread; NULL and a complaint when there is none */
/* Counts a setting down: true at the n-th call. */
bool fake_strikes(int64_t *setting);
void fake_clock_join(fake_clock into, const fake_clock from);

/* threads.c */
static inline bool fake_threaded(void) { return fake.set.threads > 0; }
void fake_threads_need(void); /* something was enqueued */
/* Waits for a while, without the lock, until something changes. */
void fake_threads_wait(void);
void fake_threads_idle(void); /* until no thread runs a command of a dead context */

/* stream.c */
struct CUstream_st *fake_choose(void); /* any stream whose first command may run; NULL = none */
/* Takes that command. NULL: it killed its context. */
fake_record *fake_take(struct CUstream_st *s);
bool fake_must_lock(const fake_record *r);               /* it is run under the lock in any case */
void fake_finish(struct CUstream_st *s, fake_record *r); /* it was run */
/* Puts a command behind the stream's others; arg is copied. */
fake_record *fake_enqueue(struct CUstream_st *s, const char *name, void (*run)(void *arg),
                          const void *arg, size_t bytes);
void fake_some_progress(void); /* what a call that waits for nothing does */
bool fake_run_until(struct CUstream_st *s, uint64_t seq); /* false: it can never come to that */

/* memory.c: addresses, blocks, the race checker */
/* An access by the command that was enqueued last on s. */
void fake_access(struct CUstream_st *s, const char *name, const void *begin, int64_t bytes,
                 bool writes);
/* The block or allocation that an address lies in; false when it is none. */
bool fake_extent(const void *address, const void **begin, int64_t *bytes);
void fake_memory_leaks(void);
void fake_forget_context(th__cu_context context);
void fake_forget_registered(th__cu_context context);

#endif
