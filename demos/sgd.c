/* Gradient descent on one number, f(x) = (x - 3)^2 from x = 0: the step size decides, and gradients add up. */
#include "common/demo.h"

static th_device device;

/* Returns x after steps; prints it after each one. */
static double descend(double lr, int steps, bool zero) {
  printf("learning rate %g%s:", lr, zero ? "" : ", gradients never set back to zero");
  th_array *x = DEMO_MAKE(th_zeros(TH_SCALAR, TH_F64, device));
  DEMO_TRY(th_require_grad(x));
  th_optimizer *optimizer = th_sgd(TH_ARRAYS(x), lr, 0, 0, false);
  if (!optimizer) demo_die("th_sgd: %s", th_last_error());
  for (int i = 0; i < steps; i++) {
    th_scope scope = th_scope_begin();
    th_array *loss = DEMO_MAKE(th_square(th_subtract_scalar(x, 3)));
    DEMO_TRY(th_backward(loss, 0)); /* adds 2 (x - 3) to the gradient of x */
    DEMO_TRY(th_optimizer_step(optimizer));
    if (zero) th_optimizer_zero_grad(optimizer);
    th_scope_end(scope);
    printf(" %.7g", demo_item(x));
  }
  putchar('\n');
  double result = demo_item(x);
  th_optimizer_release(optimizer);
  th_release(x);
  return result;
}

int main(int argc, char **argv) {
  const demo_option options[] = {DEMO_DEVICE(&device)};
  DEMO_OPTIONS(argc, argv, "Gradient descent on (x - 3)^2 with several step sizes.", options);
  demo_check_near("x after 5 steps of 0.01", descend(0.01, 5, true), 0.28823761, 1e-8);
  demo_check_near("the same, accumulating", descend(0.01, 5, false), 0.85866769, 1e-8);
  demo_check_near("x after 5 steps of 1.1 (diverges)", descend(1.1, 5, true), 10.46496, 1e-9);
  demo_check_near("x after 1 step of 0.5 (exact)", descend(0.5, 1, true), 3, 0);
  return demo_finish();
}
