/* take_along_axis, put_inplace, masked_fill, nonzero. */
#include "ops/values.h"

TestSuite(ops_along, .timeout = 60, .fini = stop_engine);

#define indices_of(...)                                                                            \
  th_from_host((const int64_t[]){__VA_ARGS__},                                                     \
               TH_SHAPE((int64_t)(sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))),      \
               TH_I64, th_cpu(0))

/* Every axis and layout of a, long enough for several blocks, against a loop over positions. */
Test(ops_along, take_along_axis_at_length) {
  const int64_t shape[] = {30, 40, 50};
  th_array *base = noisy(shape, 3, TH_F32, 1);
  for (int layout = 0; layout < 2; layout++)
    for (int axis = 0; axis < 3; axis++) {
      th_array *a = layout ? th_permute_dims(base, (const int[]){2, 0, 1}, 3) : th_retain(base);
      int64_t sizes[3], counts[3];
      for (int d = 0; d < 3; d++) counts[d] = sizes[d] = th_array_shape(a)[d];
      counts[axis] = 21;
      int64_t n = counts[0] * counts[1] * counts[2];
      int16_t *at = malloc((size_t)n * sizeof *at);
      for (int64_t i = 0; i < n; i++) at[i] = (int16_t)((noise(i) + 2) / 4 * (double)sizes[axis]);
      th_array *indices = th_from_host(at, counts, 3, TH_I16, th_cpu(0));
      th_array *b = th_take_along_axis(a, indices, axis - 3);
      double *got = values_of(b), *from = values_of(a);
      for (int64_t i = 0; i < n; i++) {
        int64_t p[3] = {i / (counts[1] * counts[2]), i / counts[2] % counts[1], i % counts[2]};
        p[axis] = at[i];
        cr_assert(got[i] == from[(p[0] * sizes[1] + p[1]) * sizes[2] + p[2]]);
      }
      free(got);
      free(from);
      free(at);
      th_release(indices);
      th_release(a);
      th_release(b);
    }
  th_release(base);
}

Test(ops_along, other_dimensions_broadcast) {
  th_array *a = vector(10, 11, 12, 20, 21, 22), *i = indices_of(2, 0, 1, 1);
  th_array *m = th_reshape(a, TH_SHAPE(2, 3)), *row = th_reshape(i, TH_SHAPE(1, 4));
  th_array *b = th_take_along_axis(m, row, 1);
  cr_assert(distance_to(b, 12, 10, 11, 11, 22, 20, 21, 21) == 0);
  cr_assert(th_take_along_axis(m, i, 1) == NULL && failed_with(TH_ESHAPE, "take_along_axis"));
  cr_assert(th_take_along_axis(m, m, 1) == NULL && failed_with(TH_EDTYPE, "take_along_axis"));
  th_array *all[] = {a, i, m, row, b};
  for (int j = 0; j < 5; j++) th_release(all[j]);
}

Test(ops_along, index_out_of_range_fails_the_task) {
  th_array *a = vector(1, 2, 3);
  static const int64_t bad[] = {-1, 3, INT64_MIN, INT64_MAX};
  for (int k = 0; k < 4; k++) {
    th_array *i = indices_of(0, 2, bad[k]);
    char wanted[64];
    snprintf(wanted, sizeof wanted, "index %lld at position 2", (long long)bad[k]);
    th_array *b = th_take_along_axis(a, i, 0);
    cr_assert(b != NULL);
    cr_assert(eq(int, th_wait(b), TH_EINVAL));
    cr_assert(strstr(th_last_error(), wanted) != NULL);
    th_release(b);
    cr_assert(eq(int, th_put_inplace(a, i, a), TH_OK));
    cr_assert(eq(int, th_wait(a), TH_EINVAL));
    th_release(i);
    th_release(a);
    a = vector(1, 2, 3);
  }
  th_release(a);
  th_wait_all();
}

Test(ops_along, put_rows_the_last_one_stays) {
  th_array *a = th_zeros(TH_SHAPE(4, 2), TH_F64, th_cpu(0)), *i = indices_of(2, 0, 2);
  th_array *b = th_arange(1, 7, 1, TH_I32, th_cpu(0)), *rows = th_reshape(b, TH_SHAPE(3, 2));
  cr_assert(eq(int, th_put_inplace(a, i, rows), TH_OK));
  cr_assert(distance_to(a, 3, 4, 0, 0, 5, 6, 0, 0) == 0);
  th_array *view = th_slice(a, "::-1, :1");
  th_array *column = th_slice(rows, ":, 1:");
  cr_assert(eq(int, th_put_inplace(view, i, column), TH_OK));
  cr_assert(distance_to(a, 3, 4, 6, 0, 5, 6, 4, 0) == 0);
  cr_assert(eq(int, th_put_inplace(a, i, a), TH_ESHAPE));
  th_array *all[] = {a, i, b, rows, view, column};
  for (int j = 0; j < 6; j++) th_release(all[j]);
}

Test(ops_along, masks) {
  th_array *a = vector(1, NAN, 3), *mask = th_isnan(a), *b = th_masked_fill(a, mask, -1);
  cr_assert(distance_to(b, 1, -1, 3) == 0);
  th_array *wide = th_zeros(TH_SHAPE(2, 3), TH_U8, th_cpu(0));
  cr_assert(eq(int, th_masked_fill_inplace(wide, mask, 5), TH_OK));
  cr_assert(distance_to(wide, 0, 5, 0, 0, 5, 0) == 0);
  cr_assert(eq(int, th_masked_fill_inplace(a, wide, 5), TH_EDTYPE));
  cr_assert(th_masked_fill(a, a, 5) == NULL && failed_with(TH_EDTYPE, "masked_fill"));
  th_array *all[] = {a, mask, b, wide};
  for (int j = 0; j < 4; j++) th_release(all[j]);
}

/* Over the ends of lines, pieces and blocks; zeros of both signs, NaN, and a step. */
Test(ops_along, nonzero_at_length) {
  enum { ROWS = 61, COLUMNS = 700 };
  static float x[ROWS * COLUMNS];
  for (int i = 0; i < ROWS * COLUMNS; i++)
    x[i] = i % 7 == 0 ? NAN : i % 3 == 0 ? -0.0f : i % 5 == 0 ? 0 : (float)i;
  th_array *whole = th_from_host(x, TH_SHAPE(ROWS, COLUMNS), TH_F32, th_cpu(0));
  for (int apart = 1; apart <= 2; apart++) {
    th_array *a = th_slice(whole, apart == 1 ? "..." : ":, ::2"), *places[2];
    static int64_t rows[ROWS * COLUMNS], columns[ROWS * COLUMNS];
    cr_assert(eq(int, th_nonzero(a, places), TH_OK));
    int64_t n = th_array_shape(places[0])[0], found = 0;
    cr_assert(eq(int, th_read(places[0], rows, (size_t)n * sizeof *rows), TH_OK));
    cr_assert(eq(int, th_read(places[1], columns, (size_t)n * sizeof *columns), TH_OK));
    for (int i = 0; i < ROWS; i++)
      for (int j = 0; j < COLUMNS / apart; j++) {
        if (x[i * COLUMNS + j * apart] == 0) continue;
        cr_assert(found < n && rows[found] == i && columns[found] == j, "place %d", (int)found);
        found++;
      }
    cr_assert(found == n);
    th_release(a);
    for (int d = 0; d < 2; d++) th_release(places[d]);
  }
  th_release(whole);
}

Test(ops_along, nonzero) {
  th_array *noise_ = noisy(TH_SHAPE(130, 7, 90), TH_F32, 1), *places[3];
  th_array *few = th_greater_scalar(noise_, 1.7),
           *turned = th_permute_dims(few, (const int[]){2, 1, 0}, 3);
  cr_assert(eq(int, th_nonzero(turned, places), TH_OK));
  double *mask = values_of(turned), *p[3];
  for (int d = 0; d < 3; d++) p[d] = values_of(places[d]);
  int64_t found = 0, n = th_array_size(places[0]);
  for (int64_t i = 0; i < 90 * 7 * 130; i++) {
    if (mask[i] == 0) continue;
    cr_assert(found < n);
    cr_assert(p[0][found] * 910 + p[1][found] * 130 + p[2][found] == (double)i);
    found++;
  }
  cr_assert(found == n && n > 100);
  free(mask);
  for (int d = 0; d < 3; d++) {
    free(p[d]);
    th_release(places[d]);
  }
  th_array *none = th_zeros(TH_SHAPE(5), TH_I8, th_cpu(0)),
           *zero = th_zeros(TH_SCALAR, TH_F32, th_cpu(0));
  cr_assert(eq(int, th_nonzero(none, places), TH_OK));
  cr_assert(eq(i64, th_array_size(places[0]), 0));
  th_release(places[0]);
  cr_assert(eq(int, th_nonzero(zero, places), TH_ESHAPE));
  th_array *meta = th_zeros(TH_SHAPE(5), TH_I8, th_meta());
  cr_assert(eq(int, th_nonzero(meta, places), TH_ENODATA));
  th_array *all[] = {noise_, few, turned, none, zero, meta};
  for (int j = 0; j < 6; j++) th_release(all[j]);
}
