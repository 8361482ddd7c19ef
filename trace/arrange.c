/* Owns the order of a trace that was read: slices by row and time, how they nest, who waited for whom. */
#include <stdlib.h>
#include <string.h>

#include "trace/trace.h"

static int compare_spans(uint32_t row_a, int64_t begin_a, int64_t end_a, uint32_t row_b,
                         int64_t begin_b, int64_t end_b) {
  if (row_a != row_b) return row_a < row_b ? -1 : 1;
  if (begin_a != begin_b) return begin_a < begin_b ? -1 : 1;
  return (end_a < end_b) - (end_a > end_b);
}

static int ops_in_order(const void *a, const void *b) {
  const trace_op *x = a, *y = b;
  int order = compare_spans(x->row, x->begin, x->end, y->row, y->begin, y->end);
  return order != 0 ? order : (x->id > y->id) - (x->id < y->id);
}

static int waits_in_order(const void *a, const void *b) {
  const trace_wait *x = a, *y = b;
  return compare_spans(x->row, x->begin, x->end, y->row, y->begin, y->end);
}

static int ranges_in_order(const void *a, const void *b) {
  const trace_range *x = a, *y = b;
  return compare_spans(x->row, x->begin, x->end, y->row, y->begin, y->end);
}

typedef struct named { /* an op by its id */
  uint64_t id;
  uint32_t index;
} named;

static int by_id(const void *a, const void *b) {
  const named *x = a, *y = b;
  if (x->id != y->id) return x->id < y->id ? -1 : 1;
  return (x->index > y->index) - (x->index < y->index);
}

/* Depth and own time of every op: one that ends within an open one lies in it. The first op that crosses another one finds that
 * still open, as no op before it did so: where any two cross, one is marked. */
static void nest(trace *t, uint32_t *open) {
  size_t depth = 0;
  for (size_t i = 0; i < t->n_ops; i++) {
    trace_op *o = &t->ops[i];
    o->self = o->end - o->begin;
    if (i > 0 && t->ops[i - 1].row != o->row) depth = 0;
    for (; depth > 0; depth--) {
      int64_t open_end = t->ops[open[depth - 1]].end;
      if (open_end > o->begin && o->end <= open_end) break;
      if (open_end > o->begin) o->crosses = true;
    }
    if (depth > 0)
      t->ops[open[depth - 1]].self = trace_add(t->ops[open[depth - 1]].self, o->begin - o->end);
    o->depth = (uint16_t)(depth < UINT16_MAX ? depth : UINT16_MAX);
    open[depth++] = (uint32_t)i;
  }
}

static bool order_ids(trace *t) {
  named *all = malloc((t->n_ops + 1) * sizeof *all);
  t->by_id = malloc((t->n_ops + 1) * sizeof *t->by_id);
  bool ok = all != NULL && t->by_id != NULL;
  for (size_t i = 0; i < t->n_ops && ok; i++) all[i] = (named){t->ops[i].id, (uint32_t)i};
  if (ok) qsort(all, t->n_ops, sizeof *all, by_id);
  for (size_t i = 0; i < t->n_ops && ok; i++) t->by_id[i] = all[i].index;
  free(all);
  return ok;
}

int64_t trace_find(const trace *t, uint64_t id) {
  size_t low = 0, high = t->n_ops;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (t->ops[t->by_id[middle]].id < id) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  bool found = low < t->n_ops && t->ops[t->by_id[low]].id == id;
  return found ? (int64_t)t->by_id[low] : TRACE_ABSENT;
}

bool trace_arrange(trace *t) {
  if (t->n_ops >= UINT32_MAX) return false;
  if (t->n_ops > 0) qsort(t->ops, t->n_ops, sizeof *t->ops, ops_in_order);
  if (t->n_waits > 0) qsort(t->waits, t->n_waits, sizeof *t->waits, waits_in_order);
  if (t->n_ranges > 0) qsort(t->ranges, t->n_ranges, sizeof *t->ranges, ranges_in_order);
  for (size_t i = 0; i < t->n_ops; i++) {
    trace_op *o = &t->ops[i];
    if (o->device == 0) o->device = t->lanes[t->rows[o->row].lane].device;
  }
  uint32_t *open = malloc((t->n_ops + 1) * sizeof *open);
  t->waited = malloc((t->n_after + 1) * sizeof *t->waited);
  bool ok = open != NULL && t->waited != NULL && order_ids(t);
  if (ok) nest(t, open);
  for (size_t i = 0; i < t->n_after && ok; i++) t->waited[i] = trace_find(t, t->after[i]);
  free(open);
  return ok;
}
