/* Owns the list of contestants and the order of measurements. */
#include "common/engine_contest.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/engine_thrum.h"

/* libgomp walks all readers of a variable at each access. */
const contestant contestants[CONTESTANTS] = {
    {.name = "thrum", .mode = ""},
    {.name = "thrum-inline", .mode = "inline"},
    {.name = "thrum-serial", .mode = "serial", .most_workers = 1},
    {.name = "openmp-gcc", .needs = "gcc", .most_fans = 9000},
    {.name = "openmp-clang", .needs = "clang libomp-dev", .immediate = true},
    {.name = "starpu", .needs = "libstarpu-dev", .most = 20000},
    {.name = "tbb", .needs = "libtbb-dev"},
};

enum { TRIES = 3, PATIENCE = 8 };
const double contest_noise = 0.1;

/* The peer's program: peers/NAME beside this one. */
static bool peer_path(const contestant *c, char *path, size_t bytes) {
  char self[4000];
  ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
  if (n <= 0) return false;
  self[n] = 0;
  char *slash = strrchr(self, '/');
  if (slash) *slash = 0;
  return (size_t)snprintf(path, bytes, "%s/peers/%s", self, c->name) < bytes;
}

bool contest_has(const contestant *c) {
  char path[4096];
  return c->mode || (peer_path(c, path, sizeof path) && access(path, X_OK) == 0);
}

void contest_print_missing(void) {
  for (int i = 0; i < CONTESTANTS; i++) {
    const contestant *c = &contestants[i];
    if (!contest_has(c)) fprintf(stderr, "%s: skipped, not built; needs %s\n", c->name, c->needs);
  }
}

static long least(long a, long b) { return b > 0 && b < a ? b : a; }

trial contest_graph(const options *o, const contestant *who, graph_case which, int workers,
                    double grain) {
  long n = least(o->n, who->most);
  if (which == GRAPH_FANOUT8) n = least(n, who->most_fans);
  return (trial){.name = graph_names[which],
                 .impl = who->name,
                 .detail = "",
                 .workers = workers,
                 .n = n,
                 .who = who,
                 .job = {which, n, workers, o->repetitions, grain, false}};
}

static void measure_here(const void *arg, void *result) {
  const trial *t = arg;
  if (t->measure) {
    t->measure(t, result);
  } else {
    run_graph(&thrum_impl, t->who->mode, &t->job, result);
  }
}

static bool measure_peer(const trial *t, run_outcome *out) {
  char path[4096], text[6][32];
  if (!peer_path(t->who, path, sizeof path)) return false;
  snprintf(text[0], sizeof *text, "%d", (int)t->job.which);
  snprintf(text[1], sizeof *text, "%ld", t->job.n);
  snprintf(text[2], sizeof *text, "%d", t->job.workers);
  snprintf(text[3], sizeof *text, "%d", t->job.repetitions);
  snprintf(text[4], sizeof *text, "%.3f", t->job.grain);
  snprintf(text[5], sizeof *text, "%d", t->job.metg);
  char *argv[] = {path, text[0], text[1], text[2], text[3], text[4], text[5], NULL};
  return bench_in_program(argv, out, sizeof *out);
}

/* The quietest of some tries; of one while the machine has been busy for PATIENCE readings in a row. */
static bool measure(const trial *t, run_outcome *best) {
  static int noisy;
  bool any = false;
  int tries = noisy < PATIENCE ? TRIES : 1;
  for (int i = 0; i < tries && !(any && best->foreign <= contest_noise); i++) {
    run_outcome now;
    bool ok = !t->measure && !t->who->mode ? measure_peer(t, &now)
                                           : bench_in_child(measure_here, t, &now, sizeof now);
    if (!ok) break;
    if (!any || now.foreign < best->foreign) *best = now;
    any = true;
  }
  if (any) noisy = best->foreign > contest_noise ? noisy + 1 : 0;
  return any;
}

/* The samples of all rounds of one trial. */
typedef struct pool {
  double samples[CONTEST_ROUNDS * RUN_SAMPLES], base[CONTEST_ROUNDS * RUN_SAMPLES];
  int n;
} pool;

static pool pools[CONTEST_TRIALS];

void contest_run(const options *o, trial *trials, int n) {
  for (int i = 0; i < n; i++) pools[i].n = 0;
  for (int round = 0; round < o->rounds; round++) {
    for (int i = 0; i < n; i++) {
      run_outcome out;
      trial *t = &trials[i];
      if (t->failed || !measure(t, &out)) {
        t->failed = true;
        continue;
      }
      memcpy(pools[i].samples + pools[i].n, out.samples, (size_t)out.n * sizeof(double));
      memcpy(pools[i].base + pools[i].n, out.base, (size_t)out.n * sizeof(double));
      pools[i].n += out.n;
      if (out.foreign > t->foreign) t->foreign = out.foreign;
    }
  }
  for (int i = 0; i < n; i++) {
    if (trials[i].failed) continue;
    trials[i].value = bench_summarize(pools[i].samples, pools[i].n);
    trials[i].base = bench_summarize(pools[i].base, pools[i].n).median;
  }
}
