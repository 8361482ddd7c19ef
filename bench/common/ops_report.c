/* Owns the table: our time, its noise, each peer's, the ratio to the rival of the goal. */
#include "common/ops_report.h"

#include <string.h>

static const double noise = 0.1;
static int goals, met, noisy;

void ops_report_head(void) {
  printf("%-24s %1s %9s %5s", "case", "W", "thrum us", "+-%");
  for (int who = WHO_TORCH; who < OPS_WHO; who++) printf(" %9s", ops_who_names[who]);
  printf(" | %8s %6s %6s %6s %4s %7s\n", "rival", "ratio", "least", "goal", "met", "foreign");
}

/* The quickest by its median; NULL when none was there. */
static const bench_reading *best_of(const bench_reading *r, const ops_who *who, int n) {
  const bench_reading *best = NULL;
  for (int i = 0; i < n; i++)
    if (r[who[i]].n > 0 && (!best || r[who[i]].median < best->median)) best = &r[who[i]];
  return best;
}

static const bench_reading *rival_of(ops_rival rival, const bench_reading *r) {
  static const ops_who loops[] = {WHO_PLAIN, WHO_STREAMING},
                       peers[] = {WHO_TORCH, WHO_NUMPY, WHO_ONEDNN}, torch[] = {WHO_TORCH},
                       blas[] = {WHO_OPENBLAS, WHO_ONEDNN}, openblas[] = {WHO_OPENBLAS};
  switch (rival) {
  case RIVAL_LOOP: return best_of(r, loops, 2);
  case RIVAL_PEERS: return best_of(r, peers, 3);
  case RIVAL_TORCH: return best_of(r, torch, 1);
  case RIVAL_BLAS: return best_of(r, blas, 2);
  case RIVAL_OPENBLAS: return best_of(r, openblas, 1);
  default: return NULL;
  }
}

static void print_time(double ns) { printf(ns < 1e5 ? " %9.3f" : " %9.0f", ns / 1000); }

/* On a busy machine the least readings say more than the medians. */
static void print_goal(const bench_reading *ours, const bench_reading *rival, double goal,
                       bool busy) {
  if (!rival || goal <= 0) {
    printf(" %6s %6s %6s %4s", "-", "-", "-", "-");
    return;
  }
  double ratio = ours->median / rival->median, least = ours->min / rival->min;
  bool reached = (busy ? least : ratio) <= goal;
  printf(" %6.2f %6.2f %6.2f %4s", ratio, least, goal, reached ? "yes" : "no");
  goals++;
  met += reached;
}

void ops_report_row(const ops_case *c, int workers, ops_who ours, const bench_reading *readings) {
  const bench_reading *r = &readings[ours], *rival = rival_of(c->rival, readings);
  double goal = c->most[workers - 1] * (ours == WHO_INLINE ? 0.5 : 1), foreign = r->foreign;
  char name[64];
  if (r->n == 0) return;
  snprintf(name, sizeof name, "%s%s", c->name, ours == WHO_INLINE ? " inline" : "");
  printf("%-24s %d", name, workers);
  print_time(r->median);
  printf(" %5.1f", 100 * r->spread);
  for (int who = WHO_TORCH; who < OPS_WHO; who++) {
    if (readings[who].n > 0)
      print_time(readings[who].median);
    else
      printf(" %9s", "-");
  }
  if (rival && rival->foreign > foreign) foreign = rival->foreign;
  bool busy = foreign > noise;
  printf(" | %8s", ops_rival_names[c->rival]);
  print_goal(r, rival, goal, busy);
  printf(" %6.2f%s\n", foreign, busy ? "!" : "");
  noisy += busy;
  fflush(stdout);
}

void ops_report_json(const ops_case *c, int workers, ops_who who, const bench_reading *r) {
  static const char *const types[] = {"f32", "f64", "i64"};
  ops_spec spec;
  if (r->n == 0 || !ops_spec_parse(c->spec, &spec)) return;
  printf("{\"bench\":\"ops\",\"case\":\"%s\",\"impl\":\"%s\",\"dtype\":\"%s\",\"n\":%lld,"
         "\"workers\":%d,"
         "\"ns_per_op\":%.2f,\"min\":%.2f,\"max\":%.2f,\"spread\":%.3f,\"foreign\":%.2f,\"spec\":"
         "\"%s\"}\n",
         c->name, ops_who_names[who], types[spec.in[0].type], (long long)spec.in[0].elements,
         workers, r->median, r->min, r->max, r->spread, r->foreign, c->spec);
  fflush(stdout);
}

void ops_report_absent(const ops_case *c) { printf("%-24s   not there yet\n", c->name); }

void ops_report_end(void) {
  printf("\n%d of %d goals met; in %d rows other processes took more than a tenth of the machine "
         "(!), there by \"least\".\n",
         met, goals, noisy);
  puts(
      "W: threads. Times: microseconds per call, medians of all samples; +-: half the distance of "
      "the quartiles in percent.\n"
      "ratio: our time / the rival's; least: the same of the quickest samples. loop: the better of "
      "plain and streaming;\n"
      "peers: the best of torch, numpy, onednn; blas: the better of openblas and onednn. All of a "
      "row were measured in turn.");
}
