/* Owns the command line, the order of searches, reports and the shrinking of failing schedules. */
#include "tests/explore/core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MOST_DEFAULT   100000
#define RANDOM_DEFAULT 2000
#define SOAK_BATCH     500 /* random schedules of one scenario in turn */
#define SCENARIOS_MOST 256

ex_area ex_areas;

static struct {
  const char *replay;
  bool list, seeded, terse;
  uint64_t seed;
  long random, most;
  int preemptions, rare; /* -1 = the scenario's */
  double minutes;        /* 0 = no soak */
} options = {.random = -1, .most = -1, .preemptions = -1, .rare = -1};

/* What bodies count, over all schedules of a scenario. */
static struct {
  const char *what;
  long n;
} counted[32];

void ex_count(const char *what) {
  for (size_t i = 0; i < sizeof counted / sizeof *counted; i++) {
    if (counted[i].what == NULL) counted[i].what = what;
    if (strcmp(counted[i].what, what) != 0) continue;
    counted[i].n++;
    return;
  }
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static bool run(const ex_plan *plan) {
  ex_plan_begin(plan);
  return ex_run_once();
}

/* Leaves out choices as long as it still fails: what remains is what matters. */
static void shrink(char *path, size_t bytes) {
  static char shorter[64 * 1024];
  bool smaller = true;
  for (int round = 0; smaller && round < 20; round++) {
    smaller = false;
    for (uint32_t i = 0; i < ex_path_length() && i < 400; i++) {
      run(&(ex_plan){.mode = EX_REPLAY, .path = path});
      ex_path_without(i, shorter, sizeof shorter);
      if (run(&(ex_plan){.mode = EX_REPLAY, .path = shorter})) continue;
      if (strlen(ex_path()) >= strlen(path)) continue;
      snprintf(path, bytes, "%s", ex_path());
      smaller = true;
    }
    run(&(ex_plan){.mode = EX_REPLAY, .path = path});
  }
}

static void report(const char *program, long schedules) {
  static char path[64 * 1024];
  if (options.terse) {
    printf("%s: FAILED %s: %s\n", program, ex.scenario->name, ex.message);
    return;
  }
  snprintf(path, sizeof path, "%s", ex_path());
  shrink(path, sizeof path);
  ex.tracing = true;
  printf("%s: the schedule that fails:\n", ex.scenario->name);
  run(&(ex_plan){.mode = EX_REPLAY, .path = path});
  ex_trace_show();
  ex.tracing = false;
  printf("%s: FAILED at schedule %ld: %s\n", ex.scenario->name, schedules, ex.message);
  printf("again: %s %s --replay '%s'\n", program, ex.scenario->name, path);
}

/* All schedules with at most so many preemptions, fewest first. 1: all were tried, 0: given up, -1: one failed. */
static int search(long *schedules, int bound, int rare, long most) {
  for (int preemptions = 0; preemptions <= bound; preemptions++) {
    ex_plan plan = {.mode = EX_SEARCH, .preemptions = preemptions, .rare = rare};
    ex_search_restart();
    for (bool more = true; more;) {
      uint32_t shared = ex_shared_count();
      ++*schedules;
      if (!run(&plan)) return -1;
      if (*schedules >= most) return 0;
      if (ex_shared_count() > shared) { /* there are more places for a switch than was known */
        ex_search_restart();
      } else {
        more = ex_search_next();
      }
    }
  }
  return 1;
}

static int walk(long *schedules, uint64_t seed, long n) {
  for (long i = 0; i < n; i++) {
    ++*schedules;
    if (!run(&(ex_plan){.mode = EX_RANDOM, .seed = seed + (uint64_t)i})) {
      printf("%s: seed %llu\n", ex.scenario->name,
             (unsigned long long)seed + (unsigned long long)i);
      return -1;
    }
  }
  return 1;
}

static bool verdict(const char *program, bool failed, long schedules, bool all, int bound, int rare,
                    double seconds) {
  const ex_scenario *s = ex.scenario;
  if (s->finds != NULL && failed && strstr(ex.message, s->finds) != NULL) {
    printf("%-28s found at schedule %ld: %.90s\n", s->name, schedules, ex.message);
    return true;
  }
  if (s->finds != NULL && !failed)
    printf("%s: FAILED: '%s' was not found in %ld schedules\n", s->name, s->finds, schedules);
  if (failed) report(program, schedules);
  if (failed || s->finds != NULL) return false;
  printf("%-28s %8ld schedules, %s with %d preemptions and %d rare events; %.1f s", s->name,
         schedules, all ? "all" : "not all", bound, rare, seconds);
  for (size_t i = 0; i < sizeof counted / sizeof *counted && counted[i].what; i++)
    printf("%s %s %ld", i > 0 ? "," : ";", counted[i].what, counted[i].n);
  putchar('\n');
  return true;
}

static bool explore(const char *program, const ex_scenario *s) {
  ex.scenario = s;
  memset(counted, 0, sizeof counted);
  ex_shared_forget();
  alarm(600);
  if (options.replay != NULL) {
    ex.tracing = true;
    bool ok = run(&(ex_plan){.mode = EX_REPLAY, .path = options.replay});
    ex_trace_show();
    printf("%s: %s\n", s->name, ok ? "this schedule passes" : ex.message);
    return ok;
  }
  int bound = options.preemptions >= 0 ? options.preemptions : s->preemptions;
  int rare = options.rare >= 0 ? options.rare : s->rare;
  long most = options.most >= 0 ? options.most : s->most > 0 ? s->most : MOST_DEFAULT;
  long random = options.random >= 0 ? options.random : s->random > 0 ? s->random : RANDOM_DEFAULT;
  long schedules = 0;
  double began = now();
  int result = options.seeded ? 0 : search(&schedules, bound, rare, most);
  bool all = result == 1;
  if (result >= 0) result = walk(&schedules, options.seeded ? options.seed : 1, random);
  return verdict(program, result < 0, schedules, all, bound, rare, now() - began);
}

static bool wanted(const ex_scenario *s, char *const *names) {
  bool any = false;
  for (; *names != NULL; names++) {
    any |= **names != '-';
    if (strcmp(*names, s->name) == 0) return true;
  }
  return !any;
}

/* Random schedules of all wanted scenarios in turn, as long as the time lasts. One that failed is left out from there on; those
 * that are broken on purpose are left out from the start. */
static int soak(const char *program, const ex_scenario *scenarios, size_t n, char *const *names) {
  static bool out[SCENARIOS_MOST];
  double end = now() + options.minutes * 60;
  uint64_t seed = options.seeded ? options.seed : 1;
  long total = 0;
  int failed = 0, in = 0;
  for (size_t k = 0; k < n && k < SCENARIOS_MOST; k++) {
    out[k] = scenarios[k].finds != NULL || !wanted(&scenarios[k], names);
    in += !out[k];
  }
  for (; now() < end && in > failed; seed += SOAK_BATCH)
    for (size_t k = 0; k < n && k < SCENARIOS_MOST && now() < end; k++) {
      if (out[k]) continue;
      long schedules = 0;
      ex.scenario = &scenarios[k];
      ex_shared_forget();
      alarm(600);
      if ((out[k] = walk(&schedules, seed, SOAK_BATCH) < 0)) {
        report(program, schedules);
        failed++;
      }
      total += schedules;
    }
  printf("%ld random schedules of %d scenarios, seeds below %llu; %d failed\n", total, in,
         (unsigned long long)seed, failed);
  return failed > 0 || in == 0;
}

static void usage(const char *program) {
  printf(
      "usage: %s [SCENARIO...] [OPTION...]\n"
      "  --list            the scenarios\n"
      "  --terse           stop at the first failure, which is told in one line\n"
      "  --preemptions N   bound of the exhaustive search\n"
      "  --rare N          rare reads, early wake-ups, failed weak swaps per schedule of the "
      "search\n"
      "  --most N          give the search up after so many schedules\n"
      "  --random N        random schedules behind it\n"
      "  --seed N          only random schedules, from this seed on\n"
      "  --minutes N       instead: random schedules of all scenarios in turn, so long; the total "
      "is printed\n"
      "  --replay PATH     one schedule, as a failure printed it, with a trace\n",
      program);
}

static bool option(const char *name, const char *value) {
  if (value == NULL) return false;
  if (strcmp(name, "--preemptions") == 0) {
    options.preemptions = atoi(value);
  } else if (strcmp(name, "--rare") == 0) {
    options.rare = atoi(value);
  } else if (strcmp(name, "--most") == 0) {
    options.most = atol(value);
  } else if (strcmp(name, "--random") == 0) {
    options.random = atol(value);
  } else if (strcmp(name, "--seed") == 0) {
    options.seed = strtoull(value, NULL, 10);
    options.seeded = true;
  } else if (strcmp(name, "--minutes") == 0) {
    options.minutes = atof(value);
  } else if (strcmp(name, "--replay") == 0) {
    options.replay = value;
  } else {
    return false;
  }
  return true;
}

int ex_main(int argc, char **argv, const ex_scenario *scenarios, size_t n) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (int i = 1; i < argc; i++) {
    if (argv[i][0] != '-') continue;
    if (strcmp(argv[i], "--list") == 0) {
      options.list = true;
    } else if (strcmp(argv[i], "--terse") == 0) {
      options.terse = true;
    } else if (!option(argv[i], argv[i + 1])) {
      usage(argv[0]);
      return 2;
    } else {
      argv[++i] = "-";
    }
  }
  if (options.minutes > 0) return soak(argv[0], scenarios, n, argv + 1);
  int ran = 0, bad = 0;
  for (size_t k = 0; k < n && !(options.terse && bad > 0); k++) {
    if (!wanted(&scenarios[k], argv + 1)) continue;
    ran++;
    if (options.list) {
      printf("%s\n", scenarios[k].name);
    } else {
      bad += !explore(argv[0], &scenarios[k]);
    }
  }
  if (ran == 0) printf("no scenario has that name\n");
  return bad > 0 || ran == 0;
}
