/* The oracle as a program, for as many seeds as there is time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "stress/oracle.h"
#include "devices/cuda/driver.h"
#include "support/fakedriver.h"
#include "thrum/base.h"

typedef struct settings {
  uint64_t first, last;
  int ops, submitters, workers, errors; /* 0 submitters, 0 workers: vary with the seed */
  const char *mode;                     /* NULL: vary with the seed */
  bool verbose, cuda, gpu, traces;
} settings;

static const char help[] =
    "usage: oracle [options]\n\n"
    "Runs random programs and compares them, bit for bit, with the serial engine.\n\n"
    "  --seeds A..B      seeds, both ends included (default 1..100)\n"
    "  --ops N           operations per program (default 2000)\n"
    "  --submitters S    threads that submit, 1..16 (default: 1 and 4 in turn)\n"
    "  --mode M          threads, serial, shuffle, shuffle-threads (default: all in turn)\n"
    "  --workers W       worker threads, or none (default: 1, 2, 4 and none in turn)\n"
    "  --errors P        failing tasks per thousand (default: 0 and 20 in turn)\n"
    "  --cuda            on cpu:0 and two fake GPUs instead of two lag devices\n"
    "  --gpu             on cpu:0 and the GPUs that are there; exit code 77 when there is none\n"
    "  --traces          record the programs and let thrum-trace check their traces\n"
    "  --verbose         name each seed before it runs\n";

static bool parse(int argc, char **argv, settings *s) {
  for (int i = 1; i < argc; i++) {
    const char *value = i + 1 < argc ? argv[i + 1] : "";
    if (strcmp(argv[i], "--verbose") == 0) {
      s->verbose = true;
      continue;
    }
    if (strcmp(argv[i], "--cuda") == 0) {
      s->cuda = true;
      continue;
    }
    if (strcmp(argv[i], "--gpu") == 0) {
      s->gpu = true;
      continue;
    }
    if (strcmp(argv[i], "--traces") == 0) {
      s->traces = true;
      continue;
    }
    if (strcmp(argv[i], "--seeds") == 0) {
      char *end;
      s->first = s->last = strtoull(value, &end, 10);
      if (strncmp(end, "..", 2) == 0) s->last = strtoull(end + 2, NULL, 10);
    } else if (strcmp(argv[i], "--ops") == 0) {
      s->ops = atoi(value);
    } else if (strcmp(argv[i], "--submitters") == 0) {
      s->submitters = atoi(value);
    } else if (strcmp(argv[i], "--mode") == 0) {
      s->mode = value;
    } else if (strcmp(argv[i], "--workers") == 0) {
      s->workers = strcmp(value, "none") == 0 ? TH_NO_WORKERS : atoi(value);
    } else if (strcmp(argv[i], "--errors") == 0) {
      s->errors = atoi(value);
    } else {
      return false;
    }
    i++;
  }
  return s->ops > 0 && s->submitters >= 0 && s->submitters <= 16 && s->first <= s->last;
}

int main(int argc, char **argv) {
  static const char *const modes[] = {"threads", "shuffle-threads", "shuffle", "serial"};
  static const int workers[] = {1, 2, 4, TH_NO_WORKERS};
  settings s = {.first = 1, .last = 100, .ops = 2000, .errors = -1};
  if (!parse(argc, argv, &s)) {
    fputs(help, stderr);
    return 2;
  }
  const char *why;
  if (s.gpu && (why = th__cuda_absent()) != NULL) {
    fprintf(stderr, "oracle: no GPU: %s\n", why);
    return 77;
  }
  if (s.cuda && !s.gpu && !fake_install(&why)) {
    fprintf(stderr, "oracle: the fake driver cannot be loaded: %s\n", why);
    return 2;
  }
  struct timespec start, now;
  clock_gettime(CLOCK_MONOTONIC, &start);
  long long programs = 0, operations = 0;
  for (uint64_t seed = s.first; seed <= s.last; seed++) {
    uint64_t turn = seed - s.first;
    char message[512] = "";
    oracle_config c = {.seed = seed,
                       .ops = s.ops,
                       .submitters = s.submitters ? s.submitters
                                     : turn % 2   ? 4
                                                  : 1,
                       .mode = s.mode ? s.mode : modes[turn / 2 % 4],
                       .cuda = s.cuda || s.gpu,
                       .gpu = s.gpu,
                       .look = s.traces ? oracle_trace_is_true : NULL,
                       .workers = s.workers ? s.workers : workers[turn / 8 % 4],
                       .errors = s.errors >= 0   ? s.errors
                                 : turn / 32 % 2 ? 20
                                                 : 0};
    if (s.verbose) {
      fprintf(stderr, "seed %llu, mode %s, %d workers, %d submitters, errors %d\n",
              (unsigned long long)seed, c.mode, c.workers, c.submitters, c.errors);
    }
    if (!oracle_run(&c, message, sizeof message)) {
      printf("DIFFERENT: %s\n", message);
      return 1;
    }
    programs++;
    operations += c.ops / c.submitters * c.submitters;
  }
  clock_gettime(CLOCK_MONOTONIC, &now);
  printf("%lld programs, %lld operations: identical to the serial engine (%.1f s)\n", programs,
         operations,
         (double)(now.tv_sec - start.tv_sec) + 1e-9 * (double)(now.tv_nsec - start.tv_nsec));
  return 0;
}
