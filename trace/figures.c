/* Owns the sums over a trace: totals, the critical path, the tables by name. */
#include "trace/figures.h"

#include <stdlib.h>
#include <string.h>

static void widen(figures *f, int64_t begin, int64_t end) {
  if (begin < f->shown_begin) f->shown_begin = begin;
  if (end > f->shown_end) f->shown_end = end;
}

/* Behind the last op a wait has nothing to show: its thread wakes up. */
static void add_shown(const trace *t, figures *f) {
  bool bare = t->n_ops == 0;
  f->shown_begin = bare ? INT64_MAX : f->begin;
  f->shown_end = f->end;
  for (size_t i = 0; i < t->n_waits; i++)
    widen(f, t->waits[i].begin, bare ? t->waits[i].end : f->end);
  for (size_t i = 0; i < t->n_ranges; i++) widen(f, t->ranges[i].begin, t->ranges[i].end);
  if (!bare) return;
  for (size_t i = 0; i < t->n_samples; i++) widen(f, t->samples[i].at, t->samples[i].at);
  if (f->shown_begin == INT64_MAX) f->shown_begin = 0;
  f->begin = f->shown_begin;
  f->end = f->shown_end;
}

static void add_spans(const trace *t, figures *f) {
  if (t->n_ops > 0) f->begin = INT64_MAX;
  for (size_t i = 0; i < t->n_ops; i++) {
    const trace_op *o = &t->ops[i];
    if (o->stamps[STAMP_SUBMITTED] < f->begin) f->begin = o->stamps[STAMP_SUBMITTED];
    if (o->begin < f->begin) f->begin = o->begin;
    if (o->end > f->end) f->end = o->end;
    f->sum = trace_add(f->sum, o->self);
    f->failed += o->status == TRACE_FAILED;
    f->skipped += o->status == TRACE_SKIPPED;
  }
  for (size_t i = 0; i < t->n_waits; i++)
    f->waited = trace_add(f->waited, t->waits[i].end - t->waits[i].begin);
}

/* --- the critical path --- */

/* Ids grow along every edge, so their order is one in which each op comes behind all it waited for; an edge that says otherwise
 * is left out. */
static bool find_path(const trace *t, figures *f) {
  int64_t *length =
      malloc((t->n_ops + 1) * sizeof *length); /* of the longest chain up to the op's end */
  int64_t *before = malloc((t->n_ops + 1) * sizeof *before);
  f->path = malloc((t->n_ops + 1) * sizeof *f->path);
  bool ok = length != NULL && before != NULL && f->path != NULL;
  int64_t last = TRACE_ABSENT;
  for (size_t i = 0; i < t->n_ops && ok; i++) {
    const trace_op *o = &t->ops[t->by_id[i]];
    int64_t index = t->by_id[i], longest = 0;
    before[index] = TRACE_ABSENT;
    for (size_t j = 0; j < o->n_after; j++) {
      int64_t p = t->waited[o->first_after + j];
      f->n_edges++;
      f->n_lost_edges += p == TRACE_ABSENT;
      if (p == TRACE_ABSENT || t->ops[p].id >= o->id || length[p] <= longest) continue;
      longest = length[p];
      before[index] = p;
    }
    length[index] = trace_add(longest, o->end - o->begin);
    if (last == TRACE_ABSENT || length[index] > length[last]) last = index;
  }
  if (ok && last != TRACE_ABSENT) f->critical = length[last];
  for (int64_t p = last; ok && p != TRACE_ABSENT; p = before[p]) f->path[f->n_path++] = (uint32_t)p;
  for (size_t i = 0; i < f->n_path / 2; i++) { /* from the last to the first, so turned around */
    uint32_t other = f->path[f->n_path - 1 - i];
    f->path[f->n_path - 1 - i] = f->path[i];
    f->path[i] = other;
  }
  free(length);
  free(before);
  return ok;
}

/* --- tables --- */

typedef struct duration {
  uint32_t name;
  int64_t ns;
} duration;

static int by_name_and_length(const void *a, const void *b) {
  const duration *x = a, *y = b;
  if (x->name != y->name) return x->name < y->name ? -1 : 1;
  return (x->ns > y->ns) - (x->ns < y->ns);
}

static int longest_first(const void *a, const void *b) {
  const name_figures *x = a, *y = b;
  if (x->total != y->total) return x->total > y->total ? -1 : 1;
  if (x->count != y->count) return x->count > y->count ? -1 : 1;
  return (x->name > y->name) - (x->name < y->name);
}

/* One line per name from durations sorted by (name, length); the smallest value that p percent do not exceed. */
static name_figures *sum_by_name(const duration *all, size_t n, size_t *n_lines) {
  name_figures *lines = calloc(n + 1, sizeof *lines);
  *n_lines = 0;
  for (size_t first = 0, end; lines != NULL && first < n; first = end) {
    name_figures *l = &lines[(*n_lines)++];
    l->name = all[first].name;
    for (end = first; end < n && all[end].name == l->name; end++)
      l->total = trace_add(l->total, all[end].ns);
    l->count = end - first;
    l->least = all[first].ns;
    l->p50 = all[first + (l->count - 1) / 2].ns;
    l->p99 = all[first + (l->count * 99 + 99) / 100 - 1].ns;
    l->most = all[end - 1].ns;
  }
  return lines;
}

/* Sums of the ops that durations do not tell, for lines that are still in the order of names. */
static void add_details(const trace *t, name_figures *lines, size_t n) {
  for (size_t i = 0; i < t->n_ops; i++) {
    const trace_op *o = &t->ops[i];
    size_t low = 0, high = n;
    while (low + 1 < high) {
      size_t middle = low + (high - low) / 2;
      if (lines[middle].name <= o->name) {
        low = middle;
      } else {
        high = middle;
      }
    }
    name_figures *l = &lines[low];
    l->blocked = trace_add(l->blocked, o->stamps[STAMP_READY] - o->stamps[STAMP_SUBMITTED]);
    l->queued = trace_add(l->queued, o->stamps[STAMP_STARTED] - o->stamps[STAMP_READY]);
    l->failed += o->status != TRACE_OK;
    l->bytes = trace_add(l->bytes, o->bytes);
    if (o->moved < 0) continue;
    l->flops += (double)o->flops;
    l->moved += (double)o->moved;
    l->known = trace_add(l->known, o->end - o->begin);
  }
}

static bool make_tables(const trace *t, figures *f) {
  size_t most = t->n_ops > t->n_waits ? t->n_ops : t->n_waits;
  duration *all = malloc((most + 1) * sizeof *all);
  if (all == NULL) return false;
  for (size_t i = 0; i < t->n_ops; i++)
    all[i] = (duration){t->ops[i].name, t->ops[i].end - t->ops[i].begin};
  qsort(all, t->n_ops, sizeof *all, by_name_and_length);
  f->names = sum_by_name(all, t->n_ops, &f->n_names);
  for (size_t i = 0; i < t->n_waits; i++)
    all[i] = (duration){t->waits[i].name, t->waits[i].end - t->waits[i].begin};
  qsort(all, t->n_waits, sizeof *all, by_name_and_length);
  f->waits = sum_by_name(all, t->n_waits, &f->n_waits);
  free(all);
  if (f->names == NULL || f->waits == NULL) return false;
  add_details(t, f->names, f->n_names);
  qsort(f->names, f->n_names, sizeof *f->names, longest_first);
  qsort(f->waits, f->n_waits, sizeof *f->waits, longest_first);
  return true;
}

figures *figures_make(const trace *t) {
  figures *f = calloc(1, sizeof *f);
  if (f == NULL) return NULL;
  add_spans(t, f);
  add_shown(t, f);
  f->lanes = calloc(t->n_lanes + 1, sizeof *f->lanes);
  if (f->lanes != NULL && find_path(t, f) && make_tables(t, f) && figures_lanes(t, f)) return f;
  figures_free(f);
  return NULL;
}

void figures_free(figures *f) {
  if (f == NULL) return;
  free(f->path);
  free(f->lanes);
  free(f->names);
  free(f->waits);
  free(f);
}
