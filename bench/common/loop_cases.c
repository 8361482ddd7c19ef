/* Owns how an operator is measured: operands, one call, samples. Thrum's results come from its pool, which keeps the block, as
 * the raw calls keep theirs. */
#include "common/loop_cases.h"

#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thrum/thrum.h>
#include <time.h>

#include "common/bench.h"

enum { LEAST_SAMPLES = 3 };
static const double least_seconds = 0.15; /* the foreign share is counted in steps of 10 ms */

typedef struct work {
  const loop_case *c;
  int calls; /* operators at once */
  bool matrix;
  th_array *a, *b;       /* of Thrum */
  float *x, *y, *result; /* raw */
} work;

static void must(bool ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "loop: %s: %s\n", what, th_last_error());
  exit(1);
}

static uint64_t hash_of(const float *x, size_t n) {
  uint64_t hash = UINT64_C(1469598103934665603);
  for (size_t i = 0; i < n; i++) {
    uint32_t word;
    memcpy(&word, &x[i], sizeof word);
    hash = (hash ^ word) * UINT64_C(1099511628211);
  }
  return hash;
}

/* Values of -1 to 1 that do not repeat soon, so that order and rounding show in the bits. */
static float *noise(size_t n, uint64_t seed) {
  float *x = aligned_alloc(64, (n * sizeof *x + 63) / 64 * 64);
  must(x != NULL, "memory");
  for (size_t i = 0; i < n; i++) {
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    x[i] = (float)(seed >> 40) / (1 << 23) - 1;
  }
  return x;
}

static th_array *call(const work *w, const th_array *a) {
  if (w->matrix) return th_matmul(a, w->b);
  return strncmp(w->c->name, "exp", 3) == 0 ? th_exp(a) : th_sum(a, NULL, 0, false);
}

static void run_thrum(const work *w) {
  th_array *out[2];
  for (int i = 0; i < w->calls; i++) out[i] = call(w, i == 0 ? w->a : w->b);
  for (int i = 0; i < w->calls; i++) {
    must(th_wait(out[i]) == TH_OK, w->c->name);
    th_release(out[i]);
  }
}

static void run_raw(const work *w) {
  int n = (int)w->c->n;
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, n, n, 1, w->x, n, w->y, n, 0, w->result,
              n);
}

static void run(const work *w) { w->result != NULL ? run_raw(w) : run_thrum(w); }

static th_array *operand(const work *w, const float *x) {
  int64_t shape[] = {w->c->n, w->c->n};
  th_array *a = th_from_host(x, shape, w->matrix ? 2 : 1, TH_F32, th_cpu(0));
  must(a != NULL, "operand");
  return a;
}

static uint64_t start_thrum(work *w) {
  th_config config = {.size = sizeof config};
  if (strcmp(w->c->impl, "thrum") == 0)
    config.workers = w->c->workers > 1 ? w->c->workers - 1 : TH_NO_WORKERS;
  if (strcmp(w->c->impl, "thrum-serial") == 0) config.engine = "serial";
  must(th_init(&config) == TH_OK, "th_init");
  w->a = operand(w, w->x);
  w->b = operand(w, w->y);
  th_array *out = call(w, w->a);
  size_t n = (size_t)th_array_size(out);
  float *values = malloc(n * sizeof *values);
  must(values != NULL && th_read(out, values, n * sizeof *values) == TH_OK, "result");
  uint64_t bits = hash_of(values, n);
  free(values);
  th_release(out);
  return bits;
}

static void stop_thrum(work *w) {
  th_release(w->a);
  th_release(w->b);
  must(th_shutdown() == TH_OK, "th_shutdown");
}

static void sample(const work *w, loop_outcome *out) {
  double samples[LOOP_SAMPLES];
  int n = 0;
  nanosleep(&(struct timespec){.tv_nsec = 50000000},
            NULL); /* OpenBLAS's new threads spin for 30 ms */
  run(w);
  bench_load before = bench_load_now();
  double start = bench_seconds(), now = start;
  while (n < LOOP_SAMPLES && (n < LEAST_SAMPLES || now - start < least_seconds)) {
    run(w);
    double end = bench_seconds();
    samples[n++] = (end - now) * 1e9;
    now = end;
  }
  bench_load after = bench_load_now();
  out->use = (after.own - before.own) / ((now - start) * bench_cores());
  out->foreign = bench_foreign(&before, &after);
  out->ns = bench_summarize(samples, n).median;
}

void loop_measure(const void *which, void *outcome) {
  const loop_case *c = which;
  loop_outcome *out = outcome;
  *out = (loop_outcome){0};
  work w = {.c = c, .calls = strstr(c->name, "_pair") != NULL ? 2 : 1};
  w.matrix = strncmp(c->name, "matmul", 6) == 0;
  size_t size = (size_t)(w.matrix ? c->n * c->n : c->n);
  w.x = noise(size, 1);
  w.y = noise(size, 2);
  if (strcmp(c->impl, "cblas") == 0) {
    openblas_set_num_threads(c->workers);
    w.result = noise(size, 3);
    run(&w);
    out->bits = hash_of(w.result, size);
    sample(&w, out);
  } else {
    out->bits = start_thrum(&w);
    sample(&w, out);
    stop_thrum(&w);
  }
  free(w.x);
  free(w.y);
  free(w.result);
}
