/* Owns the table: our time, its noise, each peer's, the ratio to the rival of the goal. */
#include "common/ops_report.h"

#include <string.h>

static const double noise = 0.1;
static int goals, met, noisy;

void ops_report_head(void) {
  printf("%-24s %1s %9s %5s", "case", "W", "thrum us", "+-%");
  for (int who = WHO_TORCH; who < OPS_WHO; who++) printf(" %9s", ops_who_names[who]);
  printf(" | %8s %6s %6s %4s %7s\n", "rival", "ratio", "goal", "met", "foreign");
}

static double best_of(const ops_reading *r, const ops_who *who, int n) {
  double best = 0;
  for (int i = 0; i < n; i++)
    if (r[who[i]].n > 0 && (best <= 0 || r[who[i]].median < best)) best = r[who[i]].median;
  return best;
}

/* The rival's time; 0 when it was not there. */
static double rival_time(ops_rival rival, const ops_reading *r) {
  static const ops_who loops[] = {WHO_PLAIN, WHO_STREAMING},
                       peers[] = {WHO_TORCH, WHO_NUMPY, WHO_ONEDNN}, torch[] = {WHO_TORCH},
                       blas[] = {WHO_OPENBLAS, WHO_ONEDNN}, openblas[] = {WHO_OPENBLAS};
  switch (rival) {
  case RIVAL_LOOP: return best_of(r, loops, 2);
  case RIVAL_PEERS: return best_of(r, peers, 3);
  case RIVAL_TORCH: return best_of(r, torch, 1);
  case RIVAL_BLAS: return best_of(r, blas, 2);
  case RIVAL_OPENBLAS: return best_of(r, openblas, 1);
  default: return 0;
  }
}

static void print_time(double ns) { printf(ns < 1e5 ? " %9.3f" : " %9.0f", ns / 1000); }

void ops_report_row(const ops_case *c, int workers, ops_who ours, const ops_reading *readings) {
  const ops_reading *r = &readings[ours];
  double goal = c->most[workers - 1] * (ours == WHO_INLINE ? 0.5 : 1),
         rival = rival_time(c->rival, readings);
  double foreign = r->foreign;
  char name[64];
  if (r->n == 0) return;
  snprintf(name, sizeof name, "%s%s", c->name, ours == WHO_INLINE ? " inline" : "");
  printf("%-24s %d", name, workers);
  print_time(r->median);
  printf(" %5.1f", 100 * r->spread);
  for (int who = WHO_TORCH; who < OPS_WHO; who++) {
    if (readings[who].foreign > foreign) foreign = readings[who].foreign;
    if (readings[who].n > 0)
      print_time(readings[who].median);
    else
      printf(" %9s", "-");
  }
  printf(" | %8s", ops_rival_names[c->rival]);
  if (rival <= 0 || goal <= 0) {
    printf(" %6s %6s %4s", "-", "-", "-");
  } else {
    double ratio = r->median / rival;
    printf(" %6.2f %6.2f %4s", ratio, goal, ratio <= goal ? "yes" : "no");
    goals++;
    met += ratio <= goal;
  }
  printf(" %6.2f%s\n", foreign, foreign > noise ? "!" : "");
  noisy += foreign > noise;
  fflush(stdout);
}

void ops_report_json(const ops_case *c, int workers, ops_who who, const ops_reading *r) {
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
  printf("\n%d of %d goals met; %d rows in which other processes took more than a tenth of the "
         "machine (!).\n"
         "W: threads. Times in microseconds per call, medians of all samples; +-: half the "
         "distance of the quartiles. "
         "ratio: our time /\n"
         "the rival's (loop: the better of plain and streaming; peers: the best of torch, numpy, "
         "onednn; blas: the better of "
         "openblas and\nonednn). All of a row were measured in turn.\n",
         met, goals, noisy);
}
