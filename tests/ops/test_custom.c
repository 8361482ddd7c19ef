#include "tests/support/fardevice.h"
#include "tests/ops/values.h"

TestSuite(ops_custom, .timeout = 60, .fini = stop_engine);

/* axpby: a x + b y, both of one floating type and shape. */
typedef struct axpby {
  double a, b;
} axpby;

static th_status axpby_infer(const th_op_shape *in, th_op_shape *out, const void *params) {
  if (in[0].dtype != in[1].dtype || (in[0].dtype != TH_F64 && in[0].dtype != TH_F32))
    return th_op_refuse(TH_EDTYPE, "axpby: wants two arrays of f32 or of f64");
  for (int d = 0; d < in[0].ndim; d++)
    if (in[0].ndim != in[1].ndim || in[0].shape[d] != in[1].shape[d])
      return th_op_refuse(TH_ESHAPE, "axpby: shapes differ in dimension %d", d);
  out[0] = in[0];
  return TH_OK;
}

static double element(const th_op_operand *o, int64_t index) {
  int64_t at = 0;
  for (int d = o->ndim - 1; d >= 0; d--) {
    at += index % o->shape[d] * o->strides[d];
    index /= o->shape[d];
  }
  return o->dtype == TH_F64 ? ((const double *)o->data)[at] : (double)((const float *)o->data)[at];
}

static th_status axpby_cpu(const th_op_operand *in, const th_op_operand *out, const void *params,
                           th_task_context *context) {
  const axpby *p = params;
  int64_t n = 1;
  for (int d = 0; d < out->ndim; d++) n *= out->shape[d];
  for (int64_t i = 0; i < n; i++) {
    double value = p->a * element(&in[0], i) + p->b * element(&in[1], i);
    if (value > 1e6)
      return th_context_fail(context, TH_EKERNEL, "axpby: %g at %d is too large", value, (int)i);
    if (out->dtype == TH_F64)
      ((double *)out->data)[i] = value;
    else
      ((float *)out->data)[i] = (float)value;
  }
  return TH_OK;
}

static th_status axpby_vjp(th_array *const *inputs, th_array *const *outputs,
                           th_array *const *gradients, const void *params, th_array **result) {
  const axpby *p = params;
  result[0] = th_multiply_scalar(gradients[0], p->a);
  result[1] = th_multiply_scalar(gradients[0], p->b);
  return result[0] != NULL && result[1] != NULL ? TH_OK : th_last_status();
}

static th_op_definition definition(const char *name) {
  return (th_op_definition){.size = sizeof(th_op_definition),
                            .name = name,
                            .n_inputs = 2,
                            .n_outputs = 1,
                            .params_size = sizeof(axpby),
                            .infer = axpby_infer,
                            .cpu = axpby_cpu,
                            .vjp = axpby_vjp};
}

static th_array *call_axpby(th_array *x, th_array *y, double a, double b) {
  th_array *out = NULL;
  axpby p = {a, b};
  return th_op_call("axpby", TH_ARRAYS(x, y), &p, &out, 1) == TH_OK ? out : NULL;
}

static void register_axpby(void) {
  char name[] = "axpby"; /* copied: gone after the call */
  th_op_definition d = definition(name);
  cr_assert(th_op_register(&d) == TH_OK, "%s", th_last_error());
  memset(name, 'x', sizeof name - 1);
}

Test(ops_custom, computes_on_views) {
  register_axpby();
  for (int view = 0; view < VIEWS - 1; view++)
    for (int t = TH_F32; t <= TH_F64; t++) {
      th_array *x = view_of_kind(view, (th_dtype)t, 1), *y = view_of_kind(3 - view, (th_dtype)t, 2);
      double *vx = values_of(x), *vy = values_of(y);
      for (int i = 0; i < 24; i++) vx[i] = 2 * vx[i] - 3 * vy[i];
      th_array *z = call_axpby(x, y, 2, -3);
      cr_assert(worst_of(z, vx, 24) < 1e-6, "view %d: %s", view, th_last_error());
      cr_assert(th_array_is_contiguous(z));
      free(vx);
      free(vy);
      th_array *all[] = {x, y, z};
      for (int j = 0; j < 3; j++) th_release(all[j]);
    }
}

static th_array *axpby_of(th_array *const *inputs, int n, void *user) {
  return call_axpby(inputs[0], inputs[1], 2, -3);
}

Test(ops_custom, passes_the_gradient_check) {
  register_axpby();
  th_array *in[] = {noisy(TH_SHAPE(2, 3), TH_F64, 1), noisy(TH_SHAPE(2, 3), TH_F64, 2)};
  double worst = 0;
  th_status status = th_grad_check(axpby_of, in, 2, NULL, 1e-5, 1e-8, &worst);
  cr_assert(status == TH_OK, "%g, %s", worst, th_last_error());
  th_release(in[0]);
  th_release(in[1]);
}

Test(ops_custom, infer_refuses_with_its_own_words) {
  register_axpby();
  th_array *x = th_zeros(TH_SHAPE(2), TH_F64, th_cpu(0)),
           *y = th_zeros(TH_SHAPE(3), TH_F64, th_cpu(0));
  th_array *i = th_zeros(TH_SHAPE(2), TH_I32, th_cpu(0));
  cr_assert(call_axpby(x, y, 1, 1) == NULL);
  cr_assert(failed_with(TH_ESHAPE, "axpby: shapes differ in dimension 0"));
  cr_assert(call_axpby(i, i, 1, 1) == NULL);
  cr_assert(failed_with(TH_EDTYPE, "axpby: wants two arrays"));
  cr_assert(call_axpby(x, NULL, 1, 1) == NULL);
  cr_assert(failed_with(TH_EINVAL, "axpby"));
  th_array *all[] = {x, y, i};
  for (int j = 0; j < 3; j++) th_release(all[j]);
}

Test(ops_custom, a_failing_kernel_poisons_its_output) {
  register_axpby();
  th_array *x = th_full(TH_SHAPE(4), 1e6, TH_F64, th_cpu(0)), *z = call_axpby(x, x, 1, 1);
  cr_assert(z != NULL);
  th_array *after = th_add_scalar(z, 1);
  cr_assert(eq(int, th_wait(after), TH_EKERNEL));
  cr_assert(failed_with(TH_EKERNEL, "axpby: 2e+06 at 0 is too large"));
  th_array *all[] = {x, z, after};
  for (int j = 0; j < 3; j++) th_release(all[j]);
}

Test(ops_custom, runs_on_the_shapes_of_the_meta_device) {
  register_axpby();
  th_array *x = th_zeros(TH_SHAPE(5, 7), TH_F32, th_meta()), *z = call_axpby(x, x, 1, 1);
  cr_assert(z != NULL, "%s", th_last_error());
  cr_assert(eq(i64, th_array_shape(z)[1], 7));
  th_release(x);
  th_release(z);
}

Test(ops_custom, goes_over_the_cpu_on_a_device_without_its_kernel) {
  far_install();
  register_axpby();
  th_array *near = noisy(TH_SHAPE(5), TH_F64, 1), *x = th_copy_to(near, far_device(0));
  th_array *z = call_axpby(x, x, 2, -1), *back = th_copy_to(z, th_cpu(0));
  cr_assert(z != NULL && th_device_equal(th_array_device(z), far_device(0)));
  double *expected = values_of(near);
  cr_assert(worst_of(back, expected, 5) < 1e-15);
  free(expected);
  th_array *all[] = {near, x, z, back};
  for (int j = 0; j < 4; j++) th_release(all[j]);
}

Test(ops_custom, is_refused_there_when_devices_are_strict) {
  setenv("TH_STRICT_DEVICE", "1", 1);
  far_install();
  register_axpby();
  th_array *near = noisy(TH_SHAPE(5), TH_F64, 1), *x = th_copy_to(near, far_device(0));
  char name[32];
  th_device_name(far_device(0), name, sizeof name);
  cr_assert(x != NULL && call_axpby(x, x, 1, 1) == NULL);
  cr_assert(strstr(th_last_error(), name) != NULL, "%s", th_last_error());
  cr_assert(failed_with(TH_ENOSYS, "axpby"));
  th_release(near);
  th_release(x);
}

static th_status pair_infer(const th_op_shape *in, th_op_shape *out, const void *params) {
  out[0] = in[0];
  out[1] = (th_op_shape){.dtype = TH_I64, .ndim = 1, .shape = {in[0].ndim}};
  return TH_OK;
}

static th_status pair_cpu(const th_op_operand *in, const th_op_operand *out, const void *params,
                          th_task_context *context) {
  int64_t n = 1;
  for (int d = 0; d < in->ndim; d++) n *= in->shape[d];
  for (int64_t i = 0; i < n; i++) ((double *)out[0].data)[i] = -element(in, i);
  for (int d = 0; d < in->ndim; d++) ((int64_t *)out[1].data)[d] = in->shape[d];
  return TH_OK;
}

static th_status silent_infer(const th_op_shape *in, th_op_shape *out, const void *params) {
  return TH_EINVAL;
}

static th_status wild_infer(const th_op_shape *in, th_op_shape *out, const void *params) {
  out[0] = (th_op_shape){.dtype = TH_F32, .ndim = 1, .shape = {-5}};
  return TH_OK;
}

Test(ops_custom, several_outputs_and_no_parameters) {
  th_op_definition d = definition("negate_with_shape");
  d.n_inputs = 1, d.n_outputs = 2, d.params_size = 0, d.infer = pair_infer, d.cpu = pair_cpu,
  d.vjp = NULL;
  cr_assert(eq(int, th_op_register(&d), TH_OK));
  th_array *x = noisy(TH_SHAPE(2, 3), TH_F64, 1), *out[2];
  cr_assert(eq(int, th_op_call("negate_with_shape", &x, 1, NULL, out, 2), TH_OK));
  double *values = values_of(x);
  for (int i = 0; i < 6; i++) values[i] = -values[i];
  cr_assert(worst_of(out[0], values, 6) == 0);
  cr_assert(worst_of(out[1], (const double[]){2, 3}, 2) == 0);
  free(values);
  th_array *all[] = {x, out[0], out[1]};
  for (int j = 0; j < 3; j++) th_release(all[j]);
}

Test(ops_custom, an_infer_that_says_nothing_or_nonsense_is_reported) {
  th_op_definition d = definition("silent");
  d.infer = silent_infer;
  cr_assert(eq(int, th_op_register(&d), TH_OK));
  d.name = "wild";
  d.infer = wild_infer;
  cr_assert(eq(int, th_op_register(&d), TH_OK));
  th_array *x = th_zeros(TH_SHAPE(2), TH_F64, th_cpu(0)), *out = NULL;
  axpby p = {1, 1};
  cr_assert(eq(int, th_op_call("silent", TH_ARRAYS(x, x), &p, &out, 1), TH_EINVAL));
  cr_assert(failed_with(TH_EINVAL, "silent: refused by its infer function"));
  cr_assert(eq(int, th_op_call("wild", TH_ARRAYS(x, x), &p, &out, 1), TH_ESHAPE));
  cr_assert(failed_with(TH_ESHAPE, "wild"));
  th_release(x);
}

static th_status bad_vjp(th_array *const *inputs, th_array *const *outputs,
                         th_array *const *gradients, const void *params, th_array **result) {
  result[0] = th_sum(gradients[0], NULL, 0, false);
  return TH_OK;
}

Test(ops_custom, a_gradient_of_the_wrong_shape_is_an_error) {
  th_op_definition d = definition("badly_sloped");
  d.vjp = bad_vjp;
  cr_assert(eq(int, th_op_register(&d), TH_OK));
  th_array *x = th_ones(TH_SHAPE(2), TH_F64, th_cpu(0)), *out = NULL;
  axpby p = {1, 1};
  cr_assert(eq(int, th_require_grad(x), TH_OK));
  cr_assert(eq(int, th_op_call("badly_sloped", TH_ARRAYS(x, x), &p, &out, 1), TH_OK));
  th_array *sum = th_sum(out, NULL, 0, false);
  cr_assert(eq(int, th_backward(sum, 0), TH_ESHAPE));
  cr_assert(failed_with(TH_ESHAPE, "badly_sloped: its vjp gave gradient 0"));
  th_array *all[] = {x, out, sum};
  for (int j = 0; j < 3; j++) th_release(all[j]);
}

Test(ops_custom, bad_definitions_and_calls_are_refused) {
  th_op_definition good = definition("fine"), d;
  cr_assert(eq(int, th_op_register(&good), TH_OK));
  cr_assert(eq(int, th_op_register(&good), TH_EBUSY));
  cr_assert(failed_with(TH_EBUSY, "fine"));
  d = definition("matmul"); /* a name of the library */
  cr_assert(eq(int, th_op_register(&d), TH_EBUSY));
  cr_assert(failed_with(TH_EBUSY, "matmul"));
  const char *const names[] = {
      "", "two words", "dash-ed", NULL,
      "a_name_of_more_than_sixty_three_letters_is_too_long_to_be_taken_here"};
  for (int i = 0; i < 5; i++) {
    d = definition(names[i]);
    cr_assert(th_op_register(&d) == TH_EINVAL, "name %d", i);
    cr_assert(failed_with(TH_EINVAL, "is no name"));
  }
  d = definition("other");
  d.size = 8;
  cr_assert(eq(int, th_op_register(&d), TH_EINVAL));
  cr_assert(eq(int, th_op_register(NULL), TH_EINVAL));
  d = definition("other");
  d.n_outputs = 0;
  cr_assert(eq(int, th_op_register(&d), TH_EINVAL));
  d = definition("other");
  d.params_size = 257;
  cr_assert(eq(int, th_op_register(&d), TH_EINVAL));
  d = definition("other");
  d.cpu = NULL;
  cr_assert(eq(int, th_op_register(&d), TH_EINVAL));
  cr_assert(failed_with(TH_EINVAL, "lacks infer or cpu"));
  th_array *x = th_zeros(TH_SHAPE(2), TH_F64, th_cpu(0)), *out[2];
  axpby p = {1, 1};
  cr_assert(eq(int, th_op_call("absent", &x, 1, &p, out, 1), TH_EINVAL));
  cr_assert(failed_with(TH_EINVAL, "no custom operator 'absent'"));
  cr_assert(eq(int, th_op_call("matmul", TH_ARRAYS(x, x), NULL, out, 1), TH_EINVAL));
  cr_assert(eq(int, th_op_call("fine", &x, 1, &p, out, 1), TH_EINVAL));
  cr_assert(eq(int, th_op_call("fine", TH_ARRAYS(x, x), NULL, out, 1), TH_EINVAL));
  cr_assert(eq(int, th_op_call("fine", NULL, 2, &p, out, 1), TH_EINVAL));
  cr_assert(failed_with(TH_EINVAL, "fine is given 2 inputs, but no list of them"));
  cr_assert(eq(int, th_op_call("fine", TH_ARRAYS(x, x), &p, out, 2), TH_EINVAL));
  cr_assert(failed_with(TH_EINVAL, "fine has 1 outputs, not 2"));
  th_release(x);
}

Test(ops_custom, definitions_outlive_a_shutdown) {
  register_axpby();
  for (int round = 0; round < 3; round++) {
    start_engine(1 + round);
    th_array *x = th_ones(TH_SHAPE(4), TH_F64, th_cpu(0)), *z = call_axpby(x, x, 1, 2);
    cr_assert(eq(dbl, take_value(z, 3), 3));
    th_release(x);
    cr_assert(eq(int, th_shutdown(), TH_OK));
  }
}
