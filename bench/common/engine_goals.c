/* Owns the goals of the engine and the figures of peers that Debian does not package, and prints both beside what was
 * measured. */
#include <stdio.h>
#include <string.h>

#include "common/engine_report.h"

typedef enum rule {
  AT_MOST,        /* the value */
  RATIO_AT_LEAST, /* base / value */
  SLOWEST_AT_MOST /* the largest of the four graphs */
} rule;

typedef struct goal {
  const char *label, *name, *impl, *detail;
  int workers;
  rule rule;
  double limit;
  const char *unit;
  double scale; /* value in ns -> unit, 0 = 1 */
  const char *constants;
} goal;

/* Constants: medians in ns of 2026-11 on a machine of the kind of docs/performance.md, when it was quiet: MXNet's threaded
 * engine (apache/mxnet b84609d; for serial its NaiveEngine), Taskflow 4.1.0's dependent_async (83f90a2), NumPy 1.24.2,
 * libtorch 1.13.1. They are not of this run and enter no ratio. */
static const goal goals[] = {
    {"independent", "independent", "thrum", "", 1, AT_MOST, 45, "ns", 0, "MXNet 426, Taskflow 186"},
    {"independent", "independent", "thrum", "", 2, AT_MOST, 75, "ns", 0, "MXNet 648, Taskflow 173"},
    {"chain", "chain", "thrum", "", 1, AT_MOST, 50, "ns", 0, "MXNet 301, Taskflow 135"},
    {"chain", "chain", "thrum", "", 2, AT_MOST, 50, "ns", 0, "MXNet 576, Taskflow 98"},
    {"1 writer, 8 readers", "fanout8", "thrum", "", 1, AT_MOST, 65, "ns", 0,
     "MXNet 311, Taskflow 177"},
    {"1 writer, 8 readers", "fanout8", "thrum", "", 2, AT_MOST, 65, "ns", 0,
     "MXNet 682, Taskflow 180"},
    {"random", "random", "thrum", "", 1, AT_MOST, 150, "ns", 0, "MXNet 1480, Taskflow 306"},
    {"random", "random", "thrum", "", 2, AT_MOST, 170, "ns", 0, "MXNet 1181, Taskflow 272"},
    {"serial, slowest case", "", "thrum-serial", "", 1, SLOWEST_AT_MOST, 30, "ns", 0, "MXNet 166"},
    {"submit only, random", "submit_only", "thrum", "", 1, AT_MOST, 90, "ns", 0, ""},
    {"round trip, spinning", "wait_roundtrip", "thrum", "spinning", 2, AT_MOST, 200, "ns", 0, ""},
    {"round trip, 1 ms idle", "wait_roundtrip", "thrum", "idle1ms", 2, AT_MOST, 1000, "ns", 0, ""},
    {"wait on what is ready", "wait_ready", "thrum", "", 2, AT_MOST, 3, "ns", 0, ""},
    {"256 waiters released", "waiters256", "thrum", "", 2, AT_MOST, 2, "ms", 1e-6, ""},
    {"METG 50 %, random", "metg50", "thrum", "", 1, AT_MOST, 120, "ns", 0,
     "MXNet 1400, Taskflow 190"},
    {"METG 50 %, random", "metg50", "thrum", "", 2, AT_MOST, 270, "ns", 0,
     "MXNet 3500, Taskflow 450"},
    {"4 submitters against 1", "submitters4", "thrum", "", 2, RATIO_AT_LEAST, 1, "x", 0, ""},
    {"th_add of 16, inline", "eager_add16", "thrum-inline", "", 1, AT_MOST, 100, "ns", 0,
     "NumPy 295, libtorch 475"},
    {"th_add of 16, queue", "eager_add16", "thrum", "", 1, AT_MOST, 200, "ns", 0,
     "NumPy 295, libtorch 475"},
    {"trace, random", "trace_on", "thrum", "random", 1, AT_MOST, 50, "ns", 0, ""},
    {"trace, independent", "trace_on", "thrum", "independent", 1, AT_MOST, 50, "ns", 0, ""},
    {"2 workers beat 1 from", "two_beat_one", "thrum", "", 2, AT_MOST, 300, "ns", 0, ""},
    {"heap calls per op", "heap_per_op", "thrum", "", 1, AT_MOST, 0, "", 0, ""},
    {"bytes per pending op", "pending_bytes", "thrum", "", 1, AT_MOST, 128, "B", 0, ""},
};

/* What the goal is about: its reading, or the slowest of several. */
static const trial *reading_of(const goal *g) {
  if (g->rule != SLOWEST_AT_MOST) return report_find(g->name, g->impl, g->detail, g->workers);
  const trial *slowest = NULL;
  for (int c = 0; c < GRAPH_MAIN; c++) {
    const trial *t = report_find(graph_names[c], g->impl, g->detail, g->workers);
    if (!t) return NULL;
    if (!slowest || t->value.median > slowest->value.median) slowest = t;
  }
  return slowest;
}

/* All peers' values in their columns; the quickest is returned, 0 without one. A peer that runs each task inside its
 * submission is compared with serial mode and with nothing else. */
static double print_peers(const goal *g, const trial *ours) {
  double best = 0;
  for (int i = 0; i < CONTESTANTS; i++) {
    const contestant *c = &contestants[i];
    if (c->mode) continue;
    const trial *peer = report_find(ours->name, c->name, g->detail, g->workers);
    bool immediate = c->immediate && g->workers == 1;
    if (!peer) {
      printf(" %10s", "-");
      continue;
    }
    char text[32];
    snprintf(text, sizeof text, "%.0f%s%s", peer->value.median, immediate ? "i" : "",
             peer->foreign > contest_noise ? "!" : "");
    printf(" %10s", text);
    bool comparable = immediate == (g->rule == SLOWEST_AT_MOST);
    if (comparable && (best == 0 || peer->value.median < best)) best = peer->value.median;
  }
  return best;
}

static void print_goal(const goal *g) {
  const trial *ours = reading_of(g);
  if (!ours) return;
  double value = ours->value.median * (g->scale > 0 ? g->scale : 1);
  if (g->rule == RATIO_AT_LEAST) value = ours->base / ours->value.median;
  bool met = g->rule == RATIO_AT_LEAST ? value >= g->limit : value <= g->limit;
  char aim[32], got[32];
  snprintf(aim, sizeof aim, "%s %g %s", g->rule == RATIO_AT_LEAST ? ">=" : "<=", g->limit, g->unit);
  snprintf(got, sizeof got, value < 10 ? "%.2f%s" : "%.1f%s", value,
           ours->foreign > contest_noise ? "!" : "");
  printf("%-22s %2d %11s %10s %4s", g->label, g->workers, aim, got, met ? "yes" : "no");
  double best = print_peers(g, ours);
  char ratio[32] = "-";
  if (best > 0) snprintf(ratio, sizeof ratio, "%.2fx", best / ours->value.median);
  printf(" %8s%s%s\n", ratio, *g->constants ? "  " : "", g->constants);
}

void report_goals(void) {
  printf("%-22s %2s %11s %10s %4s", "goal", "W", "aim", "ours", "met");
  for (int i = 0; i < CONTESTANTS; i++)
    if (!contestants[i].mode) printf(" %10.10s", contestants[i].name);
  printf(" %8s  %s\n", "ratio", "constants of 2026-11, ns, not of this run");
  for (size_t i = 0; i < sizeof goals / sizeof *goals; i++) print_goal(&goals[i]);
  puts("\nW: threads that run operations. ratio: best peer's time / ours, above 1 ours is quicker. "
       "!: other processes took\n"
       "more than a tenth of the machine. i: runs each task inside its submission, so it is "
       "compared with serial mode only.");
}
