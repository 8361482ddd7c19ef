/* Reads digits with a small convolutional network: twice convolution, relu, largest of 2 x 2; then a layer of answers. */
#include <math.h>

#include "common/data.h"
#include "common/demo.h"
#include "common/plot.h"

enum { FIRST = 8, SECOND = 16, FLAT = SECOND * 7 * 7, PARAMS = 6, TEST_BATCH = 500 };

/* Gaussian weights of variance 2 / inputs before a relu (He et al. 2015), 1 / inputs in the last layer; zero biases. */
static void make_params(th_array **params, uint64_t seed, th_device device) {
  const struct {
    int64_t shape[4];
    int ndim;
    double sd;
    int64_t outputs;
  } layers[] = {{{FIRST, 1, 3, 3}, 4, sqrt(2. / 9), FIRST},
                {{SECOND, FIRST, 3, 3}, 4, sqrt(2. / (9 * FIRST)), SECOND},
                {{FLAT, 10}, 2, sqrt(1. / FLAT), 10}};
  th_generator *g = th_generator_new(seed);
  for (int i = 0; i < PARAMS / 2; i++) {
    params[2 * i] =
        DEMO_MAKE(th_normal(g, layers[i].shape, layers[i].ndim, 0, layers[i].sd, TH_F32, device));
    params[2 * i + 1] = DEMO_MAKE(th_zeros(TH_SHAPE(layers[i].outputs), TH_F32, device));
  }
  for (int i = 0; i < PARAMS; i++) DEMO_TRY(th_require_grad(params[i]));
  th_generator_release(g);
}

/* images (n, 784) -> logits (n, 10). Intermediate results belong to the caller's scope. */
static th_array *forward(th_array *const *params, th_array *images) {
  const th_conv_config around = {.padding = {1, 1}}; /* so that the picture keeps its size */
  const th_pool_config pool = {.kernel = {2, 2}};
  th_array *x = th_reshape(images, TH_SHAPE(-1, 1, 28, 28));
  for (int i = 0; i < 4; i += 2)
    x = th_max_pool2d(th_relu(th_conv2d(x, params[i], params[i + 1], &around)), &pool);
  return DEMO_MAKE(th_linear(th_reshape(x, TH_SHAPE(-1, FLAT)), params[4], params[5]));
}

/* In batches, because pictures of all layers of all images would take much memory. */
static double accuracy(th_array *const *params, const data_set *set) {
  th_loader *loader = th_loader_new(TH_ARRAYS(set->test_images, set->test_labels),
                                    &(th_loader_options){.batch = TEST_BATCH});
  th_array *hits = DEMO_MAKE(th_zeros(TH_SCALAR, TH_I64, th_array_device(params[0]))), *batch[2];
  bool was = th_grad_mode(false);
  int64_t rows;
  do {
    th_scope scope = th_scope_begin();
    rows = th_loader_next(loader, batch);
    if (rows < 0) demo_die("th_loader_next: %s", th_last_error());
    if (rows > 0) {
      th_array *hit = th_equal(th_argmax(forward(params, batch[0]), 1, false), batch[1]);
      DEMO_TRY(th_add_inplace(hits, DEMO_MAKE(th_count_nonzero(hit, NULL, 0, false))));
    }
    th_scope_end(scope);
  } while (rows > 0);
  double value = demo_item(hits) / (double)th_array_shape(set->test_labels)[0];
  th_grad_mode(was);
  th_release(hits);
  th_loader_release(loader);
  return value;
}

/* One pass over the training set; adds the loss of each step to the curve. Nothing waits before the end. */
static double train_epoch(th_array *const *params, th_loader *loader, th_optimizer *optimizer,
                          const char *label, plot *curve) {
  int64_t rows, steps = th_loader_batches(loader), step = 0;
  th_array *losses = DEMO_MAKE(th_zeros(TH_SHAPE(steps), TH_F64, th_array_device(params[0]))),
           *batch[2];
  do {
    th_scope scope = th_scope_begin();
    rows = th_loader_next(loader, batch);
    if (rows < 0) demo_die("th_loader_next: %s", th_last_error());
    if (rows > 0) {
      char place[32];
      snprintf(place, sizeof place, "%lld", (long long)step);
      th_array *loss = DEMO_MAKE(th_cross_entropy(forward(params, batch[0]), batch[1]));
      DEMO_TRY(th_backward(loss, 0));
      DEMO_TRY(th_optimizer_step(optimizer));
      th_optimizer_zero_grad(optimizer);
      DEMO_TRY(th_assign(DEMO_MAKE(th_slice(losses, place)), th_detach(loss)));
      demo_progress(label, (long)++step, (long)steps);
    }
    th_scope_end(scope);
  } while (rows > 0);
  demo_progress_clear();
  const void *data;
  DEMO_TRY(th_map_read(losses, &data));
  double sum = 0;
  for (int64_t i = 0; i < steps; i++) {
    plot_add(curve, curve->n + 1, ((const double *)data)[i]);
    sum += ((const double *)data)[i];
  }
  DEMO_TRY(th_unmap(losses));
  th_release(losses);
  return sum / (double)steps;
}

typedef struct settings {
  const char *data, *plot;
  long epochs, batch, seed;
  double lr, goal;
  th_device device;
} settings;

static settings read_settings(int argc, char **argv) {
  static settings s = {.plot = "", .batch = 50, .seed = 1, .lr = 0.003, .goal = 0.97};
  const demo_option options[] = {
      {"data", "folder with MNIST's t10k-*-ubyte.gz; else drawn digits", .text = &s.data},
      {"epochs", "passes over the training set; 0 = 3, with --data 6", .integer = &s.epochs},
      {"batch", "images per step", .integer = &s.batch},
      {"lr", "learning rate of Adam at first; it falls to 0", .number = &s.lr},
      {"goal", "accuracy on the test set", .number = &s.goal},
      {"seed", "of the weights, the shuffling and the drawn digits", .integer = &s.seed},
      DEMO_DEVICE(&s.device),
      {"plot", "where to draw the curve of the loss, as SVG", .text = &s.plot},
  };
  DEMO_OPTIONS(argc, argv, "Trains a convolutional network to read digits of 28 x 28 pixels.",
               options);
  if (s.epochs == 0) s.epochs = s.data ? 6 : 3;
  if (s.epochs < 1 || s.batch < 1) demo_die("--epochs and --batch must be at least 1");
  return s;
}

/* Trains for all epochs, telling about each; returns the test accuracy after the last. */
static double train(const settings *s, th_array *const *params, const data_set *set) {
  plot curve = {.title = "loss", .x_name = "step", .y_name = "nats"};
  int64_t images = th_array_shape(set->train_images)[0];
  double result = 0;
  th_optimizer *optimizer = th_adam(params, PARAMS, &(th_adam_config){.lr = s->lr});
  th_loader *loader = th_loader_new(
      TH_ARRAYS(set->train_images, set->train_labels),
      &(th_loader_options){.batch = s->batch, .shuffle = true, .seed = (uint64_t)s->seed});
  if (!optimizer || !loader) demo_die("%s", th_last_error());
  for (long epoch = 1; epoch <= s->epochs; epoch++) {
    char label[32];
    snprintf(label, sizeof label, "epoch %2ld", epoch);
    th_optimizer_set_lr(optimizer, s->lr * th_schedule_cosine(epoch - 1, s->epochs, 0));
    double start = demo_seconds();
    double loss = train_epoch(params, loader, optimizer, label, &curve);
    double seconds = demo_seconds() - start;
    result = accuracy(params, set);
    printf("%s  loss %.4f  test accuracy %.4f  %6.0f images/s\n", label, loss, result,
           (double)images / seconds);
    fflush(stdout);
  }
  plot_end(&curve, s->plot);
  th_loader_release(loader);
  th_optimizer_release(optimizer);
  return result;
}

int main(int argc, char **argv) {
  settings s = read_settings(argc, argv);
  data_set set = data_open(s.data, 28, (uint64_t)s.seed, s.device);
  if (th_array_shape(set.train_images)[1] != 784) demo_die("--data: images are not 28 x 28");
  th_array *params[PARAMS];
  make_params(params, (uint64_t)s.seed, s.device);
  printf("%s: %lld training images, %lld test images\n", set.name,
         (long long)th_array_shape(set.train_images)[0],
         (long long)th_array_shape(set.test_images)[0]);
  double result = train(&s, params, &set);
  demo_check(result >= s.goal, "test accuracy %.4f (expected %.3f)", result, s.goal);
  for (int i = 0; i < PARAMS; i++) th_release(params[i]);
  data_close(&set);
  return demo_finish();
}
