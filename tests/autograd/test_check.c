/* The gradient checker itself: it must pass what is right, find what is wrong and say where. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "autograd/tape.h"
#include "support/arrays.h"

TestSuite(check, .timeout = 60, .fini = stop_engine);

static th_array *product(th_array *const *in, int n, void *user) {
  return th_multiply(in[0], in[1]);
}

Test(check, passes_a_right_gradient_and_leaves_inputs_alone) {
  th_array *a = vector(1, 2, 3), *b = vector(0.5);
  double worst = -1;
  cr_assert(eq(int, th_grad_check(product, TH_ARRAYS(a, b), NULL, 1e-5, 1e-6, &worst), TH_OK), "%s",
            th_last_error());
  cr_assert(worst >= 0 && worst < 1e-6, "worst %g", worst);
  cr_assert(not(th_requires_grad(a)));
  cr_assert(eq(dbl, distance_to(a, 1, 2, 3), 0));
  th_release(a);
  th_release(b);
}

static th_status run_twice(const th_kernel_args *k) {
  const double *x = k->in_data[0];
  double *y = k->out_data[0];
  for (int64_t i = 0; i < th__layout_size(&k->out[0]); i++) y[i] = 2 * x[i];
  return TH_OK;
}
static th_status vjp_thrice(const th_vjp *v) {
  v->result[0] = th_multiply_scalar(v->gradients[0], 3);
  return TH_OK;
}
static const th_op wrong = {.name = "wrong",
                            .in = {1},
                            .out = {1},
                            .dtypes = TH_BIT(TH_F64),
                            .infer = th__infer_same,
                            .cpu = run_twice,
                            .vjp = vjp_thrice};

/* Wrong for the second input only. */
static th_array *half_wrong(th_array *const *in, int n, void *user) {
  th_array *w = TH_CALL(&wrong, NULL, in[1]), *sum = th_add(in[0], w);
  th_release(w);
  return sum;
}

Test(check, finds_a_wrong_gradient) {
  th_array *a = vector(1, 2), *b = vector(3, 4);
  double worst;
  th_status status = th_grad_check(half_wrong, TH_ARRAYS(a, b), NULL, 1e-5, 1e-4, &worst);
  cr_assert(eq(int, status, TH_EKERNEL));
  cr_assert(strstr(th_last_error(), "input 1") != NULL, "%s", th_last_error());
  cr_assert(gt(dbl, worst, 0.2));
  th_release(a);
  th_release(b);
}

static th_array *as_single(th_array *const *in, int n, void *user) {
  return th_astype(in[0], TH_F32);
}
static th_array *fails(th_array *const *in, int n, void *user) {
  th_op_refuse(TH_EKERNEL, "not today");
  return NULL;
}

Test(check, refuses_what_it_cannot_check) {
  th_array *a = vector(1, 2);
  cr_assert(eq(int, th_grad_check(as_single, TH_ARRAYS(a), NULL, 1e-5, 1e-4, NULL), TH_EDTYPE));
  cr_assert(eq(int, th_grad_check(fails, TH_ARRAYS(a), NULL, 1e-5, 1e-4, NULL), TH_EKERNEL));
  cr_assert(strstr(th_last_error(), "not today") != NULL, "%s", th_last_error());
  cr_assert(eq(int, th_grad_check(NULL, TH_ARRAYS(a), NULL, 1e-5, 1e-4, NULL), TH_EINVAL));
  cr_assert(eq(int, th_grad_check(product, TH_ARRAYS(a, NULL), NULL, 1e-5, 1e-4, NULL), TH_EINVAL));
  cr_assert(eq(int, th_grad_check(product, TH_ARRAYS(a, a), NULL, 0, 1e-4, NULL), TH_EINVAL));
  th_release(a);
}

Test(check, works_inside_a_scope_and_on_views) {
  th_scope scope = th_scope_begin();
  const double values[] = {1, 2, 3, 4, 5, 6};
  th_array *base = th_from_host(values, TH_SHAPE(2, 3), TH_F64, th_cpu(0));
  th_array *a = th_matrix_transpose(base), *b = th_slice(base, "::-1, 1:2");
  th_array *c = th_matrix_transpose(b);
  cr_assert(eq(int, th_grad_check(product, TH_ARRAYS(a, c), NULL, 1e-5, 1e-6, NULL), TH_OK), "%s",
            th_last_error());
  cr_assert(eq(dbl, distance(base, values, 6), 0));
  th_scope_end(scope);
}
