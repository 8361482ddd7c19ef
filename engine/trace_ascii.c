/* Owns the timeline in letters: one line per row of the trace, time from left to right. Works on a view, under no lock. */
#include <stdlib.h>
#include <string.h>

#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/trace_view.h"

enum {
  DEFAULT_COLUMNS = 100,
  LEAST_COLUMNS = 40,
  MOST_COLUMNS = 4096,
  LABEL_WIDTH = 30,
  MOST_ROWS = 64
};

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

typedef struct canvas {
  const th__trace_view *view;
  FILE *out;
  char *mark;      /* per name: its letter, 0 = not shown */
  char *cells;     /* [width] of the row being drawn */
  int64_t *covers; /* [width] ns of the event that owns the cell */
  int width, label;
  int64_t first, span; /* ns; span > 0 */
} canvas;

/* A free letter for a name, taken from the name if possible: B for "B", "bias". '#' when there is none. */
static char choose_letter(const char *name, bool used[256]) {
  for (const char *s = name; *s != 0; s++) {
    unsigned char upper = (unsigned char)(*s >= 'a' && *s <= 'z' ? *s - 'a' + 'A' : *s);
    if (upper >= 'A' && upper <= 'Z' && !used[upper]) {
      used[upper] = true;
      return (char)upper;
    }
  }
  for (const char *s = letters; *s != 0; s++) {
    if (used[(unsigned char)*s]) continue;
    used[(unsigned char)*s] = true;
    return *s;
  }
  return '#';
}

/* Tasks whose name is one letter get that letter, the others what is left, in order of appearance. */
static void choose_letters(canvas *c) {
  bool used[256] = {false};
  const th__trace_view *v = c->view;
  for (size_t pass = 0; pass < 2; pass++) {
    for (size_t i = 0; i < v->n_events; i++) {
      const th__trace_event *e = &v->events[i];
      const char *name = v->names[e->name];
      bool single = name[0] != 0 && name[1] == 0;
      if (e->kind != TH__TRACE_TASK || c->mark[e->name] != 0 || (pass == 0 && !single)) continue;
      c->mark[e->name] = choose_letter(name, used);
    }
  }
}

static int cell_of(const canvas *c, int64_t at) {
  int cell = (int)((double)(at - c->first) * c->width / (double)c->span);
  return cell < 0 ? 0 : cell >= c->width ? c->width - 1 : cell;
}

/* Each cell shows what covers most of it; an event inside another one wins when it covers at least half as much. */
static void draw_event(canvas *c, const th__trace_event *e) {
  char mark = e->kind == TH__TRACE_WAIT ? '-' : e->kind == TH__TRACE_RANGE ? '=' : c->mark[e->name];
  int last = cell_of(c, e->finished);
  for (int cell = cell_of(c, e->started); cell <= last; cell++) {
    int64_t begin = c->first + (int64_t)((double)c->span * cell / c->width);
    int64_t end = c->first + (int64_t)((double)c->span * (cell + 1) / c->width);
    int64_t from = e->started > begin ? e->started : begin;
    int64_t to = e->finished < end ? e->finished : end;
    int64_t covers = to > from ? to - from : 0;
    if (covers == 0 && c->cells[cell] != '.') continue;
    if (covers == 0 && e->finished > e->started) continue; /* only touches the cell's edge */
    if (c->cells[cell] != '.' && covers < c->covers[cell] / (e->depth > 0 ? 2 : 1)) continue;
    c->cells[cell] = mark;
    c->covers[cell] = covers;
  }
}

/* One line per row; events are sorted by time, so each row picks its own. */
static void draw_row(canvas *c, size_t row) {
  memset(c->cells, '.', (size_t)c->width);
  memset(c->covers, 0, (size_t)c->width * sizeof(*c->covers));
  for (size_t i = 0; i < c->view->n_events; i++)
    if (c->view->events[i].row == (int)row) draw_event(c, &c->view->events[i]);
  fprintf(c->out, "%-*.*s |%.*s|\n", c->label, c->label, c->view->rows[row].label, c->width,
          c->cells);
}

static void draw_legend(canvas *c, uint64_t *counts) {
  const th__trace_view *v = c->view;
  for (size_t i = 0; i < v->n_events; i++)
    if (v->events[i].kind == TH__TRACE_TASK) counts[v->events[i].name]++;
  int column = 0, others = 0;
  for (size_t i = 0; i < v->n_names; i++) {
    if (c->mark[i] == '#') others++;
    if (counts[i] == 0 || c->mark[i] == '#') continue;
    char text[80];
    int n = snprintf(text, sizeof(text), "%c %.40s (%llu)", c->mark[i], v->names[i],
                     (unsigned long long)counts[i]);
    for (char *s = text; *s != 0; s++)
      if ((unsigned char)*s < 0x20 || (unsigned char)*s >= 0x7f) *s = '?';
    if (column > 0 && column + n + 2 > c->label + c->width + 3) {
      putc('\n', c->out);
      column = 0;
    }
    fprintf(c->out, "%s%s", column > 0 ? "  " : "", text);
    column += n + (column > 0 ? 2 : 0);
  }
  if (others > 0) fprintf(c->out, "%s# %d other names", column > 0 ? "  " : "", others);
  if (column + others > 0) putc('\n', c->out);
}

static void draw_scale(const canvas *c) {
  char span[32], cell[32];
  th__trace_time_text(c->span, span, sizeof(span));
  th__trace_time_text(c->span / c->width, cell, sizeof(cell));
  fprintf(c->out, "%-*s |0%*s|  one column = %s\n", c->label, "", c->width - 1, span, cell);
}

static void draw(canvas *c, int columns, uint64_t *counts) {
  const th__trace_view *v = c->view;
  int64_t last = 0;
  c->first = v->n_events == 0 ? 0 : v->events[0].started;
  for (size_t i = 0; i < v->n_events; i++)
    if (v->events[i].finished > last) last = v->events[i].finished;
  c->span = last > c->first ? last - c->first : 1;
  for (size_t i = 0; i < v->n_rows; i++) {
    int length = (int)strlen(v->rows[i].label);
    if (length > c->label) c->label = length > LABEL_WIDTH ? LABEL_WIDTH : length;
  }
  c->width = columns - c->label - 3;
  if (c->width < 1) c->width = 1;
  choose_letters(c);
  draw_scale(c);
  for (size_t i = 0; i < v->n_rows && i < MOST_ROWS; i++) draw_row(c, i);
  if (v->n_rows > MOST_ROWS) fprintf(c->out, "and %zu more rows\n", v->n_rows - MOST_ROWS);
  draw_legend(c, counts);
  if (v->dropped > 0) fprintf(c->out, "%llu records dropped\n", (unsigned long long)v->dropped);
}

th_status th_profile_ascii(FILE *out, int columns) {
  if (out == NULL) return th__fail(TH_EINVAL, "th_profile_ascii: out is NULL");
  if (columns == 0) columns = DEFAULT_COLUMNS;
  if (columns < LEAST_COLUMNS || columns > MOST_COLUMNS)
    return th__fail(TH_EINVAL, "th_profile_ascii: columns is %d, not 0 or %d to %d", columns,
                    LEAST_COLUMNS, MOST_COLUMNS);
  th__trace_view view;
  canvas c = {.view = &view, .out = out};
  uint64_t *counts = NULL;
  th_status status = th__trace_view_make(&view);
  if (status != TH_OK) goto done;
  c.mark = th__zalloc(view.n_names);
  c.cells = th__alloc((size_t)columns);
  c.covers = th__alloc((size_t)columns * sizeof(*c.covers));
  counts = th__zalloc(view.n_names * sizeof(*counts));
  if (c.mark == NULL || c.cells == NULL || c.covers == NULL || counts == NULL) {
    status = TH_ENOMEM;
    goto done;
  }
  draw(&c, columns, counts);
  if (fflush(out) != 0 || ferror(out)) status = th__fail(TH_EIO, "th_profile_ascii: cannot write");
done:
  th__free(c.mark);
  th__free(c.cells);
  th__free(c.covers);
  th__free(counts);
  th__trace_view_free(&view);
  return status;
}
