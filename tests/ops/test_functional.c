#include "tests/ops/values.h"

TestSuite(ops_functional, .timeout = 60, .fini = stop_engine);

static double scaled_square(double x, void *user) { return x * x * *(double *)user; }
static double keyed(double x, double y, void *user) { return 10 * x - y + *(double *)user; }

/* The six orders of three axes. */
static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};

/* (2, 3, 4) as seen through `order`: a permuted view of a base that has been reversed along the axes in `flips`; axes in
 * `broadcast` have one element in the base and are grown. */
static th_array *seen(int order, unsigned flips, unsigned broadcast, int empty, th_dtype t) {
  int64_t shape[] = {2, 3, 4}, base_shape[3], own[3];
  int inverse[3];
  if (empty) shape[1] = 0;
  for (int d = 0; d < 3; d++) {
    own[d] = broadcast >> d & 1 ? 1 : shape[d];
    inverse[orders[order][d]] = d;
  }
  for (int d = 0; d < 3; d++) base_shape[d] = own[orders[order][d]];
  th_array *base = noisy(base_shape, 3, t, 1), *turned = th_permute_dims(base, inverse, 3);
  int axes[3], n = 0;
  for (int d = 0; d < 3; d++)
    if (flips >> d & 1) axes[n++] = d;
  th_array *flipped = n > 0 ? th_flip(turned, axes, n) : th_retain(turned);
  th_array *grown = th_broadcast_to(flipped, shape, 3);
  cr_assert(grown != NULL, "%s", th_last_error());
  th_release(base);
  th_release(turned);
  th_release(flipped);
  return grown;
}

Test(ops_functional, map_equals_the_loop_for_every_order_broadcast_and_sign) {
  double factor = 3;
  for (int order = 0; order < 6; order++)
    for (unsigned broadcast = 0; broadcast < 8; broadcast++)
      for (unsigned flips = 0; flips < 8; flips++)
        for (int empty = 0; empty < 2; empty++) {
          if (empty && (broadcast >> 1 & 1)) continue;
          th_array *a = seen(order, flips, broadcast, empty, TH_F64);
          double *x = values_of(a);
          for (int64_t i = 0; i < th_array_size(a); i++) x[i] = x[i] * x[i] * factor;
          th_array *y = th_map(a, scaled_square, &factor);
          cr_assert(worst_of(y, x, th_array_size(a)) == 0, "order %d, broadcast %u, flips %u",
                    order, broadcast, flips);
          free(x);
          th_release(a);
          th_release(y);
        }
}

Test(ops_functional, zip_equals_the_loop_for_every_order_broadcast_and_sign) {
  double offset = 0.25;
  for (int order = 0; order < 6; order++)
    for (unsigned broadcast = 0; broadcast < 8; broadcast++)
      for (unsigned flips = 0; flips < 8; flips++)
        for (int empty = 0; empty < 2; empty++) {
          /* a has the shape; b is left with its ones, so that zip itself broadcasts */
          th_array *a = seen(5 - order, 7 - flips, 0, empty, TH_F64);
          int64_t own[] = {2, empty ? 0 : 3, 4};
          for (int d = 0; d < 3; d++)
            if (broadcast >> d & 1) own[d] = 1;
          th_array *base = noisy(own, 3, TH_F64, 2), *b = th_flip(base, (const int[]){0, 2}, 2);
          th_array *full = th_broadcast_to(b, th_array_shape(a), 3);
          double *x = values_of(a), *y = values_of(full);
          int64_t n = th_array_size(a);
          for (int64_t i = 0; i < n; i++) x[i] = 10 * x[i] - y[i] + offset;
          th_array *z = th_zip(a, b, keyed, &offset);
          cr_assert(worst_of(z, x, n) == 0, "order %d, broadcast %u, flips %u", order, broadcast,
                    flips);
          free(x);
          free(y);
          th_array *all[] = {a, base, b, full, z};
          for (int j = 0; j < 5; j++) th_release(all[j]);
        }
}

Test(ops_functional, reduce_folds_in_index_order) {
  double offset = 0.5;
  for (int order = 0; order < 6; order++)
    for (unsigned broadcast = 0; broadcast < 8; broadcast++)
      for (unsigned flips = 0; flips < 8; flips += 3)
        for (int axis = -3; axis < 3; axis++)
          for (int empty = 0; empty < 2; empty++) {
            if (empty && (broadcast >> 1 & 1)) continue;
            th_array *a = seen(order, flips, broadcast, empty, TH_F64);
            const int64_t *shape = th_array_shape(a);
            int real = axis < 0 ? axis + 3 : axis;
            int64_t outer = 1, inner = 1;
            for (int d = 0; d < real; d++) outer *= shape[d];
            for (int d = real + 1; d < 3; d++) inner *= shape[d];
            double *x = values_of(a), expected[12];
            for (int64_t o = 0; o < outer; o++)
              for (int64_t i = 0; i < inner; i++) {
                double r = 1;
                for (int64_t j = 0; j < shape[real]; j++)
                  r = keyed(r, x[(o * shape[real] + j) * inner + i], &offset);
                expected[o * inner + i] = r;
              }
            th_array *kept = th_reduce(a, axis, keyed, 1, true, &offset);
            th_array *y = th_reduce(a, axis, keyed, 1, false, &offset);
            cr_assert(worst_of(y, expected, outer * inner) == 0, "order %d, axis %d", order, axis);
            cr_assert(worst_of(kept, expected, outer * inner) == 0);
            cr_assert(eq(int, th_array_ndim(kept), 3));
            cr_assert(eq(int, th_array_ndim(y), 2));
            free(x);
            th_array *all[] = {a, kept, y};
            for (int j = 0; j < 3; j++) th_release(all[j]);
          }
}

static double beyond(double x, void *user) { return x * 1000; }
static double plus(double x, double y, void *user) { return x + y; }

Test(ops_functional, results_are_converted_as_astype_does) {
  const double x[] = {-1, 0, 2, 60};
  th_array *wide = th_from_host(x, TH_SHAPE(4), TH_F64, th_cpu(0));
  for (int t = 0; t < TH_DTYPE_COUNT; t++) {
    th_array *a = th_astype(wide, (th_dtype)t), *y = th_map(a, beyond, NULL);
    double *in = values_of(a);
    for (int i = 0; i < 4; i++) in[i] *= 1000;
    th_array *big = th_from_host(in, TH_SHAPE(4), TH_F64, th_cpu(0)),
             *cast = th_astype(big, (th_dtype)t);
    double *expected = values_of(cast);
    cr_assert(eq(int, (int)th_array_dtype(y), t));
    cr_assert(worst_of(y, expected, 4) == 0, "%s", th_dtype_name((th_dtype)t));
    free(in);
    free(expected);
    th_array *all[] = {a, y, big, cast};
    for (int j = 0; j < 4; j++) th_release(all[j]);
  }
  th_release(wide);
}

Test(ops_functional, zip_promotes_and_long_arrays_go_in_pieces) {
  th_array *a = th_arange(0, 100000, 1, TH_I32, th_cpu(0)),
           *b = th_full(TH_SCALAR, 0.5, TH_F64, th_cpu(0));
  th_array *c = th_zip(a, b, plus, NULL), *sum = th_reduce(a, 0, plus, 0.0, false, NULL);
  cr_assert(eq(int, (int)th_array_dtype(c), TH_F64));
  double *x = values_of(c);
  for (int i = 0; i < 100000; i++) cr_assert(x[i] == i + 0.5, "at %d", i);
  cr_assert(eq(int, (int)th_array_dtype(sum), TH_I32)); /* 4999950000 saturates */
  cr_assert(eq(dbl, th_item(sum), INT32_MAX));
  free(x);
  th_array *all[] = {a, b, c, sum};
  for (int j = 0; j < 4; j++) th_release(all[j]);
}

Test(ops_functional, refusals) {
  th_array *a = th_zeros(TH_SHAPE(2, 3), TH_F32, th_cpu(0)),
           *b = th_zeros(TH_SHAPE(2), TH_F32, th_cpu(0));
  cr_assert(th_map(a, NULL, NULL) == NULL);
  cr_assert(failed_with(TH_EINVAL, "map: the function is NULL"));
  cr_assert(th_zip(a, b, plus, NULL) == NULL);
  cr_assert(failed_with(TH_ESHAPE, "zip"));
  cr_assert(th_zip(a, a, NULL, NULL) == NULL);
  cr_assert(failed_with(TH_EINVAL, "zip"));
  cr_assert(th_reduce(a, 2, plus, 0, false, NULL) == NULL);
  cr_assert(failed_with(TH_ESHAPE, "reduce"));
  cr_assert(th_map(NULL, beyond, NULL) == NULL);
  cr_assert(failed_with(TH_EINVAL, "map"));
  th_release(a);
  th_release(b);
}
