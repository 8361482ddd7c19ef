/* The explorer runs a small concurrent program again and again, each time with another schedule, and tells which one breaks it.
 *
 * Threads are coroutines of one real thread. Before each atomic operation another thread may be let go first; a load may
 * return an older value where its memory order permits that; a parked thread may wake early, a weak compare-and-swap may
 * fail for nothing. Each of these is a *choice*. All schedules with at most so many preemptions and stale reads are
 * tried in order, then random ones. A schedule is the list of its choices, so a failing one can be run again.
 *
 * Found are: failed checks, deadlocks (everybody sleeps), livelocks (no end in sight), data races on plain memory,
 * use of freed memory, crashes. The sources under test are compiled with the compiler's thread-sanitizer instrumentation,
 * but the calls it makes end here (plain.c).
 *
 * The memory model is C11's (memory.c says how), without values out of thin air and without stores that overtake older
 * loads or stores of the same location. */
#ifndef THRUM_TESTS_EXPLORE_H
#define THRUM_TESTS_EXPLORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EX_THREADS 8 /* thread 0 runs the body */

typedef struct ex_scenario {
  const char *name;
  /* Either a body, which may spawn threads, or: setup alone, then thread(1..threads) side by side, then check alone. */
  void (*body)(void);
  void (*setup)(void);
  int threads;
  void (*thread)(int number);
  void (*check)(void);
  int preemptions; /* bound of the exhaustive search */
  int rare;    /* stale reads, early wake-ups and failed weak swaps per schedule in the search */
  long most;   /* schedules after which the search is given up (default 100,000) */
  long random; /* random schedules behind it (default 2,000) */
  const char
      *finds; /* a program that is broken on purpose: a word of the failure that must be found */
  bool all_woken; /* it is a failure when only its time-out wakes a thread whose word has changed */
} ex_scenario;

/* A program of the explorer defines these. */
extern const ex_scenario ex_scenarios[];
extern const size_t ex_n_scenarios;

/* Runs the scenarios that the command line names, or all. The exit status of the program. */
int ex_main(int argc, char **argv, const ex_scenario *scenarios, size_t n);

/* For bodies. */
int ex_spawn(void (*fn)(void *arg), void *arg); /* the new thread's number */
void ex_join(int thread);
int ex_self(void);
int64_t ex_now_ns(void); /* goes on by leaps, so that loops "for 50 us" end soon */
/* While quiet there are no choices: for parts that other scenarios explore. */
void ex_quiet(bool on);
void ex_settle(
    bool for_good); /* quietly lets all others run until they sleep, or sleep without a limit */
/* Quietly lets others run until the thread stands before an operation on `text` (as the source spells it) in that file. */
void ex_run_until(int thread, const char *file, const char *text);
/* Ends this schedule as failed. */
void ex_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
#define EX_CHECK(condition)                                                                        \
  ((condition) ? (void)0 : ex_fail("check failed: %s (%s:%d)", #condition, __FILE__, __LINE__))
/* How often something happened over all schedules: shown at the end, so that a test can be seen to reach a place. */
void ex_count(const char *what);

/* Memory that is empty at the start of each schedule. Use after free is found. */
void *ex_alloc(size_t bytes); /* zeroed */
void ex_free(void *block);
void *ex_map(size_t bytes); /* large and sparse */

#endif
