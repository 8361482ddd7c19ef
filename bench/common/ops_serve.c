/* Owns how long a reading takes: at least five samples of two milliseconds each, and a tenth of a second. */
#include "common/ops_serve.h"

#include <stdio.h>
#include <string.h>

#include "common/bench.h"

static const double sample_seconds = 0.002, reading_seconds = 0.1;
enum { LEAST_SAMPLES = 5 };

static double timed(const ops_impl *impl, long times) {
  double start = bench_seconds();
  impl->run(impl->state, times);
  return bench_seconds() - start;
}

/* Calls per sample. The first runs warm caches and pools up. */
static long calls_per_sample(const ops_impl *impl) {
  long times = 1;
  impl->run(impl->state, 1);
  for (double seconds = timed(impl, 1); seconds < sample_seconds / 2 && times < 1000000;) {
    times *= 2;
    seconds = timed(impl, times);
  }
  return times;
}

static void answer(const ops_impl *impl) {
  double samples[OPS_SAMPLES];
  int n = 0;
  long times = calls_per_sample(impl);
  bench_load before = bench_load_now();
  double start = bench_seconds();
  while (n < OPS_SAMPLES && (n < LEAST_SAMPLES || bench_seconds() - start < reading_seconds))
    samples[n++] = timed(impl, times) * 1e9 / (double)times;
  bench_load after = bench_load_now();
  printf("%.3f %d", bench_foreign(&before, &after), n);
  for (int i = 0; i < n; i++) printf(" %.2f", samples[i]);
  putchar('\n');
}

int ops_serve(const ops_impl *impl) {
  char line[OPS_SPEC_BYTES + 64];
  printf("ready %s %s\n", impl->name, impl->version);
  fflush(stdout);
  while (fgets(line, sizeof line, stdin)) {
    ops_spec spec;
    line[strcspn(line, "\n")] = 0;
    char *tab = strchr(line, '\t');
    if (tab) *tab = 0;
    if (tab && ops_spec_parse(tab + 1, &spec) && impl->begin(line, &spec, impl->state)) {
      answer(impl);
      impl->end(impl->state);
    } else {
      puts("none");
    }
    fflush(stdout);
  }
  return 0;
}
