/* A model is a list of layers: three linear ones and two activations in a row, summed up in a table, printed with their
 * weights, counted, and applied to a batch. */
#include "common/demo.h"

enum { WIDTH = 128, BATCH = 4 };

static void print_weights(const th_layer *model) {
  for (int i = 0; i < th_layer_states(model); i++) {
    char name[32];
    th_array *a = th_layer_state(model, i, name, sizeof name);
    if (th_array_ndim(a) < 2) continue;
    printf("%s ", name);
    DEMO_TRY(th_print(a, stdout)); /* waits for this array only */
    putchar('\n');
  }
}

int main(int argc, char **argv) {
  demo_options(argc, argv, "Builds a model of five layers, prints it and applies it.", NULL, 0);
  th_generator *g = th_generator_new(1);
  th_layer *model = th_sequential(
      TH_LAYERS(th_linear_layer(g, WIDTH, WIDTH, true), th_activation_layer("relu", th_relu),
                th_linear_layer(g, WIDTH, WIDTH, true), th_activation_layer("relu", th_relu),
                th_linear_layer(g, WIDTH, 1, true)));
  if (!model) demo_die("%s", th_last_error());
  DEMO_TRY(th_layer_summary(model, TH_SHAPE(BATCH, WIDTH), TH_F32, stdout));
  print_weights(model);
  long long parameters = th_layer_count(model);
  demo_check(parameters == 33153, "%lld parameters", parameters);

  th_array *x = DEMO_MAKE(th_normal(g, TH_SHAPE(BATCH, WIDTH), 0, 1, TH_F32, th_cpu(0)));
  th_array *y =
      DEMO_MAKE(th_layer_forward(model, x)); /* all five are queued before the first has run */
  DEMO_TRY(th_print(y, stdout));
  putchar('\n');
  demo_check(th_array_ndim(y) == 2 && th_array_shape(y)[0] == BATCH && th_array_shape(y)[1] == 1,
             "a batch of %d gives %d x 1", BATCH, BATCH);
  th_release(x);
  th_release(y);
  th_layer_release(model);
  th_generator_release(g);
  return demo_finish();
}
