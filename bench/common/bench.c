/* Owns the benchmarks' shared parts. */
#include "common/bench.h"

#include <errno.h>
#include <sched.h>
#include <stdint.h>
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

int bench_cores(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return (int)sysconf(_SC_NPROCESSORS_ONLN);
  return CPU_COUNT(&set);
}

void bench_spin(long iterations) {
  uint64_t x = 1;
  for (long i = 0; i < iterations; i++) {
    x = x * UINT64_C(6364136223846793005) + 1;
    __asm__ volatile("" : "+r"(x));
  }
}

double bench_spin_ns(void) {
  enum { ITERATIONS = 1000000, TRIES = 15 };
  double best = 1;
  for (int i = 0; i < TRIES; i++) {
    double start = bench_seconds();
    bench_spin(ITERATIONS);
    double seconds = bench_seconds() - start;
    if (seconds < best) best = seconds;
  }
  return best * 1e9 / ITERATIONS;
}

/* Everything the child writes, up to bytes, then its end. */
static bool collect(pid_t child, const int ends[2], void *result, size_t bytes) {
  close(ends[1]);
  size_t got = 0;
  while (child > 0 && got < bytes) {
    ssize_t n = read(ends[0], (char *)result + got, bytes - got);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    got += (size_t)n;
  }
  close(ends[0]);
  int status = 1;
  if (child > 0) waitpid(child, &status, 0);
  return got == bytes && status == 0;
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
  return collect(child, ends, result, bytes);
}

bool bench_in_program(char *const argv[], void *result, size_t bytes) {
  int ends[2];
  if (pipe(ends) != 0) return false;
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    if (ends[1] != BENCH_RESULT_FD) dup2(ends[1], BENCH_RESULT_FD);
    if (ends[0] != BENCH_RESULT_FD) close(ends[0]);
    execv(argv[0], argv);
    _exit(127);
  }
  return collect(child, ends, result, bytes);
}
