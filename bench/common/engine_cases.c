/* Owns the cases of the engine benchmark that measure parts of the path: submission alone, parallel submitters, the array
 * path, the price of a trace, memory. */
#include "common/engine_cases.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/engine_thrum.h"

static const char *mode_of(const trial *t) {
  const char *dash = strchr(t->impl, '-');
  return dash ? dash + 1 : "";
}

typedef struct scene {
  graph *g;
  th_var **vars;
  run_outcome *out;
  long calls;
} scene;

static scene open_scene(const trial *t, graph_case which, run_outcome *out) {
  th_config config = thrum_config(t->workers, mode_of(t));
  thrum_check(th_init(&config));
  graph *g = graph_new(which, t->n);
  return (scene){g, thrum_vars(g->variables), out, 0};
}

static void close_scene(scene *s) {
  thrum_vars_free(s->vars, s->g->variables);
  thrum_check(th_shutdown());
  graph_free(s->g);
}

static double seconds_of_run(const scene *s) {
  double start = bench_seconds();
  thrum_submit(s->g, s->vars);
  thrum_check(th_wait_all());
  return bench_seconds() - start;
}

/* The submitting calls alone: no worker runs, and the run-ahead limit is not met. */
static double submit_once(void *state) {
  const scene *s = state;
  double start = bench_seconds();
  thrum_submit(s->g, s->vars);
  double seconds = bench_seconds() - start;
  thrum_check(th_wait_all());
  return seconds * 1e9 / (double)s->g->n;
}

static void submit_only(const trial *t, run_outcome *out) {
  scene s = open_scene(t, GRAPH_RANDOM, out);
  run_samples(out, t->job.repetitions, submit_once, &s);
  th_engine_stats stats = {.size = sizeof stats};
  thrum_check(th_engine_get_stats(&stats));
  if (stats.limit_waits > 0) fprintf(stderr, "submit_only: met the run-ahead limit\n");
  close_scene(&s);
}

enum { SUBMITTERS = 4 };

typedef struct submitter {
  graph *g;
  th_var **vars; /* its own */
  pthread_barrier_t *go;
} submitter;

static void *submit_own(void *arg) {
  const submitter *s = arg;
  pthread_barrier_wait(s->go);
  thrum_submit(s->g, s->vars);
  return NULL;
}

/* n threads submit, each to variables of its own. ns per operation until all operations are done. */
static double ns_with_submitters(submitter *all, int n) {
  pthread_t threads[SUBMITTERS];
  pthread_barrier_t go;
  pthread_barrier_init(&go, NULL, (unsigned)n + 1);
  for (int i = 0; i < n; i++) {
    all[i].go = &go;
    if (pthread_create(&threads[i], NULL, submit_own, &all[i]) != 0) exit(1);
  }
  pthread_barrier_wait(&go);
  double start = bench_seconds();
  for (int i = 0; i < n; i++) pthread_join(threads[i], NULL);
  thrum_check(th_wait_all());
  double seconds = bench_seconds() - start;
  pthread_barrier_destroy(&go);
  return seconds * 1e9 / ((double)all[0].g->n * n);
}

typedef struct submitters {
  submitter one, four[SUBMITTERS];
  run_outcome *out;
} submitters;

static double submitters_once(void *state) {
  submitters *s = state;
  s->out->base[s->out->n] = ns_with_submitters(&s->one, 1);
  return ns_with_submitters(s->four, SUBMITTERS);
}

/* The same number of operations from 1 thread and from 4, in turn. */
static void submitters4(const trial *t, run_outcome *out) {
  th_config config = thrum_config(t->workers, "");
  thrum_check(th_init(&config));
  submitters s = {.out = out};
  graph *whole = graph_new(GRAPH_RANDOM, t->n), *part = graph_new(GRAPH_RANDOM, t->n / SUBMITTERS);
  s.one = (submitter){whole, thrum_vars(GRAPH_VARIABLES), NULL};
  for (int i = 0; i < SUBMITTERS; i++)
    s.four[i] = (submitter){part, thrum_vars(GRAPH_VARIABLES), NULL};
  run_samples(out, t->job.repetitions, submitters_once, &s);
  thrum_vars_free(s.one.vars, GRAPH_VARIABLES);
  for (int i = 0; i < SUBMITTERS; i++) thrum_vars_free(s.four[i].vars, GRAPH_VARIABLES);
  thrum_check(th_shutdown());
  graph_free(whole);
  graph_free(part);
}

typedef struct operands {
  th_array *a, *b;
  long n;
} operands;

static double add_once(void *state) {
  const operands *o = state;
  double start = bench_seconds();
  for (long i = 0; i < o->n; i++) {
    th_array *sum = th_add(o->a, o->b);
    if (!sum) thrum_check(th_last_status());
    th_release(sum);
  }
  thrum_check(th_wait_all());
  return (bench_seconds() - start) * 1e9 / (double)o->n;
}

/* c = a + b on 16 floats and the end of c: checks, handle, record, submission, kernel, storage. */
static void eager_add16(const trial *t, run_outcome *out) {
  th_config config = thrum_config(t->workers, mode_of(t));
  thrum_check(th_init(&config));
  int64_t shape = 16;
  th_device cpu = {0};
  operands o = {th_full(&shape, 1, 1, TH_F32, cpu), th_full(&shape, 1, 2, TH_F32, cpu), t->n};
  if (!o.a || !o.b) thrum_check(th_last_status());
  run_samples(out, t->job.repetitions, add_once, &o);
  th_release(o.a);
  th_release(o.b);
  thrum_check(th_shutdown());
}

/* With recording minus without, the order changing from sample to sample. */
static double trace_once(void *state) {
  scene *s = state;
  double off = 0, on = 0;
  bool off_first = s->calls++ % 2 == 0;
  if (off_first) off = seconds_of_run(s);
  thrum_check(th_profile_start(TH_PROFILE_ALL));
  on = seconds_of_run(s);
  if (th_profile_dropped() > 0) fprintf(stderr, "trace_on: records were dropped\n");
  thrum_check(th_profile_stop(NULL));
  if (!off_first) off = seconds_of_run(s);
  s->out->base[s->out->n] = off * 1e9 / (double)s->g->n;
  return (on - off) * 1e9 / (double)s->g->n;
}

static void trace_on(const trial *t, run_outcome *out) {
  graph_case which = strcmp(t->detail, "random") == 0 ? GRAPH_RANDOM : GRAPH_INDEPENDENT;
  scene s = open_scene(t, which, out);
  run_samples(out, t->job.repetitions, trace_once, &s);
  close_scene(&s);
}

static atomic_long allocations;

static void *counted_alloc(size_t bytes, void *user) {
  atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
  return malloc(bytes);
}

static void *counted_resize(void *block, size_t bytes, void *user) {
  atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
  return realloc(block, bytes);
}

static void counted_release(void *block, void *user) { free(block); }

/* Calls of the host allocator per operation, after three runs that may allocate. */
static void heap_per_op(const trial *t, run_outcome *out) {
  const th_allocator counted = {counted_alloc, counted_resize, counted_release, NULL};
  th_config config = thrum_config(t->workers, "");
  config.allocator = &counted;
  thrum_check(th_init(&config));
  graph *g = graph_new(GRAPH_RANDOM, t->n);
  scene s = {g, thrum_vars(g->variables), out, 0};
  for (int i = 0; i < 3; i++) seconds_of_run(&s);
  long before = atomic_load(&allocations);
  seconds_of_run(&s);
  *out = (run_outcome){.n = 1};
  out->samples[0] = (double)(atomic_load(&allocations) - before) / (double)t->n;
  close_scene(&s);
}

static double resident_bytes(void) {
  long pages = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  if (!file || fscanf(file, "%*d %ld", &pages) != 1) exit(1);
  fclose(file);
  return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

/* Memory that becomes resident while operations pile up, each writing one of 1000 variables. */
static void pending_bytes(const trial *t, run_outcome *out) {
  th_config config = thrum_config(t->workers, "");
  config.max_ops = -1;
  thrum_check(th_init(&config));
  graph *chain = graph_new(GRAPH_CHAIN, 1);
  th_var **vars = thrum_vars(GRAPH_VARIABLES);
  double before = resident_bytes();
  for (long i = 0; i < t->n; i++) thrum_submit(chain, &vars[i % GRAPH_VARIABLES]);
  *out = (run_outcome){.n = 1};
  out->samples[0] = (resident_bytes() - before) / (double)t->n;
  thrum_check(th_wait_all());
  thrum_vars_free(vars, GRAPH_VARIABLES);
  thrum_check(th_shutdown());
  graph_free(chain);
}

/* Columns: case, impl, detail, key, base's key, least and most workers, n, repetitions, function. */
const special specials[SPECIALS] = {
    {"submit_only", "thrum", "", NULL, NULL, 1, 1, 8000, 0, submit_only},
    {"wait_roundtrip", "thrum", "spinning", NULL, NULL, 1, 0, 1000, 0, wait_roundtrip},
    {"wait_roundtrip", "thrum", "idle1ms", NULL, NULL, 1, 0, 51, 0, wait_roundtrip},
    {"wait_ready", "thrum", "", NULL, NULL, 1, 0, 1000000, 0, wait_ready},
    {"waiters256", "thrum", "", NULL, NULL, 1, 0, 256, 5, waiters256},
    {"waiters256", "futex", "the floor", NULL, NULL, 1, 1, 256, 5, waiters256_floor},
    {"submitters4", "thrum", "", NULL, "ns_per_op_1", 1, 0, 100000, 0, submitters4},
    {"eager_add16", "thrum", "", NULL, NULL, 1, 0, 50000, 0, eager_add16},
    {"eager_add16", "thrum-inline", "", NULL, NULL, 1, 0, 50000, 0, eager_add16},
    {"trace_on", "thrum", "random", NULL, "ns_per_op_off", 1, 0, 100000, 0, trace_on},
    {"trace_on", "thrum", "independent", NULL, "ns_per_op_off", 1, 0, 100000, 0, trace_on},
    {"trace_on", "thrum-inline", "random", NULL, "ns_per_op_off", 1, 0, 100000, 0, trace_on},
    {"trace_on", "thrum-inline", "independent", NULL, "ns_per_op_off", 1, 0, 100000, 0, trace_on},
    {"heap_per_op", "thrum", "", "allocations_per_op", NULL, 1, 0, 100000, 1, heap_per_op},
    {"pending_bytes", "thrum", "", "bytes_per_op", NULL, 1, 1, 200000, 1, pending_bytes},
};
