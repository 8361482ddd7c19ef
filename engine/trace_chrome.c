/* Owns the Chrome trace event format: JSON that ui.perfetto.dev and chrome://tracing read. Works on a view, under no lock. */
#include <stdlib.h>
#include <string.h>
#include <errno.h>

#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/device.h"
#include "engine/trace_view.h"

/* What comes out when; entries are written in the order of time. */
typedef enum item_kind {
  ITEM_EVENT,
  ITEM_FLOW_BEGIN,
  ITEM_FLOW_END,
  ITEM_SAMPLE,
  ITEM_PENDING, /* and the other series, in the order of `series` */
  ITEM_READY,
  ITEM_RUNNING,
  ITEM_BYTES
} item_kind;

enum { SERIES = ITEM_BYTES - ITEM_PENDING + 1 };
static const char *const series[SERIES] = {"run-ahead", "ready", "in flight",
                                           "bytes of the run-ahead"};

typedef struct item {
  int64_t at;
  uint64_t index; /* event, flow number, sample, or value of a series */
  uint32_t event; /* flows: the event at this end */
  uint8_t kind;
} item;

typedef struct id_entry { /* finds tasks by id */
  uint64_t id;
  uint32_t event;
} id_entry;

static int by_id(const void *a, const void *b) {
  const id_entry *x = a, *y = b;
  return x->id < y->id ? -1 : x->id > y->id;
}

static int by_at(const void *a, const void *b) {
  const item *x = a, *y = b;
  if (x->at != y->at) return x->at < y->at ? -1 : 1;
  if (x->kind != y->kind) return x->kind < y->kind ? -1 : 1;
  return x->index < y->index ? -1 : x->index > y->index;
}

/* --- text --- */

/* Length of the valid UTF-8 sequence at s, 0 if there is none. */
static int utf8_length(const unsigned char *s) {
  static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  int n = s[0] < 0x80 ? 1 : s[0] >= 0xc0 && s[0] < 0xe0 ? 2 : s[0] >= 0xe0 && s[0] < 0xf0 ? 3 : 4;
  if (n == 1) return 1;
  if (s[0] < 0xc0 || s[0] >= 0xf8) return 0;
  uint32_t code = s[0] & (0x7fu >> n);
  for (int i = 1; i < n; i++) {
    if ((s[i] & 0xc0) != 0x80) return 0; /* the terminator stops here, too */
    code = code << 6 | (s[i] & 0x3fu);
  }
  bool surrogate = code >= 0xd800 && code < 0xe000;
  return code < least[n] || code > 0x10ffff || surrogate ? 0 : n;
}

/* Writes a JSON string; bytes that are not UTF-8 become U+FFFD. */
static void put_string(FILE *out, const char *text) {
  putc('"', out);
  for (const unsigned char *s = (const unsigned char *)text; *s != 0;) {
    int n = utf8_length(s);
    if (n == 0) {
      fputs("\\ufffd", out);
      n = 1;
    } else if (*s == '"' || *s == '\\') {
      fprintf(out, "\\%c", *s);
    } else if (*s < 0x20 || *s == 0x7f) {
      fprintf(out, "\\u%04x", *s);
    } else {
      fwrite(s, 1, (size_t)n, out);
    }
    s += n;
  }
  putc('"', out);
}

/* Microseconds with three decimals, in any locale. */
static void put_us(FILE *out, const char *key, int64_t ns) {
  fprintf(out, ",\"%s\":%lld.%03d", key, (long long)(ns / 1000), (int)(ns % 1000));
}

/* --- items --- */

static int pairs_by_to(const void *a, const void *b) {
  const th__trace_pair *x = a, *y = b;
  if (x->to != y->to) return x->to < y->to ? -1 : 1;
  return x->from < y->from ? -1 : x->from > y->from;
}

/* Index of the first edge into a task, or of whatever comes behind; the edges are sorted by their ends. */
static size_t first_pair(const th__trace_view *v, uint64_t to) {
  size_t low = 0, high = v->n_pairs;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (v->pairs[middle].to < to) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

/* Thousandths, in any locale. */
static void put_rate(FILE *out, const char *key, int64_t amount, int64_t ns) {
  double rate = ns > 0 ? (double)amount / (double)ns : 0;
  int64_t thousandths = rate < 1e15 ? (int64_t)(rate * 1000 + 0.5) : 0;
  fprintf(out, ",\"%s\":%lld.%03d", key, (long long)(thousandths / 1000),
          (int)(thousandths % 1000));
}

/* What the task did, as far as it is known. */
static void put_work(FILE *out, const th__trace_view *v, const th__trace_event *e) {
  if (e->moved >= 0) {
    fprintf(out, ",\"flops\":%lld,\"moved\":%lld", (long long)e->flops, (long long)e->moved);
    put_rate(out, "gflops", e->flops, e->ended - e->began);
    put_rate(out, "gbs", e->moved, e->ended - e->began);
  }
  if (e->note < v->n_names) {
    fputs(",\"note\":", out);
    put_string(out, v->names[e->note]);
  }
  if (e->starved >= 0) fprintf(out, ",\"starved\":%lld", (long long)e->starved);
  if (e->copies) fputs(",\"copies\":true", out);
}

/* Everything a reader of the file cannot get from where the slice lies. */
static void put_task(FILE *out, const th__trace_view *v, const th__trace_event *e) {
  static const char *const statuses[] = {"ok", "failed", "skipped"};
  fprintf(out, ",\"args\":{\"id\":%llu", (unsigned long long)e->id);
  put_us(out, "blocked_us", e->ready - e->submitted);
  put_us(out, "queue_us", e->began - e->ready);
  fprintf(out, ",\"reads\":%d,\"writes\":%d,\"bytes\":%lld,\"status\":\"%s\"", e->n_reads,
          e->n_writes, (long long)e->bytes, e->status < 3 ? statuses[e->status] : "unknown");
  fprintf(out, ",\"ns\":[%lld,%lld,%lld,%lld]", (long long)e->submitted, (long long)e->ready,
          (long long)e->began, (long long)e->ended);
  put_work(out, v, e);
  const th__device_ops *ops = th__device_kind_ops(e->device_kind);
  if (strcmp(v->rows[e->row].kind, "host") == 0 && ops != NULL)
    fprintf(out, ",\"device\":\"%.24s:%d\"", ops->name, e->device_index);
  size_t first = first_pair(v, e->id), i = first;
  for (; i < v->n_pairs && v->pairs[i].to == e->id; i++)
    fprintf(out, "%s%llu", i == first ? ",\"after\":[" : ",", (unsigned long long)v->pairs[i].from);
  fputs(i > first ? "]}" : "}", out);
}

static void put_event(FILE *out, const th__trace_view *v, const th__trace_event *e) {
  fprintf(out, "{\"ph\":\"X\",\"pid\":1,\"tid\":%d", e->row + 1);
  put_us(out, "ts", e->started);
  put_us(out, "dur", e->finished - e->started);
  static const char *const categories[] = {"op", "wait", "counter",
                                           "range"}; /* ORDER th__trace_kind */
  fprintf(out, ",\"cat\":\"%s\",\"name\":", categories[e->kind]);
  put_string(out, v->names[e->name]);
  if (e->kind == TH__TRACE_TASK) put_task(out, v, e);
  putc('}', out);
}

static void put_item(FILE *out, const th__trace_view *v, const item *it) {
  switch ((item_kind)it->kind) {
  case ITEM_EVENT: put_event(out, v, &v->events[it->index]); return;
  case ITEM_FLOW_BEGIN:
  case ITEM_FLOW_END:
    fprintf(out, "{\"ph\":\"%s,\"pid\":1,\"tid\":%d,\"id\":%llu,\"cat\":\"dep\",\"name\":\"dep\"",
            it->kind == ITEM_FLOW_BEGIN ? "s\"" : "f\",\"bp\":\"e\"", v->events[it->event].row + 1,
            (unsigned long long)it->index);
    break;
  case ITEM_SAMPLE:
    fputs("{\"ph\":\"C\",\"pid\":1,\"tid\":0,\"name\":", out);
    put_string(out, v->names[v->samples[it->index].name]);
    fprintf(out, ",\"args\":{\"value\":%lld}", (long long)v->samples[it->index].value);
    break;
  case ITEM_PENDING:
  case ITEM_READY:
  case ITEM_RUNNING:
  case ITEM_BYTES:
    fprintf(out, "{\"ph\":\"C\",\"pid\":1,\"tid\":0,\"name\":\"%s\",\"args\":{\"value\":%lld}",
            series[it->kind - ITEM_PENDING], (long long)it->index);
    break;
  }
  put_us(out, "ts", it->at);
  putc('}', out);
}

/* One pair of flow items per edge whose two tasks are in the trace; the arrow leaves inside the producer and enters where the
 * consumer starts. */
static size_t add_flows(const th__trace_view *v, item *items, id_entry *ids) {
  size_t n_ids = 0, n = 0;
  for (size_t i = 0; i < v->n_events; i++)
    if (v->events[i].kind == TH__TRACE_TASK)
      ids[n_ids++] = (id_entry){v->events[i].id, (uint32_t)i};
  qsort(ids, n_ids, sizeof(*ids), by_id);
  for (size_t i = 0; i < v->n_pairs; i++) {
    id_entry from_key = {.id = v->pairs[i].from}, to_key = {.id = v->pairs[i].to};
    const id_entry *from = bsearch(&from_key, ids, n_ids, sizeof(*ids), by_id);
    const id_entry *to = bsearch(&to_key, ids, n_ids, sizeof(*ids), by_id);
    if (from == NULL || to == NULL) continue;
    const th__trace_event *f = &v->events[from->event], *t = &v->events[to->event];
    int64_t leaves = f->finished - f->started > 1 ? f->finished - 1 : f->started;
    int64_t enters = t->started > leaves ? t->started : leaves; /* no arrow goes back in time */
    items[n++] = (item){leaves, i, from->event, ITEM_FLOW_BEGIN};
    items[n++] = (item){enters, i, to->event, ITEM_FLOW_END};
  }
  return n;
}

typedef struct change { /* of a series */
  int64_t at, by;
} change;

static int changes_by_at(const void *a, const void *b) {
  const change *x = a, *y = b;
  if (x->at != y->at) return x->at < y->at ? -1 : 1;
  return x->by > y->by ? -1 : x->by < y->by; /* up first, so that no count goes below zero */
}

/* Between which stamps a task counts in a series, and as how many. */
static void span_of(const th__trace_event *e, item_kind kind, int64_t *from, int64_t *to,
                    int64_t *by) {
  *from = kind == ITEM_READY ? e->ready : kind == ITEM_RUNNING ? e->started : e->submitted;
  *to = kind == ITEM_READY ? e->began : e->finished;
  *by = kind == ITEM_BYTES ? e->bytes : 1;
}

/* A series out of the tasks' stamps, thinned to about 20,000 values. */
static size_t add_series(const th__trace_view *v, item *items, change *changes, item_kind kind) {
  size_t n_changes = 0, n = 0;
  for (size_t i = 0; i < v->n_events; i++) {
    const th__trace_event *e = &v->events[i];
    int64_t from, to, by;
    if (e->kind != TH__TRACE_TASK) continue;
    span_of(e, kind, &from, &to, &by);
    if (by <= 0) continue;
    changes[n_changes++] = (change){from, by};
    changes[n_changes++] = (change){to, -by};
  }
  if (n_changes > 0) qsort(changes, n_changes, sizeof(*changes), changes_by_at);
  int64_t step = n_changes == 0 ? 0 : (changes[n_changes - 1].at - changes[0].at) / 20000;
  int64_t value = 0, next = 0;
  for (size_t i = 0; i < n_changes; i++) {
    value += changes[i].by;
    bool last = i + 1 == n_changes;
    if (!last && (changes[i + 1].at == changes[i].at || changes[i].at < next)) continue;
    items[n++] = (item){changes[i].at, (uint64_t)value, 0, (uint8_t)kind};
    next = changes[i].at + step;
  }
  return n;
}

static size_t add_all(const th__trace_view *v, item *items, id_entry *ids, change *changes) {
  size_t n = 0;
  for (size_t i = 0; i < v->n_events; i++)
    items[n++] = (item){v->events[i].started, i, 0, ITEM_EVENT};
  for (size_t i = 0; i < v->n_samples; i++)
    items[n++] = (item){v->samples[i].at, i, 0, ITEM_SAMPLE};
  n += add_flows(v, items + n, ids);
  for (int k = ITEM_PENDING; k <= ITEM_BYTES && (v->what & TH_PROFILE_COUNTERS) != 0; k++)
    n += add_series(v, items + n, changes, (item_kind)k);
  qsort(items, n, sizeof(*items), by_at);
  return n;
}

/* The sums of memory: events of single blocks would say little in this format. */
static void put_memory(FILE *out, const th__trace_view *v) {
  for (size_t i = 0; i < v->n_tags; i++) {
    const th__trace_tag *t = &v->tags[i];
    const th__device_ops *ops = th__device_kind_ops(t->device_kind);
    fprintf(out, "%s{\"device\":\"%.24s:%d\",\"tag\":", i == 0 ? ",\n\"memory\":[" : ",\n",
            ops == NULL ? "device" : ops->name, t->device_index);
    put_string(out, v->names[t->name]);
    fprintf(out, ",\"count\":%llu,\"taken\":%lld,\"at_peak\":%lld,\"peak\":%lld,\"peak_ns\":%lld}",
            (unsigned long long)t->count, (long long)t->taken, (long long)t->live,
            (long long)t->peak, (long long)t->peak_at);
  }
  if (v->n_tags > 0) putc(']', out);
}

static void put_head(FILE *out, const th__trace_view *v) {
  fprintf(out,
          "{\"displayTimeUnit\":\"ns\",\"otherData\":{\"version\":\"%d.%d.%d\",\"dropped\":%llu",
          TH_VERSION_MAJOR, TH_VERSION_MINOR, TH_VERSION_PATCH, (unsigned long long)v->dropped);
  put_memory(out, v);
  fputs("},\n\"traceEvents\":[\n{\"ph\":\"M\",\"pid\":1,\"tid\":0,\"name\":\"process_name\","
        "\"args\":{\"name\":\"thrum\"}}",
        out);
  for (size_t i = 0; i < v->n_rows; i++) {
    fprintf(out,
            ",\n{\"ph\":\"M\",\"pid\":1,\"tid\":%zu,\"name\":\"thread_name\",\"args\":{\"name\":",
            i + 1);
    put_string(out, v->rows[i].label);
    fprintf(out, ",\"kind\":\"%s\",\"lane\":", v->rows[i].kind);
    put_string(out, v->rows[i].lane);
    fprintf(out,
            "}},\n{\"ph\":\"M\",\"pid\":1,\"tid\":%zu,\"name\":\"thread_sort_index\","
            "\"args\":{\"sort_index\":%zu}}",
            i + 1, i + 1);
  }
}

th_status th__trace_write_chrome(const th__trace_view *v, FILE *out) {
  th_status status = TH_OK;
  size_t most = v->n_events * (1 + 2 * SERIES) + v->n_samples + v->n_pairs * 2 + 1;
  item *items = th__alloc(most * sizeof(*items));
  id_entry *ids = th__alloc((v->n_events + 1) * sizeof(*ids));
  change *changes = th__alloc((v->n_events * 2 + 1) * sizeof(*changes));
  if (items == NULL || ids == NULL || changes == NULL) {
    status = th__fail(TH_ENOMEM, "th_profile: no memory to write %zu events", v->n_events);
    goto done;
  }
  qsort(v->pairs, v->n_pairs, sizeof(*v->pairs), pairs_by_to);
  size_t n = add_all(v, items, ids, changes);
  put_head(out, v);
  for (size_t i = 0; i < n; i++) {
    fputs(",\n", out);
    put_item(out, v, &items[i]);
  }
  fputs("\n]}\n", out);
  if (fflush(out) != 0 || ferror(out))
    status = th__fail(TH_EIO, "th_profile: cannot write the trace: %s", strerror(errno));
done:
  th__free(items);
  th__free(ids);
  th__free(changes);
  return status;
}
