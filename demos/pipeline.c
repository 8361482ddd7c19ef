/* A data pipeline: batches are loaded, transformed and trained on. Written as plain calls in a row, and nothing in them waits: so
 * the engine gathers and transforms the next batches on one core while another trains. The same program with a wait after
 * every stage computes the same bits, one stage at a time. */
#include <math.h>
#include <string.h>

#include "common/data.h"
#include "common/demo.h"

enum { PARAMS = 4, HIDDEN = 128 };

typedef struct network {
  th_array *params[PARAMS]; /* weight, bias of both layers */
  th_optimizer *optimizer;
} network;

typedef struct settings {
  long images, batch, epochs, seed;
  th_device device;
  const char *trace;
} settings;

/* What one run was like. */
typedef struct outcome {
  double seconds, loss; /* of the last epoch */
} outcome;

static network make_network(const settings *s) {
  const int64_t sizes[] = {784, HIDDEN, 10};
  network net;
  th_generator *g = th_generator_new((uint64_t)s->seed);
  for (int i = 0; i < PARAMS; i += 2) {
    int64_t in = sizes[i / 2], out = sizes[i / 2 + 1];
    net.params[i] =
        DEMO_MAKE(th_normal(g, TH_SHAPE(in, out), 0, sqrt(2.0 / (double)in), TH_F32, s->device));
    net.params[i + 1] = DEMO_MAKE(th_zeros(TH_SHAPE(out), TH_F32, s->device));
  }
  for (int i = 0; i < PARAMS; i++) DEMO_TRY(th_require_grad(net.params[i]));
  th_generator_release(g);
  net.optimizer = th_sgd(net.params, PARAMS, 0.05, 0.9, 0, false);
  if (!net.optimizer) demo_die("th_sgd: %s", th_last_error());
  return net;
}

static void end_network(network *net) {
  th_optimizer_release(net->optimizer);
  for (int i = 0; i < PARAMS; i++) th_release(net->params[i]);
}

/* The end of a stage. */
static void stage_done(th_array *a, bool waits) {
  if (waits) DEMO_TRY(th_wait(a));
}

/* Images that are a little different every time: noise, brightness, and pixels left out. */
static th_array *transform(th_array *images, th_generator *g) {
  th_device device = th_array_device(images);
  int64_t rows = th_array_shape(images)[0];
  th_array *noise = DEMO_MAKE(th_normal(g, TH_SHAPE(rows, 784), 0, 0.1, TH_F32, device));
  th_array *light = DEMO_MAKE(th_uniform(g, TH_SHAPE(rows, 1), 0.8, 1.2, TH_F32, device));
  th_array *kept = DEMO_MAKE(th_uniform(g, TH_SHAPE(rows, 784), 0, 1, TH_F32, device));
  th_array *bright = DEMO_MAKE(th_add(th_multiply(images, light), noise));
  return DEMO_MAKE(th_multiply(bright, th_astype(th_less_scalar(kept, 0.9), TH_F32)));
}

/* Returns the loss. */
static th_array *train(network *net, th_array *images, th_array *labels) {
  th_array *hidden = th_relu(th_linear(images, net->params[0], net->params[1]));
  th_array *loss =
      DEMO_MAKE(th_cross_entropy(th_linear(hidden, net->params[2], net->params[3]), labels));
  DEMO_TRY(th_backward(loss, 0));
  DEMO_TRY(th_optimizer_step(net->optimizer));
  th_optimizer_zero_grad(net->optimizer);
  return th_detach(loss);
}

/* One pass over the data; returns the mean loss. */
static double epoch(network *net, th_loader *loader, th_generator *g, bool waits) {
  th_array *sum = DEMO_MAKE(th_zeros(TH_SCALAR, TH_F32, th_array_device(net->params[0])));
  int64_t rows;
  do {
    th_scope scope = th_scope_begin();
    th_array *batch[2];
    rows = th_loader_next(loader, batch);
    if (rows < 0) demo_die("th_loader_next: %s", th_last_error());
    if (rows > 0) {
      stage_done(batch[0], waits);
      th_array *images = transform(batch[0], g);
      stage_done(images, waits);
      DEMO_TRY(th_add_inplace(sum, train(net, images, batch[1])));
      stage_done(sum, waits);
    }
    th_scope_end(scope);
  } while (rows > 0);
  double mean = demo_item(sum) / (double)th_loader_batches(loader);
  th_release(sum);
  return mean;
}

/* All epochs from the start; the last is timed, and traced when trace is given. */
static outcome run(const settings *s, const data_set *set, bool waits, const char *trace) {
  network net = make_network(s);
  th_generator *g = th_generator_new((uint64_t)s->seed + 1);
  th_loader *loader = th_loader_new(TH_ARRAYS(set->train_images, set->train_labels),
                                    &(th_loader_options){.batch = s->batch,
                                                         .shuffle = true,
                                                         .drop_last = true,
                                                         .prefetch = waits ? TH_NO_PREFETCH : 4,
                                                         .seed = (uint64_t)s->seed});
  if (!loader) demo_die("th_loader_new: %s", th_last_error());
  outcome o = {0};
  for (long e = 1; e <= s->epochs; e++) {
    bool traced = e == s->epochs && trace && *trace;
    if (traced) DEMO_TRY(th_profile_start(TH_PROFILE_ALL));
    double start = demo_seconds();
    o.loss = epoch(&net, loader, g, waits);
    o.seconds = demo_seconds() - start;
    if (traced) DEMO_TRY(th_profile_stop(trace));
  }
  th_loader_release(loader);
  th_generator_release(g);
  end_network(&net);
  return o;
}

static void tell(const char *how, const settings *s, outcome o) {
  double images = (double)(s->images / s->batch * s->batch);
  printf("%-28s %7.0f images/s, loss %.6f\n", how, images / o.seconds, o.loss);
}

int main(int argc, char **argv) {
  settings s = {.images = 4096, .batch = 128, .epochs = 3, .seed = 1, .trace = ""};
  const demo_option options[] = {
      {"images", "drawn digits of 28 x 28", .integer = &s.images},
      {"batch", "images per step", .integer = &s.batch},
      {"epochs", "passes over them, of which the last is timed", .integer = &s.epochs},
      {"seed", "of the digits, the weights, the shuffling and the noise", .integer = &s.seed},
      {"trace", "where to write a trace of the last epoch, overlapped; '' = nowhere",
       .text = &s.trace},
      DEMO_DEVICE(&s.device),
  };
  DEMO_OPTIONS(argc, argv, "Loads, transforms and trains, stage by stage and overlapped.", options);
  if (s.batch < 1 || s.images < s.batch || s.epochs < 1)
    demo_die("--epochs and --batch must be at least 1, --images at least one batch");
  demo_writable("trace", s.trace);
  th_array *images, *labels;
  DEMO_TRY(th_digits(s.images, 28, (uint64_t)s.seed, &images, &labels));
  DEMO_TRY(th_multiply_scalar_inplace(images, 1 / 255.0));
  data_set set = {.train_images = DEMO_MAKE(th_copy_to(images, s.device)),
                  .train_labels = DEMO_MAKE(th_copy_to(labels, s.device))};
  th_release(images);
  th_release(labels);
  outcome waiting = run(&s, &set, true, NULL), overlapped = run(&s, &set, false, s.trace);
  tell("a wait after every stage", &s, waiting);
  tell("nothing waits", &s, overlapped);
  printf("%.2f times as fast\n", waiting.seconds / overlapped.seconds);
  demo_check(memcmp(&waiting.loss, &overlapped.loss, sizeof waiting.loss) == 0,
             "the same loss, to the bit");
  demo_check(overlapped.loss < 2.3, "it learns: a guess would lose 2.3");
  th_release(set.train_images);
  th_release(set.train_labels);
  return demo_finish();
}
