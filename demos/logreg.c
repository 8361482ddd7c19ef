/* Softmax regression on digits, twice: with gradients that the library records, and, with --eager, with the gradient written by
 * hand. Both see the same batches; their weights are the same but for rounding. */
#include <math.h>

#include "common/data.h"
#include "common/demo.h"

enum { CLASSES = 10, BATCH = 100 };
static const double rate = 0.5;

typedef struct model {
  th_array *weight, *bias; /* (pixels, 10), (10) */
} model;

/* Zeros: there is nothing to tell apart, the problem is convex. */
static model make_model(int64_t pixels, th_device device) {
  return (model){DEMO_MAKE(th_zeros(TH_SHAPE(pixels, CLASSES), TH_F32, device)),
                 DEMO_MAKE(th_zeros(TH_SHAPE(CLASSES), TH_F32, device))};
}

static void end_model(model *m) {
  th_release(m->weight);
  th_release(m->bias);
}

/* The recorded form: the mean loss of the batch, its gradient, a step. Returns the loss, which belongs to the scope. */
static th_array *step_recorded(const model *m, th_optimizer *optimizer, th_array *images,
                               th_array *labels) {
  th_array *loss = DEMO_MAKE(th_cross_entropy(th_linear(images, m->weight, m->bias), labels));
  DEMO_TRY(th_backward(loss, 0));
  DEMO_TRY(th_optimizer_step(optimizer));
  th_optimizer_zero_grad(optimizer);
  return th_detach(loss);
}

/* The same on paper: the gradient of a row's loss by its logits is softmax - one-hot label. Summed over the batch, so the rate is
 * divided by the batch. */
static th_array *step_by_hand(const model *m, th_array *images, th_array *labels) {
  th_array *logits = th_add(th_matmul(images, m->weight), m->bias);
  th_array *odds = th_softmax(logits, 1), *wanted = th_one_hot(labels, CLASSES, TH_F32);
  th_array *slope = th_subtract(odds, wanted);
  th_array *by_weight = th_matmul(th_matrix_transpose(images), slope);
  th_array *by_bias = th_sum(slope, (int[]){0}, 1, false);
  th_array *of_label = th_sum(th_multiply(odds, wanted), (int[]){1}, 1, false);
  DEMO_TRY(th_subtract_inplace(m->weight, th_multiply_scalar(by_weight, rate / BATCH)));
  DEMO_TRY(th_subtract_inplace(m->bias, th_multiply_scalar(by_bias, rate / BATCH)));
  return DEMO_MAKE(th_negative(th_mean(th_log(of_label), NULL, 0, false)));
}

static double accuracy(const model *m, const data_set *set) {
  bool was = th_grad_mode(false);
  th_scope scope = th_scope_begin();
  th_array *guess = th_argmax(th_linear(set->test_images, m->weight, m->bias), 1, false);
  th_array *hit = th_astype(th_equal(guess, set->test_labels), TH_F32);
  double value = demo_item(DEMO_MAKE(th_mean(hit, NULL, 0, false)));
  th_scope_end(scope);
  th_grad_mode(was);
  return value;
}

static double largest_difference(const th_array *a, const th_array *b) {
  th_scope scope = th_scope_begin();
  double value = demo_item(DEMO_MAKE(th_max(th_abs(th_subtract(a, b)), NULL, 0, false)));
  th_scope_end(scope);
  return value;
}

/* Trains m on `steps` batches; by hand when optimizer is NULL. Tells the first loss, the last and the time. */
static double train(const char *name, const model *m, th_optimizer *optimizer, const data_set *set,
                    long steps) {
  th_loader *loader =
      th_loader_new(TH_ARRAYS(set->train_images, set->train_labels),
                    &(th_loader_options){.batch = BATCH, .shuffle = true, .drop_last = true});
  if (!loader) demo_die("%s", th_last_error());
  th_array *losses[2] = {NULL}; /* first, last */
  bool was = th_grad_mode(optimizer != NULL);
  double start = demo_seconds();
  for (long step = 0; step < steps;) {
    th_scope scope = th_scope_begin();
    th_array *batch[2];
    int64_t rows = th_loader_next(loader, batch);
    if (rows < 0) demo_die("th_loader_next: %s", th_last_error());
    if (rows > 0) { /* else the next pass begins */
      th_array *loss = optimizer ? step_recorded(m, optimizer, batch[0], batch[1])
                                 : step_by_hand(m, batch[0], batch[1]);
      if (step == 0 || step == steps - 1) losses[step > 0] = th_keep(loss);
      demo_progress(name, ++step, steps);
    }
    th_scope_end(scope);
  }
  DEMO_TRY(th_wait(m->weight));
  double seconds = demo_seconds() - start, first = demo_item(losses[0]);
  demo_progress_clear();
  printf("%-8s  loss %.6f ... %.6f  test accuracy %.4f  %.1f us per step\n", name, first,
         demo_item(losses[steps > 1]), accuracy(m, set), seconds / (double)steps * 1e6);
  th_grad_mode(was);
  for (int i = 0; i < 2; i++) th_release(losses[i]);
  th_loader_release(loader);
  return first;
}

static void compare_by_hand(const model *recorded, const data_set *set, long steps) {
  model hand = make_model(th_array_shape(recorded->weight)[0], th_array_device(recorded->weight));
  train("by hand", &hand, NULL, set, steps);
  double weight = largest_difference(recorded->weight, hand.weight);
  double bias = largest_difference(recorded->bias, hand.bias);
  demo_check(fmax(weight, bias) <= 1e-4, "largest difference of weights %.3g, of biases %.3g",
             weight, bias);
  end_model(&hand);
}

int main(int argc, char **argv) {
  const char *data = NULL;
  bool eager = false;
  long steps = 1000, size = 28, seed = 1;
  double goal = 0.89;
  th_device device = th_cpu(0);
  const demo_option options[] = {
      {"eager", "also with the gradient written by hand, and compare", .flag = &eager},
      {"data", "folder with t10k-*-ubyte.gz or optdigits.{tra,hol,tes}; else drawn digits",
       .text = &data},
      {"size", "8 or 28: pixels per side of drawn digits", .integer = &size},
      {"steps", "batches of 100 images", .integer = &steps},
      {"goal", "accuracy on the test set", .number = &goal},
      {"seed", "of the drawn digits", .integer = &seed},
      DEMO_DEVICE(&device),
  };
  DEMO_OPTIONS(argc, argv, "Softmax regression on digits, by recorded gradients and by hand.",
               options);
  if (steps < 1) demo_die("--steps must be at least 1");
  if (size != 8 && size != 28) demo_die("--size must be 8 or 28");

  data_set set = data_open(data, (int)size, (uint64_t)seed, device);
  int64_t pixels = th_array_shape(set.train_images)[1];
  printf("%s: %lld x %d weights\n", set.name, (long long)pixels, CLASSES);
  model recorded = make_model(pixels, device);
  DEMO_TRY(th_require_grad(recorded.weight));
  DEMO_TRY(th_require_grad(recorded.bias));
  th_optimizer *sgd = th_sgd(TH_ARRAYS(recorded.weight, recorded.bias), rate, 0, 0, false);
  if (!sgd) demo_die("th_sgd: %s", th_last_error());
  double first = train("recorded", &recorded, sgd, &set, steps);
  demo_check_near("first loss", first, log(CLASSES), 1e-5);
  if (eager) compare_by_hand(&recorded, &set, steps);
  double result = accuracy(&recorded, &set);
  demo_check(result >= goal, "test accuracy %.4f (expected %.3f)", result, goal);
  th_optimizer_release(sgd);
  end_model(&recorded);
  data_close(&set);
  return demo_finish();
}
