/* A curve, usually the loss of a training: drawn with letters and as SVG. */
#ifndef THRUM_DEMOS_COMMON_PLOT_H
#define THRUM_DEMOS_COMMON_PLOT_H

/* Zero-initialise with the texts; plot_end() frees. */
typedef struct plot {
  const char *title, *x_name, *y_name;
  double *points; /* x, y in turn */
  int n, room;
} plot;

void plot_add(plot *p, double x, double y); /* x must grow; what is not finite is left out */
/* Draws it with letters on the standard output. */
void plot_print(const plot *p);
/* Draws it with letters and writes it to path as SVG, or exits with a message. Nothing when path is empty. */
void plot_write(const plot *p, const char *path);
void plot_end(plot *p);

#endif
