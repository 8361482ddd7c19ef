/* A small transformer learns to write text, character by character. Batches are cut out of the text, the net is trained, and new
 * text is drawn without a wait: the program reads a loss every hundred steps, and the text it drew when that is complete. */
#include <math.h>
#include <stdlib.h>

#include "common/demo.h"
#include "common/plot.h"
#include "common/text.h"
#include "common/transformer.h"

enum { TELL = 100 };

/* Mean of -log probability of the characters behind all places of the pieces that begin at starts (n, 1). */
static th_array *loss_at(const transformer *net, th_array *all, th_array *starts) {
  th_array *places = th_add(starts, th_arange(0, (double)net->context, 1, TH_I64, net->device));
  th_array *logits = transformer_logits(net, th_take(all, places, 0));
  th_array *next = th_take(all, th_add_scalar(places, 1), 0);
  return DEMO_MAKE(
      th_cross_entropy(th_reshape(logits, TH_SHAPE(-1, net->ids)), th_reshape(next, TH_SHAPE(-1))));
}

/* The same over all pieces of a text, one behind the other. */
static double evaluate(const transformer *net, th_array *all, int64_t batch) {
  int64_t pieces = (th_array_shape(all)[0] - 1) / net->context;
  bool was = th_grad_mode(false);
  th_array *sum = DEMO_MAKE(th_zeros(TH_SCALAR, TH_F32, net->device));
  for (int64_t i = 0; i < pieces; i += batch) {
    th_scope scope = th_scope_begin();
    int64_t n = i + batch < pieces ? batch : pieces - i;
    th_array *starts = th_multiply_scalar(
        th_arange((double)i, (double)(i + n), 1, TH_I64, net->device), (double)net->context);
    th_array *loss = loss_at(net, all, th_reshape(starts, TH_SHAPE(n, 1)));
    DEMO_TRY(th_add_inplace(sum, DEMO_MAKE(th_multiply_scalar(loss, (double)n))));
    th_scope_end(scope);
  }
  double mean = demo_item(sum) / (double)pieces;
  th_release(sum);
  th_grad_mode(was);
  return mean;
}

/* Goes on from the beginning of a text. Each character depends on those before, yet the loop submits them all. */
static void write_text(const transformer *net, const text *t, th_generator *g, long n) {
  int64_t *ids = malloc((size_t)n * sizeof *ids);
  bool was = th_grad_mode(false);
  th_scope scope = th_scope_begin();
  th_array *drawn = DEMO_MAKE(th_empty(TH_SHAPE(n), TH_I64, net->device));
  th_array *context = DEMO_MAKE(th_empty(TH_SHAPE(1, net->context), TH_I64, net->device));
  DEMO_TRY(th_assign(
      context, th_take(t->test, th_arange(0, (double)net->context, 1, TH_I64, net->device), 0)));
  for (long i = 0; i < n; i++) {
    char place[48];
    snprintf(place, sizeof place, "%ld:%ld", i, i + 1);
    th_scope step = th_scope_begin();
    th_array *odds = th_softmax(th_slice(transformer_logits(net, context), "0, -1"), 0);
    th_array *next = DEMO_MAKE(th_categorical(g, odds, 1));
    DEMO_TRY(th_assign(th_slice(drawn, place), next));
    DEMO_TRY(th_assign(context, th_roll(context, (int64_t[]){-1}, (int[]){1}, 1)));
    DEMO_TRY(th_assign(th_slice(context, "0, -1:"), next));
    th_scope_end(step);
  }
  DEMO_TRY(th_read(drawn, ids, (size_t)n * sizeof *ids));
  for (long i = 0; i < n; i++) putchar(t->character[ids[i]]);
  printf("\n\n");
  th_scope_end(scope);
  th_grad_mode(was);
  free(ids);
}

typedef struct settings {
  const char *data, *plot;
  long steps, batch, context, width, heads, blocks, seed, sample;
  double lr, goal;
  th_device device;
} settings;

static settings read_settings(int argc, char **argv) {
  static settings s = {.plot = "", .heads = 4, .seed = 1, .sample = 200};
  const demo_option options[] = {
      {"data", "a text file; else sums in words, and less of everything below", .text = &s.data},
      {"steps", "of training; 0 = 200, with a file 2500", .integer = &s.steps},
      {"batch", "pieces of text per step; 0 = 16", .integer = &s.batch},
      {"context", "characters that it looks back at; 0 = 32, with a file 64",
       .integer = &s.context},
      {"width", "numbers per character; 0 = 32, with a file 128", .integer = &s.width},
      {"blocks", "of the transformer; 0 = 2, with a file 3", .integer = &s.blocks},
      {"heads", "of attention", .integer = &s.heads},
      {"lr", "highest learning rate; 0 = 0.01, with a file 0.002", .number = &s.lr},
      {"goal", "nats per character on the last tenth; 0 = 0.5, with a file 2.2", .number = &s.goal},
      {"sample", "characters to write", .integer = &s.sample},
      {"seed", "of weights, pieces and sums", .integer = &s.seed},
      DEMO_DEVICE(&s.device),
      {"plot", "where to draw the curve of the loss, as SVG", .text = &s.plot},
  };
  DEMO_OPTIONS(argc, argv, "A small transformer learns to write text.", options);
  bool file = s.data != NULL;
  if (s.steps == 0) s.steps = file ? 2500 : 200;
  if (s.batch == 0) s.batch = 16;
  if (s.context == 0) s.context = file ? 64 : 32;
  if (s.width == 0) s.width = file ? 128 : 32;
  if (s.blocks == 0) s.blocks = file ? 3 : 2;
  if (s.lr == 0) s.lr = file ? 0.002 : 0.01;
  if (s.goal == 0) s.goal = file ? 2.2 : 0.5;
  if (s.steps < 1 || s.batch < 1 || s.context < 1 || s.heads < 1 || s.sample < 0)
    demo_die("--steps, --batch, --context and --heads must be at least 1, --sample 0");
  if (s.width < 1 || s.width % s.heads) demo_die("--width must be a multiple of --heads");
  if (s.blocks < 1 || s.blocks > TRANSFORMER_BLOCKS)
    demo_die("--blocks must be from 1 to %d", TRANSFORMER_BLOCKS);
  return s;
}

/* AdamW with warm-up, then half a cosine; biases and norms do not decay. */
static void train(const settings *s, const transformer *net, th_array *all, th_generator *g) {
  plot curve = {.title = "loss", .x_name = "step", .y_name = "nats"};
  int64_t last = th_array_shape(all)[0] - net->context; /* place where a piece may begin, + 1 */
  long warmup = s->steps / 20 + 1;
  float losses[TELL];
  th_optimizer *optimizer =
      th_adamw(net->params, net->n, &(th_adam_config){.beta2 = 0.99, .weight_decay = 0.1});
  for (int i = 0; i < net->n && optimizer; i++)
    if (th_array_ndim(net->params[i]) == 1)
      DEMO_TRY(th_optimizer_set_factors(optimizer, net->params[i], 1, 0));
  th_array *recent = DEMO_MAKE(th_zeros(TH_SHAPE(TELL), TH_F32, net->device));
  double start = demo_seconds();
  for (long step = 1; step <= s->steps; step++) {
    th_scope scope = th_scope_begin();
    th_optimizer_set_lr(optimizer, s->lr * th_schedule_warmup(step, warmup, 0.1) *
                                       th_schedule_cosine(step - warmup, s->steps, 0.1));
    th_array *loss =
        loss_at(net, all, th_randint(g, TH_SHAPE(s->batch, 1), 0, last, TH_I64, net->device));
    DEMO_TRY(th_backward(loss, 0));
    DEMO_MAKE(th_clip_grad_norm(net->params, net->n, 1));
    DEMO_TRY(th_optimizer_step(optimizer));
    th_optimizer_zero_grad(optimizer);
    char place[32];
    int n = (int)((step - 1) % TELL) + 1; /* losses not yet read */
    snprintf(place, sizeof place, "%d", n - 1);
    DEMO_TRY(th_assign(DEMO_MAKE(th_slice(recent, place)), th_detach(loss)));
    th_scope_end(scope);
    demo_progress("training", step, s->steps);
    if (n < TELL && step < s->steps) continue;
    DEMO_TRY(th_read(recent, losses, sizeof losses));
    double mean = 0, seconds = demo_seconds() - start;
    for (int i = 0; i < n; i++) {
      plot_add(&curve, (double)(step - n + 1 + i), (double)losses[i]);
      mean += (double)losses[i] / n;
    }
    demo_progress_clear();
    printf("step %5ld  loss %.4f nats, %.4f bits per character  %7.0f characters/s\n", step, mean,
           mean / log(2), (double)(step * s->batch * s->context) / seconds);
    fflush(stdout);
  }
  plot_end(&curve, s->plot);
  th_release(recent);
  th_optimizer_release(optimizer);
}

int main(int argc, char **argv) {
  settings s = read_settings(argc, argv);
  text t = text_open(s.data, (uint64_t)s.seed, s.device);
  th_generator *g = th_generator_new((uint64_t)s.seed);
  transformer net = {.ids = t.ids,
                     .context = s.context,
                     .width = s.width,
                     .heads = s.heads,
                     .blocks = s.blocks,
                     .device = s.device};
  if (th_array_shape(t.test)[0] <= s.context)
    demo_die("--context is longer than the text's last tenth");
  transformer_begin(&net, g);
  int64_t numbers = 0;
  for (int i = 0; i < net.n; i++) numbers += th_array_size(net.params[i]);
  printf("%s: %lld characters of %d kinds; %lld parameters\n", t.name,
         (long long)th_array_shape(t.train)[0], t.ids, (long long)numbers);
  train(&s, &net, t.train, g);
  double loss = evaluate(&net, t.test, s.batch);
  if (s.sample > 0) write_text(&net, &t, g, s.sample);
  printf("last tenth: %.4f nats, %.4f bits per character\n", loss, loss / log(2));
  demo_check(loss <= s.goal, "at most %g nats per character", s.goal);
  transformer_end(&net);
  text_close(&t);
  th_generator_release(g);
  return demo_finish();
}
