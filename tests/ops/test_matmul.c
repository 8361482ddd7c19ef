#include "tests/ops/values.h"

TestSuite(ops_matmul, .timeout = 60, .fini = stop_engine);

/* c (m, n) = a (m, k) b (k, n) on rows-first values. */
static void naive(const double *a, const double *b, double *c, int64_t m, int64_t n, int64_t k) {
  for (int64_t i = 0; i < m; i++)
    for (int64_t j = 0; j < n; j++) {
      double sum = 0;
      for (int64_t p = 0; p < k; p++) sum += a[i * k + p] * b[p * n + j];
      c[i * n + j] = sum;
    }
}

/* (rows, columns) in one of LAYOUTS ways: contiguous, transposed, rows padded, stepped both ways, reversed, broadcast. */
enum { LAYOUTS = 6 };
static th_array *matrix(int layout, int64_t rows, int64_t columns, th_dtype t) {
  th_array *base, *view;
  char spec[64];
  switch (layout) {
  case 0: return noisy(TH_SHAPE(rows, columns), t, 1);
  case 1:
    base = noisy(TH_SHAPE(columns, rows), t, 1);
    view = th_matrix_transpose(base);
    break;
  case 2:
    base = noisy(TH_SHAPE(rows, columns + 5), t, 1);
    snprintf(spec, sizeof spec, ":, 2:%d", (int)columns + 2);
    view = th_slice(base, spec);
    break;
  case 3:
    base = noisy(TH_SHAPE(2 * rows, 3 * columns), t, 1);
    view = th_slice(base, "::2, ::3");
    break;
  case 4:
    base = noisy(TH_SHAPE(rows, columns), t, 1);
    view = th_slice(base, "::-1, ::-1");
    break;
  default:
    base = noisy(TH_SHAPE(1, columns), t, 1);
    view = th_broadcast_to(base, TH_SHAPE(rows, columns));
  }
  cr_assert(view != NULL, "layout %d: %s", layout, th_last_error());
  th_release(base);
  return view;
}

static double tolerance(th_dtype t) {
  if (t == TH_F64) return 1e-12;
  return t == TH_F32 ? 2e-5 : t == TH_F16 ? 4e-3 : t == TH_BF16 ? 4e-2 : 0;
}

static void check(th_array *a, th_array *b, int64_t m, int64_t n, int64_t k, const char *what) {
  double *x = values_of(a), *y = values_of(b);
  double *expected = malloc((size_t)(m * n + 1) * sizeof *expected);
  naive(x, y, expected, m, n, k);
  th_array *c = th_matmul(a, b);
  double worst = worst_of(c, expected, m * n);
  double longer = fmax(1, (double)k / 64); /* sums of more terms round more often */
  cr_assert(worst <= tolerance(th_array_dtype(a)) * longer, "%s: %dx%d x %dx%d: off by %g", what,
            (int)m, (int)k, (int)k, (int)n, worst);
  th_release(c);
  free(expected);
  free(x);
  free(y);
}

Test(ops_matmul, every_layout_type_and_size_agrees_with_the_naive_loop) {
  const int64_t sizes[][3] = {{1, 1, 1}, {1, 7, 5},    {7, 1, 5}, {5, 7, 1}, {1, 1, 9},
                              {3, 4, 5}, {65, 33, 17}, {4, 3, 0}, {0, 3, 2}};
  const th_dtype types[] = {TH_F32, TH_F64, TH_F16, TH_BF16, TH_I64, TH_I32};
  for (size_t t = 0; t < sizeof types / sizeof *types; t++)
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
      for (int la = 0; la < LAYOUTS; la++)
        for (int lb = 0; lb < LAYOUTS; lb++) {
          int64_t m = sizes[s][0], n = sizes[s][1], k = sizes[s][2];
          if (m * n * k == 0 && (la > 1 || lb > 1)) continue;
          th_array *a = matrix(la, m, k, types[t]), *b = matrix(lb, k, n, types[t]);
          char what[64];
          snprintf(what, sizeof what, "%s, layouts %d and %d", th_dtype_name(types[t]), la, lb);
          check(a, b, m, n, k, what);
          th_release(a);
          th_release(b);
        }
}

Test(ops_matmul, tiled_sizes_agree_with_the_naive_loop) {
  const int64_t sizes[][3] = {{100, 10, 784}, {784, 32, 100}, {128, 128, 128}, {200, 170, 90},
                              {33, 300, 600}, {600, 33, 513}, {1, 2000, 700},  {2000, 1, 700}};
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
    for (int layouts = 0; layouts < 4; layouts++) {
      int64_t m = sizes[s][0], n = sizes[s][1], k = sizes[s][2];
      th_array *a = matrix(layouts % 2, m, k, TH_F64), *b = matrix(layouts / 2, k, n, TH_F64);
      check(a, b, m, n, k, "tiled");
      th_release(a);
      th_release(b);
    }
}

Test(ops_matmul, a_large_product_is_close_to_exact) {
  th_array *a = noisy(TH_SHAPE(1000, 1000), TH_F64, 0.5), *b = th_matrix_transpose(a);
  th_array *c = th_matmul(a, b);
  double *x = values_of(a), *z = values_of(c);
  for (int i = 0; i < 1000; i += 37)
    for (int j = 0; j < 1000; j += 41) {
      double sum = 0;
      for (int p = 0; p < 1000; p++) sum += x[i * 1000 + p] * x[j * 1000 + p];
      cr_assert(fabs(z[i * 1000 + j] - sum) < 1e-10, "at (%d, %d)", i, j);
    }
  free(x);
  free(z);
  th_release(a);
  th_release(b);
  th_release(c);
}

Test(ops_matmul, leading_dimensions_broadcast) {
  /* batch dimensions of a, of b; matrices are (2, 3) and (3, 4) */
  const struct {
    int na, nb;
    int64_t a[3], b[3], out[3];
  } rows[] = {{1, 0, {5}, {0}, {5}},          {0, 1, {0}, {5}, {5}},
              {1, 1, {5}, {5}, {5}},          {2, 1, {2, 5}, {5}, {2, 5}},
              {2, 2, {2, 1}, {1, 5}, {2, 5}}, {1, 1, {1}, {3}, {3}},
              {1, 1, {0}, {1}, {0}},          {3, 1, {2, 1, 2}, {3}, {2, 3, 2}}};
  for (size_t r = 0; r + 1 < sizeof rows / sizeof *rows; r++) {
    int64_t sa[5], sb[5];
    int na = rows[r].na, nb = rows[r].nb, no = na > nb ? na : nb;
    memcpy(sa, rows[r].a, sizeof rows[r].a);
    memcpy(sb, rows[r].b, sizeof rows[r].b);
    sa[na] = 2, sa[na + 1] = 3, sb[nb] = 3, sb[nb + 1] = 4;
    th_array *a = noisy(sa, na + 2, TH_F64, 1), *b = noisy(sb, nb + 2, TH_F64, 1);
    th_array *c = th_matmul(a, b);
    cr_assert(c != NULL, "row %zu: %s", r, th_last_error());
    double *x = values_of(a), *y = values_of(b);
    int64_t n = 1;
    for (int d = 0; d < no; d++) {
      cr_assert(eq(i64, th_array_shape(c)[d], rows[r].out[d]));
      n *= rows[r].out[d];
    }
    double *expected = malloc((size_t)(n * 8 + 1) * sizeof *expected);
    for (int64_t i = 0; i < n; i++) {
      int64_t at[3], ia = 0, ib = 0;
      for (int64_t d = no - 1, rest = i; d >= 0; d--) {
        at[d] = rest % rows[r].out[d];
        rest /= rows[r].out[d];
      }
      for (int d = 0; d < na; d++) ia = ia * sa[d] + (sa[d] == 1 ? 0 : at[d + no - na]);
      for (int d = 0; d < nb; d++) ib = ib * sb[d] + (sb[d] == 1 ? 0 : at[d + no - nb]);
      naive(x + ia * 6, y + ib * 12, expected + i * 8, 2, 4, 3);
    }
    cr_assert(worst_of(c, expected, n * 8) < 1e-13, "row %zu", r);
    free(expected);
    free(x);
    free(y);
    th_array *all[] = {a, b, c};
    for (int j = 0; j < 3; j++) th_release(all[j]);
  }
}

Test(ops_matmul, vectors_follow_the_array_api) {
  th_array *a = noisy(TH_SHAPE(2, 3, 4), TH_F64, 1), *v = noisy(TH_SHAPE(4), TH_F64, 1);
  th_array *w = noisy(TH_SHAPE(3), TH_F64, 1), *reversed = th_slice(v, "::-1");
  th_array *av = th_matmul(a, v), *wa = th_matmul(w, a), *vv = th_matmul(v, reversed);
  cr_assert(eq(int, th_array_ndim(av), 2));
  cr_assert(eq(i64, th_array_shape(av)[1], 3));
  cr_assert(eq(int, th_array_ndim(wa), 2));
  cr_assert(eq(i64, th_array_shape(wa)[1], 4));
  cr_assert(eq(int, th_array_ndim(vv), 0));
  double *x = values_of(a), *y = values_of(v), *z = values_of(w), expected[8];
  naive(x, y, expected, 6, 1, 4);
  cr_assert(worst_of(av, expected, 6) < 1e-14);
  naive(z, x, expected, 1, 4, 3);
  naive(z, x + 12, expected + 4, 1, 4, 3);
  cr_assert(worst_of(wa, expected, 8) < 1e-14);
  double dot = y[0] * y[3] + y[1] * y[2] + y[2] * y[1] + y[3] * y[0];
  cr_assert(worst_of(vv, &dot, 1) < 1e-14);
  free(x);
  free(y);
  free(z);
  th_array *all[] = {a, v, w, reversed, av, wa, vv};
  for (int j = 0; j < 7; j++) th_release(all[j]);
}

Test(ops_matmul, integers_wrap) {
  th_array *a = th_full(TH_SHAPE(1, 300), 1, TH_U8, th_cpu(0));
  th_array *b = th_full(TH_SHAPE(300, 1), 1, TH_U8, th_cpu(0));
  cr_assert(eq(dbl, take_value(th_matmul(a, b), 0), 300 % 256));
  const int64_t big[] = {INT64_MAX, INT64_MAX};
  th_array *c = th_from_host(big, TH_SHAPE(2), TH_I64, th_cpu(0)), *d = th_matmul(c, c);
  int64_t value;
  cr_assert(eq(int, th_read(d, &value, 8), TH_OK));
  cr_assert(eq(i64, value, 2));
  th_array *all[] = {a, b, c, d};
  for (int j = 0; j < 4; j++) th_release(all[j]);
}

Test(ops_matmul, nan_in_fresh_memory_does_not_leak_into_results) {
  th_array *used = th_full(TH_SHAPE(64, 64), NAN, TH_F32, th_cpu(0));
  cr_assert(eq(int, th_wait(used), TH_OK));
  th_release(used);
  th_array *a = th_ones(TH_SHAPE(64, 3), TH_F32, th_cpu(0)),
           *b = th_ones(TH_SHAPE(3, 64), TH_F32, th_cpu(0));
  th_array *v = th_ones(TH_SHAPE(3), TH_F32, th_cpu(0));
  cr_assert(eq(dbl, take_value(th_matmul(a, b), 64 * 64 - 1), 3));
  cr_assert(eq(dbl, take_value(th_matmul(a, v), 63), 3));
  th_array *all[] = {a, b, v};
  for (int j = 0; j < 3; j++) th_release(all[j]);
}

/* A hash of the bits of a product whose operands may be transposed. */
static uint64_t hash_of_product(const int64_t *size, th_dtype t, int transposed) {
  int64_t batch = size[3], m = size[0], n = size[1], k = size[2];
  bool at = transposed & 1, bt = transposed >> 1 & 1;
  th_array *a = noisy(TH_SHAPE(batch, at ? k : m, at ? m : k), t, 1);
  th_array *b = noisy(TH_SHAPE(bt ? n : k, bt ? k : n), t, 1);
  th_array *ta = at ? th_matrix_transpose(a) : th_retain(a);
  th_array *tb = bt ? th_matrix_transpose(b) : th_retain(b), *c = th_matmul(ta, tb);
  cr_assert(c != NULL, "%s", th_last_error());
  size_t bytes = (size_t)th_array_size(c) * th_dtype_size(t);
  unsigned char *bits = malloc(bytes);
  cr_assert(eq(int, th_read(c, bits, bytes), TH_OK));
  uint64_t hash = 0;
  for (size_t i = 0; i < bytes; i++) hash = hash * 31 + bits[i];
  free(bits);
  th_array *all[] = {a, b, ta, tb, c};
  for (int j = 0; j < 5; j++) th_release(all[j]);
  return hash;
}

Test(ops_matmul, bits_do_not_depend_on_the_number_of_workers) {
  const int64_t sizes[][4] = {{1000, 900, 700, 1}, {100, 10, 784, 1}, {250, 250, 250, 1},
                              {1, 4000, 900, 1},   {32, 256, 784, 1}, {784, 31, 100, 1},
                              {70, 90, 400, 3},    {200, 130, 97, 9}};
  uint64_t first[8][4];
  for (int workers = 0; workers <= 4; workers++) { /* 0: serial mode */
    th_config config = {.size = sizeof config, .engine = workers == 0 ? "serial" : NULL};
    config.workers = workers;
    cr_assert(eq(int, th_init(&config), TH_OK));
    for (int s = 0; s < 8; s++)
      for (int transposed = 0; transposed < 4; transposed++) {
        th_dtype t = s % 3 == 2 ? TH_F64 : TH_F32;
        uint64_t hash = hash_of_product(sizes[s], t, transposed);
        if (workers == 0) first[s][transposed] = hash;
        cr_assert(hash == first[s][transposed], "size %d, %d workers", s, workers);
      }
    cr_assert(eq(int, th_shutdown(), TH_OK));
  }
}

/* Shapes, layouts and leading dimensions at random: every path of the kernels and every cut into tiles. */
Test(ops_matmul, random_products_agree_with_the_naive_loop) {
  uint32_t state = 12345;
  for (int round = 0; round < 240; round++) {
    int64_t size[3];
    for (int d = 0; d < 3; d++) {
      state = state * 1664525 + 1013904223;
      size[d] = 1 + (state >> 8) % (round % 4 == 0 ? 400 : 60);
    }
    th_dtype t = round % 3 == 0 ? TH_F64 : TH_F32;
    int la = (int)(state >> 4) % LAYOUTS, lb = (int)(state >> 12) % LAYOUTS;
    th_array *a = matrix(la, size[0], size[2], t), *b = matrix(lb, size[2], size[1], t);
    char what[64];
    snprintf(what, sizeof what, "%s, layouts %d and %d", th_dtype_name(t), la, lb);
    check(a, b, size[0], size[1], size[2], what);
    th_release(a);
    th_release(b);
  }
}

Test(ops_matmul, types_promote) {
  th_array *a = th_ones(TH_SHAPE(2, 2), TH_I32, th_cpu(0)),
           *b = th_ones(TH_SHAPE(2, 2), TH_F32, th_cpu(0));
  th_array *c = th_matmul(a, b), *bias = th_ones(TH_SHAPE(2), TH_F64, th_cpu(0));
  cr_assert(eq(int, (int)th_array_dtype(c), TH_F32));
  th_array *d = th_linear(a, b, bias);
  cr_assert(eq(int, (int)th_array_dtype(d), TH_F64));
  cr_assert(eq(dbl, take_value(d, 3), 3));
  th_array *all[] = {a, b, c, bias};
  for (int j = 0; j < 4; j++) th_release(all[j]);
}

Test(ops_matmul, refusals_show_the_shapes) {
  th_array *a = th_zeros(TH_SHAPE(3, 4), TH_F32, th_cpu(0)),
           *b = th_zeros(TH_SHAPE(5, 2), TH_F32, th_cpu(0));
  th_array *s = th_zeros(TH_SCALAR, TH_F32, th_cpu(0)),
           *t = th_zeros(TH_SHAPE(2, 4, 3), TH_F32, th_cpu(0));
  th_array *u = th_zeros(TH_SHAPE(3, 3, 4), TH_F32, th_cpu(0)),
           *logic = th_zeros(TH_SHAPE(4, 4), TH_BOOL, th_cpu(0));
  th_array *bias = th_zeros(TH_SHAPE(3), TH_F32, th_cpu(0));
  cr_assert(th_matmul(a, b) == NULL);
  cr_assert(failed_with(TH_ESHAPE, "matmul: (3, 4) x (5, 2)"));
  cr_assert(th_matmul(a, s) == NULL);
  cr_assert(failed_with(TH_ESHAPE, "matmul: (3, 4) x ()"));
  cr_assert(th_matmul(u, t) == NULL);
  cr_assert(failed_with(TH_ESHAPE, "leading"));
  cr_assert(th_matmul(logic, logic) == NULL);
  cr_assert(failed_with(TH_EDTYPE, "matmul"));
  cr_assert(th_linear(b, a, NULL) == NULL);
  cr_assert(failed_with(TH_ESHAPE, "linear: (5, 2) x (3, 4)"));
  cr_assert(th_linear(a, t, NULL) == NULL);
  cr_assert(failed_with(TH_ESHAPE, "linear"));
  th_array *w = th_zeros(TH_SHAPE(4, 2), TH_F32, th_cpu(0));
  cr_assert(th_linear(a, w, bias) == NULL);
  cr_assert(failed_with(TH_ESHAPE, "bias (3,)"));
  cr_assert(th_matmul(NULL, a) == NULL);
  cr_assert(failed_with(TH_EINVAL, "matmul"));
  th_array *all[] = {a, b, s, t, u, logic, bias, w};
  for (int j = 0; j < 8; j++) th_release(all[j]);
}

Test(ops_matmul, linear_adds_the_bias_once) {
  const th_dtype types[] = {TH_F32, TH_F64, TH_F16, TH_I32};
  for (int t = 0; t < 4; t++)
    for (int64_t rows = 1; rows <= 130; rows += 43) {
      th_array *x = noisy(TH_SHAPE(2, rows, 90), types[t], 1),
               *w = noisy(TH_SHAPE(90, 70), types[t], 1);
      th_array *b = noisy(TH_SHAPE(70), types[t], 4), *y = th_linear(x, w, b);
      cr_assert(y != NULL, "%s", th_last_error());
      cr_assert(eq(int, th_array_ndim(y), 3));
      double *vx = values_of(x), *vw = values_of(w), *vb = values_of(b);
      double *expected = malloc((size_t)(2 * rows * 70) * sizeof *expected);
      naive(vx, vw, expected, 2 * rows, 70, 90);
      for (int64_t i = 0; i < 2 * rows * 70; i++) expected[i] += vb[i % 70];
      double worst = worst_of(y, expected, 2 * rows * 70);
      cr_assert(worst <= tolerance(types[t]), "%s, %d rows: %g", th_dtype_name(types[t]), (int)rows,
                worst);
      free(expected);
      free(vx);
      free(vw);
      free(vb);
      th_array *all[] = {x, w, b, y};
      for (int j = 0; j < 4; j++) th_release(all[j]);
    }
}

static th_array *product(th_array *const *inputs, int n, void *user) {
  return th_matmul(inputs[0], inputs[1]);
}

static th_array *layer(th_array *const *inputs, int n, void *user) {
  return th_linear(inputs[0], inputs[1], n > 2 ? inputs[2] : NULL);
}

Test(ops_matmul, gradients_agree_with_differences) {
  const struct {
    int na, nb;
    int64_t a[4], b[4];
  } rows[] = {{2, 2, {2, 3}, {3, 4}}, {1, 2, {3}, {3, 4}},       {2, 1, {2, 3}, {3}},
              {1, 1, {3}, {3}},       {3, 2, {2, 2, 3}, {3, 2}}, {2, 3, {2, 3}, {4, 3, 2}},
              {1, 3, {3}, {2, 3, 2}}, {3, 1, {2, 2, 3}, {3}},    {4, 3, {2, 1, 2, 3}, {3, 3, 2}}};
  for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
    th_array *in[] = {noisy(rows[r].a, rows[r].na, TH_F64, 1),
                      noisy(rows[r].b, rows[r].nb, TH_F64, 0.7)};
    double worst = 0;
    th_status status = th_grad_check(product, in, 2, NULL, 1e-5, 1e-7, &worst);
    cr_assert(status == TH_OK, "row %zu: %g, %s", r, worst, th_last_error());
    th_release(in[0]);
    th_release(in[1]);
  }
}

Test(ops_matmul, gradients_of_linear_agree_with_differences) {
  for (int ndim = 1; ndim <= 3; ndim++)
    for (int n = 2; n <= 3; n++) {
      const int64_t shape[] = {2, 2, 3};
      th_array *in[] = {noisy(shape + 3 - ndim, ndim, TH_F64, 1),
                        noisy(TH_SHAPE(3, 4), TH_F64, 0.7), noisy(TH_SHAPE(4), TH_F64, 2)};
      double worst = 0;
      th_status status = th_grad_check(layer, in, n, NULL, 1e-5, 1e-7, &worst);
      cr_assert(status == TH_OK, "%d dims, %d inputs: %g, %s", ndim, n, worst, th_last_error());
      for (int j = 0; j < 3; j++) th_release(in[j]);
    }
}
