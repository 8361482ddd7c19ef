/* An embedding is rows of a table: equal to the product with one-hot rows, forward and backward, whatever the shape of ids. */
#include "ops/values.h"

#include "thrum/autograd.h"

enum { ROWS = 50, WIDTH = 24, BATCH = 16, TIME = 32, IDS = BATCH * TIME };

TestSuite(embedding, .timeout = 60, .fini = stop_engine);

static th_array *table(void) {
  th_array *a = noisy(TH_SHAPE(ROWS, WIDTH), TH_F32, 1);
  cr_assert(eq(int, th_require_grad(a), TH_OK));
  return a;
}

/* (BATCH, TIME), most rows of the table many times, the last one never. */
static th_array *make_ids(int64_t *values) {
  uint64_t state = 3;
  for (int i = 0; i < IDS; i++) {
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    values[i] = (int64_t)((state >> 33) % (ROWS - 1));
  }
  return th_from_host(values, TH_SHAPE(BATCH, TIME), TH_I64, th_cpu(0));
}

/* The gradient (ROWS, WIDTH) by the table of the sum of out * fixed random weights; releases out. */
static void gradient_of(th_array *weight, th_array *out, float *gradient) {
  th_generator *g = th_generator_new(9);
  th_array *factors = th_normal(g, TH_SHAPE(BATCH, TIME, WIDTH), 0, 1, TH_F32, th_cpu(0));
  cr_assert(eq(int, th_backward_from(out, factors, 0), TH_OK), "%s", th_last_error());
  cr_assert(eq(int, th_read(th_grad(weight), gradient, ROWS * WIDTH * sizeof(float)), TH_OK));
  th_zero_grad(weight);
  th_release(out);
  th_release(factors);
  th_generator_release(g);
}

Test(embedding, row_24_equals_the_product_with_one_hot_rows) {
  static int64_t values[IDS];
  static float by_rows[ROWS * WIDTH], by_product[ROWS * WIDTH];
  start_engine(2);
  th_array *ids = make_ids(values), *weight = table();
  th_array *hot = th_one_hot(ids, ROWS, TH_F32);
  th_array *rows = th_embedding(weight, ids), *product = th_matmul(hot, weight);
  double *got = values_of(rows), *wanted = values_of(product);
  for (int i = 0; i < IDS * WIDTH; i++)
    cr_assert(eq(dbl, got[i], wanted[i]), "element %d", i); /* no difference at all */
  gradient_of(weight, rows, by_rows);
  gradient_of(weight, product, by_product);
  for (int i = 0; i < ROWS * WIDTH; i++)
    cr_assert(fabsf(by_rows[i] - by_product[i]) <= 1e-6f * fmaxf(1, fabsf(by_product[i])),
              "gradient %d is %g, not %g", i, (double)by_rows[i], (double)by_product[i]);
  for (int d = 0; d < WIDTH; d++) cr_assert(by_rows[(ROWS - 1) * WIDTH + d] == 0); /* never used */
  free(got);
  free(wanted);
  th_release(ids);
  th_release(hot);
  th_release(weight);
}

Test(embedding, row_24_repeated_ids_give_equal_bits_every_run) {
  static int64_t values[IDS];
  static float first[ROWS * WIDTH], again[ROWS * WIDTH];
  for (int run = 0; run < 12; run++) {
    start_engine(1 + run % 3);
    th_array *ids = make_ids(values), *weight = table();
    gradient_of(weight, th_embedding(weight, ids), run == 0 ? first : again);
    if (run > 0) cr_assert(memcmp(first, again, sizeof first) == 0, "run %d", run);
    th_release(ids);
    th_release(weight);
    th_shutdown();
  }
  int repeated = 0;
  for (int i = 1; i < IDS; i++) repeated += values[i] == values[0];
  cr_assert(repeated > 3, "the ids do not repeat");
}

Test(embedding, row_25_has_the_shape_of_ids_and_a_row_for_each) {
  static int64_t values[IDS];
  start_engine(2);
  th_array *ids = make_ids(values), *weight = table(), *out = th_embedding(weight, ids);
  const int64_t *shape = th_array_shape(out);
  cr_assert(eq(int, th_array_ndim(out), 3));
  cr_assert(shape[0] == BATCH && shape[1] == TIME && shape[2] == WIDTH);
  double *rows = values_of(weight), *got = values_of(out);
  for (int i = 0; i < IDS; i++)
    for (int d = 0; d < WIDTH; d++)
      cr_assert(eq(dbl, got[i * WIDTH + d], rows[values[i] * WIDTH + d]), "id %d, %d", i, d);
  free(rows);
  free(got);
  th_release(ids);
  th_release(weight);
  th_release(out);
}
