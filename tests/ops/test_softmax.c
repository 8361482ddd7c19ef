#include "tests/ops/values.h"

TestSuite(ops_softmax, .timeout = 60, .fini = stop_engine);

/* softmax or its logarithm along an axis of rows-first values, in double. */
static void naive(const double *x, const int64_t *shape, int ndim, int axis, bool logarithm,
                  double *y) {
  int64_t outer = 1, inner = 1, n = shape[axis];
  for (int d = 0; d < axis; d++) outer *= shape[d];
  for (int d = axis + 1; d < ndim; d++) inner *= shape[d];
  for (int64_t o = 0; o < outer; o++)
    for (int64_t i = 0; i < inner; i++) {
      const double *line = x + o * n * inner + i;
      double *out = y + o * n * inner + i, max = -INFINITY, sum = 0;
      for (int64_t j = 0; j < n; j++) max = fmax(max, line[j * inner]);
      for (int64_t j = 0; j < n; j++) sum += exp(line[j * inner] - max);
      for (int64_t j = 0; j < n; j++)
        out[j * inner] =
            logarithm ? line[j * inner] - max - log(sum) : exp(line[j * inner] - max) / sum;
    }
}

Test(ops_softmax, every_view_type_and_axis_agrees_with_the_formula) {
  const th_dtype types[] = {TH_F32, TH_F64, TH_F16, TH_BF16};
  const double allowed[] = {5e-7, 1e-14, 1e-3, 1e-2};
  for (int t = 0; t < 4; t++)
    for (int view = 0; view < VIEWS; view++)
      for (int axis = -3; axis < 3; axis++)
        for (int logarithm = 0; logarithm < 2; logarithm++) {
          th_array *a = view_of_kind(view, types[t], 3);
          double *x = values_of(a), expected[24];
          int64_t n = th_array_size(a);
          if (n > 0)
            naive(x, th_array_shape(a), 3, axis < 0 ? axis + 3 : axis, logarithm, expected);
          th_array *y = logarithm ? th_log_softmax(a, axis) : th_softmax(a, axis);
          double worst = worst_of(y, expected, n);
          cr_assert(worst <= allowed[t], "%s, view %d, axis %d, log %d: %g",
                    th_dtype_name(types[t]), view, axis, logarithm, worst);
          free(x);
          th_release(a);
          th_release(y);
        }
}

Test(ops_softmax, long_lines_go_in_pieces) {
  const int64_t shape[] = {3, 5001};
  for (int t = TH_F32; t <= TH_F64; t++)
    for (int logarithm = 0; logarithm < 2; logarithm++) {
      th_array *a = noisy(shape, 2, (th_dtype)t, 5);
      th_array *y = logarithm ? th_log_softmax(a, 1) : th_softmax(a, 1);
      double *x = values_of(a), *expected = malloc(3 * 5001 * sizeof *expected);
      naive(x, shape, 2, 1, logarithm, expected);
      double worst = worst_of(y, expected, 3 * 5001);
      cr_assert(worst <= (t == TH_F32 ? 1e-6 : 1e-13), "type %d, log %d: %g", t, logarithm, worst);
      free(x);
      free(expected);
      th_release(a);
      th_release(y);
    }
}

static int64_t ulps(float a, float b) {
  int32_t x, y;
  memcpy(&x, &a, 4);
  memcpy(&y, &b, 4);
  return llabs((int64_t)x - y);
}

/* Lines of up to 32 elements go side by side: the bits of one do not depend on its neighbours, nor on how many there are. */
Test(ops_softmax, short_lines_are_the_same_alone) {
  for (int64_t n = 1; n <= 40; n++)
    for (int64_t rows = 1; rows <= 35; rows += 17)
      for (int logarithm = 0; logarithm < 2; logarithm++) {
        const int64_t shape[] = {rows, n};
        th_array *a = noisy(shape, 2, TH_F32, (int)(n + rows));
        th_array *y = logarithm ? th_log_softmax(a, 1) : th_softmax(a, 1);
        double *x = values_of(a), *expected = malloc((size_t)(rows * n) * sizeof *expected);
        naive(x, shape, 2, 1, logarithm, expected);
        for (int64_t i = 0; i < rows; i++) {
          char row[32];
          float own[40], together[40];
          snprintf(row, sizeof row, "%lld", (long long)i);
          th_array *line = th_slice(a, row), *part = th_slice(y, row);
          th_array *alone = logarithm ? th_log_softmax(line, 0) : th_softmax(line, 0);
          cr_assert(eq(int, th_read(alone, own, (size_t)n * sizeof *own), TH_OK));
          cr_assert(eq(int, th_read(part, together, (size_t)n * sizeof *own), TH_OK));
          cr_assert(memcmp(own, together, (size_t)n * sizeof *own) == 0, "%lld of %lld x %lld",
                    (long long)i, (long long)rows, (long long)n);
          th_release(line);
          th_release(part);
          th_release(alone);
        }
        double worst = worst_of(y, expected, rows * n);
        cr_assert(worst <= 1e-6, "%lld x %lld, log %d: %g", (long long)rows, (long long)n,
                  logarithm, worst);
        free(x);
        free(expected);
        th_release(a);
        th_release(y);
      }
}

Test(ops_softmax, huge_logits_neither_overflow_nor_lose_their_sum) {
  th_array *a = noisy(TH_SHAPE(64, 100), TH_F32, 1e4), *y = th_softmax(a, 1);
  float values[6400];
  cr_assert(eq(int, th_read(y, values, sizeof values), TH_OK));
  for (int i = 0; i < 64; i++) {
    double sum = 0;
    for (int j = 0; j < 100; j++) sum += (double)values[i * 100 + j];
    cr_assert(fabs(sum - 1) <= 1e-6, "row %d sums to %.9g", i, sum);
  }
  th_release(a);
  th_release(y);
}

/* But for the order of its sum, of 37 elements here. */
Test(ops_softmax, one_pass_equals_the_three_op_form) {
  th_array *a = noisy(TH_SHAPE(50, 37), TH_F32, 3), *y = th_softmax(a, 1);
  int axis = 1;
  th_array *max = th_max(a, &axis, 1, true), *shifted = th_subtract(a, max), *e = th_exp(shifted);
  th_array *sum = th_sum(e, &axis, 1, true), *other = th_divide(e, sum);
  float one[50 * 37], three[50 * 37];
  cr_assert(eq(int, th_read(y, one, sizeof one), TH_OK));
  cr_assert(eq(int, th_read(other, three, sizeof three), TH_OK));
  for (int i = 0; i < 50 * 37; i++)
    cr_assert(ulps(one[i], three[i]) <= 4, "element %d: %.9g and %.9g", i, (double)one[i],
              (double)three[i]);
  th_array *all[] = {a, y, max, shifted, e, sum, other};
  for (int j = 0; j < 7; j++) th_release(all[j]);
}

Test(ops_softmax, infinities_and_nan) {
  const float x[] = {-INFINITY, 0, 0, 1, NAN, 2, -INFINITY, -INFINITY, -INFINITY};
  th_array *a = th_from_host(x, TH_SHAPE(3, 3), TH_F32, th_cpu(0)), *y = th_softmax(a, -1);
  const double expected[] = {0, 0.5, 0.5, NAN, NAN, NAN, NAN, NAN, NAN};
  cr_assert(worst_of(y, expected, 9) == 0);
  th_release(a);
  th_release(y);
}

Test(ops_softmax, tiny_probabilities_keep_their_value) {
  float x[] = {0, -80, -90, -100, -103, -120};
  th_array *a = th_from_host(x, TH_SHAPE(6), TH_F32, th_cpu(0)), *y = th_softmax(a, 0);
  float values[6];
  cr_assert(eq(int, th_read(y, values, sizeof values), TH_OK));
  for (int i = 0; i < 6; i++) {
    float exact = (float)exp((double)x[i]);
    cr_assert(ulps(values[i], exact) <= 2, "e^%g: %g, not %g", (double)x[i], (double)values[i],
              (double)exact);
  }
  th_release(a);
  th_release(y);
}

static double naive_loss(const double *x, const int *labels, int n, int classes) {
  double total = 0, *y = malloc((size_t)(n * classes) * sizeof *y);
  naive(x, (const int64_t[]){n, classes}, 2, 1, true, y);
  for (int i = 0; i < n; i++) total -= y[i * classes + labels[i]];
  free(y);
  return total / n;
}

Test(ops_softmax, cross_entropy_is_the_mean_negative_log_likelihood) {
  int32_t labels[300];
  for (int i = 0; i < 300; i++) labels[i] = i * 7 % 10;
  const th_dtype types[] = {TH_F32, TH_F64, TH_F16};
  const double allowed[] = {1e-6, 1e-13, 2e-3};
  for (int t = 0; t < 3; t++)
    for (int n = 1; n <= 300; n += 299) {
      th_array *x = noisy(TH_SHAPE(n, 10), types[t], 4);
      th_array *y = th_from_host(labels, TH_SHAPE(n), TH_I32, th_cpu(0));
      th_array *bytes = th_astype(y, TH_U8), *loss = th_cross_entropy(x, y);
      double *values = values_of(x), expected = naive_loss(values, labels, n, 10);
      cr_assert(eq(int, th_array_ndim(loss), 0));
      cr_assert(worst_of(loss, &expected, 1) <= allowed[t], "%s", th_dtype_name(types[t]));
      cr_assert(eq(dbl, take_value(th_cross_entropy(x, bytes), 0), th_item(loss)));
      free(values);
      th_array *all[] = {x, y, bytes, loss};
      for (int j = 0; j < 4; j++) th_release(all[j]);
    }
}

Test(ops_softmax, uniform_logits_cost_log_of_the_number_of_classes) {
  th_array *x = th_zeros(TH_SHAPE(5, 10), TH_F64, th_cpu(0)),
           *y = th_zeros(TH_SHAPE(5), TH_I64, th_cpu(0));
  cr_assert(fabs(take_value(th_cross_entropy(x, y), 0) - log(10)) < 1e-14);
  th_release(x);
  th_release(y);
}

Test(ops_softmax, a_label_out_of_range_fails_the_task_and_names_the_row) {
  const int64_t labels[] = {0, 2, 3, -1};
  th_array *x = th_zeros(TH_SHAPE(4, 3), TH_F32, th_cpu(0));
  th_array *y = th_from_host(labels, TH_SHAPE(4), TH_I64, th_cpu(0)),
           *loss = th_cross_entropy(x, y);
  cr_assert(loss != NULL);
  for (int again = 0; again < 2; again++) {
    cr_assert(eq(int, th_wait(loss), TH_EINVAL));
    cr_assert(failed_with(TH_EINVAL, "cross_entropy: label 3 at row 2 is outside [0, 3)"));
  }
  th_array *all[] = {x, y, loss};
  for (int j = 0; j < 3; j++) th_release(all[j]);
}

Test(ops_softmax, refusals_show_shapes_and_types) {
  th_array *x = th_zeros(TH_SHAPE(4, 3), TH_F32, th_cpu(0)),
           *y = th_zeros(TH_SHAPE(5), TH_I64, th_cpu(0));
  th_array *whole = th_zeros(TH_SHAPE(4), TH_I32, th_cpu(0)),
           *cube = th_zeros(TH_SHAPE(4, 3, 2), TH_F32, th_cpu(0));
  cr_assert(th_cross_entropy(x, y) == NULL);
  cr_assert(failed_with(TH_ESHAPE, "cross_entropy: logits (4, 3) and labels (5,)"));
  cr_assert(th_cross_entropy(cube, whole) == NULL);
  cr_assert(failed_with(TH_ESHAPE, "(4, 3, 2)"));
  th_array *truth = th_zeros(TH_SHAPE(4), TH_BOOL, th_cpu(0));
  cr_assert(th_cross_entropy(x, truth) == NULL);
  cr_assert(failed_with(TH_EDTYPE, "cross_entropy"));
  cr_assert(th_cross_entropy(x, cube) == NULL); /* floating labels: one for each logit */
  cr_assert(failed_with(TH_ESHAPE, "cross_entropy"));
  cr_assert(th_softmax(whole, 0) == NULL);
  cr_assert(failed_with(TH_EDTYPE, "softmax"));
  cr_assert(th_log_softmax(x, 2) == NULL);
  cr_assert(failed_with(TH_ESHAPE, "log_softmax"));
  th_array *all[] = {x, y, whole, cube, truth};
  for (int j = 0; j < 5; j++) th_release(all[j]);
}

Test(ops_softmax, mse_loss_is_the_mean_square) {
  th_array *a = noisy(TH_SHAPE(3, 4), TH_F64, 1), *b = noisy(TH_SHAPE(4), TH_F64, 2);
  double *x = values_of(a), *y = values_of(b), expected = 0;
  for (int i = 0; i < 12; i++) expected += (x[i] - y[i % 4]) * (x[i] - y[i % 4]) / 12;
  th_array *loss = th_mse_loss(a, b);
  cr_assert(worst_of(loss, &expected, 1) < 1e-14);
  cr_assert(eq(int, th_array_ndim(loss), 0));
  free(x);
  free(y);
  th_array *all[] = {a, b, loss};
  for (int j = 0; j < 3; j++) th_release(all[j]);
  cr_assert(th_mse_loss(NULL, NULL) == NULL);
}

enum { SOFTMAX, LOG_SOFTMAX, CROSS_ENTROPY, MSE };
static th_array *by_choice(th_array *const *inputs, int n, void *user) {
  const int *choice = user; /* operator, axis */
  if (choice[0] == SOFTMAX) return th_softmax(inputs[0], choice[1]);
  if (choice[0] == LOG_SOFTMAX) return th_log_softmax(inputs[0], choice[1]);
  if (choice[0] == MSE) return th_mse_loss(inputs[0], inputs[1]);
  const uint8_t labels[] = {3, 0, 2};
  th_array *y = th_from_host(labels, TH_SHAPE(3), TH_U8, th_cpu(0));
  th_array *loss = th_cross_entropy(inputs[0], y);
  th_release(y);
  return loss;
}

Test(ops_softmax, gradients_agree_with_differences) {
  const int choices[][2] = {{SOFTMAX, 0},     {SOFTMAX, 1},       {LOG_SOFTMAX, -2},
                            {LOG_SOFTMAX, 1}, {CROSS_ENTROPY, 0}, {MSE, 0}};
  for (int c = 0; c < 6; c++) {
    th_array *in[] = {noisy(TH_SHAPE(3, 4), TH_F64, 1), noisy(TH_SHAPE(3, 1), TH_F64, 1.3)};
    int choice[] = {choices[c][0], choices[c][1]};
    double worst = 0;
    th_status status =
        th_grad_check(by_choice, in, choice[0] == MSE ? 2 : 1, choice, 1e-5, 1e-7, &worst);
    cr_assert(status == TH_OK, "case %d: %g, %s", c, worst, th_last_error());
    th_release(in[0]);
    th_release(in[1]);
  }
}

/* The gradient of a weighted sum of the gradient of cross_entropy, against differences of the gradient. */
Test(ops_softmax, the_gradient_of_cross_entropy_has_a_gradient) {
  const int64_t labels[] = {1, 2};
  double base[6], weights[6], numeric[6];
  for (int i = 0; i < 6; i++) base[i] = noise(i), weights[i] = noise(i + 50);
  th_array *y = th_from_host(labels, TH_SHAPE(2), TH_I64, th_cpu(0));
  for (int i = -1; i < 6; i++) {
    double at[2] = {0, 0};
    for (int side = 0; side < (i < 0 ? 0 : 2); side++) {
      double moved[6];
      memcpy(moved, base, sizeof base);
      moved[i] += side ? 1e-5 : -1e-5;
      th_array *x = th_from_host(moved, TH_SHAPE(2, 3), TH_F64, th_cpu(0));
      cr_assert(eq(int, th_require_grad(x), TH_OK));
      th_array *loss = th_cross_entropy(x, y);
      cr_assert(eq(int, th_backward(loss, 0), TH_OK));
      double *g = values_of(th_grad(x));
      for (int j = 0; j < 6; j++) at[side] += g[j] * weights[j];
      free(g);
      th_release(loss);
      th_release(x);
    }
    if (i >= 0) numeric[i] = (at[1] - at[0]) / 2e-5;
  }
  th_array *x = th_from_host(base, TH_SHAPE(2, 3), TH_F64, th_cpu(0));
  th_array *w = th_from_host(weights, TH_SHAPE(2, 3), TH_F64, th_cpu(0));
  cr_assert(eq(int, th_require_grad(x), TH_OK));
  th_array *loss = th_cross_entropy(x, y);
  cr_assert(eq(int, th_backward(loss, TH_CREATE_GRAPH), TH_OK));
  th_array *g = th_retain(th_grad(x));
  th_zero_grad(x);
  th_array *weighted = th_multiply(g, w), *sum = th_sum(weighted, NULL, 0, false);
  cr_assert(th_backward(sum, 0) == TH_OK, "%s", th_last_error());
  cr_assert(worst_of(th_grad(x), numeric, 6) < 1e-8);
  th_array *all[] = {x, w, y, loss, g, weighted, sum};
  for (int j = 0; j < 7; j++) th_release(all[j]);
}

/* d^2 loss / d logits^2 along (1, 0) in each row, p being 1/2: (1, -1) / 4 / rows, of more rows than f16 can count. */
Test(ops_softmax, second_derivatives_of_halves_count_in_single_precision) {
  enum { ROWS = 70000 };
  th_array *x = th_zeros(TH_SHAPE(ROWS, 2), TH_F16, th_cpu(0)), *g = NULL, *second = NULL;
  th_array *labels = th_zeros(TH_SHAPE(ROWS), TH_I64, th_cpu(0)), *row = vector(1, 0);
  th_array *half = th_astype(row, TH_F16), *u = th_broadcast_to(half, TH_SHAPE(ROWS, 2));
  cr_assert(eq(int, th_require_grad(x), TH_OK));
  th_array *loss = th_cross_entropy(x, labels);
  cr_assert(eq(int, th_grads(&loss, 1, NULL, &x, 1, TH_CREATE_GRAPH, &g), TH_OK));
  cr_assert(eq(int, th_grads(&g, 1, &u, &x, 1, 0, &second), TH_OK), "%s", th_last_error());
  double *got = values_of(second);
  for (int i = 0; i < 2 * ROWS; i++)
    cr_assert(fabs(got[i] * 4 * ROWS - (i % 2 ? -1 : 1)) < 0.02, "element %d is %g", i, got[i]);
  free(got);
  th_array *all[] = {x, g, second, labels, row, half, u, loss};
  for (int i = 0; i < 8; i++) th_release(all[i]);
}
