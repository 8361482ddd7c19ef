/* Initialisers: bounds and deviations by fans, on leaves, reproducible. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "support/arrays.h"

TestSuite(init, .timeout = 60, .fini = stop_engine);

typedef th_status (*init_fn)(th_generator *g, th_array *a, double setting);

/* Fills shape and gives the largest |element| and the deviation. */
static void measure(init_fn init, double setting, const int64_t *shape, int ndim, double *largest,
                    double *deviation) {
  th_generator *g = th_generator_new(11);
  th_scope scope = th_scope_begin();
  th_array *a = th_zeros(shape, ndim, TH_F64, th_cpu(0));
  cr_assert(eq(int, th_require_grad(a), TH_OK));
  cr_assert(eq(int, init(g, a, setting), TH_OK), "%s", th_last_error());
  cr_assert(th_requires_grad(a));
  *largest = th_item(th_vector_norm(a, NULL, 0, INFINITY, false));
  *deviation = th_item(th_std(a, NULL, 0, 0, false));
  th_scope_end(scope);
  th_generator_release(g);
}

/* Uniform within bound, normal with deviation bound / sqrt 3; in and out as expected of shape. */
static void check(const int64_t *shape, int ndim, double in, double out) {
  double largest, deviation, xavier = 2 * sqrt(6 / (in + out)), he = sqrt(6 / (1.25 * in));
  measure(th_init_xavier_uniform, 2, shape, ndim, &largest, &deviation);
  cr_assert(largest <= xavier && largest > 0.99 * xavier, "%g, %g", largest, xavier);
  cr_assert(fabs(deviation * sqrt(3) / xavier - 1) < 0.03, "%g", deviation);
  measure(th_init_he_uniform, 0.5, shape, ndim, &largest, &deviation);
  cr_assert(largest <= he && largest > 0.99 * he, "%g, %g", largest, he);
  measure(th_init_xavier_normal, 2, shape, ndim, &largest, &deviation);
  cr_assert(fabs(deviation * sqrt(3) / xavier - 1) < 0.03, "%g", deviation);
  cr_assert(largest > 1.2 * xavier, "not uniform");
  measure(th_init_he_normal, 0.5, shape, ndim, &largest, &deviation);
  cr_assert(fabs(deviation * sqrt(3) / he - 1) < 0.03, "%g", deviation);
}

Test(init, weights_of_linear_layers) { check(TH_SHAPE(60, 100), 60, 100); }

Test(init, weights_of_convolutions) { check(TH_SHAPE(30, 20, 3, 3), 20 * 9, 30 * 9); }

Test(init, what_has_no_fans_is_refused) {
  th_array *x = vector(1, 2);
  cr_assert(eq(int, th_init_he_normal(NULL, x, 0), TH_ESHAPE));
  cr_assert(eq(int, th_init_he_uniform(NULL, x, 0), TH_ESHAPE));
  cr_assert(eq(int, th_init_xavier_normal(NULL, x, 1), TH_ESHAPE));
  th_clear_error();
  cr_assert(eq(int, th_init_xavier_uniform(NULL, NULL, 1), TH_EINVAL));
  cr_assert(eq(dbl, distance_to(x, 1, 2), 0));
  th_release(x);
}
