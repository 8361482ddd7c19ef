/* Does elementwise addition run at the speed of memory? th_add() on f32 arrays beside the STREAM add loop (McCalpin 1995:
 * c[i] = a[i] + b[i], as the compiler makes it) on as many threads, and th_map(), which calls a function per element.
 * Bytes counted: two reads and one write per element. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thrum/thrum.h>

#include "common/bench.h"

enum { REPEATS = 9, ROUNDS = 5 };

typedef struct question {
  const char *impl; /* "loop", "th_add" or "th_map" */
  int threads;
  int64_t n;
} question;

typedef struct answer {
  bench_summary gb;
  double foreign;
  bool failed;
} answer;

typedef struct part {
  const float *a, *b;
  float *c;
  int64_t n;
} part;

static void *add_part(void *arg) {
  part *p = arg;
  for (int64_t i = 0; i < p->n; i++) p->c[i] = p->a[i] + p->b[i];
  return NULL;
}

/* The loop on `threads` threads, started anew each time: their start is outside of what STREAM measures, so the arrays are
 * walked ROUNDS times per start. */
static void *add_rounds(void *arg) {
  for (int r = 0; r < ROUNDS; r++) add_part(arg);
  return NULL;
}

static double loop_seconds(part *parts, int threads) {
  pthread_t t[64];
  double begin = bench_seconds();
  for (int i = 1; i < threads; i++)
    if (pthread_create(&t[i], NULL, add_rounds, &parts[i]) != 0) return -1;
  add_rounds(&parts[0]);
  for (int i = 1; i < threads; i++) pthread_join(t[i], NULL);
  return bench_seconds() - begin;
}

static void measure_loop(const question *q, answer *out, double *samples) {
  float *a = malloc((size_t)q->n * 4), *b = malloc((size_t)q->n * 4), *c = malloc((size_t)q->n * 4);
  part parts[64];
  out->failed = a == NULL || b == NULL || c == NULL;
  for (int64_t i = 0; !out->failed && i < q->n; i++) a[i] = b[i] = c[i] = 1;
  for (int i = 0; i < q->threads; i++) {
    int64_t first = q->n * i / q->threads, last = q->n * (i + 1) / q->threads;
    parts[i] = (part){a + first, b + first, c + first, last - first};
  }
  for (int r = -1; !out->failed && r < REPEATS; r++) {
    double seconds = loop_seconds(parts, q->threads);
    if (r >= 0) samples[r] = seconds;
    out->failed = seconds < 0;
  }
  free(a);
  free(b);
  free(c);
}

static double plus_one(double x, void *user) { return x + 1; }

static th_array *apply(const question *q, const th_array *a, const th_array *b) {
  return strcmp(q->impl, "th_map") == 0 ? th_map(a, plus_one, NULL) : th_add(a, b);
}

static void measure_thrum(const question *q, answer *out, double *samples) {
  th_config config = {.size = sizeof config,
                      .workers = q->threads > 1 ? q->threads - 1 : TH_NO_WORKERS};
  out->failed = th_init(&config) != TH_OK;
  th_array *a = th_ones(&q->n, 1, TH_F32, th_cpu(0)), *b = th_ones(&q->n, 1, TH_F32, th_cpu(0));
  for (int r = -1; !out->failed && r < REPEATS; r++) {
    double begin = bench_seconds();
    for (int k = 0; k < ROUNDS; k++) {
      th_array *c = apply(q, a, b);
      out->failed |= th_wait(c) != TH_OK; /* the waiting thread computes, too */
      th_release(c);
    }
    if (r >= 0) samples[r] = bench_seconds() - begin;
  }
  th_release(a);
  th_release(b);
  out->failed |= th_shutdown() != TH_OK;
}

static void measure(const void *arg, void *result) {
  const question *q = arg;
  answer *out = result;
  double samples[REPEATS] = {0};
  bench_load before = bench_load_now();
  if (strcmp(q->impl, "loop") == 0) {
    measure_loop(q, out, samples);
  } else {
    measure_thrum(q, out, samples);
  }
  bench_load after = bench_load_now();
  out->foreign = bench_foreign(&before, &after);
  double bytes = strcmp(q->impl, "th_map") == 0 ? 8.0 : 12.0;
  for (int i = 0; i < REPEATS; i++) samples[i] = bytes * (double)q->n * ROUNDS / samples[i] / 1e9;
  out->gb = bench_summarize(samples, REPEATS);
}

/* th_map() has work of its own: one operand, in double. */
static void print(const question *q, const answer *a, double loop, bool json) {
  bool map = strcmp(q->impl, "th_map") == 0;
  char ratio[16] = "-";
  if (!map) snprintf(ratio, sizeof ratio, "%.2f", a->gb.median / loop);
  if (json) {
    printf("{\"bench\":\"stream\",\"case\":\"%s\",\"impl\":\"%s\",\"workers\":%d,\"n\":%lld,"
           "\"gb_per_s\":%.2f,\"min\":%.2f,\"max\":%.2f,\"foreign\":%.2f}\n",
           map ? "map" : "add", q->impl, q->threads, (long long)q->n, a->gb.median, a->gb.min,
           a->gb.max, a->foreign);
  } else {
    printf("%10lld  %-7s %7d %9.2f %9.2f..%-8.2f %6s %8.2f\n", (long long)q->n, q->impl, q->threads,
           a->gb.median, a->gb.min, a->gb.max, ratio, a->foreign);
  }
}

int main(int argc, char **argv) {
  bool json = argc == 2 && strcmp(argv[1], "--json") == 0;
  if (argc > 1 && !json) {
    puts("usage: stream [--json]\n\nGB/s of additions and of th_map() beside a plain loop.");
    return argc == 2 && strcmp(argv[1], "--help") == 0 ? 0 : 2;
  }
  static const int64_t sizes[] = {100000, 10000000};
  static const char *const impls[] = {"loop", "th_add", "th_map"};
  if (!json) printf("  elements  impl    threads      GB/s  smallest..largest  ratio  foreign\n");
  for (int s = 0; s < 2; s++) {
    for (int threads = 1; threads <= 2; threads++) {
      double loop = 0;
      for (int i = 0; i < 3; i++) {
        question q = {impls[i], threads, sizes[s]};
        answer a = {0};
        if (!bench_in_child(measure, &q, &a, sizeof a) || a.failed) {
          fprintf(stderr, "stream: %s failed\n", impls[i]);
          return 1;
        }
        if (i == 0) loop = a.gb.median;
        print(&q, &a, loop, json);
      }
    }
  }
  return 0;
}
