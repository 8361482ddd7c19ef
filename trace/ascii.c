/* Owns the timeline in letters. Each cell shows the op that covers most of it. */
#include <stdlib.h>
#include <string.h>

#include "trace/report.h"
#include "trace/text.h"

enum { LABEL = 24 };

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/* Of a terminal with 256 colors, round the circle of hues; black text is readable on each. */
static const uint8_t palette[12] = {210, 216, 222, 192, 156, 120, 122, 123, 117, 147, 183, 218};

/* What a cell shows that is no op. */
#define WAIT  UINT32_MAX
#define RANGE (UINT32_MAX - 1)

typedef struct picture {
  const trace *t;
  const figures *f;
  FILE *out;
  int64_t from, span; /* ns; span > 0 */
  int width;
  bool color;
  int *hues;   /* [n_names] */
  char *marks; /* [n_names] letter of a name, 0 = none */
  uint32_t *
      cells; /* [width] name + 1, 0 = nothing, WAIT = a host wait, RANGE = a range of the program */
  int64_t *covered; /* [width] ns by the name in the cell */
} picture;

/* The letter of a name: its own first one if free, else any. Names are in the order of their total time. */
static void choose_letters(picture *p) {
  bool used[128] = {false};
  for (size_t i = 0; i < p->f->n_names; i++) {
    uint32_t name = p->f->names[i].name;
    char chosen = '#';
    for (const char *s = p->t->names[name]; *s != 0 && chosen == '#'; s++) {
      char c = *s >= 'a' && *s <= 'z' ? (char)(*s - 'a' + 'A') : *s;
      if (c >= 'A' && c <= 'Z' && !used[(int)c]) chosen = c;
    }
    for (const char *s = letters; *s != 0 && chosen == '#'; s++)
      if (!used[(int)*s]) chosen = *s;
    if (chosen != '#') used[(int)chosen] = true;
    p->marks[name] = chosen;
  }
}

static void put_span(picture *p, int64_t begin, int64_t end, uint32_t what, bool inner) {
  double scale = (double)p->width / (double)p->span;
  if (end < p->from || begin > p->from + p->span) return;
  double a = (double)(begin - p->from) * scale, b = (double)(end - p->from) * scale;
  int first = a < 0 ? 0 : (int)a, last = b >= p->width ? p->width - 1 : (int)b;
  for (int i = first; i <= last && i < p->width; i++) {
    double from = a > i ? a : i, to = b < i + 1 ? b : i + 1;
    if (to <= from && p->cells[i] != 0) continue;
    int64_t covers = (int64_t)((to - from) / scale);
    if (p->cells[i] != 0 && covers < p->covered[i] / (inner ? 2 : 1)) continue;
    if (to <= from && end > begin) continue; /* only touches the cell */
    p->cells[i] = what;
    p->covered[i] = covers;
  }
}

static void put_row(picture *p, uint32_t row, size_t *op, size_t *wait, size_t *range) {
  const trace *t = p->t;
  char label[LABEL + 1];
  memset(p->cells, 0, (size_t)p->width * sizeof *p->cells);
  memset(p->covered, 0, (size_t)p->width * sizeof *p->covered);
  for (; *op < t->n_ops && t->ops[*op].row == row; ++*op) {
    const trace_op *o = &t->ops[*op];
    put_span(p, o->begin, o->end, o->name + 1, o->depth > 0);
  }
  for (; *wait < t->n_waits && t->waits[*wait].row == row; ++*wait)
    put_span(p, t->waits[*wait].begin, t->waits[*wait].end, WAIT, false);
  for (; *range < t->n_ranges && t->ranges[*range].row == row; ++*range)
    put_span(p, t->ranges[*range].begin, t->ranges[*range].end, RANGE, false);
  fprintf(p->out, "%-*s |", LABEL, text_plain(t->rows[row].label, LABEL, label));
  for (int i = 0; i < p->width; i++) {
    uint32_t cell = p->cells[i];
    bool wait_cell = cell == WAIT, range_cell = cell == RANGE;
    char c = cell == 0 ? '.' : wait_cell ? '-' : range_cell ? '=' : p->marks[cell - 1];
    bool changes = i == 0 || p->cells[i - 1] != cell;
    if (p->color && changes && wait_cell) fputs("\x1b[0;31m", p->out);
    if (p->color && changes && (cell == 0 || range_cell)) fputs("\x1b[0m", p->out);
    if (p->color && changes && cell != 0 && !wait_cell && !range_cell)
      fprintf(p->out, "\x1b[0;30;48;5;%dm", palette[p->hues[cell - 1] / 30]);
    putc(c, p->out);
  }
  fprintf(p->out, "%s|\n", p->color ? "\x1b[0m" : "");
}

static void put_legend(picture *p) {
  int column = 0, most = LABEL + p->width + 3, others = 0;
  for (size_t i = 0; i < p->f->n_names; i++) {
    uint32_t name = p->f->names[i].name;
    char plain[33], text[64];
    if (p->marks[name] == '#') {
      others++;
      continue;
    }
    int n = snprintf(text, sizeof text, "%c %s (%zu)", p->marks[name],
                     text_plain(p->t->names[name], 32, plain), p->f->names[i].count);
    if (column > 0 && column + n + 2 > most) {
      putc('\n', p->out);
      column = 0;
    }
    fprintf(p->out, "%s%s", column > 0 ? "  " : "", text);
    column += n + (column > 0 ? 2 : 0);
  }
  if (others > 0) fprintf(p->out, "%s# %d other names", column > 0 ? "  " : "", others);
  if (column + others > 0) putc('\n', p->out);
}

static void put_scale(const picture *p) {
  char from[TEXT_TIME], to[TEXT_TIME], cell[TEXT_TIME];
  text_time(p->from - p->f->begin, from);
  text_time(p->from - p->f->begin + p->span, to);
  int gap = p->width - (int)strlen(from);
  fprintf(p->out, "%-*s |%s%*s|  one column = %s\n", LABEL, "", from, gap > 0 ? gap : 0, to,
          text_time(p->span / p->width, cell));
}

bool report_ascii(const trace *t, const figures *f, report_window w, int columns, bool color,
                  FILE *out) {
  picture p = {.t = t, .f = f, .out = out, .color = color, .width = columns - LABEL - 3};
  p.from = w.from < 0 ? f->shown_begin : f->begin + w.from;
  p.span = (w.to < 0 ? f->shown_end : f->begin + w.to) - p.from;
  if (p.span < 1) p.span = 1;
  p.hues = calloc(t->n_names, sizeof *p.hues);
  p.marks = calloc(t->n_names, 1);
  p.cells = malloc((size_t)p.width * sizeof *p.cells);
  p.covered = malloc((size_t)p.width * sizeof *p.covered);
  bool ok = p.hues != NULL && p.marks != NULL && p.cells != NULL && p.covered != NULL &&
            report_hues(t, f, p.hues);
  size_t op = 0, wait = 0, range = 0;
  if (ok) choose_letters(&p);
  if (ok) put_scale(&p);
  for (uint32_t row = 0; row < t->n_rows && ok; row++)
    if (t->rows[row].used) put_row(&p, row, &op, &wait, &range);
  if (ok) put_legend(&p);
  free(p.hues);
  free(p.marks);
  free(p.cells);
  free(p.covered);
  return ok;
}
