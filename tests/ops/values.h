/* Getting values into and out of arrays in tests of operators, views of every kind, and engines of several sizes. */
#ifndef THRUM_TESTS_OPS_VALUES_H
#define THRUM_TESTS_OPS_VALUES_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "thrum/thrum.h"

/* Elements of any type as doubles, rows first; free() it. Fails the test when they cannot be read. */
static inline double *values_of(const th_array *a) {
  cr_assert(a != NULL, "no array: %s", th_last_error());
  size_t n = (size_t)th_array_size(a);
  double *out = malloc((n + 1) * sizeof *out);
  th_array *doubles = th_astype(a, TH_F64);
  cr_assert(doubles != NULL, "astype: %s", th_last_error());
  th_status status = th_read(doubles, out, n * sizeof *out);
  cr_assert(status == TH_OK, "read: %s", th_last_error());
  th_release(doubles);
  return out;
}

/* Element i of an array that is released. */
static inline double take_value(th_array *a, int64_t i) {
  double *values = values_of(a), value = values[i];
  free(values);
  th_release(a);
  return value;
}

/* Largest |a - expected| / max(1, |expected|); NaN agrees with NaN only. a is not released. */
static inline double worst_of(const th_array *a, const double *expected, int64_t n) {
  double *got = values_of(a), worst = 0;
  cr_assert(th_array_size(a) == n, "%lld elements, expected %lld", (long long)th_array_size(a),
            (long long)n);
  for (int64_t i = 0; i < n; i++) {
    double difference = fabs(got[i] - expected[i]) / fmax(1, fabs(expected[i]));
    if (isnan(expected[i]))
      difference = isnan(got[i]) ? 0 : INFINITY;
    else if (got[i] == expected[i])
      difference = 0;
    else if (isnan(difference))
      difference = INFINITY;
    if (difference > worst) worst = difference;
  }
  free(got);
  return worst;
}

/* vector(1, 2, 3): an f64 array of shape (3) on cpu:0. */
#define vector(...)                                                                                \
  th_from_host((const double[]){__VA_ARGS__},                                                      \
               TH_SHAPE((int64_t)(sizeof((const double[]){__VA_ARGS__}) / sizeof(double))),        \
               TH_F64, th_cpu(0))
/* worst_of() against the values listed. */
#define distance_to(a, ...)                                                                        \
  worst_of((a), (const double[]){__VA_ARGS__},                                                     \
           (int64_t)(sizeof((const double[]){__VA_ARGS__}) / sizeof(double)))

/* A repeatable value in [-2, 2) for position i. */
static inline double noise(int64_t i) {
  uint64_t x = (uint64_t)i * UINT64_C(0x9E3779B97F4A7C15) + 0x1234567;
  x = (x ^ x >> 29) * UINT64_C(0xBF58476D1CE4E5B9);
  x ^= x >> 32;
  return (double)(x & 0xffff) / 16384 - 2;
}

/* An array of noise times scale, of any type. */
static inline th_array *noisy(const int64_t *shape, int ndim, th_dtype t, double scale) {
  int64_t n = 1;
  for (int d = 0; d < ndim; d++) n *= shape[d];
  double *data = malloc((size_t)(n + 1) * sizeof *data);
  for (int64_t i = 0; i < n; i++) data[i] = noise(i) * scale;
  th_array *doubles = th_from_host(data, shape, ndim, TH_F64, th_cpu(0));
  cr_assert(doubles != NULL, "from_host: %s", th_last_error());
  free(data);
  th_array *a = th_astype(doubles, t);
  th_release(doubles);
  return a;
}

/* (2, 3, 4) seen in VIEWS ways: contiguous, permuted, stepped and reversed, broadcast, and one of no elements. */
#define VIEWS 5
static inline th_array *view_of_kind(int kind, th_dtype t, double scale) {
  th_array *base, *view;
  switch (kind) {
  case 0: return noisy(TH_SHAPE(2, 3, 4), t, scale);
  case 1:
    base = noisy(TH_SHAPE(4, 2, 3), t, scale);
    view = th_permute_dims(base, (const int[]){1, 2, 0}, 3);
    break;
  case 2:
    base = noisy(TH_SHAPE(5, 3, 9), t, scale);
    view = th_slice(base, "1:4:2, ::-1, 8:0:-2");
    break;
  case 3:
    base = noisy(TH_SHAPE(2, 1, 4), t, scale);
    view = th_broadcast_to(base, TH_SHAPE(2, 3, 4));
    break;
  default: return noisy(TH_SHAPE(2, 0, 4), t, scale);
  }
  cr_assert(view != NULL, "view %d: %s", kind, th_last_error());
  th_release(base);
  return view;
}

/* Starts an engine with so many workers; the test stops it with th_shutdown(). */
static inline void start_engine(int workers) {
  th_config config = {.size = sizeof config, .workers = workers};
  th_status status = th_init(&config);
  cr_assert(status == TH_OK, "init: %s", th_last_error());
}

/* For .fini of suites: everything submitted is done and given back before leaks are looked for. */
static inline void stop_engine(void) { (void)th_shutdown(); }

/* Whether the last failure has this status and its text contains all of part. */
static inline bool failed_with(th_status status, const char *part) {
  bool right = th_last_status() == status && strstr(th_last_error(), part) != NULL;
  if (!right)
    fprintf(stderr, "expected %s '%s', got %s '%s'\n", th_status_name(status), part,
            th_status_name(th_last_status()), th_last_error());
  th_clear_error();
  return right;
}

#endif
