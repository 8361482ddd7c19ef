/* Trainings of a few steps on whatever device the arrays lie: a small network of convolutions and a small transformer learn what a
 * rule says. Compiled once more for cuda:0 of the fake driver, where these are the longest programs of operators. */
#include "ops/values.h"

static void start(void) { start_engine(1); }

TestSuite(training, .init = start, .fini = stop_engine, .timeout = 240);

enum { ROWS = 24, SIDE = 8, LETTERS = 7, LENGTH = 6 };

typedef struct lesson {
  th_layer *model;
  th_array *x, *labels; /* x as the model takes it, labels per row of its result */
  int64_t classes;
} lesson;

static double loss_of(const lesson *l, th_optimizer *optimizer) {
  th_scope scope = th_scope_begin();
  th_array *y = th_layer_forward(l->model, l->x);
  th_array *rows = th_reshape(y, TH_SHAPE(th_array_size(l->labels), l->classes));
  th_array *loss = th_cross_entropy(rows, l->labels);
  cr_assert(th_backward(loss, 0) == TH_OK, "%s", th_last_error());
  cr_assert(eq(int, th_optimizer_step(optimizer), TH_OK), "%s", th_last_error());
  th_optimizer_zero_grad(optimizer);
  double value = th_item(loss);
  th_scope_end(scope);
  return value;
}

/* Trains, and ends the lesson. The loss has to come down to a part of what it was. */
static void learns(lesson *l, int steps, double part) {
  th_array *leaves[40];
  int n = th_layer_parameters(l->model, leaves, 40);
  cr_assert(n > 0 && n <= 40);
  th_optimizer *optimizer = th_adam(leaves, n, &(th_adam_config){.lr = 0.02});
  double first = loss_of(l, optimizer), last = first;
  for (int i = 1; i < steps; i++) last = loss_of(l, optimizer);
  cr_assert(isfinite(first) && last < part * first, "the loss went from %g to %g", first, last);
  th_optimizer_release(optimizer);
  th_layer_release(l->model);
  th_release(l->x);
  th_release(l->labels);
}

/* Which quarter of the picture is bright. */
Test(training, convolutions_find_the_bright_quarter) {
  static float pixels[ROWS * SIDE * SIDE];
  int64_t labels[ROWS];
  for (int r = 0; r < ROWS; r++) {
    labels[r] = r * 7 % 4;
    for (int i = 0; i < SIDE * SIDE; i++) {
      int64_t quarter = i / SIDE / (SIDE / 2) * 2 + i % SIDE / (SIDE / 2);
      pixels[r * SIDE * SIDE + i] =
          (float)((r * 31 + i * 17) % 11) / 11 + (quarter == labels[r] ? 1 : 0);
    }
  }
  th_generator *g = th_generator_new(3);
  lesson l = {.x = th_from_host(pixels, TH_SHAPE(ROWS, 1, SIDE, SIDE), TH_F32, th_cpu(0)),
              .labels = th_from_host(labels, TH_SHAPE(ROWS), TH_I64, th_cpu(0)),
              .classes = 4};
  l.model = th_sequential(
      TH_LAYERS(th_conv2d_layer(g, 1, 6, 3, true, &(th_conv_config){.padding = {1, 1}}),
                th_batch_norm_layer(6, 0, 0), th_activation_layer("relu", th_relu),
                th_max_pool_layer(&(th_pool_config){.kernel = {2, 2}}),
                th_conv2d_layer(g, 6, 10, 3, true, NULL), th_activation_layer("relu", th_relu),
                th_flatten_layer(), th_linear_layer(g, 40, 4, true)));
  learns(&l, 12, 0.3);
  th_generator_release(g);
}

/* Each letter is followed by the next but one of the alphabet. */
Test(training, attention_learns_what_follows) {
  int64_t letters[ROWS * LENGTH], labels[ROWS * LENGTH];
  for (int i = 0; i < ROWS * LENGTH; i++) {
    letters[i] = (i / LENGTH + i % LENGTH * 2) % LETTERS;
    labels[i] = (letters[i] + 2) % LETTERS;
  }
  th_generator *g = th_generator_new(5);
  lesson l = {.x = th_from_host(letters, TH_SHAPE(ROWS, LENGTH), TH_I64, th_cpu(0)),
              .labels = th_from_host(labels, TH_SHAPE(ROWS * LENGTH), TH_I64, th_cpu(0)),
              .classes = LETTERS};
  l.model = th_sequential(
      TH_LAYERS(th_embedding_layer(g, LETTERS, 8),
                th_attention_layer(g, 8, 2, &(th_attention_config){.causal = true}),
                th_layer_norm_layer(TH_SHAPE(8), 0), th_linear_layer(g, 8, LETTERS, true)));
  learns(&l, 25, 0.3);
  th_generator_release(g);
}
