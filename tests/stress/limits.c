/* Owns the long runs. */
#include "stress/limits.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/tasks.h"
#include "thrum/thrum.h"

#define SANITIZED (!ENGINE_PLAIN_MEMORY)

enum { MIB = 1 << 20 };

typedef struct report {
  char *message;
  size_t bytes;
} report;

static bool say(report *r, bool ok, const char *format, ...) TH_PRINTF(3, 4);
static bool say(report *r, bool ok, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(r->message, r->bytes, format, args);
  va_end(args);
  return ok;
}

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Of all threads: what others do on the same cores does not count. */
static double processor_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Resident memory in bytes; sanitizers keep freed memory, so there it tells nothing and 0 is returned. */
static long resident(void) { return SANITIZED ? 0 : (long)engine_resident(); }

static bool start(report *r, int workers, int64_t max_ops) {
  th_config config = {.size = sizeof config, .workers = workers, .max_ops = max_ops};
  return th_init(&config) == TH_OK || say(r, false, "th_init: %s", th_last_error());
}

static th_status count_one(void *arg, th_task_context *context) {
  __atomic_fetch_add(*(long **)arg, 1, __ATOMIC_RELAXED);
  return TH_OK;
}

static th_status push_count(long *counter, th_var **reads, size_t n_reads, th_var **writes,
                            size_t n_writes) {
  return th_push(&(th_task){.name = "count",
                            .run = count_one,
                            .arg = &counter,
                            .arg_size = sizeof counter,
                            .reads = reads,
                            .n_reads = n_reads,
                            .writes = writes,
                            .n_writes = n_writes});
}

/* ---- process exit ---- */

/* A process that waits for what is queued takes long every time; one that the machine holds up does so now and then. */
static bool exits(long n, char *message, size_t bytes) {
  report r = {message, bytes};
  double worst = 0;
  long slow = 0;
  for (long i = 0; i < n; i++) {
    double begin = seconds();
    pid_t child = fork();
    if (child == 0) {
      setenv("TSAN_OPTIONS", "report_thread_leaks=0", 1); /* leaving things behind is the point */
      setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
      execl(TH_STRESS_BIN "/exit_now", "exit_now", i % 2 ? "0" : NULL, (char *)NULL);
      _exit(127);
    }
    int status = -1;
    waitpid(child, &status, 0);
    double took = seconds() - begin;
    if (took > worst) worst = took;
    if (status != 0) return say(&r, false, "run %ld: status %#x", i, (unsigned)status);
    slow += took > (SANITIZED ? 20 : 2);
    if (slow > 3 && slow > n / 10)
      return say(&r, false, "%ld of %ld runs were slow, the last with %.2f s", slow, i + 1, took);
  }
  return say(&r, true, "%ld exits with 10,000 operations queued, the slowest %.0f ms", n,
             worst * 1e3);
}

/* ---- fork ---- */

/* In the child: every call is refused, releasing is fine, and after a reset the engine works. */
static int in_child(th_var *v, th_array *a) {
  long counter = 0;
  if (push_count(&counter, NULL, 0, &v, 1) != TH_EFORK) return 1;
  if (th_wait(a) != TH_EFORK || th_wait_all() != TH_EFORK) return 2;
  th_release(a);
  if (!ENGINE_THREADS_AFTER_FORK) return 0;
  if (th_reset_after_fork() != TH_OK) return 3;
  th_var *fresh = th_var_new();
  for (int i = 0; i < 100; i++) {
    if (push_count(&counter, NULL, 0, &fresh, 1) != TH_OK) return 4;
  }
  if (th_wait_var(fresh) != TH_OK) return 5;
  return counter == 100 ? 0 : 6;
}

static bool forks(long n, char *message, size_t bytes) {
  report r = {message, bytes};
  if (!start(&r, 2, 0)) return false;
  long counter = 0, pushed = 0;
  th_var *vars[4];
  for (int i = 0; i < 4; i++) vars[i] = th_var_new();
  th_array *a = th_ones(TH_SHAPE(16), TH_F32, th_cpu(0));
  bool ok = true;
  for (long i = 0; ok && i < n; i++) {
    for (int k = 0; k < 500; k++, pushed++) {
      if (push_count(&counter, &vars[k % 3], 1, &vars[(k + 1) % 4], 1) != TH_OK) ok = false;
    }
    if (th_add_scalar_inplace(a, 1) != TH_OK) ok = false;
    if (!ENGINE_THREADS_AFTER_FORK) /* locks of sanitizers do not survive a fork among busy threads */
      (void)th_wait_all();
    pid_t child = fork();
    if (child == 0) _exit(in_child(vars[0], a));
    int status = -1;
    waitpid(child, &status, 0);
    if (status != 0)
      ok = say(&r, false, "child %ld: exit code %d, status %#x", i, WEXITSTATUS(status),
               (unsigned)status);
  }
  th_status status = th_wait_all();
  if (ok && (status != TH_OK || counter != pushed)) {
    ok = say(&r, false, "the parent ran %ld of %ld: %s", counter, pushed, th_last_error());
  }
  th_array *first = th_slice(a, "0");
  if (ok && th_item(first) != 1 + (double)n) ok = say(&r, false, "the parent's array is wrong");
  th_release(first);
  th_release(a);
  for (int i = 0; i < 4; i++) th_var_release(vars[i]);
  if (th_shutdown() != TH_OK) ok = say(&r, false, "th_shutdown: %s", th_last_error());
  return ok ? say(&r, true, "%ld forks with busy workers", n) : false;
}

/* ---- bodies that submit at the run-ahead limit ---- */

typedef struct nest {
  long *counter;
  th_var **vars;
  int depth;
} nest;

static th_status push_more(void *arg, th_task_context *context) {
  nest *o = arg;
  __atomic_fetch_add(o->counter, 1, __ATOMIC_RELAXED);
  if (o->depth == 0) return TH_OK;
  for (int i = 0; i < 4; i++) {
    nest inner = {o->counter, o->vars, o->depth - 1};
    th_task task = {.name = "nested",
                    .run = push_more,
                    .arg = &inner,
                    .arg_size = sizeof inner,
                    .reads = &o->vars[i],
                    .n_reads = 1,
                    .writes = &o->vars[4 + (o->depth + i) % 4],
                    .n_writes = 1};
    th_status status = th_push(&task);
    if (status != TH_OK) return status;
  }
  return TH_OK;
}

static bool nested(long n, char *message, size_t bytes) {
  report r = {message, bytes};
  static const int workers[] = {1, 2, TH_NO_WORKERS};
  for (int w = 0; w < 3; w++) {
    if (!start(&r, workers[w], 16)) return false;
    long counter = 0;
    th_var *vars[8];
    for (int i = 0; i < 8; i++) vars[i] = th_var_new();
    for (long i = 0; i < n; i++) {
      nest top = {&counter, vars, 3};
      th_task task = {.name = "outer",
                      .run = push_more,
                      .arg = &top,
                      .arg_size = sizeof top,
                      .writes = &vars[i % 8],
                      .n_writes = 1};
      if (th_push(&task) != TH_OK) return say(&r, false, "th_push: %s", th_last_error());
    }
    /* Tasks submit tasks: what a wait covers is what was submitted before it, so repeat until nothing is new. */
    th_engine_stats stats = {.size = sizeof stats};
    th_status status;
    do {
      status = th_wait_all();
      if (status == TH_OK) status = th_engine_get_stats(&stats);
    } while (status == TH_OK && stats.pending > 0);
    for (int i = 0; i < 8; i++) th_var_release(vars[i]);
    long wanted = n * (1 + 4 + 16 + 64);
    if (status != TH_OK || counter != wanted)
      return say(&r, false, "%d workers: %ld of %ld ran: %s", workers[w], counter, wanted,
                 th_last_error());
    if (th_shutdown() != TH_OK) return say(&r, false, "th_shutdown: %s", th_last_error());
  }
  return say(&r, true, "%ld tasks that submit 84 more each, limit 16", n);
}

/* ---- a variable that is only read ---- */

static bool reads(long n, char *message, size_t bytes) {
  report r = {message, bytes};
  if (!start(&r, 1, 0)) return false;
  th_var *v = th_var_new();
  long counter = 0, first = 0;
  double begin = seconds();
  for (long i = 0; i < n; i++) {
    if (push_count(&counter, &v, 1, NULL, 0) != TH_OK)
      return say(&r, false, "th_push: %s", th_last_error());
    if (i == n / 10) first = resident();
  }
  double took = seconds() - begin;
  long last = resident(), before_write = __atomic_load_n(&counter, __ATOMIC_RELAXED);
  if (push_count(&counter, NULL, 0, &v, 1) != TH_OK || th_wait_var(v) != TH_OK ||
      counter != n + 1) {
    return say(&r, false, "%ld of %ld ran (%ld before the write was submitted)", counter, n + 1,
               before_write);
  }
  th_var_release(v);
  if (th_shutdown() != TH_OK) return say(&r, false, "th_shutdown: %s", th_last_error());
  return say(&r, last - first < 4 * MIB,
             "%ld reads, then a write: %.0f ns each, resident memory %.1f MiB after a tenth, %.1f "
             "MiB at the end",
             n, took / (double)n * 1e9, (double)first / MIB, (double)last / MIB);
}

/* ---- a write after many pending readers ---- */

static void *signal_later(void *token) {
  th_token_signal(token, TH_OK, NULL);
  return NULL;
}

/* n readers pending behind a gate, then one writer; ns of processor time per operation, negative on failure. */
static double read_and_write(report *r, long n) {
  th_var *v = th_var_new();
  long counter = 0;
  th_token *token = close_gate(v);
  if (!token) return say(r, false, "gate: %s", th_last_error()), -1;
  double begin = processor_seconds();
  for (long i = 0; i < n; i++)
    if (push_count(&counter, &v, 1, NULL, 0) != TH_OK)
      return say(r, false, "th_push: %s", th_last_error()), -1;
  if (push_count(&counter, NULL, 0, &v, 1) != TH_OK)
    return say(r, false, "th_push: %s", th_last_error()), -1;
  signal_later(token);
  if (th_wait_var(v) != TH_OK || counter != n + 1)
    return say(r, false, "%ld of %ld ran", counter, n + 1), -1;
  double took = (processor_seconds() - begin) / (double)n * 1e9;
  th_var_release(v);
  return took;
}

/* Quadratic would be a hundred times more. The large size takes long enough for others to take the caches and the cores, so it is
 * tried more often when it looks slow. */
static bool readers(long n, char *message, size_t bytes) {
  report r = {message, bytes};
  double ns[3] = {1e9, 1e9, 1e9};
  long sizes[3] = {n / 100, n / 10, n};
  bool flat = false;
  if (!start(&r, 1, -1)) return false;
  for (int k = 0; k < 3; k++)
    for (int i = 0; i < 3 || (i < 15 && k == 2 && !flat); i++) {
      double took = read_and_write(&r, sizes[k]);
      if (took < 0) return false;
      if (took < ns[k]) ns[k] = took;
      flat = SANITIZED || ns[2] < 5 * ns[0] + 500;
    }
  if (th_shutdown() != TH_OK) return say(&r, false, "th_shutdown: %s", th_last_error());
  return say(&r, flat,
             "%ld, %ld, %ld pending readers and a writer: %.0f, %.0f, %.0f ns of processor time "
             "per operation",
             sizes[0], sizes[1], sizes[2], ns[0], ns[1], ns[2]);
}

/* ---- many pending operations ---- */

typedef struct
    counters { /* of the program's thread and of the worker, on cache lines of their own */
  long thread[2][8];
} counters;

static th_status count_apart(void *arg, th_task_context *context) {
  (*(counters **)arg)->thread[th_context_worker(context) >= 0][0]++;
  return TH_OK;
}

static th_status push_apart(counters *c, th_var **read, th_var **write) {
  return th_push(&(th_task){.name = "count",
                            .run = count_apart,
                            .arg = &c,
                            .arg_size = sizeof c,
                            .reads = read,
                            .n_reads = 1,
                            .writes = write,
                            .n_writes = 1});
}

/* n operations pending behind a gate, then all done; returns ns per operation, negative on failure. */
static double pile_up(report *r, long n, th_var **vars, int n_vars) {
  counters counted = {0};
  th_var *gate = th_var_new();
  double begin = seconds();
  th_token *token = close_gate(gate);
  if (!token) {
    say(r, false, "gate: %s", th_last_error());
    return -1;
  }
  for (long i = 0; i < n; i++) {
    if (push_apart(&counted, &gate, &vars[i % n_vars]) != TH_OK) {
      say(r, false, "th_push: %s", th_last_error());
      return -1;
    }
  }
  signal_later(token);
  th_status status = th_wait_all();
  long ran = counted.thread[0][0] + counted.thread[1][0];
  if (status != TH_OK || ran != n) {
    say(r, false, "%ld of %ld ran", ran, n);
    return -1;
  }
  double took = seconds() - begin;
  th_var_release(gate);
  return took / (double)n * 1e9;
}

/* Of five; the memory of each is given back before the next. */
static double quickest_pile(report *r, long n, th_var **vars, int n_vars) {
  double quickest = 1e9;
  for (int i = 0; i < 5 && quickest >= 0; i++) {
    double ns = pile_up(r, n, vars, n_vars);
    if (ns < quickest) quickest = ns;
  }
  return quickest;
}

static bool pending(long n, char *message, size_t bytes) {
  enum { VARS = 1000 };
  report r = {message, bytes};
  static th_var *vars[VARS];
  if (!start(&r, 1, -1)) return false;
  for (int i = 0; i < VARS; i++) vars[i] = th_var_new();
  double few = quickest_pile(&r, 10000, vars, VARS);
  long before = resident();
  double many = few < 0 ? few : quickest_pile(&r, n, vars, VARS);
  if (many < 0) return false;
  long after = resident();
  for (int i = 0; i < VARS; i++) th_var_release(vars[i]);
  if (th_shutdown() != TH_OK) return say(&r, false, "th_shutdown: %s", th_last_error());
  return say(&r, after - before < 8 * MIB,
             "%ld pending: %.0f ns each (10000 pending: %.0f), resident memory %.1f MiB before, "
             "%.1f MiB after",
             n, many, few, (double)before / MIB, (double)after / MIB);
}

/* ---- crossing sets ---- */

typedef struct crossing {
  th_var *vars[2];
  long n, *counter;
  int first;
  bool ok;
} crossing;

static void *push_crossing(void *arg) {
  crossing *c = arg;
  th_var *sets[2] = {c->vars[c->first], c->vars[!c->first]};
  for (long i = 0; i < c->n && c->ok; i++) {
    c->ok = push_count(c->counter, &sets[0], 1, &sets[1], 1) == TH_OK;
    if (i % 3 == 0) c->ok = c->ok && push_count(c->counter, NULL, 0, sets, 2) == TH_OK;
  }
  return NULL;
}

static bool crosses(long n, char *message, size_t bytes) {
  report r = {message, bytes};
  if (!start(&r, 1, 0)) return false;
  long counter = 0;
  th_var *a = th_var_new(), *b = th_var_new();
  crossing sides[2];
  pthread_t threads[2];
  for (int i = 0; i < 2; i++) {
    sides[i] = (crossing){{a, b}, n, &counter, i, true};
    if (pthread_create(&threads[i], NULL, push_crossing, &sides[i]) != 0)
      return say(&r, false, "no thread");
  }
  for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
  th_status status = th_wait_all();
  long wanted = 2 * (n + (n + 2) / 3);
  th_var_release(a);
  th_var_release(b);
  bool ok = sides[0].ok && sides[1].ok && status == TH_OK && counter == wanted;
  if (th_shutdown() != TH_OK) return say(&r, false, "th_shutdown: %s", th_last_error());
  return say(&r, ok, "two threads with crossing sets: %ld of %ld ran", counter, wanted);
}

/* Where everything takes ten times as long. */
#define FEWER(n) (SANITIZED ? (n) / 5 : (n))

const limit_run limit_runs[] = {
    {"exits", "processes that return from main with 10,000 operations queued", exits, FEWER(50),
     1000},
    {"forks", "forks while workers are busy", forks, 50, 1000},
    {"forklocks", "forks while other threads hold small locks", fork_locks, 100, 2000},
    {"nested", "tasks that submit tasks at the run-ahead limit", nested, 300, 10000},
    {"reads", "reads of a variable that is never written, then one write", reads, FEWER(1000000),
     10000000},
    {"readers", "pending readers, then one write", readers, FEWER(100000), 1000000},
    {"pending", "operations pending at one time", pending, FEWER(200000), 1000000},
    {"crosses", "operations of two threads on crossing sets", crosses, 50000, 200000},
    {"random", "random numbers, for their statistics", random_statistics, 1 << 20, 1 << 28},
};
const int limit_runs_count = (int)(sizeof limit_runs / sizeof *limit_runs);
