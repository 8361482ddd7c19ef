/* How long do operators take, beside libtorch, NumPy, oneDNN, OpenBLAS and the machine's own loops? Each of them is a program
 * that runs for the whole benchmark; for each case they are asked in turn, several rounds, because the machine changes its speed
 * meanwhile. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/ops_report.h"
#include "common/ops_thrum.h"

typedef struct options {
  bool json, fast;
  int rounds, workers; /* workers 0 = 1 and 2 */
  const char *only;    /* case names that begin so */
} options;

/* Whether a program takes part in a case at all, so that it need not be asked. Gigabytes are compared with the loops alone:
 * the goal speaks of them, and making and touching the arrays takes longest. */
static bool takes_part(int who, const ops_case *c) {
  if (c->huge) return who == WHO_THRUM || who == WHO_PLAIN || who == WHO_STREAMING;
  return who != WHO_INLINE || c->small;
}

static void measure(const options *o, const ops_case *c, int workers, bench_reading *readings) {
  bool out[OPS_WHO] = {false};
  memset(readings, 0, OPS_WHO * sizeof *readings);
  for (int round = 0; round < (c->huge ? 1 : o->rounds); round++)
    for (int who = 0; who < OPS_WHO; who++)
      if (!out[who] && takes_part(who, c))
        out[who] = !ops_ask((ops_who)who, workers, c, &readings[who]);
  for (int who = 0; who < OPS_WHO; who++) bench_reading_end(&readings[who]);
}

static void report(const options *o, const ops_case *c, int workers,
                   const bench_reading *readings) {
  if (o->json) {
    for (int who = 0; who < OPS_WHO; who++)
      ops_report_json(c, workers, (ops_who)who, &readings[who]);
    return;
  }
  ops_report_row(c, workers, WHO_THRUM, readings);
  ops_report_row(c, workers, WHO_INLINE, readings);
}

static int run_cases(const options *o) {
  static bench_reading readings[OPS_WHO];
  int ran = 0;
  for (int i = 0; i < ops_cases_count; i++) {
    const ops_case *c = &ops_cases[i];
    if (strncmp(c->name, o->only, strlen(o->only)) != 0 || (o->fast && c->huge)) continue;
    if (!ops_thrum_has(c->kind)) {
      if (!o->json) ops_report_absent(c);
      continue;
    }
    for (int w = 1; w <= OPS_WORKERS; w++) {
      if ((o->workers && o->workers != w) || w > bench_cores()) continue;
      measure(o, c, w, readings);
      report(o, c, w, readings);
      ran += readings[WHO_THRUM].n > 0;
    }
  }
  return ran;
}

static void print_help(void) {
  puts("usage: ops [OPTION]...\n\n"
       "Microseconds per call of operators, ours and peers' in turn, with 1 and 2 threads, and the "
       "goal of each row.\n\n"
       "  --json         one line of JSON per reading\n"
       "  --case NAME    only cases whose names begin so\n"
       "  --rounds R     how often each program is asked, default 3 (cases of 1 GiB: once)\n"
       "  --workers W    only with so many threads, 1 or 2\n"
       "  --fast         without the cases of 1 GiB\n"
       "  --list         names of the cases and what is measured");
}

static int list(void) {
  for (int i = 0; i < ops_cases_count; i++)
    printf("%-24s %-16s %s\n", ops_cases[i].name, ops_cases[i].kind, ops_cases[i].spec);
  return 0;
}

static bool parse(int argc, char **argv, options *o) {
  for (int i = 1; i < argc; i++) {
    const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";
    if (strcmp(name, "--json") == 0) {
      o->json = true;
    } else if (strcmp(name, "--fast") == 0) {
      o->fast = true;
    } else if (strcmp(name, "--case") == 0) {
      o->only = value, i++;
    } else if (strcmp(name, "--rounds") == 0) {
      o->rounds = atoi(value), i++;
    } else if (strcmp(name, "--workers") == 0) {
      o->workers = atoi(value), i++;
    } else {
      fprintf(stderr, "unknown option '%s'; try --help\n", name);
      return false;
    }
  }
  if (o->rounds >= 1 && o->rounds <= BENCH_ROUNDS && o->workers >= 0 && o->workers <= OPS_WORKERS)
    return true;
  fprintf(stderr, "rounds are 1 to %d, workers 1 or 2; try --help\n", BENCH_ROUNDS);
  return false;
}

int main(int argc, char **argv) {
  options o = {.rounds = 3, .only = ""};
  if (argc == 4 && strcmp(argv[1], "--serve") == 0)
    return ops_thrum_serve(atoi(argv[3]), strcmp(argv[2], "inline") == 0);
  if (argc == 2 && strcmp(argv[1], "--list") == 0) return list();
  if (argc == 2 && strcmp(argv[1], "--help") == 0) return print_help(), 0;
  if (!parse(argc, argv, &o)) return 2;
  ops_programs_start(o.workers);
  if (!o.json) ops_report_head();
  int ran = run_cases(&o);
  ops_programs_stop();
  if (!ran) {
    fprintf(stderr, "nothing to run: no such case; try --list\n");
    return 1;
  }
  if (!o.json) ops_report_end();
  return 0;
}
