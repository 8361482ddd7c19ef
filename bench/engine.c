/* Time per empty operation: submission, dependency tracking, execution and the final wait, for four graphs, beside OpenMP
 * tasks in the same run. Each measurement runs in a process of its own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/bench.h"
#include "common/engine_graph.h"

enum { MAX_REPETITIONS = 101 };

static const char *const case_names[GRAPH_CASES] = {"independent", "chain", "fanout8", "random"};

static const graph_impl impls[] = {
    {"thrum", 1, thrum_start, thrum_run, thrum_stop, "", 0},
    {"thrum", 2, thrum_start, thrum_run, thrum_stop, "", 0},
    {"thrum-inline", 1, thrum_start, thrum_run, thrum_stop, "inline", 0},
    {"thrum-inline", 2, thrum_start, thrum_run, thrum_stop, "inline", 0},
    {"thrum-serial", 1, thrum_start, thrum_run, thrum_stop, "serial", 0},
#ifdef TH_BENCH_OPENMP
    /* libgomp walks all readers of a variable at each access: quadratic. */
    {"openmp-gcc", 1, openmp_start, openmp_run, openmp_stop, "", 9000},
    {"openmp-gcc", 2, openmp_start, openmp_run, openmp_stop, "", 9000},
#endif
};
enum { IMPLS = sizeof impls / sizeof *impls };

typedef struct job {
  const graph_impl *impl;
  graph_case which;
  long n;
  int repetitions;
} job;

typedef struct outcome {
  bench_summary ns;
  double foreign;
} outcome;

/* Random operands: state = state * 6364136223846793005 + 1442695040888963407 (mod 2^64) from state 12345; each draw is
 * (state >> 33) mod 1000. Three draws per operation: read, read, write; a draw equal to an earlier one of the same
 * operation is repeated. */
static graph_op *make_graph(long n) {
  graph_op *ops = malloc((size_t)n * sizeof *ops);
  uint64_t state = 12345;
  for (long i = 0; ops && i < n; i++) {
    int32_t v[3];
    for (int k = 0; k < 3;) {
      state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
      v[k] = (int32_t)((state >> 33) % GRAPH_VARIABLES);
      bool repeated = (k > 0 && v[k] == v[0]) || (k > 1 && v[k] == v[1]);
      if (!repeated) k++;
    }
    ops[i] = (graph_op){{v[0], v[1]}, v[2]};
  }
  return ops;
}

static void measure(const void *arg, void *result) {
  const job *j = arg;
  outcome *out = result;
  double samples[MAX_REPETITIONS];
  graph_op *ops = make_graph(j->n);
  j->impl->start(j->impl->workers, j->impl->mode, j->n);
  j->impl->run(j->which, ops, j->n); /* once to warm up */
  bench_load before = bench_load_now();
  for (int i = 0; i < j->repetitions; i++) {
    double start = bench_seconds();
    j->impl->run(j->which, ops, j->n);
    samples[i] = (bench_seconds() - start) * 1e9 / (double)j->n;
  }
  bench_load after = bench_load_now();
  j->impl->stop();
  free(ops);
  out->ns = bench_summarize(samples, j->repetitions);
  out->foreign = bench_foreign(&before, &after);
}

static void print_json(const job *j, const outcome *o) {
  printf("{\"bench\":\"engine\",\"case\":\"%s\",\"impl\":\"%s\",\"workers\":%d,\"n\":%ld,"
         "\"ns_per_op\":%.1f,\"min\":%.1f,\"max\":%.1f,\"foreign\":%.2f}\n",
         case_names[j->which], j->impl->name, j->impl->workers, j->n, o->ns.median, o->ns.min,
         o->ns.max, o->foreign);
}

/* One line of the table; ratio = OpenMP's time with as many workers / ours. */
static void print_row(const job *j, const outcome *o, double ratio) {
  char text[32] = "";
  if (ratio > 0) snprintf(text, sizeof text, "%.2fx", ratio);
  printf("%-12s %-13s %7d %8ld %9.1f %9.1f %9.1f %8s %8.2f\n", case_names[j->which], j->impl->name,
         j->impl->workers, j->n, o->ns.median, o->ns.min, o->ns.max, text, o->foreign);
}

static int run_case(graph_case which, long n, int repetitions, bool json) {
  job jobs[IMPLS];
  outcome outcomes[IMPLS];
  double openmp[3] = {0}; /* by workers */
  for (int i = 0; i < IMPLS; i++) {
    const graph_impl *impl = &impls[i];
    long limit = which == GRAPH_FANOUT8 && impl->quadratic_limit ? impl->quadratic_limit : n;
    jobs[i] = (job){impl, which, n < limit ? n : limit, repetitions};
    if (!bench_in_child(measure, &jobs[i], &outcomes[i], sizeof outcomes[i])) {
      fprintf(stderr, "%s, %s, %d workers: failed\n", case_names[which], impl->name, impl->workers);
      return 1;
    }
    if (strncmp(impl->name, "openmp", 6) == 0) openmp[impl->workers] = outcomes[i].ns.median;
    if (json) print_json(&jobs[i], &outcomes[i]);
  }
  for (int i = 0; !json && i < IMPLS; i++) {
    bool peer = strncmp(impls[i].name, "openmp", 6) == 0;
    print_row(&jobs[i], &outcomes[i], peer ? 0 : openmp[impls[i].workers] / outcomes[i].ns.median);
  }
  if (!json) putchar('\n');
  fflush(stdout);
  return 0;
}

static void print_help(void) {
  puts("usage: engine [--json] [--n OPERATIONS] [--repetitions R] [--case NAME]\n\n"
       "Nanoseconds per empty operation, submission to the end of the final wait. Cases: "
       "independent,\n"
       "chain, fanout8, random; default all, 100000 operations, 7 repetitions. workers = threads "
       "that\n"
       "run operations, the submitting one included; foreign = share of the machine's cores that\n"
       "other processes took meanwhile; ratio = OpenMP's time with as many workers / this time.");
}

int main(int argc, char **argv) {
  bool json = false;
  long n = 100000, repetitions = 7;
  const char *only = NULL;
  for (int i = 1; i < argc; i++) {
    const char *value = i + 1 < argc ? argv[i + 1] : "";
    if (strcmp(argv[i], "--json") == 0) {
      json = true;
    } else if (strcmp(argv[i], "--help") == 0) {
      print_help();
      return 0;
    } else if (strcmp(argv[i], "--n") == 0) {
      n = strtol(value, NULL, 10), i++;
    } else if (strcmp(argv[i], "--repetitions") == 0) {
      repetitions = strtol(value, NULL, 10), i++;
    } else if (strcmp(argv[i], "--case") == 0) {
      only = value, i++;
    } else {
      fprintf(stderr, "unknown option '%s'; try --help\n", argv[i]);
      return 1;
    }
  }
  if (n < 1 || repetitions < 1 || repetitions > MAX_REPETITIONS) {
    fprintf(stderr, "--n must be at least 1, --repetitions 1 to %d\n", MAX_REPETITIONS);
    return 1;
  }
  if (!json) {
    printf("%-12s %-13s %7s %8s %9s %9s %9s %8s %8s\n", "case", "impl", "workers", "n", "ns/op",
           "min", "max", "ratio", "foreign");
  }
  int failed = 0, ran = 0;
  for (int c = 0; c < GRAPH_CASES; c++) {
    if (only && strcmp(only, case_names[c]) != 0) continue;
    failed |= run_case((graph_case)c, n, (int)repetitions, json);
    ran++;
  }
  if (!ran) fprintf(stderr, "unknown case '%s'; try --help\n", only);
  return failed || !ran;
}
