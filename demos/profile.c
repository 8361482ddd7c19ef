/* Where the time of a program goes. Two networks are trained on two devices side by side, once reading the loss after every
 * step and once only at the end. Ranges name the parts, thrum/sites.h names the lines that wait, and the trace is written for
 * thrum-trace. */
#include <math.h>

#include "common/demo.h"

#include <thrum/sites.h>

enum { SIZE = 128 };

typedef struct model { /* y = relu(x w) v, on one device */
  th_array *x, *w, *v;
} model;

static model make_model(th_device d) {
  model m = {.x = DEMO_MAKE(th_full(TH_SHAPE(SIZE, SIZE), 0.5, TH_F32, d)),
             .w = DEMO_MAKE(th_full(TH_SHAPE(SIZE, SIZE), 0.01, TH_F32, d)),
             .v = DEMO_MAKE(th_full(TH_SHAPE(SIZE, SIZE), 0.02, TH_F32, d))};
  return m;
}

/* A step that pulls v towards making the mean of y 1; returns the mean of y, which is not computed yet. */
static th_array *step(model *m) {
  th_array *h = DEMO_MAKE(th_relu(th_matmul(m->x, m->w)));
  th_array *y = DEMO_MAKE(th_matmul(h, m->v));
  th_array *mean = DEMO_MAKE(th_mean(y, NULL, 0, false));
  th_array *change = DEMO_MAKE(th_multiply_scalar(th_add_scalar(mean, -1), -0.005));
  DEMO_TRY(th_add_inplace(m->v, change));
  return mean;
}

/* Trains both; in the end the mean of y of each is in out. */
static void train(const char *name, model m[2], long steps, bool read_each, double out[2]) {
  th_profile_push(name);
  for (long i = 0; i < steps; i++) {
    th_scope scope = th_scope_begin();
    th_profile_push("step");
    for (int k = 0; k < 2; k++) {
      th_array *mean = step(&m[k]);
      if (read_each || i + 1 == steps) out[k] = th_item(mean);
    }
    th_profile_pop();
    th_scope_end(scope);
  }
  th_profile_pop();
}

int main(int argc, char **argv) {
  long steps = 20;
  const char *path = "profile.json";
  const demo_option options[] = {
      {"steps", "steps of each training", .integer = &steps},
      {"trace", "where to write the trace; '' = nowhere", .text = &path}};
  DEMO_OPTIONS(argc, argv, "Where the time of a program goes: ranges, waits by line, a trace.",
               options);
  if (steps < 1 || steps > 10000) demo_die("--steps must be 1 to 10000");
  DEMO_TRY(th_cpu_split(2, 1));
  DEMO_TRY(th_init(NULL));
  th_scope scope = th_scope_begin();
  model models[2] = {make_model(th_cpu(0)), make_model(th_cpu(1))};
  DEMO_TRY(th_wait_all());
  double mean[2];
  DEMO_TRY(th_profile_start(TH_PROFILE_ALL | TH_PROFILE_SHAPES));
  double start = demo_seconds();
  train("reads each loss", models, steps, true, mean);
  double between = demo_seconds();
  train("reads the last loss", models, steps, false, mean);
  double end = demo_seconds();
  DEMO_TRY(th_profile_stop(*path ? path : NULL));
  printf("reading every loss %.2f ms, reading the last %.2f ms\n\n", (between - start) * 1e3,
         (end - between) * 1e3);
  DEMO_TRY(th_profile_table(stdout));
  putchar('\n');
  demo_check(mean[0] == mean[1], "both devices compute the same");
  demo_check(fabs(mean[0] - 1) < 0.2, "the mean of y went to %.3f", mean[0]);
  demo_check(th_profile_dropped() == 0, "the trace is complete");
  if (*path)
    printf("\n%s: thrum-trace summary %s, thrum-trace html %s -o profile.html\n", path, path, path);
  th_scope_end(scope);
  return demo_finish();
}
