/* Owns how curves are drawn. Both forms have the smallest and largest values at the ends of their axes. */
#include "common/plot.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/demo.h"

enum { COLUMNS = 64, ROWS = 14, WIDTH = 640, HEIGHT = 360, MARGIN = 50 };

/* The smallest and largest of a coordinate (0 = x, 1 = y); a single value is made wider. */
typedef struct extent {
  double low, high;
} extent;

static extent extent_of(const plot *p, int coordinate) {
  extent e = {p->points[coordinate], p->points[coordinate]};
  for (int i = 1; i < p->n; i++) {
    e.low = fmin(e.low, p->points[2 * i + coordinate]);
    e.high = fmax(e.high, p->points[2 * i + coordinate]);
  }
  if (e.high - e.low <= 0) e.low -= 0.5, e.high += 0.5;
  return e;
}

/* From 0 to 1. */
static double place(extent e, double value) { return (value - e.low) / (e.high - e.low); }

void plot_add(plot *p, double x, double y) {
  if (!isfinite(x) || !isfinite(y)) return;
  if (p->n == p->room) {
    p->room = p->room ? 2 * p->room : 64;
    p->points = realloc(p->points, (size_t)p->room * 2 * sizeof *p->points);
    if (!p->points) demo_die("out of memory");
  }
  p->points[2 * p->n] = x;
  p->points[2 * p->n + 1] = y;
  p->n++;
}

/* A column shows the mean of its points; between points it shows the line that joins them. */
static void draw_columns(const plot *p, extent x, extent y, char cells[ROWS][COLUMNS + 1]) {
  for (int column = 0, i = 0; column < COLUMNS; column++) {
    double end = x.low + (x.high - x.low) * (column + 0.5) / (COLUMNS - 1), sum = 0, value;
    int first = i;
    for (; i < p->n && p->points[2 * i] <= end; i++) sum += p->points[2 * i + 1];
    if (i > first) {
      value = sum / (i - first);
    } else if (i > 0 && i < p->n) {
      const double *a = &p->points[2 * (i - 1)], *b = &p->points[2 * i];
      value = a[1] + (b[1] - a[1]) * (end - a[0]) / (b[0] - a[0]);
    } else {
      continue;
    }
    cells[ROWS - 1 - (int)lround(place(y, value) * (ROWS - 1))][column] = i > first ? '*' : '.';
  }
}

static void print_letters(const plot *p) {
  char cells[ROWS][COLUMNS + 1], low[32], high[32];
  extent x = extent_of(p, 0), y = extent_of(p, 1);
  memset(cells, ' ', sizeof cells);
  for (int r = 0; r < ROWS; r++) cells[r][COLUMNS] = 0;
  draw_columns(p, x, y, cells);
  printf("%s\n", p->title);
  for (int r = 0; r < ROWS; r++) {
    double value = y.high - (y.high - y.low) * r / (ROWS - 1);
    for (int c = COLUMNS - 1; c >= 0 && cells[r][c] == ' '; c--) cells[r][c] = 0;
    printf("%9.4g |%s\n", value, cells[r]);
  }
  snprintf(low, sizeof low, "%.6g", x.low);
  snprintf(high, sizeof high, "%.6g", x.high);
  printf("%9s +", p->y_name);
  for (int c = 0; c < COLUMNS; c++) putchar('-');
  printf("\n%10s %s%*s\n", "", low, (int)(COLUMNS - strlen(low)), high);
}

static void svg_axes(const plot *p, extent x, extent y, FILE *out) {
  fprintf(out, "<rect x='%d' y='%d' width='%d' height='%d' fill='none' stroke='#999'/>\n", MARGIN,
          MARGIN, WIDTH - 2 * MARGIN, HEIGHT - 2 * MARGIN);
  for (int i = 0; i <= 4; i++) {
    double across = MARGIN + (WIDTH - 2 * MARGIN) * i / 4.,
           up = HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * i / 4.;
    fprintf(out, "<text x='%.1f' y='%d' text-anchor='middle'>%.4g</text>\n", across,
            HEIGHT - MARGIN + 16, x.low + (x.high - x.low) * i / 4);
    fprintf(out, "<text x='%d' y='%.1f' text-anchor='end'>%.4g</text>\n", MARGIN - 6, up + 4,
            y.low + (y.high - y.low) * i / 4);
  }
  fprintf(out, "<text x='%d' y='%d' text-anchor='middle' font-size='14'>%s</text>\n", WIDTH / 2,
          MARGIN - 20, p->title);
  fprintf(out, "<text x='%d' y='%d' text-anchor='middle'>%s</text>\n", WIDTH / 2, HEIGHT - 12,
          p->x_name);
  fprintf(out, "<text x='%d' y='%d'>%s</text>\n", 8, MARGIN - 8, p->y_name);
}

static void write_svg(const plot *p, const char *path) {
  extent x = extent_of(p, 0), y = extent_of(p, 1);
  FILE *out = fopen(path, "w");
  if (!out) demo_die("--plot: cannot write '%s'", path);
  fprintf(out,
          "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %d %d' font-family='sans-serif' "
          "font-size='11'>\n<rect width='%d' height='%d' fill='#fff'/>\n",
          WIDTH, HEIGHT, WIDTH, HEIGHT);
  svg_axes(p, x, y, out);
  fprintf(out, "<polyline fill='none' stroke='#0a62b0' stroke-width='1.5' points='");
  for (int i = 0; i < p->n; i++)
    fprintf(out, "%.1f,%.1f ", MARGIN + (WIDTH - 2 * MARGIN) * place(x, p->points[2 * i]),
            HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * place(y, p->points[2 * i + 1]));
  fprintf(out, "'/>\n</svg>\n");
  if (fclose(out) != 0) demo_die("--plot: cannot write '%s'", path);
  printf("curve: %s\n", path);
}

void plot_end(plot *p, const char *path) {
  if (*path && p->n > 0) {
    print_letters(p);
    write_svg(p, path);
  }
  free(p->points);
}
