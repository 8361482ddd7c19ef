/* Owns the proof. Three things are looked at: slices nest in their rows and arrows have two ends (balanced); an op is submitted,
 * ready, started and finished in this order (monotone); and for each recorded edge the later op starts when the earlier one has
 * finished. On two lanes of one device the later op may be put on its lane before the host learns of the earlier one's end:
 * there the device keeps the order, and what the stamps can prove is that the two were begun in it, as far as its clock is known. */
#include "trace/check.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

typedef struct findings {
  const trace *t;
  FILE *out;
  size_t n, most;
} findings;

static void find(findings *f, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void find(findings *f, const char *format, ...) {
  if (f->n++ >= f->most || f->out == NULL) return;
  va_list args;
  va_start(args, format);
  vfprintf(f->out, format, args);
  va_end(args);
  putc('\n', f->out);
}

static const char *name_of(const findings *f, const trace_op *o) { return f->t->names[o->name]; }

static const char *lane_of(const findings *f, const trace_op *o) {
  return f->t->lanes[f->t->rows[o->row].lane].label;
}

static void check_stamps(findings *f, const trace_op *o) {
  static const char *const verbs[] = {"submitted", "ready", "started", "finished"};
  for (int i = 0; i + 1 < STAMPS; i++) {
    if (o->stamps[i] <= o->stamps[i + 1]) continue;
    find(f, "op %llu (%s): %s at %lld ns but %s at %lld ns", (unsigned long long)o->id,
         name_of(f, o), verbs[i], (long long)o->stamps[i], verbs[i + 1],
         (long long)o->stamps[i + 1]);
  }
  if (o->begin < o->stamps[STAMP_STARTED] || o->end > o->stamps[STAMP_FINISHED])
    find(f, "op %llu (%s): drawn from %lld to %lld ns but ran from %lld to %lld ns",
         (unsigned long long)o->id, name_of(f, o), (long long)o->begin, (long long)o->end,
         (long long)o->stamps[STAMP_STARTED], (long long)o->stamps[STAMP_FINISHED]);
}

/* A GPU's times are tied to the host's clock by readings that may be wrong by so much on a busy machine. */
#define DEVICE_NS 200000

/* How far the stamps of two ops on one device may be wrong against each other. */
static int64_t doubt(const findings *f, const trace_op *o) {
  return strncmp(f->t->names[o->device], "cuda", 4) == 0 ? DEVICE_NS : 0;
}

static bool on_a_lane(const findings *f, const trace_op *o) {
  return f->t->rows[o->row].kind == ROW_LANE;
}

static void check_edge(findings *f, const trace_op *before, const trace_op *o) {
  bool device_orders = on_a_lane(f, before) && on_a_lane(f, o) && before->device == o->device;
  int64_t earliest = before->stamps[device_orders ? STAMP_STARTED : STAMP_FINISHED];
  if (before->id >= o->id)
    find(f, "op %llu (%s) waited for op %llu (%s), which came later", (unsigned long long)o->id,
         name_of(f, o), (unsigned long long)before->id, name_of(f, before));
  if (o->stamps[STAMP_STARTED] + (device_orders ? doubt(f, o) : 0) >= earliest) return;
  find(f,
       "op %llu (%s) started at %lld ns on %s, before op %llu (%s), for which it waited, %s at "
       "%lld ns on %s",
       (unsigned long long)o->id, name_of(f, o), (long long)o->stamps[STAMP_STARTED], lane_of(f, o),
       (unsigned long long)before->id, name_of(f, before), device_orders ? "started" : "finished",
       (long long)earliest, lane_of(f, before));
}

static void check_ops(findings *f) {
  const trace *t = f->t;
  for (size_t i = 0; i < t->n_ops; i++) {
    const trace_op *o = &t->ops[t->by_id[i]];
    if (i > 0 && t->ops[t->by_id[i - 1]].id == o->id)
      find(f, "two ops have the id %llu (%s, %s)", (unsigned long long)o->id,
           name_of(f, &t->ops[t->by_id[i - 1]]), name_of(f, o));
    check_stamps(f, o);
    for (size_t j = 0; j < o->n_after; j++) {
      int64_t p = t->waited[o->first_after + j];
      if (p != TRACE_ABSENT) check_edge(f, &t->ops[p], o);
    }
  }
}

/* Within a row every op lies in another one or beside it. */
static void check_nesting(findings *f) {
  const trace *t = f->t;
  for (size_t i = 0; i < t->n_ops; i++) {
    const trace_op *o = &t->ops[i];
    if (o->crosses)
      find(f, "op %llu (%s) overlaps another one in row '%s'", (unsigned long long)o->id,
           name_of(f, o), t->rows[o->row].label);
  }
}

static int flows_in_order(const void *a, const void *b) {
  const trace_flow *x = a, *y = b;
  if (x->id != y->id) return x->id < y->id ? -1 : 1;
  if (x->is_end != y->is_end) return x->is_end ? 1 : -1;
  return (x->at > y->at) - (x->at < y->at);
}

/* Every arrow has one beginning and one end, which does not come earlier. */
static void check_flows(findings *f) {
  const trace *t = f->t;
  if (t->n_flows == 0) return;
  qsort(t->flows, t->n_flows, sizeof *t->flows, flows_in_order);
  for (size_t i = 0, next; i < t->n_flows; i = next) {
    const trace_flow *flow = &t->flows[i];
    for (next = i; next < t->n_flows && t->flows[next].id == flow->id;) next++;
    bool pair = next - i == 2 && !flow->is_end && flow[1].is_end;
    if (!pair)
      find(f, "arrow %llu has %zu ends, not a beginning and an end", (unsigned long long)flow->id,
           next - i);
    else if (flow[1].at < flow->at)
      find(f, "arrow %llu ends before it begins", (unsigned long long)flow->id);
  }
}

size_t trace_check(const trace *t, FILE *out, size_t most) {
  findings f = {.t = t, .out = out, .most = most};
  check_ops(&f);
  check_nesting(&f);
  check_flows(&f);
  if (out != NULL && f.n > most) fprintf(out, "and %zu more findings\n", f.n - most);
  return f.n;
}
