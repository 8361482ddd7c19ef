/* Trains a small network on handwritten digits. Every array call returns at once and the engine runs what it can side
 * by side, the loader's gathering of the next batches included; the program only waits at the end of an epoch. */
#include <math.h>
#include <string.h>

#include "common/data.h"
#include "common/demo.h"
#include "common/plot.h"
#include "common/resume.h"

enum { MAX_LAYERS = 3 };

typedef struct network {
  int layers;
  th_array *params[2 * MAX_LAYERS]; /* weight, bias of each layer */
} network;

/* Gaussian weights of variance 2 / inputs before a relu (He et al. 2015), 1 / inputs in the last layer; zero biases. */
static network make_network(int64_t inputs, uint64_t seed, th_device device) {
  const int64_t small[] = {64, 128, 10}, large[] = {784, 256, 128, 10};
  const int64_t *sizes = inputs == 64 ? small : large;
  network net = {.layers = inputs == 64 ? 2 : 3};
  th_generator *g = th_generator_new(seed);
  for (int i = 0; i < net.layers; i++) {
    double sd = sqrt((i + 1 < net.layers ? 2.0 : 1.0) / (double)sizes[i]);
    net.params[2 * i] =
        DEMO_MAKE(th_normal(g, TH_SHAPE(sizes[i], sizes[i + 1]), 0, sd, TH_F32, device));
    net.params[2 * i + 1] = DEMO_MAKE(th_zeros(TH_SHAPE(sizes[i + 1]), TH_F32, device));
  }
  for (int i = 0; i < 2 * net.layers; i++) DEMO_TRY(th_require_grad(net.params[i]));
  th_generator_release(g);
  return net;
}

/* Intermediate results belong to the caller's scope. */
static th_array *forward(const network *net, th_array *x) {
  for (int i = 0; i < net->layers; i++) {
    x = th_linear(x, net->params[2 * i], net->params[2 * i + 1]);
    if (i + 1 < net->layers) x = th_relu(x);
  }
  return x;
}

static double accuracy(const network *net, th_array *images, th_array *labels) {
  bool was = th_grad_mode(false);
  th_scope scope = th_scope_begin();
  th_array *hit = th_equal(th_argmax(forward(net, images), 1, false), labels);
  double value = demo_item(DEMO_MAKE(th_mean(th_astype(hit, TH_F32), NULL, 0, false)));
  th_scope_end(scope);
  th_grad_mode(was);
  return value;
}

/* One pass over the training set, or what a resumed one has left of it; returns the mean loss and adds to *images. Nothing in the
 * loop waits: even the sum of the losses is an array, read once at the end. */
static double train_epoch(const network *net, th_loader *loader, th_optimizer *optimizer,
                          resume *checkpoint, const char *label, int64_t *images) {
  th_device device = th_array_device(net->params[0]);
  th_array *sum = DEMO_MAKE(th_zeros(TH_SCALAR, TH_F32, device));
  int64_t rows, done, before = *images;
  DEMO_TRY(th_loader_state(loader, NULL, &done));
  do {
    th_scope scope = th_scope_begin();
    th_array *batch[2];
    rows = th_loader_next(loader, batch);
    if (rows < 0) demo_die("th_loader_next: %s", th_last_error());
    if (rows > 0) {
      th_array *loss = DEMO_MAKE(th_cross_entropy(forward(net, batch[0]), batch[1]));
      DEMO_TRY(th_backward(loss, 0));
      DEMO_TRY(th_optimizer_step(optimizer));
      th_optimizer_zero_grad(optimizer);
      th_array *weighted = th_multiply_scalar(th_detach(loss), (double)rows);
      DEMO_TRY(th_add_inplace(sum, DEMO_MAKE(weighted)));
      demo_progress(label, (long)++done, (long)th_loader_batches(loader));
      resume_step(checkpoint);
      *images += rows;
    }
    th_scope_end(scope);
  } while (rows > 0);
  demo_progress_clear();
  double total = demo_item(sum);
  th_release(sum);
  return total / (double)(*images - before);
}

typedef struct settings {
  const char *data, *trace, *checkpoint, *plot;
  th_device device;
  long epochs, batch, seed, size, every;
  double lr, momentum;
  bool quiet, table, digest;
} settings;

static settings read_settings(int argc, char **argv) {
  static settings s = {.trace = "trace.json",
                       .plot = "",
                       .epochs = 20,
                       .batch = 64,
                       .seed = 1,
                       .size = 8,
                       .every = 100,
                       .lr = 0.1,
                       .momentum = 0.9};
  const demo_option options[] = {
      {"data", "folder with optdigits.{tra,hol,tes} or t10k-*-ubyte.gz; else drawn digits",
       .text = &s.data},
      {"size", "8 or 28: pixels per side of drawn digits", .integer = &s.size},
      DEMO_DEVICE(&s.device),
      {"epochs", "passes over the training set", .integer = &s.epochs},
      {"batch", "images per step", .integer = &s.batch},
      {"lr", "learning rate", .number = &s.lr},
      {"momentum", "momentum", .number = &s.momentum},
      {"seed", "of the weights, the shuffling and the drawn digits", .integer = &s.seed},
      {"trace", "where to write the trace of the last epoch; '' = nowhere", .text = &s.trace},
      {"checkpoint", "file to go on from, if it exists, and to write", .text = &s.checkpoint},
      {"every", "steps between two checkpoints", .integer = &s.every},
      {"digest", "print a number made of all bits of the parameters", .flag = &s.digest},
      {"plot", "where to draw the curve of the loss, as SVG", .text = &s.plot},
      {"table", "print where the time of the last epoch went", .flag = &s.table},
      {"quiet", "no line per epoch", .flag = &s.quiet},
  };
  DEMO_OPTIONS(argc, argv, "Trains a network to read digits: 64-128-10, or 784-256-128-10.",
               options);
  if (s.epochs < 1 || s.batch < 1 || s.every < 1)
    demo_die("--epochs, --batch and --every must be at least 1");
  if (s.size != 8 && s.size != 28) demo_die("--size must be 8 or 28");
  demo_writable("trace", s.trace);
  return s;
}

static const char *const names[2 * MAX_LAYERS] = {"0.weight", "0.bias",   "1.weight",
                                                  "1.bias",   "2.weight", "2.bias"};

/* Trains for all epochs, telling about each; returns the test accuracy after the last. */
static double train(settings *s, network *net, const data_set *set) {
  th_optimizer *optimizer = th_sgd(net->params, 2 * net->layers, s->lr, s->momentum, 0, false);
  th_loader *loader = th_loader_new(
      TH_ARRAYS(set->train_images, set->train_labels),
      &(th_loader_options){
          .batch = s->batch, .shuffle = true, .prefetch = 4, .seed = (uint64_t)s->seed});
  if (!optimizer || !loader) demo_die("%s", th_last_error());
  resume checkpoint = {.path = s->checkpoint,
                       .every = s->every,
                       .parts = {.arrays = net->params,
                                 .names = names,
                                 .n_arrays = 2 * net->layers,
                                 .optimizer = optimizer,
                                 .loader = loader}};
  resume_begin(&checkpoint);
  double seconds = 0;
  int64_t epoch, first, images = 0;
  plot curve = {.title = "loss", .x_name = "epoch", .y_name = "nats"};
  DEMO_TRY(th_loader_state(loader, &first, NULL));
  for (epoch = first; epoch < s->epochs; epoch++) {
    char label[32];
    snprintf(label, sizeof label, "epoch %2ld", (long)epoch + 1);
    bool traced = epoch + 1 == s->epochs && (*s->trace || s->table);
    if (traced) DEMO_TRY(th_profile_start(TH_PROFILE_ALL | TH_PROFILE_SHAPES));
    double start = demo_seconds();
    int64_t before = images;
    double loss = train_epoch(net, loader, optimizer, &checkpoint, label, &images);
    double took = demo_seconds() - start;
    plot_add(&curve, (double)epoch + 1, loss);
    if (traced) DEMO_TRY(th_profile_stop(*s->trace ? s->trace : NULL));
    seconds += took;
    if (s->quiet) continue;
    printf("%s  loss %.4f  test accuracy %.4f  %8.0f images/s\n", label, loss,
           accuracy(net, set->test_images, set->test_labels), (double)(images - before) / took);
    fflush(stdout);
  }
  resume_end(&checkpoint);
  if (images == 0) s->trace = "", s->table = false; /* it was trained before */
  printf("trained %ld epochs in %.2f s, %.0f images/s\n", (long)(epoch - first), seconds,
         images ? (double)images / seconds : 0);
  plot_end(&curve, s->plot);
  th_loader_release(loader);
  th_optimizer_release(optimizer);
  return accuracy(net, set->test_images, set->test_labels);
}

int main(int argc, char **argv) {
  settings s = read_settings(argc, argv);
  data_set set = data_open(s.data, (int)s.size, (uint64_t)s.seed, s.device);
  int64_t inputs = th_array_shape(set.train_images)[1];
  network net = make_network(inputs, (uint64_t)s.seed, s.device);
  printf("%s: %lld training images, %lld test images, %lld pixels each\n", set.name,
         (long long)th_array_shape(set.train_images)[0],
         (long long)th_array_shape(set.test_images)[0], (long long)inputs);
  double result = train(&s, &net, &set);
  if (s.table) DEMO_TRY(th_profile_table(stdout));
  if (*s.trace) printf("trace of the last epoch: %s (open it in ui.perfetto.dev)\n", s.trace);
  if (s.digest) resume_digest(net.params, 2 * net.layers);
  for (int i = 0; i < 2 * net.layers; i++) th_release(net.params[i]);
  data_close(&set);
  DEMO_TRY(th_shutdown());
  if (result < set.gate) fprintf(stderr, "below the expected %.3f\n", set.gate);
  printf("test accuracy %.4f\n", result);
  return result >= set.gate ? 0 : 1;
}
