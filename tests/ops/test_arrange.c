/* moveaxis, unstack, diagonal, repeat, tile, roll, pad. */
#include "ops/values.h"

TestSuite(ops_arrange, .timeout = 60, .fini = stop_engine);

/* Whether it has this shape. */
static bool has_shape(const th_array *a, const int64_t *shape, int ndim) {
  if (!a || th_array_ndim(a) != ndim) return false;
  for (int d = 0; d < ndim; d++)
    if (th_array_shape(a)[d] != shape[d]) return false;
  return true;
}

static th_array *counted(const int64_t *shape, int ndim) {
  int64_t n = 1;
  for (int d = 0; d < ndim; d++) n *= shape[d];
  th_array *flat = th_arange(0, (double)n, 1, TH_F64, th_cpu(0));
  th_array *a = th_reshape(flat, shape, ndim);
  th_release(flat);
  return a;
}

static double at(th_array *a, const char *place) {
  th_array *one = th_slice(a, place);
  double value = th_item(one);
  th_release(one);
  return value;
}

Test(ops_arrange, moveaxis) {
  th_array *a = counted(TH_SHAPE(2, 3, 4));
  th_array *b = th_moveaxis(a, (const int[]){0}, (const int[]){-1}, 1);
  th_array *c = th_moveaxis(a, (const int[]){2, 0}, (const int[]){0, 1}, 2);
  cr_assert(has_shape(b, TH_SHAPE(3, 4, 2)) && th_array_shares(a, b));
  cr_assert(has_shape(c, TH_SHAPE(4, 2, 3)));
  cr_assert(at(b, "2, 1, 1") == at(a, "1, 2, 1") && at(c, "3, 1, 0") == at(a, "1, 0, 3"));
  cr_assert(th_moveaxis(a, (const int[]){0, -3}, (const int[]){1, 2}, 2) == NULL);
  cr_assert(failed_with(TH_EINVAL, "moveaxis"));
  cr_assert(th_moveaxis(a, (const int[]){3}, (const int[]){0}, 1) == NULL);
  cr_assert(failed_with(TH_ESHAPE, "moveaxis"));
  th_release(a);
  th_release(b);
  th_release(c);
}

Test(ops_arrange, unstack) {
  th_array *a = counted(TH_SHAPE(2, 3)), *parts[3], *none[1];
  cr_assert(eq(int, th_unstack(a, 1, parts), TH_OK));
  for (int i = 0; i < 3; i++) {
    cr_assert(distance_to(parts[i], i, i + 3) == 0 && th_array_shares(parts[i], a));
    th_release(parts[i]);
  }
  th_scope scope = th_scope_begin();
  cr_assert(eq(int, th_unstack(a, -2, parts), TH_OK));
  cr_assert(distance_to(parts[1], 3, 4, 5) == 0);
  th_scope_end(scope);
  cr_assert(eq(int, th_unstack(a, 2, parts), TH_ESHAPE));
  cr_assert(eq(int, th_unstack(NULL, 0, parts), TH_EINVAL));
  th_array *empty = th_zeros(TH_SHAPE(3, 0), TH_F32, th_cpu(0));
  cr_assert(eq(int, th_unstack(empty, 1, none), TH_OK));
  th_release(empty);
  th_release(a);
}

Test(ops_arrange, diagonal_and_trace) {
  th_array *a = counted(TH_SHAPE(3, 4));
  static const struct {
    int64_t offset, n;
    double first, last, sum;
  } wanted[] = {{0, 3, 0, 10, 15}, {1, 3, 1, 11, 18}, {-2, 1, 8, 8, 8},       {3, 1, 3, 3, 3},
                {4, 0, 0, 0, 0},   {-3, 0, 0, 0, 0},  {INT64_MAX, 0, 0, 0, 0}};
  for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
    th_array *d = th_diagonal(a, wanted[i].offset), *t = th_trace(a, wanted[i].offset);
    cr_assert(eq(i64, th_array_size(d), wanted[i].n));
    cr_assert(wanted[i].n == 0 || (at(d, "0") == wanted[i].first && at(d, "-1") == wanted[i].last));
    cr_assert(th_item(t) == wanted[i].sum);
    th_release(d);
    th_release(t);
  }
  th_array *d = th_diagonal(a, 0); /* a writable view */
  cr_assert(eq(int, th_fill(d, 7), TH_OK));
  cr_assert(at(a, "1, 1") == 7 && at(a, "1, 2") == 6);
  cr_assert(th_diagonal(d, 0) == NULL);
  cr_assert(failed_with(TH_ESHAPE, "diagonal"));
  th_release(d);
  th_release(a);
}

Test(ops_arrange, repeat_and_tile) {
  th_array *a = counted(TH_SHAPE(2, 2));
  th_array *r = th_repeat(a, 2, 1), *s = th_repeat(a, 3, 0), *none = th_repeat(a, 0, 0);
  cr_assert(distance_to(r, 0, 0, 1, 1, 2, 2, 3, 3) == 0);
  cr_assert(distance_to(s, 0, 1, 0, 1, 0, 1, 2, 3, 2, 3, 2, 3) == 0);
  cr_assert(has_shape(none, TH_SHAPE(0, 2)));
  th_array *once = th_repeat(a, 1, 0); /* a copy, not a view */
  cr_assert(distance_to(once, 0, 1, 2, 3) == 0 && !th_array_shares(once, a));
  th_array *t = th_tile(a, (const int64_t[]){2}, 1), *u = th_tile(a, (const int64_t[]){2, 1, 2}, 3);
  cr_assert(has_shape(t, TH_SHAPE(2, 4)) && has_shape(u, TH_SHAPE(2, 2, 4)));
  cr_assert(distance_to(t, 0, 1, 0, 1, 2, 3, 2, 3) == 0);
  cr_assert(distance_to(u, 0, 1, 0, 1, 2, 3, 2, 3, 0, 1, 0, 1, 2, 3, 2, 3) == 0);
  cr_assert(th_tile(a, (const int64_t[]){-1}, 1) == NULL);
  cr_assert(failed_with(TH_EINVAL, "tile"));
  cr_assert(th_repeat(a, -1, 0) == NULL);
  cr_assert(failed_with(TH_EINVAL, "repeat"));
  th_array *all[] = {a, r, s, none, once, t, u};
  for (int i = 0; i < 7; i++) th_release(all[i]);
}

/* Eight dimensions leave no room for more: repetition goes dimension by dimension. */
Test(ops_arrange, repeats_of_every_size_and_number) {
  static const th_dtype types[] = {TH_U8, TH_F16, TH_F32, TH_F64};
  th_array *counts = counted((const int64_t[]){3, 70}, 2);
  for (int t = 0; t < 4; t++)
    for (int64_t times = 1; times <= 6; times++)
      for (int apart = 0; apart < 2; apart++) {
        th_array *whole = th_astype(counts, types[t]);
        th_array *a = apart ? th_slice(whole, ":, ::2") : th_retain(whole);
        th_array *r = th_repeat(a, times, 1), *wide = th_astype(r, TH_F64);
        double got[3 * 70 * 6];
        int64_t n = 70 / (1 + apart) * times;
        cr_assert(has_shape(r, (const int64_t[]){3, n}, 2));
        cr_assert(eq(int, th_read(wide, got, (size_t)(3 * n) * sizeof *got), TH_OK));
        for (int64_t i = 0; i < 3 * n; i++)
          cr_assert(got[i] == (double)(i / n * 70 + i % n / times * (1 + apart)), "element %d",
                    (int)i);
        th_array *all[] = {whole, a, r, wide};
        for (int j = 0; j < 4; j++) th_release(all[j]);
      }
  th_release(counts);
}

Test(ops_arrange, eight_dimensions_are_repeated) {
  th_array *a = counted(TH_SHAPE(2, 1, 2, 1, 2, 1, 1, 2));
  th_array *t = th_tile(a, (const int64_t[]){2, 3, 1, 1, 2, 1, 1, 2}, 8), *r = th_repeat(a, 2, 4);
  cr_assert(has_shape(t, TH_SHAPE(4, 3, 2, 1, 4, 1, 1, 4)));
  cr_assert(has_shape(r, TH_SHAPE(2, 1, 2, 1, 4, 1, 1, 2)));
  cr_assert(at(t, "3, 2, 1, 0, 3, 0, 0, 3") == at(a, "1, 0, 1, 0, 1, 0, 0, 1"));
  cr_assert(at(t, "2, 0, 1, 0, 3, 0, 0, 2") == at(a, "0, 0, 1, 0, 1, 0, 0, 0"));
  cr_assert(at(r, "1, 0, 0, 0, 3, 0, 0, 1") == at(a, "1, 0, 0, 0, 1, 0, 0, 1"));
  cr_assert(at(r, "1, 0, 0, 0, 1, 0, 0, 0") == at(a, "1, 0, 0, 0, 0, 0, 0, 0"));
  th_release(a);
  th_release(t);
  th_release(r);
}

Test(ops_arrange, roll) {
  th_array *a = counted(TH_SHAPE(3, 4));
  for (int64_t down = -5; down <= 5; down++)
    for (int64_t right = -3; right <= 9; right += 3) {
      th_array *b = th_roll(a, (const int64_t[]){down, right}, (const int[]){0, -1}, 2);
      double *got = values_of(b);
      for (int64_t i = 0; i < 12; i++) {
        int64_t row = (i / 4 - down % 3 + 6) % 3, column = (i % 4 - right % 4 + 8) % 4;
        cr_assert(got[i] == (double)(row * 4 + column));
      }
      free(got);
      th_release(b);
    }
  th_array *flat = th_roll(a, (const int64_t[]){1}, NULL, 1);
  th_array *twice = th_roll(a, (const int64_t[]){1, 1}, (const int[]){1, 1}, 2);
  cr_assert(at(flat, "0, 0") == 11 && at(flat, "1, 0") == 3);
  cr_assert(at(twice, "0, 0") == 2 && has_shape(flat, TH_SHAPE(3, 4)));
  cr_assert(th_roll(a, (const int64_t[]){1}, (const int[]){2}, 1) == NULL);
  cr_assert(failed_with(TH_ESHAPE, "roll"));
  th_release(flat);
  th_release(twice);
  th_release(a);
}

Test(ops_arrange, pad) {
  th_array *a = counted(TH_SHAPE(2, 2));
  th_array *b = th_pad(a, (const int64_t[]){1, 0}, (const int64_t[]){0, 2}, -1);
  cr_assert(has_shape(b, TH_SHAPE(3, 4)));
  cr_assert(distance_to(b, -1, -1, -1, -1, 0, 1, -1, -1, 2, 3, -1, -1) == 0);
  th_array *same = th_pad(a, NULL, NULL, 9);
  cr_assert(distance_to(same, 0, 1, 2, 3) == 0);
  th_array *none = th_zeros(TH_SHAPE(0, 2), TH_I8, th_cpu(0));
  th_array *only =
      th_pad(none, (const int64_t[]){1, 1}, NULL, 300); /* wraps or saturates as cast */
  cr_assert(has_shape(only, TH_SHAPE(1, 3)));
  cr_assert(th_pad(a, (const int64_t[]){-1, 0}, NULL, 0) == NULL);
  cr_assert(failed_with(TH_EINVAL, "pad"));
  th_array *all[] = {a, b, same, none, only};
  for (int i = 0; i < 5; i++) th_release(all[i]);
}

/* Results through a program's scope, and gradients of functions without records. */
static th_array *composed(th_array *const *in, int n, void *user) {
  th_scope scope = th_scope_begin();
  th_array *parts[2];
  th_array *a = th_tile(in[0], (const int64_t[]){2, 1, 2}, 3);
  a = th_moveaxis(th_repeat(a, 2, -1), (const int[]){0}, (const int[]){2}, 1);
  if (th_unstack(a, 2, parts) != TH_OK) return NULL;
  a = th_add(th_trace(th_roll(parts[0], (const int64_t[]){3}, NULL, 1), 1), th_square(parts[1]));
  a = th_keep(a);
  th_scope_end(scope);
  return a;
}

Test(ops_arrange, gradients_agree_with_differences) {
  th_array *in[] = {noisy(TH_SHAPE(3, 2), TH_F64, 1)};
  double worst = 0;
  th_status status = th_grad_check(composed, in, 1, NULL, 1e-5, 1e-7, &worst);
  cr_assert(status == TH_OK, "%g, %s", worst, th_last_error());
  th_release(in[0]);
}
