/* Clipping by norm and by value: against plain loops, over types and devices, without waiting, with infinite gradients. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "support/arrays.h"
#include "support/fardevice.h"
#include "support/tasks.h"

TestSuite(clip, .timeout = 60, .fini = stop_engine);

/* A leaf on d with this gradient. */
static th_array *with_gradient(const double *g, int64_t n, th_dtype t, th_device d) {
  th_array *host = th_from_host(g, TH_SHAPE(n), TH_F64, th_cpu(0)), *cast = th_astype(host, t);
  th_array *slope = th_copy_to(cast, d), *a = th_zeros(TH_SHAPE(n), t, d);
  cr_assert(eq(int, th_require_grad(a), TH_OK), "%s", th_last_error());
  th_array *y = th_multiply_scalar(a, 1);
  cr_assert(eq(int, th_backward_from(y, slope, 0), TH_OK), "%s", th_last_error());
  th_array *all[] = {host, cast, slope, y};
  for (int i = 0; i < 4; i++) th_release(all[i]);
  return a;
}

static th_array *gradient_of(double a, double b) {
  return with_gradient((const double[]){a, b}, 2, TH_F64, th_cpu(0));
}

Test(clip, by_norm_scales_all_gradients_by_one_factor) {
  th_array *a = gradient_of(3, 0), *b = gradient_of(0, 4), *none = leaf(1);
  th_array *norm = th_clip_grad_norm(TH_ARRAYS(a, none, b), 1);
  cr_assert(eq(dbl, th_item(norm), 5), "%s", th_last_error());
  double factor = 1 / (5 + 1e-6);
  cr_assert(lt(dbl, distance_to(th_grad(a), 3 * factor, 0), 1e-15));
  cr_assert(lt(dbl, distance_to(th_grad(b), 0, 4 * factor), 1e-15));
  cr_assert(zero(ptr, th_grad(none)));
  th_release(norm);
  norm = th_clip_grad_norm(TH_ARRAYS(a, b), 10);
  cr_assert(lt(dbl, fabs(th_item(norm) - 5 * factor), 1e-15));
  cr_assert(lt(dbl, distance_to(th_grad(b), 0, 4 * factor), 1e-15), "small gradients stay");
  th_array *all[] = {a, b, none, norm};
  for (int i = 0; i < 4; i++) th_release(all[i]);
}

Test(clip, types_and_devices_may_be_mixed) {
  cr_assert(eq(int, th_cpu_split(2, 1), TH_OK), "%s", th_last_error());
  const double big[] = {60000, 60000}, small[] = {1000};
  th_array *half = with_gradient(big, 2, TH_F16, th_cpu(0));
  th_array *single = with_gradient(small, 1, TH_F32, th_cpu(1));
  th_array *norm = th_clip_grad_norm(TH_ARRAYS(half, single), 100);
  double expected = sqrt(2 * 60000. * 60000 + 1000. * 1000);
  cr_assert(eq(int, th_array_dtype(norm), TH_F32));
  cr_assert(lt(dbl, fabs(th_item(norm) / expected - 1), 1e-4),
            "a norm beyond f16's largest number");
  double factor = 100 / expected;
  cr_assert(lt(dbl, distance_to(th_grad(half), 60000 * factor, 60000 * factor), 0.1));
  cr_assert(lt(dbl, distance_to(th_grad(single), 1000 * factor), 1e-4));
  cr_assert(eq(int, th_array_device(th_grad(single)).index, 1));
  th_array *all[] = {half, single, norm};
  for (int i = 0; i < 3; i++) th_release(all[i]);
}

Test(clip, does_not_wait_for_gradients) {
  tasks_init("threads", 2, 0);
  th_array *a = gradient_of(3, 4);
  th_token *gate = close_gate(th_array_var(th_grad(a)));
  cr_assert(gate != NULL, "%s", th_last_error());
  th_array *norm = th_clip_grad_norm(TH_ARRAYS(a), 1);
  cr_assert(eq(int, th_clip_grad_value(TH_ARRAYS(a), 0.5), TH_OK));
  cr_assert(eq(int, th_is_ready(norm), 0), "nobody waited for the gate");
  cr_assert(eq(int, th_token_signal(gate, TH_OK, NULL), TH_OK));
  cr_assert(eq(dbl, th_item(norm), 5));
  cr_assert(eq(dbl, distance_to(th_grad(a), 0.5, 0.5), 0));
  th_release(norm);
  th_release(a);
}

Test(clip, infinite_and_nan_gradients_do_what_they_do_in_pytorch) {
  th_array *a = gradient_of(INFINITY, 1), *b = gradient_of(NAN, 1);
  th_array *norm = th_clip_grad_norm(TH_ARRAYS(a), 1);
  double g[2];
  cr_assert(isinf(th_item(norm)));
  cr_assert(eq(int, th_read(th_grad(a), g, sizeof g), TH_OK));
  cr_assert(isnan(g[0]) && g[1] == 0);
  th_release(norm);
  norm = th_clip_grad_norm(TH_ARRAYS(b), 1);
  cr_assert(isnan(th_item(norm)));
  cr_assert(eq(int, th_read(th_grad(b), g, sizeof g), TH_OK));
  cr_assert(isnan(g[0]) && isnan(g[1]));
  th_array *all[] = {a, b, norm};
  for (int i = 0; i < 3; i++) th_release(all[i]);
}

Test(clip, without_gradients_the_norm_is_0) {
  th_array *x = leaf(1), *norm = th_clip_grad_norm(TH_ARRAYS(x), 1);
  cr_assert(eq(dbl, th_item(norm), 0));
  th_release(norm);
  th_release(x);
}

Test(clip, in_a_scope_only_the_norm_is_made) {
  th_array *a = gradient_of(3, 4);
  th_scope scope = th_scope_begin();
  th_array *norm = th_keep(th_clip_grad_norm(TH_ARRAYS(a), 1));
  th_scope_end(scope);
  cr_assert(eq(dbl, th_item(norm), 5));
  th_release(norm);
  th_release(a);
}

Test(clip, by_value_cuts_elements) {
  const double g[] = {-3, -0.5, 0.5, 3};
  th_array *a = with_gradient(g, 4, TH_F32, th_cpu(0)), *b = gradient_of(NAN, -INFINITY);
  cr_assert(eq(int, th_clip_grad_value(TH_ARRAYS(a, b), 1), TH_OK), "%s", th_last_error());
  cr_assert(eq(dbl, distance_to(th_grad(a), -1, -0.5, 0.5, 1), 0));
  double cut[2];
  cr_assert(eq(int, th_read(th_grad(b), cut, sizeof cut), TH_OK));
  cr_assert(isnan(cut[0]) && cut[1] == -1);
  th_release(a);
  th_release(b);
}

Test(clip, bad_arguments_are_refused) {
  th_array *x = leaf(1), *plain = scalar(1);
  cr_assert(zero(ptr, th_clip_grad_norm(TH_ARRAYS(x), -1)));
  cr_assert(zero(ptr, th_clip_grad_norm(TH_ARRAYS(x), NAN)));
  cr_assert(zero(ptr, th_clip_grad_norm(TH_ARRAYS(plain), 1)));
  cr_assert(strstr(th_last_error(), "clip_grad_norm: array 0 is not a leaf") != NULL, "%s",
            th_last_error());
  cr_assert(zero(ptr, th_clip_grad_norm(NULL, 0, 1)));
  cr_assert(eq(int, th_clip_grad_value(TH_ARRAYS(x), -1), TH_EINVAL));
  cr_assert(eq(int, th_clip_grad_value(TH_ARRAYS(plain), 1), TH_EINVAL));
  th_release(x);
  th_release(plain);
}

/* More gradients than one operator can take, on a device that has one for many and on one that has not. */
Test(clip, any_number_of_gradients, .timeout = 600) {
  enum { LEAVES = 33000 };
  far_install();
  static th_array *leaves[LEAVES];
  for (int far = 0; far < 2; far++) {
    th_device d = far ? far_device(0) : th_cpu(0);
    for (int i = 0; i < LEAVES; i++) {
      leaves[i] = th_ones(TH_SCALAR, TH_F32, d);
      cr_assert(eq(int, th_require_grad(leaves[i]), TH_OK));
      cr_assert(eq(int, th_backward(leaves[i], 0), TH_OK), "%s", th_last_error());
    }
    th_array *norm = th_clip_grad_norm(leaves, LEAVES, 1);
    cr_assert(norm != NULL, "%s", th_last_error());
    cr_assert(lt(dbl, fabs(th_item(norm) / sqrt(LEAVES) - 1), 1e-6));
    for (int i = 0; i < LEAVES; i += LEAVES / 20)
      cr_assert(lt(dbl, fabs(th_item(th_grad(leaves[i])) * sqrt(LEAVES) - 1), 1e-5), "%d", i);
    cr_assert(lt(dbl, fabs(th_item(th_grad(leaves[LEAVES - 1])) * sqrt(LEAVES) - 1), 1e-5));
    th_release(norm);
    for (int i = 0; i < LEAVES; i++) th_release(leaves[i]);
  }
}

/* More elements than one block adds up, and halves, doubles and gaps among them. */
Test(clip, many_gradients_are_one_norm) {
  enum { LEAVES = 5 };
  const int64_t sizes[LEAVES] = {1, 40000, 0, 333, 17000};
  const th_dtype types[LEAVES] = {TH_F64, TH_F32, TH_F32, TH_F16, TH_F64};
  th_array *leaves[LEAVES];
  double *values[LEAVES], squares = 0;
  for (int i = 0; i < LEAVES; i++) {
    values[i] = malloc((size_t)sizes[i] * sizeof(double) + 1);
    for (int64_t k = 0; k < sizes[i]; k++) {
      values[i][k] = (double)((k * 37 + i) % 64 - 31) / 32; /* exact in every type */
      squares += values[i][k] * values[i][k];
    }
    leaves[i] = with_gradient(values[i], sizes[i], types[i], th_cpu(0));
  }
  th_array *norm = th_clip_grad_norm(leaves, LEAVES, 2);
  cr_assert(eq(int, th_array_dtype(norm), TH_F64), "%s", th_last_error());
  cr_assert(lt(dbl, fabs(th_item(norm) / sqrt(squares) - 1), 1e-6));
  double factor = 2 / (th_item(norm) + 1e-6);
  for (int i = 0; i < LEAVES; i++) {
    for (int64_t k = 0; k < sizes[i]; k++) values[i][k] *= factor;
    if (sizes[i] == 0) continue;
    double off = distance(th_grad(leaves[i]), values[i], sizes[i]);
    cr_assert(off <= (types[i] == TH_F16   ? 1e-5
                      : types[i] == TH_F32 ? 1e-8
                                           : 1e-17),
              "%d: %g", i, off);
  }
  th_release(norm);
  for (int i = 0; i < LEAVES; i++) {
    free(values[i]);
    th_release(leaves[i]);
  }
}
