/* How long does a training step take, beside libtorch by its best settings of threads, and how much memory? Each setting is a
 * program that runs for the whole benchmark; for each case they are asked in turn, several rounds, because the machine changes
 * its speed meanwhile. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/ask.h"
#include "common/bench.h"
#include "common/train_cases.h"
#include "common/train_thrum.h"

typedef struct options {
  bool json;
  int rounds;
  const char *only; /* case names that begin so */
} options;

/* Who is asked: neighbours of one name are settings of one implementation. */
typedef struct setting {
  const char *impl, *text;
  int threads, blas; /* blas: OPENBLAS_NUM_THREADS */
} setting;
static const setting settings[] = {
    {"thrum", "1 thread", 1, 1},      {"thrum", "2 threads", 2, 1},
    {"libtorch", "1 thread", 1, 1},   {"libtorch", "2 OpenMP", 2, 1},
    {"libtorch", "2 OpenBLAS", 1, 2}, {"libtorch", "2 OpenMP, 2 OpenBLAS", 2, 2},
};
enum { SETTINGS = sizeof settings / sizeof *settings };
static bench_program programs[SETTINGS];
static bench_reading readings[SETTINGS];
static const double noise = 0.1, same_loss = 1e-3;
static int goals, met, unlike, noisy;

static int cores_of(const setting *s) { return s->threads > s->blas ? s->threads : s->blas; }
static bool is_thrum(const setting *s) { return strcmp(s->impl, "thrum") == 0; }

/* --- programs --- */

/* In the child. */
static void become(const void *arg) {
  const setting *s = arg;
  char folder[4000], path[4100], threads[8], blas[8];
  if (!bench_own_folder(folder, sizeof folder)) return;
  snprintf(threads, sizeof threads, "%d", s->threads);
  snprintf(blas, sizeof blas, "%d", s->blas);
  setenv("OMP_NUM_THREADS", threads, 1);
  setenv("OPENBLAS_NUM_THREADS", blas, 1);
  snprintf(path, sizeof path, "%s/%s", folder, is_thrum(s) ? "train" : "peers/train-torch");
  if (is_thrum(s))
    execl(path, path, "--serve", threads, (char *)NULL);
  else
    execl(path, path, threads, (char *)NULL);
}

static void start_all(void) {
  bool torch = false;
  bench_choose_blas_core();
  for (int i = 0; i < SETTINGS; i++) {
    char version[200];
    if (cores_of(&settings[i]) > bench_cores()) continue;
    bool there = bench_program_start(&programs[i], become, &settings[i], version, sizeof version);
    if (there && settings[i].threads == 1 && settings[i].blas == 1)
      fprintf(stderr, "%s\n", version);
    torch |= there && !is_thrum(&settings[i]);
  }
  if (!torch) fprintf(stderr, "libtorch: skipped, not there; needs libtorch-dev\n");
}

static void measure(const options *o, const train_case *c) {
  memset(readings, 0, sizeof readings);
  for (int round = 0; round < o->rounds; round++)
    for (int i = 0; i < SETTINGS; i++) {
      char what[200];
      snprintf(what, sizeof what, "%s, %s, %s", settings[i].impl, settings[i].text, c->name);
      if (!bench_ask(&programs[i], c->name, true, what, &readings[i])) readings[i].n = 0;
    }
  for (int i = 0; i < SETTINGS; i++) bench_reading_end(&readings[i]);
}

/* The quickest setting of an implementation with at most so many cores; -1 when it is not there. Thrum has one for each. */
static int best_of(bool thrum, int cores) {
  int best = -1;
  for (int i = 0; i < SETTINGS; i++) {
    const setting *s = &settings[i];
    if (is_thrum(s) != thrum || cores_of(s) > cores || readings[i].n == 0) continue;
    if (thrum && cores_of(s) != cores) continue;
    if (best < 0 || readings[i].median < readings[best].median) best = i;
  }
  return best;
}

/* --- report --- */

static void print_json(const train_case *c, int cores) {
  for (int thrum = 1; thrum >= 0; thrum--) {
    int i = best_of(thrum, cores);
    if (i < 0) continue;
    const bench_reading *r = &readings[i];
    printf(
        "{\"bench\":\"train\",\"case\":\"%s\",\"impl\":\"%s\",\"workers\":%d,\"ns_per_op\":%.0f,"
        "\"min\":%.0f,\"spread\":%.3f,\"peak_bytes\":%.0f,\"foreign\":%.2f,\"setting\":\"%s\"}\n",
        c->name, settings[i].impl, cores, r->median, r->min, r->spread, r->figures[TRAIN_PEAK],
        r->foreign, settings[i].text);
  }
  fflush(stdout);
}

static const char *judge(bool reached) {
  goals++;
  met += reached;
  return reached ? "yes" : "no";
}

/* On a busy machine the least readings say more than the medians. */
static void print_goals(const train_case *c, const bench_reading *ours, const bench_reading *theirs,
                        bool busy) {
  double us = (busy ? ours->min : ours->median) / 1000, ratio = 0;
  char goal[32];
  if (theirs) ratio = busy ? ours->min / theirs->min : ours->median / theirs->median;
  if (c->most_us > 0) {
    snprintf(goal, sizeof goal, "%.0f us", c->most_us);
    printf(" %9s %4s", goal, judge(us <= c->most_us));
  } else if (theirs) {
    snprintf(goal, sizeof goal, "ratio %g", c->ratio);
    printf(" %9s %4s", goal, judge(ratio <= c->ratio));
  } else {
    printf(" %9s %4s", "-", "-");
  }
}

static void print_row(const train_case *c, int cores) {
  int i = best_of(true, cores), j = best_of(false, cores);
  if (i < 0) return;
  const bench_reading *ours = &readings[i], *theirs = j < 0 ? NULL : &readings[j];
  double foreign = theirs && theirs->foreign > ours->foreign ? theirs->foreign : ours->foreign;
  bool busy = foreign > noise, judged = cores == 2 || bench_cores() == 1;
  printf("%-12s %d %9.1f %9.1f %5.1f", c->name, cores, ours->median / 1000, ours->min / 1000,
         100 * ours->spread);
  if (theirs)
    printf(" %9.1f %9.1f %6.2f", theirs->median / 1000, theirs->min / 1000,
           ours->median / theirs->median);
  else
    printf(" %9s %9s %6s", "-", "-", "-");
  if (judged)
    print_goals(c, ours, theirs, busy);
  else
    printf(" %9s %4s", "-", "-");
  double own = ours->figures[TRAIN_PEAK] / 1e6,
         peer = theirs ? theirs->figures[TRAIN_PEAK] / 1e6 : 0;
  printf(" %8.2f %8.2f %4s", own, peer, theirs ? judge(own <= peer) : "-");
  printf(" %7.2f%s  %s\n", foreign, busy ? "!" : " ", j < 0 ? "" : settings[j].text);
  noisy += busy;
  fflush(stdout);
}

/* All programs begin with the same numbers, so equal losses mean equal work. */
static void compare_losses(const train_case *c) {
  for (int i = 1; i < SETTINGS; i++) {
    double first = readings[0].figures[TRAIN_LOSS], loss = readings[i].figures[TRAIN_LOSS];
    if (readings[0].n == 0 || readings[i].n == 0 || fabs(loss - first) <= same_loss * fabs(first))
      continue;
    fprintf(stderr, "train: %s: the loss of %s, %s is %.6g, not %.6g: this is other work\n",
            c->name, settings[i].impl, settings[i].text, loss, first);
    unlike++;
  }
}

static void print_head(void) {
  printf("%-12s %1s %9s %9s %5s %9s %9s %6s %9s %4s %8s %8s %4s %7s   %s\n", "case", "W",
         "thrum us", "least", "+-%", "torch us", "least", "ratio", "goal", "met", "MB", "torch MB",
         "met", "foreign", "torch's best setting");
}

static void print_end(void) {
  printf("\n%d of %d goals met; in %d rows other processes took more than a tenth of the machine "
         "(!), there by \"least\".\n",
         met, goals, noisy);
  puts("W: threads, the caller's counted. Microseconds per step: medians of all samples; +-: half "
       "the distance of the quartiles\n"
       "in percent; ratio: thrum's / libtorch's by its best setting. MB: most bytes of arrays (of "
       "tensors) alive at a time, by the\n"
       "pool's figures and by a counting allocator in libtorch.");
}

static int run_cases(const options *o) {
  int ran = 0;
  for (int i = 0; i < TRAIN_CASES; i++) {
    const train_case *c = &train_cases[i];
    if (strncmp(c->name, o->only, strlen(o->only)) != 0) continue;
    measure(o, c);
    for (int cores = 1; cores <= 2 && cores <= bench_cores(); cores++)
      o->json ? print_json(c, cores) : print_row(c, cores);
    compare_losses(c);
    ran += readings[0].n > 0;
  }
  return ran;
}

static int print_help(void) {
  puts("usage: train [OPTION]...\n\n"
       "Microseconds per training step (forward, backward, SGD; random data) and the most memory, "
       "beside libtorch, and goals.\n\n"
       "  --json         one line of JSON per case, implementation and number of threads\n"
       "  --case NAME    only cases whose names begin so\n"
       "  --rounds R     how often each program is asked, default 3\n\ncases:");
  for (int i = 0; i < TRAIN_CASES; i++) printf("  %s\n", train_cases[i].name);
  return 0;
}

static bool parse(int argc, char **argv, options *o) {
  for (int i = 1; i < argc; i++) {
    const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";
    if (strcmp(name, "--json") == 0) {
      o->json = true;
    } else if (strcmp(name, "--case") == 0) {
      o->only = value, i++;
    } else if (strcmp(name, "--rounds") == 0) {
      o->rounds = atoi(value), i++;
    } else {
      fprintf(stderr, "unknown option '%s'; try --help\n", name);
      return false;
    }
  }
  if (o->rounds >= 1 && o->rounds <= BENCH_ROUNDS) return true;
  fprintf(stderr, "rounds are 1 to %d; try --help\n", BENCH_ROUNDS);
  return false;
}

int main(int argc, char **argv) {
  options o = {.rounds = 3, .only = ""};
  if (argc == 3 && strcmp(argv[1], "--serve") == 0) return train_thrum_serve(atoi(argv[2]));
  if (argc == 2 && strcmp(argv[1], "--help") == 0) return print_help();
  if (!parse(argc, argv, &o)) return 2;
  start_all();
  if (!o.json) print_head();
  int ran = run_cases(&o);
  for (int i = 0; i < SETTINGS; i++) bench_program_stop(&programs[i]);
  if (!ran) fprintf(stderr, "nothing to run: no such case; try --help\n");
  if (ran && !o.json) print_end();
  return ran && !unlike ? 0 : 1;
}
