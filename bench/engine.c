/* How long does the engine take per operation? All goals of the engine, ours beside peers' on the same graphs in the same
 * run. Each measurement runs in a process of its own; what is compared alternates. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/engine_cases.h"
#include "common/engine_modes.h"
#include "common/engine_report.h"

static bool wanted(const options *o, const char *name) {
  return !o->only || strcmp(o->only, name) == 0;
}

static int report_all(const options *o, trial *trials, int n) {
  contest_run(o, trials, n);
  for (int i = 0; i < n; i++) report_add(o, &trials[i]);
  if (n > 0 && !o->json) putchar('\n');
  return n;
}

static int run_main_graphs(const options *o) {
  int ran = 0;
  for (int g = 0; g < GRAPH_MAIN; g++) {
    trial trials[CONTEST_TRIALS];
    if (!wanted(o, graph_names[g])) continue;
    ran += report_all(o, trials, modes_graph(o, (graph_case)g, 0, trials));
  }
  return ran;
}

static int run_specials(const options *o) {
  int n = 0;
  trial trials[CONTEST_TRIALS];
  for (int i = 0; i < SPECIALS; i++) {
    const special *s = &specials[i];
    if (!wanted(o, s->name) || strncmp(s->impl, o->impl, strlen(o->impl)) != 0) continue;
    for (int k = 0; k < o->n_workers; k++) {
      int workers = o->workers[k];
      if (workers < s->least_workers || (s->most_workers && workers > s->most_workers)) continue;
      trials[n++] = (trial){.name = s->name,
                            .impl = s->impl,
                            .detail = s->detail,
                            .key = s->key,
                            .base_key = s->base_key,
                            .workers = workers,
                            .n = s->n,
                            .measure = s->measure,
                            .job.repetitions = s->repetitions ? s->repetitions : o->repetitions};
    }
  }
  return report_all(o, trials, n);
}

static int run_metg(const options *o) {
  trial trials[CONTEST_TRIALS];
  if (!wanted(o, "metg50")) return 0;
  return report_all(o, trials, modes_metg(o, trials));
}

static void print_help(void) {
  puts("usage: engine [OPTION]...\n\n"
       "Nanoseconds per empty operation, submission to the end of the final wait, for four graphs "
       "(independent,\n"
       "chain, fanout8, random) on Thrum and on its peers, then:\n"
       "  submit_only     the submitting calls alone, random graph, no worker\n"
       "  wait_roundtrip  submission and wait of one operation; workers spinning, or after 1 ms "
       "idle\n"
       "  wait_ready      a wait for what is ready\n"
       "  waiters256      from the end of an operation until 256 sleeping threads left their "
       "waits, ns in all;\n"
       "                  futex: the same with the system's bare sleep on a word\n"
       "  submitters4     ns per operation of 4 submitting threads, and of 1\n"
       "  eager_add16     th_add() of 16 floats and th_release() of the sum\n"
       "  trace_on        ns per operation that recording adds\n"
       "  heap_per_op     calls of the host allocator per operation\n"
       "  pending_bytes   memory per pending operation\n"
       "  metg50          smallest body, ns, with which the random graph's bodies take half of "
       "all workers' time;\n"
       "                  65536 = none did\n"
       "  two_beat_one    smallest body, ns, from which two workers are quicker than one\n\n"
       "  --json             one line of JSON per reading\n"
       "  --case NAME        only this one\n"
       "  --impl NAME        only implementations whose names begin so\n"
       "  --workers LIST     threads that run operations, the helping submitter counted; default "
       "1,2,4,8,16 and\n"
       "                     the number of cores, none above it\n"
       "  --n OPERATIONS     of a graph, default 100000\n"
       "  --repetitions R    samples per process at least, default 5 (and a fifth of a second)\n"
       "  --rounds R         processes per reading, default 3\n"
       "  --grain            instead: bodies of 0 to 100 us on the random graph, with efficiency\n"
       "  --patterns         instead: the patterns of Task Bench, empty bodies and 1 us; both: "
       "all bodies\n\n"
       "foreign = share of the machine's cores that other processes took; above 0.1 a reading is "
       "repeated, then\n"
       "marked with !.");
}

/* "1,2,8" */
static bool parse_workers(options *o, const char *text) {
  o->n_workers = 0;
  while (*text && o->n_workers < 16) {
    char *end;
    long w = strtol(text, &end, 10);
    if (end == text || w < 1 || w > 256 || (*end && *end != ',')) return false;
    o->workers[o->n_workers++] = (int)w;
    text = *end ? end + 1 : end;
  }
  return o->n_workers > 0 && !*text;
}

/* Powers of two and the number of cores, up to 16. */
static void default_workers(options *o) {
  int cores = bench_cores(), most = cores < 16 ? cores : 16;
  for (int w = 1; w < most; w *= 2) o->workers[o->n_workers++] = w;
  o->workers[o->n_workers++] = most;
}

typedef struct modes {
  bool patterns, grain, help;
} modes;

static bool parse(int argc, char **argv, options *o, modes *m) {
  for (int i = 1; i < argc; i++) {
    const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";
    bool takes = true, good = true;
    if (strcmp(name, "--json") == 0) {
      o->json = true, takes = false;
    } else if (strcmp(name, "--help") == 0) {
      m->help = true, takes = false;
    } else if (strcmp(name, "--patterns") == 0) {
      m->patterns = true, takes = false;
    } else if (strcmp(name, "--grain") == 0) {
      m->grain = true, takes = false;
    } else if (strcmp(name, "--n") == 0) {
      o->n = strtol(value, NULL, 10);
      good = o->n >= 1 && o->n <= 100000000;
    } else if (strcmp(name, "--repetitions") == 0) {
      o->repetitions = (int)strtol(value, NULL, 10);
      good = o->repetitions >= 1 && o->repetitions <= RUN_SAMPLES;
    } else if (strcmp(name, "--rounds") == 0) {
      o->rounds = (int)strtol(value, NULL, 10);
      good = o->rounds >= 1 && o->rounds <= CONTEST_ROUNDS;
    } else if (strcmp(name, "--case") == 0) {
      o->only = value;
    } else if (strcmp(name, "--impl") == 0) {
      o->impl = value;
    } else if (strcmp(name, "--workers") == 0) {
      good = parse_workers(o, value);
    } else {
      fprintf(stderr, "unknown option '%s'; try --help\n", name);
      return false;
    }
    if (!good) {
      fprintf(stderr, "%s: cannot be '%s'; try --help\n", name, value);
      return false;
    }
    i += takes;
  }
  return true;
}

int main(int argc, char **argv) {
  options o = {.n = 100000, .repetitions = 5, .rounds = 3, .impl = ""};
  modes m = {0};
  if (!parse(argc, argv, &o, &m)) return 2;
  if (m.help) {
    print_help();
    return 0;
  }
  if (o.n_workers == 0) default_workers(&o);
  contest_print_missing();
  report_header(&o);
  int ran = 0;
  if (m.patterns || m.grain) {
    ran = modes_sweep(&o, m.patterns, m.grain);
  } else {
    ran = run_main_graphs(&o) + run_specials(&o) + run_metg(&o);
    if (wanted(&o, "two_beat_one")) ran += modes_two_beat_one(&o);
    if (ran && !o.json) report_goals();
  }
  if (!ran) fprintf(stderr, "nothing to run: no such case or implementation; try --help\n");
  return report_failed() || !ran;
}
