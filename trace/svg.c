/* Owns the picture of a window as SVG: small, the same bytes for the same trace, readable on light and on dark pages. */
#include <stdlib.h>
#include <string.h>

#include "trace/report.h"
#include "trace/text.h"

enum {
  LABEL = 150,
  MARGIN = 10,
  AXIS = 26,
  LEGEND = 26,
  MOST_LEGEND = 16,
  BAR = 22,
  STEP = 30,
  WAIT = 8,      /* height of a host wait */
  CHARACTER = 7, /* width, about */
  MOST_IDLE_ROWS = 24,
  MOST_ARCHES = 40,
  MOST_ARROWS = 200 /* more would hide what they connect */
};

typedef struct drawing {
  const trace *t;
  const figures *f;
  FILE *out;
  int64_t from, to; /* ns, as in the trace */
  double scale;     /* pixels per ns */
  int width, height;
  bool arches; /* arrows within a row, too */
  bool *shown; /* [n_names] by an op of the window */
  int *hues;   /* [n_names] */
  int *tops;   /* [n_rows] of each row's bars, -1 = not shown */
} drawing;

static double x_of(const drawing *d, int64_t at) {
  double x = LABEL + (double)(at - d->from) * d->scale, right = d->width - MARGIN;
  return x < LABEL ? LABEL : x > right ? right : x;
}

static bool visible(const drawing *d, int64_t begin, int64_t end) {
  return end >= d->from && begin <= d->to;
}

static int depth_of(const trace_op *o) { return o->depth < 8 ? o->depth : 8; }

/* Where an op's bar lies: deeper ones are smaller and within the outer one. */
static void bar_of(const drawing *d, const trace_op *o, double *y, double *height) {
  *y = d->tops[o->row] + depth_of(o) * 2;
  *height = BAR - depth_of(o) * 2;
}

/* Lanes, busy or not, and the waits of the window, from top to bottom; sets the height. Of very many lanes only busy ones. */
static bool place_rows(drawing *d) {
  const trace *t = d->t;
  d->tops = malloc((t->n_rows + 1) * sizeof *d->tops);
  if (d->tops == NULL) return false;
  bool few = t->n_rows <= MOST_IDLE_ROWS;
  for (size_t i = 0; i < t->n_rows; i++)
    d->tops[i] = few && t->rows[i].used && t->rows[i].kind <= ROW_HOST ? 0 : -1;
  for (size_t i = 0; i < t->n_ops; i++) {
    if (visible(d, t->ops[i].begin, t->ops[i].end)) {
      d->tops[t->ops[i].row] = 0;
      d->shown[t->ops[i].name] = true;
    }
  }
  for (size_t i = 0; i < t->n_waits; i++)
    if (visible(d, t->waits[i].begin, t->waits[i].end)) d->tops[t->waits[i].row] = 0;
  for (size_t i = 0; i < t->n_ranges; i++)
    if (visible(d, t->ranges[i].begin, t->ranges[i].end)) d->tops[t->ranges[i].row] = 0;
  int y = MARGIN + AXIS;
  for (size_t i = 0; i < t->n_rows; i++) {
    if (d->tops[i] < 0) continue;
    d->tops[i] = y;
    y += t->rows[i].kind == ROW_WAITS ? WAIT + STEP - BAR : STEP;
  }
  d->height = y + LEGEND;
  return true;
}

static void put_style(const drawing *d) {
  fprintf(
      d->out,
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" "
      "font-family=\"sans-serif\" font-size=\"12\">\n<style>\n"
      ".page{fill:#fff}.line{stroke:#ddd}.ink{fill:#222}.soft{fill:#666}.on{fill:#111;font-size:"
      "11px}\n"
      ".wait{fill:#d33}.edge{fill:none;stroke:#555;stroke-width:1}.path{fill:none;stroke:#e07000;"
      "stroke-width:2.5}\n"
      ".chain{stroke:#e07000;stroke-width:2}.range{fill:#e3e6ea;stroke:#aab}\n"
      "@media(prefers-color-scheme:dark){.page{fill:#16181d}.line{stroke:#333}.ink{fill:#ddd}.soft{"
      "fill:#999}"
      ".edge{stroke:#bbb}.range{fill:#2a2f37;stroke:#556}}\n</style>\n<rect class=\"page\" "
      "width=\"100%%\" height=\"100%%\"/>\n",
      d->width, d->height, d->width, d->height);
}

/* A time on the axis in the unit of the window's end, with the digits that tell neighbours apart. */
static void tick_text(int64_t at, int64_t step, int64_t last, char out[TEXT_TIME]) {
  static const struct {
    int64_t ns;
    const char *name;
  } units[] = {{1000000000, "s"}, {1000000, "ms"}, {1000, "us"}, {1, "ns"}};
  int u = 0, digits = 0;
  while (u < 3 && last < units[u].ns) u++;
  for (int64_t unit = units[u].ns; step < unit && digits < 9; unit /= 10) digits++;
  snprintf(out, TEXT_TIME, "%.*f %s", digits, (double)at / (double)units[u].ns, units[u].name);
}

/* The names of the window's ops by color, the longest total first. */
static void put_legend(const drawing *d) {
  int x = LABEL, y = d->height - LEGEND + 12, n = 0;
  for (size_t i = 0; i < d->f->n_names && n < MOST_LEGEND; i++) {
    uint32_t name = d->f->names[i].name;
    int width = 24 + CHARACTER * (int)strnlen(d->t->names[name], 24);
    if (!d->shown[name]) continue;
    if (x + width > d->width - MARGIN) break;
    fprintf(d->out,
            "<rect class=\"key\" x=\"%d\" y=\"%d\" width=\"10\" height=\"10\" rx=\"2\" "
            "fill=\"hsl(%d,60%%,72%%)\"/><text class=\"soft\" x=\"%d\" y=\"%d\">",
            x, y - 9, d->hues[name], x + 14, y);
    text_xml(d->out, d->t->names[name], 24);
    fputs("</text>\n", d->out);
    x += width;
    n++;
  }
}

static void put_axis(const drawing *d) {
  int64_t span = d->to - d->from, step = 1;
  static const int factors[] = {2, 5, 10};
  int64_t unit = 1;
  for (int i = 0; span / step > 8 && unit < INT64_MAX / 100; i = (i + 1) % 3) {
    step = unit * factors[i];
    if (i == 2) unit *= 10;
  }
  int64_t first = d->from - d->f->begin, at = first / step * step;
  for (at += at < first ? step : 0; at <= first + span; at += step) {
    char text[TEXT_TIME];
    double x = x_of(d, d->f->begin + at);
    tick_text(at, step, first + span, text);
    fprintf(d->out,
            "<path class=\"line\" d=\"M%.1f %dV%d\"/><text class=\"soft\" x=\"%.1f\" y=\"%d\" "
            "text-anchor=\"%s\">%s</text>\n",
            x, MARGIN + AXIS - 8, d->height - LEGEND, x, MARGIN + 10,
            x > d->width - 40 ? "end" : "middle", text);
  }
}

static void put_labels(const drawing *d) {
  for (size_t i = 0; i < d->t->n_rows; i++) {
    if (d->tops[i] < 0) continue;
    bool waits = d->t->rows[i].kind == ROW_WAITS;
    fprintf(d->out, "<text class=\"%s\" x=\"%d\" y=\"%d\">", waits ? "soft" : "ink", MARGIN,
            d->tops[i] + (waits ? WAIT : BAR / 2 + 4));
    text_xml(d->out, d->t->rows[i].label, 21);
    fputs("</text>\n", d->out);
  }
}

/* A name in at most so many characters. */
static void put_name(const drawing *d, const char *name, size_t fits) {
  bool cut = strlen(name) > fits;
  text_xml(d->out, name, cut && fits > 0 ? fits - 1 : fits);
  if (cut && fits > 0) fputs("…", d->out);
}

static void put_bar(const drawing *d, const trace_op *o, bool in_path) {
  double y, height, x = x_of(d, o->begin), w = x_of(d, o->end) - x;
  const char *name = d->t->names[o->name];
  bar_of(d, o, &y, &height);
  fprintf(d->out,
          "<rect x=\"%.1f\" y=\"%.0f\" width=\"%.1f\" height=\"%.0f\" rx=\"2\" "
          "fill=\"hsl(%d,60%%,72%%)\"%s><title>",
          x, y, w < 0.6 ? 0.6 : w, height, d->hues[o->name], in_path ? " class=\"chain\"" : "");
  text_xml(d->out, name, 60);
  char text[2][TEXT_TIME];
  fprintf(d->out, " #%llu: %s from %s</title></rect>\n", (unsigned long long)o->id,
          text_time(o->end - o->begin, text[0]), text_time(o->begin - d->f->begin, text[1]));
  size_t fits = w < 2 * CHARACTER ? 0 : (size_t)((w - 6) / CHARACTER);
  if (fits < 2 || (fits < 4 && strlen(name) > fits)) return;
  fprintf(d->out, "<text class=\"on\" x=\"%.1f\" y=\"%.0f\">", x + 4, y + height / 2 + 4);
  put_name(d, name, fits);
  fputs("</text>\n", d->out);
}

/* Bars too narrow to be told apart are one: the first of them. */
static void put_bars(const drawing *d, const bool *in_path) {
  const trace *t = d->t;
  double drawn[16] = {0}; /* right end of the last bar, per depth */
  for (size_t i = 0; i < t->n_ops; i++) {
    const trace_op *o = &t->ops[i];
    if (i == 0 || t->ops[i - 1].row != o->row) memset(drawn, 0, sizeof drawn);
    if (!visible(d, o->begin, o->end)) continue;
    double *last = &drawn[depth_of(o)], x = x_of(d, o->begin), end = x_of(d, o->end);
    if (end - x < 0.6 && x < *last + 0.4) continue;
    *last = end > x + 0.6 ? end : x + 0.6;
    put_bar(d, o, in_path[i]);
  }
}

static void put_waits(const drawing *d) {
  const trace *t = d->t;
  for (size_t i = 0; i < t->n_waits; i++) {
    const trace_wait *w = &t->waits[i];
    if (!visible(d, w->begin, w->end)) continue;
    double x = x_of(d, w->begin), width = x_of(d, w->end) - x;
    char text[TEXT_TIME];
    fprintf(d->out, "<rect class=\"wait\" x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\"><title>",
            x, d->tops[w->row] + 1, width < 0.6 ? 0.6 : width, WAIT);
    text_xml(d->out, t->names[w->name], 60);
    fprintf(d->out, ": %s</title></rect>\n", text_time(w->end - w->begin, text));
  }
}

static void put_ranges(const drawing *d) {
  const trace *t = d->t;
  for (size_t i = 0; i < t->n_ranges; i++) {
    const trace_range *r = &t->ranges[i];
    double x = x_of(d, r->begin), width = x_of(d, r->end) - x;
    if (!visible(d, r->begin, r->end)) continue;
    fprintf(d->out,
            "<rect class=\"range\" x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\" rx=\"2\"/>", x,
            d->tops[r->row], width < 0.6 ? 0.6 : width, BAR);
    size_t fits = width < 3 * CHARACTER ? 0 : (size_t)((width - 6) / CHARACTER);
    fprintf(d->out, "<text class=\"ink\" x=\"%.1f\" y=\"%d\">", x + 4,
            d->tops[r->row] + BAR / 2 + 4);
    put_name(d, t->names[r->name], fits);
    fputs("</text>\n", d->out);
  }
}

/* Within a row an arrow is an arch over the bars in between; between neighbours it would only be in the way. */
static void put_arrow(const drawing *d, const trace_op *from, const trace_op *to,
                      const char *kind) {
  double y[2], height[2], x1 = x_of(d, from->end), x2 = x_of(d, to->begin);
  bar_of(d, from, &y[0], &height[0]);
  bar_of(d, to, &y[1], &height[1]);
  bool same_row = from->row == to->row;
  if (same_row && (x2 - x1 < 12 || !d->arches || strcmp(kind, "path") == 0)) return;
  double y1 = same_row ? y[0] : y[0] + height[0] / 2, y2 = same_row ? y[1] : y[1] + height[1] / 2;
  double bend = x2 - x1 < 24 ? 12 : (x2 - x1) / 2, arch = same_row ? 9 : 0;
  fprintf(d->out, "<path class=\"%s\" d=\"M%.1f %.1fC%.1f %.1f %.1f %.1f %.1f %.1f\"/>\n", kind, x1,
          y1, x1 + bend, y1 - arch, x2 - bend, y2 - arch, x2, y2);
}

static bool shown(const drawing *d, const trace_op *o) { return visible(d, o->begin, o->end); }

static void put_arrows(drawing *d) {
  const trace *t = d->t;
  for (int pass = 0, n = 0; pass < 2; pass++) { /* counts, then draws */
    for (size_t i = 0; i < t->n_ops && n <= MOST_ARROWS; i++) {
      for (size_t j = 0; j < t->ops[i].n_after; j++) {
        int64_t p = t->waited[t->ops[i].first_after + j];
        if (p == TRACE_ABSENT || !shown(d, &t->ops[p]) || !shown(d, &t->ops[i])) continue;
        if (pass == 0) n++;
        if (pass == 1) put_arrow(d, &t->ops[p], &t->ops[i], "edge");
      }
    }
    if (n > MOST_ARROWS) break;
    d->arches = n <= MOST_ARCHES;
  }
  for (size_t i = 1; i < d->f->n_path; i++) {
    const trace_op *a = &t->ops[d->f->path[i - 1]], *b = &t->ops[d->f->path[i]];
    if (shown(d, a) && shown(d, b)) put_arrow(d, a, b, "path");
  }
}

bool report_svg(const trace *t, const figures *f, report_window w, int width, FILE *out) {
  drawing d = {.t = t, .f = f, .out = out, .width = width};
  d.from = w.from < 0 ? f->shown_begin : f->begin + w.from;
  d.to = w.to < 0 ? f->shown_end : f->begin + w.to;
  if (d.to <= d.from) d.to = d.from + 1;
  d.scale = (double)(width - LABEL - MARGIN) / (double)(d.to - d.from);
  bool *in_path = calloc(t->n_ops + 1, sizeof *in_path);
  d.hues = calloc(t->n_names, sizeof *d.hues);
  d.shown = calloc(t->n_names, sizeof *d.shown);
  bool ok = in_path != NULL && d.hues != NULL && d.shown != NULL && report_hues(t, f, d.hues) &&
            place_rows(&d);
  for (size_t i = 0; i < f->n_path && ok; i++) in_path[f->path[i]] = true;
  if (ok) {
    put_style(&d);
    put_axis(&d);
    put_labels(&d);
    put_legend(&d);
    put_bars(&d, in_path);
    put_ranges(&d);
    put_waits(&d);
    put_arrows(&d);
    fputs("</svg>\n", out);
  }
  free(in_path);
  free(d.hues);
  free(d.shown);
  free(d.tops);
  return ok;
}
