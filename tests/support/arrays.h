/* Short ways to make and read small arrays in tests. */
#ifndef THRUM_TESTS_SUPPORT_ARRAYS_H
#define THRUM_TESTS_SUPPORT_ARRAYS_H

#include <math.h>
#include <stdlib.h>

#include "thrum/thrum.h"

/* For TestSuite's .fini: runs what is pending and joins all threads, so that leaks can be told from delays. */
static inline void stop_engine(void) { th_shutdown(); }

/* vector(1, 2, 3): an f64 array of shape (3) on cpu:0. */
#define vector(...)                                                                                \
  th_from_host((const double[]){__VA_ARGS__},                                                      \
               TH_SHAPE((int64_t)(sizeof((const double[]){__VA_ARGS__}) / sizeof(double))),        \
               TH_F64, th_cpu(0))

/* An f64 scalar on cpu:0. */
static inline th_array *scalar(double value) {
  return th_from_host(&value, TH_SCALAR, TH_F64, th_cpu(0));
}

/* An f64 scalar that requires a gradient. */
static inline th_array *leaf(double value) {
  th_array *a = scalar(value);
  return th_require_grad(a) == TH_OK ? a : NULL;
}

/* Largest difference between an array's elements (as f64) and n values; infinity when it cannot be read. */
static inline double distance(const th_array *a, const double *values, int64_t n) {
  if (a == NULL || th_array_size(a) != n) return INFINITY;
  th_array *doubles = th_array_dtype(a) == TH_F64 ? NULL : th_astype(a, TH_F64);
  double *got = malloc((size_t)n * sizeof(double) + 1), worst = 0;
  th_status status = th_read(doubles ? doubles : a, got, (size_t)n * sizeof(double));
  for (int64_t i = 0; i < n && status == TH_OK; i++) {
    double d = fabs(got[i] - values[i]);
    if (!(d <= worst)) worst = isnan(d) ? INFINITY : d;
  }
  free(got);
  th_release(doubles);
  return status == TH_OK ? worst : INFINITY;
}

/* distance_to(a, 1, 2, 3) */
#define distance_to(a, ...)                                                                        \
  distance((a), (const double[]){__VA_ARGS__},                                                     \
           (int64_t)(sizeof((const double[]){__VA_ARGS__}) / sizeof(double)))

#endif
