/* Owns how busy lanes are over time, and why they are not. */
#include <stdlib.h>
#include <string.h>

#include "trace/figures.h"

const char *const idle_names[] = {"waking", "memory", "copy", "blocked", "no work"};
const char *const idle_texts[] = {"waking up, queueing", "waiting for memory", "waiting for a copy",
                                  "waiting for a predecessor", "no work submitted"};

/* What a device's ops are about, from `at` until the next one: changes first, then, summed up, numbers of ops. */
typedef struct phase {
  int64_t at;
  int64_t ops[IDLE_CAUSES]; /* that make each cause true; IDLE_NOTHING is unused */
} phase;
enum { PHASES = 5 }; /* of one op at most */

static int by_time(const void *a, const void *b) {
  const phase *x = a, *y = b;
  return (x->at > y->at) - (x->at < y->at);
}

/* From when on an op waited for a copy: since that one could begin, if the last that it waited for was one. Else when it was
 * ready. */
static int64_t copy_begins(const trace *t, const trace_op *o) {
  const trace_op *last = NULL;
  for (size_t j = 0; j < o->n_after; j++) {
    int64_t p = t->waited[o->first_after + j];
    if (p != TRACE_ABSENT && (last == NULL || t->ops[p].end > last->end)) last = &t->ops[p];
  }
  int64_t ready = o->stamps[STAMP_READY], submitted = o->stamps[STAMP_SUBMITTED];
  if (last == NULL || !last->copies) return ready;
  int64_t from = last->stamps[STAMP_READY];
  return from < submitted ? submitted : from > ready ? ready : from;
}

static phase *put_phase(phase *p, int64_t at, int ends, int begins) {
  *p = (phase){.at = at};
  if (ends >= 0) p->ops[ends]--;
  if (begins >= 0) p->ops[begins]++;
  return p + 1;
}

/* Submitted, waits for others, for a copy, in a queue, for memory, starts: what of it there is. */
static phase *phases_of_op(const trace *t, const trace_op *o, phase *p) {
  int64_t copy = copy_begins(t, o), ready = o->stamps[STAMP_READY],
          start = o->stamps[STAMP_STARTED];
  bool waits = copy < ready, starves = o->starved >= ready && o->starved <= start;
  p = put_phase(p, o->stamps[STAMP_SUBMITTED], -1, IDLE_BLOCKED);
  if (waits) p = put_phase(p, copy, IDLE_BLOCKED, IDLE_COPY);
  p = put_phase(p, ready, waits ? IDLE_COPY : IDLE_BLOCKED, IDLE_QUEUED);
  if (starves) p = put_phase(p, o->starved, IDLE_QUEUED, IDLE_MEMORY);
  return put_phase(p, start, starves ? IDLE_MEMORY : IDLE_QUEUED, -1);
}

/* The phases of a device, in the order of time; phases has room for PHASES per op. */
static size_t phases_of(const trace *t, uint32_t device, phase *phases) {
  phase *end = phases, now = {.at = 0};
  for (size_t i = 0; i < t->n_ops; i++)
    if (t->ops[i].device == device) end = phases_of_op(t, &t->ops[i], end);
  size_t n = (size_t)(end - phases), kept = 0;
  qsort(phases, n, sizeof *phases, by_time);
  for (size_t i = 0; i < n; i++) {
    now.at = phases[i].at;
    for (int c = 0; c < IDLE_CAUSES; c++) now.ops[c] += phases[i].ops[c];
    if (i + 1 < n && phases[i + 1].at == phases[i].at) continue;
    phases[kept++] = now;
  }
  return kept;
}

static idle_cause cause_of(const phase *p) {
  int c = 0;
  while (c < IDLE_NOTHING && p->ops[c] <= 0) c++;
  return (idle_cause)c;
}

/* Adds the gap [from, to) to the causes. *next: the first phase behind the last gap, which lies before this one. */
static void add_gap(lane_figures *l, const phase *phases, size_t n, size_t *next, int64_t from,
                    int64_t to) {
  while (from < to) {
    while (*next < n && phases[*next].at <= from) ++*next;
    int64_t until = *next < n && phases[*next].at < to ? phases[*next].at : to;
    l->idle[*next == 0 ? IDLE_NOTHING : cause_of(&phases[*next - 1])] += until - from;
    from = until;
  }
}

typedef struct span {
  int64_t begin, end;
} span;

static int by_begin(const void *a, const void *b) {
  const span *x = a, *y = b;
  return (x->begin > y->begin) - (x->begin < y->begin);
}

/* When the lane was at work, in the order of time: its rows may overlap. */
static size_t spans_of(const trace *t, uint32_t lane, span *spans, size_t *ops) {
  size_t n = 0;
  for (size_t i = 0; i < t->n_ops; i++) {
    const trace_op *o = &t->ops[i];
    if (t->rows[o->row].lane != lane) continue;
    ++*ops;
    if (o->depth == 0) spans[n++] = (span){o->begin, o->end};
  }
  qsort(spans, n, sizeof *spans, by_begin);
  return n;
}

static void add_lane(const trace *t, figures *f, uint32_t lane, span *spans, const phase *phases,
                     size_t n_phases) {
  lane_figures *l = &f->lanes[lane];
  size_t n = spans_of(t, lane, spans, &l->ops), next = 0;
  bool works = t->lanes[lane].kind != ROW_HOST;
  int64_t free_from = f->begin;
  for (size_t i = 0; i < n; i++) {
    int64_t begin = spans[i].begin > free_from ? spans[i].begin : free_from;
    if (works) add_gap(l, phases, n_phases, &next, free_from, begin);
    if (spans[i].end <= begin) continue;
    l->busy += spans[i].end - begin;
    free_from = spans[i].end;
  }
  if (works) add_gap(l, phases, n_phases, &next, free_from, f->end);
}

/* Adds the busy time of [begin, end) to the slices it touches. */
static void add_parallel(figures *f, int64_t begin, int64_t end) {
  double slice = (double)(f->end - f->begin) / FIGURES_SLICES;
  double from = (double)(begin - f->begin) / slice, to = (double)(end - f->begin) / slice;
  for (int i = (int)from; i < FIGURES_SLICES && i < to; i++) {
    double a = from > i ? from : i, b = to < i + 1 ? to : i + 1;
    if (b > a) f->parallel[i] += b - a;
  }
}

bool figures_lanes(const trace *t, figures *f) {
  span *spans = malloc((t->n_ops + 1) * sizeof *spans);
  phase *phases = malloc((t->n_ops * PHASES + 1) * sizeof *phases);
  bool ok = spans != NULL && phases != NULL;
  uint32_t device = UINT32_MAX;
  size_t n_phases = 0;
  for (uint32_t lane = 0; lane < t->n_lanes && ok; lane++) {
    if (t->lanes[lane].kind != ROW_HOST && t->lanes[lane].device != device) {
      device = t->lanes[lane].device;
      n_phases = phases_of(t, device, phases);
    }
    add_lane(t, f, lane, spans, phases, n_phases);
  }
  for (size_t i = 0; i < t->n_ops && f->end > f->begin; i++)
    if (t->ops[i].depth == 0) add_parallel(f, t->ops[i].begin, t->ops[i].end);
  for (int i = 0; i < FIGURES_SLICES; i++)
    if (f->parallel[i] > f->most_parallel) f->most_parallel = f->parallel[i];
  free(spans);
  free(phases);
  return ok;
}

int64_t figures_busiest(const trace *t, const figures *f, int64_t stretch) {
  enum { EACH = 8 }; /* one op counts no more than this part of the stretch, where it begins */
  int64_t most_each = stretch / EACH > 0 ? stretch / EACH : 1, wall = f->end - f->begin;
  span *spans = malloc((t->n_ops + 1) * sizeof *spans);
  if (spans == NULL) return -1;
  size_t n = 0;
  for (size_t i = 0; i < t->n_ops; i++) {
    const trace_op *o = &t->ops[i];
    int64_t counts = o->end - o->begin < most_each ? o->end - o->begin : most_each;
    if (o->depth == 0) spans[n++] = (span){o->begin, o->begin + counts};
  }
  qsort(spans, n, sizeof *spans, by_begin);
  double sum = 0, most = -1;
  int64_t from = f->begin;
  for (size_t first = 0, i = 0; i < n; i++) {
    sum += (double)(spans[i].end - spans[i].begin);
    for (; spans[i].begin - spans[first].begin >= stretch; first++)
      sum -= (double)(spans[first].end - spans[first].begin);
    if (sum <= most) continue;
    most = sum;
    from = spans[first].begin;
  }
  free(spans);
  int64_t last = wall > stretch ? wall - stretch : 0; /* a stretch that lies within the wall time */
  return from - f->begin < last ? from - f->begin : last;
}
