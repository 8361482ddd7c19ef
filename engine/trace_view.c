/* Owns the picture of a trace: which row each event takes, and the rows' names. Works on a copy, so it needs no lock. */
#include "engine/trace_view.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/device.h"

enum { MOST_DEPTH = 32, MOST_SUBS = 1024 };

/* Open events of one row, outermost first. */
typedef struct open_row {
  int64_t ends[MOST_DEPTH];
  int64_t last; /* start of the event placed last: starts in a row never go back */
  int depth;
  int row; /* index in view->rows */
} open_row;

static int by_row(const void *a, const void *b) {
  const th__trace_event *x = a, *y = b;
  if (x->key != y->key) return x->key < y->key ? -1 : 1;
  if (x->started != y->started) return x->started < y->started ? -1 : 1;
  if (x->finished != y->finished) return x->finished > y->finished ? -1 : 1;
  return x->id < y->id ? -1 : x->id > y->id;
}

static int by_time(const void *a, const void *b) {
  const th__trace_event *x = a, *y = b;
  if (x->started != y->started) return x->started < y->started ? -1 : 1;
  if (x->row != y->row) return x->row < y->row ? -1 : 1;
  return x->depth < y->depth ? -1 : x->depth > y->depth;
}

static int samples_by_time(const void *a, const void *b) {
  const th__trace_sample *x = a, *y = b;
  return x->at < y->at ? -1 : x->at > y->at;
}

static bool is_lane(uint64_t key) { return key >> 56 == 0 && (uint32_t)key >= TH__TRACE_LANES; }

static bool is_host(uint64_t key) { return key >> 56 == 1; }

/* What the row shows, in words. host = number of the host thread. */
static void name_row(th__trace_row *row, int host) {
  size_t size = sizeof(row->lane);
  static const char *const parts[] = {"ranges", "host", "waits", "host"};
  const char *suffix = "";
  if (is_host(row->key)) {
    row->kind = parts[row->key & 3];
    if ((row->key & 3) != TH__TRACE_OPS) suffix = row->kind;
    snprintf(row->lane, size, "host thread %d", host);
  } else {
    int kind = (int)(row->key >> 40 & 0xff), device = (int)(row->key >> 32 & 0xff);
    uint32_t lane = (uint32_t)row->key;
    const th__device_ops *ops = th__device_kind_ops(kind);
    row->kind = lane >= TH__TRACE_LANES ? "lane" : "worker";
    snprintf(row->lane, size, "%.24s:%d %s %u", ops == NULL ? "device" : ops->name, device,
             row->kind, lane >= TH__TRACE_LANES ? lane - TH__TRACE_LANES : lane);
  }
  char extra[16] = "";
  if (row->sub > 0) snprintf(extra, sizeof(extra), " (%d)", row->sub + 1);
  snprintf(row->label, sizeof(row->label), "%s%s%s%s", row->lane, suffix[0] != 0 ? " " : "", suffix,
           extra);
}

/* True, with the stack popped to time start, when [start, end] nests in the row or follows all it holds. */
static bool fits(open_row *o, int64_t start, int64_t end) {
  if (start < o->last) return false;
  while (o->depth > 0 && o->ends[o->depth - 1] <= start) o->depth--;
  return o->depth == 0 || (o->depth < MOST_DEPTH && end <= o->ends[o->depth - 1]);
}

typedef struct layout { /* of the events of one key */
  th__trace_view *view;
  open_row *open;
  int n_open, capacity;
  int host;
} layout;

/* Adds a row for the key. NULL when out of memory. */
static open_row *add_row(layout *l, uint64_t key) {
  if (l->n_open == l->capacity) {
    int more = l->capacity == 0 ? 8 : l->capacity * 2;
    open_row *grown = th__resize(l->open, (size_t)more * sizeof(*grown));
    if (grown == NULL) return NULL;
    l->open = grown;
    l->capacity = more;
  }
  th__trace_view *v = l->view;
  th__trace_row *rows = th__resize(v->rows, (v->n_rows + 1) * sizeof(*rows));
  if (rows == NULL) return NULL;
  v->rows = rows;
  rows[v->n_rows] = (th__trace_row){.key = key, .sub = l->n_open};
  name_row(&rows[v->n_rows], l->host);
  open_row *o = &l->open[l->n_open++];
  o->depth = 0;
  o->last = 0;
  o->row = (int)v->n_rows++;
  return o;
}

/* Finds or makes the row of an event; when there are too many rows the event loses what overlaps in the last one. */
static th_status place(layout *l, th__trace_event *e) {
  open_row *o = NULL;
  for (int i = 0; i < l->n_open && o == NULL; i++)
    if (fits(&l->open[i], e->started, e->finished)) o = &l->open[i];
  if (o == NULL && l->n_open < MOST_SUBS && (o = add_row(l, e->key)) == NULL) return TH_ENOMEM;
  if (o == NULL) {
    o = &l->open[l->n_open - 1];
    if (e->started < o->last) e->started = o->last;
    while (o->depth > 0 && o->ends[o->depth - 1] <= e->started) o->depth--;
    bool nests = o->depth > 0 && o->depth < MOST_DEPTH;
    if (nests && e->finished > o->ends[o->depth - 1]) e->finished = o->ends[o->depth - 1];
    if (e->finished < e->started || o->depth == MOST_DEPTH) e->finished = e->started;
  }
  e->row = o->row;
  e->depth = o->depth;
  o->last = e->started;
  if (o->depth < MOST_DEPTH) o->ends[o->depth++] = e->finished;
  return TH_OK;
}

th_status th__trace_layout(th__trace_view *view) {
  layout l = {.view = view, .host = -1};
  th_status status = TH_OK;
  qsort(view->events, view->n_events, sizeof(*view->events), by_row);
  uint64_t key = 0;
  int64_t lane_free = 0; /* when the work before this event left its lane */
  for (size_t i = 0; i < view->n_events && status == TH_OK; i++) {
    th__trace_event *e = &view->events[i];
    if (i == 0 || e->key != key) {
      l.n_open = 0;
      lane_free = 0;
      if (is_host(e->key) && (i == 0 || e->key >> 2 != key >> 2)) l.host++;
      key = e->key;
    }
    if (is_lane(key)) { /* issued early, but a lane does one thing at a time */
      if (e->started < lane_free) e->started = lane_free < e->finished ? lane_free : e->finished;
      lane_free = e->finished > lane_free ? e->finished : lane_free;
    }
    status = place(&l, e);
  }
  th__free(l.open);
  qsort(view->events, view->n_events, sizeof(*view->events), by_time);
  qsort(view->samples, view->n_samples, sizeof(*view->samples), samples_by_time);
  return status;
}

th_status th__trace_view_make(th__trace_view *out) {
  *out = (th__trace_view){0};
  TH_TRY(th__trace_collect(out));
  return th__trace_layout(out);
}

void th__trace_view_free(th__trace_view *view) {
  th__free(view->events);
  th__free(view->pairs);
  th__free(view->samples);
  th__free(view->rows);
  th__free((void *)view->names);
  *view = (th__trace_view){0};
}

const char *th__trace_time_text(int64_t ns, char *buffer, size_t bytes) {
  static const struct {
    int64_t below, unit;
    const char *name;
  } scales[] = {{1000000, 1000, "us"}, {1000000000, 1000000, "ms"}, {INT64_MAX, 1000000000, "s"}};
  if (ns < 1000) {
    snprintf(buffer, bytes, "%d ns", (int)ns);
    return buffer;
  }
  int i = 0;
  while (ns >= scales[i].below) i++;
  int64_t hundredths = ns / (scales[i].unit / 100);
  if (hundredths < 1000) {
    snprintf(buffer, bytes, "%d.%02d %s", (int)(hundredths / 100), (int)(hundredths % 100),
             scales[i].name);
  } else {
    snprintf(buffer, bytes, "%lld.%d %s", (long long)(hundredths / 100),
             (int)(hundredths / 10 % 10), scales[i].name);
  }
  return buffer;
}
