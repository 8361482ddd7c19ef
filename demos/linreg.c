/* Fits a line to y = 2 x + 1, x = 1..100, the way every training program works: loader, model, loss, backward, step. */
#include <math.h>

#include "common/demo.h"

int main(int argc, char **argv) {
  long epochs = 50, batch = 10;
  double lr = 1e-5;
  th_device device = th_cpu(0);
  const demo_option options[] = {
      {"epochs", "passes over the 100 points", .integer = &epochs},
      {"batch", "points per step", .integer = &batch},
      {"lr", "learning rate", .number = &lr},
      DEMO_DEVICE(&device),
  };
  DEMO_OPTIONS(argc, argv, "Fits a line to points by gradient descent.", options);
  if (epochs < 1 || batch < 1) demo_die("--epochs and --batch must be at least 1");

  th_array *x = DEMO_MAKE(th_arange(1, 101, 1, TH_F64, device));
  th_array *x_column = DEMO_MAKE(th_reshape(x, TH_SHAPE(100, 1)));
  th_array *doubled = DEMO_MAKE(th_multiply_scalar(x_column, 2));
  th_array *y = DEMO_MAKE(th_add_scalar(doubled, 1));
  th_array *w = DEMO_MAKE(th_zeros(TH_SHAPE(1, 1), TH_F64, device));
  th_array *b = DEMO_MAKE(th_zeros(TH_SHAPE(1), TH_F64, device));
  DEMO_TRY(th_require_grad(w));
  DEMO_TRY(th_require_grad(b));
  th_optimizer *optimizer = th_sgd(TH_ARRAYS(w, b), lr, 0, 0, false);
  th_loader *loader = th_loader_new(TH_ARRAYS(x_column, y), &(th_loader_options){.batch = batch});
  if (!optimizer || !loader) demo_die("%s", th_last_error());

  double whole = 0;
  for (long epoch = 1; epoch <= epochs; epoch++) {
    th_array *points[2];
    int64_t rows;
    while ((rows = th_loader_next(loader, points)) > 0) {
      th_scope scope = th_scope_begin();
      th_array *loss = DEMO_MAKE(th_mse_loss(th_linear(points[0], w, b), points[1]));
      DEMO_TRY(th_backward(loss, 0));
      DEMO_TRY(th_optimizer_step(optimizer));
      th_optimizer_zero_grad(optimizer);
      th_scope_end(scope);
      th_release(points[0]);
      th_release(points[1]);
    }
    if (rows < 0) demo_die("th_loader_next: %s", th_last_error());
    th_scope scope = th_scope_begin();
    th_grad_mode(false); /* looking at the loss needs no gradient */
    whole = demo_item(DEMO_MAKE(th_mse_loss(th_linear(x_column, w, b), y)));
    th_grad_mode(true);
    th_scope_end(scope);
    if (epoch <= 5 || epoch % 10 == 0) printf("epoch %2ld  loss %.6f\n", epoch, whole);
  }

  printf("y = %.6f x + %.6f\n", demo_item(w), demo_item(b));
  if (epochs == 50 && batch == 10 && lr == 1e-5) {
    demo_check_near("w", demo_item(w), 2.013333, 2e-4);
    demo_check_near("b", demo_item(b), 0.034325, 3.4e-6);
    demo_check_near("mean squared error", whole, 0.233599, 2.3e-5);
  }
  th_loader_release(loader);
  th_optimizer_release(optimizer);
  th_array *all[] = {x, x_column, doubled, y, w, b};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) th_release(all[i]);
  return demo_finish();
}
