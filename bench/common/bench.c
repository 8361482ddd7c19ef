/* Owns the benchmarks' shared parts. */
#include "common/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

double bench_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

bench_load bench_load_now(void) {
  bench_load load = {0};
  FILE *file = fopen("/proc/stat", "r");
  if (file) {
    /* user nice system idle iowait irq softirq steal */
    double v[8] = {0}, tick = (double)sysconf(_SC_CLK_TCK);
    int got = fscanf(file, "cpu %lf %lf %lf %lf %lf %lf %lf %lf", &v[0], &v[1], &v[2], &v[3], &v[4],
                     &v[5], &v[6], &v[7]);
    for (int i = 0; i < got; i++) {
      load.total += v[i] / tick;
      if (i != 3 && i != 4) load.busy += v[i] / tick;
    }
    fclose(file);
  }
  struct rusage r;
  getrusage(RUSAGE_SELF, &r);
  load.own = (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
             1e-6 * (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
  return load;
}

double bench_foreign(const bench_load *before, const bench_load *after) {
  double total = after->total - before->total;
  double foreign = (after->busy - before->busy) - (after->own - before->own);
  if (total <= 0 || foreign <= 0) return 0;
  return foreign > total ? 1 : foreign / total;
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

bench_summary bench_summarize(double *samples, int n) {
  qsort(samples, (size_t)n, sizeof *samples, compare);
  double median = n % 2 ? samples[n / 2] : 0.5 * (samples[n / 2 - 1] + samples[n / 2]);
  return (bench_summary){.median = median, .min = samples[0], .max = samples[n - 1]};
}

bool bench_in_child(void (*fn)(const void *arg, void *result), const void *arg, void *result,
                    size_t bytes) {
  int ends[2];
  if (pipe(ends) != 0) return false;
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    close(ends[0]);
    fn(arg, result);
    _exit(write(ends[1], result, bytes) == (ssize_t)bytes ? 0 : 1);
  }
  close(ends[1]);
  bool ok = child > 0 && read(ends[0], result, bytes) == (ssize_t)bytes;
  close(ends[0]);
  int status = 1;
  if (child > 0) waitpid(child, &status, 0);
  return ok && status == 0;
}
