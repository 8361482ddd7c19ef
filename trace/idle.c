/* Owns how busy lanes are over time, and why they are not. */
#include <stdlib.h>
#include <string.h>

#include "trace/figures.h"

/* What a device's ops are about, from `at` until the next one. */
typedef struct phase {
  int64_t at;
  int64_t blocked, queued; /* changes first, then, summed up, numbers of ops */
} phase;

static int by_time(const void *a, const void *b) {
  const phase *x = a, *y = b;
  return (x->at > y->at) - (x->at < y->at);
}

/* The phases of a device, in the order of time; phases has room for three per op. */
static size_t phases_of(const trace *t, uint32_t device, phase *phases) {
  size_t n = 0;
  for (size_t i = 0; i < t->n_ops; i++) {
    const trace_op *o = &t->ops[i];
    if (o->device != device) continue;
    phases[n++] = (phase){o->stamps[STAMP_SUBMITTED], 1, 0};
    phases[n++] = (phase){o->stamps[STAMP_READY], -1, 1};
    phases[n++] = (phase){o->stamps[STAMP_STARTED], 0, -1};
  }
  qsort(phases, n, sizeof *phases, by_time);
  int64_t blocked = 0, queued = 0;
  size_t kept = 0;
  for (size_t i = 0; i < n; i++) {
    blocked += phases[i].blocked;
    queued += phases[i].queued;
    if (i + 1 < n && phases[i + 1].at == phases[i].at) continue;
    phases[kept++] = (phase){phases[i].at, blocked, queued};
  }
  return kept;
}

static idle_cause cause_of(const phase *p) {
  return p->queued > 0 ? IDLE_QUEUED : p->blocked > 0 ? IDLE_BLOCKED : IDLE_NOTHING;
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
  phase *phases = malloc((t->n_ops * 3 + 1) * sizeof *phases);
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
  enum { EACH = 8, MOST_PARTS = 1 << 20 }; /* parts of the stretch, of the whole time */
  int64_t part = stretch / EACH > 0 ? stretch / EACH : 1, wall = f->end - f->begin;
  if (wall / part >= MOST_PARTS) part = wall / MOST_PARTS + 1;
  size_t n = (size_t)(wall / part) + 1, width = (size_t)(stretch / part), best = 0;
  double *busy = calloc(n, sizeof *busy), sum = 0, most = -1;
  if (busy == NULL) return -1;
  for (size_t i = 0; i < t->n_ops; i++) { /* long ops count no more than what one sees happen */
    const trace_op *o = &t->ops[i];
    int64_t length = o->end - o->begin;
    if (o->depth == 0)
      busy[(o->begin - f->begin) / part] += (double)(length < part ? length : part);
  }
  for (size_t i = 0; i < n; i++) {
    sum += busy[i] - (i >= width ? busy[i - width] : 0);
    if (i + 1 < width || sum <= most) continue;
    most = sum;
    best = i + 1 - width;
  }
  free(busy);
  return (int64_t)best * part;
}
