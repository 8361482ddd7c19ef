/* A curve, usually the loss of a training: drawn with letters and as SVG. */
#ifndef THRUM_DEMOS_COMMON_PLOT_H
#define THRUM_DEMOS_COMMON_PLOT_H

/* Zero-initialise, with the texts. */
typedef struct plot {
  const char *title, *x_name, *y_name;
  double *points; /* x, y in turn */
  int n, room;
} plot;

/* x must grow. What is not finite is left out. */
void plot_add(plot *p, double x, double y);
/* Frees it. Draws it first, with letters on the standard output and as SVG at path, unless path is empty; exits with a message
 * when that cannot be written. */
void plot_end(plot *p, const char *path);

#endif
