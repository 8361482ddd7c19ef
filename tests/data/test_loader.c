/* The loader: every row once per epoch, seeds, prefetching that changes nothing, refusals. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "support/arrays.h"

TestSuite(loader, .timeout = 60, .fini = stop_engine);

enum { N = 103, MOST = 4 * N };

/* Runs epochs over rows (i, 10 i) and notes the second column in order; returns how many rows came. */
static int walk(const th_loader_options *options, int epochs, double *out, int *batches) {
  th_array *x = th_arange(0, N, 1, TH_F64, th_cpu(0));
  th_array *column = th_multiply_scalar(x, 10), *pair = th_stack(TH_ARRAYS(x, column), 1);
  th_loader *l = th_loader_new(TH_ARRAYS(x, pair), options);
  cr_assert(ne(ptr, l, NULL), "%s", th_last_error());
  int n = 0;
  *batches = 0;
  for (int e = 0; e < epochs; e++) {
    th_array *batch[2];
    int64_t rows, in_epoch = 0;
    while ((rows = th_loader_next(l, batch)) > 0) {
      double a[N], b[2 * N];
      cr_assert(eq(i64, th_array_shape(batch[0])[0], rows));
      cr_assert(eq(i64, th_array_shape(batch[1])[0], rows));
      cr_assert(eq(int, th_read(batch[0], a, (size_t)rows * sizeof(double)), TH_OK));
      cr_assert(eq(int, th_read(batch[1], b, (size_t)rows * 2 * sizeof(double)), TH_OK));
      for (int64_t i = 0; i < rows; i++) {
        cr_assert(a[i] == b[2 * i] && b[2 * i + 1] == 10 * a[i], "columns are out of step");
        out[n++] = a[i];
      }
      th_release(batch[0]);
      th_release(batch[1]);
      in_epoch++;
      (*batches)++;
    }
    cr_assert(eq(i64, rows, 0), "%s", th_last_error());
    cr_assert(eq(i64, in_epoch, th_loader_batches(l)));
  }
  th_loader_release(l);
  th_release(x);
  th_release(column);
  th_release(pair);
  return n;
}

static bool each_once(const double *rows, int n) {
  int seen[N] = {0};
  for (int i = 0; i < n; i++) seen[(int)rows[i]]++;
  for (int i = 0; i < N; i++) {
    if (seen[i] != 1) return false;
  }
  return n == N;
}

Test(loader, order_and_last_batch) {
  double rows[MOST];
  int batches;
  th_loader_options o = {.batch = 10};
  cr_assert(eq(int, walk(&o, 1, rows, &batches), N));
  cr_assert(eq(int, batches, 11));
  for (int i = 0; i < N; i++) cr_assert(rows[i] == i, "row %d is %g", i, rows[i]);
  o.drop_last = true;
  cr_assert(eq(int, walk(&o, 1, rows, &batches), 100));
  cr_assert(eq(int, batches, 10));
  o.batch = 1000;
  cr_assert(eq(int, walk(&o, 2, rows, &batches), 0), "no full batch exists");
  cr_assert(eq(int, walk(NULL, 1, rows, &batches), N));
  cr_assert(eq(int, batches, 4), "32 rows by default");
}

Test(loader, shuffles_by_seed_and_epoch) {
  double a[MOST], b[MOST], c[MOST];
  int batches;
  th_loader_options o = {.batch = 8, .shuffle = true, .seed = 1};
  cr_assert(eq(int, walk(&o, 2, a, &batches), 2 * N));
  cr_assert(each_once(a, N) && each_once(a + N, N), "each row exactly once per epoch");
  cr_assert(memcmp(a, a + N, N * sizeof(double)) != 0, "epochs differ");
  walk(&o, 2, b, &batches);
  cr_assert(zero(memcmp(a, b, 2 * N * sizeof(double))), "same seed, same order");
  o.seed = 2;
  walk(&o, 2, c, &batches);
  cr_assert(memcmp(a, c, N * sizeof(double)) != 0, "another seed, another order");
}

Test(loader, prefetch_changes_nothing) {
  double wanted[MOST], got[MOST];
  int batches;
  th_loader_options o = {.batch = 16, .shuffle = true, .seed = 9, .prefetch = TH_NO_PREFETCH};
  int n = walk(&o, 3, wanted, &batches);
  static const int depths[] = {0, 1, 4, 50};
  for (size_t i = 0; i < 4; i++) {
    o.prefetch = depths[i];
    cr_assert(eq(int, walk(&o, 3, got, &batches), n));
    cr_assert(zero(memcmp(wanted, got, (size_t)n * sizeof(double))), "prefetch %d", depths[i]);
  }
}

Test(loader, submits_ahead_and_may_be_left_early) {
  th_array *x = th_arange(0, N, 1, TH_F64, th_cpu(0)), *batch;
  th_loader *l = th_loader_new(TH_ARRAYS(x), &(th_loader_options){.batch = 10, .prefetch = 4});
  th_engine_stats before = {.size = sizeof(before)}, after = {.size = sizeof(after)};
  cr_assert(eq(int, th_wait_all(), TH_OK));
  th_engine_get_stats(&before);
  cr_assert(eq(i64, th_loader_next(l, &batch), 10));
  th_engine_get_stats(&after);
  cr_assert(eq(u64, after.submitted - before.submitted, 5), "this batch and four ahead");
  th_release(batch);
  th_loader_release(l);
  th_release(x);
}

Test(loader, batches_are_copies) {
  th_array *x = th_arange(0, 4, 1, TH_F64, th_cpu(0)), *batch;
  th_loader *l = th_loader_new(TH_ARRAYS(x), &(th_loader_options){.batch = 2});
  cr_assert(eq(i64, th_loader_next(l, &batch), 2));
  th_fill(batch, 9);
  cr_assert(eq(dbl, distance_to(x, 0, 1, 2, 3), 0));
  th_release(batch);
  th_loader_release(l);
  th_release(x);
}

Test(loader, works_with_scopes) {
  th_array *x = th_arange(0, 20, 1, TH_F64, th_cpu(0));
  th_loader *l = th_loader_new(TH_ARRAYS(x), &(th_loader_options){.batch = 4, .shuffle = true});
  int64_t total = 0, rows;
  do {
    th_scope scope = th_scope_begin();
    th_array *batch;
    rows = th_loader_next(l, &batch);
    if (rows > 0) total += (int64_t)th_array_size(th_add_scalar(batch, 1));
    th_scope_end(scope);
  } while (rows > 0);
  cr_assert(eq(i64, total, 20));
  th_loader_release(l);
  th_release(x);
}

Test(loader, refusals) {
  th_array *x = th_zeros(TH_SHAPE(4, 2), TH_F32, th_cpu(0)),
           *y = th_zeros(TH_SHAPE(5), TH_F32, th_cpu(0));
  th_array *dot = th_zeros(TH_SCALAR, TH_F32, th_cpu(0)),
           *shape = th_zeros(TH_SHAPE(4), TH_F32, th_meta());
  cr_assert(zero(ptr, th_loader_new(TH_ARRAYS(x, y), NULL)));
  cr_assert(eq(int, th_last_status(), TH_ESHAPE));
  cr_assert(zero(ptr, th_loader_new(TH_ARRAYS(dot), NULL)));
  cr_assert(eq(int, th_last_status(), TH_ESHAPE));
  cr_assert(zero(ptr, th_loader_new(TH_ARRAYS(x, shape), NULL)));
  cr_assert(eq(int, th_last_status(), TH_EDEVICE));
  cr_assert(strstr(th_last_error(), "meta") != NULL, "%s", th_last_error());
  th_array *many[9] = {x, x, x, x, x, x, x, x, x};
  cr_assert(zero(ptr, th_loader_new(many, 0, NULL)));
  cr_assert(zero(ptr, th_loader_new(many, 9, NULL)));
  cr_assert(zero(ptr, th_loader_new(TH_ARRAYS(x), &(th_loader_options){.batch = -1})));
  cr_assert(zero(ptr, th_loader_new(TH_ARRAYS(x), &(th_loader_options){.prefetch = -2})));
  th_clear_error();
  cr_assert(zero(ptr, th_loader_new(TH_ARRAYS(x, NULL), NULL)));
  cr_assert(strstr(th_last_error(), "column 1 is NULL") != NULL, "%s", th_last_error());
  cr_assert(eq(i64, th_loader_next(NULL, NULL), TH_EINVAL));
  th_loader_release(NULL);
  th_array *all[] = {x, y, dot, shape};
  for (int i = 0; i < 4; i++) th_release(all[i]);
}

/* --- positions --- */

/* The rest of a walk, as first elements of the batches' sums. */
static int rest_of(th_loader *l, int batches, double *out) {
  int n = 0;
  th_array *batch;
  while (n < batches) {
    int64_t rows = th_loader_next(l, &batch);
    cr_assert(rows >= 0, "%s", th_last_error());
    if (rows == 0) {
      out[n++] = -1;
      continue;
    }
    th_array *weighted = th_sum(batch, NULL, 0, false);
    out[n++] = th_item(weighted);
    th_release(weighted);
    th_release(batch);
  }
  return n;
}

/* Adds 1000 times a random number: what a batch gets must depend on the batch alone. */
static th_status add_noise(th_array **batch, int n, th_generator *g, void *user) {
  (*(int *)user)++;
  th_array *noise = th_uniform(g, th_array_shape(batch[0]), 1, 0, 1000, TH_F64, th_cpu(0));
  th_array *noisy = th_add(batch[0], noise);
  th_release(noise);
  if (noisy == NULL) return th_last_status();
  th_release(batch[0]);
  batch[0] = noisy;
  return TH_OK;
}

Test(loader, goes_on_from_any_position_whatever_the_prefetch) {
  enum { BATCHES = 36 }; /* 11 and an end per epoch */
  th_array *x = th_arange(0, N, 1, TH_F64, th_cpu(0));
  int calls = 0;
  for (int repeat = 0; repeat < 2; repeat++) {
    th_loader_options o = {.batch = 10,
                           .shuffle = true,
                           .seed = 3,
                           .repeat = repeat,
                           .transform = add_noise,
                           .transform_user = &calls,
                           .prefetch = TH_NO_PREFETCH};
    double wanted[BATCHES], got[BATCHES];
    th_loader *l = th_loader_new(TH_ARRAYS(x), &o);
    rest_of(l, BATCHES, wanted);
    cr_assert(eq(int, wanted[11] < 0, !repeat), "the end of an epoch");
    th_loader_release(l);
    for (int at = 0; at < BATCHES - 1; at += 5) {
      int64_t epoch = -1, batch = -1;
      o.prefetch = at % 2 ? 4 : 30;
      l = th_loader_new(TH_ARRAYS(x), &o);
      rest_of(l, at, got);
      cr_assert(eq(int, th_loader_state(l, &epoch, &batch), TH_OK));
      int per_epoch = repeat ? 11 : 12;
      cr_assert(epoch == at / per_epoch && batch == at % per_epoch, "%d: %d, %d", at, (int)epoch,
                (int)batch);
      th_loader_release(l);
      o.prefetch = at % 3 ? TH_NO_PREFETCH : 3;
      l = th_loader_new(TH_ARRAYS(x), &o);
      rest_of(l, at % 4, got); /* it may have begun elsewhere */
      cr_assert(eq(int, th_loader_seek(l, epoch, batch), TH_OK));
      rest_of(l, BATCHES - at, got);
      cr_assert(zero(memcmp(got, wanted + at, (size_t)(BATCHES - at) * sizeof *got)), "from %d",
                at);
      th_loader_release(l);
    }
  }
  cr_assert(gt(int, calls, 0));
  th_release(x);
}

Test(loader, positions_are_checked) {
  th_array *x = th_arange(0, N, 1, TH_F64, th_cpu(0)), *batch;
  th_loader *l = th_loader_new(TH_ARRAYS(x), &(th_loader_options){.batch = 10, .drop_last = true});
  cr_assert(eq(int, th_loader_seek(l, -1, 0), TH_EINVAL));
  cr_assert(eq(int, th_loader_seek(l, 0, -1), TH_EINVAL));
  cr_assert(eq(int, th_loader_seek(l, 0, 11), TH_EINVAL));
  cr_assert(strstr(th_last_error(), "epoch 0, batch 11 of 10") != NULL, "%s", th_last_error());
  cr_assert(eq(int, th_loader_seek(NULL, 0, 0), TH_EINVAL));
  cr_assert(eq(int, th_loader_state(NULL, NULL, NULL), TH_EINVAL));
  cr_assert(eq(int, th_loader_state(l, NULL, NULL), TH_OK));
  cr_assert(eq(int, th_loader_seek(l, 5, 10), TH_OK));
  cr_assert(eq(i64, th_loader_next(l, &batch), 0), "an epoch's end is a position, too");
  int64_t epoch, at;
  cr_assert(eq(int, th_loader_state(l, &epoch, &at), TH_OK));
  cr_assert(epoch == 6 && at == 0);
  th_loader_release(l);
  th_loader_options none = {.batch = N + 1, .drop_last = true, .repeat = true};
  cr_assert(zero(ptr, th_loader_new(TH_ARRAYS(x), &none)), "nothing to repeat");
  th_release(x);
}

static th_status fail_at_third(th_array **batch, int n, th_generator *g, void *user) {
  if (++*(int *)user != 3) return TH_OK;
  th_release(batch[0]);
  batch[0] = NULL;
  th_zeros(TH_SHAPE(-1), TH_F32, th_cpu(0));
  return th_last_status();
}

Test(loader, a_transform_may_fail) {
  th_array *x = th_arange(0, 8, 1, TH_F64, th_cpu(0)), *batch;
  int calls = 0;
  th_loader_options o = {
      .batch = 2, .prefetch = TH_NO_PREFETCH, .transform = fail_at_third, .transform_user = &calls};
  th_loader *l = th_loader_new(TH_ARRAYS(x), &o);
  double first[] = {0, 2, -1, 4, 6};
  for (int i = 0; i < 5; i++) {
    int64_t rows = th_loader_next(l, &batch);
    if (first[i] < 0) {
      cr_assert(eq(i64, rows, TH_ESHAPE));
      continue;
    }
    cr_assert(eq(i64, rows, 2), "%s", th_last_error());
    cr_assert(eq(dbl, distance_to(batch, first[i], first[i] + 1), 0), "the batch comes again");
    th_release(batch);
  }
  cr_assert(eq(i64, th_loader_next(l, &batch), 0));
  th_loader_release(l);
  th_release(x);
}
