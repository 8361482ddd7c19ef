/* Owns the aggregate table of a trace: one line per operation name. Works on a view, under no lock. */
#include <stdlib.h>
#include <string.h>

#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/device.h"
#include "engine/trace_view.h"

enum { NAME_WIDTH = 32 };

typedef struct line {
  uint32_t name;
  uint64_t count;
  int64_t total, p50, p99, most, queued;
  double flops, moved, known; /* known: ns of the tasks that told what they do */
} line;

typedef struct duration {
  uint32_t name;
  int64_t ns;
} duration;

static int by_name_and_length(const void *a, const void *b) {
  const duration *x = a, *y = b;
  if (x->name != y->name) return x->name < y->name ? -1 : 1;
  return x->ns < y->ns ? -1 : x->ns > y->ns;
}

static int by_total(const void *a, const void *b) {
  const line *x = a, *y = b;
  if (x->total != y->total) return x->total > y->total ? -1 : 1;
  if (x->count != y->count) return x->count > y->count ? -1 : 1;
  return x->name < y->name ? -1 : x->name > y->name;
}

/* A name that cannot disturb a terminal or the columns. */
static void plain_name(const char *name, char out[NAME_WIDTH + 1]) {
  size_t n = strnlen(name, NAME_WIDTH);
  for (size_t i = 0; i < n; i++) {
    unsigned char c = (unsigned char)name[i];
    out[i] = c < 0x20 || c >= 0x7f ? '?' : (char)c;
  }
  out[n] = 0;
}

/* Per ns, with two decimals in any locale; "-" where nothing is known. */
static void put_rate(FILE *out, double amount, double ns) {
  double hundredths = ns > 0 ? amount / ns * 100 + 0.5 : 0;
  if (hundredths < 1 || hundredths > 1e12) {
    fprintf(out, " %9s", "-");
    return;
  }
  char text[32];
  snprintf(text, sizeof(text), "%lld.%02d", (long long)hundredths / 100,
           (int)((long long)hundredths % 100));
  fprintf(out, " %9s", text);
}

static void put_line(FILE *out, const th__trace_view *v, const line *l, int width, int64_t all) {
  char name[NAME_WIDTH + 1], text[6][32];
  plain_name(v->names[l->name], name);
  int64_t count = (int64_t)l->count;
  int64_t times[] = {l->total, l->total / count, l->p50, l->p99, l->most, l->queued / count};
  for (int i = 0; i < 6; i++) th__trace_time_text(times[i], text[i], sizeof(text[i]));
  int64_t share = all == 0 ? 0 : (int64_t)((double)l->total * 1000 / (double)all + 0.5);
  fprintf(out, "%-*s %9llu %10s %10s %10s %10s %10s %10s %4d.%d%%", width, name,
          (unsigned long long)l->count, text[0], text[1], text[2], text[3], text[4], text[5],
          (int)(share / 10), (int)(share % 10));
  put_rate(out, l->flops, l->known);
  put_rate(out, l->moved, l->known);
  putc('\n', out);
}

/* Sums up by name; lines has a place for every name, all for every event. Returns the sum of all times. */
static int64_t sum_up(const th__trace_view *v, line *lines, duration *all) {
  int64_t total = 0;
  size_t n = 0;
  for (size_t i = 0; i < v->n_events; i++) {
    const th__trace_event *e = &v->events[i];
    if (e->kind != TH__TRACE_TASK) continue;
    all[n++] = (duration){e->name, e->finished - e->started};
    lines[e->name].queued += e->started - e->ready;
    if (e->moved >= 0) {
      lines[e->name].flops += (double)e->flops;
      lines[e->name].moved += (double)e->moved;
      lines[e->name].known += (double)(e->finished - e->started);
    }
    total += e->finished - e->started;
  }
  if (n > 0) qsort(all, n, sizeof(*all), by_name_and_length);
  for (size_t first = 0, end; first < n; first = end) {
    line *l = &lines[all[first].name];
    for (end = first; end < n && all[end].name == all[first].name; end++) l->total += all[end].ns;
    l->count = end - first;
    l->p50 = all[first + (l->count - 1) / 2].ns; /* the least that half of them do not exceed */
    l->p99 = all[first + (l->count * 99 + 99) / 100 - 1].ns;
    l->most = all[end - 1].ns;
  }
  return total;
}

static void put_foot(FILE *out, const th__trace_view *v) {
  uint64_t tasks = 0, failed = 0, skipped = 0;
  int64_t first = INT64_MAX, last = 0;
  for (size_t i = 0; i < v->n_events; i++) {
    const th__trace_event *e = &v->events[i];
    if (e->kind != TH__TRACE_TASK) continue;
    tasks++;
    failed += e->status == TH__TRACE_FAILED;
    skipped += e->status == TH__TRACE_SKIPPED;
    if (e->started < first) first = e->started;
    if (e->finished > last) last = e->finished;
  }
  char span[32];
  fprintf(out, "%llu tasks in %s", (unsigned long long)tasks,
          th__trace_time_text(tasks == 0 ? 0 : last - first, span, sizeof(span)));
  if (failed > 0) fprintf(out, ", %llu failed", (unsigned long long)failed);
  if (skipped > 0) fprintf(out, ", %llu skipped", (unsigned long long)skipped);
  if (v->dropped > 0) fprintf(out, ", %llu records dropped", (unsigned long long)v->dropped);
  putc('\n', out);
}

static void put_table(FILE *out, const th__trace_view *v, line *lines, duration *durations) {
  int64_t all = sum_up(v, lines, durations);
  size_t n = 0;
  int width = (int)strlen("operation");
  for (size_t i = 0; i < v->n_names; i++) {
    if (lines[i].count == 0) continue;
    lines[n] = lines[i];
    lines[n++].name = (uint32_t)i;
    int length = (int)strnlen(v->names[i], NAME_WIDTH);
    if (length > width) width = length;
  }
  qsort(lines, n, sizeof(*lines), by_total);
  fprintf(out, "%-*s %9s %10s %10s %10s %10s %10s %10s %7s %9s %9s\n", width, "operation", "count",
          "total", "mean", "p50", "p99", "max", "queued", "share", "GFLOP/s", "GB/s");
  for (size_t i = 0; i < n; i++) put_line(out, v, &lines[i], width, all);
  put_foot(out, v);
}

/* Bytes in a unit that fits, with one decimal in any locale. */
static const char *bytes_text(int64_t bytes, char *out, size_t room) {
  static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
  int unit = -1;
  int64_t tenths = bytes < INT64_MAX / 10 ? bytes * 10 : INT64_MAX;
  while (tenths >= 10240 && unit < 3) {
    tenths /= 1024;
    unit++;
  }
  if (unit < 0) {
    snprintf(out, room, "%lld B", (long long)bytes);
  } else {
    snprintf(out, room, "%lld.%d %s", (long long)(tenths / 10), (int)(tenths % 10), units[unit]);
  }
  return out;
}

/* Who held the memory of each device when that held most, and how much each took in all. */
static void put_memory(FILE *out, const th__trace_view *v) {
  char name[NAME_WIDTH + 1], text[2][32];
  for (size_t i = 0; i < v->n_tags; i++) {
    const th__trace_tag *t = &v->tags[i];
    bool first =
        i == 0 || t->device_kind != t[-1].device_kind || t->device_index != t[-1].device_index;
    if (first) {
      const th__device_ops *ops = th__device_kind_ops(t->device_kind);
      fprintf(out, "\nmemory of %.24s:%d: at most %s, at %s\n", ops == NULL ? "device" : ops->name,
              t->device_index, bytes_text(t->peak, text[0], sizeof(text[0])),
              th__trace_time_text(t->peak_at, text[1], sizeof(text[1])));
      fprintf(out, "%-*s %9s %12s %12s\n", NAME_WIDTH, "taken by", "blocks", "in all", "then");
    }
    plain_name(v->names[t->name], name);
    fprintf(out, "%-*s %9llu %12s %12s\n", NAME_WIDTH, name, (unsigned long long)t->count,
            bytes_text(t->taken, text[0], sizeof(text[0])),
            bytes_text(t->live, text[1], sizeof(text[1])));
  }
}

th_status th_profile_table(FILE *out) {
  if (out == NULL) return th__fail(TH_EINVAL, "th_profile_table: out is NULL");
  th__trace_view view;
  line *lines = NULL;
  duration *durations = NULL;
  th_status status = th__trace_view_make(&view);
  if (status != TH_OK) goto done;
  lines = th__zalloc(view.n_names * sizeof(*lines));
  durations = th__alloc((view.n_events + 1) * sizeof(*durations));
  if (lines == NULL || durations == NULL) {
    status = TH_ENOMEM;
    goto done;
  }
  put_table(out, &view, lines, durations);
  put_memory(out, &view);
  if (fflush(out) != 0 || ferror(out)) status = th__fail(TH_EIO, "th_profile_table: cannot write");
done:
  th__free(lines);
  th__free(durations);
  th__trace_view_free(&view);
  return status;
}
