/* Owns the picture of a trace: which row each event takes, and the rows' names. Works on a copy, so it needs no lock. */
#include "engine/trace_view.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/parts.h"

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

static int by_value(const void *a, const void *b) {
  const uint64_t *x = a, *y = b;
  return (*x > *y) - (*x < *y);
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

/* Workers of open pools have rows even when they had nothing to do. Returns their keys, in order. NULL when out of memory. */
static uint64_t *keys_of_workers(size_t *n) {
  *n = 0;
  uint32_t phase = th__load(&th__the.phase, TH__ACQUIRE);
  bool on = phase == TH__PHASE_ON || phase == TH__PHASE_EXITING;
  uint32_t n_devices = on ? th__load(&th__the.n_devices, TH__ACQUIRE) : 0;
  uint64_t *keys = th__alloc((n_devices * TH__MAX_WORKERS + 1) * sizeof(*keys));
  for (uint32_t i = 0; i < n_devices && keys != NULL; i++) {
    const th__pool_device *d = th__load(&th__the.devices[i], TH__ACQUIRE);
    int n_workers = d == NULL ? 0 : d->n_workers > 0 ? d->n_workers : d->n_ended;
    for (int w = 0; w < n_workers && w < TH__MAX_WORKERS; w++)
      keys[(*n)++] = th__trace_key(d->id.kind, d->id.index, w);
  }
  if (*n > 0) qsort(keys, *n, sizeof(*keys), by_value);
  return keys;
}

/* Rows for workers whose keys come before `key`; *next is the first that has none yet. */
static bool add_idle_rows(layout *l, const uint64_t *keys, size_t n, size_t *next, uint64_t key) {
  for (; *next < n && keys[*next] < key; ++*next) {
    l->n_open = 0;
    if (add_row(l, keys[*next]) == NULL) return false;
  }
  if (*next < n && keys[*next] == key) ++*next;
  l->n_open = 0;
  return true;
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
  size_t n_workers, next = 0;
  uint64_t key = 0, *workers = keys_of_workers(&n_workers);
  if (workers == NULL) return TH_ENOMEM;
  qsort(view->events, view->n_events, sizeof(*view->events), by_row);
  int64_t lane_free = 0; /* when the work before this event left its lane */
  for (size_t i = 0; i < view->n_events && status == TH_OK; i++) {
    th__trace_event *e = &view->events[i];
    if (i == 0 || e->key != key) {
      if (!add_idle_rows(&l, workers, n_workers, &next, e->key)) status = TH_ENOMEM;
      lane_free = 0;
      if (is_host(e->key) && (i == 0 || e->key >> 2 != key >> 2)) l.host++;
      key = e->key;
    }
    if (is_lane(key)) { /* issued early, but a lane does one thing at a time */
      if (e->started < lane_free) e->started = lane_free < e->finished ? lane_free : e->finished;
      lane_free = e->finished > lane_free ? e->finished : lane_free;
    }
    if (status == TH_OK) status = place(&l, e);
  }
  if (status == TH_OK && !add_idle_rows(&l, workers, n_workers, &next, UINT64_MAX))
    status = TH_ENOMEM;
  th__free(workers);
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
  th__free(view->tags);
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
