/* Owns how long a reading takes: at least five samples, and fifty times what one is to take at least. */
#include "common/serve.h"

#include <stdio.h>
#include <string.h>

#include "common/bench.h"

enum { LEAST_SAMPLES = 5 };

static double timed(const bench_service *s, long times) {
  double start = bench_seconds();
  s->run(s->state, times);
  return bench_seconds() - start;
}

/* Times per sample. The first runs warm caches and pools up. */
static long times_per_sample(const bench_service *s, double sample_seconds) {
  long times = 1;
  s->run(s->state, 1);
  for (double seconds = timed(s, 1); seconds < sample_seconds / 2 && times < 1000000;) {
    times *= 2;
    seconds = timed(s, times);
  }
  return times;
}

static void answer(const bench_service *s) {
  double samples[BENCH_SAMPLES], figures[BENCH_FIGURES];
  double sample_seconds = s->sample_seconds > 0 ? s->sample_seconds : 0.002;
  int n = 0;
  long times = times_per_sample(s, sample_seconds);
  bench_load before = bench_load_now();
  double start = bench_seconds();
  while (n < BENCH_SAMPLES && (n < LEAST_SAMPLES || bench_seconds() - start < 50 * sample_seconds))
    samples[n++] = timed(s, times) * 1e9 / (double)times;
  bench_load after = bench_load_now();
  printf("%.3f %d", bench_foreign(&before, &after), n);
  for (int i = 0; i < n; i++) printf(" %.2f", samples[i]);
  if (s->figures) s->figures(s->state, figures);
  for (int i = 0; i < BENCH_FIGURES && s->figures; i++) printf(" %.9g", figures[i]);
  putchar('\n');
}

int bench_serve(const bench_service *service) {
  char line[BENCH_REQUEST_BYTES];
  printf("ready %s %s\n", service->name, service->version);
  fflush(stdout);
  while (fgets(line, sizeof line, stdin)) {
    line[strcspn(line, "\n")] = 0;
    if (service->begin(line, service->state)) {
      answer(service);
      service->end(service->state);
    } else {
      puts("none");
    }
    fflush(stdout);
  }
  return 0;
}
