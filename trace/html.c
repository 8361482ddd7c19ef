/* Owns the HTML page: fills the page of trace/page, which CMake put into the program, with the data of a trace. Numbers go as
 * columns of the smallest type that holds them all, in base64, so that 100,000 ops are a few megabytes and load at once. */
#include "trace/html.h"

#include <stdlib.h>
#include <string.h>

#include "trace/page.h"
#include "trace/report.h"
#include "trace/text.h"

typedef struct page {
  const trace *t;
  const figures *f;
  FILE *out;
  uint32_t *
      order; /* [n_ops] indexes of ops by (row, depth, begin): what lies in a line of the picture follows each other */
  uint32_t *place; /* [n_ops] the inverse */
  int *hues;       /* [n_names] */
  trace_sample *counters;
  size_t n_counters;
} page;

/* --- columns --- */

typedef int64_t getter(const page *p, size_t i);

typedef struct encoder { /* of base64 */
  FILE *out;
  uint32_t bits;
  int n;
} encoder;

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void put_byte(encoder *e, uint8_t byte) {
  e->bits = e->bits << 8 | byte;
  if (++e->n < 3) return;
  for (int shift = 18; shift >= 0; shift -= 6) putc(digits[e->bits >> shift & 63], e->out);
  e->bits = 0;
  e->n = 0;
}

static void put_end(encoder *e) {
  if (e->n == 0) return;
  uint32_t bits = e->bits << (e->n == 1 ? 16 : 8);
  for (int i = 0; i < 4; i++) putc(i <= e->n ? digits[bits >> (18 - 6 * i) & 63] : '=', e->out);
}

/* ,"key":{"type":"u4","data":"..."} of n values; little-endian whole numbers of 1, 2 or 4 bytes, or doubles. */
static void put_column(const page *p, const char *key, getter *get, size_t n) {
  int64_t least = 0, most = 0;
  for (size_t i = 0; i < n; i++) {
    int64_t value = get(p, i);
    if (value < least) least = value;
    if (value > most) most = value;
  }
  bool whole = least >= 0 && most <= UINT32_MAX;
  size_t bytes = !whole ? 8 : most > UINT16_MAX ? 4 : most > UINT8_MAX ? 2 : 1;
  fprintf(p->out, ",\n\"%s\":{\"type\":\"%s%zu\",\"data\":\"", key, whole ? "u" : "f", bytes);
  encoder e = {.out = p->out};
  for (size_t i = 0; i < n; i++) {
    int64_t value = get(p, i);
    uint64_t bits = (uint64_t)value;
    double number = (double)value;
    if (!whole) memcpy(&bits, &number, sizeof bits);
    for (size_t b = 0; b < bytes; b++) put_byte(&e, (uint8_t)(bits >> (8 * b)));
  }
  put_end(&e);
  fputs("\"}", p->out);
}

static const trace_op *op_at(const page *p, size_t i) { return &p->t->ops[p->order[i]]; }
static int64_t stamp_gap(const page *p, size_t i, int stamp) {
  return op_at(p, i)->stamps[stamp] - op_at(p, i)->stamps[stamp - 1];
}
static int64_t get_begin(const page *p, size_t i) { return op_at(p, i)->begin - p->f->begin; }
static int64_t get_length(const page *p, size_t i) { return op_at(p, i)->end - op_at(p, i)->begin; }
static int64_t get_late(const page *p, size_t i) {
  return op_at(p, i)->begin - op_at(p, i)->stamps[STAMP_STARTED];
}
static int64_t get_blocked(const page *p, size_t i) { return stamp_gap(p, i, STAMP_READY); }
static int64_t get_queued(const page *p, size_t i) { return stamp_gap(p, i, STAMP_STARTED); }
static int64_t get_ran(const page *p, size_t i) { return stamp_gap(p, i, STAMP_FINISHED); }
static int64_t get_name(const page *p, size_t i) { return op_at(p, i)->name; }
static int64_t get_bytes(const page *p, size_t i) { return op_at(p, i)->bytes; }
/* One more than the number, 0 where the trace does not say. */
static int64_t get_flops(const page *p, size_t i) { return trace_add(op_at(p, i)->flops, 1); }
static int64_t get_moved(const page *p, size_t i) { return trace_add(op_at(p, i)->moved, 1); }
static int64_t get_note(const page *p, size_t i) { return op_at(p, i)->note; }
static int64_t get_starved(const page *p, size_t i) {
  const trace_op *o = op_at(p, i);
  bool waited = o->starved >= 0 && o->starved < o->stamps[STAMP_STARTED];
  return waited ? o->stamps[STAMP_STARTED] - o->starved : 0;
}
static int64_t get_counter_name(const page *p, size_t i) { return p->counters[i].name; }
static int64_t get_counter_at(const page *p, size_t i) { return p->counters[i].at - p->f->begin; }
static int64_t get_counter_value(const page *p, size_t i) { return p->counters[i].value; }
static int64_t get_reads(const page *p, size_t i) { return op_at(p, i)->reads; }
static int64_t get_writes(const page *p, size_t i) { return op_at(p, i)->writes; }
static int64_t get_status(const page *p, size_t i) { return op_at(p, i)->status; }
static int64_t get_id(const page *p, size_t i) { return (int64_t)(op_at(p, i)->id & INT64_MAX); }
static int64_t get_n_after(const page *p, size_t i) { return op_at(p, i)->n_after; }
static int64_t get_path(const page *p, size_t i) { return p->place[p->f->path[i]]; }
static int64_t get_wait_row(const page *p, size_t i) { return p->t->waits[i].row; }
static int64_t get_wait_name(const page *p, size_t i) { return p->t->waits[i].name; }
static int64_t get_wait_begin(const page *p, size_t i) {
  return p->t->waits[i].begin - p->f->begin;
}
static int64_t get_wait_length(const page *p, size_t i) {
  return p->t->waits[i].end - p->t->waits[i].begin;
}
static int64_t get_range_row(const page *p, size_t i) { return p->t->ranges[i].row; }
static int64_t get_range_name(const page *p, size_t i) { return p->t->ranges[i].name; }
static int64_t get_range_begin(const page *p, size_t i) {
  return p->t->ranges[i].begin - p->f->begin;
}
static int64_t get_range_length(const page *p, size_t i) {
  return p->t->ranges[i].end - p->t->ranges[i].begin;
}

/* Places + 1 of the ops that ops waited for, in the order of the picture; 0 = not in the trace. */
static void put_after(const page *p) {
  encoder e = {.out = p->out};
  fputs(",\n\"after\":{\"type\":\"u4\",\"data\":\"", p->out);
  for (size_t i = 0; i < p->t->n_ops; i++) {
    const trace_op *o = op_at(p, i);
    for (size_t j = 0; j < o->n_after; j++) {
      int64_t before = p->t->waited[o->first_after + j];
      uint32_t value = before == TRACE_ABSENT ? 0 : p->place[before] + 1;
      for (int b = 0; b < 4; b++) put_byte(&e, (uint8_t)(value >> (8 * b)));
    }
  }
  put_end(&e);
  fputs("\"}", p->out);
}

static void put_columns(const page *p) {
  static const struct {
    const char *key;
    getter *get;
  } of_ops[] = {{"begin", get_begin},     {"length", get_length},  {"late", get_late},
                {"blocked", get_blocked}, {"queued", get_queued},  {"ran", get_ran},
                {"name", get_name},       {"bytes", get_bytes},    {"reads", get_reads},
                {"writes", get_writes},   {"status", get_status},  {"id", get_id},
                {"nAfter", get_n_after},  {"flops", get_flops},    {"moved", get_moved},
                {"note", get_note},       {"starved", get_starved}},
    of_waits[] = {{"waitRow", get_wait_row},
                  {"waitName", get_wait_name},
                  {"waitBegin", get_wait_begin},
                  {"waitLength", get_wait_length}},
    of_ranges[] = {{"rangeRow", get_range_row},
                   {"rangeName", get_range_name},
                   {"rangeBegin", get_range_begin},
                   {"rangeLength", get_range_length}},
    of_counters[] = {{"counterName", get_counter_name},
                     {"counterAt", get_counter_at},
                     {"counterValue", get_counter_value}};
  for (size_t i = 0; i < sizeof of_ops / sizeof *of_ops; i++)
    put_column(p, of_ops[i].key, of_ops[i].get, p->t->n_ops);
  for (size_t i = 0; i < 4; i++) put_column(p, of_waits[i].key, of_waits[i].get, p->t->n_waits);
  for (size_t i = 0; i < 4; i++) put_column(p, of_ranges[i].key, of_ranges[i].get, p->t->n_ranges);
  for (size_t i = 0; i < 3; i++)
    put_column(p, of_counters[i].key, of_counters[i].get, p->n_counters);
  put_column(p, "path", get_path, p->f->n_path);
  put_after(p);
}

/* --- objects --- */

static void put_names(const page *p) {
  for (size_t i = 0; i < p->t->n_names; i++) {
    fputs(i == 0 ? ",\n\"names\":[" : ",", p->out);
    text_json(p->out, p->t->names[i]);
  }
  for (size_t i = 0; i < p->t->n_names; i++)
    fprintf(p->out, "%s%d", i == 0 ? "],\n\"hues\":[" : ",", p->hues[i]);
  putc(']', p->out);
}

/* Lines of the picture: ops of one row and depth. */
static void put_tracks(const page *p) {
  fputs(",\n\"tracks\":[", p->out);
  for (size_t i = 0, next; i < p->t->n_ops; i = next) {
    const trace_op *o = op_at(p, i);
    next = i;
    while (next < p->t->n_ops && op_at(p, next)->row == o->row && op_at(p, next)->depth == o->depth)
      next++;
    fprintf(p->out, "%s[%u,%d,%zu,%zu]", i == 0 ? "" : ",", o->row, o->depth, i, next - i);
  }
  putc(']', p->out);
}

static void put_rows(const page *p) {
  static const char *const kinds[] = {"worker", "lane", "host", "waits", "ranges"};
  fputs(",\n\"rows\":[", p->out);
  for (size_t i = 0; i < p->t->n_rows; i++) {
    const trace_row *r = &p->t->rows[i];
    fprintf(p->out, "%s{\"label\":", i == 0 ? "" : ",");
    text_json(p->out, r->label);
    fprintf(p->out, ",\"kind\":\"%s\",\"lane\":%u,\"used\":%d}", kinds[r->kind], r->lane, r->used);
  }
  fputs("],\n\"lanes\":[", p->out);
  for (size_t i = 0; i < p->t->n_lanes; i++) {
    const lane_figures *l = &p->f->lanes[i];
    fprintf(p->out, "%s{\"label\":", i == 0 ? "" : ",");
    text_json(p->out, p->t->lanes[i].label);
    fprintf(p->out, ",\"kind\":\"%s\",\"ops\":%zu,\"busy\":%lld", kinds[p->t->lanes[i].kind],
            l->ops, (long long)l->busy);
    for (int c = 0; c < IDLE_CAUSES; c++)
      fprintf(p->out, "%s%lld", c == 0 ? ",\"idle\":[" : ",", (long long)l->idle[c]);
    fputs("]}", p->out);
  }
  putc(']', p->out);
}

static void put_table(const page *p, const char *key, const name_figures *lines, size_t n) {
  enum { MOST = 200 };
  fprintf(p->out, ",\n\"%s\":[", key);
  for (size_t i = 0; i < n && i < MOST; i++) {
    const name_figures *l = &lines[i];
    fprintf(p->out,
            "%s{\"name\":%u,\"count\":%zu,\"total\":%lld,\"p50\":%lld,\"p99\":%lld,\"max\":%lld,"
            "\"queued\":%lld,\"gflops\":%.6g,\"gbs\":%.6g}",
            i == 0 ? "" : ",\n", l->name, l->count, (long long)l->total, (long long)l->p50,
            (long long)l->p99, (long long)l->most, (long long)l->queued,
            figures_rate(l->flops, l->known), figures_rate(l->moved, l->known));
  }
  putc(']', p->out);
}

static void put_causes_and_memory(const page *p) {
  for (int c = 0; c < IDLE_CAUSES; c++) {
    fputs(c == 0 ? ",\n\"causes\":[" : ",", p->out);
    text_json(p->out, idle_texts[c]);
  }
  fputs("],\n\"memory\":[", p->out);
  for (size_t i = 0; i < p->t->n_memory; i++) {
    const trace_memory *m = &p->t->memory[i];
    fprintf(
        p->out,
        "%s{\"device\":%u,\"tag\":%u,\"count\":%llu,\"taken\":%lld,\"atPeak\":%lld,\"peak\":%lld,"
        "\"peakAt\":%lld}",
        i == 0 ? "" : ",", m->device, m->tag, (unsigned long long)m->count, (long long)m->taken,
        (long long)m->at_peak, (long long)m->peak, (long long)(m->peak_at - p->f->begin));
  }
  putc(']', p->out);
}

static void put_data(const page *p, const char *title) {
  const figures *f = p->f;
  fputs("{\"title\":", p->out);
  text_json(p->out, title);
  fprintf(p->out,
          ",\"ops\":%zu,\"wall\":%lld,\"from\":%lld,\"to\":%lld,\"critical\":%lld,\"sum\":%lld,"
          "\"waited\":%lld,\"edges\":%zu,"
          "\"lostEdges\":%zu,\"failed\":%zu,\"skipped\":%zu,\"dropped\":%llu,\"mostParallel\":%.3f",
          p->t->n_ops, (long long)(f->end - f->begin), (long long)(f->shown_begin - f->begin),
          (long long)(f->shown_end - f->begin), (long long)f->critical, (long long)f->sum,
          (long long)f->waited, f->n_edges, f->n_lost_edges, f->failed, f->skipped,
          (unsigned long long)p->t->dropped, f->most_parallel);
  for (int i = 0; i < FIGURES_SLICES; i++)
    fprintf(p->out, "%s%.3f", i == 0 ? ",\n\"parallel\":[" : ",", f->parallel[i]);
  putc(']', p->out);
  put_names(p);
  put_rows(p);
  put_tracks(p);
  put_table(p, "table", f->names, f->n_names);
  put_table(p, "waits", f->waits, f->n_waits);
  put_causes_and_memory(p);
  put_columns(p);
  fputs("}\n", p->out);
}

/* --- the page --- */

typedef struct sorted { /* an op on its way into the order of the picture */
  uint64_t line;        /* row and depth */
  uint32_t index;       /* of ops, which are in the order of time within a row */
} sorted;

static int by_line(const void *a, const void *b) {
  const sorted *x = a, *y = b;
  if (x->line != y->line) return x->line < y->line ? -1 : 1;
  return (x->index > y->index) - (x->index < y->index);
}

static bool make_order(page *p) {
  size_t n = p->t->n_ops;
  sorted *all = malloc((n + 1) * sizeof *all);
  p->order = malloc((n + 1) * sizeof *p->order);
  p->place = malloc((n + 1) * sizeof *p->place);
  bool ok = all != NULL && p->order != NULL && p->place != NULL;
  for (size_t i = 0; i < n && ok; i++)
    all[i] = (sorted){(uint64_t)p->t->ops[i].row << 16 | p->t->ops[i].depth, (uint32_t)i};
  if (ok) qsort(all, n, sizeof *all, by_line);
  for (size_t i = 0; i < n && ok; i++) {
    p->order[i] = all[i].index;
    p->place[all[i].index] = (uint32_t)i;
  }
  free(all);
  return ok;
}

bool html_write(const trace *t, const figures *f, const char *title, FILE *out) {
  page p = {.t = t, .f = f, .out = out};
  p.hues = calloc(t->n_names, sizeof *p.hues);
  p.counters = figures_counters(t, &p.n_counters);
  bool ok = make_order(&p) && p.hues != NULL && p.counters != NULL && report_hues(t, f, p.hues);
  const char *text = page_html;
  while (ok && *text != 0) {
    const char *mark = strchr(text, '@');
    size_t n = mark == NULL ? strlen(text) : (size_t)(mark - text);
    fwrite(text, 1, n, out);
    text += n;
    if (mark == NULL) break;
    if (strncmp(text, "@STYLE@", 7) == 0)
      fputs(page_css, out);
    else if (strncmp(text, "@SCRIPT@", 8) == 0)
      fputs(page_js, out);
    else if (strncmp(text, "@DATA@", 6) == 0)
      put_data(&p, title);
    else if (strncmp(text, "@TITLE@", 7) == 0)
      text_xml(out, title, 200);
    text = strchr(text + 1, '@');
    if (text == NULL) break;
    text++;
  }
  free(p.order);
  free(p.place);
  free(p.hues);
  free(p.counters);
  return ok;
}
